"""What the four maps are made of: linear layers, and the lower triangle of a covariance's root."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from vae_tutorial.arguments import require_event


def network(
    sizes: Sequence[int], generator: torch.Generator, activation: type[nn.Module] = nn.Tanh
) -> nn.Sequential:
    """Linear layers of the given widths, an activation between, weights from `generator`."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # leaves the global generator alone
        for parameter in (linear.weight, linear.bias):  # uniform on ±1/√inputs, as PyTorch's own
            uniform = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data.copy_((2 * uniform - 1) / inputs**0.5)
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


def lower_triangle(entries: Tensor, width: int) -> Tensor:
    """Fill (..., d, d) row by row from (..., d(d+1)/2), the diagonal made positive by exp."""
    require_event("entries", entries, width * (width + 1) // 2)
    rows, columns = torch.tril_indices(width, width)
    position = torch.zeros(width, width, dtype=torch.long)
    position[rows, columns] = torch.arange(len(rows))
    square = entries[..., position]  # (..., d, d); its upper triangle is dropped
    return square.tril(-1) + square.diagonal(dim1=-2, dim2=-1).exp().diag_embed()
