"""The picture of the live figure prior-draws for readers without scripts."""

import math

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Normal

from vae_tutorial.marginal_likelihood import prior_monte_carlo
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.plotting import INKS, Area, Line, Marks, Panel, panels

DEVIATIONS = (0.3, 0.03)  # of the noise: the page's, and where only few draws land
X = 1.5


def log_likelihood(z: Tensor, deviation: float) -> Tensor:
    """log p(x|z) of chapter 2's smallest case."""
    return Normal(1.2 * z, deviation).log_prob(torch.tensor(X, dtype=torch.float64))


def product(draws: Tensor, deviation: float) -> Panel:
    """The integrand over z, and the draws as ticks below it; those in the strip are magenta."""
    view = torch.linspace(-3.3, 3.3, 2001, dtype=torch.float64)
    heights = (log_likelihood(view, deviation) - view**2 / 2).exp() / math.sqrt(2 * math.pi)
    peak = float(heights.max())
    strip = view[heights > peak / 10]
    inside = (draws > strip[0]) & (draws < strip[-1])
    foot = torch.full_like(draws, -0.06 * peak)
    layers = [Area(view, heights, "decoder"), Line(view, heights, "decoder", dash="-")]
    for hits, ink in ((~inside, "prior"), (inside, "decoder")):
        layers.append(Marks(draws[hits], foot[hits], ink, shape="|"))
    limits = {"ylim": (-0.12 * peak, 1.2 * peak), "xlim": (-3.3, 3.3)}
    title = f"σ = {deviation}: {int(inside.sum())} of {len(draws)} draws in the strip"
    return Panel(layers, "latent z", "prior × likelihood", title, axes=limits)


def picture() -> Figure:
    """The strip for two widths of the noise over the same 200 draws, and what they estimate."""
    draws = standard_normal((2000,), generator(7))
    counts = torch.logspace(math.log10(2), math.log10(2000), 80).round().long().unique()
    ends, deviation = torch.tensor([2.0, 2000.0]), DEVIATIONS[1]
    logs = log_likelihood(draws, deviation).unsqueeze(1)  # (2000, 1)
    runs = [prior_monte_carlo(logs[:count]) for count in counts]
    estimate, error = (
        torch.cat(part) for part in list(zip(*runs, strict=True))[:2]
    )  # (counts,) each
    truth = Normal(0.0, math.hypot(1.2, deviation)).log_prob(torch.tensor(X, dtype=torch.float64))
    layers = [Line(ends, truth.expand(2), "data", "log p(x)")]
    layers.append(Line(counts, estimate, "prior", dash="-"))
    limits = {"xscale": "log", "ylim": (float(truth) - 6, float(truth) + 2.5)}
    panel = Panel(layers, "draws", "nats", f"σ = {deviation}: estimate ± 2 errors", axes=limits)
    figure = panels(*(product(draws[:200], each) for each in DEVIATIONS), panel, height=2.9)
    figure.axes[-1].fill_between(
        counts, estimate - 2 * error, estimate + 2 * error, color=INKS["prior"][0], alpha=0.2, lw=0
    )
    for axes in figure.axes:
        axes.title.set_fontsize(8)
    return figure
