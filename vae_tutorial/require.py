"""What public functions ask of their arguments: errors that name what was seen and what is needed.

Shapes and types are always checked. Values (finite, positive) are checked too, except inside a
compiled graph, where looking at a value would force the graph to stop.
"""

import torch
from torch import Tensor


def floating(name: str, value: Tensor) -> None:
    """Raise TypeError unless `value` is a floating-point tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if not value.is_floating_point():
        raise TypeError(
            f"{name} must be floating point, got {value.dtype}: use .float() or .double()"
        )


def finite(name: str, value: Tensor) -> None:
    """Raise TypeError unless floating point, ValueError if empty or any entry is not finite."""
    floating(name, value)
    if value.numel() == 0:
        raise ValueError(
            f"{name} is empty, of shape {tuple(value.shape)}: it needs at least one entry"
        )
    if torch.compiler.is_compiling():
        return
    finite = value.isfinite()
    if not finite.all():
        bad = int((~finite).sum())
        raise ValueError(
            f"{name} must be finite, but {bad} of {value.numel()} entries are NaN or inf"
        )


def event(name: str, value: Tensor, width: int | None = None) -> None:
    """Raise ValueError unless `value` is finite with a last axis, of `width` entries if given."""
    finite(name, value)
    if value.ndim == 0:
        raise ValueError(f"{name} needs a last axis (the event), got a scalar")
    if width is not None and value.shape[-1] != width:
        raise ValueError(f"the last axis of {name} must be {width}, got shape {tuple(value.shape)}")


def positive(name: str, value: Tensor) -> None:
    """Raise ValueError unless every entry of `value` is finite and above zero."""
    finite(name, value)
    if not torch.compiler.is_compiling() and not (value > 0).all():
        raise ValueError(f"{name} must be positive, its smallest entry is {float(value.min()):g}")


def between(name: str, value: Tensor, low: float, high: float) -> None:
    """Raise ValueError unless every entry of `value` lies in [low, high]."""
    finite(name, value)
    if not torch.compiler.is_compiling() and not ((value >= low) & (value <= high)).all():
        seen = f"[{float(value.min()):g}, {float(value.max()):g}]"
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], but its entries span {seen}")


def count(name: str, value: int) -> None:
    """Raise TypeError unless `value` is an int, ValueError unless it is at least 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def generator(value: torch.Generator) -> None:
    """Raise TypeError unless `value` is a torch.Generator: None would draw without a seed."""
    if not isinstance(value, torch.Generator):
        seen = f"got {value!r}: make one with noise.generator(seed)"
        raise TypeError(f"generator must be a torch.Generator, {seen}")


def matrix(name: str, value: Tensor, height: int) -> None:
    """Raise ValueError unless `value` is finite with two axes, the first of them `height` long."""
    finite(name, value)
    if value.ndim != 2 or len(value) != height:
        raise ValueError(f"{name} must have {height} rows, got shape {tuple(value.shape)}")


def square(name: str, value: Tensor, width: int | None = None) -> None:
    """Raise ValueError unless the last two axes form a finite square, `width` wide if given."""
    finite(name, value)
    if value.ndim < 2 or value.shape[-1] != value.shape[-2]:
        raise ValueError(f"{name} must end in a square, got shape {tuple(value.shape)}")
    if width is not None and value.shape[-1] != width:
        raise ValueError(f"{name} must be {width} by {width}, got shape {tuple(value.shape)}")


def symmetric(name: str, value: Tensor) -> None:
    """Raise ValueError unless `value` is square and equals its transpose, up to rounding."""
    square(name, value)
    if not torch.compiler.is_compiling() and not torch.allclose(value, value.mT):
        gap = float((value - value.mT).abs().max())
        raise ValueError(f"{name} must be symmetric, but its two halves differ by {gap:.3g}")


def cholesky(name: str, factor: Tensor, width: int | None = None) -> None:
    """Raise ValueError unless `factor` is square, lower triangular and positive on its diagonal."""
    square(name, factor, width)
    if torch.compiler.is_compiling():
        return
    if factor.triu(1).any():
        raise ValueError(f"{name} must be lower triangular, but has entries above its diagonal")
    positive(f"the diagonal of {name}", factor.diagonal(dim1=-2, dim2=-1))
