"""The live figures about Gaussians of one latent, in Chromium: slide-q and gaussian-kl."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from export_gaussians import gaussian
from hands import STATUS, VALUES, announced, at, close, drag, point, press, swipe, values
from scipy import integrate, optimize, stats
from torch.distributions import kl_divergence

from vae_tutorial.decomposition import decompose, gaussian_decoder
from vae_tutorial.quadrature import gauss_legendre, trapezoid

RULES = trapezoid(-12, 12, 1201), gauss_legendre(-12, 12, 1000)
PHONE = {"viewport": {"width": 320, "height": 1200}, "has_touch": True, "is_mobile": True}
SLIDE = {"x_range": (-2, 2.5), "y_range": (0, 2.5)}  # the axes of the two density plots
PAIR = {"x_range": (-6, 6), "y_range": (0, 1.4), "left": 54}


def peak(width):
    """How high a Gaussian's density stands."""
    return 1 / (width * math.sqrt(2 * math.pi))


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


def apart(what, seen, expected, tolerance):
    """The largest difference, printed; it is within the tolerance."""
    difference = np.abs(np.asarray(seen) - np.asarray(expected)).max()
    print(f"JavaScript against Python, {what}: at most {difference:.1e} apart")
    assert difference <= tolerance


def test_bound_and_gap_agree_with_the_package_at_random_q(opened):
    page = opened("slide-q")
    rows = settings(1, 300, (-2, 2.5), (-3.5, 0.25))
    rows[:, 1] = 2 ** rows[:, 1]
    script = """rows => rows.map(function ([mean, width]) {
        const q = VAE_LIVE.gaussian(mean, width);
        return [VAE_LIVE.slideQ.boundOf(q), VAE_LIVE.slideQ.gapOf(q), VAE_LIVE.slideQ.evidence];
    })"""
    seen = np.array(page.evaluate(script, rows.tolist()))  # (300, 3)
    terms = [decompose(model(), gaussian(*row).log_prob, *RULES) for row in rows]
    expected = [[each.elbo, each.kl_to_posterior, each.log_evidence] for each in terms]
    apart("bound, gap and log p(x), 300 q", seen, expected, 1e-9)
    apart("bound + gap and log p(x)", seen[:, 0] + seen[:, 1], seen[:, 2], 1e-9)


def test_the_best_gaussian_is_that_of_another_search(opened):
    def gap(place):
        q = stats.norm(place[0], np.exp(place[1]))
        z = RULES[0].nodes
        terms = model().log_likelihood(z) + model().log_prior(z)  # (1201,)
        return RULES[0].weights.numpy() @ (q.pdf(z) * (q.logpdf(z) - terms.numpy()))

    # from the start of chapter 4, whose page prints 0.848, 0.264 and 0.0853
    search = optimize.minimize(gap, (0.8, np.log(0.4)), method="Nelder-Mead", tol=1e-12)
    best = opened("slide-q").evaluate("VAE_LIVE.slideQ.best()")
    terms = decompose(model(), gaussian(best["mean"], best["width"]).log_prob, *RULES)
    apart("gap of the best Gaussian", best["gap"], terms.kl_to_posterior, 1e-12)
    apart("its place", [best["mean"], best["width"]], [search.x[0], np.exp(search.x[1])], 1e-6)
    assert [f"{best[name]:.4f}" for name in ("mean", "width", "gap")] == [
        "0.8482",
        "0.2641",
        "0.0853",
    ]


