"""The σ² that a loss implies: the losses as programs write them, in torch, against the bound."""

import itertools
from functools import partial
from typing import NamedTuple

import pytest
import torch
from scripts import computed
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy, mse_loss

from vae_tutorial.linear import shift_gain

BATCH, PIXELS, LATENTS = 5, 12, 3
ERRORS = {  # as programs write them; the KL is a mean over the batch but in the last
    "half": lambda f, x: mse_loss(f, x, reduction="sum") / (2 * BATCH),
    "sum": lambda f, x: mse_loss(f, x, reduction="sum") / BATCH,
    "mean": lambda f, x: mse_loss(f, x),
    "all": lambda f, x: mse_loss(f, x),
}


def implied(**loss):
    """What the page says: σ² of a pixel in [0, 1]."""
    return computed("rate-distortion").evaluate("VAE_LIVE.impliedVariance", loss)


def said(function, *arguments):
    """What losses.js answers on the calculator's page."""
    script = f"all => VAE_LIVE.{function}(...all)"
    return computed("implied-noise").evaluate(script, arguments)


class Batch(NamedTuple):
    """Images, what a decoder and an encoder give for them, and the KL that this costs."""

    x: Tensor  # (BATCH, PIXELS), in [0, 1]
    maps: list[Tensor]  # decoded, mean and logarithm of the deviation
    kl: Tensor  # (BATCH,)

    def gradients(self, loss):
        return torch.autograd.grad(loss, self.maps, retain_graph=True)


def drawn():
    """A batch, the same in every test."""
    draws = torch.Generator().manual_seed(12)
    x = torch.rand(BATCH, PIXELS, generator=draws, dtype=torch.float64)
    shapes = ((BATCH, PIXELS), (BATCH, LATENTS), (BATCH, LATENTS))
    maps = [torch.randn(s, generator=draws, dtype=torch.float64).requires_grad_() for s in shapes]
    q = Normal(maps[1], maps[2].exp())
    standard = Normal(torch.zeros(()).double(), torch.ones(()).double())
    return Batch(x, maps, kl_divergence(q, standard).sum(-1))


def program(error, weight, span, batch):
    """The loss as a program writes it, and the factor of the mean KL in it."""
    paid = batch.kl.sum() if error == "all" else batch.kl.mean()
    loss = ERRORS[error](span * batch.maps[0], span * batch.x) + weight * paid
    return loss, weight * BATCH if error == "all" else weight


@pytest.mark.parametrize(
    ("error", "weight", "span"), list(itertools.product(ERRORS, (1.0, 0.00025, 4.0), (1, 2, 255)))
)
def test_the_gradients_of_a_loss_are_those_of_the_bound_at_its_variance(error, weight, span):
    batch = drawn()
    loss, scale = program(error, weight, span, batch)
    deviation = implied(error=error, weight=weight, pixels=PIXELS, batch=BATCH, span=span) ** 0.5
    bound = Normal(batch.maps[0], deviation).log_prob(batch.x).sum(-1) - batch.kl  # (n,)
    wanted = batch.gradients(-scale * bound.mean())
    torch.testing.assert_close(batch.gradients(loss), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("error", "span"), list(itertools.product(ERRORS, (1, 2, 255))))
def test_the_weight_that_a_noise_needs_gives_the_gradients_of_its_bound(error, span):
    batch, variance = drawn(), 0.03
    setting = {"error": error, "pixels": PIXELS, "batch": BATCH, "span": span}
    loss, scale = program(error, said("neededWeight", setting, variance), span, batch)
    bound = Normal(batch.maps[0], variance**0.5).log_prob(batch.x).sum(-1) - batch.kl  # (n,)
    wanted = batch.gradients(-scale * bound.mean())
    torch.testing.assert_close(batch.gradients(loss), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("error", "weight", "span"), list(itertools.product(ERRORS, (0.00025, 4.0), (1, 2, 255)))
)
def test_beside_a_believed_noise_a_loss_is_a_beta_vae(error, weight, span):
    """Its gradients are a multiple of those of −log p(x|z) at that noise, plus β times the KL."""
    batch, variance = drawn(), 0.03
    loss, scale = program(error, weight, span, batch)
    setting = {"error": error, "weight": weight, "pixels": PIXELS, "batch": BATCH, "span": span}
    beta = said("impliedBeta", setting, variance)
    distortion = -Normal(batch.maps[0], variance**0.5).log_prob(batch.x).sum(-1)  # (n,)
    wanted = batch.gradients(scale / beta * (distortion + beta * batch.kl).mean())
    torch.testing.assert_close(batch.gradients(loss), wanted, rtol=1e-10, atol=1e-12)


