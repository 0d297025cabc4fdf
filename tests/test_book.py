"""The book held to its own rules: what a reader may rely on in every chapter."""

import ast
import base64
import functools
import importlib
import inspect
import json
import re
import string
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import write_map
import yaml
from equations import equation_labels, prose, rooms

import vae_tutorial

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "book" / "chapters").glob("*.ipynb"))
MODULES = sorted(rooms(ROOT))
IGNORING = re.compile(r"nbval[-_](ignore|skip|raises|check)", re.IGNORECASE)
MACHINE_PATHS = re.compile(r"/(home|root|tmp|Users)/|[A-Z]:\\")

KINDS = ["warmup", "predict", "derive", "modify", "debug", "open"]  # of the exercises, in order

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
each_module = pytest.mark.parametrize("module", MODULES)


def cells(path: Path, kind: str) -> list[dict]:
    return [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == kind]


def text(cell: dict) -> str:
    return "".join(cell["source"])


def room(path: Path) -> str:
    """The module that a chapter opens: 04-bounds opens bounds."""
    return path.stem.split("-", 1)[1].replace("-", "_")


def is_figure(cell: dict) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell["outputs"])


def test_the_book_has_its_chapters():
    listed = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8"))
    files = [chapter["file"] for part in listed["parts"] for chapter in part["chapters"]]
    found = [file for file in files if file.startswith("chapters/")]
    assert [f"chapters/{path.stem}" for path in CHAPTERS] == found
    assert [path.stem for path in CHAPTERS] == list(vae_tutorial.CHAPTERS)


@pytest.mark.parametrize("name", write_map.TABLES)
def test_what_follows_from_the_map_is_written_down(name):
    assert (ROOT / name).read_text("utf-8") == write_map.written(name), "run `make map`"


def test_the_reference_has_a_page_for_every_room_and_no_other():
    book = ROOT / "book"
    pages = {path.relative_to(book).as_posix() for path in (book / "reference").rglob("*.md")}
    assert pages == {*write_map.reference_pages(), "reference/index.md"}, "run `make map`"
    for name, text in write_map.reference_pages().items():
        assert (book / name).read_text("utf-8") == text, "run `make map`"


def test_the_map_has_every_room_once():
    placed = [room for floor in vae_tutorial.FLOORS for room in floor]
    for wing, floors in vae_tutorial.WINGS.items():
        placed += [f"{wing}.{room}" for floor in floors for room in floor]
    assert sorted(placed) == sorted([*MODULES, "__main__"])
    opened = {room for chapter in vae_tutorial.CHAPTERS.values() for room in opens(chapter)}
    assert opened | {*vae_tutorial.COMMONS} == {*placed} - {"__main__"} - {
        room for room in placed if "." in room
    }


@each_chapter
def test_executed_once_from_first_cell_to_last(path):
    counts = [cell["execution_count"] for cell in cells(path, "code")]
    assert counts == list(range(1, len(counts) + 1))
    printed = [output for cell in cells(path, "code") for output in cell["outputs"]]
    assert sum("passed: " in "".join(output.get("text", "")) for output in printed) >= 3


@each_chapter
def test_no_error_no_stderr_no_machine_path(path):
    for cell in cells(path, "code"):
        for output in cell["outputs"]:
            assert output["output_type"] != "error", text(cell)
            assert output.get("name") != "stderr", text(cell)
            shown = "".join(output.get("text", output.get("data", {}).get("text/plain", "")))
            assert not MACHINE_PATHS.search(shown), shown


def test_every_wing_is_installed_with_the_package():
    written = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wings = {path.parent.name for path in (ROOT / "vae_tutorial").glob("*/__init__.py")}
    expected = {"vae_tutorial", *(f"vae_tutorial.{wing}" for wing in wings)}
    assert set(written["tool"]["setuptools"]["packages"]) == expected


def test_no_number_was_left_to_be_filled_in():
    pages = [*(ROOT / "book").rglob("*.md"), *ROOT.glob("*.md")]
    texts = {path: path.read_text("utf-8") for path in pages}
    texts |= {path: "".join(map(text, cells(path, "markdown"))) for path in CHAPTERS}
    assert [path.name for path, words in texts.items() if "@@" in words] == []


@each_chapter
def test_no_output_is_ignored(path):
    for cell in cells(path, "code"):
        assert not IGNORING.search(text(cell) + " ".join(cell["metadata"].get("tags", [])))


@each_chapter
def test_a_page_is_light_enough_to_load(path):
    assert path.stat().st_size < 300_000


