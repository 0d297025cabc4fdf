"""A Sphinx extension: what the theme and its companions get wrong in the HTML, mended at the build.

The browser tests (`make test-browser`) see each of these: a label that hides a button's own words,
a role that the standard has withdrawn, an id given twice, a script for a service that this book
does not use. What is mended here and stands nowhere any more, because a new version of the theme
writes it in another way, is a warning: an error of a build under -W.
"""

import re
import time
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging

UNUSED = "sphinx_thebe"  # runs code on a remote kernel; defines its constants twice on a page

MENDED = {  # what stands in the HTML → what should
    # The words on the fold are its name (WCAG 2.5.3): "Show the code".
    '<summary aria-label="Toggle hidden content">': "<summary>",
    # The arrow in the sidebar that opens the pages below a page has no words.
    '<summary><span class="toctree-toggle"': (
        '<summary aria-label="Pages below"><span class="toctree-toggle"'
    ),
    # So are the words on the button: "Search", and the keys that do the same.
    'pst-js-only" title="Search" aria-label="Search"': 'pst-js-only" title="Search"',
    # An icon's title counts as words that the button shows; its name is "Color mode".
    ' title="Light"></i>': "></i>",
    ' title="Dark"></i>': "></i>",
    ' title="System Settings"></i>': "></i>",
    # The list that follows the reader's scrolling, by the name that it has here. Where none has the
    # name, every link of the page is watched, and one to the setting of a live figure is an error.
    'data-bs-target=".bd-toc-nav"': 'data-bs-target="#pst-page-toc-nav"',
    # ARIA 1.3 has no doc-biblioentry; the entries stand in a list.
    'role="doc-biblioentry"': 'role="listitem"',
    # The names that every proof, exercise and solution of a page share; an id is given once.
    'class="proof admonition" id="proof"': 'class="proof admonition unnumbered"',
    ' id="proof-content"': "",
    ' id="exercise-content"': "",
    ' id="solution-content"': "",
}
FORMULA = r'<span class="math notranslate nohighlight">[^<]*</span>'
TOUCHED = re.compile(rf"[(“]{FORMULA}[^\s<]*|{FORMULA}[^\s<]+")  # by a bracket or a stop


def drop_unused(app: Sphinx, config: Config) -> None:
    """Take Thebe, which Jupyter Book always loads, off every page."""
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            if listener.handler.__module__ == UNUSED:
                app.disconnect(listener.id)
    styles = app.registry.css_files
    styles[:] = [style for style in styles if style[0] != "sphinx-thebe.css"]


def follow_system_theme(app: Sphinx, page: str, template: str, context: dict, tree) -> None:
    """Start in the reader's own theme; left empty, the mode is an error in the console."""
    context["default_mode"] = "auto"


def note_the_time(app: Sphinx) -> None:
    """Remember when the build began, to know afterwards which pages it wrote."""
    app.accessible_since = time.time()


def written(app: Sphinx) -> list[Path]:
    """The pages that this build wrote; the others were mended when they were written."""
    pages = Path(app.outdir).rglob("*.html")
    return [page for page in pages if page.stat().st_mtime >= app.accessible_since]


def mended(text: str, counts: dict[str, int]) -> str:
    """A page's text as it should be; adds to the count of each thing that was mended."""
    for wrong, right in MENDED.items():
        counts[wrong] += text.count(wrong)
        text = text.replace(wrong, right)
    text, times = TOUCHED.subn(r'<span class="together">\g<0></span>', text)
    counts[TOUCHED.pattern] += times
    return text


def mend(app: Sphinx, exception: Exception | None) -> None:
    """Write the corrected markup into the pages of a finished HTML build, and see that it was."""
    if exception or app.builder.name != "html":
        return
    counts = dict.fromkeys([*MENDED, TOUCHED.pattern], 0)
    pages = written(app)
    for page in pages:
        page.write_text(mended(page.read_text("utf-8"), counts), "utf-8")
    documents = {Path(app.builder.get_outfilename(name)) for name in app.env.found_docs}
    if documents <= set(pages):  # of a part of the book, nothing follows
        for wrong in (wrong for wrong, times in counts.items() if times == 0):
            logging.getLogger(__name__).warning(f"no page has {wrong} to mend any more")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("config-inited", drop_unused)
    app.connect("builder-inited", note_the_time)
    app.connect("html-page-context", follow_system_theme)
    app.connect("build-finished", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
