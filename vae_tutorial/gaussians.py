"""Log-densities, entropies and KL divergences of Gaussians, in nats.

A diagonal Gaussian is a mean and a log-variance, both (..., d). A full one is a mean (..., d) and
the Cholesky factor L of its covariance (..., d, d): nothing is inverted. Leading axes broadcast,
and a log-variance may be a scalar or have one entry, which all d coordinates then share.
"""

import math

import torch
from torch import Tensor

from vae_tutorial import require

LOG_TWO_PI = math.log(2 * math.pi)


@require.shapes(x="... d", mean="... d", log_variance="... d|1")
def log_normal(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Score x by a diagonal Gaussian: log N(x; mean, diag(exp(log_variance))), in nats.

    The d coordinates are summed: x and mean (..., d), log_variance (..., d) or shared, to (...).
    Source: Bishop 2006, eq. 2.43. Book: eq-log-normal.

    >>> x = torch.tensor([[0.0, 0.0], [1.0, -1.0]])
    >>> density = log_normal(x, torch.zeros(2), torch.tensor(0.0))
    >>> print([f"{nats:.4f}" for nats in density])
    ['-1.8379', '-2.8379']
    """
    whitened = (x - mean) * (-0.5 * log_variance).exp()  # (..., d)
    return -0.5 * (whitened.square() + log_variance + LOG_TWO_PI).sum(-1)  # (...)


@require.shapes(x="... d", mean="... d", cholesky="... d d: cholesky")
def log_normal_full(x: Tensor, mean: Tensor, cholesky: Tensor) -> Tensor:
    """Score x by a full Gaussian: log N(x; mean, L Lᵀ) with L = `cholesky`, in nats.

    x and mean (..., d), cholesky (..., d, d), to (...).
    Source: Bishop 2006, eq. 2.43. Book: eq-log-normal.

    >>> two = 2 * torch.eye(2)  # deviations of 2, so each variance is 4
    >>> print(f"{log_normal_full(torch.zeros(2), torch.zeros(2), two):.4f}")
    -3.2242
    """
    squared = _solve(cholesky, x - mean).square().sum(-1)  # (...)
    return -0.5 * (squared + _log_determinant(cholesky) + x.shape[-1] * LOG_TWO_PI)


@require.shapes(log_variance="... d")
def entropy(log_variance: Tensor) -> Tensor:
    """The entropy of a diagonal Gaussian, in nats: log_variance (..., d) to (...).

    Source: Bishop 2006, eq. 1.110. Book: eq-entropy.

    >>> print(f"{entropy(torch.zeros(1)):.4f}")
    1.4189
    """
    return 0.5 * (log_variance + LOG_TWO_PI + 1).sum(-1)


@require.shapes(mean="... d", log_variance="... d|1")
def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The KL divergence of a diagonal Gaussian to N(0, I), in nats.

    mean (..., d), log_variance (..., d) or shared, to (...).
    Source: Doersch 2016, eq. 7. Book: eq-kl-standard.

    >>> means = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    >>> kl_to_standard_normal(means, torch.zeros(2))
    tensor([0.0000, 2.5000])
    """
    spread = log_variance.expm1() - log_variance  # σ² − 1 − log σ², never below 0
    return 0.5 * (spread + mean.square()).sum(-1)  # (...)


@require.shapes(
    mean="... d", log_variance="... d|1", other_mean="... d", other_log_variance="... d|1"
)
def kl_between(
    mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor
) -> Tensor:
    """The KL divergence of one diagonal Gaussian to another, in nats.

    Means (..., d), log-variances (..., d) or shared, to (...).
    Source: Doersch 2016, eq. 6. Book: eq-kl-gaussians, eq-bregman.

    >>> zero, one = torch.zeros(3), torch.ones(3)
    >>> kl_between(zero, torch.tensor(0.0), one, torch.tensor(0.0))
    tensor(1.5000)
    """
    shift = (mean - other_mean) * (-0.5 * other_log_variance).exp()  # in the other's deviations
    return kl_to_standard_normal(shift, log_variance - other_log_variance)


@require.shapes(mean="... d", cholesky="... d d: cholesky")
def kl_to_standard_normal_full(mean: Tensor, cholesky: Tensor) -> Tensor:
    """The KL divergence of a full Gaussian N(mean, L Lᵀ) to N(0, I), in nats.

    mean (..., d), L = `cholesky` (..., d, d), to (...).
    Source: Doersch 2016, eq. 7. Book: eq-kl-standard.

    >>> kl_to_standard_normal_full(torch.ones(2), torch.eye(2))
    tensor(1.)
    """
    trace = cholesky.square().sum((-2, -1))  # tr(L Lᵀ) is the sum of all squared entries of L
    return 0.5 * (trace + mean.square().sum(-1) - mean.shape[-1] - _log_determinant(cholesky))


@require.shapes(
    mean="... d",
    cholesky="... d d: cholesky",
    other_mean="... d",
    other_cholesky="... d d: cholesky",
)
def kl_between_full(
    mean: Tensor, cholesky: Tensor, other_mean: Tensor, other_cholesky: Tensor
) -> Tensor:
    """The KL divergence of one full Gaussian to another, from their factors L and M, in nats.

    Means (..., d), factors (..., d, d), to (...); the covariances are L Lᵀ and M Mᵀ.
    Source: Doersch 2016, eq. 6. Book: eq-kl-gaussians, eq-whitened.

    >>> one, half = torch.eye(2), torch.eye(2) / 2
    >>> kl_between_full(torch.zeros(2), half, torch.ones(2) / 2, half)
    tensor(1.)
    """
    ratio = torch.linalg.solve_triangular(other_cholesky, cholesky, upper=False)  # M⁻¹ L
    return kl_to_standard_normal_full(_solve(other_cholesky, mean - other_mean), ratio)


@require.shapes(covariance="... d d: symmetric")
def cholesky_factor(covariance: Tensor) -> Tensor:
    """The lower-triangular L with L Lᵀ = covariance, (..., d, d).

    Raises ValueError unless the covariance is symmetric and positive definite. Book: eq-whitened.

    >>> cholesky_factor(torch.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed.any():
        smallest = float(torch.linalg.eigvalsh(covariance).min())
        raise ValueError(
            f"covariance must be positive definite, but its smallest eigenvalue is {smallest:.3g}"
        )
    return factor


def _solve(cholesky: Tensor, x: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(cholesky, x.unsqueeze(-1), upper=False).squeeze(-1)


def _log_determinant(cholesky: Tensor) -> Tensor:
    return 2 * cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # log det(L Lᵀ)
