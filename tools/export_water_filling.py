"""What the live figure water-filling shows without scripts: equal shares of six nats."""

import torch
from export_rate_distortion import DIGIT, copies, ten_digits
from matplotlib.figure import Figure
from scipy import optimize
from torch import Tensor

from vae_tutorial.data import load_digits
from vae_tutorial.linear import rate_law, spectrum
from vae_tutorial.plotting import INKS, abreast
from vae_tutorial.rate_distortion import remaining_error

LATENTS, NATS, FLOOR = 20, 6.0, 10**-2.2


def copies_of(images: Tensor, rates: Tensor) -> Tensor:
    """Images (n, 64) where the first axes get these nats: each keeps 1 − exp(−2r) of its part."""
    data = spectrum(load_digits(torch.float64).train)
    axes = data.axes[:, : len(rates)]  # (64, d)
    shares = -(-2 * rates).expm1()  # (d,)
    return data.mean + ((images - data.mean) @ axes * shares) @ axes.mT


def level_of(eigenvalues: Tensor) -> Tensor:
    """The σ² at which the law pays NATS, ()."""

    def excess(power: float) -> float:
        level = torch.tensor(10**power, dtype=torch.float64)
        return float(rate_law(eigenvalues, level, 64).rate) - NATS

    return torch.tensor(10 ** optimize.brentq(excess, -3, 0), dtype=torch.float64)


def picture() -> Figure:
    """Bars with an equal share of the nats, the law with a point above it, and three digits."""
    data, image = spectrum(load_digits(torch.float64).train), ten_digits()[DIGIT]
    rates = torch.full((LATENTS,), NATS / LATENTS, dtype=torch.float64)
    first = data.eigenvalues[:LATENTS]
    left_over = remaining_error(first, rates)  # (20,)
    error = float(left_over.sum() + data.eigenvalues[LATENTS:].sum())
    level = level_of(data.eigenvalues)
    best = float(rate_law(data.eigenvalues, level, 64).squared_error)
    line = rate_law(data.eigenvalues, torch.logspace(-2, 0, 200).double(), 64)
    with abreast(3, 2.7) as (figure, (left, middle, right)):
        left.bar(range(1, LATENTS + 1), first.numpy(), color="#222222", width=0.8)
        left.bar(range(1, LATENTS + 1), left_over.numpy(), color="#AAAAAA", width=0.8)
        left.set(yscale="log", ylim=(FLOOR, 10**0.25), xlim=(0.4, 20.6), xticks=[1, 5, 10, 15, 20])
        left.set(xlabel="latent, by its eigenvalue", ylabel="variance, squared pixels")
        middle.plot(line.squared_error, line.rate, color="#222222", linewidth=1.8)
        middle.plot(best, NATS, "o", color="white", markeredgecolor="#222222")
        middle.plot(error, NATS, "o", color=INKS["encoder"][0], markeredgecolor="white")
        middle.text(error + 0.1, NATS + 0.5, "yours", color=INKS["encoder"][0])
        middle.text(2.15, 8.5, "law", color="#222222")
        middle.set(xlim=(1, 5), ylim=(0, 11))
        middle.set(xlabel="squared error per image", ylabel="rate, nats per image")
        right.set_axis_off()
        stack = {
            "digit": image,
            "your copy": copies_of(image, rates),
            "the law's": copies(image, float(level)),
        }
        for i, (name, pixels) in enumerate(stack.items()):
            box = right.inset_axes((0.5, 0.7 - 0.35 * i, 0.45, 0.3))
            grey = {"cmap": "gray_r", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
            box.imshow(pixels.reshape(8, 8).numpy(), **grey)
            box.set(xticks=[], yticks=[])
            box.set_ylabel(name, rotation=0, ha="right", va="center")
    return figure
