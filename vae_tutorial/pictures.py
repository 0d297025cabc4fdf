"""Pictures of digits and of their latents: arrays in, one closed figure out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from vae_tutorial.plotting import INKS, abreast, in_columns, ink, styled

WIDTH = 6.4  # inches, of a figure
IMAGES = 5.6  # inches for a row's images; the rest is for its label
LARGEST = 0.6  # inches, of an image
BETWEEN = 0.12  # inches, from row to row
ONE_LINE = 12  # letters of a node's label that fit beside its neighbours

SHARES = (0.99, 0.9, 0.5)  # of a posterior's mass, inside its contours
BAR = 0.2  # of a latent: how long the scale bar of every scene is
LABELS = ((1, "center", "bottom"), (0, "left", "center"))  # of rings: at the top, at the right end

DIGIT_COLOURS = (  # Petroff 2021, chosen to stay apart for colour-blind readers
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)

DEEPEST = 3.0  # powers of ten to either side of equal densities that the map of ratios tells apart


class Ratio(NamedTuple):
    """log q(z)/p(z) on a square grid over the latent plane, and the places of some codes."""

    title: str
    axis_1: Tensor  # (n,), of z₁
    axis_2: Tensor  # (n,), of z₂
    log_ratio: Tensor  # (n, n), nats; a row for each z₂
    codes: Tensor  # (k, 2)


def image_rows(rows: Sequence[tuple[str, Tensor]], shape: tuple[int, int] = (8, 8)) -> Figure:
    """Rows of images, a label and (n, height · width) pixels each; one grey map, dark ink.

    Raises ValueError unless each row has images of that shape.

    >>> import torch
    >>> figure = image_rows([("first", torch.zeros(3, 64)), ("second", torch.ones(2, 64))])
    >>> sum(len(axes.images) for axes in figure.axes)
    5
    """
    needed = (shape[0] * shape[1],)
    for label, images in rows:
        if not len(images) or images.shape[1:] != needed:
            seen = f"row {label!r} has shape {tuple(images.shape)}"
            raise ValueError(f"images must be (n, {needed[0]}), but {seen}")
    columns = max(len(images) for _, images in rows)
    cell = min(LARGEST, IMAGES / columns)
    with styled(len(rows), columns, (WIDTH, len(rows) * (cell + BETWEEN))) as (figure, grid):
        for line, (label, images) in zip(grid, rows, strict=True):
            for axes in line:
                axes.set_axis_off()
            for axes, image in zip(line, images, strict=False):
                axes.imshow(
                    image.reshape(shape).numpy(force=True),
                    cmap="gray_r",
                    vmin=0,
                    vmax=1,
                    interpolation="nearest",
                )
            line[0].text(-0.25, 0.5, label, transform=line[0].transAxes, ha="right", va="center")
    return figure


def latent_map(z: Tensor, labels: Tensor) -> Figure:
    """Points z (n, 2) coloured by digit, each digit printed at the mean of its class.

    The dashed circle lies two standard deviations of the prior from its centre.
    Raises ValueError unless there is one label for each of the points.
    """
    if z.ndim != 2 or z.shape[1] != 2 or labels.shape != z.shape[:1]:
        seen = f"got {tuple(z.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"z must be (n, 2) and labels (n,), {seen}")
    present = [(d, colour) for d, colour in enumerate(DIGIT_COLOURS) if (labels == d).any()]
    with styled(1, 1, (5.2, 5.2)) as (figure, ((axes,),)):
        for digit, colour in present:
            points = z[labels == digit].numpy(force=True)  # (m, 2)
            axes.scatter(points[:, 0], points[:, 1], s=7, color=colour, alpha=0.55, linewidths=0)
        for digit, colour in present:
            x, y = z[labels == digit].mean(0).tolist()
            box = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": colour}
            style = {"color": "#222222", "weight": "bold", "ha": "center", "va": "center"}
            axes.text(x, y, str(digit), bbox=box, **style)
        angle = np.linspace(0, 2 * np.pi, 200)
        colour, dash, _ = INKS["prior"]
        axes.plot(2 * np.cos(angle), 2 * np.sin(angle), color=colour, linestyle=dash)
        axes.set(xlabel="first latent, $z_1$", ylabel="second latent, $z_2$", aspect="equal")
    return figure


class Scene(NamedTuple):
    """An exact posterior, the rings of Gaussians over it, and the images that go with them."""

    title: str
    sides: tuple[Tensor, Tensor]  # values of z₁ (n,) and of z₂ (m,), equally spaced
    mass: Tensor  # (n, m), the posterior at each pair, up to a factor
    rings: Mapping[str, Tensor]  # one or two; label to points (k, 2), solid, then dashed
    images: Mapping[str, Tensor]  # label to (64,) pixels, three of them


def posterior_scenes(scenes: Sequence[Scene]) -> Figure:
    """Posteriors in two columns, each with three images to the right; one length of bar for all.

    The contours hold SHARES of the mass. The first half of the scenes stands in the left column.

    >>> import torch
    >>> side = torch.linspace(-1, 1, 21)
    >>> mass = (-8 * (side[:, None] ** 2 + side**2)).exp()
    >>> ring, blank = 0.5 * torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0]]), torch.zeros(64)
    >>> images = {"x": blank, "decoded": blank, "best": blank}
    >>> figure = posterior_scenes([Scene("one", (side, side), mass, {"q": ring}, images)] * 2)
    >>> [len(axes.child_axes) for axes in figure.axes]  # a plane and three images
    [4, 4]
    """
    rows = -(-len(scenes) // 2)
    with in_columns(2, rows, 3.1 * rows) as (figure, columns):
        for axes, scene in zip(np.concatenate(columns), scenes, strict=True):
            axes.set_axis_off()
            axes.set_title(scene.title)
            _draw_posterior(axes.inset_axes((0.07, 0.05, 0.68, 0.94)), scene)
            for place, (label, image) in enumerate(scene.images.items()):
                inset = axes.inset_axes((0.79, 0.74 - 0.33 * place, 0.2, 0.25))
                pixels = image.reshape(8, 8).numpy(force=True)
                inset.imshow(pixels, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
                inset.set(xticks=[], yticks=[])
                inset.set_xlabel(label, fontsize=7.5, labelpad=1)
    return figure


def contour_levels(mass: Tensor) -> list[float]:
    """The heights above which an equal grid's mass holds SHARES of the whole, rising."""
    falling = mass.flatten().sort(descending=True).values
    inside = falling.cumsum(0) / falling.sum()
    return [float(falling[(inside < share).sum()]) for share in SHARES]


