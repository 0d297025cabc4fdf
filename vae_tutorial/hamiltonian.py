"""Hamiltonian moves: they carry chains far and leave a density invariant.

Axes are (chains, batch, latent). The log-density of one chain and image depends on the z of that
chain and image alone.
"""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from vae_tutorial import require
from vae_tutorial.noise import standard_normal

LogDensity = Callable[[Tensor], Tensor]  # z (chains, batch, latent) to (chains, batch), nats


def leapfrog(
    log_density: LogDensity,
    z: Tensor,
    momentum: Tensor,
    step_size: Tensor,
    num_leapfrog: int,
) -> tuple[Tensor, Tensor]:
    """Half a kick, a drift, half a kick, num_leapfrog times: the new (z, momentum).

    Preserves volume, and undoes itself once the momentum is negated. z and
    momentum are (chains, batch, latent), step_size (batch,) or (). Raises
    ValueError or TypeError unless num_leapfrog is at least 1.
    Source: Neal 2011, section 5.2.3.3. Book: eq-leapfrog.
    """
    require.count("num_leapfrog", num_leapfrog)
    step_size = step_size[..., None]  # (batch, 1)
    force = _gradient(log_density, z)  # (chains, batch, latent)
    for _ in range(num_leapfrog):
        momentum = momentum + 0.5 * step_size * force
        z = z + step_size * momentum
        force = _gradient(log_density, z)
        momentum = momentum + 0.5 * step_size * force
    return z, momentum


@torch.no_grad()
def hamiltonian_step(
    log_density: LogDensity,
    z: Tensor,
    step_size: Tensor,
    num_leapfrog: int,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """Fresh momentum, `leapfrog`, accept or stay: the density is left invariant.

    Returns z and the probability to accept (chains, batch). Raises as
    `leapfrog`. Source: Neal 2011, section 5.3.2.
    """
    momentum = standard_normal(tuple(z.shape), generator, like=z)
    end, arrived = leapfrog(log_density, z, momentum, step_size, num_leapfrog)
    kinetic = 0.5 * (momentum**2 - arrived**2).sum(-1)  # (chains, batch)
    log_ratio = log_density(end) - log_density(z) + kinetic
    log_ratio = log_ratio.nan_to_num(nan=-math.inf)  # a diverged end is refused
    probability = log_ratio.clamp(max=0).exp()  # (chains, batch)
    uniform = torch.rand(probability.shape, generator=generator, dtype=torch.float64)
    return end.where((uniform < probability)[..., None], z), probability


def _gradient(log_density: LogDensity, z: Tensor) -> Tensor:
    with torch.enable_grad():
        point = z.detach().requires_grad_()
        return torch.autograd.grad(log_density(point).sum(), point)[0]
