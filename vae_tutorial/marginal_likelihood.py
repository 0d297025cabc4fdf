"""log p(x): exactly for one or two latents, on a mesh that adapts, with its error; and by draws.

Everything is float64. Densities are summed in log space.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial.arguments import require_count, require_finite
from vae_tutorial.gaussians import log_normal
from vae_tutorial.quadrature import Rule, gauss_legendre, product

LogLikelihood = Callable[[Tensor], Tensor]  # z (n, latent) to log p(x|z) (n, batch), nats

REACH = 10.0  # the mesh covers [−10, 10] on each axis; the prior's mass beyond is below 1e-22
CELLS = 16  # at the start, on each axis
NODES = 8  # of Gauss–Legendre in a cell, on each axis
BLOCK = 2048  # nodes evaluated at once, which bounds the memory
MOST_NODES = 4_000_000  # where the mesh stops growing; the error then says what is missing
ROUNDING = 1e-12  # relative, of float64 sums over a mesh


class Exact(NamedTuple):
    """log p(x) and how far it may be off, each (batch,), in nats; and the rule that gave it."""

    log_evidence: Tensor
    error: Tensor
    rule: Rule  # nodes (n, latent), weights (n,)


def exact_evidence(log_likelihood: LogLikelihood, latent: int, tolerance: float = 1e-8) -> Exact:
    """log ∫ p(x|z) N(z; 0, I) dz for a batch of images that share the decoder's work.

    Each cell of a mesh is summed whole and in halves, and is split further where the two differ by
    more than its share of `tolerance` for any image. The error adds up the differences that
    remain, the mass beyond the mesh with the likelihood at its largest seen, and rounding.

    `log_likelihood` maps z (n, latent), float64, to (n, batch). Raises ValueError or TypeError for
    more than two latents, an empty batch, values that are not finite, or no such tolerance.
    Source: Davis & Rabinowitz 1984, chapter 6. Book: eq-evidence, eq-mesh-error.
    """
    require_count("latent", latent)
    if latent > 2:
        raise ValueError(f"quadrature needs 1 or 2 latents, got {latent}: its mesh would not fit")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie between 0 and 1, got {tolerance}")
    width = 2 * REACH / CELLS
    edges = torch.arange(CELLS, dtype=torch.float64) * width - REACH
    centres = product(Rule(edges + width / 2, edges), latent).nodes  # (cells, latent)
    whole, largest = _sum_cells(log_likelihood, centres, width)  # (cells, batch), (batch,)
    values, differences, meshes, spent = [], [], [], 0
    while len(centres):
        width /= 2
        halves = _halve(centres, width)  # (cells, 2 ** latent, latent)
        parts, seen = _sum_cells(log_likelihood, halves.flatten(0, 1), width)
        parts = parts.unflatten(0, halves.shape[:2])  # (cells, 2 ** latent, batch)
        largest, split = largest.maximum(seen), parts.logsumexp(1)  # (batch,), (cells, batch)
        change = (split - whole).abs()  # (cells, batch), in nats; one more split may add as much
        difference = split.maximum(whole) + (-(-change).expm1()).log() + change
        allowed = torch.cat([*values, split]).logsumexp(0) + math.log(tolerance / len(centres))
        spent += halves[..., 0].numel() * NODES**latent
        done = (difference <= allowed).all(-1) | (spent > MOST_NODES)  # (cells,)
        values.append(split[done])
        differences.append(difference[done])
        meshes.append(_cell_rule(halves[done].flatten(0, 1), width))
        centres, whole = halves[~done].flatten(0, 1), parts[~done].flatten(0, 1)
    log_evidence = torch.cat(values).logsumexp(0)  # (batch,)
    beyond = largest + math.log(latent * math.erfc(REACH / math.sqrt(2)))  # (batch,)
    left = torch.cat([*differences, beyond[None]]).logsumexp(0) - log_evidence
    error = -torch.log1p(-(left.exp() + ROUNDING).clamp(max=1.0))  # infinite where nothing is known
    nodes, weights = (torch.cat(part) for part in zip(*meshes, strict=True))
    return Exact(log_evidence, error, Rule(nodes, weights))


def _halve(centres: Tensor, width: float) -> Tensor:
    """The centres of the 2 ** latent halves, now `width` wide, of each cell."""
    shift = torch.tensor([-width / 2, width / 2], dtype=torch.float64)
    return centres[:, None] + product(Rule(shift, shift), centres.shape[-1]).nodes


def _cell_rule(centres: Tensor, width: float) -> Rule:
    """Gauss–Legendre in each cell: nodes (cells · NODES ** latent, latent), cell by cell."""
    inner = product(gauss_legendre(-width / 2, width / 2, NODES), centres.shape[-1])
    nodes = (centres[:, None] + inner.nodes).flatten(0, 1)
    return Rule(nodes, inner.weights.repeat(len(centres)))


def _sum_cells(
    log_likelihood: LogLikelihood, centres: Tensor, width: float
) -> tuple[Tensor, Tensor]:
    """log of each cell's share of p(x), (cells, batch), and the largest likelihood, (batch,)."""
    sums, largest = [], []
    for block in centres.split(max(1, BLOCK // NODES ** centres.shape[-1])):
        rule = _cell_rule(block, width)
        nats = log_likelihood(rule.nodes)  # (nodes, batch)
        require_finite("log_likelihood(z)", nats)
        if nats.ndim != 2 or len(nats) != len(rule.nodes):
            seen = tuple(nats.shape)
            raise ValueError(f"log_likelihood must give ({len(rule.nodes)}, batch), got {seen}")
        log_prior = log_normal(rule.nodes, torch.zeros_like(rule.nodes), rule.nodes.new_zeros(()))
        shares = nats + (log_prior + rule.weights.log())[:, None]
        sums.append(shares.unflatten(0, (len(block), -1)).logsumexp(1))
        largest.append(nats.amax(0))
    return torch.cat(sums), torch.stack(largest).amax(0)
