"""The open problems: a right answer passes, and typical wrong ones are told apart from it."""

import math

import pytest
import torch

from vae_tutorial import problems

# transport

# marginal_likelihood

# decomposition

# bounds


def ascent(joint, starts):
    """Coordinate ascent over products, from each of some first guesses of q(z₁); the best end."""
    ends = []
    for first in starts:
        for _ in range(500):
            second = (first @ joint.log()).softmax(0)
            first = (joint.log() @ second).softmax(0)
        product = torch.outer(first, second)
        bound = (product * (joint.log() - product.log())).sum()
        ends.append((float(bound), first, second))
    return max(ends, key=lambda end: end[0])[1:]


def from_every_corner(joint):
    near = torch.eye(len(joint), dtype=torch.float64) * 0.97 + 0.01
    return ascent(joint, near / near.sum(1, keepdim=True))


def from_the_middle(joint):
    return ascent(joint, torch.full((1, len(joint)), 1 / len(joint), dtype=torch.float64))


def marginals(joint):
    posterior = joint / joint.sum()
    return posterior.sum(1), posterior.sum(0)


def test_bounds_passes_the_best_product_and_no_other(capsys):
    problems.bounds(from_every_corner)
    assert "passed" in capsys.readouterr().out
    for wrong in (from_the_middle, marginals, lambda joint: marginals(joint)[::-1]):
        with pytest.raises(AssertionError):
            problems.bounds(wrong)
    with pytest.raises(AssertionError, match="is a law"):
        problems.bounds(lambda joint: (joint.sum(1), joint.sum(0)))


# weights


def plain(log_weight):
    return log_weight.logsumexp(0) - math.log(len(log_weight))


def jackknife(log_weight):
    K = len(log_weight)
    rest = [plain(torch.cat([log_weight[:k], log_weight[k + 1 :]])) for k in range(K)]
    return K * plain(log_weight) - (K - 1) * torch.stack(rest).mean(0)


def delta_method(log_weight):
    relative = (log_weight - plain(log_weight)).exp()
    return plain(log_weight) + relative.var(0) / (2 * len(log_weight))


@pytest.mark.parametrize("right", [jackknife, delta_method])
def test_weights_passes_two_ways_to_remove_the_leading_bias(right):
    problems.weights(right)


@pytest.mark.parametrize(
    "wrong",
    [
        plain,
        lambda log_weight: log_weight.mean(0),
        lambda log_weight: log_weight.exp().mean(0).log(),
        lambda log_weight: 2 * plain(log_weight) - delta_method(log_weight),  # the wrong sign
        lambda log_weight: plain(log_weight) + log_weight.exp().var(0) / (2 * len(log_weight)),
    ],
    ids=["no correction", "mean of logs", "underflow", "sign", "variance not relative"],
)
def test_weights_refuses_what_is_biased(wrong):
    with pytest.raises(AssertionError):
        problems.weights(wrong)


# gaussians

# linear

# reparameterization

# training

# choices

# evaluation

# annealing

# scaling

# limits
