"""Draw the favicon and the social card: `python press/card.py`. A second run changes no file.

Both show chapter 4's model: a truth that does not move, the bound below it as the mean of q slides,
and the hatched gap between the two.
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Normal

from vae_tutorial.decomposition import decompose, gaussian_decoder
from vae_tutorial.plotting import INKS, styled
from vae_tutorial.quadrature import gauss_legendre, trapezoid

STATIC = Path(__file__).parents[1] / "book" / "_static"
INK, BOUND = INKS["data"][0], INKS["encoder"][0]
PAPER = {"facecolor": "#EEEEEE", "edgecolor": "#888888", "hatch": "/", "linewidth": 0}
SAYS = "Every equation is a function,\nevery function is tested,\nevery gap is a number."
ICON = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="5" fill="#fff"/>
<path d="M4 5 L{curve} L28 5 Z" fill="#ccc"/>
<path d="M2 5 H30" stroke="{ink}" stroke-width="2.5" fill="none"/>
<path d="M{curve}" stroke="{bound}" stroke-width="2.5" fill="none" stroke-linecap="round"/>
</svg>
"""


def slide() -> tuple[Tensor, Tensor, Tensor]:
    """Means of q, the bound at each, and log p(x), in nats: three tensors of shape (81,)."""
    x = torch.tensor([0.6, 1.2], dtype=torch.float64)
    model = gaussian_decoder(lambda z: torch.stack([z, z**2], dim=-1), x, variance=0.25)
    rules = trapezoid(-12, 12, 1201), gauss_legendre(-12, 12, 1000)
    means = torch.linspace(-0.5, 1.3, 81, dtype=torch.float64)
    steps = [decompose(model, Normal(mean, 0.4).log_prob, *rules) for mean in means]
    bound = torch.stack([step.elbo for step in steps])
    gap = torch.stack([step.kl_to_posterior for step in steps])
    return means, bound, bound + gap


def card(means: Tensor, bound: Tensor, evidence: Tensor) -> Figure:
    """The picture that a shared link shows, 1200 by 630 pixels at 100 dots an inch."""
    with styled(1, 1, (12, 6.3)) as (figure, ((axes,),)):
        figure.set_layout_engine("none")
        axes.set_position((0.5, 0.14, 0.34, 0.68))
        axes.fill_between(means, bound, evidence, **PAPER)
        axes.plot(means, evidence, color=INK, linewidth=5)
        axes.plot(means, bound, color=BOUND, linewidth=5)
        axes.axis("off")
        end, low, high = means[-1] + 0.05, bound[-1], evidence[-1]
        axes.text(end, high, "log p(x)", color=INK, fontsize=24, va="center")
        axes.text(end, low, "bound", color=BOUND, fontsize=24, va="center")
        figure.text(0.06, 0.82, "Variational\nautoencoders,\nchecked", fontsize=42, va="top")
        figure.text(0.06, 0.14, SAYS, fontsize=20, color="#444444", linespacing=1.5)
    return figure


def icon(means: Tensor, bound: Tensor, evidence: Tensor) -> str:
    """The favicon as SVG: the same curves in a square of 32."""
    across = 4 + 24 * (means - means[0]) / (means[-1] - means[0])
    down = 5 + 23 * (evidence - bound) / (evidence - bound).max()
    points = [f"{x:.1f} {y:.1f}" for x, y in zip(across[::4], down[::4], strict=True)]
    return ICON.format(curve=" L".join(points), ink=INK, bound=BOUND)


def small_icon(means: Tensor, bound: Tensor, evidence: Tensor) -> Figure:
    """The favicon for what reads no SVG, 180 by 180 pixels."""
    with styled(1, 1, (1.8, 1.8)) as (figure, ((axes,),)):
        figure.set_layout_engine("none")
        axes.set_position((0.1, 0.1, 0.8, 0.8))
        axes.fill_between(means, bound, evidence, facecolor="#CCCCCC", linewidth=0)
        axes.plot(means, evidence, color=INK, linewidth=9)
        axes.plot(means, bound, color=BOUND, linewidth=9)
        axes.axis("off")
    return figure


if __name__ == "__main__":
    drawn = slide()
    (STATIC / "favicon.svg").write_text(icon(*drawn), "utf-8")
    for name, picture in (("card", card(*drawn)), ("favicon", small_icon(*drawn))):
        picture.savefig(STATIC / f"{name}.png", dpi=100, metadata={"Software": None})
