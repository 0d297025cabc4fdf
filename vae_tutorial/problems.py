"""One open problem a chapter: give a function, and it is held against an oracle.

Called without an answer, each prints what is asked for. The solutions stand nowhere in the book.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Exponential, MixtureSameFamily, Normal

from vae_tutorial.checks import check, check_close
from vae_tutorial.noise import generator
from vae_tutorial.quadrature import trapezoid
from vae_tutorial.transport import RING_DIVISOR

LogDensity = Callable[[Tensor], Tensor]  # z (n,) to (n,), nats, not normalised

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


def evaluation(answer: Callable[[LogDensity], tuple[float, float, float]] | None = None) -> None:
    """Check the best Gaussian of four posteriors against a scan of all Gaussians, by quadrature.

    `answer` takes an unnormalised log density of one latent, (n,) to (n,), whose mass lies between
    −6 and 6, and returns the mean and the standard deviation of the best Gaussian, and what its
    bound leaves below the log of the integral, in nats. Raises AssertionError where it is wrong.

    >>> evaluation()
    open: best(log_density) to (mean, deviation, loss),
    the best Gaussian of a posterior of one latent, and what it loses, in nats
    """
    if answer is None:
        print("open: best(log_density) to (mean, deviation, loss),")
        print("the best Gaussian of a posterior of one latent, and what it loses, in nats")
        return
    posteriors = {
        "a Gaussian": Normal(*_numbers(0.7, 0.3)).log_prob,
        "a skewed posterior": lambda z: -0.5 * z.square() - (1 + (-6 * z).exp()).log(),
        "two equal widths": _mixture((0.3, 0.7), (-1.5, 1.2), (0.3, 0.3)).log_prob,
        "a tall piece of little mass": _mixture((0.35, 0.65), (-1.0, 1.5), (0.1, 0.5)).log_prob,
    }
    means = torch.linspace(-4, 4, 161, dtype=torch.float64)
    deviations = torch.linspace(math.log(0.05), math.log(3), 83, dtype=torch.float64).exp()
    for name, log_density in posteriors.items():
        mean, deviation, loss = answer(lambda z, log=log_density: log(z) - 7.0)
        line = trapezoid(-12.0, 12.0, 24_001)
        evidence = (log_density(line.nodes) + line.weights.log()).logsumexp(0)
        at_most = evidence - _bounds(log_density, *torch.cartesian_prod(means, deviations).T).max()
        seen = evidence - _bounds(log_density, *_numbers(mean, deviation)[:, None])
        check_close(f"{name}: the loss is that of the answer's Gaussian", loss, seen, 1e-5)
        check(f"{name}: no Gaussian of a scan loses less", bool(seen <= at_most + 1e-6))


def _numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _mixture(shares: tuple, means: tuple, deviations: tuple) -> MixtureSameFamily:
    pieces = Normal(_numbers(*means), _numbers(*deviations))
    return MixtureSameFamily(Categorical(_numbers(*shares)), pieces)


def _bounds(log_density: LogDensity, mean: Tensor, deviation: Tensor) -> Tensor:
    """The bounds of Gaussians (m,), by the trapezoidal rule over nine deviations each way: (m,)."""
    noise, weights = trapezoid(-9.0, 9.0, 301)
    law = (Normal(*_numbers(0, 1)).log_prob(noise) + weights.log()).exp()  # (301,)
    z = mean[:, None] + deviation[:, None] * noise  # (m, 301)
    entropy = deviation.log() + 0.5 * math.log(2 * math.pi * math.e)  # (m,)
    return log_density(z.flatten()).reshape(z.shape) @ law + entropy


# annealing


def annealing(
    answer: Callable[[LogDensity, Tensor, torch.Generator], Tensor] | None = None,
) -> None:
    """Check that a move leaves three laws as they are, and that it forgets where it began.

    `answer` takes an unnormalised log density of one latent, (n,) to (n,), which may be −∞, chains
    z (n,), and a generator, and returns the chains after one move. Raises AssertionError where it
    is wrong; a right one fails about once in ten thousand times.

    >>> annealing()
    open: move(log_density, z, generator), z (n,) to (n,),
    a move of n chains that leaves the density invariant
    """
    if answer is None:
        print("open: move(log_density, z, generator), z (n,) to (n,),")
        print("a move of n chains that leaves the density invariant")
        return
    laws = {
        "a Gaussian": Normal(*_numbers(1.5, 0.5)),
        "two pieces": _mixture((0.3, 0.7), (-0.5, 1.0), (0.3, 0.6)),
        "one side only": Exponential(*_numbers(1), validate_args=False),
    }
    points = _numbers(0.1, 0.7, 1.3, 2.0)
    for seed, (name, law) in enumerate(laws.items()):
        draws = generator(seed)
        drawn = _inverse(law, torch.rand(40_000, generator=draws, dtype=torch.float64))
        starts = {"drawn from it": (drawn, 5), "all at 1": (torch.ones(4_000).to(drawn), 400)}
        for start, (z, moves) in starts.items():
            before = z
            for _ in range(moves):
                z = answer(lambda z, law=law: _log_density(law, z) + 3.0, z, draws)
            moved = (z != before).double().mean()
            check(f"{name}, {start}: most chains have moved", bool(moved > 0.5))
            share, expected = (z[:, None] < points).double().mean(0), law.cdf(points)
            error = (expected * (1 - expected) / len(z)).sqrt().clamp(min=1e-9)
            off = ((share - expected).abs() / error).max()
            check(f"{name}, {start}: after {moves} moves this is their law", bool(off < 4.5))


def _log_density(law: Distribution, z: Tensor) -> Tensor:
    """The log density, −∞ where the law has no mass."""
    inside = z >= 0 if isinstance(law, Exponential) else torch.ones_like(z, dtype=torch.bool)
    return law.log_prob(z).where(inside, -math.inf)


def _inverse(law: Distribution, uniform: Tensor) -> Tensor:
    """Draws of a law from uniform numbers (n,), by bisection of its distribution function: (n,)."""
    low, high = torch.full_like(uniform, -20.0), torch.full_like(uniform, 60.0)
    if isinstance(law, Exponential):
        low = torch.zeros_like(uniform)
    for _ in range(60):
        middle = (low + high) / 2
        below = law.cdf(middle) < uniform
        low, high = middle.where(below, low), high.where(below, middle)
    return (low + high) / 2


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
