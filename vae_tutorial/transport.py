"""Maps between laws: push-forward, quantiles, change of variables, distances, and their limits.

A law is the distribution of a random quantity. Logs of densities are in nats.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial import require
from vae_tutorial.gaussians import log_normal

REACH = 8.0  # one latent is summed over [−8, 8]; the prior's mass beyond is below 2e-15
Map = Callable[[Tensor], Tensor]


class Atoms(NamedTuple):
    """A law on finitely many numbers: places (n,), ascending, with masses (n,) that sum to one."""

    places: Tensor
    masses: Tensor


def collect(places: Tensor, masses: Tensor) -> Atoms:
    """Sort places (n,) with positive masses (n,), and add up the masses of equal places.

    A sample is the law with equal masses. Raises ValueError or TypeError on bad input.
    """
    require.event("places", places)
    require.positive("masses", masses)
    if places.ndim != 1 or places.shape != masses.shape:
        seen = f"{tuple(places.shape)} and {tuple(masses.shape)}"
        raise ValueError(f"places and masses must both be (n,), got {seen}")
    if abs(float(masses.sum()) - 1) > 1e-6:
        raise ValueError(f"masses must sum to 1, got {float(masses.sum()):g}")
    distinct, index = places.unique(return_inverse=True)  # (m,), (n,)
    return Atoms(distinct, torch.zeros_like(distinct).index_add(0, index, masses))


def push_forward(law: Atoms, function: Map) -> Atoms:
    """The law of function(X): each value gets the mass of its preimage.

    Raises as `collect` does.
    Source: Bogachev 2007, section 3.6. Book: eq-push-forward.
    """
    return collect(function(law.places), law.masses)


def quantile(law: Atoms, level: Tensor) -> Tensor:
    """The least place where the distribution function reaches `level`, in [0, 1]: (...) to (...).

    Raises ValueError or TypeError on bad input. Source: Devroye 1986, chapter 2. Book: eq-quantile.
    """
    require.between("level", level, 0, 1)
    reached = law.masses.cumsum(0)  # (n,)
    index = torch.searchsorted(reached, level.to(reached))  # (...)
    return law.places[index.clamp(max=len(reached) - 1)]  # the sum of the masses may round below 1


def log_density_of_image(function: Map, z: Tensor, log_density: Tensor) -> Tensor:
    """log-density at function(z), per unit of the image's volume: (n,), in nats.

    `function` takes z (n, d) to x (n, D), D ≥ d, row by row, one-to-one and
    smooth; `log_density` (n,) is that of z. Raises ValueError or TypeError on
    bad input, or where a direction collapses.
    Source: Federer 1969, section 3.2. Book: eq-image-density.
    """
    require.event("z", z)
    z = z.detach().requires_grad_()
    x = function(z)  # (n, D)
    if x.ndim != 2 or x.shape[1] < z.shape[-1]:
        seen = f"{tuple(z.shape)} to {tuple(x.shape)}"
        raise ValueError(f"the map must be (n, d) to (n, D), D >= d, not {seen}")
    rows = [torch.autograd.grad(t, z, retain_graph=True)[0] for t in x.sum(0)]
    jacobian = torch.stack(rows, 1)  # (n, D, d)
    stretch = torch.linalg.svdvals(jacobian)  # (n, d)
    require.positive("the stretch of the map", stretch)
    return log_density - stretch.log().sum(-1)  # (n,)


def ring(z: Tensor) -> Tensor:
    """z / 10 + z / ‖z‖: (..., 2) to (..., 2). Raises ValueError at z = 0, or TypeError.

    Source: Doersch 2016, figure 2. Book: eq-ring.
    """
    require.event("z", z)
    length = z.norm(dim=-1, keepdim=True)  # (..., 1)
    require.positive("the length of z", length)
    return z / 10 + z / length


def ring_radius_cdf(radius: Tensor) -> Tensor:
    """P(‖ring(z)‖ ≤ radius) for z ~ N(0, I) in the plane: (...) to (...). Book: eq-ring-radius."""
    require.between("radius", radius, 0, math.inf)
    return -torch.expm1(-50 * (radius - 1).clamp(min=0).square())


def kolmogorov_distance(law: Atoms, cdf: Map) -> Tensor:
    """The largest gap between the law's distribution function and a continuous one: a scalar.

    Source: Kolmogorov 1933. Book: eq-kolmogorov, eq-atom-floor.
    """
    after, expected = law.masses.cumsum(0), cdf(law.places)  # (n,) each
    return torch.maximum(after - expected, expected - (after - law.masses)).max()


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased estimate from draws x (n, D) and y (m, D), to a scalar.

    Raises ValueError or TypeError on bad input or fewer than two draws.
    Source: Székely & Rizzo 2013. Book: eq-energy-distance.
    """
    require.event("x", x)
    require.event("y", y, x.shape[-1])
    if x.ndim != 2 or y.ndim != 2 or min(len(x), len(y)) < 2:
        seen = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise ValueError(f"x (n, D) and y (m, D) need two draws each: {seen}")
    exactly = "donot_use_mm_for_euclid_dist"
    between = torch.cdist(x, y, compute_mode=exactly)  # (n, m)
    within = nn.functional.pdist(x).mean() + nn.functional.pdist(y).mean()
    return 2 * between.mean() - within


def least_bridge(share: Tensor, gap: float, slope: Tensor) -> Tensor:
    """The least mass inside a gap when `share` of N(0, I) is mapped to one side of it.

    For every map into the line of at most the given slope, from any dimension: (...) to (...).
    Raises ValueError or TypeError. Source: Sudakov & Tsirel'son 1974, Borell 1975. Book: eq-bridge.
    """
    require.between("share", share, 0, 1)
    require.positive("gap / slope", gap / slope)
    return torch.special.ndtr(torch.special.ndtri(share) + gap / slope) - share


def noisy_log_density(x: Tensor, curve: Map, variance: float, num_nodes: int) -> Tensor:
    """log ∫ N(x; curve(z), variance I) N(z; 0, 1) dz by an equal-step sum: (batch, D) to (batch,).

    `curve` takes nodes z (n, 1) to (n, D). Raises ValueError or TypeError on bad input.
    Source: Doersch 2016, eq. 1. Book: eq-noisy-image, eq-curve-limit.
    """
    require.positive("variance", torch.tensor(float(variance)))
    require.count("num_nodes - 1", num_nodes - 1)
    z = torch.linspace(-REACH, REACH, num_nodes, dtype=torch.float64)[:, None]  # (n, 1)
    log_prior = log_normal(z, torch.zeros_like(z), z.new_zeros(()))  # (n,)
    log_likelihood = log_normal(x.unsqueeze(-2), curve(z), z.new_tensor(variance).log())
    log_joint = log_likelihood + log_prior  # (batch, n)
    return log_joint.logsumexp(-1) + math.log(2 * REACH / (num_nodes - 1))  # (batch,)
