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


@require.fields(offset="D", weight="D d", variance="(): positive")
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


@require.shapes(x="D", variance="number: positive")
def gaussian_decoder(decoder: LogDensity, x: Tensor, variance: float) -> LatentModel:
    """A model with one latent, p(z) = N(0, 1), and p(x|z) = N(x; decoder(z), variance · I).

    It is seen from x (D,); `decoder` takes z (n,) to (n, D). Book: eq-curve-model.

    >>> model = gaussian_decoder(lambda z: z.unsqueeze(-1), torch.tensor([0.5]), variance=1.0)
    >>> print(f"{float(model.log_likelihood(torch.tensor([0.5]))):.4f}")
    -0.9189
    """
    log_variance, zero = x.new_tensor(variance).log(), x.new_zeros(1)
    return LatentModel(
        log_prior=lambda z: gaussians.log_normal(z.unsqueeze(-1), zero, zero),  # (n, 1) to (n,)
        log_likelihood=lambda z: gaussians.log_normal(x, decoder(z), log_variance),
    )


def log_evidence(model: LatentModel, rule: Rule) -> Tensor:
    """log p(x) = log ∫ p(x|z) p(z) dz, summed in log space: (), in nats.

    Raises ValueError where a density of the model is NaN. Book: eq-evidence.

    >>> from vae_tutorial.quadrature import trapezoid
    >>> x = torch.zeros(1, dtype=torch.float64)  # z plus noise of variance 3: N(0, 4) at 0
    >>> model = gaussian_decoder(lambda z: z.unsqueeze(-1), x, 3.0)
    >>> print(f"{log_evidence(model, trapezoid(-8, 8, 101)):.4f}")
    -1.6121
    """
    model = _checked(model)
    log_joint = model.log_likelihood(rule.nodes) + model.log_prior(rule.nodes)  # (n,)
    return (log_joint + rule.weights.log()).logsumexp(0)


def log_posterior(model: LatentModel, rule: Rule) -> LogDensity:
    """The log-density of the posterior p(z|x), normalised by `rule`: a function of z (n,), in nats.

    Book: eq-posterior, eq-pointwise.
    """
    normaliser = log_evidence(model, rule)
    return lambda z: model.log_likelihood(z) + model.log_prior(z) - normaliser


def expectation(log_q: LogDensity, function: LogDensity, rule: Rule) -> Tensor:
    """The expectation of function(z) under q, (); the integrand is zero where q(z) is.

    Book: eq-quadrature, vae2.

    >>> from vae_tutorial.quadrature import trapezoid
    >>> normal = torch.distributions.Normal(*torch.tensor([1.0, 2.0], dtype=torch.float64))
    >>> print(f"{expectation(normal.log_prob, torch.square, trapezoid(-20, 20, 201)):.4f}")
    5.0000
    """
    density = _sound("log_q", log_q)(rule.nodes).exp()  # (n,)
    return (rule.weights * density * torch.where(density > 0, function(rule.nodes), 0.0)).sum()


def kl_divergence(log_q: LogDensity, log_p: LogDensity, rule: Rule) -> Tensor:
    """The KL divergence of q to p, (), in nats; infinite where q has mass and p has none.

    Book: eq-kl, eq-one-mode, eq-forward.

    >>> from vae_tutorial.quadrature import trapezoid
    >>> zero, one = torch.tensor([0.0, 1.0], dtype=torch.float64)
    >>> q, p = (torch.distributions.Normal(mean, one).log_prob for mean in (zero, one))
    >>> print(f"{kl_divergence(q, p, trapezoid(-8, 8, 101)):.4f}")
    0.5000
    """
    return expectation(log_q, lambda z: log_q(z) - log_p(z), rule)


def decompose(model: LatentModel, log_q: LogDensity, left: Rule, right: Rule) -> Decomposition:
    """All four terms of the identity, (): the left side by one rule, the right side by another.

    Raises ValueError where a density is NaN. Source: Doersch 2016, eq. 5.
    Book: vae3, vae4, vae5, eq-common-grid.

    >>> from vae_tutorial.quadrature import gauss_legendre, trapezoid
    >>> x = torch.tensor([0.8], dtype=torch.float64)
    >>> model = gaussian_decoder(lambda z: z.unsqueeze(-1) ** 2, x, 0.5)
    >>> q = torch.distributions.Normal(*torch.tensor([0.3, 0.7], dtype=torch.float64))
    >>> terms = decompose(model, q.log_prob, trapezoid(-8, 8, 161), gauss_legendre(-8, 8, 60))
    >>> print(f"{terms.residual.abs() < 1e-6}, {terms.log_evidence > terms.elbo}")
    True, True
    """
    model = _checked(model)
    return Decomposition(
        log_evidence=log_evidence(model, left),
        kl_to_posterior=kl_divergence(log_q, log_posterior(model, left), left),
        log_likelihood=expectation(log_q, model.log_likelihood, right),
        kl_to_prior=kl_divergence(log_q, model.log_prior, right),
    )


