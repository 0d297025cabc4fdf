"""A reader without scripts has the text, the pictures, the solutions, and formulas as TeX."""

import pytest
from built import markup
from visiting import PATIENCE, open_file

SEEN = """() => {
    const all = {visibilityProperty: true, opacityProperty: true};
    const shown = found => found.checkVisibility(all)
        && found.getBoundingClientRect().height > 0;
    const text = [...document.querySelectorAll('article p, article li, article td')];
    // A fold in a fold shows its title, and a picture in one itself, once the outer one is open.
    const folds = [...document.querySelectorAll('article details')];
    const outer = folds.filter(found => !found.parentElement.closest('details'));
    const closed = outer.filter(found => !shown(found.querySelector('summary'))).length;
    for (const found of folds) found.open = true;
    return {
        closed,
        title: [...document.querySelectorAll('h1, noscript')].filter(shown).length,
        hidden: text.filter(found => found.textContent.trim() && !found.closest('details'))
            .filter(found => !shown(found)).map(found => found.outerHTML.slice(0, 120)),
        folds: [...document.querySelectorAll('article details > summary')].filter(shown).length,
        folded: document.querySelectorAll('article details').length,
        pictures: [...document.querySelectorAll('article img')]
            .map(found => [found.getAttribute('src'), found.naturalWidth, shown(found)]),
        formulas: [...document.querySelectorAll('.math')].map(found => found.lastChild.textContent),
        idle: [...document.querySelectorAll('.pst-js-only, figure.live input, figure.live button')]
            .filter(shown).map(found => found.outerHTML.slice(0, 120)),
    };
}"""


@pytest.fixture(scope="module")
def plain(browser):
    """A browser that runs no script of a page."""
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def test_nothing_is_lost_without_scripts(page, plain):
    with open_file(plain, page) as opened:
        seen = opened.evaluate(SEEN)
    assert seen["title"], f"{page} shows no title without scripts"
    assert not seen["closed"], f"{page} has folds that cannot be opened"
    assert not seen["hidden"], f"{page} hides text without scripts: {seen['hidden']}"
    assert seen["folds"] == seen["folded"], f"{page} has folds in folds that cannot be opened"
    for source, width, shown in seen["pictures"]:
        assert width > 0, f"{page}: {source} does not load without scripts"
        assert shown, f"{page}: {source} is hidden without scripts"
    assert len(seen["formulas"]) == markup(page).formulas
    for formula in seen["formulas"]:
        assert formula.lstrip().startswith((r"\(", r"\[")), (
            f"{page}: {formula!r} is not TeX to read"
        )
    assert not seen["idle"], f"{page} shows controls that do nothing: {seen['idle']}"
