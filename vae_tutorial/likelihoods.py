"""p(x|z) of pixels, and Λ: the fourth map, which says how far a pixel may fall from f(z).

A variance map takes latents z (..., latent) and returns a log-variance that broadcasts against
pixels (..., pixels). A pixel model takes what the decoder gave, f(z) or logits, and scores x:
(...) nats an image.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial import require
from vae_tutorial.gaussians import LOG_TWO_PI, log_normal
from vae_tutorial.noise import standard_normal

ROUNDED = 1e-3  # grey steps by which float32 may miss a level
HALVINGS = 6  # products of up to 64 factors of at most 2: far below float32's largest number


def softplus_sum(logits: Tensor) -> Tensor:
    """Sum log(1 + exp(l)) over the last axis, (..., pixels) to (...): −log p of an all-black image.

    Products of factors 1 + exp(−|l|), at most 2 each, need one logarithm for up to 64 of them.

    >>> print(f"{softplus_sum(torch.zeros(2)):.4f}")
    1.3863
    """
    factors = 1 + (-logits.abs()).exp()  # (..., pixels), from 1 to 2
    for _ in range(HALVINGS):
        if factors.shape[-1] % 2:
            break
        half = factors.shape[-1] // 2
        factors = factors[..., :half] * factors[..., half:]  # (..., half)
    return logits.clamp(min=0).sum(-1) + factors.log().sum(-1)  # (...)


@require.shapes(x="... pixels: binary", logits="... pixels")
def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    """Score binary pixels by their logits: log p(x|z), (..., pixels) to (...), in nats.

    Raises ValueError unless every pixel is 0 or 1: a grey pixel has no Bernoulli likelihood.
    Source: Kingma & Welling 2014, appendix C.1. Book: eq-bernoulli.

    >>> x, logits = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0])
    >>> print(f"{bernoulli_log_likelihood(x, logits):.4f}")  # two fair coins
    -1.3863
    """
    return nn.functional.logsigmoid(torch.where(x > 0.5, logits, -logits)).sum(-1)  # (...)


class FixedVariance(nn.Module):
    """Λ = variance · I, a fixed number for all pixels and all z. Book: vae7, eq-exchange.

    >>> print(f"{FixedVariance(0.25)(torch.zeros(3, 2)):.4f}")
    -1.3863
    """

    @require.shapes(variance="number: positive")
    def __init__(self, variance: float):
        super().__init__()
        self.log_variance = math.log(variance)  # a number, so that float64 keeps all its digits

    def forward(self, z: Tensor) -> Tensor:
        return z.new_full((), self.log_variance)  # ()


class SharedVariance(nn.Module):
    """Λ = σ² I with one learned σ² for all pixels and all z. Book: eq-noise-level.

    Source: Rybkin et al. 2021, section 3.
    """

    @require.shapes(variance="number: positive")
    def __init__(self, variance: float = 1.0):
        super().__init__()
        self.log_variance = nn.Parameter(torch.tensor(float(variance)).log())

    def forward(self, z: Tensor) -> Tensor:
        return self.log_variance  # ()


class PixelVariance(nn.Module):
    """Λ = diag(σ₁², …), one learned variance a pixel, never below `floor`. Book: eq-singularity.

    Without it a pixel that never changes drives its variance to zero, the density to infinity.
    Source: Mattei & Frellsen 2018, section 2.
    """

    @require.shapes(pixels="count", floor="number: positive", variance="number: positive")
    def __init__(self, pixels: int, floor: float, variance: float = 1.0):
        super().__init__()
        self.floor = floor
        self.raw = nn.Parameter(torch.full((pixels,), float(variance)).log())

    def forward(self, z: Tensor) -> Tensor:
        return (self.raw.exp() + self.floor).log()  # (pixels,)


class InputVariance(nn.Module):
    """Λ(z) = diag(σ₁²(z), …): a network gives the variances, none below `floor`. Book: vae7."""

    @require.shapes(floor="number: positive")
    def __init__(self, network: nn.Module, floor: float):
        super().__init__()
        self.floor = floor
        self.network = network

    def forward(self, z: Tensor) -> Tensor:
        return (nn.functional.softplus(self.network(z)) + self.floor).log()  # (..., pixels)


class GaussianPixels(nn.Module):
    """p(x|z) = N(x; f(z), Λ(z)) with a diagonal Λ; the decoder gives f(z). Book: vae7.

    >>> likelihood = GaussianPixels(FixedVariance(1.0))
    >>> print(f"{likelihood.log_density(torch.zeros(2), torch.zeros(2), torch.zeros(1)):.4f}")
    -1.8379
    """

    def __init__(self, variance: nn.Module):
        super().__init__()
        self.variance = variance

    def log_density(self, x: Tensor, decoded: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of x (..., pixels) under f(z) = `decoded`: (...), in nats an image."""
        return log_normal(x, decoded, self.variance(z))  # (...)

    @require.shapes(decoded="n pixels", x="batch pixels")
    def log_density_table(self, x: Tensor, decoded: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of all images x (batch, pixels) under each of n latents: (n, batch), nats."""
        log_variance = self.variance(z)  # broadcasts to (n, pixels)
        precision = (-log_variance).exp()
        squares = precision.expand_as(decoded) @ x.square().mT  # (n, batch)
        alone = precision * decoded.square() + log_variance + LOG_TWO_PI  # (n, pixels)
        return (precision * decoded) @ x.mT - 0.5 * (squares + alone.sum(-1, keepdim=True))

    def mean(self, decoded: Tensor) -> Tensor:
        """E[x|z], which is what the decoder gave: (..., pixels)."""
        return decoded

    def draw(self, decoded: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        """A draw of x from p(x|z): the mean and its pixel noise, (..., pixels)."""
        deviation = (0.5 * self.variance(z)).exp()
        noise = standard_normal(decoded.shape, generator, like=decoded)  # (..., pixels)
        return decoded + deviation * noise


class BernoulliPixels(nn.Module):
    """p(x|z) of independent binary pixels; the decoder gives logits. Book: eq-bernoulli."""

    def log_density(self, x: Tensor, decoded: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of binary x (..., pixels) under logits `decoded`: (...), in nats an image."""
        return bernoulli_log_likelihood(x, decoded)  # (...)

    @require.shapes(decoded="n pixels", x="batch pixels: binary")
    def log_density_table(self, x: Tensor, decoded: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of all binary x (batch, pixels) under each of n latents: (n, batch), nats."""
        return decoded @ x.mT - softplus_sum(decoded).unsqueeze(-1)  # (n, batch)

    def mean(self, decoded: Tensor) -> Tensor:
        """E[x|z], the probability that each pixel is 1: (..., pixels)."""
        return decoded.sigmoid()

    def draw(self, decoded: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        """A draw of x from p(x|z), every pixel 0 or 1: (..., pixels)."""
        uniform = torch.rand(decoded.shape, generator=generator, dtype=torch.float64).to(decoded)
        return (uniform < decoded.sigmoid()).to(decoded.dtype)  # (..., pixels)


class Law(NamedTuple):
    """A standard law of pixel noise, around 0 and symmetric, with scale 1."""

    cumulative: Callable[[Tensor], Tensor]
    log_cumulative: Callable[[Tensor], Tensor]


NORMAL = Law(torch.special.ndtr, torch.special.log_ndtr)
LOGISTIC = Law(torch.sigmoid, nn.functional.logsigmoid)


class CellPixels(nn.Module):
    """p(k|z) of grey levels k = 0 … levels − 1: the mass that f(z) plus noise puts into a cell.

    A cell is one grey step wide, 1/(levels − 1), around its level; the first and the last are
    open, so that the masses sum to one. Images x are levels divided by levels − 1. The noise's
    scale is exp(½ log-variance) of a variance map: a mass is at most 1, so that no floor is needed.
    Source: Salimans et al. 2017, section 2.1. Book: eq-cells.

    >>> likelihood = CellPixels(FixedVariance(1.0), levels=2)  # a cell below 1/2, one above
    >>> x, middle = torch.tensor([[0.0], [1.0]]), torch.tensor([0.5])
    >>> likelihood.log_density(x, middle, middle).exp()
    tensor([0.5000, 0.5000])
    """

    @require.shapes(levels="count>=2")
    def __init__(self, variance: nn.Module, levels: int, law: Law = LOGISTIC):
        super().__init__()
        self.variance, self.levels, self.law = variance, levels, law

    def edges(self, like: Tensor) -> Tensor:
        """Where one cell ends and the next begins, halfway between levels: (levels − 1,)."""
        return (torch.arange(self.levels - 1).to(like) + 0.5) / (self.levels - 1)

    def log_density(self, x: Tensor, decoded: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of x (..., pixels), the sum of the logs of its cells' masses: (...), nats."""
        return self._log_mass(self._levels_of(x), decoded, self.variance(z)).sum(-1)  # (...)

    @require.shapes(decoded="n pixels", x="batch pixels")
    def log_density_table(self, x: Tensor, decoded: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) of all images x (batch, pixels) under each of n latents: (n, batch), nats."""
        chosen = nn.functional.one_hot(self._levels_of(x), self.levels)  # (batch, pixels, levels)
        return self.log_masses(decoded, z).flatten(1) @ chosen.flatten(1).to(decoded).mT

    def log_masses(self, decoded: Tensor, z: Tensor) -> Tensor:
        """The logs of all cells' masses: (..., pixels) to (..., pixels, levels)."""
        levels = torch.arange(self.levels, device=decoded.device)
        scales = self.variance(z).expand_as(decoded)[..., None]  # (..., pixels, 1)
        return self._log_mass(levels, decoded[..., None], scales)

    def mean(self, decoded: Tensor) -> Tensor:
        """f(z), what the decoder gave: (..., pixels). E[x|z] differs from it at the open ends."""
        return decoded

    def draw(self, decoded: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        """A draw of x from p(x|z), every pixel a grey level: (..., pixels)."""
        uniform = torch.rand(decoded.shape, generator=generator, dtype=torch.float64).to(decoded)
        cumulative = self.log_masses(decoded, z).exp().cumsum(-1)[..., :-1]
        return (uniform[..., None] > cumulative).sum(-1) / (self.levels - 1)

    def _levels_of(self, x: Tensor) -> Tensor:
        """The grey levels of x, int64; ValueError where x lies between two."""
        require.between("x", x, 0, 1)
        scaled = x * (self.levels - 1)
        off = float((scaled - scaled.round()).abs().max())
        if off > ROUNDED:
            raise ValueError(
                f"x must lie on {self.levels} grey levels, multiples of 1/{self.levels - 1}, "
                f"but an entry is {off:.2g} grey steps away from them"
            )
        return scaled.round().long()

    def _log_mass(self, level: Tensor, decoded: Tensor, log_variance: Tensor) -> Tensor:
        """The log of C(above) − C(below), C being the law's cumulative; all arguments broadcast."""
        precision = (-0.5 * log_variance).exp()
        step, top = 1 / (self.levels - 1), self.levels - 1
        below = ((level - 0.5) * step - decoded) * precision  # the cell's edges, in scales
        above = ((level + 0.5) * step - decoded) * precision
        # The law is symmetric, and a difference has more digits left of 0, where both are small.
        right = below + above > 0
        low, high = torch.where(right, -above, below), torch.where(right, -below, above)
        log_low, log_high = self.law.log_cumulative(low), self.law.log_cumulative(high)
        inner = log_high + (-(log_low - log_high).expm1()).log()
        first, last = self.law.log_cumulative(above), self.law.log_cumulative(-below)
        return torch.where(level == 0, first, torch.where(level == top, last, inner))


Likelihood = GaussianPixels | BernoulliPixels | CellPixels
