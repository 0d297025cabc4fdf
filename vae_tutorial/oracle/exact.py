"""What the oracle states of each image, computed without draws: log p(x), moments, modes, bounds.

All of it is deterministic quadrature in float64. `tools/make_oracle.py` runs it and keeps the
results. The slow tests run it again on some images of each case, and hold what is kept against
other quadratures (log p(x), moments, bounds of q), draws (the L_K) and climbs (modes).
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import max_pool1d, max_pool2d

from vae_tutorial.evaluation import (
    dissect,
    exact_log_evidence,
    exact_log_posterior,
    log_weights,
)
from vae_tutorial.marginal_likelihood import MESH_REACH
from vae_tutorial.models import (
    VAE,
    DiagonalPosterior,
    FullPosterior,
    Posterior,
    log_prior,
    lower_triangle,
)
from vae_tutorial.oracle import SAMPLES
from vae_tutorial.quadrature import Rule, grid, product, trapezoid
from vae_tutorial.weights import exact_importance_weighted_bound

TOLERANCE = 1e-7  # of log p(x), nats
BLOCK = 10  # images that share a mesh: more would need more nodes than a mesh may have
ROUNDING = 1e-9  # of float64 in a sum over pixels, and of the stored digits
# On the mesh |z| is at most MESH_REACH on each axis, so that a part e of p(x) that was summed
# wrongly moves an entry of the mean by at most 2 · MESH_REACH · e, and one of the covariance by
# at most 4 · MESH_REACH² · e.
MOMENT_FACTOR = (2 * MESH_REACH) ** 2
REACH = 8.0  # standard deviations of q on each side; the mass beyond is below 1e-15 · latent
SIDES = {1: 2001, 2: 97}  # latents → nodes on each axis of q; every second one tells the error
ROWS = 20_000  # nodes decoded at once, which bounds the memory
TOPS_REACH, TOPS_SIDE = 5.0, 501  # of the grid on which modes are counted, on each axis
CLIMB_SIDE = 33  # nodes on each axis of q in a climb
MOST_STEPS = 200  # of a climb
SMALL_SLOPE = 1e-8  # where a climb ends: the largest entry of a gradient, in nats
WINDOW = 5  # nodes: a top is the highest in this window around it
FAINT = math.log(100)  # a top that is lower than the highest by more is not counted

Field = dict[str, Tensor]  # a name of `oracle.Truth` → its values, image first


class Moments(NamedTuple):
    """Of p(z|x): (batch, latent) and (batch, latent, latent)."""

    mean: Tensor
    covariance: Tensor


class OnGrid(NamedTuple):
    """Log-weights and log-probabilities of one image at the nodes of its q: (n,) each."""

    log_weight: Tensor
    log_probability: Tensor


def measure(model: VAE, x: Tensor) -> Field:
    """All fields of `oracle.Truth` for images x (n, pixels), and the best q found, image first."""
    blocks = [_measure_block(model, part) for part in x.split(BLOCK)]
    fields = {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}
    return {**fields, "modes": count_modes(model, x)}


def _measure_block(model: VAE, x: Tensor) -> Field:
    exact = exact_log_evidence(model, x, TOLERANCE)
    error = exact.error + ROUNDING  # (batch,)
    moments = posterior_moments(model, x, exact.rule)
    encoder, (diagonal, full) = model.encoder(x), best_gaussians(model, x)
    own = [*on_grids(model, x, encoder)]  # a pair an image
    pairs = [own, *(on_grids(model, x, q) for q in (diagonal, full))]
    elbos, elbo_errors = zip(*(_with_errors(each, elbo) for each in pairs), strict=True)
    tight, tight_errors = _with_errors(own, importance_bounds)
    return {
        "log_evidence": exact.log_evidence,
        "error": error,
        "mean": moments.mean,
        "covariance": moments.covariance,
        "moment_error": MOMENT_FACTOR * error,
        "elbo": torch.stack(elbos, -1),  # (batch, 3)
        "elbo_error": torch.stack(elbo_errors, -1),
        "importance_bound": tight,  # (batch, len(SAMPLES))
        "importance_error": tight_errors,
        "best_diagonal_mean": diagonal.mean,
        "best_diagonal_log_variance": diagonal.log_variance,
        "best_full_mean": full.mean,
        "best_full_root": full.root,
    }


def _with_errors(
    pairs: Iterable[tuple[OnGrid, OnGrid]], bound: Callable[[OnGrid], Tensor]
) -> tuple[Tensor, Tensor]:
    """A bound of each image on its grid, and how far it may be off: images first."""
    values = [(bound(fine), bound(coarse)) for fine, coarse in pairs]
    fine, coarse = (torch.stack(each) for each in zip(*values, strict=True))
    return fine, (fine - coarse).abs() + ROUNDING


def posterior_moments(model: VAE, x: Tensor, rule: Rule) -> Moments:
    """Mean and covariance of p(z|x), on the mesh that gave log p(x)."""
    share = exact_log_posterior(model, x, rule).exp() * rule.weights[:, None]  # (n, batch)
    mean = share.mT @ rule.nodes  # (batch, latent)
    from_mean = rule.nodes - mean[:, None]  # (batch, n, latent)
    covariance = torch.einsum("nb,bni,bnj->bij", share, from_mean, from_mean)
    return Moments(mean, covariance)


def best_gaussians(model: VAE, x: Tensor) -> tuple[DiagonalPosterior, FullPosterior]:
    """The best diagonal and the best full q that `dissect` finds for each image.

    Where one of its climbs reaches no top, that image is climbed on a finer grid, from the
    encoder's q and from the Gaussian of the posterior's moments.
    """
    try:
        _, diagonal, full = dissect(model, x).posteriors
    except RuntimeError:
        if len(x) == 1:
            return _of_one(model, x)
        pairs = [best_gaussians(model, one) for one in x.split(1)]
        diagonals, fulls = zip(*pairs, strict=True)
        diagonal = DiagonalPosterior(*map(torch.cat, zip(*diagonals, strict=True)))
        full = FullPosterior(*map(torch.cat, zip(*fulls, strict=True)))
    return diagonal, full


def _of_one(model: VAE, x: Tensor) -> tuple[DiagonalPosterior, FullPosterior]:
    """The ends of the highest of the climbs of one image on a finer grid."""
    moments = posterior_moments(model, x, exact_log_evidence(model, x).rule)
    encoder = model.encoder(x)
    starts = [
        (encoder.mean, encoder.root),
        (moments.mean, encoder.root),
        (moments.mean, torch.linalg.cholesky(moments.covariance)),
    ]

    def highest(family: type[Posterior]) -> Posterior:
        climbs = [climb_on_grid(model, x, family.from_root(*start)) for start in starts]
        grids = [next(on_grids(model, x, end))[0] for end in climbs]
        return max(zip(grids, climbs, strict=True), key=lambda pair: float(elbo(pair[0])))[1]

    diagonal = highest(DiagonalPosterior)
    starts.append((diagonal.mean, diagonal.root))
    full = highest(FullPosterior)
    return DiagonalPosterior(*diagonal), FullPosterior(*full)


def climb_on_grid(model: VAE, x: Tensor, start: Posterior) -> Posterior:
    """Climb the bound of one image from `start`, summed on a grid, by a quasi-Newton method."""
    latent = model.encoder.latent
    noise, weights = product(trapezoid(-REACH, REACH, CLIMB_SIDE), latent)
    share = (weights.log() + log_prior(noise)).softmax(0)  # (n,)
    # A root by entries that may become any numbers: the logs of its diagonal, and what is below.
    rows, columns = torch.tril_indices(latent, latent)
    logs = start.root.diagonal(dim1=-2, dim2=-1).log().diag_embed()  # (1, latent, latent)
    entries = (start.root.tril(-1) + logs)[:, rows, columns]  # (1, latent (latent + 1) / 2)
    moving = [part.detach().clone().requires_grad_() for part in (start.mean, entries)]
    optimizer = torch.optim.LBFGS(
        moving,
        max_iter=MOST_STEPS,
        tolerance_grad=SMALL_SLOPE,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def here() -> Posterior:
        mean, entries = moving
        return type(start).from_root(mean, lower_triangle(entries, latent))

    def downhill() -> Tensor:
        optimizer.zero_grad()
        loss = -(share @ log_weights(model, x, here(), noise)[:, 0])
        loss.backward()
        return loss

    optimizer.step(downhill)
    return type(start)(*(part.detach() for part in here()))


def count_modes(model: VAE, x: Tensor) -> Tensor:
    """How many tops p(z|x) has on a grid that are at least 1/100 as high as the highest: (n,)."""
    latent = model.encoder.latent
    axis = torch.linspace(-TOPS_REACH, TOPS_REACH, TOPS_SIDE, dtype=torch.float64)
    score = model.likelihood.log_density_table
    parts = (
        score(x, model.decoder(nodes), nodes) + log_prior(nodes)[:, None]
        for nodes in grid(axis, latent).split(ROWS)
    )
    heights = torch.cat([*parts]).mT  # (n, nodes)
    heights = heights.unflatten(-1, (TOPS_SIDE,) * latent)[:, None]  # (n, 1, side, …)
    pool = max_pool1d if latent == 1 else max_pool2d
    highest = pool(heights, WINDOW, 1, WINDOW // 2)
    floor = heights.flatten(1).amax(-1) - FAINT  # (n,)
    tops = (heights == highest).flatten(1) & (heights.flatten(1) > floor[:, None])
    return tops.sum(-1)


def elbo(grid: OnGrid) -> Tensor:
    """The bound of one image: the average of its log-weights, ()."""
    return grid.log_probability.exp() @ grid.log_weight


def importance_bounds(grid: OnGrid) -> Tensor:
    """L_K of one image for each K of SAMPLES: (m,)."""
    return exact_importance_weighted_bound(*grid, SAMPLES)


def on_grids(model: VAE, x: Tensor, posterior: Posterior) -> Iterator[tuple[OnGrid, OnGrid]]:
    """Of each image in turn, its log-weights on a grid around its q, and on every second node."""
    side, latent = SIDES[model.encoder.latent], model.encoder.latent
    noise, weights = product(trapezoid(-REACH, REACH, side), latent)
    log_probability = weights.log() + log_prior(noise)  # (n,)
    # Every second node of each axis; the ends, where weights are halved, stay ends.
    half = torch.arange(len(noise)).reshape((side,) * latent)
    for axis in range(half.ndim):
        half = half.index_select(axis, torch.arange(0, side, 2))
    half = half.flatten()
    for row in range(len(x)):
        one = type(posterior)(*(part[row : row + 1] for part in posterior))
        log_weight = log_weights(model, x[row : row + 1], one, noise)[:, 0]  # (n,)
        parts = (OnGrid(log_weight[rows], log_probability[rows]) for rows in (slice(None), half))
        fine, coarse = (part._replace(log_probability=part[1].log_softmax(0)) for part in parts)
        yield fine, coarse
