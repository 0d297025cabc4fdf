"""Bounds against numpy, scipy, closed forms, sums over all outcomes, and the laws they obey."""

import itertools
import math

import numpy as np
import pytest
import torch
from drawn import normal, seeds
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import digamma, logsumexp
from scipy.stats import multivariate_normal, norm, sem

from vae_tutorial.bounds import evidence_lower_bound
from vae_tutorial.noise import generator, mean_and_error
from vae_tutorial.weights import exact_importance_weighted_bound, importance_weighted_bound

nats = st.floats(-30, 30)


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
    with pytest.raises(ValueError, match="log_weight must be finite"):
        importance_weighted_bound(wrong)
    with pytest.raises(ValueError, match="log_weight must be finite"):
        exact_importance_weighted_bound(wrong[:, 0], torch.zeros(2), [1])
    with pytest.raises(ValueError, match="log_probability must be finite"):
        exact_importance_weighted_bound(torch.zeros(2), wrong[:, 0], [1])
    with pytest.raises(ValueError, match="draws must be finite"):
        mean_and_error(wrong)


@pytest.mark.parametrize("wrong", [torch.zeros(3, 2, dtype=torch.int64), [[0.0], [1.0]]])
def test_types_are_named(wrong):
    with pytest.raises(TypeError, match="log_likelihood must be"):
        evidence_lower_bound(wrong, torch.zeros(2))
    with pytest.raises(TypeError, match="log_weight must be"):
        importance_weighted_bound(wrong)
    with pytest.raises(TypeError, match="draws must be"):
        mean_and_error(wrong)


# K weights


@given(seeds, st.integers(1, 7), st.integers(1, 3), st.floats(-2000, 2000))
def test_the_average_of_weights_survives_any_scale(seed, samples, batch, shift):
    log_weight = 3 * normal(samples, batch, seed=seed)
    expected = logsumexp(log_weight.numpy(), 0, b=1 / samples) + shift
    seen = importance_weighted_bound(log_weight + shift)
    np.testing.assert_allclose(seen, expected, atol=1e-9)


@given(seeds, st.integers(2, 8))
def test_leaving_one_weight_out_lowers_the_bound_on_average(seed, samples):
    log_weight = 2 * normal(samples, 5, seed=seed)
    rest = [
        importance_weighted_bound(torch.cat([log_weight[:k], log_weight[k + 1 :]]))
        for k in range(samples)
    ]
    whole = importance_weighted_bound(log_weight)
    assert (whole >= torch.stack(rest).mean(0) - 1e-12).all()
    assert (whole >= log_weight.mean(0) - 1e-12).all()  # Jensen
    assert (whole <= log_weight.amax(0) + 1e-12).all()


@pytest.mark.equation("eq-importance-weight", "eq-importance-bound")
@pytest.mark.parametrize("samples", [1, 2, 4])
def test_all_outcomes_of_all_draws_average_to_the_bound(samples):
    """Three latents with known weights: every one of the 3 ** K outcomes, and its probability."""
    weight, mass = np.array([0.3, 5.0, 0.02]), np.array([0.5, 0.2, 0.3])
    outcomes = list(itertools.product(range(3), repeat=samples))
    probability = np.array([mass[list(outcome)].prod() for outcome in outcomes])  # (3 ** K,)
    log_weight = torch.from_numpy(np.log(weight[np.array(outcomes)])).mT  # (K, 3 ** K)
    seen = importance_weighted_bound(log_weight).numpy()
    evidence = mass @ weight  # E_q[w] = p(x)
    assert probability @ np.exp(seen) == pytest.approx(evidence, rel=1e-12)
    logs = [math.log(weight[list(outcome)].mean()) for outcome in outcomes]
    assert probability @ seen == pytest.approx(probability @ logs, abs=1e-12)
    assert mass @ np.log(weight) - 1e-12 <= probability @ seen < math.log(evidence)


