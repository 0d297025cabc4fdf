"""A Sphinx extension: what each page tells a search engine, a shared link, and the browser.

`descriptions.yml` says each page in a sentence or two; those of the reference follow from the
sources. A page without a description, a description
without a page, and one too short or too long to be shown are warnings: errors of a build under -W.
Each page also tells the browser to load nothing from another site.
"""

from html import escape, unescape
from pathlib import Path
from urllib.parse import urljoin

import listing
import sources
import yaml
from sphinx.application import Sphinx
from sphinx.util import logging

SHORTEST, LONGEST = 50, 160  # characters, as search results show them
# A page loads from its own site, or from its own disk, and from nowhere else, whatever the theme or
# MathJax should come to ask for. Scripts and styles stand in the pages too: the theme writes many.
POLICY = "default-src 'self' file: data: blob: 'unsafe-inline'"
ICON = "_static/favicon.png"  # for what reads no SVG
CARD = "_static/card.png"
CARD_SAYS = "The cover of the book: a bound below log p(x), and the hatched gap between them."


def problems(descriptions: dict[str, str], pages: set[str]) -> list[str]:
    """What is wrong with the descriptions, one sentence each, naming the page."""
    found = [f"{page} has no line in descriptions.yml" for page in pages - descriptions.keys()]
    found += [f"descriptions.yml has {page}: no such page" for page in descriptions.keys() - pages]
    seen: dict[str, str] = {}
    for page, text in descriptions.items():
        if not SHORTEST <= len(text) <= LONGEST:
            found.append(f"{page}: {len(text)} characters, not {SHORTEST} to {LONGEST}")
        if text in seen:
            found.append(f"{page} has the description of {seen[text]}")
        seen[text] = page
    return sorted(found)


def tags(title: str, book: str, description: str, address: str, page: str) -> str:
    """The elements of a page's head; those that need the site's `address` only where it is."""
    shown = {
        "og:type": "website" if title == book else "article",
        "og:site_name": book,
        "og:title": title,
        "og:description": description,
        "twitter:card": "summary",
    }
    if address:
        card = {"og:image": urljoin(address, CARD), "og:image:alt": CARD_SAYS}
        size = {"og:image:width": "1200", "og:image:height": "630"}
        shown |= {"og:url": urljoin(address, page), "twitter:card": "summary_large_image"}
        shown |= card | size
    lines = [f'<meta name="description" content="{escape(description)}" />']
    for name, content in shown.items():
        kind = "name" if name.startswith("twitter:") else "property"
        lines.append(f'<meta {kind}="{name}" content="{escape(content)}" />')
    return "\n    ".join(["", *lines, ""])


def describe(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Give a page its description, its tags and the title that stands in its head."""
    book = app.config.html_title
    description = app.env.descriptions.get(pagename)
    if description:
        title = unescape(context["title"])
        context["head_title"] = title if title == book else f"{title} — {book}"
        address = app.config.html_baseurl
        context["metatags"] += tags(title, book, description, address, f"{pagename}.html")
    if app.builder.name == "html":
        policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}" />\n'
        context["metatags"] = policy + context.get("metatags", "")
    icon = context["pathto"](ICON, resource=True)
    link = f'<link rel="apple-touch-icon" href="{icon}" />\n'
    context["metatags"] = context.get("metatags", "") + link


def of_reference(root: Path) -> dict[str, str]:
    """The descriptions of the reference's pages, from the sentence that each module begins with."""
    return {
        listing.page_of(room): f"Reference, module {room}: {module.sentence}"
        for room, module in sources.read(root).items()
    }


def read(app: Sphinx) -> None:
    """Read the descriptions afresh in every build."""
    written = yaml.safe_load(Path(app.srcdir, "descriptions.yml").read_text(encoding="utf-8"))
    app.env.descriptions = written | of_reference(Path(app.srcdir).parent)


def compare(app: Sphinx, env) -> None:
    """Warn of each problem, once all pages are known."""
    for problem in problems(env.descriptions, set(env.found_docs)):
        logging.getLogger(__name__).warning(problem)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("builder-inited", read)
    app.connect("env-check-consistency", compare)
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
