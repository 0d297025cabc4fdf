"""Likelihood, game and hybrid on the same digits and the same decoder, with exact densities."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from vae_tutorial import require
from vae_tutorial.adversarial import non_saturating, saturating
from vae_tutorial.likelihoods import FixedVariance, GaussianPixels
from vae_tutorial.models import log_prior
from vae_tutorial.noise import Estimate, mean_and_error, standard_normal
from vae_tutorial.quadrature import Rule, product, trapezoid

REACH = 4.8  # a grid over the latent plane covers [−4.8, 4.8]²: 3e-6 of the prior lies beyond
TRAINING_NODES = 35  # on each axis, of the grid that a step shifts at random
BLOCK = 100  # images scored at once, which bounds the memory


@require.fields(centres="n pixels", log_shares="n")
class Mixture(NamedTuple):
    """Gaussians of one variance around n centres; the shares sum to one."""

    centres: Tensor  # (n, pixels)
    log_shares: Tensor  # (n,)
    variance: float  # of each pixel, the same around every centre


def smoothed(images: Tensor, variance: float) -> Mixture:
    """The law of an image of `images` (n, pixels), taken at random, plus N(0, variance I).

    Book: eq-smoothed.
    """
    count = len(images)
    return Mixture(images, images.new_full((count,), -math.log(count)), variance)


def generated(decode: Callable[[Tensor], Tensor], rule: Rule, variance: float) -> Mixture:
    """p_g on a rule over the latents: f(z) + N(0, variance I) with z ~ N(0, I) at its nodes.

    Book: eq-generated.
    """
    log_mass = log_prior(rule.nodes) + rule.weights.log()  # (n,)
    return Mixture(decode(rule.nodes), log_mass, variance)


def log_components(mixture: Mixture, x: Tensor) -> Tensor:
    """log of each centre's part in the density of images x (batch, pixels): (n, batch), nats."""
    pixels = GaussianPixels(FixedVariance(mixture.variance))
    table = pixels.log_density_table(x, mixture.centres, mixture.log_shares)  # (n, batch)
    return table + mixture.log_shares[:, None]


def log_density(mixture: Mixture, x: Tensor) -> Tensor:
    """log density of images x (batch, pixels) under a mixture: (batch,), in nats.

    Book: eq-smoothed, eq-generated.
    """
    parts = [log_components(mixture, part).logsumexp(0) for part in x.split(BLOCK)]
    return torch.cat(parts)  # (batch,)


class Draws(NamedTuple):
    """What one step draws, besides its batch of digits."""

    latent: Tensor  # (batch, latent), z of the made images
    made: Tensor  # (batch, pixels), pixel noise of the made images
    real: Tensor  # (batch, pixels), pixel noise of the digits
    shift: Tensor  # (latent,), of the grid, in parts of its step: −½ to ½


class Judged(NamedTuple):
    """What likelihood and game need to know of a generator, (batch,) each, in nats."""

    log_density: Tensor  # log p_g(x) of digits x
    logit: Tensor  # log p(x) − log p_g(x) of made images x: the verdict of the best discriminator


class PerfectGame(nn.Module):
    """A generator in front of the best discriminator of all: a model that `make_step` can train."""

    def __init__(self, decoder: nn.Module, images: Tensor, variance: float):
        super().__init__()
        self.decoder, self.variance = decoder, variance
        self.register_buffer("images", images)

    def forward(self, batch: Tensor, draws: Draws) -> Judged:
        """Score digits (batch, pixels) under p_g, and made images by log p − log p_g."""
        deviation = math.sqrt(self.variance)
        real = batch + deviation * draws.real  # (batch, pixels)
        made = self.decoder(draws.latent) + deviation * draws.made  # (batch, pixels)
        model = generated(self.decoder, shifted_plane(draws.shift), self.variance)
        # The discriminator knows p_g as it is now; only the made images carry the gradient.
        known = model._replace(centres=model.centres.detach())
        logit = log_density(smoothed(self.images, self.variance), made) - log_density(known, made)
        return Judged(log_density(model, real), logit)


def plane(num_nodes: int) -> Rule:
    """The trapezoidal rule with `num_nodes` on each of two axes, without its empty corners."""
    rule = product(trapezoid(-REACH, REACH, num_nodes), 2)
    inside = rule.nodes.norm(dim=-1) <= REACH
    return Rule(rule.nodes[inside], rule.weights[inside])


def shifted_plane(shift: Tensor) -> Rule:
    """The grid of a step, moved by `shift` (2,) of its steps: no z stays between the nodes."""
    rule = plane(TRAINING_NODES)
    step = 2 * REACH / (TRAINING_NODES - 1)
    return Rule(rule.nodes.to(shift) + step * shift, rule.weights.to(shift))


def with_draws(
    batches: Iterable[Tensor], latent: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Draws]]:
    """Each batch (batch, pixels) with the `Draws` of its step."""
    for batch in batches:
        z = standard_normal((len(batch), latent), generator, like=batch)
        made, real = standard_normal((2, *batch.shape), generator, like=batch)
        shift = torch.rand(latent, generator=generator, dtype=torch.float64) - 0.5
        yield batch, Draws(z, made, real, shift.to(batch))


Objective = Callable[[Judged], Tensor]


def likelihood(judged: Judged) -> Tensor:
    """Minus the average log p_g of the digits, ()."""
    return -judged.log_density.mean()


def game(judged: Judged) -> Tensor:
    """The non-saturating loss of a generator against the best discriminator, ()."""
    return non_saturating(judged.logit).mean()


def saturating_game(judged: Judged) -> Tensor:
    """The loss of the game as first written: the mean of log(1 − D*), ()."""
    return saturating(judged.logit).mean()


def hybrid(weight: float) -> Objective:
    """Likelihood plus `weight` times the game. Book: eq-hybrid."""

    def objective(judged: Judged) -> Tensor:
        return likelihood(judged) + weight * game(judged)

    return objective


class Distances(NamedTuple):
    """How far p_g is from p, from n draws of each, with standard errors, in nats."""

    forward: Estimate  # KL(p ‖ p_g)
    reverse: Estimate  # KL(p_g ‖ p)
    jensen_shannon: Estimate


def distances(p: Mixture, model: Mixture, real: Tensor, made: Tensor) -> Distances:
    """Measure from n draws of p, `real`, and as many of p_g, `made`: (n, pixels) each."""
    at_real = log_density(p, real) - log_density(model, real)  # (n,), log p − log p_g
    at_made = log_density(p, made) - log_density(model, made)  # (n,)
    # log p − log ½(p + p_g) = log 2 − softplus(−logit), and with p_g in place of p likewise.
    halves = math.log(2) - 0.5 * (softplus(-at_real) + softplus(at_made))
    return Distances(mean_and_error(at_real), mean_and_error(-at_made), mean_and_error(halves))


def responsibilities(p: Mixture, x: Tensor) -> Tensor:
    """Which of the n images p holds behind the images x (batch, pixels), on average: (n,)."""
    parts = [log_components(p, part).softmax(0).sum(-1) for part in x.split(BLOCK)]
    return torch.stack(parts).sum(0) / len(x)  # (n,)


def effective_count(shares: Tensor) -> Tensor:
    """The exponential of the entropy of shares (n,): n where all are equal, 1 for one alone, ()."""
    return torch.special.entr(shares).sum().exp()
