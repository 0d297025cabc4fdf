"""One open problem a chapter: give a function, and it is held against an oracle.

Called without an answer, each prints what is asked for. The solutions stand nowhere in the book.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from vae_tutorial.checks import check, check_close
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.quadrature import trapezoid

# transport

# marginal_likelihood

# decomposition

# bounds

# weights

# gaussians


def gaussians(answer: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
    """Check the price of a Gaussian answer against a Laplace prior, by quadrature.

    `answer` takes mean and log_variance, (..., d) each, to (...): KL(q ‖ p) in nats for
    q = N(mean, diag(exp(log_variance))) and p(z) = ∏ ½ exp(−|z|). Raises AssertionError where it
    is wrong.

    >>> gaussians()
    open: price(mean, log_variance), (..., d) to (...), in nats: KL of a Gaussian to a Laplace prior
    """
    if answer is None:
        print(
            "open: price(mean, log_variance), (..., d) to (...), in nats: "
            "KL of a Gaussian to a Laplace prior"
        )
        return
    mean = torch.tensor([0.0, 0.3, -1.0, 2.5, -4.0], dtype=torch.float64)
    log_variance = torch.tensor([0.0, -3.0, 1.2, -0.5, 0.7], dtype=torch.float64)
    expected = torch.stack(
        [_laplace_price(*pair) for pair in zip(mean, log_variance, strict=True)]
    )  # (5,)
    seen = answer(mean[:, None], log_variance[:, None])  # (5,)
    check("one price for each of five answers", seen.shape == (5,))
    check_close("one latent: the price is the integral", seen, expected, 1e-8)
    check_close("five latents: the sum of theirs", answer(mean, log_variance), expected.sum(), 1e-7)
    again = answer(mean[:, None], log_variance[:, None])
    check_close("no draws: the same price twice", again, seen, 0.0)
    moved = mean.clone().requires_grad_()
    (slope,) = torch.autograd.grad(answer(moved, log_variance), moved)
    check_close("at mean 0 nothing is gained by moving", slope[0], 0.0, 1e-12)
    check("and gradients pull the other means towards 0", bool((slope * mean)[1:].min() > 0))


def _laplace_price(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The KL divergence of N(mean, exp(log_variance)) to the Laplace law, by its definition: ().

    The kink of |z| at 0 is an end of both intervals, so that the rule meets smooth curves alone.
    """
    deviation, total = (0.5 * log_variance).exp(), mean.new_zeros(())
    q = torch.distributions.Normal(mean, deviation)
    far = float(mean.abs() + 12 * deviation)
    for low, high in ((-far, 0.0), (0.0, far)):
        rule = trapezoid(low, high, 40_001)
        integrand = q.log_prob(rule.nodes) + rule.nodes.abs() + np.log(2)
        total = total + (rule.weights * q.log_prob(rule.nodes).exp() * integrand).sum()
    return total


# linear

# reparameterization

# training

# choices

# evaluation

# annealing

# scaling

# limits
