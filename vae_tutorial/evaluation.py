"""log p(x) of a VAE with one or two latents, exactly, and the nats that a bound leaves below it."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import require
from vae_tutorial.marginal_likelihood import BLOCK, Exact, exact_evidence
from vae_tutorial.models import (
    VAE,
    DiagonalPosterior,
    FullPosterior,
    Posterior,
    log_prior,
    log_weight,
)
from vae_tutorial.quadrature import Rule, gauss_hermite, product

ORDER = 12  # of Gauss–Hermite on each axis
FINER = 4  # further nodes on each axis, of the rule that tells the error
SMALL_GRADIENT = 1e-8  # where a climb ends: a squared length, in coordinates in which Σ is I
QUADRATURE_SLACK = 1e-8  # nats by which a rule of this order may misjudge a step
PACE = 0.7  # the largest part of a Newton step that is taken
GROWTH = 1.3  # of the pace, after a step that rose
MOST_STEPS = 300  # of a climb on one rule; those who need more go on with a finer one
STRIDE = 7  # every so many nodes of a mesh are enough to find a start


class ExactBound(NamedTuple):
    """A bound computed without draws, and how far it may be off: (batch,) each, in nats."""

    elbo: Tensor
    error: Tensor


class Dissection(NamedTuple):
    """log p(x); the encoder's q, the best diagonal and the best full one; their three bounds."""

    exact: Exact
    posteriors: tuple[DiagonalPosterior, DiagonalPosterior, FullPosterior]
    elbos: Tensor  # (3, batch), nats

    @property
    def gaps(self) -> Tensor:
        """What encoder, diagonal family and Gaussian family lose: (3, batch). Book: eq-gaps."""
        return torch.cat([self.elbos, self.exact.log_evidence[None]]).diff(dim=0)


def exact_log_evidence(model: VAE, x: Tensor, tolerance: float = 1e-4) -> Exact:
    """log p(x) of images x (batch, pixels), its error, and the mesh that gave it.

    Raises ValueError or TypeError as `exact_evidence` does. Book: eq-evidence, eq-mesh-error.

    >>> from vae_tutorial.data import load_digits
    >>> from vae_tutorial.pretrained import two_latents
    >>> exact = exact_log_evidence(two_latents(), load_digits(torch.float64).test[:1])
    >>> print(f"{exact.log_evidence.item():.3f} nats, off by less than 0.0001:", exact.error < 1e-4)
    17.736 nats, off by less than 0.0001: tensor([True])
    """
    _require_double(model, x)
    return exact_evidence(lambda z: _table(model, x, z), model.encoder.latent, tolerance)


def exact_log_posterior(model: VAE, x: Tensor, rule: Rule) -> Tensor:
    """log p(z|x) at the n nodes of a rule, which also normalises it: (n, batch), in nats.

    Book: eq-posterior.
    """
    _require_double(model, x)
    require.event("the nodes", rule.nodes, model.encoder.latent)
    require.positive("the weights of the rule", rule.weights)
    log_joint = _table(model, x, rule.nodes) + log_prior(rule.nodes)[:, None]  # (n, batch)
    require.finite("log p(x, z)", log_joint)
    return log_joint - (log_joint + rule.weights.log()[:, None]).logsumexp(0)


def log_weights(model: VAE, x: Tensor, posterior: Posterior, noise: Tensor) -> Tensor:
    """`log_weight` under any q, every image with the same noise (n, latent): (n, batch), in nats.

    Book: eq-importance-weight.
    """
    z = posterior.draw(noise[:, None])  # (n, batch, latent)
    return log_weight(model.log_likelihood(x, z), posterior, z)  # (n, batch)


def exact_bound(model: VAE, x: Tensor, posterior: Posterior) -> ExactBound:
    """The bound of any Gaussian q by Gauss–Hermite; the error is the change on a finer rule.

    Book: eq-hermite-bound.
    """
    _require_double(model, x)
    _require_posterior("posterior", posterior, model, x)
    rules = [product(gauss_hermite(n), model.encoder.latent) for n in (ORDER, ORDER + FINER)]
    coarse, fine = (r.weights @ log_weights(model, x, posterior, r.nodes) for r in rules)
    return ExactBound(fine, (fine - coarse).abs())  # (batch,) each


