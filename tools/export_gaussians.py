"""The static pictures of the live figures about Gaussians of one latent."""

import torch
from matplotlib.figure import Figure
from torch.distributions import Normal, kl_divergence

from vae_tutorial.decomposition import decompose, gaussian_decoder, log_posterior
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.plotting import INKS, Gap, Line, Marks, Panel, panels
from vae_tutorial.quadrature import gauss_legendre, trapezoid


def gaussian(mean: float, width: float) -> Normal:
    """In float64."""
    return Normal(*torch.tensor([mean, width], dtype=torch.float64))


def slide_q() -> Figure:
    """Where the live figure begins: N(0.8, 0.5²) over the posterior of chapter 4, and its bar."""
    x = torch.tensor([0.6, 1.2], dtype=torch.float64)
    model = gaussian_decoder(lambda z: torch.stack([z, z**2], -1), x, 0.25)
    q, rule = gaussian(0.8, 0.5), trapezoid(-12, 12, 1201)
    terms = decompose(model, q.log_prob, rule, gauss_legendre(-12, 12, 1000))
    view = torch.linspace(-2, 2.5, 301, dtype=torch.float64)
    densities = [
        Line(view, model.log_prior(view).exp(), "prior", "prior p(z)"),
        Line(view, log_posterior(model, rule)(view).exp(), "posterior", "posterior p(z|x)"),
        Line(view, q.log_prob(view).exp(), "encoder", "q(z|x)"),
    ]
    bar = torch.tensor([0.0, 1.0])
    bound, evidence = terms.elbo.expand(2), terms.log_evidence.expand(2)
    words = [f"{v:.4f}".replace("-", "−") for v in (evidence[0], terms.kl_to_posterior, bound[0])]
    shares = [
        Gap(bar, bound, evidence),
        Line(bar, evidence, "data", f"log p(x) {words[0]}"),
        Line(bar, (evidence + bound) / 2, "data", f"gap {words[1]}", "None"),
        Line(bar, bound, "encoder", f"bound {words[2]}"),
    ]
    limits = {"ylim": (-8, -2), "xlim": (-0.3, 1.3), "xticks": []}
    figure = panels(
        Panel(densities, "latent z", "density", legend=True, axes={"ylim": (0, 2.5)}),
        Panel(shares, "", "nats", axes=limits),
    )
    figure.get_layout_engine().set(rect=(0, 0, 0.98, 1))  # no word touches the edge
    figure.axes[1].fill_between(bar, -8, bound, color=INKS["encoder"][0], alpha=0.2, linewidth=0)
    return figure


def gaussian_kl() -> Figure:
    """Chapter 6's pair, the two signs of its integrand, and draws that close in on its area."""
    q, p = gaussian(1, 0.5), gaussian(-0.5, 1.5)
    z = torch.linspace(-5, 4, 451, dtype=torch.float64)
    heights = q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z))
    pair = [
        Line(z, q.log_prob(z).exp(), "encoder", "q"),
        Line(z, p.log_prob(z).exp(), "prior", "p"),
    ]
    draws = q.mean + q.stddev * standard_normal((100_000,), generator(5))  # (n,)
    ratios = q.log_prob(draws) - p.log_prob(draws)  # (n,)
    counts = torch.logspace(1, 5, 17).round().long()  # (m,)
    means = torch.stack([ratios[:count].mean() for count in counts])  # (m,)
    errors = torch.stack([ratios[:count].std() / count**0.5 for count in counts])  # (m,)
    ends = torch.tensor([8.0, 130_000.0])
    estimates = [
        Line(ends, kl_divergence(q, p).expand(2), "data"),
        Marks(counts, means, "encoder", error=2 * errors, shape="."),
    ]
    figure = panels(
        Panel(pair, "z", "density", legend=True),
        Panel([Line(z, heights, "encoder")], "z", "nats per unit of z"),
        Panel(estimates, "number of draws", "nats", axes={"xscale": "log"}),
        height=2.8,
    )
    color, curve = INKS["encoder"][0], figure.axes[1]
    curve.fill_between(z, 0, heights, heights > 0, color=color, alpha=0.2, linewidth=0)
    stripes = {"facecolor": "white", "edgecolor": color, "hatch": "\\\\\\\\\\", "linewidth": 0}
    curve.fill_between(z, 0, heights, heights < 0, **stripes)
    return figure
