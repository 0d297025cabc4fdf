"""What the two latent pads need: decoders, places of digits, and pictures without scripts."""

import base64
from functools import cache

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor

from vae_tutorial import pretrained
from vae_tutorial.data import load_digits
from vae_tutorial.likelihoods import GaussianPixels, SharedVariance
from vae_tutorial.models import VAE, DiagonalEncoder, network
from vae_tutorial.noise import generator
from vae_tutorial.pictures import DIGIT_COLOURS
from vae_tutorial.plotting import INKS, styled
from vae_tutorial.training import fit

ROOM = 0.15  # of a latent, between the outermost mean and the edge of the plane
STEP = 0.05  # of the pads' sliders: the planes' edges lie on steps
SHOWN = (1.2, -1.4)  # where the pad of chapter 9 begins, and what its picture shows
MNIST_SHOWN = (0.5, 1.0)  # the same for the pad of the landing page
MNIST_OUTSIDE = 0.01  # of the means, on each side: few lie far out, where all tiles are alike
NEIGHBOURS = 15  # of a mean, that are asked for their class
TILES, MNIST_TILES = 13, 15  # of a plane, in each direction


def float32(values: Tensor) -> str:
    """Numbers of any shape, little-endian float32, in base64: VAE_LIVE.float32 reads them."""
    return base64.b64encode(values.numpy(force=True).astype("<f4").tobytes()).decode()


def linear(model: VAE) -> list[torch.nn.Linear]:
    """The layers of the decoder that have weights."""
    return [layer for layer in model.decoder if isinstance(layer, torch.nn.Linear)]


@cache
def chapter_9() -> VAE:
    """The VAE of chapter 9, trained by the recipe of its page, in float64.

    The page trains in float32; on two instruction sets the means differ by at most 2e-5.
    """
    weights = generator(0)
    maps = DiagonalEncoder(64, 128, 2, weights), network([2, 128, 64], weights)
    start = VAE(*maps, GaussianPixels(SharedVariance(0.1))).double()
    settings = {"epochs": 100, "batch_size": 300, "learning_rate": 0.01}
    images = load_digits(torch.float64).train
    return fit(start, images, generator=generator(10), **settings).model.requires_grad_(False)


def edges(means: Tensor, share: float = 0.0) -> dict[str, list[float]]:
    """A square around the means, its sides on steps of the sliders.

    On each side of each latent the outermost `share` of them may be left out.
    """
    low, high = means.quantile(share, 0) - ROOM, means.quantile(1 - share, 0) + ROOM
    middle = ((low + high) / 2 / STEP).round() * STEP  # (2,)
    reach = torch.maximum(high - middle, middle - low).max().div(STEP).ceil() * STEP
    sides = torch.stack([middle - reach, middle + reach], -1).double()  # (2, 2)
    return dict(zip("xy", sides.mul(100).round().div(100).tolist(), strict=True))


def hearts(means: Tensor, labels: Tensor) -> list[int]:
    """For each class the number of the point that has most of its class around it.

    Where several have as many, the one nearest to the mean of its class. A walk starts and ends
    there: the mean itself may lie among points of another class.
    """
    nearest = torch.cdist(means, means).topk(NEIGHBOURS, largest=False).indices  # (n, 15)
    alike = (labels[nearest] == labels[:, None]).sum(1)  # (n,)
    middles = torch.stack([means[labels == digit].mean(0) for digit in range(10)])
    off = (means - middles[labels]).norm(dim=-1)  # (n,)
    best = alike - off / (1 + off.max())  # (n,), fewer alike is always worse
    return [int(best.where(labels == digit, -best.new_ones(())).argmax()) for digit in range(10)]


def weights() -> dict:
    """The decoder and log σ² of chapter 9's VAE, and its q(z|x) of each training digit."""
    model, digits = chapter_9(), load_digits(torch.float64)
    posterior = model.encoder(digits.train)
    return {
        "decoder": [
            {"weight": float32(layer.weight), "bias": float32(layer.bias)}
            for layer in linear(model)
        ],
        "logVariance": model.likelihood.variance.log_variance.item(),
        "range": edges(posterior.mean),
        "start": SHOWN,
        "hearts": hearts(posterior.mean, digits.train_labels),
        "means": float32(posterior.mean),  # (1500, 2)
        "logVariances": float32(posterior.log_variance),  # (1500, 2)
    }


def eighth(weight: Tensor) -> dict[str, str]:
    """A weight (outputs, inputs) in one byte a number, with a scale for each output, in base64."""
    scale = weight.abs().amax(1) / 127  # (outputs,)
    whole = (weight / scale[:, None]).round()
    bytes_ = whole.numpy(force=True).astype("i1").tobytes()
    return {"weight": base64.b64encode(bytes_).decode(), "scale": float32(scale)}


