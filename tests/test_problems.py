"""The open problems: a right answer passes, and typical wrong ones are told apart from it."""

import math
from functools import cache, partial

import numpy as np
import pytest
import scipy.optimize
import torch
from scipy.integrate import quad
from scipy.optimize import brentq, minimize
from scipy.stats import multivariate_normal
from torch import Tensor

from vae_tutorial import linear as linear_maps
from vae_tutorial import problems
from vae_tutorial.zero_error import limit_posterior, shifted_posterior


def passes(problem, answer, capsys):
    problem(answer)
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(line.startswith("passed: ") for line in lines)


def asks(problem, capsys):
    problem()
    assert capsys.readouterr().out.startswith("open: ")


# transport


def noisy_ring(x, deviation, reach=15.0):
    """log p(x) by a sum over the plane of z, in polar coordinates."""
    return torch.stack([at_one_point(*point, deviation, reach) for point in x.tolist()])


@cache
def at_one_point(first, second, deviation, reach):
    """That sum for x = (first, second): 2.4 million terms, for which several tests ask."""
    root = (torch.arange(3000, dtype=torch.float64) + 0.5) * math.sqrt(reach) / 3000
    length = root.square()  # finer steps near z = 0
    angle = torch.arange(800, dtype=torch.float64) * 2 * math.pi / 800
    place = (1 + length / 10)[:, None, None] * torch.stack([angle.cos(), angle.sin()], -1)
    log_mass = length.log() - length.square() / 2 + (2 * root).log()
    log_mass += math.log(math.sqrt(reach) / 3000 / 800)
    off = (place[..., 0] - first).square() + (place[..., 1] - second).square()  # (lengths, angles)
    log_terms = log_mass[:, None] - off / (2 * deviation**2)
    return log_terms.logsumexp((0, 1)) - math.log(2 * math.pi * deviation**2)


def test_the_ring_is_scored_by_a_sum_over_the_plane(capsys):
    problems.transport(noisy_ring)
    assert capsys.readouterr().out.count("passed: log p(x)") == 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, deviation: noisy_ring(x, deviation**0.5),  # the deviation taken for a variance
        lambda x, deviation: noisy_ring(x, deviation, reach=6.0),  # a part of the latents
        lambda x, deviation: noisy_ring(x, deviation) + math.log(2 * math.pi),  # no normaliser
        lambda x, deviation: noisy_ring(x, deviation).exp().log(),  # underflows far from the ring
        lambda x, deviation: -((x.norm(dim=-1) - 1) ** 2) / (2 * deviation**2),  # a circle
    ],
)
def test_a_ring_scored_otherwise_is_told_apart(wrong):
    with pytest.raises(AssertionError, match=r"log p\(x\), noise"):
        problems.transport(wrong)


def test_without_an_answer_the_question_is_asked(capsys):
    for ask in (problems.transport, problems.training, problems.choices, problems.limits):
        ask()
        assert capsys.readouterr().out.startswith("open: ")


# marginal_likelihood


def log_mean_weight(weight, variance, x, power):
    """log E[w ** power]: w ** power is a Gaussian of variance / power, times a constant."""
    weight, x = weight.numpy(), x.numpy()
    covariance = weight @ weight.T + variance / power * np.eye(len(x))
    scale = 0.5 * (1 - power) * math.log(2 * math.pi * variance) - 0.5 * math.log(power)
    return multivariate_normal(np.zeros(len(x)), covariance).logpdf(x) + len(x) * scale


def relative_variance(weight, variance, x):
    moments = [log_mean_weight(weight, variance, x, power) for power in (1, 2)]
    return math.expm1(moments[1] - 2 * moments[0])


def draws_needed(weight, variance, x, tolerance):
    return max(1, math.ceil(relative_variance(weight, variance, x) / tolerance**2))


def draws_by_divergence(weight, variance, x, tolerance):
    """exp(KL(p(z|x) ‖ p(z))) / tolerance²: the right scale, and not the variance."""
    precision = torch.eye(weight.shape[1]).double() + weight.mT @ weight / variance
    covariance = torch.linalg.inv(precision)
    mean = covariance @ weight.mT @ x / variance
    kl = 0.5 * (covariance.trace() + mean @ mean - len(mean) - torch.logdet(covariance))
    return float(kl.exp()) / tolerance**2


WRONG_DRAWS = {
    "the variance is the second moment": lambda w, v, x, t: draws_needed(w, v, x, t) + 1 / t**2,
    "the error falls as 1 / n": lambda w, v, x, t: relative_variance(w, v, x) / t,
    "x is taken for zero": lambda w, v, x, t: draws_needed(w, v, 0 * x, t),
    "the divergence": draws_by_divergence,
    "a fixed number": lambda w, v, x, t: 1 / t**2,
    "not a number": lambda w, v, x, t: math.nan,
}


