"""One open problem a chapter: give a function, and it is held against an oracle.

Called without an answer, each prints what is asked for. The solutions stand nowhere in the book.
"""

import math
from collections.abc import Callable

import torch

from vae_tutorial.checks import check, check_close
from vae_tutorial.gaussians import log_normal
from vae_tutorial.quadrature import gauss_legendre
from vae_tutorial.transport import RING_DIVISOR

# transport
RING_POINTS = ((0.0, 0.1), (0.6, 0.3), (-1.0, 0.1), (0.3, -1.1), (0.9, 1.2), (-1.5, 1.5))


def transport(answer: Callable | None = None) -> None:
    """Hold log p(x) of the ring with noise, answer(x, deviation): (n, 2) to (n,), to an oracle.

    The oracle integrates over the radius alone: the angle gives a Bessel function.
    """
    if answer is None:
        print("open: problems.transport(f), where f(x, deviation) takes points x (n, 2) in float64")
        print("and the noise's standard deviation to log p(x) (n,), for x = ring(z) + noise")
        return
    x = torch.tensor(RING_POINTS, dtype=torch.float64)  # (n, 2)
    length = torch.linspace(0, 15, 150_001, dtype=torch.float64)[1:]  # of z, a step above 0 on
    log_mass = length.log() - length.square() / 2 + math.log(15 / 150_000)  # (nodes,)
    place = 1 + length / RING_DIVISOR  # the radius of ring(z)
    radius = x.norm(dim=-1, keepdim=True)  # (n, 1)
    for deviation in (0.3, 0.02):
        variance = deviation**2
        around = torch.special.i0e(radius * place / variance).log()  # (n, nodes)
        log_likelihood = around - (radius - place).square() / (2 * variance)
        expected = (log_mass + log_likelihood).logsumexp(-1) - math.log(2 * math.pi * variance)
        check_close(f"log p(x), noise {deviation}", answer(x, deviation), expected, 1e-3)


# marginal_likelihood

# decomposition

# bounds

# weights

# gaussians

# linear

# reparameterization


# training
NESTED = (0.25, 1.0, 3.0, 9.0)  # deviations from a mean, where the oracle cuts its integral


def training(answer: Callable | None = None) -> None:
    """Hold the two parts of the average rate, answer(mean, log_variance): (n,) each, to an oracle.

    Codes have one latent. The oracle cuts the line around every mean, and sums each piece by Gauss.
    """
    if answer is None:
        print(
            "open: problems.training(f), where f(mean, log_variance) takes n codes of one latent,"
        )
        print("(n,) each in float64, to the two parts of their average rate, in nats, by no draws")
        return
    place = torch.arange(9, dtype=torch.float64) - 4.2
    cases = {
        "codes alike": (torch.full((6,), 0.7), torch.full((6,), -1.0)),
        "codes that overlap": (0.4 * place, -0.3 * place.abs()),
        "spikes": (0.9 * place, torch.full((9,), -18.0)),
        "spikes and one wide code": (0.5 * place, torch.tensor([0.0] + 8 * [-12.0])),
    }
    for name, codes in cases.items():
        mean, log_variance = (part.double() for part in codes)
        information, mismatch = answer(mean, log_variance)
        expected = _mismatch(mean, log_variance)
        rate = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).mean()
        check_close(f"{name}: mismatch with the prior", mismatch, expected, 1e-6)
        check_close(f"{name}: mutual information", information, rate - expected, 1e-6)


def _mismatch(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL(q(z) ‖ p(z)) of a mixture of n Gaussians with equal weights: (n,) each to ()."""
    deviation = (0.5 * log_variance).exp()
    around = torch.tensor(NESTED, dtype=torch.float64)
    around = torch.cat([-around.flip(0), around])  # (8,)
    cuts = (mean + deviation * around[:, None]).flatten().sort().values  # (8n,)
    unit = gauss_legendre(0, 1, 60)
    width = cuts.diff()[:, None]  # (pieces, 1)
    z = (cuts[:-1, None] + width * unit.nodes).flatten()
    weights = (width * unit.weights).flatten()
    score = log_normal(z[:, None, None], mean[:, None], log_variance[:, None])  # (nodes, n)
    log_q = score.logsumexp(-1) - math.log(len(mean))  # (nodes,)
    log_p = -0.5 * (z.square() + math.log(2 * math.pi))
    return (weights * log_q.exp() * (log_q - log_p)).sum()


# choices
def choices(answer: Callable | None = None) -> None:
    """Hold the best rates under a budget, answer(eigenvalues, variance, total), to an oracle.

    They minimise max(Σ r, total) + Σ λ exp(−2r) / 2σ² over rates r ≥ 0. The oracle halves an
    interval that holds the one level to which every axis above it is paid down.
    """
    if answer is None:
        print(
            "open: problems.choices(f), where f(eigenvalues, variance, total) takes the variances"
        )
        print(
            "of d axes (d,), σ² and the nats that are free for all latents together, to the rates"
        )
        print("(d,) that minimise max(Σ r, total) + Σ λ exp(−2r) / 2σ², each r at least zero")
        return
    eigenvalues = torch.tensor([3.0, 0.5, 1.5, 0.5, 0.02], dtype=torch.float64)
    variance = torch.tensor(0.8, dtype=torch.float64)
    for total in (0.0, 0.5, 1.5, 6.0, 40.0):
        low, high = -100.0, float(variance.log())  # the level's logarithm
        for _ in range(200):
            middle = (low + high) / 2
            spent = (0.5 * (eigenvalues.log() - middle)).clamp(min=0).sum()
            low, high = (middle, high) if spent > total else (low, middle)
        free = (0.5 * (eigenvalues.log() - high)).clamp(min=0)
        seen = answer(eigenvalues, variance, total)
        check_close(f"the rates, {total} nats free", seen, free, 1e-6)


# evaluation

# annealing

# scaling


# limits
def limits(answer: Callable | None = None) -> None:
    """Hold a curve, answer(level): (n,) to (n, 2), to what Hilbert's does to halved squares.

    Cut (0, 1) into 4, 16, 64, ... equal pieces and the unit square into as many equal boxes: each
    piece must fill a box, each box once, and neighbouring pieces boxes that share an edge.
    """
    if answer is None:
        print("open: problems.limits(f), where f(u) takes levels u (n,) in (0, 1), in float64,")
        print("to points (n, 2) of the unit square")
        return
    for depth in range(1, 7):
        pieces, inner = 4**depth, torch.tensor([0.01, 0.3, 0.7, 0.99], dtype=torch.float64)
        level = (torch.arange(pieces, dtype=torch.float64)[:, None] + inner) / pieces
        box = (answer(level.flatten()) * 2**depth).floor().reshape(pieces, 4, 2)
        check(f"each of {pieces} pieces in one box", bool((box == box[:, :1]).all()))
        entered = len(torch.unique(box[:, 0], dim=0))
        inside = bool(((box >= 0) & (box < 2**depth)).all())
        check("each box of the square entered", entered == pieces and inside)
        check(
            "neighbours share an edge", bool((box[1:, 0] - box[:-1, 0]).abs().sum(-1).eq(1).all())
        )
