"""What the live figure game-pad computes: against the package, by another rule, and scipy."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from export_game import LAWS, log_made, named
from scipy import optimize
from scripts import apart, computed

from vae_tutorial.adversarial import (
    best_discriminator,
    divergences,
    generator_gradient,
    non_saturating,
    saturating,
)
from vae_tutorial.quadrature import trapezoid

RULE = trapezoid(-32, 32, 5001)  # finer, and its nodes are others
NAMES = ("likelihood", "reverse", "saturating", "nonSaturating")


def places(seed, count):
    """Means and widths of p_g all over the pad."""
    low, high = np.array([[-4, -2], [4, 1.5]])
    rows = np.random.default_rng(seed).uniform(low, high, (count, 2))
    rows[:, 1] = 2 ** rows[:, 1]
    return rows


def looked(law, rows):
    """(rows, 4) divergences and (rows, 4, 2) gradients, of the script."""
    script = """([law, rows, names]) => rows.map(function ([mean, width]) {
        const found = VAE_LIVE.exactGame.look(law, mean, width);
        return names.map((name) => [found.divergences[name], ...found.gradients[name]]);
    })"""
    seen = np.array(computed("game-pad").evaluate(script, [law, rows.tolist(), NAMES]))
    return seen[..., 0], seen[..., 1:]


@pytest.mark.parametrize("law", LAWS)
def test_divergences_and_gradients_agree_with_the_package(law):
    rows = places(1, 60)
    seen, slopes = looked(law, rows)
    log_data = LAWS[law].log_prob(RULE.nodes)
    expected, expected_slopes = [], []
    for mean, width in rows:
        parameters = torch.tensor([mean, math.log(width)], dtype=torch.float64)
        parameters.requires_grad_()
        found = named(divergences(log_data, log_made(RULE, parameters), RULE))
        expected.append([found[name].item() for name in NAMES])
        expected_slopes.append(
            [torch.autograd.grad(found[n], parameters, retain_graph=True)[0].numpy() for n in NAMES]
        )
        for row, loss in ((2, saturating), (3, non_saturating)):
            gradient = generator_gradient(
                lambda p: log_made(RULE, p), parameters, log_data, loss, RULE
            )
            np.testing.assert_allclose(expected_slopes[-1][row], gradient, rtol=0, atol=1e-9)
    apart(f"four divergences, 60 p_g, {law}", seen, expected, 1e-9)
    apart(f"four gradients, 60 p_g, {law}", slopes, expected_slopes, 1e-9)


@pytest.mark.parametrize("law", LAWS)
def test_the_best_discriminator_agrees(law):
    xs = torch.linspace(-5, 5, 41, dtype=torch.float64)
    script = """([law, xs]) => xs.map((x) => [VAE_LIVE.exactGame.best(law, 1.3, 0.7)(x),
        VAE_LIVE.exactGame.density(law)(x)])"""
    seen = np.array(computed("game-pad").evaluate(script, [law, xs.tolist()]))
    log_data = LAWS[law].log_prob(xs)
    made = torch.distributions.Normal(*torch.tensor([1.3, 0.7], dtype=torch.float64))
    apart("D*", seen[:, 0], best_discriminator(log_data, made.log_prob(xs)), 1e-12)
    apart("p", seen[:, 1], log_data.exp(), 1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("start", [(1.0, 0.5), (0.2, 1.5), (-3.0, 0.3)])
def test_a_walk_only_descends_and_ends_where_scipys_search_does(name, start):
    script = """([name, mean, width]) => {
        const walk = VAE_LIVE.exactGame.walk("two", name, mean, width), values = [walk.value()];
        while (walk.next() && values.length < 4000) values.push(walk.value());
        return [values, walk.place, walk.path.length];
    }"""
    values, (mean, width), steps = computed("game-pad").evaluate(script, [name, *start])
    assert steps == len(values) < 4000
    assert all(after < before for before, after in pairwise(values))
    log_data = LAWS["two"].log_prob(RULE.nodes)

    def height(place):
        made = log_made(RULE, torch.from_numpy(place))
        return float(named(divergences(log_data, made, RULE))[name])

    near = optimize.minimize(
        height, np.array([mean, math.log(width)]), method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-13},
    )  # fmt: skip
    apart(f"where {name} ends from {start}", [mean, math.log(width)], near.x, 1e-4)
    assert abs(values[-1] - near.fun) < 1e-9


def test_a_walk_that_stands_on_a_plateau_does_not_move():
    script = """() => {
        const walk = VAE_LIVE.exactGame.walk("one", "saturating", 4, 0.25);
        return [walk.next(), walk.path.length, walk.value()];
    }"""
    moved, length, value = computed("game-pad").evaluate(f"({script})()")
    assert (moved, length) == (True, 2)
    assert value < 2 * math.log(2)
