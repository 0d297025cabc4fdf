"""The open problems: a right answer passes, and typical wrong ones are told apart from it."""

import math

import pytest
import torch

from vae_tutorial import problems

# transport


def noisy_ring(x, deviation, reach=15.0):
    """log p(x) by a sum over the plane of z, in polar coordinates."""
    root = (torch.arange(3000, dtype=torch.float64) + 0.5) * math.sqrt(reach) / 3000
    length = root.square()  # finer steps near z = 0
    angle = torch.arange(800, dtype=torch.float64) * 2 * math.pi / 800
    place = (1 + length / 10)[:, None, None] * torch.stack([angle.cos(), angle.sin()], -1)
    log_mass = length.log() - length.square() / 2 + (2 * root).log()
    log_mass += math.log(math.sqrt(reach) / 3000 / 800)
    found = []
    for point in x:
        squared = (point - place).square().sum(-1)  # (lengths, angles)
        log_terms = log_mass[:, None] - squared / (2 * deviation**2)
        found.append(log_terms.logsumexp((0, 1)) - math.log(2 * math.pi * deviation**2))
    return torch.stack(found)


def test_the_ring_is_scored_by_a_sum_over_the_plane(capsys):
    problems.transport(noisy_ring)
    assert capsys.readouterr().out.count("passed: log p(x)") == 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, deviation: noisy_ring(x, deviation**0.5),  # the deviation taken for a variance
        lambda x, deviation: noisy_ring(x, deviation, reach=6.0),  # a part of the latents
        lambda x, deviation: noisy_ring(x, deviation) + math.log(2 * math.pi),  # no normaliser
        lambda x, deviation: noisy_ring(x, deviation).exp().log(),  # underflows far from the ring
        lambda x, deviation: -((x.norm(dim=-1) - 1) ** 2) / (2 * deviation**2),  # a circle
    ],
)
def test_a_ring_scored_otherwise_is_told_apart(wrong):
    with pytest.raises(AssertionError, match=r"log p\(x\), noise"):
        problems.transport(wrong)


def test_without_an_answer_the_question_is_asked(capsys):
    for ask in (problems.transport, problems.limits):
        ask()
        assert capsys.readouterr().out.startswith("open: ")


# marginal_likelihood

# decomposition

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


def hilbert(level, depth=20):
    """Hilbert's curve: the quarters of the interval in turn, each square turned or mirrored."""
    x, y = torch.zeros_like(level), torch.zeros_like(level)
    quarters = []
    for _ in range(depth):
        quarter = (4 * level).floor().clamp(max=3)
        quarters.append(quarter)
        level = 4 * level - quarter
    for quarter in reversed(quarters):
        first, last, right = quarter == 0, quarter == 3, quarter >= 2
        x, y = (
            torch.where(first, y, torch.where(last, 1 - y, x)),
            torch.where(first, x, torch.where(last, 1 - x, y)),
        )
        x, y = (x + right) / 2, (y + ((quarter == 1) | (quarter == 2))) / 2
    return torch.stack([x, y], -1)


def interleaved(level, depth=20):
    """Digits dealt out to x and y in turn: each box once, but the path jumps."""
    bits = (level[:, None] * 2.0 ** torch.arange(1, 2 * depth + 1)).floor() % 2
    weight = 0.5 ** torch.arange(1, depth + 1, dtype=torch.float64)
    return torch.stack([bits[:, ::2] @ weight, bits[:, 1::2] @ weight], -1)


def lawnmower(level, rows=64):
    """Row by row, forth and back: continuous, and right at one size of box only."""
    row = (level * rows).floor()
    along = level * rows - row
    along = torch.where(row % 2 == 0, along, 1 - along)
    return torch.stack([along, (row + 0.5) / rows], -1)


def test_hilberts_curve_fills_the_square(capsys):
    problems.limits(hilbert)
    assert capsys.readouterr().out.count("passed: ") == 18


@pytest.mark.parametrize(
    "wrong", [interleaved, lawnmower, lambda u: torch.stack([u, u], -1), lambda u: hilbert(u) / 2]
)
def test_other_curves_do_not(wrong):
    with pytest.raises(AssertionError):
        problems.limits(wrong)
