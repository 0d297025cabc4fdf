"""A Sphinx extension: what a link leads to, shown beside the link.

A term, a numbered equation, figure or theorem, a box "What can go wrong" and a cited work each have
a preview: their own markup in the finished pages, without links. Those that some page links to
stand in one script, `assets/previews-shown.js`, which `assets/previews.js` loads when a reader
first rests on a link, so that a page waits for none of them.
"""

import copy
import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from posixpath import dirname, normpath
from urllib.parse import unquote

import rendered
from bs4 import Tag
from sphinx.application import Sphinx

SHOWN = "assets/previews-shown.js"
BOXES = {"math", "proof", "admonition", "citation"}
NEEDLESS = ".headerlink, .to-ledger, button, script, source, svg"
KEPT = {"class", "alt"}  # of the attributes; an id would be given twice


def is_target(element: Tag) -> bool:
    """Whether it is a term, a figure, or a box that has a preview."""
    if element.name == "dt":
        return "glossary" in element.parent.get("class", ())
    return element.name == "figure" or (
        element.name == "div" and not BOXES.isdisjoint(element.get("class", ()))
    )


def targets(page: str, article: Tag) -> Iterator[tuple[str, Tag]]:
    """What can be previewed on a page, by its address from the book's folder."""
    for element in filter(is_target, article.find_all(id=True)):
        yield f"{page}.html#{element['id']}", element


def linked(page: str, article: Tag) -> Iterator[str]:
    """What a page links to inside the book, in the same form."""
    for link in article.find_all("a", href=lambda href: href and "#" in href):
        inside = {"reference", "internal"} <= set(link.get("class", ()))
        if not inside and not link.find_parent(class_="bibtex-citation"):
            continue
        path, _, anchor = link["href"].partition("#")
        name = normpath(f"{dirname(page)}/{path}".lstrip("/")) if path else f"{page}.html"
        yield f"{name}#{unquote(anchor)}"


def whole(element: Tag) -> list[Tag]:
    """What is shown of a target: of a term the names that share its definition, and that."""
    if element.name != "dt":
        return [element]
    shown = [element]
    for sibling in element.find_next_siblings(["dt", "dd"]):
        shown.append(sibling)
        if sibling.name == "dd":
            break
    return shown


def cleaned(element: Tag, page: str) -> str:
    """An element as a preview shows it: nothing to press, no identifier, a picture by its path."""
    shown = copy.copy(element)
    for needless in shown.select(NEEDLESS):
        needless.decompose()
    for tag in [shown, *shown.find_all(True)]:
        source = tag.get("src")
        tag.attrs = {name: value for name, value in tag.attrs.items() if name in KEPT}
        if source:
            tag["data-source"] = normpath(f"{dirname(page)}/{source}".lstrip("/"))
        if tag.name == "a":
            tag.name = "span"
    return str(shown)


def previews(articles: dict[str, Tag], titles: dict[str, str]) -> dict[str, str]:
    """The markup of every preview that some page needs, with the title of the page it stands on."""
    needed = {address for page, article in articles.items() for address in linked(page, article)}
    found = {}
    for page, article in articles.items():
        place = f'<p class="preview-place">{escape(titles[page])}</p>'
        for address, element in targets(page, article):
            if address in needed:
                shown = "".join(cleaned(part, page) for part in whole(element))
                found[address] = f"<dl>{shown}</dl>" if element.name == "dt" else shown + place
    return found


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write the previews, once all pages are finished."""
    if exception or app.builder.name != "html":
        return
    titles = {page: app.env.titles[page].astext() for page in app.env.found_docs}
    found = previews(rendered.articles(app), titles)
    shown = json.dumps(found, ensure_ascii=False, sort_keys=True)
    Path(app.outdir, SHOWN).write_text(f"window.VAE_PREVIEWS = {shown};\n", "utf-8")


def add_assets(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """The script and the style, on the pages of the book."""
    if doctree and app.builder.name == "html":
        app.add_css_file("../assets/previews.css")
        app.add_js_file("../assets/previews.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("html-page-context", add_assets)
    app.connect("build-finished", write, priority=rendered.LATE)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
