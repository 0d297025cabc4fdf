"""The identity and its parts against scipy's quadrature, closed forms and torch.distributions."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from drawn import double
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats
from torch import distributions

from vae_tutorial.decomposition import (
    Decomposition,
    LatentModel,
    LinearGaussian,
    decompose,
    decompose_linear,
    expectation,
    gaussian_decoder,
    kl_divergence,
    linear_evidence,
    linear_posterior,
    log_evidence,
    log_posterior,
)
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.quadrature import gauss_legendre, trapezoid

LEFT, RIGHT = trapezoid(-8, 8, 641), gauss_legendre(-8, 8, 640)
means, scales = st.floats(-1.5, 1.5), st.floats(0.3, 0.9)


def normal(mean, scale):
    return distributions.Normal(*double(mean, scale))


def uniform(low, high):
    return distributions.Uniform(*double(low, high), validate_args=False).log_prob


def curve(z):
    return torch.stack([z, torch.sin(2 * z)], dim=-1)


CURVE = gaussian_decoder(curve, double(0.8, 0.0), 0.1)


def joint(z):
    """p(x, z) of the curve model at x = (0.8, 0), by Python's own densities."""
    pixel = NormalDist(0.0, math.sqrt(0.1))
    return pixel.pdf(0.8 - z) * pixel.pdf(math.sin(2 * z)) * NormalDist().pdf(z)


def integral(function):
    return integrate.quad(function, -8, 8, epsabs=1e-12, epsrel=1e-12, limit=500)[0]


def linear_model(data_width, latent_width, seed=0):
    random = generator(seed)
    weight = standard_normal((data_width, latent_width), random)
    model = LinearGaussian(weight, standard_normal((data_width,), random), double(0.3)[0])
    return model, standard_normal((7, data_width), random)


def covariance_of(model):
    noise = model.variance * torch.eye(len(model.offset), dtype=torch.float64)
    return model.weight @ model.weight.T + noise


@pytest.mark.equation("eq-curve-model")
def test_gaussian_decoder_is_the_model_it_names():
    z = double(-1.3, 0.0, 2.1)
    expected = [math.log(joint(float(value))) for value in z]
    log_joint = CURVE.log_prior(z) + CURVE.log_likelihood(z)
    assert log_joint.tolist() == pytest.approx(expected, rel=1e-12)
    assert CURVE.log_prior(z).tolist() == pytest.approx(stats.norm.logpdf(z), rel=1e-12)


@pytest.mark.equation("eq-evidence", "eq-posterior")
@pytest.mark.parametrize("rule", [LEFT, RIGHT])
def test_evidence_and_posterior_of_the_curve_are_scipys(rule):
    evidence = integral(joint)
    assert float(log_evidence(CURVE, rule)) == pytest.approx(math.log(evidence), abs=1e-11)
    z = double(-0.5, 0.2, 1.4)
    expected = [math.log(joint(float(value)) / evidence) for value in z]
    assert log_posterior(CURVE, rule)(z).tolist() == pytest.approx(expected, abs=1e-10)


def test_evidence_does_not_underflow():
    """A likelihood of e^(−1610) whatever z is: zero in float64, yet log p(x) is −1610."""
    far = LatentModel(normal(0.0, 0.1).log_prob, lambda z: 0 * z - 1610.0)
    assert float(log_evidence(far, LEFT)) == pytest.approx(-1610.0, abs=1e-9)


@pytest.mark.equation("eq-kl")
@given(means, scales, means, scales)
def test_kl_is_the_librarys(mean, scale, other_mean, other_scale):
    q, p = normal(mean, scale), normal(other_mean, other_scale)
    expected = float(distributions.kl_divergence(q, p))
    seen = float(kl_divergence(q.log_prob, p.log_prob, LEFT))
    assert seen == pytest.approx(expected, abs=1e-9)