def test_draws_needed(capsys):
    passes(problems.marginal_likelihood, draws_needed, capsys)
    asks(problems.marginal_likelihood, capsys)


@pytest.mark.parametrize("wrong", WRONG_DRAWS.values(), ids=WRONG_DRAWS)
def test_a_wrong_number_of_draws_is_refused(wrong):
    with pytest.raises(AssertionError):
        problems.marginal_likelihood(wrong)


# decomposition


def wave_bound(x, mean, deviation, variance):
    """E_q sin 2z and E_q sin² 2z are the imaginary and the real part of E_q exp(ikz)."""
    sine = math.exp(-2 * deviation**2) * math.sin(2 * mean)
    square = 0.5 * (1 - math.exp(-8 * deviation**2) * math.cos(4 * mean))
    first, second = x.tolist()
    squares = (first - mean) ** 2 + deviation**2 + second**2 - 2 * second * sine + square
    log_likelihood = -math.log(2 * math.pi * variance) - squares / (2 * variance)
    return log_likelihood - 0.5 * (deviation**2 + mean**2 - 1 - 2 * math.log(deviation))


def at_the_mean(x, mean, deviation, variance):
    """log p(x|z) at the centre of q, not averaged over q."""
    moments = mean, math.sin(2 * mean)
    squares = sum((a - b) ** 2 for a, b in zip(x.tolist(), moments, strict=True))
    log_likelihood = -math.log(2 * math.pi * variance) - squares / (2 * variance)
    return log_likelihood - 0.5 * (deviation**2 + mean**2 - 1 - 2 * math.log(deviation))


def kl_to_prior(mean, deviation):
    return 0.5 * (deviation**2 + mean**2 - 1 - 2 * math.log(deviation))


WRONG_BOUNDS = {
    "at the mean of q": at_the_mean,
    "the KL is added": lambda x, m, s, v: wave_bound(x, m, s, v) + 2 * kl_to_prior(m, s),
    "no constant": lambda x, m, s, v: wave_bound(x, m, s, v) + math.log(2 * math.pi * v),
    "the deviation taken for the variance": lambda x, m, s, v: wave_bound(x, m, s**0.5, v),
    "off in the sixth digit": lambda x, m, s, v: wave_bound(x, m, s, v) * (1 + 1e-6),
}


def test_the_bound_of_the_wave(capsys):
    passes(problems.decomposition, wave_bound, capsys)
    asks(problems.decomposition, capsys)


@pytest.mark.parametrize("wrong", WRONG_BOUNDS.values(), ids=WRONG_BOUNDS)
def test_a_wrong_bound_is_refused(wrong):
    with pytest.raises(AssertionError):
        problems.decomposition(wrong)


# bounds


def ascent(joint, starts):
    """Coordinate ascent over products, from each of some first guesses of q(z₁); the best end."""
    ends = []
    for first in starts:
        for _ in range(500):
            second = (first @ joint.log()).softmax(0)
            first = (joint.log() @ second).softmax(0)
        product = torch.outer(first, second)
        bound = (product * (joint.log() - product.log())).sum()
        ends.append((float(bound), first, second))
    return max(ends, key=lambda end: end[0])[1:]


def from_every_corner(joint):
    near = torch.eye(len(joint), dtype=torch.float64) * 0.97 + 0.01
    return ascent(joint, near / near.sum(1, keepdim=True))


def from_the_middle(joint):
    return ascent(joint, torch.full((1, len(joint)), 1 / len(joint), dtype=torch.float64))


def marginals(joint):
    posterior = joint / joint.sum()
    return posterior.sum(1), posterior.sum(0)


def test_bounds_passes_the_best_product_and_no_other(capsys):
    problems.bounds(from_every_corner)
    assert "passed" in capsys.readouterr().out
    for wrong in (from_the_middle, marginals, lambda joint: marginals(joint)[::-1]):
        with pytest.raises(AssertionError):
            problems.bounds(wrong)
    with pytest.raises(AssertionError, match="is a law"):
        problems.bounds(lambda joint: (joint.sum(1), joint.sum(0)))


# weights


def plain(log_weight):
    return log_weight.logsumexp(0) - math.log(len(log_weight))


def jackknife(log_weight):
    K = len(log_weight)
    rest = [plain(torch.cat([log_weight[:k], log_weight[k + 1 :]])) for k in range(K)]
    return K * plain(log_weight) - (K - 1) * torch.stack(rest).mean(0)


def delta_method(log_weight):
    relative = (log_weight - plain(log_weight)).exp()
    return plain(log_weight) + relative.var(0) / (2 * len(log_weight))


@pytest.mark.parametrize("right", [jackknife, delta_method])
def test_weights_passes_two_ways_to_remove_the_leading_bias(right):
    problems.weights(right)


