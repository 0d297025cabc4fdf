"""A Sphinx extension: what the finished pages would load and do not need is left out.

The theme brings Font Awesome twice, as a script of 1.5 MB and as fonts of 0.3 MB, for a dozen
icons: the script goes, and a font of the icons that a page or a style names goes into the style.
MathJax brings the outlines of every mathematical alphabet; those that no formula here asks for are
left out of the copy beside the pages, and a formula that does ask for one is a warning.
"""

import base64
import io
import logging
import re
import shutil
from pathlib import Path

import rendered
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

SCRIPT = re.compile(
    r"\s*<!-- So that users can add custom icons -->"
    r'\s*<script src="[^"]*/fontawesome\.js[^"]*"></script>'
)
STYLES = ("styles/pydata-sphinx-theme.css", "styles/sphinx-book-theme.css")
FONTS = "vendor/fontawesome/webfonts"
RULE = re.compile(r"((?:\.fa-[\w-]+:before,?)+)\{content:\"[^\"]+\"\}")
FACE = re.compile(r"@font-face\{[^}]*?(fa-[\w-]+)\.woff2[^}]*\}")
FAMILY = re.compile(r"Font Awesome\\? 6 (?:Free|Brands)")
PRIVATE = re.compile(r"\\([ef][0-9a-f]{3})|([\ue000-\uf8ff])")  # icons, escaped or as they are
NAME = "Book Icons"  # of what is left: the maker's name belongs to the whole font
NAMED = (1, 3, 4, 6, 16)  # the records of a font that name it
GLYPHS = (  # where the theme's style counts on the script to have put an SVG in an icon's place
    ".bd-search i.fa-solid.fa-magnifying-glass{position:static;color:inherit}"
    "#pst-search-dialog[open] form.bd-search i{font-size:var(--pst-font-size-icon)}"
    ".search-button-field>i.fa-magnifying-glass{display:inline-block}"
    ".bd-header-article .btn .fa-lg{font-size:1em}\n"
)
ICON = re.compile(r'<(i|span)(?: aria-hidden="true")? class="([^"]*\bfa-[^"]*)"')

ALPHABETS = {  # commands of TeX, the tables of their outlines, and their letters beyond U+1D400
    "mathscr|scr": ([], [(119964, 120067)]),
    "mathfrak|frak": (["fraktur", "frakturBold"], [(120068, 120119), (120172, 120223)]),
    "mathtt|texttt|tt|verb": (["monospace"], [(120432, 120483), (120822, 120831)]),
    "mathbfsf|mathsfit": (
        ["sansSerifBold", "sansSerifItalic", "sansSerifBoldItalic"],
        [(120276, 120431), (120662, 120777), (120812, 120821)],
    ),
    "oldstyle|mathbfcal": (["texOldstyle", "texOldstyleBold", "texCalligraphicBold"], []),
}
ENTRY = re.compile(r',(1(?:19[89]\d\d|20\d{3})):(?:"[^"]*"|\[[^\[\]]*\])')
CHANGED = (
    "/* MathJax 3.2.2, Apache License 2.0 (see LICENSE beside it), changed for this book:"
    " the outlines of some alphabets are left out. */\n"
)
MATHJAX = "mathjax/tex-svg.js"

logger = getLogger(__name__)
logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells every table that it keeps


def font(path: Path, icons: set[str]) -> bytes | None:
    """A web font of these icons alone; None where the font has none of them."""
    loaded = TTFont(path, recalcTimestamp=False)
    wanted = {ord(icon) for icon in icons} & loaded.getBestCmap().keys()
    if not wanted:
        return None
    subsetter = Subsetter(Options(name_IDs=["*"]))
    subsetter.populate(unicodes=wanted)
    subsetter.subset(loaded)
    for record in loaded["name"].names:
        if record.nameID in NAMED:
            record.string = NAME.replace(" ", "") if record.nameID == 6 else NAME
    loaded.flavor = "woff"
    loaded.save(written := io.BytesIO())
    return written.getvalue()


def lighter_style(text: str, used: set[str], fonts: Path) -> str:
    """A style without the rules of icons that no page uses; the others in a font inside it."""

    def rule(found: re.Match) -> str:
        return found[0] if used & {*re.findall(r"\.(fa-[\w-]+)", found[1])} else ""

    def face(found: re.Match) -> str:
        made = font(fonts / f"{found[1]}.ttf", icons)
        if made is None:
            return ""
        source = f"src:url(data:font/woff;base64,{base64.b64encode(made).decode()})"
        return re.sub(r"src:[^}]*", f'{source} format("woff")', found[0])

    text = RULE.sub(rule, text)
    icons = {chr(int(code, 16)) if code else plain for code, plain in PRIVATE.findall(text)}
    return FAMILY.sub(NAME, FACE.sub(face, text))


def lighter_mathjax(text: str) -> str:
    """MathJax without the outlines of the alphabets that no formula asks for."""
    ranges = [each for _, found in ALPHABETS.values() for each in found]

    def entry(found: re.Match) -> str:
        return "" if any(low <= int(found[1]) <= high for low, high in ranges) else found[0]

    text = ENTRY.sub(entry, text)
    for table in (each for tables, _ in ALPHABETS.values() for each in tables):
        start = rf"(e\.{table}=\(0,n\.AddPaths\)\(o\.{table},)"
        text = re.sub(start + r"\{[^{}]*\}", r"\1{}", text)
    return CHANGED + text


def asks_for(formulas: str) -> set[str]:
    """The commands in these formulas whose alphabets are left out."""
    return {*re.findall(rf"\\({'|'.join(ALPHABETS)})(?![a-zA-Z])", formulas)}


def lighten(app: Sphinx, exception: Exception | None) -> None:
    """Leave out of a finished HTML build what its pages do not need."""
    if exception or app.builder.name != "html":
        return
    lighten_styles(Path(app.outdir, "_static"), lighten_pages(Path(app.outdir)))
    for page, article in rendered.articles(app).items():
        formulas = " ".join(found.get_text() for found in article.select(".math"))
        for command in sorted(asks_for(formulas)):
            logger.warning(f"\\{command} needs an alphabet that light.py leaves out", location=page)
    mathjax = Path(app.outdir, MATHJAX)
    mathjax.write_text(lighter_mathjax(mathjax.read_text("utf-8")), "utf-8")


def lighten_pages(folder: Path) -> set[str]:
    """Take the script of icons off all pages; the classes of the icons that they use."""
    used = set()
    for path in folder.rglob("*.html"):
        text = path.read_text("utf-8")
        used |= {name for _, names in ICON.findall(text) for name in names.split()}
        lighter = SCRIPT.sub("", ICON.sub(r'<\1 aria-hidden="true" class="\2"', text))
        if "fontawesome.js" in lighter:
            logger.warning(f"{path.name} loads the script of icons in another way than it did")
        if lighter != text:
            path.write_text(lighter, "utf-8")
    return used


def lighten_styles(static: Path, used: set[str]) -> None:
    """Put the icons that are used into the styles, and remove what they came from."""
    for name in STYLES:
        style = static / name
        lighter = lighter_style(style.read_text("utf-8"), used, static / FONTS)
        style.write_text(lighter + (GLYPHS if name == STYLES[-1] else ""), "utf-8")
    shutil.rmtree(static / FONTS)
    for script in static.glob("scripts/fontawesome.js*"):
        script.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("build-finished", lighten, priority=rendered.LATE)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
