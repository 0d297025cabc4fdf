"""One open problem a chapter: give a function, and it is held against an oracle.

Called without an answer, each prints what is asked for. The solutions stand nowhere in the book.
"""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from vae_tutorial.checks import check

# transport

# marginal_likelihood

# decomposition

# bounds


def bounds(answer: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None) -> None:
    """Hold `answer(joint)` against a search: the product q(z₁) q(z₂) with the highest bound.

    joint (n, m) is p(x, z₁, z₂), float64 and positive; the answer is two laws, (n,) and (m,).
    Where each cause has two values the oracle tries all products on a fine mesh; elsewhere it
    descends from many starts by a method that knows nothing of the problem's shape.
    """
    if answer is None:
        print("open: answer(joint (n, m)) → q1 (n,), q2 (m,): the product of the highest bound")
        return
    tables = {
        "two even causes": [[0.1, 0.2], [0.3, 0.1]],
        "two hills of unequal height": [[0.30, 0.01], [0.01, 0.36]],
        "a peak and a plateau": [[0.40, 0.01, 0.01], [0.01, 0.17, 0.03], [0.01, 0.03, 0.17]],
        "independent causes": [[0.06, 0.14], [0.24, 0.56]],
        "three by four": [
            [0.20, 0.01, 0.01, 0.02],
            [0.01, 0.01, 0.25, 0.01],
            [0.03, 0.01, 0.01, 0.21],
        ],
    }
    for name, rows in tables.items():
        joint = torch.tensor(rows, dtype=torch.float64)
        factors = tuple(torch.as_tensor(factor, dtype=torch.float64) for factor in answer(joint))
        shapes = [tuple(factor.shape) for factor in factors]
        check(f"{name}: two factors of the right shapes", shapes == [(n,) for n in joint.shape])
        laws = all(bool((f >= 0).all()) and abs(float(f.sum()) - 1) < 1e-9 for f in factors)
        check(f"{name}: each is a law", laws)
        reached, best = _product_bound(joint, *factors), _best_product_bound(joint)
        check(f"{name}: no product has a higher bound", float(reached) > best - 1e-6)


def _product_bound(joint: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The bound of q = first × second, (...), for factors (..., n) and (..., m), in nats."""
    product = first.unsqueeze(-1) * second.unsqueeze(-2)  # (..., n, m)
    return (product * joint.log() - torch.xlogy(product, product)).sum((-2, -1))


def _best_product_bound(joint: Tensor) -> float:
    """The highest bound of a product, by a mesh for two by two, by many descents elsewhere."""
    if joint.shape == (2, 2):
        grid = torch.linspace(0, 1, 1001, dtype=torch.float64)
        pairs = torch.stack([grid, 1 - grid], -1)  # (1001, 2)
        return float(_product_bound(joint, pairs[:, None], pairs[None, :]).max())
    # One start near every pair of values: a hill of products lies at some pair.
    starts = list(itertools.product(*(range(n) for n in joint.shape)))
    logits = [torch.zeros(len(starts), n, dtype=torch.float64) for n in joint.shape]
    for row, pair in enumerate(starts):
        for factor, value in zip(logits, pair, strict=True):
            factor[row, value] = 3
    for factor in logits:
        factor.requires_grad_()
    search = torch.optim.LBFGS(logits, max_iter=500, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        search.zero_grad()
        loss = -_product_bound(joint, *(factor.softmax(-1) for factor in logits)).sum()
        loss.backward()
        return loss

    search.step(objective)
    found = (factor.detach().softmax(-1) for factor in logits)
    return float(_product_bound(joint, *found).max())


# weights


def weights(answer: Callable[[Tensor], Tensor] | None = None) -> None:
    """Hold `answer(log_weight)` against all outcomes: an estimate with a bias below 1/K.

    log_weight (K, batch) to an estimate of log p(x), (batch,). Two laws of one weight are known,
    each with two values, so that every outcome of K draws can be listed with its probability.
    """
    if answer is None:
        print("open: answer(log_weight (K, batch)) → log p(x), (batch,), with a bias of order 1/K²")
        return
    equal = torch.full((6, 3), -800.0, dtype=torch.float64)
    seen = answer(equal)
    check("one estimate an image", tuple(seen.shape) == (3,))
    check("equal weights of exp(−800) are exact", bool((seen + 800).abs().max() < 1e-9))
    steps = torch.tensor([0.0, -1.0, 0.5, 2.0, -3.0], dtype=torch.float64)
    moved = answer(torch.stack([steps, steps + 7], 1))
    check("a common factor of the weights shifts it", abs(float(moved[1] - moved[0]) - 7) < 1e-9)
    for high, share in ((2.0, 0.5), (3.0, 0.3)):
        plain = {
            K: _bias(lambda w: w.logsumexp(0) - math.log(len(w)), high, share, K) for K in (32, 64)
        }
        bias = {K: _bias(answer, high, share, K) for K in (32, 64)}
        law = f"weights 1 and {high:g}"
        check(f"{law}: less biased than L_K", abs(bias[64]) < abs(plain[64]) / 4)
        check(f"{law}: twice the weights, a third or less", abs(bias[64]) < abs(bias[32]) / 3)


def _bias(estimate: Callable[[Tensor], Tensor], high: float, share: float, count: int) -> float:
    """The expected estimate minus the truth, when a weight is `high` with probability `share`."""
    highs = torch.arange(count + 1)  # how many of the weights are high
    weight = torch.where(torch.arange(count)[:, None] < highs, high, 1.0)  # (K, K + 1)
    probability = [
        math.comb(count, j) * share**j * (1 - share) ** (count - j) for j in highs.tolist()
    ]
    mean = torch.tensor(probability, dtype=torch.float64) @ estimate(weight.double().log())
    return float(mean) - math.log(share * high + 1 - share)


# gaussians

# linear

# reparameterization

# training

# choices

# evaluation

# annealing

# scaling

# limits
