"""Given a part of the image: against conditional Gaussians, scipy, torch.distributions, draws."""

import itertools

import numpy as np
import pytest
import torch
from drawn import close, normal
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal, norm
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_tutorial import conditional
from vae_tutorial.conditional import (
    ConditionalVAE,
    absorbed,
    conditional_evidence,
    exact_conditional_evidence,
    given,
    images_of,
    leak,
    marginal,
    pairs_of,
    regressor,
    regressor_evidence,
    variance_split,
)
from vae_tutorial.evaluation import exact_log_evidence, exact_log_posterior
from vae_tutorial.likelihoods import (
    BernoulliPixels,
    FixedVariance,
    GaussianPixels,
    InputVariance,
    PixelVariance,
)
from vae_tutorial.models import VAE, DiagonalEncoder, DiagonalPosterior, network
from vae_tutorial.noise import generator
from vae_tutorial.quadrature import gauss_hermite, product, trapezoid

VARIANCE = 0.3
SEEN = torch.tensor([False, True, False, False, True])


def affine(inputs: int, outputs: int, seed: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs).double().requires_grad_(False)
    layer.weight.copy_(0.7 * normal(outputs, inputs, seed=seed))
    layer.bias.copy_(normal(outputs, seed=seed + 1))
    return layer


def linear_vae(latent: int) -> VAE:
    """A model of five pixels whose decoder is one linear layer."""
    encoder = DiagonalEncoder(5, 4, latent, generator(5))
    model = VAE(encoder, affine(latent, 5, 3), GaussianPixels(FixedVariance(VARIANCE)))
    return model.double().requires_grad_(False)


def joint_law(model: VAE) -> tuple[np.ndarray, np.ndarray]:
    weight, offset = model.decoder.weight.numpy(), model.decoder.bias.numpy()
    return offset, weight @ weight.T + VARIANCE * np.eye(5)


