"""What a reader feels of the book's style, as medians: `make style`. A report; nothing fails by it.

Cells and paragraphs a chapter, functions a room. The figures to hold them against are in
CONTRIBUTING.
"""

import ast
import json
import re
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
HIDDEN = {"remove-cell", "remove-input", "hide-input"}


def cells(path: Path) -> list[dict]:
    """The cells of a notebook that a reader sees."""
    found = json.loads(path.read_text("utf-8"))["cells"]
    return [cell for cell in found if not HIDDEN & set(cell["metadata"].get("tags", []))]


def words(cell: dict) -> int:
    """The words of a cell of prose, without its formulas."""
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$", " ", "".join(cell["source"]), flags=re.DOTALL)
    return len(re.findall(r"[^\W\d_][\w'’-]*", text))


def lines(cell: dict) -> int:
    """The lines of a cell of code that are not empty."""
    return sum(bool(line.strip()) for line in "".join(cell["source"]).splitlines())


def functions(path: Path) -> list[int]:
    """How many lines each function of a file has."""
    tree = ast.parse(path.read_text("utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [node.end_lineno - node.lineno + 1 for node in found]


def spread(values: list[int]) -> str:
    """The median and the largest of some counts."""
    return f"{median(values):>5.0f} {max(values):>5}" if values else "    –     –"


def main() -> None:
    """Print one line a chapter and one line a room."""
    print(f"{'chapter':<28}{'words a prose cell':>20}{'lines a code cell':>20}")
    print(f"{'':<28}{'median  most':>20}{'median  most':>20}")
    for path in sorted((ROOT / "book" / "chapters").glob("*.ipynb")):
        shown = cells(path)
        prose = [words(cell) for cell in shown if cell["cell_type"] == "markdown"]
        code = [lines(cell) for cell in shown if cell["cell_type"] == "code"]
        print(f"{path.stem:<28}{spread(prose):>20}{spread(code):>20}")
    print(f"\n{'room':<40}{'lines a function, median  most':>32}")
    for path in sorted((ROOT / "vae_tutorial").rglob("*.py")):
        name = path.relative_to(ROOT / "vae_tutorial").as_posix()
        print(f"{name:<40}{spread(functions(path)):>32}")


if __name__ == "__main__":
    main()
