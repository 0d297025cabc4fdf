"""A Sphinx extension: the directive `ledger`, and a warning for each gap in what it shows.

It is one table, a row an equation: vae1 to vae11 first, then the others in the order of the book.
Beside every numbered equation of a chapter a small link leads to its row. Warnings are errors of a
build under -W.
"""

import equations
import listing
import reference
from docutils import nodes
from listing import name_link, tag
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from spine import FORMULAS

PAGE = "ledger"
FILTER = "../assets/filter.js"
HEADINGS = {"Equation": 28, "Function, ✓ tests": 72}  # columns with their share of the width


def order(ledger: equations.Ledger) -> list[tuple[str, str]]:
    """Every equation as its label and its chapter's stem, in the order of the table."""
    found = [(label, stem) for stem, labels in ledger.equations.items() for label in labels]
    eleven = [pair for label in FORMULAS for pair in found if pair[0] == label]
    return eleven + [pair for pair in found if pair[0] not in FORMULAS]


def cell(*lines: nodes.Node) -> nodes.entry:
    """A cell of several lines."""
    return nodes.entry("", *lines)


def row(label: str, stem: str, ledger: equations.Ledger) -> nodes.row:
    """One equation's line: where it stands, its functions, its tests in words."""
    link = listing.equation(label)
    chapter = reference.document(f"chapters/{stem}", ledger.titles[stem])
    named = [] if label in FORMULAS else [nodes.Text(" "), nodes.literal("", label)]
    place = [
        nodes.paragraph("", "", link, *named),
        nodes.paragraph("", "", chapter, classes=["ledger-chapter"]),
    ]
    found = []
    for name in ledger.claims.get(label, []):
        found.append(nodes.paragraph("", "", name_link(name, nodes.literal("", name))))
    for test in ledger.tests:
        if label in test.labels:
            said = f"✓ {reference.in_words(test.name)}, "
            found.append(nodes.paragraph("", said, nodes.literal("", test.file)))
    return nodes.row("", cell(*place), cell(*found), ids=[anchor(label)])


def anchor(label: str) -> str:
    """Where the page shows an equation."""
    return f"row-{label}"


def table(ledger: equations.Ledger) -> nodes.table:
    """The whole ledger."""
    group = nodes.tgroup("", cols=len(HEADINGS))
    group += [nodes.colspec("", colwidth=width) for width in HEADINGS.values()]
    heads = [cell(nodes.paragraph("", words)) for words in HEADINGS]
    group += nodes.thead("", nodes.row("", *heads))
    group += nodes.tbody("", *(row(*pair, ledger) for pair in order(ledger)))
    return nodes.table("", group, classes=["ledger", "colwidths-given"])


class LedgerDirective(SphinxDirective):
    """Shows the ledger where it stands, and warns of each of its gaps."""

    def run(self) -> list[nodes.Node]:
        root = listing.root_of(self.env)
        ledger = reference.ledger(root)
        for problem in equations.problems(ledger):
            logging.getLogger(__name__).warning(problem, location=self.get_location())
        self.env.metadata[self.env.docname]["ledger"] = "always read afresh"
        return [table(ledger)]


class LinkEquations(SphinxPostTransform):
    """Puts beside each numbered equation of a chapter a link to its row in the ledger."""

    default_priority = 400
    formats = ("html",)

    def run(self) -> None:
        """Wrap each equation and its link; an EPUB has no room for the link."""
        here, builder = self.env.docname, self.app.builder
        if here.startswith("chapters/") and PAGE in self.env.found_docs and builder.name != "epub":
            page = builder.get_relative_uri(here, PAGE)
            for formula in list(self.document.findall(nodes.math_block)):
                if formula.get("label"):
                    beside = to_row(formula["label"], page)
                    both = tag("div", formula.deepcopy(), beside, classes="numbered")
                    formula.parent.replace(formula, both)  # replace_self would double the id


def to_row(label: str, page: str) -> nodes.paragraph:
    """A tick that leads to an equation's row in the ledger, named for a screen reader."""
    words = nodes.inline("", f" {label} in the ledger", classes=["visually-hidden"])
    link = nodes.reference("", "", nodes.Text("✓"), words, internal=True)
    link["refuri"] = f"{page}#{anchor(label)}"
    return nodes.paragraph("", "", link, classes=["to-ledger"])


def outdated(app: Sphinx, env, added: set, changed: set, removed: set) -> list[str]:
    """The ledger's page is read in every build: what it shows can change while it does not."""
    return [name for name, metadata in env.metadata.items() if "ledger" in metadata]


def add_filter(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """The script that filters the table, on its page alone."""
    if "ledger" in app.env.metadata.get(page, {}):
        app.add_js_file(FILTER, loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.setup_extension("reference")
    app.add_directive("ledger", LedgerDirective)
    app.add_post_transform(LinkEquations)
    app.connect("env-get-outdated", outdated)
    app.connect("html-page-context", add_filter)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
