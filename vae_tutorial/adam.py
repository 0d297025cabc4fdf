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


def zero_moments(parameters: Tensors) -> Moments:
    """Where both of Adam's averages start. Book: eq-adam."""
    return Moments(*({n: torch.zeros_like(p) for n, p in parameters.items()} for _ in range(2)))


def adam_scales(count: int, learning_rate: float, like: Tensor) -> Tensor:
    """η, 1 − β₁ᵗ and 1 − β₂ᵗ at step t = `count` ≥ 1: (3,), with the dtype and device of `like`.

    Adam's averages begin at zero and are divided by the last two. Raises ValueError
    unless the count is at least 1 and the rate positive and finite. Book: eq-adam.
    """
    require.count("count", count)
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate must be positive and finite, got {learning_rate}")
    return like.new_tensor([learning_rate, *(1 - decay**count for decay in DECAY)])


def adam(
    parameters: Tensors, moments: Moments, gradients: Tensors, scales: Tensor
) -> tuple[Tensors, Moments]:
    """One step against the gradients: new parameters, new moments, the old left alone.

    Source: Kingma & Ba 2015, algorithm 1. Book: eq-adam.
    """
    learning_rate, *corrections = scales
    updated, first, second = {}, {}, {}
    for name, g in gradients.items():
        m, v = moments.first[name], moments.second[name]
        first[name] = m = DECAY[0] * m + (1 - DECAY[0]) * g
        second[name] = v = DECAY[1] * v + (1 - DECAY[1]) * g.square()
        shift = m / corrections[0] / ((v / corrections[1]).sqrt() + EPSILON)
        updated[name] = parameters[name] - learning_rate * shift
    return updated, Moments(first, second)
