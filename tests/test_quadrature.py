"""Rules against scipy, exact moments, and the error that Poisson summation predicts."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import distributions

from vae_tutorial.quadrature import gauss_hermite, gauss_legendre, grid, product, trapezoid


@pytest.mark.equation("eq-quadrature")
@pytest.mark.parametrize("num_nodes", [1, 2, 5, 9])
def test_gauss_legendre_is_exact_up_to_degree_2n_minus_1(num_nodes):
    nodes, weights = gauss_legendre(-1.0, 3.0, num_nodes)
    assert nodes.shape == weights.shape == (num_nodes,)
    for degree in range(2 * num_nodes):
        exact = (3.0 ** (degree + 1) - (-1.0) ** (degree + 1)) / (degree + 1)
        assert float((weights * nodes**degree).sum()) == pytest.approx(exact, rel=1e-12)


@pytest.mark.equation("eq-quadrature")
@pytest.mark.parametrize("num_nodes", [2, 3, 10])
def test_trapezoid_is_scipys(num_nodes):
    nodes, weights = trapezoid(-1.0, 3.0, num_nodes)
    assert nodes.dtype == weights.dtype == torch.float64
    grid = np.linspace(-1.0, 3.0, num_nodes)
    seen = float((weights * nodes.exp()).sum())
    assert seen == pytest.approx(integrate.trapezoid(np.exp(grid), grid), rel=1e-13)


@pytest.mark.parametrize("num_nodes", [15, 17, 21, 25])
def test_trapezoid_error_on_a_gaussian_follows_poisson_summation(num_nodes):
    """The first term of the series, 2 cos(2π · mean / h) exp(−2 (π s / h)²), with a node at 0."""
    nodes, weights = trapezoid(-8, 8, num_nodes)
    step, mean, scale = 16 / (num_nodes - 1), 0.4, 0.6
    gaussian = distributions.Normal(*torch.tensor([mean, scale], dtype=torch.float64))
    error = float((weights * gaussian.log_prob(nodes).exp()).sum()) - 1
    size = 2 * math.exp(-2 * (math.pi * scale / step) ** 2)
    assert error == pytest.approx(size * math.cos(2 * math.pi * 0.4 / step), abs=0.02 * size)


@pytest.mark.equation("eq-trapezoid-error")
@pytest.mark.parametrize("num_nodes", [15, 17, 21, 25])
@pytest.mark.parametrize("mean", [0.0, 0.25, 0.4])
def test_trapezoid_error_on_a_gaussian_stays_below_its_bound(mean, num_nodes):
    """It is reached where a node stands on the mean: every term of the series is positive there."""
    nodes, weights = trapezoid(-8, 8, num_nodes)
    step = 16 / (num_nodes - 1)
    error = float((weights * torch.from_numpy(stats.norm.pdf(nodes, mean, 0.6))).sum()) - 1
    bound = sum(2 * math.exp(-2 * (k * math.pi * 0.6 / step) ** 2) for k in range(1, 9))
    assert abs(error) <= bound + 1e-15
    if mean == 0.0:
        assert error == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize("num_nodes", [1, 0, -3])
def test_too_few_nodes(num_nodes):
    with pytest.raises(ValueError, match="num_nodes must be at least 2"):
        trapezoid(0.0, 1.0, num_nodes)
    with pytest.raises(ValueError, match="num_nodes must be at least 1"):
        gauss_legendre(0.0, 1.0, min(num_nodes, 0))


@pytest.mark.equation("eq-quadrature")
@pytest.mark.parametrize("num_nodes", [1, 2, 5, 20])
def test_gauss_hermite_gives_the_moments_of_a_standard_normal(num_nodes):
    nodes, weights = gauss_hermite(num_nodes)
    assert float(weights.sum()) == pytest.approx(1.0, rel=1e-13)
    for degree in range(0, 2 * num_nodes, 2):
        exact = special.factorial2(degree - 1) if degree else 1.0  # E[ε^2k] = (2k − 1)!!
        assert float((weights * nodes**degree).sum()) == pytest.approx(exact, rel=1e-10)
        assert float((weights * nodes ** (degree + 1)).sum()) == pytest.approx(0, abs=exact * 1e-9)


def test_a_grid_holds_every_combination_once():
    points = torch.tensor([-1.0, 0.5, 4.0])
    pairs = [(float(a), float(b)) for a in points for b in points]
    assert [tuple(row) for row in grid(points, 2).tolist()] == pairs
    assert torch.equal(grid(points, 1), points[:, None])
    with pytest.raises(TypeError, match="latent must be a whole number"):
        grid(points, 1.5)


@pytest.mark.equation("eq-quadrature")
def test_a_product_integrates_what_factors_axis_by_axis():
    rule = gauss_legendre(-1.0, 2.0, 6)
    nodes, weights = product(rule, 2)
    assert nodes.shape == (36, 2)
    assert weights.shape == (36,)
    seen = float((weights * nodes[:, 0].exp() * nodes[:, 1] ** 2).sum())
    assert seen == pytest.approx((math.exp(2) - math.exp(-1)) * 3.0, rel=1e-8)
    line = product(rule, 1)
    assert torch.equal(line.nodes, rule.nodes[:, None])
    assert torch.equal(line.weights, rule.weights)
    with pytest.raises(ValueError, match="latent must be at least 1, got 0"):
        product(rule, 0)