@pytest.mark.equation("eq-quadrature")
@given(means, scales)
def test_expectations_are_moments(mean, scale):
    q = normal(mean, scale).log_prob
    assert float(expectation(q, lambda z: z, RIGHT)) == pytest.approx(mean, abs=1e-9)
    second = float(expectation(q, lambda z: z**2, RIGHT))
    assert second == pytest.approx(mean**2 + scale**2, abs=1e-9)


@pytest.mark.equation("vae2")
@given(means, scales)
def test_an_average_of_a_constant_is_the_constant(mean, scale):
    """log p(x), by scipy, does not depend on z; so q only has to sum to one."""
    constant = math.log(integral(joint))
    seen = expectation(normal(mean, scale).log_prob, lambda z: 0 * z + constant, RIGHT)
    assert float(seen) == pytest.approx(constant, abs=1e-9)


@pytest.mark.equation("eq-pointwise")
def test_three_functions_of_z_add_up_to_the_evidence_at_every_z():
    z = torch.linspace(-3, 3, 25, dtype=torch.float64)
    log_joint = [math.log(joint(float(value))) for value in z]  # log p(x|z) + log p(z)
    sums = np.array(log_joint) - log_posterior(CURVE, RIGHT)(z).numpy()
    np.testing.assert_allclose(sums, math.log(integral(joint)), atol=1e-10)


HUMPS = distributions.MixtureSameFamily(
    distributions.Categorical(double(0.5, 0.5)),
    distributions.Normal(double(-3.0, 3.0), double(0.3, 0.3)),
)


@pytest.mark.equation("eq-one-mode")
@given(st.floats(2.8, 3.2), st.floats(0.2, 0.4))
def test_one_of_two_far_humps_costs_log_2(mean, scale):
    q, hump = normal(mean, scale), normal(3.0, 0.3)
    expected = math.log(2) + float(distributions.kl_divergence(q, hump))
    seen = float(kl_divergence(q.log_prob, HUMPS.log_prob, LEFT))
    assert seen == pytest.approx(expected, abs=1e-9)


@pytest.mark.equation("eq-forward")
@given(means, st.floats(0.6, 2.0))
def test_the_other_direction_asks_for_two_moments_only(mean, scale):
    """Two humps, unequal: mean 0.7 · 0.2 + 0.3 · 1.4, and variance by the law of total variance."""
    shares, centres, widths = (0.7, 0.3), (0.2, 1.4), (0.25, 0.2)

    def density(z):
        return np.dot(shares, stats.norm.pdf(z, centres, widths))

    minus_entropy = integral(lambda z: density(z) * math.log(density(z)) if abs(z) < 4 else 0.0)
    centre = 0.7 * 0.2 + 0.3 * 1.4
    variance = 0.7 * 0.25**2 + 0.3 * 0.2**2 + 0.7 * 0.3 * (1.4 - 0.2) ** 2
    squares = variance + (centre - mean) ** 2
    expected = 0.5 * math.log(2 * math.pi * scale**2) + squares / (2 * scale**2) + minus_entropy
    mixture = distributions.MixtureSameFamily(
        distributions.Categorical(double(*shares)),
        distributions.Normal(double(*centres), double(*widths)),
    )
    seen = float(kl_divergence(mixture.log_prob, normal(mean, scale).log_prob, LEFT))
    assert seen == pytest.approx(expected, abs=1e-8)


def test_infinite_exactly_where_q_has_mass_and_p_has_none():
    rule = gauss_legendre(0.2, 0.9, 40)
    narrow, wide = uniform(0.2, 0.9), uniform(-1.0, 2.0)
    assert float(kl_divergence(narrow, wide, rule)) == pytest.approx(math.log(3 / 0.7), abs=1e-12)
    assert float(kl_divergence(wide, narrow, LEFT)) == math.inf
    entropy = math.log(0.7)  # of the uniform; E z² on [a, b] is (a² + ab + b²) / 3
    against_normal = 0.5 * math.log(2 * math.pi) + (0.04 + 0.18 + 0.81) / 6 - entropy
    seen = float(kl_divergence(narrow, normal(0.0, 1.0).log_prob, LEFT))
    assert seen == pytest.approx(against_normal, abs=0.05)  # jumps: a coarse value, but finite
    seen = float(kl_divergence(narrow, normal(0.0, 1.0).log_prob, rule))
    assert seen == pytest.approx(against_normal, abs=1e-12)


