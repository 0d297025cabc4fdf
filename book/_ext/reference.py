"""A Sphinx extension: the reference, one page a room of the package, and an index by floors.

The directive `room` shows all that a module defines: signature, docstring, the chapters that call
it, the tests that check it, and the source as a fold. `rooms` lists the modules. The pages hold a
line each and are written from the map (`make map`).
"""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import equations
import listing
import sources
from docutils import nodes
from listing import fold, name_link, tag
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

OWNERS = "another run|autograd|bregman|library|numpy|scipy|scikit learn|torch|ring"
CAPITALS = "elbo|gpu|idx|json|kl|pca|vae"
PEOPLE = "adam|bernoulli|bregman|gauss|gaussian|hamiltonian|hermite|jensen|laplace|pareto|python"
SPELLINGS = {  # what the name of a test cannot spell
    rf"\b({OWNERS})s\b": r"\1’s",
    r"(\d)e (\d)": r"\1e−\2",
    r"\b(bound|chapter)s (gradients|variances)": r"\1’s \2",
    r"\bgauss (hermite|legendre)": lambda found: f"Gauss–{found[1].capitalize()}",
    r"\bnan\b": "NaN",
    r"\btex\b": "TeX",
    r"\bmathml\b": "MathML",
    rf"\b({CAPITALS})\b": lambda found: found[0].upper(),
    r"\bscipy\b": "SciPy",
    r"\bnumpy\b": "NumPy",
    r"\bscikit learn\b": "scikit-learn",
    rf"\b({PEOPLE})": lambda found: found[0].capitalize(),
}


def in_words(test: str) -> str:
    """The sentence that a test's name is."""
    sentence = test.removeprefix("test_").replace("_", " ")
    for wrong, right in SPELLINGS.items():
        sentence = re.sub(wrong, right, sentence)
    return sentence


@cache
def ledger(root: Path) -> equations.Ledger:
    """The ledger, read once a build."""
    return equations.read(root)