def test_keys_alone_move_q_and_reveal_the_best_gaussian(opened):
    page = opened("slide-q")
    assert page.locator(STATUS).inner_text() == ""
    press(page, "Tab", "ArrowRight", "Shift+ArrowRight", "ArrowUp", "Shift+ArrowUp")  # the plot
    close(values(page, "mean"), point(0.91)[0], 1e-9)
    close(values(page, "width"), point(2**-1.11)[0], 1e-9)  # up is narrower
    press(page, "Home")
    close(values(page, "width"), point(0.5)[0], 0)
    press(page, "Tab", "ArrowLeft", "Tab", "Shift+ArrowLeft", "ArrowRight")  # the sliders
    close(values(page, "mean"), point(0.79)[0], 1e-9)
    close(values(page, "width"), point(2**-1.09)[0], 1e-9)
    terms = decompose(model(), gaussian(0.79, 2**-1.09).log_prob, *RULES)
    close(values(page, "bound"), terms.elbo, 1e-9)
    close(values(page, "gap"), terms.kl_to_posterior, 1e-9)
    words = (
        f"q with mean 0.79, width 0.47: bound −{-terms.elbo:.4f}, gap {terms.kl_to_posterior:.4f}"
    )
    assert announced(page, "mean 0.79, width 0.47").startswith(words)
    assert page.get_by_label("width of q").get_attribute("aria-valuetext") == "0.47"
    assert page.evaluate(f"{VALUES}.answer") is None
    press(page, "Tab", "Enter")  # the button
    assert page.evaluate(f"{VALUES}.answer.gap") == pytest.approx(0.0853, abs=5e-5)
    assert announced(page, "best").endswith(" The best Gaussian leaves 0.0853 nats.")
    assert page.get_by_role("button").inner_text() == "Hide the best Gaussian"
    press(page, "Space")
    assert page.evaluate(f"{VALUES}.answer") is None
    assert page.errors == []


def test_the_smallest_gap_is_kept_while_q_moves_on(opened):
    page = opened("slide-q")
    gaps = []
    for key in ("Shift+ArrowLeft",) * 12 + ("Shift+ArrowRight",) * 3:
        page.get_by_label("width of q").press(key)
        gaps.append(values(page, "gap").item())
    assert gaps.index(min(gaps)) not in (0, len(gaps) - 1)  # the way leads past a minimum
    assert values(page, "least.gap").item() == min(gaps)
    assert (
        page.get_by_text("smallest gap so far")
        .locator("..")
        .inner_text()
        .endswith(f"{min(gaps):.4f} nats")
    )


def test_a_bound_below_the_axis_keeps_its_number(opened):
    page = opened("slide-q")
    drag(page, at(page, 0.8, peak(0.5), **SLIDE), at(page, -1.9, peak(0.5), **SLIDE))
    assert values(page, "bound").item() < -8
    told = page.locator("canvas").nth(1).get_attribute("aria-label")
    assert f"the bound −{-values(page, 'bound').item():.4f}" in told


@pytest.mark.parametrize("hand", [drag, swipe])
def test_a_drag_takes_the_peak_of_q_along(opened, hand):
    page = opened("slide-q", **(PHONE if hand is swipe else {}))
    target = at(page, 1.2, peak(0.3), **SLIDE)
    hand(page, at(page, 0.8, peak(0.5), **SLIDE), target)
    close(values(page, "mean"), point(1.2)[0], 0.02)
    close(values(page, "width"), point(0.3)[0], 0.01)
    below = (target[0], at(page, 0, 0, **SLIDE)[1] + 15)  # under the axis, q is as wide as it can
    hand(page, target, below)
    close(values(page, "width"), point(2**0.25)[0], 1e-9)


def test_the_closed_form_agrees_with_torch_and_with_an_integral(opened):
    rows = settings(2, 300, (-3, 3), (0.3, 3), (-3, 3), (0.3, 3))
    page = opened("gaussian-kl")
    pairs = [(gaussian(*row[:2]), gaussian(*row[2:])) for row in rows]
    expected = [kl_divergence(q, p).item() for q, p in pairs]
    apart("closed form, 300 pairs", both(page, "closedForm", rows), expected, 1e-9)
    sides = both(page, "areas", rows)
    sums = [each["above"] + each["below"] for each in sides]
    apart("signed area and closed form", sums, expected, 1e-9)


