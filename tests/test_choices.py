"""Warm-up and free bits against their definitions; the law of free bits against a search."""

import math
from itertools import pairwise

import pytest
import scipy.optimize
import torch
from torch.distributions import Normal, kl_divergence

from vae_tutorial.choices import free_bits, free_bits_law, kl_by_latent, warm_up
from vae_tutorial.linear import rate_law
from vae_tutorial.models import DiagonalPosterior
from vae_tutorial.noise import generator, standard_normal


def posterior(batch=7, latent=3):
    mean, log_variance = standard_normal((2, batch, latent), generator(0))
    return DiagonalPosterior(mean, log_variance)


@pytest.mark.equation("eq-warm-up")
def test_the_weight_rises_evenly_and_stays_at_one():
    weights = [warm_up(step, 50) for step in range(1, 101)]
    assert weights[0] == 1 / 50
    assert weights[49:] == [1.0] * 51
    rises = [after - before for before, after in pairwise(weights[:50])]
    assert rises == pytest.approx([1 / 50] * 49)


@pytest.mark.parametrize("arguments", [(0, 5), (5, 0), (1.5, 5)])
def test_steps_are_counted_from_one(arguments):
    with pytest.raises((TypeError, ValueError)):
        warm_up(*arguments)


def test_each_latent_pays_what_torch_says():
    q = posterior()
    prior = Normal(torch.zeros(3).double(), torch.ones(3).double())
    expected = kl_divergence(Normal(q.mean, (0.5 * q.log_variance).exp()), prior)
    torch.testing.assert_close(kl_by_latent(q), expected)
    torch.testing.assert_close(kl_by_latent(q).sum(-1), q.kl_to_prior())


@pytest.mark.equation("eq-free-bits")
@pytest.mark.parametrize("floor", [0.1, 1.0, 10.0])
def test_a_latent_pays_its_average_or_the_floor(floor):
    kl = kl_by_latent(posterior())
    expected = sum(max(floor, kl[:, j].mean().item()) for j in range(3))
    assert free_bits(kl, floor).item() == pytest.approx(expected)


def test_the_average_is_taken_before_the_floor():
    kl = torch.tensor([[0.0], [2.0]])
    assert free_bits(kl, 1.5).item() == 1.5  # and not the mean of 1.5 and 2
    assert free_bits(kl, 0.5).item() == 1.0


def test_no_gradient_passes_below_the_floor():
    kl = torch.tensor([[0.2, 3.0], [0.4, 1.0]], requires_grad=True)
    free_bits(kl, 0.5).backward()
    assert kl.grad.tolist() == [[0.0, 0.5], [0.0, 0.5]]


@pytest.mark.equation("eq-free-law")
@pytest.mark.parametrize("eigenvalue", [3.0, 1.2, 0.5, 0.02])
@pytest.mark.parametrize("floor", [0.05, 0.5])
def test_the_law_is_what_a_search_over_linear_maps_finds(eigenvalue, floor):
    """z = a x + s ε, decoded as w z: the objective of one axis, minimised from several starts."""
    variance = 0.8

    def terms(parameters):
        a, log_s, w = parameters
        s = math.exp(log_s)
        rate = 0.5 * (s**2 + a**2 * eigenvalue - 1) - log_s
        error = eigenvalue * (1 - w * a) ** 2 + (w * s) ** 2
        return rate, error

    def objective(parameters):
        rate, error = terms(parameters)
        return max(rate, floor) + error / (2 * variance)

    starts = [(0.5, -0.5, 0.5), (1.0, -1.0, 1.0), (0.2, -0.1, 0.1)]
    choice = {"method": "Nelder-Mead", "options": {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 9000}}
    found = min(
        (
            scipy.optimize.minimize(
                objective, scipy.optimize.minimize(objective, start, **choice).x, **choice
            )
            for start in starts
        ),
        key=lambda result: result.fun,
    )
    law = free_bits_law(torch.tensor([eigenvalue]).double(), torch.tensor(variance).double(), floor)
    price = law.rate.clamp(min=floor) + law.squared_error / (2 * variance)
    assert price.item() == pytest.approx(found.fun, abs=1e-6)
    rate, error = terms(found.x)
    assert law.squared_error.item() == pytest.approx(error, abs=1e-3)
    assert law.rate.item() == pytest.approx(rate, abs=1e-3)


def test_without_a_floor_that_binds_the_law_is_the_law_of_rate():
    eigenvalues, variance = torch.tensor([4.0, 2.0, 1.5]).double(), torch.tensor(1.0).double()
    law, expected = free_bits_law(eigenvalues, variance, 0.1), rate_law(eigenvalues, variance, 3)
    torch.testing.assert_close(law.rate.sum(), expected.rate)
    torch.testing.assert_close(law.squared_error.sum(), expected.squared_error)
