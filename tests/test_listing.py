"""The sources of a small package as the book shows them, and that a wrong name stops a build."""

import json
import subprocess
import sys
from pathlib import Path

import equations
import pytest
import reference
import sources

ROOT = Path(__file__).parents[1]
LOW = '''
"""What happens below."""
from typing import NamedTuple

SCALE = 2.0  # of everything


class Pair(NamedTuple):
    """Two numbers. Book: eq-a."""

    first: float

    def total(self) -> float:
        """Their sum."""
        return self.first * SCALE


def shift(x):
    """Moves µ. Raises `KeyError` and more.

    The rest, as `Pair` has it. Book: eq-a.

    >>> shift(1)
    2
    """
    return _inner(x)


def _inner(x):
    return x + 1
'''
HIGH = '''
"""What happens above."""
from room import nothing
from vae_tutorial import low
from vae_tutorial.low import Pair, shift as move


@low.shift("é", Pair)
def use(pair: Pair, shift=None):
    """Uses both."""
    move = pair.total()
    return move, shift, low.shift(1), low.missing


class Machine:
    def go(self):
        return self.stop(), move(SCALE), Pair.total

    def stop(self):
        """Stops. Then more."""
'''
FILES = {
    "vae_tutorial/low.py": LOW,
    "vae_tutorial/high.py": HIGH,
    "vae_tutorial/wing/__init__.py": "from vae_tutorial.low import shift\n",
    "vae_tutorial/wing/inner.py": "from vae_tutorial import wing\nwing.shift(1)\n",
    "vae_tutorial/__init__.py": "FLOORS = (('wing',), ('high',), ('low',))\n"
    "WINGS = {'wing': (('inner',),)}\n",
    "tests/test_low.py": "import pytest\nfrom vae_tutorial.low import shift\n\n\n"
    "@pytest.mark.equation('eq-a')\ndef test_the_shift_is_numpys_to_1e_8():\n"
    "    assert shift(1) == 2\n",
    "book/chapters/01-one.md": "# 1 One\n\n$$\na\n$$ (eq-a)\n\n```{source}\nLISTED\n```\n",
    "book/index.md": "# Book\n\n```{toctree}\nchapters/01-one\nreference/low\n```\n"
    "```{rooms}\n```\n",
    "book/reference/low.md": "# low\n\n```{room} low\n```\n",
    "book/conf.py": 'extensions = ["myst_parser", "reference"]\n'
    'myst_enable_extensions = ["dollarmath"]\n',
}


@pytest.fixture
def root(tmp_path):
    """A repository with two rooms, a wing, a test, and a chapter that calls `shift`."""
    return write(tmp_path, "low.shift")


def write(root, listed):
    code = {"cell_type": "code", "source": ["from vae_tutorial import low\n", "low.shift(1)"]}
    prose = {"cell_type": "markdown", "source": ["# 1 One\n", "\n", "$$\n", "a\n", "$$ (eq-a)"]}
    notebook = json.dumps({"cells": [prose, code]})
    for name, text in (FILES | {"book/chapters/01-one.ipynb": notebook}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.strip().replace("LISTED", listed) + "\n", "utf-8")
    return root


def build(root, builder="html"):
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-b", builder, "-q"]
    return subprocess.run(
        [*command, str(root / "book"), str(root / "_build")],
        env={"PYTHONPATH": str(ROOT / "book" / "_ext"), "PATH": ""},
        cwd=root,
        capture_output=True,
        text=True,
    )


def shown(excerpt):
    return [(excerpt.text[start:end], name) for start, end, name in excerpt.mentions]


def test_a_sentence_ends_where_the_next_begins():
    assert sources.first_sentence("One (..., 2) a. b. Two.\n\nThree.") == (
        "One (..., 2) a. b.",
        "Two.\n\nThree.",
    )
    assert sources.first_sentence("Runs on\nto the end.") == ("Runs on to the end.", "")


def test_code_is_shown_without_its_docstring(root):
    assert sources.code(root, "low", "shift").text == "def shift(x):\n    return _inner(x)"
    assert sources.code(root, "low", "SCALE").text == "SCALE = 2.0  # of everything"
    assert sources.code(root, "low", "Pair.total").text == (
        "def total(self) -> float:\n    return self.first * SCALE"
    )
    assert '"""' not in sources.code(root, "low", "Pair").text
    only_words = sources.code(root, "high", "Machine.stop").text
    assert only_words == 'def stop(self):\n    """Stops. Then more."""'


