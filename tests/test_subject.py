"""A user's callables in one form: posteriors and likelihoods against torch.distributions."""

import math

import pytest
import torch
from drawn import close, normal
from torch import nn
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal

from vae_tutorial.audit.subject import (
    AnswerError,
    Likelihood,
    NotGivenError,
    Subject,
    as_posterior,
)
from vae_tutorial.models import DiagonalPosterior, FullPosterior

MEAN, SPREAD = normal(5, 6), normal(5, 6, seed=2)
NORMAL = Normal(MEAN, (0.5 * SPREAD).exp())
X = normal(5, 8, seed=3)


@pytest.mark.parametrize(
    "answer",
    [
        (MEAN, SPREAD),
        [MEAN, SPREAD, "a cache"],
        DiagonalPosterior(MEAN, SPREAD),
        NORMAL,
        Independent(NORMAL, 1),
        (MEAN.reshape(5, 3, 2), SPREAD.reshape(5, 3, 2)),
        Independent(Normal(MEAN.reshape(5, 3, 2), NORMAL.scale.reshape(5, 3, 2)), 2),
    ],
    ids=["pair", "triple", "posterior", "Normal", "Independent", "map", "map of a Normal"],
)
def test_every_diagonal_form_is_the_same_gaussian(answer):
    posterior, shape = as_posterior(answer, 5)
    assert shape in ((6,), (3, 2))
    z = normal(7, 5, 6, seed=4)
    close(posterior.log_density(z), NORMAL.log_prob(z).sum(-1))
    close(posterior.draw(z), NORMAL.loc + NORMAL.scale * z)


def test_one_log_variance_for_all_is_spread_over_the_latents():
    posterior, _ = as_posterior((MEAN, torch.tensor(0.3, dtype=torch.float64)), 5)
    close(posterior.log_density(MEAN[None]), Normal(MEAN, math.exp(0.15)).log_prob(MEAN).sum(-1))


def test_a_full_covariance_by_its_cholesky_factor():
    root = torch.linalg.cholesky(torch.eye(6).double() + MEAN.T @ MEAN / 9).expand(5, 6, 6)
    expected = MultivariateNormal(MEAN, scale_tril=root)
    for answer in ((MEAN, root), expected):
        posterior, _ = as_posterior(answer, 5)
        assert isinstance(posterior, FullPosterior)
        close(posterior.log_density(MEAN[None] + 0.1), expected.log_prob(MEAN + 0.1)[None])


def test_what_a_subject_makes_once_is_made_once_and_for_itself():
    counted = []

    def make(which):
        counted.append(which)
        return len(which.x)

    first = subject(lambda z: z.repeat(1, 4))
    second = subject(lambda z: z.repeat(1, 4), x=X[:3])
    assert [each.once(make) for each in (first, first, second, first)] == [5, 5, 3, 5]
    assert counted == [first, second]


def subject(decode, likelihood=None, x=X, encode=lambda x: (x[:, :2], x[:, 2:4])):
    return Subject(x, encode, decode, likelihood, None)


WEIGHT = normal(8, 2, seed=5)


def decode(z):
    return z @ WEIGHT.T


Z = normal(3, 5, 2, seed=6)


def test_a_gaussian_of_stated_sigma():
    found = subject(decode, Likelihood("gaussian", 0.3)).log_likelihood(X, Z)
    close(found, Normal(Z @ WEIGHT.T, 0.3).log_prob(X).sum(-1))


def test_a_gaussian_whose_sigma_is_not_stated_takes_the_one_of_the_check():
    made = subject(decode, Likelihood("gaussian"))
    close(made.log_likelihood(X, Z, 0.3), Normal(Z @ WEIGHT.T, 0.3).log_prob(X).sum(-1))
    with pytest.raises(NotGivenError, match="σ of the Gaussian"):
        made.log_likelihood(X, Z)


def test_logits_of_binary_pixels():
    x = (X > 0).double()
    found = subject(decode, Likelihood("bernoulli"), x).log_likelihood(x, Z)
    close(found, Bernoulli(logits=Z @ WEIGHT.T).log_prob(x).sum(-1))


@pytest.mark.parametrize("several", [0, 1])
def test_a_distribution_needs_no_likelihood(several):
    def normals(z):
        return Independent(Normal(decode(z), 0.7), several)

    close(subject(normals).log_likelihood(X, Z), Normal(Z @ WEIGHT.T, 0.7).log_prob(X).sum(-1))