def _draw_posterior(axes: Any, scene: Scene) -> None:
    """Contours, rings, their labels and the scale bar."""
    z1, z2 = (side.numpy(force=True) for side in scene.sides)
    green, orange = ink("posterior")[0], ink("encoder")[0]
    density = scene.mass.mT.numpy(force=True)  # rows are z₂
    axes.contour(z1, z2, density, contour_levels(scene.mass), colors=green, linewidths=1.0)
    halo = [withStroke(linewidth=2.5, foreground="white")]  # a label is read across a line
    style = {"fontsize": 8, "clip_on": True, "path_effects": halo}
    lowest = np.argwhere(density > contour_levels(scene.mass)[0])[0]  # row and column
    axes.text(z1[lowest[1]], z2[lowest[0]], "posterior", color=green, va="top", **style)
    for (label, ring), dash, where in zip(scene.rings.items(), ("-", "--"), LABELS, strict=False):
        points, (axis, across, up) = ring.numpy(force=True), where
        axes.plot(*points.T, color=orange, linestyle=dash)
        x, y = points[points[:, axis].argmax()]
        axes.text(x, y, f" {label} ", color=orange, ha=across, va=up, **style)
    # The same length of z in every scene, in the lower left corner.
    left, foot = z1[0] + 0.05 * np.ptp(z1), z2[0] + 0.06 * np.ptp(z2)
    axes.plot([left, left + BAR], [foot, foot], color=ink("data")[0], linewidth=2.5)
    axes.text(left, foot, f"{BAR:g}", va="bottom", fontsize=8)
    axes.set(xlim=z1[[0, -1]], ylim=z2[[0, -1]], aspect="equal")
    axes.set(xticks=[], yticks=[], xlabel="$z_1$", ylabel="$z_2$")