class WeightMoments(NamedTuple):
    """What the weights say of the bound and of its slopes, where z = mean + root ε; in nats."""

    elbo: Tensor  # E[log w], (batch,)
    gradient: Tensor  # E[ε log w] = rootᵀ ∇_mean elbo, (batch, latent)
    curvature: Tensor  # E[(εεᵀ − I) log w] = 2 rootᵀ ∇_Σ elbo root, (batch, latent, latent)


def weight_moments(log_weight: Tensor, rule: Rule) -> WeightMoments:
    """E[log w], E[ε log w], E[(εεᵀ − I) log w]: log w (n, batch) at nodes ε (n, latent).

    Book: eq-weight-moments.
    """
    weighted = rule.weights[:, None] * log_weight  # (n, batch)
    noise, identity = rule.nodes, torch.eye(rule.nodes.shape[1]).to(rule.nodes)
    squares = noise[:, :, None] * noise[:, None] - identity  # (n, latent, latent)
    curvature = torch.einsum("nb,nij->bij", weighted, squares)
    return WeightMoments(weighted.sum(0), weighted.mT @ noise, curvature)


class Local(NamedTuple):
    """All that a climb knows of each image where it stands: a Gaussian, and its `WeightMoments`."""

    mean: Tensor  # (batch, latent)
    root: Tensor  # (batch, latent, latent)
    elbo: Tensor  # (batch,)
    gradient: Tensor  # (batch, latent)
    curvature: Tensor  # (batch, latent, latent)


def best_posterior(model: VAE, x: Tensor, start: Posterior) -> Posterior:
    """Climb, each image on its own, to the best Gaussian of the family of `start`.

    To first order in ρ and B, a step is the natural-gradient step of Gaussian variational
    inference, Σ ← Σ + 2ρ Σ (∇_Σ elbo) Σ and mean ← mean + ρ Σ ∇_mean elbo (Khan & Nielsen 2018;
    Khan & Rue 2023). Here Σ moves along an exponential, not along a line. A step that lowers the
    bound is halved. Whoever still climbs after MOST_STEPS goes on with a rule of twice as many
    nodes on an axis: where q is wide and log w bends, the coarse sums of eq-weight-moments are not
    quite the slopes of the coarse bound, and a climb stalls between the two. Raises RuntimeError
    when that rule does not reach a top either.
    Source: Opper & Archambeau 2009. Book: eq-best-gaussian, eq-climb.
    """
    _require_double(model, x)
    _require_posterior("start", start, model, x)
    family, latent = type(start), model.encoder.latent
    # The entries of the covariance that the family can move: the diagonal, or all.
    free = torch.ones_like(start.root[0])  # (latent, latent)
    free = free.diag().diag() if family is DiagonalPosterior else free
    mean, root = start.mean.clone(), start.root.clone()
    climbing = torch.arange(len(x))  # the images not yet at a top
    for order in (ORDER, 2 * ORDER):
        rule = product(gauss_hermite(order), latent)

        def look(x: Tensor, mean: Tensor, root: Tensor, rule: Rule = rule) -> Local:
            log_weight = log_weights(model, x, family.from_root(mean, root), rule.nodes)
            return Local(mean, root, *weight_moments(log_weight, rule))

        end, left = _climb(look, x[climbing], mean[climbing], root[climbing], free)
        mean[climbing], root[climbing] = end.mean, end.root
        climbing = climbing[left]
        if not len(climbing):
            return family.from_root(mean, root)
    steps = f"{2 * MOST_STEPS} steps"
    raise RuntimeError(f"{len(climbing)} of {len(x)} images still climb after {steps}")


def _climb(
    look: Callable[[Tensor, Tensor, Tensor], Local],
    x: Tensor,
    mean: Tensor,
    root: Tensor,
    free: Tensor,
) -> tuple[Local, Tensor]:
    """Climb at most MOST_STEPS steps; also returns which of the images are not at a top yet."""
    here = Local(*(part.clone() for part in look(x, mean, root)))
    pace = x.new_full((len(x),), PACE)
    for _ in range(MOST_STEPS):
        climbing = _not_at_a_top(here, free)  # (climbing,)
        if not len(climbing):
            break
        # One step for these, looked at before it is taken: it counts where the bound rises.
        old = Local(*(part[climbing] for part in here))
        there = look(x[climbing], *_step(old, pace[climbing], free))
        rises = there.elbo > old.elbo - QUADRATURE_SLACK  # (climbing,)
        for stored, new in zip(here, there, strict=True):
            stored[climbing[rises]] = new[rises]
        faster = (GROWTH * pace[climbing]).clamp(max=PACE)
        pace[climbing] = torch.where(rises, faster, pace[climbing] / 2)
    return here, _not_at_a_top(here, free)