def mnist_weights() -> dict:
    """The decoder of the landing page's VAE, a byte a weight, and where 1,000 test digits lie."""
    model, places = pretrained.mnist()
    return {
        "decoder": [
            eighth(layer.weight) | {"bias": float32(layer.bias)} for layer in linear(model)
        ],
        "range": edges(places.mean, MNIST_OUTSIDE),
        "start": MNIST_SHOWN,
        "hearts": hearts(places.mean, places.label),
        "means": float32(places.mean),  # (1000, 2)
        "labels": "".join(map(str, places.label.tolist())),
    }


def draw_tiles(axes: Axes, model: VAE, sides: dict, count: int, opacity: float) -> None:
    """What the decoder draws in the middle of each tile of the plane, upright, faint."""
    middles = [
        torch.linspace(low, high, 2 * count + 1, dtype=torch.float64)[1::2]
        for low, high in sides.values()
    ]
    z = torch.stack(torch.meshgrid(middles[0], middles[1].flip(0), indexing="xy"), -1)
    parameter = next(model.parameters())
    pixels = model.decode(z.reshape(-1, 2).to(parameter))
    rows = int(pixels.shape[-1] ** 0.5)
    cells = np.pad(pixels.reshape(-1, rows, rows).numpy(force=True), ((0, 0), (1, 1), (1, 1)))
    sheet = np.block([list(cells[i : i + count]) for i in range(0, count**2, count)])
    axes.imshow(
        1 - opacity * sheet.clip(0, 1),
        cmap="gray",
        vmin=0,
        vmax=1,
        extent=(*sides["x"], *sides["y"]),
        interpolation="antialiased",
    )


def draw_cross(axes: Axes, z: tuple[float, float]) -> None:
    """A ring around z, open in the middle, with four arms."""
    for style in ({"mec": "white", "mew": 5}, {"mec": "#222222", "mew": 2}):
        axes.plot(*z, "o", markersize=17, fillstyle="none", **style)


def draw_image(axes: Axes, pixels: Tensor, title: str) -> None:
    """One digit, magnified."""
    rows = int(len(pixels) ** 0.5)
    image = pixels.reshape(rows, rows).numpy(force=True)
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[], title=title)


def draw_classes(axes: Axes, means: Tensor, labels: Tensor) -> None:
    """Each digit at the mean of its class."""
    for digit, colour in enumerate(DIGIT_COLOURS):
        x, y = means[labels == digit].mean(0).tolist()
        box = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": colour}
        style = {"color": "#222222", "weight": "bold", "ha": "center", "va": "center"}
        axes.text(x, y, str(digit), bbox=box, **style)


def plane() -> tuple[Figure, Axes]:
    """A square plane with its axes named, and room for images to its right."""
    with styled(1, 1, (7.2, 4.8)) as (figure, ((axes,),)):
        figure.get_layout_engine().set(rect=(0, 0, 0.98, 1))  # no frame touches the edge
        axes.set(xlabel="first latent, $z_1$", ylabel="second latent, $z_2$", aspect="equal")
    return figure, axes


def latent_pad() -> Figure:
    """The plane of chapter 9 with one z marked; f(z), and the training digit nearest to it."""
    model, digits = chapter_9(), load_digits(torch.float64)
    posterior = model.encoder(digits.train)
    figure, axes = plane()
    draw_tiles(axes, model, edges(posterior.mean), TILES, 0.3)
    for digit, colour in enumerate(DIGIT_COLOURS):
        points = posterior.mean[digits.train_labels == digit].numpy()
        axes.scatter(*points.T, s=6, color=colour, alpha=0.6, linewidths=0)
    color, dash, _ = INKS["prior"]
    axes.add_patch(Ellipse((0, 0), 4, 4, fill=False, edgecolor=color, linestyle=dash))
    z = torch.tensor(SHOWN, dtype=torch.float64)
    nearest = int((posterior.mean - z).norm(dim=-1).argmin())
    sides = (4 * (posterior.log_variance[nearest] / 2).exp()).tolist()
    middle = posterior.mean[nearest].tolist()
    color = INKS["encoder"][0]
    axes.add_patch(Ellipse(middle, *sides, fill=False, edgecolor=color, linewidth=1.5))
    draw_cross(axes, SHOWN)
    draw_classes(axes, posterior.mean, digits.train_labels)
    draw_image(axes.inset_axes((1.1, 0.56, 0.34, 0.34)), model.decode(z), "f(z) at the ring")
    nearby = f"nearest digit, a {digits.train_labels[nearest]}"
    draw_image(axes.inset_axes((1.1, 0.06, 0.34, 0.34)), digits.train[nearest], nearby)
    return figure


def mnist_pad() -> Figure:
    """The plane of the landing page, tiled with digits, and one of them magnified."""
    model, places = pretrained.mnist()
    figure, axes = plane()
    draw_tiles(axes, model, edges(places.mean, MNIST_OUTSIDE), MNIST_TILES, 0.8)
    draw_cross(axes, MNIST_SHOWN)
    pixels = model.decode(torch.tensor(MNIST_SHOWN))
    draw_image(axes.inset_axes((1.06, 0.3, 0.4, 0.4)), pixels, "f(z) at the ring")
    return figure
