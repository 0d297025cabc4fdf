"""Pictures of a trained model: what it copies, and what it makes up."""

import io
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vae_tutorial import experiment
from vae_tutorial.checkpoints import write_whole
from vae_tutorial.models import VAE
from vae_tutorial.pictures import image_rows

COLUMNS = 10
SHARPNESS = 150  # dots an inch


@torch.no_grad()
def prior_means(model: VAE, count: int, generator: torch.Generator) -> Tensor:
    """The mean images at `count` draws z ~ N(0, I): (count, pixels)."""
    like = next(model.parameters())
    z = experiment.standard_normal((count, model.encoder.latent), generator, like=like)
    return model.decode(z)  # (count, pixels)


def samples(model: VAE, count: int, seed: int, shape: tuple[int, int]) -> Figure:
    """`count` mean images at draws from the prior, ten a row, of `shape` (height, width)."""
    images = prior_means(model, count, experiment.generator(seed))
    return image_rows({" " * row: part for row, part in enumerate(images.split(COLUMNS))}, shape)


@torch.no_grad()
def reconstructions(model: VAE, images: Tensor, seed: int, shape: tuple[int, int]) -> Figure:
    """Ten held-out images, their reconstructions, and ten mean images at draws from the prior."""
    first = images[:COLUMNS]
    made_up = prior_means(model, COLUMNS, experiment.generator(seed))
    rows = {"held out": first, "copied": model.reconstruct(first), "made up": made_up}
    return image_rows(rows, shape)


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's ending, whole or not at all; raises OSError."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:], dpi=SHARPNESS)
    write_whole(path, buffer.getvalue())