@pytest.mark.parametrize(
    "wrong",
    [
        plain,
        lambda log_weight: log_weight.mean(0),
        lambda log_weight: log_weight.exp().mean(0).log(),
        lambda log_weight: 2 * plain(log_weight) - delta_method(log_weight),  # the wrong sign
        lambda log_weight: plain(log_weight) + log_weight.exp().var(0) / (2 * len(log_weight)),
    ],
    ids=["no correction", "mean of logs", "underflow", "sign", "variance not relative"],
)
def test_weights_refuses_what_is_biased(wrong):
    with pytest.raises(AssertionError):
        problems.weights(wrong)


# gaussians


def laplace_price(mean: Tensor, log_variance: Tensor) -> Tensor:
    """E|z| of a Gaussian is that of a folded normal; the rest is an entropy and log 2."""
    deviation = (0.5 * log_variance).exp()
    ratio = mean / deviation
    size = deviation * math.sqrt(2 / math.pi) * (-0.5 * ratio**2).exp()
    size = size + mean * torch.special.erf(ratio / math.sqrt(2))
    entropy = 0.5 * (log_variance + math.log(2 * math.pi) + 1)
    return (size + math.log(2) - entropy).sum(-1)


def test_the_price_against_a_laplace_prior(capsys):
    problems.gaussians(laplace_price)
    assert capsys.readouterr().out.count("passed: ") == 6


@pytest.mark.parametrize(
    "wrong",
    [
        lambda mean, log_variance: laplace_price(mean, 2 * log_variance),  # σ² for σ
        lambda mean, log_variance: laplace_price(mean, log_variance) - math.log(2),
        lambda mean, log_variance: laplace_price(mean, log_variance) / mean.shape[-1],  # a mean
        lambda mean, log_variance: laplace_price(mean.detach(), log_variance) + 0 * mean.sum(-1),
        lambda mean, log_variance: (  # |E z| for E|z|
            mean.abs() + math.log(2) - 0.5 * (log_variance + math.log(2 * math.pi) + 1)
        ).sum(-1),
        lambda mean, log_variance: (  # draws
            laplace_price(mean, log_variance) + 1e-9 * torch.randn(mean.shape[:-1])
        ),
    ],
    ids=["deviation", "constant", "mean", "no gradient", "size of the mean", "draws"],
)
def test_a_wrong_price_is_told(wrong):
    with pytest.raises(AssertionError, match="check failed"):
        problems.gaussians(wrong)


# linear


def whitened_rate(images: Tensor, variances: Tensor, latent: int) -> Tensor:
    """Divided by its deviation, every pixel has noise 1, and the rate law holds."""
    whitened = linear_maps.spectrum(images / variances.sqrt())
    return linear_maps.rate_law(whitened.eigenvalues, variances.new_ones(()), latent).rate


def test_the_rate_with_unequal_noise(capsys):
    problems.linear(whitened_rate)
    assert capsys.readouterr().out.count("passed: ") == 8


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, s, d: linear_maps.rate_law(linear_maps.spectrum(x).eigenvalues, s.mean(), d).rate,
        lambda x, s, d: whitened_rate(x, s.square(), d),
        lambda x, s, d: 2 * whitened_rate(x, s, d),
        lambda x, s, d: whitened_rate(x, s, x.shape[1]),
        lambda x, s, d: whitened_rate(x * math.sqrt(60 / 59), s, d),  # divisor n − 1
    ],
    ids=["average noise", "variance for deviation", "no half", "all latents", "divisor"],
)
def test_a_wrong_rate_is_told(wrong):
    with pytest.raises(AssertionError, match="check failed"):
        problems.linear(wrong)


# reparameterization


def normals(means, deviations):
    return torch.distributions.Normal(*torch.tensor((means, deviations), dtype=torch.float64))


def implicit(z, weight, means, deviations):
    """Minus the slope of the distribution function in the weight, over the density."""
    laws = normals(means, deviations)
    first, second = laws.cdf(z[:, None]).unbind(-1)
    share = torch.tensor([weight, 1 - weight], dtype=torch.float64)
    return (second - first) / (laws.log_prob(z[:, None]).exp() @ share)


def between_means(z, weight, means, deviations):
    return torch.full_like(z, means[0] - means[1])


def by_the_chosen_part(z, weight, means, deviations):
    return torch.zeros_like(z)  # which part is drawn jumps; inside a part nothing depends on it


def not_divided(z, weight, means, deviations):
    first, second = normals(means, deviations).cdf(z[:, None]).unbind(-1)
    return second - first


def test_reparameterization_asks_for_something(capsys):
    problems.reparameterization()
    assert capsys.readouterr().out.startswith("open: answer(z, weight, means, deviations)")


def test_the_slope_in_a_mixtures_weight_passes(capsys):
    problems.reparameterization(implicit)
    assert capsys.readouterr().out.count("passed: ") == 12


