"""The picture of the live figure draw-q for readers without scripts."""

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from vae_tutorial.decomposition import decompose, gaussian_decoder, log_posterior
from vae_tutorial.plotting import Area, Bars, Line, Panel, panels
from vae_tutorial.quadrature import gauss_legendre, trapezoid

LEFT, RIGHT = trapezoid(-8, 8, 641), gauss_legendre(-8, 8, 640)  # those of chapter 3


def wave(z: Tensor) -> Tensor:
    """The mean of the two measurements, (n,) to (n, 2)."""
    return torch.stack([z, torch.sin(2 * z)], -1)


def picture() -> Figure:
    """Two shapes that a hand could draw, guesses of chapter 3, and the bars that they make."""
    x = torch.tensor([0.8, 0.0], dtype=torch.float64)
    model = gaussian_decoder(wave, x, 0.1)
    near = Normal(*torch.tensor([0.4, 0.6], dtype=torch.float64))
    shares, means, widths = torch.tensor([[0.7, 0.3], [0.2, 1.4], [0.25, 0.2]]).double()
    lobes = MixtureSameFamily(Categorical(shares), Normal(means, widths))
    view = torch.linspace(-3, 3, 401, dtype=torch.float64)
    densities = [
        Line(view, model.log_prior(view).exp(), "prior", "prior p(z)"),
        Line(view, log_posterior(model, LEFT)(view).exp(), "posterior", "posterior p(z|x)"),
        Area(view, near.log_prob(view).exp(), "encoder"),
        Line(view, near.log_prob(view).exp(), "encoder", "q(z|x), one bump"),
        Line(view, lobes.log_prob(view).exp(), "encoder", "q(z|x), two bumps", ":"),
    ]
    terms = [decompose(model, q.log_prob, LEFT, RIGHT) for q in (near, lobes)]
    bound = torch.stack([each.elbo for each in terms])
    gap = torch.stack([each.kl_to_posterior for each in terms])
    evidence = terms[0].log_evidence
    place, floor = torch.arange(2.0), torch.full_like(bound, -14.0)
    words = [f"−{-value:.2f}" for value in bound]
    bars = [
        Bars(place, floor, bound, "encoder", words=words),
        Bars(place, bound, bound + gap, words=[f"gap {value:.2f}" for value in gap]),
        Line(torch.tensor([-0.5, 1.5]), evidence.expand(2), "data", "log p(x)"),
    ]
    limits = {"ylim": (-14, -1), "xticks": range(2), "xticklabels": ["one bump", "two bumps"]}
    figure = panels(
        Panel(densities, "latent z", "density", legend=True, axes={"ylim": (0, 2.6)}),
        Panel(bars, "", "bound and gap, nats", axes=limits),
    )
    figure.get_layout_engine().set(rect=(0, 0, 0.98, 1))  # no word touches the edge
    return figure
