"""Linear VAEs in closed form: the best model, the best encoder, the rate before any training."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import require
from vae_tutorial.decomposition import LinearGaussian, linear_posterior
from vae_tutorial.gaussians import log_normal


@require.fields(mean="D", eigenvalues="D", axes="D D")
class Spectrum(NamedTuple):
    """Mean and covariance of images; the covariance by its eigenvalues, the largest first."""

    mean: Tensor  # (D,)
    eigenvalues: Tensor  # (D,), squared pixels
    axes: Tensor  # (D, D), one unit eigenvector a column


@require.fields(weight="d D", offset="d", cholesky="d d: cholesky")
class LinearEncoder(NamedTuple):
    """q(z|x) = N(z; weight x + offset, L Lᵀ), with L = `cholesky` the same for every x."""

    weight: Tensor  # (d, D)
    offset: Tensor  # (d,)
    cholesky: Tensor  # (d, d), lower triangular

    @require.shapes(self="fields", x="... D")
    def mean(self, x: Tensor) -> Tensor:
        """The centre of q(z|x): (..., D) to (..., d)."""
        return x @ self.weight.mT + self.offset


class RateLaw(NamedTuple):
    """What the best linear VAE pays and leaves, averaged over the images: (...) each."""

    rate: Tensor  # KL(q ‖ p(z)), nats per image
    squared_error: Tensor  # E‖x − f(z)‖², squared pixels per image


@require.shapes(images="n D")
def spectrum(images: Tensor) -> Spectrum:
    """The mean of images (n, D), and the spectrum of their covariance, with divisor n.

    Book: eq-covariance.

    >>> data = spectrum(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]]))
    >>> print([f"{value:.3f}" for value in data.eigenvalues])
    ['2.000', '0.500']
    """
    centred = images - images.mean(0)  # (n, D)
    rising, axes = torch.linalg.eigh(centred.mT @ centred / len(images))
    return Spectrum(images.mean(0), rising.flip(0).clamp(min=0), axes.flip(1))


@require.shapes(data="fields", latent="count<=D", variance="(): positive")
def most_likely_at(data: Spectrum, latent: int, variance: Tensor) -> LinearGaussian:
    """The most likely weight (D, d) and offset (D,) at a given variance ().

    An eigenvalue below the variance gives a column of zeros. Book: eq-best-weight.

    >>> data = Spectrum(torch.zeros(2), torch.tensor([5.0, 0.5]), torch.eye(2))
    >>> most_likely_at(data, 2, torch.tensor(1.0)).weight
    tensor([[2., 0.],
            [0., 0.]])
    """
    scale = (data.eigenvalues[:latent] - variance).clamp(min=0).sqrt()  # (d,)
    return LinearGaussian(data.axes[:, :latent] * scale, data.mean, variance)


@require.shapes(data="fields", latent="count<D")
def most_likely(data: Spectrum, latent: int) -> LinearGaussian:
    """Probabilistic PCA: the most likely weight, offset and variance of a model with d < D.

    Source: Tipping & Bishop 1999, eqs. 7 and 8. Book: eq-best-variance.

    >>> data = Spectrum(torch.zeros(3), torch.tensor([5.0, 1.5, 0.5]), torch.eye(3))
    >>> most_likely(data, 1).variance
    tensor(1.)
    """
    return most_likely_at(data, latent, data.eigenvalues[latent:].mean())


def evidence_at_mean(model: LinearGaussian, x: Tensor) -> Tensor:
    """Compute log p(x) by Bayes' rule at the posterior mean: (..., D) to (...), in nats.

    Its matrices are d by d, however many pixels there are.
    Source: Chib 1995. Book: eq-small-evidence.
    """
    mean, cholesky = linear_posterior(model, x)  # (..., d), (d, d)
    at_mean = log_normal(x, mean @ model.weight.mT + model.offset, model.variance.log())
    return at_mean - 0.5 * mean.square().sum(-1) + cholesky.diagonal().log().sum()


def optimal_encoder(model: LinearGaussian) -> LinearEncoder:
    """The exact posterior as a map of x: with it the bound becomes log p(x).

    Book: eq-optimal-encoder.

    >>> model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), torch.tensor(1.0))
    >>> encoder = optimal_encoder(model)
    >>> print(f"{float(encoder.mean(torch.tensor([2.0]))):.4f}")
    1.0000
    """
    _, cholesky = linear_posterior(model, model.offset)
    weight = cholesky @ (cholesky.mT @ model.weight.mT) / model.variance  # (d, D)
    return LinearEncoder(weight, -weight @ model.offset, cholesky)


def best_diagonal(model: LinearGaussian) -> LinearEncoder:
    """The best encoder with a diagonal covariance: its variances are 1 / the precisions.

    Source: Bishop 2006, section 10.1.2. Book: eq-best-diagonal.
    """
    return optimal_encoder(model)._replace(cholesky=_precisions(model).rsqrt().diag())


def diagonal_gap(model: LinearGaussian) -> Tensor:
    """log p(x) minus the bound with `best_diagonal`, the same for every x: (), in nats.

    Book: eq-diagonal-gap.
    """
    cholesky = optimal_encoder(model).cholesky
    return 0.5 * _precisions(model).log().sum() + cholesky.diagonal().log().sum()


@require.shapes(eigenvalues="D", variance="...: positive", latent="count<=D")
def rate_law(eigenvalues: Tensor, variance: Tensor, latent: int) -> RateLaw:
    """The rate and the squared error of the best linear VAE with d latents, at each variance (...).

    The eigenvalues (D,) are those of the covariance of the images, the largest first.
    Source: Cover & Thomas 2006, sec. 10.3. Book: eq-rate-law, eq-error-law.

    >>> law = rate_law(torch.tensor([4.0, 1.0]), torch.tensor(1.0), 1)
    >>> print(f"{law.rate:.4f} nats, {law.squared_error:.1f} squared pixels")
    0.6931 nats, 2.0 squared pixels
    """
    ratio = eigenvalues[:latent] / variance.unsqueeze(-1)  # (..., d)
    rate = 0.5 * ratio.clamp(min=1).log().sum(-1)  # (...)
    coded = variance * ratio.clamp(max=1).sum(-1)  # (...)
    return RateLaw(rate, coded + eigenvalues[latent:].sum())


@require.shapes(images="n D", shift="... D", variance="(): positive")
def shift_gain(images: Tensor, shift: Tensor, variance: Tensor) -> Tensor:
    """The log of the mean likelihood ratio when the mean image moves by a shift, in nats.

    images (n, D), shift (..., D), to (...). If no shift gains, then no decoder beats the constant
    mean image at this variance (). Source: Lindsay 1983. Book: eq-any-decoder.

    >>> images = torch.tensor([[-1.0], [1.0]])
    >>> gain = shift_gain(images, torch.tensor([[0.0], [1.0]]), torch.tensor(0.25))
    >>> print([f"{nats:.4f}" for nats in gain])  # 1.3 nats a shift: some decoder gains
    ['0.0000', '1.3072']
    """
    exponent = shift @ (images - images.mean(0)).mT / variance  # (..., n)
    return exponent.logsumexp(-1) - math.log(len(images)) - shift.square().sum(-1) / (2 * variance)


def _precisions(model: LinearGaussian) -> Tensor:
    return 1 + model.weight.square().sum(0) / model.variance  # diagonal of I + Wᵀ W / σ², (d,)
