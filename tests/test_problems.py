"""The open problems: a right answer passes, and typical wrong ones are told apart from it."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from vae_tutorial import problems


def passes(problem, answer, capsys):
    problem(answer)
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(line.startswith("passed: ") for line in lines)


def asks(problem, capsys):
    problem()
    assert capsys.readouterr().out.startswith("open: ")


# transport

# marginal_likelihood


def log_mean_weight(weight, variance, x, power):
    """log E[w ** power]: w ** power is a Gaussian of variance / power, times a constant."""
    weight, x = weight.numpy(), x.numpy()
    covariance = weight @ weight.T + variance / power * np.eye(len(x))
    scale = 0.5 * (1 - power) * math.log(2 * math.pi * variance) - 0.5 * math.log(power)
    return multivariate_normal(np.zeros(len(x)), covariance).logpdf(x) + len(x) * scale


def relative_variance(weight, variance, x):
    moments = [log_mean_weight(weight, variance, x, power) for power in (1, 2)]
    return math.expm1(moments[1] - 2 * moments[0])


def draws_needed(weight, variance, x, tolerance):
    return max(1, math.ceil(relative_variance(weight, variance, x) / tolerance**2))


def draws_by_divergence(weight, variance, x, tolerance):
    """exp(KL(p(z|x) ‖ p(z))) / tolerance²: the right scale, and not the variance."""
    precision = torch.eye(weight.shape[1]).double() + weight.mT @ weight / variance
    covariance = torch.linalg.inv(precision)
    mean = covariance @ weight.mT @ x / variance
    kl = 0.5 * (covariance.trace() + mean @ mean - len(mean) - torch.logdet(covariance))
    return float(kl.exp()) / tolerance**2


WRONG_DRAWS = {
    "the variance is the second moment": lambda w, v, x, t: draws_needed(w, v, x, t) + 1 / t**2,
    "the error falls as 1 / n": lambda w, v, x, t: relative_variance(w, v, x) / t,
    "x is taken for zero": lambda w, v, x, t: draws_needed(w, v, 0 * x, t),
    "the divergence": draws_by_divergence,
    "a fixed number": lambda w, v, x, t: 1 / t**2,
    "not a number": lambda w, v, x, t: math.nan,
}


def test_draws_needed(capsys):
    passes(problems.marginal_likelihood, draws_needed, capsys)
    asks(problems.marginal_likelihood, capsys)


@pytest.mark.parametrize("wrong", WRONG_DRAWS.values(), ids=WRONG_DRAWS)
def test_a_wrong_number_of_draws_is_refused(wrong):
    with pytest.raises(AssertionError):
        problems.marginal_likelihood(wrong)


# decomposition


def wave_bound(x, mean, deviation, variance):
    """E_q sin 2z and E_q sin² 2z are the imaginary and the real part of E_q exp(ikz)."""
    sine = math.exp(-2 * deviation**2) * math.sin(2 * mean)
    square = 0.5 * (1 - math.exp(-8 * deviation**2) * math.cos(4 * mean))
    first, second = x.tolist()
    squares = (first - mean) ** 2 + deviation**2 + second**2 - 2 * second * sine + square
    log_likelihood = -math.log(2 * math.pi * variance) - squares / (2 * variance)
    return log_likelihood - 0.5 * (deviation**2 + mean**2 - 1 - 2 * math.log(deviation))


def at_the_mean(x, mean, deviation, variance):
    """log p(x|z) at the centre of q, not averaged over q."""
    moments = mean, math.sin(2 * mean)
    squares = sum((a - b) ** 2 for a, b in zip(x.tolist(), moments, strict=True))
    log_likelihood = -math.log(2 * math.pi * variance) - squares / (2 * variance)
    return log_likelihood - 0.5 * (deviation**2 + mean**2 - 1 - 2 * math.log(deviation))


def kl_to_prior(mean, deviation):
    return 0.5 * (deviation**2 + mean**2 - 1 - 2 * math.log(deviation))


WRONG_BOUNDS = {
    "at the mean of q": at_the_mean,
    "the KL is added": lambda x, m, s, v: wave_bound(x, m, s, v) + 2 * kl_to_prior(m, s),
    "no constant": lambda x, m, s, v: wave_bound(x, m, s, v) + math.log(2 * math.pi * v),
    "the deviation taken for the variance": lambda x, m, s, v: wave_bound(x, m, s**0.5, v),
    "off in the sixth digit": lambda x, m, s, v: wave_bound(x, m, s, v) * (1 + 1e-6),
}


def test_the_bound_of_the_wave(capsys):
    passes(problems.decomposition, wave_bound, capsys)
    asks(problems.decomposition, capsys)


@pytest.mark.parametrize("wrong", WRONG_BOUNDS.values(), ids=WRONG_BOUNDS)
def test_a_wrong_bound_is_refused(wrong):
    with pytest.raises(AssertionError):
        problems.decomposition(wrong)


# bounds

# weights

# gaussians

# linear

# reparameterization

# training

# choices

# evaluation

# annealing

# scaling

# limits
