"""The built HTML as files: which pages there are, what they hold, what they point to."""

import gzip
import os
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
HTML = Path(os.environ.get("VAE_TUTORIAL_HTML", ROOT / "_build" / "html")).resolve()


def pages() -> list[str]:
    """Every page a reader can open, as a path below the book's folder."""
    found = (path.relative_to(HTML) for path in HTML.rglob("*.html"))
    return sorted(str(path) for path in found if not path.parts[0].startswith("_"))


class Markup(HTMLParser):
    """What one page's text holds: its identifiers, its formulas, its live figures."""

    def __init__(self, page: str):
        super().__init__()
        self.identifiers: set[str] = set()
        self.formulas = 0
        self.live_figures: list[str] = []
        self.feed((HTML / page).read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count what starts here."""
        found = dict(attrs)
        classes = (found.get("class") or "").split()
        self.identifiers |= {found[name] for name in ("id", "name") if found.get(name)}
        self.formulas += "math" in classes and tag in ("span", "div")
        if tag == "figure" and "live" in classes:
            self.live_figures.append(found["id"] or "")


@cache
def markup(page: str) -> Markup:
    """A page's markup, read once."""
    return Markup(page)


def broken(link: str) -> str | None:
    """What is wrong with a `file://` link into the book, or None."""
    parts = urlsplit(link)
    target = Path(unquote(parts.path))
    if not target.is_relative_to(HTML):
        return f"{link} leads out of the book"
    if not target.is_file():
        return f"{link}: no such file"
    fragment, _, _ = unquote(parts.fragment).partition("&")  # the setting of a live figure
    if fragment and target.suffix == ".html":
        page = str(target.relative_to(HTML))
        if fragment not in markup(page).identifiers:
            return f"{page} has no element with the identifier {fragment}"
    return None


@cache
def weight(path: Path) -> tuple[int, int]:
    """Bytes of a file on disk, and compressed as a server would send it."""
    content = path.read_bytes()
    return len(content), len(gzip.compress(content, 6))
