"""What every experiment draws, and how far an average of draws may be off.

A seeded generator, noise that repeats, and the mean of repetitions with its standard error.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import require


class Estimate(NamedTuple):
    """An average over independent repetitions, and its standard error, of equal shape."""

    mean: Tensor
    standard_error: Tensor


def generator(seed: int) -> torch.Generator:
    """A fresh CPU random generator; every experiment of the book makes its own."""
    return torch.Generator().manual_seed(seed)


def standard_normal(
    shape: tuple[int, ...], generator: torch.Generator, like: Tensor | None = None
) -> Tensor:
    """Noise from N(0, I), with the dtype and device of `like` (float64 on the CPU by default).

    Always drawn in float64 on the CPU and then converted: float32 draws differ between processors.

    >>> torch.equal(standard_normal((3, 2), generator(1)), standard_normal((3, 2), generator(1)))
    True
    """
    require.generator(generator)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    return noise if like is None else noise.to(like)


@require.shapes(draws="n>=2 *rest")
def mean_and_error(draws: Tensor) -> Estimate:
    """The mean of n independent draws, with its standard error: (n, ...) to (...) each.

    Book: eq-standard-error.

    >>> estimate = mean_and_error(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    >>> print(f"{estimate.mean:.2f} ± {estimate.standard_error:.4f}")
    2.50 ± 0.6455
    """
    return Estimate(draws.mean(0), draws.std(0) / math.sqrt(len(draws)))
