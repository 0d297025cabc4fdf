"""Curves, marks and gaps: arrays in, one closed figure out. One colour, one quantity.

A panel is a list of layers and what its axes mean; `panels` draws them side by side.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # the names of all settings

INKS = {  # quantity: colour, dash and width in points
    "data": ("#222222", "-", 1.8),  # data, log p(x): what is given or true
    "prior": ("#0072B2", "--", 1.8),
    "encoder": ("#C44E00", "-", 1.8),  # q(z|x), and the bound computed with it
    "posterior": ("#007F5C", "-", 1.0),  # the exact p(z|x)
    "decoder": ("#B8447E", "-.", 1.8),  # p(x|z), distortion
    "rival": ("#7A5195", ":", 1.8),  # score function, regressor, baseline
}
POINTS_AN_INCH = 72
LINE_OF_TEXT = 12  # points from one label's middle to the next, so that none overlap
BAR = 0.64  # width of a bar, where the next one stands at a distance of 1
HATCHED: dict[str, Any] = {
    "facecolor": "#EEEEEE",
    "edgecolor": "#888888",
    "hatch": "///",
    "linewidth": 0,
}
STYLE: dict["RcKeyType", Any] = {
    "figure.facecolor": "white",
    "figure.dpi": 144,
    "savefig.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 10,
    "axes.titlesize": 10,
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


class Area(NamedTuple):
    """What a curve encloses with the axis, filled in the ink of its quantity: an integral."""

    x: Tensor
    y: Tensor
    ink: str
    label: str = ""


class Bars(NamedTuple):
    """A bar from `low` up to `high` at each x, with its words in it; hatched, a gap, if no ink."""

    x: Tensor
    low: Tensor
    high: Tensor
    ink: str | None = None
    label: str = ""
    words: Sequence[str] = ()  # one for each bar; above the bar where it is too low to hold them


Layer = Line | Marks | Gap | Area | Bars


class Panel(NamedTuple):
    """Layers in one pair of axes, what the axes mean, with units, and settings for Axes.set."""

    layers: Sequence[Layer]
    xlabel: str
    ylabel: str
    title: str = ""
    legend: bool = False
    axes: Mapping[str, Any] = MappingProxyType({})  # for example {"yscale": "log", "ylim": (0, 1)}


def ink(name: str) -> tuple[str, str, float]:
    """Colour, dash and width of a quantity's ink; ValueError unless there is one of that name."""
    if name not in INKS:
        raise ValueError(f"ink must be one of {', '.join(INKS)}, got {name!r}")
    return INKS[name]


@contextmanager
def styled(rows: int, columns: int, size: tuple[float, float]) -> Iterator[tuple[Figure, Any]]:
    """A figure of `size` inches in the book's style and its axes (rows, columns); closed after."""
    with _blank(size) as figure:
        yield figure, figure.subplots(rows, columns, squeeze=False)


