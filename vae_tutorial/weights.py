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
LEAST = 1e-150  # of an exceedance: what float64 lost beside the largest weight is no less
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


@require.shapes(log_weight="n", log_probability="n", power="number")
def power_bound(log_weight: Tensor, log_probability: Tensor, power: float) -> Tensor:
    """The logarithm of a power mean of the weights, (1/t) log E_q[wᵗ]: (), in nats, float64.

    Below log p(x) for `power` t < 1, equal to it at t = 1, above it for t > 1, and the evidence
    lower bound at t = 0. Arguments are those of `exact_importance_weighted_bound`; draws count
    equally with log_probability zero, but then the value for t > 1 is too low on average.
    Source: Li & Turner 2016, with α = 1 − t; Dieng et al. 2017, for t > 1. Book: eq-power-bound.

    >>> weights = torch.tensor([1.0, 3.0])  # each with probability 1/2, of mean 2
    >>> nats = [power_bound(weights.log(), torch.zeros(2), t) for t in (0.0, 1.0, 2.0)]
    >>> print([f"{float(n.exp()):.3f}" for n in nats])  # √3, 2 and √5
    ['1.732', '2.000', '2.236']
    """
    log_probability = log_probability.double().log_softmax(0)  # (n,)
    if power == 0:
        return log_probability.exp() @ log_weight.double()
    return (power * log_weight + log_probability).logsumexp(0) / power


@require.shapes(gradient="n>=2 *rest")
def signal_to_noise(gradient: Tensor) -> Tensor:
    """|mean| / standard deviation of n independent estimates of a gradient: (n, ...) to (...).

    Source: Rainforth et al. 2018. Book: eq-signal-to-noise.

    >>> print(f"{float(signal_to_noise(torch.tensor([1.0, 2.0, 3.0]))):.4f}")
    2.0000
    """
    return gradient.mean(0).abs() / gradient.std(0)


@require.shapes(log_weight="K *batch")
def doubly_reparameterized(log_weight: Tensor) -> Tensor:
    """A value whose gradient, in the parameters of q, is on average that of L_K: to (batch,).

    log_weight (K, batch) must depend on these parameters through the draws z alone: hold them
    (`detach`) in log q(z|x). The value itself is no bound, and for the decoder it is of no use.
    Source: Tucker et al. 2019. Book: eq-doubly-reparameterized.

    >>> log_weight = torch.tensor([[0.0], [0.0]], requires_grad=True)
    >>> doubly_reparameterized(log_weight).sum().backward()
    >>> print(log_weight.grad.flatten())  # squared shares; those of L_K are 1/2 and 1/2
    tensor([0.2500, 0.2500])
    """
    share = log_weight.detach().softmax(0)  # (K, batch)
    return (share.square() * log_weight).sum(0)  # (batch,)


@require.shapes(exceedance="n>=5 *batch: nonnegative")
def generalized_pareto_shape(exceedance: Tensor) -> Tensor:
    """The shape k of a generalized Pareto law, fitted to exceedances: (n, batch) to (batch,).

    Above zero k is the weight of a tail that falls like a power, P(y > u) ~ u^(−1/k). The answer
    is the estimate of a likelihood averaged over a mesh of one parameter.
    Source: Zhang & Stephens 2009. Book: eq-pareto-tail.

    >>> uniform = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    >>> pareto = (uniform**-0.5 - 1) / 0.5  # the quantiles of shape 1/2
    >>> print(f"{float(generalized_pareto_shape(pareto)):.1f}")
    0.5
    """
    ordered = exceedance.double().sort(0).values.clamp(min=LEAST)  # (n, ...)
    count = len(ordered)
    size = 30 + math.isqrt(count)
    steps = torch.arange(1, size + 1).to(ordered) - 0.5
    steps = 1 - (size / steps).sqrt()  # (size,), of the mesh
    quartile = ordered[math.floor(count / 4 + 0.5) - 1]  # (...)
    mesh = 1 / ordered[-1] + torch.einsum("s,...->s...", steps, 1 / (3 * quartile))  # (size, ...)
    shape = torch.log1p(-mesh.unsqueeze(1) * ordered).mean(1)  # (size, ...)
    log_likelihood = count * ((-mesh / shape).log() - shape - 1)  # (size, ...)
    average = (log_likelihood.softmax(0) * mesh).sum(0)  # (...)
    return torch.log1p(-average * ordered).mean(0)


@require.shapes(log_weight="n>=25 *batch")
def pareto_shape(log_weight: Tensor) -> Tensor:
    """The diagnostic k̂ of n importance weights, from the largest of them: (n, batch) to (batch,).

    The tail are the largest min(n/5, 3√n) weights, and k̂ is drawn to 1/2 as by ten weights more.
    Above 0.7 (above 1 − 1/log₁₀ n where that is less, for n below about 2200) an average of the
    weights is not to be trusted: their variance is infinite, or would look so to far more draws.
    Equal weights, which nothing stands out of, get a k̂ far below zero.
    Source: Vehtari et al. 2024. Book: eq-pareto-tail.

    >>> normal = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(4000) + 0.5) / 4000)
    >>> print(f"{float(pareto_shape(0.5 * normal)):.1f}")  # log-normal weights of small spread
    0.1
    """
    relative = (log_weight - log_weight.amax(0)).double().exp().sort(0).values  # (n, ...)
    count = len(relative)
    tail = math.floor(min(count / 5, 3 * math.sqrt(count)))
    exceedance = relative[-tail:] - relative[-tail - 1]  # (tail, ...)
    shape = generalized_pareto_shape(exceedance)
    return (tail * shape + 5) / (tail + 10)
