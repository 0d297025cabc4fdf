"""Print the built HTML as one PDF: `python press/pdf.py`, after `make book`.

The articles of all pages are joined into one page, so that links between them stay links, and
Chromium prints it twice: the first time tells on which sheet of paper each page begins.
"""

import io
import re
import sys
from pathlib import Path

import yaml
from bs4 import BeautifulSoup, Tag
from chromium import blank_page
from pypdf import PdfReader, PdfWriter

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
JOINED, PDF = HTML / "joined.html", ROOT / "_build" / "vae-checked.pdf"
FOOT = '<p style="width: 100%; text-align: center; font: 8pt sans-serif" class="pageNumber"></p>'
FRAME = """<!DOCTYPE html>
<html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{title}</title>
{styles}<style>{own}</style><script defer src="mathjax/tex-svg.js"></script></head>
<body><header><p class="title">{title}</p><img src="_static/cover.png" alt="">
<p>{licence}</p></header><nav><h1>Contents</h1><ol>{contents}</ol></nav>{articles}</body></html>"""


def pages() -> list[str]:
    """The names of all pages in the order of the book; the reference is for the screen alone."""
    listed = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8"))
    named = [c["file"] for part in listed["parts"] for c in part["chapters"]]
    return [listed["root"]] + [page for page in named if not page.startswith("reference/")]


def configuration() -> dict:
    """What `_config.yml` says of the book: title, author, licence."""
    return yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))


def anchor(page: str, name: str = "") -> str:
    """An id that is the only one of its kind in the joined page."""
    return f"{page.replace('/', '-')}--{name or 'start'}"


def article(page: str, known: set[str]) -> Tag:
    """What a page says, with ids, links and pictures that hold in the joined page."""
    soup = BeautifulSoup((HTML / f"{page}.html").read_text("utf-8"), "html.parser")
    found = soup.find("article")
    folder = (HTML / page).parent
    for tag in found.select("script, a.headerlink, button"):
        tag.decompose()
    for tag in found.find_all(id=True):
        tag["id"] = anchor(page, tag["id"])
    for tag in found.find_all("details"):
        tag["open"] = ""
    for tag in found.find_all(src=True):
        tag["src"] = (folder / tag["src"]).resolve().relative_to(HTML).as_posix()
    for tag in found.find_all("a", href=True):
        if not re.match(r"[a-z]+:", tag["href"]):
            path, _, name = tag["href"].partition("#")
            place = (folder / path).resolve() if path else HTML / f"{page}.html"
            target = place.relative_to(HTML).with_suffix("").as_posix()
            if target in known:
                tag["href"] = f"#{anchor(target, name.partition('&')[0])}"
            else:
                tag.unwrap()
    found["id"] = anchor(page)
    return found


def contents(articles: dict[str, Tag], sheets: dict[str, int]) -> str:
    """The lines of the table of contents; sheets are unknown, and 0, the first time."""
    lines = ""
    for page, found in articles.items():
        title, sheet = found.find("h1").get_text(), sheets.get(anchor(page), 0)
        lines += f'<li><a href="#{anchor(page)}">{title}<span>{sheet}</span></a></li>'
    return lines


def printed(articles: dict[str, Tag], sheets: dict[str, int]) -> bytes:
    """The PDF of the joined page."""
    config = configuration()
    first = BeautifulSoup((HTML / "index.html").read_text("utf-8"), "html.parser")
    styles = "".join(map(str, first.find_all("link", rel="stylesheet")))
    styles += str(first.find("script", string=re.compile("window.MathJax")))  # what it typesets
    text = FRAME.format(
        title=config["title"],
        styles=styles,
        own=Path(__file__).with_name("paper.css").read_text("utf-8"),
        licence=config["html"]["extra_footer"],
        contents=contents(articles, sheets),
        articles="".join(map(str, articles.values())),
    )
    JOINED.write_text(text, "utf-8")
    with blank_page() as page:
        page.goto(JOINED.as_uri())
        page.evaluate("MathJax.startup.promise.then(() => document.fonts.ready).then(() => 0)")
        made = page.pdf(
            format="A4",
            display_header_footer=True,
            header_template="<p></p>",
            footer_template=FOOT,
            margin={"top": "18mm", "bottom": "20mm", "left": "20mm", "right": "20mm"},
            print_background=True,
            outline=True,
            tagged=True,
        )
    JOINED.unlink()
    return made


def main() -> None:
    """Join, print, number the contents, print again, and name the author."""
    if not (HTML / "index.html").exists():
        sys.exit(f"{HTML} has no pages: run `make book` first")
    known = pages()
    articles = {page: article(page, set(known)) for page in known}
    first = PdfReader(io.BytesIO(printed(articles, {})))
    places = first.named_destinations.items()
    sheets = {
        name.lstrip("/"): first.get_destination_page_number(place) + 1 for name, place in places
    }
    writer = PdfWriter(clone_from=io.BytesIO(printed(articles, sheets)))
    writer.add_metadata({"/Author": configuration()["author"]})
    writer.write(PDF)
    print(f"{PDF}: {len(writer.pages)} sheets")


if __name__ == "__main__":
    main()
