"""What maps cannot do, against scipy, searches for a counterexample, and draws."""

import math

import numpy as np
import pytest
import torch
from drawn import log_prior, normal, random_law, seeds, spiral
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from vae_tutorial.limits import energy_distance, kolmogorov_distance, least_bridge
from vae_tutorial.transport import collect, log_density_of_image, noisy_log_density

sizes = st.integers(1, 9)


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# Distances


@pytest.mark.equation("eq-kolmogorov")
@given(seeds, st.integers(2, 60))
def test_the_kolmogorov_distance_of_a_sample_is_scipys(seed, size):
    sample = normal(size, seed=seed)
    law = collect(sample, torch.full_like(sample, 1 / size))
    oracle = stats.kstest(sample.numpy(), "norm").statistic
    assert float(kolmogorov_distance(law, torch.special.ndtr)) == pytest.approx(oracle)


@pytest.mark.equation("eq-kolmogorov")
@given(seeds, sizes)
def test_the_kolmogorov_distance_on_a_fine_grid(seed, size):
    law = random_law(size, seed)
    places, masses = law.places.numpy(), law.masses.numpy()
    grid = np.concatenate([np.linspace(-6, 6, 3001), places, np.nextafter(places, -9)])
    stairs = (masses * (places <= grid[:, None])).sum(1)
    expected = np.abs(stairs - stats.norm.cdf(grid)).max()
    seen = float(kolmogorov_distance(law, torch.special.ndtr))
    assert seen == pytest.approx(expected, abs=1e-9)


@pytest.mark.equation("eq-atom-floor")
@given(seeds, sizes)
def test_atoms_stay_away_from_continuous_laws(seed, size):
    law = random_law(size, seed)
    for cdf in (stats.norm.cdf, stats.logistic.cdf, stats.uniform(-2, 4).cdf):
        away = kolmogorov_distance(law, lambda x, cdf=cdf: torch.from_numpy(cdf(x.numpy())))
        assert float(away) >= 1 / (2 * size) - 1e-12


