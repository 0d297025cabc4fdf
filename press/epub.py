"""Finish the EPUB that Sphinx has built: `python press/epub.py`, after `make epub` has built it.

An EPUB is read without scripts, so each formula becomes MathML here, with its TeX source as the
alternative text. Scripts go, and folded solutions open.
"""

import html
import re
import sys
import unicodedata
import zipfile
from pathlib import Path

from chromium import blank_page

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "_build" / "epub" / "vae-checked.epub"
FINISHED = ROOT / "_build" / "vae-checked.epub"
MATHJAX = ROOT / "book" / "_extra" / "mathjax" / "tex-svg.js"
INLINE = re.compile(r'(<span class="math[^"]*">)\\\((.*?)\\\)(</span>)', re.S)
DISPLAY = re.compile(r"\\\[(.*?)\\\]", re.S)
NEEDLESS = re.compile(r"<script\b.*?</script>|<svg\b.*?</svg>", re.S)  # scripts, arrows on boxes
HIDDEN_CODE = re.compile(r'<summary aria-label="Toggle hidden content">.*?</summary>', re.S)
LEFT_OUT = re.compile(r"\.js$|(book|live)\.css$")  # scripts, and styles of the web pages alone
REPEATED = re.compile(r' id="((exercise|solution|proof)-content|proof)"')  # on every box
VARIANT = re.compile(r'<mi[^>]*mathvariant="(script|double-struck)"[^>]*>([A-Z])</mi>')
STYLE = """
.highlight, .highlight pre { background: #f3f4f5; }
mtable[columnalign^="right left"] > mtr > mtd:nth-child(odd) { text-align: right; }
mtable[columnalign^="right left"] > mtr > mtd:nth-child(even) { text-align: left; }
div.math { overflow-x: auto; } span.eqno { float: right; }
pre { white-space: pre-wrap; font-size: 0.8em; } img { max-width: 100%; }
"""


def formulas(text: str) -> set[tuple[str, bool]]:
    """The formulas of a page: TeX source, and whether it stands on lines of its own."""
    inline = {(html.unescape(tex), False) for _, tex, _ in INLINE.findall(text)}
    return inline | {(html.unescape(tex), True) for tex in DISPLAY.findall(text)}


def letter(kind: str, plain: str) -> str:
    """The one character for a script or double-struck capital: few readers know `mathvariant`."""
    name = f"{kind.upper()} CAPITAL {plain}"
    try:
        return unicodedata.lookup(f"MATHEMATICAL {name}")
    except KeyError:  # Unicode had some of them, such as ℝ, before the others
        return unicodedata.lookup(name)


def mathml(wanted: list[tuple[str, bool]]) -> dict[tuple[str, bool], str]:
    """Each formula as MathML, made by the MathJax that the web pages use."""
    with blank_page() as page:
        page.add_script_tag(path=MATHJAX)
        page.evaluate("MathJax.startup.promise.then(() => 0)")
        call = "all => all.map(([tex, display]) => MathJax.tex2mml(tex, {display}))"
        made = dict(zip(wanted, page.evaluate(call, wanted), strict=True))
    for (tex, _), found in made.items():
        if "<merror" in found:
            raise ValueError(f"MathJax cannot read {tex!r}")
    return {
        formula: VARIANT.sub(lambda m: f"<mi>{letter(m[1], m[2])}</mi>", found)
        for formula, found in made.items()
    }


def finished(text: str, made: dict[tuple[str, bool], str], styles: set[str]) -> str:
    """A page with MathML for TeX, open boxes, no scripts, and only the `styles` that are there."""

    def put(tex: str, display: bool) -> str:
        source = html.unescape(tex)
        words = html.escape(" ".join(source.split()))
        return made[source, display].replace("<math ", f'<math alttext="{words}" ', 1)

    def keep(link: re.Match) -> str:
        return link[0] if Path(link[1]).name in styles else ""

    text = re.sub(r'<link rel="stylesheet"[^>]*href="([^"]*)"[^>]*/>', keep, text)
    text = INLINE.sub(lambda m: m[1] + put(m[2], False) + m[3], text)
    text = DISPLAY.sub(lambda m: put(m[1], True), text)
    text = re.sub(r"<details\b(?![^>]*\bopen\b)", '<details open="open"', text)
    text = REPEATED.sub("", text)
    text = HIDDEN_CODE.sub("<summary>Code</summary>", text.replace("<br>", "<br />"))
    return NEEDLESS.sub("", text).replace("</head>", f"<style>{STYLE}</style></head>", 1)


def manifest(text: str, pages: set[str]) -> str:
    """The list of files without those left out, and with a word on each page that holds MathML."""
    items = re.findall(r'\s*<item [^>]*href="([^"]*)"[^>]*/>', text)
    for left in filter(LEFT_OUT.search, items):
        text = re.sub(rf'\s*<item [^>]*href="{re.escape(left)}"[^>]*/>', "", text)
    for page in pages:
        text = text.replace(f'href="{page}" media', f'href="{page}" properties="mathml" media')
    return text


def main() -> None:
    """Read Sphinx's file, write the finished one beside the PDF."""
    if not BUILT.exists():
        sys.exit(f"{BUILT} is not there: run `make epub`")
    with zipfile.ZipFile(BUILT) as built:
        files = {name: built.read(name) for name in built.namelist() if not LEFT_OUT.search(name)}
    pages = {name: data.decode() for name, data in files.items() if name.endswith(".xhtml")}
    found = {name: formulas(text) for name, text in pages.items()}
    made = mathml(sorted(set().union(*found.values())))
    holders = {name for name, inside in found.items() if inside}
    styles = {Path(name).name for name in files}
    files |= {name: finished(text, made, styles).encode() for name, text in pages.items()}
    files["content.opf"] = manifest(files["content.opf"].decode(), holders).encode()
    with zipfile.ZipFile(FINISHED, "w") as book:
        for name, data in files.items():
            kind = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            book.writestr(zipfile.ZipInfo(name), data, kind)
    print(f"{FINISHED}: {len(pages)} pages, {len(made)} formulas as MathML")


if __name__ == "__main__":
    main()
