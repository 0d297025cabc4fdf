"""The digits: 1,797 scans of 8 by 8 pixels, kept with the package: nothing is downloaded."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from vae_tutorial import require
from vae_tutorial.noise import standard_normal

GREY_STEP = 1 / 16  # pixels take 17 values, 0 to 16, here divided by 16
FILE = Path(__file__).parent / "trained" / "digits.safetensors"  # by tools/make_digits.py


class Digits(NamedTuple):
    """Images (n, 64) with pixels in [0, 1], and labels (n,) from 0 to 9."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor


def load_digits(dtype: torch.dtype = torch.float32) -> Digits:
    """1,500 training and 297 test digits, split by class in proportion, the same way every time.

    The file names its licence. Raises TypeError unless `dtype` is floating point.
    Source: Alpaydin & Kaynak 1998, by way of scikit-learn.
    """
    if not dtype.is_floating_point:
        raise TypeError(f"dtype must be floating point, got {dtype}: pixels are multiples of 1/16")
    kept = load_file(FILE)  # grey levels (n, 64) and labels (n,), uint8
    return Digits(
        kept["train"].to(dtype) * GREY_STEP,
        kept["train_labels"].long(),
        kept["test"].to(dtype) * GREY_STEP,
        kept["test_labels"].long(),
    )


@require.shapes(images="...: fraction")
def binarize(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each pixel becomes 1 with the probability that its grey level states, else 0; same shape.

    Source: Burda et al. 2016.

    >>> from vae_tutorial.noise import generator
    >>> binarize(torch.tensor([[0.0, 1.0]]), generator(0))
    tensor([[0., 1.]])
    """
    require.generator(generator)
    uniform = torch.rand(images.shape, generator=generator, dtype=torch.float64)
    return (uniform.to(images.device) < images).to(images.dtype)


def minibatches(images: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """One epoch: images (n, pixels) in a fresh random order, yielded as (batch, pixels).

    A last incomplete batch is left out, so that every step averages over as many images.
    Raises ValueError if `batch_size` is below 1 or above n, or if there are no images.

    >>> from vae_tutorial.noise import generator
    >>> [tuple(batch.shape) for batch in minibatches(torch.ones(5, 64), 2, generator(0))]
    [(2, 64), (2, 64)]
    """
    require.floating("images", images)
    if images.ndim == 0 or images.numel() == 0:
        raise ValueError(f"images needs at least one image, got shape {tuple(images.shape)}")
    require.count("batch_size", batch_size)
    if batch_size > len(images):
        raise ValueError(
            f"batch_size must be at most the number of images, {len(images)}, got {batch_size}"
        )
    require.generator(generator)
    order = torch.randperm(len(images), generator=generator)  # (n,)
    for start in range(0, len(images) - batch_size + 1, batch_size):
        rows = order[start : start + batch_size].to(images.device)
        yield images.index_select(0, rows)  # (batch, pixels); a third of the time of images[rows]


def with_noise(
    batches: Iterable[Tensor], latent: int, num_samples: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each batch (batch, pixels) with noise (K, batch, latent) from N(0, I), drawn in its turn."""
    for batch in batches:
        shape = (num_samples, len(batch), latent)
        yield batch, standard_normal(shape, generator, like=batch)