def test_one_weight_is_its_own_bound():
    log_weight = normal(1, 6)
    assert torch.equal(importance_weighted_bound(log_weight), log_weight[0])


@pytest.mark.parametrize("samples", [1, 3])
def test_at_the_posterior_every_draw_gives_log_p(samples):
    z = Linear.posterior_mean + Linear.posterior_width * normal(samples, 50)
    log_weight = Linear.log_weight(z, Linear.posterior_mean, Linear.posterior_width)
    np.testing.assert_allclose(importance_weighted_bound(log_weight), Linear.evidence, atol=1e-9)


def test_a_scalar_weight_is_refused():
    with pytest.raises(ValueError, match=r"must be \(K, batch\), got a scalar"):
        importance_weighted_bound(torch.tensor(1.0))


# The expectation over all draws


@pytest.mark.equation("eq-exact-bound")
@given(nats, nats, st.floats(0.01, 0.99), st.lists(st.integers(1, 60), min_size=1, max_size=3))
def test_two_outcomes_are_a_sum_over_the_binomial(first, second, share, counts):
    expected = [
        sum(
            math.comb(K, j)
            * share**j
            * (1 - share) ** (K - j)
            * logsumexp([first, second], b=[j / K, 1 - j / K])
            for j in range(K + 1)
        )
        for K in counts
    ]
    log_probability = torch.tensor([share, 1 - share], dtype=torch.float64).log()
    log_weight = torch.tensor([first, second], dtype=torch.float64)
    seen = exact_importance_weighted_bound(log_weight, log_probability, counts)
    np.testing.assert_allclose(seen, expected, atol=1e-9)


@pytest.mark.equation("eq-exact-bound")
def test_exponential_weights_give_the_digamma_function():
    log_weight = torch.linspace(-60, 6, 3301, dtype=torch.float64)  # log y, with y ~ Exp(1)
    counts = [1, 2, 3, 10, 1000]
    seen = exact_importance_weighted_bound(log_weight, log_weight - log_weight.exp(), counts)
    np.testing.assert_allclose(seen, [digamma(K) - math.log(K) for K in counts], atol=1e-10)


def test_at_a_fixed_distance_beyond_exp_kl_the_error_grows_with_the_spread_of_log_rho():
    """log ρ = log p(z|x) − log p(z) ~ N(−KL, 2 KL) under the prior, so of spread √(2 KL).

    After n = exp(KL + 2) draws of the prior, the estimate is the further from log p(x), the larger
    the spread. Where the draws decide, at KL = 1, numpy draws them.
    """
    standard = torch.linspace(-25, 25, 10_001, dtype=torch.float64)
    log_mass, errors = -0.5 * standard.square(), []
    for kl in (1, 5, 10, 20, 40, 80):  # up to 10³⁵ draws
        log_weight = math.sqrt(2 * kl) * standard - kl
        count = round(math.exp(kl + 2))
        errors.append(float(exact_importance_weighted_bound(log_weight, log_mass, [count])[0]))
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 4 * errors[0] < 0
    drawn = np.random.default_rng(5).normal(-1, math.sqrt(2), (20, 200_000))
    logs = logsumexp(drawn, axis=0, b=1 / 20)  # e³ draws each
    assert abs(errors[0] - logs.mean()) < 4 * sem(logs)


@given(seeds, st.floats(-1000, 1000), st.floats(-50, 50))
def test_two_draws_are_a_sum_over_pairs_whatever_the_scale(seed, shift, scale):
    log_weight, log_probability = 4 * normal(9, seed=seed), normal(9, seed=seed + 1)
    mass = np.exp(log_probability.numpy()) / np.exp(log_probability.numpy()).sum()
    pairs = np.logaddexp.outer(log_weight.numpy(), log_weight.numpy()) - math.log(2)
    expected = [mass @ log_weight.numpy() + shift, mass @ pairs @ mass + shift]
    seen = exact_importance_weighted_bound(log_weight + shift, log_probability + scale, [1, 2])
    np.testing.assert_allclose(seen, expected, atol=1e-9)


