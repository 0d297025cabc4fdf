"""What the live figure implied-noise shows without scripts: a mean over pixels and 0.00025 KL."""

import math

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vae_tutorial.data import load_digits
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.plotting import INKS, abreast
from vae_tutorial.rate_distortion import implied_variance

GREY = 255  # levels that a pixel in [0, 1] has in a file
WEIGHT, PIXELS = 0.00025, 3 * 64 * 64  # a mean over the pixels, plus WEIGHT KL
BELIEVED = 10.0  # σ in grey levels
DIGIT = 1  # of the test digits, counted from 0
LOWEST, HIGHEST = 10**-2, 10**5.2  # σ in grey levels, on the scale


def stated() -> float:
    """The σ of the loss, in grey levels."""
    weight, charge = torch.tensor([WEIGHT, 1 / PIXELS], dtype=torch.float64)
    return GREY * math.sqrt(implied_variance(weight, charge))


def noisy(digit: Tensor, levels: float) -> Tensor:
    """An image (64,) with noise of a σ in grey levels, as far as a pixel can show it, (64,)."""
    noise = standard_normal((len(digit),), generator(7))  # (64,), the same for every σ
    return (digit + levels / GREY * noise).clamp(0, 1)


def draw_scale(axes: Axes) -> None:
    """Two marks on a scale of σ, and the σ from which on the mean image is best."""
    useless = GREY * math.sqrt(PIXELS / 4)
    axes.axvspan(useless, HIGHEST, color=INKS["rival"][0], alpha=0.2, linewidth=0)
    axes.text(0.8 * useless, 0.9, "mean image best →", color=INKS["rival"][0], ha="right")
    axes.plot(BELIEVED, 0.2, "o", color="#222222")
    axes.text(1.6 * BELIEVED, 0.2, "you", color="#222222", va="center")
    color = INKS["decoder"][0]
    axes.plot(stated(), 0.64, "o", color=color)
    axes.text(stated() / 1.6, 0.64, "your loss", color=color, ha="right", va="center")
    arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (stated(), 0.42), (BELIEVED, 0.42), arrowprops=arrow)
    axes.set(xscale="log", xlim=(LOWEST, HIGHEST), ylim=(0, 1), yticks=[])
    axes.set(xlabel="σ, grey levels of 255")


def draw_digits(axes: Axes) -> None:
    """A digit, and with noise of both σ."""
    digit = load_digits(torch.float64).test[DIGIT]
    shown = {
        "digit": digit,
        "your loss": noisy(digit, stated()),
        "your σ": noisy(digit, BELIEVED),
    }
    axes.set_axis_off()
    for i, (name, pixels) in enumerate(shown.items()):
        box = axes.inset_axes((0.02 + 0.34 * i, 0.2, 0.3, 0.7))
        grey = {"cmap": "gray_r", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
        box.imshow(pixels.reshape(8, 8).numpy(), **grey)
        box.set(xticks=[], yticks=[], xlabel=name)


def picture() -> Figure:
    """The σ that the loss states on a scale, beside a believed one, and what both do to a digit."""
    with abreast(2, 2.2) as (figure, (scale, digits)):
        draw_scale(scale)
        draw_digits(digits)
    return figure
