"""Figures show the arrays they are given, close themselves, and leave the global style alone."""

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from vae_tutorial.plotting import INKS, Area, Bars, Gap, Line, Marks, Panel, panels

x = torch.linspace(0.0, 1.0, 5)


def luminance(colour: str | tuple) -> float:
    """Relative luminance by the WCAG 2 formula."""
    channels = np.array(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("ink", INKS)
def test_every_ink_stands_out_on_white(ink):
    assert (1.0 + 0.05) / (luminance(INKS[ink][0]) + 0.05) >= 3


def turned(colour: str) -> np.ndarray:
    """A colour's channels in the dark theme: invert(1) hue-rotate(180deg), by the CSS formula."""
    weights = np.array([0.213, 0.715, 0.072])  # of red, green and blue in lightness
    half_a_turn = 2 * np.tile(weights, (3, 1)) - np.eye(3)
    return (half_a_turn @ (1 - np.array(to_rgb(colour)))).clip(0, 1)


@pytest.mark.parametrize("ink", INKS)
def test_every_ink_stands_out_in_the_dark_theme(ink):
    page = np.array(to_rgb("#14181e"))
    seen = 1 - (1 - turned(INKS[ink][0])) * (1 - page)  # mix-blend-mode: screen
    assert (luminance(tuple(seen)) + 0.05) / (luminance("#14181e") + 0.05) >= 3
    assert turned("white") == pytest.approx(0, abs=1e-12)  # the page shows through


def test_inks_differ_in_colour_and_the_two_of_z_given_x_without_it():
    assert len({colour for colour, _, _ in INKS.values()}) == len(INKS)
    assert INKS["encoder"][1:] != INKS["posterior"][1:]


def test_a_panel_shows_its_layers_and_words():
    layers = [
        Gap(x, x, x + 1, "gap"),
        Line(x, x**2, "data", "truth"),
        Marks(x, x, "encoder", "seen", error=x / 10),
    ]
    figure = panels(Panel(layers, "step", "nats per image", "title", axes={"ylim": (0, 3)}))
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "nats per image")
    assert axes.get_title() == "title"
    assert axes.get_ylim() == (0, 3)
    drawn = next(line for line in axes.lines if line.get_label() == "truth")
    assert np.allclose(drawn.get_ydata(), (x**2).numpy())
    assert drawn.get_color() == INKS["data"][0]


def test_a_figure_is_closed_and_the_style_is_left_alone():
    before = dict(matplotlib.rcParams)
    panels(Panel([Line(x, x, "data")], "a", "b"), Panel([Line(x, x, "data")], "a", "b"))
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


def test_labels_at_line_ends_do_not_overlap():
    lines = [Line(x, x + shift, "data", f"line {shift}") for shift in (0.0, 0.001, 0.002)]
    figure = panels(Panel(lines, "a", "b"))
    figure.canvas.draw()
    heights = sorted(text.get_window_extent().y0 for text in figure.axes[0].texts)
    assert np.diff(heights).min() >= 10


def test_an_unknown_ink_is_refused():
    with pytest.raises(ValueError, match=r"ink must be one of data, .*got .mauve."):
        panels(Panel([Line(x, x, "mauve")], "a", "b"))
    assert plt.get_fignums() == []  # a figure that failed is closed as well


def test_panels_side_by_side_have_equal_parts_of_the_width_with_nothing_between():
    line = Line(x, x**2, "data", "a long label at the end")
    for count in (2, 3):
        figure = panels(*[Panel([line], "step", "nats", "title")] * count)
        figure.savefig(file := io.BytesIO(), bbox_inches="tight", facecolor="white", dpi=144)
        pixels = np.array(Image.open(file).convert("L"))  # (height, width)
        edge = round(144 * matplotlib.rcParams["savefig.pad_inches"])
        part = (pixels.shape[1] - 2 * edge) / count
        for cut in range(1, count):
            column = round(edge + cut * part)
            assert (pixels[:, column - 2 : column + 3] == 255).all()


def stacked():
    place, zero = torch.arange(3.0), torch.zeros(3)
    low, high = torch.tensor([-9.0, -5.0, -3.0]), zero - 2
    bound = Bars(place, zero - 12, low, "encoder", words=["a", "b", "c"])
    return panels(Panel([bound, Bars(place, low, high, words=["d", "e", "f"])], "q", "nats"))


def test_bars_stand_on_their_floor_and_the_gap_is_hatched_on_top():
    patches = stacked().axes[0].patches
    heights = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in patches]
    assert heights == [(-12, -9), (-12, -5), (-12, -3), (-9, -2), (-5, -2), (-3, -2)]
    assert [to_rgb(bar.get_facecolor()) == to_rgb(INKS["encoder"][0]) for bar in patches] == [
        *[True] * 3,
        *[False] * 3,
    ]
    assert [bar.get_hatch() for bar in patches] == [None] * 3 + ["///"] * 3


def test_words_stand_in_their_bar_or_above_one_that_is_too_low():
    (axes,) = stacked().axes
    heights = {text.get_text(): text.xy[1] for text in axes.texts}
    assert heights == {"a": -10.5, "b": -8.5, "c": -7.5, "d": -5.5, "e": -3.5, "f": -2.5}
    low = Bars(torch.zeros(1), torch.zeros(1), torch.full((1,), 0.01), words=["g"])
    tall = Bars(torch.ones(1), torch.zeros(1), torch.ones(1), "encoder", words=["h"])
    above, within = panels(Panel([low, tall], "q", "nats")).axes[0].texts
    assert (above.xy[1], above.get_va()) == (pytest.approx(0.01), "bottom")
    assert (within.xy[1], within.get_va(), within.get_color()) == (0.5, "center", "white")
    with pytest.raises(ValueError, match="zip"):  # a word for each bar
        panels(Panel([tall._replace(words=["h", "i"])], "q", "nats"))


def test_white_words_can_be_read_on_the_ink_of_the_bound():
    assert 1.05 / (luminance(INKS["encoder"][0]) + 0.05) >= 4.5


def test_an_area_is_filled_from_the_axis_in_its_ink():
    (axes,) = panels(Panel([Area(x, x + 1, "decoder")], "z", "density")).axes
    (filled,) = axes.collections
    corners = filled.get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == (0, 2)
    assert to_rgb(filled.get_facecolor()[0]) == to_rgb(INKS["decoder"][0])
