"""σ², β and pixel units are one knob, and the likelihood cannot see the rate."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import require
from vae_tutorial.decomposition import (
    Decomposition,
    LatentModel,
    LinearGaussian,
    decompose_linear,
    linear_posterior,
)
from vae_tutorial.gaussians import cholesky_factor

# One p(x), and every rate


@require.fields(weight="D d", offset="D", noise="D D: cholesky")
class CorrelatedNoise(NamedTuple):
    """p(z) = N(0, I), p(x|z) = N(x; weight z + offset, L Lᵀ), with L = `noise`."""

    weight: Tensor  # (D, d)
    offset: Tensor  # (D,)
    noise: Tensor  # (D, D), lower triangular


@require.shapes(mean="D", covariance="D D: symmetric", weight="D d", share="(): fraction")
def same_evidence(
    mean: Tensor, covariance: Tensor, weight: Tensor, share: Tensor
) -> CorrelatedNoise:
    """The model of N(mean, covariance) that gives z a share t of what `weight` explains.

    Its weight is √t W, and its noise has the covariance S − t W Wᵀ, which must be positive
    definite; ValueError if it is not. Every t gives one and the same p(x). Book: eq-free-rate.

    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> model = same_evidence(one[0], one, one, torch.tensor(0.75, dtype=torch.float64))
    >>> print(f"slope {model.weight.item():.4f}, noise {model.noise.item():.4f}")
    slope 0.8660, noise 0.5000
    """
    noise = cholesky_factor(covariance - share * weight @ weight.mT)
    return CorrelatedNoise(share.sqrt() * weight, mean, noise)


@require.shapes(model="fields")
def information(model: CorrelatedNoise) -> Tensor:
    """The KL of the exact posterior from the prior, averaged over p(x): (), in nats.

    It is the mutual information of x and z. Book: eq-free-information.

    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> model = CorrelatedNoise(0.75**0.5 * one, one[0], 0.5 * one)
    >>> print(f"{information(model) / math.log(2):.4f} bits")
    1.0000 bits
    """
    weight = torch.linalg.solve_triangular(model.noise, model.weight, upper=False)  # L⁻¹ W
    return 0.5 * torch.logdet(torch.eye(weight.shape[1]).to(weight) + weight.mT @ weight)


@require.shapes(model="fields", x="... D")
def posterior_terms(model: CorrelatedNoise, x: Tensor) -> Decomposition:
    """All four terms of the identity at x (..., D), (...) each, where q is the exact posterior.

    Pixels multiplied by L⁻¹ have Λ = I, and their density is det L times that of the old ones.
    Book: vae5.
    """
    weight, centred = (
        torch.linalg.solve_triangular(model.noise, columns, upper=False)
        for columns in (model.weight, (x - model.offset).unsqueeze(-1))
    )  # (D, d), (..., D, 1)
    white = LinearGaussian(weight, torch.zeros_like(model.offset), weight.new_ones(()))
    x = centred.squeeze(-1)  # (..., D)
    terms = decompose_linear(white, x, *linear_posterior(white, x))
    volume = model.noise.diagonal().log().sum()  # log det L
    return terms._replace(
        log_evidence=terms.log_evidence - volume, log_likelihood=terms.log_likelihood - volume
    )


# One knob under several names


@require.shapes(scale="number: positive")
def rescaled(model: LatentModel, scale: float) -> LatentModel:
    """The same model with the prior of z stretched by `scale`, and a decoder that divides by it.

    Source: Doersch 2016, sec. 2.4.3. Book: eq-prior-scale.

    >>> normal = torch.distributions.Normal(0.0, 1.0)
    >>> wide = rescaled(LatentModel(normal.log_prob, normal.log_prob), 3.0)
    >>> print(f"{wide.log_prior(torch.zeros(1)).item():.4f}")  # that of N(0, 9)
    -2.0176
    """
    return LatentModel(
        log_prior=lambda z: model.log_prior(z / scale) - math.log(scale),
        log_likelihood=lambda z: model.log_likelihood(z / scale),
    )


@require.shapes(objective="...", variance="(): positive", weight="(): positive", pixels="count")
def bound_behind(objective: Tensor, variance: Tensor, weight: Tensor, pixels: int) -> Tensor:
    """The bound, at the noise βσ², that a β-objective D + βR at the noise σ² is: (...) to (...).

    `objective` is in nats, with the constants of the Gaussian; `weight` is β; `pixels` is their
    number. Source: Higgins et al. 2017. Book: eq-beta-noise.

    >>> half, four = torch.tensor([0.5, 4.0], dtype=torch.float64)
    >>> objective = torch.tensor([10.0], dtype=torch.float64)
    >>> print(f"{bound_behind(objective, half, four, 1).item():.4f}")
    -3.6224
    """
    old, new = (2 * math.pi * noise for noise in (variance, weight * variance))
    constant = 0.5 * pixels * (old.log() - weight * new.log())
    return (constant - objective) / weight


@require.shapes(weight="...: positive", charge="...: positive", scale="number: positive")
def implied_variance(weight: Tensor, charge: Tensor, scale: float = 1.0) -> Tensor:
    """The σ², for pixels in [0, 1], of a loss a ‖s x − s f‖² + w KL: (...), squared pixels.

    `weight` is w, `charge` is a (1/D for a mean over D pixels), and `scale` is s, 255 for grey
    levels. Book: eq-units.

    >>> w, a = torch.tensor([0.00025, 1 / 64], dtype=torch.float64)
    >>> print(f"{implied_variance(w, a):.3f}")
    0.008
    """
    return weight / (2 * charge * scale**2)


# The plane of rate and squared error


@require.shapes(eigenvalues="D", rates="... D: nonnegative")
def remaining_error(eigenvalues: Tensor, rates: Tensor) -> Tensor:
    """What is left of each axis's variance once it has got its nats, (..., D), squared pixels.

    Book: eq-spending.

    >>> remaining_error(torch.tensor([4.0, 1.0]), torch.tensor([math.log(2), 0.0]))
    tensor([1., 1.])
    """
    return eigenvalues * (-2 * rates).exp()


# A sweep over σ²


@require.fields(variance="k>=2: positive", rate="k", squared_error="k")
class Sweep(NamedTuple):
    """Models of one family trained on the same images, each at its σ²: (k,) each."""

    variance: Tensor  # squared pixels, falling
    rate: Tensor  # KL(q ‖ p(z)), nats per image
    squared_error: Tensor  # E‖x − f(z)‖², squared pixels per image


class Chords(NamedTuple):
    """The slopes of a sweep's chords, and what optima allow: (k − 1,) each, nats by error."""

    slope: Tensor  # of the rate in the squared error
    steepest: Tensor  # −1/2σ² of the smaller σ²
    flattest: Tensor  # −1/2σ² of the larger

    @property
    def inside(self) -> Tensor:
        """Whether the slope lies between the two, (k − 1,)."""
        return (self.steepest <= self.slope) & (self.slope <= self.flattest)