@pytest.mark.parametrize(
    "wrong",
    [by_the_chosen_part, not_divided, between_means, lambda *given: -implicit(*given)],
    ids=["chosen part", "not divided", "between means", "sign"],
)
def test_wrong_slopes_in_a_mixtures_weight_are_told_apart(wrong):
    with pytest.raises(AssertionError, match=r"gradient of E\["):
        problems.reparameterization(wrong)


# training


def split_rate(mean, log_variance, reach=12.0, nodes=40_001):
    """Both parts by a sum over each code's own grid: as fine as the code is narrow."""
    deviation = (0.5 * log_variance).exp()
    unit = torch.linspace(-reach, reach, nodes, dtype=torch.float64)
    weights = torch.exp(-0.5 * unit.square())
    weights = weights / weights.sum()
    mismatch = torch.zeros((), dtype=torch.float64)
    for centre, spread in zip(mean, deviation, strict=True):
        z = centre + spread * unit  # (nodes,)
        standard = (z[:, None] - mean) / deviation
        score = -0.5 * standard.square() - deviation.log() - 0.5 * math.log(2 * math.pi)
        log_q = score.logsumexp(-1) - math.log(len(mean))
        log_p = -0.5 * (z.square() + math.log(2 * math.pi))
        mismatch = mismatch + (weights * (log_q - log_p)).sum() / len(mean)
    rate = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).mean()
    return rate - mismatch, mismatch


def split_by_draws(mean, log_variance):
    noise = torch.randn(20_000, len(mean), generator=torch.Generator().manual_seed(0))
    z = (mean + (0.5 * log_variance).exp() * noise).double()[..., None]  # (draws, n, 1)
    variance = log_variance.exp()
    score = -0.5 * ((z - mean).square() / variance + log_variance)
    log_ratio = score.logsumexp(-1) - math.log(len(mean)) + 0.5 * z[..., 0].square()
    rate = 0.5 * (variance + mean.square() - 1 - log_variance).mean()
    return rate - log_ratio.mean(), log_ratio.mean()


def split_on_one_grid(mean, log_variance):
    z = torch.linspace(-9, 9, 20_001, dtype=torch.float64)[:, None]
    score = -0.5 * ((z - mean).square() / log_variance.exp() + log_variance)
    q = (score.logsumexp(-1) - math.log(len(mean)) - 0.5 * math.log(2 * math.pi)).exp()
    log_p = -0.5 * (z[:, 0].square() + math.log(2 * math.pi))
    mismatch = (q * ((q + 1e-300).log() - log_p)).sum() * 18 / 20_000
    rate = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).mean()
    return rate - mismatch, mismatch


def test_the_rate_is_split_by_a_grid_for_each_code(capsys):
    problems.training(split_rate)
    assert capsys.readouterr().out.count("passed: ") == 8


@pytest.mark.parametrize(
    "wrong",
    [
        split_by_draws,
        split_on_one_grid,  # steps over the spikes
        lambda *codes: split_rate(*codes)[::-1],  # the parts change places
        lambda mean, log_variance: split_rate(mean, 2 * log_variance),  # a variance for deviation
        lambda *codes: (torch.tensor(len(codes[0])).log(), split_rate(*codes)[1]),  # always log n
    ],
)
def test_a_rate_split_otherwise_is_told_apart(wrong):
    with pytest.raises(AssertionError, match=r"mismatch|information"):
        problems.training(wrong)


# choices


def rates_by_search(eigenvalues, variance, total):
    """Spend the free nats, and none more than pays, in one convex search over the simplex."""

    def loss(rates):
        return float((eigenvalues * (-2 * torch.tensor(rates)).exp()).sum() / (2 * variance))

    def slope(rates):
        return (-eigenvalues * (-2 * torch.tensor(rates)).exp() / variance).numpy()

    paid = (0.5 * (eigenvalues / variance).log()).clamp(min=0)
    if paid.sum() >= total:
        return paid
    size = len(eigenvalues)
    found = scipy.optimize.minimize(
        loss,
        [total / size] * size,
        jac=slope,
        method="SLSQP",
        bounds=[(0, None)] * size,
        constraints={"type": "eq", "fun": lambda r: r.sum() - total, "jac": lambda r: r * 0 + 1},
        options={"ftol": 1e-15, "maxiter": 2000},
    )
    return torch.tensor(found.x)


def rates_by_level(eigenvalues, variance, total):
    """Axes in order of size: with k of them in use, the level follows from the total."""
    paid = (0.5 * (eigenvalues / variance).log()).clamp(min=0)
    if paid.sum() >= total:
        return paid
    for count in range(1, len(eigenvalues) + 1):
        level = (eigenvalues.sort(descending=True).values[:count].log().sum() - 2 * total) / count
        rates = (0.5 * (eigenvalues.log() - level)).clamp(min=0)
        if abs(float(rates.sum()) - total) < 1e-9:
            return rates
    raise AssertionError("no level fits")


