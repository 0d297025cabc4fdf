"""What the book hands out beside its pages: addresses, descriptions, a card, a PDF and an EPUB."""

import ast
import json
import re
import subprocess
import sys
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


def run_install_cell(folder: Path, repository: str, finds: bool) -> list[str]:
    """Run the cell in a new process and folder; what it would have handed to the shell."""
    source = INSTALL.format(address=repository)
    assert ast.parse(source)
    program = (
        "import importlib.util, subprocess\n"
        f"importlib.util.find_spec = lambda name: {finds} or None\n"
        "subprocess.run = lambda command, shell, check: print(command)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{program}{source}\nprint(os.getcwd())"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_cell_does_nothing_where_the_package_is_or_no_address_is(tmp_path):
    for repository, finds in ((GIVEN, True), ("", True), ("", False)):
        assert run_install_cell(tmp_path, repository, finds) == [str(tmp_path)]


def test_the_cell_fetches_and_installs_where_the_package_is_missing(tmp_path):
    (tmp_path / "vae-tutorial" / "book" / "chapters").mkdir(parents=True)
    command, folder = run_install_cell(tmp_path, GIVEN, False)
    assert command.startswith(f"git clone --quiet --depth=1 {GIVEN} vae-tutorial && ")
    assert command.endswith("-m pip install --quiet ./vae-tutorial")
    assert folder == str(tmp_path / "vae-tutorial" / "book" / "chapters")


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
    actions = re.findall(r"uses: (\S+)", text)
    assert actions
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in actions)


def test_the_dev_container_builds_the_book_with_the_oldest_python_that_it_supports():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert container["postCreateCommand"] == "make book"
    assert "3.11" in container["image"]
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text("utf-8")
