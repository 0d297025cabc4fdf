"""What the engine of the live figures computes: against torch and numpy."""

import math

import numpy as np
import pytest
import torch
from export_live import float32
from scripts import apart, computed

from vae_tutorial.gaussians import log_normal

ENGINE = computed("latent-pad")


def test_the_log_density_agrees_with_torch():
    x, mean, log_variance = torch.randn(3, 50, 4, generator=torch.Generator().manual_seed(7))
    rows = torch.stack([x, mean, log_variance], dim=1).double()  # (50, 3, 4)
    seen = ENGINE.evaluate("rows => rows.map(r => VAE_LIVE.logNormal(...r))", rows.tolist())
    apart("log density, 50 points", seen, log_normal(*rows.unbind(1)), 1e-9)


def test_noise_is_standard_normal_and_the_same_for_a_seed():
    draw = "seed => [...VAE_LIVE.generator(seed).normals(40000)]"
    first, again, other = (torch.tensor(ENGINE.evaluate(draw, seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    for noise in (first, other, first * other):  # the product of independent ones: 0 and 1 too
        assert abs(noise.mean()) < 4 / math.sqrt(40_000)
    for power, moment, error in ((2, 1, math.sqrt(2)), (4, 3, math.sqrt(96))):
        assert abs((first**power).mean() - moment) < 4 * error / math.sqrt(40_000)


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-1.2, 2, "−1.20"), (0.5, 2, "0.50"), (-0.001, 2, "0.00"), (12, 0, "12"), (-7.26, 1, "−7.3")],
)
def test_numbers_are_written_as_a_page_prints_them(value, decimals, text):
    assert ENGINE.evaluate("given => VAE_LIVE.number(...given)", [value, decimals]) == text


def test_weights_are_read_as_numpy_writes_them():
    kept = np.random.default_rng(1).normal(size=101).astype("<f4")
    seen = ENGINE.evaluate("text => [...VAE_LIVE.float32(text)]", float32(torch.from_numpy(kept)))
    apart("float32", seen, kept, 0)


def test_a_network_is_linear_layers_with_tanh_between_them():
    torch.manual_seed(2)
    layers = [torch.nn.Linear(3, 5), torch.nn.Linear(5, 4), torch.nn.Linear(4, 2)]
    inputs = torch.randn(20, 3)
    sent = [{"weight": float32(layer.weight), "bias": float32(layer.bias)} for layer in layers]
    script = "([layers, xs]) => xs.map((x) => [...VAE_LIVE.network(layers)(x)])"
    with torch.no_grad():
        first, second, last = (layer.double() for layer in layers)
        expected = last(second(first(inputs.double()).tanh()).tanh())
    apart("network", ENGINE.evaluate(script, [sent, inputs.tolist()]), expected, 1e-14)


def test_layers_that_do_not_fit_are_refused():
    weights, bias = float32(torch.zeros(5)), float32(torch.zeros(2))
    script = """([layers, x]) => {
        try { VAE_LIVE.network(layers)(x); } catch (error) { return error.message; } }"""
    said = ENGINE.evaluate(script, [[{"weight": weights, "bias": bias}], [1, 2, 3]])
    assert said == "layer 0 has 5 weights, not 2 outputs of 3 inputs"


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_running_moments_lose_no_digits(offset):
    numbers = offset + np.random.default_rng(3).normal(size=1000)
    script = """numbers => {
        const moments = VAE_LIVE.moments();
        numbers.forEach((each) => moments.add(each));
        return [moments.count, moments.mean, moments.variance, moments.error];
    }"""
    variance = np.var(numbers - offset, ddof=1)
    expected = [1000, numbers.mean(), variance, math.sqrt(variance / 1000)]
    apart(f"moments around {offset}", ENGINE.evaluate(script, numbers.tolist()), expected, 1e-9)


def test_linspace_is_that_of_numpy():
    seen = ENGINE.evaluate("VAE_LIVE.linspace(-1.5, 2, 8)")
    apart("linspace", seen, np.linspace(-1.5, 2, 8), 1e-15)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (-4, 4, [-4, -2, 0, 2, 4]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.13, 0.58, [0.2, 0.3, 0.4, 0.5]),
        (-3, 1200, [0, 200, 400, 600, 800, 1000, 1200]),
    ],
)
def test_ticks_are_round_numbers_within_the_limits(low, high, ticks):
    assert ENGINE.evaluate("([low, high]) => VAE_LIVE.ticks(low, high)", [low, high]) == ticks
