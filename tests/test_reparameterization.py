"""Draws have the law they claim, gradients are the gradients, graphs are what autograd walks."""

import itertools
import math

import numpy as np
import pytest
import torch
from drawn import double, seeds
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, linalg, stats

from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.reparameterization import (
    draw_diagonal,
    draw_full,
    gradient_graph,
    leave_one_out,
    path_gradients_of_bound,
    pathwise_gradients,
    score_function_gradients,
    symmetric_root,
)


def covariance_matrix(seed, width):
    factor = standard_normal((width, width), generator(seed))  # (d, d)
    return factor @ factor.T + 0.1 * torch.eye(width, dtype=torch.float64)


def squared_norm(z):
    return z.square().sum(-1)


def worst_error(estimates, exact):
    """Distance of the average of estimates (K, d) from exact (d,), in its own standard errors."""
    error = estimates.std(0) / len(estimates) ** 0.5
    return float(((estimates.mean(0) - exact) / error).abs().max())


# ---- draws


@pytest.mark.equation("vae11")
def test_a_diagonal_draw_by_hand():
    z = draw_diagonal(double(1.0, -2.0), double(0.0, math.log(9.0)), double(0.5, -1.0))
    torch.testing.assert_close(z, double(1.5, -5.0), rtol=0, atol=1e-12)


@pytest.mark.equation("vae11")
def test_a_full_draw_by_hand():
    root = double([2.0, 0.0], [1.0, 3.0])
    torch.testing.assert_close(
        draw_full(double(1.0, 0.0), root, double(1.0, 2.0)), double(3.0, 7.0)
    )


def test_draws_keep_samples_batch_event():
    noise = standard_normal((7, 5, 3), generator(0))  # (K, batch, d)
    mean, root = torch.zeros(5, 3).double(), torch.eye(3).double().expand(5, 3, 3)
    assert draw_diagonal(mean, mean, noise).shape == (7, 5, 3)
    torch.testing.assert_close(draw_full(mean, root, noise), noise)


@given(seeds, st.integers(1, 5))
def test_the_symmetric_root_agrees_with_scipy(seed, width):
    covariance = covariance_matrix(seed, width)
    root = symmetric_root(covariance)
    expected = torch.from_numpy(np.asarray(linalg.sqrtm(covariance.numpy())).real)
    torch.testing.assert_close(root, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(root, root.mT, rtol=0, atol=1e-12)


def test_roots_come_in_batches():
    covariance = torch.stack([covariance_matrix(seed, 3) for seed in range(4)])  # (4, 3, 3)
    roots = symmetric_root(covariance)  # (4, 3, 3)
    torch.testing.assert_close(roots @ roots, covariance, rtol=0, atol=1e-10)


@pytest.mark.equation("eq-change-of-variables")
@given(seeds, st.integers(1, 4))
def test_every_root_gives_the_density_that_scipy_states(seed, width):
    covariance = covariance_matrix(seed, width)
    mean, noise = standard_normal((2, width), generator(seed + 1))
    for root in (torch.linalg.cholesky(covariance), symmetric_root(covariance)):
        z = draw_full(mean, root, noise)  # (d,)
        before = stats.norm.logpdf(noise.numpy()).sum()
        seen = before - float(torch.linalg.slogdet(root).logabsdet)
        exact = stats.multivariate_normal.logpdf(z.numpy(), mean.numpy(), covariance.numpy())
        assert seen == pytest.approx(exact, abs=1e-9)


@pytest.mark.equation("vae11", "eq-root-law")
def test_both_roots_have_the_stated_moments():
    covariance, mean = covariance_matrix(3, 3), double(1.0, 0.0, -1.0)
    noise = standard_normal((50_000, 3), generator(4))
    for root in (torch.linalg.cholesky(covariance), symmetric_root(covariance)):
        centred = draw_full(mean, root, noise) - mean  # (K, 3)
        assert worst_error(centred, 0.0) < 4.5
        products = (centred[:, :, None] * centred[:, None]).flatten(1)  # (K, 9)
        assert worst_error(products, covariance.flatten()) < 4.5


@pytest.mark.equation("eq-root-rotation")
@given(seeds, st.integers(1, 5))
def test_the_two_roots_differ_by_a_rotation(seed, width):
    """The polar decomposition of the Cholesky root, by scipy, is L = S Qᵀ with an orthogonal Q."""
    covariance = covariance_matrix(seed, width)
    cholesky = np.linalg.cholesky(covariance.numpy())
    turned, stretch = linalg.polar(cholesky, side="left")
    root = symmetric_root(covariance).numpy()
    np.testing.assert_allclose(root, stretch, atol=1e-9)
    rotation = np.linalg.solve(cholesky, root)  # Q = L⁻¹ S
    np.testing.assert_allclose(rotation, turned.T, atol=1e-7)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(width), atol=1e-7)


