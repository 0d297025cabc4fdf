"""The live figures about Gaussians of one latent, in Chromium: slide-q and gaussian-kl."""

import math

import pytest
import torch
from export_gaussians import gaussian
from hands import STATUS, VALUES, announced, at, close, drag, point, press, swipe, values
from torch.distributions import kl_divergence

from vae_tutorial.decomposition import decompose, gaussian_decoder
from vae_tutorial.quadrature import gauss_legendre, trapezoid

RULES = trapezoid(-12, 12, 1201), gauss_legendre(-12, 12, 1000)
PHONE = {"viewport": {"width": 320, "height": 1200}, "has_touch": True, "is_mobile": True}
SLIDE = {"x_range": (-2, 2.5), "y_range": (0, 2.5)}  # the axes of the two density plots
MAP = {"x_range": (-2, 2.5), "y_range": (-3.5, 0.25), "canvas": 1}  # means, and log₂ widths
PAIR = {"x_range": (-6, 6), "y_range": (0, 1.4), "left": 54}


def peak(width):
    """How high a Gaussian's density stands."""
    return 1 / (width * math.sqrt(2 * math.pi))


def model():
    """That of chapter 4's cover, seen from its data point."""
    x = torch.tensor([0.6, 1.2], dtype=torch.float64)
    return gaussian_decoder(lambda z: torch.stack([z, z**2], -1), x, 0.25)


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
    close(values(page, "fit"), terms.log_likelihood, 1e-9)
    close(values(page, "price"), terms.kl_to_prior, 1e-9)
    close(values(page, "bound"), terms.elbo, 1e-9)
    close(values(page, "gap"), terms.kl_to_posterior, 1e-9)
    words = (
        f"q with mean 0.79, width 0.47: fit −{-terms.log_likelihood:.4f} less price "
        f"{terms.kl_to_prior:.4f} is the bound −{-terms.elbo:.4f}; gap {terms.kl_to_posterior:.4f}"
    )
    assert announced(page, "mean 0.79, width 0.47").startswith(words)
    assert page.get_by_label("width of q").get_attribute("aria-valuetext") == "0.47"
    assert page.evaluate(f"{VALUES}.answer") is None
    assert "0.0853" not in page.locator("figure").inner_text()
    press(page, "Tab", "Enter")  # the button
    assert page.evaluate(f"{VALUES}.answer.gap") == pytest.approx(0.0853, abs=5e-5)
    assert announced(page, "best").endswith(" The best Gaussian leaves 0.0853 nats.")
    assert page.get_by_role("button").inner_text() == "Hide the best Gaussian"
    press(page, "Space")
    assert page.evaluate(f"{VALUES}.answer") is None
    press(page, "Tab", "ArrowUp", "ArrowLeft")  # the map, on which up is wider
    close(values(page, "mean"), point(0.78)[0], 1e-9)
    close(values(page, "width"), point(2**-1.08)[0], 1e-9)
    assert page.errors == []


def readout(page, label):
    """What stands beside a label, with its spaces as they were meant."""
    return page.get_by_text(label).locator("..").inner_text().replace("\u00a0", " ")


def test_the_smallest_gap_is_kept_while_q_moves_on(opened):
    page = opened("slide-q")
    gaps = []
    for key in ("Shift+ArrowLeft",) * 12 + ("Shift+ArrowRight",) * 3:
        page.get_by_label("width of q").press(key)
        gaps.append(values(page, "gap").item())
    assert gaps.index(min(gaps)) not in (0, len(gaps) - 1)  # the way leads past a minimum
    assert values(page, "least.gap").item() == min(gaps)
    assert readout(page, "smallest gap so far").endswith(f"{min(gaps):.4f}")


def test_by_keys_the_score_comes_within_a_step_of_the_best_gaussian(opened):
    page = opened("slide-q")
    pad = page.locator("canvas.live-pad").nth(1)
    for key in ["ArrowRight"] * 5 + ["Shift+ArrowDown"] * 9 + ["ArrowDown"] * 2:
        pad.press(key)
    page.get_by_role("button").press("Enter")
    assert readout(page, "smallest gap so far").endswith("0.0854, best 0.0853")


def test_a_bound_below_the_axis_keeps_its_number(opened):
    page = opened("slide-q")
    drag(page, at(page, 0.8, peak(0.5), **SLIDE), at(page, -1.9, peak(0.5), **SLIDE))
    assert values(page, "bound").item() < -8
    told = page.locator("canvas").last.get_attribute("aria-label")
    assert f"the bound −{-values(page, 'bound').item():.4f}" in told


def color(page, canvas, x, y):
    """The colour, #rrggbb, of a canvas where the screen shows (x, y)."""
    script = """(c, [x, y]) => {
        const box = c.getBoundingClientRect(), ratio = window.devicePixelRatio;
        const place = [(x - box.left) * ratio, (y - box.top) * ratio];
        const [r, g, b] = c.getContext("2d").getImageData(...place.map(Math.floor), 1, 1).data;
        return "#" + [r, g, b].map((level) => level.toString(16).padStart(2, "0")).join("");
    }"""
    return page.locator("canvas").nth(canvas).evaluate(script, [x, y])


