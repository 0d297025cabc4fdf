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
    press(page, "Home", "Tab", "ArrowRight")  # the slider
    assert values(page, "variance").item() == pytest.approx(10**-1.28)
    assert page.get_by_label("noise σ²").get_attribute("aria-valuetext") == "0.052"
    press(page, *["Tab"] * 5, "Enter")  # past the five parts of a loss: set σ² to its σ²
    said = announced(page, "σ² = 32.000.")
    assert said.startswith(
        "σ² = 32.000. The largest eigenvalue is 0.705, so every latent collapses"
    )
    press(page, "Tab", "ArrowRight")  # the next digit
    assert values(page, "digit") == 4
    assert page.errors == []


def test_from_the_largest_eigenvalue_on_every_digit_becomes_the_mean_image(opened, data):
    page = opened("rate-distortion")
    page.evaluate("location.hash = '#fig-pad&variance=0'")  # σ² = 1
    page.wait_for_function("VAE_LIVE.stages['fig-pad'].values.variance === 1")
    for _ in range(10):
        close(values(page, "pixels"), data.mean, 1e-7)
        page.get_by_role("slider", name="Test digit").press("ArrowRight")
    assert values(page, "rate") == 0
    assert values(page, "active") == 0
    close(values(page, "squaredError"), data.eigenvalues.sum(), 1e-6)


def place(page, latent, level):
    """Where on the screen the spectrum shows an eigenvalue's number and σ² = 10 ** level."""
    return at(page, latent, level, x_range=(0, 49), y_range=(-2.5, 1.75), left=56)


def test_the_mouse_drags_the_line_and_stays_in_range(opened):
    page = opened("rate-distortion")
    drag(page, place(page, 30, -1), place(page, 30, -0.5))
    assert values(page, "variance").log10().item() == pytest.approx(-0.5, abs=0.02)
    drag(page, place(page, 3, -0.5), place(page, 5, -4))  # on a bar, but the line is nearer
    assert values(page, "variance").log10().item() == pytest.approx(-2.3)
    assert values(page, "active") == 45
    assert values(page, "latent") == 0


def test_a_press_on_a_bar_shows_what_its_latent_draws_and_a_second_hides_it(opened, data):
    page = opened("rate-distortion")
    page.mouse.click(*place(page, 7, -1.9))
    assert values(page, "latent") == 7
    assert values(page, "variance").item() == pytest.approx(10**-1.3)  # the line stays
    shown = values(page, "turned") - data.mean
    assert shown.norm().item() == pytest.approx(2 * (data.eigenvalues[6].item() - 10**-1.3) ** 0.5)
    assert (shown @ data.axes[:, 6]).abs().item() == pytest.approx(shown.norm().item())
    drag(page, place(page, 8, -1.9), place(page, 20, -2.2))  # along the bars
    assert values(page, "latent") == 20
    close(values(page, "turned"), data.mean, 1e-7)  # asleep
    announced(page, "Latent 20, eigenvalue 0.0421, is asleep")
    page.mouse.click(*place(page, 20, -2.2))
    assert values(page, "latent") == 0
    press(page, "ArrowRight", "Shift+ArrowRight", "ArrowLeft")
    assert values(page, "latent") == 10
    page.wait_for_function("location.hash === '#fig-pad&latent=10'")
    press(page, "Home")
    assert values(page, "latent") == 0
    assert page.errors == []


def test_a_finger_drags_the_line_on_a_narrow_screen(opened):
    phone = {"viewport": {"width": 320, "height": 900}, "has_touch": True, "is_mobile": True}
    page = opened("rate-distortion", **phone)
    swipe(page, place(page, 30, -1), place(page, 30, -0.6))
    assert values(page, "variance").log10().item() == pytest.approx(-0.6, abs=0.02)


def test_a_loss_says_its_variance_and_takes_the_line_there(opened):
    page = opened("rate-distortion")
    assert values(page, "implied") == 32
    page.get_by_label("KL weight w").fill("0.00025")
    assert values(page, "implied").item() == pytest.approx(0.008)
    assert page.get_by_text("22.8", exact=True).is_visible()  # of 255 grey levels
    page.get_by_role("button", name="Set σ²").click()
    assert values(page, "variance").item() == pytest.approx(0.008, rel=1e-12)
    announced(page, "σ² = 0.008.")
    page.get_by_label("pixels D").fill("12288")
    announced(page, "Your loss: σ² = 1.54, σ = 316 grey levels; best there: depends on your λ₁.")
    page.get_by_role("combobox", name="Your loss").select_option("all")
    page.get_by_label("batch").fill("1e3")
    assert values(page, "implied").item() == pytest.approx(0.00025 * 12288 * 1000 / 2)
    page.get_by_label("KL weight w").fill("a lot")
    assert page.get_by_label("KL weight w").get_attribute("aria-invalid") == "true"
    assert values(page, "implied").item() == pytest.approx(1536)
    page.wait_for_function("location.hash.includes('w=0.00025&d=12288&b=1000')")
    page.get_by_role("combobox", name="Your loss").select_option("entropy")
    announced(page, "Your loss has no σ²: it is not a density of grey pixels.")
    assert page.get_by_role("button", name="Set σ²").is_disabled()
    assert page.errors == []


def test_an_address_opens_a_loss_and_a_line_on_it(opened):
    page = opened("rate-distortion")
    page.evaluate("location.hash = '#fig-pad&variance=-0.3&error=half&w=0.5&latent=99&d=-4'")
    page.wait_for_function("VAE_LIVE.stages['fig-pad'].values.variance === 0.5")
    assert page.get_by_label("noise σ²").get_attribute("aria-valuetext") == "0.500"
    assert page.get_by_label("pixels D").input_value() == "64"
    assert values(page, "latent") == 45  # the last that has an axis here
    assert page.errors == []


def test_the_images_are_the_digit_its_copy_and_the_mean_image(opened, data):
    page = opened("rate-distortion")
    read = "c => [...c.getContext('2d').getImageData(0, 0, 8, 8).data].filter((_, i) => i % 4 == 0)"
    digit = export_rate_distortion.ten_digits()[3]
    copy = export_rate_distortion.copies(digit, 10**-1.3)
    images = page.locator("canvas.live-image").all()
    for image, wanted in zip(images, (digit, copy, data.mean), strict=True):
        ink = 1 - torch.tensor(image.evaluate(read)).double() / 255
        close(ink, wanted.clamp(0, 1), 0.5 / 255 + 1e-5)