def ratio_maps(*drawn: Ratio) -> Figure:
    """Maps of q(z)/p(z) side by side: blue where the prior has more mass, orange where codes have.

    The black line is where the ratio is a tenth. A map within the one before it is framed there.
    Raises ValueError unless a ratio's shape is that of its axes.
    """
    for ratio in drawn:
        needed, seen = (len(ratio.axis_2), len(ratio.axis_1)), tuple(ratio.log_ratio.shape)
        if seen != needed:
            raise ValueError(f"log_ratio must be {needed}, as its axes are, got {seen}")
    two_inks = [ink("prior")[0], "#ffffff", ink("encoder")[0]]
    colours = LinearSegmentedColormap.from_list("prior to codes", two_inks)
    with abreast(len(drawn), 3.6) as (figure, row):
        for place, (axes, ratio) in enumerate(zip(row, drawn, strict=True)):
            one, two, log_ratio, codes = (part.numpy(force=True) for part in ratio[1:])
            powers = log_ratio / math.log(10)
            limits: dict[str, Any] = {"vmin": -DEEPEST, "vmax": DEEPEST}
            thin: dict[str, Any] = {"linewidths": 0.8, "linestyles": "solid"}
            mesh = axes.pcolormesh(one, two, powers, cmap=colours, rasterized=True, **limits)
            axes.contour(one, two, powers, levels=[-1.0], colors="#222222", **thin)
            axes.plot(codes[:, 0], codes[:, 1], ".", color="#222222", markersize=2)
            axes.set(title=ratio.title, xlabel="$z_1$", ylabel="$z_2$", aspect="equal")
            axes.set(xlim=(one[0], one[-1]), ylim=(two[0], two[-1]))
            axes.locator_params(nbins=4)
            if place and _within(ratio, drawn[place - 1]):
                corner = (float(ratio.axis_1[0]), float(ratio.axis_2[0]))
                width, height = (float(a[-1] - a[0]) for a in (ratio.axis_1, ratio.axis_2))
                style: dict[str, Any] = {"fill": False, "edgecolor": "#222222", "linewidth": 1.5}
                row[place - 1].add_patch(Rectangle(corner, width, height, **style))
            key: dict[str, Any] = {"location": "bottom", "shrink": 0.9, "ticks": [-2, 0, 2]}
            axes.figure.colorbar(mesh, ax=axes, label="$\\log_{10}\\, q(z)/p(z)$", **key)
    return figure


def _within(inner: Ratio, outer: Ratio) -> bool:
    """Whether one map shows a part of another, and not the same square."""
    pairs = ((inner.axis_1, outer.axis_1), (inner.axis_2, outer.axis_2))
    return all(big[0] < small[0] and small[-1] < big[-1] for small, big in pairs)


class Plane(NamedTuple):
    """A cloud in a plane and what is followed through it: points of noise, or their images."""

    cloud: Tensor  # (n, 2), faint
    ring: Tensor  # (m, 2), the image of a circle
    arrows: Tensor  # (a, 2, 2), from where to where
    followed: Tensor  # (f, 2), numbered
    ink: str
    letter: str  # of the axes: "ε" or "z"


