"""Pixel models against torch.distributions, and noise levels against scikit-learn."""

import math

import numpy as np
import pytest
import sklearn.decomposition
import torch
from drawn import close, seeds
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal

from vae_tutorial.data import load_digits
from vae_tutorial.likelihoods import (
    BernoulliPixels,
    FixedVariance,
    GaussianPixels,
    InputVariance,
    PixelVariance,
    SharedVariance,
    bernoulli_log_likelihood,
    softplus_sum,
)
from vae_tutorial.noise import generator, standard_normal


def binary(shape, seed):
    return torch.randint(0, 2, shape, generator=generator(seed)).double()


def climb(variance, x, decoded, rate, steps=80):
    """Plain gradient ascent of the average log p(x|z) in the parameters of a variance map."""
    for _ in range(steps):
        score = GaussianPixels(variance).log_density(x, decoded, decoded).mean()
        for parameter in variance.parameters():
            (slope,) = torch.autograd.grad(score, parameter)
            parameter.data += rate * slope
    return variance(decoded).detach()


@pytest.mark.equation("eq-bernoulli")
@given(seeds, st.floats(0.1, 30))
def test_bernoulli_is_that_of_torch_at_any_scale_of_logits(seed, scale):
    logits = scale * standard_normal((3, 2, 5), generator(seed))  # (K, batch, pixels)
    x = binary((2, 5), seed)
    expected = Independent(Bernoulli(logits=logits), 1).log_prob(x.expand(3, 2, 5))
    close(bernoulli_log_likelihood(x.expand(3, 2, 5), logits), expected)
    close(bernoulli_log_likelihood(x, logits), expected)
    close(BernoulliPixels().log_density(x, logits, logits), expected)


def test_bernoulli_probabilities_of_all_images_sum_to_one():
    logits = standard_normal((4,), generator(0))
    images = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 4)  # (16, 4)
    total = bernoulli_log_likelihood(images, logits.expand(16, 4)).exp().sum()
    close(total, 1.0)


@pytest.mark.parametrize("logit", [40.0, 800.0, 1e30])
def test_bernoulli_does_not_overflow(logit):
    wrong = bernoulli_log_likelihood(torch.tensor([0.0, 1.0]), torch.tensor([logit, -logit]))
    close(wrong, -2 * logit, 1e-6)
    right = bernoulli_log_likelihood(torch.tensor([1.0, 0.0]), torch.tensor([logit, -logit]))
    close(right, 0.0, 1e-6)


def test_grey_pixels_have_no_bernoulli_likelihood():
    with pytest.raises(ValueError, match="2 of its 3 pixels are grey"):
        bernoulli_log_likelihood(torch.tensor([0.5, 0.25, 1.0]), torch.zeros(3))
    with pytest.raises(ValueError, match=r"x must lie in \[0, 1\]"):
        bernoulli_log_likelihood(torch.tensor([2.0, 0.0]), torch.zeros(2))


def test_logits_are_checked():
    x = torch.ones(2)
    with pytest.raises(ValueError, match=r"logits must .*2.* got shape \(3,\)"):
        bernoulli_log_likelihood(x, torch.zeros(3))
    with pytest.raises(ValueError, match="logits must be finite"):
        bernoulli_log_likelihood(x, torch.tensor([0.0, float("nan")]))
    with pytest.raises(TypeError, match=r"torch\.int64"):
        bernoulli_log_likelihood(torch.ones(2, dtype=torch.int64), torch.zeros(2))


def test_bernoulli_mean_and_draws_follow_the_logits():
    logits = torch.tensor([-2.0, 0.0, 3.0]).double()
    model, copies = BernoulliPixels(), logits.expand(20_000, 3)
    expected = 1 / (1 + np.exp([2.0, 0.0, -3.0]))
    close(model.mean(logits), expected)
    draws = model.draw(copies, copies, generator(0))
    assert draws.shape == (20_000, 3)
    assert draws.dtype == torch.float64
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    error = np.sqrt(expected * (1 - expected) / 20_000)
    assert (np.abs(draws.mean(0).numpy() - expected) < 4 * error).all()


