"""On paper there are no sidebars and no buttons; figures and solutions are all there."""

import pytest
from visiting import PATIENCE, open_file

CHROME = (
    "button, .bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .prev-next-footer, "
    "#pst-back-to-top, .headerlink, input, .sd-summary-state-marker"
)
SEEN = """chrome => {
    const shown = found => found.checkVisibility({
        visibilityProperty: true, opacityProperty: true, contentVisibilityAuto: true })
        && found.getBoundingClientRect().height > 0;
    const lost = selector => [...document.querySelectorAll(selector)]
        .filter(found => found.textContent.trim() || found.tagName === 'IMG')
        .filter(found => !shown(found)).map(found => found.outerHTML.slice(0, 120));
    const channels = colour => colour.match(/[0-9.]+/g).slice(0, 3).map(Number);
    return {
        chrome: [...document.querySelectorAll(chrome)].filter(shown)
            .map(found => found.outerHTML.slice(0, 120)),
        lost: lost('article img, .solution p, .solution pre, details.sd-dropdown pre'),
        pale: [...document.querySelectorAll('article p, article pre span, article a, h1, h2')]
            .filter(found => shown(found) && found.textContent.trim())
            .filter(found => Math.max(...channels(getComputedStyle(found).color)) > 200)
            .map(found => found.outerHTML.slice(0, 120)).slice(0, 5),
    };
}"""


@pytest.fixture(scope="module")
def paper(browser):
    """A reader with the dark theme, who prints."""
    context = browser.new_context(color_scheme="dark")
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def test_a_page_prints_whole(page, paper):
    with open_file(paper, page) as opened:
        opened.emulate_media(media="print")
        seen = opened.evaluate(SEEN, CHROME)
    assert not seen["chrome"], f"{page} prints what one can only press: {seen['chrome']}"
    assert not seen["lost"], f"{page} loses on paper: {seen['lost']}"
    assert not seen["pale"], f"{page} prints pale on white: {seen['pale']}"


@pytest.mark.parametrize("page", ["index.html", "chapters/04-bounds.html"])
def test_a_page_becomes_a_pdf(page, paper):
    with open_file(paper, page) as opened:
        printed = opened.pdf()
    assert printed.startswith(b"%PDF-"), f"{page} prints {printed[:20]}"
    assert len(printed) > 10_000, f"{page} prints {len(printed)} bytes: is there anything on it?"
