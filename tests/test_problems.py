"""The open problems: a right answer passes, and typical wrong ones are told apart from it."""

import math

import pytest
import torch

from vae_tutorial import problems

# transport

# marginal_likelihood

# decomposition

# bounds

# weights

# gaussians

# linear

# reparameterization


def normals(means, deviations):
    return torch.distributions.Normal(*torch.tensor((means, deviations), dtype=torch.float64))


def implicit(z, weight, means, deviations):
    """Minus the slope of the distribution function in the weight, over the density."""
    laws = normals(means, deviations)
    first, second = laws.cdf(z[:, None]).unbind(-1)
    share = torch.tensor([weight, 1 - weight], dtype=torch.float64)
    return (second - first) / (laws.log_prob(z[:, None]).exp() @ share)


def between_means(z, weight, means, deviations):
    return torch.full_like(z, means[0] - means[1])


def by_the_chosen_part(z, weight, means, deviations):
    return torch.zeros_like(z)  # which part is drawn jumps; inside a part nothing depends on it


def not_divided(z, weight, means, deviations):
    first, second = normals(means, deviations).cdf(z[:, None]).unbind(-1)
    return second - first


def test_reparameterization_asks_for_something(capsys):
    problems.reparameterization()
    assert capsys.readouterr().out.startswith("open: answer(z, weight, means, deviations)")


def test_the_slope_in_a_mixtures_weight_passes(capsys):
    problems.reparameterization(implicit)
    assert capsys.readouterr().out.count("passed: ") == 12


@pytest.mark.parametrize(
    "wrong",
    [by_the_chosen_part, not_divided, between_means, lambda *given: -implicit(*given)],
    ids=["chosen part", "not divided", "between means", "sign"],
)
def test_wrong_slopes_in_a_mixtures_weight_are_told_apart(wrong):
    with pytest.raises(AssertionError, match=r"gradient of E\["):
        problems.reparameterization(wrong)


# training

# choices

# evaluation

# annealing

# scaling


def in_one_pass(parts):
    largest = torch.tensor(-math.inf).double()
    total, gradient, count = 0 * largest.exp(), 0, 0
    for log_weights, rows in parts:
        count += len(log_weights)
        top = torch.maximum(largest, log_weights.max())
        if top == -math.inf:
            continue
        old, new = (largest - top).exp(), (log_weights - top).exp()
        total, gradient = total * old + new.sum(), gradient * old + new @ rows
        largest = top
    return largest + total.log() - math.log(count), gradient / total


def without_the_largest(parts):
    total, gradient, count = 0, 0, 0
    for log_weights, rows in parts:
        total = total + log_weights.exp().sum()
        gradient = gradient + log_weights.exp() @ rows
        count += len(log_weights)
    return (total / count).log(), gradient / total


def all_kept(parts):
    log_weights, rows = map(torch.cat, zip(*list(parts), strict=True))
    return log_weights.logsumexp(0) - math.log(len(rows)), log_weights.softmax(0) @ rows


def part_by_part(parts):
    seen = [(w.logsumexp(0) - math.log(len(w)), w.softmax(0) @ r) for w, r in parts]
    values, gradients = zip(*seen, strict=True)
    return torch.stack(values).mean(), torch.stack(gradients).mean(0)


def test_scaling_asks_for_something(capsys):
    problems.scaling()
    assert capsys.readouterr().out.startswith("open: answer(parts)")


def test_a_gradient_in_one_pass_passes(capsys):
    problems.scaling(in_one_pass)
    assert capsys.readouterr().out.count("passed: ") == 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (without_the_largest, "weights that underflow"),
        (all_kept, "parts are kept"),
        (part_by_part, "weights near one"),
    ],
    ids=["underflow", "kept", "averaged"],
)
def test_wrong_gradients_in_one_pass_are_told_apart(wrong, message):
    with pytest.raises(AssertionError, match=message):
        problems.scaling(wrong)


# limits
