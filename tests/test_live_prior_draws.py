"""What the live figure prior-draws computes: against the package, torch and scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from scripts import apart, computed

from vae_tutorial.marginal_likelihood import prior_monte_carlo

PAGE = computed("prior-draws")
ROWS = [(x, 0.3 * 10**power) for x in (-3.6, -0.7, 0.0, 1.5, 3.6) for power in (-2, -1, 0, 0.5)]
MODEL = "{ x: row[0], deviation: row[1] }"


def of_rows(expression):
    """An expression of a `model`, for each of ROWS."""
    script = f"rows => rows.map((row) => {{ const model = {MODEL}; return {expression} }})"
    return PAGE.evaluate(script, ROWS)


def test_log_p_of_x_is_the_closed_form():
    expected = [stats.norm(0, math.hypot(1.2, deviation)).logpdf(x) for x, deviation in ROWS]
    apart("log p(x), 20 models", of_rows("VAE_LIVE.logEvidence(model)"), expected, 1e-10)


def test_the_product_is_that_of_scipy():
    z = np.linspace(-3, 3, 41)
    script = "[...Array(41).keys()].map((k) => VAE_LIVE.product(model)(-3 + k * 0.15))"
    expected = [stats.norm(1.2 * z, s).pdf(x) * stats.norm.pdf(z) for x, s in ROWS]
    apart("prior × likelihood", of_rows(script), expected, 1e-9)


def test_the_strip_ends_where_the_product_is_a_tenth_of_its_peak():
    for (x, deviation), strip in zip(ROWS, of_rows("VAE_LIVE.strip(model)"), strict=True):

        def log_product(z, x=x, deviation=deviation):
            return stats.norm.logpdf(x, 1.2 * z, deviation) + stats.norm.logpdf(z)

        width, middle = strip["width"], strip["mean"]
        around = (middle - 3 * width, middle + 3 * width)
        top = optimize.minimize_scalar(
            lambda z, f=log_product: -f(z),
            bounds=around,
            method="bounded",
            options={"xatol": 1e-12},
        )

        def above(z, f=log_product, top=top):
            return f(z) + top.fun + math.log(10)

        ends = [optimize.brentq(above, top.x, top.x + k * width, xtol=1e-14) for k in (-8, 8)]
        apart("ends of the strip", [strip["low"], strip["high"]], ends, 1e-7)
        apart("the peak", math.log(strip["peak"]), -top.fun, 1e-9)
        share = integrate.quad(stats.norm.pdf, *ends, epsabs=1e-15)[0]
        apart("the prior's mass in it", strip["share"], share, 1e-7)


def test_a_fifth_of_the_prior_lies_in_the_strip_as_the_page_prints():
    strip = PAGE.evaluate("VAE_LIVE.strip({ x: 1.5, deviation: 0.3 })")
    assert f"{strip['share']:.2f}" == "0.21"
    assert [f"{strip[end]:.1f}" for end in ("low", "high")] == ["0.7", "1.7"]


@pytest.mark.parametrize("deviation", [0.3, 0.03, 0.003])
def test_estimates_are_those_of_the_package(deviation):
    counts = [2, 3, 10, 200, 2000]
    script = """([deviation, counts]) => {
        const draws = VAE_LIVE.generator(5).normals(2000), model = { x: 1.5, deviation };
        const logs = VAE_LIVE.logWeights(model, draws);
        const runs = VAE_LIVE.priorEstimates(logs, counts);
        const rows = runs.map(({ estimate, error, worth }) => [estimate, error, worth]);
        return [[...draws], [...logs], rows];
    }"""
    draws, logs, runs = PAGE.evaluate(script, [deviation, counts])
    apart("weights", logs, stats.norm.logpdf(1.5, 1.2 * np.array(draws), deviation), 1e-7)
    table = torch.tensor(logs, dtype=torch.float64)[:, None]
    expected = [torch.cat(prior_monte_carlo(table[:count])).tolist() for count in counts]
    apart(f"estimate, error and worth at {deviation}", runs, expected, 1e-9)


def test_weights_far_below_the_smallest_float_still_count():
    runs = PAGE.evaluate("VAE_LIVE.priorEstimates([-9000, -8990, -9000], [2, 3])")
    table = torch.tensor([[-9000.0], [-8990.0], [-9000.0]], dtype=torch.float64)
    expected = [torch.cat(prior_monte_carlo(table[:count])).tolist() for count in (2, 3)]
    apart("small weights", [[r["estimate"], r["error"], r["worth"]] for r in runs], expected, 1e-9)


def test_misses_are_counted_on_their_side():
    script = """VAE_LIVE.missed([-5, -3, -2.1, -1.9, 0, 3].map((estimate) =>
        ({ estimate, error: 0.5 })), -2)"""
    assert PAGE.evaluate(script) == {"low": 1, "high": 2}


def test_small_noise_hides_the_truth_from_most_samples():
    """What the page says of 1,000 samples of torch's, seen in 100 of the figure's own."""
    script = """(() => {
        const model = { x: 1.5, deviation: 0.003 };
        const logs = VAE_LIVE.logWeights(model, VAE_LIVE.generator(3).normals(100 * 200));
        const others = [...Array(100).keys()].map((k) =>
            VAE_LIVE.priorEstimates(logs.subarray(200 * k, 200 * (k + 1)), [200])[0]);
        return VAE_LIVE.missed(others, VAE_LIVE.logEvidence(model));
    })()"""
    missed = PAGE.evaluate(script)
    assert abs(missed["low"] - 60.4) < 4 * math.sqrt(100 * 0.604 * 0.396)
    assert missed["high"] < 15
