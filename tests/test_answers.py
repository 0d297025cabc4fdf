"""What stands between the gates of a prediction is folded, and a gate alone is a warning."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BOX = "```{admonition} Predict\nWhich is larger?\n```\n\n"
START, END = "```{answer-start}\n```\n\n", "```{answer-end}\n```\n\n"


def build(root, text):
    (root / "conf.py").write_text('extensions = ["myst_parser", "answers"]\n')
    (root / "index.md").write_text(f"# Book\n\n## One\n\n{text}\n\nAfter.\n")
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-b", "html"]
    return subprocess.run(
        [*command, str(root), str(root / "_build")],
        env={"PYTHONPATH": str(ROOT / "book" / "_ext"), "PATH": ""},
        capture_output=True,
        text=True,
    )


def page(root):
    return (root / "_build" / "index.html").read_text("utf-8")


def test_what_lies_between_is_in_a_closed_fold_and_nothing_else(tmp_path):
    done = build(tmp_path, f"{BOX}{START}It grows.\n\n`code`\n\n{END}")
    assert done.returncode == 0, done.stderr
    before, _, rest = page(tmp_path).partition('<details class="answer">')
    inside, _, after = rest.partition("</details>")
    assert "Which is larger?" in before
    assert inside.startswith("<summary>Show what happened</summary>")
    assert "It grows." in inside
    assert "code" in inside
    assert "After." in after
    assert "<details" not in before + after


def test_a_deeper_fold_has_its_title_and_needs_no_escape(tmp_path):
    start = START.replace("}", "} Deeper: why a < b", 1)
    assert build(tmp_path, f"{start}It is.\n\n{END}{START}Two.\n\n{END}").returncode == 0
    assert '<details class="answer deeper"><summary>Deeper: why a &lt; b<' in page(tmp_path)
    assert page(tmp_path).count("<details") == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{START}Words.\n", "opened here and not closed"),
        (f"{START}Words.\n\n{START}More.\n\n{END}", "opened here and not closed"),
        (f"{START}Words.\n\n## A heading\n\n{END}", "opened here and not closed"),
        (f"Words.\n\n{END}", "closed here that was not opened"),
    ],
)
def test_a_gate_alone_is_named(tmp_path, text, message):
    done = build(tmp_path, text)
    assert done.returncode != 0
    assert message in done.stderr
    assert "index.md" in done.stderr
