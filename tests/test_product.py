"""What the book hands out beside its pages: addresses, descriptions, a card, a PDF and an EPUB."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import address
import head
import nbformat
import pytest
import yaml
from PIL import Image
from refresh_notebooks import INSTALL, install_source
from sphinx.config import Config
from sphinx.errors import ConfigError

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "book" / "chapters").glob("*.ipynb"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
DESCRIPTIONS = yaml.safe_load((ROOT / "book" / "descriptions.yml").read_text("utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSION = PROJECT["version"]
GIVEN = "https://github.com/someone/something"  # stands for an address that is filled in
SITE = "https://someone.github.io/something/"

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


def configured(repository: str, baseurl: str = "") -> Config:
    """The build's configuration once the extension has followed the address."""
    options = {"repository_url": repository, "launch_buttons": CONFIG["launch_buttons"]}
    config = Config({"html_theme_options": options, "html_baseurl": baseurl})
    config.add("html_theme_options", {}, "html", dict)
    config.add("html_baseurl", "", "html", str)
    address.follow(None, config)
    return config


def test_without_an_address_nothing_asks_for_one():
    config = configured("")
    assert "launch_buttons" not in config.html_theme_options
    assert config.html_theme_options["use_repository_button"] is False
    assert config.html_baseurl == ""


def test_buttons_and_the_site_follow_the_address():
    config = configured(GIVEN)
    assert config.html_theme_options["launch_buttons"]["colab_url"]
    assert config.html_theme_options["use_repository_button"] is True
    assert config.html_baseurl == SITE
    assert configured(GIVEN, "https://book.example/").html_baseurl == "https://book.example/"


@pytest.mark.parametrize("wrong", ["github.com/a/b", "https://github.com/a", "https://a.example/b"])
def test_an_address_of_another_form_is_named(wrong):
    with pytest.raises(ConfigError, match=re.escape(wrong)):
        configured(wrong)


@each_chapter
def test_the_first_code_cell_installs_the_package_from_that_address(path):
    notebook = nbformat.read(path, as_version=4)
    first, *others = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert first.source == install_source(ROOT / "_config.yml")
    assert first.metadata.tags == ["remove-cell"]
    assert first.outputs == []
    assert not any("remove-cell" in cell.metadata.get("tags", []) for cell in others)


@pytest.mark.parametrize(
    "wrong",
    [
        "https://github.com/a/b; touch harm",
        "https://github.com/a/b$(touch harm)",
        'https://github.com/a/b"\nimport harm #',
        "--upload-pack=harm",
        "https://github.com/a",
    ],
)
def test_no_cell_is_written_with_an_address_that_the_build_refuses(tmp_path, wrong):
    config = tmp_path / "_config.yml"
    config.write_text(yaml.safe_dump({"repository": {"url": wrong}}), "utf-8")
    with pytest.raises(ConfigError, match="not https://github"):
        install_source(config)


def test_a_given_address_and_the_version_of_the_package_are_written_into_the_cell(tmp_path):
    config = tmp_path / "_config.yml"
    config.write_text(yaml.safe_dump({"repository": {"url": GIVEN}}), "utf-8")
    assert f'\nREPOSITORY = "{GIVEN}"  # ' in install_source(config)
    assert f'\nVERSION = "v{VERSION}"  # ' in install_source(config)
    assert f"version: {VERSION}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


