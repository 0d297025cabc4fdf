"""The picture of the live figure reparameterize for readers without scripts."""

import math

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.plotting import INKS, Line, Marks, Panel, panels
from vae_tutorial.reparameterization import draw_full

MEAN, DEVIATIONS, CORRELATION = (1.0, -0.5), (1.2, 0.8), 0.7  # where the live figure begins
FOLLOWED = 11  # a point of the noise, well off its centre


def root() -> Tensor:
    """The Cholesky factor of the covariance at the beginning, (2, 2)."""
    first, second = DEVIATIONS
    rest = second * math.sqrt(1 - CORRELATION**2)
    return torch.tensor([[first, 0.0], [CORRELATION * second, rest]], dtype=torch.float64)


def plane(noise: Tensor, mean: Tensor, root: Tensor, ink: str, name: str) -> Panel:
    """Noise (K, 2) as z, its curves at one and two deviations, one point followed."""
    turn = torch.linspace(0, 2 * math.pi, 100, dtype=torch.float64)
    circle = torch.stack([turn.cos(), turn.sin()], dim=-1)  # (100, 2)
    z = draw_full(mean, root, noise)  # (K, 2)
    rings = [draw_full(mean, root, radius * circle) for radius in (1, 2)]
    layers = [Marks(*z.T, ink, shape="."), *(Line(*ring.T, ink) for ring in rings)]
    layers.append(Line(*torch.stack([mean, z[FOLLOWED]]).T, "data"))
    layers.append(Marks(*z[[FOLLOWED]].T, "data"))
    limits = {"aspect": "equal", "xlim": (-4.5, 4.5), "ylim": (-4.5, 4.5)}
    limits |= {"xticks": range(-4, 5, 2), "yticks": range(-4, 5, 2)}
    return Panel(layers, f"${name}_1$", f"${name}_2$", axes=limits)


def picture() -> Figure:
    """The noise, the cloud that it becomes, and both gradient estimates with their spread."""
    noise = standard_normal((20_000, 2), generator(7))  # (K, 2)
    mean, zero = torch.tensor(MEAN, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    z = draw_full(mean, root(), noise)  # (K, 2)
    slope = torch.linalg.solve_triangular(root().T, noise.T, upper=True)[0]  # of log q in μ₁, (K,)
    estimates = {"rival": z.square().sum(1) * slope, "encoder": 2 * z[:, 0]}  # (K,) each
    counts = torch.logspace(1, math.log10(len(noise)), 150).long()
    layers, bands = [], []
    for ink, draws in estimates.items():
        means = torch.stack([draws[:count].mean() for count in counts])  # (150,)
        errors = torch.stack([draws[:count].std() / count**0.5 for count in counts])  # (150,)
        layers.append(Line(counts, means, ink))
        bands.append((INKS[ink][0], means - 2 * errors, means + 2 * errors))
    layers.append(Line(counts[[0, -1]], 2 * mean[[0, 0]], "data"))
    axes = {"xscale": "log", "ylim": (-4, 8)}
    figure = panels(
        plane(noise[:200], zero, torch.eye(2, dtype=torch.float64), "prior", "\\varepsilon"),
        plane(noise[:200], mean, root(), "encoder", "z"),
        Panel(layers, "draws", "gradient in $\\mu_1$", axes=axes),
        height=2.7,
    )
    for axes in figure.axes[:2]:
        axes.lines[0].set_alpha(0.35)  # the cloud, behind its curves
    chart = figure.axes[-1]
    for color, low, high in bands:
        chart.fill_between(counts.numpy(), low.numpy(), high.numpy(), color=color, alpha=0.2, lw=0)
    for row, (ink, words) in enumerate(
        (("rival", "score function"), ("encoder", "pathwise"), ("data", "exact"))
    ):
        place = (0.98, 0.95 - 0.09 * row)
        style = {"color": INKS[ink][0], "ha": "right", "transform": chart.transAxes}
        chart.text(*place, words, **style)
    return figure
