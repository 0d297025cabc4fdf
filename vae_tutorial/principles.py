"""Likelihood, game and hybrid on the same digits and the same decoder, with exact densities.

Data and model get the same pixel noise, so both are mixtures of Gaussians with one variance: the
data around their images, the model around f(z) at the nodes of a rule over two latents.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap
from torch.nn.functional import softplus

from vae_tutorial import require
from vae_tutorial.adversarial import log_mixture, non_saturating, saturating
from vae_tutorial.likelihoods import FixedVariance, GaussianPixels
from vae_tutorial.models import log_prior
from vae_tutorial.noise import Estimate, mean_and_error, standard_normal
from vae_tutorial.quadrature import Rule, product, trapezoid

REACH = 4.8  # of a grid over the latent plane: 1e-5 of the prior lies outside this circle
TRAINING_NODES = 35  # on each axis, of the grid that a step shifts at random
BLOCK = 100  # images scored at once, which bounds the memory


@require.fields(centres="n pixels", log_shares="n")
class Mixture(NamedTuple):
    """Gaussians of one variance around n centres; the shares of the centres sum to one."""

    centres: Tensor  # (n, pixels)
    log_shares: Tensor  # (n,)
    variance: float  # of each pixel, the same around every centre


@require.shapes(images="n pixels", variance="number: positive")
def smoothed(images: Tensor, variance: float) -> Mixture:
    """The law of one of n images (n, pixels), taken at random, plus noise N(0, variance I).

    Source: Parzen 1962. Book: eq-smoothed.
    """
    log_share = -math.log(len(images))
    return Mixture(images, torch.full_like(images[:, 0], log_share), variance)


def generated(decode: Callable[[Tensor], Tensor], rule: Rule, variance: float) -> Mixture:
    """p_g by a rule over the latents: f(z) plus N(0, variance I), where z ~ N(0, I).

    Book: eq-generated.
    """
    log_mass = log_prior(rule.nodes) + rule.weights.log()  # (n,)
    return Mixture(decode(rule.nodes), log_mass, variance)


def plane(num_nodes: int) -> Rule:
    """The trapezoidal rule with `num_nodes` on each of two axes, without its empty corners."""
    rule = product(trapezoid(-REACH, REACH, num_nodes), 2)
    inside = rule.nodes.norm(dim=-1) <= REACH
    return Rule(rule.nodes[inside], rule.weights[inside])


def log_density(mixture: Mixture, x: Tensor) -> Tensor:
    """log density of images x (batch, pixels) under a mixture: (batch,), in nats.

    Book: eq-smoothed, eq-generated.

    >>> one = smoothed(torch.zeros(1, 2), 1.0)  # two pixels, one black image
    >>> print(f"{log_density(one, torch.zeros(1, 2)).item():.4f}")  # −log 2π
    -1.8379
    """
    return torch.cat([log_mixture(part, *mixture) for part in x.split(BLOCK)])  # (batch,)


class DrawnDivergences(NamedTuple):
    """How far a model p_g is from the data's p, in nats, by draws: () each."""

    forward: Estimate  # KL(p ‖ p_g): what likelihood lowers
    reverse: Estimate  # KL(p_g ‖ p)
    jensen_shannon: Estimate  # at most log 2
    non_saturating: (
        Estimate  # KL(p_g ‖ p) − 2 JS: what a generator lowers before the best discriminator
    )


@require.shapes(real="n>=2 pixels", made="n pixels")
def drawn_divergences(p: Mixture, model: Mixture, real: Tensor, made: Tensor) -> DrawnDivergences:
    """Measure from n draws of p, `real`, and as many of p_g, `made`: (n, pixels) each.

    Both densities are exact, so only the draws leave an error, and its size is stated.
    Book: eq-drawn-divergences, eq-half-way.
    """
    at_real = log_density(p, real) - log_density(model, real)  # (n,), the best D's logit
    at_made = log_density(p, made) - log_density(model, made)  # (n,)
    doubt_of_real = softplus(-at_real)  # −log D, which is log of (p + p_g) / p
    doubt_of_made = softplus(at_made)  # −log (1 − D)
    return DrawnDivergences(
        mean_and_error(at_real),
        mean_and_error(-at_made),
        mean_and_error(math.log(2) - 0.5 * (doubt_of_real + doubt_of_made)),
        mean_and_error(doubt_of_real + softplus(-at_made) - 2 * math.log(2)),
    )


class Limits(NamedTuple):
    """Between which two numbers a divergence lies, in nats."""

    low: float
    high: float


@require.shapes(images="n pixels", variance="number: positive", count="count<=n")
def memorised_divergence(images: Tensor, count: int, variance: float) -> Limits:
    """Where KL(p_g ‖ p) lies if p_g repeats the first `count` of the n images behind p.

    At most log (n / count), and less by no more than the overlaps of those with the rest.
    Book: eq-memorised.
    """
    high = math.log(len(images) / count)
    squares = torch.cdist(images[:count], images[count:]).square()  # (count, n − count)
    overlaps = (-squares / (8 * variance)).exp().sum() / count
    return Limits(high - float(overlaps), high)


