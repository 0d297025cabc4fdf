"""Checks become one line that opens; pictures of several panels are cut where nothing is drawn."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import outputs
import pytest
import torch
from PIL import Image

from vae_tutorial.plotting import Line, Panel, panels

ROOT = Path(__file__).parents[1]
CONFIGURATION = 'extensions = ["myst_nb", "outputs"]\nnb_execution_mode = "off"\n'


def build(root, printed):
    stream = {"output_type": "stream", "name": "stdout", "text": printed}
    code = {"cell_type": "code", "source": "1", "metadata": {}, "outputs": [stream], "id": "a"}
    prose = {"cell_type": "markdown", "source": "# Page", "metadata": {}, "id": "b"}
    cells = [prose, code | {"execution_count": 1}]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (root / "index.ipynb").write_text(json.dumps(notebook))
    (root / "conf.py").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(root)]
    done = subprocess.run(
        [*command, str(root / "_build")],
        env={"PYTHONPATH": str(ROOT / "book" / "_ext"), "PATH": "", "HOME": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return (root / "_build" / "index.html").read_text("utf-8")


def test_checks_become_one_line_and_the_rest_stays(tmp_path):
    page = build(tmp_path, "a 1\npassed: one < two (to 1e-09)\nb 2\npassed: three\n")
    folded = page.partition('<details class="checks">')[2].partition("</details>")[0]
    assert folded == (
        "<summary>✓ 2 checks</summary><ul><li>one &lt; two (to 1e-09)</li><li>three</li></ul>"
    )
    assert "a 1\nb 2" in page.partition('<details class="checks">')[0]
    assert "passed:" not in page


def test_nothing_but_a_check_leaves_no_empty_block(tmp_path):
    page = build(tmp_path, "passed: alone\n")
    assert "<summary>✓ 1 check</summary>" in page
    assert page.count("<pre>") == 1  # the code


def test_what_is_no_check_stays_as_it_is(tmp_path):
    page = build(tmp_path, "we passed: no claim\n")
    assert "we passed: no claim" in page
    assert "<details" not in page


def picture(path, count):
    x = torch.linspace(0, 1, 9)
    panel = Panel([Line(x, x, "data", "a line")], "step", "nats per image", "title")
    panels(*[panel] * count).savefig(path, bbox_inches="tight", dpi=144, facecolor="white")
    return path


@pytest.mark.parametrize("count", [2, 3])
def test_panels_are_stacked_whole(tmp_path, count):
    path = picture(tmp_path / "a.png", count)
    first, second = (Image.open(p).convert("L") for p in (path, outputs.stacked(path)))
    assert second.height == count * first.height
    assert second.width < first.width / count + 2 * outputs.MARGIN + 2
    drawn = [(np.asarray(p) < 128).sum() for p in (first, second)]
    assert drawn[1] == pytest.approx(drawn[0], rel=0.02)  # the palette moves a few pixels


def test_one_panel_is_left_alone(tmp_path):
    assert outputs.stacked(picture(tmp_path / "a.png", 1)) is None
    wide = Image.new("L", (1100, 50), "white")
    wide.paste(0, (0, 20, 1100, 22))  # a line across
    wide.save(tmp_path / "b.png")
    assert outputs.stacked(tmp_path / "b.png") is None
