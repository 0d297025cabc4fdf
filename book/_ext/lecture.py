"""A Sphinx extension: lecture mode on every chapter, and links that open it.

Each chapter loads `assets/lecture.js` and has a button for it. Every box "Predict" gets an id from
its section, `predict-slide-q`, so that a teacher can be sent to it. The role
``{lecture}`words <04-bounds#predict-slide-q>` `` is such a link; after the id may follow the
setting of a live figure, `#fig-bounds-live&mean=1`. A target that is not there is a warning.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cache

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import ReferenceRole

FOLDER = "chapters/"
BUTTON = {
    "type": "javascript",
    "javascript": "VAE_LECTURE.toggle()",
    "tooltip": "Lecture mode (Alt+L)",
    "icon": "fas fa-chalkboard-user",
    "classes": "lecture-button pst-navbar-icon pst-js-only",
}


class lesson(nodes.Inline, nodes.TextElement):
    """A link into a lecture, until all pages are read: `target`, as it was written."""


class Lecture(ReferenceRole):
    """The role `lecture`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Note where the link leads."""
        found = lesson("", self.title, target=self.target)
        self.set_source_info(found)
        return [found], []


def name_predictions(app: Sphinx, doctree: nodes.document) -> None:
    """Give each box "Predict" of a chapter an id: its section's, counted if there are several."""
    if not app.env.docname.startswith(FOLDER):
        return
    seen: Counter[str] = Counter()
    for box in doctree.findall(nodes.admonition):
        if box.children and box[0].astext() == "Predict":
            section = next(above for above in ancestors(box) if isinstance(above, nodes.section))
            name = f"predict-{section['ids'][0]}"
            seen[name] += 1
            box["ids"].append(name if seen[name] == 1 else f"{name}-{seen[name]}")


def ancestors(node: nodes.Node) -> Iterator[nodes.Node]:
    """The nodes around a node, from the nearest."""
    while node.parent is not None:
        node = node.parent
        yield node


@cache
def names(env: BuildEnvironment, page: str) -> set[str]:
    """The ids of a page, read once a build; none if there is no such page."""
    if page not in env.found_docs:
        return set()
    return {name for node in env.get_doctree(page).findall(nodes.Element) for name in node["ids"]}


class Lead(SphinxPostTransform):
    """Makes links of the roles, once all pages are read."""

    default_priority = 5

    def run(self) -> None:
        """Replace each role by its link."""
        for found in list(self.document.findall(lesson)):
            page, _, place = found["target"].partition("#")
            name, _, setting = place.partition("&")
            if name not in names(self.env, FOLDER + page):
                logging.getLogger(__name__).warning(
                    f"lecture: nothing is called {name} in {FOLDER}{page}", location=found
                )
            address = self.app.builder.get_relative_uri(self.env.docname, FOLDER + page)
            shown = f"{address}#{name}"
            if self.app.builder.format == "html" and self.app.builder.name != "epub":
                shown = f"{address}?view=lecture#{name}{'&' if setting else ''}{setting}"
            link = nodes.reference("", "", *found.children, refuri=shown, internal=True)
            found.replace_self(link)


def add_mode(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """The button, the script and the style on a chapter's page."""
    if page.startswith(FOLDER) and doctree is not None:
        context["header_buttons"].append(BUTTON)
        app.add_css_file("../assets/lecture.css")
        app.add_js_file("../assets/lecture.js")  # before the text: a lecture opens as one


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.add_node(lesson)
    app.add_role("lecture", Lecture())
    app.add_post_transform(Lead)
    app.connect("doctree-read", name_predictions)
    app.connect("html-page-context", add_mode, priority=502)  # after the theme's own buttons
    return {"parallel_read_safe": True, "parallel_write_safe": True}
