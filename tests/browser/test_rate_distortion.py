"""The live figure rate-distortion in Chromium: hands on its controls, and its picture."""

import export_rate_distortion
import pytest
import torch
from hands import announced, at, close, drag, press, swipe, values

from vae_tutorial.data import load_digits
from vae_tutorial.linear import spectrum


@pytest.fixture(scope="module")
def data():
    return spectrum(load_digits(torch.float64).train)


def test_keys_alone_move_the_variance_and_its_meaning_is_announced(opened):
    page = opened("rate-distortion")
    press(page, "Tab", "ArrowDown", "Shift+ArrowUp")  # the spectrum is first
    assert values(page, "variance").item() == pytest.approx(10**-1.12)
    press(page, "ArrowLeft", "ArrowRight")  # there is nothing to the side
    assert values(page, "variance").item() == pytest.approx(10**-1.12)
    press(page, "Home", "Tab", "ArrowRight")  # the slider
    assert values(page, "variance").item() == pytest.approx(10**-1.28)
    assert page.get_by_label("σ² in Λ").get_attribute("aria-valuetext") == "0.052"
    press(page, "Tab", "Enter", "Tab", "ArrowRight")  # Λ = I, and the next digit
    assert values(page, "digit") == 4
    said = announced(page, "σ² = 1.000.")
    assert said.startswith("σ² = 1.000. The largest eigenvalue is 0.705, so every latent collapses")
    assert page.errors == []


def test_at_the_identity_every_digit_becomes_the_mean_image(opened, data):
    page = opened("rate-distortion")
    page.get_by_role("button", name="Λ = I").click()
    for digit in range(10):
        page.get_by_role("radio", name=str(digit)).check()
        close(values(page, "pixels"), data.mean, 1e-7)
    assert values(page, "rate") == 0
    assert values(page, "active") == 0
    close(values(page, "squaredError"), data.eigenvalues.sum(), 1e-6)


def line_at(page, level):
    """Where on the screen the spectrum shows σ² = 10 ** level."""
    return at(page, 20, level, x_range=(0, 49), y_range=(-2.5, 0.2), left=56)


def test_the_mouse_drags_the_line_and_stays_in_range(opened):
    page = opened("rate-distortion")
    drag(page, line_at(page, -1), line_at(page, -0.5))
    assert values(page, "variance").log10().item() == pytest.approx(-0.5, abs=0.02)
    drag(page, line_at(page, -1), line_at(page, -4))
    assert values(page, "variance").log10().item() == pytest.approx(-2.3)
    assert values(page, "active") == 45


def test_a_finger_drags_the_line_on_a_narrow_screen(opened):
    phone = {"viewport": {"width": 320, "height": 900}, "has_touch": True, "is_mobile": True}
    page = opened("rate-distortion", **phone)
    swipe(page, line_at(page, -1), line_at(page, -0.6))
    assert values(page, "variance").log10().item() == pytest.approx(-0.6, abs=0.02)


def test_the_strip_shows_the_digit_its_copy_and_the_mean_image(opened, data):
    page = opened("rate-distortion")
    read = (
        "c => [...c.getContext('2d').getImageData(0, 0, 26, 8).data].filter((_, i) => i % 4 == 0)"
    )
    levels = torch.tensor(page.locator("canvas").nth(1).evaluate(read)).double().reshape(8, 26)
    digit = export_rate_distortion.ten_digits()[3]
    copy = export_rate_distortion.copies(digit, 10**-1.3)
    shown = [image.clamp(0, 1).reshape(8, 8) for image in (digit, copy, data.mean)]
    ink = 1 - levels / 255
    for left, image in zip((0, 9, 18), shown, strict=True):
        close(ink[:, left : left + 8], image, 0.5 / 255 + 1e-5)
