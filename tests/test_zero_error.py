"""The error that vanishes: densities against scipy, gaps and constants by other integrals."""

import math

import numpy as np
import pytest
import torch
from drawn import close, double
from scipy import integrate, interpolate, optimize, stats
from torch.autograd.functional import jacobian

from vae_tutorial import decomposition
from vae_tutorial.quadrature import trapezoid
from vae_tutorial.zero_error import (
    Mixture,
    average_gap,
    average_rate,
    gap,
    gap_constants,
    limit_posterior,
    mixture,
    shifted_posterior,
    slopes,
    stretch,
)

TWINS = mixture([0.5, 0.5], [-1.0, 1.0], [0.6, 0.6])
SKEWED = mixture([0.6, 0.4], [-0.5, 1.0], [0.5, 1.0])
LAWS = [TWINS, SKEWED, mixture([1.0], [0.3], [0.7])]
RULE = trapezoid(-8, 8, 401)  # 0.04 apart
POINTS = double(-2.1, -0.7, 0.0, 0.4, 1.9)


def scipy_density(law: Mixture, x):
    parts = zip(*(part.tolist() for part in law), strict=True)
    return sum(w * stats.norm.pdf(x, m, s) for w, m, s in parts)


def scipy_cdf(law: Mixture, x):
    parts = zip(*(part.tolist() for part in law), strict=True)
    return sum(w * stats.norm.cdf(x, m, s) for w, m, s in parts)


def scipy_latent(law: Mixture, x):
    return stats.norm.ppf(scipy_cdf(law, x))


def scipy_image(law: Mixture, z):
    return optimize.brentq(lambda x: scipy_latent(law, x) - z, -6, 6, xtol=1e-14)


def test_weights_must_sum_to_one():
    with pytest.raises(ValueError, match=r"weights must sum to 1, got 0\.9"):
        mixture([0.5, 0.4], [0.0, 1.0], [1.0, 1.0])


@pytest.mark.parametrize("law", LAWS)
def test_the_density_is_scipys(law):
    close(law.log_density(POINTS).exp(), scipy_density(law, POINTS.numpy()))
    x = POINTS.clone().requires_grad_()
    (slope,) = torch.autograd.grad(law.log_density(x).sum(), x)
    close(law.score(POINTS), slope)


@pytest.mark.equation("eq-zero-map")
@pytest.mark.parametrize("law", LAWS)
def test_the_two_maps_are_scipys_and_undo_each_other(law):
    z = law.to_normal(POINTS)
    close(z, scipy_latent(law, POINTS.numpy()), 1e-9)
    close(law.from_normal(z), POINTS, 1e-9)
    for each in (-2.5, 0.0, 1.2):
        close(law.from_normal(double(each)), scipy_image(law, each), 1e-9)


@pytest.mark.equation("eq-zero-map")
def test_far_tails_keep_their_digits():
    """Where 1 − F is below the spacing of floats, the mirror image of the lower tail is exact."""
    law = mixture([0.5, 0.5], [-1.0, 1.0], [0.5, 0.5])
    far = double(5.0, 8.0)
    upper, lower = law.to_normal(far), law.to_normal(-far)
    close(upper, -lower, 1e-12)
    close(lower, -stats.norm.isf(stats.norm.sf(2 * far.numpy() - 2) / 2), 1e-9)


@pytest.mark.equation("eq-blurred")
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("variance", [0.09, 1.3])
def test_the_model_of_f_has_the_blurred_density(law, variance):
    """∫ N(x; f(z), σ²) φ(z) dz by the rule of chapter 3, which knows f and nothing of blurring."""
    rule = trapezoid(-8, 8, 4001)
    images = law.from_normal(rule.nodes)[:, None]
    for x in POINTS:
        model = decomposition.gaussian_decoder(lambda z, f=images: f, x[None], variance)
        expected = decomposition.log_evidence(model, rule)
        close(law.blurred_log_density(x, variance), expected, 1e-7)