def test_the_residual_says_nan_where_both_sides_are_infinite():
    shut = CURVE._replace(log_prior=uniform(-1.0, 2.0))
    seen = decompose(shut, normal(0.4, 0.6).log_prob, LEFT, RIGHT)
    assert float(seen.kl_to_posterior) == float(seen.kl_to_prior) == math.inf
    assert float(seen.elbo) == -math.inf
    assert math.isnan(seen.residual)


def under(q, function, mean, scale):
    """E_q of a function of z, by scipy, over nine standard deviations each way."""
    return integral(lambda z: q.pdf(z) * function(z) if abs(z - mean) < 9 * scale else 0.0)


@pytest.mark.equation("vae3")
@pytest.mark.parametrize(("mean", "scale"), [(0.4, 0.6), (-0.5, 0.4), (1.4, 0.3)])
def test_the_split_is_that_of_two_integrals_by_scipy(mean, scale):
    q, evidence = stats.norm(mean, scale), integral(joint)
    first = under(q, lambda z: math.log(joint(z)) - q.logpdf(z), mean, scale)
    second = under(q, lambda z: q.logpdf(z) - math.log(joint(z) / evidence), mean, scale)
    seen = decompose(CURVE, normal(mean, scale).log_prob, LEFT, RIGHT)
    assert float(seen.elbo) == pytest.approx(first, abs=1e-8)
    assert float(seen.kl_to_posterior) == pytest.approx(second, abs=1e-8)
    assert float(seen.log_evidence) == pytest.approx(first + second, abs=1e-8)


@pytest.mark.equation("vae4")
@pytest.mark.parametrize(("mean", "scale"), [(0.4, 0.6), (-0.5, 0.4), (1.4, 0.3)])
def test_the_first_part_is_a_likelihood_less_a_divergence(mean, scale):
    q = stats.norm(mean, scale)
    first = under(q, lambda z: math.log(joint(z)) - q.logpdf(z), mean, scale)
    seen = decompose(CURVE, normal(mean, scale).log_prob, LEFT, RIGHT)
    assert float(seen.log_likelihood - seen.kl_to_prior) == pytest.approx(first, abs=1e-8)
    closed = distributions.kl_divergence(normal(mean, scale), normal(0.0, 1.0))
    assert float(seen.kl_to_prior) == pytest.approx(float(closed), abs=1e-9)


@pytest.mark.equation("eq-common-grid")
@pytest.mark.parametrize("num_nodes", [13, 17, 25])
def test_on_one_grid_the_residual_sees_only_the_mass_of_q(num_nodes):
    grid = np.linspace(-8, 8, num_nodes)
    step = 16 / (num_nodes - 1)  # what lies at the ends is nothing
    evidence = step * sum(joint(value) for value in grid)
    mass = step * stats.norm.pdf(grid, 0.4, 0.6).sum()
    rule = trapezoid(-8, 8, num_nodes)
    seen = decompose(CURVE, normal(0.4, 0.6).log_prob, rule, rule)
    expected = math.log(evidence) * (1 - mass)
    assert float(seen.residual) == pytest.approx(expected, rel=1e-6, abs=1e-12)
    truth = decompose(CURVE, normal(0.4, 0.6).log_prob, LEFT, RIGHT).kl_to_posterior
    assert abs(float(seen.residual)) < abs(float(seen.kl_to_posterior - truth)) / 10


