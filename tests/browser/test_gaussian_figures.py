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
