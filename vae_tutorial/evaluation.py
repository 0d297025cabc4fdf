"""log p(x) of a VAE with one or two latents, exactly, and the nats that a bound leaves below it."""

from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial.marginal_likelihood import BLOCK, Exact, exact_evidence
from vae_tutorial.models import VAE, DiagonalPosterior, FullPosterior, Posterior, log_prior
from vae_tutorial.quadrature import Rule, gauss_hermite, product

ORDER = 12  # of Gauss–Hermite on each axis; a finer rule tells the error
FLAT = 1e-8  # squared gradient at which a climb ends, and nats that quadrature may lose in a step
PACE, MOST_STEPS = 0.7, 300  # the part of a Newton step that is taken; steps of a climb


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


def log_evidence(model: VAE, x: Tensor, tolerance: float = 1e-4) -> Exact:
    """log p(x) of images x (batch, pixels), its error, and the mesh that gave it.

    Raises ValueError or TypeError as `exact_evidence` does. Book: eq-evidence, eq-mesh-error.
    """
    return exact_evidence(lambda z: _table(model, x, z), model.encoder.latent, tolerance)


def log_posterior(model: VAE, x: Tensor, rule: Rule) -> Tensor:
    """log p(z|x) at the n nodes of a rule, which also normalises it: (n, batch), in nats.

    Raises ValueError or TypeError on bad input. Book: eq-posterior.
    """
    table = _table(model, x, rule.nodes) + log_prior(rule.nodes)[:, None]
    return table - (table + rule.weights.log()[:, None]).logsumexp(0)


def log_weights(model: VAE, x: Tensor, posterior: Posterior, noise: Tensor) -> Tensor:
    """log p(x, z) / q(z|x), every image with the same noise (n, latent): (n, batch), in nats.

    Raises ValueError or TypeError on bad input. Book: eq-importance-weight.
    """
    z = posterior.draw(noise[:, None])  # (n, batch, latent)
    images = x.expand(*z.shape[:-1], -1)  # (n, batch, pixels)
    log_likelihood = model.pixels.log_likelihood(images, model.decoder(z), z)
    return log_likelihood + log_prior(z) - posterior.log_density(z)


def exact_bound(model: VAE, x: Tensor, posterior: Posterior) -> ExactBound:
    """The bound of any Gaussian q by Gauss–Hermite; the error is the change on a finer rule.

    Raises ValueError or TypeError on bad input. Book: eq-hermite-bound.
    """
    rules = [product(gauss_hermite(n), model.encoder.latent) for n in (ORDER, ORDER + 4)]
    coarse, fine = (r.weights @ log_weights(model, x, posterior, r.nodes) for r in rules)
    return ExactBound(fine, (fine - coarse).abs())


def weight_moments(log_weight: Tensor, rule: Rule) -> tuple[Tensor, ...]:
    """E[log w], E[ε log w], E[(εεᵀ − I) log w]: log w (n, batch) at nodes ε.

    In nats: (batch,), (batch, latent), (batch, latent, latent).
    Book: eq-weight-moments.
    """
    weighted, eps = rule.weights[:, None] * log_weight, rule.nodes
    squares = eps[:, :, None] * eps[:, None] - torch.eye(eps.shape[1]).to(eps)
    bend = torch.einsum("nb,nij->bij", weighted, squares)
    return weighted.sum(0), weighted.mT @ eps, bend


def best_posterior(model: VAE, x: Tensor, start: Posterior) -> Posterior:
    """Climb, each image on its own, to the best Gaussian of the family of `start`.

    A step that lowers the bound is halved. Raises ValueError or TypeError, or RuntimeError
    after MOST_STEPS. Source: Opper & Archambeau 2009. Book: eq-best-gaussian, eq-climb.
    """
    family, rule = type(start), product(gauss_hermite(ORDER), model.encoder.latent)
    free = torch.ones_like(_root(start)[0])  # the entries of a covariance that may move
    free = free.diag().diag() if family is DiagonalPosterior else free

    def look(x, mean, root):  # all that the climb knows of an image
        log_weight = log_weights(model, x, _gaussian(family, mean, root), rule.nodes)
        return mean, root, *weight_moments(log_weight, rule)

    here = tuple(part.clone() for part in look(x, start.mean, _root(start)))
    pace = x.new_full((len(x),), PACE)
    for _ in range(MOST_STEPS):
        steep = here[3].square().sum(-1) + 0.5 * (free * here[4]).square().sum((-2, -1))
        if not len(left := (steep > FLAT).nonzero().squeeze(-1)):
            return _gaussian(family, *here[:2])
        mean, root, elbo, slope, bend = (part[left] for part in here)
        step = pace[left, None, None]
        shift = step * root @ bend.matrix_exp() @ slope[..., None]  # (left, latent, 1)
        covariance = root @ (step * free * bend).matrix_exp() @ root.mT
        there = look(x[left], mean + shift.squeeze(-1), torch.linalg.cholesky(covariance))
        rises = there[2] > elbo - FLAT
        for old, new in zip(here, there, strict=True):
            old[left[rises]] = new[rises]
        pace[left] = torch.where(rises, (1.3 * pace[left]).clamp(max=PACE), pace[left] / 2)
    raise RuntimeError(f"{len(left)} of {len(x)} images still climb after {MOST_STEPS} steps")


def dissect(model: VAE, x: Tensor) -> Dissection:
    """Split log p(x) − bound. Climbs start at the posterior's mean and at its mode, then also at
    the best diagonal q. Raises as `best_posterior`. Source: Cremer et al. 2018. Book: eq-gaps.
    """
    exact, best = log_evidence(model, x), [model.encoder(x)]
    nodes, weights = (part[::7] for part in exact.rule)  # a start needs no more
    log_density = log_posterior(model, x, Rule(nodes, weights))  # (n, batch)
    mean = (log_density.exp() * weights[:, None]).mT @ nodes  # (batch, latent)
    starts = [(place, _root(best[0])) for place in (mean, nodes[log_density.argmax(0)])]
    elbos = [exact_bound(model, x, best[0]).elbo]
    for family in (DiagonalPosterior, FullPosterior):
        climbs = [best_posterior(model, x, _gaussian(family, *start)) for start in starts]
        height, first = torch.stack([exact_bound(model, x, q).elbo for q in climbs]).max(0)
        parts = (torch.stack(part)[first, range(len(x))] for part in zip(*climbs, strict=True))
        best.append(family(*parts))
        elbos.append(height)  # (batch,)
        starts.append((best[-1].mean, _root(best[-1])))
    return Dissection(exact, tuple(best), torch.stack(elbos))


def _table(model: VAE, x: Tensor, z: Tensor) -> Tensor:
    blocks = z.split(BLOCK)  # bounds the memory
    return torch.cat([model.pixels.log_likelihood_table(x, model.decoder(b), b) for b in blocks])


def _root(posterior: Posterior) -> Tensor:
    full = isinstance(posterior, FullPosterior)
    return posterior.cholesky if full else (0.5 * posterior.log_variance).exp().diag_embed()


def _gaussian(family: type, mean: Tensor, root: Tensor) -> Posterior:
    return family(mean, root if family is FullPosterior else root.square().sum(-1).log())
