"""The live figure implied-noise in Chromium: losses as people write them, and the reader's σ."""

import math

import pytest
import torch
from hands import announced, at, close, drag, press, swipe, values

from vae_tutorial.data import load_digits
from vae_tutorial.rate_distortion import implied_variance

AXES = {"x_range": (-2, 5.2), "y_range": (0, 1), "left": 14}
CHARGES = {  # of one unit of squared error, for D pixels
    "half": lambda pixels: 1 / 2,
    "sum": lambda pixels: 1,
    "mean": lambda pixels: 1 / pixels,
}
PRESETS = {  # a button → how the error is written, w, D, and the units that the pixels span
    "mean + 0.00025 KL": ("mean", 0.00025, 3 * 64 * 64, 1),
    "sum + 1e-6 KL": ("sum", 1e-6, 3 * 256 * 256, 2),
    "mean + KL": ("mean", 1, 28 * 28, 1),
    "Keras: mean × 784": ("sum", 1, 28 * 28, 1),
}


def variance_of(error, weight, pixels, span):
    """The σ² that Python reads off a loss, for pixels in [0, 1]."""
    both = torch.tensor([weight, CHARGES[error](pixels)], dtype=torch.float64)
    return implied_variance(*both, span).item()


def place(page, power):
    """Where on the screen the scale shows σ = 10 ** power grey levels."""
    return at(page, power, 0.5, **AXES)


def exact(page, name, expected):
    assert values(page, name).item() == pytest.approx(expected, rel=1e-9, abs=0)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_loss_as_people_write_it_states_what_python_reads_off_it(opened, preset):
    page = opened("implied-noise")
    page.get_by_role("button", name="PyTorch").click()  # away from where the figure begins
    page.get_by_role("button", name=preset, exact=True).click()
    error, weight, pixels, span = PRESETS[preset]
    variance, believed = variance_of(error, weight, pixels, span), (10 / 255) ** 2
    exact(page, "variance", variance)
    exact(page, "deviation", 255 * math.sqrt(variance))
    exact(page, "beta", variance / believed)
    exact(page, "cost", pixels * (1 / 255) ** 2 / (2 * variance))
    exact(page, "useless", 255 * math.sqrt(pixels) / 2)
    assert page.evaluate("VAE_LIVE.stages['fig-pad'].values.beyond") is (variance >= pixels / 4)
    # the weight that the believed noise needs: Python reads that noise off the loss with it
    needed = values(page, "needed").item()
    assert variance_of(error, needed, pixels, span) == pytest.approx(believed, rel=1e-9)
    assert page.errors == []


def test_what_a_loss_states_is_said_in_one_sentence(opened):
    page = opened("implied-noise")
    page.get_by_role("button", name="sum + 1e-6 KL").click()
    said = announced(page, "σ = 0.0902 grey levels")
    assert said == (
        "Your loss states σ = 0.0902 grey levels, σ² = 1.25 × 10⁻⁷: at your σ of 10.00 its β is "
        "8.13 × 10⁻⁵, surer than you, and one grey level of error in every pixel costs "
        "1.21 × 10⁷ nats an image."
    )
    page.get_by_role("button", name="mean + KL", exact=True).click()
    said = announced(page, "σ² = 392, and no network does better with it than the mean image: ")
    assert "less sure than you" in said
    page.get_by_role("button", name="mean + 0.00025 KL").click()
    said = announced(page, "σ = 316 grey levels, σ² = 1.54: at your σ of 10.00 its β is 999, ")
    assert said.endswith(", and one grey level of error in every pixel costs 0.0615 nats an image.")
    assert page.errors == []


def test_cross_entropy_states_no_noise_and_says_so(opened):
    page = opened("implied-noise")
    assert page.locator("canvas.live-image:visible").count() == 3
    page.get_by_role("button", name="PyTorch").click()
    said = announced(page, "Cross-entropy states no σ")
    assert said.endswith("only on black and white pixels is it a likelihood, with β = 1.")
    assert page.evaluate("VAE_LIVE.stages['fig-pad'].values.variance") is None
    assert page.locator("canvas.live-image:visible").count() == 2
    assert page.get_by_text("no σ, no noise").is_visible()
    assert page.get_by_role("button", name="Set w").is_disabled()
    exact(page, "cost", 784 * 2 / 255**2)
    page.get_by_label("KL weight w").fill("0.5")
    announced(page, "with β = 0.5.")
    page.get_by_role("button", name="mean + KL", exact=True).click()
    assert page.locator("canvas.live-image:visible").count() == 3
    assert page.get_by_role("button", name="Set w").is_enabled()
    assert page.errors == []


def test_keys_alone_press_a_preset_and_move_the_believed_noise(opened):
    page = opened("implied-noise")
    press(page, *["Tab"] * 3, "Enter")  # the third of the presets
    exact(page, "variance", 1.25e-7)
    press(page, *["Tab"] * 7, "Shift+ArrowLeft", "ArrowRight")  # two presets, four parts, the scale
    exact(page, "believed", 10**0.82)
    press(page, "Home", "Tab", "ArrowRight")  # the slider
    exact(page, "believed", 10**1.02)
    slider = page.get_by_role("slider", name="your σ")
    assert slider.get_attribute("aria-valuetext") == "10.47"
    press(page, "Tab", "Enter")  # the weight that it needs
    assert values(page, "beta").item() == pytest.approx(1, abs=1e-5)
    announced(page, "its β is 1, as sure as you")
    assert page.errors == []


