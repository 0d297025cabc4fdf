"""The settings of a run against NumPy, and the model and images that they describe."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from vae_tutorial import datasets
from vae_tutorial.engine.settings import Settings, build, load_settings, prepare, save_settings
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
    assert set(parts[0].unique().tolist()) == {0.0, 1.0}
    black, white = DIGITS.train == 0, DIGITS.train == 1
    assert not parts[0][black].any()
    assert parts[0][white].all()
    gap = (parts[0].double() - DIGITS.train).mean()
    spread = (DIGITS.train * (1 - DIGITS.train)).double().sum().sqrt() / DIGITS.train.numel()
    assert gap.abs() < 4 * spread  # four standard errors of the mean


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("samples", 0),
        ("epochs", "60"),
        ("batch_size", 1.5),
        ("latent", None),
        ("hidden", [8, -8]),
        ("seed", "0"),
        ("learning_rate", 0),
        ("learning_rate", "0.1"),
        ("likelihood", "poisson"),
        ("data", 7),
    ],
)
def test_settings_that_no_run_can_have_are_refused(name, value, tmp_path):
    save_settings(tmp_path, Settings(), torch.device("cpu"))
    path = tmp_path / "config.json"
    content = json.loads(path.read_text("utf-8"))
    content["settings"][name] = value
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ValueError, match="does not hold the settings of a run"):
        load_settings(tmp_path)
