"""The live figure side-by-side in Chromium: points by hand, finger and keys; training; the address.

What it computes is tested without a browser: `tests/test_live_side_by_side.py`.
"""

import json

import pytest
import torch
from hands import VALUES, announced, press, swipe, values

PHONE = {"viewport": {"width": 390, "height": 664}, "has_touch": True, "is_mobile": True}
PATIENCE = 120_000  # milliseconds: a busy machine trains slowly
ACROSS, UP = 3.3, 2.3  # what a plane shows


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def until(page, condition):
    """Wait until a condition on the figure's values `v` holds."""
    page.wait_for_function(f"(({{ ...v }}) => {condition})({VALUES})", timeout=PATIENCE)


def points(page):
    return json.loads(page.evaluate(f"JSON.stringify({VALUES}.points)"))


def steps(page):
    return int(values(page, "steps").item())


def spot(page, x, y, plane=0):
    """Where on the screen a plane shows (x, y)."""
    box = page.locator("canvas").nth(plane).bounding_box()
    across, down = (x + ACROSS) / (2 * ACROSS), (UP - y) / (2 * UP)
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def test_keys_alone_place_move_and_remove_points(opened):
    page = opened("side-by-side")
    ring = points(page)
    assert len(ring) == 8
    press(page, "Tab", "Enter")  # the plane of the GAN: a point at its middle
    assert points(page) == [*ring, [0, 0]]
    press(page, " ", "Shift+ArrowRight", "ArrowUp", " ", "ArrowUp")  # moved, put down, and on
    assert points(page)[-1] == [0.5, 0.05]
    announced(page, "9 points")
    press(page, "Enter")  # near enough to mean the point
    assert points(page) == ring
    assert page.get_by_role("combobox", name="Points").input_value() == "own"
    press(page, "Tab", "Shift+ArrowLeft", "Enter")  # the other plane has the same cursor
    assert points(page)[-1] == [0, 0.1]
    assert "Enter places a point" in page.locator("canvas").nth(1).get_attribute("aria-label")
    assert page.errors == []


@pytest.mark.parametrize("plane", [0, 1])
def test_a_hand_places_drags_and_removes_points(opened, plane):
    page = opened("side-by-side")
    ring = points(page)
    page.mouse.click(*spot(page, 0.4, -0.3, plane))
    (new,) = points(page)[8:]
    assert new == pytest.approx([0.4, -0.3], abs=0.051)
    page.mouse.move(*spot(page, *new, plane))
    page.mouse.down()
    page.mouse.move(*spot(page, 0, 0, plane))
    page.mouse.move(*spot(page, -0.5, 0.8, plane))
    page.mouse.up()
    assert points(page)[8] == pytest.approx([-0.5, 0.8], abs=0.051)
    page.mouse.click(*spot(page, -0.5, 0.8, plane))
    assert points(page) == ring
    page.mouse.click(*spot(page, 3.1, 2.2, plane))  # beyond the limits
    assert points(page)[8:] == [[2, 2]]
    assert page.errors == []


def test_the_last_point_stays_and_no_two_stand_on_one_place(opened):
    page = opened("side-by-side")
    page.evaluate("location.hash = '#fig-pad&points=own&own=14141e14'")
    page.wait_for_function(f"{VALUES}.points.length === 2")
    page.mouse.click(*spot(page, 0.5, 0))
    assert points(page) == [[0, 0]]
    page.mouse.click(*spot(page, 0, 0))
    assert points(page) == [[0, 0]]
    page.mouse.click(*spot(page, 1, 0))
    page.locator("canvas").first.focus()
    press(page, " ", *["Shift+ArrowLeft"] * 2)
    assert len({tuple(point) for point in points(page)}) == 2
    assert page.errors == []