def test_rates_under_a_budget_are_found_by_their_level(capsys):
    problems.choices(rates_by_level)
    assert capsys.readouterr().out.count("passed: ") == 5


def test_a_search_agrees_with_the_level():
    eigenvalues = torch.tensor([3.0, 0.5, 1.5, 0.5, 0.02]).double()
    for total in (0.5, 1.5, 6.0):
        pair = (f(eigenvalues, torch.tensor(0.8), total) for f in (rates_by_search, rates_by_level))
        assert torch.allclose(*pair, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda e, v, total: (0.5 * (e / v).log()).clamp(min=0),  # the law without a budget
        lambda e, v, total: (0.5 * (e / v).log()).clamp(min=total / len(e)),  # a floor for each
        lambda e, v, total: (0.5 * (e / v).log()).clamp(min=0) * 0 + total / len(e),
        lambda e, v, total: rates_by_level(e, v * 0 + 1e9, total),  # every nat of the budget spent
        lambda e, v, total: 2 * rates_by_level(e, v, total),
    ],
)
def test_rates_found_otherwise_are_told_apart(wrong):
    with pytest.raises(AssertionError, match=r"the rates"):
        problems.choices(wrong)


# evaluation

NODES, MASS = np.polynomial.hermite_e.hermegauss(120)


def loss_of(log_density, mean, deviation):
    """What N(mean, deviation²) leaves below the log of the integral, by Gauss and a plain grid."""
    line = torch.linspace(-12, 12, 8001, dtype=torch.float64)
    evidence = float(log_density(line).logsumexp(0)) + math.log(24 / 8000)
    fit = log_density(torch.from_numpy(mean + deviation * NODES)).numpy() @ MASS / MASS.sum()
    return evidence - fit - math.log(deviation) - (1 + math.log(2 * math.pi)) / 2


def searched_from(starts):
    def best(log_density):
        found = [
            minimize(lambda p: loss_of(log_density, p[0], math.exp(p[1])), start, tol=1e-12)
            for start in starts
        ]
        end = min(found, key=lambda each: each.fun)
        return end.x[0], math.exp(end.x[1]), end.fun

    return best


def matched(log_density):
    """The mean and the deviation of the posterior itself: the best Gaussian of the other KL."""
    line = torch.linspace(-12, 12, 8001, dtype=torch.float64)
    mass = log_density(line).softmax(0)
    mean = float(mass @ line)
    deviation = float(mass @ (line - mean).square()) ** 0.5
    return mean, deviation, loss_of(log_density, mean, deviation)


def at_the_mode(log_density):
    line = torch.linspace(-6, 6, 12001, dtype=torch.float64)
    return searched_from([(float(line[log_density(line).argmax()]), -2)])(log_density)


def test_the_best_gaussian_of_several_starts_passes(capsys):
    problems.evaluation(searched_from([(m, -1) for m in (-1.5, -1, 0, 1, 1.5)]))
    assert capsys.readouterr().out.count("passed: ") == 8


@pytest.mark.parametrize("wrong", [matched, at_the_mode, searched_from([(-2, -1)])])
def test_matched_moments_and_local_searches_fail(wrong):
    with pytest.raises(AssertionError, match="no Gaussian of a scan loses less"):
        problems.evaluation(wrong)


def test_a_loss_counted_from_the_unnormalised_density_fails():
    def best(log_density):
        mean, deviation, loss = searched_from([(0.5, -1)])(log_density)
        line = torch.linspace(-12, 12, 8001, dtype=torch.float64)
        return mean, deviation, loss - float(log_density(line).logsumexp(0))

    with pytest.raises(AssertionError, match="the loss is that of the answer's Gaussian"):
        problems.evaluation(best)


# annealing


def metropolis(log_density, z, generator, accept=None):
    """A Gaussian step of one deviation, kept with probability min(1, ratio of the densities)."""
    proposed = z + torch.randn(z.shape, generator=generator, dtype=z.dtype)
    ratio = log_density(proposed) - log_density(z)
    uniform = torch.rand(z.shape, generator=generator, dtype=z.dtype)
    keep = uniform.log() < ratio if accept is None else accept(ratio, uniform)
    return torch.where(keep, proposed, z)


def multiplied(log_density, z, generator):
    """A step in the logarithm of z, without the factor that the stretching asks for."""
    proposed = z * torch.randn(z.shape, generator=generator, dtype=z.dtype).exp()
    uniform = torch.rand(z.shape, generator=generator, dtype=z.dtype)
    return torch.where(uniform.log() < log_density(proposed) - log_density(z), proposed, z)