def test_a_gradient_passes_to_mean_and_log_variance():
    mean, log_variance = double(0.4).requires_grad_(), double(-0.2).requires_grad_()
    assert torch.autograd.gradcheck(draw_diagonal, (mean, log_variance, double(0.7)))
    root = double([2.0, 0.0], [1.0, 3.0]).requires_grad_()
    noise = double(1.0, 2.0)
    assert torch.autograd.gradcheck(draw_full, (double(1.0, 0.0).requires_grad_(), root, noise))


# ---- gradients of expectations

MEAN, LOG_VARIANCE = double(1.0, -0.5, 0.3), double(0.0, 0.6, -1.2)


def all_estimates(function, mean, log_variance, noise):
    value = function(draw_diagonal(mean, log_variance, noise))  # (K,)
    return (
        pathwise_gradients(function, mean, log_variance, noise),
        score_function_gradients(value, log_variance, noise),
        score_function_gradients(value - leave_one_out(value), log_variance, noise),
    )


def test_one_draw_by_hand():
    noise = double([2.0])
    mean, log_variance = double(1.0), double(math.log(4.0))  # z = 1 + 2 · 2 = 5
    path = pathwise_gradients(squared_norm, mean, log_variance, noise)
    torch.testing.assert_close(path.mean, double([10.0]))  # 2 z
    torch.testing.assert_close(path.log_variance, double([20.0]))  # 2 z · σ ε / 2
    score = score_function_gradients(double(25.0), log_variance, noise)
    torch.testing.assert_close(score.mean, double([25.0]))  # z² · ε / σ
    torch.testing.assert_close(score.log_variance, double([37.5]))  # z² · (ε² − 1) / 2