@pytest.mark.parametrize("hand", [drag, swipe])
def test_the_map_takes_the_shade_of_the_gap_where_q_has_been_and_is_blank_elsewhere(opened, hand):
    page = opened("slide-q", **(PHONE if hand is swipe else {}))
    places = [(-0.275, -1.025), (0.275, -1.025), (0.275, -1.525), (0.275, -1.975), (0.775, -1.975)]
    on_screen = [at(page, *place, **MAP) for place in places]
    hand(page, *on_screen)
    close(values(page, "mean"), point(0.775)[0], 0.02)
    close(values(page, "width").log2(), point(-1.975)[0], 0.02)
    for (mean, power), place in zip(places[:-1], on_screen, strict=False):
        gap = decompose(model(), gaussian(mean, 2**power).log_prob, *RULES).kl_to_posterior
        seen = color(page, 1, *place)
        assert seen == page.evaluate(f"VAE_LIVE.slideQ.shadeOf({gap})"), (mean, power)
    assert color(page, 1, *at(page, -1.0, -0.5, **MAP)) == "#ffffff"
    assert page.errors == []


def test_the_address_brings_the_place_and_the_answer_back(opened):
    page = opened("slide-q")
    page.evaluate("location.hash = '#fig-pad&mean=1.2&width=-2&best=shown'")
    page.wait_for_function(f"{VALUES}.answer !== null")
    close(values(page, "mean"), point(1.2)[0], 1e-9)
    close(values(page, "width"), point(0.25)[0], 0)
    assert page.get_by_role("button").inner_text() == "Hide the best Gaussian"


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


def test_keys_alone_move_the_pair_and_read_both_directions(opened):
    page = opened("gaussian-kl", reduced_motion="reduce")
    page.wait_for_function(f"{VALUES}.steps === 241")  # drawn as soon as they are seen
    assert page.locator(STATUS).inner_text() == ""
    assert page.evaluate("location.hash") == ""
    press(page, "Tab", "ArrowRight", "Shift+ArrowLeft", "ArrowUp", "ArrowUp")  # the plot moves q
    close(values(page, "q.mean"), point(0.55)[0], 1e-9)
    close(values(page, "q.width"), point(0.9)[0], 1e-9)
    press(page, "Home", "Tab", "Tab", "ArrowRight")  # past the button to the choice: p
    press(page, "Shift+Tab", "Shift+Tab", "ArrowRight", "ArrowDown")  # the plot again
    close(values(page, "p.mean"), point(-0.95)[0], 1e-9)
    close(values(page, "p.width"), point(1.05)[0], 1e-9)
    press(page, *["Tab"] * 6, "Shift+ArrowRight")  # the last slider
    close(values(page, "p.width"), point(1.55)[0], 1e-9)
    press(page, "Tab", "Enter")  # swap
    p, q = gaussian(1.0, 1.0), gaussian(-0.95, 1.55)
    close(values(page, "q.mean"), point(-0.95)[0], 1e-9)
    for name, first, second in (("forth", q, p), ("back", p, q)):
        kl = kl_divergence(first, second)
        close(values(page, f"{name}.kl"), kl, 1e-9)
        close(values(page, f"{name}.above") + values(page, f"{name}.below"), kl, 1e-9)
        mean, error = (values(page, f"{name}.{part}").item() for part in ("mean", "error"))
        assert abs(mean - kl.item()) < 4 * error
    forth, back = kl_divergence(q, p), kl_divergence(p, q)
    said = announced(page, "draws give")
    assert said.startswith(
        "q has mean −0.95 and width 1.55, p mean 1.00 and width 1.00: "
        f"KL(q‖p) is {forth:.4f} nats, KL(p‖q) {back:.4f}; 100,000 draws give "
    )
    assert page.errors == []


def test_draws_start_when_seen_come_a_frame_at_a_time_pause_and_go_on(opened):
    page = opened("gaussian-kl")
    page.wait_for_function(f"{VALUES}.steps > 3", polling=50)
    button = page.get_by_role("button").first
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


def test_draws_wait_until_the_figure_is_seen(opened):
    page = opened("gaussian-kl", before="document.documentElement.style.paddingTop = '3000px'")
    page.wait_for_timeout(300)
    assert page.evaluate(f"{VALUES}.steps") == 0
    page.locator("canvas").nth(2).scroll_into_view_if_needed()
    page.wait_for_function(f"{VALUES}.steps > 0", polling=50)


def test_where_motion_is_reduced_all_draws_come_at_once_and_then_others(opened):
    frames = "window.requestAnimationFrame = () => { throw new Error('a frame') }"
    page = opened("gaussian-kl", before=frames, reduced_motion="reduce")
    page.wait_for_function(f"{VALUES}.steps === 241", polling=50)
    first = values(page, "forth.mean")
    page.get_by_role("button").first.press("Enter")
    assert page.evaluate(f"{VALUES}.count") == 100_000
    assert values(page, "forth.mean") != first
    assert page.errors == []


@pytest.mark.parametrize("hand", [drag, swipe])
def test_a_drag_takes_the_nearer_peak_along(opened, hand):
    page = opened("gaussian-kl", **(PHONE if hand is swipe else {}))
    hand(page, at(page, 1, peak(1), **PAIR), at(page, -2, peak(0.4), **PAIR))
    close(values(page, "q.mean"), point(-2.0)[0], 0.06)
    close(values(page, "q.width"), point(0.4)[0], 1e-9)  # on a step
    close(values(page, "p.mean"), point(-1.0)[0], 0)
    hand(page, at(page, -1, peak(1), **PAIR), at(page, 2, peak(0.5), **PAIR))
    close(values(page, "p.mean"), point(2.0)[0], 0.06)
    close(values(page, "p.width"), point(0.5)[0], 1e-9)
    close(values(page, "q.mean"), point(-2.0)[0], 0.06)
    assert page.get_by_role("radio", name="p", exact=True).is_checked()
    assert page.errors == []