@pytest.mark.equation("vae7")
@pytest.mark.parametrize(
    ("variance", "deviation"),
    [
        (FixedVariance(0.3), [0.3**0.5] * 4),
        (SharedVariance(0.3).double(), [0.3**0.5] * 4),
        (PixelVariance(4, floor=0.1, variance=0.2).double(), [0.3**0.5] * 4),
    ],
)
def test_gaussian_pixels_are_those_of_torch(variance, deviation):
    x, decoded, z = (standard_normal((3, 2, n), generator(n)) for n in (4, 4, 2))
    expected = Normal(decoded, torch.tensor(deviation).double()).log_prob(x).sum(-1)
    close(GaussianPixels(variance).log_density(x, decoded, z), expected, 1e-6)
    assert GaussianPixels(variance).mean(decoded) is decoded


@pytest.mark.equation("vae7")
def test_a_variance_that_looks_at_z():
    z, x = standard_normal((5, 2), generator(0)), standard_normal((5, 3), generator(1))
    network = nn.utils.skip_init(nn.Linear, 2, 3, dtype=torch.float64)
    network.weight.data = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 1.0]]).double()
    network.bias.data = torch.tensor([0.0, -50.0, 0.5]).double()
    seen = InputVariance(network, floor=0.01)
    raw = z.numpy() @ network.weight.detach().numpy().T + network.bias.detach().numpy()
    expected = np.logaddexp(0, raw) + 0.01  # softplus
    close(seen(z).exp(), expected)
    score = GaussianPixels(seen).log_density(x, torch.zeros_like(x), z)
    close(score, Normal(0.0, torch.tensor(expected**0.5)).log_prob(x).sum(-1))


def test_fixed_variance_keeps_float64_and_has_nothing_to_learn():
    fixed = FixedVariance(0.3)
    assert not list(fixed.parameters())
    close(fixed(torch.zeros(1).double()), math.log(0.3), 1e-15)
    assert fixed(torch.zeros(1)).dtype == torch.float32
    close(SharedVariance(0.3)(torch.zeros(1)), math.log(0.3), 1e-6)


@pytest.mark.equation("eq-noise-level")
@pytest.mark.parametrize("components", [1, 8])
def test_the_learned_noise_level_is_the_mean_squared_error_of_pca(components):
    x = load_digits(torch.float64).train.numpy()
    pca = sklearn.decomposition.PCA(components, svd_solver="full").fit(x)
    decoded = pca.inverse_transform(pca.transform(x))
    dropped = np.trace(np.cov(x.T, bias=True)) - pca.explained_variance_.sum() * (len(x) - 1) / len(
        x
    )
    variance, images = SharedVariance().double(), (torch.tensor(x), torch.tensor(decoded))
    learned = climb(variance, *images, rate=1 / x.shape[1])
    error = dropped / x.shape[1]  # the mean squared error of a pixel
    close(learned.exp(), error, 1e-8)
    score = GaussianPixels(variance).log_density(*images, images[1]).mean()
    close(score, -x.shape[1] / 2 * (1 + math.log(2 * math.pi * error)), 1e-8)


@settings(max_examples=5)
@given(seeds)
def test_each_pixel_learns_its_own_error_but_none_below_the_floor(seed):
    deviation = torch.tensor([0.5, 1.0, 2.0, 0.0]).double()
    decoded = standard_normal((40, 4), generator(seed))
    x = decoded + deviation * standard_normal((40, 4), generator(seed + 1))
    errors = (x - decoded).square().mean(0).numpy()
    learned = climb(PixelVariance(4, floor=0.01).double(), x, decoded, rate=1.0).exp()
    close(learned[:3], errors[:3], 1e-6)
    # near the floor the excess shrinks like 2 · floor / steps: 0.00025 after 80
    assert 0.01 < learned[3] < 0.01 + 2 * 0.00025


@pytest.mark.equation("eq-singularity")
def test_a_constant_pixel_gains_half_a_nat_for_each_nat_of_its_floor():
    x = torch.zeros(1, 1).double()
    scores = []
    for floor in (1e-4, 1e-8):
        variance = PixelVariance(1, floor=floor, variance=1e-30).double()
        scores.append(GaussianPixels(variance).log_density(x, x, x))
    close(scores[1] - scores[0], 0.5 * math.log(1e4), 1e-6)
    close(scores[1], math.log(1 / 1e-4) - 0.5 * math.log(2 * math.pi), 1e-6)


