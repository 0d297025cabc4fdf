"""Lecture mode: on and off, step by step, in the address, and out of the way of other keys."""

import re

import pytest
from built import HTML, markup, pages
from playwright.sync_api import expect
from visiting import PATIENCE, THEME, audit, audit_in_the_dark, watched

CHAPTERS = [page for page in pages() if page.startswith("chapters/")]
PAGE = "chapters/04-bounds.html"
FIGURE = "fig-bounds-live"
PROJECTOR, PHONE = {"width": 1280, "height": 720}, {"width": 390, "height": 664}
ON = "document.documentElement.classList.contains('lecture')"
STEPS = "VAE_LECTURE.steps.map(({ id, title }) => [id, title])"
# The steps that are shown, how much of them stands above the fold (elements with text, whole, below
# the header), and how wide the page is.
SEEN = """() => ({
    shown: VAE_LECTURE.steps.flatMap(({ blocks }, number) =>
        blocks.some((block) => !block.classList.contains('lecture-out')) ? [number] : []),
    read: [...document.querySelectorAll('article h1, article h2, article h3, article p')]
        .filter((found) => found.checkVisibility() && found.textContent.trim())
        .filter((found) => { const box = found.getBoundingClientRect();
            return box.height > 0 && box.top >= 40 && box.bottom <= innerHeight; }).length,
    width: document.scrollingElement.scrollWidth,
})"""


@pytest.fixture
def lecture(browser):
    """A function that opens a page of the book from disk, at an address, in a window."""
    contexts = []

    def open_page(rest="?view=lecture", page=PAGE, viewport=PROJECTOR, **options):
        contexts.append(browser.new_context(viewport=viewport, reduced_motion="reduce", **options))
        contexts[-1].set_default_timeout(PATIENCE)
        opened = contexts[-1].new_page()
        _, _, opened.errors = watched(opened)
        opened.goto(f"{HTML.as_uri()}/{page}{rest}")
        return opened

    yield open_page
    for context in contexts:
        context.close()


def position(opened):
    """The number of the step that the list in the header shows, and of how many."""
    words = opened.locator(".lecture-bar option:checked").text_content()
    number, count = re.match(r"(\d+) of (\d+) · ", words).groups()
    return int(number), int(count)


def address(opened):
    return opened.evaluate("location.search + location.hash")


def test_every_chapter_has_the_button_and_no_other_page_has():
    for page in pages():
        text = (HTML / page).read_text("utf-8")
        assert ("lecture-button" in text) == (page in CHAPTERS), page


def test_the_button_turns_the_mode_on_and_off(lecture):
    opened = lecture("")
    button = opened.locator(".lecture-button")
    assert button.get_attribute("aria-pressed") == "false"
    expect(opened.locator(".bd-sidebar-primary")).to_be_visible()
    before = opened.evaluate("getComputedStyle(document.querySelector('article p')).fontSize")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    expect(opened.locator(".bd-sidebar-primary")).to_be_hidden()
    expect(opened.locator(".lecture-bar")).to_be_visible()
    size = opened.evaluate(
        "(() => { const p = document.querySelector('article p:not(.reading-time)');"
        "return [getComputedStyle(p).fontSize, getComputedStyle(document.querySelector("
        "'article div.highlight pre')).fontSize].map(parseFloat) })()"
    )
    assert float(before.removesuffix("px")) < 20 <= size[0] <= 24
    assert size[1] >= 18
    button.click()
    expect(opened.locator(".bd-sidebar-primary")).to_be_visible()
    expect(opened.locator(".lecture-bar")).to_be_hidden()
    assert opened.locator(".lecture-out").first.evaluate("block => block.checkVisibility()")
    assert opened.errors == []


@pytest.mark.parametrize("page", CHAPTERS)
def test_every_step_of_a_chapter_is_shown_alone_and_begins_with_words(lecture, page):
    opened = lecture(page=page)
    steps = opened.evaluate(STEPS)
    assert len({name for name, _ in steps}) == len(steps) > 8
    assert {name for name, _ in steps} <= markup(page).identifiers
    assert opened.evaluate("VAE_LECTURE.steps.flatMap((s) => s.blocks).length") == opened.evaluate(
        "document.querySelectorAll('article > section :not(section) , article > section section')"
        " && [...document.querySelectorAll('article section > :not(section)')]"
        ".filter((b) => !b.parentElement.closest('section > :not(section)')).length"
    )
    for number, (name, _) in enumerate(steps):
        assert position(opened) == (number + 1, len(steps))
        seen = opened.evaluate(SEEN)
        assert seen["shown"] == [number]
        assert seen["read"] >= 1, f"{page}#{name} begins with nothing to read"
        assert seen["width"] <= PROJECTOR["width"], f"{page}#{name} is {seen['width']} px wide"
        opened.keyboard.press("ArrowRight")
    assert position(opened) == (len(steps), len(steps))
    assert opened.errors == []


