"""The live figure four-maps: the closed form against `vae_tutorial.linear` and scikit-learn."""

import math

import export_four_maps
import pytest
import torch
from hands import announced, at, close, drag, press, swipe, values
from sklearn.decomposition import PCA

from vae_tutorial.data import load_digits
from vae_tutorial.linear import evidence_at_mean, most_likely_at, rate_law, spectrum

ROW = "[law.active, law.rate, law.squaredError, law.distortion]"
LAW = f"vs => vs.map(v => {{ const law = VAE_LIVE.linearLaw(v); return {ROW} }})"
COPY = "([image, v]) => [...VAE_LIVE.reconstruct(image, v)]"


@pytest.fixture(scope="module")
def data():
    return spectrum(load_digits(torch.float64).train)


def levels(count):
    """σ² over the slider's range, on a log scale, (count,)."""
    uniform = torch.rand(count, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return 10 ** (-2.3 + 2.38 * uniform)


def test_rate_error_and_distortion_are_those_of_the_module(opened, data):
    variance = levels(400)
    active, rate, error, distortion = torch.tensor(
        opened("four-maps").evaluate(LAW, variance.tolist()), dtype=torch.float64
    ).T  # (400,) each
    law = rate_law(data.eigenvalues, variance, 64)
    assert torch.equal(active, (data.eigenvalues > variance[:, None]).sum(1).double())
    relative = [((rate - law.rate) / law.rate.clamp(min=1e-3)).abs().max()]
    relative.append(((error - law.squared_error) / law.squared_error).abs().max())
    # and the sum of rate and distortion is the average −log p(x) of the training digits
    train = load_digits(torch.float64).train
    evidence = torch.stack(
        [evidence_at_mean(most_likely_at(data, 64, v), train).mean() for v in variance[:20]]
    )  # (20,)
    total = rate[:20] + distortion[:20]
    relative.append(((total + evidence) / evidence).abs().max())
    print(f"four maps, 400 levels: at most {max(relative):.1e} apart (relative)")
    assert max(relative) <= 1e-5


def test_copies_are_posterior_means_decoded(opened, data):
    page, images, worst = opened("four-maps"), export_four_maps.ten_digits(), 0.0
    for i, variance in enumerate(levels(200).tolist()):
        copy = torch.tensor(page.evaluate(COPY, [images[i % 10].tolist(), variance])).double()
        worst = max(worst, (copy - export_four_maps.copies(images[i % 10], variance)).abs().max())
    print(f"four maps, 200 copies: at most {worst:.1e} of the grey range apart")
    assert worst <= 1e-5


def test_copies_are_shrunken_projections_on_the_axes_of_scikit_learn(opened):
    train = load_digits(torch.float64).train.numpy()
    fitted = PCA(64, svd_solver="full").fit(train)
    images, variance = export_four_maps.ten_digits(), 0.05
    eigenvalues = fitted.explained_variance_ * 1499 / 1500  # divisor n
    kept = (1 - variance / eigenvalues.clip(min=variance)) * fitted.transform(images.numpy())
    expected = torch.from_numpy(kept @ fitted.components_ + fitted.mean_)  # (10, 64)
    page = opened("four-maps")
    seen = [page.evaluate(COPY, [image.tolist(), variance]) for image in images]
    close(torch.tensor(seen, dtype=torch.float64), expected)


def test_keys_alone_move_the_variance_and_its_meaning_is_announced(opened):
    page = opened("four-maps")
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
    page = opened("four-maps")
    page.get_by_role("button", name="Λ = I").click()
    for digit in range(10):
        page.get_by_role("radio", name=str(digit)).check()
        close(values(page, "pixels"), data.mean, 1e-7)
    assert values(page, "rate") == 0
    assert values(page, "active") == 0
    close(values(page, "squaredError"), data.eigenvalues.sum(), 1e-6)


@pytest.mark.parametrize(("below", "active"), [(1.001, 0), (0.999, 1)])
def test_the_first_latent_wakes_at_the_largest_eigenvalue(opened, data, below, active):
    (row,) = opened("four-maps").evaluate(LAW, [below * data.eigenvalues[0].item()])
    assert row[0] == active
    assert row[1] == pytest.approx(active * -0.5 * math.log(0.999), abs=1e-7)


def line_at(page, level):
    """Where on the screen the spectrum shows σ² = 10 ** level."""
    return at(page, 20, level, x_range=(0, 49), y_range=(-2.5, 0.2), left=56)


def test_the_mouse_drags_the_line_and_stays_in_range(opened):
    page = opened("four-maps")
    drag(page, line_at(page, -1), line_at(page, -0.5))
    assert values(page, "variance").log10().item() == pytest.approx(-0.5, abs=0.02)
    drag(page, line_at(page, -1), line_at(page, -4))
    assert values(page, "variance").log10().item() == pytest.approx(-2.3)
    assert values(page, "active") == 45


def test_a_finger_drags_the_line_on_a_narrow_screen(opened):
    phone = {"viewport": {"width": 320, "height": 900}, "has_touch": True, "is_mobile": True}
    page = opened("four-maps", **phone)
    swipe(page, line_at(page, -1), line_at(page, -0.6))
    assert values(page, "variance").log10().item() == pytest.approx(-0.6, abs=0.02)


def test_the_strip_shows_the_digit_its_copy_and_the_mean_image(opened, data):
    page = opened("four-maps")
    read = (
        "c => [...c.getContext('2d').getImageData(0, 0, 26, 8).data].filter((_, i) => i % 4 == 0)"
    )
    levels = torch.tensor(page.locator("canvas").nth(1).evaluate(read)).double().reshape(8, 26)
    digit = export_four_maps.ten_digits()[3]
    copy = export_four_maps.copies(digit, 10**-1.3)
    shown = [image.clamp(0, 1).reshape(8, 8) for image in (digit, copy, data.mean)]
    ink = 1 - levels / 255
    for left, image in zip((0, 9, 18), shown, strict=True):
        close(ink[:, left : left + 8], image, 0.5 / 255 + 1e-5)
