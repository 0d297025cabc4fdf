"""Gaussian densities, entropies and divergences against torch, SciPy, quadrature and their laws."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from drawn import close, seeds
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import MultivariateNormal, Normal
from torch.distributions import kl_divergence as torch_kl

from vae_tutorial.gaussians import (
    cholesky_factor,
    entropy,
    kl_between,
    kl_between_full,
    kl_to_standard_normal,
    kl_to_standard_normal_full,
    log_normal,
    log_normal_full,
)
from vae_tutorial.noise import generator, standard_normal

widths = st.integers(1, 5)
FULL = (log_normal_full, kl_to_standard_normal_full)


def diagonal(seed, width, batch=3):
    """A mean and a log-variance, each (batch, width), float64."""
    return standard_normal((2, batch, width), generator(seed)).unbind()


def full(seed, width, batch=3):
    """A mean (batch, width) and a covariance (batch, width, width), far from singular."""
    noise = standard_normal((batch, width, width + 1), generator(seed))
    root = noise[..., :-1]
    return noise[..., -1], root @ root.mT + 0.3 * torch.eye(width, dtype=torch.float64)


@pytest.mark.equation("eq-log-normal")
@given(seeds, widths)
def test_log_normal_is_the_density_of_torch_and_scipy(seed, width):
    (mean, log_variance), (x, _) = diagonal(seed, width), diagonal(seed + 1, width)
    deviation = (log_variance / 2).exp()
    seen = log_normal(x, mean, log_variance)
    close(seen, Normal(mean, deviation).log_prob(x).sum(-1))
    close(seen, scipy.stats.norm.logpdf(x, mean, deviation).sum(-1))


@pytest.mark.equation("eq-log-normal")
@given(seeds, widths)
def test_log_normal_full_is_the_density_of_torch_and_scipy(seed, width):
    (mean, covariance), (x, _) = full(seed, width), diagonal(seed + 1, width)
    seen = log_normal_full(x, mean, cholesky_factor(covariance))
    close(seen, MultivariateNormal(mean, covariance).log_prob(x), 1e-8)
    for row in range(len(x)):
        oracle = scipy.stats.multivariate_normal(mean[row], covariance[row])
        close(seen[row], oracle.logpdf(x[row]), 1e-8)


def test_a_density_integrates_to_one_over_the_plane():
    axis = torch.linspace(-12, 12, 241, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)  # (n, 2)
    mean = torch.tensor([0.5, -1.0], dtype=torch.float64)
    log_variance = torch.tensor([0.6, -0.4], dtype=torch.float64)
    covariance = torch.tensor([[2.0, 1.2], [1.2, 1.5]], dtype=torch.float64)
    close(log_normal(x, mean, log_variance).exp().sum() * 0.01, 1.0, 1e-9)
    close(log_normal_full(x, mean, cholesky_factor(covariance)).exp().sum() * 0.01, 1.0, 1e-9)


@given(seeds, widths)
def test_a_shared_log_variance_counts_once_a_coordinate(seed, width):
    (mean, _), (x, _) = diagonal(seed, width), diagonal(seed + 1, width)
    value = torch.tensor(-0.7, dtype=torch.float64)
    spread = value.expand(width)
    for shared in (value, value[None], value.expand(3, 1)):
        close(log_normal(x, mean, shared), log_normal(x, mean, spread))
        close(kl_to_standard_normal(mean, shared), kl_to_standard_normal(mean, spread))
        close(kl_between(mean, shared, x, value), kl_between(mean, spread, x, spread))


@given(seeds, widths, st.floats(0.01, 50))
def test_a_change_of_unit_shifts_the_log_density_by_its_jacobian(seed, width, unit):
    (mean, log_variance), (x, _) = diagonal(seed, width), diagonal(seed + 1, width)
    scaled = log_normal(unit * x, unit * mean, log_variance + 2 * math.log(unit))
    close(scaled, log_normal(x, mean, log_variance) - width * math.log(unit))


@pytest.mark.equation("eq-entropy")
@given(seeds, widths)
def test_entropy_is_that_of_torch_and_of_scipy(seed, width):
    mean, log_variance = diagonal(seed, width)
    close(entropy(log_variance), Normal(mean, (log_variance / 2).exp()).entropy().sum(-1))
    oracle = scipy.stats.norm.entropy(scale=(log_variance / 2).exp().numpy()).sum(-1)
    close(entropy(log_variance), oracle)


@pytest.mark.equation("eq-kl-gaussians", "eq-kl-standard")
@given(seeds, widths)
def test_diagonal_divergences_are_those_of_torch(seed, width):
    (mean, log_variance), (other, other_log) = diagonal(seed, width), diagonal(seed + 1, width)
    q, p = Normal(mean, (log_variance / 2).exp()), Normal(other, (other_log / 2).exp())
    standard = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    close(kl_between(mean, log_variance, other, other_log), torch_kl(q, p).sum(-1))
    close(kl_to_standard_normal(mean, log_variance), torch_kl(q, standard).sum(-1))


@pytest.mark.equation("eq-kl-gaussians", "eq-kl-standard")
@given(seeds, widths)
def test_full_divergences_are_those_of_torch(seed, width):
    (mean, covariance), (other, other_covariance) = full(seed, width), full(seed + 1, width)
    q, p = MultivariateNormal(mean, covariance), MultivariateNormal(other, other_covariance)
    standard = MultivariateNormal(
        torch.zeros_like(mean), torch.eye(width, dtype=torch.float64).expand(3, width, width)
    )
    roots = cholesky_factor(covariance), cholesky_factor(other_covariance)
    close(kl_between_full(mean, roots[0], other, roots[1]), torch_kl(q, p), 1e-8)
    close(kl_to_standard_normal_full(mean, roots[0]), torch_kl(q, standard), 1e-8)


@pytest.mark.equation("eq-bregman")
@given(seeds, widths)
def test_divergences_are_bregmans_of_the_log_normaliser(seed, width):
    """η = (μ/σ², −1/2σ²), A(η) = −η₁²/4η₂ − ½ log(−2η₂), and ∇A by automatic differentiation."""
    (mean, log_variance), (other, other_log) = diagonal(seed, width), diagonal(seed + 1, width)

    def natural(m, v):
        return torch.stack([m / v.exp(), -0.5 / v.exp()])  # (2, batch, width)

    def normaliser(t):
        return (-t[0].square() / (4 * t[1]) - 0.5 * (-2 * t[1]).log()).sum(-1)  # (batch,)

    at_q, at_p = natural(mean, log_variance), natural(other, other_log)
    moments = torch.func.grad(lambda t: normaliser(t).sum())(at_q)  # (2, batch, width)
    expected = normaliser(at_p) - normaliser(at_q) - (moments * (at_p - at_q)).sum((0, -1))
    close(kl_between(mean, log_variance, other, other_log), expected, 1e-8)


@pytest.mark.equation("eq-whitened")
@given(seeds, widths)
def test_one_map_makes_the_second_gaussian_standard(seed, width):
    (mean, covariance), (other, other_covariance) = full(seed, width), full(seed + 1, width)
    roots = cholesky_factor(covariance), cholesky_factor(other_covariance)
    inverse = np.linalg.inv(np.linalg.cholesky(other_covariance.numpy()))  # M⁻¹
    v = torch.from_numpy(np.einsum("bij,bj->bi", inverse, (mean - other).numpy()))
    ratio = torch.from_numpy(inverse @ np.linalg.cholesky(covariance.numpy()))  # R
    identity = torch.eye(width, dtype=torch.float64).expand_as(ratio)
    standard = MultivariateNormal(torch.zeros_like(v), identity)
    expected = torch_kl(MultivariateNormal(v, ratio @ ratio.mT), standard)
    close(kl_between_full(mean, roots[0], other, roots[1]), expected, 1e-8)


@pytest.mark.equation("eq-kl-gaussians")
@pytest.mark.parametrize("setting", [(0.0, 0.3, 0.0, 1.0), (1.0, 0.5, -0.5, 1.5), (-2.0, 3, 1, 2)])
def test_one_latent_by_adaptive_quadrature(setting):
    mean, deviation, other_mean, other_deviation = setting
    q, p = scipy.stats.norm(mean, deviation), scipy.stats.norm(other_mean, other_deviation)
    oracle, _ = scipy.integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)),
        mean - 12 * deviation,
        mean + 12 * deviation,
        epsabs=1e-12,
    )
    numbers = torch.tensor(setting, dtype=torch.float64)[:, None]  # four of (1,)
    seen = kl_between(numbers[0], 2 * numbers[1].log(), numbers[2], 2 * numbers[3].log())
    close(seen, oracle, 1e-9)


@given(seeds, widths)
def test_full_and_diagonal_paths_agree(seed, width):
    (mean, log_variance), (other, other_log) = diagonal(seed, width), diagonal(seed + 1, width)
    root = torch.diag_embed((log_variance / 2).exp())
    other_root = torch.diag_embed((other_log / 2).exp())
    close(log_normal_full(other, mean, root), log_normal(other, mean, log_variance))
    close(kl_to_standard_normal_full(mean, root), kl_to_standard_normal(mean, log_variance))
    seen = kl_between_full(mean, root, other, other_root)
    close(seen, kl_between(mean, log_variance, other, other_log))


@given(seeds, widths)
def test_a_common_affine_map_leaves_the_divergence(seed, width):
    (mean, covariance), (other, other_covariance) = full(seed, width), full(seed + 1, width)
    (shift, _), (_, stretch) = diagonal(seed + 2, width, 1), full(seed + 3, width, 1)

    def moved(m, s):
        mapped = stretch @ s @ stretch.mT
        return (stretch @ m[..., None])[..., 0] + shift, cholesky_factor((mapped + mapped.mT) / 2)

    before = kl_between_full(
        mean, cholesky_factor(covariance), other, cholesky_factor(other_covariance)
    )
    after = kl_between_full(*moved(mean, covariance), *moved(other, other_covariance))
    close(after, before, 1e-7)


@given(seeds, widths, st.floats(-60, 60))
def test_a_divergence_is_never_negative_and_zero_between_equals(seed, width, shift):
    (mean, log_variance), (other, other_log) = diagonal(seed, width), diagonal(seed + 1, width)
    assert (kl_to_standard_normal(0 * mean, 1e-9 * log_variance) >= 0).all()
    assert (kl_between(mean, log_variance + shift, other, other_log) > 0).all()
    close(kl_between(mean, log_variance, mean, log_variance), torch.zeros(3).double())


@given(seeds, widths)
def test_the_divergence_is_cross_entropy_less_entropy(seed, width):
    """E_q of a quadratic is its value at the mean plus half the Hessian's trace against Σ."""
    (mean, log_variance), (other, other_log) = diagonal(seed, width), diagonal(seed + 1, width)
    mean, variance, other, other_log = mean[0], log_variance[0].exp(), other[0], other_log[0]
    hessian = torch.autograd.functional.hessian(
        lambda z: log_normal(z, other, other_log), mean
    )  # (d, d)
    expected = log_normal(mean, other, other_log) + 0.5 * (hessian.diagonal() * variance).sum()
    seen = kl_between(mean, log_variance[0], other, other_log)
    close(seen, -entropy(log_variance[0]) - expected)


