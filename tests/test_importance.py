"""Importance weights against a linear model's known evidence, scipy, numpy and autograd."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch import nn
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal

from vae_tutorial import pretrained
from vae_tutorial.data import load_digits
from vae_tutorial.importance import (
    DRAWS_AT_ONCE,
    Chunk,
    ImportanceBound,
    ImportanceWeighted,
    estimate_log_likelihood,
    from_chunks,
    make_weigh,
    negative_importance_bound,
)
from vae_tutorial.likelihoods import BernoulliPixels, FixedVariance, GaussianPixels, SharedVariance
from vae_tutorial.models import VAE, DiagonalEncoder, DiagonalPosterior, FullEncoder, network
from vae_tutorial.noise import generator, standard_normal

PIXELS, LATENT = 5, 2


def small(kind=VAE, pixels=None, seed=0):
    weights = generator(seed)
    encoder = DiagonalEncoder(PIXELS, 7, LATENT, weights)
    decoder = network([LATENT, 7, PIXELS], weights)
    return kind(encoder, decoder, pixels or GaussianPixels(SharedVariance(0.3))).double()


def images(batch=3, seed=1):
    return torch.rand(batch, PIXELS, generator=generator(seed), dtype=torch.float64)


class Linear:
    """p(x|z) = N(W z + b, v I), whose evidence is normal; W has orthogonal columns, so that the
    posterior's covariance is diagonal."""

    lengths, variance = torch.tensor([1.3, 0.6]).double(), 0.4
    directions = torch.linalg.qr(standard_normal((PIXELS, LATENT), generator(2))).Q
    weight = directions * lengths
    offset = images(1, 3)[0]

    @classmethod
    def log_evidence(cls, x):
        covariance = cls.weight @ cls.weight.T + cls.variance * torch.eye(PIXELS).double()
        return MultivariateNormal(cls.offset, covariance).log_prob(x)

    @classmethod
    def model(cls, widening=1.0, shift=0.0):
        """The model, with q's variances `widening` times the posterior's, and its mean moved."""
        spread = 1 / (1 + cls.lengths.square() / cls.variance)  # the posterior's variances

        class Encoder(nn.Module):
            width, latent = PIXELS, LATENT

            def forward(self, x):
                mean = (x - cls.offset) @ cls.weight * spread / cls.variance + shift
                return DiagonalPosterior(mean, (widening * spread).log().expand_as(mean))

        decoder = nn.Linear(LATENT, PIXELS).double()
        decoder.load_state_dict({"weight": cls.weight, "bias": cls.offset})
        return VAE(Encoder(), decoder, GaussianPixels(FixedVariance(cls.variance)))


