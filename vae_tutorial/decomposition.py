"""log p(x) split around any q: by quadrature for one latent, in closed form for a linear model."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import gaussians, require
from vae_tutorial.quadrature import Rule

LogDensity = Callable[[Tensor], Tensor]  # z (n,) to nats (n,); −∞ where the density is zero


class LatentModel(NamedTuple):
    """A model with one latent, seen from one data point x."""

    log_prior: LogDensity  # log p(z)
    log_likelihood: LogDensity  # log p(x|z)


class LinearGaussian(NamedTuple):
    """p(z) = N(0, I), p(x|z) = N(x; weight z + offset, variance · I). Book: eq-linear-model."""

    weight: Tensor  # (D, d)
    offset: Tensor  # (D,)
    variance: Tensor  # ()


class Decomposition(NamedTuple):
    """log p(x) = (log_likelihood − kl_to_prior) + kl_to_posterior: four terms (...), in nats."""

    log_evidence: Tensor  # log p(x)
    kl_to_posterior: Tensor  # KL(q ‖ p(z|x))
    log_likelihood: Tensor  # E_q log p(x|z)
    kl_to_prior: Tensor  # KL(q ‖ p(z))

    @property
    def elbo(self) -> Tensor:
        """The right side of the identity, (...)."""
        return self.log_likelihood - self.kl_to_prior

    @property
    def residual(self) -> Tensor:
        """Left side minus right: zero for every q, NaN where both are −∞. Book: vae5."""
        return self.log_evidence - self.kl_to_posterior - self.elbo


def gaussian_decoder(decoder: LogDensity, x: Tensor, variance: float) -> LatentModel:
    """p(z) = N(0, 1), p(x|z) = N(x; decoder(z), variance · I) at x (D,). Book: eq-curve-model."""
    require.positive("variance", x.new_tensor(variance))
    log_variance, zero = x.new_tensor(variance).log(), x.new_zeros(1)
    return LatentModel(
        log_prior=lambda z: gaussians.log_normal(z.unsqueeze(-1), zero, zero),  # (n, 1) to (n,)
        log_likelihood=lambda z: gaussians.log_normal(x, decoder(z), log_variance),
    )


def log_evidence(model: LatentModel, rule: Rule) -> Tensor:
    """log p(x) = log ∫ p(x|z) p(z) dz, summed in log space: (), in nats. Book: eq-evidence."""
    log_joint = _nats(model.log_likelihood, rule) + _nats(model.log_prior, rule)  # (n,)
    return (log_joint + rule.weights.log()).logsumexp(0)


def log_posterior(model: LatentModel, rule: Rule) -> LogDensity:
    """z (n,) to log p(z|x) (n,), normalised by `rule`. Book: eq-posterior, eq-pointwise."""
    normaliser = log_evidence(model, rule)
    return lambda z: model.log_likelihood(z) + model.log_prior(z) - normaliser


def expectation(log_q: LogDensity, function: LogDensity, rule: Rule) -> Tensor:
    """E_q[function(z)], (); the integrand is zero where q(z) is. Book: eq-quadrature, vae2."""
    density = _nats(log_q, rule).exp()  # (n,)
    return (rule.weights * density * torch.where(density > 0, function(rule.nodes), 0.0)).sum()


def kl_divergence(log_q: LogDensity, log_p: LogDensity, rule: Rule) -> Tensor:
    """KL(q ‖ p), (), in nats; infinite where q has mass and p has none.

    Book: eq-kl, eq-one-mode, eq-forward.
    """
    return expectation(log_q, lambda z: log_q(z) - log_p(z), rule)


def decompose(model: LatentModel, log_q: LogDensity, left: Rule, right: Rule) -> Decomposition:
    """All four terms, (): one rule for each side. Source: Doersch 2016, eq. 5.

    Book: vae3, vae4, vae5, eq-common-grid.
    """
    return Decomposition(
        log_evidence=log_evidence(model, left),
        kl_to_posterior=kl_divergence(log_q, log_posterior(model, left), left),
        log_likelihood=expectation(log_q, model.log_likelihood, right),
        kl_to_prior=kl_divergence(log_q, model.log_prior, right),
    )


def linear_evidence(model: LinearGaussian, x: Tensor) -> Tensor:
    """log p(x), x (..., D) to (...). Source: Bishop 2006, eq. 2.115. Book: eq-linear-evidence."""
    require.positive("variance", model.variance)
    require.matrix("weight", model.weight, len(model.offset))
    covariance = model.weight @ model.weight.mT + model.variance.expand(len(model.offset)).diag()
    return gaussians.log_normal_full(x, model.offset, gaussians.cholesky_factor(covariance))


def linear_posterior(model: LinearGaussian, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (..., d), Cholesky (d, d). Source: Bishop 2006, eq. 2.116. Book: eq-linear-posterior."""
    require.positive("variance", model.variance)
    require.matrix("weight", model.weight, len(model.offset))
    require.event("x", x, len(model.offset))
    identity = torch.eye(model.weight.shape[1]).to(x)
    precision = identity + model.weight.mT @ model.weight / model.variance  # (d, d)
    upper = gaussians.cholesky_factor(precision.flip(0, 1)).flip(0, 1)  # U Uᵀ = precision
    cholesky = torch.linalg.solve_triangular(upper.mT, identity, upper=False)  # L = U⁻ᵀ
    return (x - model.offset) @ model.weight / model.variance @ cholesky @ cholesky.mT, cholesky


def decompose_linear(
    model: LinearGaussian, x: Tensor, mean: Tensor, cholesky: Tensor
) -> Decomposition:
    """All four terms, (...), for q = N(mean (..., d), L Lᵀ).

    Book: vae5, eq-linear-likelihood, eq-ignoring.
    """
    to_posterior = gaussians.kl_between_full(mean, cholesky, *linear_posterior(model, x))
    to_prior = gaussians.kl_to_standard_normal_full(mean, cholesky)
    at_mean = gaussians.log_normal(x, mean @ model.weight.mT + model.offset, model.variance.log())
    trace = (model.weight @ cholesky).square().sum((-2, -1))  # tr(W L Lᵀ Wᵀ), (...)
    log_likelihood = at_mean - trace / (2 * model.variance)
    return Decomposition(linear_evidence(model, x), to_posterior, log_likelihood, to_prior)


def _nats(log_density: LogDensity, rule: Rule) -> Tensor:
    if (values := log_density(rule.nodes)).shape != rule.nodes.shape:
        raise ValueError(f"{len(rule.nodes)} nodes need as many nats, got {tuple(values.shape)}")
    return values
