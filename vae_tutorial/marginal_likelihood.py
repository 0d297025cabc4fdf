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

MESH_REACH = 10.0  # the mesh covers [−10, 10] on each axis; the prior's mass beyond is below 1e-22
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


@require.shapes(log_likelihood="n>=2 batch")
def prior_monte_carlo(log_likelihood: Tensor) -> PriorEstimate:
    """Estimate log p(x) by the average of p(x|z) over n draws of the prior.

    log_likelihood (n, batch), to (batch,) each. Source: Owen 2013, ch. 9.
    Book: eq-prior-draws, eq-effective-sample-size, eq-log-error.

    >>> likelihood = torch.tensor([[0.1], [0.3], [0.2]])
    >>> estimate = prior_monte_carlo(likelihood.log())
    >>> print(f"{float(estimate.log_evidence.exp()):.4f}")
    0.2000
    """
    count = len(log_likelihood)
    share = log_likelihood.softmax(0)  # (n, batch), each draw's part of the average
    effective = 1 / share.square().sum(0)  # (batch,)
    variance = (count / effective - 1).clamp(min=0) / (count - 1)  # (batch,)
    average = log_likelihood.logsumexp(0) - math.log(count)  # (batch,)
    return PriorEstimate(average, variance.sqrt(), effective)


class Cells(NamedTuple):
    """Cells of one width in the mesh, and the logs of their parts of p(x)."""

    centres: Tensor  # (cells, latent)
    width: float
    sums: Tensor  # (cells, batch)
    largest: Tensor  # (batch,), the log-likelihood at the best of their nodes


class Halved(NamedTuple):
    """Cells that were summed again, in halves along each axis; the halves of a cell are a row."""

    halves: Cells  # centres (cells, 2 ** latent, latent), sums (cells, 2 ** latent, batch)
    sums: Tensor  # (cells, batch), over the halves
    doubt: Tensor  # (cells, batch), log of the difference from the sum over the whole cell


@torch.no_grad()
@require.shapes(latent="count")
def exact_evidence(log_likelihood: LogLikelihood, latent: int, tolerance: float = 1e-8) -> Exact:
    """log ∫ p(x|z) N(z; 0, I) dz for a batch of images that share the decoder.

    Each cell of a mesh is summed whole and in halves, and split further where
    the two differ by more than its share of `tolerance` for any image. The
    error adds up the differences that stay, the prior's mass off the mesh at
    the largest likelihood seen, and rounding. It cannot know of a peak off the
    mesh or between the nodes, nor of rounding inside `log_likelihood`.

    `log_likelihood` maps z (n, latent) to (n, batch), float64. Raises
    ValueError for more than two latents, an empty batch, values that are not
    finite, or no such tolerance. Source: Davis & Rabinowitz 1984, ch. 6.
    Book: vae1, eq-evidence, eq-mesh-error.

    >>> exact = exact_evidence(lambda z: -0.5 * z.square(), 1)
    >>> print(f"{float(exact.log_evidence):.6f}")  # log of 1 / √2
    -0.346574
    """
    if latent > 2:
        raise ValueError(f"quadrature needs 1 or 2 latents, got {latent}: its mesh would not fit")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie between 0 and 1, got {tolerance}")
    width = 2 * MESH_REACH / CELLS
    axis = torch.arange(CELLS, dtype=torch.float64) * width + width / 2 - MESH_REACH
    cells = _sum_cells(log_likelihood, grid(axis, latent), width)
    rounds: list[Halved] = []
    largest, evaluated = cells.largest, 0
    while len(cells.centres):
        share = (cells.width / (2 * MESH_REACH)) ** latent  # of the mesh, in one cell
        halved = _halve(log_likelihood, cells)
        largest = largest.maximum(halved.halves.largest)
        total = torch.cat([*(part.sums for part in rounds), halved.sums]).logsumexp(0)  # (batch,)
        done = (halved.doubt <= total + math.log(tolerance * share)).all(-1)  # (cells,)
        evaluated += halved.halves.centres[..., 0].numel() * NODES**latent
        next_round = (~done).sum() * (4 * NODES) ** latent  # nodes that it would evaluate
        done |= evaluated + next_round > MOST_NODES
        rounds.append(_select(halved, done))
        halves = _select(halved, ~done).halves
        cells = halves._replace(
            centres=halves.centres.flatten(0, 1), sums=halves.sums.flatten(0, 1)
        )
    return _gather(rounds, largest)


