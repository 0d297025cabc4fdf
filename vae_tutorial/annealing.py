"""log p(x) by annealing: chains walk from a known start to the posterior, or from it back."""

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from vae_tutorial import require
from vae_tutorial.hamiltonian import ChainLogDensity, hamiltonian_step

FIRST_STEP = 0.5  # of the pilot, in units of z
TARGET = 0.8  # the acceptance that the pilot seeks
ROUNDS = 5  # moves of the pilot at each temperature


class AnnealingPath(NamedTuple):
    """(1 − t) log_start + t log_end, nats, from a normalised start to log p(x, z).

    The temperatures t (T + 1,) lead from 0 to 1. Source: Neal 2001, section 2.
    Book: eq-annealing-path.
    """

    log_start: ChainLogDensity
    log_end: ChainLogDensity
    temperatures: Tensor

    def log_density(self, temperature: float) -> ChainLogDensity:
        return lambda z: (1 - temperature) * self.log_start(z) + temperature * self.log_end(z)

    def reversed(self) -> "AnnealingPath":  # its step sizes are flipped too
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


@require.shapes(z="chains batch latent", num_leapfrog="count")
def tune_step_sizes(
    path: AnnealingPath, z: Tensor, num_leapfrog: int, generator: Generator
) -> Tensor:
    """Find step sizes (T + 1, batch) for `anneal` by a pilot, from z drawn at the path's start.

    Counted chains must not tune their own: moves that depend on where they have been need
    not leave a density invariant, and E[exp(log_weight)] is lost. Raises as `anneal`.
    """
    step_size, tuned = torch.tensor(FIRST_STEP).to(z), []
    for temperature in _check_path(path, z):
        density = path.log_density(temperature)
        for _ in range(ROUNDS):
            z, moved = hamiltonian_step(density, z, step_size, num_leapfrog, generator)
            step_size = step_size * (moved.mean(0) - TARGET).exp()  # (batch,)
        tuned.append(step_size)
    return torch.stack(tuned)


@torch.no_grad()
@require.shapes(
    z="chains batch latent",
    step_sizes="temperatures batch",
    num_leapfrog="count",
)
def anneal(
    path: AnnealingPath,
    z: Tensor,
    step_sizes: Tensor,
    num_leapfrog: int,
    generator: Generator,
) -> Annealed:
    """Move chains z (chains, batch, latent) along the path, and weigh them.

    From draws of the start, E[exp(log_weight)] = p(x). Along path.reversed(),
    from exact draws of the posterior, it is 1 / p(x). `step_sizes`, fixed
    beforehand, (T + 1, batch), go with the temperatures. Raises ValueError
    where those do not lead from one end to the other without a pause, or where
    a log-density is not finite. Source: Neal 2001, section 2.
    Book: eq-annealing-weight.

    >>> from vae_tutorial.noise import generator, standard_normal
    >>> normal = lambda z: -0.5 * (z.square() + 1.837877).sum(-1)
    >>> path = AnnealingPath(normal, lambda z: normal(z) + 3, torch.linspace(0, 1, 5))
    >>> z = standard_normal((2, 1, 1), generator(1))
    >>> chains = anneal(path, z, torch.full((5, 1), 0.5).double(), 3, generator(2))
    >>> [f"{float(nats):.4f}" for nats in chains.log_weight]  # both ends know that it is 3
    ['3.0000', '3.0000']
    """
    levels = _check_path(path, z)
    if len(step_sizes) != len(levels):
        rows = f"{len(levels)} temperatures, got shape {tuple(step_sizes.shape)}"
        raise ValueError(f"step_sizes must have a row for each of {rows}")
    log_weight, acceptance = z.new_zeros(z.shape[:2]), []
    for k in range(1, len(levels)):
        gain = path.log_end(z) - path.log_start(z)  # (chains, batch)
        require.finite("log_end(z) − log_start(z)", gain)
        log_weight = log_weight + (levels[k] - levels[k - 1]) * gain
        density, step = path.log_density(levels[k]), step_sizes[k]
        z, moved = hamiltonian_step(density, z, step, num_leapfrog, generator)
        acceptance.append(moved.mean(0))  # (batch,)
    return Annealed(log_weight, z, torch.stack(acceptance))


@require.shapes(forward="m batch", reverse="n batch")
def bracket(forward: Tensor, reverse: Tensor) -> Bracket:
    """Bracket log p(x) by chains of both directions: E[lower] ≤ log p(x) ≤ E[upper].

    Log-weights (chains, batch) to (batch,) each, in nats. Chains of one image may share the
    posterior draw where they start. Source: Grosse et al. 2015, section 4. Book: eq-bracket.

    >>> both = bracket(torch.tensor([[-4.0], [-4.0]]), torch.tensor([[3.0]]))
    >>> print(f"{float(both.lower):.4f} to {float(both.upper):.4f}")
    -4.0000 to -3.0000
    """
    lower = forward.logsumexp(0) - math.log(len(forward))  # (batch,)
    return Bracket(lower, math.log(len(reverse)) - reverse.logsumexp(0))


def _check_path(path: AnnealingPath, z: Tensor) -> list[float]:
    """The temperatures as numbers; ValueError unless they and both log-densities are sound."""
    require.finite("temperatures", path.temperatures)
    levels = path.temperatures.flatten().tolist()
    rising = sorted(set(levels))
    if levels not in (rising, rising[::-1]) or {levels[0], levels[-1]} != {0, 1}:
        raise ValueError(
            f"temperatures must lead from 0 to 1, or from 1 to 0, without a pause, got {levels}"
        )
    for name in ("log_start", "log_end"):
        shape = getattr(path, name)(z).shape
        if shape != z.shape[:2]:
            needed = f"(chains, batch) = {tuple(z.shape[:2])} for z {tuple(z.shape)}"
            raise ValueError(f"{name}(z) must be {needed}, got shape {tuple(shape)}")
    return levels
