"""What the oracle computes, on models whose answers are known in closed form."""

import math

import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

from vae_tutorial.likelihoods import GaussianPixels, SharedVariance
from vae_tutorial.models import VAE, DiagonalEncoder, DiagonalPosterior, FullPosterior, network
from vae_tutorial.noise import generator
from vae_tutorial.oracle import SAMPLES, exact, recipes
from vae_tutorial.quadrature import Rule

VARIANCE = 1.0  # whose logarithm float32, where a variance is made, keeps exactly
WEIGHT = torch.tensor([[1.0, 0.3], [-0.2, 0.8], [0.5, 0.5]], dtype=torch.float64)  # (3, 2)
OFFSET = torch.tensor([0.1, -0.2, 0.0], dtype=torch.float64)
IMAGES = torch.tensor([[0.5, -1.0, 0.3], [2.0, 0.0, 1.0]], dtype=torch.float64)  # (2, 3)


def straight(weight=WEIGHT):
    """A VAE whose decoder is W z + b, and whose encoder knows nothing of the posterior."""
    pixels, latent = weight.shape
    encoder = DiagonalEncoder(pixels, 4, latent, generator(0))
    decoder = network([latent, pixels], generator(1))
    model = VAE(encoder, decoder, GaussianPixels(SharedVariance(VARIANCE))).double()
    model.load_state_dict(
        {**model.state_dict(), "decoder.0.weight": weight, "decoder.0.bias": OFFSET[:pixels]}
    )
    return model.requires_grad_(False)


def posterior(weight=WEIGHT):
    """The posterior's means (2, latent) and its covariance, by the rules for Gaussians."""
    latent = weight.shape[1]
    covariance = torch.linalg.inv(torch.eye(latent).double() + weight.mT @ weight / VARIANCE)
    return (IMAGES - OFFSET) @ weight @ covariance.mT / VARIANCE, covariance


@pytest.fixture(scope="module")
def measured():
    return exact.measure(straight(), IMAGES)


def test_a_straight_decoder_has_a_known_evidence_and_posterior(measured):
    total = WEIGHT @ WEIGHT.mT + VARIANCE * torch.eye(3)
    known = torch.from_numpy(multivariate_normal(OFFSET, total).logpdf(IMAGES))
    assert ((measured["log_evidence"] - known).abs() <= measured["error"]).all()
    assert (measured["error"] < 1e-6).all()
    mean, covariance = posterior()
    assert ((measured["mean"] - mean).abs() <= measured["moment_error"][:, None]).all()
    off = (measured["covariance"] - covariance).abs().amax((1, 2))
    assert (off <= measured["moment_error"]).all()
    assert measured["modes"].tolist() == [1, 1]


def test_of_a_straight_decoder_the_best_full_gaussian_loses_nothing(measured):
    mean, covariance = posterior()
    assert (measured["elbo"][:, 2] - measured["log_evidence"]).abs().max() < 1e-8
    torch.testing.assert_close(measured["best_full_mean"], mean, atol=1e-4, rtol=0)
    root = measured["best_full_root"]
    torch.testing.assert_close(root @ root.mT, covariance.expand(2, 2, 2), atol=1e-4, rtol=0)


