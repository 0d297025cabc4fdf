"""The boxes "What can go wrong": all named, listed on one page, short, their numbers printed."""

import json
import re
from pathlib import Path

import pytest
from equations import prose

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "book" / "chapters").glob("*.ipynb"))
BOX = r"^```\{admonition\} What can go wrong\n:class: warning\n(?::name: ([\w-]+)\n)?(.*?)^```$"
BOXES = [
    (path, name, said)
    for path in CHAPTERS
    for name, said in re.findall(BOX, prose(path), re.M | re.S)
]
QUESTIONS = 25  # that readers ask most


def printed(path: Path) -> str:
    """All that the cells of a chapter print."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "\n".join("".join(output.get("text", [])) for output in outputs)


def test_every_box_is_named_and_none_is_missed():
    names = [name for _, name, _ in BOXES]
    assert all(name.startswith("wrong-") for name in names), names
    assert len(set(names)) == len(names)
    pages = "\n".join(prose(path) for path in CHAPTERS)
    assert pages.count("What can go wrong") == len(names)


def rows() -> list[list[str]]:
    """The rows of both tables of the page: what is seen, the answer, a number, and the link."""
    page = (ROOT / "book" / "mistakes.md").read_text("utf-8")
    blocks = re.findall(r"^\* - (.*(?:\n  - .*)+)", page, re.M)
    found = [block.split("\n  - ") for block in blocks]
    return [row[-4:] for row in found if not row[-1].startswith("Where")]


def test_the_page_lists_all_questions_and_all_boxes():
    page = (ROOT / "book" / "mistakes.md").read_text("utf-8")
    numbers = [int(number) for number in re.findall(r"^\* - (\d+)$", page, re.M)]
    assert numbers == list(range(1, QUESTIONS + 1))
    labels = [re.fullmatch(r"\{ref\}`[^`<]+ <([\w-]+)>`", row[3])[1] for row in rows()]
    assert set(labels) == {name for _, name, _ in BOXES}
    assert len(set(labels[QUESTIONS:])) == len(labels[QUESTIONS:])


def test_an_answer_is_one_sentence():
    for _, said, _, _ in rows():
        assert said.endswith(".")
        assert not re.search(r"[.!?] [A-Z]", said), said


def test_a_number_of_the_table_is_printed_where_its_link_leads():
    pages = {name: path for path, name, _ in BOXES}
    for _, _, number, link in rows():
        path = pages[re.search(r"<([\w-]+)>", link)[1]]
        for value in re.findall(r"\d+\.\d+", number):
            assert value in printed(path), f"{value} is printed nowhere in {path.stem}"


@pytest.mark.parametrize(("path", "name", "said"), BOXES, ids=[name for _, name, _ in BOXES])
def test_a_box_is_short_and_its_numbers_are_printed_on_its_page(path, name, said):
    words = re.sub(r"\[[^\]]*\]\([^)]*\)|\$[^$]*\$", "x", said)
    assert 15 <= len(words.split()) <= 95, len(words.split())
    for number in re.findall(r"\d+\.\d+", said):
        assert number in printed(path), f"{number} is printed nowhere in {path.stem}"