def test_the_two_areas_agree_with_scipy(opened):
    rows = settings(3, 200, (-3, 3), (0.3, 3), (-3, 3), (0.3, 3))
    expected = []
    for a, b, c, d in rows:
        q, p = stats.norm(a, b), stats.norm(c, d)

        def integrand(z, q=q, p=p):
            return q.pdf(z) * (q.logpdf(z) - p.logpdf(z))

        # zeros of log q − log p: a polynomial of degree two through three of its values
        z = a + b * np.array([-1.0, 0.0, 1.0])
        zeros = np.roots(np.polyfit(z, q.logpdf(z) - p.logpdf(z), 2))
        inside = np.sort([x.real for x in zeros if abs(x.imag) < 1e-9 and abs(x.real - a) < 9 * b])
        edges = [a - 9 * b, *inside, a + 9 * b]
        parts = [
            integrate.quad(integrand, *pair, epsabs=1e-13, limit=200)[0] for pair in pairwise(edges)
        ]
        expected.append([sum(x for x in parts if x > 0), sum(x for x in parts if x < 0)])
    seen = [[e["above"], e["below"]] for e in both(opened("gaussian-kl"), "areas", rows)]
    apart("areas above and below zero, 200 pairs", seen, expected, 1e-9)


def test_equal_gaussians_and_equal_widths_have_finite_areas(opened):
    rows = np.array([[1, 0.5, 1, 0.5], [1, 0.5, -1, 0.5], [0, 0.5, 0, 2]])
    page = opened("gaussian-kl")
    expected = [0, 8, math.log(4) + 1 / 32 - 1 / 2]
    apart("special pairs", both(page, "closedForm", rows), expected, 1e-12)
    sides = both(page, "areas", rows)
    apart("their areas", [s["above"] + s["below"] for s in sides], expected, 1e-9)


@pytest.mark.parametrize("side", [-1, 1])
def test_equal_widths_cross_once(opened, side):
    rows = np.array([[side, 0.5, -side, 0.5]])  # log q − log p = 8z · side
    (seen,) = both(opened("gaussian-kl"), "areas", rows)
    below = 8 * (stats.norm.cdf(-2) - 0.5 * stats.norm.pdf(2))  # −8 E[−z; z < 0], z ~ N(1, ½²)
    apart("one crossing", [seen["above"], seen["below"]], [8 - below, below], 1e-9)


def test_the_rule_is_that_of_the_package(opened):
    seen = opened("slide-q").evaluate("VAE_LIVE.trapezoid(-1, 2, 7)")
    expected = trapezoid(-1, 2, 7)
    apart("nodes", seen["nodes"], expected.nodes, 1e-15)
    apart("weights", seen["weights"], expected.weights, 1e-15)


def test_the_running_average_and_its_error_are_those_of_numpy(opened):
    script = """rows => rows.map(function ([a, b, c, d]) {
        const [q, p] = [VAE_LIVE.gaussian(a, b), VAE_LIVE.gaussian(c, d)];
        const noise = VAE_LIVE.generator(7).normals(1000);
        const marks = VAE_LIVE.gaussianKL.running(q, p, noise, [10, 37, 1000]);
        return [[...noise], marks.map(({mean, error}) => [mean, error])];
    })"""
    rows = settings(4, 200, (-3, 3), (0.3, 3), (-3, 3), (0.3, 3))
    seen, expected = [], []
    for (a, b, c, d), (noise, marks) in zip(
        rows, opened("gaussian-kl").evaluate(script, rows.tolist()), strict=True
    ):
        z = a + b * np.array(noise)
        ratios = stats.norm(a, b).logpdf(z) - stats.norm(c, d).logpdf(z)
        parts = [ratios[:count] for count in (10, 37, 1000)]
        seen.append(marks)
        expected.append([[part.mean(), stats.sem(part)] for part in parts])
    apart("running averages and errors, 200 pairs", seen, expected, 1e-9)