def test_of_a_straight_decoder_the_best_diagonal_has_the_precisions_diagonal(measured):
    """Its variances are 1 / the diagonal of the precision; its loss is half a log of a ratio."""
    mean, covariance = posterior()
    precision = torch.linalg.inv(covariance)
    known = -precision.diagonal().log()
    torch.testing.assert_close(
        measured["best_diagonal_log_variance"], known.expand(2, 2), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(measured["best_diagonal_mean"], mean, atol=1e-4, rtol=0)
    loss = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    found = measured["elbo"][:, 2] - measured["elbo"][:, 1]
    torch.testing.assert_close(found, loss.expand(2), atol=1e-7, rtol=0)


def test_of_a_straight_decoder_the_encoder_loses_a_known_divergence(measured):
    q, (mean, covariance) = straight().encoder(IMAGES), posterior()
    known = torch.distributions.kl_divergence(
        torch.distributions.MultivariateNormal(q.mean, scale_tril=q.root),
        torch.distributions.MultivariateNormal(mean, covariance),
    )
    lost = measured["log_evidence"] - measured["elbo"][:, 0]
    assert ((lost - known).abs() <= measured["error"] + measured["elbo_error"][:, 0]).all()


def test_importance_bounds_by_draws_from_the_encoder(measured):
    """Repeated draws, their average within five standard errors."""
    model, repetitions = straight(), 60_000
    noise = torch.randn(repetitions * SAMPLES[0], 2, 2, generator=generator(0), dtype=torch.float64)
    log_weight = model.log_weight(IMAGES, noise).unflatten(0, (repetitions, SAMPLES[0]))
    draws = log_weight.logsumexp(1) - math.log(SAMPLES[0])  # (repetitions, 2)
    error = draws.std(0) / math.sqrt(repetitions)
    assert ((draws.mean(0) - measured["importance_bound"][:, 0]).abs() < 5 * error).all()
    assert (measured["importance_bound"].diff(dim=1) > 0).all()


def test_the_stated_error_grows_where_the_grid_is_coarse(monkeypatch):
    """Nodes two deviations apart: the bound is off, and says by how much at least."""
    monkeypatch.setattr(exact, "SIDES", {2: 9})
    model = straight()
    q, (mean, covariance) = model.encoder(IMAGES), posterior()
    total = WEIGHT @ WEIGHT.mT + VARIANCE * torch.eye(3)
    lost = torch.distributions.kl_divergence(
        torch.distributions.MultivariateNormal(q.mean, scale_tril=q.root),
        torch.distributions.MultivariateNormal(mean, covariance),
    )
    known = torch.from_numpy(multivariate_normal(OFFSET, total).logpdf(IMAGES)) - lost
    found = exact.measure(model, IMAGES)
    off = (found["elbo"][:, 0] - known).abs()
    assert (off > 1e-4).all()
    assert (off <= found["elbo_error"][:, 0]).all()


@pytest.mark.parametrize("family", [DiagonalPosterior, FullPosterior])
def test_a_climb_on_the_grid_reaches_the_best_gaussian(family):
    start = family.from_root(
        torch.tensor([[1.0, -1.0]]).double(), torch.tensor([[[0.5, 0.0], [0.2, 1.0]]]).double()
    )
    end = exact.climb_on_grid(straight(), IMAGES[:1], start)
    mean, covariance = posterior()
    torch.testing.assert_close(end.mean, mean[:1], atol=1e-6, rtol=0)
    known = covariance
    if family is DiagonalPosterior:
        known = (1 / torch.linalg.inv(covariance).diagonal()).diag()
    torch.testing.assert_close(end.root @ end.root.mT, known[None], atol=1e-6, rtol=0)


def test_where_a_climb_reaches_no_top_another_does(monkeypatch):
    def stuck(model, x):
        raise RuntimeError("images still climb")

    monkeypatch.setattr(exact, "dissect", stuck)
    diagonal, full = exact.best_gaussians(straight(), IMAGES)
    mean, covariance = posterior()
    torch.testing.assert_close(full.mean, mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        full.root @ full.root.mT, covariance.expand(2, 2, 2), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(diagonal.mean, mean, atol=1e-6, rtol=0)


def test_one_latent_is_measured_too():
    found = exact.measure(straight(WEIGHT[:, :1]), IMAGES)
    total = WEIGHT[:, :1] @ WEIGHT[:, :1].mT + VARIANCE * torch.eye(3)
    known = torch.from_numpy(multivariate_normal(OFFSET, total).logpdf(IMAGES))
    assert ((found["log_evidence"] - known).abs() <= found["error"]).all()
    assert found["best_full_root"].shape == (2, 1, 1)
    assert found["modes"].tolist() == [1, 1]


def test_moments_of_a_rule_with_two_nodes():
    """A decoder that ignores z leaves the prior: two nodes with shares that can be written down."""
    model = straight(torch.zeros(3, 1).double())
    nodes = torch.tensor([[0.0], [1.0]]).double()
    rule = Rule(nodes, torch.tensor([1.0, 3.0]).double())
    share = 3 * math.exp(-0.5) / (1 + 3 * math.exp(-0.5))
    found = exact.posterior_moments(model, IMAGES, rule)
    assert found.mean.flatten().tolist() == pytest.approx([share] * 2)
    assert found.covariance.flatten().tolist() == pytest.approx([share * (1 - share)] * 2)


def test_tops_of_a_folded_line_are_counted():
    """x = cos 3z exactly at z = 0 and ±2π/3; the outer two are lower by the prior alone."""
    decoder = nn.Sequential(recipes.Fold(recipes.FREQUENCY), *network([2, 2], generator(0)))
    decoder[1].weight.data.copy_(torch.eye(2))
    decoder[1].bias.data.zero_()
    encoder = DiagonalEncoder(2, 2, 1, generator(0))
    model = VAE(encoder, decoder, GaussianPixels(SharedVariance(0.01))).double()
    model.requires_grad_(False)
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).double()
    # The first image: z = 0, and ±2.09 whose prior is exp(−2.19) as high; ±4.19 has exp(−8.8).
    # The second: z = ±1.05, and ±3.14 whose prior is exp(−4.4) > 1/100 as high.
    assert exact.count_modes(model, x).tolist() == [3, 4]