@given(seeds, st.integers(1, 4))
def test_the_score_is_the_gradient_of_the_log_density(seed, width):
    mean, log_variance, noise = standard_normal((3, width), generator(seed))
    parameters = [mean.clone().requires_grad_(), log_variance.clone().requires_grad_()]
    z = draw_diagonal(mean, log_variance, noise)
    law = torch.distributions.Normal(parameters[0], (parameters[1] / 2).exp())
    expected = torch.autograd.grad(law.log_prob(z).sum(), parameters)
    seen = score_function_gradients(double(1.0), log_variance, noise[None])
    for part, gradient in zip(seen, expected, strict=True):
        torch.testing.assert_close(part[0], gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.equation("eq-pathwise", "eq-score-function")
def test_all_estimates_are_unbiased_for_the_squared_norm():
    noise = standard_normal((100_000, 3), generator(5))  # (K, 3)
    for seen in all_estimates(squared_norm, MEAN, LOG_VARIANCE, noise):
        assert worst_error(seen.mean, 2 * MEAN) < 4.5
        assert worst_error(seen.log_variance, LOG_VARIANCE.exp()) < 4.5


@pytest.mark.equation("eq-pathwise", "eq-score-function")
def test_all_estimates_are_unbiased_for_a_nonlinear_function():
    def average(mean, log_variance):
        density = stats.norm(mean, math.exp(log_variance / 2)).pdf
        return integrate.quad(lambda z: math.tanh(2 * z) ** 2 * density(z), -12, 12, epsabs=1e-12)[
            0
        ]

    step = 1e-4
    in_mean = (average(0.4 + step, -0.5) - average(0.4 - step, -0.5)) / (2 * step)
    in_log_variance = (average(0.4, -0.5 + step) - average(0.4, -0.5 - step)) / (2 * step)
    noise = standard_normal((100_000, 1), generator(6))  # (K, 1)
    for seen in all_estimates(
        lambda z: (2 * z).tanh().square()[:, 0], double(0.4), double(-0.5), noise
    ):
        assert worst_error(seen.mean, in_mean) < 4.5
        assert worst_error(seen.log_variance, in_log_variance) < 4.5


def average_over_noise(function):
    """E of a function of ε ~ N(0, 1), (n, 1) to (n, ...), by 120 nodes of numpy's Gauss–Hermite."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    values = function(torch.from_numpy(nodes)[:, None]).numpy()
    return weights @ values / math.sqrt(2 * math.pi)


@pytest.mark.equation("eq-baseline")
@pytest.mark.parametrize("baseline", [0.0, 7.3, -2.0])
def test_a_baseline_changes_no_expectation(baseline):
    mean, log_variance = double(0.4), double(-0.5)

    def estimates(noise, function):
        z = mean + (0.5 * log_variance).exp() * noise  # (n, 1)
        seen = score_function_gradients(function(z)[:, 0], log_variance, noise)
        return torch.cat(seen, -1)  # (n, 2)

    zero = average_over_noise(lambda noise: estimates(noise, torch.ones_like))
    np.testing.assert_allclose(zero, 0, atol=1e-12)  # the score itself
    plain = average_over_noise(lambda noise: estimates(noise, torch.sin))
    less = average_over_noise(lambda noise: estimates(noise, lambda z: z.sin() - baseline))
    np.testing.assert_allclose(less, plain, atol=1e-11)
    damped = math.exp(-0.5 * math.exp(-0.5))  # E sin z = sin(μ) exp(−σ²/2)
    exact = math.cos(0.4) * damped, -0.5 * math.exp(-0.5) * math.sin(0.4) * damped
    np.testing.assert_allclose(plain, exact, atol=1e-11)


@pytest.mark.equation("eq-sine-variance")
@pytest.mark.parametrize("omega", [1.0, 5.0, 11.0, 20.0])
def test_the_variances_for_a_wave_are_those_on_paper(omega):
    log_variance, u = double(2 * math.log(0.1)), 0.01 * omega**2

    def wave(z):
        return (omega * z[:, 0]).sin()

    def score(noise):
        return score_function_gradients(wave(0.1 * noise), log_variance, noise).mean[:, 0]

    def path(noise):
        return pathwise_gradients(wave, double(0.0), log_variance, noise).mean[:, 0]

    exact = omega * math.exp(-u / 2)
    laws = (
        omega**2 / 2 * (1 - math.exp(-u)) ** 2,
        50 * (1 - (1 - 4 * u) * math.exp(-2 * u)) - omega**2 * math.exp(-u),
    )
    for estimate, law in zip((path, score), laws, strict=True):
        assert average_over_noise(estimate) == pytest.approx(exact, rel=1e-10)
        spread = average_over_noise(lambda noise, e=estimate: (e(noise) - exact).square())
        assert spread == pytest.approx(law, rel=1e-8)


@pytest.mark.equation("eq-score-variance")
@pytest.mark.parametrize("width", [1, 4, 32])
def test_the_variances_follow_the_laws_derived_by_hand(width):
    ones, noise = torch.ones(width).double(), standard_normal((20_000, width), generator(7))
    laws = 4, 4 * width**2 + 14 * width + 12, 6 * width + 12
    for seen, law in zip(all_estimates(squared_norm, ones, 0 * ones, noise), laws, strict=True):
        assert worst_error((seen.mean - 2).square().mean(-1, keepdim=True), law) < 4.5


def test_the_root_moves_no_mean_of_a_gradient_but_moves_its_variance():
    """f = z₁ z₂ with covariance [[1, ρ], [ρ, 2]]: dE[f]/dρ is 1, by product nodes of numpy."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)  # exact: the estimates are quadratic
    noise = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), -1).reshape(-1, 2)
    weights, noise = np.outer(weights, weights).ravel() / (2 * np.pi), torch.from_numpy(noise)
    spreads = []
    for root in (torch.linalg.cholesky, symmetric_root):

        def values(rho, root=root):
            covariance = torch.stack([1 + 0 * rho, rho, rho, 2 + 0 * rho]).reshape(2, 2)
            return draw_full(torch.zeros(2).double(), root(covariance), noise).prod(-1)  # (n,)

        slopes = torch.autograd.functional.jacobian(values, double(1.1)).numpy()
        assert weights @ slopes == pytest.approx(1, abs=1e-9)
        spreads.append(weights @ (slopes - 1) ** 2)
    assert spreads[0] > 2 * spreads[1]


