"""Least squares, for what a loss is made of and for what its gradient is made of."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

TINY = torch.finfo(torch.float64).tiny
GRADIENT_ROUNDING = 1e-6  # of a gradient in float32, as a part of its length


class Fit(NamedTuple):
    """loss = a · error + w · KL + c, with the standard errors of (a, w, c)."""

    coefficients: tuple[float, float, float]
    standard_errors: tuple[float, float, float]
    unexplained: float  # share of the loss's variance over batches


def regress(error: Tensor, kl: Tensor, loss: Tensor, error_noise: float = 0.0) -> Fit:
    """Least squares of losses on (error, KL, 1), each (batches,).

    `error_noise` is the variance of the noise in `error`, which would pull its coefficient towards
    0 and is taken out of the moments. Where a regressor does not vary, its coefficient is 0 and
    its standard error infinite. Source: Fuller 1987, Measurement Error Models, section 1.2.

    >>> error, kl = torch.tensor([[1.0, 2, 4, 7], [3.0, 1, 1, 2]], dtype=torch.float64)
    >>> [round(number, 6) for number in regress(error, kl, 2 * error - kl + 5).coefficients]
    [2.0, -1.0, 5.0]
    """
    solved = solve(error, kl, loss, torch.tensor(error_noise))
    rounding = _rounding(loss)
    variance = max(solved.rest.item() / max(len(loss) - 3, 1), rounding**2)
    deviations = (variance * solved.inverse.diagonal()).sqrt() / solved.scale
    deviations = torch.where(solved.constant, math.inf, deviations)
    a, w = (solved.slopes / solved.scale).tolist()
    center, level = solved.center, loss.double().mean().item()
    center_se = torch.where(solved.constant, 0.0, deviations * center).norm().item()
    c_se = math.hypot(center_se, math.sqrt(variance / len(loss)))
    return Fit(
        (a, w, level - a * center[0].item() - w * center[1].item()),
        (*deviations.tolist(), c_se),
        (solved.rest / total_squares(loss)).item(),
    )


class Solved(NamedTuple):
    """Normal equations, solved for standardised regressors: (..., 2) for error and KL."""

    slopes: Tensor  # (..., 2), for one standard deviation each
    inverse: Tensor  # (..., 2, 2), of the moments
    center: Tensor  # (..., 2)
    scale: Tensor  # (..., 2)
    constant: Tensor  # (..., 2), where a regressor does not vary
    rest: Tensor  # (...), the sum of squared residuals


def solve(error: Tensor, kl: Tensor, loss: Tensor, error_noise: Tensor) -> Solved:
    """Least squares for many regressors at once: error and kl (..., batches), loss (batches,)."""
    features = torch.stack([error, kl], dim=-1).double()  # (..., batches, 2)
    response = loss.double() - loss.double().mean()
    center, scale = features.mean(-2), features.std(-2)
    constant = scale <= 1e-9 * features.abs().mean(-2)  # rounding, not variation
    scale = torch.where(constant, 1.0, scale)
    standard = (features - center[..., None, :]) / scale[..., None, :]
    standard = torch.where(constant[..., None, :], 0.0, standard)
    moments = standard.mT @ standard  # (..., 2, 2)
    noise = len(loss) * error_noise / scale[..., 0].square()
    moments[..., 0, 0] -= torch.minimum(noise, 0.9 * moments[..., 0, 0])
    inverse = torch.linalg.pinv(moments, hermitian=True)
    slopes = (inverse @ (standard.mT @ response)[..., None])[..., 0]
    residual = response - (standard @ slopes[..., None])[..., 0]
    return Solved(slopes, inverse, center, scale, constant, residual.square().sum(-1))


def _rounding(loss: Tensor) -> float:
    return torch.finfo(torch.float32).eps * loss.abs().mean().item()


def rounded(loss: Tensor) -> float:
    """The share of a loss's variance that rounding it to float32 makes."""
    return len(loss) * _rounding(loss) ** 2 / total_squares(loss)


def total_squares(loss: Tensor) -> float:
    """The sum of squares about the mean, or what rounding makes of it."""
    return max((loss - loss.mean()).square().sum().item(), _rounding(loss) ** 2, TINY)


def project(target: Tensor, terms: Tensor) -> tuple[Tensor, Tensor, float]:
    """Coefficients of terms (k, n) in a target (n,), their standard errors, and the relative rest.

    The rest is ‖target − terms · coefficients‖ / ‖target‖. Rounding in float32 is allowed for.

    >>> terms = torch.tensor([[1.0, 0, 0], [0, 2, 0]], dtype=torch.float64)
    >>> project(torch.tensor([3.0, 4, 0], dtype=torch.float64), terms)[0]
    tensor([3., 2.], dtype=torch.float64)
    """
    size = terms.norm(dim=-1)
    known = torch.where(size > 0, size, 1.0)
    unit = terms / known[:, None]
    inverse = torch.linalg.pinv(unit @ unit.T, hermitian=True)  # (k, k)
    parts = inverse @ unit @ target
    length = target.norm().item()
    rest = (target - parts @ unit).norm().item()
    noise = max(rest / math.sqrt(max(target.numel() - len(terms), 1)), GRADIENT_ROUNDING * length)
    errors = torch.where(size > 0, noise * inverse.diagonal().clamp(min=0).sqrt() / known, math.inf)
    return parts / known, errors, rest / length if length > 0 else 0.0
