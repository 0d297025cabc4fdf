"""The package's sources as text to show: what a module defines, and which names its lines mention.

The sources are read and never imported, so that a build needs no torch. A thing of the package is
known by its full name, "room.function", "room.Class.method", "room.CONSTANT", or "room" alone.
"""

import ast
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import equations
from equations import Definition


class Mention(NamedTuple):
    """A place in a file that mentions a thing of the package."""

    line: int  # from 1
    column: int  # in characters, from 0
    length: int
    name: str


class Module(NamedTuple):
    """A room of the package: its text, what it defines, and what its names stand for."""

    room: str
    path: Path
    lines: list[str]
    sentence: str  # what happens there
    definitions: dict[str, Definition]  # "function", "Class" or "Class.method"
    constants: dict[str, ast.stmt]  # named values and types, each with its assignment
    meanings: dict[str, str]  # a name in this file → the full name that it was given elsewhere
    tree: ast.Module


Package = dict[str, Module]


def first_sentence(docstring: str) -> tuple[str, str]:
    """The first sentence of a docstring, and the rest with its paragraphs."""
    paragraph, _, rest = docstring.strip().partition("\n\n")
    words = paragraph.split()
    for count, (word, following) in enumerate(pairwise(words), 1):
        if word.endswith(".") and not word.endswith("..") and following[0].isupper():
            return " ".join(words[:count]), f"{' '.join(words[count:])}\n\n{rest}".strip()
    return " ".join(words), rest.strip()


def definitions(tree: ast.Module) -> dict[str, Definition]:
    """The functions and classes at the top of a file, and the public methods of the classes."""
    found: dict[str, Definition] = {}
    for node in tree.body:
        if isinstance(node, Definition):
            found[node.name] = node
            if isinstance(node, ast.ClassDef):
                found |= dict(equations.public(node, node.name))
    return found


