"""One open problem a chapter: give a function, and it is held against an oracle.

Called without an answer, each prints what is asked for. The solutions stand nowhere in the book.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from vae_tutorial import decomposition as identity
from vae_tutorial.checks import check, check_close
from vae_tutorial.marginal_likelihood import exact_evidence
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.quadrature import gauss_legendre, trapezoid

# transport

# marginal_likelihood


def marginal_likelihood(answer: Callable[..., float] | None = None) -> None:
    """How many draws of the prior a linear model needs, held against a mesh and a simulation.

    `answer(weight, variance, x, tolerance)` is for p(z) = N(0, I), p(x|z) = N(x; weight z,
    variance · I). Raises AssertionError where the answer is off by more than one draw.
    """
    if answer is None:
        print("open: write draws_needed(weight, variance, x, tolerance), the least number of")
        print("draws of the prior for which the standard deviation of p̂(x) is at most")
        print("tolerance times p(x); weight is (D, d), x is (D,). No mesh and no draws.")
        return
    for seed, variance, tolerance in ((1, 1.0, 0.1), (2, 0.2, 0.5), (3, 4.0, 0.05)):
        for latent in (1, 2):
            noise = generator(10 * seed + latent)
            weight = standard_normal((3, latent), noise)
            x = 1.5 * standard_normal((3,), noise)
            expected = _draws_by_mesh(weight, variance, x, tolerance)
            seen = float(answer(weight, variance, x, tolerance))
            claim = f"{latent} latents, variance {variance}, tolerance {tolerance}"
            check(f"{claim}: the mesh agrees", abs(seen - expected) <= 1 + 1e-6 * expected)
    noise = generator(5)
    weight, x = 0.6 * standard_normal((4, 6), noise), standard_normal((4,), noise)
    count = round(float(answer(weight, 1.0, x, 0.2)))
    check("six latents: a few hundred draws at most", 1 <= count <= 500)
    z = standard_normal((4000, count, 6), noise)  # (repetitions, draws, latent)
    nats = Normal(z @ weight.mT, torch.ones_like(x)).log_prob(x).sum(-1)
    covariance = weight @ weight.mT + torch.eye(4).to(weight)
    truth = MultivariateNormal(torch.zeros_like(x), covariance).log_prob(x)
    spread = float((nats - truth).exp().mean(1).std())
    check("six latents: 4,000 repetitions scatter by the tolerance", abs(spread / 0.2 - 1) < 0.1)


def _draws_by_mesh(weight: Tensor, variance: float, x: Tensor, tolerance: float) -> int:
    """Var[w] / E[w]² over tolerance², rounded up, where both moments of w = p(x|z) are summed."""

    def moment(power: int) -> float:  # log E[w ** power]
        def log_weight(z: Tensor) -> Tensor:  # (n, latent) to (n, 1)
            scale = x.new_tensor(variance).sqrt()
            return power * Normal(z @ weight.mT, scale).log_prob(x).sum(-1, keepdim=True)

        return float(exact_evidence(log_weight, weight.shape[1], 1e-10).log_evidence)

    return max(1, math.ceil(math.expm1(moment(2) - 2 * moment(1)) / tolerance**2))


# decomposition


def decomposition(answer: Callable[..., float] | None = None) -> None:
    """The right side of vae5 in closed form for the wave of chapter 3, held against quadrature.

    `answer(x, mean, deviation, variance)` is for p(z) = N(0, 1), p(x|z) = N(x; (z, sin 2z),
    variance · I) and q = N(mean, deviation²). Raises AssertionError where it is off by 1e-9.
    """
    if answer is None:
        print("open: write wave_bound(x, mean, deviation, variance), the right side of vae5")
        print("for p(x|z) = N(x; (z, sin 2z), variance I) and q = N(mean, deviation²),")
        print("in nats and in closed form: no nodes and no draws. x is (2,).")
        return
    noise = generator(3)
    cases = (("narrow q", 0.05, 0.1), ("wide q", 2.0, 0.1), ("little noise", 0.6, 0.001))
    for claim, deviation, variance in (*cases, ("much noise", 0.6, 10.0)):
        x, mean = standard_normal((2,), noise), standard_normal((1,), noise)
        q = Normal(mean, deviation)
        model = identity.gaussian_decoder(_wave, x, variance)
        ends = float(mean) - 10 * deviation, float(mean) + 10 * deviation
        rules = trapezoid(*ends, 801), gauss_legendre(*ends, 400)
        expected = identity.decompose(model, q.log_prob, *rules).elbo
        seen = answer(x, float(mean), deviation, variance)
        check_close(claim, seen, expected, 1e-9 * max(1.0, float(expected.abs())))


def _wave(z: Tensor) -> Tensor:
    return torch.stack([z, torch.sin(2 * z)], dim=-1)  # (n,) to (n, 2)


# bounds

# weights

# gaussians

# linear

# reparameterization

# training

# choices

# evaluation

# annealing

# scaling

# limits
