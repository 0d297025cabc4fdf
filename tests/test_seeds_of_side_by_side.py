"""What chapter 17 says of runs of side-by-side, of five seeds; the page's scripts run in V8."""

import json
import sys
from pathlib import Path

import pytest
from scripts import apart

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from side_by_side import RESULTS, SEEDS, STAGES, one_run

KEPT = json.loads((RESULTS / "side_by_side.json").read_text("utf-8"))


def kept(name, key, what):
    """One quantity of a maker, seed after seed."""
    return [run[key][what] for run in KEPT["runs"][name]]


def test_the_kept_runs_are_of_these_settings():
    assert {name: made["stages"] for name, made in KEPT["made"].items()} == STAGES
    for runs in KEPT["runs"].values():
        assert tuple(run["seed"] for run in runs) == SEEDS


def test_the_usual_gan_drops_points_from_most_seeds_and_the_vae_from_none():
    assert sum(hits < 8 for hits in kept("usual", "gan", "hits")) >= 4
    for name in STAGES:
        assert kept(name, "vae", "hits") == [8] * len(SEEDS)


def test_the_patient_gan_hits_all_points_from_every_seed_and_is_nearer_than_any_vae():
    assert kept("patient", "gan", "hits") == [8] * len(SEEDS)
    for what in ("forward", "reverse", "jensenShannon"):
        vaes = [*kept("usual", "vae", what), *kept("patient", "vae", what)]
        assert max(kept("patient", "gan", what)) < min(vaes)


def test_the_hybrid_is_nearer_than_the_vae_of_its_settings_from_every_seed():
    for what in ("forward", "reverse", "jensenShannon"):
        assert max(kept("hybrid", "vae", what)) < 0.5 * min(kept("patient", "vae", what))


def test_the_long_gan_stays_far_below_the_vae_from_every_seed():
    assert kept("long", "gan", "hits") == [8] * len(SEEDS)
    for what in ("forward", "reverse", "jensenShannon"):
        assert max(kept("long", "gan", what)) < 0.2 * min(kept("long", "vae", what))


def test_every_discriminator_reads_less_than_the_js():
    for name, key in (
        ("usual", "gan"),
        ("patient", "gan"),
        ("long", "gan"),
        ("hybrid", "gan"),
        ("hybrid", "vae"),
    ):
        pairs = zip(kept(name, key, "seen"), kept(name, key, "jensenShannon"), strict=True)
        assert all(seen < js for seen, js in pairs)
    usual = zip(kept("usual", "gan", "seen"), kept("usual", "gan", "jensenShannon"), strict=True)
    assert all(seen < 0.15 * js for seen, js in usual)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in STAGES if name != "long"])
def test_a_run_is_what_is_kept_of_it(name):
    found, expected = one_run(name, SEEDS[0]), KEPT["runs"][name][0]
    for key in ("gan", "vae"):
        for what in ("hits", "forward", "reverse", "jensenShannon"):
            apart(f"{what} of the {key}", found[key][what], expected[key][what], 1e-9)
    assert found["clouds"] == expected["clouds"]