@pytest.mark.parametrize("log_variance", [-700.0, -100.0, 100.0, 700.0])
def test_extreme_log_variances_stay_finite(log_variance):
    value = torch.tensor([log_variance], dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    price = 0.5 * (math.exp(log_variance) - 1 - log_variance)
    close(kl_to_standard_normal(zero, value), price)
    close(log_normal(zero, zero, value), -0.5 * (math.log(2 * math.pi) + log_variance))


def test_a_density_at_its_mean_survives_a_variance_that_underflows():
    zero = torch.zeros(1)  # float32: exp(−120) is zero
    close(log_normal(zero, zero, torch.tensor(-120.0)), 60 - 0.5 * math.log(2 * math.pi), 1e-6)


def test_tiny_divergences_keep_their_digits():
    value = torch.tensor([1e-6], dtype=torch.float64)
    seen = kl_to_standard_normal(torch.zeros(1, dtype=torch.float64), value)
    close(seen / 2.5e-13, 1 + 1e-6 / 3, 1e-8)  # ½ (e^t − 1 − t) = t²/4 + t³/12 + …


def test_the_gradient_is_the_derivative_of_the_price():
    mean = torch.tensor([0.7, -1.2], dtype=torch.float64, requires_grad=True)
    log_variance = torch.tensor([-1.0, 0.4], dtype=torch.float64, requires_grad=True)
    slopes = torch.autograd.grad(kl_to_standard_normal(mean, log_variance), (mean, log_variance))
    close(slopes[0], mean.detach())
    close(slopes[1], (np.exp([-1.0, 0.4]) - 1) / 2)


def test_samples_and_batches_broadcast():
    mean, log_variance = diagonal(0, 2, 4)
    z = standard_normal((7, 4, 2), generator(1))
    root = torch.diag_embed((log_variance / 2).exp())
    assert log_normal(z, mean, log_variance).shape == (7, 4)
    assert log_normal_full(z, mean, root).shape == (7, 4)
    assert kl_to_standard_normal(z, log_variance).shape == (7, 4)
    assert kl_to_standard_normal_full(z, root).shape == (7, 4)
    assert kl_between(z, log_variance, mean, log_variance).shape == (7, 4)
    assert kl_between_full(z, root, mean, root[0]).shape == (7, 4)
    close(log_normal(z, mean, log_variance)[3], log_normal(z[3], mean, log_variance))
    close(log_normal_full(z, mean, root)[3, 2], log_normal(z[3, 2], mean[2], log_variance[2]))


def test_arguments_are_left_alone():
    mean, log_variance = diagonal(0, 2)
    copies = mean.clone(), log_variance.clone()
    log_normal(mean, mean, log_variance)
    kl_between(mean, log_variance, mean + 1, log_variance)
    close(mean, copies[0], 0)
    close(log_variance, copies[1], 0)


def test_leading_axes_that_do_not_broadcast_are_named():
    three, four = torch.zeros(3, 2), torch.zeros(4, 2)
    roots = torch.eye(2).expand(4, 2, 2)
    seen = r"leading axes must broadcast, got \(3,\), \(4,\)"
    for call in (
        lambda: log_normal(three, four, torch.zeros(())),
        lambda: log_normal_full(three, four, torch.eye(2)),
        lambda: kl_to_standard_normal(three, four),
        lambda: kl_to_standard_normal_full(three, roots),
        lambda: kl_between_full(three, roots, three, roots),
    ):
        with pytest.raises(ValueError, match=seen.replace(r", \(4,\)", "")) as caught:
            call()
        assert "(4,)" in str(caught.value)
    with pytest.raises(ValueError, match=r"\(3,\) of mean, .*, \(4,\) of other_mean"):
        kl_between(three, three, four, four)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_entries_that_are_not_finite_are_refused(bad):
    good, spoiled = torch.zeros(2), torch.tensor([0.0, bad])
    with pytest.raises(ValueError, match="x must be finite, but 1 of 2"):
        log_normal(spoiled, good, good)
    with pytest.raises(ValueError, match="log_variance must be finite"):
        log_normal(good, good, spoiled)
    with pytest.raises(ValueError, match="mean must be finite"):
        kl_to_standard_normal(spoiled, good)
    with pytest.raises(ValueError, match="other_log_variance must be finite"):
        kl_between(good, good, good, spoiled)


def test_widths_ranks_and_types_are_checked():
    two, three = torch.zeros(2), torch.zeros(3)
    with pytest.raises(ValueError, match=r"mean must .*2.* got shape \(3,\)"):
        log_normal(two, three, two)
    with pytest.raises(ValueError, match=r"log_variance must .*2.* got shape \(3,\)"):
        kl_to_standard_normal(two, three)
    with pytest.raises(ValueError, match=r"other_mean must .*2.* got shape \(3,\)"):
        kl_between(two, two, three, two)
    with pytest.raises(ValueError, match=r"other_mean must .*2.* got shape \(3,\)"):
        kl_between_full(two, torch.eye(2), three, torch.eye(2))
    with pytest.raises(ValueError, match=r"log_variance .* got a scalar"):
        entropy(torch.tensor(0.0))
    with pytest.raises(ValueError, match="empty"):
        kl_to_standard_normal(torch.zeros(0, 2), two)
    with pytest.raises(TypeError, match=r"torch\.int64"):
        log_normal(torch.zeros(2, dtype=torch.int64), two, two)


@pytest.mark.parametrize("function", FULL)
def test_a_factor_must_be_a_lower_triangle_with_a_positive_diagonal(function):
    def call(factor):
        return function(*[torch.zeros(2)] * (2 if function is log_normal_full else 1), factor)

    with pytest.raises(ValueError, match="lower triangular"):
        call(torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="must be positive"):
        call(torch.tensor([[1.0, 0.0], [0.5, -1.0]]))
    with pytest.raises(
        ValueError, match=r"cholesky must be .* d = 2 as in (x|mean), got shape \(3, 3\)"
    ):
        call(torch.eye(3))
    with pytest.raises(ValueError, match=r"cholesky must be \(\.\.\., d, d\).* got shape \(2, 3\)"):
        call(torch.ones(2, 3))


@given(seeds, widths)
def test_the_factor_rebuilds_its_covariance(seed, width):
    _, covariance = full(seed, width)
    factor = cholesky_factor(covariance)
    close(factor @ factor.mT, covariance)
    close(factor.triu(1), torch.zeros_like(factor))


def test_what_is_no_covariance_is_refused():
    with pytest.raises(ValueError, match=r"symmetric, but its two halves differ by 0\.5"):
        cholesky_factor(torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="smallest eigenvalue is -1"):
        cholesky_factor(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(
        ValueError, match=r"covariance must be \(\.\.\., d, d\), got shape \(2, 3\)"
    ):
        cholesky_factor(torch.ones(2, 3))
