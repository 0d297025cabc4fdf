"""What is left out of the finished pages, and that what they need is still there."""

import base64
import io
import re
import unicodedata
from pathlib import Path

import light
import pydata_sphinx_theme
import pytest
from equations import prose
from fontTools.pens.recordingPen import RecordingPen
from fontTools.ttLib import TTFont

ROOT = Path(__file__).parents[1]
STATIC = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
FONTS = STATIC / "vendor" / "fontawesome" / "webfonts"
STYLE = (STATIC / "styles" / "pydata-sphinx-theme.css").read_text("utf-8")
MATHJAX = (ROOT / "book" / "_extra" / "mathjax" / "tex-svg.js").read_text("utf-8")
SUN, BARS, BELL = "\uf185", "\uf0c9", "\uf0f3"  # the last is named by the style alone


def outline(font: TTFont, icon: str) -> list:
    """How an icon is drawn."""
    pen = RecordingPen()
    glyphs = font.getGlyphSet()
    glyphs[font.getBestCmap()[ord(icon)]].draw(pen)
    return pen.value


def fonts(style: str) -> list[TTFont]:
    """The fonts that stand in a style."""
    found = re.findall(r"url\(data:font/woff;base64,([^)]*)\)", style)
    return [TTFont(io.BytesIO(base64.b64decode(each))) for each in found]


@pytest.fixture(scope="module")
def lighter():
    return light.lighter_style(STYLE, {"fa-solid", "fa-sun", "fa-bars"}, FONTS)


def test_the_icons_that_are_used_are_drawn_as_before(lighter):
    whole, kept = TTFont(FONTS / "fa-solid-900.ttf"), fonts(lighter)[0]
    for icon in (SUN, BARS, BELL):
        assert outline(kept, icon) == outline(whole, icon)
    assert len(kept.getGlyphOrder()) < 40 < len(whole.getGlyphOrder())


def test_a_used_icon_keeps_its_rule_and_an_unused_one_has_none(lighter):
    assert '.fa-sun:before{content:"\\f185"}' in lighter
    assert ".fa-bars:before" in lighter
    assert ".fa-anchor:before" in STYLE
    assert ".fa-anchor:before" not in lighter
    assert len(lighter) < 0.85 * len(STYLE)


def test_what_is_left_has_a_name_of_its_own_and_its_maker_is_still_named(lighter):
    names = {str(record) for font in fonts(lighter) for record in font["name"].names}
    assert light.NAME in names
    assert "Copyright (c) Font Awesome" in names
    assert not any(re.fullmatch(r"Font Awesome 6 Free.*|FontAwesome.*", name) for name in names)
    rules = re.sub(r"/\*.*?\*/", "", lighter, flags=re.DOTALL)
    assert not re.search(r"font-family:[^;}]*Font Awesome", rules)
    assert "License - https://fontawesome.com/license/free" in lighter


def test_mathjax_loses_the_left_out_alphabets_and_nothing_else():
    less = light.lighter_mathjax(MATHJAX)
    entries = re.compile(r'[,{](1\d{5}):(?="|\[)')
    before, after = ([int(n) for n in entries.findall(text)] for text in (MATHJAX, less))
    names = {number: unicodedata.name(chr(number)) for number in before}
    unasked = r"SCRIPT|FRAKTUR|MONOSPACE|SANS-SERIF (BOLD|ITALIC)"
    assert {n for n in before if n not in after} == {
        n for n, name in names.items() if re.search(unasked, name)
    }
    for letter in "𝐀𝐴𝑨𝛼𝜎𝔼𝖳":  # bold, italic, both, Greek, double-struck, sans-serif
        assert ord(letter) in after, letter
    assert len(less) < 0.86 * len(MATHJAX)
    assert less.startswith("/* MathJax 3.2.2, Apache License 2.0")


@pytest.mark.parametrize(
    ("formula", "commands"),
    [
        (r"\mathfrak{g}", {"mathfrak"}),
        (r"\mathtt{x} + \mathscr L", {"mathtt", "mathscr"}),
        (r"\mathcal{L} \mathbb{E} \mathsf{T} \ttx", set()),
    ],
)
def test_a_formula_that_asks_for_a_left_out_alphabet_is_noticed(formula, commands):
    assert light.asks_for(formula) == commands


def test_no_chapter_asks_for_one():
    for path in sorted((ROOT / "book" / "chapters").glob("*.ipynb")):
        assert light.asks_for(prose(path)) == set(), path.stem
