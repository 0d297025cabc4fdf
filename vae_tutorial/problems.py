"""One open problem a chapter: give a function, and it is held against an oracle.

Called without an answer, each prints what is asked for. The solutions stand nowhere in the book.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vae_tutorial import linear as linear_maps
from vae_tutorial.checks import check, check_close
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.quadrature import gauss_legendre

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
        rule = gauss_legendre(low, high, 200)
        integrand = q.log_prob(rule.nodes) + rule.nodes.abs() + math.log(2)
        total = total + (rule.weights * q.log_prob(rule.nodes).exp() * integrand).sum()
    return total


# linear


def linear(answer: Callable[[Tensor, Tensor, int], Tensor] | None = None) -> None:
    """Check the rate of the best linear VAE whose pixels have known, unequal noise.

    `answer` takes images (n, D), variances (D,) and a number of latents d, to the average KL of
    the exact posterior to the prior over the images, (), in nats. Raises AssertionError where it
    is wrong.

    >>> linear()
    open: rate(images, variances, latent) to (), in nats, for Λ = diag(variances)
    """
    if answer is None:
        print("open: rate(images, variances, latent) to (), in nats, for Λ = diag(variances)")
        return
    draws = generator(20)
    images = standard_normal((60, 4), draws) @ standard_normal((4, 4), draws) + 1
    equal, unequal = torch.full((4,), 0.5).double(), torch.tensor([0.1, 2.0, 0.7, 0.3]).double()
    for latent in (1, 2, 3):
        seen = answer(images, equal, latent)
        law = linear_maps.rate_law(linear_maps.spectrum(images).eigenvalues, equal[0], latent)
        check_close(f"equal noise, {latent} latents: the rate law", seen, law.rate, 1e-9)
    for latent in (1, 2, 3):
        seen = answer(images, unequal, latent)
        claim = f"unequal noise, {latent} latents: what a search finds"
        check_close(claim, seen, _searched_rate(images, unequal, latent), 1e-4)
    check_close("much noise: collapse", answer(images, 1000 * unequal, 2), 0.0, 1e-12)
    unit = torch.tensor([1.0, 10.0, 0.2, 3.0]).double()
    seen = answer(images * unit, unequal * unit.square(), 2)
    check_close("the unit of a pixel is free", seen, answer(images, unequal, 2), 1e-9)


def _searched_rate(images: Tensor, variances: Tensor, latent: int) -> Tensor:
    """The rate of the likeliest weight that a search finds from five starts: (), in nats."""
    centred = images - images.mean(0)
    covariance, noise = centred.mT @ centred / len(centred), variances.diag()

    def loss(weight: Tensor) -> Tensor:  # −2 log p(x) on average, less a constant
        total = weight @ weight.mT + noise
        return torch.logdet(total) + torch.linalg.solve(total, covariance).trace()

    def climbed(seed: int) -> Tensor:
        weight = standard_normal((len(noise), latent), generator(seed)).requires_grad_()
        search = torch.optim.LBFGS([weight], max_iter=500, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            search.zero_grad()
            value = loss(weight)
            value.backward()
            return value

        search.step(closure)
        return weight.detach()

    weight = min((climbed(seed) for seed in range(5)), key=lambda found: float(loss(found)))
    gain = weight.mT @ torch.linalg.inv(weight @ weight.mT + noise)  # (d, D)
    spread = torch.eye(latent).to(gain) - gain @ weight  # the posterior's covariance, (d, d)
    squares = (centred @ gain.mT).square().sum(-1).mean()
    return 0.5 * (spread.trace() + squares - latent - torch.logdet(spread))


# reparameterization

# training

# choices

# evaluation

# annealing

# scaling

# limits
