"""What every experiment starts with: a seeded generator, and noise that repeats."""

import torch
from torch import Tensor


def generator(seed: int) -> torch.Generator:
    """A fresh CPU random generator; every experiment of the book makes its own."""
    return torch.Generator().manual_seed(seed)


def standard_normal(
    shape: tuple[int, ...], generator: torch.Generator, like: Tensor | None = None
) -> Tensor:
    """Noise from N(0, I), with the dtype and device of `like` (float64 on the CPU by default).

    Always drawn in float64 on the CPU and then converted: float32 draws differ between processors.
    """
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    return noise if like is None else noise.to(like)