def test_the_address_keeps_mode_and_step_and_opens_them_again(lecture):
    opened = lecture("")
    opened.keyboard.press("Alt+l")
    for _ in range(3):
        opened.keyboard.press("ArrowRight")
    name, title = opened.evaluate(STEPS)[3]
    assert address(opened) == f"?view=lecture#{name}"
    status = opened.locator(".lecture-bar [role=status]")
    expect(status).to_have_text(f"4 of {position(opened)[1]}: {title}")
    again = lecture(address(opened))
    assert again.evaluate(ON)
    assert position(again)[0] == 4
    again.keyboard.press("Escape")
    assert not again.evaluate(ON)
    assert address(again) == f"#{name}"


def test_a_lecture_opens_without_showing_the_page_first(lecture):
    opened = lecture("", before := PAGE)
    assert before in opened.url
    opened.add_init_script(
        "window.frames = []; const look = () => { const side = document.querySelector("
        "'.bd-sidebar-primary'); if (side) window.frames.push(side.checkVisibility());"
        "requestAnimationFrame(look); }; requestAnimationFrame(look);"
    )
    opened.goto(f"{HTML.as_uri()}/{PAGE}?view=lecture#slide-q")
    opened.wait_for_function("() => window.frames.length > 3")
    assert not any(opened.evaluate("window.frames"))


@pytest.mark.parametrize(
    ("asked", "step"),
    [
        ("#no-such-step", "the-evidence-lower-bound"),
        ("#%", "the-evidence-lower-bound"),
        ("#predict-slide-q", "slide-q"),
        (f"#{FIGURE}", "the-price-of-a-family"),
    ],
)
def test_an_address_leads_to_the_step_that_holds_its_place(lecture, asked, step):
    opened = lecture(f"?view=lecture{asked}")
    number = position(opened)[0]
    assert opened.evaluate(STEPS)[number - 1][0].endswith(step)
    assert opened.errors == []


def test_a_remote_control_turns_screens_and_then_steps(lecture):
    opened = lecture("?view=lecture#how-far-below")
    opened.evaluate("window.MathJax.startup.promise.then(() => true)")
    start = position(opened)[0]
    opened.keyboard.press("PageDown")
    assert position(opened)[0] == start
    assert opened.evaluate("scrollY") > 100
    for _ in range(6):
        if position(opened)[0] == start:
            opened.keyboard.press("PageDown")
    assert position(opened)[0] == start + 1
    assert opened.evaluate("scrollY") == 0
    opened.keyboard.press("PageUp")
    assert position(opened)[0] == start
    assert opened.evaluate("scrollY") > 100  # at the end of the step before


def test_answers_stay_shut_and_print_is_whole(lecture):
    opened = lecture("?view=lecture#slide-q")
    assert opened.locator("details.answer[open]").count() == 0
    opened.emulate_media(media="print")
    assert opened.evaluate("""() => VAE_LECTURE.steps.every(({ blocks }) =>
        blocks.some((block) => block.checkVisibility()))""")
    expect(opened.locator(".lecture-bar")).to_be_hidden()
    size = opened.evaluate("getComputedStyle(document.documentElement).fontSize")
    assert size == "16px"


def test_keys_on_a_slider_and_a_pad_move_them_and_not_the_page(lecture):
    opened = lecture(f"?view=lecture#{FIGURE}")
    start = position(opened)
    slider = opened.locator(f"#{FIGURE} input[type=range]").first
    for control, key in ((slider, "ArrowRight"), (slider, "PageDown")):
        before = slider.input_value()
        control.press(key)
        assert slider.input_value() != before
    before = slider.input_value()
    opened.locator(f"#{FIGURE} canvas.live-pad").first.press("ArrowLeft")
    assert slider.input_value() != before
    assert position(opened) == start
    opened.wait_for_function(f"() => location.hash.startsWith('#{FIGURE}&')")
    assert address(opened).startswith("?view=lecture#")
    opened.keyboard.press("Escape")  # lets go of the pad
    assert opened.evaluate(ON)
    opened.keyboard.press("ArrowRight")
    assert position(opened)[0] == start[0] + 1
    opened.keyboard.press("Escape")
    assert not opened.evaluate(ON)


def test_a_step_without_a_heading_says_what_it_is_about(lecture):
    shown = "getComputedStyle(document.querySelector('article > section'), '::before').content"
    opened = lecture("?view=lecture#predict-what-q-is-charged-for")
    assert opened.evaluate(shown) == '"What q is charged for · predict"'
    opened.keyboard.press("ArrowRight")
    assert opened.locator("h2:visible").inner_text().startswith("The price of a family")
    assert opened.evaluate(shown) == "none"
    opened.keyboard.press("ArrowLeft")
    opened.keyboard.press("Escape")
    assert opened.evaluate(shown) == "none"


