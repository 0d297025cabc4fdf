"""K weights against sums over all outcomes, scipy, closed forms, and the laws they obey."""

import itertools
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import normal, seeds
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import digamma, logsumexp
from scipy.stats import genpareto, multivariate_normal, norm, sem

from vae_tutorial.noise import generator, mean_and_error
from vae_tutorial.weights import (
    doubly_reparameterized,
    exact_importance_weighted_bound,
    generalized_pareto_shape,
    importance_weighted_bound,
    pareto_shape,
    power_bound,
    signal_to_noise,
)

nats = st.floats(-30, 30)
ROOT = Path(__file__).parents[1]


class Linear:
    """p(z) = N(0, 1) and p(x|z) = N(x; 2z, 0.5²) at x = 1.3, with the truth from scipy."""

    x, slope, deviation = 1.3, 2.0, 0.5
    evidence = norm.logpdf(x, 0, math.hypot(slope, deviation))
    posterior_variance = 1 / (1 + slope**2 / deviation**2)
    posterior_mean = posterior_variance * slope * x / deviation**2
    posterior_width = math.sqrt(posterior_variance)

    @classmethod
    def log_weight(cls, z: torch.Tensor, mean: float, width: float) -> torch.Tensor:
        joint = multivariate_normal(
            [0, 0], [[1, cls.slope], [cls.slope, cls.slope**2 + cls.deviation**2]]
        )
        pairs = np.stack([z.numpy(), np.full(z.shape, cls.x)], -1)
        return torch.from_numpy(joint.logpdf(pairs) - norm.logpdf(z.numpy(), mean, width))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(bad):
    good, wrong = torch.zeros(2), torch.full((2,), bad)
    for function in (importance_weighted_bound, doubly_reparameterized):
        with pytest.raises(ValueError, match="log_weight must be finite"):
            function(wrong[:, None])
    with pytest.raises(ValueError, match="log_weight must be finite"):
        pareto_shape(torch.full((30,), bad))
    with pytest.raises(ValueError, match="gradient must be finite"):
        signal_to_noise(wrong)
    for function, last in ((exact_importance_weighted_bound, [1]), (power_bound, 2.0)):
        with pytest.raises(ValueError, match="log_weight must be finite"):
            function(wrong, good, last)
        with pytest.raises(ValueError, match="log_probability must be finite"):
            function(good, wrong, last)


@pytest.mark.parametrize("wrong", [torch.zeros(3, 2, dtype=torch.int64), [[0.0], [1.0]]])
def test_types_are_named(wrong):
    with pytest.raises(TypeError, match="log_weight must be"):
        importance_weighted_bound(wrong)


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


# Powers of the weights


@given(seeds, st.floats(0.1, 4))
def test_a_power_mean_is_numpys(seed, power):
    log_weight, log_mass = 2 * normal(7, seed=seed), normal(7, seed=seed + 1)
    mass = np.exp(log_mass.numpy()) / np.exp(log_mass.numpy()).sum()
    expected = math.log(mass @ np.exp(log_weight.numpy()) ** power) / power
    assert float(power_bound(log_weight, log_mass, power)) == pytest.approx(expected, abs=1e-10)


@pytest.mark.equation("eq-power-bound")
@given(seeds)
def test_it_rises_from_the_bound_through_log_p(seed):
    log_weight, log_mass = 2 * normal(7, seed=seed), normal(7, seed=seed + 1)
    powers = [0.0, 1e-4, 0.3, 0.9, 1.0, 1.1, 2.0, 5.0]
    rising = [float(power_bound(log_weight, log_mass, t)) for t in powers]
    assert (np.diff(rising) > 0).all()
    mass = np.exp(log_mass.numpy()) / np.exp(log_mass.numpy()).sum()
    assert rising[0] == pytest.approx(mass @ log_weight.numpy(), abs=1e-12)
    assert rising[1] == pytest.approx(rising[0], abs=0.01)
    assert rising[4] == pytest.approx(math.log(mass @ np.exp(log_weight.numpy())), abs=1e-12)
    variance = mass @ np.exp(2 * (log_weight.numpy() - rising[4])) - 1
    assert rising[6] - rising[4] == pytest.approx(math.log1p(variance) / 2, abs=1e-10)


@pytest.mark.equation("eq-power-bound")
@pytest.mark.parametrize(("mean", "width"), [(0.5, 0.3), (0.6, 0.26)])
def test_the_upper_bound_of_a_linear_model_is_scipys_integral(mean, width):
    z = torch.linspace(-4, 5, 4001, dtype=torch.float64)
    log_weight = Linear.log_weight(z, mean, width)
    log_mass = torch.from_numpy(norm.logpdf(z.numpy(), mean, width))
    density = norm(Linear.posterior_mean, Linear.posterior_width).pdf
    square = quad(lambda y: density(y) ** 2 / norm.pdf(y, mean, width), -4, 5, epsabs=1e-12)[0]
    expected = Linear.evidence + math.log(square) / 2
    assert float(power_bound(log_weight, log_mass, 2)) == pytest.approx(expected, abs=1e-8)


