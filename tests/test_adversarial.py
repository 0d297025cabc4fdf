"""The other framework: a game: tests of `adversarial`."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from vae_tutorial.adversarial import (
    Logit,
    Rates,
    initial_players,
    make_discriminator_step,
    make_game_step,
    make_generator_step,
    no_penalty,
    non_saturating,
    saturating,
    slope_penalty,
)
from vae_tutorial.models import network
from vae_tutorial.noise import generator, standard_normal

RATES = Rates(0.01, 0.02)


def small_game(seed=0):
    """A maker of points in the plane and a judge, in float64, with data and noise."""
    random = generator(seed)
    maker = network([3, 5, 2], random).double()
    judge = Logit(network([2, 7, 1], random)).double()
    return maker, judge, standard_normal((6, 2), random), standard_normal((2, 6, 3), random)


@pytest.mark.equation("eq-game")
@pytest.mark.parametrize("loss", [saturating, non_saturating])
@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_a_round_is_two_steps_of_torchs_adam(loss, weight):
    maker, judge, data, noise = small_game()
    step = make_game_step(maker, judge, loss, slope_penalty(weight) if weight else no_penalty)
    players, losses = initial_players(maker, judge), []
    for _ in range(3):
        players, *met = step(players, RATES, data, noise)
        losses.append(torch.stack(met))
    optimizers = (
        torch.optim.Adam(maker.parameters(), RATES.generator),
        torch.optim.Adam(judge.parameters(), RATES.discriminator),
    )
    for expected in losses:
        met, judged = one_round(optimizers, maker, judge, data, noise, loss, weight)
        torch.testing.assert_close(expected, torch.stack([met, judged]), rtol=1e-10, atol=1e-12)
    for model, state in zip((maker, judge), players, strict=True):
        assert state.steps == 3
        for name, value in model.named_parameters():
            torch.testing.assert_close(state.parameters[name], value.detach(), rtol=0, atol=1e-9)


def one_round(optimizers, maker, judge, data, noise, loss, weight):
    """A round by autograd and torch.optim.Adam, the discriminator first."""
    zero, one = torch.zeros(6).double(), torch.ones(6).double()
    x = data.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(judge(x).sum(), x, create_graph=True)
    judged = binary_cross_entropy_with_logits(judge(data), one)
    judged = judged + binary_cross_entropy_with_logits(judge(maker(noise[0]).detach()), zero)
    judged = judged + weight / 2 * (slopes**2).sum() / 6
    optimizers[1].zero_grad()
    judged.backward()
    optimizers[1].step()
    optimizers[0].zero_grad()
    logits = judge(maker(noise[1]))
    if loss is non_saturating:
        met = binary_cross_entropy_with_logits(logits, one)
    else:
        met = -binary_cross_entropy_with_logits(logits, zero)
    met.backward()
    optimizers[0].step()
    return met.detach(), judged.detach()


def test_a_step_of_one_player_leaves_the_other_where_it_was():
    maker, judge, data, noise = small_game()
    before = initial_players(maker, judge)
    after, _ = make_discriminator_step(maker, judge)(before, 0.02, data, noise[0])
    # What the discriminator's step returns names the discriminator's parameters alone.
    assert after.parameters.keys() == dict(judge.named_parameters()).keys()
    made, _ = make_generator_step(maker, judge, non_saturating)(before, 0.01, data, noise[1])
    assert made.parameters.keys() == dict(maker.named_parameters()).keys()
    for model, state in zip((maker, judge), before, strict=True):
        for name, value in model.named_parameters():
            assert value.grad is None
            assert torch.equal(state.parameters[name], value)


def test_a_round_changes_none_of_its_arguments_and_repeats():
    maker, judge, data, noise = small_game()
    players = initial_players(maker, judge)
    copies = data.clone(), noise.clone()
    step = make_game_step(maker, judge)
    first, second = (step(players, RATES, data, noise) for _ in range(2))
    assert torch.equal(data, copies[0])
    assert torch.equal(noise, copies[1])
    for one, other in zip(first.players, second.players, strict=True):
        for name, value in one.parameters.items():
            assert torch.equal(value, other.parameters[name])
            assert torch.isfinite(value).all()


def test_the_discriminators_loss_takes_its_own_noise_and_the_generators_the_other():
    maker, judge, data, noise = small_game()
    players = initial_players(maker, judge)
    judged = make_discriminator_step(maker, judge)(players, 0.02, data, noise[0])[1]
    with torch.no_grad():
        expected = softplus(-judge(data)).mean() + softplus(judge(maker(noise[0]))).mean()
    assert math.isclose(float(judged), float(expected), rel_tol=1e-12)
    made = make_game_step(maker, judge)(players, RATES, data, noise)
    assert math.isclose(float(made.discriminator_loss), float(expected), rel_tol=1e-12)
