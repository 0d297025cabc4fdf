"""Previews: by pointer and by focus, they stay, they close, and a tap goes where the link leads."""

import json

import pytest
from built import HTML, markup
from hands import press
from playwright.sync_api import expect
from visiting import PATIENCE, audit, audit_in_the_dark, watched

PAGE = "chapters/09-training.html"
TERM = "a.reference[href$='#term-nat']"
EQUATION = "a.reference[href$='04-bounds.html#equation-vae8']"
FIGURE = "a.reference[href='#fig-training-latent-map']"
WORK = "a.reference[href*='bibliography.html#']"
SHOWN = json.loads(
    (HTML / "assets/previews-shown.js")
    .read_text("utf-8")
    .removeprefix("window.VAE_PREVIEWS = ")
    .removesuffix(";\n")
)


@pytest.fixture
def reader(browser):
    """A chapter in a window of its own, with its mathematics typeset."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.seen = watched(page)
    page.goto(f"{HTML.as_uri()}/{PAGE}")
    page.evaluate("MathJax.startup.promise")
    yield page
    context.close()


def link(page, selector):
    """The first link of its kind that can be seen; the figure has been seen, its answer is open."""
    if selector == FIGURE:
        page.locator("details.answer", has=page.locator("#fig-training-latent-map")).evaluate(
            "answer => { answer.open = true; }"
        )
    return page.locator(f"article {selector}:visible").first


def preview(page):
    return page.locator(".preview")


def test_every_preview_belongs_to_a_place_that_exists():
    assert len(SHOWN) > 200
    for address, shown in SHOWN.items():
        page, _, anchor = address.partition("#")
        assert anchor in markup(page).identifiers, address
        assert " id=" not in shown, address
        assert "<a " not in shown, address


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        (TERM, "The unit of a natural logarithm"),
        (EQUATION, "4 The evidence lower bound"),
        (FIGURE, "Means of"),
        (WORK, "Alemi, Ben Poole"),
    ],
)
def test_a_pointer_that_rests_on_a_link_shows_where_it_leads(reader, selector, words):
    found = link(reader, selector)
    found.hover()
    expect(preview(reader)).to_contain_text(words)
    assert found.get_attribute("aria-describedby") == preview(reader).get_attribute("id")
    box = preview(reader).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 1280
    assert not reader.seen[1]
    assert not reader.seen[2]


def test_formulas_are_typeset_and_pictures_are_loaded(reader):
    link(reader, EQUATION).hover()
    expect(preview(reader).locator("mjx-container[display=true]")).to_be_visible()
    assert preview(reader).locator("[tabindex]").count() == 0
    reader.mouse.move(2, 2)
    expect(preview(reader)).to_be_hidden()
    link(reader, FIGURE).hover()
    picture = preview(reader).locator("img")
    expect(picture).to_be_visible()
    reader.wait_for_function("image => image.naturalWidth > 0", arg=picture.element_handle())


def test_the_pointer_may_go_onto_a_preview_which_closes_when_it_leaves(reader):
    link(reader, TERM).hover()
    preview(reader).hover()
    reader.wait_for_timeout(700)  # longer than a preview waits before it closes
    expect(preview(reader)).to_be_visible()
    reader.mouse.move(2, 2)
    expect(preview(reader)).to_be_hidden()


def test_focus_shows_a_preview_and_escape_closes_it_without_moving_on(reader):
    found = link(reader, TERM)
    reader.locator("article h1").click()
    found.evaluate("link => link.closest('li').querySelector('a').focus()")
    while found.evaluate("link => link !== document.activeElement"):
        press(reader, "Tab")
    expect(preview(reader)).to_contain_text("The unit of a natural logarithm")
    press(reader, "Escape")
    expect(preview(reader)).to_be_hidden()
    assert found.evaluate("link => link === document.activeElement")
    assert found.get_attribute("aria-describedby") is None
    press(reader, "Tab", "Shift+Tab")
    expect(preview(reader)).to_be_visible()
    press(reader, "Tab")
    expect(preview(reader)).not_to_contain_text("The unit of a natural logarithm")


def test_nothing_is_loaded_until_a_pointer_rests(reader):
    assert not any("previews-shown" in request for request in reader.seen[0])
    link(reader, TERM).hover()
    expect(preview(reader)).to_be_visible()
    assert sum("previews-shown" in request for request in reader.seen[0]) == 1


def test_what_lies_in_a_shut_answer_is_not_given_away(reader):
    fold = reader.locator("details.answer:not([open])").filter(has=reader.locator("figure[id]"))
    figure = fold.first.locator("figure[id]").first.get_attribute("id")
    assert f"{PAGE}#{figure}" in SHOWN
    reader.evaluate(
        """name => {
            const link = Object.assign(document.createElement("a"), { href: `#${name}` });
            link.className = "reference internal planted";
            link.textContent = "a figure";
            document.querySelector("article p").append(link);
        }""",
        figure,
    )
    link(reader, ".planted").hover()
    reader.wait_for_timeout(700)
    expect(preview(reader)).to_be_hidden()
    reader.evaluate(
        "name => { document.getElementById(name).closest('details').open = true; }", figure
    )
    reader.mouse.move(2, 2)
    link(reader, ".planted").hover()
    expect(preview(reader).locator("figcaption")).to_be_visible()


def test_a_tap_follows_the_link(browser):
    context = browser.new_context(has_touch=True, viewport={"width": 390, "height": 664})
    page = context.new_page()
    page.goto(f"{HTML.as_uri()}/{PAGE}")
    link(page, TERM).tap()
    page.wait_for_url("**/glossary.html#term-nat")
    context.close()


def test_a_page_without_formulas_typesets_those_of_a_preview(reader):
    reader.goto(f"{HTML.as_uri()}/ledger.html")
    assert reader.evaluate("typeof MathJax") == "undefined", "the ledger has formulas now"
    link(reader, "a.reference[href$='#equation-vae5']").hover()
    expect(preview(reader).locator("mjx-container")).to_be_visible()


@pytest.mark.parametrize("selector", [TERM, EQUATION, FIGURE, WORK])
def test_a_preview_is_accessible_and_fits_320_pixels(reader, selector):
    reader.set_viewport_size({"width": 320, "height": 640})
    link(reader, selector).hover()
    expect(preview(reader)).to_be_visible()
    box = preview(reader).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 320
    assert reader.evaluate("document.scrollingElement.scrollWidth") <= 320
    objections = audit(reader).violations + audit_in_the_dark(reader).violations
    assert preview(reader).is_visible()
    assert not objections, "\n".join(objections)
