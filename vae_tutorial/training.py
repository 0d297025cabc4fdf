"""Training as one pure function of parameters, optimiser moments, batch and noise; and its loop."""

import copy
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from vae_tutorial.arguments import require_count, require_event
from vae_tutorial.bounds import Bound
from vae_tutorial.data import minibatches
from vae_tutorial.experiment import standard_normal

DECAY = (0.9, 0.999)  # how much of the old moments Adam keeps
EPSILON = 1e-8

Tensors = dict[str, Tensor]  # one entry a parameter, by its name in the model
Objective = Callable[[Bound], Tensor]


class Moments(NamedTuple):
    """Adam's running averages of the gradient and of its square, shaped like the parameters."""

    first: Tensors
    second: Tensors


class Update(NamedTuple):
    """What a step returns; the bound is the batch's under the parameters before the step."""

    parameters: Tensors
    moments: Moments
    bound: Bound


class Epoch(NamedTuple):
    """Means over an epoch's batches, each before its step, in nats; elbo = log_likelihood − kl."""

    epoch: int
    elbo: float
    log_likelihood: float
    kl: float


class Fitted(NamedTuple):
    """A trained copy of the model, and one record an epoch."""

    model: nn.Module
    history: list[Epoch]


def negative_elbo(bound: Bound) -> Tensor:
    """What a VAE minimises: minus the bound, averaged over the batch. Book: eq-objective, vae10."""
    return -bound.elbo.mean()


def distortion(bound: Bound) -> Tensor:
    """What an autoencoder minimises: minus log p(x|z) alone, (). Book: eq-rate-distortion."""
    return -bound.log_likelihood.mean()


def zero_moments(parameters: Tensors) -> Moments:
    """Where both of Adam's averages start. Book: eq-adam."""
    return Moments(*({n: torch.zeros_like(p) for n, p in parameters.items()} for _ in range(2)))


def bias_corrections(count: int, like: Tensor) -> Tensor:
    """What Adam's averages, begun at zero, are divided by at step `count` ≥ 1. Book: eq-adam."""
    require_count("count", count)
    return like.new_tensor([1 - decay**count for decay in DECAY])


def make_step(
    model: nn.Module, objective: Objective, learning_rate: float
) -> Callable[[Tensors, Moments, Tensor, Tensor, Tensor], Update]:
    """The pure step(parameters, moments, corrections, batch, noise) → Update.

    It changes none of its arguments and draws no random number. Raises TypeError
    unless `objective` is a function, ValueError unless the rate is positive.
    Source: Kingma & Ba 2015, algorithm 1. Book: eq-adam.
    """
    if not callable(objective):
        raise TypeError(f"objective must be a function, got {objective!r}")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate must be positive and finite, got {learning_rate}")

    def loss(parameters, batch, noise):
        bound = functional_call(model, parameters, (batch, noise))
        return objective(bound), bound

    def step(parameters, moments, corrections, batch, noise):
        differentiate = grad_and_value(loss, has_aux=True)
        gradients, (_, bound) = differentiate(parameters, batch, noise)
        updated, first, second = {}, {}, {}
        for name, g in gradients.items():
            m, v = moments.first[name], moments.second[name]
            first[name] = m = DECAY[0] * m + (1 - DECAY[0]) * g
            second[name] = v = DECAY[1] * v + (1 - DECAY[1]) * g.square()
            shift = m / corrections[0] / ((v / corrections[1]).sqrt() + EPSILON)
            updated[name] = parameters[name] - learning_rate * shift
        return Update(updated, Moments(first, second), bound)

    return step


def fit(
    model: nn.Module,
    images: Tensor,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
    objective: Objective = negative_elbo,
) -> Fitted:
    """Train a copy of `model` on images (n, pixels), with one noise draw an image a step.

    Raises ValueError or TypeError on bad input, and ValueError once the bound is not finite.
    Source: Kingma & Welling 2014, algorithm 1. Book: eq-objective.
    """
    require_event("images", images)
    require_count("epochs", epochs)
    step = make_step(model, objective, learning_rate)
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    moments, history, count = zero_moments(parameters), [], 0
    for epoch in range(1, epochs + 1):
        averages = []
        for batch in minibatches(images, batch_size, generator):
            count += 1
            noise = standard_normal((1, len(batch), model.encoder.latent), generator, like=batch)
            corrections = bias_corrections(count, batch)
            parameters, moments, bound = step(parameters, moments, corrections, batch, noise)
            averages.append(torch.stack([term.mean() for term in bound]))  # (3,)
        history.append(Epoch(epoch, *torch.stack(averages).double().mean(0).tolist()))
    fitted = copy.deepcopy(model)
    fitted.load_state_dict({**model.state_dict(), **parameters})
    return Fitted(fitted, history)


@torch.no_grad()
def average_bound(
    model: nn.Module, images: Tensor, num_samples: int, generator: torch.Generator
) -> Bound:
    """The bound of each image, a Bound of (n,) in nats, from `num_samples` draws. Book: vae8."""
    shape = (num_samples, len(images), model.encoder.latent)
    return model(images, standard_normal(shape, generator, like=images))