def noise_as_drawn(rows, num_samples, seed):
    """The draws in the order the estimator takes them: image by image, chunk by chunk."""
    random = generator(seed)
    sizes = [*[DRAWS_AT_ONCE] * (num_samples // DRAWS_AT_ONCE), num_samples % DRAWS_AT_ONCE]
    each = [
        torch.cat([standard_normal((n, 1, LATENT), random) for n in sizes if n])
        for _ in range(rows)
    ]
    return torch.cat(each, 1)  # (K, rows, latent)


def weights_by_torch(model, x, noise):
    """log p(x, z) / q(z|x) at z = mean + σ noise, by torch.distributions: numpy, (K, rows)."""
    with torch.no_grad():
        mean, log_variance = model.encoder.network(x).chunk(2, -1)
        q = Normal(mean, log_variance.exp().sqrt())
        z = q.mean + q.stddev * noise
        decoded = model.decoder(z)
        if isinstance(model.likelihood, BernoulliPixels):
            law = Bernoulli(logits=decoded)
        else:
            law = Normal(decoded, model.likelihood.variance(z).exp().sqrt())
        prior = Normal(torch.zeros_like(z), torch.ones_like(z))
        log_joint = law.log_prob(x).sum(-1) + prior.log_prob(z).sum(-1)
        return (log_joint - q.log_prob(z).sum(-1)).numpy()


def delta_error(log_weight):
    """The average weight's standard error, divided by the average, by numpy: (rows,)."""
    weight = np.exp(log_weight - log_weight.max(0))
    return weight.std(0) / math.sqrt(len(weight)) / weight.mean(0)


def expected_error(log_weight):
    """The same, but what the largest weight adds is found by leaving it out, by scipy: (rows,)."""
    count, top = len(log_weight), log_weight.argmax(0)[None]
    share = np.exp(log_weight - logsumexp(log_weight, axis=0))
    others = delta_error(log_weight) ** 2 - (np.take_along_axis(share, top, 0)[0] - 1 / count) ** 2
    without = log_weight.copy()
    np.put_along_axis(without, top, -np.inf, 0)
    lost = logsumexp(log_weight, axis=0) - math.log(count)
    lost = lost - (logsumexp(without, axis=0) - math.log(count - 1))
    return np.sqrt(others.clip(0) + lost**2)


# The estimate


@pytest.mark.equation("eq-streaming-weights")
@pytest.mark.parametrize("num_samples", [7, 2500])
def test_under_the_exact_posterior_every_weight_is_the_evidence(num_samples):
    x = images(3)
    estimate = estimate_log_likelihood(Linear.model(), x, num_samples, generator(4))
    torch.testing.assert_close(estimate.mean, Linear.log_evidence(x), atol=1e-10, rtol=0)
    assert (estimate.standard_error < 1e-6).all()  # the root of a difference of roundings


def test_under_another_posterior_it_is_within_four_standard_errors():
    x = images(6)
    estimate = estimate_log_likelihood(Linear.model(1.6, 0.3), x, 20_000, generator(5))
    assert (estimate.standard_error > 1e-3).all()
    assert (estimate.standard_error < 1e-2).all()
    apart = (estimate.mean - Linear.log_evidence(x)).abs()
    assert (apart < 4 * estimate.standard_error).all()


def test_its_standard_error_is_the_spread_of_repetitions():
    repeated = images(1).expand(600, -1)
    estimate = estimate_log_likelihood(Linear.model(1.6, 0.3), repeated, 400, generator(6))
    spread = float(estimate.mean.std())
    assert float(estimate.standard_error.mean()) == pytest.approx(spread, rel=4 / math.sqrt(1200))


def test_its_standard_error_is_too_small_where_rare_weights_carry_the_average():
    """q has 0.4 of the posterior's variance: w̄'s variance is infinite, and no sample shows it."""
    repeated = images(1).expand(600, -1)
    estimate = estimate_log_likelihood(Linear.model(0.4), repeated, 400, generator(16))
    assert float(estimate.mean.std()) > 1.2 * float(estimate.standard_error.mean())


@pytest.mark.equation("eq-streaming-weights")
@pytest.mark.parametrize("num_samples", [1, 3, 1000, 1001, 2500])
def test_chunks_give_the_bound_of_all_draws_at_once(num_samples):
    model, x = small(), images(3)
    log_weight = weights_by_torch(model, x, noise_as_drawn(3, num_samples, 7))
    estimate = estimate_log_likelihood(model, x, num_samples, generator(7))
    expected = logsumexp(log_weight, axis=0) - math.log(num_samples)
    np.testing.assert_allclose(estimate.mean, expected, atol=1e-10, rtol=0)
    if num_samples == 1:
        assert estimate.standard_error.isposinf().all()
        return
    error = expected_error(log_weight)
    np.testing.assert_allclose(estimate.standard_error, error, atol=1e-7, rtol=1e-7)


def test_weights_thousands_of_nats_apart_neither_overflow_nor_vanish():
    model, x = small(pixels=GaussianPixels(FixedVariance(1e-5))), images(3)
    log_weight = weights_by_torch(model, x, noise_as_drawn(3, 1100, 15))
    assert (np.ptp(log_weight, axis=0) > 5000).all()
    estimate = estimate_log_likelihood(model, x, 1100, generator(15))
    expected = logsumexp(log_weight, axis=0) - math.log(1100)
    np.testing.assert_allclose(estimate.mean, expected, rtol=1e-9)
    assert (expected_error(log_weight) > 100).all()  # nats, without the largest weight
    smallest_seen = -math.log(np.finfo(float).eps)
    np.testing.assert_allclose(estimate.standard_error, smallest_seen, rtol=1e-4)


@pytest.mark.parametrize("pixels", ["bernoulli", "gaussian"])
def test_it_is_assembled_from_torch_distributions(pixels):
    model = small(pixels=BernoulliPixels() if pixels == "bernoulli" else None)
    x = (images(3) > 0.5).double()
    log_weight = weights_by_torch(model, x, noise_as_drawn(3, 1300, 8))
    estimate = estimate_log_likelihood(model, x, 1300, generator(8))
    expected = logsumexp(log_weight, axis=0) - math.log(1300)
    np.testing.assert_allclose(estimate.mean, expected, atol=1e-10)
    np.testing.assert_allclose(estimate.standard_error, expected_error(log_weight), rtol=1e-7)


def test_single_precision_gives_the_same_to_its_rounding():
    model, x = small(), images(3)
    fine = estimate_log_likelihood(model, x, 1500, generator(9))
    coarse = estimate_log_likelihood(model.float(), x.float(), 1500, generator(9))
    torch.testing.assert_close(coarse.mean, fine.mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(coarse.standard_error, fine.standard_error, atol=1e-5, rtol=1e-3)


def test_single_precision_still_sees_weights_far_below_the_largest():
    """Beside 1, float32 loses what is less than 6e-8; its sum would be 1."""
    model, x = small(pixels=GaussianPixels(FixedVariance(0.01))).float(), images(1).float()
    noise = torch.tensor([[[0.0, 0.0]], [[1.6, -1.6]]])
    with torch.no_grad():
        log_weight = model.log_weight(x, noise).double()  # (2, 1)
        chunk = make_weigh(model)(x, *model.encoder(x), noise)
    gap = (log_weight.max() - log_weight.min()).item()
    assert 20 < gap < 30
    assert math.log(chunk.total - 1) == pytest.approx(-gap, abs=1e-3)


def test_no_more_draws_are_held_than_a_chunk_and_the_given_weigh_is_the_one_that_runs():
    model, seen = small(), []

    def watched(x, mean, log_variance, noise):
        assert x.shape == (1, PIXELS)
        assert mean.shape == log_variance.shape == (1, LATENT)
        seen.append(tuple(noise.shape))
        return make_weigh(model)(x, mean, log_variance, noise)

    estimate = estimate_log_likelihood(model, images(2), 2500, generator(10), watched)
    assert seen == [(1000, 1, LATENT), (1000, 1, LATENT), (500, 1, LATENT)] * 2
    plain = estimate_log_likelihood(model, images(2), 2500, generator(10))
    assert torch.equal(estimate.mean, plain.mean)
    assert not estimate.mean.requires_grad


def test_what_cannot_be_estimated_is_named():
    model = small()
    with pytest.raises(ValueError, match=r"last axis of images must be 5, got shape \(2, 4\)"):
        estimate_log_likelihood(model, torch.zeros(2, 4).double(), 10, generator(0))
    with pytest.raises(ValueError, match="images must be finite"):
        estimate_log_likelihood(model, images() * math.nan, 10, generator(0))
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        estimate_log_likelihood(model, images(), 0, generator(0))
    with pytest.raises(TypeError, match="num_samples must be a whole number"):
        estimate_log_likelihood(model, images(), 10.0, generator(0))
    with pytest.raises(TypeError, match=r"must be a torch.Generator, got None"):
        estimate_log_likelihood(model, images(), 10, None)
    model.encoder = FullEncoder(PIXELS, 7, LATENT, generator(0)).double()
    with pytest.raises(TypeError, match=r"must be a DiagonalPosterior, got FullPosterior"):
        estimate_log_likelihood(model, images(), 10, generator(0))
    model = small()
    with pytest.raises(TypeError, match=r"x is torch.float32, but .* weights are torch.float64"):
        estimate_log_likelihood(model, images().float(), 10, generator(0))
    with pytest.raises(ValueError, match="binary for a Bernoulli likelihood"):
        estimate_log_likelihood(small(pixels=BernoulliPixels()), images(), 10, generator(0))


# Chunks


def sums(*chunks):
    """What numpy finds for the chunks of one image, (1, chunks) each."""
    table = []
    for log_weight in chunks:
        weight = np.exp(log_weight - log_weight.max())
        table.append([log_weight.max(), weight.sum(), np.square(weight).sum()])
    return Chunk(*torch.tensor(table, dtype=torch.float64).T.unsqueeze(1))


@pytest.mark.equation("eq-streaming-weights", "eq-streaming-error")
@pytest.mark.parametrize("levels", [[0.0], [0.0, 1.0, -2.0], [-5000.0, -5003.0], [700.0, 709.0]])
def test_chunks_combine_as_scipy_adds_all_weights(levels):
    random = np.random.default_rng(0)
    chunks = [level + 2 * random.standard_normal(20 + 7 * n) for n, level in enumerate(levels)]
    together = np.concatenate(chunks)
    mean, error = (term.item() for term in from_chunks(sums(*chunks), len(together)))
    assert mean == pytest.approx(logsumexp(together) - math.log(len(together)), abs=1e-12)
    assert error == pytest.approx(expected_error(together[:, None])[0], rel=1e-9)


@pytest.mark.equation("eq-streaming-weights", "eq-streaming-error")
@pytest.mark.parametrize("order", [1, -1])
def test_a_chunk_of_vanishing_weights_adds_nothing_but_its_number(order):
    random = np.random.default_rng(1)
    heavy, light = random.standard_normal(30), random.standard_normal(50) - 1000
    chunks = [heavy, light][::order]
    mean, error = (term.item() for term in from_chunks(sums(*chunks), 80))
    assert mean == pytest.approx(logsumexp(np.concatenate(chunks)) - math.log(80), abs=1e-12)
    expected = expected_error(np.concatenate(chunks)[:, None])[0]
    assert error == pytest.approx(expected, rel=1e-9)


def test_images_of_very_different_scale_keep_apart():
    random = np.random.default_rng(2)
    chunks = random.standard_normal((3, 4, 25)) + np.array([0.0, -2000.0, 900.0])[:, None, None]
    parts = [sums(*image) for image in chunks]
    estimate = from_chunks(Chunk(*(torch.cat(part) for part in zip(*parts, strict=True))), 100)
    together = chunks.reshape(3, 100).T
    np.testing.assert_allclose(estimate.mean, logsumexp(together, axis=0) - math.log(100))
    np.testing.assert_allclose(estimate.standard_error, expected_error(together), rtol=1e-9)


def test_equal_weights_have_no_error_however_they_round():
    for count in (3, 7, 49, 1000):
        mean, error = (term.item() for term in from_chunks(sums(np.full(count, -0.1)), count))
        assert mean == pytest.approx(-0.1, abs=1e-12)
        assert 0 <= error < 1e-7


def test_one_draw_tells_no_error():
    estimate = from_chunks(sums(np.array([-3.0])), 1)
    assert estimate.mean == -3
    assert estimate.standard_error.isposinf().all()


@pytest.mark.parametrize("num_samples", [50, 200])
def test_over_many_images_its_error_is_the_spread_of_the_average_over_them(num_samples):
    """On 100 digits, some of whose posteriors the encoder misses, by 60 seeds. The spread is known
    to 1 / √(2 · 59), a tenth. The delta method alone says less than half of it."""
    model, x = pretrained.two_latents(), load_digits(torch.float64).test[:100]
    seen, printed, delta = [], [], []
    for seed in range(60):
        noise = standard_normal((num_samples, 100, 2), generator(seed))
        log_weight = model.log_weight(x, noise)
        relative = (log_weight - log_weight.max(0).values).exp()
        chunk = Chunk(log_weight.max(0).values, relative.sum(0), relative.square().sum(0))
        estimate = from_chunks(Chunk(*(part[:, None] for part in chunk)), num_samples)
        seen.append(estimate.mean.mean())
        printed.append(estimate.standard_error.square().sum().sqrt() / 100)
        delta.append(np.sqrt((delta_error(log_weight.numpy()) ** 2).sum()) / 100)
    spread = torch.stack(seen).std()
    assert 0.75 < torch.stack(printed).mean() / spread < 1.6
    assert np.mean(delta) < 0.5 * spread


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"largest": torch.tensor([[1]])}, TypeError, "largest must be floating point"),
        ({"total": torch.tensor([[3]], dtype=torch.uint8)}, TypeError, "total must be floating"),
        ({"total": torch.tensor([[-1.0]])}, ValueError, "total must be positive"),
        ({"total_of_squares": torch.tensor([[math.nan]])}, ValueError, "must be finite"),
    ],
)
def test_sums_that_cannot_be_are_named(change, error, words):
    chunk = Chunk(*torch.tensor([[[0.0]], [[3.0]], [[2.0]]]))
    with pytest.raises(error, match=words):
        from_chunks(chunk._replace(**change), 4)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        from_chunks(chunk, 0)


