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


def trapezoid(low: float, high: float, num_nodes: int) -> Rule:
    """Equal steps, 2 nodes or more. Source: Trefethen & Weideman 2014.

    Book: eq-quadrature, eq-trapezoid-error.
    """
    require.count("num_nodes - 1", num_nodes - 1)
    nodes = torch.linspace(low, high, num_nodes, dtype=torch.float64)  # (n,)
    weights = torch.full_like(nodes, (high - low) / (num_nodes - 1))
    weights[[0, -1]] /= 2
    return Rule(nodes, weights)


def gauss_legendre(low: float, high: float, num_nodes: int) -> Rule:
    """Exact for polynomials of degree 2 num_nodes − 1. Book: eq-quadrature."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(num_nodes))
    return Rule(low + (nodes + 1) * (high - low) / 2, weights * (high - low) / 2)


def gauss_hermite(num_nodes: int) -> Rule:
    """E[g(ε)] for ε ~ N(0, 1), exact up to degree 2 num_nodes − 1. Book: eq-quadrature."""
    require.count("num_nodes", num_nodes)
    nodes, weights = map(torch.from_numpy, np.polynomial.hermite_e.hermegauss(num_nodes))
    return Rule(nodes, weights / weights.sum())


def product(rule: Rule, latent: int) -> Rule:
    """The same rule (n,) on each of `latent` axes: (n ** latent, latent) and (n ** latent,)."""
    return Rule(grid(rule.nodes, latent), grid(rule.weights, latent).prod(-1))


def grid(points: Tensor, latent: int) -> Tensor:
    """Every combination of `points` (n,) on `latent` axes: (n ** latent, latent).

    Raises ValueError or TypeError unless `latent` is a count.
    """
    require.count("latent", latent)
    return torch.cartesian_prod(*[points] * latent).reshape(-1, latent)
