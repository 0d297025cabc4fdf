"""log p(x) by annealing: chains walk from a known start to the posterior, or from it back."""

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from vae_tutorial import require
from vae_tutorial.hamiltonian import LogDensity, hamiltonian_step

FIRST_STEP = 0.5  # of the pilot, in units of z
TARGET = 0.8  # the acceptance that the pilot seeks
ROUNDS = 5  # moves of the pilot at each temperature


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
    path: Path,
    z: Tensor,
    step_sizes: Tensor,
    num_leapfrog: int,
    generator: Generator,
) -> Annealed:
    """Move chains z (chains, batch, latent) along the path, and weigh them.

    From draws of the start, E[exp(log_weight)] = p(x). Along path.reversed(),
    from exact draws of the posterior, it is 1 / p(x). `step_sizes`, fixed
    beforehand, (T + 1, batch), go with the temperatures. Raises ValueError or
    TypeError on bad input.
    Source: Neal 2001, section 2. Book: eq-annealing-weight.
    """
    levels = _checked_temperatures(path, z)
    require.event("step_sizes", step_sizes, z.shape[1])
    require.matrix("step_sizes", step_sizes, len(levels))
    log_weight, acceptance = z.new_zeros(z.shape[:2]), []
    for k in range(1, len(levels)):
        gain = path.log_end(z) - path.log_start(z)  # (chains, batch)
        require.finite("log_end(z) − log_start(z)", gain)
        log_weight = log_weight + (levels[k] - levels[k - 1]) * gain
        density, step = path.log_density(levels[k]), step_sizes[k].to(z)
        z, moved = hamiltonian_step(density, z, step, num_leapfrog, generator)
        acceptance.append(moved.mean(0))  # (batch,)
    return Annealed(log_weight, z, torch.stack(acceptance))


def bracket(forward: Tensor, reverse: Tensor) -> Bracket:
    """E[lower] ≤ log p(x) ≤ E[upper], from log-weights (chains, batch) of both directions.

    Chains of one image may share the posterior draw where they start. Raises ValueError or
    TypeError on bad input. Source: Grosse et al. 2015, section 4. Book: eq-bracket.
    """
    require.event("forward", forward)
    require.event("reverse", reverse, forward.shape[-1])
    lower = forward.logsumexp(0) - math.log(len(forward))  # (batch,)
    return Bracket(lower, math.log(len(reverse)) - reverse.logsumexp(0))


def _checked_temperatures(path: Path, z: Tensor) -> list[float]:
    require.finite("temperatures", path.temperatures)
    levels = path.temperatures.flatten().tolist()
    if sorted(set(levels)) not in (levels, levels[::-1]) or {levels[0], levels[-1]} != {0, 1}:
        raise ValueError("temperatures must lead from 0 to 1, or from 1 to 0, without a pause")
    require.finite("z", z)
    if z.ndim != 3 or {path.log_start(z).shape, path.log_end(z).shape} != {z.shape[:2]}:
        raise ValueError(f"z must be (chains, batch, latent), log p its [:2]; z is {[*z.shape]}")
    return levels
