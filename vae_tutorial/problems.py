"""One open problem a chapter: give a function, and it is held against an oracle.

Called without an answer, each prints what is asked for. The solutions stand nowhere in the book.
"""

import math
from collections.abc import Callable

import torch

from vae_tutorial.checks import check, check_close
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

# choices

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