def test_a_metropolis_move_passes(capsys):
    problems.annealing(metropolis)
    assert capsys.readouterr().out.count("passed: ") == 12


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda log_density, z, generator: z, "most chains have moved"),
        (multiplied, "this is their law"),
        (
            lambda *args: metropolis(*args, accept=lambda ratio, _: ratio > -math.inf),
            "this is their law",
        ),
        (lambda *args: metropolis(*args, accept=lambda ratio, _: ratio > 0), "this is their law"),
        (
            lambda *args: metropolis(*args, accept=lambda ratio, u: u < ratio),
            "drawn from it",
        ),
    ],
    ids=["stays", "multiplied", "always accepts", "only uphill", "no exponential"],
)
def test_moves_that_do_not_keep_a_law_fail(wrong, said):
    with pytest.raises(AssertionError, match=said):
        problems.annealing(wrong)


# rate_distortion


def limits_of_a_loss(variance, rate, squared_error, new, price=lambda variance: 1 / (2 * variance)):
    """Best losses are concave in the price of an error: above their chords, below the tangents."""
    prices, at = price(variance), price(new)
    losses = rate + squared_error / (2 * variance)
    low = np.interp(at, prices.numpy(), losses.numpy())
    return low, float((rate + squared_error / (2 * new)).min())


def test_limits_from_chords_and_tangents_pass(capsys):
    problems.rate_distortion(limits_of_a_loss)
    assert capsys.readouterr().out.count("passed: ") == 16


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda v, r, e, new: limits_of_a_loss(v, r, e, new)[::-1], "the largest loss"),
        (lambda v, r, e, new: (0.0, limits_of_a_loss(v, r, e, new)[1]), "the least loss"),
        (
            lambda v, r, e, new: limits_of_a_loss(
                v, r, e, new, lambda u: torch.as_tensor(u).log().neg()
            ),
            "the least loss",
        ),
        (
            lambda v, r, e, new: (limits_of_a_loss(v, r, e, new)[0], float((r + e / new).min())),
            "the largest loss",
        ),
        (
            lambda v, r, e, new: (
                limits_of_a_loss(v, r, e, new)[0],
                float((r + e / (2 * v))[(v - new).abs().argmin()]),
            ),
            "the largest loss",
        ),
    ],
    ids=["swapped", "zero", "between logarithms", "a lost half", "the nearest run"],
)
def test_limits_found_otherwise_are_told_apart(wrong, said):
    with pytest.raises(AssertionError, match=said):
        problems.rate_distortion(wrong)


# zero_error


def through_the_data(law, x, variance, noise, shift=1.0, slope=1.0):
    """A Gaussian of images about x, moved along the score, and taken through g."""
    image = x + shift * variance * law.score(x) + variance**0.5 * noise
    z = law.to_normal(image)
    log_slope = law.log_density(image) + 0.5 * z.square() + 0.5 * math.log(2 * math.pi)
    log_noise = -0.5 * noise.square() - 0.5 * math.log(2 * math.pi * variance)
    return z, log_noise - slope * log_slope


def in_the_latent(encoder):
    def drawn(law, x, variance, noise):
        mean, deviation = encoder(law, x, variance)
        log_q = -0.5 * noise.square() - deviation.log() - 0.5 * math.log(2 * math.pi)
        return mean + deviation * noise, log_q

    return drawn


def test_a_q_of_the_fourth_order_passes(capsys):
    problems.zero_error(through_the_data)
    assert capsys.readouterr().out.count("passed: ") == 6


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (in_the_latent(limit_posterior), "falls like σ⁴"),
        (in_the_latent(shifted_posterior), "falls like σ⁴"),
        (partial(through_the_data, shift=0.0), "falls like σ⁴"),
        (partial(through_the_data, shift=-1.0), "falls like σ⁴"),
        (partial(through_the_data, slope=0.0), "density of z"),
    ],
    ids=["the limit's", "shifted", "no score", "against the score", "no slope"],
)
def test_a_q_of_the_second_order_fails(wrong, said):
    with pytest.raises(AssertionError, match=said):
        problems.zero_error(wrong)


# coding


def slots_one_by_one(share, precision):
    """Each further slot goes where it saves most."""
    given = torch.ones(len(share), dtype=torch.int64)
    for _ in range(2**precision - len(share)):
        given[(share * ((given + 1) / given).log2()).argmax()] += 1
    return given


def test_slots_given_one_by_one_are_the_best(capsys):
    problems.coding(slots_one_by_one)
    assert capsys.readouterr().out.count("passed: ") == 20


def rounded(share, precision):
    given = (share * 2**precision).round().long().clamp(min=1)
    given[given.argmax()] += 2**precision - given.sum()
    return given


def after_one_each(share, precision):
    given = 1 + (share * (2**precision - len(share))).floor().long()
    given[given.argmax()] += 2**precision - given.sum()
    return given


def one_too_many(share, precision):
    given = slots_one_by_one(share, precision)
    given[0] += 1
    return given


@pytest.mark.parametrize(
    "wrong",
    [
        rounded,
        after_one_each,
        one_too_many,
        lambda share, precision: slots_one_by_one(share, precision).double(),
        lambda share, precision: slots_one_by_one(share.flip(0), precision),
    ],
)
def test_other_slots_are_told_apart(wrong):
    with pytest.raises(AssertionError):
        problems.coding(wrong)