def test_letters_typed_into_a_field_do_nothing(lecture):
    opened = lecture("")
    for key in ("l", "n", "p", "ArrowRight", "Control+Alt+l"):
        opened.keyboard.press(key)
    assert not opened.evaluate(ON)


@pytest.mark.parametrize("viewport", [PROJECTOR, {"width": 1920, "height": 1080}])
def test_a_hand_on_a_live_figure_finds_the_place_it_points_at(lecture, viewport):
    opened = lecture(f"?view=lecture#{FIGURE}", viewport=viewport)
    pad = opened.locator(f"#{FIGURE} canvas.live-pad").first
    pad.scroll_into_view_if_needed()
    zoom = opened.evaluate(
        "parseFloat(getComputedStyle(document.documentElement).getPropertyValue('--live-zoom'))"
    )
    assert zoom > 1
    box = pad.bounding_box()
    assert box["width"] / zoom == pytest.approx(380, abs=1)  # the width that the figure asks for
    left, right = 44 * zoom, 10 * zoom  # the margins of a chart
    for wanted in (-1.0, 0.5, 2.0):
        across = left + (wanted + 2) / 4.5 * (box["width"] - left - right)  # its axis: −2 to 2.5
        opened.mouse.click(box["x"] + across, box["y"] + box["height"] / 2)
        shown = float(opened.locator(f"#{FIGURE} input[type=range]").first.input_value())
        assert shown == pytest.approx(wanted, abs=0.02)


def test_a_figure_keeps_its_setting_when_the_mode_changes(lecture):
    opened = lecture(f"#{FIGURE}&mean=1.5")
    assert opened.locator(f"#{FIGURE} input[type=range]").first.input_value() == "1.5"
    width = opened.locator(f"#{FIGURE} canvas").first.bounding_box()["width"]
    opened.locator(".lecture-button").click()
    assert opened.locator(f"#{FIGURE} input[type=range]").first.input_value() == "1.5"
    expect(opened.locator(f"#{FIGURE}")).to_be_visible()
    assert opened.locator(f"#{FIGURE} canvas").first.bounding_box()["width"] > 1.2 * width


def test_a_finger_turns_the_steps_on_a_phone(lecture):
    opened = lecture(viewport=PHONE, has_touch=True, is_mobile=True)
    previous, following = opened.locator(".lecture-bar button").all()
    assert previous.get_attribute("aria-disabled") == "true"
    previous.tap(force=True)
    assert position(opened)[0] == 1
    following.tap()
    assert position(opened)[0] == 2
    opened.locator(".lecture-bar select").select_option(index=9)
    assert position(opened)[0] == 10
    for target in (previous, following, opened.locator(".lecture-bar select")):
        assert target.bounding_box()["height"] >= 24
    assert opened.evaluate("document.scrollingElement.scrollWidth") == PHONE["width"]
    opened.set_viewport_size({"width": 320, "height": 640})
    assert opened.evaluate("document.scrollingElement.scrollWidth") == 320


@pytest.mark.parametrize("step", ["", "#slide-q", f"#{FIGURE}", "#ex-bounds-debug"])
def test_axe_objects_to_nothing_in_a_lecture(lecture, step):
    opened = lecture(f"?view=lecture{step}", color_scheme="light")
    opened.evaluate("window.MathJax.startup.promise.then(() => true)")
    assert opened.evaluate(THEME) == "light"
    rules, violations = audit(opened)
    assert len(rules) > 50
    violations += audit_in_the_dark(opened).violations
    assert opened.evaluate(THEME) == "dark"
    assert not violations, "\n".join(violations)


def test_the_links_of_the_page_for_teachers_open_what_they_name(lecture):
    opened = lecture("", page="teaching.html")
    found = opened.locator("article a[href*='view=lecture']").all()
    links = {link.get_attribute("href") for link in found}
    assert len(links) >= 40
    wrong = []
    for link in sorted(links):
        page, _, place = link.partition("?view=lecture#")
        name = place.partition("&")[0]
        if name not in markup(page).identifiers:
            wrong.append(link)
    assert not wrong
    there = lecture(f"?view=lecture#{FIGURE}&mean=-1")
    assert there.locator(f"#{FIGURE} input[type=range]").first.input_value() == "-1"
    assert there.locator(f"#{FIGURE}").evaluate(
        "figure => { const { top } = figure.getBoundingClientRect();"
        "const header = document.querySelector('.bd-header-article').getBoundingClientRect();"
        "return top >= header.bottom && top < innerHeight / 2 }"
    )
