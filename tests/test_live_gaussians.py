"""What the live figures slide-q and gaussian-kl compute: against the package, torch and scipy."""

import math
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest
import torch
from export_gaussians import gaussian
from scipy import integrate, optimize, stats
from scipy.spatial import KDTree
from scripts import apart, computed
from torch.distributions import kl_divergence

from vae_tutorial.decomposition import decompose, gaussian_decoder
from vae_tutorial.quadrature import gauss_legendre, trapezoid

RULES = trapezoid(-12, 12, 1201), gauss_legendre(-12, 12, 1000)


def model():
    """That of chapter 4's cover, seen from its data point."""
    x = torch.tensor([0.6, 1.2], dtype=torch.float64)
    return gaussian_decoder(lambda z: torch.stack([z, z**2], -1), x, 0.25)


def settings(seed, count, *ranges):
    """Random rows (count, len(ranges)), each column in its range."""
    low, high = np.array(ranges).T
    return np.random.default_rng(seed).uniform(low, high, (count, len(ranges)))


def both(page, function, rows):
    """What a function of q and p returns, for rows of mean, width, mean, width."""
    script = f"""rows => rows.map(([a, b, c, d]) =>
        VAE_LIVE.gaussianKL.{function}(VAE_LIVE.gaussian(a, b), VAE_LIVE.gaussian(c, d)))"""
    return page.evaluate(script, rows.tolist())


def test_fit_price_and_gap_agree_with_the_package_at_random_q():
    page = computed("slide-q")
    rows = settings(1, 300, (-2, 2.5), (-3.5, 0.25))
    rows[:, 1] = 2 ** rows[:, 1]
    script = """rows => rows.map(function ([mean, width]) {
        const [q, { fitOf, priceOf, gapOf }] = [VAE_LIVE.gaussian(mean, width), VAE_LIVE.slideQ];
        return [fitOf(q), priceOf(q), gapOf(q), VAE_LIVE.slideQ.evidence];
    })"""
    seen = np.array(page.evaluate(script, rows.tolist()))  # (300, 4)
    terms = [decompose(model(), gaussian(*row).log_prob, *RULES) for row in rows]
    expected = [
        [each.log_likelihood, each.kl_to_prior, each.kl_to_posterior, each.log_evidence]
        for each in terms
    ]
    apart("fit, price, gap and log p(x), 300 q", seen, expected, 1e-9)
    prices = [kl_divergence(gaussian(*row), gaussian(0, 1)) for row in rows]
    apart("price and its closed form", seen[:, 1], prices, 1e-9)
    fit, price, gap, evidence = seen.T
    apart("fit − price + gap and log p(x)", fit - price + gap, evidence, 1e-9)


def test_the_brush_reaches_the_cells_near_its_way():
    means, powers = np.meshgrid(
        -2 + 0.05 * (np.arange(90) + 0.5), -3.5 + 0.05 * (np.arange(75) + 0.5)
    )
    for start, end in settings(8, 20, (-2, 2.5), (-3.5, 0.25)).reshape(10, 2, 2):
        way = start + np.linspace(0, 1, 4001)[:, None] * (end - start)  # (4001, 2)
        far, _ = KDTree(way).query(np.stack([means, powers], -1))  # (75, 90), of a cell's centre
        cells = computed("slide-q").evaluate(
            "([from, to]) => VAE_LIVE.slideQ.stroke(from, to)", [start.tolist(), end.tolist()]
        )
        reached = np.zeros((75, 90), dtype=bool)
        reached[tuple(np.array(cells).T[::-1])] = True
        clear = np.abs(far - 0.2) > 1e-5  # the samples of the way cannot tell at the very edge
        assert (reached == (far <= 0.2))[clear].all()
        assert 50 < reached.sum() < 0.9 * reached.size


def test_the_map_holds_the_gaps_of_the_package_and_each_cell_once():
    script = """places => {
        const trail = VAE_LIVE.slideQ.createTrail();
        return places.map((place) => trail.move(place));
    }"""
    places = [[0.8, -1.0], [0.8, -1.0], [0.5, -1.2], [-1.5, -3.0]]
    first, again, near, far = computed("slide-q").evaluate(script, places)
    assert again == []
    assert len(far) == 52  # a jump colours its end and nothing on the way
    seen = [*first, *near, *far]
    assert len({(column, row) for column, row, _ in seen}) == len(seen)
    expected = [
        decompose(
            model(),
            gaussian(-2 + 0.05 * (column + 0.5), 2 ** (-3.5 + 0.05 * (row + 0.5))).log_prob,
            *RULES,
        ).kl_to_posterior
        for column, row, _ in seen
    ]
    apart(f"gaps of the map, {len(seen)} cells", [gap for *_, gap in seen], expected, 1e-9)


def lightness(color):
    """CIE L* of a colour #rrggbb."""
    levels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(levels > 0.04045, ((levels + 0.055) / 1.055) ** 2.4, levels / 12.92)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return 116 * np.cbrt(y) - 16 if y > (6 / 29) ** 3 else y * (29 / 3) ** 3


