"""The picture of the live figure reparameterize for readers without scripts."""

import math

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.plotting import INKS, abreast
from vae_tutorial.reparameterization import pathwise_gradients, score_function_gradients

SHOWN, ARROWS, SCALE = 200, 24, 0.16  # draws, those with arrows, an arrow for a unit of gradient
ESTIMATES = {"rival": "score function", "encoder": "pathwise"}  # ink: name


def gradients(mean: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """Both estimates of the gradient of E‖z‖² in μ, (K, 2) each, where Σ = I."""
    flat = torch.zeros_like(mean)  # log-variances
    values = (mean + noise).square().sum(-1)  # (K,)
    path = pathwise_gradients(lambda z: z.square().sum(-1), mean, flat, noise)
    return {"rival": score_function_gradients(values, flat, noise).mean, "encoder": path.mean}


def picture() -> Figure:
    """Noise, the cloud with the arrows of both estimates, and their tips from one origin."""
    noise = standard_normal((SHOWN, 2), generator(7))  # (K, 2)
    mean = torch.ones(2, dtype=torch.float64)
    z, drawn = mean + noise, gradients(mean, noise)
    turn = torch.linspace(0, 2 * math.pi, 100, dtype=torch.float64)
    circle = torch.stack([turn.cos(), turn.sin()])  # (2, 100)
    heads = {"angles": "xy", "scale_units": "xy", "width": 0.006}
    with abreast(2, 3.5) as (figure, (plane, tips)):
        for radius in (1, 2, 3, 4):
            plane.plot(*radius * circle, color="#CCCCCC", linewidth=0.75)
        plane.plot(*noise.T, ".", color=INKS["prior"][0], alpha=0.3, markersize=4, mew=0)
        plane.plot(*z.T, ".", color=INKS["encoder"][0], alpha=0.5, markersize=4, mew=0)
        plane.plot(*mean[:, None] + 2 * circle, color=INKS["encoder"][0])
        for row, (ink, name) in enumerate(ESTIMATES.items()):
            color = INKS[ink][0]
            at, arrows = z[:ARROWS].T, drawn[ink][:ARROWS].T
            plane.quiver(*at, *arrows, color=color, scale=1 / SCALE, **heads)
            tips.plot(*drawn[ink].T, ".", color=color, alpha=0.35, markersize=5, mew=0)
            place = (0.02, 0.97 - 0.08 * row)
            tips.text(*place, name, color=color, va="top", transform=tips.transAxes)
        for ink in ESTIMATES:
            average, error = drawn[ink].mean(0), drawn[ink].std(0) / SHOWN**0.5  # (2,) each
            bars = {"xerr": 2 * error[0], "yerr": 2 * error[1], "color": INKS[ink][0]}
            tips.errorbar(*average, **bars, linewidth=2, zorder=5)
        plane.plot(*mean, "o", color="#222222", markeredgecolor="white")
        tips.plot(*2 * mean, "o", color="#222222", markerfacecolor="none", markersize=7)
        plane.text(
            0.02, 0.97, "noise ε", color=INKS["prior"][0], va="top", transform=plane.transAxes
        )
        plane.set(xlim=(-5, 5), ylim=(-5, 5), xlabel="ε₁ and z₁", ylabel="ε₂ and z₂")
        tips.set(xlim=(-14, 14), ylim=(-14, 14), xlabel="gradient in μ₁", ylabel="in μ₂")
        for axes in (plane, tips):
            axes.set(aspect="equal")
    return figure
