"""One open problem a chapter: give a function, and it is held against an oracle.

Called without an answer, each prints what is asked for. The solutions stand nowhere in the book.
"""

import math
import weakref
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vae_tutorial.checks import check, check_close
from vae_tutorial.noise import generator, standard_normal
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


def reparameterization(answer: Callable | None = None) -> None:
    """A slope of z in the weight of a mixture: answer(z, weight, means, deviations), (K,) to (K,).

    z is drawn from weight · N(means[0], deviations[0]²) + (1 − weight) · N(means[1], …). Asked for
    is a slope ∂z/∂weight, continuous in z, that makes the pathwise gradient right for every smooth
    function; it is held against a quadrature over z. Raises AssertionError where it is not.
    """
    if answer is None:
        print("open: answer(z, weight, means, deviations) → a slope of z in the mixture's weight")
        return
    z = torch.linspace(-12, 12, 20_001, dtype=torch.float64)  # (n,)
    near = z.abs() < 4  # farther out a difference of two tails is all rounding
    for weight, means, deviations in (
        (0.5, (-1.0, 1.0), (1.0, 1.0)),
        (0.2, (-2.0, 1.5), (0.5, 1.2)),
        (0.9, (0.0, 0.0), (0.4, 1.5)),
    ):
        laws = torch.distributions.Normal(*torch.tensor((means, deviations), dtype=z.dtype))
        first, second = laws.log_prob(z[:, None]).exp().unbind(-1)  # (n,) each
        density = weight * first + (1 - weight) * second  # (n,)
        slope = answer(z, weight, means, deviations)  # (n,)
        steps = slope[near].diff().abs() / (1 + slope[near][1:].abs())
        check("the slope does not jump", bool(steps.max() < 0.1))
        for name, function, derivative in (
            ("z", z, torch.ones_like(z)),
            ("z²", z.square(), 2 * z),
            ("tanh z", z.tanh(), 1 - z.tanh().square()),
        ):
            exact = torch.trapezoid(function * (first - second), z)
            seen = torch.trapezoid(density * derivative * slope, z)
            check_close(f"weight {weight}, gradient of E[{name}]", seen, exact, 1e-5)


# training

# choices

# evaluation

# annealing

# scaling
MOST_KEPT = 3  # parts of a stream that an answer in constant memory may hold at a time


def scaling(answer: Callable | None = None) -> None:
    """The gradient of log (mean weight) of K draws, in one pass: answer(parts), to two tensors.

    parts is an iterator, to be read once, of pairs: log-weights (n,) and their gradients
    (n, parameters). Asked for are the log of the mean of all K weights, (), and its gradient,
    (parameters,). Memory may not grow with K. Held against autograd over all draws at once.
    Raises AssertionError where the two differ or where the parts were kept.
    """
    if answer is None:
        print("open: answer(parts) → log of the mean weight, and its gradient, in one pass")
        return
    for name, width, shift, missing in (
        ("weights near one", 1.0, 0.0, 0),
        ("weights that underflow", 3.0, -2000.0, 0),
        ("a weight of zero first", 2.0, 500.0, 3),
    ):
        random = generator(1)
        rows = standard_normal((60, 5), random)  # (K, parameters): the slopes of linear log-weights
        offsets = shift + width * standard_normal((60,), random).cumsum(0)  # (K,)
        offsets[:missing] = -math.inf
        at = standard_normal((5,), random).requires_grad_()
        log_weights = offsets + rows @ at  # (K,)
        exact = log_weights.logsumexp(0) - math.log(60)
        (gradient,) = torch.autograd.grad(exact, at)
        seen = answer(_once(log_weights.detach(), rows))
        check_close(f"{name}: the logarithm", seen[0], exact, 1e-9)
        check_close(f"{name}: the gradient", seen[1], gradient, 1e-9)


def _once(log_weights: Tensor, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Parts of one to seven draws; an AssertionError if more than a few are alive together."""
    alive: list[weakref.ref] = []
    sizes = [1, 2, 7, 3, 7, 5, 7, 7, 7, 7, 7]
    for one, other in zip(log_weights.split(sizes), rows.split(sizes), strict=True):
        part = one.clone(), other.clone()
        alive = [seen for seen in alive if seen() is not None]
        if len(alive) > MOST_KEPT:
            raise AssertionError(f"check failed: {len(alive)} parts are kept, so memory grows")
        alive.append(weakref.ref(part[1]))
        yield part


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
