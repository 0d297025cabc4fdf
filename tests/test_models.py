"""The networks and the VAE against torch.distributions and a linear model's known evidence."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from scipy import integrate, stats
from torch import nn
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from vae_tutorial import models
from vae_tutorial.likelihoods import (
    BernoulliPixels,
    FixedVariance,
    GaussianPixels,
    InputVariance,
    SharedVariance,
)
from vae_tutorial.models import DiagonalEncoder, lower_triangle, network
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.weights import importance_weighted_bound

ENCODERS = [models.DiagonalEncoder, models.FullEncoder]
PIXELS, LATENT = 5, 3


def small(encoder=models.DiagonalEncoder, pixels=None, seed=0):
    weights = generator(seed)
    return models.VAE(
        encoder(PIXELS, 7, LATENT, weights),
        models.network([LATENT, 7, PIXELS], weights),
        pixels or GaussianPixels(SharedVariance(0.3)),
    ).double()


def images(batch=4, seed=1):
    return torch.rand(batch, PIXELS, generator=generator(seed), dtype=torch.float64)


def oracle(posterior):
    """The same Gaussian in torch.distributions, with its covariance built by hand."""
    if isinstance(posterior, models.DiagonalPosterior):
        return Independent(Normal(posterior.mean, posterior.log_variance.exp().sqrt()), 1)
    covariance = posterior.cholesky @ posterior.cholesky.mT
    return MultivariateNormal(posterior.mean, covariance)


def standard(latent):
    zeros, ones = torch.zeros(latent).double(), torch.ones(latent).double()
    return Independent(Normal(zeros, ones), 1)


def price(posterior):
    """The library's KL of a posterior from N(0, I): (batch,), nats."""
    law, prior = oracle(posterior), standard(posterior.mean.shape[-1])
    if isinstance(law, MultivariateNormal):
        prior = MultivariateNormal(prior.mean, torch.diag_embed(prior.variance))
    return kl_divergence(law, prior)


@pytest.mark.equation("vae7")
@pytest.mark.parametrize("encoder", ENCODERS)
def test_posteriors_agree_with_torch_distributions(encoder):
    posterior = small(encoder).encoder(images())
    expected = oracle(posterior)
    z = standard_normal((6, 4, LATENT), generator(2))
    torch.testing.assert_close(posterior.log_density(z), expected.log_prob(z))
    torch.testing.assert_close(posterior.kl_to_prior(), price(posterior))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_draws_have_the_posteriors_mean_and_covariance(encoder):
    posterior = small(encoder).encoder(images(1))
    z = posterior.draw(standard_normal((200_000, 1, LATENT), generator(3)))[:, 0].detach()
    expected = oracle(posterior)
    if encoder is models.FullEncoder:
        covariance = expected.covariance_matrix[0]
    else:
        covariance = torch.diag(expected.variance[0])
    scale = covariance.diagonal().max().item()
    torch.testing.assert_close(z.mean(0), expected.mean[0], atol=5 * scale**0.5 / 447, rtol=0)
    torch.testing.assert_close(z.T.cov(), covariance, atol=8 * scale / 447, rtol=0)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_mean_is_the_first_of_the_last_layers_outputs(encoder):
    model, x = small(encoder).encoder, images()
    assert torch.equal(model(x).mean, model.network(x)[:, :LATENT])


@pytest.mark.equation("vae6")
def test_log_prior_is_the_standard_normal():
    z = standard_normal((4, 2, LATENT), generator(4))
    torch.testing.assert_close(models.log_prior(z), standard(LATENT).log_prob(z))


@pytest.mark.equation("eq-aggregate")
@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_aggregate_is_a_mixture(encoder):
    posterior = small(encoder).encoder(images(4))
    z = standard_normal((9, LATENT), generator(5))
    mixture = MixtureSameFamily(Categorical(torch.ones(4).double()), oracle(posterior))
    torch.testing.assert_close(models.log_aggregate(posterior, z), mixture.log_prob(z))