# Training on weights


@pytest.mark.equation("eq-importance-bound")
@pytest.mark.parametrize("num_samples", [1, 2, 50])
def test_the_bound_is_scipys_log_of_the_average_weight(num_samples):
    model, x = small(ImportanceWeighted), images(4)
    noise = standard_normal((num_samples, 4, LATENT), generator(11))
    with torch.no_grad():
        log_weight, bound = model.log_weight(x, noise).numpy(), model(x, noise)
    expected = logsumexp(log_weight, axis=0) - math.log(num_samples)
    np.testing.assert_allclose(bound.importance_bound, expected, atol=1e-10)
    if num_samples == 1:
        np.testing.assert_allclose(bound.importance_bound, log_weight[0], atol=1e-12)


def test_its_other_terms_are_those_of_a_plain_vae():
    x, noise = images(4), standard_normal((6, 4, LATENT), generator(12))
    bound = small(ImportanceWeighted)(x, noise)
    assert isinstance(bound, ImportanceBound)
    for seen, expected in zip(bound, small(VAE)(x, noise), strict=False):
        assert torch.equal(seen, expected)


def test_weights_of_either_kind_load_into_the_other():
    x, noise = images(4), standard_normal((6, 4, LATENT), generator(13))
    for first, second in ((VAE, ImportanceWeighted), (ImportanceWeighted, VAE)):
        source, target = small(first, seed=1), small(second, seed=2)
        assert not torch.equal(source(x, noise).elbo, target(x, noise).elbo)
        target.load_state_dict(source.state_dict(), strict=True)
        assert torch.equal(source(x, noise).elbo, target(x, noise).elbo)


