"""A claim of a page, checked: one printed line, or an error that names what is off."""

import torch
from torch import Tensor


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