def test_the_weight_that_a_noise_needs_is_written_into_the_loss(opened):
    page = opened("implied-noise")
    page.get_by_role("button", name="mean + KL", exact=True).click()
    page.get_by_role("button", name="Set w").click()
    weight = float(page.get_by_label("KL weight w").input_value())
    assert weight == pytest.approx(2 / 784 * (10 / 255) ** 2, rel=1e-5)
    assert values(page, "beta").item() == pytest.approx(1, abs=1e-5)
    assert page.errors == []


def test_a_batch_and_a_size_count_where_they_are_asked_for(opened):
    page = opened("implied-noise")
    assert not page.get_by_label("batch").is_visible()
    assert not page.get_by_label("pixels D").is_visible()
    page.get_by_role("combobox", name="Loss").select_option("all")
    page.get_by_label("batch").fill("100")
    page.get_by_role("combobox", name="image").select_option("free")
    page.get_by_label("pixels D").fill("500")
    page.get_by_role("combobox", name="pixels from").select_option("16")
    exact(page, "variance", 0.00025 * 500 * 100 / 2 / 16**2)
    exact(page, "pixels", 500)
    page.get_by_label("KL weight w").fill("much")
    assert page.get_by_label("KL weight w").get_attribute("aria-invalid") == "true"
    exact(page, "variance", 0.00025 * 500 * 100 / 2 / 16**2)
    assert page.errors == []


def test_the_digits_have_the_same_noise_at_both_deviations_and_it_stays(opened):
    page = opened("implied-noise")
    noise, digit = values(page, "noise"), load_digits(torch.float64).test[1]
    close(values(page, "digit"), digit, 0)
    page.get_by_label("KL weight w").fill("0.000001")
    page.get_by_role("slider", name="your σ").press("Shift+ArrowRight")
    assert torch.equal(values(page, "noise"), noise)
    deviation = math.sqrt(variance_of("mean", 1e-6, 3 * 64 * 64, 1))
    close(values(page, "seen"), (digit + deviation * noise).clamp(0, 1), 1e-12)
    close(values(page, "wanted"), (digit + 10**1.2 / 255 * noise).clamp(0, 1), 1e-12)
    read = "c => [...c.getContext('2d').getImageData(0, 0, 8, 8).data].filter((_, i) => i % 4 == 0)"
    pictures = page.locator("canvas.live-image").all()
    for image, name in zip(pictures, ("digit", "seen", "wanted"), strict=True):
        ink = 1 - torch.tensor(image.evaluate(read)).double() / 255
        close(ink, values(page, name), 0.5 / 255 + 1e-5)
    page.get_by_role("button", name="Other noise").click()
    assert not torch.isclose(values(page, "noise"), noise).any()
    page.get_by_role("slider", name="Test digit").press("ArrowRight")
    close(values(page, "digit"), load_digits(torch.float64).test[2], 0)
    assert page.errors == []


def test_a_mouse_and_a_finger_drag_the_believed_noise(opened):
    page = opened("implied-noise")
    drag(page, place(page, 0.5), place(page, 2))
    assert values(page, "believed").log10().item() == pytest.approx(2, abs=0.03)
    drag(page, place(page, 2), place(page, 4))
    assert values(page, "believed").log10().item() == pytest.approx(2.4)  # where the slider ends
    phone = {"viewport": {"width": 320, "height": 900}, "has_touch": True, "is_mobile": True}
    page = opened("implied-noise", **phone)
    page.locator("canvas").first.scroll_into_view_if_needed()
    swipe(page, place(page, 1), place(page, -0.5))
    assert values(page, "believed").log10().item() == pytest.approx(-0.5, abs=0.04)
    assert page.errors == []


def test_an_address_brings_a_loss_back(opened):
    page = opened("implied-noise")
    setting = "error=half&w=0.01&size=784&span=255&sigma=0.5&digit=4&draw=3"
    page.evaluate(f"location.hash = '#fig-pad&{setting}'")
    page.wait_for_function("VAE_LIVE.stages['fig-pad'].values.pixels === 784")
    exact(page, "variance", variance_of("half", 0.01, 784, 255))
    exact(page, "believed", 10**0.5)
    noise = values(page, "noise")
    page.get_by_label("KL weight w").fill("0.02")
    page.wait_for_function("location.hash.includes('w=0.02&size=784&span=255&sigma=0.5')")
    page.evaluate("location.hash = '#fig-pad&draw=nothing&sigma=here&size=7'")
    page.wait_for_function("VAE_LIVE.stages['fig-pad'].values.pixels === 12288")
    assert not torch.isclose(values(page, "noise"), noise).any()
    exact(page, "believed", 10)
    assert page.errors == []