def _not_at_a_top(here: Local, free: Tensor) -> Tensor:
    """Who still has a slope, as indices (climbing,). Book: eq-best-gaussian."""
    steepness = here.gradient.square().sum(-1)  # (batch,)
    steepness = steepness + 0.5 * (free * here.curvature).square().sum((-2, -1))
    return (steepness > SMALL_GRADIENT).nonzero().squeeze(-1)


def _step(here: Local, pace: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the root after one step at `pace` (batch,). Book: eq-climb."""
    pace = pace[:, None, None]
    direction = here.curvature.matrix_exp() @ here.gradient[..., None]  # (batch, latent, 1)
    mean = here.mean + (pace * here.root @ direction).squeeze(-1)  # (batch, latent)
    # exp of a symmetric matrix has eigenvalues exp(λ) > 0, however negative λ is. So the new
    # covariance is positive definite for every pace, where root (I + pace B) rootᵀ need not be.
    stretch = (pace * free * here.curvature).matrix_exp()  # (batch, latent, latent)
    return mean, torch.linalg.cholesky(here.root @ stretch @ here.root.mT)


def dissect(model: VAE, x: Tensor) -> Dissection:
    """Split log p(x) minus the bound into what encoder, diagonal and Gaussian family lose.

    Climbs start at the posterior's mean and at its mode, those of the full family also at the best
    diagonal q. Raises as `best_posterior`. Source: Cremer et al. 2018. Book: eq-gaps.
    """
    exact = exact_log_evidence(model, x)
    encoder = model.encoder(x)
    best, elbos = [encoder], [exact_bound(model, x, encoder).elbo]
    # Where to start: mean and mode of the posterior, with the encoder's covariance.
    rule = Rule(*(part[::STRIDE] for part in exact.rule))
    log_density = exact_log_posterior(model, x, rule)  # (n, batch)
    mean = (log_density.exp() * rule.weights[:, None]).mT @ rule.nodes  # (batch, latent)
    mode = rule.nodes[log_density.argmax(0)]  # (batch, latent)
    starts = [(mean, encoder.root), (mode, encoder.root)]
    for family in (DiagonalPosterior, FullPosterior):
        climbs = [best_posterior(model, x, family.from_root(*start)) for start in starts]
        heights = torch.stack([exact_bound(model, x, q).elbo for q in climbs])  # (climbs, batch)
        height, first = heights.max(0)  # (batch,)
        # Of each image the highest end, from whichever start.
        parts = (torch.stack(part)[first, range(len(x))] for part in zip(*climbs, strict=True))
        best.append(family(*parts))
        elbos.append(height)
        starts.append((best[-1].mean, best[-1].root))
    return Dissection(exact, tuple(best), torch.stack(elbos))  # elbos (3, batch)


def _table(model: VAE, x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z) of all images under each of n latents z (n, latent): (n, batch)."""
    score = model.likelihood.log_density_table
    return torch.cat([score(x, model.decoder(part), part) for part in z.split(BLOCK)])


def _require_double(model: VAE, x: Tensor) -> None:
    """Raise unless x is (batch, pixels), and both it and the model are float64 as the rules are."""
    require.event("x", x)
    if x.ndim != 2:
        raise ValueError(f"x must be (batch, pixels), got {tuple(x.shape)}")
    for name, value in (("x", x), ("the model's weights", next(model.parameters()))):
        if value.dtype != torch.float64:
            raise TypeError(
                f"{name} must be float64 for quadrature, got {value.dtype}: use .double()"
            )


def _require_posterior(name: str, posterior: Posterior, model: VAE, x: Tensor) -> None:
    if not isinstance(posterior, DiagonalPosterior | FullPosterior):
        needed = "a DiagonalPosterior or a FullPosterior"
        raise TypeError(f"{name} must be {needed}, got {type(posterior).__name__}")
    mean, needed = posterior.mean, (len(x), model.encoder.latent)
    require.floating(f"the mean of {name}", mean)
    if mean.shape != needed:
        seen = f"got {tuple(mean.shape)} for images {tuple(x.shape)}"
        raise ValueError(f"the mean of {name} must be {needed}, {seen}")
    if mean.dtype != x.dtype:
        raise TypeError(f"{name} is {mean.dtype}, but x is {x.dtype}: use one dtype for both")
