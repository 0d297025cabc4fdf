"""What chapter 17 says of trained networks: over five seeds for the discriminators on a line, and
over the ten seeds that are kept for the ring.
"""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from seeded import SEEDS

from vae_tutorial import adversarial
from vae_tutorial.models import network
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.quadrature import trapezoid

ROOT = Path(__file__).parents[1]
RULE = trapezoid(-30, 30, 2001)
KEPT = json.loads((ROOT / "book" / "results" / "ring.json").read_text("utf-8"))


def two_modes():
    shares = torch.distributions.Categorical(torch.tensor([0.5, 0.5], dtype=torch.float64))
    centres = torch.tensor([-2.0, 2.0], dtype=torch.float64)
    modes = torch.distributions.Normal(centres, torch.full_like(centres, 0.6))
    return torch.distributions.MixtureSameFamily(shares, modes).log_prob(RULE.nodes)


class Wide(torch.nn.Module):
    """N(0, 2²), from noise (n, 1)."""

    def forward(self, noise):
        return 2 * noise


def trained(judge, seed):
    """The logit at the nodes, after the page's 600 steps."""
    maker, random = Wide(), generator(seed)
    step = adversarial.make_discriminator_step(maker, judge)
    players = adversarial.initial_players(maker, judge)
    for _ in range(600):
        side = 2 * torch.randint(2, (400, 1), generator=random) - 1
        real = 2 * side + 0.6 * standard_normal((400, 1), random)
        state, _ = step(players, 0.01, real, standard_normal((400, 1), random))
        players = players._replace(discriminator=state)
    judge.load_state_dict(players.discriminator.parameters)
    with torch.no_grad():
        return judge(RULE.nodes[:, None])


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_trained_network_comes_near_the_best_discriminator_and_a_linear_one_sees_nothing(seed):
    log_data = two_modes()
    log_made = torch.distributions.Normal(0.0, 2.0).log_prob(RULE.nodes)
    truth = adversarial.divergences(log_data, log_made, RULE).jensen_shannon
    best = adversarial.best_discriminator(log_data, log_made)
    for sizes, reads, off in (([1, 16, 16, 1], 0.9, 0.05), ([1, 1], 0.0, 0.3)):
        judge = adversarial.Logit(network(sizes, generator(100 + seed)).double())
        logit = trained(judge, seed)
        read = 0.5 * (adversarial.value(log_data, log_made, logit, RULE) + math.log(4))
        assert reads * truth - 0.005 < read < truth
        middle = 0.5 * (log_data.exp() + log_made.exp())
        assert RULE.weights @ (middle * (logit.sigmoid() - best).abs()) < off
    assert abs(read) < 0.005  # of the linear one


def over_seeds(way, name, steps=None):
    steps = steps or KEPT["steps"]
    return [r[name] for r in KEPT["records"] if (r["way"], r["steps"]) == (way, steps)]


def test_what_is_said_of_the_ring_holds_for_the_ten_seeds_that_are_kept():
    assert len(over_seeds("VAE", "seed")) == 10
    long = 4 * KEPT["steps"]
    for way in ("VAE", "likelihood", "D*, saturating", "game, slow generator", "game, R1"):
        assert over_seeds(way, "modes") == [8] * 10
        assert over_seeds(way, "modes", long) == [8] * 3
    for way in ("VAE", "likelihood", "D*, saturating", "game, slow generator"):
        pairs = zip(over_seeds(way, "forward"), over_seeds(way, "forward", long), strict=False)
        assert all(after < before for before, after in pairs)
    assert max(over_seeds("D*, non-saturating", "modes")) <= 4
    assert max(over_seeds("D*, non-saturating", "modes", long)) <= 4
    assert max(over_seeds("game, R1", "read")) < 0.01
    nearest, middle = (over_seeds(way, "forward") for way in ("D*, saturating", "likelihood"))
    assert max(nearest) < min(middle)
    for way in ("VAE", "game, slow generator"):
        assert max(middle) < min(over_seeds(way, "forward"))
    few = [m for m in over_seeds("game, equal rates", "modes") if m <= 4]
    assert 5 <= len(few) < 10
    for way in ("game, equal rates", "game, slow generator", "game, R1"):
        pairs = zip(over_seeds(way, "read"), over_seeds(way, "jensen_shannon"), strict=True)
        assert all(read < truth for read, truth in pairs)
    assert all(abs(mass - 1) < 1e-6 for mass in (r["mass"] for r in KEPT["records"]))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["D*, saturating", "D*, non-saturating", "game, slow generator"])
def test_the_first_run_of_the_ring_is_made_again(way, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import ring

    found = ring.scored(ring.WAYS[way](0, KEPT["steps"], generator(1000)))
    assert found["modes"] == over_seeds(way, "modes")[0]
    assert math.isclose(found["jensen_shannon"], over_seeds(way, "jensen_shannon")[0], rel_tol=0.25)
