"""The live figure prior-draws in Chromium: draws fall, pause and land; the strip moves."""

import pytest
import torch
from hands import STATUS, VALUES, announced, close, drag, point, press, swipe, values
from hands import at as on_chart

from vae_tutorial.marginal_likelihood import prior_monte_carlo

PHONE = {"viewport": {"width": 320, "height": 1200}, "has_touch": True, "is_mobile": True}


def at(page, z):
    """Where on the screen the first chart shows z."""
    return on_chart(page, z, 0.5, x_range=(-3.3, 3.3), y_range=(0, 1), left=56)


def sees_the_estimate(page):
    """What is shown is what the package makes of the same draws."""
    draws, x, deviation = (values(page, name) for name in ("draws", "x", "deviation"))
    logs = torch.distributions.Normal(1.2 * draws, deviation).log_prob(x)
    found = prior_monte_carlo(logs[:, None])
    close(values(page, "estimate"), found.log_evidence[0], 1e-8)
    close(values(page, "error"), found.standard_error[0], 1e-8)
    close(values(page, "worth"), found.effective_sample_size[0], 1e-8)
    truth = torch.distributions.Normal(0 * x, (1.2**2 + deviation**2).sqrt()).log_prob(x)
    close(values(page, "truth"), truth, 1e-9)
    inside = (draws > values(page, "low")) & (draws < values(page, "high"))
    assert values(page, "hits").item() == inside.sum()


def test_keys_alone_shrink_the_noise_while_the_draws_stay(opened):
    page = opened("prior-draws")
    assert page.locator(STATUS).inner_text() == ""
    draws = values(page, "draws")
    assert len(draws) == 200
    sees_the_estimate(page)
    press(page, "Tab", "ArrowLeft", "Shift+ArrowRight", "Home")  # the strip
    close(values(page, "x"), point(1.5)[0], 1e-9)
    press(page, "Tab", *["Shift+ArrowLeft"] * 4)  # the noise
    close(values(page, "deviation"), point(0.003)[0], 1e-9)
    assert torch.equal(values(page, "draws"), draws)
    sees_the_estimate(page)
    assert values(page, "missed.low").item() > 40
    said = announced(page, "σ = 0.0030, x = 1.5")
    share = torch.special.ndtr(values(page, "high")) - torch.special.ndtr(values(page, "low"))
    hits = f"{values(page, 'hits'):.0f} of 200 draws in the strip"
    assert f"{hits}, which holds {100 * share:.2f} % of the prior" in said
    assert said.endswith(
        f"of 100 other samples {values(page, 'missed.low'):.0f} are too low by more than two "
        "stated errors."
    )
    assert page.errors == []


@pytest.mark.parametrize("hand", [drag, swipe])
def test_a_drag_takes_the_strip_along(opened, hand):
    page = opened("prior-draws", **(PHONE if hand is swipe else {}))
    hand(page, at(page, 1.25), at(page, -1.0))
    close(values(page, "x"), point(-1.2)[0], 0.11)
    assert values(page, "high").item() < 0
    sees_the_estimate(page)


def test_ten_draws_fall_one_by_one_and_land(opened):
    page = opened("prior-draws")
    before = values(page, "draws")
    page.get_by_role("button", name="Drop 10").press("Enter")
    page.wait_for_function(f"{VALUES}.count > 200 && {VALUES}.count < 210", polling=10)
    page.wait_for_function(f"{VALUES}.count === 210")
    after = values(page, "draws")
    assert torch.equal(after[:200], before)
    sees_the_estimate(page)
    assert page.errors == []


def test_a_thousand_draws_pause_and_go_on_to_the_last(opened):
    page = opened("prior-draws")
    many = page.get_by_role("button", name="Drop 1,000")
    many.press("Enter")
    page.wait_for_function(f"{VALUES}.count > 220", polling=10)
    page.get_by_role("button", name="Pause").press("Enter")
    count = values(page, "count").item()
    assert 220 < count < 1200
    page.wait_for_timeout(200)
    assert values(page, "count").item() == count
    many.press("Enter")
    page.wait_for_function(f"{VALUES}.count === {count + 1000:.0f}")
    many.press("Enter")
    page.wait_for_function(f"{VALUES}.count === 2000")
    assert many.is_disabled()
    sees_the_estimate(page)
    # all draws of a gentle strip: within 4.5 stated errors of the truth
    off = values(page, "estimate") - values(page, "truth")
    assert abs(off) < 4.5 * values(page, "error")
    assert page.errors == []


def test_with_reduced_motion_draws_land_at_once_and_others_begin_at_none(opened):
    page = opened("prior-draws", reduced_motion="reduce")
    page.evaluate("() => { window.requestAnimationFrame = () => { throw new Error('a frame') } }")
    page.get_by_role("button", name="Drop 1,000").press("Enter")
    assert values(page, "count").item() == 1200
    first = values(page, "draws")
    page.get_by_role("button", name="Begin again").press("Enter")
    assert values(page, "count").item() == 0
    assert page.get_by_text("too few draws").is_visible()
    page.get_by_role("button", name="Drop 10").press("Enter")
    assert values(page, "count").item() == 10
    assert not torch.isin(values(page, "draws"), first).any()
    sees_the_estimate(page)
    assert page.errors == []


def test_the_address_keeps_noise_draws_and_seed(opened):
    page = opened("prior-draws", reduced_motion="reduce")
    page.get_by_role("button", name="Begin again").click()
    page.get_by_role("button", name="Drop 10").click()
    page.get_by_label("noise σ").press("Shift+ArrowLeft")
    page.wait_for_function("location.hash === '#fig-pad&noise=-0.5&draws=10&seed=4'")
    draws, address = values(page, "draws"), page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(address)
    assert torch.equal(values(page, "draws"), draws)
    close(values(page, "deviation"), point(0.3 * 10**-0.5)[0], 1e-9)


@pytest.mark.parametrize(
    ("asked", "count", "seed"),
    [
        ("draws=-4&seed=x", 200, 3),
        ("draws=2001&seed=-1", 200, 3),
        ("draws=1e9&seed=1e99x", 1, 1),
        ("draws=toString&noise=%", 200, 3),
    ],
)
def test_an_address_that_asks_for_nonsense_breaks_nothing(opened, asked, count, seed):
    page = opened("prior-draws")
    page.get_by_role("button", name="Begin again").click()
    page.evaluate(f"location.hash = '#fig-pad&{asked}'")
    page.wait_for_function(f"{VALUES}.seed === {seed} && {VALUES}.count === {count}")
    close(values(page, "deviation"), point(0.3)[0], 1e-9)
    assert page.errors == []
