"""Curves, marks, gaps and bars: arrays in, one closed figure out. One colour, one quantity.

A panel is a list of layers and what its axes mean; `panels` draws them side by side.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

INKS = {  # quantity: colour and dash
    "data": ("#222222", "-"),  # data, log p(x): what is given or true
    "prior": ("#0072B2", "--"),
    "encoder": ("#C44E00", "-"),  # q(z|x), and the bound computed with it
    "posterior": ("#007F5C", "-"),  # the exact p(z|x)
    "decoder": ("#B8447E", "-."),  # p(x|z), distortion
    "rival": ("#7A5195", ":"),  # score function, regressor, baseline
}
STYLE: dict[str, Any] = {
    "figure.facecolor": "white",
    "figure.dpi": 144,
    "savefig.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 10,
    "axes.titlesize": 10,
    "lines.linewidth": 1.8,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


class Line(NamedTuple):
    """A prediction or a function, in the ink of its quantity, labelled at its right end."""

    x: Tensor
    y: Tensor
    ink: str
    label: str = ""
    dash: str | None = None  # only where two lines show the same quantity


class Marks(NamedTuple):
    """A measurement: points, with bars of plus and minus `error` where there is sampling."""

    x: Tensor
    y: Tensor
    ink: str
    label: str = ""
    error: Tensor | None = None
    shape: str = "o"


class Gap(NamedTuple):
    """The hatched grey band between two curves: what a bound leaves below log p(x)."""

    x: Tensor
    low: Tensor
    high: Tensor
    label: str = ""


class Bars(NamedTuple):
    """Bars from `base` to `base` + height, one at each x."""

    x: Tensor
    height: Tensor
    ink: str
    label: str = ""
    base: Tensor | float = 0.0


Layer = Line | Marks | Gap | Bars


class Panel(NamedTuple):
    """Layers in one pair of axes, what the axes mean, with units, and settings for Axes.set."""

    layers: Sequence[Layer]
    xlabel: str
    ylabel: str
    title: str = ""
    legend: bool = False
    axes: Mapping[str, Any] = MappingProxyType({})  # for example {"yscale": "log", "ylim": (0, 1)}


def panels(*drawn: Panel, height: float = 3.2) -> Figure:
    """Draw one to three panels side by side, 6.4 inches wide (7.2 from two panels on)."""
    with plt.rc_context(STYLE):
        figure, row = plt.subplots(
            1, len(drawn), figsize=(6.4 if len(drawn) == 1 else 7.2, height), squeeze=False
        )
        for axes, panel in zip(row[0], drawn, strict=True):
            layers = [_with_arrays(layer) for layer in panel.layers]
            for layer in layers:
                _draw(axes, layer)
            axes.set(xlabel=panel.xlabel, ylabel=panel.ylabel, title=panel.title, **panel.axes)
            if panel.legend:
                axes.legend(fontsize=9)
            else:
                _label_ends(
                    axes, [line for line in layers if isinstance(line, Line) and line.label]
                )
        plt.close(figure)
    return figure


def _with_arrays(layer: Layer) -> Layer:
    """The same layer with numpy arrays for tensors, as matplotlib wants them."""
    fields = layer._asdict().items()
    return layer._replace(**{k: v.numpy(force=True) for k, v in fields if isinstance(v, Tensor)})


def _draw(axes: plt.Axes, layer: Layer) -> None:
    label = layer.label or None
    if isinstance(layer, Gap):
        style = {"facecolor": "#EEEEEE", "edgecolor": "#888888", "hatch": "///", "linewidth": 0}
        axes.fill_between(layer.x, layer.low, layer.high, label=label, **style)
        return
    color, dash = INKS[layer.ink]
    if isinstance(layer, Line):
        axes.plot(layer.x, layer.y, color=color, linestyle=layer.dash or dash, label=label)
    elif isinstance(layer, Bars):
        axes.bar(layer.x, layer.height, bottom=layer.base, color=color, label=label)
    else:
        style = {"fmt": layer.shape, "markersize": 5, "capsize": 2}
        axes.errorbar(layer.x, layer.y, layer.error, color=color, label=label, **style)


def _label_ends(axes: plt.Axes, lines: list[Line]) -> None:
    """Write each label at its line's right end, pushed apart where two ends meet."""
    axes.figure.draw_without_rendering()  # settles the axes, so that heights are final
    points = 72 / axes.figure.dpi
    ends = [axes.transData.transform((line.x[-1], line.y[-1]))[1] * points for line in lines]
    lowest = float("-inf")
    for end, line in sorted(zip(ends, lines, strict=True), key=lambda pair: pair[0]):
        lowest = max(end, lowest + 12)  # the height of a line of text, in points
        axes.annotate(
            line.label,
            (line.x[-1], line.y[-1]),
            (4, lowest - end),
            textcoords="offset points",
            color=INKS[line.ink][0],
            va="center",
            annotation_clip=False,
        )
