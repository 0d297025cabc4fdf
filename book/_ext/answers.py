"""A prediction's answer, folded: what stands between `{answer-start}` and `{answer-end}`.

Both gates stand on their own in the running text, and cells of code may lie between them. The
words after `{answer-start}` are the title of the fold. A deeper run of cells is folded in the same
way, under its title. Where a page cannot fold, on paper or in an EPUB, the answer stands open.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

TITLE = "Show what happened"
logger = logging.getLogger(__name__)


class gate(nodes.Element):
    """The mark that a gate leaves, until the answer is gathered: `opens`, and the fold's title."""


class answer(nodes.Element):
    """What lies between two gates, with the title of its fold."""


class Start(SphinxDirective):
    """Open an answer: `{answer-start}`, or `{answer-start} Title`."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        title = self.arguments[0] if self.arguments else TITLE
        return [self._gate(opens=True, title=title)]

    def _gate(self, **fields: Any) -> gate:
        found = gate("", **fields)
        self.set_source_info(found)
        return found


class End(Start):
    """Close an answer: `{answer-end}`."""

    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        return [self._gate(opens=False, title="")]


def gather(app: Sphinx, doctree: nodes.document) -> None:
    """Move what lies between each pair of gates into one `answer`; a gate alone is a warning."""
    for start in [found for found in doctree.findall(gate) if found["opens"]]:
        siblings = start.parent.children
        first = siblings.index(start)
        later = [n for n in siblings[first + 1 :] if isinstance(n, gate)]
        if not later or later[0]["opens"]:
            logger.warning(
                "an answer is opened here and not closed before the next heading or answer",
                location=start,
            )
            start.parent.remove(start)
            continue
        last = siblings.index(later[0])
        folded = answer("", *siblings[first + 1 : last], title=start["title"])
        start.parent[first : last + 1] = [folded]
    for left in list(doctree.findall(gate)):
        logger.warning("an answer is closed here that was not opened", location=left)
        left.parent.remove(left)


def open_fold(self: Any, node: answer) -> None:
    title = self.encode(node["title"])
    kind = "answer" if node["title"] == TITLE else "answer deeper"
    self.body.append(f'<details class="{kind}"><summary>{title}</summary>\n')


def close_fold(self: Any, node: answer) -> None:
    self.body.append("</details>\n")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(answer, html=(open_fold, close_fold))
    app.add_node(gate)
    app.add_directive("answer-start", Start)
    app.add_directive("answer-end", End)
    app.connect("doctree-read", gather, priority=300)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
