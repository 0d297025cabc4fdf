"""Contender: numpyro's own VAE example (`examples/vae.py`) with our architecture.

Its habits are kept: a model and a guide, SVI, and an epoch as one jitted `fori_loop`. Logits and
the closed-form KL stand where the example has probabilities and a sampled KL: both are
numpyro's own, neither is slower, and the loss is the others'.
"""

import jax
import jax.numpy as jnp
import numpyro
from jax import lax, random
from numpyro import distributions as dist
from numpyro.infer import SVI, TraceMeanField_ELBO
from numpyro.optim import Adam

from job import BATCH, LATENT, LEARNING_RATE
from protocol import Contender, Task, serve


def dense(parameters, name, x):
    return x @ parameters[f"{name}.weight"] + parameters[f"{name}.bias"]


def model(batch, initial):
    decoder = numpyro.param("decoder", initial["decoder"])
    with numpyro.plate("batch", len(batch)):
        z = numpyro.sample("z", dist.Normal(0, 1).expand([LATENT]).to_event(1))
        hidden = jax.nn.relu(dense(decoder, "decoder_hidden", z))
        logits = dense(decoder, "decoder_logits", hidden)
        numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=batch)


def guide(batch, initial):
    encoder = numpyro.param("encoder", initial["encoder"])
    hidden = jax.nn.relu(dense(encoder, "encoder_hidden", batch))
    mean = dense(encoder, "encoder_mean", hidden)
    deviation = jnp.exp(0.5 * dense(encoder, "encoder_log_variance", hidden))
    with numpyro.plate("batch", len(batch)):
        numpyro.sample("z", dist.Normal(mean, deviation).to_event(1))


def training(task: Task) -> Contender:
    initial = {"encoder": {}, "decoder": {}}
    for name, value in task.weights.items():
        initial[name.split("_")[0]][name] = jnp.asarray(value.T)  # (inputs, outputs)
    images = jnp.asarray(task.images, jnp.float32)
    steps = len(images) // BATCH
    svi = SVI(model, guide, Adam(LEARNING_RATE), TraceMeanField_ELBO())
    state = svi.init(random.PRNGKey(0), images[:BATCH], initial)

    @jax.jit
    def train(state, images, order):
        def step(index, carried):
            total, state = carried
            batch = images[lax.dynamic_slice_in_dim(order, index * BATCH, BATCH)]
            state, loss = svi.update(state, batch, initial)
            return total + loss, state

        return lax.fori_loop(0, steps, step, (0.0, state))

    key = random.PRNGKey(1)

    def epoch() -> float:
        nonlocal state, key
        key, drawn = random.split(key)
        order = random.permutation(drawn, len(images))
        total, state = jax.block_until_ready(train(state, images, order))
        return float(total) / (steps * BATCH)

    return Contender(epoch)


if __name__ == "__main__":
    serve("numpyro", "jax", training=training)
