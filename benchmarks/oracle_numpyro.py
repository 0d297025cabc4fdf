"""What numpyro's `RenyiELBO` and `Trace_ELBO` report on the oracle, where numpyro is installed.

    PYTHONPATH=. python benchmarks/oracle_numpyro.py [--mnist FILE] [NAME …]

The environment also needs safetensors, scikit-learn and torch (for the provenance alone). With
α = 0 the former is the importance-weighted bound; float64; an image at a time.
"""

import argparse
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro import distributions as dist
from numpyro.infer import RenyiELBO, Trace_ELBO

from oracle_rows import cases, keep
from vae_tutorial import oracle

SAMPLES = 1000


def through(layers: list, x: jax.Array) -> jax.Array:
    for index, (weight, bias) in enumerate(layers):
        x = (jnp.tanh(x) if index else x) @ weight.T + bias
    return x


def model(of: oracle.Model, x: jax.Array) -> None:
    z = numpyro.sample("z", dist.Normal(jnp.zeros(of.latent), 1).to_event(1))
    if of.fold is not None:
        z = jnp.concatenate([jnp.cos(of.fold * z), jnp.sin(of.fold * z)])
    decoded = through(of.decoder, z)
    if of.log_variance is None:
        pixels = dist.Bernoulli(logits=decoded)
    else:
        pixels = dist.Normal(decoded, np.exp(of.log_variance / 2))
    numpyro.sample("x", pixels.to_event(1), obs=x)


def guide(of: oracle.Model, x: jax.Array) -> None:
    mean, log_variance = jnp.split(through(of.encoder, x), 2)
    numpyro.sample("z", dist.Normal(mean, jnp.exp(log_variance / 2)).to_event(1))


def estimate(objective, case: oracle.Case, x: np.ndarray) -> np.ndarray:
    """Minus the loss of each image."""

    @jax.jit
    def one(key, image):
        own = (partial(part, case.model) for part in (model, guide))
        return -objective.loss(key, {}, *own, image)

    keys = jax.random.split(jax.random.PRNGKey(0), len(x))
    return np.array([one(key, image) for key, image in zip(keys, jnp.asarray(x), strict=True)])


OBJECTIVES = {
    f"RenyiELBO, alpha = 0, num_particles = {SAMPLES:,}": RenyiELBO(0, SAMPLES),
    f"Trace_ELBO, num_particles = {SAMPLES:,}": Trace_ELBO(SAMPLES),
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=oracle.NAMES, help="cases (all)")
    parser.add_argument("--mnist", type=Path)
    options = parser.parse_args()
    numpyro.enable_x64()
    for case, x in cases(options.names, options.mnist):
        for name, objective in OBJECTIVES.items():
            keep("numpyro", name, case, estimate(objective, case, x))
