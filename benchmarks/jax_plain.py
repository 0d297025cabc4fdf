"""Contender: plain JAX, as fast as it can honestly be made.

Training: a whole epoch is one jitted `lax.scan` with optax's Adam, its buffers donated.
Evaluation: encode each image once, then decode its samples in chunks, all in one jitted call.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax, random
from jax.scipy.special import logsumexp

from job import BATCH, LATENT, LEARNING_RATE, Weights
from protocol import Contender, Task, serve


def load(weights: Weights) -> dict[str, jax.Array]:
    return {name: jnp.asarray(value.T) for name, value in weights.items()}  # (inputs, outputs)


def dense(parameters, name, x):
    return x @ parameters[f"{name}.weight"] + parameters[f"{name}.bias"]


def encode(parameters, x):
    hidden = jax.nn.relu(dense(parameters, "encoder_hidden", x))
    return dense(parameters, "encoder_mean", hidden), dense(
        parameters, "encoder_log_variance", hidden
    )


def decode(parameters, z):
    hidden = jax.nn.relu(dense(parameters, "decoder_hidden", z))
    return dense(parameters, "decoder_logits", hidden)


def negative_elbo(parameters, x, noise):
    mean, log_variance = encode(parameters, x)
    logits = decode(parameters, mean + jnp.exp(0.5 * log_variance) * noise)
    log_likelihood = (x * logits - jax.nn.softplus(logits)).sum(-1)  # (batch,)
    kl = 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance).sum(-1)  # (batch,)
    return (kl - log_likelihood).mean()


def training(task: Task) -> Contender:
    images = jnp.asarray(task.images, jnp.float32)
    steps = len(images) // BATCH
    adam = optax.adam(LEARNING_RATE)
    parameters = load(task.weights)
    moments, key = adam.init(parameters), random.key(0)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def train(parameters, moments, key, images):
        order_key, noise_key = random.split(key)
        order = random.permutation(order_key, len(images))[: steps * BATCH]
        noise = random.normal(noise_key, (steps, BATCH, LATENT))

        def step(carried, drawn):
            parameters, moments = carried
            index, noise = drawn
            loss, gradient = jax.value_and_grad(negative_elbo)(parameters, images[index], noise)
            updates, moments = adam.update(gradient, moments, parameters)
            return (optax.apply_updates(parameters, updates), moments), loss

        drawn = (order.reshape(steps, BATCH), noise)
        (parameters, moments), losses = lax.scan(step, (parameters, moments), drawn)
        return parameters, moments, losses.mean()

    def epoch() -> float:
        nonlocal parameters, moments, key
        key, drawn = random.split(key)
        parameters, moments, loss = jax.block_until_ready(train(parameters, moments, drawn, images))
        return float(loss)

    def weights() -> Weights:
        return {name: np.asarray(value).T for name, value in parameters.items()}

    return Contender(epoch, weights)


def evaluation(task: Task) -> Contender:
    images, parameters = jnp.asarray(task.images, jnp.float32), load(task.weights)
    chunks, key = task.samples // task.chunk, random.key(0)

    @jax.jit
    def log_likelihood(parameters, images, key):
        def log_weights(x, mean, log_variance, key):  # of one chunk: (chunk,)
            noise = random.normal(key, (task.chunk, LATENT))
            z = mean + jnp.exp(0.5 * log_variance) * noise  # (chunk, latent)
            logits = decode(parameters, z)  # (chunk, pixels)
            log_likelihood = logits @ x - jax.nn.softplus(logits).sum(-1)
            return log_likelihood + 0.5 * (noise**2 - z**2 + log_variance).sum(-1)

        def one(drawn):
            x, mean, log_variance, key = drawn
            sums = lax.map(
                lambda key: logsumexp(log_weights(x, mean, log_variance, key)),
                random.split(key, chunks),
            )
            return logsumexp(sums) - jnp.log(chunks * task.chunk)

        keys = random.split(key, len(images))
        return lax.map(one, (images, *encode(parameters, images), keys)).mean()

    def evaluate() -> float:
        nonlocal key
        key, drawn = random.split(key)
        return float(log_likelihood(parameters, images, drawn))

    return Contender(evaluate)


if __name__ == "__main__":
    serve("jax", "optax", training=training, evaluation=evaluation)