@pytest.mark.equation("eq-rate-split")
def test_the_average_rate_is_information_plus_mismatch():
    """Their sum does not see log q(z), which cancels: each is looked at, with scipy's entropy."""
    centres, widths = np.array([-1.0, 0.2, 0.5, 2.0]), np.array([0.3, 0.6, 0.2, 0.9])
    mean = torch.from_numpy(centres)[:, None]
    posterior = models.DiagonalPosterior(mean, 2 * torch.from_numpy(widths).log()[:, None])
    z, step = np.linspace(-9, 11, 8001), 20 / 8000
    each = stats.norm.pdf(z[:, None], centres, widths)  # (n, 4)
    log_q = models.log_aggregate(posterior, torch.from_numpy(z)[:, None]).numpy()
    logs = stats.norm.logpdf(z[:, None], centres, widths)
    information = (each * (logs - log_q[:, None])).sum() * step / 4
    mismatch = (each.mean(1) * (log_q - stats.norm.logpdf(z))).sum() * step
    mixed = -integrate.quad(
        lambda at: (q := stats.norm.pdf(at, centres, widths).mean()) * math.log(q), -6, 8, limit=200
    )[0]
    assert information == pytest.approx(mixed - stats.norm.entropy(0, widths).mean(), abs=1e-7)
    assert 0 < information < math.log(4)
    assert mismatch > 0
    rate = float(posterior.kl_to_prior().mean())
    assert information + mismatch == pytest.approx(rate, abs=1e-9)


def test_a_network_is_linear_layers_with_tanh_between():
    layers = models.network([4, 6, 3], generator(0)).double()
    x = standard_normal((5, 4), generator(1))
    first, second = layers[0], layers[2]
    by_hand = torch.tanh(x @ first.weight.T + first.bias) @ second.weight.T + second.bias
    torch.testing.assert_close(layers(x), by_hand)
    assert len(layers) == 3  # nothing after the last linear layer


def test_weights_fill_pytorchs_default_range_and_come_from_the_generator():
    before = torch.get_rng_state()
    layer = models.network([400, 300], generator(7))[0]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(layer.weight, models.network([400, 300], generator(7))[0].weight)
    torch.testing.assert_close(layer.weight.max().item(), 1 / 20, rtol=1e-3, atol=0)
    torch.testing.assert_close(layer.weight.min().item(), -1 / 20, rtol=1e-3, atol=0)
    assert abs(layer.weight.mean()) < 4 / 20 / math.sqrt(3 * 120_000)
    assert layer.bias.abs().max() <= 1 / 20


