"""The static pictures of the live figures about Gaussians of one latent."""

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from vae_tutorial.decomposition import (
    Decomposition,
    decompose,
    gaussian_decoder,
    log_posterior,
)
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.plotting import HATCHED, INKS, Line, Marks, Panel, panels
from vae_tutorial.quadrature import gauss_legendre, trapezoid


def gaussian(mean: float, width: float) -> Normal:
    """In float64."""
    return Normal(*torch.tensor([mean, width], dtype=torch.float64))


def stripes(ink: str) -> dict:
    """How what is taken away is drawn: striped, and slanted the other way than a gap."""
    return {"facecolor": "white", "edgecolor": INKS[ink][0], "hatch": "\\\\\\\\\\", "linewidth": 0}


def draw_bars(axes: Axes, terms: Decomposition) -> None:
    """The fit, the price that is taken off it, and the bound with its gap: bars from −8 nats."""
    floor, fit, bound = -8.0, terms.log_likelihood.item(), terms.elbo.item()
    evidence, price = terms.log_evidence.item(), terms.kl_to_prior.item()
    gap, height = terms.kl_to_posterior.item(), 0.76
    tint = {"height": height, "left": floor, "alpha": 0.2}
    axes.barh(2, fit - floor, color=INKS["decoder"][0], **tint)
    axes.barh(1, price, height, bound, **stripes("prior"))
    axes.barh(0, bound - floor, color=INKS["encoder"][0], **tint)
    axes.barh(0, gap, height, bound, **HATCHED)
    axes.plot([evidence, evidence], [-0.5, 2.5], color=INKS["data"][0], lw=INKS["data"][2])
    numbers = [f"{v:.4f}".replace("-", "−") for v in (fit, price, bound, evidence, gap)]
    for row, right, words, ink in zip(
        (2, 1, 0), (fit, bound, bound), numbers, ("decoder", "prior", "encoder"), strict=False
    ):
        axes.text(right - 0.1, row, words, color=INKS[ink][0], ha="right", va="center")
    axes.text(evidence, 2.6, f"log p(x) {numbers[3]}", ha="center", va="bottom")
    axes.text(evidence + 0.1, 0, f"gap {numbers[4]}", va="center")


def slide_q() -> Figure:
    """Where the live figure begins: N(0.8, 0.5²) over the posterior of chapter 4, and its bars."""
    x = torch.tensor([0.6, 1.2], dtype=torch.float64)
    model = gaussian_decoder(lambda z: torch.stack([z, z**2], -1), x, 0.25)
    q, rule = gaussian(0.8, 0.5), trapezoid(-12, 12, 1201)
    view = torch.linspace(-2, 2.5, 301, dtype=torch.float64)
    densities = [
        Line(view, model.log_prior(view).exp(), "prior", "prior p(z)"),
        Line(view, log_posterior(model, rule)(view).exp(), "posterior", "posterior p(z|x)"),
        Line(view, q.log_prob(view).exp(), "encoder", "q(z|x)"),
    ]
    rows = {"yticks": [2, 1, 0], "yticklabels": ["fit", "− price", "= bound"], "ylim": (-0.5, 3.2)}
    figure = panels(
        Panel(densities, "latent z", "density", legend=True, axes={"ylim": (0, 2.5)}),
        Panel([], "nats", "", axes={"xlim": (-8, 0), **rows}),
        height=2.6,
    )
    draw_bars(figure.axes[1], decompose(model, q.log_prob, rule, gauss_legendre(-12, 12, 1000)))
    return figure


def averages(first: Normal, second: Normal, noise: Tensor, ink: str, shift: float = 1.0) -> Marks:
    """Means of log first − log second over draws of `first`, with two standard errors."""
    draws = first.mean + first.stddev * noise  # (n,)
    ratios = first.log_prob(draws) - second.log_prob(draws)  # (n,)
    counts = torch.logspace(1, 5, 17).round().long()  # (m,)
    means = torch.stack([ratios[:count].mean() for count in counts])  # (m,)
    errors = torch.stack([ratios[:count].std() / count**0.5 for count in counts])  # (m,)
    return Marks(shift * counts, means, ink, error=2 * errors, shape=".")


def gaussian_kl() -> Figure:
    """Two Gaussians of one width, both integrands, and draws that close in on their areas."""
    q, p = gaussian(1, 1), gaussian(-1, 1)
    z = torch.linspace(-6, 6, 481, dtype=torch.float64)
    log_ratio = q.log_prob(z) - p.log_prob(z)
    heights = {
        "encoder": q.log_prob(z).exp() * log_ratio,
        "prior": -p.log_prob(z).exp() * log_ratio,
    }
    pair = [
        Line(z, q.log_prob(z).exp(), "encoder", "q"),
        Line(z, p.log_prob(z).exp(), "prior", "p"),
    ]
    noise = standard_normal((2, 100_000), generator(5))  # (2, n)
    ends = torch.tensor([8.0, 130_000.0])
    estimates = [
        Line(ends, kl_divergence(q, p).expand(2), "data"),
        averages(q, p, noise[0], "encoder"),
        averages(p, q, noise[1], "prior", shift=1.2),  # beside the others
    ]
    figure = panels(
        Panel(pair, "z", "density", legend=True),
        Panel([Line(z, y, ink) for ink, y in heights.items()], "z", "nats per unit of z"),
        Panel(estimates, "number of draws", "nats", axes={"xscale": "log"}),
        height=2.8,
    )
    curve = figure.axes[1]
    for ink, y in heights.items():
        curve.fill_between(z, 0, y, y > 0, color=INKS[ink][0], alpha=0.2, linewidth=0)
        curve.fill_between(z, 0, y, y < 0, **stripes(ink))
    return figure
