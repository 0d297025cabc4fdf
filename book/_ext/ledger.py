"""A Sphinx extension: the directive `ledger`, and a warning for each gap in what it shows.

It stands in a document of the book, the tables vae1 to vae11 first, then one a chapter, and below
them the source of every function that they name. Warnings are errors of a build under -W.
"""

from pathlib import Path

import equations
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

TABLE = """## {title}

:::{{list-table}}
:header-rows: 1
:widths: 28 72

* - Equation
  - Room and function, ✓ tests
{rows}:::

"""
SOURCE = """
({target})=
:::{{dropdown}} {room} `{thing}`
```{{literalinclude}} /../{path}
:pyobject: {thing}
```
:::
"""


def target(name: str) -> str:
    """Where the page shows a function's source; Sphinx wants small letters."""
    return f"source-{name.replace('.', '-').lower()}"


def parted(name: str, files: dict[str, Path]) -> tuple[str, str]:
    """A dotted name as its room and the thing in it; a room of a wing has dots of its own."""
    room = max((room for room in files if name.startswith(f"{room}.")), key=len)
    return room, name.removeprefix(f"{room}.")


def row(label: str, ledger: equations.Ledger, files: dict[str, Path]) -> str:
    """One equation's line: where it stands, its functions, its tests in words."""
    lines = []
    for name in ledger.claims.get(label, []):
        room, thing = parted(name, files)
        lines.append(f"{room} [`{thing}`](#{target(name)})")
    for test in ledger.tests:
        if label in test.labels:
            words = test.name.removeprefix("test_").replace("_", " ")
            lines.append(f"✓ {words}, `{test.file}`")
    return f"* - {{eq}}`{label}`<br>`{label}`\n  - {'<br>'.join(lines)}\n"


def page(ledger: equations.Ledger, root: Path) -> str:
    """The whole ledger of the repository `root` as MyST text."""
    files = equations.rooms(root)
    labels = [label for found in ledger.equations.values() for label in found]
    spine = [label for label in labels if label.startswith("vae")]
    parts = {"The derivation": sorted(spine, key=lambda label: int(label.removeprefix("vae")))}
    for chapter, found in ledger.equations.items():
        parts[ledger.titles[chapter]] = [label for label in found if label not in spine]
    text = ""
    for title, found in parts.items():
        rows = "".join(row(label, ledger, files) for label in found)
        text += TABLE.format(title=title, rows=rows) if found else ""
    names = {name for label in labels for name in ledger.claims.get(label, [])}
    text += "## The functions\n"
    for name in sorted(names):
        room, thing = parted(name, files)
        path = files[room].relative_to(root).as_posix()
        text += SOURCE.format(target=target(name), room=room, path=path, thing=thing)
    return text


class LedgerDirective(SphinxDirective):
    """Shows the ledger where it stands, and warns of each of its gaps."""

    def run(self) -> list[nodes.Node]:
        root = Path(self.env.srcdir).parent
        ledger = equations.read(root)
        for problem in equations.problems(ledger):
            logging.getLogger(__name__).warning(problem, location=self.get_location())
        self.env.metadata[self.env.docname]["ledger"] = "always read afresh"
        return self.parse_text_to_nodes(page(ledger, root), allow_section_headings=True)


def outdated(app: Sphinx, env, added: set, changed: set, removed: set) -> list[str]:
    """The ledger's page is read in every build: what it shows can change while it does not."""
    return [name for name, metadata in env.metadata.items() if "ledger" in metadata]


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.add_directive("ledger", LedgerDirective)
    app.connect("env-get-outdated", outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