# conditional


def told(mean, deviation, mass, nodes=80):
    """Averages of log p(y|z) − log p(y) over each z's own noise, by Gauss–Hermite."""
    noise, weight = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(nodes))
    y = mean[:, None] + deviation * noise[:, None]  # (n, nodes, pixels)
    apart = (y[:, :, None] - mean) / deviation  # (n, nodes, n, pixels)
    log_ratio = -0.5 * apart.square() + 0.5 * noise[:, None, None].square()
    log_p = (log_ratio + mass.log()[:, None]).logsumexp(2)  # (n, nodes, pixels), less log p(y|z)
    return -torch.einsum("n,k,nkp->p", mass, weight / weight.sum(), log_p)


def test_a_pixel_tells_the_mutual_information(capsys):
    passes(problems.conditional, told, capsys)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m, s, p: 0.5 * (1 + (p @ m**2 - (p @ m) ** 2) / s**2).log(),  # as if Gaussian
        lambda m, s, p: told(m, s, p) + 0.5 * (2 * math.pi * math.e * s**2).log(),  # the entropy
        lambda m, s, p: p @ m**2 - (p @ m) ** 2,  # the variance between the images
        lambda m, s, p: told(m, s**2, p),  # the deviation taken for a variance
        lambda m, s, p: told(m, s, torch.full_like(p, 1 / len(p))),  # the shares forgotten
        lambda m, s, p: told(m, s, p).sum(),  # all pixels together
    ],
)
def test_wrong_ideas_of_what_a_pixel_tells(wrong):
    with pytest.raises((AssertionError, IndexError)):
        problems.conditional(wrong)


def test_the_problem_of_the_next_pixel_is_asked(capsys):
    asks(problems.conditional, capsys)


# adversarial


def test_the_loss_of_likelihood_passes(capsys):
    passes(problems.adversarial, lambda logit: -logit.exp(), capsys)
    asks(problems.adversarial, capsys)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda logit: logit.exp(),
        lambda logit: -logit,
        lambda logit: torch.nn.functional.softplus(-logit),
        lambda logit: -torch.nn.functional.softplus(logit),
        lambda logit: -2 * logit.exp(),
        lambda logit: (-logit).exp(),
        lambda logit: -logit.sigmoid(),
    ],
    ids=["sign", "reverse", "non-saturating", "saturating", "factor", "upside down", "D itself"],
)
def test_other_losses_of_the_logit_fail(wrong):
    with pytest.raises(AssertionError, match="the slope of KL"):
        problems.adversarial(wrong)


# principles


def curvature_at_the_middle(distance, weight):
    """Of the hybrid's price in the centre c of N(c, 1), at c = 0, by scipy's quadrature.

    KL(p ‖ p_g) has the curvature 1. With t = p_g / p the game is the integral of
    (p + p_g) log ((1 + t) / 2), of which two derivatives in p_g are taken.
    """

    def integrand(x):
        made = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
        tilt = np.exp(-(distance**2) / 8) * np.cosh(distance * x / 2)  # p / N(x; 0, 1)
        ratio = 1 / tilt
        slope, second = np.log1p(ratio) - np.log(2) + 1, 1 / (tilt * (1 + ratio))
        return made * (slope * (x**2 - 1) + second * x**2)

    return 1 + weight * quad(integrand, -25, 25, epsabs=1e-12, limit=200)[0]


def blur_ends(weight):
    return brentq(lambda d: curvature_at_the_middle(d, weight), 1.0, 15.0)


def test_the_blur_ends_where_the_middle_is_no_longer_a_minimum(capsys):
    passes(problems.principles, blur_ends, capsys)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda weight: brentq(lambda d: curvature_at_the_middle(d, 1e9), 1.0, 15.0),  # the game
        lambda weight: 1.01 * blur_ends(weight),
        lambda weight: 0.99 * blur_ends(weight),
        lambda weight: 2.0,  # where the density of two Gaussians gets two peaks
    ],
)
def test_other_ends_of_the_blur_do_not_pass(wrong):
    with pytest.raises(AssertionError, match="check failed"):
        problems.principles(wrong)


def test_the_problem_of_the_blur_is_put_in_words(capsys):
    asks(problems.principles, capsys)


# scaling


def in_one_pass(parts):
    largest = torch.tensor(-math.inf).double()
    total, gradient, count = 0 * largest.exp(), 0, 0
    for log_weights, rows in parts:
        count += len(log_weights)
        top = torch.maximum(largest, log_weights.max())
        if top == -math.inf:
            continue
        old, new = (largest - top).exp(), (log_weights - top).exp()
        total, gradient = total * old + new.sum(), gradient * old + new @ rows
        largest = top
    return largest + total.log() - math.log(count), gradient / total