def test_a_density_of_ones_own_may_be_an_image_or_a_pixel_each():
    def laplace(x, decoded):
        return torch.distributions.Laplace(decoded, 0.5).log_prob(x)

    for own in (laplace, lambda x, decoded: laplace(x, decoded).sum(-1)):
        found = subject(decode, Likelihood("own", None, own)).log_likelihood(X, Z)
        close(found, torch.distributions.Laplace(Z @ WEIGHT.T, 0.5).log_prob(X).sum(-1))


def test_weights_of_a_linear_model_with_its_exact_posterior_are_log_p_of_x():
    precision = torch.eye(2).double() + WEIGHT.T @ WEIGHT / 0.09
    root = torch.linalg.cholesky(torch.linalg.inv(precision))

    def exact(x):
        mean = torch.linalg.solve(precision, WEIGHT.T @ x.T / 0.09).T
        return mean, root.expand(len(x), 2, 2)

    made = subject(decode, Likelihood("gaussian", 0.3), encode=exact)
    found = made.log_weight(X, made.posterior(X), made.noise(4, 5, 2, seed=1))
    covariance = WEIGHT @ WEIGHT.T + 0.09 * torch.eye(8).double()
    expected = MultivariateNormal(torch.zeros(8).double(), covariance).log_prob(X)
    close(found, expected.expand(4, 5), 1e-8)


def test_images_and_latents_in_the_models_own_shape():
    x = X.reshape(5, 2, 2, 2)

    def encode_map(x):
        return x[:, :1], x[:, 1:]  # (batch, 1, 2, 2)

    def decode_map(z):
        assert z.shape[1:] == (1, 2, 2)
        return torch.cat([z, z], 1)

    made = subject(decode_map, Likelihood("gaussian", 1.0), x, encode_map)
    assert made.latent == 4
    assert made.latent_shape == (1, 2, 2)
    z = made.posterior(x).mean[None]
    close(made.log_likelihood(x, z), Normal(X[:, :4].repeat(1, 2), 1.0).log_prob(X).sum(-1)[None])
    close(made.mean_image(z[0]), X[:, :4].repeat(1, 2))


def test_the_mean_image_of_logits_is_a_probability():
    close(subject(decode, Likelihood("bernoulli")).mean_image(Z[0]), decode(Z[0]).sigmoid())


def test_many_draws_are_scored_in_parts(monkeypatch):
    monkeypatch.setattr("vae_tutorial.audit.subject.MOST_NUMBERS", 50)
    found = subject(decode, Likelihood("gaussian", 0.3)).log_likelihood(X, Z)
    close(found, Normal(Z @ WEIGHT.T, 0.3).log_prob(X).sum(-1))


def test_single_precision_models_get_single_precision():
    layer = nn.Linear(2, 8)
    made = subject(layer, Likelihood("gaussian", 1.0), X.float())
    expected = Normal(layer(Z.float()).double(), 1.0).log_prob(X.float().double()).sum(-1)
    close(made.log_likelihood(X.float(), Z), expected)


@pytest.mark.parametrize("name", ["encode", "decode", "loss", "draw", "likelihood"])
def test_what_was_not_given_says_so(name):
    with pytest.raises(NotGivenError, match=f"{name} was not given"):
        getattr(Subject(X, None, None, None, None), name)


def test_parameters_that_cannot_be_seen_and_those_that_can():
    layer = nn.Linear(2, 8)
    frozen = nn.Linear(2, 2).requires_grad_(False)
    assert len(Subject(X, None, layer, None, None).parameters()) == 2
    assert len(Subject(X, frozen, layer, None, None, modules=[layer, layer]).parameters()) == 2
    with pytest.raises(NotGivenError, match="give modules="):
        Subject(X, lambda x: (x, x), None, None, None).parameters()
    with pytest.raises(NotGivenError, match="all 2 parameters behind the callables are frozen"):
        Subject(X, frozen, None, None, None).parameters()
    assert Subject(X, frozen, layer, None, None).frozen() == (2, 4)


def test_a_mean_for_other_images_is_refused():
    with pytest.raises(AnswerError, match=r"for 4 images, got \(5, 6\)"):
        as_posterior((MEAN, SPREAD), 4)
