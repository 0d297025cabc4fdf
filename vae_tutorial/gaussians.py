"""Log-densities, entropies and KL divergences of Gaussians, in nats.

A diagonal Gaussian is a mean and a log-variance, both (..., d). A full one is a mean (..., d) and
the Cholesky factor L of its covariance (..., d, d): nothing is inverted. Leading axes broadcast.
"""

import math

import torch
from torch import Tensor

from vae_tutorial import require

LOG_TWO_PI = math.log(2 * math.pi)


def log_normal(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(x; mean, diag(exp(log_variance))), summed over the last axis: (..., d) to (...), nats.

    `log_variance` may be a scalar or have one entry, shared by all d coordinates.
    Raises ValueError or TypeError on bad input. Source: Bishop 2006, eq. 2.43. Book: eq-log-normal.
    """
    require.event("x", x)
    require.event("mean", mean, x.shape[-1])
    log_variance = _expand("log_variance", log_variance, x.shape[-1])
    _require_broadcast(x, mean, log_variance)
    whitened = (x - mean) * (-0.5 * log_variance).exp()  # (..., d)
    return -0.5 * (whitened.square() + log_variance + LOG_TWO_PI).sum(-1)  # (...)


def log_normal_full(x: Tensor, mean: Tensor, cholesky: Tensor) -> Tensor:
    """log N(x; mean, L Lᵀ) with L = `cholesky` (..., d, d): (..., d) to (...), in nats.

    Raises ValueError or TypeError on bad input. Source: Bishop 2006, eq. 2.43. Book: eq-log-normal.
    """
    require.event("x", x)
    require.event("mean", mean, x.shape[-1])
    require.cholesky("cholesky", cholesky, x.shape[-1])
    _require_broadcast(x, mean, cholesky[..., 0])
    squared = _solve(cholesky, x - mean).square().sum(-1)  # (...)
    return -0.5 * (squared + _log_determinant(cholesky) + x.shape[-1] * LOG_TWO_PI)


def entropy(log_variance: Tensor) -> Tensor:
    """Entropy of a diagonal Gaussian: log_variance (..., d) to (...), in nats.

    Raises ValueError or TypeError on bad input. Source: Bishop 2006, eq. 1.110. Book: eq-entropy.
    """
    require.event("log_variance", log_variance)
    return 0.5 * (log_variance + LOG_TWO_PI + 1).sum(-1)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of a diagonal Gaussian to N(0, I): (..., d) each, to (...), in nats.

    Raises ValueError or TypeError on bad input.
    Source: Doersch 2016, eq. 7. Book: eq-kl-standard.
    """
    require.event("mean", mean)
    log_variance = _expand("log_variance", log_variance, mean.shape[-1])
    _require_broadcast(mean, log_variance)
    spread = log_variance.expm1() - log_variance  # σ² − 1 − log σ², never below 0
    return 0.5 * (spread + mean.square()).sum(-1)  # (...)


def kl_between(
    mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor
) -> Tensor:
    """KL of one diagonal Gaussian to another, (..., d) each, to (...), in nats.

    Raises ValueError or TypeError on bad input. Source: Doersch 2016, eq. 6.
    Book: eq-kl-gaussians, eq-bregman.
    """
    require.event("mean", mean)
    require.event("other_mean", other_mean, mean.shape[-1])
    log_variance = _expand("log_variance", log_variance, mean.shape[-1])
    other_log_variance = _expand("other_log_variance", other_log_variance, mean.shape[-1])
    _require_broadcast(mean, log_variance, other_mean, other_log_variance)
    shift = (mean - other_mean) * (-0.5 * other_log_variance).exp()  # in the other's deviations
    return kl_to_standard_normal(shift, log_variance - other_log_variance)


def kl_to_standard_normal_full(mean: Tensor, cholesky: Tensor) -> Tensor:
    """KL(N(mean, L Lᵀ) ‖ N(0, I)): mean (..., d), cholesky (..., d, d) to (...), in nats.

    Raises ValueError or TypeError on bad input. Source: Doersch 2016, eq. 7. Book: eq-kl-standard.
    """
    require.event("mean", mean)
    require.cholesky("cholesky", cholesky, mean.shape[-1])
    _require_broadcast(mean, cholesky[..., 0])
    trace = cholesky.square().sum((-2, -1))  # tr(L Lᵀ) is the sum of all squared entries of L
    return 0.5 * (trace + mean.square().sum(-1) - mean.shape[-1] - _log_determinant(cholesky))


def kl_between_full(
    mean: Tensor, cholesky: Tensor, other_mean: Tensor, other_cholesky: Tensor
) -> Tensor:
    """KL(N(mean, L Lᵀ) ‖ N(other_mean, M Mᵀ)) from the factors L and M, to (...), in nats.

    Raises ValueError or TypeError on bad input. Source: Doersch 2016, eq. 6.
    Book: eq-kl-gaussians, eq-whitened.
    """
    require.event("mean", mean)
    require.event("other_mean", other_mean, mean.shape[-1])
    require.cholesky("cholesky", cholesky, mean.shape[-1])
    require.cholesky("other_cholesky", other_cholesky, mean.shape[-1])
    _require_broadcast(mean, other_mean, cholesky[..., 0], other_cholesky[..., 0])
    ratio = torch.linalg.solve_triangular(other_cholesky, cholesky, upper=False)  # M⁻¹ L
    return kl_to_standard_normal_full(_solve(other_cholesky, mean - other_mean), ratio)


def cholesky_factor(covariance: Tensor) -> Tensor:
    """The lower-triangular L with L Lᵀ = covariance, (..., d, d).

    Raises ValueError unless the covariance is symmetric and positive definite. Book: eq-whitened.
    """
    require.symmetric("covariance", covariance)
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed.any():
        smallest = float(torch.linalg.eigvalsh(covariance).min())
        raise ValueError(
            f"covariance must be positive definite, but its smallest eigenvalue is {smallest:.3g}"
        )
    return factor


def _expand(name: str, log_variance: Tensor, width: int) -> Tensor:
    """Give a shared log-variance (a scalar or one entry) all d coordinates that sums count."""
    if log_variance.ndim == 0 or log_variance.shape[-1] == 1:
        log_variance = log_variance.expand(*log_variance.shape[:-1], width)
    require.event(name, log_variance, width)
    return log_variance


def _require_broadcast(*vectors: Tensor) -> None:
    leading = [tuple(vector.shape[:-1]) for vector in vectors]
    try:
        torch.broadcast_shapes(*leading)
    except RuntimeError as error:
        seen = ", ".join(map(str, leading))
        raise ValueError(f"leading axes must broadcast, got {seen} in argument order") from error


def _solve(cholesky: Tensor, x: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(cholesky, x.unsqueeze(-1), upper=False).squeeze(-1)


def _log_determinant(cholesky: Tensor) -> Tensor:
    return 2 * cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # log det(L Lᵀ)
