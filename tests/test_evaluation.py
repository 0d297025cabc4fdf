"""Exact evaluation against linear-Gaussian closed forms, scipy, autograd, draws and other rules."""

import numpy as np
import pytest
import torch
from scipy.integrate import simpson
from scipy.linalg import expm
from scipy.stats import multivariate_normal
from torch import nn

from vae_tutorial import evaluation, linear, pretrained
from vae_tutorial.bounds import exact_importance_weighted_bound
from vae_tutorial.data import load_digits
from vae_tutorial.decomposition import LinearGaussian, decompose_linear
from vae_tutorial.evaluation import (
    best_posterior,
    dissect,
    exact_bound,
    log_evidence,
    log_posterior,
    log_weights,
    weight_moments,
)
from vae_tutorial.likelihoods import FixedVariance, GaussianPixels
from vae_tutorial.models import VAE, DiagonalEncoder, DiagonalPosterior, FullPosterior
from vae_tutorial.noise import generator, mean_and_error, standard_normal
from vae_tutorial.quadrature import gauss_hermite, product, trapezoid

VARIANCE = 0.3


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return standard_normal(shape, generator(seed))


def linear_vae(latent: int = 2, pixels: int = 4) -> tuple[VAE, LinearGaussian]:
    """A VAE whose decoder is one linear layer, and the same model in closed form."""
    weight, offset = 0.7 * normal(pixels, latent, seed=3), normal(pixels, seed=4)
    decoder = nn.Linear(latent, pixels)
    encoder = DiagonalEncoder(pixels, 5, latent, generator(5))
    model = VAE(encoder, decoder, GaussianPixels(FixedVariance(VARIANCE))).double()
    decoder.weight.data, decoder.bias.data = weight, offset
    closed = LinearGaussian(weight, offset, torch.tensor(VARIANCE, dtype=torch.float64))
    return model.requires_grad_(False), closed


def gaussians(batch: int, latent: int = 2) -> tuple[DiagonalPosterior, FullPosterior]:
    mean, log_variance = normal(batch, latent, seed=6), 0.4 * normal(batch, latent, seed=7) - 1
    root = (
        normal(batch, latent, latent, seed=8).tril(-1) * 0.3
        + (0.5 * log_variance).exp().diag_embed()
    )
    return DiagonalPosterior(mean, log_variance), FullPosterior(mean, root)


def root_of(posterior) -> torch.Tensor:
    if isinstance(posterior, FullPosterior):
        return posterior.cholesky
    return (0.5 * posterior.log_variance).exp().diag_embed()