# The gradient of a bound


@pytest.mark.equation("eq-signal-to-noise")
@given(seeds)
def test_signal_over_noise_is_numpys(seed):
    gradient = normal(9, 2, seed=seed) + 1
    expected = np.abs(gradient.numpy().mean(0)) / gradient.numpy().std(0, ddof=1)
    np.testing.assert_allclose(signal_to_noise(gradient), expected, rtol=1e-10)


def linear_log_weight(z, mean, width):
    """log w of the linear model, as torch knows it: differentiable in z, mean and width."""
    log_joint = -(z**2) / 2 - (Linear.x - Linear.slope * z) ** 2 / (2 * Linear.deviation**2)
    return log_joint + ((z - mean) / width) ** 2 / 2 + width.log()


@pytest.mark.equation("eq-doubly-reparameterized")
@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize(("at", "spread"), [(0.2, 0.5), (0.7, 0.3)])
def test_its_gradient_is_that_of_the_bound_on_average(samples, at, spread):
    """Over all K-tuples of nodes for the noise; the truth by numpy and small steps."""
    nodes = np.linspace(-7, 7, {1: 281, 2: 281, 3: 85}[samples])
    masses = norm.pdf(nodes) / norm.pdf(nodes).sum()
    tuples = np.array(list(itertools.product(range(len(nodes)), repeat=samples))).T  # (K, n ** K)
    noise, mass = nodes[tuples], masses[tuples].prod(0)

    def bound(mean, width):
        z = mean + width * noise
        log_joint = -(z**2) / 2 - (Linear.x - Linear.slope * z) ** 2 / (2 * Linear.deviation**2)
        return mass @ logsumexp(log_joint + noise**2 / 2 + math.log(width), 0, b=1 / samples)

    step = 1e-5
    expected = [
        (bound(at + step, spread) - bound(at - step, spread)) / (2 * step),
        (bound(at, spread + step) - bound(at, spread - step)) / (2 * step),
    ]
    mean, width = torch.tensor([at, spread], dtype=torch.float64).requires_grad_().unbind()
    z = mean + width * torch.from_numpy(noise)
    held = linear_log_weight(z, mean.detach(), width.detach())
    total = torch.from_numpy(mass) @ doubly_reparameterized(held)
    seen = torch.stack(torch.autograd.grad(total, (mean, width)))
    np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-5)


def test_at_the_posterior_its_gradient_is_zero_draw_by_draw():
    place = [Linear.posterior_mean, Linear.posterior_width]
    mean, width = torch.tensor(place, dtype=torch.float64).requires_grad_().unbind()
    z = mean + width * normal(5, 20)
    held = linear_log_weight(z, mean.detach(), width.detach())
    gradients = torch.autograd.grad(doubly_reparameterized(held).sum(), (mean, width))
    assert all(abs(float(gradient)) < 1e-10 for gradient in gradients)


# The tail of the weights


@pytest.mark.equation("eq-pareto-tail")
@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3, 0.7, 1.2])
@pytest.mark.parametrize("scale", [1e-3, 50.0])
def test_the_shape_of_scipys_samples_is_found(shape, scale):
    drawn = genpareto.rvs(shape, scale=scale, size=(2000, 20), random_state=4)
    seen = generalized_pareto_shape(torch.from_numpy(drawn)).numpy()  # (20,)
    assert seen.shape == (20,)
    error = (1 + max(shape, 0)) / math.sqrt(2000)  # of one fit by maximum likelihood
    assert abs(seen.mean() - shape) < 0.02 + 4 * error / math.sqrt(20)
    assert seen.std() < 2 * error


def test_one_sample_is_what_a_batch_says_of_it():
    drawn = torch.from_numpy(genpareto.rvs(0.4, size=(300, 3), random_state=5))
    alone = torch.stack([generalized_pareto_shape(column) for column in drawn.unbind(1)])
    torch.testing.assert_close(generalized_pareto_shape(drawn), alone)
    torch.testing.assert_close(generalized_pareto_shape(1000 * drawn), alone)