@pytest.mark.equation("eq-zero-posterior")
@pytest.mark.parametrize("law", LAWS)
def test_the_slope_of_g_is_one_over_that_of_f(law):
    """g′ by finite steps of scipy's f; the limit's q from it."""
    step = 1e-5
    for x, z, slope in zip(POINTS, law.to_normal(POINTS), stretch(law, POINTS), strict=True):
        rise = scipy_image(law, float(z) + step) - scipy_image(law, float(z) - step)
        assert float(slope) == pytest.approx(2 * step / rise, rel=1e-6)
        q = limit_posterior(law, x, 0.04)
        close(q.mean, scipy_latent(law, float(x)), 1e-9)
        assert float(q.deviation) == pytest.approx(0.2 * 2 * step / rise, rel=1e-6)


@pytest.mark.equation("eq-zero-slopes")
@pytest.mark.parametrize("law", LAWS)
def test_the_slopes_are_those_that_autograd_finds(law):
    """g as −√2 erfinv(1 − 2F), differentiated twice."""

    def latent(x):
        standard = (x - law.mean) / law.deviation
        below = (law.weight * 0.5 * torch.erfc(-standard / 2**0.5)).sum()
        return -(2**0.5) * torch.erfinv(1 - 2 * below)

    bend, pull = slopes(law, POINTS)
    for index, x in enumerate(POINTS):
        first = jacobian(latent, x, create_graph=True)
        second = jacobian(lambda t: jacobian(latent, t, create_graph=True), x)
        close(bend[index], second / first, 1e-7)
        close(pull[index], latent(x) * first, 1e-8)


def spline(law: Mixture):
    """f as a spline through 6,001 points of scipy's g: off by less than 1e-9."""
    x = np.linspace(-5, 5, 6001)
    return interpolate.CubicSpline(scipy_latent(law, x), x)


def scipy_gap(law: Mixture, image, x: float, variance: float, q) -> float:
    """KL(q ‖ p(z|x)) over z, with a spline for f; log p(x) by an integral over y."""
    sigma = variance**0.5
    nodes = float(q.mean) + float(q.deviation) * np.linspace(-9, 9, 401)
    images = image(nodes)
    log_joint = stats.norm.logpdf(x, images, sigma) + stats.norm.logpdf(nodes)
    evidence = integrate.quad(
        lambda y: scipy_density(law, y) * stats.norm.pdf(x, y, sigma),
        x - 10 * sigma,
        x + 10 * sigma,
        epsabs=1e-13,
    )[0]
    log_q = stats.norm.logpdf(nodes, float(q.mean), float(q.deviation))
    inside = np.exp(log_q) * (log_q - log_joint)
    return float(integrate.trapezoid(inside, nodes)) + math.log(evidence)


@pytest.mark.equation("eq-zero-gap")
@pytest.mark.parametrize("encoder", [limit_posterior, shifted_posterior])
def test_the_gap_at_a_point_is_that_of_an_integral_over_the_latent(encoder):
    variance, image = 0.04, spline(SKEWED)
    found = gap(SKEWED, variance, RULE, encoder)
    for index in (180, 200, 230):
        x = RULE.nodes[index]
        expected = scipy_gap(SKEWED, image, float(x), variance, encoder(SKEWED, x, variance))
        assert float(found[index]) == pytest.approx(expected, abs=2e-8)


@pytest.mark.equation("eq-zero-gap")
@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (0.4, 0.7)])
@pytest.mark.parametrize("variance", [0.01, 0.3])
def test_the_average_gap_of_a_gaussian_in_closed_form(mean, deviation, variance):
    """x = m + sz + σε: the posterior is Gaussian with precision 1 + s²/σ²."""
    law = mixture([1.0], [mean], [deviation])
    ratio = variance / deviation**2
    expected = 0.5 * (ratio + ratio / (1 + ratio) - math.log1p(ratio))
    assert average_gap(law, variance, RULE) == pytest.approx(expected, abs=1e-10)