def conditional_law(model: VAE, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the hidden pixels for one x, by the rule for Gaussians."""
    offset, covariance = joint_law(model)
    seen, hidden = SEEN.numpy(), ~SEEN.numpy()
    slope = covariance[np.ix_(hidden, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    mean = offset[hidden] + slope @ (x - offset[seen])
    return mean, covariance[np.ix_(hidden, hidden)] - slope @ covariance[np.ix_(seen, hidden)]


def linear_cvae(latent: int = 2) -> ConditionalVAE:
    """y = A z + B x + c and noise: three pixels given two; its encoder is a small network."""
    encoder = DiagonalEncoder(5, 4, latent, generator(7))
    decoder = affine(latent + 2, 3, 8)
    model = ConditionalVAE(encoder, decoder, GaussianPixels(FixedVariance(VARIANCE)), 2)
    return model.double().requires_grad_(False)


def law_given(model: ConditionalVAE, x: torch.Tensor, prior=None) -> MultivariateNormal:
    """The law of y for one x, where z ~ N(0, I), or N(mean, deviation²) if a prior is given."""
    latent = model.encoder.latent
    ours, theirs = model.decoder.weight.tensor_split([latent], -1)
    mean, deviation = torch.zeros(latent).double(), torch.ones(latent).double()
    if prior is not None:
        mean, deviation = prior.mean, (0.5 * prior.log_variance).exp()
    spread = (ours * deviation) @ (ours * deviation).mT + VARIANCE * torch.eye(3).double()
    return MultivariateNormal(ours @ mean + theirs @ x + model.decoder.bias, spread)


def posterior_of(model: ConditionalVAE, pair: torch.Tensor) -> MultivariateNormal:
    """p(z|x, y) of one pair in the linear model, from its precision."""
    x, y = pair.tensor_split([2])
    ours, theirs = model.decoder.weight.tensor_split([model.encoder.latent], -1)
    precision = torch.eye(model.encoder.latent).double() + ours.mT @ ours / VARIANCE
    left = y - theirs @ x - model.decoder.bias
    covariance = torch.linalg.inv(precision)
    return MultivariateNormal(covariance @ ours.mT @ left / VARIANCE, covariance)


# Pixels seen and pixels hidden


def test_seen_pixels_come_first_and_every_pixel_finds_back():
    images = normal(3, 5)
    pairs = pairs_of(images, SEEN)
    assert pairs[0].tolist() == [images[0, place].item() for place in (1, 4, 0, 2, 3)]
    assert torch.equal(images_of(pairs, SEEN), images)


@pytest.mark.equation("eq-ratio")
@pytest.mark.parametrize("latent", [1, 2])
def test_log_p_of_a_part_is_the_gaussian_of_that_part(latent):
    model, images = linear_vae(latent), normal(4, 5, seed=2)
    offset, covariance = joint_law(model)
    seen = SEEN.numpy()
    expected = multivariate_normal(offset[seen], covariance[np.ix_(seen, seen)])
    exact = exact_log_evidence(marginal(model, SEEN), images[:, SEEN])
    close(exact.log_evidence, expected.logpdf(images[:, SEEN].numpy()), 1e-6)


@pytest.mark.equation("eq-ratio")
@pytest.mark.parametrize("latent", [1, 2])
def test_log_p_of_y_given_x_is_that_of_the_conditional_gaussian(latent):
    model, images = linear_vae(latent), normal(4, 5, seed=2)
    found = conditional_evidence(model, images, SEEN, 1e-8)
    expected = [
        multivariate_normal(*conditional_law(model, image[SEEN].numpy())).logpdf(image[~SEEN])
        for image in images
    ]
    close(found.log_evidence, expected, 1e-8)
    assert (found.error < 1e-6).all()


def test_the_errors_of_the_two_integrals_add():
    model, images = linear_vae(1), normal(4, 5, seed=2)
    both = [
        exact_log_evidence(model, images),
        exact_log_evidence(marginal(model, SEEN), images[:, SEEN]),
    ]
    assert torch.equal(
        conditional_evidence(model, images, SEEN).error, both[0].error + both[1].error
    )


def test_binary_pixels_lose_their_neighbours_too():
    """log p of two binary pixels of five, against a sum over all images that contain them."""
    decoder = network([1, 4, 5], generator(3))
    model = VAE(DiagonalEncoder(5, 4, 1, generator(4)), decoder, BernoulliPixels()).double()
    model.requires_grad_(False)
    images = torch.tensor(list(itertools.product([0.0, 1.0], repeat=5))).double()  # all 32
    whole = exact_log_evidence(model, images).log_evidence
    part = exact_log_evidence(marginal(model, SEEN), images[:, SEEN]).log_evidence
    same = (images[:, None, SEEN] == images[:, SEEN]).all(-1)  # (32, 32)
    close(part.exp(), same.double() @ whole.exp(), 1e-6)


def test_variances_of_single_pixels_are_refused():
    for variance in (PixelVariance(5, 0.1), InputVariance(nn.Linear(1, 5), 0.1)):
        model = VAE(
            DiagonalEncoder(5, 4, 1, generator(4)), nn.Linear(1, 5), GaussianPixels(variance)
        )
        with pytest.raises(TypeError, match="one variance for all"):
            marginal(model, SEEN)


@pytest.mark.parametrize("wrong", [SEEN[:4], SEEN.long(), torch.zeros(5, dtype=torch.bool)])
def test_a_choice_of_pixels_that_is_none(wrong):
    with pytest.raises(ValueError, match=r"chosen must be \(5,\) in torch.bool, got"):
        marginal(linear_vae(1), wrong)


# Mean and variance


@pytest.mark.equation("eq-total-variance")
def test_the_parts_of_the_variance_add_to_that_of_the_conditional_gaussian():
    model, images = linear_vae(2), normal(3, 5, seed=2)
    rule = product(gauss_hermite(40), 2)
    log_prior_mass = rule.weights.log()[:, None]
    table = model.likelihood.log_density_table(
        images[:, SEEN], model.decoder(rule.nodes)[:, SEEN], rule.nodes
    )
    mean = model.decoder(rule.nodes)[:, ~SEEN]
    split = variance_split(
        mean, torch.tensor(VARIANCE, dtype=torch.float64), table + log_prior_mass
    )
    for row, image in enumerate(images):
        centre, covariance = conditional_law(model, image[SEEN].numpy())
        close(split.mean[row], centre, 1e-6)
        close(split.within[row] + split.between[row], covariance.diagonal().copy(), 1e-6)
        close(split.within[row], [VARIANCE] * 3)


@pytest.mark.equation("eq-total-variance")
def test_the_split_of_a_mixture_agrees_with_draws_of_it():
    mean, variance = normal(4, 3, seed=3), normal(4, 3, seed=4).exp()
    log_mass = normal(4, 2, seed=5)
    split = variance_split(mean, variance, log_mass)
    for row, column in enumerate(log_mass.mT):
        chosen = torch.multinomial(column.softmax(0), 200_000, True, generator=generator(6))
        drawn = mean[chosen] + variance[chosen].sqrt() * normal(200_000, 3, seed=7)
        squares = (drawn - drawn.mean(0)).square()
        error = squares.std(0) / 200_000**0.5
        off = squares.mean(0) - split.within[row] - split.between[row]
        assert (off.abs() < 4.5 * error).all()
        means = mean[chosen]
        apart = (means - means.mean(0)).square()
        assert (
            (apart.mean(0) - split.between[row]).abs() < 4.5 * apart.std(0) / 200_000**0.5
        ).all()
        error = drawn.std(0) / 200_000**0.5
        assert ((drawn.mean(0) - split.mean[row]).abs() < 4.5 * error).all()


def test_images_that_hardly_differ_far_from_zero():
    mean = 1e6 + torch.tensor([[0.0], [1e-3]]).double()
    split = variance_split(mean, torch.tensor(1.0).double(), torch.zeros(2, 1).double())
    close(split.between, 0.25e-6, 1e-5)


def test_one_image_for_every_likely_z_leaves_no_variance_below_zero():
    likely, other = normal(1, 8, seed=3).expand(40, 8), normal(40, 8, seed=4)
    log_mass = torch.cat([normal(40, 50, seed=5), torch.full((40, 50), -800.0).double()])
    mean = torch.cat([likely, other])
    split = variance_split(mean, torch.tensor(0.1).double(), log_mass)
    assert (split.between >= 0).all()
    close(split.between, torch.zeros(50, 8), 1e-14)
    close(split.mean, likely[:1].expand(50, 8), 1e-14)


# Regressors


@pytest.mark.equation("eq-regressor-evidence")
def test_no_variance_gives_a_regressor_more():
    error = normal(50, 4, seed=3)

    def loss(log_variance):
        return -norm.logpdf(error.numpy(), scale=np.exp(log_variance / 2)).sum(1).mean()

    best = minimize_scalar(loss, options={"xtol": 1e-10})
    close(regressor_evidence(error.square().mean(), 4), -best.fun, 1e-8)


@pytest.mark.equation("eq-regressor-evidence")
def test_a_regressor_is_a_conditional_vae_that_ignores_z():
    layers = network([2, 4, 3], generator(3))
    model = (
        regressor(layers, GaussianPixels(FixedVariance(VARIANCE))).double().requires_grad_(False)
    )
    pairs = normal(4, 5, seed=4)
    expected = Normal(layers(pairs[:, :2]), VARIANCE**0.5).log_prob(pairs[:, 2:]).sum(-1)
    bound = model(pairs, normal(3, 4, 1, seed=5))
    close(bound.elbo, expected)
    assert torch.equal(bound.kl, torch.zeros(4).double())
    close(exact_conditional_evidence(model, pairs).log_evidence, expected, 1e-6)
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"decoder"}


# Conditional VAEs


@pytest.mark.equation("eq-conditional-bound")
def test_the_bound_is_log_p_less_the_divergence_from_the_posterior():
    """Noise at the corners of a square: their averages of squares are those of N(0, I), exactly."""
    model, pairs = linear_cvae(), normal(4, 5, seed=2)
    corners = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=2))).double()
    bound = model(pairs, corners[:, None].expand(-1, 4, -1))
    encoder = model.encoder(pairs)
    for row, pair in enumerate(pairs):
        q = MultivariateNormal(encoder.mean[row], encoder.log_variance[row].exp().diag())
        gap = kl_divergence(q, posterior_of(model, pair))
        close(bound.elbo[row], law_given(model, pair[:2]).log_prob(pair[2:]) - gap)
        zero = MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
        close(bound.kl[row], kl_divergence(q, zero))


@pytest.mark.equation("eq-conditional-bound")
def test_the_exact_log_p_of_pairs_of_which_some_share_x():
    model, pairs = linear_cvae(), normal(5, 5, seed=2)
    pairs[3, :2] = pairs[0, :2]
    found = exact_conditional_evidence(model, pairs, 1e-8)
    expected = [law_given(model, pair[:2]).log_prob(pair[2:]) for pair in pairs]
    close(found.log_evidence, torch.stack(expected), 1e-8)
    assert (found.error < 1e-6).all()


def test_pairs_that_share_x_share_a_mesh(monkeypatch):
    model, pairs, asked = linear_cvae(1), normal(3, 5, seed=2), []
    pairs[2, :2] = pairs[0, :2]

    def spy(model, y, tolerance):
        asked.append((len(y), tolerance))
        return exact_log_evidence(model, y, tolerance)

    monkeypatch.setattr(conditional, "exact_log_evidence", spy)
    exact_conditional_evidence(model, pairs, 1e-3)
    assert sorted(asked) == [(1, 1e-3), (2, 1e-3)]


def test_for_one_x_it_is_a_vae_of_y():
    model, pair, z = linear_cvae(), normal(5, seed=2), normal(6, 2, seed=3)
    ours, theirs = model.decoder.weight.tensor_split([2], -1)
    close(given(model, pair[:2]).decode(z), z @ ours.mT + theirs @ pair[:2] + model.decoder.bias)
    rule = product(trapezoid(-6, 6, 121), 2)
    log_p = exact_log_posterior(given(model, pair[:2]), pair[None, 2:], rule)[:, 0]
    close(log_p, posterior_of(model, pair).log_prob(rule.nodes), 1e-8)


def test_z_alone_cannot_be_decoded():
    with pytest.raises(TypeError, match=r"given\(model, x\).decode\(z\)"):
        linear_cvae().decode(torch.zeros(1, 2).double())


def test_one_condition_at_a_time():
    with pytest.raises(ValueError, match=r"x must be one condition \(2,\), got \(3, 2\)"):
        given(linear_cvae(), normal(3, 2))
    with pytest.raises(ValueError, match="the last axis of x must be 2"):
        given(linear_cvae(), normal(3))


@pytest.mark.equation("eq-leak")
def test_the_leak_is_a_difference_of_two_divergences():
    model, pairs = linear_cvae(), normal(4, 5, seed=2)
    log_p = torch.stack([law_given(model, pair[:2]).log_prob(pair[2:]) for pair in pairs])
    encoder = model.encoder(pairs)
    zero = MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    expected = []
    for row, pair in enumerate(pairs):
        q = MultivariateNormal(encoder.mean[row], encoder.log_variance[row].exp().diag())
        expected.append(kl_divergence(q, zero) - kl_divergence(q, posterior_of(model, pair)))
    close(leak(model, pairs, log_p), torch.stack(expected))


# A prior that depends on x


@pytest.fixture
def with_prior():
    prior = DiagonalEncoder(2, 3, 2, generator(9)).double().requires_grad_(False)
    prior.network[-1].bias.copy_(normal(4, seed=10))
    return linear_cvae(), prior


@pytest.mark.equation("eq-absorb")
def test_an_absorbed_prior_leaves_the_density_of_y(with_prior):
    model, prior = with_prior
    pairs = normal(3, 5, seed=2)
    found = exact_conditional_evidence(absorbed(model, prior), pairs, 1e-8)
    for row, pair in enumerate(pairs):
        law = law_given(model, pair[:2], DiagonalPosterior(*(p[0] for p in prior(pair[None, :2]))))
        close(found.log_evidence[row], law.log_prob(pair[2:]), 1e-8)


@pytest.mark.equation("eq-absorb")
def test_an_absorbed_prior_leaves_the_bound_of_the_same_draws(with_prior):
    model, prior = with_prior
    pairs, noise = normal(3, 5, seed=2), normal(7, 3, 2, seed=3)
    bound = absorbed(model, prior)(pairs, noise)
    q, p = (
        Normal(g.mean, (0.5 * g.log_variance).exp())
        for g in (model.encoder(pairs), prior(pairs[:, :2]))
    )
    z = q.mean + q.stddev * noise
    close(bound.kl, kl_divergence(q, p).sum(-1), 1e-12)
    close(bound.log_likelihood, model.log_likelihood(pairs, z).mean(0), 1e-12)


def test_an_absorbed_model_trains_both_networks(with_prior):
    model, prior = with_prior
    both = absorbed(model.requires_grad_(True), prior.requires_grad_(True))
    both(normal(3, 5, seed=2), normal(1, 3, 2, seed=3)).elbo.sum().backward()
    for part in (model, prior):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