@pytest.mark.equation("vae5")
@given(means, scales)
def test_all_four_terms_are_scipys_and_the_identity_holds(mean, scale):
    q = stats.norm(mean, scale)
    evidence = integral(joint)

    def under_q(log_ratio):
        return integral(lambda z: q.pdf(z) * log_ratio(z) if abs(z - mean) < 9 * scale else 0.0)

    def log_likelihood(z):
        return math.log(joint(z)) - stats.norm.logpdf(z)

    to_posterior = under_q(lambda z: q.logpdf(z) - math.log(joint(z) / evidence))
    to_prior = float(distributions.kl_divergence(normal(mean, scale), normal(0.0, 1.0)))
    expected = (math.log(evidence), to_posterior, under_q(log_likelihood), to_prior)
    seen = decompose(CURVE, normal(mean, scale).log_prob, LEFT, RIGHT)
    assert [float(term) for term in seen] == pytest.approx(expected, abs=1e-8)
    assert float(seen.elbo) == pytest.approx(expected[2] - expected[3], abs=1e-8)
    assert abs(float(seen.residual)) < 1e-9
    assert float(seen.kl_to_posterior) > 0


def test_the_exact_posterior_leaves_no_gap():
    seen = decompose(CURVE, log_posterior(CURVE, RIGHT), LEFT, RIGHT)
    assert abs(float(seen.kl_to_posterior)) < 1e-10
    assert float(seen.elbo) == pytest.approx(math.log(integral(joint)), abs=1e-10)


def test_the_left_rule_serves_the_left_side_only():
    q, coarse = normal(0.4, 0.6).log_prob, trapezoid(-8, 8, 13)
    fine = decompose(CURVE, q, LEFT, RIGHT)
    left = decompose(CURVE, q, coarse, RIGHT)
    assert left[2:] == fine[2:]
    assert abs(float(left.log_evidence - fine.log_evidence)) > 0.1
    assert abs(float(left.kl_to_posterior - fine.kl_to_posterior)) > 0.1
    right = decompose(CURVE, q, LEFT, coarse)
    assert right[:2] == fine[:2]
    assert abs(float(right.log_likelihood - fine.log_likelihood)) > 0.1
    assert abs(float(right.residual)) > 0.1


def test_the_residual_is_left_minus_right():
    seen = Decomposition(*double(-1.0, 0.25, -2.0, 0.5))
    assert float(seen.elbo) == -2.5
    assert float(seen.residual) == 1.25


@pytest.mark.equation("eq-linear-evidence", "eq-linear-posterior")
@pytest.mark.parametrize(("data_width", "latent_width"), [(1, 1), (4, 2), (6, 3), (2, 5)])
def test_linear_evidence_and_posterior_are_the_joint_gaussians(data_width, latent_width):
    model, x = linear_model(data_width, latent_width)
    covariance = covariance_of(model)
    scipys = stats.multivariate_normal(model.offset.numpy(), covariance.numpy()).logpdf(x.numpy())
    assert linear_evidence(model, x).tolist() == pytest.approx(scipys.tolist(), rel=1e-10)
    mean, cholesky = linear_posterior(model, x)
    gain = torch.linalg.solve(covariance, model.weight).T  # (d, D)
    torch.testing.assert_close(mean, (x - model.offset) @ gain.T)
    expected = torch.eye(latent_width, dtype=torch.float64) - gain @ model.weight
    torch.testing.assert_close(cholesky @ cholesky.T, expected)
    assert not cholesky.triu(1).any()
    assert (cholesky.diagonal() > 0).all()


