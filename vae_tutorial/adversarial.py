"""The GAN where every density is known: its game, and what the generator follows.

p is the density of the data and p_g that of the generator. A discriminator answers with a logit,
log D(x) − log (1 − D(x)), one number an image. Where a rule is asked for, densities and logits are
given at its nodes, (n,): logs in nats, −∞ where a density is zero.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value
from torch.nn.functional import softplus

from vae_tutorial import require
from vae_tutorial.adam import adam, adam_coefficients
from vae_tutorial.likelihoods import FixedVariance, GaussianPixels
from vae_tutorial.quadrature import Rule
from vae_tutorial.training import State, initial_state

Judge = Callable[[Tensor], Tensor]  # images (batch, pixels) → logits (batch,)
GeneratorLoss = Callable[[Tensor], Tensor]  # the logit of each made image → its loss, (...)
Penalty = Callable[[Judge, Tensor, Tensor], Tensor]  # of judge, data and made images → ()


class Divergences(NamedTuple):
    """How far p_g lies from p, in four ways: () each, in nats, zero only where p_g = p."""

    forward: Tensor  # KL(p ‖ p_g), which likelihood lowers
    reverse: Tensor  # KL(p_g ‖ p)
    jensen_shannon: Tensor  # at most log 2

    @property
    def non_saturating(self) -> Tensor:
        """KL(p_g ‖ p) − 2 JS, which a non-saturating generator lowers. Book: eq-half-way."""
        return self.reverse - 2 * self.jensen_shannon


class Players(NamedTuple):
    """Where a game stands: the two players' parameters, Adam's moments and steps."""

    generator: State
    discriminator: State


class Rates(NamedTuple):
    """The learning rates of the two players' steps."""

    generator: float
    discriminator: float


class Round(NamedTuple):
    """The players after a round, and the loss that each met in it, before its step: ()."""

    players: Players
    generator_loss: Tensor
    discriminator_loss: Tensor


PlayerStep = Callable[[Players, float, Tensor, Tensor], tuple[State, Tensor]]
GameStep = Callable[[Players, Rates, Tensor, Tensor], Round]


def best_discriminator(log_data: Tensor, log_made: Tensor) -> Tensor:
    """D* = p / (p + p_g), from log p and log p_g where one of them is positive: (...) to (...).

    Source: Goodfellow et al. 2014, proposition 1. Book: eq-best-discriminator.

    >>> three_images = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.5, 0.25, 0.25])
    >>> [f"{d:.4f}" for d in best_discriminator(*(law.log() for law in three_images))]
    ['0.5000', '0.6667', '0.0000']
    """
    return (log_data - log_made).sigmoid()


def value(log_data: Tensor, log_made: Tensor, logit: Tensor, rule: Rule) -> Tensor:
    """V(D) = E_p[log D] + E_{p_g}[log (1 − D)] of any discriminator: (), in nats.

    Source: Goodfellow et al. 2014, eq. 1. Book: eq-game.
    """
    rewarded = _expectation(log_data, -softplus(-logit), rule)
    return rewarded + _expectation(log_made, -softplus(logit), rule)


def value_gap(log_data: Tensor, log_made: Tensor, logit: Tensor, rule: Rule) -> Tensor:
    """What a discriminator leaves below V(D*): ∫ (p + p_g) KL(D* ‖ D) dx, (), in nats.

    KL(D* ‖ D) is that of two coins, one number an image. Book: eq-value-gap.
    """
    best = log_data - log_made  # (n,), the logit of D*
    says_data = _expectation(log_data, softplus(-logit) - softplus(-best), rule)
    return says_data + _expectation(log_made, softplus(logit) - softplus(best), rule)


def divergences(log_data: Tensor, log_made: Tensor, rule: Rule) -> Divergences:
    """The divergences between p and p_g, by a rule. Book: eq-divergences.

    Two images, both in the data, of which the generator makes one: log 2 is the price of the
    other by KL(p_g ‖ p), and each other price is another.

    >>> each_once = Rule(torch.arange(2.0), torch.ones(2))
    >>> found = divergences(torch.tensor([0.5, 0.5]).log(), torch.tensor([1.0, 0.0]).log(),
    ...                     each_once)
    >>> [f"{nats:.4f}" for nats in (*found, found.non_saturating)]
    ['inf', '0.6931', '0.2158', '0.2616']
    """
    log_middle = torch.logaddexp(log_data, log_made) - math.log(2)  # of (p + p_g) / 2
    return Divergences(
        forward=_expectation(log_data, log_data - log_made, rule),
        reverse=_expectation(log_made, log_made - log_data, rule),
        jensen_shannon=0.5 * _expectation(log_data, log_data - log_middle, rule)
        + 0.5 * _expectation(log_made, log_made - log_middle, rule),
    )


