"""Write the tables that follow from the map in vae_tutorial/__init__.py: `make map`.

README's table of chapters, CONTRIBUTING's table of rooms, the contract on imports in pyproject.toml
and the reference in the book's list of pages. Each stands between two marks. Then the pages of the
reference, a line each. A second run changes no file.
"""

import ast
import json
import re
from pathlib import Path

import vae_tutorial
from vae_tutorial import CHAPTERS, FLOORS, WINGS

ROOT = Path(__file__).parents[1]


def modules(room: str) -> list[Path]:
    """The files of a room, named with dots inside a wing: one, or all those of a wing."""
    path = ROOT / "vae_tutorial" / room.replace(".", "/")
    if path.is_dir():
        return sorted(path.glob("*.py"))
    return [path.with_suffix(".py")]


def sentence(room: str) -> str:
    """The first sentence of a room's docstring."""
    path = next((p for p in modules(room) if p.name == "__init__.py"), modules(room)[0])
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def title(stem: str) -> str:
    """The title of a chapter, as its notebook gives it."""
    cells = json.loads((ROOT / "book" / "chapters" / f"{stem}.ipynb").read_text("utf-8"))["cells"]
    return "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")


def chapters() -> str:
    """README's table: each chapter, what it is about, and the rooms that it opens."""
    rows = ["| chapter | in one line | rooms |", "|---|---|---|"]
    for stem, chapter in CHAPTERS.items():
        link = f"[{title(stem)}](book/chapters/{stem}.ipynb)"
        line = chapter.line.replace("|", "\\|")
        rooms = ", ".join(f"`{room}`" for room in (chapter.name, *chapter.also))
        rows.append(f"| {link} | {line} | {rooms} |")
    return "\n".join(rows)


def rooms() -> str:
    """CONTRIBUTING's table: every room with its sentence, from the ground floor up."""
    rows = ["| floor | room | what happens there |", "|---|---|---|"]
    for number, floor in enumerate(reversed(FLOORS)):
        for room in floor:
            rows.append(f"| {number} | `{room}` | {sentence(room).replace('|', chr(92) + '|')} |")
            for inner in (name for part in reversed(WINGS.get(room, ())) for name in part):
                text = sentence(f"{room}.{inner}").replace("|", "\\|")
                rows.append(f"| | `{room}.{inner}` | {text} |")
    return "\n".join(rows)


def contracts() -> str:
    """The layers of the whole package and of each wing, in the words of import-linter."""
    written = []
    for container, floors in (("vae_tutorial", FLOORS), *WINGS.items()):
        wing = container != "vae_tutorial"
        full = f"vae_tutorial.{container}" if wing else container
        lines = ",\n".join(f'  "{" | ".join(floor)}"' for floor in floors)
        written.append(
            "[[tool.importlinter.contracts]]\n"
            f'name = "{full}: each room imports only the rooms below it"\n'
            'type = "layers"\n'
            f'containers = ["{full}"]\n'
            "exhaustive = true\n"
            f"layers = [\n{lines},\n]"
        )
    return "\n\n".join(written)


def placed() -> list[str]:
    """Every room that a page of the reference shows, from the ground floor up, wings behind."""
    found = []
    for room in (room for floor in reversed(FLOORS) for room in floor if room != "__main__"):
        inner = (name for part in reversed(WINGS.get(room, ())) for name in part)
        found += [room, *(f"{room}.{name}" for name in inner)]
    return found


def page(room: str) -> str:
    """The page of a room in the reference, below the book's folder and without its ending."""
    return f"reference/{room.replace('.', '/')}"


def reference() -> str:
    """The pages of the reference, as `_toc.yml` lists them."""
    return "\n".join(f"          - file: {page(room)}" for room in placed())


def reference_pages() -> dict[str, str]:
    """The text of each page of the reference: its file below the book's folder → the text."""
    return {f"{page(room)}.md": STUB.format(room=room) for room in placed()}


STUB = """\
# `{room}`

```{{room}} {room}
```
"""
TABLES = {  # file → the marks around a table, and what makes it
    "README.md": ("<!-- the chapters -->", "<!-- end of the chapters -->", chapters),
    "CONTRIBUTING.md": ("<!-- the rooms -->", "<!-- end of the rooms -->", rooms),
    "pyproject.toml": ("# the contracts, by `make map`", "# end of the contracts", contracts),
    "book/_toc.yml": ("          # the reference, by `make map`", "          # its end", reference),
}


def written(name: str) -> str:
    """The whole text of a file, with its table as the map has it."""
    begin, end, make = TABLES[name]
    text = (ROOT / name).read_text("utf-8")
    pattern = re.compile(f"{re.escape(begin)}\n.*{re.escape(end)}", re.DOTALL)
    table = f"{begin}\n{make()}\n{end}"
    changed, count = pattern.subn(lambda _: table, text)
    if count != 1:
        raise ValueError(f"{name} needs the marks {begin!r} and {end!r} once, found {count}")
    return changed


if __name__ == "__main__":
    assert Path(vae_tutorial.__file__).is_relative_to(ROOT), "another copy is installed"
    for name in TABLES:
        (ROOT / name).write_text(written(name), "utf-8")
    for name, text in reference_pages().items():
        path = ROOT / "book" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
