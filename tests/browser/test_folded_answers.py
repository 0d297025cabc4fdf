"""Answers stay shut until they are asked for; pictures follow the theme and the width."""

import io

import pytest
from built import HTML, pages
from PIL import Image
from playwright.sync_api import expect
from visiting import PATIENCE

CHAPTERS = [page for page in pages() if page.startswith("chapters/")]


@pytest.fixture
def reader(browser, request):
    """A page in a window of its own, as wide as the test asks and in the theme it asks for."""
    width, theme = getattr(request, "param", (1280, "light"))
    size = {"width": width, "height": 720}
    context = browser.new_context(viewport=size, color_scheme=theme)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("page", CHAPTERS)
def test_every_prediction_has_its_answer_behind_it_and_shut(page, seen):
    opening = seen.opening
    assert len(opening.answers) == opening.predictions > 0
    assert not any(opening.answers)


def test_a_key_opens_an_answer(reader):
    reader.goto(f"{HTML.as_uri()}/chapters/04-bounds.html")
    answer = reader.locator("details.answer:not(.deeper)").first
    inside = answer.locator(":scope > :not(summary)").first
    expect(inside).to_be_hidden()
    answer.locator(":scope > summary").focus()
    reader.keyboard.press("Enter")
    expect(inside).to_be_visible()


@pytest.mark.parametrize(
    ("reader", "ending"),
    [((390, "light"), "-stacked.png"), ((1280, "light"), ".png")],
    indirect=["reader"],
)
def test_a_narrow_screen_takes_the_stacked_picture(reader, ending):
    reader.goto(f"{HTML.as_uri()}/chapters/04-bounds.html#fig-bounds-slide")
    picture = reader.locator("#fig-bounds-slide picture img")
    source = picture.evaluate("image => image.currentSrc")
    assert source.endswith(ending)
    assert ("-stacked" in source) == (ending != ".png")
    tall = picture.evaluate("image => image.naturalHeight > image.naturalWidth")
    assert tall == (ending != ".png")


@pytest.mark.parametrize("reader", [(1280, "dark")], indirect=True)
def test_a_figure_has_the_dark_pages_ground(reader):
    reader.goto(f"{HTML.as_uri()}/chapters/04-bounds.html")
    reader.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    picture = reader.locator("#fig-bounds-slide img")
    picture.scroll_into_view_if_needed()
    corner = Image.open(io.BytesIO(picture.screenshot())).convert("RGB").getpixel((2, 2))
    ground = reader.evaluate("getComputedStyle(document.body).backgroundColor")
    wanted = [int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(",")]
    assert corner == pytest.approx(wanted, abs=3)
