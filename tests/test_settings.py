"""The settings of a run against NumPy, and the model and images that they describe."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from vae_tutorial import datasets
from vae_tutorial.engine import memory
from vae_tutorial.engine.settings import (
    Settings,
    build,
    count_parameters,
    parsed,
    prepare,
    require_memory,
)
from vae_tutorial.importance import ImportanceWeighted
from vae_tutorial.noise import generator

DIGITS = datasets.load("digits")


@pytest.mark.parametrize("epochs", [1, 2, 5, 100])
@pytest.mark.parametrize("final", [None, 0.001, 0.00001, 0.1])
def test_the_learning_rate_falls_geometrically(epochs, final):
    settings = Settings(epochs=epochs, learning_rate=0.001, final_learning_rate=final)
    seen = [settings.learning_rate_at(epoch) for epoch in range(1, epochs + 1)]
    np.testing.assert_allclose(seen, np.geomspace(0.001, final or 0.001, epochs), rtol=1e-12)


def test_the_decoder_mirrors_the_encoder():
    model = build(Settings(hidden=(20, 10), latent=3), 64)
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    encoder = {name: shape for name, shape in shapes.items() if name.startswith("encoder.")}
    decoder = {name: shape for name, shape in shapes.items() if name.startswith("decoder.")}
    assert list(decoder.values()) == [(10, 3), (10,), (20, 10), (20,), (64, 20), (64,)]
    matrices = [shape for shape in encoder.values() if len(shape) == 2]
    assert matrices[:2] == [(20, 64), (10, 20)]
    heads = matrices[2:]  # mean and log-variance, in one matrix or in two
    assert sum(rows for rows, _ in heads) == 6
    assert {columns for _, columns in heads} == {10}
    assert len(shapes) == len(encoder) + len(decoder) + 1  # and the learned variance


@pytest.mark.parametrize(
    ("settings", "learned"),
    [
        (Settings(), 1),
        (Settings(variance=0.1), 0),
        (Settings(likelihood="bernoulli"), 0),
    ],
)
def test_a_variance_is_learned_for_gaussian_pixels_without_one(settings, learned):
    names = [name for name, _ in build(settings, 64).named_parameters()]
    assert len([n for n in names if not n.startswith(("encoder.", "decoder."))]) == learned


def test_a_given_variance_is_the_one_in_the_likelihood():
    x = DIGITS.test[:3]
    model = build(Settings(variance=0.25, hidden=(4,)), 64)
    z = torch.zeros(1, 3, 2)
    mean = model.decoder(z)
    expected = torch.distributions.Normal(mean, 0.5).log_prob(x).sum(-1)
    seen = model.likelihood.log_density(x, mean, z)
    torch.testing.assert_close(seen, expected)


def test_a_learned_variance_begins_at_a_tenth():
    x, mean = DIGITS.test[:3], torch.zeros(1, 3, 64)
    model = build(Settings(hidden=(4,)), 64)
    expected = torch.distributions.Normal(mean, 0.1**0.5).log_prob(x).sum(-1)
    seen = model.likelihood.log_density(x, mean, torch.zeros(1, 3, 2))
    torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize(("name", "kind"), [("tanh", nn.Tanh), ("relu", nn.ReLU)])
def test_the_activation_is_the_named_one(name, kind):
    activations = {nn.Tanh, nn.ReLU}
    model = build(Settings(activation=name), 64)
    for part in (model.encoder, model.decoder):
        assert activations & {type(module) for module in part.modules()} == {kind}


def test_only_the_importance_weighted_objective_needs_its_model():
    assert isinstance(build(Settings(objective="iwae"), 64), ImportanceWeighted)
    assert not isinstance(build(Settings(), 64), ImportanceWeighted)


def test_weights_come_from_the_seed_alone():
    torch.manual_seed(1)
    one = build(Settings(seed=3), 64).state_dict()
    torch.manual_seed(2)
    two, three = build(Settings(seed=3), 64).state_dict(), build(Settings(seed=4), 64).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["decoder.0.weight"], three["decoder.0.weight"])


def test_gaussian_images_are_the_grey_ones():
    for part, grey in zip(prepare(Settings(), DIGITS), (DIGITS.train, DIGITS.test), strict=True):
        assert torch.equal(part, grey)


@pytest.mark.parametrize("binarization", ["dynamic", "static"])
def test_held_out_images_are_binarized_once_for_all_runs(binarization):
    settings = Settings(likelihood="bernoulli", binarization=binarization)
    held_out = [prepare(settings._replace(seed=seed), DIGITS)[1] for seed in (0, 1)]
    assert torch.equal(*held_out)
    uniform = torch.rand(DIGITS.test.shape, generator=generator(1_000_003), dtype=torch.float64)
    assert torch.equal(held_out[0], (uniform < DIGITS.test).float())


def test_training_images_stay_grey_where_each_step_binarizes_them():
    train = prepare(Settings(likelihood="bernoulli"), DIGITS)[0]
    assert torch.equal(train, DIGITS.train)


def test_training_images_are_binarized_once_where_that_is_asked():
    settings = Settings(likelihood="bernoulli", binarization="static")
    parts = [prepare(settings._replace(seed=seed), DIGITS)[0] for seed in (0, 1)]
    assert torch.equal(*parts)
    uniform = torch.rand(DIGITS.train.shape, generator=generator(1_000_004), dtype=torch.float64)
    assert torch.equal(parts[0], (uniform < DIGITS.train).float())  # not the held-out ones' draws
    assert set(parts[0].unique().tolist()) == {0.0, 1.0}
    black, white = DIGITS.train == 0, DIGITS.train == 1
    assert not parts[0][black].any()
    assert parts[0][white].all()
    gap = (parts[0].double() - DIGITS.train).mean()
    spread = (DIGITS.train * (1 - DIGITS.train)).double().sum().sqrt() / DIGITS.train.numel()
    assert gap.abs() < 4 * spread  # four standard errors of the mean


IMPOSSIBLE = [
    *(("samples", value) for value in (0, True, None, 2**63, 1e300, float("inf"))),
    *(("epochs", value) for value in ("60", float("inf"), 10**400)),
    ("batch_size", 1.5),
    *(("latent", value) for value in (None, -1, 10**20, [2], {})),
    *(("hidden", value) for value in ([8, -8], [], 8, None, "8", {"8": 8}, [[8]], [10**20], ["8"])),
    *(("seed", value) for value in ("0", -1, 2**63, 2**70, True, 1.0, None, [0])),
    *(("learning_rate", value) for value in (0, "0.1", None, True, float("nan"), 10**400, [1])),
    *(("final_learning_rate", value) for value in (0, -1, "x", float("inf"), False, [], {})),
    *(("variance", value) for value in (0, -1, "x", [0.1], {"a": 1}, float("nan"), True, [])),
    *(("likelihood", value) for value in ("poisson", "Bernoulli", None, [])),
    *(("objective", value) for value in ("IWAE", 0, {})),
    ("activation", "foo"),
    ("binarization", "both"),
    *(("data", value) for value in (7, None, [])),
    ("start_from", 3),
]


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_settings_that_no_run_can_have_are_refused_by_their_name(name, value):
    content = Settings()._asdict() | {name: value}
    with pytest.raises((ValueError, TypeError), match=name):
        parsed(content).checked()
    settings = Settings(**content)
    with pytest.raises((ValueError, TypeError), match=name):
        build(settings, 64)  # at the door of whoever comes without a file, too


def test_settings_come_back_from_json_as_they_went_in():
    for settings in (
        Settings(),
        Settings(hidden=(3, 4), variance=0.5, final_learning_rate=1e-5, seed=2**63 - 1),
        Settings(start_from="a/b", likelihood="bernoulli", learning_rate=1),
    ):
        assert parsed(json.loads(json.dumps(settings._asdict()))).checked() == settings


@pytest.mark.parametrize("content", [None, [], 3, "a", {}, {"hidden": [8], "foreign": 1}])
def test_an_object_without_all_settings_is_none(content):
    with pytest.raises(ValueError, match="needed an object with data, likelihood"):
        parsed(content)


@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings(hidden=(7, 5, 3), latent=4), Settings(likelihood="bernoulli")],
)
def test_parameters_are_counted_without_building_them(settings):
    model = build(settings, 30)
    networks = sum(p.numel() for n, p in model.named_parameters() if not n.startswith("likelihood"))
    assert count_parameters(settings, 30) == networks


HUGE = [
    {"latent": 10**9},
    {"hidden": (10**6, 10**6)},
    {"samples": 10**12},
    {"hidden": (2**63 - 1,) * 3, "latent": 2**63 - 1},
]


@pytest.mark.parametrize("changed", HUGE)
def test_what_no_memory_holds_is_refused_with_both_numbers(changed, monkeypatch):
    monkeypatch.setattr(memory, "limit", lambda: 24 * 10**9)
    with pytest.raises(
        ValueError, match=r"needs at least [\d.e+]+ [TP]B of memory, here are 24 GB"
    ):
        require_memory(Settings(**changed), 64)


def test_a_model_needs_four_bytes_a_parameter(monkeypatch):
    settings = Settings(hidden=(4,), variance=1.0)
    needed = 4 * sum(p.numel() for p in build(settings, 64).parameters())
    monkeypatch.setattr(memory, "limit", lambda: needed)
    build(settings, 64)
    monkeypatch.setattr(memory, "limit", lambda: needed - 1)
    with pytest.raises(ValueError, match=r"^a model of \d+ parameters needs at least"):
        build(settings, 64)


def test_a_step_needs_what_its_draws_need(monkeypatch):
    settings = Settings(batch_size=10, samples=1000, latent=3, hidden=(4,))
    parameters = (
        4 * 4 * sum(p.numel() for p in build(settings._replace(variance=1.0), 64).parameters())
    )
    draws = 10 * 1000 * (4 * 64 + 3 * (8 + 4))
    monkeypatch.setattr(memory, "limit", lambda: parameters + draws)
    require_memory(settings, 64)
    monkeypatch.setattr(memory, "limit", lambda: parameters + draws - 1)
    with pytest.raises(ValueError, match="a step of 10 images with 1000 samples each needs at"):
        require_memory(settings, 64)
