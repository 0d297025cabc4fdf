"""In one dimension the gap of a Gaussian q closes like Cσ², and C is known before training.

One latent, one pixel: x = f(z) + σε, where f carries N(0, 1) to the law of the data.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.special import erfc, ndtri

from vae_tutorial import require
from vae_tutorial.gaussians import log_normal
from vae_tutorial.quadrature import Rule

HALVINGS = 60  # of an interval of a few units: no float64 is left inside


class Law(Protocol):
    """A law on the line with a positive smooth density, and its map to N(0, 1)."""

    def log_density(self, x: Tensor) -> Tensor:
        """Log p(x): (...) to (...), nats."""

    def score(self, x: Tensor) -> Tensor:
        """The derivative of log p(x), nats per unit of x."""

    def blurred_log_density(self, x: Tensor, variance: float) -> Tensor:
        """The log-density of a draw with noise of this variance on it."""

    def to_normal(self, x: Tensor) -> Tensor:
        """g = Φ⁻¹∘F: (...) to (...)."""


@require.fields(weight="k: positive", mean="k", deviation="k: positive")
class Mixture(NamedTuple):
    """A law on the line: k Gaussians with weights (k,) that sum to one."""

    weight: Tensor
    mean: Tensor
    deviation: Tensor

    @require.shapes(self="fields", x="...")
    def log_density(self, x: Tensor) -> Tensor:
        """Log p(x): (...) to (...), nats."""
        return self._log_parts(x).logsumexp(-1)

    @require.shapes(self="fields", x="...")
    def score(self, x: Tensor) -> Tensor:
        """The derivative of log p(x): (...) to (...), nats per unit of x. Book: eq-zero-slopes."""
        pull = (self.mean - x[..., None]) / self.deviation.square()  # (..., k)
        return (self._log_parts(x).softmax(-1) * pull).sum(-1)

    @require.shapes(self="fields", x="...", variance="number: positive")
    def blurred_log_density(self, x: Tensor, variance: float) -> Tensor:
        """log (p ∗ N(0, variance))(x), which each Gaussian takes up exactly. Book: eq-blurred.

        >>> law = mixture([0.5, 0.5], [-1.0, 1.0], [0.6, 0.6])
        >>> print(f"{law.blurred_log_density(torch.zeros(1).double(), 0.28).item():.4f}")
        -1.4770
        """
        wider = (self.deviation.square() + variance).sqrt()
        return self._replace(deviation=wider).log_density(x)

    @require.shapes(self="fields", x="...")
    def to_normal(self, x: Tensor) -> Tensor:
        """g(x) = Φ⁻¹(F(x)): (...) to (...); the smaller tail is inverted. Book: eq-zero-map."""
        standard = (x[..., None] - self.mean) / self.deviation  # (..., k)
        below, above = (0.5 * erfc(side * standard / 2**0.5) @ self.weight for side in (-1, 1))
        return torch.where(below < above, ndtri(below), -ndtri(above))

    @require.shapes(self="fields", z="...")
    def from_normal(self, z: Tensor) -> Tensor:
        """f(z) = F⁻¹(Φ(z)): (...) to (...), by halving. Book: eq-zero-map.

        F⁻¹ of a mixture lies between those of its Gaussians, so these enclose the answer.

        >>> law = mixture([0.5, 0.5], [-1.0, 1.0], [0.6, 0.6])
        >>> print(f"{law.from_normal(torch.ones(1).double()).item():.4f}")  # the 84 % quantile
        1.2853
        """
        each = self.mean + self.deviation * z[..., None]  # (..., k)
        low, high = each.amin(-1), each.amax(-1)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            small = self.to_normal(middle) < z
            low, high = torch.where(small, middle, low), torch.where(small, high, middle)
        return (low + high) / 2

    def _log_parts(self, x: Tensor) -> Tensor:
        """Log of weight times density of each Gaussian: (...) to (..., k)."""
        log_variance = 2 * self.deviation.log()[:, None]  # (k, 1)
        each = log_normal(x[..., None, None], self.mean[:, None], log_variance)  # (..., k)
        return each + self.weight.log()


def mixture(weight: list[float], mean: list[float], deviation: list[float]) -> Mixture:
    """A mixture of Gaussians in float64; raises ValueError unless the weights sum to one.

    >>> mixture([0.5, 0.5], [-1.0, 1.0], [0.6, 0.6]).log_density(torch.zeros(1).double()).shape
    torch.Size([1])
    """
    parts = [torch.tensor(part, dtype=torch.float64) for part in (weight, mean, deviation)]
    if abs(float(parts[0].sum()) - 1) > 1e-12:
        raise ValueError(f"weights must sum to 1, got {float(parts[0].sum()):g}")
    return Mixture(*parts)


class Slopes(NamedTuple):
    """How the map to N(0, 1) and the prior bend at x, (...) each, in units of 1/x."""

    bend: Tensor  # g″/g′
    pull: Tensor  # g g′


@require.shapes(x="...")
def slopes(law: Law, x: Tensor) -> Slopes:
    """g″/g′ and gg′ from the density alone: (...) to (...) each. Book: eq-zero-slopes."""
    z = law.to_normal(x)
    pull = z * stretch(law, x)
    return Slopes(law.score(x) + pull, pull)


@require.shapes(x="...")
def stretch(law: Law, x: Tensor) -> Tensor:
    """g′(x) = p(x) / φ(g(x)): (...) to (...), latents per unit of x. Book: eq-zero-posterior."""
    z = law.to_normal(x)
    return (law.log_density(x) + 0.5 * z.square() + 0.5 * math.log(2 * math.pi)).exp()


class Gaussian(NamedTuple):
    """q(z|x) = N(mean, deviation²) for each x: (...) each."""

    mean: Tensor
    deviation: Tensor


Encoder = Callable[[Law, Tensor, float], Gaussian]


@require.shapes(x="...", variance="number: positive")
def limit_posterior(law: Law, x: Tensor, variance: float) -> Gaussian:
    """q = N(g(x), (g′(x) σ)²), the posterior's shape as σ → 0: (...) to (...) each.

    Source: Doersch 2016, appendix A. Book: eq-zero-posterior.
    """
    return Gaussian(law.to_normal(x), stretch(law, x) * variance**0.5)


@require.shapes(x="...", variance="number: positive")
def shifted_posterior(law: Law, x: Tensor, variance: float) -> Gaussian:
    """The limit's q with its mean moved: to the order σ² no Gaussian has a smaller gap.

    Book: eq-zero-shift.
    """
    limit, (bend, pull) = limit_posterior(law, x, variance), slopes(law, x)
    return Gaussian(limit.mean + stretch(law, x) * variance * (1.5 * bend - pull), limit.deviation)


@require.shapes(variance="number: positive")
def gap(law: Law, variance: float, rule: Rule, encoder: Encoder = limit_posterior) -> Tensor:
    """KL(q ‖ p(z|x)) in the model whose decoder is f, at the nodes x of a rule: (n,), in nats.

    Under q, z is averaged over the images y = f(z) at the same nodes, because g bends more gently
    than f. They must cover the data, and lie at most σ apart. Book: eq-zero-gap.
    """
    q, z = encoder(law, rule.nodes, variance), law.to_normal(rule.nodes)  # (n,) each
    log_q = _log_gaussian(z, q.mean[:, None], q.deviation[:, None])  # (n, n): a row for each x
    log_likelihood = _log_gaussian(
        rule.nodes[:, None], rule.nodes, rule.nodes.new_tensor(variance).sqrt()
    )
    log_joint = log_likelihood + _log_gaussian(z, z.new_zeros(()), z.new_ones(()))
    step = rule.weights * stretch(law, rule.nodes)  # (n,): dz = g′ dy
    divergence = (log_q.exp() * (log_q - log_joint)) @ step  # (n,)
    return divergence + law.blurred_log_density(rule.nodes, variance)


@require.shapes(variance="number: positive")
def average_gap(law: Law, variance: float, rule: Rule, encoder: Encoder = limit_posterior) -> float:
    """E KL(q ‖ p(z|x)) over the data, in nats; the rule is that of `gap`. Book: eq-zero-gap.

    >>> from vae_tutorial.quadrature import trapezoid
    >>> normal, rule = mixture([1.0], [0.0], [1.0]), trapezoid(-8.0, 8.0, 401)
    >>> print(f"{average_gap(normal, 0.01, rule) / 0.01:.4f}")  # C is ½
    0.4975
    """
    return float(_data_mass(law, rule) @ gap(law, variance, rule, encoder))


class Constants(NamedTuple):
    """What the average gap is divided by σ², as σ → 0, in nats per squared unit of x."""

    limit: float  # with the limit's q
    shifted: float  # with its mean shifted, and no Gaussian has less


def gap_constants(law: Law, rule: Rule) -> Constants:
    """C for the limit's q and for the shifted one, from the data's density alone.

    Book: eq-zero-constant, eq-zero-best.

    >>> from vae_tutorial.quadrature import trapezoid
    >>> law = mixture([0.5, 0.5], [-1.0, 1.0], [0.6, 0.6])
    >>> print([f"{value:.4f}" for value in gap_constants(law, trapezoid(-6.0, 6.0, 1201))])
    ['1.4273', '0.4210']
    """
    mass, (bend, pull) = _data_mass(law, rule), slopes(law, rule.nodes)
    limit = 0.5 * (3.75 * bend.square() - 3 * bend * pull + pull.square())
    return Constants(float(mass @ limit), float(mass @ (0.75 * bend.square())))


@require.shapes(variance="number: positive")
def average_rate(
    law: Law, variance: float, rule: Rule, encoder: Encoder = limit_posterior
) -> float:
    """E KL(q ‖ p(z)) over the data, in nats. Book: eq-zero-rate.

    >>> from vae_tutorial.quadrature import trapezoid
    >>> normal, rule = mixture([1.0], [0.0], [1.0]), trapezoid(-8.0, 8.0, 401)
    >>> print([f"{average_rate(normal, 10.0**-n, rule):.4f}" for n in (2, 4)])  # log 10 more
    ['2.3076', '4.6052']
    """
    mean, deviation = encoder(law, rule.nodes, variance)
    kl = 0.5 * (mean.square() + deviation.square() - 1) - deviation.log()
    return float(_data_mass(law, rule) @ kl)


def _data_mass(law: Law, rule: Rule) -> Tensor:
    """What each node counts for in an average over the data: (n,)."""
    return rule.weights * law.log_density(rule.nodes).exp()


def _log_gaussian(value: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """The log-density of a number, with its own mean and deviation: (...), in nats."""
    standard = (value - mean) / deviation
    return -0.5 * standard.square() - deviation.log() - 0.5 * math.log(2 * math.pi)
