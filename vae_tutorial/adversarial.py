"""The GAN where every density is known: its game, and what the generator follows.

A discriminator answers with a logit: log D(x) − log (1 − D(x)), one number an image.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value
from torch.nn.functional import softplus

from vae_tutorial import require
from vae_tutorial.adam import adam, adam_coefficients
from vae_tutorial.training import State, initial_state

Judge = Callable[[Tensor], Tensor]  # images (batch, pixels) → logits (batch,)
GeneratorLoss = Callable[[Tensor], Tensor]  # the logit of each made image → its loss, (...)
Penalty = Callable[[Judge, Tensor, Tensor], Tensor]  # of judge, data and made images → ()


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