def test_shades_follow_the_gap_and_their_lightness_tells_them_apart():
    limits = [0.1, 0.2, 0.5, 1, 2, 5, 10]
    gaps = np.random.default_rng(9).lognormal(0, 2, 500)
    shades = computed("slide-q").evaluate(
        "gaps => gaps.map(VAE_LIVE.slideQ.shadeOf)", gaps.tolist()
    )
    order = sorted(set(shades), key=lightness)  # the darkest has the smallest gap
    assert shades == [order[i] for i in np.digitize(gaps, limits)]
    steps = np.diff([lightness(shade) for shade in (*order, "#ffffff")])
    print("lightness steps:", steps.round(1))
    assert steps.min() > 5


def test_the_best_gaussian_is_that_of_another_search():
    def gap(place):
        q = stats.norm(place[0], np.exp(place[1]))
        z = RULES[0].nodes
        terms = model().log_likelihood(z) + model().log_prior(z)  # (1201,)
        return RULES[0].weights.numpy() @ (q.pdf(z) * (q.logpdf(z) - terms.numpy()))

    # from the start of chapter 4, whose page prints 0.848, 0.264 and 0.0853
    search = optimize.minimize(gap, (0.8, np.log(0.4)), method="Nelder-Mead", tol=1e-12)
    best = computed("slide-q").evaluate("VAE_LIVE.slideQ.best()")
    terms = decompose(model(), gaussian(best["mean"], best["width"]).log_prob, *RULES)
    apart("gap of the best Gaussian", best["gap"], terms.kl_to_posterior, 1e-12)
    apart("its place", [best["mean"], best["width"]], [search.x[0], np.exp(search.x[1])], 1e-6)
    assert [f"{best[name]:.4f}" for name in ("mean", "width", "gap")] == [
        "0.8482",
        "0.2641",
        "0.0853",
    ]


def test_the_closed_form_agrees_with_torch_and_with_an_integral():
    rows = settings(2, 300, (-3, 3), (0.3, 3), (-3, 3), (0.3, 3))
    page = computed("gaussian-kl")
    pairs = [(gaussian(*row[:2]), gaussian(*row[2:])) for row in rows]
    expected = [kl_divergence(q, p).item() for q, p in pairs]
    apart("closed form, 300 pairs", both(page, "closedForm", rows), expected, 1e-9)
    sides = both(page, "areas", rows)
    sums = [each["above"] + each["below"] for each in sides]
    apart("signed area and closed form", sums, expected, 1e-9)


def test_the_average_under_the_wider_gaussian_is_the_dearer():
    rows = settings(7, 300, (-3, 3), (0.3, 3), (-3, 3), (0.3, 3))
    page = computed("gaussian-kl")
    forth, back = (np.array(both(page, "closedForm", r)) for r in (rows, rows[:, [2, 3, 0, 1]]))
    a, b, c, d = rows.T
    ratio = np.maximum(b, d) / np.minimum(b, d)
    distance = (a - c) / np.minimum(b, d)
    wider = np.where(b > d, forth - back, back - forth)
    expected = 0.5 * (ratio**2 - ratio**-2) - 2 * np.log(ratio)
    expected += 0.5 * distance**2 * (1 - ratio**-2)  # as chapter 6 has it
    apart("the wider direction less the narrower, 300 pairs", wider, expected, 1e-9)
    assert wider.min() > 0


def test_a_pad_moves_whichever_is_chosen():
    script = """() => {
        const [mean, width] = [1, 2].map((step) => ({ step, home: 3, value: 4,
            set(wanted) { this.value = wanted; } }));
        const peak = VAE_LIVE.peak(width, (sigma) => sigma);
        let chosen = mean;
        const either = VAE_LIVE.either(() => chosen);
        either.set(5);
        const first = [either.step, either.home, either.value, either.at(0.25)];
        chosen = peak;
        either.set(either.at(0.25));
        return [first, [either.step, either.home, either.value], mean.value, width.value];
    }"""
    first, second, mean, width = computed("gaussian-kl").evaluate(f"({script})()")
    assert first == [1, 3, 5, 0.25]
    assert second == [2, -3, pytest.approx(-4 / math.sqrt(2 * math.pi))]
    assert (mean, width) == (5, pytest.approx(4 / math.sqrt(2 * math.pi)))


def test_the_two_areas_agree_with_scipy():
    rows = settings(3, 200, (-3, 3), (0.3, 3), (-3, 3), (0.3, 3))
    expected = []
    for a, b, c, d in rows:

        def log_ratio(z, a=a, b=b, c=c, d=d):  # stats.norm takes forty times as long for a number
            return math.log(d / b) + 0.5 * (((z - c) / d) ** 2 - ((z - a) / b) ** 2)

        density = NormalDist(a, b).pdf

        def integrand(z, density=density, log_ratio=log_ratio):
            return density(z) * log_ratio(z)

        # zeros of log q − log p: a polynomial of degree two through three of its values
        z = a + b * np.array([-1.0, 0.0, 1.0])
        np.testing.assert_allclose(
            log_ratio(z), stats.norm(a, b).logpdf(z) - stats.norm(c, d).logpdf(z), atol=1e-12
        )
        zeros = np.roots(np.polyfit(z, log_ratio(z), 2))
        inside = np.sort([x.real for x in zeros if abs(x.imag) < 1e-9 and abs(x.real - a) < 9 * b])
        edges = [a - 9 * b, *inside, a + 9 * b]
        parts = [
            integrate.quad(integrand, *pair, epsabs=1e-13, limit=200)[0] for pair in pairwise(edges)
        ]
        expected.append([sum(x for x in parts if x > 0), sum(x for x in parts if x < 0)])
    seen = [[e["above"], e["below"]] for e in both(computed("gaussian-kl"), "areas", rows)]
    apart("areas above and below zero, 200 pairs", seen, expected, 1e-9)


