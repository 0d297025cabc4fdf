"""The eleven formulas on the pages: their names for numbers, the strip, the time to read."""

import json
import re
import subprocess
import sys
from pathlib import Path

import equations
import pytest
import spine

ROOT = Path(__file__).parents[1]
CONFIGURATION = """
extensions = ["myst_parser", "spine"]
myst_enable_extensions = ["dollarmath"]
numfig = math_numfig = True
math_eqref_format = "Eq. ({number})"
"""
CHAPTERS = {
    "01-one": "$$\na\n$$ (eq-a)\n\n$$\nb\n$$ (vae1)\n\n$$\nc\n$$ (eq-c)",
    "02-two": "$$\nd\n$$ (vae2)\n\n$$\ne\n$$ (vae3)\n\nSee {eq}`vae1` and {eq}`eq-c`.",
    "03-three": "From {eq}`vae3` and {eq}`vae1`.",
    "A-limits": "Nothing.",
}
WORDS = " ".join(["word"] * 1000)


def cell(source, kind="markdown", *tags):
    return {"cell_type": kind, "source": source.splitlines(True), "metadata": {"tags": [*tags]}}


@pytest.fixture
def built(tmp_path):
    """A small book, built: a function that gives a page."""
    names = [*CHAPTERS]
    files = {
        "index.md": "# Book\n\n```{toctree}\n:numbered:\n"
        + "".join(f"chapters/{name}\n" for name in names)
        + "```\n",
        "conf.py": CONFIGURATION,
    }
    for name, text in CHAPTERS.items():
        files[f"chapters/{name}.md"] = f"# {name}\n\n{text}\n"
        notebook = {"cells": [cell(f"# {name}\n\n{text}")]}
        files[f"chapters/{name}.ipynb"] = json.dumps(notebook)
    for name, text in files.items():
        path = tmp_path / "book" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def build():
        command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-b", "html"]
        return subprocess.run(
            [*command, str(tmp_path / "book"), str(tmp_path / "out")],
            env={"PYTHONPATH": str(ROOT / "book" / "_ext"), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    build()

    def page(name):
        return (tmp_path / "out" / "chapters" / f"{name}.html").read_text("utf-8")

    page.folder, page.build = tmp_path, build
    return page


def states(page):
    return dict(
        re.findall(r'<li class="(\w+)">(?:<a [^>]*>)?<b>(vae\d+)</b>', page)[place][::-1]
        for place in range(11)
    )


def test_the_eleven_show_their_names_and_the_others_their_numbers(built):
    numbers = re.findall(r'<span class="eqno">\(([^)]*)\)', built("01-one"))
    assert numbers == ["1.1", "vae1", "1.3"]
    links = re.findall(r'href="(01-one.html#[^"]*)">([^<]*)<', built("02-two"))
    assert ("01-one.html#equation-vae1", "vae1") in links
    assert ("01-one.html#equation-eq-c", "Eq. (1.3)") in links


def test_a_page_lights_what_it_derives(built):
    page = built("02-two")
    assert states(page) == {
        "vae1": "had",
        "vae2": "here",
        "vae3": "here",
        **{f"vae{n}": "later" for n in range(4, 12)},
    }
    assert 'aria-label="The eleven formulas: this page derives vae2 and vae3"' in page
    assert '<a href="01-one.html#equation-vae1"><b>vae1</b> <span class="word">aim' in page
    assert '<a href="#equation-vae2" aria-current="true">' in page
    assert page.index("</h1>") < page.index('<nav class="spine"') < page.index("See <a")


def test_a_page_that_derives_none_shows_what_it_uses(built):
    page = built("03-three")
    assert [label for label, state in states(page).items() if state == "used"] == ["vae1", "vae3"]
    assert 'aria-label="The eleven formulas: this page uses vae1 and vae3"' in page
    assert "this page derives none" in built("A-limits")


def test_a_formula_that_moves_is_followed_on_every_page(built):
    for name, text in {"01-one": "Gone.", "A-limits": CHAPTERS["01-one"]}.items():
        path = built.folder / "book" / "chapters" / f"{name}.md"
        path.write_text(f"# {name}\n\n{text}\n", "utf-8")
        notebook = {"cells": [cell(f"# {name}\n\n{text}")]}
        path.with_suffix(".ipynb").write_text(json.dumps(notebook), "utf-8")
    built.build()
    for name, state in {"01-one": "later", "02-two": "later", "A-limits": "here"}.items():
        assert states(built(name))["vae1"] == state
    assert 'href="A-limits.html#equation-vae1"' in built("03-three")


def test_a_build_in_which_nothing_changed_writes_nothing(built):
    assert "0 added, 0 changed, 0 removed" in built.build()
    page = built.folder / "out" / "chapters" / "02-two.html"
    before = page.stat().st_mtime_ns
    built.build()
    assert page.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([], ""),
        (["vae8"], "vae8"),
        (["vae2", "vae3", "vae4", "vae5"], "vae2 to vae5"),
        (["vae6", "vae7", "vae9", "vae10"], "vae6, vae7, vae9 and vae10"),
        (["vae11", "vae10", "vae1", "vae9"], "vae1 and vae9 to vae11"),
    ],
)
def test_labels_in_words(labels, said):
    assert spine.runs(labels) == said


@pytest.mark.parametrize(
    ("cells", "minutes"),
    [
        ([cell(WORDS)], 5),
        ([cell(WORDS), cell(WORDS)], 10),
        ([cell(WORDS), cell("x = 1\n\n" * 60, "code")], 10),
        ([cell(WORDS), cell("x = 1\n" * 60, "code", "hide-input")], 5),
        ([cell(WORDS), cell(f"$$\n{WORDS}\n$$ (eq-a)\n\n${WORDS}$")], 5),
        ([cell(WORDS), cell(f"````{{dropdown}} Deeper: more\n```python\n```\n{WORDS}\n````")], 5),
        ([cell(f"{WORDS}\n\n:::{{dropdown}} Deeper\n{WORDS}\n:::\n\n{WORDS}")], 10),
        (
            [
                cell(f"{WORDS}\n\n```{{solution-start}} ex-a\n:class: dropdown\n```\n\n{WORDS}"),
                cell("x = 1\n" * 60, "code"),
                cell(f"{WORDS}\n\n```{{solution-end}}\n```\n\n{WORDS}"),
            ],
            10,
        ),
        (
            [
                cell(f"{WORDS}\n\n```{{answer-start}}\n```"),
                cell("x = 1\n" * 60, "code"),
                cell("```{answer-end}\n```"),
            ],
            10,
        ),
        (
            [
                cell("```{answer-start} Deeper: why it falls\n```"),
                cell("x = 1\n" * 60, "code"),
                cell(f"{WORDS}\n```{{answer-end}}\n```\n{WORDS}"),
            ],
            5,
        ),
    ],
)
def test_the_time_to_read_counts_what_is_not_folded(tmp_path, cells, minutes):
    path = tmp_path / "page.ipynb"
    path.write_text(json.dumps({"cells": cells}), "utf-8")
    assert spine.minutes(path) == minutes


def test_the_book_derives_all_eleven_once():
    ledger = equations.read(ROOT)
    found = [label for labels in ledger.equations.values() for label in labels]
    assert sorted(label for label in found if label in spine.FORMULAS) == sorted(spine.FORMULAS)
    assert set(spine.derivations(ledger)) == set(spine.FORMULAS)
