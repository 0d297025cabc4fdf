"""MathJax with fewer alphabets draws the formulas of the book as the whole one does."""

import re

import pytest
from built import HTML, ROOT

WHOLE = ROOT / "book" / "_extra" / "mathjax" / "tex-svg.js"
LESS = HTML / "mathjax" / "tex-svg.js"
TEX = re.compile(r"\\\((.*?)\\\)|\\\[(.*?)\\\]", re.DOTALL)
DRAWN = """formulas => {
    const draw = tex => MathJax.startup.adaptor.outerHTML(MathJax.tex2svg(tex));
    return formulas.map(draw).map(svg => svg.replace(/MJX-\\d+-/g, ''));
}"""


def drawn(browser, script, formulas):
    """The drawings of some formulas by one copy of MathJax."""
    page = browser.new_page()
    page.add_script_tag(path=script)
    page.evaluate("MathJax.startup.promise.then(() => 0)")
    found = page.evaluate(DRAWN, formulas)
    page.close()
    return found


@pytest.mark.parametrize("name", ["notation", "chapters/06-gaussians", "chapters/07-linear"])
def test_formulas_are_drawn_alike(browser, name):
    text = (HTML / f"{name}.html").read_text("utf-8")
    unescaped = text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    formulas = sorted({one or other for one, other in TEX.findall(unescaped)})
    assert len(formulas) > 50
    whole, less = (drawn(browser, script, formulas) for script in (WHOLE, LESS))
    assert less == whole


def test_a_left_out_letter_is_told_from_a_drawn_one(browser):
    whole, less = (drawn(browser, script, [r"\mathfrak{A}"]) for script in (WHOLE, LESS))
    assert less != whole