def test_on_black_and_white_the_weight_of_cross_entropy_is_its_beta():
    batch, weight = drawn(), 3.0
    ink = batch.x.round()  # 0 or 1
    entropy = binary_cross_entropy(batch.maps[0].sigmoid(), ink, reduction="sum") / BATCH
    setting = {"error": "entropy", "weight": weight, "pixels": PIXELS, "batch": BATCH, "span": 1}
    beta = said("impliedBeta", setting, 0.03)
    distortion = -Bernoulli(logits=batch.maps[0]).log_prob(ink).sum(-1)  # (n,)
    wanted = batch.gradients((distortion + beta * batch.kl).mean())
    seen = batch.gradients(entropy + weight * batch.kl.mean())
    torch.testing.assert_close(seen, wanted, rtol=1e-10, atol=1e-12)
    assert said("neededWeight", setting, 0.03) is None


@pytest.mark.parametrize("variance", [1.25e-7, 0.008, 1.536])
def test_a_grey_level_in_every_pixel_costs_what_the_densities_differ_by(variance):
    off = torch.tensor([0, 1 / 255], dtype=torch.float64)
    right, wrong = Normal(0.0, torch.tensor(variance, dtype=torch.float64) ** 0.5).log_prob(off)
    expected = PIXELS * (right - wrong).item()
    assert said("greyLevelCost", variance, PIXELS) == pytest.approx(expected, rel=1e-9, abs=0)


def test_under_cross_entropy_a_grey_level_costs_no_less_than_at_a_variance_of_a_quarter():
    """What the page calls "at least", by Pinsker's inequality; nearly met where a pixel is ½."""
    x = torch.linspace(0.01, 0.98, 98, dtype=torch.float64)
    charge = partial(binary_cross_entropy, target=x, reduction="none")
    excess = charge(x + 1 / 255) - charge(x)  # (98,)
    least = said("greyLevelCost", 0.25, 1)
    assert (excess > least).all()
    assert excess.min().item() == pytest.approx(least, rel=1e-3)


def test_a_number_has_three_digits_or_all_before_its_point():
    draws = torch.Generator().manual_seed(14)
    powers = 24 * torch.rand(400, generator=draws, dtype=torch.float64) - 12
    plain = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", ",")
    for value in (10**powers).tolist():
        read = float(said("significant", value).translate(plain).replace(" × 10", "e"))
        wanted = round(value) if 1e3 <= value < 1e6 else float(f"{value:.2e}")
        assert read == pytest.approx(wanted, rel=1e-12)
    shown = [said("significant", value) for value in (5e-7, 0.0902, 1.536, 12288, 3.26e7)]
    assert shown == ["5 × 10⁻⁷", "0.0902", "1.54", "12,288", "3.26 × 10⁷"]


@pytest.mark.parametrize(
    ("weight", "pixels", "variance"),
    [(1, 64, 32), (0.00025, 64, 0.008), (0.00025, 3 * 64 * 64, 1.536), (1, 784, 392)],
)
def test_a_mean_over_pixels_is_the_variance_of_chapter_6(weight, pixels, variance):
    seen = implied(error="mean", weight=weight, pixels=pixels, batch=1, span=1)
    assert seen == pytest.approx(variance, rel=1e-12)


def test_cross_entropy_has_no_variance():
    """Near a perfect fit it charges like a variance f(1 − f), another for each pixel."""
    assert implied(error="entropy", weight=1, pixels=64, batch=1, span=1) is None
    fit = torch.tensor([0.5, 0.1, 0.9], dtype=torch.float64)
    entropy = partial(binary_cross_entropy, target=fit, reduction="sum")
    charge = torch.autograd.functional.hessian(entropy, fit).diagonal()
    torch.testing.assert_close(1 / charge, fit * (1 - fit))
    assert (1 / charge).max() == pytest.approx(1 / 4)


def test_from_a_quarter_of_the_pixels_on_no_shift_of_the_mean_image_gains():
    """Hoeffding's lemma, where it is tight: all pixels of an image are 0, or all are 1."""
    images = torch.tensor([[0.0], [1.0]]).double().repeat(1, PIXELS)
    shifts = torch.randn(200, 1, generator=torch.Generator().manual_seed(13)).double()
    shifts = shifts.expand(200, PIXELS)  # where these images vary
    for factor, gains in ((1.0, False), (0.99, True)):
        variance = torch.tensor(factor * PIXELS / 4, dtype=torch.float64)
        best = shift_gain(images, 0.2 * shifts, variance).max()
        assert bool(best > 1e-12) == gains
        beyond = f"VAE_LIVE.beyondAnyNetwork({variance}, {PIXELS})"
        assert computed("rate-distortion").evaluate(beyond) is not gains