@each_chapter
def test_every_figure_has_words(path):
    figures = [cell for cell in cells(path, "code") if is_figure(cell)]
    assert figures
    for cell in figures:
        shown = cell["metadata"].get("mystnb", {})
        assert len(shown.get("image", {}).get("alt", "")) >= 40, text(cell)
        assert len(shown.get("figure", {}).get("caption", "")) >= 20, text(cell)
        assert shown["figure"]["name"].startswith("fig-"), text(cell)
    alts = [cell["metadata"]["mystnb"]["image"]["alt"] for cell in figures]
    assert len(set(alts)) == len(alts)


@each_chapter
def test_the_reader_predicts_before_the_figures(path):
    notebook = json.loads(path.read_text("utf-8"))["cells"]
    figures = sum(cell["cell_type"] == "code" and is_figure(cell) for cell in notebook)
    predictions = prose(path).count("{admonition} Predict")
    assert predictions >= max(1, figures - 1), f"{predictions} predictions for {figures} figures"


@each_chapter
def test_each_prediction_is_followed_by_its_folded_answer(path):
    titled = re.compile(r"^```\{answer-start\} .*?^```\{answer-end\}", re.M | re.S)  # a deeper run
    marks = re.findall(
        r"\{admonition\} Predict|\{answer-start\}$|\{answer-end\}",
        titled.sub("", prose(path)),
        re.M,
    )
    pairs = list(zip(marks[::3], marks[1::3], marks[2::3], strict=True))
    assert all(
        (box, start, end) == ("{admonition} Predict", "{answer-start}", "{answer-end}")
        for box, start, end in pairs
    ), marks


@each_chapter
def test_a_chapter_ends_with_what_the_reader_now_has(path):
    summary = prose(path).split("\n## Summary\n")[1]
    assert "**You now have**" in summary.split("*Sources.*")[0]


@each_chapter
def test_exercises_from_warm_up_to_debug_solved_and_one_open(path):
    labels = re.findall(r":label: ex-([a-z]+)-([a-z]+)", prose(path))
    assert [kind for _, kind in labels] == KINDS
    solved = [f"ex-{chapter}-{kind}" for chapter, kind in labels if kind != "open"]
    assert re.findall(r"```\{solution-start\} (ex-[a-z-]+)", prose(path)) == solved
    assert prose(path).count("```{solution-end}") == len(solved)
    assert f"problems.{room(path)}(" in "".join(text(cell) for cell in cells(path, "code"))


@each_chapter
def test_the_chapter_its_room_and_its_tests_share_a_name(path):
    assert room(path) in MODULES
    title = prose(path).splitlines()[0]
    assert title.startswith(f"# {path.stem.split('-')[0].lstrip('0')} "), title


def test_chapters_are_numbered_without_holes_and_appendices_lettered():
    marks = [path.stem.split("-")[0] for path in CHAPTERS]
    numbers = [mark for mark in marks if mark.isdigit()]
    letters = marks[len(numbers) :]
    assert numbers == [f"{n:02d}" for n in range(1, len(numbers) + 1)]
    assert letters == [*string.ascii_uppercase[: len(letters)]]


@each_module
def test_every_room_that_defines_something_has_its_tests(module):
    if not names_defined(rooms(ROOT)[module].read_text("utf-8")):
        return  # the face of a wing, a sentence alone
    assert (ROOT / "tests" / f"test_{module.split('.')[-1]}.py").exists()


def names_defined(code: str) -> list[str]:
    definitions = ast.FunctionDef | ast.ClassDef | ast.Assign
    return [type(node).__name__ for node in ast.parse(code).body if isinstance(node, definitions)]


def opens(chapter: vae_tutorial.Chapter) -> set[str]:
    return {chapter.name, *chapter.also}


@each_chapter
def test_a_chapter_calls_no_later_room(path):
    met = set(vae_tutorial.COMMONS)
    for earlier in CHAPTERS[: CHAPTERS.index(path) + 1]:
        met |= opens(vae_tutorial.CHAPTERS[earlier.stem])
    for cell in cells(path, "code"):
        for node in ast.walk(ast.parse(text(cell))):
            called = rooms_imported(node)
            assert called <= met, f"{path.stem} calls {called - met}"


def rooms_imported(node: ast.AST) -> set[str]:
    """The rooms that an import statement names, in whichever of its three forms."""
    names = [alias.name for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)]
    if isinstance(node, ast.ImportFrom) and node.module == "vae_tutorial":
        return set(names)
    modules = [node.module] if isinstance(node, ast.ImportFrom) else names
    return {m.split(".")[1] for m in modules if m.startswith("vae_tutorial.")}


def test_all_forms_of_an_import_are_seen():
    for code in (
        "from vae_tutorial import a",
        "from vae_tutorial.a import f",
        "import vae_tutorial.a",
        "from vae_tutorial.a.b import f",
        "from vae_tutorial.a import b",
    ):
        assert rooms_imported(ast.parse(code).body[0]) == {"a"}
    assert rooms_imported(ast.parse("global x").body[0]) == set()