def test_it_starts_pauses_and_says_what_each_hits(opened):
    page = opened("side-by-side")
    button(page, "Start").click()
    until(page, "v.steps >= 10 && v.history >= 2")
    button(page, "Pause").click()
    until(page, "!v.working && v.latest")
    at = steps(page)
    said = announced(page, f"At step {at} the GAN hits")
    latest = json.loads(page.evaluate(f"JSON.stringify({VALUES}.latest)"))
    for name, words in (("gan", "the GAN"), ("vae", "the VAE")):
        hits, forward = latest[name]["hits"], latest[name]["forward"]
        assert f"{words} hits {hits} of 8, KL(p‖p_g) {forward:.{2 if forward < 10 else 1}f}" in said
    assert (
        f"GAN: {latest['gan']['hits']} of 8 points hit" in page.locator(".live-pinned").inner_text()
    )
    page.wait_for_timeout(300)
    assert steps(page) == at
    page.get_by_role("combobox", name="Points").select_option("cluster")
    until(page, "!v.working && v.latest && v.latest.vae.shares.length === 7")
    assert steps(page) == at
    assert page.errors == []


def test_a_run_begun_again_is_the_same_and_another_seed_is_not(opened):
    page = opened("side-by-side")
    start = values(page, "generator")
    button(page, "Start").click()
    until(page, "v.steps >= 3 && v.history >= 2")
    button(page, "Begin again").click()
    assert torch.equal(values(page, "generator"), start)
    assert torch.equal(values(page, "vae")[-start.numel() :], start)  # decoder and generator
    assert values(page, "former") >= 2
    assert steps(page) == 0
    button(page, "Other seed").click()
    assert not torch.equal(values(page, "generator"), start)
    page.wait_for_function("location.hash.endsWith('&seed=2')")
    assert page.errors == []


def test_the_hybrid_has_a_discriminator_too(opened):
    page = opened("side-by-side")
    page.evaluate("location.hash = '#fig-pad&mix=2'")
    until(page, "v.settings.mix === 2")
    button(page, "Start").click()
    until(page, "v.history >= 1")
    button(page, "Pause").click()
    until(page, "!v.working && v.latest")
    assert 0 <= values(page, "latest.vae.jensenShannon") <= torch.tensor(2.0).log()
    assert values(page, "latest.vae.seen") <= values(page, "latest.vae.jensenShannon")
    assert page.locator(".live-pinned").inner_text().count("D sees") == 2
    announced(page, "the hybrid hits")


def test_an_address_brings_points_settings_and_seed_back(opened):
    page = opened("side-by-side")
    page.mouse.click(*spot(page, 0.4, -0.3))
    page.get_by_role("slider", name="learning rate").press("ArrowLeft")
    button(page, "Other seed").click()
    page.wait_for_function("location.hash.includes('seed=2')")
    placed, address = points(page), page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(address)
    assert points(page) == placed
    assert values(page, "seed") == 2
    assert values(page, "settings.rate").item() == pytest.approx(10**-2.6)
    assert page.errors == []


@pytest.mark.parametrize(
    "asked", ["points=own&own=zz", "points=toString", "seed=-1", "seed=x&mix=a"]
)
def test_an_address_that_asks_for_nonsense_draws_the_beginning(opened, asked):
    page = opened("side-by-side")
    ring, start = points(page), values(page, "generator")
    page.evaluate(f"location.hash = '#fig-pad&{asked}'")
    page.wait_for_timeout(100)
    assert points(page) == ring
    assert torch.equal(values(page, "generator"), start)
    assert page.errors == []


def test_a_loss_that_is_no_number_stops_the_run_and_says_so(opened):
    page = opened("side-by-side")
    page.evaluate(
        """() => { const { fool } = VAE_LIVE.game;
        VAE_LIVE.game.fool = (...given) => ({ ...fool(...given), loss: Number.NaN }); }"""
    )
    button(page, "Start").click()
    until(page, "v.failed && !v.running")
    announced(page, "A loss is no number any more. Begin again")


def test_a_finger_places_a_point_and_the_planes_stay_in_sight_on_a_phone(opened):
    page = opened("side-by-side", **PHONE)
    page.touchscreen.tap(*spot(page, 0.4, -0.3))
    assert len(points(page)) == 9
    swipe(page, spot(page, *points(page)[8]), spot(page, 0.6, 0.6), spot(page, -0.6, 0.6))
    assert points(page)[8] == pytest.approx([-0.6, 0.6], abs=0.11)
    page.get_by_role("slider", name="λ, hybrid").scroll_into_view_if_needed()
    for plane in (0, 1):
        box = page.locator("canvas").nth(plane).bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] < 300
        assert box["width"] >= 140
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.errors == []