@pytest.mark.equation("vae5", "eq-linear-likelihood")
@pytest.mark.parametrize(("data_width", "latent_width"), [(4, 2), (6, 3), (2, 5)])
def test_linear_terms_against_sigma_points_and_the_library(data_width, latent_width):
    """The 2d points mean ± √d L e_i average every quadratic exactly, so also log p(x|z)."""
    model, x = linear_model(data_width, latent_width, seed=1)
    mean = standard_normal((7, latent_width), generator(2))
    square = standard_normal((7, latent_width, latent_width), generator(3))
    cholesky = square.tril(-1) + torch.diag_embed(square.diagonal(dim1=-2, dim2=-1).abs() + 0.2)
    seen = decompose_linear(model, x, mean, cholesky)

    steps = math.sqrt(latent_width) * cholesky.mT  # row i is √d L e_i
    points = torch.cat([mean.unsqueeze(1) + steps, mean.unsqueeze(1) - steps], dim=1)  # (7, 2d, d)
    scale = model.variance.sqrt()
    means = points @ model.weight.T + model.offset  # (7, 2d, D)
    log_likelihood = distributions.Normal(means, scale).log_prob(x.unsqueeze(1)).sum(-1)
    torch.testing.assert_close(seen.log_likelihood, log_likelihood.mean(1))

    q = distributions.MultivariateNormal(mean, scale_tril=cholesky)
    zero, unit = torch.zeros_like(mean[0]), torch.eye(latent_width, dtype=torch.float64)
    prior = distributions.MultivariateNormal(zero, unit)
    torch.testing.assert_close(seen.kl_to_prior, distributions.kl_divergence(q, prior))
    precision = unit + model.weight.T @ model.weight / model.variance
    shift = torch.linalg.solve(precision, ((x - model.offset) @ model.weight / model.variance).T).T
    posterior = distributions.MultivariateNormal(shift, precision_matrix=precision)
    torch.testing.assert_close(seen.kl_to_posterior, distributions.kl_divergence(q, posterior))
    torch.testing.assert_close(seen.residual, torch.zeros(7).double(), atol=1e-9, rtol=0)


@pytest.mark.equation("eq-linear-model")
def test_linear_and_quadrature_agree_with_one_latent():
    model, x = linear_model(3, 1, seed=4)
    closed = decompose_linear(model, x[0], double(0.2), double([0.5]))
    decoder = gaussian_decoder(
        lambda z: z.unsqueeze(-1) @ model.weight.T + model.offset, x[0], float(model.variance)
    )
    summed = decompose(decoder, normal(0.2, 0.5).log_prob, LEFT, RIGHT)
    torch.testing.assert_close(torch.stack(closed), torch.stack(summed), atol=1e-9, rtol=0)


def normal_entries(count):
    return standard_normal((count,), generator(8)).numpy()


