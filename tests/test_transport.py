"""Maps between laws against scipy, closed forms, sums over outcomes, and the laws they obey."""

import math

import numpy as np
import pytest
import torch
from drawn import log_prior, normal, random_law, seeds, spiral
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from vae_tutorial.transport import (
    Atoms,
    collect,
    log_density_of_image,
    noisy_log_density,
    push_forward,
    quantile,
    ring,
    ring_radius_cdf,
)

sizes = st.integers(1, 9)


def double(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# Laws on finitely many places


def test_equal_places_are_one_place():
    law = collect(double([5, 3, 5, 9, 3, 5]), double([1, 1, 1, 1, 1, 1]) / 6)
    np.testing.assert_array_equal(law.places, [3, 5, 9])
    np.testing.assert_allclose(law.masses, [2 / 6, 3 / 6, 1 / 6])


@pytest.mark.equation("eq-push-forward")
@given(seeds, sizes, st.floats(-1, 1))
def test_a_value_gets_the_mass_of_its_preimage(seed, size, edge):
    law = random_law(size, seed)
    image = push_forward(law, lambda x: (2 * x).round())
    for value, mass in zip(*image, strict=True):
        behind = [m for x, m in zip(*law, strict=True) if round(2 * float(x)) == float(value)]
        assert float(mass) == pytest.approx(float(sum(behind)), abs=1e-12)
    assert float(image.masses.sum()) == pytest.approx(1)
    below = float(image.masses[image.places <= edge].sum())
    source = sum(float(m) for x, m in zip(*law, strict=True) if np.round(2 * float(x)) <= edge)
    assert below == pytest.approx(source, abs=1e-12)


@given(seeds, sizes)
def test_two_maps_are_one_composed(seed, size):
    law = random_law(size, seed)
    twice = push_forward(push_forward(law, torch.square), torch.floor)
    once = push_forward(law, lambda x: x.square().floor())
    np.testing.assert_array_equal(twice.places, once.places)
    np.testing.assert_allclose(twice.masses, once.masses)


@pytest.mark.equation("eq-quantile")
@given(seeds, sizes, st.floats(0.001, 0.999), st.floats(-3, 3))
def test_the_quantile_lies_below_x_exactly_when_the_level_is_reached(seed, size, level, x):
    law = random_law(size, seed)
    oracle = stats.rv_discrete(values=(range(len(law.places)), law.masses.numpy()))
    seen = quantile(law, double(level))
    assert float(seen) == float(law.places[int(oracle.ppf(level))])
    reached = float(law.masses[law.places <= x].sum())
    assert (float(seen) <= x) == (level <= reached)


def test_uniform_levels_land_with_the_right_frequency():
    law = Atoms(double([-1, 0, 4]), double([0.25, 0.5, 0.25]))
    level = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    values, counts = quantile(law, level).unique(return_counts=True)
    np.testing.assert_array_equal(values, law.places)
    np.testing.assert_array_equal(counts, [100, 200, 100])
    np.testing.assert_array_equal(quantile(law, double([0.25, 0.75, 1.0])), [-1, 0, 4])


def test_levels_where_the_masses_sum_below_one():
    law = collect(torch.arange(10).double(), torch.full((10,), 0.1, dtype=torch.float64))
    assert float(quantile(law, double(1.0))) == 9
    assert float(quantile(law, torch.tensor(1.0))) == 9  # a float32 level


# Densities of images


@pytest.mark.equation("eq-image-density")
def test_the_image_of_a_gaussian_against_scipy():
    z = normal(50, 1)
    seen = log_density_of_image(torch.exp, z, log_prior(z))
    np.testing.assert_allclose(seen, stats.lognorm(1).logpdf(z.exp().numpy())[:, 0], atol=1e-12)
    matrix = double([[1.5, 0.3], [-0.4, 0.8]])
    z = normal(50, 2)
    seen = log_density_of_image(lambda z: z @ matrix.mT + 1, z, log_prior(z))
    oracle = stats.multivariate_normal([1, 1], (matrix @ matrix.mT).numpy())
    np.testing.assert_allclose(seen, oracle.logpdf((z @ matrix.mT + 1).numpy()), atol=1e-12)


@pytest.mark.equation("eq-image-density")
def test_a_line_in_space_has_a_density_per_unit_of_length():
    z = normal(20, 1)
    direction = double([[2.0, -1.0, 2.0]])  # of length 3
    seen = log_density_of_image(lambda z: z @ direction, z, log_prior(z))
    np.testing.assert_allclose(seen, stats.norm.logpdf(3 * z[:, 0], scale=3), atol=1e-12)


@pytest.mark.equation("eq-image-density")
def test_a_plane_in_space_against_the_gram_determinant():
    z, frame = normal(20, 2), normal(2, 3, seed=3)
    seen = log_density_of_image(lambda z: z @ frame, z, log_prior(z))
    expected = log_prior(z) - 0.5 * math.log(np.linalg.det((frame @ frame.mT).numpy()))
    np.testing.assert_allclose(seen, expected, atol=1e-12)


# The ring


@pytest.mark.equation("eq-ring")
@given(st.floats(0.01, 5), st.floats(-3.1, 3.1))
def test_the_ring_in_polar_coordinates(length, angle):
    z = double([length * math.cos(angle), length * math.sin(angle)])
    x = ring(z).numpy()
    assert math.hypot(*x) == pytest.approx(1 + length / 10)
    assert math.atan2(x[1], x[0]) == pytest.approx(angle)


@pytest.mark.equation("eq-ring", "eq-ring-radius")
def test_radii_of_the_ring_against_the_rayleigh_law_and_a_sample():
    radius = torch.linspace(0, 2, 81, dtype=torch.float64)
    expected = stats.rayleigh(loc=1, scale=0.1).cdf(radius.numpy())
    np.testing.assert_allclose(ring_radius_cdf(radius), expected, atol=1e-12)
    drawn = ring(normal(20_000, 2)).norm(dim=-1)
    assert stats.kstest(drawn.numpy(), stats.rayleigh(loc=1, scale=0.1).cdf).pvalue > 0.001


@pytest.mark.equation("eq-image-density")
def test_the_rings_density_in_the_plane_agrees_with_its_radii():
    z = normal(200, 2)
    seen = log_density_of_image(ring, z, log_prior(z)).exp()
    radius = ring(z).norm(dim=-1).numpy()
    around = stats.rayleigh(loc=1, scale=0.1).pdf(radius) / (2 * math.pi * radius)
    np.testing.assert_allclose(seen, around, rtol=1e-9)


# Noise on a curve


@pytest.mark.equation("eq-noisy-image")
def test_a_straight_line_with_noise_is_a_gaussian():
    slope, shift = double([[1.0, -2.0]]), double([0.5, 1.0])
    x = normal(6, 2)
    seen = noisy_log_density(x, lambda z: shift + z @ slope, 0.09, 2001)
    covariance = (slope.mT @ slope).numpy() + 0.09 * np.eye(2)
    expected = stats.multivariate_normal(shift.numpy(), covariance).logpdf(x.numpy())
    np.testing.assert_allclose(seen, expected, atol=1e-10)


@pytest.mark.equation("eq-noisy-image")
def test_a_curve_with_noise_against_scipys_quadrature():
    x = double([[1.2, 0.9], [-1.0, 2.0]])

    def integrand(z, point):
        mean = spiral(double([[z]]))[0].numpy()
        return stats.norm.pdf(point, mean, 0.5).prod() * stats.norm.pdf(z)

    expected = [
        integrate.quad(integrand, -8, 8, args=(p,), epsabs=1e-14, limit=200)[0] for p in x.numpy()
    ]
    seen = noisy_log_density(x, spiral, 0.25, 4001)
    np.testing.assert_allclose(seen, np.log(expected), atol=1e-7)


# What is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: collect(double([1, 2]), double([1.0])), "masses must be .* n = 2 as in places"),
        (lambda: collect(double([[1.0]]), double([[1.0]])), r"places must be \(n,\), got"),
        (lambda: collect(double([1, 2]), double([0.5, 0.6])), "must sum to 1, got 1.1"),
        (lambda: collect(double([1, 2]), double([1.5, -0.5])), "masses must be positive"),
        (lambda: collect(double([1, math.nan]), double([0.5, 0.5])), "places must be finite"),
        (lambda: quantile(random_law(2, 1), double(1.2)), r"level must lie in \[0, 1\]"),
        (lambda: log_density_of_image(lambda z: z[:, :1], normal(3, 2), normal(3)), "D >= d, not"),
        (lambda: log_density_of_image(lambda z: 0 * z, normal(3, 1), normal(3)), "stretch"),
        (lambda: log_density_of_image(torch.exp, double(1.0), double(1.0)), "scalar"),
        (lambda: ring(double([0.0, 0.0])), "length of z must be positive"),
        (lambda: ring_radius_cdf(double([-1.0])), r"radius must lie in \[0, inf\]"),
        (lambda: noisy_log_density(normal(1, 2), spiral, 0.0, 9), "variance must be positive"),
        (lambda: noisy_log_density(normal(1, 2), spiral, 1.0, 1), "num_nodes must be at least 2"),
        (lambda: noisy_log_density(normal(1, 3), spiral, 1.0, 9), "mean must be .* d = 3 as in x"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_types_are_named():
    with pytest.raises(TypeError, match=r"places must be a torch\.Tensor"):
        collect([1.0], double([1.0]))
    with pytest.raises(TypeError, match="num_nodes must be a whole number"):
        noisy_log_density(normal(1, 2), spiral, 1.0, 9.0)