def without_the_largest(parts):
    total, gradient, count = 0, 0, 0
    for log_weights, rows in parts:
        total = total + log_weights.exp().sum()
        gradient = gradient + log_weights.exp() @ rows
        count += len(log_weights)
    return (total / count).log(), gradient / total


def all_kept(parts):
    log_weights, rows = map(torch.cat, zip(*list(parts), strict=True))
    return log_weights.logsumexp(0) - math.log(len(rows)), log_weights.softmax(0) @ rows


def part_by_part(parts):
    seen = [(w.logsumexp(0) - math.log(len(w)), w.softmax(0) @ r) for w, r in parts]
    values, gradients = zip(*seen, strict=True)
    return torch.stack(values).mean(), torch.stack(gradients).mean(0)


def test_scaling_asks_for_something(capsys):
    problems.scaling()
    assert capsys.readouterr().out.startswith("open: answer(parts)")


def test_a_gradient_in_one_pass_passes(capsys):
    problems.scaling(in_one_pass)
    assert capsys.readouterr().out.count("passed: ") == 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (without_the_largest, "weights that underflow"),
        (all_kept, "parts are kept"),
        (part_by_part, "weights near one"),
    ],
    ids=["underflow", "kept", "averaged"],
)
def test_wrong_gradients_in_one_pass_are_told_apart(wrong, message):
    with pytest.raises(AssertionError, match=message):
        problems.scaling(wrong)


# mistakes


def least_squares(losses, error, kl):
    """a and w of losses on an error, a KL and a constant, by numpy."""
    columns = torch.stack([error, kl, torch.ones_like(kl)], -1).numpy()
    a, w, _ = np.linalg.lstsq(columns, losses.numpy(), rcond=None)[0]
    return a, w


def by_one_draw_through_the_other(losses, errors, kl):
    """The first draw's error is predicted by the second's, whose noise is not the first's."""
    ones = torch.ones_like(kl)
    instruments, columns = (torch.stack([error, kl, ones]) for error in errors)
    a, w, _ = torch.linalg.solve(instruments @ columns.T, instruments @ losses)
    return w / (2 * a)


def by_the_average_draw(losses, errors, kl):
    a, w = least_squares(losses, errors.mean(0), kl)
    return w / (2 * a)


def by_one_draw(losses, errors, kl):
    a, w = least_squares(losses, errors[0], kl)
    return w / (2 * a)


def test_the_noise_of_a_loss_is_read_through_noisy_errors(capsys):
    problems.mistakes()
    assert "open: " in capsys.readouterr().out
    problems.mistakes(by_one_draw_through_the_other)
    assert capsys.readouterr().out.count("passed: ") == 3


@pytest.mark.parametrize("wrong", [by_the_average_draw, by_one_draw, lambda *_: 0.9])
def test_a_regression_that_takes_noise_for_error_does_not_pass(wrong):
    with pytest.raises(AssertionError, match="check failed: a"):
        problems.mistakes(wrong)


# limits


def hilbert(level, depth=20):
    """Hilbert's curve: the quarters of the interval in turn, each square turned or mirrored."""
    x, y = torch.zeros_like(level), torch.zeros_like(level)
    quarters = []
    for _ in range(depth):
        quarter = (4 * level).floor().clamp(max=3)
        quarters.append(quarter)
        level = 4 * level - quarter
    for quarter in reversed(quarters):
        first, last, right = quarter == 0, quarter == 3, quarter >= 2
        x, y = (
            torch.where(first, y, torch.where(last, 1 - y, x)),
            torch.where(first, x, torch.where(last, 1 - x, y)),
        )
        x, y = (x + right) / 2, (y + ((quarter == 1) | (quarter == 2))) / 2
    return torch.stack([x, y], -1)


def interleaved(level, depth=20):
    """Digits dealt out to x and y in turn: each box once, but the path jumps."""
    bits = (level[:, None] * 2.0 ** torch.arange(1, 2 * depth + 1)).floor() % 2
    weight = 0.5 ** torch.arange(1, depth + 1, dtype=torch.float64)
    return torch.stack([bits[:, ::2] @ weight, bits[:, 1::2] @ weight], -1)


def lawnmower(level, rows=64):
    """Row by row, forth and back: continuous, and right at one size of box only."""
    row = (level * rows).floor()
    along = level * rows - row
    along = torch.where(row % 2 == 0, along, 1 - along)
    return torch.stack([along, (row + 0.5) / rows], -1)


def test_hilberts_curve_fills_the_square(capsys):
    problems.limits(hilbert)
    assert capsys.readouterr().out.count("passed: ") == 18


@pytest.mark.parametrize(
    "wrong", [interleaved, lawnmower, lambda u: torch.stack([u, u], -1), lambda u: hilbert(u) / 2]
)
def test_other_curves_do_not(wrong):
    with pytest.raises(AssertionError):
        problems.limits(wrong)