@pytest.mark.equation("eq-ignoring")
@pytest.mark.parametrize(("data_width", "latent_width"), [(4, 2), (2, 5)])
def test_the_best_q_that_ignores_x_loses_half_the_signal_to_noise(data_width, latent_width):
    """The gap is a quadratic of x, so the 2D points b ± √D C e_i, C Cᵀ = Cov x, average it."""
    model, _ = linear_model(data_width, latent_width, seed=6)
    steps = math.sqrt(data_width) * torch.linalg.cholesky(covariance_of(model)).mT
    points = torch.cat([model.offset + steps, model.offset - steps])  # (2D, D)
    unit = torch.eye(latent_width, dtype=torch.float64)
    precision = unit + model.weight.T @ model.weight / model.variance
    cholesky = torch.linalg.cholesky(torch.linalg.inv(precision))

    def average_gap(mean, factor):
        return float(decompose_linear(model, points, mean, factor).kl_to_posterior.mean())

    best = average_gap(0 * unit[0], cholesky)
    expected = float(model.weight.square().sum() / model.variance / 2)
    assert best == pytest.approx(expected, rel=1e-10)
    lower = torch.tril_indices(latent_width, latent_width)

    def unpacked(entries):  # any mean, and any triangle with a positive diagonal
        factor = torch.zeros_like(unit)
        factor = factor.index_put((lower[0], lower[1]), entries[latent_width:])
        return entries[:latent_width], factor.tril(-1) + factor.diagonal().exp().diag_embed()

    def gap(entries):  # the KL of two Gaussians, averaged over the points, and its slope
        entries = torch.as_tensor(entries).requires_grad_()
        mean, factor = unpacked(entries)
        precise = torch.linalg.cholesky(precision)
        posteriors = (points - model.offset) @ model.weight / model.variance @ precision.inverse()
        trace = (precise.mT @ factor).square().sum()
        away = ((posteriors - mean) @ precise).square().sum(-1).mean()
        logs = 2 * factor.diagonal().log().sum() + 2 * precise.diagonal().log().sum()
        value = 0.5 * (trace + away - latent_width - logs)
        (slope,) = torch.autograd.grad(value, entries)
        return value.item(), slope.numpy()

    start = normal_entries(latent_width + len(lower[0]))
    found = optimize.minimize(gap, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    assert found.fun == pytest.approx(expected, abs=1e-8)  # none of them does better
    assert found.x[:latent_width] == pytest.approx(0, abs=1e-5)
    elsewhere = average_gap(*unpacked(torch.as_tensor(start)))
    assert gap(start)[0] == pytest.approx(elsewhere, rel=1e-10)
    assert elsewhere > expected + 0.1


def test_the_linear_posterior_leaves_no_gap():
    model, x = linear_model(5, 3, seed=5)
    seen = decompose_linear(model, x, *linear_posterior(model, x))
    torch.testing.assert_close(seen.elbo, linear_evidence(model, x), atol=1e-10, rtol=0)


@pytest.mark.parametrize("variance", [0.0, -0.1])
def test_a_variance_must_be_positive(variance):
    with pytest.raises(ValueError, match="variance must be positive"):
        gaussian_decoder(curve, double(0.8, 0.0), variance)


def test_a_log_density_must_give_one_value_a_node():
    column = CURVE._replace(log_prior=lambda z: CURVE.log_prior(z).unsqueeze(-1))
    with pytest.raises(ValueError, match=r"641 nodes need as many nats, got \(641, 1\)"):
        log_evidence(column, LEFT)
    with pytest.raises(ValueError, match=r"641 nodes need as many nats, got \(\)"):
        kl_divergence(lambda z: z.sum(), CURVE.log_prior, LEFT)


def test_bad_data_and_decoders_are_named():
    with pytest.raises(ValueError, match="must be finite"):
        log_evidence(gaussian_decoder(curve, double(math.nan, 0.0), 0.1), LEFT)
    with pytest.raises(ValueError, match=r"d = 3 as in x, got shape \(641, 2\)"):
        log_evidence(gaussian_decoder(curve, double(0.8, 0.0, 0.1), 0.1), LEFT)
    with pytest.raises(TypeError, match="floating point"):
        gaussian_decoder(curve, torch.tensor([1, 0]), 0.1)


def test_bad_linear_arguments_are_named():
    model, x = linear_model(4, 2)
    mean, cholesky = double(0.0, 0.0), torch.eye(2, dtype=torch.float64)
    for width in (1, 3):
        with pytest.raises(
            ValueError, match=rf"D = 4 as in model.offset, got shape \(7, {width}\)"
        ):
            linear_posterior(model, x[:, :width])
        with pytest.raises(ValueError, match=rf"x must be .* D = 4 .*, got shape \(7, {width}\)"):
            linear_evidence(model, x[:, :width])
    for function in (linear_evidence, linear_posterior):
        with pytest.raises(ValueError, match=r"variance must be positive, .* is -0\.5"):
            function(model._replace(variance=double(-0.5)[0]), x)
        for weight in (model.weight[0], model.weight[:3]):
            with pytest.raises(
                ValueError, match=r"weight must be .* D = 4 as in model.offset, got shape"
            ):
                function(model._replace(weight=weight), x)
    with pytest.raises(ValueError, match="lower triangular"):
        decompose_linear(model, x, mean, cholesky + double([0.0, 1.0], [0.0, 0.0]))
    with pytest.raises(ValueError, match=r"cholesky must be .* d = 2 as in .*, got shape \(1, 1\)"):
        decompose_linear(model, x, mean, torch.eye(1, dtype=torch.float64))
    with pytest.raises(
        ValueError, match=r"mean must be .* d = 2 as in model.weight, got shape \(3,\)"
    ):
        decompose_linear(model, x, double(0.0, 0.0, 0.0), torch.eye(3, dtype=torch.float64))
    with pytest.raises(TypeError, match="floating point"):
        linear_posterior(model, torch.ones(7, 4, dtype=torch.int64))
