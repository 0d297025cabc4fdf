"""One open problem a chapter: give a function, and it is held against an oracle.

Called without an answer, each prints what is asked for. The solutions stand nowhere in the book.
"""

import itertools
import math
import weakref
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Exponential,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from vae_tutorial import adversarial as game
from vae_tutorial import decomposition as identity
from vae_tutorial import linear as linear_maps
from vae_tutorial.checks import check, check_close
from vae_tutorial.gaussians import log_normal
from vae_tutorial.marginal_likelihood import exact_evidence
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.quadrature import gauss_hermite, gauss_legendre, trapezoid
from vae_tutorial.transport import RING_DIVISOR
from vae_tutorial.zero_error import mixture

LogDensity = Callable[[Tensor], Tensor]  # z (n,) to (n,), nats, not normalised

# transport


RING_POINTS = ((0.0, 0.1), (0.6, 0.3), (-1.0, 0.1), (0.3, -1.1), (0.9, 1.2), (-1.5, 1.5))


def transport(answer: Callable | None = None) -> None:
    """Hold log p(x) of the ring with noise, answer(x, deviation): (n, 2) to (n,), to an oracle.

    The oracle integrates over the radius alone: the angle gives a Bessel function.
    """
    if answer is None:
        print("open: problems.transport(f), where f(x, deviation) takes points x (n, 2) in float64")
        print("and the noise's standard deviation to log p(x) (n,), for x = ring(z) + noise")
        return
    x = torch.tensor(RING_POINTS, dtype=torch.float64)  # (n, 2)
    length = torch.linspace(0, 15, 150_001, dtype=torch.float64)[1:]  # of z, a step above 0 on
    log_mass = length.log() - length.square() / 2 + math.log(15 / 150_000)  # (nodes,)
    place = 1 + length / RING_DIVISOR  # the radius of ring(z)
    radius = x.norm(dim=-1, keepdim=True)  # (n, 1)
    for deviation in (0.3, 0.02):
        variance = deviation**2
        around = torch.special.i0e(radius * place / variance).log()  # (n, nodes)
        log_likelihood = around - (radius - place).square() / (2 * variance)
        expected = (log_mass + log_likelihood).logsumexp(-1) - math.log(2 * math.pi * variance)
        check_close(f"log p(x), noise {deviation}", answer(x, deviation), expected, 1e-3)


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


def reparameterization(answer: Callable | None = None) -> None:
    """A slope of z in the weight of a mixture: answer(z, weight, means, deviations), (K,) to (K,).

    z is drawn from weight · N(means[0], deviations[0]²) + (1 − weight) · N(means[1], …). Asked for
    is a slope ∂z/∂weight, continuous in z, that makes the pathwise gradient right for every smooth
    function; it is held against a quadrature over z. Raises AssertionError where it is not.
    """
    if answer is None:
        print("open: answer(z, weight, means, deviations) → a slope of z in the mixture's weight")
        return
    z = torch.linspace(-12, 12, 20_001, dtype=torch.float64)  # (n,)
    near = z.abs() < 4  # farther out a difference of two tails is all rounding
    for weight, means, deviations in (
        (0.5, (-1.0, 1.0), (1.0, 1.0)),
        (0.2, (-2.0, 1.5), (0.5, 1.2)),
        (0.9, (0.0, 0.0), (0.4, 1.5)),
    ):
        laws = torch.distributions.Normal(*torch.tensor((means, deviations), dtype=z.dtype))
        first, second = laws.log_prob(z[:, None]).exp().unbind(-1)  # (n,) each
        density = weight * first + (1 - weight) * second  # (n,)
        slope = answer(z, weight, means, deviations)  # (n,)
        steps = slope[near].diff().abs() / (1 + slope[near][1:].abs())
        check("the slope does not jump", bool(steps.max() < 0.1))
        for name, function, derivative in (
            ("z", z, torch.ones_like(z)),
            ("z²", z.square(), 2 * z),
            ("tanh z", z.tanh(), 1 - z.tanh().square()),
        ):
            exact = torch.trapezoid(function * (first - second), z)
            seen = torch.trapezoid(density * derivative * slope, z)
            check_close(f"weight {weight}, gradient of E[{name}]", seen, exact, 1e-5)