@pytest.mark.equation("eq-pareto-tail")
@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_pareto_weights_have_their_shape_whatever_their_scale(shape):
    drawn = np.random.default_rng(6).pareto(1 / shape, (20_000, 30)) + 1
    seen = pareto_shape(torch.from_numpy(np.log(drawn)) - 900).numpy()
    tail = 424  # 3 √20,000
    expected = (tail * shape + 5) / (tail + 10)
    assert abs(seen.mean() - expected) < 0.02 + 4 * (1 + shape) / math.sqrt(tail * 30)


@pytest.mark.equation("eq-pareto-tail")
@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.8])
def test_a_gaussian_on_a_gaussian_has_the_shape_of_the_ratio_of_variances(ratio):
    noise = normal(100_000, 10)
    log_weight = noise**2 * (1 - ratio) / 2  # log w up to a constant, z = √ratio · noise
    assert abs(float(pareto_shape(log_weight).mean()) - (1 - ratio)) < 0.1


@pytest.mark.equation("eq-pareto-tail")
def test_200_vectors_have_the_shape_that_arviz_stats_finds(monkeypatch):
    """arviz-stats read the same vectors in an environment of its own, see benchmarks/pareto.py."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import pareto

    kept = json.loads((ROOT / "book" / "results" / "pareto.json").read_text("utf-8"))
    assert kept["provenance"]["arviz-stats"] >= "1.3.3"
    found = {tuple(list(record.values())[:-1]): record["k"] for record in kept["records"]}
    assert len(found) == 200
    for case in pareto.CASES:
        seen = float(pareto_shape(pareto.log_weights(case)))
        assert abs(seen - found[tuple(case)]) < 1e-6, case


def matched_gaussians(ratios, seed):
    """q = N(0, Σ_q) and p with eigenvalues `ratios` of Σ_p⁻¹ Σ_q: L of q, and p's covariance."""
    draws = np.random.default_rng(seed)
    lower = np.tril(draws.normal(size=(len(ratios),) * 2)) + 3 * np.eye(len(ratios))  # L, (d, d)
    rotation = np.linalg.qr(draws.normal(size=lower.shape))[0]
    return lower, lower @ rotation @ np.diag(1 / np.array(ratios)) @ rotation.T @ lower.T


@pytest.mark.equation("eq-pareto-tail")
@pytest.mark.parametrize(
    ("ratios", "slack"),
    [
        ((0.3, 0.3), 0.01),  # an exact Pareto law, whose tail is straight from its start
        ((0.6, 0.6, 1.0), 0.01),
        ((0.5, 0.5, 3.0), 0.03),  # a factor that is bounded
        ((0.2, 0.2, 0.8), 0.03),  # and one whose own tail, of 0.2, is felt at first
    ],
)
def test_gaussians_have_the_closed_form(ratios, slack):
    """k = 1 − λ_min(Σ_p⁻¹ Σ_q) where λ_min < 1: with z = m + Lε, log w is −Σ (λᵢ − 1) εᵢ²/2 + c.

    E w^r is finite for r (1 − λ_min) < 1 alone, so the tail falls like u^(−1/k) but for a factor
    that changes slowly. Where λ_min > 1 the weights are bounded, and the form does not hold. A
    double λ_min makes the factor constant, since ε₁² + ε₂² is exponential.
    """
    lower, covariance = matched_gaussians(ratios, seed=3)
    noise = np.random.default_rng(4).normal(size=(100_000, 10, len(ratios)))
    z = noise @ lower.T
    q = multivariate_normal(np.zeros(len(ratios)), lower @ lower.T)
    p = multivariate_normal(np.zeros(len(ratios)), covariance)
    expected = 1 - np.linalg.eigvals(np.linalg.solve(covariance, lower @ lower.T)).real.min()
    assert expected == pytest.approx(1 - min(ratios))
    seen = float(pareto_shape(torch.from_numpy(p.logpdf(z) - q.logpdf(z))).mean())
    tail = 3 * math.sqrt(len(z))  # the error is that of a fit by maximum likelihood, ten times
    assert abs(seen - expected) < slack + 4 * (1 + expected) / math.sqrt(10 * tail)


def test_bounded_weights_of_gaussians_do_not_have_the_closed_form():
    """λ_min > 1: near its end the density of w grows like a power, so that k = −2/d there."""
    noise = normal(100_000, 4, seed=8)
    log_weight = -noise.square().sum(-1) / 2  # λ = 2, four times; the closed form would say −1
    assert float(pareto_shape(log_weight)) == pytest.approx(-2 / 4, abs=0.1)


def test_weights_without_a_tail_and_weights_that_are_all_tail():
    assert float(pareto_shape(torch.zeros(100))) < 0
    assert float(pareto_shape(500 * normal(1000))) > 1


def test_too_few_weights_are_refused():
    with pytest.raises(ValueError, match="n at least 25"):
        pareto_shape(torch.zeros(24))
