"""The ledger's reading of small sources, its complaints, and the book's own ledger, complete."""

import json
import subprocess
import sys
from pathlib import Path

import equations
import pytest

ROOT = Path(__file__).parents[1]
EQUATION = "$$\na = b\n$$ (eq-a)"
MODULE = '''
def f(x):
    """Computes. Source: nobody. Book: eq-a."""
'''
TEST = """
import pytest
from vae_tutorial.room import f

@pytest.mark.equation("eq-a")
def test_f_is_known():
    assert f(1) == 2
"""
CONFIGURATION = """
extensions = ["myst_parser", "sphinx_design", "ledger"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
"""


@pytest.fixture
def book(tmp_path):
    """A function that writes a repository of one chapter, one module, one test file."""

    def write(prose=EQUATION, module=MODULE, test=TEST):
        cell = {"cell_type": "markdown", "source": f"# 1 One\n\n{prose}".splitlines(True)}
        files = {
            "book/chapters/01-one.ipynb": json.dumps({"cells": [cell]}),
            "vae_tutorial/room.py": module,
            "tests/test_room.py": test,
            "book/chapters/01-one.md": f"# 1 One\n\n{prose}\n",
            "book/ledger.md": "# Ledger\n\n```{ledger}\n```\n",
            "book/index.md": "# Book\n\n```{toctree}\nchapters/01-one\nledger\n```\n",
            "book/conf.py": CONFIGURATION,
        }
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return tmp_path

    return write


def problems(root):
    return equations.problems(equations.read(root))


def test_a_ledger_in_order(book):
    ledger = equations.read(book())
    assert equations.problems(ledger) == []
    assert ledger.titles == {"01-one": "1 One"}
    assert ledger.equations == {"01-one": ["eq-a"]}
    assert ledger.claims == {"eq-a": ["room.f"]}
    (test,) = ledger.tests
    assert (test.file, test.name, test.labels) == ("test_room.py", "test_f_is_known", ["eq-a"])


def test_an_equation_without_a_function_is_named(book):
    unclaimed = MODULE.replace("Book: eq-a.", "")
    assert problems(book(module=unclaimed)) == [
        "eq-a of 01-one has no function: no docstring claims it"
    ]
    private = MODULE.replace("def f", "def _f")
    assert problems(book(module=private)) == problems(book(module=unclaimed))


def test_an_equation_without_a_test_is_named(book):
    unmarked = TEST.replace('@pytest.mark.equation("eq-a")', "")
    assert problems(book(test=unmarked)) == ["eq-a of 01-one has no test: none is marked with it"]


def test_a_label_that_no_chapter_numbers_is_named(book):
    claimed = MODULE.replace("eq-a.", "eq-a, eq-b.")
    assert problems(book(module=claimed)) == ["eq-b, claimed by room.f, is in no chapter"]
    marked = TEST.replace('"eq-a"', '"eq-a", "eq-c"')
    assert problems(book(test=marked)) == [
        "eq-c, marked on test_room.py::test_f_is_known, is in no chapter"
    ]


def test_a_marked_test_that_calls_another_function_is_named(book):
    elsewhere = TEST.replace("import f", "import g as f")
    assert problems(book(test=elsewhere)) == [
        "eq-a: test_room.py::test_f_is_known is marked but calls no room.f"
    ]
    home_made = TEST.replace("from vae_tutorial.room import f", "def f(x):\n    return 2")
    assert problems(book(test=home_made)) == problems(book(test=elsewhere))


@pytest.mark.parametrize(
    "test",
    [
        TEST.replace("f(1)", "helper(1)") + "\ndef helper(x):\n    return f(x)\n",
        TEST.replace("f(1)", "ALL[0](1)") + "\nALL, _ = [f], 0\n",
        TEST.replace("import f", "import f as other").replace("f(1)", "other(1)"),
        TEST.replace("vae_tutorial.room import f", "vae_tutorial import room").replace(
            "f(1)", "room.f(1)"
        ),
        TEST.replace("def test", '@pytest.mark.parametrize("g", [f])\ndef test'),
    ],
    ids=["helper", "constant", "other name", "module", "parameter"],
)
def test_a_function_is_called_by_whatever_road(book, test):
    assert problems(book(test=test)) == []


def test_a_method_is_called_by_its_name_and_forward_by_its_class(book):
    module = '''
class Model:
    def forward(self, x):
        """Book: eq-a."""

    @property
    def size(self):
        """Book: eq-b."""
'''
    prose = EQUATION + "\n\n" + EQUATION.replace("eq-a", "eq-b")
    test = TEST.replace("import f", "import Model").replace("f(1)", "Model()(1)")
    first = problems(book(prose, module, test.replace('"eq-a"', '"eq-a", "eq-b"')))
    assert first == ["eq-b: test_room.py::test_f_is_known is marked but calls no room.Model.size"]
    both = test.replace('"eq-a"', '"eq-a", "eq-b"').replace("Model()(1)", "Model().size")
    assert problems(book(prose, module, both)) == []


def test_lists_of_labels_run_over_the_end_of_a_line():
    docstring = "Adds. Source: Doe 2016, eq. 5. Book: vae5,\n    eq-kl, eq-two-words.\n\nMore."
    assert equations.claimed_labels(docstring) == ["vae5", "eq-kl", "eq-two-words"]
    assert equations.claimed_labels("No book here. Bookkeeping: vae5.") == []


def test_only_a_closing_line_carries_a_label():
    prose = "$$\na\n$$ (eq-a)\n\n$$\nb\n$$\n\nsee {eq}`eq-c`, $$ (eq-d)\n\n$$ (vae1)"
    assert equations.equation_labels(prose) == ["eq-a", "vae1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"module": "\n"}, "eq-a of 01-one has no function"),
        ({"test": "\n"}, "eq-a of 01-one has no test"),
        ({"module": MODULE.replace("eq-a.", "eq-a, eq-b.")}, "eq-b, claimed by room.f"),
        ({"test": TEST.replace("assert f(1) == 2", "pass")}, "is marked but calls no room.f"),
    ],
    ids=["complete", "no function", "no test", "no equation", "no call"],
)
def test_a_build_with_a_gap_fails_and_says_why(book, change, message):
    root = book(**change)
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-b", "html", "-q"]
    done = subprocess.run(
        [*command, str(root / "book"), str(root / "_build")],
        env={"PYTHONPATH": str(ROOT / "book" / "_ext"), "PATH": ""},
        cwd=root / "vae_tutorial",
        capture_output=True,
        text=True,
    )
    if message is None:
        assert done.returncode == 0, done.stderr
        page = (root / "_build" / "ledger.html").read_text("utf-8")
        assert "✓ f is known" in page
        assert 'id="row-eq-a"' in page
        chapter = (root / "_build" / "chapters" / "01-one.html").read_text("utf-8")
        assert 'href="../ledger.html#row-eq-a"' in chapter
        assert chapter.count(' id="equation-eq-a"') == 1
    else:
        assert done.returncode == 1
        assert message in done.stderr


def test_the_book_is_complete():
    assert problems(ROOT) == []