# training
NESTED = (0.25, 1.0, 3.0, 9.0)  # deviations from a mean, where the oracle cuts its integral


def training(answer: Callable | None = None) -> None:
    """Hold the two parts of the average rate, answer(mean, log_variance): (n,) each, to an oracle.

    Codes have one latent. The oracle cuts the line around every mean, and sums each piece by Gauss.
    """
    if answer is None:
        print(
            "open: problems.training(f), where f(mean, log_variance) takes n codes of one latent,"
        )
        print("(n,) each in float64, to the two parts of their average rate, in nats, by no draws")
        return
    place = torch.arange(9, dtype=torch.float64) - 4.2
    cases = {
        "codes alike": (torch.full((6,), 0.7), torch.full((6,), -1.0)),
        "codes that overlap": (0.4 * place, -0.3 * place.abs()),
        "spikes": (0.9 * place, torch.full((9,), -18.0)),
        "spikes and one wide code": (0.5 * place, torch.tensor([0.0] + 8 * [-12.0])),
    }
    for name, codes in cases.items():
        mean, log_variance = (part.double() for part in codes)
        information, mismatch = answer(mean, log_variance)
        expected = _mismatch(mean, log_variance)
        rate = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).mean()
        check_close(f"{name}: mismatch with the prior", mismatch, expected, 1e-6)
        check_close(f"{name}: mutual information", information, rate - expected, 1e-6)


