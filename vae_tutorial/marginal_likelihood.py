"""log p(x) by draws from the prior; and, for one or two latents, on a mesh with a stated error."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import require
from vae_tutorial.gaussians import log_normal
from vae_tutorial.quadrature import Rule, gauss_legendre, grid, product

LogLikelihood = Callable[[Tensor], Tensor]  # z (n, latent) to log p(x|z) (n, batch), nats

REACH = 10.0  # the mesh covers [−10, 10] on each axis; the prior's mass beyond is below 1e-22
CELLS = 16  # at the start, on each axis
NODES = 10  # of Gauss–Legendre in a cell, on each axis
BLOCK = 2048  # nodes evaluated at once, which bounds the memory
MOST_NODES = 4_000_000  # evaluated in all; where they run out, the error says what is missing
ROUNDING = 1e-12  # relative, of float64 sums over a mesh


class PriorEstimate(NamedTuple):
    """log p(x) from n draws of the prior, and what the draws were worth: (batch,) each."""

    log_evidence: Tensor  # nats, too low on average
    standard_error: Tensor  # nats, as far as these draws can tell; never above 1
    effective_sample_size: Tensor  # draws, from 1 to n


class Exact(NamedTuple):
    """log p(x) and how far it may be off, (batch,) each, in nats; and the rule that gave it."""

    log_evidence: Tensor
    error: Tensor
    rule: Rule  # nodes (n, latent), weights (n,)


def prior_monte_carlo(log_likelihood: Tensor) -> PriorEstimate:
    """The average of p(x|z) over n draws of the prior: (n, batch) to (batch,).

    Raises ValueError or TypeError on bad input or fewer than two draws.
    Source: Owen 2013, ch. 9.
    Book: eq-prior-draws, eq-effective-sample-size, eq-log-error.
    """
    require.finite("log_likelihood", log_likelihood)
    if log_likelihood.ndim != 2 or (count := len(log_likelihood)) < 2:
        needed = "log_likelihood must be (n, batch) with two draws or more"
        raise ValueError(f"{needed}, got {tuple(log_likelihood.shape)}")
    share = log_likelihood.softmax(0)  # (n, batch), each draw's part of the average
    effective = 1 / share.square().sum(0)  # (batch,)
    variance = (count / effective - 1).clamp(min=0) / (count - 1)  # (batch,)
    average = log_likelihood.logsumexp(0) - math.log(count)  # (batch,)
    return PriorEstimate(average, variance.sqrt(), effective)


@torch.no_grad()
def exact_evidence(log_likelihood: LogLikelihood, latent: int, tolerance: float = 1e-8) -> Exact:
    """log ∫ p(x|z) N(z; 0, I) dz for a batch of images that share the decoder.

    Each cell of a mesh is summed whole and in halves, and split further where
    the two differ by more than its share of `tolerance` for any image. The
    error adds up the differences that stay, the prior's mass off the mesh at
    the largest likelihood seen, and rounding. It cannot know of a peak off the
    mesh or between the nodes, nor of rounding inside `log_likelihood`.

    `log_likelihood` maps z (n, latent) to (n, batch), float64. Raises
    ValueError or TypeError for more than two latents, an empty batch, values
    that are not finite, or no such tolerance. Source: Davis & Rabinowitz 1984,
    ch. 6. Book: vae1, eq-evidence, eq-mesh-error.
    """
    if latent > 2:
        raise ValueError(f"quadrature needs 1 or 2 latents, got {latent}: its mesh would not fit")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie between 0 and 1, got {tolerance}")
    width, ends = 2 * REACH / CELLS, torch.tensor([-1.0, 1.0], dtype=torch.float64)
    centres = grid(torch.arange(CELLS, dtype=torch.float64) * width + width / 2 - REACH, latent)
    whole, largest = _sum_cells(log_likelihood, centres, width)  # (cells, batch), (batch,)
    kept, spent = [], 0  # per round: sums, doubts, nodes, weights of the cells that are done
    while len(centres):
        share = (width / (2 * REACH)) ** latent  # of the mesh, in one cell
        width /= 2
        halves = centres[:, None] + grid(ends * width / 2, latent)  # (cells, 2 ** latent, latent)
        parts, seen = _sum_cells(log_likelihood, halves.flatten(0, 1), width)
        parts = parts.unflatten(0, halves.shape[:2])  # (cells, 2 ** latent, batch)
        largest, split = largest.maximum(seen), parts.logsumexp(1)  # (batch,), (cells, batch)
        change = (split - whole).abs()  # (cells, batch), in nats
        doubt = split.maximum(whole) + (-(-change).expm1()).log() + change  # log(|a − b| a / b)
        total = torch.cat([*(sums for sums, *_ in kept), split]).logsumexp(0)  # (batch,)
        done = (doubt <= total + math.log(tolerance * share)).all(-1)  # (cells,)
        spent += halves[..., 0].numel() * NODES**latent
        done |= spent + (~done).sum() * (4 * NODES) ** latent > MOST_NODES  # the next round's
        kept.append((split[done], doubt[done], *_cell_rule(halves[done].flatten(0, 1), width)))
        centres, whole = halves[~done].flatten(0, 1), parts[~done].flatten(0, 1)
    sums, doubts, nodes, weights = (torch.cat(part) for part in zip(*kept, strict=True))
    log_evidence = sums.logsumexp(0)  # (batch,)
    beyond = largest + math.log(latent * math.erfc(REACH / math.sqrt(2)))  # (batch,)
    left = torch.cat([doubts, beyond[None]]).logsumexp(0) - log_evidence
    error = -torch.log1p(-(left.exp() + ROUNDING).clamp(max=1.0))  # infinite where nothing is known
    return Exact(log_evidence, error, Rule(nodes, weights))


@torch.no_grad()
def divergence_from_prior(log_likelihood: LogLikelihood, exact: Exact) -> Tensor:
    """KL(p(z|x) ‖ p(z)), what x tells about z, on the mesh of `exact_evidence`: (batch,), nats.

    Its exponential is about how many draws of the prior log p(x) needs.
    Source: Chatterjee & Diaconis 2018, theorem 1.1. Book: eq-information.
    """
    total = torch.zeros_like(exact.log_evidence)  # (batch,)
    for rule in map(Rule, *(part.split(BLOCK) for part in exact.rule)):
        log_ratio = _nats(log_likelihood, rule.nodes) - exact.log_evidence  # (nodes, batch)
        total += ((log_ratio + _log_mass(rule)).exp() * log_ratio).sum(0)
    return total


def _log_mass(rule: Rule) -> Tensor:
    zero = rule.nodes.new_zeros(rule.nodes.shape[-1])
    return (log_normal(rule.nodes, zero, zero) + rule.weights.log())[:, None]  # (n, 1)


def _cell_rule(centres: Tensor, width: float) -> Rule:
    """Gauss–Legendre in each cell: nodes (cells · NODES ** latent, latent), cell by cell."""
    inner = product(gauss_legendre(-width / 2, width / 2, NODES), centres.shape[-1])
    return Rule((centres[:, None] + inner.nodes).flatten(0, 1), inner.weights.repeat(len(centres)))


def _nats(log_likelihood: LogLikelihood, nodes: Tensor) -> Tensor:
    """log p(x|z) at nodes (n, latent), checked: (n, batch)."""
    nats = log_likelihood(nodes)
    require.finite("log_likelihood(z)", nats)
    if nats.ndim != 2 or len(nats) != len(nodes) or nats.dtype != torch.float64:
        seen, needed = f"{tuple(nats.shape)} in {nats.dtype}", f"({len(nodes)}, batch) in float64"
        raise ValueError(f"log_likelihood(z) must be {needed}, got {seen}")
    return nats


def _sum_cells(log_likelihood: LogLikelihood, centres: Tensor, width: float) -> tuple[Tensor, ...]:
    """log of each cell's part of p(x), (cells, batch), and the largest likelihood, (batch,)."""
    size = NODES ** centres.shape[-1]  # nodes in a cell
    for start in range(0, len(centres), step := max(1, BLOCK // size)):
        rule = _cell_rule(centres[start : start + step], width)
        nats = _nats(log_likelihood, rule.nodes)  # (nodes, batch)
        if start == 0:  # room for all results at once: small pieces would scatter the memory
            sums, largest = nats.new_empty(len(centres), nats.shape[1]), nats[0]
        shares = (nats + _log_mass(rule)).unflatten(0, (-1, size))  # (cells, size, batch)
        sums[start : start + step] = shares.logsumexp(1)
        largest = largest.maximum(nats.amax(0))
    return sums, largest
