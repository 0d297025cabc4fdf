"""Training as one pure function of parameters, optimiser moments, batch and noise; and its loop."""

import copy
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from vae_tutorial import require
from vae_tutorial.adam import (
    Coefficients,
    Moments,
    Tensors,
    adam,
    adam_coefficients,
    zero_moments,
)
from vae_tutorial.bounds import Bound
from vae_tutorial.data import minibatches, with_noise
from vae_tutorial.models import VAE
from vae_tutorial.noise import standard_normal

Objective = Callable[[Any], Tensor]  # of what the model returns: a Bound, or one with more terms


class Update(NamedTuple):
    """What a step returns; the bound is the batch's under the parameters before the step."""

    parameters: Tensors
    moments: Moments
    bound: Bound


Gradients = Callable[[Tensors, Tensor, Tensor], tuple[Tensors, Bound]]
Step = Callable[[Tensors, Moments, Coefficients, Tensor, Tensor], Update]


class State(NamedTuple):
    """Where training stands: the parameters, Adam's moments, and the number of steps so far."""

    parameters: Tensors
    moments: Moments
    steps: int


class Epoch(NamedTuple):
    """Means over an epoch's batches, each before its step, in nats."""

    # The fields of a Bound stand here once more, as floats: a record is one flat row of a table.
    epoch: int
    elbo: float
    log_likelihood: float
    kl: float


class Fitted(NamedTuple):
    """A trained copy of the model, and one record an epoch."""

    model: VAE
    history: list[Epoch]


def negative_elbo(bound: Bound) -> Tensor:
    """What a VAE minimises: minus the bound, averaged over the batch. Book: eq-objective, vae10."""
    return -bound.elbo.mean()


def distortion(bound: Bound) -> Tensor:
    """What an autoencoder minimises: minus log p(x|z) alone, (). Book: eq-rate-distortion."""
    return -bound.log_likelihood.mean()


def initial_state(model: nn.Module) -> State:
    """The state before the first step: a copy of the model's parameters, and zero moments."""
    parameters = {name: value.detach().clone() for name, value in model.named_parameters()}
    return State(parameters, zero_moments(parameters), 0)


def make_gradients(model: nn.Module, objective: Objective) -> Gradients:
    """Make the pure gradients(parameters, batch, noise) → (gradients of the objective, Bound).

    Raises TypeError unless `objective` is a function.
    """
    if not callable(objective):
        raise TypeError(f"objective must be a function, got {objective!r}")

    def loss(parameters, batch, noise):
        bound = functional_call(model, parameters, (batch, noise))
        return objective(bound), bound

    def gradients(parameters, batch, noise):
        differentiate = grad_and_value(loss, has_aux=True)
        slopes, (_, bound) = differentiate(parameters, batch, noise)
        return slopes, bound

    return gradients


def make_step(model: nn.Module, objective: Objective) -> Step:
    """Make the pure step(parameters, moments, coefficients, batch, noise) → Update.

    It changes none of its arguments and draws no random number.
    Raises TypeError unless `objective` is a function. Book: eq-adam.
    """
    differentiate = make_gradients(model, objective)

    def step(parameters, moments, coefficients, batch, noise):
        gradients, bound = differentiate(parameters, batch, noise)
        return Update(*adam(parameters, moments, gradients, coefficients), bound)

    return step


def run_epoch(
    step: Step, state: State, batches: Iterable[tuple[Tensor, Tensor]], learning_rate: float
) -> tuple[State, Bound]:
    """One step for each pair of a batch and its noise; the bound's terms are (steps,) means, nats.

    It waits for no number. Raises ValueError if there is no batch, and, with the step's number,
    where the model refuses its input.
    """
    parameters, moments, done = state
    bounds = []
    for count, (batch, noise) in enumerate(batches, done + 1):
        coefficients = adam_coefficients(count, learning_rate, batch)
        try:
            parameters, moments, bound = step(parameters, moments, coefficients, batch, noise)
        except ValueError as error:
            raise ValueError(f"step {count}: {error}") from error
        bounds.append(bound)
    if not bounds:
        raise ValueError("an epoch needs at least one batch, got none")
    # The batch's terms (batch,) become one number a step, and all steps one tensor: (steps,) each.
    means = type(bound)(*(torch.stack(term).mean(-1) for term in zip(*bounds, strict=True)))
    return State(parameters, moments, done + len(bounds)), means


def fit(
    model: VAE,
    images: Tensor,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
    objective: Objective = negative_elbo,
) -> Fitted:
    """Train a copy of `model` on images (n, pixels), with one noise draw an image a step.

    Raises ValueError once the bound or a parameter is not finite.
    Source: Kingma & Welling 2014, algorithm 1. Book: eq-objective.

    >>> from vae_tutorial.likelihoods import GaussianPixels, SharedVariance
    >>> from vae_tutorial.models import VAE, DiagonalEncoder, network
    >>> random = torch.Generator().manual_seed(0)
    >>> encoder, decoder = DiagonalEncoder(64, 16, 2, random), network([2, 16, 64], random)
    >>> model = VAE(encoder, decoder, GaussianPixels(SharedVariance(0.1)))
    >>> settings = {"epochs": 3, "batch_size": 10, "learning_rate": 0.01}
    >>> fitted, history = fit(model, torch.zeros(50, 64), generator=random, **settings)
    >>> [record.epoch for record in history], history[-1].elbo > history[0].elbo
    ([1, 2, 3], True)
    """
    require.event("images", images)
    require.count("epochs", epochs)
    require.generator(generator)
    step = make_step(model, objective)
    state, history = initial_state(model), []
    for epoch in range(1, epochs + 1):
        batches = minibatches(images, batch_size, generator)
        pairs = with_noise(batches, model.encoder.latent, 1, generator)
        state, means = run_epoch(step, state, pairs, learning_rate)
        history.append(Epoch(epoch, *(term.double().mean().item() for term in means)))
    # The next bound would tell of a step that went too far; after the last step there is none.
    for name, value in state.parameters.items():
        require.finite(f"{name} after step {state.steps}", value)
    fitted = copy.deepcopy(model)
    fitted.load_state_dict({**model.state_dict(), **state.parameters})
    return Fitted(fitted, history)


@torch.no_grad()
def average_bound(
    model: VAE, images: Tensor, num_samples: int, generator: torch.Generator
) -> Bound:
    """The bound of each image, a Bound of (n,) in nats, from `num_samples` draws. Book: vae8."""
    require.generator(generator)
    shape = (num_samples, len(images), model.encoder.latent)
    return model(images, standard_normal(shape, generator, like=images))
