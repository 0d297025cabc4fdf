"""The page for teachers: minutes that add up, links that lead to what they name, all problems."""

import inspect
import json
import re
from pathlib import Path

import pytest
from equations import prose

from vae_tutorial import problems

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book" / "teaching.md").read_text("utf-8")
CHAPTERS = {path.stem: prose(path) for path in (ROOT / "book" / "chapters").glob("*.ipynb")}
TABLE = re.compile(r"^\| minutes \|.*\n\|[-: |]+\|\n((?:\|.*\|\n)+)", re.M)
PLANS = [table[1].splitlines() for table in TABLE.finditer(PAGE)]
LINKS = re.findall(r"\{lecture\}`[^`<]+ <([\w-]+)#([\w-]+)(?:&[^>]*)?>`", PAGE)


def minutes(row: str) -> int:
    """The number in a row's first cell, plain or in bold."""
    return int(row.split("|")[1].strip().strip("*"))


def test_there_are_three_plans_of_eight_classes():
    headings = re.findall(r"^### Week (\d)", PAGE, re.M)
    assert headings == [str(week) for week in range(1, 7)]
    assert len(PLANS) == 2 + len(headings)


@pytest.mark.parametrize("plan", PLANS, ids=range(len(PLANS)))
def test_the_minutes_of_a_plan_add_up_to_what_its_heading_says(plan):
    *steps, total = plan
    assert sum(map(minutes, steps)) == minutes(total)
    before = PAGE[: PAGE.index(steps[0])]
    said = re.findall(r"(\d+) minutes|(three) hours", before)[-1]
    assert minutes(total) == (180 if said[1] else int(said[0]))


def test_every_question_to_ask_is_a_box_of_its_chapter():
    asked = [(page, place) for page, place in LINKS if place.startswith("predict-")]
    assert len(asked) >= 20
    for page, _ in asked:
        assert "{admonition} Predict" in CHAPTERS[page]


def test_a_link_to_a_live_figure_names_one():
    shown = [(page, place) for page, place in LINKS if place.startswith("fig-")]
    assert len(shown) >= 5
    for page, place in shown:
        assert re.search(rf"\{{live\}} [\w-]+\n:name: {place}\n", CHAPTERS[page]), place


def test_every_open_problem_and_its_checker_stand_in_the_table():
    rows = re.findall(r"^\| \{ref\}`(ex-\w+-open)` \| `problems\.(\w+)` \|$", PAGE, re.M)
    asked = {label: called(page) for page in CHAPTERS for label in labels(page)}
    assert dict(rows) == asked
    public = inspect.getmembers(problems, inspect.isfunction)
    own = {name for name, made in public if made.__module__ == problems.__name__}
    assert {name for _, name in rows} == {name for name in own if not name.startswith("_")}


def labels(page: str) -> list[str]:
    """The label of a chapter's open exercise."""
    return re.findall(r":label: (ex-\w+-open)", CHAPTERS[page])


def called(page: str) -> str:
    """The problem that a chapter's code asks for."""
    path = ROOT / "book" / "chapters" / f"{page}.ipynb"
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return re.search(r"problems\.(\w+)\(", code)[1]


def test_what_the_page_says_of_a_marked_answer_is_so(capsys):
    problems.bounds()
    assert capsys.readouterr().out.startswith("open: ")
    with pytest.raises(AssertionError):
        problems.bounds(lambda joint: (joint.sum(1) / joint.sum(), joint.sum(0) / joint.sum()))
