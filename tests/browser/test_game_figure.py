"""The live figure game-pad in Chromium: p_g on a line, four divergences, and walks along them."""

import math

import pytest
import torch
from export_game import LAWS, log_made, named
from hands import STATUS, VALUES, announced, at, close, drag, point, press, swipe, values

from vae_tutorial.adversarial import divergences
from vae_tutorial.quadrature import trapezoid

RULE = trapezoid(-32, 32, 5001)
PHONE = {"viewport": {"width": 390, "height": 664}, "has_touch": True, "is_mobile": True}
PAD = {"x_range": (-4, 4), "y_range": (-2, 1.5)}
NAMES = ("likelihood", "reverse", "saturating", "nonSaturating")


def exact(law, mean, width):
    """The four divergences, by the package."""
    parameters = torch.tensor([mean, math.log(width)], dtype=torch.float64)
    log_data = LAWS[law].log_prob(RULE.nodes)
    found = named(divergences(log_data, log_made(RULE, parameters), RULE))
    return torch.stack([found[name] for name in NAMES])


def shown(page):
    return torch.stack([values(page, f"divergences.{name}") for name in NAMES])


def still(page):
    page.wait_for_function(f"{VALUES}.ends.length > 0 && !{VALUES}.walking", timeout=60_000)


def test_keys_alone_move_p_g_and_the_numbers_are_the_packages(opened):
    page = opened("game-pad")
    assert page.locator(STATUS).inner_text() == ""
    press(page, "Tab", "ArrowRight", "Shift+ArrowLeft", "ArrowUp")  # the pad
    close(values(page, "place"), point(0.55, 2**-0.98), 1e-9)
    close(shown(page), exact("two", 0.55, 2**-0.98), 1e-9)
    press(page, "Home")
    close(values(page, "place"), point(1.0, 0.5), 0)
    press(page, "Tab", "Shift+ArrowRight", "Tab", "Shift+ArrowUp")  # the sliders
    close(values(page, "place"), point(1.5, 2**-0.8), 1e-9)
    found = exact("two", 1.5, 2**-0.8)
    close(shown(page), found, 1e-9)
    numbers = [f"{value:.4f}" for value in found]
    assert announced(page, "mean 1.50").startswith(
        f"p has two modes, p_g mean 1.50, width 0.57: KL(p‖p_g) {numbers[0]}, KL(p_g‖p) "
        f"{numbers[1]}, 2 JS {numbers[2]}, KL(p_g‖p) − 2 JS {numbers[3]} nats."
    )
    assert page.errors == []


@pytest.mark.parametrize(
    ("choice", "start", "end"),
    [
        ("likelihood", "", 0.0),
        ("nonSaturating", "&width=0.58", 2.0),
        ("reverse", "&width=0.58", 0.0),
        ("saturating", "", 2.0),
    ],
)
def test_by_keys_a_walk_follows_the_chosen_arrow(opened, choice, start, end):
    page = opened("game-pad", reduced_motion="reduce")
    page.evaluate(f"location.hash = '#fig-pad&follow={choice}{start}'")
    page.wait_for_function(f"{VALUES}.follows === '{choice}'")
    page.get_by_role("button").press("Enter")
    still(page)
    mean = values(page, "place")[0].item()
    assert abs(abs(mean) - end) < 0.02
    close(values(page, f"divergences.{choice}"), values(page, "ends[0].value"), 1e-9)
    assert announced(page, "stood still").endswith("was followed until it stood still.")
    assert page.errors == []


def test_a_hand_stops_a_walk_and_other_data_begin_afresh(opened):
    page = opened("game-pad")
    button = page.get_by_role("button")
    button.press("Enter")
    page.wait_for_function(f"{VALUES}.steps > 3", polling=50)
    assert button.inner_text() == "Stop"
    button.press("Enter")
    assert button.inner_text() == "Follow its arrow"
    page.get_by_label("mean of p_g").press("ArrowRight")
    assert page.evaluate(f"{VALUES}.steps") == 0
    button.press("Enter")
    page.wait_for_function(f"{VALUES}.steps > 1", polling=50)
    page.get_by_label("mean of p_g").press("Shift+ArrowLeft")
    page.wait_for_function(f"!{VALUES}.walking")
    assert button.inner_text() == "Follow its arrow"
    page.get_by_label("p has").select_option("skewed")
    mean, width = values(page, "place").tolist()
    close(shown(page), exact("skewed", mean, width), 1e-9)
    assert page.evaluate(f"{VALUES}.ends.length") == 0
    assert page.errors == []


@pytest.mark.parametrize("hand", [drag, swipe])
def test_a_drag_takes_p_g_along(opened, hand):
    page = opened("game-pad", **(PHONE if hand is swipe else {}))
    pad = page.locator("canvas.live-pad")
    pad.scroll_into_view_if_needed()
    index = page.evaluate(
        "[...document.querySelectorAll('canvas')].findIndex((c) => c.matches('.live-pad'))"
    )
    hand(page, *(at(page, *place, canvas=index, **PAD) for place in ((1, -1), (0, 0), (-2, 0.8))))
    close(values(page, "place"), point(-2.0, 2**0.8), 0.04)
    assert page.errors == []


def test_the_address_brings_data_and_place_back(opened):
    page = opened("game-pad")
    page.evaluate("location.hash = '#fig-pad&mean=-1.5&width=0.4&law=one&follow=reverse'")
    page.wait_for_function(f"{VALUES}.law === 'one'")
    close(values(page, "place"), point(-1.5, 2**0.4), 1e-9)
    close(shown(page), exact("one", -1.5, 2**0.4), 1e-9)


def test_on_a_phone_the_numbers_and_the_pad_are_in_sight_together(opened):
    page = opened("game-pad", **PHONE)
    page.evaluate("document.body.style.paddingTop = '52px'")  # the book's header
    pinned = page.locator(".live-pinned").bounding_box()
    pad = page.locator("canvas.live-pad").bounding_box()
    assert pinned["y"] + pinned["height"] <= pad["y"] + 1
    assert pad["y"] + pad["height"] < 664