def generator_gradient(
    made: Callable[[Tensor], Tensor],
    parameters: Tensor,
    log_data: Tensor,
    loss: GeneratorLoss,
    rule: Rule,
) -> Tensor:
    """The gradient (k,) of E_{p_g}[loss] in the generator's parameters (k,), with D* held still.

    `made` takes the parameters to log p_g at the rule's nodes, (k,) to (n,).
    Source: Arjovsky & Bottou 2017, theorem 2.5. Book: eq-generator-gradient.
    """
    parameters = parameters.detach().requires_grad_()
    log_made = made(parameters)  # (n,)
    held = loss((log_data - log_made).detach())  # (n,), at D*, which does not know the parameters
    (gradient,) = torch.autograd.grad(_expectation(log_made, held, rule), parameters)
    return gradient


@require.shapes(x="batch pixels", centres="n pixels", log_shares="n", variance="number: positive")
def log_mixture(x: Tensor, centres: Tensor, log_shares: Tensor, variance: float) -> Tensor:
    """log of Σ shares · N(x; centre, variance · I): x (batch, pixels) to (batch,), in nats.

    With the images as centres it is their density under noise; with means f(z) of prior draws, or
    of a rule's nodes, it is that of a generator. Book: eq-mixture.

    >>> x, centres = torch.zeros(1, 1), torch.tensor([[-1.0], [1.0]])
    >>> print(f"{log_mixture(x, centres, torch.full((2,), 0.5).log(), 1.0).item():.4f}")
    -1.4189
    """
    pixels = GaussianPixels(FixedVariance(variance))
    table = pixels.log_density_table(x, centres, centres)  # (n, batch)
    return (table + log_shares.unsqueeze(-1)).logsumexp(0)


@require.shapes(log_made="n", centres="k D", reach="number: positive")
def mass_near(log_made: Tensor, centres: Tensor, reach: float, rule: Rule) -> Tensor:
    """How much of p_g lies within `reach` of each centre (k, D), by a rule's nodes (n, D): (k,)."""
    mass = rule.weights * log_made.exp()  # (n,)
    near = torch.cdist(centres, rule.nodes) <= reach  # (k, n)
    return near.to(mass) @ mass


@require.shapes(of_data="n", of_made="m")
def discriminator_loss(of_data: Tensor, of_made: Tensor) -> Tensor:
    """−V: the discriminator's cross-entropy from logits of data (n,) and of made images (m,): ().

    Source: Goodfellow et al. 2014, eq. 1. Book: eq-game.

    Who cannot tell them apart answers 0 and pays log 4:

    >>> print(f"{discriminator_loss(torch.zeros(3), torch.zeros(5)):.4f}")
    1.3863
    """
    return softplus(-of_data).mean() + softplus(of_made).mean()


def saturating(logit: Tensor) -> Tensor:
    """log (1 − D) at each made image: what the game lets its generator lower, (...) to (...).

    Source: Goodfellow et al. 2014, eq. 1. Book: eq-generator-gradient.
    """
    return -softplus(logit)


def non_saturating(logit: Tensor) -> Tensor:
    """−log D at each made image: what a generator lowers in practice, (...) to (...).

    Source: Goodfellow et al. 2014, section 3. Book: eq-generator-gradient.

    >>> hopeless = torch.tensor(-10.0, requires_grad=True)  # D is sure that it was made
    >>> [f"{torch.autograd.grad(loss(hopeless), hopeless)[0].item():.5f}"
    ...  for loss in (saturating, non_saturating)]
    ['-0.00005', '-0.99995']
    """
    return softplus(-logit)


def no_penalty(judge: Judge, data: Tensor, made: Tensor) -> Tensor:
    """Nothing is asked of the discriminator beside its loss: zero, ()."""
    return data.new_zeros(())


