"""The live figure water-filling in Chromium: nats given and taken by hand, and by a level."""

import export_rate_distortion
import export_water_filling
import pytest
import torch
from hands import announced, at, close, drag, press, swipe, values

from vae_tutorial.data import load_digits
from vae_tutorial.linear import rate_law, spectrum
from vae_tutorial.rate_distortion import remaining_error

AXES = {"x_range": (0.4, 20.6), "y_range": (-2.2, 0.25), "left": 56}


@pytest.fixture(scope="module")
def eigenvalues():
    return spectrum(load_digits(torch.float64).train).eigenvalues


def bar(page, latent, power):
    """Where on the screen a latent's bar has this log₁₀ variance."""
    return at(page, latent, power, **AXES)


def error_of(eigenvalues, rates):
    return remaining_error(eigenvalues[:20], rates).sum() + eigenvalues[20:].sum()


def test_it_opens_with_equal_shares_above_the_law(opened, eigenvalues):
    page = opened("water-filling")
    equal = torch.full((20,), 0.3).double()
    close(values(page, "rates"), equal)
    close(values(page, "squaredError"), error_of(eigenvalues, equal), 1e-6)
    law = rate_law(eigenvalues, values(page, "level"), 64)
    close(law.rate, torch.tensor(6.0).double(), 1e-5)
    close(values(page, "least"), law.squared_error, 1e-6)
    # nats that the law needs for the same error are fewer
    enough = rate_law(eigenvalues, torch.logspace(-2, 0, 20_001).double(), 64)
    nearest = (enough.squared_error - values(page, "squaredError")).abs().argmin()
    close(6 - values(page, "wasted"), enough.rate[nearest], 1e-3)
    assert page.errors == []


def test_keys_alone_take_and_give_and_what_they_do_is_announced(opened, eigenvalues):
    page = opened("water-filling")
    press(page, "Tab", *["ArrowRight"] * 9, "Home")  # the bars are first; back to latent 1
    assert values(page, "latent") == 1
    assert values(page, "rates")[0] == 0  # Home took what it had
    press(page, *["Shift+ArrowRight"] * 2, "Shift+ArrowUp", "Shift+ArrowUp")
    assert values(page, "latent") == 20
    taken = values(page, "rates")
    assert taken[19] == 0
    assert values(page, "spent").item() == pytest.approx(5.4, abs=1e-6)
    press(page, *["Shift+ArrowLeft"] * 2, "Shift+ArrowDown")  # 0.2 in log₁₀
    given = values(page, "rates")
    assert (given[0] - taken[0]).item() == pytest.approx(0.1 * torch.log(torch.tensor(10.0)))
    said = announced(page, "Latent 1 has 0.23 nats and keeps an error of 0.445.")
    assert f"squared error {error_of(eigenvalues, given):.3f}; the law leaves" in said
    assert page.errors == []


def test_no_more_than_the_budget_can_be_spent(opened):
    page = opened("water-filling")
    drag(page, bar(page, 3, -0.4), bar(page, 3, -1.8))
    assert values(page, "spent").item() == pytest.approx(6)
    assert values(page, "rates")[2].item() == pytest.approx(0.3)  # nothing was left to give
    page.get_by_role("button", name="Take all back").click()
    assert values(page, "spent") == 0
    drag(page, bar(page, 3, -0.4), bar(page, 3, -1.8))
    assert values(page, "latent") == 3
    rates = values(page, "rates")
    assert 1.7 < rates[2] < 1.9  # from 0.56 to 10 ** −1.8
    assert rates.sum() == rates[2]
    page.get_by_label("nats to spend").fill("1")
    assert values(page, "rates")[2].item() == pytest.approx(1)
    page.get_by_role("button", name="Equal shares").click()
    close(values(page, "rates"), torch.full((20,), 0.05).double())
    assert page.errors == []


def test_a_stroke_across_the_bars_levels_their_errors(opened, eigenvalues):
    page = opened("water-filling")
    page.get_by_role("button", name="Take all back").click()
    strokes = [bar(page, latent, -0.7) for latent in range(1, 21)]
    drag(page, *strokes)
    rates = values(page, "rates")
    left = remaining_error(eigenvalues[:20], rates)
    close(left[:6].log10(), torch.full((6,), -0.7).double(), 0.02)
    assert (rates[8:] == 0).all()
    assert 0 <= values(page, "wasted") < 0.01  # on the law, but for the width of a pixel


def test_a_water_level_spends_as_the_law_and_can_be_dragged(opened, eigenvalues):
    page = opened("water-filling")
    page.get_by_label("by a water level").check()
    close(values(page, "squaredError"), values(page, "least"), 1e-9)
    assert values(page, "wasted").item() == pytest.approx(0, abs=1e-6)
    drag(page, bar(page, 10, -0.9), bar(page, 10, -0.6))
    level = values(page, "level")
    assert level.log10().item() == pytest.approx(-0.6, abs=0.03)
    close(values(page, "rates"), (0.5 * (eigenvalues[:20] / level).log()).clamp(min=0), 1e-6)
    close(values(page, "copy"), values(page, "bestCopy"), 1e-6)
    assert announced(page, "Water level").endswith(".")
    page.get_by_label("by hand").check()
    poured = values(page, "rates")
    drag(page, bar(page, 1, -0.3), bar(page, 1, -0.2))  # any change from the optimum costs
    assert values(page, "rates")[0] < poured[0]
    assert values(page, "wasted") > 0
    assert page.errors == []


def test_the_copies_are_those_of_python(opened):
    page = opened("water-filling")
    digit = export_rate_distortion.ten_digits()[3]
    rates = values(page, "rates")
    close(values(page, "copy"), export_water_filling.copies_of(digit, rates), 1e-6)
    law = export_rate_distortion.copies(digit, values(page, "level").item())
    close(values(page, "bestCopy"), law, 1e-6)


def test_an_address_brings_a_spending_back(opened):
    page = opened("water-filling")
    nats = "_".join(["1.50", "0.50", *["0.00"] * 18])
    page.evaluate(f"location.hash = '#fig-pad&budget=3&nats={nats}&digit=7'")
    page.wait_for_function("VAE_LIVE.stages['fig-pad'].values.spent === 2")
    assert values(page, "digit") == 7
    page.evaluate("location.hash = '#fig-pad&nats=nonsense&budget=6'")
    page.wait_for_function("VAE_LIVE.stages['fig-pad'].values.spent > 5.9")
    assert page.errors == []


def test_a_finger_gives_nats_on_a_narrow_screen(opened):
    phone = {"viewport": {"width": 390, "height": 900}, "has_touch": True, "is_mobile": True}
    page = opened("water-filling", **phone)
    page.get_by_role("button", name="Take all back").click()
    swipe(page, bar(page, 2, -0.4), bar(page, 2, -1.2))
    assert values(page, "latent") == 2
    assert values(page, "spent") > 0.9
    assert page.errors == []
