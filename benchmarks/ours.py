"""Contender: this book's own package, in its own environment."""

from collections.abc import Callable

import torch
from torch import nn

from job import BATCH, HIDDEN, LATENT, LEARNING_RATE, PIXELS, Weights
from protocol import Contender, Task, serve
from vae_tutorial.importance import estimate_log_likelihood, make_weigh
from vae_tutorial.likelihoods import BernoulliPixels
from vae_tutorial.models import VAE, DiagonalEncoder, network
from vae_tutorial.noise import generator
from vae_tutorial.scaling import batches, compiled, in_place
from vae_tutorial.training import Step, initial_state, make_step, negative_elbo, run_epoch

NAMES = {  # in the job, and in the model, whose encoder has one last layer for both heads
    "encoder_hidden": "encoder.network.0",
    "decoder_hidden": "decoder.0",
    "decoder_logits": "decoder.2",
}
HEADS, LAST = ("encoder_mean", "encoder_log_variance"), "encoder.network.2"


def build(weights: Weights) -> VAE:
    """The architecture of the job, with its weights."""
    random = generator(0)
    encoder = DiagonalEncoder(PIXELS, HIDDEN, LATENT, random, nn.ReLU)
    model = VAE(encoder, network([LATENT, HIDDEN, PIXELS], random, nn.ReLU), BernoulliPixels())
    given = {name: torch.from_numpy(value) for name, value in weights.items()}
    named = {}
    for kind in ("weight", "bias"):
        named[f"{LAST}.{kind}"] = torch.cat([given[f"{head}.{kind}"] for head in HEADS])
        named |= {f"{ours}.{kind}": given[f"{name}.{kind}"] for name, ours in NAMES.items()}
    model.load_state_dict(named)
    return model


def fast(step: Step) -> Step:
    """The engine: written in place, compiled as one graph."""
    return compiled(in_place(step))


def training(task: Task, engine: Callable[[Step], Step] = fast, *, flush: bool = True) -> Contender:
    """The book's own loop, its step as `engine` gives it."""
    torch.set_flush_denormal(flush)  # dead units leave tiny moments, with which sums may be slow
    images, random = torch.from_numpy(task.images).float(), generator(0)
    model = build(task.weights)
    step = engine(make_step(model, negative_elbo))
    state = initial_state(model)
    sizes = {"batch_size": BATCH, "latent": LATENT, "num_samples": 1}

    def epoch() -> float:
        nonlocal state
        pairs = batches(images, **sizes, generator=random, binary=False)
        state, means = run_epoch(step, state, pairs, LEARNING_RATE)
        return -means.elbo.mean().item()

    def weights() -> Weights:
        named = {}
        for kind in ("weight", "bias"):
            halves = state.parameters[f"{LAST}.{kind}"].chunk(2)
            named |= {f"{h}.{kind}": half.numpy() for h, half in zip(HEADS, halves, strict=True)}
            for name, ours in NAMES.items():
                named[f"{name}.{kind}"] = state.parameters[f"{ours}.{kind}"].numpy()
        return named

    return Contender(epoch, weights)


def evaluation(task: Task) -> Contender:
    torch.set_flush_denormal(True)
    images, random = torch.from_numpy(task.images).float(), generator(0)
    model = build(task.weights).requires_grad_(False)
    weigh = compiled(make_weigh(model))

    def evaluate() -> float:
        estimate = estimate_log_likelihood(model, images, task.samples, random, weigh)
        return estimate[0].mean().item()

    return Contender(evaluate)


if __name__ == "__main__":
    serve("torch", training=training, evaluation=evaluation)
