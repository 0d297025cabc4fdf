"""The other framework: a game: tests of `adversarial`."""

import math

import pytest
import torch
from scipy import integrate
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from vae_tutorial import adversarial
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
from vae_tutorial.gaussians import log_normal
from vae_tutorial.models import network
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.quadrature import Rule, product, trapezoid

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


# Where every density is known: one family on a line, and a rule that is no part of the oracles

RULE = trapezoid(-30, 30, 6001)


def normal(mean, deviation):
    return torch.distributions.Normal(*torch.tensor([mean, deviation], dtype=torch.float64))


def two_modes(separation=2.0, deviation=0.6):
    shares = torch.distributions.Categorical(torch.tensor([0.5, 0.5], dtype=torch.float64))
    centres = torch.tensor([-separation, separation], dtype=torch.float64)
    modes = torch.distributions.Normal(centres, torch.full_like(centres, deviation))
    return torch.distributions.MixtureSameFamily(shares, modes)


PAIRS = {  # p, p_g: as torch's laws, and as scipy's functions of one number
    "Gaussians": (normal(0.0, 1.0), normal(1.5, 0.7)),
    "two modes, wide": (two_modes(), normal(0.3, 2.0)),
    "two modes, on one": (two_modes(), normal(1.8, 0.5)),
}
each_pair = pytest.mark.parametrize(("p", "made"), PAIRS.values(), ids=PAIRS.keys())


def density(law):
    return lambda x: math.exp(law.log_prob(torch.tensor(x, dtype=torch.float64)))


def integral(function):
    pieces = [integrate.quad(function, low, low + 2, epsabs=1e-12) for low in range(-16, 16, 2)]
    return sum(value for value, _ in pieces)


def at_nodes(*laws):
    return [law.log_prob(RULE.nodes) for law in laws]


def tilted(x):
    """A discriminator that is not the best one: its logit."""
    return 0.4 + 0.3 * x - 0.05 * x * x


@pytest.mark.equation("eq-best-discriminator")
def test_a_free_logit_in_each_cell_ends_at_the_best_discriminator():
    cells = trapezoid(-3, 3, 13)
    log_data, log_made = (law.log_prob(cells.nodes) for law in (two_modes(), normal(0.3, 2.0)))
    logit = torch.zeros(13, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [logit], max_iter=4000, tolerance_grad=1e-13, tolerance_change=0, history_size=50,
        line_search_fn="strong_wolfe",
    )  # fmt: skip
    mass = [cells.weights * log_density.exp() for log_density in (log_data, log_made)]

    def closure():
        optimiser.zero_grad()
        chance = logit.sigmoid()
        rewarded = mass[0] @ chance.log() + mass[1] @ (1 - chance).log()
        (-rewarded).backward()
        return -rewarded

    optimiser.step(closure)
    found = adversarial.best_discriminator(log_data, log_made)
    torch.testing.assert_close(found, logit.detach().sigmoid(), rtol=0, atol=1e-6)


def test_three_images_by_hand():
    p, made = torch.tensor([0.5, 0.5, 0.0]).double(), torch.tensor([0.5, 0.25, 0.25]).double()
    rule = Rule(torch.arange(3.0).double(), torch.ones(3).double())
    best = adversarial.best_discriminator(p.log(), made.log())
    torch.testing.assert_close(best, torch.tensor([1 / 2, 2 / 3, 0]).double())
    logit = p.log() - made.log()
    by_hand = math.log(1 / 2) / 2 + math.log(2 / 3) / 2 + math.log(1 / 2) / 2 + math.log(1 / 3) / 4
    assert math.isclose(adversarial.value(p.log(), made.log(), logit, rule), by_hand)
    found = adversarial.divergences(p.log(), made.log(), rule)
    assert math.isclose(2 * found.jensen_shannon - math.log(4), by_hand)
    assert math.isclose(found.forward, math.log(2) / 2)
    assert found.reverse == math.inf
    assert found.non_saturating == math.inf


@pytest.mark.equation("eq-game")
@each_pair
def test_the_value_of_any_discriminator_is_scipys_integral(p, made):
    def rewarded(x):
        chance = 1 / (1 + math.exp(-tilted(x)))
        return density(p)(x) * math.log(chance) + density(made)(x) * math.log1p(-chance)

    found = adversarial.value(*at_nodes(p, made), tilted(RULE.nodes), RULE)
    assert math.isclose(found, integral(rewarded), abs_tol=1e-9)


@pytest.mark.equation("eq-game")
@each_pair
def test_at_the_best_discriminator_the_value_is_twice_js_less_log_4(p, made):
    log_data, log_made = at_nodes(p, made)
    best = adversarial.value(log_data, log_made, log_data - log_made, RULE)
    assert math.isclose(best, 2 * scipy_js(p, made) - math.log(4), abs_tol=1e-9)
    for logit in (tilted(RULE.nodes), 0.9 * (log_data - log_made), 0 * RULE.nodes):
        assert adversarial.value(log_data, log_made, logit, RULE) < best


