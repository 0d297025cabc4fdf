"""Hidden causes and maps: push-forward, quantiles, change of variables, and noise on a curve.

A law is the distribution of a random quantity. Logs of densities are in nats.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import require
from vae_tutorial.gaussians import log_normal

RING_DIVISOR = 10.0  # ring(z) lies at radius 1 + ‖z‖ / 10
CURVE_REACH = 8.0  # one latent is summed over [−8, 8]; the prior's mass beyond is below 2e-15
Map = Callable[[Tensor], Tensor]


@require.fields(places="n", masses="n: positive")
class Atoms(NamedTuple):
    """A law on finitely many numbers: places (n,), ascending, with masses (n,) that sum to one."""

    places: Tensor
    masses: Tensor


@require.shapes(places="n", masses="n: positive")
def collect(places: Tensor, masses: Tensor) -> Atoms:
    """Sort places (n,) with positive masses (n,), and add up the masses of equal places.

    A sample is the law with equal masses. Raises ValueError unless the masses sum to one.

    >>> collect(torch.tensor([2.0, -1.0, 2.0]), torch.tensor([0.25, 0.5, 0.25]))
    Atoms(places=tensor([-1.,  2.]), masses=tensor([0.5000, 0.5000]))
    """
    if abs(float(masses.sum()) - 1) > 1e-6:
        raise ValueError(f"masses must sum to 1, got {float(masses.sum()):g}")
    distinct, index = places.unique(return_inverse=True)  # (m,), (n,)
    return Atoms(distinct, torch.zeros_like(distinct).index_add(0, index, masses))


@require.shapes(law="fields")
def push_forward(law: Atoms, function: Map) -> Atoms:
    """The law of function(X): each value gets the mass of its preimage.

    Source: Bogachev 2007, section 3.6. Book: eq-push-forward.

    >>> die = Atoms(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([0.25, 0.5, 0.25]))
    >>> push_forward(die, torch.square)
    Atoms(places=tensor([0., 1.]), masses=tensor([0.5000, 0.5000]))
    """
    return collect(function(law.places), law.masses)


@require.shapes(law="fields", level="...: fraction")
def quantile(law: Atoms, level: Tensor) -> Tensor:
    """The least place where the distribution function reaches `level`, in [0, 1]: (...) to (...).

    Source: Devroye 1986, chapter 2. Book: eq-quantile.

    >>> coin = Atoms(torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.5]))
    >>> quantile(coin, torch.tensor([0.3, 0.5, 0.7]))
    tensor([0., 0., 1.])
    """
    reached = law.masses.cumsum(0)  # (n,)
    index = torch.searchsorted(reached, level.to(reached))  # (...)
    return law.places[index.clamp(max=len(reached) - 1)]  # the sum of the masses may round below 1


@require.shapes(z="n d", log_density="n")
def log_density_of_image(function: Map, z: Tensor, log_density: Tensor) -> Tensor:
    """The log-density of function(z), per unit of the image's volume: (n,), in nats.

    `function` takes z (n, d) to x (n, D), D ≥ d, row by row, one-to-one and
    smooth; `log_density` (n,) is that of z. Raises ValueError where the map
    collapses a direction, or gives what is not finite.
    Source: Federer 1969, section 3.2. Book: eq-image-density.

    >>> z, log_density = torch.zeros(1, 1), torch.zeros(1)
    >>> print(f"{float(log_density_of_image(lambda z: 2 * z, z, log_density)):.4f}")  # −log 2
    -0.6931
    """
    z = z.detach().requires_grad_()
    x = function(z)  # (n, D)
    require.finite("function(z)", x)
    if x.ndim != 2 or x.shape[1] < z.shape[-1]:
        shapes = f"{tuple(z.shape)} to {tuple(x.shape)}"
        raise ValueError(f"the map must be (n, d) to (n, D), D >= d, not {shapes}")
    rows = [torch.autograd.grad(t, z, retain_graph=True)[0] for t in x.sum(0)]
    jacobian = torch.stack(rows, 1)  # (n, D, d)
    stretch = torch.linalg.svdvals(jacobian)  # (n, d)
    require.positive("the stretch of the map", stretch)
    return log_density - stretch.log().sum(-1)  # (n,)


@require.shapes(z="... 2")
def ring(z: Tensor) -> Tensor:
    """Map the plane to a ring by z / 10 + z / ‖z‖: (..., 2) to (..., 2).

    Raises ValueError at z = 0.
    Source: Doersch 2016, figure 2. Book: eq-ring.

    >>> ring(torch.tensor([5.0, 0.0]))
    tensor([1.5000, 0.0000])
    """
    length = z.norm(dim=-1, keepdim=True)  # (..., 1)
    require.positive("the length of z", length)
    return z / RING_DIVISOR + z / length


@require.shapes(radius="...: nonnegative")
def ring_radius_cdf(radius: Tensor) -> Tensor:
    """The probability that ‖ring(z)‖ ≤ radius, for z ~ N(0, I) in the plane: (...) to (...).

    Book: eq-ring-radius.

    >>> print([f"{share:.4f}" for share in ring_radius_cdf(torch.tensor([0.9, 1.1, 1.2]))])
    ['0.0000', '0.3935', '0.8647']
    """
    length = RING_DIVISOR * (radius - 1).clamp(min=0)  # ‖z‖ where ‖ring(z)‖ = radius
    return -torch.expm1(-length.square() / 2)


@require.shapes(x="... D", variance="number: positive", num_nodes="count>=2")
def noisy_log_density(x: Tensor, curve: Map, variance: float, num_nodes: int) -> Tensor:
    """The log-density of a point of a curve with noise on it: (batch, D) to (batch,), in nats.

    log ∫ N(x; curve(z), variance I) N(z; 0, 1) dz is summed in equal steps of z. `curve` takes
    nodes z (n, 1) to (n, D). Source: Doersch 2016, eq. 1. Book: eq-noisy-image, eq-curve-limit.

    >>> x = torch.zeros(1, 1, dtype=torch.float64)  # z plus noise of variance 3: N(0, 4) at 0
    >>> print(f"{float(noisy_log_density(x, lambda z: z, 3.0, 101)):.4f}")
    -1.6121
    """
    z = torch.linspace(-CURVE_REACH, CURVE_REACH, num_nodes, dtype=torch.float64)[:, None]  # (n, 1)
    log_prior = log_normal(z, torch.zeros_like(z), z.new_zeros(()))  # (n,)
    log_likelihood = log_normal(x.unsqueeze(-2), curve(z), z.new_tensor(variance).log())
    log_joint = log_likelihood + log_prior  # (batch, n)
    return log_joint.logsumexp(-1) + math.log(2 * CURVE_REACH / (num_nodes - 1))  # (batch,)
