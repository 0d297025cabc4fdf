"""What chapter 18 says of one decoder under three principles, held to five seeds.

Each seed trains its VAE and goes on from it, as `benchmarks/principles.py` does. Minutes of
training, so `make test-slow` runs it. The bounds leave room for another processor.
"""

import copy
import math

import pytest
import torch
from seeded import SEEDS

from vae_tutorial import principles
from vae_tutorial.adversarial import Logit, Rates, initial_players, make_game_step
from vae_tutorial.data import load_digits, minibatches
from vae_tutorial.likelihoods import FixedVariance, GaussianPixels
from vae_tutorial.models import network
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.pretrained import two_latents, untrained
from vae_tutorial.training import fit, initial_state, make_step, run_epoch

DIGITS = load_digits(torch.float64)
VARIANCE = float(two_latents().likelihood.variance.log_variance.exp())
DATA = principles.smoothed(DIGITS.train, VARIANCE)


def vae(seed):
    """The recipe of the kept weights from another seed, with σ held."""
    model = untrained(seed)
    model.likelihood = GaussianPixels(FixedVariance(VARIANCE))
    settings = {"epochs": 200, "batch_size": 100, "learning_rate": 0.003}
    return fit(model, DIGITS.train, generator=generator(seed), **settings).model.decoder


def after(decoder, objective, seed):
    """The decoder after 600 steps before the best discriminator."""
    model = principles.PerfectGame(copy.deepcopy(decoder), DIGITS.train, VARIANCE)
    draws, step, state = generator(100 + seed), make_step(model, objective), initial_state(model)
    for _ in range(40):
        pairs = principles.with_draws(minibatches(DIGITS.train, 100, draws), draws)
        state, _ = run_epoch(step, state, pairs, 0.002)
    model.load_state_dict(state.parameters)
    return model.decoder


class Noisy(torch.nn.Module):
    """f(z) and its noise from one draw."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = copy.deepcopy(decoder)

    def forward(self, noise):
        return self.decoder(noise[:, :2]) + math.sqrt(VARIANCE) * noise[:, 2:]


def played(decoder, seed):
    """The decoder after 900 rounds with a network whose steps are 30 times as long."""
    maker, draws = Noisy(decoder), generator(200 + seed)
    judge = Logit(network([64, 128, 128, 1], generator(300 + seed))).double()
    step, players = make_game_step(maker, judge), initial_players(maker, judge)
    for _ in range(60):
        for batch in minibatches(DIGITS.train, 100, draws):
            data = batch + math.sqrt(VARIANCE) * standard_normal((100, 64), draws)
            noise = standard_normal((2, 100, 66), draws)
            players = step(players, Rates(0.0001, 0.003), data, noise).players
    maker.load_state_dict(players.generator.parameters)
    return maker.decoder


class Measured:
    """Exact log p_g of test digits, KL(p_g ‖ p), the game's price, and how many images it makes."""

    @torch.no_grad()
    def __init__(self, decoder):
        model, draws = principles.generated(decoder, principles.plane(81), VARIANCE), generator(5)
        rows = torch.randint(1500, (1000,), generator=draws)
        noise = math.sqrt(VARIANCE) * standard_normal((2, 1000, 64), draws)
        made = decoder(standard_normal((1000, 2), draws)) + noise[1]
        found = principles.drawn_divergences(DATA, model, DIGITS.train[rows] + noise[0], made)
        self.test = float(principles.log_density(model, DIGITS.test).mean())
        self.reverse = float(found.reverse.mean)
        self.price = float(found.non_saturating.mean)
        self.images = float(principles.effective_count(principles.shares_of_images(DATA, made)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_each_principle_pays_least_where_it_is_charged(seed):
    start = vae(seed)
    order = (principles.likelihood, principles.hybrid(1.0), principles.hybrid(5.0), principles.game)
    kept = Measured(start)
    likelihood, one, five, game = (Measured(after(start, each, seed)) for each in order)
    assert kept.reverse > one.reverse > five.reverse > game.reverse > math.log(1500) + 0.5
    assert likelihood.test > one.test > five.test > game.test + 4
    assert kept.images > one.images > five.images > game.images
    # The game with a network, from the same start, walks away from the data.
    network_game = Measured(played(start, seed))
    assert network_game.reverse > kept.reverse + 2
    assert network_game.test < kept.test - 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_game_from_random_weights_ends_at_few_images_and_a_lower_price(seed):
    scratch = Measured(after(untrained(seed).decoder, principles.game, seed))
    assert scratch.images < 25
    assert scratch.price < 6.2  # of one memorised image it is 5.93
    assert scratch.test < 0