def test_a_decorator_is_a_part_of_the_code(root):
    excerpt = sources.code(root, "high", "use")
    assert excerpt.text.startswith('@low.shift("é", Pair)\ndef use(pair: Pair')
    assert sources.signature(root, "high", "use").text.endswith("shift=None):")


def test_names_of_the_package_are_found_where_they_stand(root):
    assert shown(sources.code(root, "high", "use")) == [
        ("low", "low"),
        ("shift", "low.shift"),
        ("Pair", "low.Pair"),
        ("Pair", "low.Pair"),  # but not `move` and `shift`, which are the function's variables
        ("low", "low"),
        ("shift", "low.shift"),
        ("low", "low"),
    ]
    assert shown(sources.code(root, "high", "Machine.go")) == [
        ("stop", "high.Machine.stop"),
        ("move", "low.shift"),
        ("Pair", "low.Pair"),
        ("total", "low.Pair.total"),
    ]
    assert shown(sources.code(root, "low", "shift")) == [("_inner", "low._inner")]


def test_a_room_that_passes_a_name_on(root):
    package = sources.read(root)
    assert sources.known("wing.shift", package) == "low.shift"
    assert sources.known("wing.inner", package) == "wing.inner"
    assert sources.known("wing.nothing", package) == ""
    assert sources.parted("wing.inner.f", package) == ("wing.inner", "f")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("test_the_bound_is_scipys_to_1e_8", "the bound is SciPy’s to 1e−8"),
        ("test_gauss_hermite_gives_the_moments", "Gauss–Hermite gives the moments"),
        ("test_the_gaps_of_a_linear_vae", "the gaps of a linear VAE"),
        ("test_another_runs_weights_are_refused", "another run’s weights are refused"),
        ("test_the_variances_of_the_bounds_gradients", "the variances of the bound’s gradients"),
        ("test_a_gaussian_on_a_gaussian", "a Gaussian on a Gaussian"),
    ],
)
def test_a_test_in_words(name, said):
    assert reference.in_words(name) == said


def test_floors_from_the_ground_up(root):
    assert reference.floors(root) == [["low"], ["high"], ["wing", "wing.inner"]]


def test_the_book_shows_source_as_source(root):
    done = build(write(root, "low.shift\nlow.Pair"))
    assert done.returncode == 0, done.stderr
    chapter = (root / "_build" / "chapters" / "01-one.html").read_text("utf-8")
    assert '<span class="k">def</span>' in chapter
    assert 'href="../reference/low.html#shift"><code' in chapter
    assert 'href="../reference/low.html#_inner">_inner</a>(x)' in chapter
    fold = chapter.partition("<details")[2].partition("</details>")[0]
    assert "KeyError" in fold
    assert 'href="../reference/low.html#Pair"' in fold
    assert 'href="#equation-eq-a"' in fold
    assert '<span class="gp">&gt;&gt;&gt; </span>' in fold
    assert "Moves µ." in chapter.partition("<details")[0]


def test_the_reference_says_who_calls_and_who_checks(root):
    done = build(root)
    assert done.returncode == 0, done.stderr
    page = (root / "_build" / "reference" / "low.html").read_text("utf-8")
    entry = page.partition('id="shift"')[2].partition("</section>")[0]
    assert 'Called in <a class="reference internal" href="../chapters/01-one.html">' in entry
    assert "1 test names or builds it" in entry
    assert "the shift is NumPy’s to 1e−8" in entry
    assert 'href="../chapters/01-one.html#equation-eq-a"' in entry
    for name in ("Pair", "Pair.total", "SCALE", "_inner"):
        assert f'id="{name}"' in page
    index = (root / "_build" / "index.html").read_text("utf-8")
    assert "What happens above." in index


@pytest.mark.parametrize("name", ["low.shfit", "nowhere", "low", "high.shift", "low.Pair.first"])
def test_a_build_with_an_unknown_name_fails_and_says_so(root, name):
    done = build(write(root, name))
    assert done.returncode == 1
    assert f"the package has no {name}" in done.stderr
    assert (name != "low.shfit") or "is it low.shift?" in done.stderr


def test_every_listing_of_the_book_names_what_there_is():
    package = sources.read(ROOT)
    cells = [equations.prose(path) for path in (ROOT / "book" / "chapters").glob("*.ipynb")]
    listed = [
        name
        for text in cells
        for block in text.split("```{source}\n")[1:]
        for name in block.partition("\n```")[0].split()
    ]
    assert {"models.VAE", "models.DiagonalEncoder"} <= {*listed}
    for name in listed:
        assert sources.known(name, package) == name