def _mismatch(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL(q(z) ‖ p(z)) of a mixture of n Gaussians with equal weights: (n,) each to ()."""
    deviation = (0.5 * log_variance).exp()
    around = torch.tensor(NESTED, dtype=torch.float64)
    around = torch.cat([-around.flip(0), around])  # (8,)
    cuts = (mean + deviation * around[:, None]).flatten().sort().values  # (8n,)
    unit = gauss_legendre(0, 1, 60)
    width = cuts.diff()[:, None]  # (pieces, 1)
    z = (cuts[:-1, None] + width * unit.nodes).flatten()
    weights = (width * unit.weights).flatten()
    score = log_normal(z[:, None, None], mean[:, None], log_variance[:, None])  # (nodes, n)
    log_q = score.logsumexp(-1) - math.log(len(mean))  # (nodes,)
    log_p = -0.5 * (z.square() + math.log(2 * math.pi))
    return (weights * log_q.exp() * (log_q - log_p)).sum()


# choices
def choices(answer: Callable | None = None) -> None:
    """Hold the best rates under a budget, answer(eigenvalues, variance, total), to an oracle.

    They minimise max(Σ r, total) + Σ λ exp(−2r) / 2σ² over rates r ≥ 0. The oracle halves an
    interval that holds the one level to which every axis above it is paid down.
    """
    if answer is None:
        print(
            "open: problems.choices(f), where f(eigenvalues, variance, total) takes the variances"
        )
        print(
            "of d axes (d,), σ² and the nats that are free for all latents together, to the rates"
        )
        print("(d,) that minimise max(Σ r, total) + Σ λ exp(−2r) / 2σ², each r at least zero")
        return
    eigenvalues = torch.tensor([3.0, 0.5, 1.5, 0.5, 0.02], dtype=torch.float64)
    variance = torch.tensor(0.8, dtype=torch.float64)
    for total in (0.0, 0.5, 1.5, 6.0, 40.0):
        low, high = -100.0, float(variance.log())  # the level's logarithm
        for _ in range(200):
            middle = (low + high) / 2
            spent = (0.5 * (eigenvalues.log() - middle)).clamp(min=0).sum()
            low, high = (middle, high) if spent > total else (low, middle)
        free = (0.5 * (eigenvalues.log() - high)).clamp(min=0)
        seen = answer(eigenvalues, variance, total)
        check_close(f"the rates, {total} nats free", seen, free, 1e-6)


# evaluation


def evaluation(answer: Callable[[LogDensity], tuple[float, float, float]] | None = None) -> None:
    """Check the best Gaussian of four posteriors against a scan of all Gaussians, by quadrature.

    `answer` takes an unnormalised log density of one latent, (n,) to (n,), whose mass lies between
    −6 and 6, and returns the mean and the standard deviation of the best Gaussian, and what its
    bound leaves below the log of the integral, in nats. Raises AssertionError where it is wrong.

    >>> evaluation()
    open: best(log_density) to (mean, deviation, loss),
    the best Gaussian of a posterior of one latent, and what it loses, in nats
    """
    if answer is None:
        print("open: best(log_density) to (mean, deviation, loss),")
        print("the best Gaussian of a posterior of one latent, and what it loses, in nats")
        return
    posteriors = {
        "a Gaussian": Normal(*_numbers(0.7, 0.3)).log_prob,
        "a skewed posterior": lambda z: -0.5 * z.square() - (1 + (-6 * z).exp()).log(),
        "two equal widths": _mixture((0.3, 0.7), (-1.5, 1.2), (0.3, 0.3)).log_prob,
        "a tall piece of little mass": _mixture((0.35, 0.65), (-1.0, 1.5), (0.1, 0.5)).log_prob,
    }
    means = torch.linspace(-4, 4, 161, dtype=torch.float64)
    deviations = torch.linspace(math.log(0.05), math.log(3), 83, dtype=torch.float64).exp()
    for name, log_density in posteriors.items():
        mean, deviation, loss = answer(_shifted(log_density, -7.0))
        line = trapezoid(-12.0, 12.0, 24_001)
        evidence = (log_density(line.nodes) + line.weights.log()).logsumexp(0)
        at_most = evidence - _bounds(log_density, *torch.cartesian_prod(means, deviations).T).max()
        seen = evidence - _bounds(log_density, *_numbers(mean, deviation)[:, None])
        check_close(f"{name}: the loss is that of the answer's Gaussian", loss, seen, 1e-5)
        check(f"{name}: no Gaussian of a scan loses less", bool(seen <= at_most + 1e-6))


def _shifted(log_density: LogDensity, nats: float) -> LogDensity:
    """The same density times a factor that the answer is not told."""
    return lambda z: log_density(z) + nats


def _numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _mixture(shares: tuple, means: tuple, deviations: tuple) -> MixtureSameFamily:
    pieces = Normal(_numbers(*means), _numbers(*deviations))
    return MixtureSameFamily(Categorical(_numbers(*shares)), pieces)


def _bounds(log_density: LogDensity, mean: Tensor, deviation: Tensor) -> Tensor:
    """The bounds of Gaussians (m,), by the trapezoidal rule over nine deviations each way: (m,)."""
    noise, weights = trapezoid(-9.0, 9.0, 301)
    law = (Normal(*_numbers(0, 1)).log_prob(noise) + weights.log()).exp()  # (301,)
    z = mean[:, None] + deviation[:, None] * noise  # (m, 301)
    entropy = deviation.log() + 0.5 * math.log(2 * math.pi * math.e)  # (m,)
    return log_density(z.flatten()).reshape(z.shape) @ law + entropy


# annealing


def annealing(
    answer: Callable[[LogDensity, Tensor, torch.Generator], Tensor] | None = None,
) -> None:
    """Check that a move leaves three laws as they are, and that it forgets where it began.

    `answer` takes an unnormalised log density of one latent, (n,) to (n,), which may be −∞, chains
    z (n,), and a generator, and returns the chains after one move. Raises AssertionError where it
    is wrong; a right one fails about once in ten thousand times.

    >>> annealing()
    open: move(log_density, z, generator), z (n,) to (n,),
    a move of n chains that leaves the density invariant
    """
    if answer is None:
        print("open: move(log_density, z, generator), z (n,) to (n,),")
        print("a move of n chains that leaves the density invariant")
        return
    laws = {
        "a Gaussian": Normal(*_numbers(1.5, 0.5)),
        "two pieces": _mixture((0.3, 0.7), (-0.5, 1.0), (0.3, 0.6)),
        "one side only": Exponential(_numbers(1)[0], validate_args=False),
    }
    points = _numbers(0.1, 0.7, 1.3, 2.0)
    for seed, (name, law) in enumerate(laws.items()):
        draws = generator(seed)
        drawn = _inverse(law, torch.rand(40_000, generator=draws, dtype=torch.float64))
        starts = {"drawn from it": (drawn, 5), "all at 1": (torch.ones(4_000).to(drawn), 400)}
        for start, (z, moves) in starts.items():
            before = z
            for _ in range(moves):
                z = answer(_shifted(partial(_log_density, law), 3.0), z, draws)
            moved = (z != before).double().mean()
            check(f"{name}, {start}: most chains have moved", bool(moved > 0.5))
            share, expected = (z[:, None] < points).double().mean(0), law.cdf(points)
            error = (expected * (1 - expected) / len(z)).sqrt().clamp(min=1e-9)
            off = ((share - expected).abs() / error).max()
            check(f"{name}, {start}: after {moves} moves this is their law", bool(off < 4.5))


def _log_density(law: Distribution, z: Tensor) -> Tensor:
    """The log density, −∞ where the law has no mass."""
    inside = z >= 0 if isinstance(law, Exponential) else torch.ones_like(z, dtype=torch.bool)
    return law.log_prob(z).where(inside, -math.inf)


def _inverse(law: Distribution, uniform: Tensor) -> Tensor:
    """Draws of a law from uniform numbers (n,), by bisection of its distribution function: (n,)."""
    low, high = torch.full_like(uniform, -20.0), torch.full_like(uniform, 60.0)
    if isinstance(law, Exponential):
        low = torch.zeros_like(uniform)
    for _ in range(60):
        middle = (low + high) / 2
        below = law.cdf(middle) < uniform
        low, high = middle.where(below, low), high.where(below, middle)
    return (low + high) / 2


# rate_distortion


def rate_distortion(
    answer: Callable[[Tensor, Tensor, Tensor, float], tuple[float, float]] | None = None,
) -> None:
    """Hold limits for a run that nobody made, answer(variance, rate, error, new), to an oracle.

    The first three describe optima of one family, (k,) each, and `new` is a σ² between the ends.
    Asked for are the least and the largest loss R + E/2σ² that the family's optimum at `new` can
    have, in nats. The oracle looks at the corners of what the optima leave open to another model.

    >>> rate_distortion()
    open: limits(variance, rate, squared_error, new) to (low, high), in nats:
    what the loss of the optimum at σ² = new can be, if all that is known are the
    optima of the same family at other σ², one of them smaller and one larger
    """
    if answer is None:
        print("open: limits(variance, rate, squared_error, new) to (low, high), in nats:")
        print("what the loss of the optimum at σ² = new can be, if all that is known are the")
        print("optima of the same family at other σ², one of them smaller and one larger")
        return
    variance = _numbers(1.0, 0.3, 0.1, 0.02)
    rate, error = 5 * standard_normal((2, 300), generator(2)).abs()
    best = (rate + error / (2 * variance[:, None])).argmin(-1)  # (4,)
    families = {
        "a linear VAE": linear_maps.rate_law(_numbers(2.0, 0.7, 0.2, 0.05), variance, 3),
        "three hundred models": (rate[best], error[best]),
    }
    for name, (rates, errors) in families.items():
        for new in (0.9, 0.5, 0.2, 0.05):
            low, high = answer(variance, rates, errors, new)
            price = 1 / (2 * new)
            known = (rates + price * errors).min()
            check_close(f"{name}, {new}: the largest loss", high, known, 1e-9)
            open_to = _corners(1 / (2 * variance), rates + errors / (2 * variance))
            least = min(corner[0] + price * corner[1] for corner in open_to)
            check_close(f"{name}, {new}: the least loss", low, least, 1e-9)


def _corners(prices: Tensor, losses: Tensor) -> Iterator[tuple[float, float]]:
    """The corners (r, e) of the region where r + price · e is at least each loss, and r, e ≥ 0."""
    rows = torch.cat([torch.stack([torch.ones_like(prices), prices], -1), torch.eye(2).to(prices)])
    limits = torch.cat([losses, torch.zeros(2).to(losses)])
    for pair in itertools.combinations(range(len(rows)), 2):
        if torch.linalg.det(rows[[*pair]]).abs() > 1e-12:
            corner = torch.linalg.solve(rows[[*pair]], limits[[*pair]])
            if (rows @ corner >= limits - 1e-9).all():
                yield float(corner[0]), float(corner[1])


# zero_error


STEEPEST = 13.0  # a gap like σ⁴ falls sixteenfold where σ is halved, and one like σ² fourfold


def zero_error(answer: Callable | None = None) -> None:
    """A q whose average gap falls like σ⁴: answer(law, x, variance, noise), to z and log q(z|x).

    x is (n,), noise (k, 1) from N(0, 1); asked for are z and its log-density, (k, n) each. The
    density is held against the slope of z in the noise, and the gap at σ against that at σ/2.
    """
    if answer is None:
        print("open: answer(law, x (n,), variance, noise (k, 1)) → z and log q(z|x), (k, n) each,")
        print("with an average gap that falls like σ⁴")
        return
    rule, data = gauss_hermite(24), trapezoid(-4.5, 4.5, 181)
    noise, x = rule.nodes[:, None], data.nodes
    log_noise = -0.5 * noise.square() - 0.5 * math.log(2 * math.pi)  # (k, 1)
    for name, law in {
        "two bumps": mixture([0.5, 0.5], [-1.0, 1.0], [0.6, 0.6]),
        "a skewed law": mixture([0.6, 0.4], [-0.3, 0.8], [0.5, 0.8]),
    }.items():
        gaps = []
        for variance in (0.01, 0.0025):
            z, log_q = answer(law, x, variance, noise)  # (k, n) each
            ends = [answer(law, x, variance, noise + step)[0] for step in (1e-4, -1e-4)]
            slope = (ends[0] - ends[1]) / 2e-4  # of z in the noise
            seen = (slope.abs().log() + log_q - log_noise)[4:-4]  # without the rarest noise
            check(f"{name}: log q is the density of z", bool(seen.abs().max() < 1e-4))
            off = x - law.from_normal(z)
            log_joint = -0.5 * (off.square() / variance + z.square())
            log_joint = log_joint - 0.5 * math.log(variance) - math.log(2 * math.pi)
            gap = rule.weights @ (log_q - log_joint) + law.blurred_log_density(x, variance)
            gaps.append(float((data.weights * law.log_density(x).exp()) @ gap))
        check(f"{name}: the gap falls like σ⁴", gaps[0] > STEEPEST * gaps[1] > 0)


# coding


SLOT_CASES = (  # probabilities, and the precision r
    ((0.5, 0.3, 0.15, 0.05), 4),
    ((0.9, 0.06, 0.03, 0.01), 4),
    ((0.36, 0.33, 0.31), 5),
    ((0.969, 0.03, 0.0009, 0.0001), 5),
)


def coding(answer: Callable[[Tensor, int], Tensor] | None = None) -> None:
    """Hold whole numbers of slots, answer(share, precision): (m,), to the best that there are.

    `share` (m,) are probabilities; the slots sum to 2^precision. Small cases are held to a search
    through all of them, and a large one to every exchange of a single slot: the length is a sum of
    convex functions, so that no exchange helps at the best alone. Raises AssertionError.
    """
    if answer is None:
        print("open: problems.coding(f), where f(share, precision) takes probabilities (m,) to")
        print("whole numbers (m,), each at least 1, 2**precision together, that make the")
        print("expected length of a symbol the least possible")
        return
    for case, precision in SLOT_CASES:
        share, slots = torch.tensor(case, dtype=torch.float64), 2**precision
        given = _slots(answer, share, precision)
        cuts = itertools.combinations(range(1, slots), len(case) - 1)
        every = torch.tensor([(0, *each, slots) for each in cuts]).diff()  # (choices, m)
        least = -(share * (every / slots).log2()).sum(-1).max()
        length = -(share * (given / slots).log2()).sum()
        check_close(f"bits a symbol, {len(case)} symbols of {slots} slots", length, least, 1e-12)
    share = torch.softmax(3 * standard_normal((100,), generator(0)), 0)
    given = _slots(answer, share, 12).double()
    gain = share * ((given + 1) / given).log2()  # of a slot more, (100,)
    loss = torch.where(given > 1, share * (given / (given - 1).clamp(min=1)).log2(), math.inf)
    check("no exchange of a slot helps, 100 symbols", bool(gain.max() <= loss.min() + 1e-15))


def _slots(answer: Callable[[Tensor, int], Tensor], share: Tensor, precision: int) -> Tensor:
    given = torch.as_tensor(answer(share, precision))
    whole = given.shape == share.shape and not given.is_floating_point()
    check("whole numbers, one a symbol", bool(whole))
    check("each at least 1", bool(given.min() >= 1))
    check("all slots are given", bool(given.sum() == 2**precision))
    return given


# conditional


def conditional(answer: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None) -> None:
    """Check how much each hidden pixel would tell about z, if it were the next one to be seen.

    `answer` takes the images f(z) of n values of z, mean (n, pixels), the pixels' deviations
    (pixels,), and the shares p(z|x), mass (n,), to the mutual information of each pixel and z,
    given the x that has been seen: (pixels,), in nats. Raises AssertionError where it is wrong.

    >>> conditional()
    open: tells(mean (n, pixels), deviation (pixels,), mass (n,)) to (pixels,), in nats:
    what pixel i, seen next, would tell about z
    """
    if answer is None:
        print(
            "open: tells(mean (n, pixels), deviation (pixels,), mass (n,)) to (pixels,), in nats:"
        )
        print("what pixel i, seen next, would tell about z")
        return
    share = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    apart = torch.tensor([[0.0, 0.7], [30.0, 0.7], [-40.0, 0.7]], dtype=torch.float64)
    deviation = torch.tensor([0.5, 2.0], dtype=torch.float64)
    seen = answer(apart, deviation, share)
    check("one number for each of two pixels", seen.shape == (2,))
    entropy = -(share * share.log()).sum()
    check_close("images far apart: all there is to know", seen[0], entropy, 1e-8)
    check_close("images that agree on a pixel: nothing", seen[1], 0.0, 1e-8)
    level = torch.linspace(-9, 9, 361, dtype=torch.float64)  # a normal law of z on a fine grid
    slope = torch.tensor([2.0, 0.1], dtype=torch.float64)
    seen = answer(level[:, None] * slope, deviation, Normal(0.0, 1.0).log_prob(level).softmax(0))
    line = 0.5 * (1 + (slope / deviation).square()).log()
    check_close("an image that is linear in z: the closed form", seen, line, 1e-6)
    draws = generator(16)
    mean, deviation = (standard_normal((7, 5), draws), standard_normal((5,), draws).exp())
    share = standard_normal((7,), draws).softmax(0)
    expected = torch.stack([_told(*pixel, share) for pixel in zip(mean.mT, deviation, strict=True)])
    check_close("five pixels: the integral", answer(mean, deviation, share), expected, 1e-6)


def _told(mean: Tensor, deviation: Tensor, mass: Tensor) -> Tensor:
    """∫ p(y, z) log p(y|z)/p(y) for one pixel and n values of z, (n,) each: (), in nats."""
    reach = 12 * float(deviation)
    y, weight = trapezoid(float(mean.min()) - reach, float(mean.max()) + reach, 4001)
    each = Normal(mean, deviation).log_prob(y[:, None])  # (nodes, n)
    log_p = (each + mass.log()).logsumexp(-1, keepdim=True)  # (nodes, 1)
    return (weight[:, None] * mass * each.exp() * (each - log_p)).sum()


# adversarial


def adversarial(answer: Callable[[Tensor], Tensor] | None = None) -> None:
    """Check that a generator's loss of the logit follows likelihood, with the best D held still.

    `answer` takes logits of D*, (n,), to the losses of made images, (n,). Raises AssertionError
    where the gradient of their average is not that of KL(p ‖ p_g).
    """
    if answer is None:
        print("open: problems.adversarial(f), where f(logit) takes the logits of made images (n,),")
        print(
            "given by D* and held still, to their losses (n,): on average they follow KL(p ‖ p_g)"
        )
        return
    rule = trapezoid(-9, 9, 1801)
    data = {
        "one Gaussian": Normal(*_numbers(0.5, 0.8)),
        "two modes": _mixture((0.5, 0.5), (-2.0, 2.0), (0.6, 0.6)),
        "a skewed law": _mixture((0.7, 0.3), (-1.0, 1.5), (0.5, 0.9)),
    }
    for name, law in data.items():
        log_data = law.log_prob(rule.nodes)  # (n,)
        for place in ((0.0, 0.7), (0.8, 0.3)):
            made = partial(_gaussian_at, rule.nodes)
            parameters = torch.tensor(place, dtype=torch.float64)
            found = game.generator_gradient(made, parameters, log_data, answer, rule)
            parameters.requires_grad_()
            forward = game.divergences(log_data, made(parameters), rule).forward
            (expected,) = torch.autograd.grad(forward, parameters)
            check_close(f"{name}, p_g at {place}: the slope of KL(p ‖ p_g)", found, expected, 1e-8)


def _gaussian_at(nodes: Tensor, parameters: Tensor) -> Tensor:
    """log N(nodes; mean, width²), (n,), from the mean and the logarithm of the width (2,)."""
    return log_normal(nodes.unsqueeze(-1), parameters[:1], 2 * parameters[1:])


# principles


def principles(answer: Callable[[float], float] | None = None) -> None:
    """How far apart two images must be for one centre to leave their middle: answer(weight).

    p is N(−d/2, 1) and N(d/2, 1) in equal parts, p_g is N(c, 1), and c minimises
    KL(p ‖ p_g) + weight · (KL(p_g ‖ p) − 2 JS). Asked for is the distance d above which c = 0 is
    no longer best. Raises AssertionError where it is off by more than a thousandth.
    """
    if answer is None:
        print("open: write blur_ends(weight), the distance d of two images, in units of the noise,")
        print("above which the best single centre of the hybrid is no longer halfway between them")
        return
    for weight in (0.5, 2.0, 20.0):
        distance = float(answer(weight))
        check(f"weight {weight:g}: a distance", 0 < distance < 20)
        for share, words, blurs in ((0.999, "below", True), (1.001, "above", False)):
            gain = _gain_of_leaving(share * distance, weight)
            check(f"weight {weight:g}: just {words} it", (gain < 1e-13) == blurs)


def _gain_of_leaving(distance: float, weight: float) -> float:
    """By how much some centre is better than the middle, by quadrature: zero where none is."""
    rule = trapezoid(-20, 20, 2001)
    centres = torch.linspace(0, distance / 2, 201, dtype=torch.float64)[:, None]
    log_p = (_unit(rule.nodes, -distance / 2).exp() + _unit(rule.nodes, distance / 2).exp()) / 2
    log_p, log_made = log_p.log(), _unit(rule.nodes, centres)  # (n,) and (centres, n)
    log_middle = torch.logaddexp(log_p, log_made) - math.log(2)
    forward = (log_p.exp() * (log_p - log_made)) @ rule.weights  # (centres,)
    game = 2 * (log_middle.exp() * (log_middle - log_p)) @ rule.weights
    price = forward + weight * game
    return float(price[0] - price.min())


def _unit(x: Tensor, mean: Tensor | float) -> Tensor:
    """log N(x; mean, 1)."""
    return -0.5 * (x - mean).square() - 0.5 * math.log(2 * math.pi)


# scaling


MOST_KEPT = 3  # parts of a stream that an answer in constant memory may hold at a time


def scaling(answer: Callable | None = None) -> None:
    """The gradient of log (mean weight) of K draws, in one pass: answer(parts), to two tensors.

    parts is an iterator, to be read once, of pairs: log-weights (n,) and their gradients
    (n, parameters). Asked for are the log of the mean of all K weights, (), and its gradient,
    (parameters,). Memory may not grow with K. Held against autograd over all draws at once.
    Raises AssertionError where the two differ or where the parts were kept.
    """
    if answer is None:
        print("open: answer(parts) → log of the mean weight, and its gradient, in one pass")
        return
    for name, width, shift, missing in (
        ("weights near one", 1.0, 0.0, 0),
        ("weights that underflow", 3.0, -2000.0, 0),
        ("a weight of zero first", 2.0, 500.0, 3),
    ):
        random = generator(1)
        rows = standard_normal((60, 5), random)  # (K, parameters): the slopes of linear log-weights
        offsets = shift + width * standard_normal((60,), random).cumsum(0)  # (K,)
        offsets[:missing] = -math.inf
        at = standard_normal((5,), random).requires_grad_()
        log_weights = offsets + rows @ at  # (K,)
        exact = log_weights.logsumexp(0) - math.log(60)
        (gradient,) = torch.autograd.grad(exact, at)
        seen = answer(_once(log_weights.detach(), rows))
        check_close(f"{name}: the logarithm", seen[0], exact, 1e-9)
        check_close(f"{name}: the gradient", seen[1], gradient, 1e-9)


def _once(log_weights: Tensor, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Parts of one to seven draws; an AssertionError if more than a few are alive together."""
    alive: list[weakref.ref] = []
    sizes = [1, 2, 7, 3, 7, 5, 7, 7, 7, 7, 7]
    for one, other in zip(log_weights.split(sizes), rows.split(sizes), strict=True):
        part = one.clone(), other.clone()
        alive = [seen for seen in alive if seen() is not None]
        if len(alive) > MOST_KEPT:
            raise AssertionError(f"check failed: {len(alive)} parts are kept, so memory grows")
        alive.append(weakref.ref(part[1]))
        yield part


# mistakes


BATCHES_SEEN = 200_000  # so many that chance moves an answer by less than a tenth of the tolerance
MOST_OFF = 0.05  # of σ², as a part of it


def mistakes(answer: Callable[[Tensor, Tensor, Tensor], float] | None = None) -> None:
    """The σ² of a loss whose noise cannot be repeated: answer(losses, errors, kl), a number.

    A loss is a · (squared error) + w · KL + c, with the draw that the loss made itself. Given are
    its values (batches,), the batches' KL (batches,), and their squared errors at two other draws
    each (2, batches). Asked for is σ² = w / 2a. Raises AssertionError where it is off by 5 %.
    """
    if answer is None:
        print("open: answer(losses, errors, kl) → σ² = w / 2a, where the error in the loss is of a")
        print("draw that you have not seen, and errors (2, batches) are of two others")
        return
    for name, a, w, c, noise in (
        ("a sum, much noise", 1.0, 1.0, 0.0, 20.0),
        ("a mean, a small weight", 1 / 64, 0.025, 3.0, 10.0),
        ("a bound with its constant", 22.2, 1.0, -60.0, 2.0),
    ):
        random = generator(3)
        level, own, *others = standard_normal((4, BATCHES_SEEN), random)  # (batches,) each
        kl = 12 - level + standard_normal((BATCHES_SEEN,), random)  # a low error has a high KL
        errors = [100 + 20 * level + noise * each for each in others]
        losses = a * (100 + 20 * level + noise * own) + w * 20 * kl + c
        found = float(answer(losses, torch.stack(errors), 20 * kl))
        check_close(f"{name}: σ², relatively", found / (w / (2 * a)), 1.0, MOST_OFF)


# limits


def limits(answer: Callable | None = None) -> None:
    """Hold a curve, answer(level): (n,) to (n, 2), to what Hilbert's does to halved squares.

    Cut (0, 1) into 4, 16, 64, ... equal pieces and the unit square into as many equal boxes: each
    piece must fill a box, each box once, and neighbouring pieces boxes that share an edge.
    """
    if answer is None:
        print("open: problems.limits(f), where f(u) takes levels u (n,) in (0, 1), in float64,")
        print("to points (n, 2) of the unit square")
        return
    for depth in range(1, 7):
        pieces, inner = 4**depth, torch.tensor([0.01, 0.3, 0.7, 0.99], dtype=torch.float64)
        level = (torch.arange(pieces, dtype=torch.float64)[:, None] + inner) / pieces
        box = (answer(level.flatten()) * 2**depth).floor().reshape(pieces, 4, 2)
        check(f"each of {pieces} pieces in one box", bool((box == box[:, :1]).all()))
        entered = len(torch.unique(box[:, 0], dim=0))
        inside = bool(((box >= 0) & (box < 2**depth)).all())
        check("each box of the square entered", entered == pieces and inside)
        check(
            "neighbours share an edge", bool((box[1:, 0] - box[:-1, 0]).abs().sum(-1).eq(1).all())
        )