def test_the_spread_of_the_draws_is_that_of_a_hermite_sum(opened):
    rows = settings(5, 200, (-3, 3), (0.3, 3), (-3, 3), (0.3, 3))
    node, weight = np.polynomial.hermite_e.hermegauss(6)  # exact for squares of squares
    expected = []
    for a, b, c, d in rows:
        ratio = stats.norm(a, b).logpdf(a + b * node) - stats.norm(c, d).logpdf(a + b * node)
        mean, square = (weight @ ratio**k / weight.sum() for k in (1, 2))
        expected.append(math.sqrt(square - mean**2))
    apart("spread, 200 pairs", both(opened("gaussian-kl"), "spread", rows), expected, 1e-7)


def test_keys_alone_move_the_pair_choose_the_direction_and_draw(opened):
    page = opened("gaussian-kl", reduced_motion="reduce")
    assert page.locator(STATUS).inner_text() == ""
    press(page, "Tab", "ArrowRight", "Shift+ArrowLeft", "ArrowUp", "ArrowUp")  # the plot
    close(values(page, "first.mean"), point(0.55)[0], 1e-9)
    close(values(page, "first.width"), point(0.4)[0], 1e-9)
    press(page, "Home", *["Tab"] * 4, "Shift+ArrowRight")  # q's sliders, p's mean, p's width
    close(values(page, "second.width"), point(2.0)[0], 1e-9)
    press(page, "Tab", "ArrowDown")  # the other direction
    q, p = gaussian(1.0, 0.5), gaussian(-0.5, 2.0)
    close(values(page, "kl"), kl_divergence(p, q), 1e-9)
    press(page, "Tab", "Enter")  # the button
    assert page.evaluate(f"{VALUES}.estimate.count") == 100_000
    mean, error = (values(page, f"estimate.{name}").item() for name in ("mean", "error"))
    assert abs(mean - kl_divergence(p, q).item()) < 4 * error
    kl = f"{kl_divergence(p, q).item():.4f}"
    words = f"KL(p‖q) is {kl} nats; 100,000 draws give {mean:.3f} ± {error:.3f} nats."
    assert announced(page, "draws give") == words
    assert page.errors == []


def test_draws_come_a_frame_at_a_time_pause_and_go_on(opened):
    page = opened("gaussian-kl")
    button = page.get_by_role("button")
    button.press("Enter")
    page.wait_for_function(f"{VALUES}.steps > 3", polling=50)
    assert button.inner_text() == "Pause"
    button.press("Enter")
    assert button.inner_text() == "Go on drawing"
    steps = page.evaluate(f"{VALUES}.steps")
    assert 3 < steps < 241
    page.wait_for_timeout(200)
    assert page.evaluate(f"{VALUES}.steps") == steps
    button.press("Enter")
    page.wait_for_function(f"{VALUES}.steps > {steps}", polling=50)
    assert page.errors == []


def test_where_motion_is_reduced_all_draws_come_at_once_and_then_others(opened):
    page = opened("gaussian-kl", reduced_motion="reduce")
    page.evaluate("() => { window.requestAnimationFrame = () => { throw new Error('a frame') } }")
    button = page.get_by_role("button")
    button.press("Enter")
    first = values(page, "estimate.mean")
    assert page.evaluate(f"{VALUES}.steps") == 241
    button.press("Enter")
    assert page.evaluate(f"{VALUES}.estimate.count") == 100_000
    assert values(page, "estimate.mean") != first
    assert page.errors == []


@pytest.mark.parametrize("hand", [drag, swipe])
def test_a_drag_takes_the_peak_of_the_pairs_q_along(opened, hand):
    page = opened("gaussian-kl", **(PHONE if hand is swipe else {}))
    hand(page, at(page, 1, peak(0.5), **PAIR), at(page, -2, peak(0.4), **PAIR))
    close(values(page, "first.mean"), point(-2.0)[0], 0.06)
    close(values(page, "first.width"), point(0.4)[0], 1e-9)  # on a step