def planes(drawn: Mapping[str, Plane]) -> Figure:
    """Planes side by side; a followed point has one colour and one number in all of them."""
    with abreast(len(drawn), 2.6) as (figure, row):
        for axes, (title, plane) in zip(row, drawn.items(), strict=True):
            color = ink(plane.ink)[0]
            axes.plot(*plane.cloud.numpy(force=True).T, ".", color=color, markersize=4, alpha=0.35)
            axes.plot(*plane.ring.numpy(force=True).T, color=INKS["data"][0], linewidth=1)
            for start, end in plane.arrows.tolist():
                arrow: dict[str, Any] = {"arrowstyle": "->", "color": INKS["data"][0]}
                arrow |= {"linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
                axes.annotate("", end, start, arrowprops=arrow)
            for number, (x, y) in enumerate(plane.followed.tolist(), 1):
                edge = DIGIT_COLOURS[number]
                box: dict[str, Any] = {"boxstyle": "circle,pad=0.2", "linewidth": 2}
                box |= {"facecolor": "white", "edgecolor": edge}
                style: dict[str, Any] = {"color": "#222222", "fontsize": 8}
                style |= {"ha": "center", "va": "center", "zorder": 3}
                axes.text(x, y, str(number), bbox=box, **style)
            names = {f"{side}label": f"${plane.letter}_{i}$" for i, side in ((1, "x"), (2, "y"))}
            axes.set(title=title, aspect="equal", **names)
    return figure


def gradient_flow(charts: Mapping[str, Sequence[Sequence]], inks: Mapping[str, str]) -> Figure:
    """Graphs side by side, each as labels, edges (input, output), and cuts, where only values pass.

    Arrows run where a gradient travels, from the result at the foot; boxes it misses are dashed.
    """
    levels = [_levels(len(labels), edges, cuts) for labels, edges, cuts in charts.values()]
    top = max(y for place, _ in levels for _, y in place.values()) + 0.5
    with styled(1, len(charts), (7.2, 5.6)) as (figure, (row,)):
        for axes, title, (place, reached) in zip(row, charts, levels, strict=True):
            (labels, edges, cuts), boxes = charts[title], {}
            # A box for each node, in the ink of its quantity, dashed if no gradient comes by.
            for node, (x, y) in place.items():
                color = ink(inks.get(labels[node].split(":")[0], "data"))[0]
                box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": color}
                box["linestyle"] = "-" if node in reached else "--"
                broken = len(labels[node]) > ONE_LINE
                lines = labels[node].replace(": ", ":\n" if broken else ": ")
                text = axes.text(x, y, lines, color=color, bbox=box, ha="center", va="center")
                boxes[node] = text.get_bbox_patch()
            # An arrow for each edge that a gradient travels, from the result towards the leaves.
            for start, end in (*edges, *cuts):
                travels = end in reached and (start, end) not in cuts
                head, color, line = ("->", "#222222", "-") if travels else ("-", "#666666", ":")
                arrow = {"arrowstyle": head, "color": color, "linestyle": line}
                arrow |= {"patchA": boxes[end], "patchB": boxes[start]}
                axes.annotate("", place[start], place[end], arrowprops=arrow)
            # A cross on each edge that only values pass.
            for start, end in cuts:
                x, y = ((a + b) / 2 for a, b in zip(place[start], place[end], strict=True))
                axes.plot(x, y, "kx", markersize=9, markeredgewidth=2.5)
            axes.set(title=title, xlim=(-1.5, 1.5), ylim=(-0.5, top))
            axes.set_axis_off()
    return figure


def _levels(count: int, edges: Sequence, cuts: Sequence) -> tuple[dict, set]:
    """A place (x, level) for each of `count` nodes, above all its outputs; and the nodes that a
    gradient reaches from the result at level 0 without crossing a cut."""
    outputs = {n: [end for start, end in (*edges, *cuts) if start == n] for n in range(count)}
    waiting, level = set(outputs), 0
    place: dict[int, tuple[float, int]] = {}
    while waiting:  # one level a turn: the nodes whose outputs all have their place
        ready = sorted(n for n in waiting if not waiting & set(outputs[n]))
        ready.sort(key=lambda n: sum(place[end][0] for end in outputs[n]))
        place |= {n: (i - (len(ready) - 1) / 2, level) for i, n in enumerate(ready)}
        waiting, level = waiting - set(ready), level + 1
    reached = {n for n in place if not outputs[n]}
    for node in place:  # from the foot up
        reached |= {node for end in reached if (node, end) in edges}
    return place, reached