@require.shapes(model="fields", x="... D")
def linear_evidence(model: LinearGaussian, x: Tensor) -> Tensor:
    """log p(x) of a linear model, x (..., D) to (...), in nats.

    Source: Bishop 2006, eq. 2.115. Book: eq-linear-evidence.

    >>> model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), torch.tensor(3.0))  # N(0, 4)
    >>> print(f"{linear_evidence(model, torch.zeros(1)):.4f}")
    -1.6121
    """
    covariance = model.weight @ model.weight.mT + model.variance.expand(len(model.offset)).diag()
    return gaussians.log_normal_full(x, model.offset, gaussians.cholesky_factor(covariance))


@require.shapes(model="fields", x="... D")
def linear_posterior(model: LinearGaussian, x: Tensor) -> tuple[Tensor, Tensor]:
    """The posterior of a linear model: its mean (..., d), and its covariance as a Cholesky factor.

    The factor (d, d) is the same for every x.
    Source: Bishop 2006, eq. 2.116. Book: eq-linear-posterior.

    >>> model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), torch.tensor(1.0))
    >>> mean, cholesky = linear_posterior(model, torch.tensor([2.0]))
    >>> print(f"mean {float(mean):.4f}, variance {float(cholesky) ** 2:.4f}")
    mean 1.0000, variance 0.5000
    """
    identity = torch.eye(model.weight.shape[1]).to(x)
    precision = identity + model.weight.mT @ model.weight / model.variance  # (d, d)
    upper = gaussians.cholesky_factor(precision.flip(0, 1)).flip(0, 1)  # U Uᵀ = precision
    cholesky = torch.linalg.solve_triangular(upper.mT, identity, upper=False)  # L = U⁻ᵀ
    return (x - model.offset) @ model.weight / model.variance @ cholesky @ cholesky.mT, cholesky


@require.shapes(model="fields", x="... D", mean="... d", cholesky="... d d: cholesky")
def decompose_linear(
    model: LinearGaussian, x: Tensor, mean: Tensor, cholesky: Tensor
) -> Decomposition:
    """All four terms of the identity in closed form, (...), for q = N(mean (..., d), L Lᵀ).

    Book: vae5, eq-linear-likelihood, eq-ignoring.

    >>> model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), torch.tensor(1.0))
    >>> x = torch.tensor([2.0])
    >>> gap = decompose_linear(model, x, *linear_posterior(model, x)).kl_to_posterior
    >>> print(f"{gap.abs():.4f}")
    0.0000
    """
    to_posterior = gaussians.kl_between_full(mean, cholesky, *linear_posterior(model, x))
    to_prior = gaussians.kl_to_standard_normal_full(mean, cholesky)
    at_mean = gaussians.log_normal(x, mean @ model.weight.mT + model.offset, model.variance.log())
    trace = (model.weight @ cholesky).square().sum((-2, -1))  # tr(W L Lᵀ Wᵀ), (...)
    log_likelihood = at_mean - trace / (2 * model.variance)
    return Decomposition(linear_evidence(model, x), to_posterior, log_likelihood, to_prior)


def _checked(model: LatentModel) -> LatentModel:
    parts = model._asdict().items()
    return LatentModel(*(_sound(name, log_density) for name, log_density in parts))


def _sound(name: str, log_density: LogDensity) -> LogDensity:
    """The same function, which raises ValueError unless each of n nodes gets a number or −∞."""

    def checked(z: Tensor) -> Tensor:
        nats = log_density(z)
        if nats.shape != z.shape:
            raise ValueError(f"{name}: {len(z)} nodes need as many nats, got {tuple(nats.shape)}")
        missing = int(nats.isnan().sum())
        if missing:
            raise ValueError(
                f"{name} must be a number or −∞, but is NaN at {missing} of {len(z)} nodes"
            )
        return nats

    return checked
