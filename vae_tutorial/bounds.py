"""Lower bounds on log p(x), in nats an image: the evidence lower bound, and K weights averaged."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import require

STEP = 0.25  # of the trapezoidal rule in log t: its error is below 1e-11 nats
NEGLIGIBLE = -40.0  # the log of a probability that float64 loses beside 1


class Bound(NamedTuple):
    """The evidence lower bound, elbo = log_likelihood − kl: each (batch,), in nats an image."""

    elbo: Tensor
    log_likelihood: Tensor
    kl: Tensor


class Estimate(NamedTuple):
    """An average over independent repetitions, and its standard error, of equal shape."""

    mean: Tensor
    standard_error: Tensor


def evidence_lower_bound(log_likelihood: Tensor, kl: Tensor) -> Bound:
    """Combine log p(x|z) of K draws (K, batch) and KL(q ‖ p(z)) (batch,).

    Each term of the Bound is (batch,), in nats. Raises ValueError or
    TypeError on bad input.
    Source: Kingma & Welling 2014, eq. 3. Book: vae8, eq-jensen.
    """
    require.finite("log_likelihood", log_likelihood)
    require.finite("kl", kl)
    if log_likelihood.ndim < 1 or log_likelihood.shape[1:] != kl.shape:
        seen = f"{tuple(log_likelihood.shape)} and {tuple(kl.shape)}"
        needed = "log_likelihood must be (K, batch) and kl (batch,)"
        raise ValueError(f"{needed}, got {seen}")
    average = log_likelihood.mean(0)  # (batch,)
    return Bound(average - kl, average, kl)


def importance_weighted_bound(log_weight: Tensor) -> Tensor:
    """log of the average of K weights p(x, z) / q(z|x), in log space: (K, batch) to (batch,), nats.

    Its expectation is L_K: the evidence lower bound at K = 1, rising to log p(x).
    Raises ValueError or TypeError on bad input.
    Source: Burda et al. 2016, eq. 8. Book: eq-importance-weight, eq-importance-bound.
    """
    require.finite("log_weight", log_weight)
    if log_weight.ndim < 1:
        raise ValueError("log_weight must be (K, batch), got a scalar")
    return log_weight.logsumexp(0) - math.log(log_weight.shape[0])  # (batch,)


def exact_importance_weighted_bound(
    log_weight: Tensor, log_probability: Tensor, num_samples: Sequence[int]
) -> Tensor:
    """L_K without draws: the expectation of `importance_weighted_bound`, for each K asked, in nats.

    z takes n values, such as the nodes of a quadrature rule, with the given log-weights (n,) and
    log-probabilities (n,), which are rescaled to sum to one; `num_samples` lists m values of K.
    Returns (m,), float64. Raises ValueError or TypeError on bad input.
    Source: Merhav & Sason 2020. Book: eq-exact-bound, eq-bias.
    """
    require.finite("log_weight", log_weight)
    require.finite("log_probability", log_probability)
    if log_weight.ndim != 1 or log_weight.shape != log_probability.shape:
        seen = f"{tuple(log_weight.shape)} and {tuple(log_probability.shape)}"
        raise ValueError(f"log_weight and log_probability must both be (n,), got {seen}")
    for count in num_samples:
        require.count("each entry of num_samples", count)
    log_probability = log_probability.double().log_softmax(0)
    log_mean = (log_weight + log_probability).logsumexp(0)
    relative = log_weight - log_mean  # (n,), the logs of weights with mean one
    low = -float(relative.max()) - 25
    high = -float(relative[log_probability > NEGLIGIBLE].min()) + 5
    log_t = torch.arange(low, high, STEP, dtype=torch.float64)[:, None].to(
        log_probability
    )  # (steps, 1)
    blocks = log_t.split(1024)  # bounds the memory: no more than 1024 rows of n at a time
    missing = torch.cat(
        [-(-(rows + relative).exp()).expm1() @ log_probability.exp() for rows in blocks]
    )  # (steps,), 1 − φ(t), which keeps its digits where K is large and only small t count
    log_transform = (-missing.clamp(max=1)).log1p()[:, None]  # (steps, 1)
    count = log_probability.new_tensor(list(num_samples))  # (m,)
    integrand = (-count * log_t.exp()).exp() - (count * log_transform).exp()  # (steps, m)
    return log_mean + STEP * integrand.sum(0)  # (m,)


def average(draws: Tensor) -> Estimate:
    """The mean of n independent draws, with its standard error: (n, ...) to (...) each.

    Raises ValueError or TypeError on bad input or fewer than two draws. Book: eq-standard-error.
    """
    require.finite("draws", draws)
    if draws.ndim < 1 or len(draws) < 2:
        raise ValueError(f"draws needs two entries on its first axis, got {tuple(draws.shape)}")
    return Estimate(draws.mean(0), draws.std(0) / math.sqrt(len(draws)))
