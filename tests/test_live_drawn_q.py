"""What the live figure draw-q computes: a q of straight pieces, against the package and scipy."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from export_draw_q import LEFT, wave
from scipy import integrate, stats
from scripts import apart, computed

from vae_tutorial.decomposition import (
    decompose,
    gaussian_decoder,
    kl_divergence,
    log_evidence,
    log_posterior,
)
from vae_tutorial.quadrature import Rule, gauss_legendre

PAGE = computed("draw-q")
PLACES = np.linspace(-3, 3, 121)
MODEL = gaussian_decoder(wave, torch.tensor([0.8, 0.0], dtype=torch.float64), 0.1)
TERMS = """rows => rows.map(function (heights) {
    const q = VAE_LIVE.brokenLine(heights), { gapOf, boundOf } = VAE_LIVE.wave;
    const { logLikelihood, klToPrior, bound } = boundOf(q);
    return { heights: q.heights, terms: [gapOf(q), logLikelihood, klToPrior], bound };
})"""


def shapes(count):
    """Heights (count, 121) as no hand may draw them: rough or smooth, tiny or huge, with holes."""
    random = np.random.default_rng(1)
    rough = random.uniform(0, 1, (count, 121)) * 10 ** random.uniform(-3, 3, (count, 1))
    smooth = np.cumsum(random.normal(size=(count, 121)), axis=1)
    kept = random.uniform(size=(count, 121)) < random.uniform(0.05, 1, (count, 1))
    kept[:, 40] |= ~kept.any(1)  # something of each
    return np.where(kept, np.where(np.arange(count)[:, None] % 2, rough, np.abs(smooth)), 0)


def in_pieces(num_nodes):
    """Gauss–Legendre on each straight piece, its ends crowded, where q log q bends most."""
    rule = gauss_legendre(0, 1, num_nodes)
    share = rule.nodes**3 * (10 - 15 * rule.nodes + 6 * rule.nodes**2)  # from 0 to 1, flat at both
    speed = 30 * rule.nodes**2 * (1 - rule.nodes) ** 2
    nodes = torch.tensor(PLACES[:-1])[:, None] + 0.05 * share
    return Rule(nodes.flatten(), (0.05 * rule.weights * speed).repeat(120))


def log_line(heights):
    """The log-density of the broken line, as the package wants it."""
    return lambda z: torch.from_numpy(np.log(np.interp(z.numpy(), PLACES, heights, 0, 0)))


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_all_terms_of_a_drawn_q_are_those_of_the_package():
    found = PAGE.evaluate(TERMS, shapes(40).tolist())
    exact, one, two = log_posterior(MODEL, LEFT), in_pieces(40), in_pieces(41)
    expected = []
    for each in found:
        q = log_line(each["heights"])
        terms = decompose(MODEL, q, one, two)
        gap = kl_divergence(q, exact, one)
        expected.append([gap, terms.log_likelihood, terms.kl_to_prior])
    apart("three terms of 40 drawn q", [each["terms"] for each in found], expected, 1e-9)


def test_bound_and_gap_add_up_to_log_p_of_x_whatever_is_drawn():
    found = PAGE.evaluate(TERMS, shapes(1000).tolist())
    sums = [each["terms"][0] + each["bound"] for each in found]
    truth = log_evidence(MODEL, gauss_legendre(-8, 8, 640)).item()
    apart("bound + gap of 1,000 drawn q", sums, [truth] * 1000, 5e-12)  # ten decimals stay
    gaps = np.array([each["terms"][0] for each in found])
    assert gaps.min() > 0.1  # shapes that are far from the posterior, and from one another
    assert np.ptp(gaps) > 5


def test_a_drawn_q_has_area_one_and_its_shape():
    rows = shapes(20)
    for row, each in zip(rows, PAGE.evaluate(TERMS, rows.tolist()), strict=True):
        expected = row / np.trapezoid(row, PLACES)
        apart("heights", each["heights"], expected, 1e-12 * expected.max())
    between = [-3.1, -3, -2.99, 0.01, 2.97, 3, 3.1]
    script = "([heights, zs]) => zs.map(VAE_LIVE.brokenLine(heights).density)"
    seen = PAGE.evaluate(script, [rows[0].tolist(), between])
    line = np.interp(between, PLACES, rows[0], 0, 0)
    apart("between the places", seen, line / np.trapezoid(rows[0], PLACES), 1e-9)


def terms_of(heights):
    return PAGE.evaluate(TERMS, [list(heights)])[0]["terms"]


def test_a_flat_q_and_a_needle_have_terms_in_closed_form():
    """KL(q ‖ p(z)) is −entropy + (log 2π + E z²) / 2; scipy knows the entropies."""
    flat = terms_of(np.ones(121))
    expected = -stats.uniform(-3, 6).entropy() + (math.log(2 * math.pi) + 3) / 2
    apart("flat", flat[2], expected, 1e-12)
    needle = np.zeros(121)
    needle[70] = 1
    law = stats.triang(0.5, loc=PLACES[69], scale=0.1)
    expected = -law.entropy() + (math.log(2 * math.pi) + law.var() + law.mean() ** 2) / 2
    apart("needle", terms_of(needle)[2], expected, 1e-12)


def test_the_expectation_is_that_of_scipy_on_each_piece():
    (row,) = shapes(1)
    area = np.trapezoid(row, PLACES)

    def integrand(z):
        fit = (0.8 - z) ** 2 + math.sin(2 * z) ** 2
        return np.interp(z, PLACES, row) / area * (-fit / 0.2 - math.log(0.2 * math.pi))

    expected = sum(integrate.quad(integrand, *ends, epsabs=1e-15)[0] for ends in pairwise(PLACES))
    apart("E log p(x|z)", terms_of(row)[1], expected, 1e-10)


def test_the_gap_charges_nothing_where_q_is_zero():
    """The posterior without its taller peak: what the page computes by two rules on z > 0.8."""
    erased = "VAE_LIVE.nearestLine((z) => (z > 0.8 ? VAE_LIVE.wave.posterior(z) : 0))"
    posterior = log_posterior(MODEL, LEFT)
    rule = gauss_legendre(0.8, 8, 320)
    kept = (rule.weights * posterior(rule.nodes).exp()).sum()
    apart("gap", terms_of(PAGE.evaluate(erased))[0], -kept.log(), 0.02)  # the edge is a slope here


def test_beginnings_are_as_near_as_a_broken_line_can_be():
    script = """VAE_LIVE.brokenLine(VAE_LIVE.nearestLine(%s)).heights"""
    near = stats.norm(0.4, 0.6)
    seen = PAGE.evaluate(script % "VAE_LIVE.gaussian(0.4, 0.6).density")
    apart("near q", seen, near.pdf(PLACES), 1e-3)
    # the page prints −4.6394, 0.2708 and a gap of 1.4304 for the whole Gaussian
    apart("its terms", terms_of(seen), [1.4304, -4.6394, 0.2708], 3e-4)
    exact = PAGE.evaluate(script % "VAE_LIVE.wave.posterior")
    gap = terms_of(exact)[0]
    assert 0 <= gap < 5e-5  # printed as 0.0000
    corners = PAGE.evaluate("VAE_LIVE.wave.places.map(VAE_LIVE.wave.posterior)")
    assert gap < terms_of(corners)[0] / 3  # chords through the curve itself are worse


@pytest.mark.parametrize("text", ["", "AA" * 121, "A" * 241, "A" * 243, "*" * 242, "near\n"])
def test_an_address_that_no_drawing_wrote_gives_no_q(text):
    read = "text => { const h = VAE_LIVE.wave.decode(text); return h && VAE_LIVE.brokenLine(h) }"
    assert PAGE.evaluate(read, text) is None


def test_the_address_keeps_a_drawing_to_one_step_in_4095_and_then_exactly():
    script = """row => { const { code, decode, levelsOf } = VAE_LIVE.wave, text = code(row);
        return [text, decode(text), levelsOf(decode(text)), code(decode(text))] }"""
    for row in shapes(10):
        text, levels, again, same = PAGE.evaluate(script, row.tolist())
        apart("levels", np.array(levels) * row.max() / 4095, row, row.max() / 8189)
        assert levels == again
        assert text == same


def test_a_stroke_is_straight_and_a_first_touch_takes_its_neighbours_along():
    call = "([heights, from, to]) => VAE_LIVE.stroke(heights, from, to)"
    start = np.linspace(0, 1, 121)
    stroke = PAGE.evaluate(call, [start.tolist(), {"z": -1, "height": 2}, {"z": 1, "height": 0}])
    expected = np.where(np.abs(PLACES) <= 1 + 1e-9, 1 - PLACES, start)
    apart("a stroke", stroke, expected, 1e-12)
    back = PAGE.evaluate(call, [start.tolist(), {"z": 1, "height": 0}, {"z": -1, "height": 2}])
    apart("the way back", back, expected, 1e-12)
    touch = PAGE.evaluate(call, [start.tolist(), None, {"z": 0.01, "height": 2}])
    share = np.clip(1 - np.abs(np.arange(121) - 60) / 4, 0, 1)
    apart("a touch", touch, start + share * (2 - start), 1e-12)
    still = PAGE.evaluate(call, [start.tolist(), {"z": 0, "height": 1}, {"z": 0.01, "height": 2}])
    apart("a hand that stays", still, np.where(np.arange(121) == 60, 2, start), 0)
