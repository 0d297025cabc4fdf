"""Linear VAEs in closed form: the best model, the best encoder, the rate before any training."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import require
from vae_tutorial.decomposition import LinearGaussian, linear_posterior
from vae_tutorial.gaussians import log_normal


class Spectrum(NamedTuple):
    """Mean and covariance of images; the covariance by its eigenvalues, the largest first."""

    mean: Tensor  # (D,)
    eigenvalues: Tensor  # (D,), squared pixels
    axes: Tensor  # (D, D), one unit eigenvector a column


class Encoder(NamedTuple):
    """q(z|x) = N(z; weight x + offset, L Lᵀ), with L = `cholesky` the same for every x."""

    weight: Tensor  # (d, D)
    offset: Tensor  # (d,)
    cholesky: Tensor  # (d, d), lower triangular

    def mean(self, x: Tensor) -> Tensor:
        """The centre of q(z|x): (..., D) to (..., d)."""
        return x @ self.weight.mT + self.offset


class RateLaw(NamedTuple):
    """What the best linear VAE pays and leaves, averaged over the images: (...) each."""

    rate: Tensor  # KL(q ‖ p(z)), nats per image
    squared_error: Tensor  # E‖x − f(z)‖², squared pixels per image


def spectrum(images: Tensor) -> Spectrum:
    """Mean and eigenvalues of the covariance of images (n, D), with divisor n.

    Raises ValueError or TypeError unless `images` are finite and (n, D). Book: eq-covariance.
    """
    _require_images(images)
    centred = images - images.mean(0)  # (n, D)
    rising, axes = torch.linalg.eigh(centred.mT @ centred / len(images))
    return Spectrum(images.mean(0), rising.flip(0).clamp(min=0), axes.flip(1))


def most_likely_at(data: Spectrum, latent: int, variance: Tensor) -> LinearGaussian:
    """Most likely weight (D, d), offset (D,) at a variance. Book: eq-best-weight.

    Weak eigenvalues give columns of zeros. Raises ValueError or TypeError.
    """
    _require_latent(latent, data.eigenvalues)
    require.positive("variance", variance)
    scale = (data.eigenvalues[:latent] - variance).clamp(min=0).sqrt()  # (d,)
    return LinearGaussian(data.axes[:, :latent] * scale, data.mean, variance)


def most_likely(data: Spectrum, latent: int) -> LinearGaussian:
    """Probabilistic PCA: most likely weight, offset and variance, d < D. Book: eq-best-variance.

    Raises ValueError or TypeError on bad input. Source: Tipping & Bishop 1999, eqs. 7 and 8.
    """
    _require_latent(latent, data.eigenvalues[1:])
    return most_likely_at(data, latent, data.eigenvalues[latent:].mean())


def evidence_at_mean(model: LinearGaussian, x: Tensor) -> Tensor:
    """log p(x) by Bayes' rule at the posterior mean, from d by d matrices: (..., D) to (...), nats.

    Raises ValueError or TypeError on bad input. Source: Chib 1995. Book: eq-small-evidence.
    """
    mean, cholesky = linear_posterior(model, x)  # (..., d), (d, d)
    at_mean = log_normal(x, mean @ model.weight.mT + model.offset, model.variance.log())
    return at_mean - 0.5 * mean.square().sum(-1) + cholesky.diagonal().log().sum()


def optimal_encoder(model: LinearGaussian) -> Encoder:
    """The exact posterior as a map of x: the bound becomes log p(x).

    Raises ValueError or TypeError on bad input. Book: eq-optimal-encoder.
    """
    _, cholesky = linear_posterior(model, model.offset)
    weight = cholesky @ (cholesky.mT @ model.weight.mT) / model.variance  # (d, D)
    return Encoder(weight, -weight @ model.offset, cholesky)


def best_diagonal(model: LinearGaussian) -> Encoder:
    """The best encoder with a diagonal covariance, 1 / the precisions. Book: eq-best-diagonal.

    Raises ValueError or TypeError on bad input. Source: Bishop 2006, section 10.1.2.
    """
    return optimal_encoder(model)._replace(cholesky=_precisions(model).rsqrt().diag())


def diagonal_gap(model: LinearGaussian) -> Tensor:
    """log p(x) minus the bound with `best_diagonal`, the same for every x: (), in nats.

    Raises ValueError or TypeError on bad input. Book: eq-diagonal-gap.
    """
    cholesky = optimal_encoder(model).cholesky
    return 0.5 * _precisions(model).log().sum() + cholesky.diagonal().log().sum()


def rate_law(eigenvalues: Tensor, variance: Tensor, latent: int) -> RateLaw:
    """Rate and squared error of the best linear VAE with d latents.

    Eigenvalues (D,) fall; variance (...). Raises ValueError or TypeError.
    Source: Cover & Thomas 2006, sec. 10.3. Book: eq-rate-law, eq-error-law.
    """
    require.event("eigenvalues", eigenvalues)
    require.positive("variance", variance)
    _require_latent(latent, eigenvalues)
    ratio = eigenvalues[:latent] / variance.unsqueeze(-1)  # (..., d)
    rate = 0.5 * ratio.clamp(min=1).log().sum(-1)  # (...)
    coded = variance * ratio.clamp(max=1).sum(-1)  # (...)
    return RateLaw(rate, coded + eigenvalues[latent:].sum())


def shift_gain(images: Tensor, shift: Tensor, variance: Tensor) -> Tensor:
    """log of the mean likelihood ratio when the mean image moves: shift (m, D) to (m,), nats.

    If no shift gains, then no decoder beats the constant mean image at this variance ().
    Raises ValueError or TypeError on bad input. Source: Lindsay 1983. Book: eq-any-decoder.
    """
    _require_images(images)
    require.event("shift", shift, images.shape[1])
    require.positive("variance", variance)
    exponent = shift @ (images - images.mean(0)).mT / variance  # (m, n)
    return exponent.logsumexp(-1) - math.log(len(images)) - shift.square().sum(-1) / (2 * variance)


def _precisions(model: LinearGaussian) -> Tensor:
    return 1 + model.weight.square().sum(0) / model.variance  # diagonal of I + Wᵀ W / σ², (d,)


def _require_latent(latent: int, eigenvalues: Tensor) -> None:
    require.count("latent", latent)
    if latent > len(eigenvalues):
        raise ValueError(f"latent must be at most {len(eigenvalues)}, got {latent}")


def _require_images(images: Tensor) -> None:
    require.event("images", images)
    if images.ndim != 2:
        raise ValueError(f"images must be (n, D), got shape {tuple(images.shape)}")
