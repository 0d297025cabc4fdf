"""What the search and the previews make of finished pages; and how the search ranks, in V8."""

import json
import re
from pathlib import Path

import passages
import previews
import pytest
import rendered
from bs4 import BeautifulSoup
from py_mini_racer import MiniRacer

SEARCH = Path(__file__).parents[1] / "book" / "_extra" / "assets" / "search.js"
CHAPTER = r"""
<section id="first"><h1>1 First<a class="headerlink" href="#first">#</a></h1>
<p>It is <span class="math">\(\log p(x \mid z)\)</span> of a
 <a class="reference internal" href="../glossary.html#term-code"><span>code</span></a>.</p>
<div class="cell_input"><pre>secret = 1</pre></div>
<section id="second"><h2>Second</h2>
<div class="proof theorem" id="thm-a"><section class="content"><p>All is well.</p></section></div>
<div class="math" id="equation-b"><span class="eqno">(1)<a class="headerlink" href="#e">#</a></span>
\[a = b\]</div>
<figure id="fig-c"><img alt="A dot." src="../_images/c.png" /><figcaption><p>Fig. 1 A dot.</p>
</figcaption></figure>
<p>See <a class="reference internal" href="#thm-a">Theorem</a>,
 <a class="reference internal" href="#equation-b">Eq.</a>,
 <a class="reference internal" href="#fig-c">Fig.</a>
 and <a class="reference internal" href="#second">there</a>.</p></section></section>
"""
GLOSSARY = """
<section id="glossary"><h1>Glossary</h1><dl class="glossary"><dt id="term-law">law</dt><dd><p>A law.
</p></dd><dt id="term-code">code</dt><dt id="term-latent">latent</dt><dd><p>A hidden
<a class="reference internal" href="chapters/one.html#fig-c">cause</a>.</p></dd></dl></section>
"""
ARTICLES = {
    "chapters/one": BeautifulSoup(CHAPTER, "html.parser"),
    "glossary": BeautifulSoup(GLOSSARY, "html.parser"),
}
TITLES = {"chapters/one": "1 First", "glossary": "Glossary"}


@pytest.mark.parametrize(
    ("tex", "said"),
    [
        (r"\log p(x \mid z)", "log p(x | z)"),
        (r"\sigma^2 = 0.2", "σ² = 0.2"),
        (r"\operatorname{KL}(q \,\|\, p)", "KL(q ‖ p)"),
        (r"\mathcal{L}_{5000}", "L₅₀₀₀"),
        (r"\tfrac12 \log 2\pi", "1/2 log 2π"),
        (r"\begin{aligned} a &= b \end{aligned}", "…"),
    ],
)
def test_a_formula_in_a_line(tex, said):
    assert rendered.in_line(tex) == said


def test_a_section_has_its_own_text_and_no_code():
    (first, title, text), (second, _, below) = passages.sections(ARTICLES["chapters/one"])
    assert (first["id"], title, text) == ("first", "1 First", "It is log p(x | z) of a code.")
    assert second["id"] == "second"
    assert below.startswith("All is well.")
    assert "secret" not in text + below


def test_names_that_share_a_definition_are_one_entry():
    assert list(passages.entries(ARTICLES["glossary"])) == [
        ("term-law", ["law"], "A law."),
        ("term-code", ["code", "latent"], "A hidden cause."),
    ]


def test_only_what_is_linked_and_known_has_a_preview():
    found = previews.previews(ARTICLES, TITLES)
    assert found.keys() == {
        "chapters/one.html#thm-a",
        "chapters/one.html#equation-b",
        "chapters/one.html#fig-c",
        "glossary.html#term-code",
    }
    everything = "".join(found.values())
    assert " id=" not in everything
    assert "<a " not in everything
    assert found["glossary.html#term-code"].startswith("<dl><dt>code</dt><dt>latent</dt><dd>")
    assert 'data-source="_images/c.png"' in found["chapters/one.html#fig-c"]
    assert r"\[a = b\]" in found["chapters/one.html#equation-b"]


def test_making_previews_leaves_the_pages_as_they_were():
    before = str(ARTICLES["chapters/one"])
    previews.previews(ARTICLES, TITLES)
    assert str(ARTICLES["chapters/one"]) == before


@pytest.fixture(scope="module")
def engine():
    """The search's functions in V8, without a page."""
    v8 = MiniRacer()
    v8.eval("globalThis.window = globalThis;" + SEARCH.read_text("utf-8"))
    return v8


def call(engine, name, *arguments):
    script = f"JSON.stringify(VAE_SEARCH.{name}(...{json.dumps(arguments)}))"
    return json.loads(engine.eval(script))


def found(engine, rows, query):
    """The titles that a search of a few passages finds, the best first."""
    every = [["page", "", title, also, text, weight] for title, also, text, weight in rows]
    places = f"VAE_SEARCH.find({json.dumps(query)}, VAE_SEARCH.index({json.dumps(every)}))"
    return [rows[place][0] for place in json.loads(engine.eval(f"JSON.stringify({places})"))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Sum or mean?", ["sum", "or", "mean"]),
        ("What is 0.18215?", ["what", "is", "0.18215"]),
        ("β-VAE", ["beta", "vae"]),
        ("kl_to_standard_normal", ["kl", "to", "standard", "normal"]),
        ("Kullback–Leibler, Jöreskog", ["kullback", "leibler", "joreskog"]),
        ("bfloat16 2π", ["bfloat16", "2", "pi"]),
    ],
)
def test_words(engine, text, words):
    assert call(engine, "words", text) == words


ROWS = [
    ("Dice", [], "A die is thrown, and thrown again, and its mean is taken.", 1),
    ("Sum or mean?", ["reduction"], "Sum over the pixels.", 1),
    ("Blurry samples", [], "A mean of sharp images is not sharp.", 1),
    ("Elsewhere", [], "One may blur an image. The sum, or mean, of 0.18 is another.", 1),
    ("Numbers", [], "It was 0.1866 or 0.18215.", 1),
]


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("sum or mean", ["Sum or mean?", "Elsewhere"]),  # the phrase in the title, in the text
        ("reduction", ["Sum or mean?"]),  # what people also type
        ("blur", ["Blurry samples", "Elsewhere"]),  # in a title, if in another form
        ("0.18215", ["Numbers"]),  # and not the other numbers that begin so
        ("thro", ["Dice"]),  # while one types
        ("blurry xyzzy", ["Blurry samples"]),  # a word that the book does not have
        ("xyzzy", []),
        ("", []),
    ],
)
def test_what_is_found(engine, query, titles):
    seen = found(engine, ROWS, query)
    assert seen[: len(titles)] == titles if titles else seen == []


def test_every_title_is_found_first_under_its_own_words(engine):
    for title, *_ in ROWS:
        assert found(engine, ROWS, title)[0] == title


def test_a_page_that_weighs_more_comes_first(engine):
    rows = [("A", [], "A bound.", 1.0), ("B", [], "A bound.", 2.0)]
    assert found(engine, rows, "bound") == ["B", "A"]


def test_an_excerpt_begins_with_the_sentence_that_says_more(engine):
    text = "First this. Then a bound and its gap. " + "More words follow. " * 20
    shown = call(engine, "excerpt", "A bound", text, ["bound", "gap"])
    assert shown.startswith("Then a bound and its gap.")
    assert len(shown) <= 280
    assert call(engine, "excerpt", "Gap", "One. Two gap.", ["gap"]) == "One. Two gap."
    assert re.search(r"…$", call(engine, "excerpt", "x", "word " * 200, ["word"]))