def constants(tree: ast.Module) -> dict[str, ast.stmt]:
    """The values and types that a file names at its top, such as a tolerance."""
    found = {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        found |= {name: node for name in names if not name.startswith("__")}
    return found


@cache
def read(root: Path) -> Package:
    """Every room of the package whose repository is `root`."""
    package = {}
    for room, path in equations.rooms(root).items():
        text = path.read_text("utf-8")
        tree = ast.parse(text)
        sentence = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
        kept = definitions(tree), constants(tree), equations.imported(tree)
        package[room] = Module(room, path, text.splitlines(), sentence, *kept, tree)
    return package


def parted(name: str, package: Package) -> tuple[str, str]:
    """A full name as its room, which may have dots, and the thing in it, or two empty words."""
    rooms = [room for room in package if f"{name}.".startswith(f"{room}.")]
    room = max(rooms, key=len, default="")
    return room, name.removeprefix(room).removeprefix(".")


def known(name: str, package: Package) -> str:
    """The full name of what `name` leads to, through a room that passes it on; or nothing."""
    room, thing = parted(name, package)
    module = package.get(room)
    if not module or not thing or thing in module.definitions or thing in module.constants:
        return name if module else ""
    onward = module.meanings.get(thing, "")
    return known(onward, package) if onward != name else ""


def bound(function: ast.FunctionDef) -> set[str]:
    """The names that mean something else inside a function: arguments, variables, helpers."""
    inside = list(ast.walk(function))[1:]
    names = {node.arg for node in inside if isinstance(node, ast.arg)}
    names |= {node.name for node in inside if isinstance(node, Definition)}
    return names | {
        node.id for node in inside if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


class Mentions(ast.NodeVisitor):
    """Walks through a module and collects what it mentions."""

    def __init__(self, module: Module, package: Package):
        self.module, self.package = module, package
        self.found: list[Mention] = []
        self.hidden: list[set[str]] = []  # the names bound by the functions around, outermost first
        self.owner = ""  # the class around
        self.visit(module.tree)

    def meaning(self, node: ast.expr) -> str:
        """The full name of what an expression such as `room.function` stands for, or nothing."""
        if isinstance(node, ast.Attribute):
            owner = self.meaning(node.value)
            return known(f"{owner}.{node.attr}", self.package) if owner else ""
        if not isinstance(node, ast.Name):
            return ""
        if node.id == "self" and self.owner:
            return f"{self.module.room}.{self.owner}"
        if any(node.id in names for names in self.hidden):
            return ""
        own = f"{self.module.room}.{node.id}"
        return known(self.module.meanings.get(node.id, own), self.package)

    def add(self, node: ast.expr, word: str) -> None:
        """Note the last word of an expression, if it stands for a thing of the package."""
        name = self.meaning(node)
        if name and word != "self":
            line = self.module.lines[node.end_lineno - 1]
            end = len(line.encode()[: node.end_col_offset].decode())  # ast counts bytes
            self.found.append(Mention(node.end_lineno, end - len(word), len(word), name))

    def visit_Name(self, node: ast.Name) -> None:
        """A name by itself; where it is given its value, it is no mention."""
        if isinstance(node.ctx, ast.Load):
            self.add(node, node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A name behind a dot, and whatever stands before."""
        self.add(node, node.attr)
        self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Decorators, defaults and annotations see the names outside, the body those inside."""
        for part in (*node.decorator_list, node.args, node.returns):
            if part is not None:
                self.visit(part)
        self.hidden.append(bound(node))
        for statement in node.body:
            self.visit(statement)
        self.hidden.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Inside a class, `self` is an object of it."""
        around, self.owner = self.owner, node.name
        self.generic_visit(node)
        self.owner = around


@cache
def mentions(root: Path, room: str) -> list[Mention]:
    """All mentions in a room."""
    package = read(root)
    return sorted(Mentions(package[room], package).found)


class Excerpt(NamedTuple):
    """Lines of a file as a listing shows them, and what they mention, by place in the text."""

    text: str
    mentions: list[tuple[int, int, str]]  # start, end, full name; in order, none overlapping


def excerpt(root: Path, room: str, numbers: list[int], indent: int = 0) -> Excerpt:
    """The lines of a room with these numbers, less an indent, with their mentions."""
    lines, starts, length = [], {}, 0
    for number in numbers:
        line = read(root)[room].lines[number - 1]
        lines.append(line[indent:] if not line[:indent].strip() else line)
        starts[number] = length + len(lines[-1]) - len(line)
        length += len(lines[-1]) + 1
    places = [
        (starts[m.line] + m.column, starts[m.line] + m.column + m.length, m.name)
        for m in mentions(root, room)
        if m.line in starts
    ]
    return Excerpt("\n".join(lines), places)


def docstring_lines(node: Definition, module: Module) -> set[int]:
    """The numbers of the lines that a definition's docstring takes, with the blank one below."""
    if ast.get_docstring(node) is None or len(node.body) == 1:  # a body needs something in it
        return set()
    first, last = node.body[0].lineno, node.body[0].end_lineno
    below = last if module.lines[last].strip() else last + 1  # lines count from 0 there
    return set(range(first, below + 1))


def docstrings(node: Definition, name: str) -> dict[str, str]:
    """What a definition says, and what the public methods of a class say: name → docstring."""
    inside = equations.public(node, name) if isinstance(node, ast.ClassDef) else ()
    found = {thing: ast.get_docstring(part) for thing, part in [(name, node), *inside]}
    return {thing: said for thing, said in found.items() if said}


def code(root: Path, room: str, thing: str) -> Excerpt:
    """A definition without its docstring and those of its methods, or a constant's assignment."""
    module = read(root)[room]
    node = module.definitions.get(thing) or module.constants[thing]
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    inside = [part for part in ast.walk(node) if isinstance(part, Definition)]
    left_out = {number for part in inside for number in docstring_lines(part, module)}
    numbers = [n for n in range(first, node.end_lineno + 1) if n not in left_out]
    return excerpt(root, room, numbers, node.col_offset)


def signature(root: Path, room: str, thing: str) -> Excerpt:
    """The lines of a definition above its body, its decorators among them."""
    node = read(root)[room].definitions[thing]
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    last = max(node.lineno, node.body[0].lineno - 1)
    return excerpt(root, room, list(range(first, last + 1)), node.col_offset)