def test_gaussian_draws_have_the_mean_and_the_variance_of_the_map():
    decoded = torch.tensor([1.0, -2.0]).double().expand(20_000, 2)
    variance = PixelVariance(2, floor=1e-9).double()
    variance.raw.data = torch.tensor([0.25, 4.0]).double().log()
    draws = GaussianPixels(variance).draw(decoded, decoded, generator(0)).detach()
    assert draws.shape == (20_000, 2)
    spread = np.array([0.25, 4.0])
    error = np.sqrt(spread / 20_000)
    assert (np.abs(draws.mean(0).numpy() - [1.0, -2.0]) < 4 * error).all()
    assert (np.abs(draws.var(0).numpy() - spread) < 4 * spread * np.sqrt(2 / 20_000)).all()


def test_draws_repeat_with_their_generator():
    decoded = torch.zeros(3, 2)
    for model in (GaussianPixels(FixedVariance(1.0)), BernoulliPixels()):
        first, again, other = (model.draw(decoded, decoded, generator(seed)) for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert first.dtype == torch.float32


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_variances_and_floors_must_be_finite_and_positive(bad):
    for name, build in {
        "variance": (FixedVariance, SharedVariance, lambda v: PixelVariance(2, 0.1, v)),
        "floor": (lambda f: PixelVariance(2, f), lambda f: InputVariance(nn.Identity(), f)),
    }.items():
        for make in build:
            with pytest.raises(ValueError, match=f"{name} must be (positive|finite)"):
                make(bad)


def test_a_pixel_count_is_a_whole_number():
    with pytest.raises(TypeError, match="pixels must be a whole number"):
        PixelVariance(2.0, 0.1)
    with pytest.raises(ValueError, match="pixels must be at least 1"):
        PixelVariance(0, 0.1)


@pytest.mark.parametrize("shape", [(), (5,), (7, 5)], ids=["shared", "a pixel", "a pixel and z"])
def test_a_table_of_gaussian_likelihoods_is_that_of_torch(shape):
    random = generator(3)
    x, decoded, z = (standard_normal(s, random) for s in ((4, 5), (7, 5), (7, 2)))
    log_variance = standard_normal(shape, random)
    pixels = GaussianPixels(lambda z: log_variance)
    oracle = Normal(decoded[:, None], (0.5 * log_variance.expand(7, 5)[:, None]).exp())
    expected = oracle.log_prob(x).sum(-1)  # (7, 4)
    close(pixels.log_density_table(x, decoded, z), expected, 1e-12)


def test_a_table_of_bernoulli_likelihoods_is_that_of_torch():
    x, logits = binary((4, 5), 0), 3 * standard_normal((7, 5), generator(1))
    expected = Bernoulli(logits=logits[:, None]).log_prob(x).sum(-1)  # (7, 4)
    close(BernoulliPixels().log_density_table(x, logits, logits[:, :2]), expected, 1e-12)


def test_a_table_refuses_grey_pixels_and_other_widths():
    z, decoded = torch.zeros(3, 2), torch.zeros(3, 5)
    with pytest.raises(ValueError, match="20 of its 20 pixels are grey"):
        BernoulliPixels().log_density_table(torch.full((4, 5), 0.5), decoded, z)
    for pixels in (BernoulliPixels(), GaussianPixels(FixedVariance(1.0))):
        with pytest.raises(ValueError, match=r"x must be .* pixels = 5 as in decoded"):
            pixels.log_density_table(torch.zeros(4, 6), decoded, z)


@pytest.mark.parametrize("width", [1, 7, 64, 96, 784])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softplus_is_summed_as_numpy_sums_it(width, scale, dtype):
    logits = scale * torch.randn(5, 3, width, generator=generator(width), dtype=torch.float64)
    logits[0, 0, 0] = 0.0
    logits = logits.to(dtype)
    expected = np.logaddexp(0, logits.double().numpy()).sum(-1)
    seen = softplus_sum(logits)
    rounding = torch.finfo(dtype).eps  # of 1 + exp(−|l|), once an entry, and of the sum
    tolerance = {"rtol": 4 * rounding, "atol": 2 * width * rounding}
    torch.testing.assert_close(seen.double(), torch.from_numpy(expected), **tolerance)
