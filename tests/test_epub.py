"""What the press makes of a page of the EPUB; its MathML is given, so no Chromium is needed."""

import xml.etree.ElementTree as ElementTree

import pytest
from epub import Formula, finish, formulas, letter, manifest, parsed

PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">
<head><title>A page</title>
<link rel="stylesheet" type="text/css" href="_static/kept.css" />
<link rel="stylesheet" type="text/css" href="_static/book.css" />
<script src="_static/a.js"></script></head>
<body><p>For <span class="math notranslate nohighlight">\\(a &lt; b\\)</span>,<br>a line.</p>
<div class="math notranslate nohighlight" id="equation-x"><span class="eqno">(1)</span>
\\[p(x)
= 1\\]</div>
<pre>\\[no formula\\]  two blanks</pre>
<details class="fold"><summary aria-label="Toggle hidden content"><svg><path d="M0"/></svg>Show
</summary><p id="proof-content">Text</p></details></body></html>"""
INLINE, DISPLAY = Formula("a < b", False), Formula("p(x)\n= 1", True)
MADE = {
    INLINE: '<math xmlns="m"><mi>a</mi><mo>&lt;</mo><mi mathvariant="double-struck">R</mi></math>',
    DISPLAY: '<math xmlns="m" display="block"><mspace width="1em"/><mn>1</mn></math>',
}
PACKAGE = b"""<package xmlns="http://www.idpf.org/2007/opf"><manifest>
<item id="a" href="a.xhtml"/><item id="b" href="nav.xhtml" properties="nav"/>
<item id="c" href="_static/a.js"/><item id="d" href="_static/live.css"/></manifest></package>"""


@pytest.fixture
def finished():
    """The page as a reader of EPUB parses it."""
    page = parsed(PAGE)
    finish(page, MADE, {"kept.css"})
    return ElementTree.fromstring(str(page))


def one(page, path):
    (found,) = page.iterfind(path, {"": "http://www.w3.org/1999/xhtml", "m": "m"})
    return found


def test_formulas_are_found_where_mathematics_stands_and_nowhere_else():
    assert [formula for _, formula in formulas(parsed(PAGE))] == [INLINE, DISPLAY]


def test_mathml_takes_the_place_of_tex_which_becomes_its_words(finished):
    inline, display = one(finished, ".//span/m:math"), one(finished, ".//div/m:math")
    assert inline.get("alttext") == "a < b"
    assert "".join(inline.itertext()) == "a<ℝ"
    assert display.attrib == {"display": "block", "alttext": "p(x) = 1"}
    assert one(finished, ".//div").get("id") == "equation-x"
    assert one(finished, ".//div/span").text == "(1)"
    assert one(finished, ".//pre").text == "\\[no formula\\]  two blanks"


def test_boxes_are_open_and_scripts_arrows_and_absent_styles_are_gone(finished):
    assert one(finished, ".//details").attrib == {"class": "fold", "open": "open"}
    assert one(finished, ".//summary").text == "Code"
    assert one(finished, ".//details/p").attrib == {}
    assert one(finished, ".//link").get("href") == "_static/kept.css"
    names = {element.tag.rpartition("}")[2] for element in finished.iter()}
    assert not names & {"script", "svg"}


def test_the_list_of_files_says_which_pages_hold_mathml():
    listed = ElementTree.fromstring(manifest(PACKAGE, {"a.xhtml", "nav.xhtml"}))
    items = {item.get("href"): item.get("properties") for item in listed[0]}
    assert items == {"a.xhtml": "mathml", "nav.xhtml": "nav mathml"}


@pytest.mark.parametrize(
    ("kind", "plain", "made"),
    [
        *[("script", "L", "ℒ"), ("script", "N", "𝒩")],
        *[("double-struck", "R", "ℝ"), ("double-struck", "E", "𝔼")],
    ],
)
def test_capitals_of_one_character_are_those_of_unicode(kind, plain, made):
    assert letter(kind, plain) == made
