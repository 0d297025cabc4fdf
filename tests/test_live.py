"""The live figures without a browser: their export, their directive, and what a page loads."""

import base64
import gzip
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import export_live
import export_pads
import live
import numpy as np
import pytest
import torch
from PIL import Image

from vae_tutorial.pictures import DIGIT_COLOURS
from vae_tutorial.plotting import INKS

EXTENSIONS = Path(live.__file__).parent
CONFIGURATION = f"""
import sys
sys.path.insert(0, {str(EXTENSIONS)!r})
extensions = ["myst_parser", "live"]
html_theme = "basic"
numfig = True
latex_elements = {{"papersize": "a4paper"}}
"""
FIGURE = """
```{live} latent-pad
:name: fig-pad
:alt: A plane and a digit.

Move *z*.
```
"""


def build(folder, builder, figure=FIGURE):
    """A book of two pages, the figure on the first alone; what Sphinx complained of."""
    pages = {
        "conf.py": CONFIGURATION,
        "index.md": f"# Book\n\n{figure}\n\n```{{toctree}}\nother\n```\n",
        "other.md": "# Other\n\nSee {numref}`fig-pad`.\n",
    }
    for name, text in pages.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "live").symlink_to(export_live.STATIC_PICTURES)
    command = [sys.executable, "-m", "sphinx", "-q", "-b", builder, folder, folder / "out"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def stored(name):
    """What a committed script holds."""
    text = (export_live.ASSETS / f"{name}.js").read_text("utf-8")
    return json.loads(text[text.index("{") : text.rindex(";")])


def numbers(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


def grey(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=float)


def parts(held):
    """What a script holds: tensors, which are computed and so not exact, and the rest."""
    tensors = {name: numbers(held.pop(name)) for name in ("means", "logVariances") if name in held}
    layers = held.pop("decoder")
    for depth, layer in enumerate(layers):
        tensors |= {f"{depth}.{name}": numbers(text) for name, text in layer.items()}
    return tensors, held


@pytest.mark.slow
def test_the_weights_of_the_latent_pad_are_trained_again_by_the_recipe():
    (kept, rest), (fresh, same) = parts(stored("weights")), parts(export_pads.weights())
    assert kept.keys() == fresh.keys()
    for name, value in kept.items():
        np.testing.assert_allclose(value, fresh[name], rtol=0, atol=1e-6)
    assert rest == {**same, "start": list(same["start"])}
    assert len(kept["means"]) == 2 * 1500


@pytest.mark.slow
def test_the_page_of_chapter_9_trains_the_network_of_its_pad():
    """The page's own cells; in float32, so that another processor moves a mean by 1e-4 at most."""
    notebook = json.loads((export_live.BOOK / "chapters/09-training.ipynb").read_text("utf-8"))
    cells = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    page = {}
    for number in ("01", "23", "34"):  # imports, the untrained model, its training
        exec(cells[f"09-training-{number}"], page)
    with torch.no_grad():
        seen = page["vae"].encoder(page["digits"].train)
    pad = stored("weights")
    for name, value in {"means": seen.mean, "logVariances": seen.log_variance}.items():
        np.testing.assert_allclose(value.flatten(), numbers(pad[name]), rtol=0, atol=1e-3)


def test_the_weights_of_the_landing_page_are_the_kept_ones():
    fresh = export_pads.mnist_weights()
    assert stored("mnist-weights") == {**fresh, "start": list(fresh["start"])}
    assert len(fresh["labels"]) == 1000


SLOW = {"train-here": pytest.mark.slow}  # it trains first


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=SLOW.get(name, ())) for name in export_live.PICTURES]
)
def test_a_static_picture_is_what_python_draws(name):
    kept = grey((export_live.STATIC_PICTURES / f"{name}.png").read_bytes())
    fresh = grey(export_live.png(name))
    assert kept.shape == fresh.shape
    assert np.abs(kept - fresh).mean() < 0.5  # of 255 levels


@pytest.mark.parametrize("figure", live.FIGURES)
def test_a_figure_has_its_files_and_stays_within_the_budget(figure):
    assert (export_live.STATIC_PICTURES / f"{figure}.png").exists()
    files = [f"{name}.js" for name in (*live.ENGINE, *live.FIGURES[figure])]
    sizes = [
        len(gzip.compress((export_live.ASSETS / name).read_bytes(), mtime=0))
        for name in (*files, "live.css")
    ]
    assert sum(sizes) <= 150_000, dict(zip(files, sizes, strict=False))


def test_only_the_page_with_the_figure_loads_its_scripts(tmp_path):
    assert build(tmp_path, "html") == ""
    page, other = ((tmp_path / "out" / f"{p}.html").read_text("utf-8") for p in ("index", "other"))
    loaded = re.findall(r'<script defer="defer" src="_static/\.\./assets/([\w-]+)\.js', page)
    assert loaded == [*live.ENGINE, "digits", "weights", "pad", "latent-pad"]
    assert "assets/live.css" in page
    assert "assets/" not in other


def test_a_reader_without_scripts_has_the_picture_its_words_and_its_number(tmp_path):
    build(tmp_path, "html")
    page, other = ((tmp_path / "out" / f"{p}.html").read_text("utf-8") for p in ("index", "other"))
    (figure,) = re.findall(r"<figure.*?</figure>", page, flags=re.DOTALL)
    assert 'class="live live-latent-pad' in figure
    assert 'id="fig-pad"' in figure
    assert '<img alt="A plane and a digit." src="_images/latent-pad.png"' in figure
    assert "Move <em>z</em>." in figure
    assert "Fig. 1" in figure
    assert "Fig. 1" in other


def test_print_has_the_picture_and_its_caption(tmp_path):
    build(tmp_path, "latex")
    (printed,) = (tmp_path / "out").glob("*.tex")
    text = printed.read_text("utf-8")
    assert r"\sphinxincludegraphics" in text
    assert r"\caption{Move \sphinxstyleemphasis{z}.}" in text


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("latent-pad", "latent-bad", "there is no live figure latent-bad, only latent-pad"),
        (":alt: A plane and a digit.\n", "", "the live figure latent-pad needs :alt:"),
        (":name: fig-pad\n", "", "the live figure latent-pad needs :name:"),
    ],
)
def test_a_mistake_in_the_directive_is_named(tmp_path, old, new, complaint):
    assert complaint in build(tmp_path, "html", FIGURE.replace(old, new))


def test_one_colour_one_quantity_there_as_here():
    chart = (export_live.ASSETS / "live-chart.js").read_text("utf-8")
    assert dict(re.findall(r'(\w+): \{ color: "(#\w+)"', chart)) == {
        quantity: color for quantity, (color, *_) in INKS.items()
    }
    pad = (export_live.ASSETS / "pad.js").read_text("utf-8")
    classes = re.search(r"const COLORS = \[(.*?)\];", pad, flags=re.DOTALL)[1]
    assert tuple(re.findall(r"#\w{6}", classes)) == DIGIT_COLOURS