class Learned(NamedTuple):
    """The noise that suits given maps best, and their bound there: (...) each."""

    variance: Tensor  # squared pixels
    bound: Tensor  # nats per image


@require.shapes(sweep="fields")
def chords(sweep: Sweep) -> Chords:
    """The chord between each two neighbours of a sweep, beside the slopes that optima have.

    Book: eq-chord.

    >>> sweep = Sweep(*torch.tensor([[1.0, 0.25], [0.0, 0.8], [1.5, 0.7]]))
    >>> [f"{entry.item():.1f}" for entry in chords(sweep)]  # −1 lies between −2 and −½
    ['-1.0', '-2.0', '-0.5']
    """
    tangents = -1 / (2 * sweep.variance)  # (k,)
    return Chords(sweep.rate.diff() / sweep.squared_error.diff(), tangents[1:], tangents[:-1])


@require.shapes(sweep="fields")
def crossed_losses(sweep: Sweep) -> Tensor:
    """The loss R + E/2σ² of each model (a column) at the σ² of each (a row): (k, k), nats.

    Book: eq-crossed.

    >>> sweep = Sweep(*torch.tensor([[1.0, 0.25], [0.0, 0.8], [1.5, 0.7]]))
    >>> [[f"{nats:.2f}" for nats in row] for row in crossed_losses(sweep).tolist()]
    [['0.75', '1.15'], ['3.00', '2.20']]
    """
    return sweep.rate + sweep.squared_error / (2 * sweep.variance.unsqueeze(-1))


@require.shapes(sweep="fields")
def shortfall(sweep: Sweep) -> Tensor:
    """The nats by which each model is beaten, at its σ², by the best of the sweep there: (k,).

    Where it is positive, the model has not reached the optimum of its family, and it misses it by
    at least so much. Zero proves nothing. Book: eq-shortfall.

    >>> sweep = Sweep(*torch.tensor([[1.0, 0.25], [0.9, 0.8], [1.5, 0.7]]))
    >>> [f"{nats:.2f}" for nats in shortfall(sweep)]
    ['0.50', '0.00']
    """
    losses = crossed_losses(sweep)  # (k, k)
    return losses.diagonal() - losses.min(-1).values


@require.shapes(rate="...", squared_error="...: positive", pixels="count")
def learned_noise(rate: Tensor, squared_error: Tensor, pixels: int) -> Learned:
    """The best σ² for maps of a given rate and squared error (...), and the bound with it.

    There the rate is exchanged at the slope −D/2E. Source: Rybkin et al. 2021. Book: eq-own-noise.

    >>> rate, squared_error = torch.tensor([2.0, 3.2], dtype=torch.float64)
    >>> variance, bound = learned_noise(rate, squared_error, 64)
    >>> print(f"σ² {variance:.2f}, bound {bound:.4f} nats")
    σ² 0.05, bound 3.0514 nats
    """
    variance = squared_error / pixels
    return Learned(variance, -rate - 0.5 * pixels * ((2 * math.pi * variance).log() + 1))