def truth_of(closed: LinearGaussian, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log p(x), posterior mean and posterior covariance, by numpy and scipy."""
    weight, offset = closed.weight.numpy(), closed.offset.numpy()
    marginal = weight @ weight.T + VARIANCE * np.eye(len(offset))
    covariance = np.linalg.inv(np.eye(weight.shape[1]) + weight.T @ weight / VARIANCE)
    mean = (x.numpy() - offset) @ weight @ covariance / VARIANCE
    return multivariate_normal(offset, marginal).logpdf(x.numpy()), mean, covariance


@pytest.fixture(scope="module")
def trained() -> VAE:
    return pretrained.two_latents()


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    return load_digits(torch.float64).test


@pytest.fixture(scope="module")
def dissected(trained, digits) -> evaluation.Dissection:
    return dissect(trained, digits[:100])


# Linear decoders, where everything has a closed form


@pytest.mark.parametrize("latent", [1, 2])
def test_log_evidence_of_a_linear_vae(latent):
    model, closed = linear_vae(latent)
    x = normal(3, 4, seed=9)
    exact = log_evidence(model, x, 1e-8)
    seen = np.abs(exact.log_evidence.numpy() - truth_of(closed, x)[0])
    assert (seen <= exact.error.numpy() + 1e-10).all()
    assert exact.error.max() < 1e-7


def test_log_posterior_of_a_linear_vae():
    model, closed = linear_vae()
    x, rule = normal(3, 4, seed=9), product(trapezoid(-8, 8, 161), 2)
    _, mean, covariance = truth_of(closed, x)
    seen = log_posterior(model, x, rule)
    expected = [multivariate_normal(m, covariance).logpdf(rule.nodes.numpy()) for m in mean]
    np.testing.assert_allclose(seen.numpy(), np.stack(expected, 1), atol=1e-9)


def test_log_weights_are_joint_minus_proposal():
    model, closed = linear_vae()
    x, noise = normal(3, 4, seed=9), normal(7, 2, seed=10)
    for posterior in gaussians(3):
        seen = log_weights(model, x, posterior, noise)
        for image in range(3):
            root = root_of(posterior)[image].numpy()
            z = posterior.mean[image].numpy() + noise.numpy() @ root.T
            centre = z @ closed.weight.numpy().T + closed.offset.numpy()
            likelihood = [multivariate_normal(c, VARIANCE).logpdf(x[image].numpy()) for c in centre]
            prior = multivariate_normal([0, 0]).logpdf(z)
            proposal = multivariate_normal(posterior.mean[image].numpy(), root @ root.T).logpdf(z)
            np.testing.assert_allclose(seen[:, image], likelihood + prior - proposal, atol=1e-10)


@pytest.mark.equation("eq-hermite-bound")
def test_exact_bound_of_a_linear_vae():
    model, closed = linear_vae()
    x = normal(5, 4, seed=9)
    for posterior in gaussians(5):
        seen = exact_bound(model, x, posterior)
        expected = decompose_linear(closed, x, posterior.mean, root_of(posterior)).elbo
        np.testing.assert_allclose(seen.elbo, expected, atol=1e-10)
        assert (seen.error < 1e-10).all()


@pytest.mark.equation("eq-weight-moments")
def test_the_moments_are_the_gradient_of_the_closed_bound():
    model, closed = linear_vae()
    x, rule = normal(4, 4, seed=9), product(gauss_hermite(6), 2)
    _, full = gaussians(4)
    elbo, slope, bend = weight_moments(log_weights(model, x, full, rule.nodes), rule)
    mean = full.mean.clone().requires_grad_()
    covariance = (full.cholesky @ full.cholesky.mT).requires_grad_()
    value = decompose_linear(closed, x, mean, torch.linalg.cholesky(covariance)).elbo
    to_mean, to_covariance = torch.autograd.grad(value.sum(), (mean, covariance))
    root = full.cholesky
    np.testing.assert_allclose(elbo, value.detach(), atol=1e-10)
    np.testing.assert_allclose(slope, (root.mT @ to_mean[..., None])[..., 0], atol=1e-9)
    np.testing.assert_allclose(bend, 2 * root.mT @ to_covariance @ root, atol=1e-9)


@pytest.mark.equation("eq-best-gaussian")
def test_the_best_gaussians_of_a_linear_vae():
    model, closed = linear_vae()
    x = normal(4, 4, seed=9)
    _, mean, covariance = truth_of(closed, x)
    diagonal, full = (best_posterior(model, x, start) for start in gaussians(4))
    np.testing.assert_allclose(full.mean, mean, atol=1e-4)
    seen = full.cholesky @ full.cholesky.mT
    np.testing.assert_allclose(seen, np.stack([covariance] * 4), atol=1e-4)
    np.testing.assert_allclose(diagonal.mean, mean, atol=1e-4)
    variances = 1 / np.diag(np.linalg.inv(covariance))
    np.testing.assert_allclose(diagonal.log_variance.exp(), np.stack([variances] * 4), atol=1e-4)


@pytest.mark.equation("eq-climb")
@pytest.mark.parametrize("family", [0, 1])
def test_the_first_step_of_a_climb(family, monkeypatch):
    model, closed = linear_vae()
    x, start = normal(3, 4, seed=9), gaussians(3)[family]
    visited = []

    def watched(model, x, posterior, noise):
        visited.append(posterior)
        return log_weights(model, x, posterior, noise)

    monkeypatch.setattr(evaluation, "log_weights", watched)
    best_posterior(model, x, start)
    weight, pace = closed.weight.numpy(), evaluation.PACE
    hessian = -(np.eye(2) + weight.T @ weight / VARIANCE)  # of log p(x, z), the same everywhere
    for image in range(3):
        mean, root = start.mean[image].numpy(), root_of(start)[image].numpy()
        missed = x[image].numpy() - closed.offset.numpy() - weight @ mean
        slope = root.T @ (weight.T @ missed / VARIANCE - mean)
        bend = np.eye(2) + root.T @ hessian @ root
        free = bend if family == 1 else np.diag(np.diag(bend))
        covariance = root @ expm(pace * free) @ root.T
        seen = root_of(visited[1])[image]
        np.testing.assert_allclose(
            visited[1].mean[image], mean + pace * root @ expm(bend) @ slope, atol=1e-8
        )
        np.testing.assert_allclose(seen @ seen.T, covariance, atol=1e-8)


@pytest.mark.equation("eq-gaps")
@pytest.mark.parametrize("latent", [1, 2])
def test_the_gaps_of_a_linear_vae(latent):
    model, closed = linear_vae(latent)
    x = normal(6, 4, seed=9)
    split = dissect(model, x)
    encoder = model.encoder(x)
    loss = decompose_linear(closed, x, encoder.mean, root_of(encoder)).kl_to_posterior
    family = linear.diagonal_gap(closed)
    np.testing.assert_allclose(split.gaps[0], loss - family, atol=1e-6)
    np.testing.assert_allclose(split.gaps[1], family.expand(6), atol=1e-6)
    np.testing.assert_allclose(split.gaps[2], np.zeros(6), atol=1e-6)
    assert [type(q) for q in split.posteriors] == [DiagonalPosterior] * 2 + [FullPosterior]
    for posterior, elbo in zip(split.posteriors, split.elbos, strict=True):
        np.testing.assert_allclose(exact_bound(model, x, posterior).elbo, elbo, atol=1e-12)


# The trained network on real digits


def test_a_smaller_tolerance_gives_a_smaller_error(trained, digits):
    loose, tight = (log_evidence(trained, digits[:2], tolerance) for tolerance in (1e-2, 1e-7))
    assert (tight.error < loose.error).all()
    assert ((loose.log_evidence - tight.log_evidence).abs() <= loose.error).all()
    assert len(tight.rule.weights) > len(loose.rule.weights)


def test_one_digit_by_simpsons_rule(trained, digits):
    x, axis = digits[:1], np.linspace(-5, 5, 601)
    first, second = np.meshgrid(axis, axis, indexing="ij")
    z = torch.from_numpy(np.stack([first.ravel(), second.ravel()], 1))  # (361201, 2)
    missed = (trained.decoder(z) - x).square().sum(-1).reshape(601, 601).numpy()
    variance = float(trained.pixels.variance.log_variance.exp())
    log_joint = -missed / (2 * variance) - 32 * np.log(2 * np.pi * variance)
    log_joint += -(first**2 + second**2) / 2 - np.log(2 * np.pi)
    top = log_joint.max()
    seen = top + np.log(simpson(simpson(np.exp(log_joint - top), x=axis), x=axis))
    exact = log_evidence(trained, x)
    assert abs(seen - float(exact.log_evidence[0])) < 1e-6


@pytest.mark.equation("eq-gaps")
def test_the_gaps_are_the_divergence_on_each_of_100_digits(trained, digits, dissected):
    """∫ q log(q / p(z|x)) on an equal grid, which neither bounds nor log p(x) were computed on."""
    x, rule = digits[:100], product(trapezoid(-4.5, 4.5, 361), 2)
    remaining = dissected.gaps.flip(0).cumsum(0).flip(0)  # (3, 100)
    for rows in torch.arange(100).split(50):
        log_density = log_posterior(trained, x[rows], rule)
        for q, expected in zip(dissected.posteriors, remaining, strict=True):
            part = type(q)(*(values[rows] for values in q))
            log_q = part.log_density(rule.nodes[:, None])
            seen = rule.weights @ (log_q.exp() * (log_q - log_density))
            np.testing.assert_allclose(seen, expected[rows], atol=1e-5)


def test_what_a_dissection_promises(dissected):
    assert dissected.exact.error.max() < 1e-6
    assert (dissected.gaps > -1e-7).all()
    assert dissected.gaps[0].mean() > 20 * dissected.gaps[1:].sum(0).mean()


def test_the_best_full_gaussian_balances_slope_and_curvature(trained, digits, dissected):
    """Opper & Archambeau 2009: E[∇ log p] = 0 and precision = −E[∇² log p], by autograd."""
    full, rule = dissected.posteriors[2], product(gauss_hermite(20), 2)
    variance = trained.pixels.variance.log_variance.exp()
    for image in range(0, 100, 25):
        x, root = digits[image], full.cholesky[image]

        def log_joint(z, x=x):  # up to a constant
            missed = (x - trained.decoder(z)).square().sum()
            return -0.5 * (missed / variance + z.square().sum())

        z = full.mean[image] + rule.nodes @ root.mT
        slope = torch.func.vmap(torch.func.grad(log_joint))(z)
        curvature = torch.func.vmap(torch.func.jacrev(torch.func.grad(log_joint)))(z)
        mean_slope = root.mT @ (rule.weights @ slope)
        mean_curvature = root.mT @ torch.einsum("n,nij->ij", rule.weights, curvature) @ root
        np.testing.assert_allclose(mean_slope, np.zeros(2), atol=3e-4)
        np.testing.assert_allclose(mean_curvature, -np.eye(2), atol=3e-4)


def test_climbs_from_elsewhere_find_nothing_higher(trained, digits, dissected):
    """On digit 25 the diagonal climb needs its start at the mean, the full one that at the mode."""
    rows = slice(20, 32)
    x, narrow = digits[rows], trained.encoder(digits[rows]).log_variance - 1
    root = (0.5 * narrow).exp().diag_embed()
    nodes, weights = (part[::7] for part in dissected.exact.rule)
    log_density = log_posterior(trained, x, evaluation.Rule(nodes, weights))
    mass = (log_density + weights.log()[:, None]).exp().mT  # (12, n)
    places = nodes[torch.multinomial(mass, 8, generator=generator(0))]  # (12, 8, 2)
    for place in places.unbind(1):
        starts = (DiagonalPosterior(place, narrow), FullPosterior(place, root))
        for start, best in zip(starts, dissected.elbos[1:, rows], strict=True):
            seen = exact_bound(trained, x, best_posterior(trained, x, start)).elbo
            assert (seen - best < 1e-6).all()


def test_the_ladder_of_importance_weighted_bounds(trained, digits, dissected):
    """ELBO ≤ L_10 ≤ L_100 ≤ L_1000 ≤ log p(x) on each of 100 digits, in expectation, exactly."""
    x, mesh = digits[:100], product(trapezoid(-8, 8, 49), 2)
    table = log_weights(trained, x, dissected.posteriors[0], mesh.nodes).mT.contiguous()
    law = mesh.weights.log() - 0.5 * mesh.nodes.square().sum(-1)
    counts = [1, 10, 100, 1000]
    found = torch.stack([exact_importance_weighted_bound(row, law, counts) for row in table])
    np.testing.assert_allclose(found[:, 0], dissected.elbos[0], atol=1e-6)
    ladder = torch.cat([found, dissected.exact.log_evidence[:, None]], 1)
    assert (ladder.diff() > 0).all()
    noise = normal(10_000, 2, seed=12)
    drawn = log_weights(
        trained, x[:4], DiagonalPosterior(*(p[:4] for p in dissected.posteriors[0])), noise
    )
    seen = mean_and_error(drawn.reshape(1000, 10, 4).logsumexp(1) - np.log(10))
    assert ((seen.mean - found[:4, 1]).abs() < 4 * seen.standard_error).all()


# Bad input


def test_three_latents_have_no_mesh():
    model, _ = linear_vae(latent=3)
    with pytest.raises(ValueError, match="quadrature needs 1 or 2 latents, got 3"):
        log_evidence(model, normal(2, 4))
    with pytest.raises(ValueError, match="quadrature needs 1 or 2 latents, got 3"):
        dissect(model, normal(2, 4))


def test_no_images():
    model, _ = linear_vae()
    empty = torch.zeros(0, 4, dtype=torch.float64)
    for function in (log_evidence, dissect):
        with pytest.raises(ValueError, match="empty"):
            function(model, empty)


def test_weights_that_are_not_numbers():
    model, _ = linear_vae()
    model.decoder.weight[0, 0] = torch.nan
    x = normal(2, 4)
    with pytest.raises(ValueError, match="NaN or inf"):
        log_evidence(model, x)
    for posterior in gaussians(2):
        with pytest.raises(ValueError, match="NaN or inf"):
            exact_bound(model, x, posterior)


def test_images_of_another_width():
    model, _ = linear_vae()
    with pytest.raises(ValueError, match=r"x must be .* pixels = 4 as in decoded"):
        log_evidence(model, normal(2, 5))


def test_a_climb_that_does_not_end(monkeypatch):
    monkeypatch.setattr(evaluation, "MOST_STEPS", 1)
    model, _ = linear_vae()
    with pytest.raises(RuntimeError, match="2 of 2 images still climb after 1 steps"):
        best_posterior(model, normal(2, 4), gaussians(2)[0])


def test_a_step_too_far_is_taken_back(trained, digits, dissected):
    """From the prior, whole steps overshoot into places where the likelihood is nothing."""
    x, nothing = digits[:3], torch.zeros(3, 2, dtype=torch.float64)
    seen = exact_bound(trained, x, best_posterior(trained, x, DiagonalPosterior(nothing, nothing)))
    np.testing.assert_allclose(seen.elbo, dissected.elbos[1, :3], atol=1e-6)


def test_arguments_are_left_alone(trained, digits):
    start = trained.encoder(digits[:2])
    kept = [part.clone() for part in start]
    best_posterior(trained, digits[:2], start)
    for before, after in zip(kept, start, strict=True):
        assert torch.equal(before, after)