@pytest.mark.equation("eq-value-gap")
@each_pair
def test_what_a_discriminator_leaves_is_a_divergence_of_coins(p, made):
    log_data, log_made = at_nodes(p, made)
    logit = tilted(RULE.nodes)
    coins = [torch.distributions.Bernoulli(logits=each) for each in (log_data - log_made, logit)]
    mass = RULE.weights * (log_data.exp() + log_made.exp())
    # An image that one coin calls certain: torch's divergence then takes 0 · ∞ for no number.
    expected = mass @ torch.distributions.kl_divergence(*coins).nan_to_num(0)
    found = adversarial.value_gap(log_data, log_made, logit, RULE)
    assert math.isclose(found, expected, abs_tol=1e-9)
    difference = adversarial.value(log_data, log_made, log_data - log_made, RULE)
    difference -= adversarial.value(log_data, log_made, logit, RULE)
    assert math.isclose(found, difference, abs_tol=1e-9)
    assert found > 0.01


def scipy_kl(p, q):
    def cost(x):
        place = torch.tensor(x, dtype=torch.float64)
        return density(p)(x) * float(p.log_prob(place) - q.log_prob(place))

    return integral(cost)


def scipy_js(p, made):
    def half(first):
        def cost(x):
            height = density(first)(x)
            middle = (density(p)(x) + density(made)(x)) / 2
            return height * math.log(height / middle) if height > 0 else 0.0

        return integral(cost)

    return (half(p) + half(made)) / 2


@pytest.mark.equation("eq-divergences")
@each_pair
def test_divergences_are_scipys_integrals(p, made):
    found = adversarial.divergences(*at_nodes(p, made), RULE)
    assert math.isclose(found.forward, scipy_kl(p, made), abs_tol=1e-9)
    assert math.isclose(found.reverse, scipy_kl(made, p), abs_tol=1e-9)
    assert math.isclose(found.jensen_shannon, scipy_js(p, made), abs_tol=1e-9)
    if isinstance(p, torch.distributions.Normal):
        closed = [torch.distributions.kl_divergence(*pair) for pair in ((p, made), (made, p))]
        torch.testing.assert_close(torch.stack(closed), torch.stack(found[:2]), rtol=0, atol=1e-9)


@pytest.mark.equation("eq-half-way")
@each_pair
def test_less_twice_js_the_reverse_divergence_is_that_of_the_law_half_way(p, made):
    def cost(x):
        middle = (density(p)(x) + density(made)(x)) / 2
        return middle * math.log(middle / density(p)(x)) if middle > 0 else 0.0

    found = adversarial.divergences(*at_nodes(p, made), RULE).non_saturating
    assert math.isclose(found, 2 * integral(cost), abs_tol=1e-9)


def gaussian(parameters):
    return log_normal(RULE.nodes[:, None], parameters[:1], 2 * parameters[1:])


GRADIENTS = {
    saturating: lambda found: 2 * found.jensen_shannon,
    non_saturating: lambda found: found.non_saturating,
}


@pytest.mark.equation("eq-generator-gradient")
@pytest.mark.parametrize("loss", GRADIENTS)
@pytest.mark.parametrize("start", [(0.3, 0.7), (1.8, -0.7), (-3.0, -0.2), (0.0, 0.0)])
def test_with_the_best_discriminator_each_loss_follows_its_divergence(loss, start):
    parameters = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    log_data = two_modes().log_prob(RULE.nodes)
    found = adversarial.generator_gradient(gaussian, parameters, log_data, loss, RULE)
    divergence = GRADIENTS[loss](adversarial.divergences(log_data, gaussian(parameters), RULE))
    (expected,) = torch.autograd.grad(divergence, parameters)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)

    # And by differences of what scipy integrates.
    def by_scipy(mean, log_deviation):
        made = normal(mean, math.exp(log_deviation))
        js = scipy_js(two_modes(), made)
        return 2 * js if loss is saturating else scipy_kl(made, two_modes()) - 2 * js

    if start == (0.3, 0.7):
        step = 1e-4
        slope = (by_scipy(0.3 + step, 0.7) - by_scipy(0.3 - step, 0.7)) / (2 * step)
        assert math.isclose(found[0], slope, abs_tol=1e-6)


@pytest.mark.equation("eq-mixture")
def test_a_mixture_is_torchs():
    random = generator(3)
    x, centres = standard_normal((7, 2), random), standard_normal((5, 2), random)
    shares = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25], dtype=torch.float64)
    modes = torch.distributions.Independent(torch.distributions.Normal(centres, 0.3), 1)
    law = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(shares), modes)
    found = adversarial.log_mixture(x, centres, shares.log(), 0.3**2)
    torch.testing.assert_close(found, law.log_prob(x), rtol=1e-10, atol=1e-10)


def test_mass_near_a_centre_is_rayleighs():
    rule = product(trapezoid(-6, 6, 601), 2)
    log_made = log_normal(rule.nodes, torch.zeros(2).double(), torch.zeros(()).double())
    centres = torch.tensor([[0.0, 0.0], [20.0, 0.0]], dtype=torch.float64)
    found = adversarial.mass_near(log_made, centres, 1.5, rule)
    assert math.isclose(found[0], 1 - math.exp(-(1.5**2) / 2), abs_tol=1e-3)
    assert found[1] == 0