@pytest.mark.equation("eq-atom-floor")
@pytest.mark.parametrize("size", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_search_over_places_and_masses_ends_at_the_floor(size):
    """The nearest law on so many places, by scipy: at the floor, and never below it."""

    def away(entries):
        masses = np.abs(entries[size:]) / np.abs(entries[size:]).sum()
        law = collect(double(entries[:size]), double(masses))
        return float(kolmogorov_distance(law, torch.special.ndtr))

    bounds = [(-2, 2)] * size + [(0.05, 1)] * size
    found = optimize.differential_evolution(away, bounds, seed=1, tol=1e-10, maxiter=400)
    assert 1 / (2 * size) - 1e-12 <= found.fun < 1 / (2 * size) + 1e-3


@pytest.mark.equation("eq-atom-floor")
@pytest.mark.parametrize("size", [1, 2, 3, 10, 100])
def test_equal_atoms_at_middle_quantiles_reach_the_floor(size):
    level = (np.arange(size) + 0.5) / size
    law = collect(double(stats.norm.ppf(level)), torch.full((size,), 1 / size).double())
    away = kolmogorov_distance(law, torch.special.ndtr)
    assert float(away) == pytest.approx(1 / (2 * size), abs=1e-7)


@pytest.mark.equation("eq-energy-distance")
def test_the_estimate_is_the_mean_over_distinct_pairs():
    x, y = normal(7, 3), normal(5, 3, seed=2)
    within = [
        np.mean([math.dist(a, b) for i, a in enumerate(s) for b in s[:i]])
        for s in (x.tolist(), y.tolist())
    ]
    between = np.mean([math.dist(a, b) for a in x.tolist() for b in y.tolist()])
    assert float(energy_distance(x, y)) == pytest.approx(2 * between - sum(within))
    assert float(energy_distance(x, y)) == pytest.approx(float(energy_distance(y, x)))


@pytest.mark.equation("eq-energy-distance")
@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_the_estimate_is_unbiased(shift):
    def gap(x):
        return 2 * (stats.norm.cdf(x) - stats.norm.cdf(x - shift)) ** 2

    expected = integrate.quad(gap, -12, 12)[0]
    pairs = normal(2000, 2, 6, 1)
    drawn = torch.stack([energy_distance(x, y + shift) for x, y in pairs]).numpy()
    assert abs(drawn.mean() - expected) < 4 * stats.sem(drawn)


def test_gradients_pass_through_the_energy_distance():
    y = normal(6, 2).requires_grad_()
    x = normal(8, 2, seed=2)
    assert torch.autograd.gradcheck(lambda y: energy_distance(x, y), y)


# The bridge


@pytest.mark.equation("eq-bridge")
@given(st.floats(-2, 2), st.floats(0.1, 5), st.floats(0.3, 8))
def test_a_ramp_has_the_least_bridge(centre, gap, slope):
    share = stats.norm.cdf(centre)  # the ramp slope · (z − centre), cut at 0 and at gap
    expected = integrate.quad(stats.norm.pdf, centre, centre + gap / slope)[0]
    seen = least_bridge(double(share), gap, double(slope))
    assert float(seen) == pytest.approx(expected, abs=1e-9)


@pytest.mark.equation("eq-bridge")
@pytest.mark.parametrize("width", [1, 3, 10])
def test_no_map_of_that_slope_has_a_narrower_bridge(width):
    z = normal(200_000, width)
    maps = {"length": z.norm(dim=-1), "fold": z[:, 0].abs(), "wave": (3 * z[:, 0]).sin() / 3}
    maps["slope"] = z @ (torch.ones(width).double() / math.sqrt(width))  # no map is better
    for name, g in maps.items():  # each of slope 1
        low = float(g.quantile(0.4))
        inside = ((g > low) & (g < low + 0.2)).double().mean()
        share = (g <= low).double().mean()
        least = least_bridge(share, 0.2, double(1.0))
        error = math.sqrt(least / len(z))
        assert inside > least - 4 * error
        assert name != "slope" or inside < least + 4 * error


# Noise on a curve that vanishes


@pytest.mark.equation("eq-curve-limit")
def test_without_noise_the_density_diverges_on_the_curve_at_the_known_rate():
    z = double([[-0.5], [0.2], [1.0]])
    limit = log_density_of_image(spiral, z, log_prior(z))
    for deviation in (0.01, 0.001):
        seen = noisy_log_density(spiral(z), spiral, deviation**2, 200_001)
        scaled = seen + 0.5 * math.log(2 * math.pi * deviation**2)  # D − d = 1
        np.testing.assert_allclose(scaled, limit, atol=5 * deviation**2)
    solid = noisy_log_density(double([[0.0, 0.0]]), spiral, 0.01**2, 2001)
    assert float(solid) < -1000  # off the curve


@pytest.mark.equation("eq-curve-limit")
def test_the_rate_counts_the_missing_dimensions():
    z = double([[0.4]])
    for dimension in (1, 2, 4):
        direction = torch.ones(1, dimension, dtype=torch.float64)
        limit = log_density_of_image(lambda z, v=direction: z @ v, z, log_prior(z))
        seen = noisy_log_density(z @ direction, lambda z, v=direction: z @ v, 1e-6, 200_001)
        scaled = seen + (dimension - 1) / 2 * math.log(2 * math.pi * 1e-6)
        assert float(scaled) == pytest.approx(float(limit), abs=1e-5)


# What is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: energy_distance(normal(3, 2), normal(3, 1)), "y must be .* D = 2 as in x"),
        (lambda: energy_distance(normal(3, 2), normal(1, 2)), "m at least 2 and D = 2 as in x"),
        (lambda: energy_distance(normal(1, 2), normal(3, 2)), "n at least 2, got"),
        (lambda: energy_distance(normal(3), normal(3)), r"x must be \(n, D\)"),
        (lambda: least_bridge(double(1.1), 1.0, double(1.0)), r"share must lie in \[0, 1\]"),
        (lambda: least_bridge(double(0.1), 1.0, double(-1.0)), "slope must be positive"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_types_are_named():
    with pytest.raises(TypeError, match="x must be floating point"):
        energy_distance(torch.zeros(2, 1, dtype=torch.int64), normal(2, 1))
