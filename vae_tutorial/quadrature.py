"""Rules: an integral as a weighted sum over nodes, in float64, on an interval or a square."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_tutorial import require


class Rule(NamedTuple):
    """∫ g(z) dz ≈ Σ weights · g(nodes), float64. Book: eq-quadrature."""

    nodes: Tensor  # (n,), or (n, latent)
    weights: Tensor  # (n,)


@require.shapes(low="number", high="number", num_nodes="count>=2")
def trapezoid(low: float, high: float, num_nodes: int) -> Rule:
    """The trapezoidal rule on [low, high]: equal steps, and half a weight at each end.

    Source: Trefethen & Weideman 2014. Book: eq-quadrature, eq-trapezoid-error.

    >>> trapezoid(0.0, 1.0, 3).weights
    tensor([0.2500, 0.5000, 0.2500], dtype=torch.float64)
    """
    nodes = torch.linspace(low, high, num_nodes, dtype=torch.float64)  # (n,)
    weights = torch.full_like(nodes, (high - low) / (num_nodes - 1))
    weights[[0, -1]] /= 2
    return Rule(nodes, weights)


@require.shapes(low="number", high="number", num_nodes="count")
def gauss_legendre(low: float, high: float, num_nodes: int) -> Rule:
    """Gauss's rule on [low, high], exact for polynomials of degree 2 num_nodes − 1.

    Book: eq-quadrature.

    >>> nodes, weights = gauss_legendre(0.0, 1.0, 2)
    >>> print(f"{(weights * nodes**3).sum():.4f}")
    0.2500
    """
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(num_nodes))
    return Rule(low + (nodes + 1) * (high - low) / 2, weights * (high - low) / 2)


@require.shapes(num_nodes="count")
def gauss_hermite(num_nodes: int) -> Rule:
    """E[g(ε)] for ε ~ N(0, 1) as a sum, exact for polynomials of degree 2 num_nodes − 1.

    Raises ValueError beyond 370 nodes, where the weights leave the range of float64.
    Book: eq-quadrature.

    >>> nodes, weights = gauss_hermite(3)
    >>> print(f"{(weights * nodes**4).sum():.4f}")  # the fourth moment of N(0, 1)
    3.0000
    """
    with np.errstate(all="ignore"):  # what overflows is refused below
        nodes, weights = map(torch.from_numpy, np.polynomial.hermite_e.hermegauss(num_nodes))
    if not (weights > 0).all():
        raise ValueError(f"num_nodes must be at most 370, got {num_nodes}: float64 ends there")
    return Rule(nodes, weights / weights.sum())


@require.shapes(latent="count")
def product(rule: Rule, latent: int) -> Rule:
    """The same rule (n,) on each of `latent` axes: (n ** latent, latent) and (n ** latent,).

    >>> nodes, weights = product(gauss_hermite(3), 2)
    >>> print(tuple(nodes.shape), f"{(weights * nodes.square().sum(-1)).sum():.4f}")
    (9, 2) 2.0000
    """
    return Rule(grid(rule.nodes, latent), grid(rule.weights, latent).prod(-1))


@require.shapes(points="n", latent="count")
def grid(points: Tensor, latent: int) -> Tensor:
    """Every combination of `points` (n,) on `latent` axes: (n ** latent, latent).

    >>> grid(torch.tensor([0.0, 1.0]), 2)
    tensor([[0., 0.],
            [0., 1.],
            [1., 0.],
            [1., 1.]])
    """
    return torch.cartesian_prod(*[points] * latent).reshape(-1, latent)
