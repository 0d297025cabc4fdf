"""Importance weights at scale: training on them, and log p(x) of a test set from thousands."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import require
from vae_tutorial.bounds import evidence_lower_bound
from vae_tutorial.models import VAE, DiagonalPosterior, log_weight
from vae_tutorial.noise import Estimate, standard_normal
from vae_tutorial.weights import importance_weighted_bound

DRAWS_AT_ONCE = 1000  # memory is bounded by these; more do not run faster


class ImportanceBound(NamedTuple):
    """A Bound and the importance-weighted bound from the same K draws: (batch,), in nats."""

    # A Bound's fields stand here once more: `run_epoch` averages a flat tuple, term by term.
    elbo: Tensor
    log_likelihood: Tensor
    kl: Tensor
    importance_bound: Tensor


class ImportanceWeighted(VAE):
    """A VAE, same parameters and same names, that also reports the log of its average weight."""

    # It has all of a Bound's fields, though no NamedTuple can inherit from another and add one.
    def forward(self, x: Tensor, noise: Tensor) -> ImportanceBound:  # type: ignore[override]
        """x (batch, pixels), noise (K, batch, latent) to an ImportanceBound of (batch,).

        Book: eq-importance-weight, eq-importance-bound.
        """
        posterior, z = self.encode_and_draw(x, noise)  # z is (K, batch, latent)
        log_likelihood = self.log_likelihood(x, z)  # (K, batch)
        bound = evidence_lower_bound(log_likelihood, posterior.kl_to_prior())  # (batch,) each
        weights = log_weight(log_likelihood, posterior, z)  # (K, batch), in logs
        return ImportanceBound(*bound, importance_weighted_bound(weights))


def negative_importance_bound(bound: ImportanceBound) -> Tensor:
    """What an importance-weighted autoencoder minimises, ().

    Source: Burda et al. 2016, eq. 8. Book: eq-importance-bound.
    """
    return -bound.importance_bound.mean()


class Chunk(NamedTuple):
    """What the weights of a chunk of draws leave behind: each () or (n, chunks), of one shape."""

    largest: Tensor  # the largest log-weight, in nats
    total: Tensor  # Σ w, in units of the largest weight
    total_of_squares: Tensor  # Σ w², in units of its square


Weigh = Callable[[Tensor, Tensor, Tensor, Tensor], Chunk]


def make_weigh(model: VAE) -> Weigh:
    """The pure weigh(x, mean, log_variance, noise) → Chunk, for one image (1, pixels).

    mean and log_variance are q(z|x)'s, (1, latent); noise is (draws, 1, latent).
    """

    def weigh(x: Tensor, mean: Tensor, log_variance: Tensor, noise: Tensor) -> Chunk:
        posterior = DiagonalPosterior(mean, log_variance)
        z = posterior.draw(noise)  # (draws, 1, latent)
        # The decoder sees all draws as one batch; one product scores the image under all of them.
        codes = z.squeeze(1)  # (draws, latent)
        table = model.likelihood.log_density_table(x, model.decoder(codes), codes)  # (draws, 1)
        # In float64, so that their sum still shows what lies beside the largest of them.
        weights = log_weight(table, posterior, z).double()  # (draws, 1), in logs
        largest = weights.max()  # ()
        relative = (weights - largest).exp()  # (draws, 1), at most 1
        return Chunk(largest, relative.sum(), relative.square().sum())

    return weigh


@torch.no_grad()
def estimate_log_likelihood(
    model: VAE,
    images: Tensor,
    num_samples: int,
    generator: torch.Generator,
    weigh: Weigh | None = None,
) -> Estimate:
    """log p(x) of each image (n, pixels) from K importance samples: an Estimate of (n,), in nats.

    The estimate is biased low; its error is that of `from_chunks`. Memory does not grow with K.
    `weigh` may be a compiled `make_weigh(model)`.
    Source: Burda et al. 2016, section 5. Book: eq-streaming-weights.
    """
    require.event("images", images, model.encoder.width)
    require.count("num_samples", num_samples)
    require.generator(generator)
    weigh = weigh or make_weigh(model)
    posterior = model.encoder(images)  # encoded once
    if not isinstance(posterior, DiagonalPosterior):
        raise TypeError(f"q(z|x) must be a DiagonalPosterior, got {type(posterior).__name__}")
    mean, log_variance = posterior  # (n, latent) each
    chunks = math.ceil(num_samples / DRAWS_AT_ONCE)
    sums = images.new_empty(len(images), chunks, len(Chunk._fields), dtype=torch.float64)
    for row in range(len(images)):
        mine = slice(row, row + 1)
        for chunk in range(chunks):
            draws = min(DRAWS_AT_ONCE, num_samples - chunk * DRAWS_AT_ONCE)
            noise = standard_normal((draws, 1, mean.shape[-1]), generator, like=images)
            seen = weigh(images[mine], mean[mine], log_variance[mine], noise)
            sums[row, chunk] = torch.stack(seen)  # (3,)
    return from_chunks(Chunk(*sums.unbind(-1)), num_samples)


def from_chunks(chunks: Chunk, num_samples: int) -> Estimate:
    """log of the mean of K weights, and its standard error, from sums (n, chunks): (n,), nats.

    The error is that of the delta method, except for the largest weight: it enters by what the
    estimate loses without it, as in the jackknife. Where a few weights carry the average, the
    delta method alone is far too small. So is this error for most single images, while for a few
    it is too large: what never was drawn leaves no trace. It is made for averages over many
    images. One draw tells no error: infinite at K = 1.
    Source: Efron & Stein 1981.
    Book: eq-streaming-weights, eq-streaming-error.

    The weights 1, 3 and 2, 6 in two chunks; their mean is 3:

    >>> largest = torch.tensor([[3.0, 6.0]], dtype=torch.float64).log()
    >>> chunks = Chunk(largest, torch.tensor([[4 / 3, 4 / 3]]), torch.tensor([[10 / 9, 10 / 9]]))
    >>> estimate = from_chunks(chunks, 4)
    >>> print(f"{estimate.mean.exp().item():.4f} ± {estimate.standard_error.item():.4f}")
    3.0000 ± 0.4462
    """
    require.count("num_samples", num_samples)
    require.finite("largest", chunks.largest)
    require.positive("total", chunks.total)
    require.positive("total_of_squares", chunks.total_of_squares)
    largest = chunks.largest.max(-1).values  # (n,)
    scale = (chunks.largest - largest.unsqueeze(-1)).exp()  # (n, chunks)
    total = (chunks.total * scale).sum(-1)  # (n,), in units of the largest weight of all
    squares = (chunks.total_of_squares * scale.square()).sum(-1)  # (n,)
    # Of all weights' shares in their sum: the squared distances from 1/K, the largest share apart.
    share = 1 / total  # (n,)
    others = squares / total.square() - 1 / num_samples - (share - 1 / num_samples).square()
    # Without the largest weight the mean of the K − 1 others is (total − 1) / (K − 1). Others that
    # lie so far below that the sum does not show them are taken for the least that it could show.
    least = torch.finfo(share.dtype).eps
    lost = torch.log1p(-torch.full_like(share, 1 / num_samples))  # (n,), −∞ for one draw
    lost = lost - torch.log1p(-share.clamp(max=1 - least))
    error = (others.clamp(min=0) + lost.square()).sqrt()
    return Estimate(largest + total.log() - math.log(num_samples), error)