@given(width=st.integers(1, 6), batch=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_lower_triangle_is_filled_row_by_row(width, batch, seed):
    entries = standard_normal((batch, width * (width + 1) // 2), generator(seed))
    factor = models.lower_triangle(entries, width)
    for b in range(batch):
        remaining = iter(entries[b].tolist())
        for i in range(width):
            for j in range(width):
                entry = next(remaining) if j <= i else 0.0
                expected = math.exp(entry) if i == j else entry
                assert factor[b, i, j].item() == pytest.approx(expected)


def test_a_large_entry_below_the_diagonal_keeps_its_gradient_finite():
    entries = torch.tensor([0.0, 800.0, 0.0], dtype=torch.float64, requires_grad=True)
    models.lower_triangle(entries, 2).sum().backward()
    torch.testing.assert_close(entries.grad, torch.ones(3).double())


@given(num_samples=st.integers(1, 4), batch=st.integers(1, 4), full=st.booleans())
def test_shapes_for_any_number_of_draws(num_samples, batch, full):
    model, x = small(ENCODERS[full]), images(batch)
    noise = standard_normal((num_samples, batch, LATENT), generator(6))
    assert [term.shape for term in model(x, noise)] == [(batch,)] * 3
    assert model.log_weight(x, noise).shape == (num_samples, batch)
    assert model.reconstruct(x).shape == x.shape
    assert model.decode(noise).shape == (num_samples, batch, PIXELS)


@pytest.mark.equation("vae8", "eq-importance-weight")
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("variance", ["shared", "input"])
def test_the_bound_is_assembled_from_torch_distributions(encoder, variance):
    if variance == "shared":
        chosen = SharedVariance(0.3)
    else:
        chosen = InputVariance(models.network([LATENT, 4, PIXELS], generator(8)), 0.01)
    model, x = small(encoder, GaussianPixels(chosen)), images()
    noise = standard_normal((3, 4, LATENT), generator(9))
    posterior = model.encoder(x)
    law = oracle(posterior)
    if encoder is models.FullEncoder:
        z = law.mean + torch.einsum("bij,kbj->kbi", law.scale_tril, noise)
    else:
        z = law.mean + law.stddev * noise
    deviation = model.likelihood.variance(z).exp().sqrt().expand(3, 4, PIXELS)
    score = Independent(Normal(model.decoder(z), deviation), 1).log_prob(x)  # (3, 4)
    density = law.log_prob(z)
    bound = model(x, noise)
    torch.testing.assert_close(bound.log_likelihood, score.mean(0))
    torch.testing.assert_close(bound.kl, price(posterior))
    torch.testing.assert_close(bound.elbo, score.mean(0) - price(posterior))
    expected = score + standard(LATENT).log_prob(z) - density
    torch.testing.assert_close(model.log_weight(x, noise), expected)


@pytest.mark.equation("vae9", "eq-constant")
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_constant_of_the_bound_with_unit_noise_has_its_place(encoder):
    model, x = small(encoder, GaussianPixels(FixedVariance(1.0))), images()
    noise = standard_normal((3, 4, LATENT), generator(18))
    posterior = model.encoder(x)
    z = posterior.draw(noise)
    squared = np.square((x - model.decoder(z)).detach().numpy()).sum(-1).mean(0)  # (batch,)
    law = oracle(posterior)
    covariance = (
        law.covariance_matrix if encoder is models.FullEncoder else torch.diag_embed(law.variance)
    ).detach()
    mean = law.mean.detach().numpy()
    trace = np.trace(covariance.numpy(), axis1=1, axis2=2)
    log_determinant = np.linalg.slogdet(covariance.numpy()).logabsdet
    kept = squared + trace + np.square(mean).sum(-1) - log_determinant  # what vae10 minimises
    bracket = kept - squared - LATENT
    expected = -squared / 2 - PIXELS / 2 * math.log(2 * math.pi) - bracket / 2
    seen = model(x, noise).elbo.detach().numpy()
    np.testing.assert_allclose(seen, expected, atol=1e-10)
    constant = LATENT / 2 - PIXELS / 2 * math.log(2 * math.pi)
    np.testing.assert_allclose(seen + kept / 2, constant, atol=1e-10)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_log_weights_average_to_the_bound(encoder):
    model, x = small(encoder), images()
    noise = standard_normal((20_000, 4, LATENT), generator(10))
    bound, log_weight = model(x, noise), model.log_weight(x, noise)
    error = log_weight.std(0) / math.sqrt(len(noise))  # larger than that of the KL alone: both move
    assert ((log_weight.mean(0) - bound.elbo).abs() <= 4 * error).all()
    spread = (log_weight - log_weight.mean(0)).abs().mean()
    assert spread > 0.01  # the two differ draw by draw, and agree on average


def linear_model(weight, offset, variance):
    """p(x|z) = N(W z + b, variance I), with its exact posterior as the encoder: no slack."""
    pixels, latent = weight.shape
    precision = torch.eye(latent).double() + weight.T @ weight / variance
    covariance = torch.linalg.inv(precision)
    decoder = nn.Linear(latent, pixels).double()
    decoder.load_state_dict({"weight": weight, "bias": offset})

    class Exact(nn.Module):
        def __init__(self):
            super().__init__()
            self.latent = latent

        def forward(self, x):
            mean = (x - offset) @ weight @ covariance / variance
            factor = torch.linalg.cholesky(covariance)
            return models.FullPosterior(mean, factor.expand(len(x), -1, -1))

    chosen = SharedVariance(variance).double()
    with torch.no_grad():
        chosen.log_variance.fill_(math.log(variance))
    return models.VAE(Exact(), decoder, GaussianPixels(chosen))


@pytest.mark.equation("vae8", "eq-importance-weight")
def test_a_linear_model_reaches_its_known_evidence():
    weight = standard_normal((PIXELS, 2), generator(11))
    offset, variance, x = images(1, 12)[0], 0.4, images(3, 13)
    covariance = weight @ weight.T + variance * torch.eye(PIXELS).double()
    evidence = MultivariateNormal(offset, covariance).log_prob(x)
    exact = linear_model(weight, offset, variance)
    noise = standard_normal((7, 3, 2), generator(14))
    torch.testing.assert_close(exact.log_weight(x, noise), evidence.expand(7, 3))

    other = models.DiagonalEncoder(PIXELS, 4, 2, generator(15)).double()
    wrong = models.VAE(other, exact.decoder, exact.likelihood)
    noise = standard_normal((200_000, 3, 2), generator(16))
    bound = wrong(x, noise).elbo
    estimate = importance_weighted_bound(wrong.log_weight(x, noise))
    assert (bound < evidence - 0.1).all()
    torch.testing.assert_close(estimate, evidence, atol=0.05, rtol=0)


def test_the_same_model_takes_bernoulli_pixels():
    model = small(pixels=BernoulliPixels())
    x = (images() > 0.5).double()
    noise = standard_normal((2, 4, LATENT), generator(17))
    logits = model.decoder(model.encoder(x).draw(noise))
    score = torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(-1)
    torch.testing.assert_close(model(x, noise).log_likelihood, score.mean(0))
    torch.testing.assert_close(model.decode(noise), model.decoder(noise).sigmoid())


@pytest.mark.equation("vae6")
def test_prior_means_are_decoded_draws_of_the_prior():
    model = small()
    seen = model.prior_means(4, generator(5))
    z = torch.randn(4, LATENT, generator=generator(5), dtype=torch.float64)
    torch.testing.assert_close(seen, model.decoder(z).detach())
    assert not seen.requires_grad
    with pytest.raises(TypeError, match=r"must be a torch.Generator, got None"):
        model.prior_means(4, None)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_posterior_has_a_root_and_can_be_made_from_one(encoder):
    posterior = small(encoder).encoder(images())
    expected = oracle(posterior)
    if encoder is models.FullEncoder:
        covariance = expected.covariance_matrix
    else:
        covariance = expected.variance.diag_embed()
    torch.testing.assert_close(posterior.root @ posterior.root.mT, covariance)
    again = type(posterior).from_root(posterior.mean, posterior.root)
    for seen, part in zip(again, posterior, strict=True):
        torch.testing.assert_close(seen, part)


def test_a_diagonal_posterior_keeps_the_variances_of_a_full_root():
    full = small(models.FullEncoder).encoder(images())
    diagonal = models.DiagonalPosterior.from_root(full.mean, full.root)
    variances = oracle(full).covariance_matrix.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(diagonal.log_variance.exp(), variances)


@pytest.mark.equation("eq-importance-weight")
def test_the_log_weight_of_given_draws_is_that_of_torch_distributions():
    z = standard_normal((6, 4, LATENT), generator(2))
    log_likelihood = standard_normal((6, 4), generator(3))
    for encoder in ENCODERS:
        posterior = small(encoder).encoder(images())
        expected = log_likelihood + standard(LATENT).log_prob(z) - oracle(posterior).log_prob(z)
        torch.testing.assert_close(models.log_weight(log_likelihood, posterior, z), expected)


def test_two_precisions_do_not_mix():
    noise = torch.zeros(1, 4, LATENT)
    with pytest.raises(TypeError, match=r"x is torch.float32, but .* weights are torch.float64"):
        small()(images().float(), noise.double())
    with pytest.raises(TypeError, match=r"noise is torch.float32, but the images are"):
        small()(images(), noise)


def test_a_reconstruction_decodes_the_mean():
    model, x = small(), images()
    torch.testing.assert_close(model.reconstruct(x), model.decoder(model.encoder(x).mean))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_wrong_images_are_named(encoder):
    model, noise = small(encoder), torch.zeros(1, 4, LATENT).double()
    with pytest.raises(ValueError, match=r"last axis of x must be 5, got shape \(4, 6\)"):
        model(torch.zeros(4, 6).double(), noise)
    with pytest.raises(TypeError, match="x must be floating point"):
        model(torch.zeros(4, PIXELS, dtype=torch.int64), noise)
    with pytest.raises(ValueError, match="x must be finite, but 4 of 20"):
        model(images().index_fill(1, torch.tensor(2), float("nan")), noise)
    with pytest.raises(ValueError, match="x is empty"):
        model(torch.zeros(0, PIXELS).double(), noise)


@pytest.mark.parametrize("shape", [(4, 3), (2, 1, 3), (2, 3, 3), (2, 4, 2), (1, 2, 4, 3)])
def test_noise_needs_a_draw_for_each_image(shape):
    for method in (small(), small().log_weight):
        with pytest.raises(ValueError, match=r"noise must be \(K, 4, 3\), got"):
            method(images(), torch.zeros(shape).double())


def test_no_draws_and_wrong_latents_are_named():
    with pytest.raises(ValueError, match="noise is empty"):
        small()(images(), torch.zeros(0, 4, LATENT).double())
    with pytest.raises(ValueError, match="last axis of z must be 3"):
        small().decode(torch.zeros(2, 4).double())
    with pytest.raises(ValueError, match="last axis of entries must be 3"):
        models.lower_triangle(torch.zeros(4), 2)


@pytest.mark.parametrize(("activation", "function"), [(nn.Tanh, np.tanh), (nn.ReLU, None)])
def test_the_activation_stands_between_the_layers_only(activation, function):
    function = function or (lambda x: np.maximum(x, 0))
    made = network((3, 5, 4, 2), generator(0), activation).double()
    x = torch.randn(7, 3, generator=generator(1), dtype=torch.float64)
    expected = x.numpy()
    linears = [layer for layer in made if isinstance(layer, nn.Linear)]
    for place, layer in enumerate(linears):
        expected = expected @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        expected = expected if place == len(linears) - 1 else function(expected)
    assert [(layer.in_features, layer.out_features) for layer in linears] == [
        (3, 5),
        (5, 4),
        (4, 2),
    ]
    np.testing.assert_allclose(made(x).detach().numpy(), expected, rtol=1e-12)


def test_weights_come_from_the_generator_alone():
    state = torch.get_rng_state()
    first, second, other = (network([4, 3], generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first[0].weight, second[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)
    assert torch.equal(state, torch.get_rng_state())


def test_weights_need_a_generator():
    with pytest.raises(TypeError, match=r"generator must be a torch\.Generator, got None"):
        network([4, 3], None)


def test_an_encoder_may_have_several_hidden_layers():
    one, same, several = (DiagonalEncoder(6, h, 2, generator(0)) for h in (5, [5], (5, 4, 3)))
    for a, b in zip(one.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)
    widths = [layer.out_features for layer in several.network if isinstance(layer, nn.Linear)]
    assert widths == [5, 4, 3, 4]


def test_a_triangle_is_filled_row_by_row_with_a_positive_diagonal():
    entries = torch.randn(3, 6, generator=generator(2), dtype=torch.float64)
    for row, seen in zip(entries.numpy(), lower_triangle(entries, 3).numpy(), strict=True):
        expected = np.zeros((3, 3))
        expected[np.tril_indices(3)] = row
        np.fill_diagonal(expected, np.exp(np.diag(expected)))
        np.testing.assert_allclose(seen, expected)
    with pytest.raises(ValueError, match="last axis of entries must be 6"):
        lower_triangle(entries[:, :5], 3)
