"""The four maps as networks: μ(x), Σ(x) in an encoder, f(z) in a decoder, Λ(z) beside it: a VAE."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial import gaussians, require
from vae_tutorial.bounds import Bound, evidence_lower_bound
from vae_tutorial.reparameterization import draw_diagonal, draw_full


def network(
    sizes: Sequence[int], generator: torch.Generator, activation: type[nn.Module] = nn.Tanh
) -> nn.Sequential:
    """Linear layers of the given widths, an activation between, weights from `generator`."""
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
        return draw_diagonal(self.mean, self.log_variance, noise)  # (K, batch, latent)

    def log_density(self, z: Tensor) -> Tensor:
        return gaussians.log_normal(z, self.mean, self.log_variance)  # (K, batch)

    def kl_to_prior(self) -> Tensor:
        return gaussians.kl_to_standard_normal(self.mean, self.log_variance)  # (batch,)


class FullPosterior(NamedTuple):
    """q(z|x) = N(mean, L Lᵀ): (batch, latent) and L (batch, latent, latent). Book: vae7."""

    mean: Tensor
    cholesky: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        return draw_full(self.mean, self.cholesky, noise)  # (K, batch, latent)

    def log_density(self, z: Tensor) -> Tensor:
        return gaussians.log_normal_full(z, self.mean, self.cholesky)  # (K, batch)

    def kl_to_prior(self) -> Tensor:
        return gaussians.kl_to_standard_normal_full(self.mean, self.cholesky)  # (batch,)


Posterior = DiagonalPosterior | FullPosterior


def log_prior(z: Tensor) -> Tensor:
    """log N(z; 0, I): (..., latent) to (...), in nats; raises as `log_normal` does. Book: vae6."""
    return gaussians.log_normal(z, torch.zeros_like(z), z.new_zeros(()))


def log_aggregate(posterior: Posterior, z: Tensor) -> Tensor:
    """log of q(z|x) averaged over the n images behind `posterior`: z (m, latent) to (m,), in nats.

    Raises ValueError or TypeError on bad input. Source: Hoffman & Johnson 2016.
    Book: eq-aggregate, eq-rate-split.
    """
    log_densities = posterior.log_density(z.unsqueeze(-2))  # (m, n)
    return log_densities.logsumexp(-1) - math.log(len(posterior.mean))  # (m,)


class DiagonalEncoder(nn.Module):
    """x (batch, pixels) to a DiagonalPosterior, the last layer split in two. Book: vae7.

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
        require.event("x", x, self.width)
        mean, log_variance = self.network(x).chunk(2, dim=-1)  # (batch, latent) each
        return DiagonalPosterior(mean, log_variance)


class FullEncoder(nn.Module):
    """x (batch, pixels) to a FullPosterior, the last layer split in mean and L. Book: vae7."""

    def __init__(self, pixels: int, hidden: int, latent: int, generator: torch.Generator):
        super().__init__()
        self.width, self.latent = pixels, latent
        self.network = network([pixels, hidden, latent + latent * (latent + 1) // 2], generator)

    def forward(self, x: Tensor) -> FullPosterior:
        require.event("x", x, self.width)
        mean, entries = self.network(x).tensor_split([self.latent], dim=-1)
        return FullPosterior(mean, lower_triangle(entries, self.latent))


class VAE(nn.Module):
    """An encoder q(z|x), a decoder f(z), a pixel model with Λ, and p(z) = N(0, I). Book: vae7."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, pixels: nn.Module):
        super().__init__()
        self.encoder, self.decoder, self.pixels = encoder, decoder, pixels

    def forward(self, x: Tensor, noise: Tensor) -> Bound:
        """x (batch, pixels), noise (K, batch, latent) to a Bound. Book: vae8, vae9, eq-constant."""
        posterior, _, log_likelihood = self._encode_draw_score(x, noise)
        return evidence_lower_bound(log_likelihood, posterior.kl_to_prior())

    def log_weight(self, x: Tensor, noise: Tensor) -> Tensor:
        """log p(x|z)p(z)/q(z|x) of each draw: (K, batch), in nats. Book: eq-importance-weight."""
        posterior, z, log_likelihood = self._encode_draw_score(x, noise)
        return log_likelihood + log_prior(z) - posterior.log_density(z)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean image at μ(x), (batch, pixels) to the same: a picture, not a bound."""
        return self.decode(self.encoder(x).mean)

    def decode(self, z: Tensor) -> Tensor:
        """The mean image at z: (..., latent) to (..., pixels); ValueError on another width."""
        require.event("z", z, self.encoder.latent)
        return self.pixels.mean(self.decoder(z))

    def _encode_draw_score(self, x: Tensor, noise: Tensor) -> tuple[Posterior, Tensor, Tensor]:
        posterior = self.encoder(x)
        needed = (*x.shape[:-1], self.encoder.latent)
        if noise.ndim != len(needed) + 1 or noise.shape[1:] != needed:
            seen = f"got {tuple(noise.shape)} for images {tuple(x.shape)}"
            raise ValueError(f"noise must be (K, {', '.join(map(str, needed))}), {seen}")
        z = posterior.draw(noise)  # (K, batch, latent)
        images = x.expand(*z.shape[:-1], -1)  # (K, batch, pixels)
        return posterior, z, self.pixels.log_likelihood(images, self.decoder(z), z)  # (K, batch)
