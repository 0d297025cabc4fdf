"""A Sphinx extension: the eleven formulas that carry the book, vae1 to vae11.

Each shows its name, and not a number: beside the formula, and where a page refers to it. Every
chapter begins with a strip of all eleven, those lit that it derives, and with the time that it
takes to read.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import equations
import listing
from docutils import nodes
from docutils.nodes import make_id
from sphinx.application import Sphinx
from sphinx.domains.math import MathDomain
from sphinx.transforms.post_transforms import SphinxPostTransform

FORMULAS = {
    "vae1": "aim",
    "vae2": "any q",
    "vae3": "split",
    "vae4": "Bayes",
    "vae5": "core identity",
    "vae6": "prior",
    "vae7": "four maps",
    "vae8": "bound",
    "vae9": "substitute",
    "vae10": "loss",
    "vae11": "reparameterize",
}
ANCHORS = {make_id(f"equation-{label}"): label for label in FORMULAS}

WORDS_A_MINUTE = 200
LINES_A_MINUTE = 12  # of code
UNSEEN = {"hide-cell", "hide-input", "remove-cell", "remove-input"}  # tags of cells
FOLD = re.compile(r"^(`{3,}|:{3,})\{(?:dropdown|solution)\}.*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
GATE = re.compile(
    r"^```+\{(solution|answer)-(start|end)\}([^\n]*)\n(?:[^`\n][^\n]*\n|\n)*```+[ \t]*$",
    re.MULTILINE,
)
NOT_PROSE = re.compile(r"\$\$.*?\$\$|\$[^$]*\$|^:[\w-]+:.*?$|\{[\w:-]+\}", re.MULTILINE | re.DOTALL)
WORD = re.compile(r"[^\W\d_][\w'’-]*")


class NamedEquations(MathDomain):
    """Mathematics as Sphinx has it, but a reference to one of the eleven reads as its name."""

    def resolve_xref(self, env, here, builder, kind, target, node, content):
        """The link to an equation."""
        link = super().resolve_xref(env, here, builder, kind, target, node, content)
        if link is not None and target in FORMULAS:
            link.children = []
            link += nodes.Text(target)
        return link


def name_numbers(app: Sphinx, builder) -> None:
    """Put the names in the place of the numbers: for this build, the kept ones stay as they are."""
    for numbers in app.env.toc_fignumbers.values():
        shown = numbers.get("displaymath", {})
        shown |= {anchor: (label,) for anchor, label in ANCHORS.items() if anchor in shown}


def unfolded(cells: Sequence[dict]) -> Iterator[tuple[str, str]]:
    """What a reader sees of a notebook with all folds closed: kind of cell and text.

    What happened after a prediction counts: it is folded for a moment only.
    """
    closed = False
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            seen, position = "", 0
            for gate in GATE.finditer(text):
                seen += "" if closed else text[position : gate.start()]
                position = gate.end()
                kind, end, title = gate[1], gate[2], gate[3].strip()
                closed = end == "start" and (kind == "solution" or title.startswith("Deeper"))
            seen += "" if closed else text[position:]
            yield "markdown", FOLD.sub("", seen)
        elif not closed and not UNSEEN & {*cell["metadata"].get("tags", ())}:
            yield "code", text


def minutes(notebook: Path) -> int:
    """How long a page takes to read, in steps of five minutes."""
    prose = lines = 0
    for kind, text in unfolded(json.loads(notebook.read_text("utf-8"))["cells"]):
        if kind == "markdown":
            prose += len(WORD.findall(NOT_PROSE.sub(" ", text)))
        else:
            lines += sum(bool(line.strip()) for line in text.splitlines())
    return max(5, 5 * round((prose / WORDS_A_MINUTE + lines / LINES_A_MINUTE) / 5))


def runs(labels: Sequence[str]) -> str:
    """Labels in words: three and more in a row as "vae2 to vae5"."""
    order, found = list(FORMULAS), []
    for label in sorted(labels, key=order.index):
        place = order.index(label)
        if found and place == found[-1][-1] + 1:
            found[-1].append(place)
        else:
            found.append([place])
    said = []
    for run in found:
        names = [order[place] for place in run]
        said += [f"{names[0]} to {names[-1]}"] if len(names) > 2 else names
    return ", ".join(said[:-1]) + " and " + said[-1] if len(said) > 1 else "".join(said)


def summary(derived: Sequence[str], used: Sequence[str]) -> str:
    """What the strip says of a page."""
    if derived:
        return f"The eleven formulas: this page derives {runs(derived)}"
    return f"The eleven formulas: this page {f'uses {runs(used)}' if used else 'derives none'}"


def used(prose: str) -> list[str]:
    """The formulas that a page refers to."""
    return [label for label in FORMULAS if f"{{eq}}`{label}`" in prose]


def strip(links: dict[str, str], states: dict[str, str], said: str, time: int) -> str:
    """The strip as HTML: a chip a formula, linked where it is derived, and the time."""
    chips = []
    for label, word in FORMULAS.items():
        chip = f'<b>{label}</b> <span class="word">{word}</span>'
        current = ' aria-current="true"' if states[label] == "here" else ""
        if label in links:
            chip = f'<a href="{links[label]}"{current}>{chip}</a>'
        chips.append(f'<li class="{states[label]}">{chip}</li>')
    return (
        f'<nav class="spine" aria-label="{said}"><ol>{"".join(chips)}</ol></nav>\n'
        f'<p class="reading-time">about {time} minutes</p>\n'
    )


def derivations(ledger: equations.Ledger) -> dict[str, str]:
    """Where each of the eleven is derived: the stem of a chapter."""
    return {
        label: stem
        for stem, labels in ledger.equations.items()
        for label in labels
        if label in FORMULAS
    }


def state(place: str | None, here: str) -> str:
    """How a page shows a formula that `place` derives; the stems of chapters are in order."""
    if place == here:
        return "here"
    return "had" if place is not None and place < here else "later"


class Strip(SphinxPostTransform):
    """Puts the strip below the title of each chapter's page."""

    default_priority = 900
    formats = ("html",)

    def run(self) -> None:
        """Add the strip; an EPUB has no room for it."""
        folder, _, stem = self.env.docname.rpartition("/")
        path = Path(self.env.srcdir) / "chapters" / f"{stem}.ipynb"
        if folder != "chapters" or not path.exists() or self.app.builder.name == "epub":
            return
        places = self.env.spine
        states = {label: state(places.get(label), stem) for label in FORMULAS}
        derived = [label for label in FORMULAS if states[label] == "here"]
        uses = used(equations.prose(path))
        if not derived:
            states |= dict.fromkeys(uses, "used")
        shown = strip(self.links(places), states, summary(derived, uses), minutes(path))
        for section in list(self.document.findall(nodes.section))[:1]:
            section.insert(1, nodes.raw("", shown, format="html"))

    def links(self, places: dict[str, str]) -> dict[str, str]:
        """The address of each formula, from this page."""
        here, builder = self.env.docname, self.app.builder
        return {
            label: f"{builder.get_relative_uri(here, page)}#{make_id(f'equation-{label}')}"
            for label, stem in places.items()
            if (page := f"chapters/{stem}") in self.env.found_docs
        }


def read(app: Sphinx, env) -> list[str]:
    """Note where the formulas are derived; if that has changed, every chapter is written anew."""
    places = derivations(equations.read(listing.root_of(env)))
    changed = getattr(env, "spine", None) != places
    env.spine = places
    return [name for name in env.found_docs if changed and name.startswith("chapters/")]


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.add_domain(NamedEquations, override=True)
    app.add_post_transform(Strip)
    app.connect("env-updated", read)
    app.connect("write-started", name_numbers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
