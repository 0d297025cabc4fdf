"""A Sphinx extension: what the search of the finished pages finds, section by section.

Sphinx's search knows whole pages, leaves out "or" and "what", and fetches the text below a result,
which no browser does from disk. So every section, term, reference and question is written here as
plain text into one script, which the search page alone loads; `assets/search.js` ranks them.
The entries of `{index}` say how else people type the question of a section.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import rendered
from bs4 import Tag
from sphinx.application import Sphinx

SCRIPT = "assets/passages.js"
WEIGHTS = {"questions": 2.0, "glossary": 1.5, "bibliography": 0.6, "reference": 0.6}  # of a page
HEADINGS = ["h1", "h2", "h3", "h4", "h5", "h6"]
APART = {*HEADINGS, "nav", "script", "style", "svg", "button"}
AUTHORS = re.compile(r"(?<! [A-Z])\. ")  # the end of their names, and no initial
NO_TEXT = {  # classes: code, what has entries of its own, and what says nothing alone
    *{"cell_input", "listing-code"},
    *{"glossary", "citation", "ledger"},
    *{"reading-time", "eqno"},
}


class Passage(NamedTuple):
    """One thing that can be found: where it stands, its title, other words for it, what it says."""

    page: str
    anchor: str
    title: str
    also: list[str]
    text: str
    weight: float


def is_no_prose(node: Tag) -> bool:
    """Whether a part of a section is left out of its text."""
    if node.name == "section":  # the text of a theorem stands in one too, without an identifier
        return node.has_attr("id")
    return node.name in APART or bool(NO_TEXT & {*node.get("class", ())})


def sections(article: Tag) -> Iterator[tuple[Tag, str, str]]:
    """Each section of a page, its title, and the text that stands in it and in none below it."""
    for section in article.find_all("section", id=True):
        heading = section.find(HEADINGS, recursive=False)
        parts = section.find_all(True, recursive=False)
        said = (rendered.plain(part, is_no_prose) for part in parts)
        yield section, rendered.plain(heading), " ".join(filter(None, said))


def entries(article: Tag) -> Iterator[tuple[str, list[str], str]]:
    """The anchor, the names and the text of each term of a glossary and each cited work."""
    for said in article.select("dl.glossary > dd"):
        names = []
        for name in said.find_previous_siblings(["dt", "dd"]):
            if name.name == "dd":
                break
            names.insert(0, name)
        yield names[0]["id"], [rendered.plain(name) for name in names], rendered.plain(said)
    for work in article.select("div.citation"):
        text = rendered.plain(work.p)
        yield work["id"], [AUTHORS.split(text)[0]], text


def typed(app: Sphinx, page: str, article: Tag) -> dict[str, list[str]]:
    """What people type, by the section in which an `{index}` says so."""
    found: dict[str, list[str]] = {}
    for _, words, anchor, *_ in app.env.get_domain("index").entries.get(page, ()):
        place = article.find(id=anchor) if anchor.startswith("index-") else None  # no term
        if place:
            found.setdefault(place.find_parent("section", id=True)["id"], []).append(words)
    return found


def passages(app: Sphinx, page: str, article: Tag) -> Iterator[Passage]:
    """All that can be found on one page."""
    weight = WEIGHTS.get(page.partition("/")[0], 1.0)
    also = typed(app, page, article)
    for section, title, text in sections(article):
        anchor = section["id"] if section.parent.name == "section" else ""
        yield Passage(page, anchor, title, also.get(section["id"], []), text, weight)
    for anchor, names, text in entries(article):
        yield Passage(page, anchor, names[0], names[1:], text, weight)


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write what can be found, once all pages are finished."""
    if exception or app.builder.name != "html":
        return
    articles = rendered.articles(app)
    found = [each for page, article in articles.items() for each in passages(app, page, article)]
    pages = {page: app.env.titles[page].astext() for page in articles}
    shown = json.dumps({"pages": pages, "passages": found}, ensure_ascii=False)
    Path(app.outdir, SCRIPT).write_text(f"window.VAE_PASSAGES = {shown};\n", "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("build-finished", write, priority=rendered.LATE)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
