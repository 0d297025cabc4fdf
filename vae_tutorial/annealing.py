"""log p(x) by annealing: chains walk from a known start to the posterior, or from it back."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from vae_tutorial.arguments import require_count, require_event, require_finite, require_matrix
from vae_tutorial.experiment import standard_normal

LogDensity = Callable[[Tensor], Tensor]  # z (chains, batch, latent) to (chains, batch), nats
FIRST_STEP, TARGET, ROUNDS = 0.5, 0.8, 5  # of the pilot: step, acceptance, moves a temperature


class Path(NamedTuple):
    """(1 − t) log_start + t log_end, nats, from a normalised start to log p(x, z).

    t: temperatures (T + 1,), 0 to 1. Source: Neal 2001, section 2. Book: eq-annealing-path.
    """

    log_start: LogDensity
    log_end: LogDensity
    temperatures: Tensor

    def log_density(self, temperature: float) -> LogDensity:
        return lambda z: (1 - temperature) * self.log_start(z) + temperature * self.log_end(z)

    def reversed(self) -> "Path":  # its step sizes are flipped too
        return self._replace(temperatures=self.temperatures.flip(0))


class Annealed(NamedTuple):
    """Chains' weights and ends; acceptance, a mean over chains, has a row for each step."""

    log_weight: Tensor  # (chains, batch), nats
    z: Tensor  # (chains, batch, latent)
    acceptance: Tensor  # (T, batch)


class Bracket(NamedTuple):
    """Below and above log p(x), in expectation: (batch,) each, in nats an image."""

    lower: Tensor
    upper: Tensor


def leapfrog(
    log_density: LogDensity, z: Tensor, momentum: Tensor, step_size: Tensor, num_leapfrog: int
) -> tuple[Tensor, Tensor]:
    """Half a kick, a drift, half a kick, num_leapfrog times: the new (z, momentum).

    Preserves volume; undoes itself once the momentum is negated. z and momentum are
    (chains, batch, latent), step_size (batch,) or (). Raises ValueError or TypeError
    unless num_leapfrog ≥ 1. Source: Neal 2011, section 5.2.3.3. Book: eq-leapfrog.
    """
    require_count("num_leapfrog", num_leapfrog)
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
    log_density: LogDensity, z: Tensor, step_size: Tensor, num_leapfrog: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Fresh momentum, `leapfrog` (raises as it), accept or stay: leaves the density invariant.

    Returns z and the probability to accept (chains, batch). Source: Neal 2011, section 5.3.2.
    """
    momentum = standard_normal(tuple(z.shape), generator, like=z)
    end, arrived = leapfrog(log_density, z, momentum, step_size, num_leapfrog)
    log_ratio = log_density(end) - log_density(z) + 0.5 * (momentum**2 - arrived**2).sum(-1)
    probability = log_ratio.nan_to_num(nan=-math.inf).clamp(max=0).exp()  # 0 where it diverged
    uniform = torch.rand(probability.shape, generator=generator, dtype=torch.float64)
    return end.where((uniform < probability)[..., None], z), probability


def tune_step_sizes(path: Path, z: Tensor, num_leapfrog: int, generator: Generator) -> Tensor:
    """Step sizes (T + 1, batch) for `anneal`, by a pilot from z drawn at the path's start.

    Counted chains must not tune their own: moves that depend on where they have been need
    not leave a density invariant, and E[exp(log_weight)] is lost. Raises as `anneal`.
    """
    step_size, tuned = torch.tensor(FIRST_STEP).to(z), []
    for temperature in _checked_temperatures(path, z):
        density = path.log_density(temperature)
        for _ in range(ROUNDS):
            z, moved = hamiltonian_step(density, z, step_size, num_leapfrog, generator)
            step_size = step_size * (moved.mean(0) - TARGET).exp()  # (batch,)
        tuned.append(step_size)
    return torch.stack(tuned)


@torch.no_grad()
def anneal(
    path: Path, z: Tensor, step_sizes: Tensor, num_leapfrog: int, generator: Generator
) -> Annealed:
    """Move chains z (chains, batch, latent) along the path: E[exp(log_weight)] = p(x).

    This is from draws of the start; along path.reversed(), from exact posterior draws, it
    is 1 / p(x). step_sizes (T + 1, batch), fixed beforehand, go with the temperatures. Raises
    ValueError or TypeError. Source: Neal 2001, section 2. Book: eq-annealing-weight.
    """
    levels = _checked_temperatures(path, z)
    require_event("step_sizes", step_sizes, z.shape[1])
    require_matrix("step_sizes", step_sizes, len(levels))
    log_weight, acceptance = z.new_zeros(z.shape[:2]), []
    for now, then, step_size in zip(levels, levels[1:], step_sizes.to(z)[1:], strict=False):
        gain = path.log_end(z) - path.log_start(z)  # (chains, batch)
        require_finite("log_end(z) − log_start(z)", gain)
        log_weight = log_weight + (then - now) * gain
        z, moved = hamiltonian_step(path.log_density(then), z, step_size, num_leapfrog, generator)
        acceptance.append(moved.mean(0))  # (batch,)
    return Annealed(log_weight, z, torch.stack(acceptance))


def bracket(forward: Tensor, reverse: Tensor) -> Bracket:
    """E[lower] ≤ log p(x) ≤ E[upper], from log-weights (chains, batch) of both directions.

    Chains of one image may share the posterior draw where they start. Raises ValueError or
    TypeError on bad input. Source: Grosse et al. 2015, section 4. Book: eq-bracket.
    """
    require_event("forward", forward)
    require_event("reverse", reverse, forward.shape[-1])
    lower = forward.logsumexp(0) - math.log(len(forward))  # (batch,)
    return Bracket(lower, math.log(len(reverse)) - reverse.logsumexp(0))


def _gradient(log_density: LogDensity, z: Tensor) -> Tensor:
    with torch.enable_grad():
        point = z.detach().requires_grad_()
        return torch.autograd.grad(log_density(point).sum(), point)[0]


def _checked_temperatures(path: Path, z: Tensor) -> list[float]:
    require_finite("temperatures", path.temperatures)
    levels = path.temperatures.flatten().tolist()
    if sorted(set(levels)) not in (levels, levels[::-1]) or {levels[0], levels[-1]} != {0, 1}:
        raise ValueError("temperatures must lead from 0 to 1, or from 1 to 0, without a pause")
    require_finite("z", z)
    if z.ndim != 3 or {path.log_start(z).shape, path.log_end(z).shape} != {z.shape[:2]}:
        raise ValueError(f"z must be (chains, batch, latent), log p its [:2]; z is {[*z.shape]}")
    return levels