def slope_penalty(weight: float) -> Penalty:
    """R1: half of `weight` times the mean squared slope of the logit at the data.

    Source: Mescheder et al. 2018, eq. 9.

    >>> x = torch.zeros(5, 2)
    >>> slope_penalty(3.0)(lambda x: 2 * x.sum(-1), x, x)  # slope (2, 2) everywhere
    tensor(12.)
    """

    def penalty(judge, data, made):
        slopes = grad(lambda x: judge(x).sum())(data)  # (n, pixels)
        return 0.5 * weight * slopes.square().sum(-1).mean()

    return penalty


def initial_players(generator: nn.Module, discriminator: nn.Module) -> Players:
    """The state before the first round: copies of both players' parameters, and zero moments."""
    return Players(initial_state(generator), initial_state(discriminator))


def make_discriminator_step(
    generator: nn.Module, discriminator: nn.Module, penalty: Penalty = no_penalty
) -> PlayerStep:
    """Make the pure step(players, rate, data, noise) → (the discriminator's new State, its loss).

    Data are (n, pixels) and noise (n, latent). The loss is differentiated in the discriminator's
    parameters alone: the generator's are constants of it. Book: eq-game.
    """

    def step(players, rate, data, noise):
        made = functional_call(generator, players.generator.parameters, (noise,))  # (n, pixels)

        def loss(parameters):
            def judge(x):
                return functional_call(discriminator, parameters, (x,))  # (n,)

            return discriminator_loss(judge(data), judge(made)) + penalty(judge, data, made)

        return _descend(players.discriminator, loss, rate, data)

    return step


def make_generator_step(
    generator: nn.Module, discriminator: nn.Module, loss: GeneratorLoss
) -> PlayerStep:
    """Make the pure step(players, rate, data, noise) → (the generator's new State, its loss).

    The loss is differentiated through the discriminator, whose parameters are constants of it. Of
    the data only dtype and device are used. Book: eq-generator-gradient.
    """

    def step(players, rate, data, noise):
        def met(parameters):
            made = functional_call(generator, parameters, (noise,))  # (n, pixels)
            judge = players.discriminator.parameters
            logits = functional_call(discriminator, judge, (made,))  # (n,)
            return loss(logits).mean()

        return _descend(players.generator, met, rate, data)

    return step


def make_game_step(
    generator: nn.Module,
    discriminator: nn.Module,
    generator_loss: GeneratorLoss = non_saturating,
    penalty: Penalty = no_penalty,
) -> GameStep:
    """Make the pure step(players, rates, data, noise) → Round: one step of each player.

    The discriminator goes first, and the generator then meets the new one. Data are (n, pixels);
    noise is (2, n, latent), a draw for each player. It changes none of its arguments and draws no
    random number. Source: Goodfellow et al. 2014, algorithm 1. Book: eq-game.

    >>> from vae_tutorial.models import network
    >>> random = torch.Generator().manual_seed(0)
    >>> generator, discriminator = network([3, 2], random), Logit(network([2, 8, 1], random))
    >>> step, players = make_game_step(generator, discriminator), initial_players(
    ...     generator, discriminator)
    >>> after = step(players, Rates(0.001, 0.01), torch.zeros(5, 2), torch.zeros(2, 5, 3))
    >>> after.players.generator.steps, after.players.discriminator.steps
    (1, 1)
    """
    judge_better = make_discriminator_step(generator, discriminator, penalty)
    make_better = make_generator_step(generator, discriminator, generator_loss)

    def step(players, rates, data, noise):
        judge, judged = judge_better(players, rates.discriminator, data, noise[0])
        players = players._replace(discriminator=judge)
        maker, met = make_better(players, rates.generator, data, noise[1])
        return Round(players._replace(generator=maker), met, judged)

    return step


class Logit(nn.Module):
    """A network with one output as a discriminator: x (batch, pixels) to logits (batch,)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Score x (batch, pixels) by its logit, (batch,)."""
        return self.network(x).squeeze(-1)


def _descend(state: State, loss: Callable, rate: float, like: Tensor) -> tuple[State, Tensor]:
    """One step of Adam against the loss, a function of the parameters; and the loss before it."""
    gradients, value = grad_and_value(loss)(state.parameters)
    coefficients = adam_coefficients(state.steps + 1, rate, like)
    parameters, moments = adam(state.parameters, state.moments, gradients, coefficients)
    return State(parameters, moments, state.steps + 1), value


def _expectation(log_density: Tensor, values: Tensor, rule: Rule) -> Tensor:
    """∫ density · values by a rule, (); nothing is added where the density is zero."""
    density = log_density.exp()  # (n,)
    return (rule.weights * density * torch.where(density > 0, values, 0.0)).sum()
