"""Adam, the optimiser, as a pure function of parameters, moments and gradients."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import require

DECAY = (0.9, 0.999)  # how much of the old moments Adam keeps
EPSILON = 1e-8

Tensors = dict[str, Tensor]  # one entry a parameter, by its name in the model


class Moments(NamedTuple):
    """Adam's running averages of the gradient and of its square, shaped like the parameters."""

    first: Tensors
    second: Tensors


class Coefficients(NamedTuple):
    """The three numbers of a step that are the same for every parameter: () each."""

    learning_rate: Tensor  # η
    first_correction: Tensor  # 1 − β₁ᵗ
    second_correction: Tensor  # 1 − β₂ᵗ


def zero_moments(parameters: Tensors) -> Moments:
    """Where both of Adam's averages start. Book: eq-adam."""
    return Moments(*({n: torch.zeros_like(p) for n, p in parameters.items()} for _ in range(2)))


def adam_coefficients(count: int, learning_rate: float, like: Tensor) -> Coefficients:
    """Those of step t = `count` ≥ 1, with the dtype and device of `like`.

    Adam's averages begin at zero and are divided by the two corrections. Raises ValueError
    unless the count is at least 1, and the rate positive and finite in that dtype. Book: eq-adam.

    >>> adam_coefficients(1, 0.5, like=torch.zeros(()))
    Coefficients(learning_rate=tensor(0.5000), first_correction=tensor(0.1000), \
second_correction=tensor(0.0010))
    """
    require.count("count", count)
    limits = torch.finfo(like.dtype)
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate must be positive and finite, got {learning_rate}")
    if not limits.tiny <= learning_rate <= limits.max:
        seen = f"{learning_rate:g}, which {like.dtype} cannot hold"
        raise ValueError(f"learning_rate must be positive and finite, got {seen}")
    values = like.new_tensor([learning_rate, *(1 - decay**count for decay in DECAY)])  # (3,)
    return Coefficients(*values.unbind())


def adam(
    parameters: Tensors, moments: Moments, gradients: Tensors, coefficients: Coefficients
) -> tuple[Tensors, Moments]:
    """One step against the gradients: new parameters, new moments, the old left alone.

    Source: Kingma & Ba 2015, algorithm 1. Book: eq-adam.

    Whatever its size, a gradient's first step is one learning rate long:

    >>> start = {"weight": torch.tensor([1.0, 1.0])}
    >>> gradients = {"weight": torch.tensor([0.001, -1000.0])}
    >>> first = adam_coefficients(1, 0.5, like=start["weight"])
    >>> adam(start, zero_moments(start), gradients, first)[0]
    {'weight': tensor([0.5000, 1.5000])}
    """
    learning_rate, first_correction, second_correction = coefficients
    updated, first, second = {}, {}, {}
    for name, g in gradients.items():
        m, v = moments.first[name], moments.second[name]
        first[name] = m = DECAY[0] * m + (1 - DECAY[0]) * g
        second[name] = v = DECAY[1] * v + (1 - DECAY[1]) * g.square()
        shift = m / first_correction / ((v / second_correction).sqrt() + EPSILON)
        updated[name] = parameters[name] - learning_rate * shift
    return updated, Moments(first, second)
