"""What the live figure rate-distortion needs: the digits' spectrum, and a picture for paper."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vae_tutorial.data import load_digits
from vae_tutorial.linear import most_likely_at, optimal_encoder, rate_law, spectrum
from vae_tutorial.plotting import INKS, abreast

LOWEST, BEGIN = 10**-2.3, 10**-1.3  # σ²: the slider's least, and where it begins
DIGIT = 3
MARK = 32.0  # σ² of the loss that is marked: a mean over 64 pixels plus the KL


def ten_digits() -> Tensor:
    """The first test digit of each class, (10, 64)."""
    digits = load_digits(torch.float64)
    first = [int((digits.test_labels == label).nonzero()[0]) for label in range(10)]
    return digits.test[first]


def exported() -> dict[str, Tensor | list[float]]:
    """Mean and eigenvalues, and the axes (kept, 64) whose eigenvalues exceed the least σ².

    The best model never uses the other axes. Of those without any variance, computers differ.
    An axis may point either way; here its largest entry is positive.
    """
    data = spectrum(load_digits(torch.float64).train)
    axes = data.axes.T[data.eigenvalues > LOWEST]  # (kept, 64)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))  # (kept, 1)
    eigenvalues = [round(value, 9) for value in data.eigenvalues.tolist()]
    axes = axes * largest.sign()
    return {"eigenvalues": eigenvalues, "axes": axes, "mean": data.mean, "digits": ten_digits()}


def copies(images: Tensor, variance: float) -> Tensor:
    """Images (n, 64) through the best linear VAE with 64 latents: posterior mean, decoded."""
    data = spectrum(load_digits(torch.float64).train)
    model = most_likely_at(data, 64, torch.tensor(variance, dtype=torch.float64))
    return optimal_encoder(model).mean(images) @ model.weight.T + model.offset


def picture() -> Figure:
    """Eigenvalues against σ², the rate-distortion curve with a tangent, and one digit's copy."""
    data = spectrum(load_digits(torch.float64).train)
    shown, image = data.eigenvalues[:48].numpy(), ten_digits()[DIGIT]
    begin = torch.tensor(BEGIN, dtype=torch.float64)
    line = rate_law(data.eigenvalues, torch.logspace(-2.3, 0.08, 200).double(), 64)
    rate, error = (value.item() for value in rate_law(data.eigenvalues, begin, 64))
    decoder, dash, width = INKS["decoder"]
    level = {"color": decoder, "linestyle": dash, "linewidth": width}
    with abreast(3, 2.7) as (figure, (left, middle, right)):
        left.axhspan(10**-2.5, BEGIN, color=decoder, alpha=0.2, linewidth=0)
        left.bar(range(1, 49), shown, color="#222222", width=0.8)
        left.bar(range(1, 49), shown.clip(max=BEGIN), color="#AAAAAA", width=0.8)
        left.axhline(BEGIN, **level)
        left.text(48, BEGIN * 1.25, "σ²", color=decoder, ha="right", va="bottom")
        left.plot(48, MARK, "<", color=decoder)
        left.text(44, MARK, "your loss", color=decoder, ha="right", va="center")
        left.set(yscale="log", ylim=(10**-2.5, 10**1.75), xlim=(0, 49))
        left.set(xlabel="eigenvalue, the largest first", ylabel="eigenvalue and σ²")
        tangent = [rate + (error - end) / (2 * BEGIN) for end in (0, 5)]
        middle.plot([0, 5], tangent, **level)
        middle.plot(line.squared_error, line.rate, color="#222222", linewidth=1.8)
        middle.plot(error, rate, "o", color=INKS["encoder"][0], markeredgecolor="white")
        middle.text(4.9, 50, "slope $-1/2σ^2$", color=decoder, ha="right")
        middle.set(xlim=(0, 5), ylim=(0, 60))
        middle.set(xlabel="squared error per image", ylabel="rate, nats per image")
        right.set_axis_off()
        stack = {"digit": image, "its copy": copies(image, BEGIN), "mean image": data.mean}
        for i, (name, pixels) in enumerate(stack.items()):
            box = right.inset_axes((0.5, 0.7 - 0.35 * i, 0.45, 0.3))
            grey = {"cmap": "gray_r", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
            box.imshow(pixels.reshape(8, 8).numpy(), **grey)
            box.set(xticks=[], yticks=[])
            box.set_ylabel(name, rotation=0, ha="right", va="center")
    return figure