def test_an_equation_label_is_given_once():
    labels = [label for path in CHAPTERS for label in equation_labels(prose(path))]
    assert {f"vae{n}" for n in range(1, 12)} <= set(labels)
    assert len(labels) == len(set(labels)), sorted({x for x in labels if labels.count(x) > 1})


@each_module
def test_every_public_function_says_what_it_does(module):
    loaded = importlib.import_module(f"vae_tutorial.{module}")
    assert inspect.getdoc(loaded), module
    for name, thing in public(loaded):
        assert inspect.getdoc(thing), f"{module}.{name} has no docstring"


def names_used(code: str) -> set[str]:
    """The names that code reads or imports, and the attributes that it asks for; not its words."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.alias):
            found.add(node.name)
    return found


def test_a_word_in_a_docstring_is_no_use():
    assert names_used('def load(x):\n    """load a line"""\n    return x') == {"x"}
    assert names_used("from a import load\nb.line = load()") == {"load", "b", "line"}


@functools.cache
def names_used_anywhere() -> frozenset[str]:
    programs = [
        *(text(cell) for path in CHAPTERS for cell in cells(path, "code")),
        *(
            path.read_text("utf-8")
            for folder in ("vae_tutorial", "tools", "benchmarks", "press")
            for path in (ROOT / folder).rglob("*.py")
        ),
    ]
    return frozenset().union(*map(names_used, programs))


@each_module
def test_every_public_name_is_used(module):
    loaded = importlib.import_module(f"vae_tutorial.{module}")
    assert {name for name, _ in public(loaded)} <= names_used_anywhere()


def public(loaded):
    for name, thing in inspect.getmembers(loaded):
        own = getattr(thing, "__module__", None) == loaded.__name__
        if (
            own
            and not name.startswith("_")
            and (inspect.isclass(thing) or inspect.isfunction(thing))
        ):
            yield name, thing


def test_each_room_imports_only_the_rooms_below_it():
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_citations_and_keys_agree():
    keys = set(
        re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text("utf-8"), re.M)
    )
    pages = [prose(path) for path in CHAPTERS]
    pages += [path.read_text("utf-8") for path in (ROOT / "book").glob("*.md")]
    cited = {
        k
        for page in pages
        for ks in re.findall(r"\{cite:\w\}`([^`]+)`", page)
        for k in ks.split(",")
    }
    assert cited <= keys, cited - keys
    assert keys <= cited, f"never cited: {keys - cited}"


def test_every_erratum_says_what_is_right_and_which_chapter_runs_it():
    _, *errata = re.split(r"^## ", (ROOT / "book" / "errata.md").read_text("utf-8"), flags=re.M)
    assert [int(erratum.split(".")[0]) for erratum in errata] == list(range(1, 8))
    for erratum in errata:
        parts = re.split(r"^\*\*(Said|Right|Run)\.\*\* ", erratum, flags=re.M)
        assert parts[1::2] == ["Said", "Right", "Run"], parts[0]
        linked = re.findall(r"\{doc\}`chapters/([\w-]+)`", parts[-1])
        assert linked, parts[0]
        assert set(linked) <= {path.stem for path in CHAPTERS}, parts[0]


def test_a_path_of_the_landing_page_has_what_its_chapters_ask_for():
    page = (ROOT / "book" / "index.md").read_text("utf-8")
    rows = re.findall(r"^\* - \{doc\}`chapters/([\w-]+)`\n  - .*\n  - (.*)$", page, re.M)
    asked = {  # by number; what only helps is not asked for
        stem.split("-")[0].lstrip("0"): {*re.findall(r"\d+", re.sub(r"\d+ helps", "", words))}
        for stem, words in rows
    }
    assert len(asked) == len(CHAPTERS)
    paths = re.findall(r"^\{doc\}`chapters/.*`$", page, re.M)  # chapters with semicolons between
    assert len(paths) == 2
    for path in paths:
        numbers = [number.lstrip("0") for number in re.findall(r"chapters/(\w+)-", path)]
        for place, number in enumerate(numbers):
            missing = asked[number] - {*numbers[:place]}
            assert not missing, f"chapter {number} asks for {missing}, which {numbers} has not"


def test_the_cover_is_the_figure_tagged_so():
    code = [cell for path in CHAPTERS for cell in cells(path, "code")]
    (tagged,) = [cell for cell in code if "cover" in cell["metadata"].get("tags", [])]
    stored = base64.b64decode("".join(tagged["outputs"][0]["data"]["image/png"]))
    assert (ROOT / "book" / "_static" / "cover.png").read_bytes() == stored
