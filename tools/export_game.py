"""The static picture of the live figure game-pad, where both densities of a game are known."""

import math

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from vae_tutorial.adversarial import Divergences, best_discriminator, divergences
from vae_tutorial.gaussians import log_normal
from vae_tutorial.plotting import INKS, Line, Marks, Panel, panels
from vae_tutorial.quadrature import Rule, trapezoid


def mixture(*pieces: tuple[float, float, float]) -> MixtureSameFamily:
    """A law on the line, from shares, means and widths, in float64."""
    shares, means, widths = torch.tensor(pieces, dtype=torch.float64).unbind(-1)
    return MixtureSameFamily(Categorical(shares), Normal(means, widths))


LAWS = {  # as in exact-game.js
    "two": mixture((0.5, -2, 0.6), (0.5, 2, 0.6)),
    "one": mixture((1, 0, 1)),
    "skewed": mixture((0.7, -1, 0.5), (0.3, 1.5, 1.2)),
}
LONG = 0.9  # units of the mean: an arrow that stands for a very steep slope


def log_made(rule: Rule, parameters: Tensor) -> Tensor:
    """log p_g at the nodes (n,), from its mean and the logarithm of its width (2,)."""
    return log_normal(rule.nodes[:, None], parameters[:1], 2 * parameters[1:])


def named(found: Divergences) -> dict[str, Tensor]:
    """The four divergences by the script's names."""
    return {
        "likelihood": found.forward,
        "reverse": found.reverse,
        "saturating": 2 * found.jensen_shannon,
        "nonSaturating": found.non_saturating,
    }


ARROWS = {  # name: ink, dash, words
    "likelihood": ("data", "-", "KL(p‖p_g)"),
    "reverse": ("data", "--", "KL(p_g‖p)"),
    "saturating": ("rival", "--", "2 JS"),
    "nonSaturating": ("rival", "-", "KL(p_g‖p) − 2 JS"),
}


def picture() -> Figure:
    """Where the live figure begins: N(1, 0.5²) beside two modes, four arrows, and D*."""
    rule, start = trapezoid(-30, 30, 2001), [1.0, math.log(0.5)]
    parameters = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    found = named(divergences(LAWS["two"].log_prob(rule.nodes), log_made(rule, parameters), rule))
    arrows = []
    for name, (ink, dash, words) in ARROWS.items():
        (slope,) = torch.autograd.grad(found[name], parameters, retain_graph=True)
        size = slope.norm()
        ends = parameters.detach() - LONG * (size / (1 + size)).sqrt() / size * slope
        way = torch.stack([parameters.detach(), ends])  # (2, 2)
        arrows.append(Line(way[:, 0], way[:, 1].exp().log2(), ink, words, dash))
        arrows.append(Marks(way[1:, 0], way[1:, 1].exp().log2(), ink, shape=">"))
    x = torch.linspace(-5, 5, 401, dtype=torch.float64)
    log_data = LAWS["two"].log_prob(x)
    log_g = Normal(*torch.tensor([1.0, 0.5], dtype=torch.float64)).log_prob(x)
    laws = [Line(x, log_data.exp(), "data", "p"), Line(x, log_g.exp(), "decoder", "p_g")]
    judged = [Line(x, best_discriminator(log_data, log_g), "rival", "D*", "-")]
    widths = {"yticks": [-2, -1, 0, 1], "yticklabels": ["1/4", "1/2", "1", "2"]}
    figure = panels(
        Panel(arrows, "mean of p_g", "width of p_g", legend=True,
              axes={"xlim": (-4, 4), "ylim": (-2, 1.5), **widths}),
        Panel([*laws, *judged], "x", "density; D*(x)", legend=True, axes={"ylim": (0, 1.3)}),
        height=2.9,
    )  # fmt: skip
    figure.axes[0].plot([1], [-1], "o", color=INKS["decoder"][0])
    return figure