@cache
def callers(root: Path) -> dict[str, set[str]]:
    """What the code of each chapter names: the file's stem → "room.function"."""
    found = {}
    for path in sorted((root / "book" / "chapters").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        tree = ast.parse(code)
        imports = equations.imported(tree)
        found[path.stem] = {n for node in ast.walk(tree) for n in equations.named(node, imports)}
    return found


@cache
def own_tests(root: Path, room: str) -> list[equations.Marked]:
    """The tests in the room's own file, with what they reach."""
    path = root / "tests" / f"test_{room.rpartition('.')[2]}.py"
    if not path.exists():
        return []
    tree = ast.parse(path.read_text("utf-8"))
    tests = [node for name, node in equations.defined(tree).items() if name.startswith("test_")]
    return [
        equations.Marked(path.name, node.name, [], equations.reached(node, tree)) for node in tests
    ]


def checks(name: str, room: str, root: Path) -> list[tuple[str, str]]:
    """The tests that check a thing: of its room, and those marked with an equation it computes."""
    book = ledger(root)
    claimed = {label for label, names in book.claims.items() if name in names}
    marked = [test for test in book.tests if claimed & {*test.labels}]
    found = [t for t in (*own_tests(root, room), *marked) if equations.calls(t, name)]
    return sorted({(test.file, test.name) for test in found})


def chapter_links(name: str, root: Path) -> list[nodes.Node]:
    """Links to the chapters whose code names a thing, with commas between."""
    found: list[nodes.Node] = []
    for stem, names in callers(root).items():
        if name in names:
            found += [nodes.Text(", ")] if found else []
            found.append(document(f"chapters/{stem}", ledger(root).titles[stem]))
    return found


def document(page: str, words: str) -> addnodes.pending_xref:
    """A link to a page of the book."""
    options = {"refdomain": "std", "reftype": "doc", "reftarget": f"/{page}", "refwarn": True}
    shown = nodes.inline("", words)
    return addnodes.pending_xref("", shown, refexplicit=True, **options)


def facts(name: str, room: str, root: Path) -> Iterator[nodes.Node]:
    """Which chapters call a thing, and which tests name it, or build its class."""
    chapters = chapter_links(name, root)
    if chapters:
        yield nodes.paragraph("", "Called in ", *chapters, nodes.Text("."))
    tests = checks(name, room, root)
    if tests:
        items = []
        for file, test in tests:
            place = nodes.literal("", file)
            said = nodes.paragraph("", f"{in_words(test)}, ", place)
            items.append(nodes.list_item("", said))
        count = (
            "1 test names or builds it"
            if len(tests) == 1
            else f"{len(tests)} tests name or build it"
        )
        yield fold(count, nodes.bullet_list("", *items))


def entry(thing: str, room: str, root: Path) -> nodes.section:
    """A function, a class or a method: all that is known of it."""
    module, name = sources.read(root)[room], f"{room}.{thing}"
    definition = module.definitions[thing]
    said = ast.get_docstring(definition) or ""
    section = nodes.section("", nodes.title("", "", nodes.literal("", thing)), ids=[thing])
    section += listing.coloured(sources.signature(root, room, thing))
    section += listing.paragraphs(said, room, root)
    section += facts(name, room, root)
    if "." not in thing:  # the source of a method is a part of its class's
        section += fold("Source", listing.coloured(sources.code(root, room, thing)))
    return section


def plain_entry(things: list[str], room: str, root: Path) -> Iterator[nodes.Node]:
    """Named values, or functions for a module's own use: their sources, each with its anchor."""
    for thing in things:
        yield tag("div", listing.coloured(sources.code(root, room, thing)), anchor=thing)


def part(title: str, children: list[nodes.Node]) -> list[nodes.Node]:
    """A section with a title, unless it is empty."""
    name = nodes.make_id(title)
    return [nodes.section("", nodes.title("", title), *children, ids=[name])] if children else []


def room_page(room: str, root: Path) -> list[nodes.Node]:
    """All that the page of a room shows below its title."""
    module = sources.read(root)[room]
    names = [name for name in module.definitions if not name.startswith("_")]
    top = {name: entry(name, room, root) for name in names if "." not in name}
    for name in names:
        owner, _, method = name.rpartition(".")
        if method and owner:
            top[owner] += entry(name, room, root)
    private = [name for name in module.definitions if name.startswith("_") and "." not in name]
    path = module.path.relative_to(root).as_posix()
    found: list[nodes.Node] = [nodes.paragraph("", "", *listing.words(module.sentence, room, root))]
    found.append(nodes.paragraph("", "", nodes.literal("", path), classes=["listing-file"]))
    found += top.values()
    found += part("Named values and types", list(plain_entry([*module.constants], room, root)))
    found += part("For the module’s own use", list(plain_entry(private, room, root)))
    return found


class RoomDirective(SphinxDirective):
    """Shows a module of the package."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The page of the room, made again when a source, a test or a chapter changes."""
        root = listing.root_of(self.env)
        room = self.arguments[0]
        if room not in sources.read(root):
            raise self.error(f"the package has no module {room}")
        for pattern in ("vae_tutorial/**/*.py", "tests/*.py", "book/chapters/*.ipynb"):
            for path in root.glob(pattern):
                self.env.note_dependency(str(path))
        return room_page(room, root)


def floors(root: Path) -> list[list[str]]:
    """The rooms on each floor, from the ground up, the rooms of a wing behind it."""
    tree = ast.parse((root / "vae_tutorial" / "__init__.py").read_text("utf-8"))
    values = sources.constants(tree)
    upper, wings = (ast.literal_eval(values[name].value) for name in ("FLOORS", "WINGS"))
    found = []
    for floor in reversed(upper):
        found.append([])
        for room in floor:
            inner = [name for part in reversed(wings.get(room, ())) for name in part]
            found[-1] += [room, *(f"{room}.{name}" for name in inner)]
    return found


class RoomsDirective(SphinxDirective):
    """Lists every module of the package by floors, each with its sentence."""

    def run(self) -> list[nodes.Node]:
        """A list a floor; what has no page, such as the command line's door, is left out."""
        root = listing.root_of(self.env)
        package, found = sources.read(root), []
        self.env.note_dependency(str(root / "vae_tutorial" / "__init__.py"))
        for number, floor in enumerate(floors(root)):
            items = []
            for room in filter(package.__contains__, floor):
                self.env.note_dependency(str(package[room].path))
                link = name_link(room, nodes.literal("", room))
                sentence = listing.words(package[room].sentence, room, root)
                said = nodes.paragraph("", "", link, nodes.Text(": "), *sentence)
                items.append(nodes.list_item("", said))
            found += part(f"Floor {number}", [nodes.bullet_list("", *items)] if items else [])
        return found


def forget(app: Sphinx) -> None:
    """Read everything afresh in every build."""
    for kept in (ledger, callers, own_tests):
        kept.cache_clear()


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.setup_extension("listing")
    app.add_directive("room", RoomDirective)
    app.add_directive("rooms", RoomsDirective)
    app.connect("builder-inited", forget)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
