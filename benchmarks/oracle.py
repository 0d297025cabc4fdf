"""What this package's own estimators report on the oracle: `python benchmarks/oracle.py [NAME …]`.

Each estimator runs once on each image of each case, with a seed of its own; a few minutes a case on
one thread. With `--mnist FILE`, the path of t10k-images-idx3-ubyte.gz, the case `mnist` too. Rows
go to `book/results/oracle.json`, where the scripts `oracle_*.py` add those of other packages.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from oracle_rows import cases, keep
from vae_tutorial import oracle
from vae_tutorial.annealing import AnnealingPath, anneal, tune_step_sizes
from vae_tutorial.marginal_likelihood import prior_monte_carlo
from vae_tutorial.models import VAE, log_prior
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.oracle import recipes
from vae_tutorial.weights import importance_weighted_bound

DRAWS = 1000  # of the bound, and of the prior
CHAINS, PILOT = 16, 4  # of annealing, an image
TEMPERATURES = 100
LEAPFROG = 5
CURVE = 4  # temperatures are i ** CURVE / T ** CURVE: most lie near the start


def elbo(model: VAE, x: Tensor) -> Tensor:
    """The average of log-weights: (n,)."""
    return _log_weights(model, x, DRAWS).mean(0)


def weighted(num_samples: int):
    """The log of the average of K weights, once an image."""

    def estimate(model: VAE, x: Tensor) -> Tensor:
        return importance_weighted_bound(_log_weights(model, x, num_samples))

    return estimate


def prior(model: VAE, x: Tensor) -> Tensor:
    """The log of the average likelihood of draws from the prior, the same for all images."""
    z = standard_normal((DRAWS, model.encoder.latent), generator(1))
    table = model.likelihood.log_density_table(x, model.decoder(z), z)  # (DRAWS, n)
    return prior_monte_carlo(table).log_evidence


def annealing(model: VAE, x: Tensor) -> Tensor:
    """Annealed importance sampling from the prior to log p(x, z), by Hamiltonian moves."""
    path = AnnealingPath(
        log_prior,
        lambda z: log_prior(z) + model.log_likelihood(x, z),
        torch.linspace(0, 1, TEMPERATURES + 1, dtype=torch.float64) ** CURVE,
    )
    draws, latent = generator(2), model.encoder.latent
    pilot = standard_normal((PILOT, len(x), latent), draws)
    steps = tune_step_sizes(path, pilot, LEAPFROG, draws)
    z = standard_normal((CHAINS, len(x), latent), draws)
    log_weight = anneal(path, z, steps, LEAPFROG, draws).log_weight  # (CHAINS, n)
    return log_weight.logsumexp(0) - math.log(CHAINS)


def _log_weights(model: VAE, x: Tensor, num_samples: int) -> Tensor:
    noise = standard_normal((num_samples, len(x), model.encoder.latent), generator(0))
    parts = (model.log_weight(x, part) for part in noise.split(50))
    return torch.cat([*parts])  # (K, n)


ESTIMATORS = {
    f"ELBO, {DRAWS:,} draws": elbo,
    **{f"importance weights, K = {k:,}": weighted(k) for k in oracle.SAMPLES},
    f"prior, {DRAWS:,} draws": prior,
    f"annealing, {CHAINS} chains, {TEMPERATURES} temperatures": annealing,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=oracle.NAMES, help="cases (all)")
    parser.add_argument("--mnist", type=Path, help="the path of t10k-images-idx3-ubyte.gz")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for case, x in cases(options.names, options.mnist):
        model = recipes.model(case.name)
        for name, estimator in ESTIMATORS.items():
            with torch.no_grad():
                estimate = estimator(model, torch.from_numpy(np.array(x)))
            keep("vae-tutorial", name, case, estimate.numpy())


if __name__ == "__main__":
    main()
