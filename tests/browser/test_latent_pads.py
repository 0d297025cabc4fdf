"""The two latent pads in Chromium: a digit chosen, a walk, and what is in sight on a phone."""

import export_pads
import pytest
import torch
from hands import PLANE, announced, at, close, point, press, values

from vae_tutorial import pretrained
from vae_tutorial.data import load_digits

DIGITS = load_digits(torch.float64)
PHONE = {"viewport": {"width": 390, "height": 664}, "has_touch": True, "is_mobile": True}
SELECTED = 77  # a training digit


def place(index):
    return export_pads.chapter_9().encoder(DIGITS.train[index][None]).mean[0]


def rounded(z):
    return (z / 0.05).round() * 0.05


def alone():
    """A digit at the rim whose mean has no neighbour within a tenth of a latent."""
    means = export_pads.chapter_9().encoder(DIGITS.train).mean
    second = torch.cdist(means, means).topk(2, largest=False).values[:, 1]
    return int(second.argmax())


@pytest.mark.parametrize("hand", ["mouse", "finger"])
def test_a_click_selects_a_digit_and_another_lets_it_go(opened, hand):
    page = opened(**(PHONE if hand == "finger" else {}))
    index = alone()
    where = at(page, *place(index).tolist(), **PLANE)
    click = page.touchscreen.tap if hand == "finger" else page.mouse.click
    click(*where)
    assert values(page, "selected") == values(page, "index") == index
    close(values(page, "z"), rounded(place(index)), 1e-9)
    model, x, z = export_pads.chapter_9(), DIGITS.train[index], values(page, "z")
    variance = model.likelihood.variance.log_variance.exp()
    pixels = torch.distributions.Normal(model.decode(z), variance.sqrt())
    prior = torch.distributions.Normal(torch.zeros(2).double(), 1.0)
    joint = pixels.log_prob(x).sum() + prior.log_prob(z).sum()
    close(values(page, "logJoint"), joint, 1e-3)
    page.wait_for_function(f"location.hash.includes('digit={index}')")
    click(*where)
    assert values(page, "selected") == -1
    assert page.errors == []


def test_keys_alone_select_a_digit_walk_and_pause(opened):
    page = opened()
    press(page, "Tab", "Enter")
    index = int(values(page, "selected"))
    means = export_pads.chapter_9().encoder(DIGITS.train).mean
    assert index == (means - point(1.2, -1.4)).norm(dim=-1).argmin()
    assert f"Selected: a {DIGITS.train_labels[index]}" in announced(page, "Selected")
    press(page, "Enter")
    assert values(page, "selected") == -1
    page.get_by_role("combobox", name="Walk from").press("2")
    page.get_by_role("combobox", name="to", exact=True).press("6")
    button = page.get_by_role("button", name="Walk")
    button.press("Enter")
    page.get_by_role("button", name="Pause").press("Enter")
    share = values(page, "walk.share")
    assert 0 < share < 1
    page.wait_for_timeout(100)
    assert values(page, "walk.share") == share
    page.get_by_role("button", name="Go on").press("Enter")
    page.wait_for_function("VAE_LIVE.stages['fig-pad'].values.walk.share === 1")
    hearts = export_pads.hearts(means, DIGITS.train_labels)
    close(values(page, "z"), rounded(means[hearts[6]]), 1e-9)
    close(values(page, "walk.ends"), means[[hearts[2], hearts[6]]], 1e-6)
    assert "among the 6s" in announced(page, "among the 6s")
    assert page.get_by_role("button", name="Walk").is_visible()
    assert page.errors == []


def test_the_strip_shows_the_line_and_the_mixture(opened):
    page = opened(reduced_motion="reduce")
    page.get_by_role("button", name="Walk").press("Enter")
    assert values(page, "walk.share") == 1  # no frame was waited for
    start, end = values(page, "walk.ends")
    shares = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]
    model = export_pads.chapter_9()
    images = model.decode(start + shares * (end - start))
    close(values(page, "walk.images"), images)
    mixed = images[0] + shares * (images[-1] - images[0])
    close(values(page, "walk.mixed"), mixed)


def test_a_hand_on_z_ends_a_walk(opened):
    page = opened()
    page.get_by_role("button", name="Walk").click()
    page.wait_for_function("VAE_LIVE.stages['fig-pad'].values.walk.share > 0")
    page.mouse.click(*at(page, -3, 3, **PLANE))  # far from every digit
    assert values(page, "walk.share") == 0
    z = values(page, "z")
    page.wait_for_timeout(100)
    assert torch.equal(values(page, "z"), z)
    assert page.get_by_role("button", name="Walk").is_visible()


def test_a_link_opens_the_pad_with_a_digit_and_a_walk(opened):
    page = opened()
    page.evaluate(f"location.hash = '#fig-pad&z1=-0.5&digit={SELECTED}&from=2&to=5'")
    page.wait_for_function(f"VAE_LIVE.stages['fig-pad'].values.selected === {SELECTED}")
    close(values(page, "z"), point(-0.5, -1.4), 1e-9)
    assert page.get_by_role("combobox", name="Walk from").input_value() == "2"
    assert page.get_by_role("combobox", name="to", exact=True).input_value() == "5"


@pytest.mark.parametrize("figure", ["latent-pad", "mnist-pad"])
def test_on_a_phone_the_image_stays_in_sight_of_the_plane(opened, figure):
    page = opened(figure, **PHONE)
    page.add_style_tag(content="body { margin: 600px 16px } figure { margin: 0 }")  # as on a page
    plane = page.locator("canvas[tabindex]")
    plane.scroll_into_view_if_needed()
    page.evaluate(
        "window.scrollBy(0, document.querySelector('canvas[tabindex]')"
        ".getBoundingClientRect().bottom - innerHeight)"
    )
    image, box = page.locator(".live-image").first.bounding_box(), plane.bounding_box()
    assert image["y"] >= 0
    assert image["y"] + image["height"] <= box["y"]
    assert box["y"] + box["height"] <= 664.5
    assert page.locator(".live-pinned").bounding_box()["height"] < 200


def test_the_stage_is_low_enough_for_a_projector(opened):
    for figure in ("latent-pad", "mnist-pad"):
        page = opened(figure, viewport={"width": 1280, "height": 720})
        page.add_style_tag(content="figure { width: 700px }")  # as in an article
        height = page.locator(".live-stage").bounding_box()["height"]
        print(f"{figure}: {height:.0f} pixels high")
        assert height <= 560


def test_the_landing_pages_decoder_walks_from_3_to_8(opened):
    page = opened("mnist-pad", reduced_motion="reduce")
    page.get_by_role("button", name="Walk").press("Enter")
    model, places = pretrained.mnist()
    hearts = export_pads.hearts(places.mean, places.label)
    ends = places.mean[[hearts[3], hearts[8]]].double()
    close(values(page, "walk.ends"), ends, 1e-6)
    close(values(page, "z"), rounded(ends[1]), 1e-6)
    close(values(page, "pixels"), model.decode(values(page, "z").float()).double(), 0.05)
    assert "among the 8s" in announced(page, "z = ")
    assert page.errors == []
