"""What the sources say of each numbered equation: who computes it, who checks it, what is missing.

A chapter numbers an equation by the label in its closing line, `$$ (eq-kl)`; a public docstring of
the package claims it, `Book: eq-kl.`; a test is marked, `@pytest.mark.equation("eq-kl")`, and calls
a function that claims it. The sources are read and never imported, so that a build needs no torch.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

Definition = ast.FunctionDef | ast.ClassDef


class Marked(NamedTuple):
    """A marked test: where it stands, what it claims to check, and all names that it reaches."""

    file: str
    name: str
    labels: list[str]
    reached: set[str]  # "room.function", or ".attribute" of whatever object


class Ledger(NamedTuple):
    """What the sources say: nothing here is yet known to fit together."""

    titles: dict[str, str]  # chapter, by its file's stem → title
    equations: dict[str, list[str]]  # chapter → labels, in the order of the page
    claims: dict[str, list[str]]  # label → "room.function"
    tests: list[Marked]


def prose(chapter: Path) -> str:
    """The markdown of a notebook."""
    cells = json.loads(chapter.read_text("utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def equation_labels(prose: str) -> list[str]:
    """The labels that close formulas."""
    return re.findall(r"^\$\$ \(([\w-]+)\)$", prose, flags=re.MULTILINE)


def claimed_labels(docstring: str) -> list[str]:
    """The labels of a docstring's `Book: eq-a, eq-b.`, which may run over a line's end."""
    lists = re.findall(r"Book:\s+((?:[\w-]+,\s+)*[\w-]+)", docstring)
    return [label for found in lists for label in re.split(r",\s+", found)]


def public(owner: ast.Module | Definition, prefix: str) -> Iterator[tuple[str, Definition]]:
    """The public functions, classes and methods below `owner`, each with its dotted name."""
    for node in owner.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield f"{prefix}.{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{prefix}.{node.name}")


def rooms(root: Path) -> dict[str, Path]:
    """Every room of the package, with dots inside a wing, and its file."""
    package = root / "vae_tutorial"
    files = sorted(package.rglob("[!_]*.py")) + sorted(package.glob("*/__init__.py"))
    dotted = (".".join(path.relative_to(package).with_suffix("").parts) for path in files)
    return {name.removesuffix(".__init__"): path for name, path in zip(dotted, files, strict=True)}


def imported(tree: ast.Module) -> dict[str, str]:
    """What a file's imports from the package stand for: its name → "room.function", or "room"."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vae_tutorial"):
            room = node.module.removeprefix("vae_tutorial").removeprefix(".")
            for alias in node.names:
                found[alias.asname or alias.name] = f"{room}.{alias.name}".strip(".")
    return found


def defined(tree: ast.Module) -> dict[str, ast.stmt]:
    """What a file defines at its top: the name → its function, its class or its assignment."""
    found: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, Definition):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            names = [n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            found |= dict.fromkeys(names, node)
    return found


def named(node: ast.AST, imports: dict[str, str]) -> set[str]:
    """What one node names: "room.function", and ".attribute" of whatever object."""
    match node:
        case ast.Name(id=name):
            return {imports.get(name, "")}
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return {f".{name}", f"{imports.get(owner)}.{name}"}
        case ast.Attribute(attr=name):
            return {f".{name}"}
    return set()


def reached(start: ast.AST, tree: ast.Module) -> set[str]:
    """All that a part of a file names, itself or through the helpers of its file."""
    imports, helpers = imported(tree), defined(tree)
    found, seen, waiting = set(), {start}, [start]
    for root in waiting:  # the list grows while we walk it
        for node in ast.walk(root):
            found |= named(node, imports)
            helper = helpers.get(node.id) if isinstance(node, ast.Name) else None
            if helper and helper not in seen:
                seen.add(helper)
                waiting.append(helper)
    return found


def marks(node: ast.stmt) -> Iterator[list[str]]:
    """The labels in each marker of a definition."""
    for mark in getattr(node, "decorator_list", []):
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.equation":
            yield [ast.literal_eval(argument) for argument in mark.args]


def marked_tests(path: Path) -> list[Marked]:
    """The tests of a file that carry the marker, with what they reach through its helpers."""
    tree = ast.parse(path.read_text("utf-8"))
    return [
        Marked(path.name, node.name, labels, reached(node, tree))
        for node in defined(tree).values()
        for labels in marks(node)
    ]


def read(root: Path) -> Ledger:
    """The ledger of the book whose repository is `root`."""
    pages = sorted((root / "book" / "chapters").glob("*.ipynb"))
    chapters = {path.stem: prose(path) for path in pages}
    claims: dict[str, list[str]] = {}
    for room, path in rooms(root).items():
        for name, node in public(ast.parse(path.read_text("utf-8")), room):
            for label in claimed_labels(ast.get_docstring(node) or ""):
                claims.setdefault(label, []).append(name)
    tests = [test for path in sorted((root / "tests").glob("*.py")) for test in marked_tests(path)]
    titles = {stem: text.splitlines()[0].removeprefix("# ") for stem, text in chapters.items()}
    equations = {stem: equation_labels(text) for stem, text in chapters.items()}
    return Ledger(titles, equations, claims, tests)


def calls(test: Marked, function: str) -> bool:
    """Whether a test reaches a function; a method by its name, `forward` by its class."""
    owner, _, name = function.rpartition(".")
    is_method = owner.split(".")[-1][:1].isupper()
    if name == "forward":
        return owner in test.reached
    return (f".{name}" if is_method else function) in test.reached


def problems(ledger: Ledger) -> list[str]:
    """What keeps the ledger from being complete, one sentence each, naming the label."""
    found, numbered = [], {label for labels in ledger.equations.values() for label in labels}
    for chapter, labels in ledger.equations.items():
        for label in labels:
            if label not in ledger.claims:
                found.append(f"{label} of {chapter} has no function: no docstring claims it")
            if not any(label in test.labels for test in ledger.tests):
                found.append(f"{label} of {chapter} has no test: none is marked with it")
    for label in sorted(ledger.claims.keys() - numbered):
        found.append(f"{label}, claimed by {ledger.claims[label][0]}, is in no chapter")
    for test in ledger.tests:
        for label in test.labels:
            functions = ledger.claims.get(label, [])
            if label not in numbered:
                found.append(f"{label}, marked on {test.file}::{test.name}, is in no chapter")
            elif functions and not any(calls(test, function) for function in functions):
                names = ", ".join(functions)
                found.append(f"{label}: {test.file}::{test.name} is marked but calls no {names}")
    return found
