"""Each live figure of the built pages: keys, pointer and touch change what it says.

What the figures compute is tested in test_live_figures.py; here they stand in their pages.
"""

import live
import pytest
from built import HTML, markup, pages
from playwright.sync_api import expect
from visiting import PATIENCE, open_file

FIGURES = [(page, name) for page in pages() for name in markup(page).live_figures]
ENGINE = "assets/live.js"

each_figure = pytest.mark.parametrize(("page", "name"), FIGURES)


def test_every_live_figure_stands_in_the_book():
    shown = {kind for page in pages() for kind in live.FIGURES if f"live-{kind}" in text(page)}
    assert shown == live.FIGURES.keys(), f"in no page: {live.FIGURES.keys() - shown}"
    assert len(FIGURES) >= len(live.FIGURES)


def text(page: str) -> str:
    """A page's markup as it is stored."""
    return (HTML / page).read_text("utf-8")


@pytest.fixture
def figure(browser, page, name):
    """The figure in its page, opened from disk on a screen that can be touched.

    The formulas stay as they were written: no figure needs them, and typesetting takes longest.
    """
    context = browser.new_context(has_touch=True, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    context.route("**/mathjax/**", lambda request: request.abort())
    with open_file(context, page) as opened:
        found = opened.locator(f"figure.live#{name}")
        found.scroll_into_view_if_needed()
        yield found
    context.close()


def said(figure, before: str) -> str:
    """What the figure announces next, other than `before`."""
    status = figure.locator("[role=status]")
    assert status.count() == 1, f"{status.count()} elements announce changes; one is needed"
    expect(status).not_to_have_text(before, timeout=PATIENCE)
    return status.inner_text().strip()


def middle(figure) -> tuple[float, float]:
    """Where the figure's first drawing that can be dragged, or its first slider, has its middle."""
    pad = figure.locator("canvas[tabindex], [role=application], input[type=range]").first
    box = pad.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@each_figure
def test_keys_a_drag_and_a_touch_change_what_a_figure_says(figure, page, name):
    """One after the other in one window, since a page with its figures takes seconds to open."""
    assert figure.locator("canvas").locator("visible=true").count() > 0
    assert not figure.locator("img").is_visible()  # also where narrow screens have another one
    slider = figure.locator("input[type=range]").first
    value = slider.input_value()
    slider.focus()
    slider.press("ArrowLeft")
    if slider.input_value() == value:  # it stood at its end
        slider.press("ArrowRight")
    assert slider.input_value() != value, f"{page}#{name}: keys do not move the first slider"
    first = said(figure, "")
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    second = said(figure, first)
    x, y = middle(figure)
    mouse = figure.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 40, y - 15, steps=4)
    mouse.up()
    third = said(figure, second)
    figure.page.touchscreen.tap(x - 37, y)
    said(figure, third)


@each_figure
def test_without_scripts_a_figure_shows_its_picture(browser, page, name):
    context = browser.new_context(java_script_enabled=False)
    with open_file(context, page) as opened:
        found = opened.locator(f"figure.live#{name}")
        assert found.locator("img").is_visible(), f"{page}#{name} is empty without scripts"
        assert found.locator("figcaption").is_visible()
        assert found.locator("input, button, canvas").count() == 0
    context.close()


def test_only_pages_with_live_figures_load_the_engine(page, visited):
    loaded = any(ENGINE in request for request in visited(page).opening.requests)
    assert loaded == bool(markup(page).live_figures), f"{page} and the engine do not fit"
