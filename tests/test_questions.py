"""The page of questions: short answers with a reason, and numbers that a page prints."""

import re
from pathlib import Path

import pytest
from test_boxes import BOXES, printed

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book" / "questions.md").read_text("utf-8")
QUESTIONS = dict(section.split("\n", 1) for section in re.split(r"^## ", PAGE, flags=re.M)[1:])
TYPED = [  # each is in the title of a question or among the words that its `index` lists
    *("sum or mean", "reduction", "KL annealing", "warm-up", "negative loss", "NaN", "blurry"),
    *("posterior collapse", "how many latents", "sample or rsample", "0.18215", "beta"),
    *("free bits", "one draw", "mean or sample", "good reconstructions bad samples"),
    *("good value", "BCE on grey", "log-variance"),
]
each_question = pytest.mark.parametrize("title", QUESTIONS)


def parts(title: str) -> tuple[str, str, str]:
    """The words that lead to a question, its answer, and where to read on."""
    index, *paragraphs, links = re.split(r"\n\n+", QUESTIONS[title].strip())
    return index, " ".join(paragraphs), links


@each_question
def test_an_answer_is_short_and_has_a_reason(title):
    _, answer, links = parts(title)
    words = re.sub(r"\$[^$]*\$|\]\([^)]*\)|\{[\w:]+\}", "x", answer).split()
    sentences = re.split(r"(?<=[.?!])\s+(?=[A-Z*`$])", answer)
    assert 25 <= len(words) <= 130, len(words)
    assert 2 <= len(sentences) <= 7, sentences
    assert "because" in answer.lower()
    assert links.startswith("*")
    assert re.search(r"\{(doc|ref)\}", links)


@each_question
def test_a_number_is_printed_where_the_answer_leads(title):
    _, answer, links = parts(title)
    boxes = {name: path for path, name, _ in BOXES}
    leads = [boxes[name] for name in re.findall(r"<(wrong-[\w-]+)>", links)]
    leads += [
        ROOT / f"book/chapters/{stem}.ipynb" for stem in re.findall(r"chapters/([\w-]+)", links)
    ]
    for number in re.findall(r"\d+\.\d+", re.sub(r"\]\([^)]*\)", "", answer)):
        if title != "What is 0.18215?":  # whose number is another program's
            assert any(number in printed(path) for path in leads), number


def test_the_scale_of_codes_is_one_over_the_factor():
    _, answer, _ = parts("What is 0.18215?")
    (deviation,) = re.findall(r"about (\d+\.\d+)", answer)
    assert deviation == f"{1 / 0.18215:.2f}"


@pytest.mark.parametrize("typed", TYPED)
def test_what_people_type_is_among_the_words(typed):
    listed = [f"{title}, {parts(title)[0]}".lower() for title in QUESTIONS]
    assert any(typed.lower() in words for words in listed)


@each_question
def test_every_question_lists_what_else_people_type(title):
    index, _, _ = parts(title)
    assert re.fullmatch(r"```\{index\} .+\n```", index)