@require.shapes(p="fields", x="batch pixels")
def shares_of_images(p: Mixture, x: Tensor) -> Tensor:
    """How often each of the n images behind p is the one behind x (batch, pixels): (n,).

    By Bayes' rule, averaged over the batch. Book: eq-effective-images.
    """
    pixels = GaussianPixels(FixedVariance(p.variance))
    total = torch.zeros_like(p.log_shares)  # (n,)
    for part in x.split(BLOCK):
        table = pixels.log_density_table(part, p.centres, p.centres)  # (n, batch)
        total = total + (table + p.log_shares[:, None]).softmax(0).sum(-1)  # (n,)
    return total / len(x)


@require.shapes(shares="n: nonnegative")
def effective_count(shares: Tensor) -> Tensor:
    """The exponential of the entropy of shares (n,) that sum to one: ().

    Source: Jost 2006. Book: eq-effective-images.

    >>> print(f"{effective_count(torch.tensor([0.25, 0.25, 0.25, 0.25, 0.0])):.4f}")
    4.0000
    """
    return torch.special.entr(shares).sum().exp()


class Draws(NamedTuple):
    """What one step draws, besides its batch of images."""

    latent: Tensor  # (batch, 2), z of the made images
    made: Tensor  # (batch, pixels), noise of the made images
    real: Tensor  # (batch, pixels), noise of the images of the data
    shift: Tensor  # (2,), of the grid, in parts of its step: −½ to ½


class Judged(NamedTuple):
    """What likelihood and game need to know of a generator, (batch,) each, in nats."""

    log_density: Tensor  # log p_g(x) of images of the data
    logit: Tensor  # log p(x) − log p_g(x) of made images: the best discriminator's logit


class PerfectGame(nn.Module):
    """A generator before the best of all discriminators, as a model that `make_step` trains."""

    def __init__(self, decoder: nn.Module, images: Tensor, variance: float):
        super().__init__()
        self.decoder, self.images, self.variance = decoder, images, variance

    def forward(self, batch: Tensor, draws: Draws) -> Judged:
        """Score images of the data (batch, pixels) under p_g, and made ones by their logit."""
        deviation = math.sqrt(self.variance)
        real = batch + deviation * draws.real  # (batch, pixels)
        made = self.decoder(draws.latent) + deviation * draws.made  # (batch, pixels)
        p = smoothed(self.images, self.variance)
        model = generated(self.decoder, shifted_plane(draws.shift), self.variance)
        # D knows p_g as it is now and stays: the gradient comes through the made images alone.
        known = model._replace(centres=model.centres.detach())
        logit = log_density(p, made) - log_density(known, made)  # (batch,)
        return Judged(log_density(model, real), logit)


def shifted_plane(shift: Tensor) -> Rule:
    """A coarse grid over the plane, moved by `shift` (2,) of its steps.

    A fresh shift for each step of training leaves no z between the nodes for ever.
    """
    rule, step = plane(TRAINING_NODES), 2 * REACH / (TRAINING_NODES - 1)
    return Rule(rule.nodes.to(shift) + step * shift, rule.weights.to(shift))


def with_draws(
    batches: Iterable[Tensor], generator: torch.Generator
) -> Iterator[tuple[Tensor, Draws]]:
    """Each batch (batch, pixels) with the `Draws` of its step, drawn in its turn."""
    for batch in batches:
        latent = standard_normal((len(batch), 2), generator, like=batch)
        made, real = standard_normal((2, *batch.shape), generator, like=batch)
        shift = torch.rand(2, generator=generator, dtype=torch.float64) - 0.5
        yield batch, Draws(latent, made, real, shift.to(batch))


Objective = Callable[[Judged], Tensor]


def likelihood(judged: Judged) -> Tensor:
    """Minus the average log p_g of images of the data, (). Book: eq-hybrid."""
    return -judged.log_density.mean()


def game(judged: Judged) -> Tensor:
    """A generator's non-saturating loss before the best discriminator, (). Book: eq-hybrid."""
    return non_saturating(judged.logit).mean()


def saturating_game(judged: Judged) -> Tensor:
    """What the game as first written lets a generator lower, before the best discriminator, ()."""
    return saturating(judged.logit).mean()


def hybrid(weight: float) -> Objective:
    """The objective likelihood + weight · game. Source: Larsen et al. 2016. Book: eq-hybrid.

    >>> judged = Judged(torch.tensor([-3.0]), torch.tensor([0.0]))
    >>> print(f"{hybrid(2.0)(judged):.4f}")  # 3 + 2 log 2
    4.3863
    """

    def objective(judged: Judged) -> Tensor:
        return likelihood(judged) + weight * game(judged)

    return objective


@require.shapes(x="batch pixels")
def log_density_through(
    features: Callable[[Tensor], Tensor],
    log_density_of_features: Callable[[Tensor], Tensor],
    x: Tensor,
) -> Tensor:
    """log p(x) of pixels x (batch, pixels) from a density of their features: (batch,), in nats.

    `features` maps one image (pixels,) to as many numbers, one to one; the density takes
    (batch, pixels). Book: eq-feature-density.

    >>> standard = lambda y: -0.5 * y.square().sum(-1)  # up to its constant
    >>> print(f"{log_density_through(lambda x: 3 * x, standard, torch.zeros(1, 2)).item():.4f}")
    2.1972
    """
    slopes = vmap(jacrev(features))(x)  # (batch, pixels, pixels)
    log_volume = torch.linalg.slogdet(slopes).logabsdet  # (batch,)
    return log_density_of_features(vmap(features)(x)) + log_volume