def run_install_cell(folder: Path, repository: str, finds: bool) -> tuple[list[list[str]], str]:
    """Run the cell in a new process and folder; its commands, not run, and the folder at the end.

    Each command is a list of words: no shell reads it.
    """
    source = INSTALL.format(address=repository, version=VERSION)
    program = (
        "import importlib.util, json, subprocess\n"
        f"importlib.util.find_spec = lambda name: {finds} or None\n"
        "commands = []\n"
        "subprocess.run = lambda words, *, check: commands.append([*words])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{program}{source}\nprint(json.dumps([commands, os.getcwd()]))"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_the_cell_does_nothing_where_the_package_is_or_no_address_is(tmp_path):
    for repository, finds in ((GIVEN, True), ("", True), ("", False)):
        assert run_install_cell(tmp_path, repository, finds) == [[], str(tmp_path)]


def test_the_cell_fetches_and_installs_where_the_package_is_missing(tmp_path):
    (tmp_path / "vae-tutorial" / "book" / "chapters").mkdir(parents=True)
    (fetch, install), folder = run_install_cell(tmp_path, GIVEN, False)
    assert fetch[0] == "git"
    assert fetch[-3:] == [f"--branch=v{VERSION}", GIVEN, "vae-tutorial"]
    assert install[1:] == ["-m", "pip", "install", "--quiet", "./vae-tutorial[chapters]"]
    assert folder == str(tmp_path / "vae-tutorial" / "book" / "chapters")


def test_the_cell_fetches_the_version_that_it_names_and_no_later_one(tmp_path):
    def git(*words: str) -> None:
        identity = ["-c", "user.name=A", "-c", "user.email=a@b.example", "-c", "tag.gpgsign=false"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path / "public", check=True)

    (tmp_path / "public").mkdir()
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--no-gpg-sign", "-m", "released")
    git("tag", f"v{VERSION}")
    git("commit", "--quiet", "--allow-empty", "--no-gpg-sign", "-m", "later")
    (fetch, _), _ = run_install_cell(tmp_path, (tmp_path / "public").as_uri(), False)
    done = subprocess.run(fetch, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
    log = ["git", "log", "--format=%s"]
    seen = subprocess.run(log, cwd=tmp_path / "vae-tutorial", stdout=subprocess.PIPE, text=True)
    assert seen.stdout.split() == ["released"]


def test_every_page_has_a_description_of_its_own():
    listed = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8"))
    pages = {chapter["file"] for part in listed["parts"] for chapter in part["chapters"]}
    assert head.problems(DESCRIPTIONS, pages | {listed["root"]}) == []


def test_what_is_wrong_with_a_description_is_said():
    good, short = "A" * 50, "B" * 49
    said = head.problems({"a": good, "b": good, "c": short, "d": "C" * 161}, {"a", "b", "c", "e"})
    assert said == [
        "b has the description of a",
        "c: 49 characters, not 50 to 160",
        "d: 161 characters, not 50 to 160",
        "descriptions.yml has d: no such page",
        "e has no line in descriptions.yml",
    ]


def test_a_shared_link_shows_the_card_only_where_the_site_has_an_address():
    alone = head.tags("5 <Four> maps", "The book", 'Says "so"', "", "chapters/05.html")
    assert "://" not in alone
    assert 'content="5 &lt;Four&gt; maps"' in alone
    assert 'name="description" content="Says &quot;so&quot;"' in alone
    public = head.tags("The book", "The book", "Says so", SITE, "index.html")
    assert f'property="og:image" content="{SITE}_static/card.png"' in public
    assert f'property="og:url" content="{SITE}index.html"' in public
    assert (ROOT / "book" / head.CARD).exists()


def test_the_card_and_the_icons_are_as_large_as_they_are_said_to_be():
    static = ROOT / "book" / "_static"
    for name, size in (("card", (1200, 630)), ("favicon", (180, 180))):
        with Image.open(static / f"{name}.png") as picture:
            assert picture.size == size
    assert (ROOT / "book" / CONFIG["html"]["favicon"]).read_text("utf-8").startswith("<svg")


def test_the_card_is_drawn_from_the_bound_and_its_gap(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "press")
    import card

    means, bound, evidence = card.slide()
    # chapter 4 prints log p(x) and the least gap of the same slide
    assert float(evidence.std()) < 1e-9
    assert f"{evidence[0]:.1f}" == "-2.6"
    assert abs(float(means[bound.argmax()]) - 0.7) < 0.05
    stored = (ROOT / "book" / "_static" / "favicon.svg").read_text("utf-8")
    assert card.icon(means, bound, evidence) == stored


def test_the_workflow_runs_the_readme_s_two_commands_with_least_permissions():
    text = (ROOT / ".github" / "workflows" / "book.yml").read_text("utf-8")
    workflow = yaml.safe_load(text)
    commands = [step.get("run") for step in workflow["jobs"]["check"]["steps"]]
    readme = (ROOT / "README.md").read_text("utf-8")
    for command in ("make book", "make test"):
        assert f"    {command} " in readme
        assert command in commands
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
    actions = re.findall(r"uses: (.*)", text)
    assert actions
    pinned = r"actions/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+"
    assert [action for action in actions if not re.fullmatch(pinned, action)] == []
    checkout = workflow["jobs"]["check"]["steps"][0]
    assert checkout["uses"].startswith("actions/checkout@")
    assert checkout["with"] == {"persist-credentials": False}


def pins(name: str) -> dict[str, str]:
    """Each package of a file of pins, its name in pip's one spelling, with its version."""
    lines = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / name).read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in lines}


def test_every_pin_is_hashed_but_that_of_torch():
    asked, constrained, hashed = map(pins, ("requirements.txt", "constraints.txt", "hashes.txt"))
    assert constrained.keys() >= asked.keys() - {"torch"}
    assert {name: constrained.get(name, asked[name]) for name in asked} == asked
    assert {name: hashed.get(name) for name in constrained} == constrained, "run `make hashes`"
    assert "torch" not in hashed
    text = (ROOT / "hashes.txt").read_text("utf-8")
    for entry in re.split(r"\n(?=\S)", text.rstrip())[2:]:
        assert re.fullmatch(r"\S+==.*( \\\n    --hash=sha256:[0-9a-f]{64})+", entry), entry
    assert "://" not in text


def test_what_is_not_hashed_is_installed_after_what_is():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    first = "pip install --require-hashes "
    second = "pip install --no-build-isolation "  # or setuptools would come unhashed
    for text in (makefile, readme):
        assert 0 < text.index(first) < text.index(second)
    named = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["chapters"]
    dependencies = [re.match(r"[\w-]+", line).group() for line in named]
    assert {*dependencies, "setuptools"} <= pins("requirements.txt").keys()


def test_the_dev_container_builds_the_book_with_the_oldest_python_that_it_supports():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert container["postCreateCommand"] == "make book"
    assert "3.11" in container["image"]
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text("utf-8")
