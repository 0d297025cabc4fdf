"""The pure step against torch.optim.Adam; the loop against its laws."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from vae_tutorial.adam import Moments, adam_coefficients, zero_moments
from vae_tutorial.bounds import Bound
from vae_tutorial.data import load_digits, minibatches
from vae_tutorial.likelihoods import FixedVariance, GaussianPixels, SharedVariance
from vae_tutorial.models import VAE, DiagonalEncoder, FullEncoder, network
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.training import (
    average_bound,
    distortion,
    fit,
    initial_state,
    make_gradients,
    make_step,
    negative_elbo,
    run_epoch,
)

TRAIN = load_digits(torch.float64).train[:40]
SETTINGS = {"epochs": 2, "batch_size": 15, "learning_rate": 0.01}


def small(encoder=DiagonalEncoder, variance=None, seed=0):
    weights = generator(seed)
    decoder = network([2, 6, 64], weights)
    pixels = GaussianPixels(variance or SharedVariance(0.1))
    return VAE(encoder(64, 6, 2, weights), decoder, pixels).double()


def ingredients(model, num_samples=1, count=1):
    parameters = {name: value.detach().clone() for name, value in model.named_parameters()}
    noise = standard_normal((num_samples, len(TRAIN), 2), generator(1))
    return parameters, zero_moments(parameters), adam_coefficients(count, 0.01, TRAIN), TRAIN, noise


def flat(thing):
    """Every tensor inside nested tuples and dictionaries, in order."""
    if isinstance(thing, torch.Tensor):
        return [thing]
    parts = thing.values() if isinstance(thing, dict) else thing
    return [tensor for part in parts for tensor in flat(part)]


@pytest.mark.equation("eq-adam")
@pytest.mark.parametrize("encoder", [DiagonalEncoder, FullEncoder])
@pytest.mark.parametrize("objective", [negative_elbo, distortion])
@pytest.mark.parametrize("num_samples", [1, 3])
def test_steps_are_those_of_torch_adam(encoder, objective, num_samples):
    model, oracle = small(encoder), small(encoder)
    optimiser = torch.optim.Adam(oracle.parameters(), lr=0.02)
    step = make_step(model, objective)
    parameters, moments, *_ = ingredients(model)
    for count in range(1, 13):
        noise = standard_normal((num_samples, len(TRAIN), 2), generator(count))
        coefficients = adam_coefficients(count, 0.02, TRAIN)
        parameters, moments, bound = step(parameters, moments, coefficients, TRAIN, noise)
        optimiser.zero_grad()
        expected = oracle(TRAIN, noise)
        kl = expected.kl if objective is negative_elbo else 0.0
        (kl - expected.log_likelihood).mean().backward()
        optimiser.step()
        torch.testing.assert_close(bound.elbo, expected.elbo.detach())
    for name, expected in oracle.named_parameters():
        torch.testing.assert_close(parameters[name], expected.detach(), rtol=1e-9, atol=1e-10)
        state = optimiser.state[expected]
        torch.testing.assert_close(moments.first[name], state["exp_avg"])
        torch.testing.assert_close(moments.second[name], state["exp_avg_sq"])


def test_a_step_is_pure():
    model = small()
    weights = copy.deepcopy(model.state_dict())
    parameters, _, *rest = ingredients(model)
    moments = Moments(*({n: p.square() + 0.1 for n, p in parameters.items()} for _ in range(2)))
    given = (parameters, moments, *rest)
    copies = [tensor.clone() for tensor in flat(given)]
    state = torch.get_rng_state()
    step = make_step(model, negative_elbo)
    first, second = step(*given), step(*given)
    assert all(torch.equal(a, b) for a, b in zip(flat(first), flat(second), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(flat(given), copies, strict=True))
    assert all(torch.equal(model.state_dict()[name], value) for name, value in weights.items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(tensor.requires_grad for tensor in flat(first))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("objective", [negative_elbo, distortion])
def test_gradients_are_those_of_backward(objective):
    model, oracle = small(), small()
    parameters, _, _, batch, noise = ingredients(model)
    seen, bound = make_gradients(model, objective)(parameters, batch, noise)
    expected = oracle(batch, noise)
    kl = expected.kl if objective is negative_elbo else 0.0
    (kl - expected.log_likelihood).mean().backward()
    for name, parameter in oracle.named_parameters():
        torch.testing.assert_close(seen[name], parameter.grad)
    torch.testing.assert_close(bound.elbo, expected.elbo.detach())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_step_moves_every_parameter():
    given = ingredients(small())
    updated = make_step(small(), negative_elbo)(*given).parameters
    assert updated.keys() == given[0].keys()
    assert not any(torch.equal(updated[name], given[0][name]) for name in updated)


def test_a_step_can_be_captured_as_one_graph():
    model = small()
    step = make_step(model, negative_elbo)
    captured = torch.compile(step, backend="aot_eager", fullgraph=True)
    given = ingredients(model)
    for seen, expected in zip(flat(captured(*given)), flat(step(*given)), strict=True):
        torch.testing.assert_close(seen, expected)


@pytest.mark.equation("eq-objective", "eq-rate-distortion")
def test_objectives_average_over_the_batch():
    bound = Bound(torch.tensor([1.0, 5.0]), torch.tensor([4.0, 6.0]), torch.tensor([3.0, 1.0]))
    assert negative_elbo(bound).item() == -3.0
    assert distortion(bound).item() == -5.0


@pytest.mark.equation("eq-rate-distortion")
def test_the_two_terms_are_those_of_torch_distributions():
    model, noise = small(), standard_normal((3, len(TRAIN), 2), generator(6))
    posterior = model.encoder(TRAIN)
    deviation = (0.5 * posterior.log_variance).exp()
    q = Normal(posterior.mean, deviation)
    decoded = model.decoder(posterior.mean + deviation * noise)  # (3, 40, 64)
    scores = Normal(decoded, math.sqrt(0.1)).log_prob(TRAIN).sum(-1)  # (3, 40)
    rate = kl_divergence(q, Normal(torch.zeros(2).double(), torch.ones(2).double())).sum(-1)
    bound = model(TRAIN, noise)
    torch.testing.assert_close(distortion(bound), -scores.mean())
    torch.testing.assert_close(negative_elbo(bound) - distortion(bound), rate.mean())


@pytest.mark.equation("vae10")
def test_with_unit_noise_training_minimises_what_the_derivation_ends_with():
    """Twice the objective and the braces of vae10 differ by a constant: equal gradients."""
    model = small(variance=FixedVariance(1.0))
    noise = standard_normal((3, len(TRAIN), 2), generator(7))
    posterior = model.encoder(TRAIN)
    mean, variance = posterior.mean, posterior.log_variance.exp()
    decoded = model.decoder(mean + variance.sqrt() * noise)  # (3, 40, 64)
    braces = (TRAIN - decoded).square().sum(-1).mean(0) + variance.sum(-1)
    braces = braces + mean.square().sum(-1) - variance.log().sum(-1)  # (40,)
    objective = negative_elbo(model(TRAIN, noise))  # ()
    weights = list(model.parameters())
    expected = torch.autograd.grad(braces.mean(), weights, retain_graph=True)
    for seen, slope in zip(torch.autograd.grad(objective, weights), expected, strict=True):
        torch.testing.assert_close(2 * seen, slope)
    constant = 2 / 2 - 64 / 2 * math.log(2 * math.pi)
    torch.testing.assert_close(2 * (objective + constant), braces.mean())


@pytest.mark.equation("eq-exchange")
@pytest.mark.parametrize("weight", [2 / 64, 1 / 64, 1.0, 0.00025])
def test_a_weight_on_the_kl_is_a_noise_level(weight):
    variance = weight * 64 / 2
    model = small(variance=FixedVariance(variance))
    noise = standard_normal((3, len(TRAIN), 2), generator(8))
    posterior = model.encoder(TRAIN)
    decoded = model.decoder(posterior.mean + (0.5 * posterior.log_variance).exp() * noise)
    q = Normal(posterior.mean, (0.5 * posterior.log_variance).exp())
    rate = kl_divergence(q, Normal(torch.zeros(2).double(), torch.ones(2).double())).sum(-1)
    loss = (TRAIN - decoded).square().mean() + weight * rate.mean()
    bound = model(TRAIN, noise).elbo.mean()
    expected = weight * (-bound - 32 * math.log(2 * math.pi * variance))
    torch.testing.assert_close(loss, expected)


@pytest.mark.equation("eq-objective")
def test_fit_is_the_familiar_loop():
    draws, oracle = generator(5), small()
    optimiser = torch.optim.Adam(oracle.parameters(), lr=0.01)
    records = []
    for _ in range(2):
        terms = []
        for batch in minibatches(TRAIN, 15, draws):
            noise = standard_normal((1, 15, 2), draws)
            optimiser.zero_grad()
            bound = oracle(batch, noise)
            (-bound.elbo.mean()).backward()
            optimiser.step()
            terms.append([term.mean().item() for term in bound])
        records.append(torch.tensor(terms, dtype=torch.float64).mean(0))
    fitted = fit(small(), TRAIN, generator=generator(5), **SETTINGS)
    for name, expected in oracle.named_parameters():
        seen = fitted.model.get_parameter(name).detach()
        torch.testing.assert_close(seen, expected.detach(), rtol=1e-9, atol=1e-10)
    assert [record.epoch for record in fitted.history] == [1, 2]
    for record, expected in zip(fitted.history, records, strict=True):
        assert list(record[1:]) == pytest.approx(expected.tolist())


def test_fit_leaves_the_model_and_the_global_generator_alone():
    model, state = small(), torch.get_rng_state()
    before = copy.deepcopy(model.state_dict())
    fitted = fit(model, TRAIN, generator=generator(0), **SETTINGS)
    assert fitted.model is not model
    for name, value in before.items():
        assert torch.equal(model.state_dict()[name], value)
        assert not torch.equal(fitted.model.state_dict()[name], value)
    assert torch.equal(state, torch.get_rng_state())


def test_fit_is_fixed_by_its_seed():
    runs = [fit(small(), TRAIN, generator=generator(s), **SETTINGS) for s in (0, 0, 1)]
    weights = [[p.detach() for p in run.model.parameters()] for run in runs]
    assert all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert runs[0].history == runs[1].history
    assert runs[0].history != runs[2].history


def test_a_fixed_variance_survives_training():
    fitted = fit(small(variance=FixedVariance(0.2)), TRAIN, generator=generator(0), **SETTINGS)
    assert fitted.model.likelihood.variance(TRAIN).exp().item() == pytest.approx(0.2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_raises_the_bound_in_either_precision(dtype):
    model, x = small().to(dtype), TRAIN.to(dtype)
    choice = SETTINGS | {"epochs": 20}
    fitted = fit(model, x, generator=generator(0), **choice)
    assert {parameter.dtype for parameter in fitted.model.parameters()} == {dtype}
    before, after = (average_bound(m, x, 5, generator(2)) for m in (model, fitted.model))
    assert after.elbo.mean() > before.elbo.mean() + 5


def test_a_learned_variance_reaches_the_mean_squared_error():
    weights = generator(3)
    decoder = network([2, 64], weights)
    nn.init.zeros_(decoder[0].weight)
    model = VAE(DiagonalEncoder(64, 4, 2, weights), decoder, GaussianPixels(SharedVariance(1.0)))
    model = model.double()
    for parameter in model.encoder.parameters():
        nn.init.zeros_(parameter)  # z carries nothing, so the best f(z) is the mean image
    choice = {"epochs": 600, "batch_size": 40, "learning_rate": 0.02}
    fitted = fit(model, TRAIN, generator=generator(4), **choice).model
    expected = float(TRAIN.var(0, correction=0).mean())
    assert fitted.likelihood.variance.log_variance.exp().item() == pytest.approx(expected, rel=0.01)


def test_average_bound_is_that_of_torch_distributions_and_needs_no_gradient():
    model = small()
    seen = average_bound(model, TRAIN, 6, generator(8))
    with torch.no_grad():
        mean, log_variance = model.encoder.network(TRAIN).chunk(2, -1)  # (40, 2) each
        q = Normal(mean, log_variance.exp().sqrt())
        decoded = model.decoder(q.mean + q.stddev * standard_normal((6, 40, 2), generator(8)))
        deviation = model.likelihood.variance.log_variance.exp().sqrt()
        score = Normal(decoded, deviation).log_prob(TRAIN).sum(-1).mean(0)  # (40,)
    rate = kl_divergence(q, Normal(torch.zeros_like(mean), torch.ones_like(mean))).sum(-1)
    torch.testing.assert_close(seen.log_likelihood, score)
    torch.testing.assert_close(seen.kl, rate)
    torch.testing.assert_close(seen.elbo, score - rate)
    assert not any(term.requires_grad for term in seen)
    assert all(term.shape == (40,) for term in seen)
    with pytest.raises(ValueError, match="noise is empty"):
        average_bound(model, TRAIN, 0, generator(8))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"epochs": 0}, ValueError, "epochs must be at least 1"),
        ({"epochs": 1.5}, TypeError, "epochs must be a whole number"),
        ({"batch_size": 41}, ValueError, "batch_size must be at most the number of images, 40"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be positive"),
        ({"learning_rate": float("inf")}, ValueError, "learning_rate must be positive and finite"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must be positive and finite"),
        ({"objective": "elbo"}, TypeError, "objective must be a function, got 'elbo'"),
        ({"images": TRAIN[:, :63]}, ValueError, "last axis of x must be 64"),
        ({"images": (16 * TRAIN).long()}, TypeError, "images must be floating point"),
        ({"images": TRAIN * float("nan")}, ValueError, "images must be finite"),
        ({"images": TRAIN[:0]}, ValueError, "images is empty"),
        ({"images": TRAIN.float()}, TypeError, "x is torch.float32, but .* are torch.float64"),
        ({"generator": None}, TypeError, "generator must be a torch.Generator, got None"),
    ],
)
def test_fit_names_what_is_wrong(change, error, words):
    arguments = {"images": TRAIN, "generator": generator(0)} | SETTINGS | change
    with pytest.raises(error, match=words):
        fit(small(), **arguments)


def test_a_last_step_that_leaves_no_numbers_is_an_error_as_well():
    """No bound is computed after it. The slope of a root at zero is infinite, times zero."""
    choice = {"epochs": 1, "batch_size": 40, "generator": generator(0)}
    choice |= {"learning_rate": 0.01, "objective": lambda bound: (0 * bound.elbo).sqrt().mean()}
    with pytest.raises(ValueError, match="after step 1 must be finite"):
        fit(small(), TRAIN, **choice)


def test_a_rate_that_the_precision_cannot_hold_is_an_error_before_the_first_step():
    choice = SETTINGS | {"epochs": 1, "learning_rate": 1e39, "generator": generator(0)}
    with pytest.raises(ValueError, match="learning_rate must be positive and finite, got 1e\\+39"):
        fit(small().float(), TRAIN.float(), **choice)


def test_an_epoch_without_a_batch_is_named():
    model = small()
    with pytest.raises(ValueError, match="an epoch needs at least one batch"):
        run_epoch(make_step(model, negative_elbo), initial_state(model), [], 0.01)


def test_a_bound_needs_a_generator():
    with pytest.raises(TypeError, match=r"must be a torch.Generator, got None"):
        average_bound(small(), TRAIN, 2, None)


def test_a_run_that_diverges_stops_with_an_error():
    with pytest.raises(ValueError, match="must be finite"):
        fit(small(), TRAIN, generator=generator(0), **SETTINGS | {"learning_rate": 1e300})