def test_equal_gaussians_and_equal_widths_have_finite_areas():
    rows = np.array([[1, 0.5, 1, 0.5], [1, 0.5, -1, 0.5], [0, 0.5, 0, 2]])
    page = computed("gaussian-kl")
    expected = [0, 8, math.log(4) + 1 / 32 - 1 / 2]
    apart("special pairs", both(page, "closedForm", rows), expected, 1e-12)
    sides = both(page, "areas", rows)
    apart("their areas", [s["above"] + s["below"] for s in sides], expected, 1e-9)


@pytest.mark.parametrize("side", [-1, 1])
def test_equal_widths_cross_once(side):
    rows = np.array([[side, 0.5, -side, 0.5]])  # log q − log p = 8z · side
    (seen,) = both(computed("gaussian-kl"), "areas", rows)
    below = 8 * (stats.norm.cdf(-2) - 0.5 * stats.norm.pdf(2))  # −8 E[−z; z < 0], z ~ N(1, ½²)
    apart("one crossing", [seen["above"], seen["below"]], [8 - below, below], 1e-9)


@pytest.mark.parametrize("count", [3, 7, 2001])
def test_simpsons_rule_is_that_of_scipy(count):
    script = f"VAE_LIVE.integrate(VAE_LIVE.simpson(-1, 2, {count}), (z) => Math.exp(-z * z))"
    nodes = np.linspace(-1, 2, count)
    expected = integrate.simpson(np.exp(-(nodes**2)), x=nodes)
    apart(f"Simpson, {count} nodes", computed("slide-q").evaluate(script), expected, 1e-14)


def test_simpsons_rule_is_exact_for_cubics():
    script = "VAE_LIVE.integrate(VAE_LIVE.simpson(-1, 2, 3), (z) => z ** 3 - 2 * z ** 2 + 5)"
    apart(
        "a cubic", computed("slide-q").evaluate(script), (16 - 1) / 4 - 2 * (8 + 1) / 3 + 15, 1e-14
    )


def test_densities_are_those_of_scipy():
    rows = settings(6, 100, (-3, 3), (0.1, 3), (-5, 5))
    script = """rows => rows.map(([mean, width, z]) => {
        const { logDensity, density } = VAE_LIVE.gaussian(mean, width);
        return [logDensity(z), density(z)]; })"""
    law = stats.norm(rows[:, 0], rows[:, 1])
    expected = np.stack([law.logpdf(rows[:, 2]), law.pdf(rows[:, 2])], axis=-1)
    apart("densities", computed("slide-q").evaluate(script, rows.tolist()), expected, 1e-10)


def test_the_running_average_and_its_error_are_those_of_numpy():
    script = """rows => rows.map(function ([a, b, c, d]) {
        const [q, p] = [VAE_LIVE.gaussian(a, b), VAE_LIVE.gaussian(c, d)];
        const noise = VAE_LIVE.generator(7).normals(1000);
        const marks = VAE_LIVE.gaussianKL.running(q, p, noise, [10, 37, 1000]);
        return [[...noise], marks.map(({mean, error}) => [mean, error])];
    })"""
    rows = settings(4, 200, (-3, 3), (0.3, 3), (-3, 3), (0.3, 3))
    seen, expected = [], []
    for (a, b, c, d), (noise, marks) in zip(
        rows, computed("gaussian-kl").evaluate(script, rows.tolist()), strict=True
    ):
        z = a + b * np.array(noise)
        ratios = stats.norm(a, b).logpdf(z) - stats.norm(c, d).logpdf(z)
        parts = [ratios[:count] for count in (10, 37, 1000)]
        seen.append(marks)
        expected.append([[part.mean(), stats.sem(part)] for part in parts])
    apart("running averages and errors, 200 pairs", seen, expected, 1e-9)


def test_the_spread_of_the_draws_is_that_of_a_hermite_sum():
    rows = settings(5, 200, (-3, 3), (0.3, 3), (-3, 3), (0.3, 3))
    node, weight = np.polynomial.hermite_e.hermegauss(6)  # exact for squares of squares
    expected = []
    for a, b, c, d in rows:
        ratio = stats.norm(a, b).logpdf(a + b * node) - stats.norm(c, d).logpdf(a + b * node)
        mean, square = (weight @ ratio**k / weight.sum() for k in (1, 2))
        expected.append(math.sqrt(square - mean**2))
    apart("spread, 200 pairs", both(computed("gaussian-kl"), "spread", rows), expected, 1e-7)