@pytest.mark.equation("eq-zero-rate")
@pytest.mark.parametrize("law", LAWS)
def test_the_rate_is_an_entropy_less_that_of_the_noise(law):
    """By scipy: h(p) − ½ log 2πeσ² + ½σ² E[g′²], and log 10 more for a σ ten times smaller."""

    def average(function):
        inside = lambda x: scipy_density(law, x) * function(x)  # noqa: E731
        return integrate.quad(inside, -4.5, 5.5, limit=200)[0]

    entropy = average(lambda x: -np.log(scipy_density(law, x)))
    square = average(lambda x: (scipy_density(law, x) / stats.norm.pdf(scipy_latent(law, x))) ** 2)
    for variance in (0.25, 0.01):
        noise = 0.5 * math.log(2 * math.pi * math.e * variance)
        expected = entropy - noise + 0.5 * variance * square
        assert average_rate(law, variance, RULE) == pytest.approx(expected, abs=2e-4)
    more = average_rate(law, 1e-6, RULE) - average_rate(law, 1e-4, RULE)
    assert more == pytest.approx(math.log(10), abs=1e-3)


def extrapolated(law: Mixture, encoder) -> float:
    """What gap/σ² tends to, by Richardson from two measured gaps: its error is of order σ⁴."""
    fine = trapezoid(-5, 6, 551)  # 0.02 apart
    coarse, small = (average_gap(law, sigma**2, fine, encoder) / sigma**2 for sigma in (0.04, 0.02))
    return (4 * small - coarse) / 3


@pytest.mark.equation("eq-zero-constant")
@pytest.mark.parametrize("law", LAWS)
def test_the_constant_is_what_measured_gaps_tend_to(law):
    assert gap_constants(law, RULE).limit == pytest.approx(
        extrapolated(law, limit_posterior), rel=5e-4
    )


@pytest.mark.equation("eq-zero-best", "eq-zero-shift")
@pytest.mark.parametrize("law", LAWS[:2])
def test_the_shifted_constant_is_what_measured_gaps_tend_to(law):
    assert gap_constants(law, RULE).shifted == pytest.approx(
        extrapolated(law, shifted_posterior), rel=1e-3
    )


@pytest.mark.equation("eq-zero-shift")
def test_a_search_over_gaussians_ends_at_the_shifted_one():
    """Nelder–Mead over mean and width at one x, the gap by scipy: no Gaussian is much better."""
    x, variance, image = double(0.3), 0.0004, spline(TWINS)
    q, limit = shifted_posterior(TWINS, x, variance), limit_posterior(TWINS, x, variance)

    def loss(move):
        moved = limit._replace(
            mean=limit.mean + move[0] * limit.deviation,
            deviation=limit.deviation * math.exp(move[1]),
        )
        return scipy_gap(TWINS, image, 0.3, variance, moved) / variance

    options = {"xatol": 1e-4, "fatol": 1e-6, "maxfev": 60}
    best = optimize.minimize(loss, [0.0, 0.0], method="Nelder-Mead", options=options)
    move = float((q.mean - limit.mean) / limit.deviation)
    assert best.x[0] == pytest.approx(move, rel=0.02)
    assert best.fun == pytest.approx(0.75 * float(slopes(TWINS, x).bend) ** 2, rel=0.03)


@pytest.mark.equation("eq-zero-constant", "eq-zero-best")
@pytest.mark.parametrize("deviation", [0.5, 1.0])
def test_gaussian_data_have_the_constant_of_the_pull_alone(deviation):
    constants = gap_constants(mixture([1.0], [0.2], [deviation]), RULE)
    assert constants.limit == pytest.approx(1 / (2 * deviation**2), abs=1e-9)
    assert constants.shifted == pytest.approx(0, abs=1e-9)