@pytest.mark.equation("eq-bias")
@given(seeds)
def test_the_bounds_rise_towards_log_p(seed):
    log_weight, log_probability = 3 * normal(12, seed=seed), normal(12, seed=seed + 1)
    counts = [1, 2, 3, 5, 20, 100, 10_000]
    seen = exact_importance_weighted_bound(log_weight, log_probability, counts)
    mass = np.exp(log_probability.numpy())
    evidence = logsumexp(log_weight.numpy(), b=mass / mass.sum())
    variance = (mass / mass.sum()) @ np.exp(2 * (log_weight.numpy() - evidence)) - 1
    assert (seen.diff() > 0).all()
    assert seen[-1] < evidence
    np.testing.assert_allclose(evidence - seen[-1], variance / 20_000, rtol=0.05)


def test_weights_that_float64_cannot_hold_side_by_side():
    log_weight = torch.tensor([-5000.0, 0.0, -3.0], dtype=torch.float64)
    log_probability = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64).log()
    seen = exact_importance_weighted_bound(log_weight, log_probability, [1])
    np.testing.assert_allclose(seen, [-1001.5], atol=1e-9)


def by_enumeration(log_weight, log_probability, samples):
    """E[log of the average of K weights], as a sum over all outcomes of K draws, by numpy."""
    log_mass = np.array(log_probability) - logsumexp(log_probability)
    outcomes = np.array(
        list(itertools.product(range(len(log_mass)), repeat=samples))
    )  # (n ** K, K)
    mass = np.exp(log_mass[outcomes].sum(1))
    return mass @ logsumexp(np.array(log_weight)[outcomes], axis=1, b=1 / samples)


def test_a_node_without_mass_does_not_matter():
    log_weight = torch.tensor([-1.0, 2.0, -1e5], dtype=torch.float64)
    log_probability = torch.tensor([-0.7, -0.9, -500.0], dtype=torch.float64)
    seen = exact_importance_weighted_bound(log_weight, log_probability, [1, 4])
    expected = [by_enumeration([-1.0, 2.0], [-0.7, -0.9], K) for K in (1, 4)]
    np.testing.assert_allclose(seen, expected, atol=1e-10)


def test_draws_agree_with_the_expectation():
    log_weight, mass = torch.tensor([0.0, 1.0, -2.0]).double(), torch.tensor([0.5, 0.2, 0.3])
    drawn = torch.multinomial(mass, 4 * 50_000, replacement=True, generator=generator(3))
    seen = mean_and_error(importance_weighted_bound(log_weight[drawn].reshape(4, -1)))
    exact = exact_importance_weighted_bound(log_weight, mass.double().log(), [4])[0]
    assert abs(seen.mean - exact) < 4 * seen.standard_error


def test_single_precision_is_lifted():
    log_weight = normal(5).float()
    seen = exact_importance_weighted_bound(log_weight, torch.zeros(5), [3])
    expected = by_enumeration(log_weight.double().tolist(), [0.0] * 5, 3)  # 125 outcomes
    assert seen.dtype == torch.float64
    np.testing.assert_allclose(seen, [expected], atol=1e-10)


@pytest.mark.parametrize(("weight", "probability"), [((2, 1), (2, 1)), ((3,), (2,)), ((), ())])
def test_the_law_must_be_a_list(weight, probability):
    with pytest.raises(ValueError, match=r"(log_weight|log_probability) must be \(n,\).*, got"):
        exact_importance_weighted_bound(torch.zeros(weight), torch.zeros(probability), [1])


def test_counts_are_whole_and_positive():
    two = torch.zeros(2)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        exact_importance_weighted_bound(two, two, [2, 0])
    with pytest.raises(TypeError, match="num_samples must be a whole number"):
        exact_importance_weighted_bound(two, two, [2.5])


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
