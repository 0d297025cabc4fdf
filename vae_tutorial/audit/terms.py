"""What a loss may be made of: errors, KLs, and ways to draw z, the right ones and mistakes.

Each is computed on a batch as the caller's loss would have it, with the noise that the loss draws.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_tutorial.audit.subject import Likelihood, NotGivenError, Subject
from vae_tutorial.gaussians import kl_to_standard_normal
from vae_tutorial.likelihoods import softplus_sum
from vae_tutorial.models import DiagonalPosterior, Posterior, log_prior

Terms = dict[str, Tensor]  # the name of a candidate → its value on a batch, a scalar

# What an image's KL may be charged as: mean and log-variance (batch, latent) to (batch,)

RIGHT = "the KL in closed form"
SAMPLED = "log q(z|x) − log p(z) at the drawn z"


def _half_sum(mean: Tensor, variance: Tensor, log_variance: Tensor) -> Tensor:
    return 0.5 * (mean.square() + variance - 1 - log_variance).sum(-1)


FORMULAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "(log σ)² for log σ²": lambda m, v: _half_sum(m, v.exp(), (0.5 * v).square()),
    "(log σ²)² for log σ²": lambda m, v: _half_sum(m, v.exp(), v.square()),
    "log σ² read as log σ": lambda m, v: _half_sum(m, (2 * v).exp(), 2 * v),
    "σ for σ²": lambda m, v: _half_sum(m, (0.5 * v).exp(), 0.5 * v),
    "log σ² read as σ": lambda m, v: _half_sum(m, v.square(), v.square().log()),
    "log σ² read as σ²": lambda m, v: _half_sum(m, v, v.abs().log()),
    "log σ for log σ²": lambda m, v: _half_sum(m, v.exp(), 0.5 * v),
    "no log σ²": lambda m, v: _half_sum(m, v.exp(), torch.zeros_like(v)),
    "no variance": lambda m, v: 0.5 * m.square().sum(-1),
    "no mean": lambda m, v: _half_sum(torch.zeros_like(m), v.exp(), v),
    "the mean not squared": lambda m, v: 0.5 * (m + v.exp() - 1 - v).sum(-1),
    "the sign of one term": lambda m, v: _half_sum(m, -v.exp(), v),
    "KL(p‖q) for KL(q‖p)": lambda m, v: kl_to_standard_normal(m * (-0.5 * v).exp(), -v),
}

# How z may be drawn: a posterior and the noise's maker to z (batch, latent)

Draw = Callable[[DiagonalPosterior, Callable[..., Tensor]], Tensor]
DRAWN, AT_THE_MEAN, THE_CALLERS = "drawn", "the mean, without noise", "draw(x)"
STILL = "the mean, in evaluation mode"  # and in training mode something that cannot be repeated
OTHER_DRAWS: dict[str, Draw] = {
    "log σ² read as log σ": lambda q, noise: q.mean + q.log_variance.exp() * noise(torch.randn),
    "log σ² read as σ": lambda q, noise: q.mean + q.log_variance * noise(torch.randn),
    "uniform noise": lambda q, noise: q.mean + (0.5 * q.log_variance).exp() * noise(torch.rand),
}

# What an image's error may be

OWN, SQUARED, SIGMOID = "−log p(x|z)", "squared error", "squared error of the sigmoid"
LOGITS, PROBABILITIES = "cross-entropy of logits", "cross-entropy of probabilities"
ABSOLUTE, ROOT = "absolute error", "root of an image's squared error"
LOSS = "loss"  # beside them, in rows of a table
LOGARITHM = "(pixels / 2) log of the batch's squared error"
IN_NATS = (OWN, LOGITS, PROBABILITIES, LOGARITHM)  # of which the bound has as much as of the KL


# The regressors of one batch


def kl_terms(posterior: Posterior, z: Tensor) -> Terms:
    """Each candidate of the KL, averaged over a batch: the right ones first, then mistakes."""
    sampled = posterior.log_density(z[None])[0] - log_prior(z)  # (batch,)
    terms = {RIGHT: posterior.kl_to_prior().mean(), SAMPLED: sampled.mean()}
    if isinstance(posterior, DiagonalPosterior):
        terms |= {
            name: formula(posterior.mean, posterior.log_variance).mean()
            for name, formula in FORMULAS.items()
        }
    return terms


def error_terms(subject: Subject, x: Tensor, z: Tensor) -> Terms:
    """Each candidate of the error of images x (batch, …) at z (batch, latent), over the batch.

    All are averages of a sum over pixels, except the logarithm, which is taken of the batch.
    """
    target = x.reshape(len(x), -1).double()
    answer = subject.decoded(z)
    stated = likelihood_of(subject)
    terms: Terms = {}  # what is stated comes first
    if isinstance(answer, Distribution) or (stated and stated.log_probability):
        terms[OWN] = -subject.log_likelihood(x, z[None])[0].mean()
    if isinstance(answer, Distribution):
        answer = answer.mean
    flat = answer.reshape(len(x), -1).double()
    cross_entropy = (softplus_sum(flat) - (target * flat).sum(-1)).mean()
    if stated and stated.name == "bernoulli":
        terms[LOGITS] = cross_entropy
    squares = (target - flat).square().sum(-1)  # (batch,)
    terms[SQUARED] = squares.mean()
    terms[SIGMOID] = (target - flat.sigmoid()).square().sum(-1).mean()
    terms[LOGITS] = cross_entropy
    if flat.min() >= 0 and flat.max() <= 1:
        terms[PROBABILITIES] = _cross_entropy(target, flat).mean()
    terms[ABSOLUTE] = (target - flat).abs().sum(-1).mean()
    terms[ROOT] = squares.sqrt().mean()
    terms[LOGARITHM] = 0.5 * subject.pixels * squares.mean().log()
    return terms


def _cross_entropy(target: Tensor, probability: Tensor) -> Tensor:
    least = -100.0  # where torch's own cross-entropy cuts a logarithm
    on, off = probability.log().clamp(min=least), (-probability).log1p().clamp(min=least)
    return -(target * on + (1 - target) * off).sum(-1)


def likelihood_of(subject: Subject) -> Likelihood | None:
    """The p(x|z) that was given, or None where it was not."""
    try:
        return subject.likelihood
    except NotGivenError:
        return None


def draw_with(subject: Subject, x: Tensor, posterior: Posterior, draw: str, seed: int) -> Tensor:
    """z (batch, latent) of a batch, by the noise that a loss draws first after the same seed."""
    answer = subject.encode(x[:2])  # two, for layers that normalise a batch
    kind = getattr(answer, "mean", answer)  # of a distribution
    kind = kind.dtype if isinstance(kind, Tensor) else answer[0].dtype
    seed_noise(x, seed)
    if draw == THE_CALLERS:
        z = subject.draw_of(x).double()
        rest = (z - posterior.mean)[..., None]  # (batch, latent, 1)
        theirs = torch.linalg.solve_triangular(posterior.root, rest, upper=False)[..., 0].detach()
        return posterior.draw(theirs[None])[0]  # their values, with our gradient

    def noise(law: Callable[..., Tensor]) -> Tensor:
        shape = (len(x), *subject.latent_shape)  # as the model has it: so the same numbers
        return law(shape, dtype=kind, device=x.device).flatten(1).double()

    if draw in (AT_THE_MEAN, STILL):
        return posterior.mean
    if draw == DRAWN or not isinstance(posterior, DiagonalPosterior):
        return posterior.draw(noise(torch.randn)[None])[0]
    return OTHER_DRAWS[draw](posterior, noise)


def seed_noise(x: Tensor, seed: int) -> None:
    """The seed of torch's own noise; on a processor alone, where it is a hundred times faster."""
    if x.device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
