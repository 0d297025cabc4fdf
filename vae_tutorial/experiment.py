"""What every experiment starts and ends with: a seeded generator, and a printed check."""

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


def check(claim: str, holds: bool) -> None:
    """Print that `claim` passed, or raise AssertionError: the lines that regression-test a page."""
    if not holds:
        raise AssertionError(f"check failed: {claim}")
    print(f"passed: {claim}")


def check_close(
    claim: str, seen: Tensor | float, expected: Tensor | float, tolerance: float
) -> None:
    """Check that `seen` and `expected` differ by at most `tolerance` everywhere.

    The residual is named when the check fails, and not printed when it passes: its last digits
    differ between processors.
    """
    pair = (torch.as_tensor(value, dtype=torch.float64).detach() for value in (seen, expected))
    residual = float(torch.sub(*pair).abs().max())
    if not residual <= tolerance:
        raise AssertionError(f"check failed: {claim}: off by {residual:.3g}, allowed {tolerance:g}")
    print(f"passed: {claim} (to {tolerance:g})")
