"""The open problems: a right answer passes, and typical wrong ones are told apart from it."""

import math

import pytest
import torch
from torch import Tensor

from vae_tutorial import linear as linear_maps
from vae_tutorial import problems

# transport

# marginal_likelihood

# decomposition

# bounds

# weights

# gaussians


def laplace_price(mean: Tensor, log_variance: Tensor) -> Tensor:
    """E|z| of a Gaussian is that of a folded normal; the rest is an entropy and log 2."""
    deviation = (0.5 * log_variance).exp()
    ratio = mean / deviation
    size = deviation * math.sqrt(2 / math.pi) * (-0.5 * ratio**2).exp()
    size = size + mean * torch.special.erf(ratio / math.sqrt(2))
    entropy = 0.5 * (log_variance + math.log(2 * math.pi) + 1)
    return (size + math.log(2) - entropy).sum(-1)


def test_the_price_against_a_laplace_prior(capsys):
    problems.gaussians(laplace_price)
    assert capsys.readouterr().out.count("passed: ") == 6


@pytest.mark.parametrize(
    "wrong",
    [
        lambda mean, log_variance: laplace_price(mean, 2 * log_variance),  # σ² for σ
        lambda mean, log_variance: laplace_price(mean, log_variance) - math.log(2),
        lambda mean, log_variance: laplace_price(mean, log_variance) / mean.shape[-1],  # a mean
        lambda mean, log_variance: laplace_price(mean.detach(), log_variance) + 0 * mean.sum(-1),
        lambda mean, log_variance: (  # |E z| for E|z|
            mean.abs() + math.log(2) - 0.5 * (log_variance + math.log(2 * math.pi) + 1)
        ).sum(-1),
        lambda mean, log_variance: (  # draws
            laplace_price(mean, log_variance) + 1e-9 * torch.randn(mean.shape[:-1])
        ),
    ],
    ids=["deviation", "constant", "mean", "no gradient", "size of the mean", "draws"],
)
def test_a_wrong_price_is_told(wrong):
    with pytest.raises(AssertionError, match="check failed"):
        problems.gaussians(wrong)


# linear


def whitened_rate(images: Tensor, variances: Tensor, latent: int) -> Tensor:
    """Divided by its deviation, every pixel has noise 1, and the rate law holds."""
    whitened = linear_maps.spectrum(images / variances.sqrt())
    return linear_maps.rate_law(whitened.eigenvalues, variances.new_ones(()), latent).rate


def test_the_rate_with_unequal_noise(capsys):
    problems.linear(whitened_rate)
    assert capsys.readouterr().out.count("passed: ") == 8


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, s, d: linear_maps.rate_law(linear_maps.spectrum(x).eigenvalues, s.mean(), d).rate,
        lambda x, s, d: whitened_rate(x, s.square(), d),
        lambda x, s, d: 2 * whitened_rate(x, s, d),
        lambda x, s, d: whitened_rate(x, s, x.shape[1]),
        lambda x, s, d: whitened_rate(x * math.sqrt(60 / 59), s, d),  # divisor n − 1
    ],
    ids=["average noise", "variance for deviation", "no half", "all latents", "divisor"],
)
def test_a_wrong_rate_is_told(wrong):
    with pytest.raises(AssertionError, match="check failed"):
        problems.linear(wrong)


# reparameterization

# training

# choices

# evaluation

# annealing

# scaling

# limits
