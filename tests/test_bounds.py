"""The bound and its gap against numpy, scipy and closed forms."""

import math

import numpy as np
import pytest
import torch
from drawn import normal, seeds
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm, sem

from vae_tutorial.bounds import evidence_lower_bound
from vae_tutorial.noise import mean_and_error


class Linear:
    """p(z) = N(0, 1) and p(x|z) = N(x; 2z, 0.5²) at x = 1.3, with the truth from scipy."""

    x, slope, deviation = 1.3, 2.0, 0.5
    evidence = norm.logpdf(x, 0, math.hypot(slope, deviation))
    posterior_variance = 1 / (1 + slope**2 / deviation**2)
    posterior_mean = posterior_variance * slope * x / deviation**2
    posterior_width = math.sqrt(posterior_variance)

    @classmethod
    def log_likelihood(cls, z: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(norm.logpdf(cls.x, cls.slope * z.numpy(), cls.deviation))

    @classmethod
    def log_weight(cls, z: torch.Tensor, mean: float, width: float) -> torch.Tensor:
        joint = multivariate_normal(
            [0, 0], [[1, cls.slope], [cls.slope, cls.slope**2 + cls.deviation**2]]
        )
        pairs = np.stack([z.numpy(), np.full(z.shape, cls.x)], -1)
        return torch.from_numpy(joint.logpdf(pairs) - norm.logpdf(z.numpy(), mean, width))


# The evidence lower bound


@given(seeds, st.integers(1, 6), st.integers(1, 4))
def test_the_bound_is_the_mean_likelihood_minus_the_divergence(seed, samples, batch):
    log_likelihood, kl = normal(samples, batch, seed=seed), normal(batch, seed=seed + 1)
    bound = evidence_lower_bound(log_likelihood, kl)
    np.testing.assert_allclose(bound.log_likelihood, log_likelihood.numpy().mean(0), atol=1e-12)
    np.testing.assert_allclose(bound.elbo, np.mean(log_likelihood.numpy(), 0) - kl.numpy())
    assert torch.equal(bound.kl, kl)
    assert bound.elbo.shape == bound.log_likelihood.shape == (batch,)


@pytest.mark.equation("vae8")
@pytest.mark.parametrize(("mean", "width"), [(0.5, 0.3), (0.7, 0.24), (0.0, 1.0)])
def test_the_gap_is_the_divergence_from_the_posterior(mean, width):
    q = torch.distributions.Normal(mean, width)
    prior = torch.distributions.Normal(0.0, 1.0)
    posterior = torch.distributions.Normal(Linear.posterior_mean, Linear.posterior_width)
    log_likelihood = Linear.log_likelihood(mean + width * normal(200_000, 1))
    kl = torch.distributions.kl_divergence(q, prior).double().expand(1)
    error = sem(log_likelihood.numpy())
    gap = Linear.evidence - evidence_lower_bound(log_likelihood, kl).elbo
    expected = float(torch.distributions.kl_divergence(q, posterior))
    assert abs(float(gap) - expected) < 4 * float(error[0]) + 1e-5


@pytest.mark.equation("vae8", "eq-jensen")
@pytest.mark.parametrize(
    ("mean", "width"),
    [(0.5, 0.3), (0.7, 0.24), (0.0, 1.0), (Linear.posterior_mean, Linear.posterior_width)],
)
def test_the_bound_is_the_average_of_the_logarithm_that_jensen_takes_inside(mean, width):
    """log p(x|z) is a quadratic of z here, so the two draws mean ± width average it exactly."""
    draws = torch.tensor([[mean - width], [mean + width]], dtype=torch.float64)  # (2, 1)
    numbers = torch.tensor([mean, width, 0.0, 1.0], dtype=torch.float64)
    q, prior = (torch.distributions.Normal(*pair) for pair in numbers.split(2))
    kl = torch.distributions.kl_divergence(q, prior).expand(1)
    elbo = float(evidence_lower_bound(Linear.log_likelihood(draws), kl).elbo)

    def log_weight(z):
        return float(Linear.log_weight(torch.tensor([z], dtype=torch.float64), mean, width))

    def under_q(function):
        ends = mean - 12 * width, mean + 12 * width
        return quad(
            lambda z: norm.pdf(z, mean, width) * function(z), *ends, epsabs=1e-12, epsrel=1e-12
        )[0]

    assert elbo == pytest.approx(under_q(log_weight), abs=1e-9)
    inside = math.log(quad(lambda z: math.exp(log_weight(z)) * norm.pdf(z, mean, width), -9, 9)[0])
    assert inside == pytest.approx(Linear.evidence, abs=1e-7)
    away = norm(Linear.posterior_mean, Linear.posterior_width).logpdf
    gap = under_q(lambda z: norm.logpdf(z, mean, width) - away(z))
    assert Linear.evidence - elbo == pytest.approx(gap, abs=1e-9)
    assert gap > 0.001 or mean == Linear.posterior_mean


def test_gradients_pass_through_both_terms():
    log_likelihood = normal(4, 3).requires_grad_()
    kl = normal(3).requires_grad_()
    evidence_lower_bound(log_likelihood, kl).elbo.sum().backward()
    assert torch.equal(log_likelihood.grad, torch.full((4, 3), 0.25, dtype=torch.float64))
    assert torch.equal(kl.grad, -torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("log_likelihood", "kl"),
    [((3,), (3,)), ((2, 3), (2,)), ((2, 3), (1, 3)), ((), ()), ((2, 3), ())],
)
def test_shapes_that_do_not_fit_are_named(log_likelihood, kl):
    with pytest.raises(
        ValueError, match=r"log_likelihood must be \(K, batch\)|kl must be \(batch,\)"
    ):
        evidence_lower_bound(torch.zeros(log_likelihood), torch.zeros(kl))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(bad):
    good, wrong = torch.zeros(2, 1), torch.full((2, 1), bad)
    with pytest.raises(ValueError, match="log_likelihood must be finite"):
        evidence_lower_bound(wrong, torch.zeros(1))
    with pytest.raises(ValueError, match="kl must be finite"):
        evidence_lower_bound(good, torch.full((1,), bad))
    with pytest.raises(ValueError, match="draws must be finite"):
        mean_and_error(wrong)


@pytest.mark.parametrize("wrong", [torch.zeros(3, 2, dtype=torch.int64), [[0.0], [1.0]]])
def test_types_are_named(wrong):
    with pytest.raises(TypeError, match="log_likelihood must be"):
        evidence_lower_bound(wrong, torch.zeros(2))
    with pytest.raises(TypeError, match="draws must be"):
        mean_and_error(wrong)


# Averages of draws


@pytest.mark.equation("eq-standard-error")
@given(seeds, st.integers(2, 30))
def test_the_standard_error_is_scipys(seed, repetitions):
    draws = 3 * normal(repetitions, 4, seed=seed) + 1
    seen = mean_and_error(draws)
    np.testing.assert_allclose(seen.mean, draws.numpy().mean(0), atol=1e-12)
    np.testing.assert_allclose(seen.standard_error, sem(draws.numpy()), atol=1e-12)
    assert seen.mean.shape == seen.standard_error.shape == (4,)


@pytest.mark.parametrize("shape", [(), (1,), (1, 5)])
def test_one_draw_has_no_standard_error(shape):
    with pytest.raises(ValueError, match=r"draws must be .* n at least 2, got"):
        mean_and_error(torch.zeros(shape))
