"""Finish the EPUB that Sphinx has built: `python press/epub.py`, after `make epub` has built it.

An EPUB is read without scripts, so each formula becomes MathML here, with its TeX source as the
alternative text. Scripts go, and folded solutions open.
"""

import io
import sys
import unicodedata
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path
from typing import NamedTuple

from bs4 import BeautifulSoup, NavigableString
from chromium import blank_page

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "_build" / "epub" / "vae-checked.epub"
FINISHED = ROOT / "_build" / "vae-checked.epub"
MATHJAX = ROOT / "book" / "_extra" / "mathjax" / "tex-svg.js"
PACKAGE = "http://www.idpf.org/2007/opf"  # the namespace of content.opf
DELIMITERS = {("\\(", "\\)"): False, ("\\[", "\\]"): True}  # of TeX: whether it is displayed
LEFT_OUT = (".js", "book.css", "live.css")  # scripts, and styles of the web pages alone
NEEDLESS = "script, svg"  # the SVG are arrows on boxes
HIDDEN_CODE = 'summary[aria-label="Toggle hidden content"]'
REPEATED = ("exercise-content", "solution-content", "proof-content", "proof")  # ids, on every box
VARIANT = "mi[mathvariant=script], mi[mathvariant=double-struck]"
STYLE = """
.highlight, .highlight pre { background: #f3f4f5; }
mtable[columnalign^="right left"] > mtr > mtd:nth-child(odd) { text-align: right; }
mtable[columnalign^="right left"] > mtr > mtd:nth-child(even) { text-align: left; }
div.math { overflow-x: auto; } span.eqno { float: right; }
pre { white-space: pre-wrap; font-size: 0.8em; } img { max-width: 100%; }
"""


class Formula(NamedTuple):
    """TeX source, and whether it stands on lines of its own."""

    tex: str
    display: bool


def parsed(text: str) -> BeautifulSoup:
    """Markup as a tree; attributes stay as they are written."""
    return BeautifulSoup(text, "html.parser", multi_valued_attributes=None)


def formulas(page: BeautifulSoup) -> list[tuple[NavigableString, Formula]]:
    """The formulas of a page, and where in its text each one stands."""
    found = []
    for element in page.select(".math"):
        for text in element.find_all(string=True, recursive=False):
            words = text.strip()
            for (start, end), display in DELIMITERS.items():
                if words.startswith(start) and words.endswith(end):
                    tex = words.removeprefix(start).removesuffix(end)
                    found.append((text, Formula(tex, display)))
    return found


def letter(kind: str, plain: str) -> str:
    """The one character for a script or double-struck capital: few readers know `mathvariant`."""
    name = f"{kind.upper()} CAPITAL {plain}"
    try:
        return unicodedata.lookup(f"MATHEMATICAL {name}")
    except KeyError:  # Unicode had some of them, such as ℝ, before the others
        return unicodedata.lookup(name)


def mathml(wanted: list[Formula]) -> dict[Formula, str]:
    """Each formula as MathML, made by the MathJax that the web pages use."""
    with blank_page() as page:
        page.add_script_tag(path=MATHJAX)
        page.evaluate("MathJax.startup.promise.then(() => 0)")
        call = "all => all.map(([tex, display]) => MathJax.tex2mml(tex, {display}))"
        made = dict(zip(wanted, page.evaluate(call, wanted), strict=True))
    for formula, found in made.items():
        if "<merror" in found:
            raise ValueError(f"MathJax cannot read {formula.tex!r}")
    return made


def typeset(formula: Formula, made: str) -> BeautifulSoup:
    """A formula's MathML as a tree, its TeX as the alternative text, its letters as characters."""
    tree = parsed(made)
    tree.math["alttext"] = " ".join(formula.tex.split())
    for capital in tree.select(VARIANT):
        if len(capital.get_text()) == 1 and capital.get_text().isupper():
            character = letter(capital["mathvariant"], capital.get_text())
            capital.attrs.clear()
            capital.string = character
    return tree


def finish(page: BeautifulSoup, made: dict[Formula, str], styles: set[str]) -> None:
    """Put MathML for TeX, open the boxes, drop scripts, and styles that are not among `styles`."""
    for text, formula in formulas(page):
        text.replace_with(typeset(formula, made[formula]))
    for link in page.select("link[rel=stylesheet]"):
        if Path(link["href"]).name not in styles:
            link.decompose()
    for box in page.find_all("details"):
        box["open"] = "open"
    for element in page.find_all(id=REPEATED):
        del element["id"]
    for summary in page.select(HIDDEN_CODE):
        summary.attrs.clear()
        summary.string = "Code"
    for element in page.select(NEEDLESS):
        element.decompose()
    style = page.new_tag("style")
    style.string = STYLE
    page.head.append(style)


def manifest(data: bytes, pages: set[str]) -> bytes:
    """The list of files without those left out, and with a word on each page that holds MathML."""
    for prefix, address in {"": PACKAGE, "dc": "http://purl.org/dc/elements/1.1/"}.items():
        ElementTree.register_namespace(prefix, address)
    package = ElementTree.parse(io.BytesIO(data))
    items = package.find(f"{{{PACKAGE}}}manifest")
    for item in list(items):
        if item.get("href").endswith(LEFT_OUT):
            items.remove(item)
        elif item.get("href") in pages:
            item.set("properties", f"{item.get('properties', '')} mathml".strip())
    written = io.BytesIO()
    package.write(written, encoding="utf-8", xml_declaration=True)
    return written.getvalue()


def main() -> None:
    """Read Sphinx's file, write the finished one beside the PDF."""
    if not BUILT.exists():
        sys.exit(f"{BUILT} is not there: run `make epub`")
    with zipfile.ZipFile(BUILT) as built:
        names = [name for name in built.namelist() if not name.endswith(LEFT_OUT)]
        files = {name: built.read(name) for name in names}
    pages = {name: parsed(files[name].decode()) for name in files if name.endswith(".xhtml")}
    found = {name: {formula for _, formula in formulas(page)} for name, page in pages.items()}
    made = mathml(sorted(set().union(*found.values())))
    holders = {name for name, inside in found.items() if inside}
    styles = {Path(name).name for name in files}
    for name, page in pages.items():
        finish(page, made, styles)
        files[name] = str(page).encode()
    files["content.opf"] = manifest(files["content.opf"], holders)
    with zipfile.ZipFile(FINISHED, "w") as book:
        for name, data in files.items():
            kind = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            book.writestr(zipfile.ZipInfo(name), data, kind)
    print(f"{FINISHED}: {len(pages)} pages, {len(made)} formulas as MathML")


if __name__ == "__main__":
    main()