@pytest.mark.equation("eq-step-gradient")
def test_at_a_jump_the_score_function_is_right_and_the_pathwise_gradient_is_not():
    noise, exact = standard_normal((100_000, 1), generator(8)), stats.norm.pdf(0.3)
    path, score, centred = all_estimates(
        lambda z: (z.sign()[:, 0] + 1) / 2, double(0.3), double(0.0), noise
    )
    assert not path.mean.any()
    assert worst_error(score.mean, exact) < 4.5
    assert worst_error(centred.mean, exact) < 4.5


@pytest.mark.equation("eq-leave-one-out")
def test_leave_one_out_by_hand():
    torch.testing.assert_close(leave_one_out(double(1.0, 2.0, 6.0)), double(4.0, 3.5, 1.5))


@given(seeds, st.integers(2, 9))
def test_leave_one_out_does_not_look_at_its_own_draw(seed, num_samples):
    values = standard_normal((num_samples,), generator(seed))
    changed = values.clone()
    changed[0] += 100
    difference = leave_one_out(changed) - leave_one_out(values)  # (K,)
    assert difference[0] == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(difference[1:], torch.full_like(values[1:], 100 / (num_samples - 1)))


def test_the_arguments_are_left_alone():
    mean, log_variance = MEAN.clone().requires_grad_(), LOG_VARIANCE.clone().requires_grad_()
    noise = standard_normal((4, 3), generator(9))
    seen = pathwise_gradients(squared_norm, mean, log_variance, noise)
    assert mean.grad is None
    assert log_variance.grad is None
    assert not seen.mean.requires_grad
    assert seen.mean.shape == seen.log_variance.shape == (4, 3)


# ---- the gradient of the bound, path term alone

OBSERVED, PIXEL_VARIANCE = 1.0, 0.25  # one pixel, seen through one standard normal latent
POSTERIOR_VARIANCE = 1 / (1 + 1 / PIXEL_VARIANCE)
POSTERIOR_MEAN = POSTERIOR_VARIANCE * OBSERVED / PIXEL_VARIANCE


def log_joint(z):
    """By scipy's constants, which no gradient sees; log p(x, z) of one pixel, (K, 1) to (K,)."""
    apart = (OBSERVED - z).square() / PIXEL_VARIANCE
    return -0.5 * (z.square() + apart).sum(-1)


def in_mean(function, mean, variance):
    """The mean and the variance of an estimate of noise (n, 1), by numpy's Gauss–Hermite."""
    log_variance = double(math.log(variance))
    exact = average_over_noise(lambda e: function(double(mean), log_variance, e))
    spread = average_over_noise(lambda e: (function(double(mean), log_variance, e) - exact) ** 2)
    return exact, spread


def path_term(mean, log_variance, noise):
    return path_gradients_of_bound(log_joint, mean, log_variance, noise).mean[:, 0]


def both_terms(mean, log_variance, noise):
    """By autograd, through the draw and through log q of torch.distributions."""
    at = mean.expand(noise.shape).clone().requires_grad_()
    law = torch.distributions.Normal(at, (log_variance / 2).exp())
    z = at + (log_variance / 2).exp() * noise
    return torch.autograd.grad((log_joint(z) - law.log_prob(z)[:, 0]).sum(), at)[0][:, 0]


