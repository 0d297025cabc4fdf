"""The four maps as networks: μ(x), Σ(x) in an encoder, f(z) in a decoder, Λ(z) beside it: a VAE."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial import gaussians, require
from vae_tutorial.bounds import Bound, evidence_lower_bound
from vae_tutorial.likelihoods import Likelihood
from vae_tutorial.noise import standard_normal
from vae_tutorial.reparameterization import draw_diagonal, draw_full


def network(
    sizes: Sequence[int], generator: torch.Generator, activation: type[nn.Module] = nn.Tanh
) -> nn.Sequential:
    """Linear layers of the given widths, an activation between, weights from `generator`.

    Raises TypeError without a generator.

    >>> network([64, 128, 4], torch.Generator().manual_seed(0))
    Sequential(
      (0): Linear(in_features=64, out_features=128, bias=True)
      (1): Tanh()
      (2): Linear(in_features=128, out_features=4, bias=True)
    )
    """
    require.generator(generator)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # leaves the global generator alone
        for parameter in (linear.weight, linear.bias):  # uniform on ±1/√inputs, as PyTorch's own
            uniform = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data.copy_((2 * uniform - 1) / inputs**0.5)
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


def lower_triangle(entries: Tensor, width: int) -> Tensor:
    """Fill (..., d, d) row by row from (..., d(d+1)/2), the diagonal made positive by exp."""
    require.event("entries", entries, width * (width + 1) // 2)
    rows, columns = torch.tril_indices(width, width)
    position = torch.zeros(width, width, dtype=torch.long)
    position[rows, columns] = torch.arange(len(rows))
    square = entries[..., position]  # (..., d, d); its upper triangle is dropped
    return square.tril(-1) + square.diagonal(dim1=-2, dim2=-1).exp().diag_embed()


class DiagonalPosterior(NamedTuple):
    """q(z|x) = N(mean, diag(exp(log_variance))), each (batch, latent). Book: vae7."""

    mean: Tensor
    log_variance: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """Draw z by noise (K, batch, latent): of the same shape."""
        return draw_diagonal(self.mean, self.log_variance, noise)  # (K, batch, latent)

    def log_density(self, z: Tensor) -> Tensor:
        """Score z (K, batch, latent) by log q(z|x): (K, batch), in nats."""
        return gaussians.log_normal(z, self.mean, self.log_variance)  # (K, batch)

    def kl_to_prior(self) -> Tensor:
        """The divergence of q(z|x) from N(0, I) in closed form: (batch,), in nats."""
        return gaussians.kl_to_standard_normal(self.mean, self.log_variance)  # (batch,)

    @property
    def root(self) -> Tensor:
        """L with covariance L Lᵀ: here the diagonal matrix of standard deviations."""
        return (0.5 * self.log_variance).exp().diag_embed()  # (batch, latent, latent)

    @classmethod
    def from_root(cls, mean: Tensor, root: Tensor) -> "DiagonalPosterior":
        """The diagonal Gaussian with the mean and the variances of N(mean, root rootᵀ)."""
        return cls(mean, root.square().sum(-1).log())


class FullPosterior(NamedTuple):
    """q(z|x) = N(mean, L Lᵀ): (batch, latent) and L (batch, latent, latent). Book: vae7."""

    mean: Tensor
    cholesky: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """Draw z by noise (K, batch, latent): of the same shape."""
        return draw_full(self.mean, self.cholesky, noise)  # (K, batch, latent)

    def log_density(self, z: Tensor) -> Tensor:
        """Score z (K, batch, latent) by log q(z|x): (K, batch), in nats."""
        return gaussians.log_normal_full(z, self.mean, self.cholesky)  # (K, batch)

    def kl_to_prior(self) -> Tensor:
        """The divergence of q(z|x) from N(0, I) in closed form: (batch,), in nats."""
        return gaussians.kl_to_standard_normal_full(self.mean, self.cholesky)  # (batch,)

    @property
    def root(self) -> Tensor:
        """L with covariance L Lᵀ: here the Cholesky factor itself, (batch, latent, latent)."""
        return self.cholesky

    @classmethod
    def from_root(cls, mean: Tensor, root: Tensor) -> "FullPosterior":
        """The Gaussian N(mean, root rootᵀ), for a lower triangular root."""
        return cls(mean, root)


Posterior = DiagonalPosterior | FullPosterior


def log_prior(z: Tensor) -> Tensor:
    """log N(z; 0, I): (..., latent) to (...), in nats; raises as `log_normal` does. Book: vae6."""
    return gaussians.log_normal(z, torch.zeros_like(z), z.new_zeros(()))


def log_weight(log_likelihood: Tensor, posterior: Posterior, z: Tensor) -> Tensor:
    """log of the weight p(x|z) p(z) / q(z|x) of draws z (K, batch, latent): (K, batch), in nats.

    `log_likelihood` is log p(x|z) of the same draws, (K, batch); `posterior` is q(z|x).
    Source: Burda et al. 2016, eq. 7. Book: eq-importance-weight.

    Where q is the prior, the weight is the likelihood:

    >>> nothing = torch.zeros(1, 2, dtype=torch.float64)
    >>> prior = DiagonalPosterior(nothing, nothing)
    >>> z = torch.tensor([[[0.3, -1.0]], [[2.0, 0.5]]], dtype=torch.float64)
    >>> likelihood = torch.tensor([[-7.0], [-9.0]], dtype=torch.float64)  # log p(x|z), (2, 1)
    >>> log_weight(likelihood, prior, z).round(decimals=9).tolist()
    [[-7.0], [-9.0]]
    """
    return log_likelihood + log_prior(z) - posterior.log_density(z)  # (K, batch)


def log_aggregate(posterior: Posterior, z: Tensor) -> Tensor:
    """log of q(z|x) averaged over the n images behind `posterior`: z (m, latent) to (m,), in nats.

    Source: Hoffman & Johnson 2016.
    Book: eq-aggregate, eq-rate-split.
    """
    log_densities = posterior.log_density(z.unsqueeze(-2))  # (m, n)
    return log_densities.logsumexp(-1) - math.log(len(posterior.mean))  # (m,)


class DiagonalEncoder(nn.Module):
    """Maps x (batch, pixels) to a DiagonalPosterior; the last layer is split in two. Book: vae7.

    `hidden` is the width of the one hidden layer, or the widths of several.
    """

    def __init__(
        self,
        pixels: int,
        hidden: int | Sequence[int],
        latent: int,
        generator: torch.Generator,
        activation: type[nn.Module] = nn.Tanh,
    ):
        super().__init__()
        self.width, self.latent = pixels, latent
        layers = [hidden] if isinstance(hidden, int) else hidden
        self.network = network([pixels, *layers, 2 * latent], generator, activation)

    def forward(self, x: Tensor) -> DiagonalPosterior:
        """Encode x (batch, pixels) as its posterior."""
        _require_images(x, self.width, self.network)
        mean, log_variance = self.network(x).chunk(2, dim=-1)  # (batch, latent) each
        return DiagonalPosterior(mean, log_variance)


class FullEncoder(nn.Module):
    """Maps x (batch, pixels) to a FullPosterior; the last layer is split in two. Book: vae7."""

    def __init__(self, pixels: int, hidden: int, latent: int, generator: torch.Generator):
        super().__init__()
        self.width, self.latent = pixels, latent
        self.network = network([pixels, hidden, latent + latent * (latent + 1) // 2], generator)

    def forward(self, x: Tensor) -> FullPosterior:
        """Encode x (batch, pixels) as its posterior."""
        _require_images(x, self.width, self.network)
        mean, entries = self.network(x).tensor_split([self.latent], dim=-1)
        return FullPosterior(mean, lower_triangle(entries, self.latent))


Encoder = DiagonalEncoder | FullEncoder


class VAE(nn.Module):
    """An encoder q(z|x), a decoder f(z), a likelihood with Λ, and p(z) = N(0, I). Book: vae7.

    >>> from vae_tutorial.likelihoods import GaussianPixels, SharedVariance
    >>> weights = torch.Generator().manual_seed(0)
    >>> encoder, decoder = DiagonalEncoder(64, 32, 2, weights), network([2, 32, 64], weights)
    >>> vae = VAE(encoder, decoder, GaussianPixels(SharedVariance(0.1)))
    >>> x, noise = torch.zeros(5, 64), torch.zeros(3, 5, 2)  # 5 images, 3 draws for each
    >>> [tuple(term.shape) for term in vae(x, noise)]
    [(5,), (5,), (5,)]
    >>> tuple(vae.log_weight(x, noise).shape)
    (3, 5)
    """

    def __init__(self, encoder: Encoder, decoder: nn.Module, likelihood: Likelihood):
        super().__init__()
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood

    def forward(self, x: Tensor, noise: Tensor) -> Bound:
        """The Bound of x (batch, pixels) from noise (K, batch, latent).

        Book: vae8, vae9, eq-constant.
        """
        posterior, z = self.encode_and_draw(x, noise)  # z is (K, batch, latent)
        log_likelihood = self.log_likelihood(x, z)  # (K, batch)
        return evidence_lower_bound(log_likelihood, posterior.kl_to_prior())  # (batch,) each

    def log_weight(self, x: Tensor, noise: Tensor) -> Tensor:
        """log_weight of x (batch, pixels) at the draws that noise (K, batch, latent) makes.

        Returns (K, batch), in nats. Book: eq-importance-weight.
        """
        posterior, z = self.encode_and_draw(x, noise)  # z is (K, batch, latent)
        return log_weight(self.log_likelihood(x, z), posterior, z)  # (K, batch)

    def encode_and_draw(self, x: Tensor, noise: Tensor) -> tuple[Posterior, Tensor]:
        """q(z|x) of x (batch, pixels), and its draws z; z and `noise` are (K, batch, latent).

        Raises ValueError or TypeError unless each image has its noise, of the images' dtype.
        """
        posterior = self.encoder(x)
        needed = (*x.shape[:-1], self.encoder.latent)
        if noise.ndim != len(needed) + 1 or noise.shape[1:] != needed:
            seen = f"got {tuple(noise.shape)} for images {tuple(x.shape)}"
            raise ValueError(f"noise must be (K, {', '.join(map(str, needed))}), {seen}")
        _require_dtype("noise", noise, x.dtype, "the images are")
        return posterior, posterior.draw(noise)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z): each image of x (batch, pixels) at its K latents z (K, batch, latent).

        Returns (K, batch), in nats.
        """
        images = x.expand(*z.shape[:-1], -1)  # (K, batch, pixels)
        return self.likelihood.log_density(images, self.decoder(z), z)  # (K, batch)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean image at μ(x), (batch, pixels) to the same: a picture, not a bound."""
        return self.decode(self.encoder(x).mean)

    def decode(self, z: Tensor) -> Tensor:
        """The mean image at z: (..., latent) to (..., pixels); ValueError on another width."""
        require.event("z", z, self.encoder.latent)
        return self.likelihood.mean(self.decoder(z))

    @torch.no_grad()
    def prior_means(self, count: int, generator: torch.Generator) -> Tensor:
        """The mean images at `count` draws z ~ N(0, I): (count, pixels). Book: vae6."""
        require.count("count", count)
        require.generator(generator)
        like = next(self.parameters())
        return self.decode(standard_normal((count, self.encoder.latent), generator, like=like))


def _require_dtype(name: str, value: Tensor, needed: torch.dtype, whose: str) -> None:
    if value.dtype != needed:
        how = f"use {name}.to({needed}), or the same dtype for both"
        raise TypeError(f"{name} is {value.dtype}, but {whose} {needed}: {how}")


def _require_images(x: Tensor, width: int, network: nn.Module) -> None:
    """Raise unless x (..., width) is finite, and of the dtype of the network's weights."""
    require.event("x", x, width)
    _require_dtype("x", x, next(network.parameters()).dtype, "the model's weights are")
