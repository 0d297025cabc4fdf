"""The average of K importance weights: a bound on log p(x) that rises with K, in nats an image."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vae_tutorial import require

STEP = 0.25  # of the trapezoidal rule in log t: its error is below 1e-11 nats
NEGLIGIBLE = -40.0  # the log of a probability that float64 loses beside 1
# Over log t the integrand is at most K t. Where t · the largest weight is below exp(−25), what is
# left out is therefore below K · 2e-11 nats, because the largest weight is at least their mean, 1.
TAIL_BELOW = 25.0
# Where t · the smallest weight is above exp(5), both terms are below exp(−exp(5)) < 1e-64.
TAIL_ABOVE = 5.0
ROWS = 1024  # steps that are evaluated at once, n entries each, which bounds the memory


@require.shapes(log_weight="K *batch")
def importance_weighted_bound(log_weight: Tensor) -> Tensor:
    """The log of the average of K weights p(x, z) / q(z|x), taken in log space.

    log_weight (K, batch) to (batch,), in nats. Its expectation is L_K: the evidence lower bound at
    K = 1, rising to log p(x). Source: Burda et al. 2016, eq. 8. Book: eq-importance-weight,
    eq-importance-bound.

    >>> weights = torch.tensor([[0.2], [0.4]])
    >>> print(f"{float(importance_weighted_bound(weights.log()).exp()):.4f}")
    0.3000
    """
    return log_weight.logsumexp(0) - math.log(log_weight.shape[0])  # (batch,)


@require.shapes(log_weight="n", log_probability="n", num_samples="counts")
def exact_importance_weighted_bound(
    log_weight: Tensor, log_probability: Tensor, num_samples: Sequence[int]
) -> Tensor:
    """Compute L_K without draws: the expectation of `importance_weighted_bound`, in nats.

    z takes n values, such as the nodes of a quadrature rule, with the given log-weights (n,) and
    log-probabilities (n,), which are rescaled to sum to one; `num_samples` lists m values of K.
    Returns (m,), float64. Source: Merhav & Sason 2020. Book: eq-exact-bound, eq-bias.

    >>> weights = torch.tensor([1.0, 3.0])  # each with probability 1/2
    >>> exact = exact_importance_weighted_bound(weights.log(), torch.zeros(2), [1, 1000])
    >>> print([f"{nats:.3f}" for nats in exact])  # log √3, and almost log 2
    ['0.549', '0.693']
    """
    log_probability = log_probability.double().log_softmax(0)
    log_mean = (log_weight + log_probability).logsumexp(0)
    relative = log_weight - log_mean  # (n,), the logs of weights with mean one
    low = -float(relative.max()) - TAIL_BELOW
    high = -float(relative[log_probability > NEGLIGIBLE].min()) + TAIL_ABOVE
    log_t = torch.arange(low, high, STEP, dtype=torch.float64, device=relative.device)
    log_t = log_t[:, None]  # (steps, 1)
    blocks = [
        -(-(rows + relative).exp()).expm1() @ log_probability.exp() for rows in log_t.split(ROWS)
    ]
    missing = torch.cat(blocks)  # (steps,), 1 − φ(t), whose digits count where K is large
    log_transform = (-missing.clamp(max=1)).log1p()[:, None]  # (steps, 1)
    count = log_probability.new_tensor(list(num_samples))  # (m,)
    integrand = (-count * log_t.exp()).exp() - (count * log_transform).exp()  # (steps, m)
    return log_mean + STEP * integrand.sum(0)  # (m,)
