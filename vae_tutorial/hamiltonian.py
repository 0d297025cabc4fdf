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

ChainLogDensity = Callable[[Tensor], Tensor]  # z (chains, batch, latent) to (chains, batch), nats


@require.shapes(
    z="chains batch latent",
    momentum="chains batch latent",
    step_size="batch|1",
    num_leapfrog="count",
)
def leapfrog(
    log_density: ChainLogDensity,
    z: Tensor,
    momentum: Tensor,
    step_size: Tensor,
    num_leapfrog: int,
) -> tuple[Tensor, Tensor]:
    """Follow the force by half a kick, a drift and half a kick, num_leapfrog times.

    Returns the new (z, momentum). The map preserves volume, and undoes itself once the momentum is
    negated. z and momentum are (chains, batch, latent), step_size (batch,) or (). Raises ValueError
    where the log-density has no finite gradient at z.
    Source: Neal 2011, section 5.2.3.3. Book: eq-leapfrog.

    >>> z, momentum = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)
    >>> log_density, step = lambda z: -0.5 * z.square().sum(-1), torch.tensor(0.1)
    >>> end, arrived = leapfrog(log_density, z, momentum, step, 1)
    >>> print(f"{float(end):.4f}, {float(arrived):.5f}")  # near cos 0.1 and −sin 0.1
    0.9950, -0.09975
    """
    step_size = step_size[..., None]  # (batch, 1)
    force = _gradient(log_density, z)  # (chains, batch, latent)
    require.finite("the gradient of log_density at z", force)
    for _ in range(num_leapfrog):
        momentum = momentum + 0.5 * step_size * force
        z = z + step_size * momentum
        force = _gradient(log_density, z)
        momentum = momentum + 0.5 * step_size * force
    return z, momentum


@torch.no_grad()
@require.shapes(z="chains batch latent", step_size="batch|1", num_leapfrog="count")
def hamiltonian_step(
    log_density: ChainLogDensity,
    z: Tensor,
    step_size: Tensor,
    num_leapfrog: int,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """Draw a momentum, follow it, and accept the end or stay: the density is left invariant.

    Returns z and the probability to accept (chains, batch). Raises ValueError
    where the log-density of z itself, or its gradient there, is not finite.
    Source: Neal 2011, section 5.3.2.

    >>> from vae_tutorial.noise import generator
    >>> start, step = torch.ones(5, 1, 2), torch.tensor(0.01)
    >>> z, accepted = hamiltonian_step(lambda z: -z.square().sum(-1), start, step, 3, generator(1))
    >>> print(tuple(z.shape), bool((accepted > 0.99).all()))
    (5, 1, 2) True
    """
    momentum = standard_normal(tuple(z.shape), generator, like=z)
    end, arrived = leapfrog(log_density, z, momentum, step_size, num_leapfrog)
    kinetic = 0.5 * (momentum**2 - arrived**2).sum(-1)  # (chains, batch)
    log_start = log_density(z)  # (chains, batch)
    require.finite("log_density(z)", log_start)
    log_ratio = log_density(end) - log_start + kinetic
    log_ratio = log_ratio.nan_to_num(nan=-math.inf)  # a diverged end is refused
    probability = log_ratio.clamp(max=0).exp()  # (chains, batch)
    uniform = torch.rand(probability.shape, generator=generator, dtype=torch.float64)
    return end.where((uniform < probability)[..., None], z), probability


def _gradient(log_density: ChainLogDensity, z: Tensor) -> Tensor:
    with torch.enable_grad():
        point = z.detach().requires_grad_()
        return torch.autograd.grad(log_density(point).sum(), point)[0]