@pytest.mark.equation("eq-path-derivative")
@given(seeds, st.integers(1, 4))
def test_the_total_gradient_is_the_path_term_minus_the_score(seed, width):
    mean, log_variance, *noise = standard_normal((9, width), generator(seed))
    noise = torch.stack(noise)  # (7, d)

    def curved(z):
        return (2 * z).tanh().sum(-1) - z.square().sum(-1)

    path = path_gradients_of_bound(curved, mean, log_variance, noise)
    score = score_function_gradients(torch.ones(7).double(), log_variance, noise)
    parts = [p.expand(7, width).clone().requires_grad_() for p in (mean, log_variance)]
    law = torch.distributions.Normal(parts[0], (parts[1] / 2).exp())
    z = draw_diagonal(*parts, noise)
    total = torch.autograd.grad((curved(z) - law.log_prob(z).sum(-1)).sum(), parts)
    for whole, one, other in zip(total, path, score, strict=True):
        torch.testing.assert_close(whole, one - other, rtol=1e-9, atol=1e-9)


@pytest.mark.equation("eq-path-variance")
@pytest.mark.parametrize("ratio", [0.25, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("mean", [-0.3, POSTERIOR_MEAN])
def test_the_variances_of_the_bounds_gradients_are_those_on_paper(ratio, mean):
    variance, v = ratio * POSTERIOR_VARIANCE, POSTERIOR_VARIANCE
    exact = (POSTERIOR_MEAN - mean) / v
    for estimate, law in (
        (path_term, (1 / ratio - 2 + ratio) / v),
        (both_terms, ratio / v),
    ):
        seen, spread = in_mean(estimate, mean, variance)
        assert seen == pytest.approx(exact, abs=1e-9)
        assert spread == pytest.approx(law, abs=1e-9)

    def closed(at, log_variance, noise):  # the price by its formula: its gradient is the mean
        def log_likelihood(z):
            return -0.5 * (OBSERVED - z).square().sum(-1) / PIXEL_VARIANCE

        return pathwise_gradients(log_likelihood, at, log_variance, noise).mean[:, 0] - at

    seen, spread = in_mean(closed, mean, variance)
    assert seen == pytest.approx(exact, abs=1e-9)
    assert spread == pytest.approx(ratio * (1 - v) ** 2 / v, abs=1e-9)


@given(seeds)
def test_at_the_posterior_every_draw_of_the_path_term_is_zero(seed):
    noise = standard_normal((20, 1), generator(seed))
    log_variance = double(math.log(POSTERIOR_VARIANCE))
    path = path_gradients_of_bound(log_joint, double(POSTERIOR_MEAN), log_variance, noise)
    assert path.mean.abs().max() < 1e-9
    assert path.log_variance.abs().max() < 1e-9


# ---- the graph


def leaf(value):
    return double(value).requires_grad_()


def test_the_graph_of_a_recorded_draw():
    mean, log_variance = leaf(0.4), leaf(-0.2)
    z = draw_diagonal(mean, log_variance, double(0.7))
    graph = gradient_graph({"z": z, "mean": mean, "log variance": log_variance})
    assert graph.nodes == ["z: Add", "mean: leaf", "log variance: leaf", "Mul", "Exp", "Mul"]
    chain = [("mean: leaf", "z: Add"), ("Mul", "z: Add"), ("Exp", "Mul"), ("Mul", "Exp")]
    chain += [("log variance: leaf", "Mul")]
    assert sorted((graph.nodes[i], graph.nodes[o]) for i, o in graph.edges) == sorted(chain)


@pytest.mark.equation("eq-chain-rule")
def test_the_slopes_are_products_along_the_paths_of_the_graph():
    """One pixel: z = a x + e^(b x / 2) ε, loss (x − w z)²; slopes by hand and by differences."""
    x, noise, step = 0.5, 0.7, 1e-6
    a, b, w = leaf(0.8), leaf(-0.4), leaf(1.5)
    mean, log_variance = a * x, b * x
    z = draw_diagonal(mean, log_variance, double(noise))
    f = w * z
    loss = (x - f).square()
    named = {"loss": loss, "f": f, "z": z, "mean": mean, "log variance": log_variance}
    graph = gradient_graph(named | {"a": a, "b": b})

    def reaches(start, end):
        return start == end or any(reaches(i, end) for i, o in graph.edges if o == start)

    path = ["loss: Pow", "f: Mul", "z: Add"]
    for chain in (["mean: Mul", "a: leaf"], ["log variance: Mul", "b: leaf"]):
        for output, source in itertools.pairwise(map(graph.nodes.index, path + chain)):
            assert reaches(output, source)
            assert not reaches(source, output)

    def value(a, b):
        return (x - 1.5 * (a * x + math.exp(b * x / 2) * noise)) ** 2

    deviation = math.exp(-0.1)
    outer = -2 * (x - 1.5 * (0.4 + deviation * noise)) * 1.5  # ∂ℓ/∂f · ∂f/∂z
    slopes = outer * 1 * x, outer * 0.5 * deviation * noise * x
    loss.backward()
    assert [float(a.grad), float(b.grad)] == pytest.approx(slopes, rel=1e-12)
    difference = (value(0.8 + step, -0.4) - value(0.8 - step, -0.4)) / (2 * step)
    assert slopes[0] == pytest.approx(difference, rel=1e-7)
    difference = (value(0.8, -0.4 + step) - value(0.8, -0.4 - step)) / (2 * step)
    assert slopes[1] == pytest.approx(difference, rel=1e-7)


def test_a_shared_input_is_one_node_with_two_edges():
    a = leaf(2.0)
    graph = gradient_graph({"y": a * a.exp()})
    assert graph.nodes == ["y: Mul", "leaf", "Exp"]
    assert sorted(graph.edges) == [(1, 0), (1, 2), (2, 0)]


def test_no_edge_leads_into_an_unrecorded_draw():
    mean = leaf(0.4)
    with torch.no_grad():
        z = draw_diagonal(mean, double(0.0), double(0.7))
    z.requires_grad_()
    graph = gradient_graph({"loss": z.square(), "z": z, "mean": mean})
    assert graph.nodes == ["loss: Pow", "z: leaf", "mean: leaf"]
    assert graph.edges == [(1, 0)]


# ---- errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: draw_diagonal(MEAN, LOG_VARIANCE, double(1.0, 2.0)),
            "noise must be .* d = 3 as in mean",
        ),
        (
            lambda: draw_diagonal(MEAN, double(1.0), MEAN),
            "log_variance must be .* d = 3 as in mean",
        ),
        (lambda: draw_diagonal(MEAN * math.nan, MEAN, MEAN), "mean must be finite"),
        (lambda: draw_full(MEAN, torch.eye(2).double(), MEAN), "root must be .* d = 3 as in mean"),
        (
            lambda: draw_full(MEAN, torch.eye(3).double(), double(1.0)),
            "noise must be .* d = 3 as in mean",
        ),
        (lambda: draw_full(double(math.inf), torch.eye(1).double(), double(1.0)), "mean must be"),
        (lambda: symmetric_root(double([1.0, 2.0], [0.0, 1.0])), "must be symmetric"),
        (lambda: symmetric_root(double([1.0, 2.0], [2.0, 1.0])), "smallest eigenvalue is -1"),
        (lambda: symmetric_root(double(1.0, 2.0)), "covariance"),
        (lambda: pathwise_gradients(lambda z: z, MEAN, MEAN, MEAN[None]), r"\(1, 3\) from noise"),
        (
            lambda: pathwise_gradients(lambda z: z[:, 0].detach(), MEAN, MEAN, MEAN[None]),
            "carry no gradient",
        ),
        (
            lambda: score_function_gradients(double(1.0, 2.0), MEAN, MEAN[None]),
            r"noise must be \(K, d\) with K = 2 as in values .*, got shape \(1, 3\)",
        ),
        (lambda: score_function_gradients(double(math.nan), MEAN, MEAN[None]), "values must be"),
        (lambda: score_function_gradients(double(1.0), MEAN, MEAN[None] * math.inf), "noise must"),
        (
            lambda: score_function_gradients(double(1.0), MEAN[:2], MEAN[None]),
            "noise must be .* d = 2 as in log_variance",
        ),
        (lambda: leave_one_out(double(1.0)), r"K at least 2, got shape \(1,\)"),
        (lambda: leave_one_out(double(1.0, math.nan)), "values must be finite"),
        (lambda: gradient_graph({"z": double(1.0)}), "z requires no gradient"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="noise must be floating point"):
        draw_diagonal(MEAN, LOG_VARIANCE, torch.ones(3, dtype=torch.int64))
