"""A claim of a page, checked: one printed line, or an error that names what is off."""

import torch
from torch import Tensor


def check(claim: str, holds: bool) -> None:
    """Print that `claim` passed, or raise AssertionError: the lines that regression-test a page.

    >>> check("two and two are four", 2 + 2 == 4)
    passed: two and two are four
    """
    if not holds:
        raise AssertionError(f"check failed: {claim}")
    print(f"passed: {claim}")


def check_close(
    claim: str, value: Tensor | float, expected: Tensor | float, tolerance: float
) -> None:
    """Check that `value` and `expected` differ by at most `tolerance` everywhere.

    The residual is named when the check fails, and not printed when it passes: its last digits
    differ between processors.

    >>> check_close("a third", torch.tensor(1.0) / 3, 0.333333, 1e-6)
    passed: a third (to 1e-06)
    """
    pair = (torch.as_tensor(side, dtype=torch.float64).detach() for side in (value, expected))
    residual = float(torch.sub(*pair).abs().max())
    if not residual <= tolerance:
        raise AssertionError(f"check failed: {claim}: off by {residual:.3g}, allowed {tolerance:g}")
    print(f"passed: {claim} (to {tolerance:g})")