@pytest.mark.equation("eq-importance-bound")
@pytest.mark.parametrize("num_samples", [1, 8])
def test_its_gradient_is_autograds_of_torch_distributions(num_samples):
    model, x = small(ImportanceWeighted), images(4)
    noise = standard_normal((num_samples, 4, LATENT), generator(14))
    mean, log_variance = model.encoder.network(x).chunk(2, -1)
    q = Independent(Normal(mean, log_variance.exp().sqrt()), 1)
    z = mean + log_variance.exp().sqrt() * noise
    deviation = model.likelihood.variance.log_variance.exp().sqrt().expand(PIXELS)
    score = Independent(Normal(model.decoder(z), deviation), 1).log_prob(x)
    prior = MultivariateNormal(torch.zeros(LATENT).double(), torch.eye(LATENT).double())
    weight = (score + prior.log_prob(z) - q.log_prob(z)).exp()
    loss = -weight.mean(0).log().mean()  # () averaged over images last
    expected = torch.autograd.grad(loss, list(model.parameters()))
    objective = negative_importance_bound(model(x, noise))
    torch.testing.assert_close(objective, loss)
    seen = torch.autograd.grad(objective, list(model.parameters()))
    torch.testing.assert_close(seen, expected)
    assert all(gradient.abs().max() > 1e-4 for gradient in seen)
