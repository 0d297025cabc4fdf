"""The live figure draw-q in Chromium: a hand, a finger or keys draw q, and the sum stays."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from export_draw_q import LEFT, RIGHT, wave
from hands import STATUS, VALUES, announced, at, close, drag, point, press, swipe, values

from vae_tutorial.decomposition import gaussian_decoder, log_evidence, log_posterior

PHONE = {"viewport": {"width": 320, "height": 1200}, "has_touch": True, "is_mobile": True}
MODEL = gaussian_decoder(wave, point(0.8, 0.0), 0.1)
TRUTH = log_evidence(MODEL, LEFT).item()
PLACES = torch.linspace(-3, 3, 121, dtype=torch.float64)
on_screen = partial(at, x_range=(-3, 3), y_range=(0, 2.4))


def gap_of(heights):
    """KL of a broken line to the posterior, by many equal steps."""
    z = np.linspace(-3, 3, 120 * 400 + 1)
    q = np.interp(z, PLACES, heights)
    log_p = log_posterior(MODEL, RIGHT)(torch.from_numpy(z)).numpy()
    terms = np.where(q > 0, q * (np.log(np.maximum(q, 1e-300)) - log_p), 0)
    return np.trapezoid(terms, z)


def sees_the_identity(page):
    """The drawn q has area one, its gap is that of an integral, and the sum is log p(x)."""
    heights = values(page, "heights").numpy()
    assert np.trapezoid(heights, PLACES) == pytest.approx(1, abs=1e-12)
    bound, gap = values(page, "bound").item(), values(page, "gap").item()
    assert gap == pytest.approx(gap_of(heights), abs=1e-5)
    assert bound + gap == pytest.approx(TRUTH, abs=1e-11)


def test_it_begins_with_the_near_gaussian_of_the_page(opened):
    page = opened("draw-q")
    sees_the_identity(page)
    assert values(page, "gap").item() == pytest.approx(1.4304, abs=3e-4)
    assert page.get_by_text("none yet").is_visible()


def test_keys_alone_move_the_place_and_raise_and_lower_q(opened):
    page = opened("draw-q")
    assert page.locator(STATUS).inner_text() == ""
    before = values(page, "heights")
    press(page, "Tab", "Shift+ArrowRight", "ArrowLeft")  # the plot
    close(values(page, "place"), point(0.85)[0], 1e-9)
    assert torch.equal(values(page, "heights"), before)  # a move of the place draws nothing
    press(page, "Shift+ArrowUp")
    raised = values(page, "heights")
    assert raised[77] > before[77] + 0.3
    sees_the_identity(page)
    told = f"At z = 0.85 q is {raised[77]:.2f}: bound −"
    assert announced(page, told).startswith(told)
    assert page.locator(STATUS).inner_text().endswith(" nats, together −3.4798124632.")
    press(page, "Shift+ArrowDown", "Shift+ArrowDown", "Shift+ArrowDown")
    assert values(page, "heights")[77].item() == 0
    press(page, "Tab", "ArrowLeft", "Tab", "ArrowRight", "ArrowRight")  # both sliders
    close(values(page, "place"), point(0.8)[0], 1e-9)
    sees_the_identity(page)
    shown = page.get_by_role("slider", name="q there").get_attribute("aria-valuetext")
    assert shown == f"{values(page, 'at').item():.2f}"
    press(page, "Tab", "Tab", "Tab", "Enter")  # the last button
    assert 0 <= values(page, "gap").item() < 5e-5
    assert page.errors == []


@pytest.mark.parametrize("hand", [drag, swipe])
def test_q_has_the_shape_that_a_hand_draws(opened, hand):
    page = opened("draw-q", **(PHONE if hand is swipe else {}))
    way = [(z, 1.2 + 0.8 * math.sin(3 * z)) for z in np.linspace(-2.9, 2.9, 30)]
    hand(page, *(on_screen(page, *each) for each in way))
    drawn = np.interp(PLACES[3:-3], *np.transpose(way))
    heights = values(page, "heights").numpy()[3:-3]
    np.testing.assert_allclose(heights / heights.max(), drawn / drawn.max(), atol=0.05)
    sees_the_identity(page)
    assert values(page, "least").item() < 20
    assert page.errors == []


def test_a_second_stroke_starts_from_q_and_leaves_the_rest_in_proportion(opened):
    page = opened("draw-q")
    before = values(page, "heights")
    drag(page, on_screen(page, 1.5, 1.0), on_screen(page, 2.5, 1.0))
    after = values(page, "heights")
    share = after[40:80] / before[40:80]  # left of the stroke, where q is no rounded zero
    close(share, share[20].expand(40), 0.02 * share[20].item())
    assert after[105] > before[105] + 0.3


def test_the_posteriors_taller_peak_can_be_erased_and_the_gap_stays_finite(opened):
    page = opened("draw-q")
    page.get_by_role("button", name="posterior").click()
    drag(page, on_screen(page, -0.7, -0.2), on_screen(page, 0.8, -0.2))
    z = RIGHT.nodes
    kept = (RIGHT.weights * log_posterior(MODEL, RIGHT)(z).exp())[z > 0.8].sum()
    assert values(page, "gap").item() == pytest.approx(-kept.log().item(), abs=0.06)
    sees_the_identity(page)


def test_the_last_of_q_cannot_be_erased(opened):
    page = opened("draw-q")
    drag(page, on_screen(page, -3, -0.2), on_screen(page, 3, -0.2), on_screen(page, -3, -0.2))
    sees_the_identity(page)
    assert page.errors == []


def test_the_address_keeps_a_drawing_to_the_last_digit(opened):
    page = opened("draw-q")
    drag(page, *(on_screen(page, *each) for each in ((-1, 0.4), (0, 2), (1.7, 0.1))))
    page.wait_for_function("location.hash.length > 242")
    heights, gap = values(page, "heights"), values(page, "gap")
    address = page.evaluate("location.href")
    assert len(address.partition("#")[2]) < 280
    page.goto("about:blank")
    page.goto(address)
    close(values(page, "heights"), heights, 1e-12)
    close(values(page, "gap"), gap, 1e-12)
    page.get_by_role("button", name="two bumps").click()
    page.wait_for_function("location.hash.endsWith('&q=lobes')")
    assert page.errors == []


@pytest.mark.parametrize("asked", ["q=none", "q=toString&z=x", f"q={'AA' * 121}", "height=2"])
def test_an_address_that_asks_for_nonsense_draws_the_beginning(opened, asked):
    page = opened("draw-q")
    before = values(page, "heights")
    page.evaluate(f"location.hash = '#fig-pad&{asked}'")
    page.wait_for_timeout(100)
    assert torch.equal(values(page, "heights"), before)
    assert page.errors == []


def test_the_record_is_of_drawings_that_did_not_begin_with_the_posterior(opened):
    page = opened("draw-q")
    page.get_by_role("button", name="posterior").click()
    assert page.evaluate(f"{VALUES}.least") == math.inf
    press(page, "Shift+Tab", "Shift+Tab", "Shift+Tab", "ArrowRight")  # q at this place
    assert values(page, "gap").item() > 0
    assert page.evaluate(f"{VALUES}.least") == math.inf
    page.get_by_role("button", name="bumps").click()
    assert page.evaluate(f"{VALUES}.least") == math.inf
    press(page, "Shift+Tab", "Shift+Tab", "ArrowRight")
    gap = values(page, "gap").item()
    assert values(page, "least").item() == gap > 0
    page.get_by_role("button", name="prior").click()
    assert values(page, "least").item() == gap


def test_the_record_grows_only_when_q_changes(opened):
    page = opened("draw-q")
    page.get_by_role("slider", name="place z").press("ArrowRight")
    assert values(page, "past").item() == 1
    page.get_by_role("slider", name="q there").press("ArrowRight")
    assert values(page, "past").item() == 2