@torch.no_grad()
def divergence_from_prior(log_likelihood: LogLikelihood, exact: Exact) -> Tensor:
    """What x tells about z: KL(p(z|x) ‖ p(z)) on the mesh of `exact_evidence`, (batch,), in nats.

    Its exponential is about how many draws of the prior log p(x) needs.
    Source: Chatterjee & Diaconis 2018, theorem 1.1. Book: eq-information.

    >>> flat = lambda z: 0 * z  # x that tells nothing about z
    >>> print(f"{float(divergence_from_prior(flat, exact_evidence(flat, 1)).abs()):.6f}")
    0.000000
    """
    total = torch.zeros_like(exact.log_evidence)  # (batch,)
    for rule in map(Rule, *(part.split(BLOCK) for part in exact.rule)):
        log_likelihoods = _likelihood_table(log_likelihood, rule.nodes)  # (nodes, batch)
        log_ratio = log_likelihoods - exact.log_evidence
        total += ((log_ratio + _log_mass(rule)).exp() * log_ratio).sum(0)
    return total


def _log_mass(rule: Rule) -> Tensor:
    zero = rule.nodes.new_zeros(rule.nodes.shape[-1])
    return (log_normal(rule.nodes, zero, zero) + rule.weights.log())[:, None]  # (n, 1)


def _cell_rule(centres: Tensor, width: float) -> Rule:
    """Gauss–Legendre in each cell: nodes (cells · NODES ** latent, latent), cell by cell."""
    inner = product(gauss_legendre(-width / 2, width / 2, NODES), centres.shape[-1])
    return Rule((centres[:, None] + inner.nodes).flatten(0, 1), inner.weights.repeat(len(centres)))


def _likelihood_table(log_likelihood: LogLikelihood, nodes: Tensor) -> Tensor:
    """log p(x|z) at nodes (n, latent), checked: (n, batch)."""
    nats = log_likelihood(nodes)
    require.finite("log_likelihood(z)", nats)
    if nats.ndim != 2 or len(nats) != len(nodes) or nats.dtype != torch.float64:
        got, needed = f"{tuple(nats.shape)} in {nats.dtype}", f"({len(nodes)}, batch) in float64"
        raise ValueError(f"log_likelihood(z) must be {needed}, got {got}")
    return nats


def _sum_cells(log_likelihood: LogLikelihood, centres: Tensor, width: float) -> Cells:
    """Sum cells (cells, latent) by Gauss–Legendre, a block of nodes at a time."""
    size = NODES ** centres.shape[-1]  # nodes in a cell
    step = max(1, BLOCK // size)  # cells in a block
    for start in range(0, len(centres), step):
        rule = _cell_rule(centres[start : start + step], width)
        nats = _likelihood_table(log_likelihood, rule.nodes)  # (nodes, batch)
        if start == 0:  # room for all results at once: small pieces would scatter the memory
            sums, largest = nats.new_empty(len(centres), nats.shape[1]), nats[0]
        shares = (nats + _log_mass(rule)).unflatten(0, (-1, size))  # (cells, size, batch)
        sums[start : start + step] = shares.logsumexp(1)
        largest = largest.maximum(nats.amax(0))
    return Cells(centres, width, sums, largest)


def _halve(log_likelihood: LogLikelihood, cells: Cells) -> Halved:
    """Sum each cell again in 2 ** latent halves, and compare."""
    width, latent = cells.width / 2, cells.centres.shape[-1]
    ends = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    centres = cells.centres[:, None] + grid(ends * width / 2, latent)
    halves = _sum_cells(log_likelihood, centres.flatten(0, 1), width)
    parts = halves.sums.unflatten(0, centres.shape[:2])  # (cells, 2 ** latent, batch)
    sums = parts.logsumexp(1)  # (cells, batch)
    change = (sums - cells.sums).abs()  # (cells, batch), in nats
    doubt = sums.maximum(cells.sums) + (-(-change).expm1()).log() + change  # log(|a − b| a / b)
    return Halved(halves._replace(centres=centres, sums=parts), sums, doubt)


def _select(halved: Halved, chosen: Tensor) -> Halved:
    """Those of the cells that are chosen (cells,), with their halves."""
    halves = halved.halves
    halves = halves._replace(centres=halves.centres[chosen], sums=halves.sums[chosen])
    return Halved(halves, halved.sums[chosen], halved.doubt[chosen])


def _gather(rounds: list[Halved], largest: Tensor) -> Exact:
    """log p(x), its error and its rule from the cells of all rounds, none of them split further."""
    rules = [_cell_rule(part.halves.centres.flatten(0, 1), part.halves.width) for part in rounds]
    rule = Rule(*(torch.cat(part) for part in zip(*rules, strict=True)))
    log_evidence = torch.cat([part.sums for part in rounds]).logsumexp(0)  # (batch,)
    latent = rule.nodes.shape[-1]
    beyond = largest + math.log(latent * math.erfc(MESH_REACH / math.sqrt(2)))  # (batch,)
    doubts = torch.cat([*(part.doubt for part in rounds), beyond[None]])  # (cells + 1, batch)
    left = (doubts.logsumexp(0) - log_evidence).exp() + ROUNDING  # relative to p(x)
    error = -torch.log1p(-left.clamp(max=1.0))  # infinite where nothing is known
    return Exact(log_evidence, error, rule)
