"""The σ² that a loss implies: the losses as programs write them, in torch, against the bound."""

import itertools
from functools import partial

import pytest
import torch
from scripts import computed
from torch.distributions import Normal, kl_divergence
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


@pytest.mark.parametrize(
    ("error", "weight", "span"), list(itertools.product(ERRORS, (1.0, 0.00025, 4.0), (1, 2, 255)))
)
def test_the_gradients_of_a_loss_are_those_of_the_bound_at_its_variance(error, weight, span):
    draws = torch.Generator().manual_seed(12)
    x = torch.rand(BATCH, PIXELS, generator=draws, dtype=torch.float64)
    shapes = ((BATCH, PIXELS), (BATCH, LATENTS), (BATCH, LATENTS))
    maps = [torch.randn(s, generator=draws, dtype=torch.float64).requires_grad_() for s in shapes]
    decoded, mean, log_deviation = maps
    q = Normal(mean, log_deviation.exp())
    kl = kl_divergence(q, Normal(torch.zeros(()).double(), torch.ones(()).double())).sum(-1)  # (n,)
    paid = kl.sum() if error == "all" else kl.mean()
    loss = ERRORS[error](span * decoded, span * x) + weight * paid
    setting = {"pixels": PIXELS, "batch": BATCH, "span": span}
    deviation = implied(error=error, weight=weight, **setting) ** 0.5
    bound = Normal(decoded, deviation).log_prob(x).sum(-1) - kl  # (n,)
    scale = weight * BATCH if error == "all" else weight  # of the whole loss
    wanted = torch.autograd.grad(-scale * bound.mean(), maps, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(loss, maps), wanted, rtol=1e-10, atol=1e-12)


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