@contextmanager
def _blank(size: tuple[float, float]) -> Iterator[Figure]:
    """An empty figure of `size` inches in the book's style; closed after."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=size)
        try:
            yield figure
        finally:
            plt.close(figure)


@contextmanager
def abreast(count: int, height: float) -> Iterator[tuple[Figure, list[plt.Axes]]]:
    """A figure and its axes side by side, each with an equal part of the width; closed after."""
    with in_columns(count, 1, height) as (figure, columns):
        yield figure, [axes for (axes,) in columns]


@contextmanager
def in_columns(count: int, rows: int, height: float) -> Iterator[tuple[Figure, list[Any]]]:
    """A figure and its columns of `rows` axes, each an equal part of the width; closed after."""
    with _blank((6.4 if count == 1 else 7.2, height)) as figure:
        # The whole width is kept when the figure is saved, so that its columns can be cut apart.
        figure.add_artist(Rectangle((0, 0), 1, 1, transform=figure.transFigure, alpha=0))
        (parts,) = figure.subfigures(1, count, squeeze=False)
        yield figure, [part.subplots(rows, 1, squeeze=False)[:, 0] for part in parts]


def panels(*drawn: Panel, height: float = 3.2) -> Figure:
    """Draw one to three panels side by side, 6.4 inches wide (7.2 from two panels on).

    Each panel has an equal part of the width, so that a narrow page can stack them.

    Raises ValueError for an ink that is not one of INKS.

    >>> import torch
    >>> x = torch.linspace(0, 1, 5)
    >>> figure = panels(Panel([Line(x, x.square(), "data", "x²")], "x", "nats"))
    >>> figure.axes[0].get_xlabel(), len(figure.axes[0].lines)
    ('x', 1)
    """
    with abreast(len(drawn), height) as (figure, row):
        for axes, panel in zip(row, drawn, strict=True):
            layers = [_with_arrays(layer) for layer in panel.layers]
            for layer in layers:
                _draw(axes, layer)
            axes.set(xlabel=panel.xlabel, ylabel=panel.ylabel, title=panel.title, **panel.axes)
            for layer in layers:
                if isinstance(layer, Bars) and layer.words:
                    _write_in_bars(figure, axes, layer)
            if panel.legend:
                axes.legend(fontsize=9)
            else:
                lines = [line for line in layers if isinstance(line, Line) and line.label]
                _label_ends(figure, axes, lines)
    return figure


def _with_arrays(layer: Layer) -> Layer:
    """The same layer with numpy arrays for tensors, as matplotlib wants them."""
    fields = layer._asdict().items()
    arrays: dict[str, Any] = {k: v.numpy(force=True) for k, v in fields if isinstance(v, Tensor)}
    return layer._replace(**arrays)


def _draw(axes: plt.Axes, layer: Layer) -> None:
    label = layer.label or None
    style: dict[str, Any]
    if isinstance(layer, Gap):
        axes.fill_between(layer.x, layer.low, layer.high, label=label, **HATCHED)
        return
    if isinstance(layer, Bars):
        style = HATCHED if layer.ink is None else {"color": ink(layer.ink)[0]}
        axes.bar(layer.x, layer.high - layer.low, BAR, layer.low, label=label, **style)
        return
    color, dash, width = ink(layer.ink)
    if isinstance(layer, Area):
        axes.fill_between(layer.x, layer.y, color=color, alpha=0.35, linewidth=0, label=label)
    elif isinstance(layer, Line):
        style = {"color": color, "linestyle": layer.dash or dash, "linewidth": width}
        axes.plot(layer.x, layer.y, label=label, **style)
    else:
        style = {"fmt": layer.shape, "markersize": 5, "capsize": 2}
        axes.errorbar(layer.x, layer.y, layer.error, color=color, label=label, **style)


def _write_in_bars(figure: Figure, axes: plt.Axes, bars: Bars) -> None:
    """Write the words of each bar in its middle, or above it where it is too low to hold them."""
    figure.draw_without_rendering()  # settles the axes, so that heights are final
    pixels = LINE_OF_TEXT * figure.dpi / POINTS_AN_INCH
    for x, low, high, words in zip(bars.x, bars.low, bars.high, bars.words, strict=True):
        foot, top = axes.transData.transform([(x, low), (x, high)])[:, 1]
        style: dict[str, Any] = {"ha": "center", "fontsize": 9}
        if top - foot < pixels * (1 + words.count("\n")):
            axes.annotate(
                words, (x, high), (0, 3), textcoords="offset points", va="bottom", **style
            )
            continue
        if bars.ink is None:  # a white ground, or the hatching would run through the letters
            style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        else:
            style["color"] = "white"
        axes.annotate(words, (x, (low + high) / 2), va="center", **style)


def _label_ends(figure: Figure, axes: plt.Axes, lines: list[Line]) -> None:
    """Write each label at its line's right end, pushed apart where two ends meet."""
    figure.draw_without_rendering()  # settles the axes, so that heights are final
    points = POINTS_AN_INCH / figure.dpi
    ends = [axes.transData.transform((line.x[-1], line.y[-1]))[1] * points for line in lines]
    lowest = float("-inf")
    for end, line in sorted(zip(ends, lines, strict=True), key=lambda pair: pair[0]):
        lowest = max(end, lowest + LINE_OF_TEXT)
        axes.annotate(
            line.label,
            (line.x[-1], line.y[-1]),
            (4, lowest - end),
            textcoords="offset points",
            color=INKS[line.ink][0],
            va="center",
            annotation_clip=False,
        )
