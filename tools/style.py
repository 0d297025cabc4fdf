"""What a reader feels of the book's style: `make style`. A report; nothing fails by it.

A chapter a line: words and lines of code, medians a cell, figures, and the minutes that what is not
folded takes at 200 words and 12 lines of code a minute. Then the functions of each room. What to
hold the medians against is in CONTRIBUTING. Another folder of notebooks may be named.
"""

import ast
import json
import re
import sys
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
HIDDEN = {"remove-cell", "remove-input", "hide-input", "hide-cell"}
WORDS, LINES = 200, 12  # that are read in a minute
FOLDED = re.compile(
    r"^(?:(?P<fence>[`:]{3,})\{dropdown\}.*?^(?P=fence)$"
    r"|```\{solution-start\}.*?```\{solution-end\}"
    r"|```\{answer-start\} .*?```\{answer-end\})",
    re.MULTILINE | re.DOTALL,
)
CODE = re.compile(r"\x02(\d+)\x03")  # where a cell of code stands among the prose


class Chapter(NamedTuple):
    """Counts of one notebook: all words and lines, a cell each, and those that are not folded."""

    words: list[int]
    lines: list[int]
    figures: int
    minutes: float


def words(prose: str) -> int:
    """The words of prose, without its formulas and the names of its directives."""
    text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|\{[\w:+-]+\}", " ", prose, flags=re.DOTALL)
    return len(re.findall(r"[^\W\d_][\w'’-]*", text))


def lines(code: str) -> int:
    """The lines of code that are not empty."""
    return sum(bool(line.strip()) for line in code.splitlines())


def chapter(path: Path) -> Chapter:
    """Count what a reader sees of a notebook."""
    prose, code, figures, text = [], [], 0, ""
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(cell["source"])
        tags = set(cell["metadata"].get("tags", []))
        figures += any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
        if cell["cell_type"] == "markdown":
            figures += len(re.findall(r"^[`:]{3,}\{(?:live|framework|figure)\}", source, re.M))
            prose.append(words(source))
            text += source + "\n"
        elif not HIDDEN & tags:
            code.append(lines(source))
            text += f"\x02{code[-1]}\x03\n"
    read = FOLDED.sub("", text)
    shown = sum(int(count) for count in CODE.findall(read))
    minutes = words(CODE.sub("", read)) / WORDS + shown / LINES
    return Chapter([count for count in prose if count], code, figures, minutes)


def functions(path: Path) -> list[int]:
    """How many lines each function of a file has."""
    tree = ast.parse(path.read_text("utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [node.end_lineno - node.lineno + 1 for node in found]


def spread(values: list[int]) -> str:
    """The median and the largest of some counts."""
    return f"{median(values):>5.0f} {max(values):>5}" if values else "    –     –"


def main(folder: Path) -> None:
    """Print one line a chapter and one line a room."""
    print(f"{'chapter':<24} words  median  most  lines  median  most  figures  minutes")
    for path in sorted(folder.glob("*.ipynb")):
        found = chapter(path)
        prose = f"{sum(found.words):>5}  {spread(found.words):>12}"
        code = f"{sum(found.lines):>5}  {spread(found.lines):>12}"
        print(f"{path.stem:<24} {prose}  {code}  {found.figures:>7}  {found.minutes:>7.0f}")
    print(f"\n{'room':<40}{'lines a function, median  most':>32}")
    for path in sorted((ROOT / "vae_tutorial").rglob("*.py")):
        name = path.relative_to(ROOT / "vae_tutorial").as_posix()
        print(f"{name:<40}{spread(functions(path)):>32}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "book" / "chapters")
