"""Importance weights at scale: training on them, and log p(x) of a test set from thousands."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import require
from vae_tutorial.bounds import evidence_lower_bound, importance_weighted_bound
from vae_tutorial.models import VAE, DiagonalPosterior, log_prior
from vae_tutorial.noise import Estimate, standard_normal

DRAWS_AT_ONCE = 1000  # memory is bounded by these; more do not run faster


class ImportanceBound(NamedTuple):
    """A Bound and the importance-weighted bound from the same K draws: (batch,), in nats."""

    elbo: Tensor
    log_likelihood: Tensor
    kl: Tensor
    importance_bound: Tensor


class ImportanceWeighted(VAE):
    """A VAE, same parameters and same names, that also reports the log of its average weight."""

    def forward(self, x: Tensor, noise: Tensor) -> ImportanceBound:
        """x (batch, pixels), noise (K, batch, latent) to an ImportanceBound of (batch,).

        Book: eq-importance-weight, eq-importance-bound.
        """
        posterior, z, log_likelihood = self._encode_draw_score(x, noise)
        bound = evidence_lower_bound(log_likelihood, posterior.kl_to_prior())
        log_weight = log_likelihood + log_prior(z) - posterior.log_density(z)  # (K, batch)
        return ImportanceBound(*bound, importance_weighted_bound(log_weight))


def negative_importance_bound(bound: ImportanceBound) -> Tensor:
    """What an importance-weighted autoencoder minimises, ().

    Source: Burda et al. 2016, eq. 8. Book: eq-importance-bound.
    """
    return -bound.importance_bound.mean()


class Sums(NamedTuple):
    """What a chunk of log-weights adds up to: the largest, and Σw and Σw² in units of it."""

    largest: Tensor
    first: Tensor
    second: Tensor


def make_weigh(model: VAE) -> Callable[[Tensor, Tensor, Tensor, Tensor], Sums]:
    """The pure weigh(x, mean, log_variance, noise) → Sums, for one image (1, pixels).

    mean and log_variance are q(z|x)'s, (1, latent); noise is (draws, 1, latent). The decoder
    sees all draws as one batch, and the image is scored against all of them by one product.
    """

    def weigh(x, mean, log_variance, noise):
        posterior = DiagonalPosterior(mean, log_variance)
        z = posterior.draw(noise)  # (draws, 1, latent)
        ratio = (log_prior(z) - posterior.log_density(z)).squeeze(-1)  # (draws,)
        z = z.squeeze(1)  # (draws, latent)
        table = model.pixels.log_likelihood_table(x, model.decoder(z), z)  # (draws, 1)
        log_weight = table.squeeze(-1) + ratio  # (draws,)
        largest = log_weight.max()  # ()
        weight = (log_weight - largest).exp()
        return Sums(largest, weight.sum(), weight.square().sum())

    return weigh


@torch.no_grad()
def estimate_log_likelihood(
    model: VAE,
    images: Tensor,
    num_samples: int,
    generator: torch.Generator,
    weigh: Callable[[Tensor, Tensor, Tensor, Tensor], Sums] | None = None,
) -> Estimate:
    """log p(x) of each image (n, pixels) from K importance samples: an Estimate of (n,), in nats.

    The estimate is biased low, by about half its squared standard error, which is that of the
    average weight by the delta method. Memory does not grow with K. `weigh` may be a compiled
    `make_weigh(model)`. Raises ValueError or TypeError on bad input.
    Source: Burda et al. 2016, section 5. Book: eq-streaming-weights.
    """
    require.event("images", images, model.encoder.width)
    require.count("num_samples", num_samples)
    weigh = weigh or make_weigh(model)
    mean, log_variance = model.encoder(images)  # (n, latent) each, encoded once
    chunks = math.ceil(num_samples / DRAWS_AT_ONCE)
    sums = images.new_empty(len(images), chunks, 3)
    for row in range(len(images)):
        mine = slice(row, row + 1)
        for chunk in range(chunks):
            draws = min(DRAWS_AT_ONCE, num_samples - chunk * DRAWS_AT_ONCE)
            noise = standard_normal((draws, 1, mean.shape[-1]), generator, like=images)
            seen = weigh(images[mine], mean[mine], log_variance[mine], noise)
            sums[row, chunk] = torch.stack(seen)  # (3,)
    return combine(Sums(*sums.double().unbind(-1)), num_samples)


def combine(sums: Sums, num_samples: int) -> Estimate:
    """log of the mean of K weights, and its standard error, from sums (n, chunks): (n,), nats.

    Book: eq-streaming-weights.
    """
    largest = sums.largest.max(-1).values  # (n,)
    scale = (sums.largest - largest.unsqueeze(-1)).exp()  # (n, chunks)
    total, squares = (sums.first * scale).sum(-1), (sums.second * scale.square()).sum(-1)  # (n,)
    error = (squares / total.square() - 1 / num_samples).clamp(min=0).sqrt()
    return Estimate(largest + total.log() - math.log(num_samples), error)
