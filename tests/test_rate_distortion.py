"""One knob, and a curve: tests of `rate_distortion`."""

import math

import numpy as np
import pytest
import torch
from drawn import close, double, normal
from scipy import integrate, optimize, stats
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_tutorial.data import load_digits
from vae_tutorial.decomposition import LatentModel, gaussian_decoder
from vae_tutorial.linear import rate_law, spectrum
from vae_tutorial.rate_distortion import (
    CorrelatedNoise,
    Sweep,
    bound_behind,
    chords,
    crossed_losses,
    implied_variance,
    information,
    learned_noise,
    posterior_terms,
    remaining_error,
    rescaled,
    same_evidence,
    shortfall,
)

DIGITS = load_digits(torch.float64)
DATA = spectrum(DIGITS.train)
LAW = torch.logspace(0, -2, 9, dtype=torch.float64)  # σ², falling


def any_covariance(width=5, latent=3, seed=1):
    """A covariance (width, width) and a weight (width, latent) that explains a part of it."""
    weight, rest = normal(width, latent, seed=seed), normal(width, width, seed=seed + 1)
    return weight @ weight.mT + rest @ rest.mT + torch.eye(width).double(), weight


def laws_sweep(variance=LAW, latent=64):
    return Sweep(variance, *rate_law(DATA.eigenvalues, variance, latent))


# One p(x), and every rate


@pytest.mark.equation("eq-free-rate")
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_every_share_gives_the_one_density_of_torch(share):
    covariance, weight = any_covariance()
    x, mean = 2 * normal(40, 5, seed=7), normal(5, seed=8)
    expected = MultivariateNormal(mean, covariance).log_prob(x)  # (40,)
    model = same_evidence(mean, covariance, weight, double(share)[0])
    close(posterior_terms(model, x).log_evidence, expected)
    # and by the model's own two maps: x = W z + b + L ε
    parts = model.weight @ model.weight.mT + model.noise @ model.noise.mT
    close(MultivariateNormal(model.offset, parts).log_prob(x), expected)


def test_the_share_is_that_of_the_weight():
    covariance, weight = any_covariance()
    model = same_evidence(torch.zeros(5).double(), covariance, weight, double(0.36)[0])
    close(model.weight, 0.6 * weight)


def test_a_weight_that_explains_more_than_the_covariance_is_refused():
    with pytest.raises(ValueError, match="positive definite"):
        same_evidence(double(0.0), double([1.0]), double([1.1]), double(1.0)[0])


@pytest.mark.equation("eq-free-information")
def test_the_information_is_what_entropies_and_a_library_say():
    covariance, weight = any_covariance()
    mean = normal(5, seed=8)
    for share in (0.0, 0.5, 1.0):
        model = same_evidence(mean, covariance, weight, double(share)[0])
        # I(x; z) = H(x) − H(x|z)
        noise = MultivariateNormal(mean, covariance - share * weight @ weight.mT)
        whole = MultivariateNormal(mean, covariance)
        close(information(model), whole.entropy() - noise.entropy())


def test_latents_on_axes_pay_half_a_logarithm_of_what_is_left():
    """One latent on each of ten axes of the digits, a share t of the variance: −½ log(1 − t)."""
    eigenvalues = DATA.eigenvalues + 1e-3
    covariance = (DATA.axes * eigenvalues) @ DATA.axes.mT
    weight = DATA.axes[:, :10] * eigenvalues[:10].sqrt()
    for share in (0.5, 0.75, 0.999):
        model = same_evidence(DATA.mean, covariance, weight, double(share)[0])
        close(information(model), -5 * math.log1p(-share), 1e-8)


@pytest.mark.equation("vae5")
def test_the_four_terms_are_those_of_the_library_and_of_draws():
    covariance, weight = any_covariance(4, 2, seed=3)
    model = same_evidence(normal(4, seed=9), covariance, weight, double(0.8)[0])
    x = 2 * normal(6, 4, seed=10)
    terms = posterior_terms(model, x)
    # Bayes' rule in moments of (z, x), which are Gaussian together
    gain = model.weight.mT @ torch.linalg.inv(covariance)  # (2, 4)
    centre = (x - model.offset) @ gain.mT  # (6, 2)
    spread = torch.eye(2).double() - gain @ model.weight
    posterior = MultivariateNormal(centre, spread)
    prior = MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    close(terms.kl_to_prior, kl_divergence(posterior, prior))
    close(terms.kl_to_posterior, torch.zeros(6))
    close(terms.residual, torch.zeros(6))
    z = centre + normal(200_000, 1, 2, seed=11) @ torch.linalg.cholesky(spread).mT  # (K, 6, 2)
    scores = MultivariateNormal(z @ model.weight.mT + model.offset, scale_tril=model.noise)
    drawn = scores.log_prob(x)  # (K, 6)
    error = drawn.std(0) / 200_000**0.5
    assert ((terms.log_likelihood - drawn.mean(0)).abs() < 4.5 * error).all()


def test_on_the_digits_the_bound_stays_and_the_rate_moves_by_more_than_twenty_nats():
    covariance = DIGITS.train.T.cov(correction=0) + 1e-3 * torch.eye(64).double()
    rising, axes = torch.linalg.eigh(covariance)
    weight = axes[:, -10:] * rising[-10:].sqrt()
    rates = []
    for share in (0.0, 0.5, 0.9, 0.99, 0.999):
        model = same_evidence(DIGITS.train.mean(0), covariance, weight, double(share)[0])
        terms = posterior_terms(model, DIGITS.test)
        expected = MultivariateNormal(DIGITS.train.mean(0), covariance).log_prob(DIGITS.test)
        torch.testing.assert_close(terms.elbo, expected, rtol=0, atol=1e-10)
        rates.append(float(terms.kl_to_prior.mean()))
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(0, abs=1e-12)
    assert rates[-1] > 20


# One knob under several names


@pytest.mark.equation("eq-prior-scale")
@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
def test_a_stretched_prior_gives_the_evidence_that_scipy_integrates(scale):
    x = double(0.8, -0.3)
    model = gaussian_decoder(lambda z: torch.stack([z, (2 * z).sin()], -1), x, 0.3)
    wide = rescaled(model, scale)

    def joint(z):  # N(z; 0, scale²) p(x|z), by scipy alone
        decoded = np.array([z / scale, np.sin(2 * z / scale)])
        likelihood = stats.norm.pdf(x.numpy(), decoded, 0.3**0.5).prod()
        return stats.norm.pdf(z, 0, scale) * likelihood

    expected, _ = integrate.quad(joint, -9 * scale, 9 * scale, epsabs=1e-13, limit=400)
    z = torch.linspace(-9 * scale, 9 * scale, 4001, dtype=torch.float64)
    seen = (wide.log_prior(z) + wide.log_likelihood(z)).exp()
    assert float(torch.trapezoid(seen, z)) == pytest.approx(expected, rel=1e-10)
    for place in (-1.3, 0.4, 2.0):
        nats = wide.log_prior(double(place)) + wide.log_likelihood(double(place))
        assert float(nats) == pytest.approx(math.log(joint(place)), rel=1e-10)


def test_a_stretched_prior_is_a_density():
    wide = rescaled(LatentModel(Normal(*double(0.0, 1.0)).log_prob, torch.zeros_like), 2.5)
    close(wide.log_prior(double(-4.0, 0.7)), Normal(*double(0.0, 2.5)).log_prob(double(-4.0, 0.7)))


def both_objectives(scale, beta, variance):
    """The β-objective of a linear VAE as a function of its scale, and its own bound at βσ²."""
    x, z = normal(30, 4, seed=2), normal(30, 2, seed=3)
    weight = scale * normal(2, 4, seed=4)
    kl = kl_divergence(Normal(z, scale.exp()), Normal(*double(0.0, 1.0))).sum(-1)  # (30,)

    def objective(noise, beta):
        score = Normal(z @ weight, noise.sqrt()).log_prob(x).sum(-1)  # (30,)
        return beta * kl - score

    return objective(variance, beta), -objective(beta * variance, 1)


@pytest.mark.equation("eq-beta-noise")
@pytest.mark.parametrize("beta", [0.1, 1.0, 4.0])
def test_a_weighted_objective_is_a_bound_at_another_noise_and_so_is_its_gradient(beta):
    scale, variance = double(0.7)[0].requires_grad_(), double(0.3)[0]
    weighted, bound = both_objectives(scale, beta, variance)
    close(bound_behind(weighted, variance, double(beta)[0], 4), bound, 1e-12)
    slopes = [torch.autograd.grad(v.mean(), scale, retain_graph=True)[0] for v in (weighted, bound)]
    close(slopes[0], -beta * slopes[1], 1e-12)


@pytest.mark.equation("eq-units")
@pytest.mark.parametrize(
    ("weight", "charge", "scale", "expected"),
    [
        (1.0, 0.5, 1.0, 1.0),  # half the sum of squares plus the KL: Λ = I
        (1.0, 1 / 64, 1.0, 32.0),  # a mean over 64 pixels
        (0.00025, 1 / 12_288, 1.0, 1.536),
        (1.0, 0.5, 255.0, 1 / 65_025),  # grey levels and Λ = I
    ],
)
def test_the_noise_of_losses_that_are_known_by_name(weight, charge, scale, expected):
    seen = implied_variance(*double(weight, charge), scale)
    assert float(seen) == pytest.approx(expected, rel=1e-12)


@pytest.mark.equation("eq-units")
def test_the_best_linear_model_of_a_loss_is_that_of_its_noise():
    """Minimise a s² Σ error + w Σ rate over one axis by scipy: error and rate are the law's."""
    weight, charge, scale = 0.3, 0.02, 5.0
    for eigenvalue in (0.9, 0.02, 4.0):

        def loss(rate, eigenvalue=eigenvalue):
            return charge * scale**2 * eigenvalue * math.exp(-2 * rate) + weight * rate

        best = optimize.minimize_scalar(
            loss, bounds=(0, 9), method="bounded", options={"xatol": 1e-9}
        )
        variance = implied_variance(*double(weight, charge), scale)
        law = rate_law(double(eigenvalue), variance, 1)
        assert best.x == pytest.approx(float(law.rate), abs=1e-5)


@pytest.mark.parametrize("copies", [2, 192])
def test_repeated_pixels_leave_the_rate_if_the_noise_is_multiplied(copies):
    few = DIGITS.train[:, [10, 20, 28, 43]]
    once, repeated = spectrum(few), spectrum(few.repeat_interleave(copies, 1))
    close(repeated.eigenvalues[:4], copies * once.eigenvalues, 1e-9)
    rates = [
        rate_law(each.eigenvalues, noise, 4).rate
        for each, noise in ((once, double(0.02)[0]), (repeated, copies * double(0.02)[0]))
    ]
    close(rates[0], rates[1], 1e-9)


# The plane of rate and squared error


@pytest.mark.equation("eq-spending")
def test_what_remains_is_what_the_best_prediction_from_a_noisy_code_leaves():
    """z = x + noise of variance n: the rate is ½ log(1 + λ/n), and λn/(λ + n) is left of x."""
    eigenvalues, noise = double(4.0, 0.5, 2.0), double(0.1, 30.0, 2.0)
    rates = (
        Normal(0.0, (eigenvalues + noise).sqrt()).entropy() - Normal(0.0, noise.sqrt()).entropy()
    )
    joint = torch.stack([torch.stack([eigenvalues, eigenvalues], -1)] * 2, -1)  # of (x, z)
    joint[:, 1, 1] += noise
    left = 1 / torch.linalg.inv(joint)[:, 0, 0]  # the variance of x given z
    close(remaining_error(eigenvalues, rates), left)


@pytest.mark.equation("eq-spending")
@pytest.mark.parametrize("level", [0.9, 0.1, 0.03])
def test_no_other_spending_of_the_laws_nats_leaves_less(level):
    eigenvalues = double(1.0, 0.7, 0.2, 0.05)
    rates = (0.5 * (eigenvalues / level).log()).clamp(min=0)
    nats = float(rates.sum())
    budget = {"type": "eq", "fun": lambda rates: rates.sum() - nats}
    found = optimize.minimize(
        lambda rates: float((eigenvalues.numpy() * np.exp(-2 * rates)).sum()),
        np.full(4, nats / 4),
        bounds=[(0, None)] * 4,
        constraints=[budget],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    close(remaining_error(eigenvalues, rates).sum(), found.fun, 1e-7)
    close(rates, found.x, 1e-4)


# A sweep over σ²


@pytest.mark.equation("eq-chord")
@pytest.mark.parametrize("latent", [64, 8, 2])
def test_chords_of_the_law_lie_between_its_tangents(latent):
    sweep = laws_sweep(latent=latent)
    seen = chords(sweep)
    below = sweep.variance < DATA.eigenvalues[0]  # above it all points are one
    assert seen.inside[below[:-1] & below[1:]].all()
    # the tangents are the law's slopes, by a finite difference
    step = 1e-6
    for i, variance in enumerate(LAW[1:].tolist()):
        if variance > DATA.eigenvalues[0]:
            continue
        near = rate_law(DATA.eigenvalues, variance * double(1 - step, 1 + step), latent)
        slope = float(near.rate.diff() / near.squared_error.diff())
        assert float(seen.steepest[i]) == pytest.approx(slope, rel=1e-4)
    assert torch.equal(seen.flattest[1:], seen.steepest[:-1])


@pytest.mark.equation("eq-chord", "eq-crossed", "eq-shortfall")
@pytest.mark.parametrize("seed", range(5))
def test_optima_over_any_set_of_models_have_their_chords_inside_and_beat_each_other(seed):
    """A set of 200 models, each a pair (R, E); at each σ² the best of them is found by looking."""
    rate, error = 6 * normal(2, 200, seed=seed).abs()
    variance = double(4.0, 1.0, 0.3, 0.1)
    best = [int(np.argmin(rate.numpy() + error.numpy() / (2 * v))) for v in variance.tolist()]
    sweep = Sweep(variance, rate[best], error[best])
    distinct = torch.tensor(best).diff() != 0
    assert chords(sweep).inside[distinct].all()
    assert distinct.any()
    close(shortfall(sweep), torch.zeros(4))
    for i, v in enumerate(variance.tolist()):
        for j, place in enumerate(best):
            expected = float(rate[place] + error[place] / (2 * v))
            assert float(crossed_losses(sweep)[i, j]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.equation("eq-shortfall")
@pytest.mark.parametrize("late", [0, 3, 7])
def test_a_run_that_is_short_is_found_by_the_others_and_never_by_more_than_it_is(late):
    sweep = laws_sweep(LAW[1:])
    loss = sweep.rate + sweep.squared_error / (2 * sweep.variance)
    spoiled = sweep._replace(rate=sweep.rate.clone())
    spoiled.rate[late] += 5.0
    seen = shortfall(spoiled)
    truth = spoiled.rate + spoiled.squared_error / (2 * spoiled.variance) - loss
    assert float(seen[late]) > 1
    assert (seen <= truth + 1e-12).all()
    close(seen[torch.arange(8) != late], torch.zeros(7))
    assert not chords(spoiled).inside[max(late - 1, 0) : late + 1].all()


def test_a_chord_is_inside_exactly_where_neighbours_do_not_beat_each_other():
    random = normal(300, 4, seed=5).abs()
    agreed = set()
    for a_rate, more, a_error, less in random.tolist():
        sweep = Sweep(
            double(1.0, 0.25), double(a_rate, a_rate + more), double(a_error + less, a_error)
        )
        fair = bool((shortfall(sweep) == 0).all())
        assert bool(chords(sweep).inside) is fair
        agreed.add(fair)
    assert agreed == {True, False}


@pytest.mark.equation("eq-own-noise")
@pytest.mark.parametrize(("rate", "error"), [(0.0, 4.7), (12.0, 0.9)])
def test_the_learned_noise_is_what_a_search_over_noises_finds(rate, error):
    def loss(log_noise):
        score = -32 * (math.log(2 * math.pi) + log_noise) - error / (2 * math.exp(log_noise))
        return rate - score

    found = optimize.minimize_scalar(loss, bracket=(-6, 0), tol=1e-12)
    variance, bound = learned_noise(*double(rate, error), 64)
    assert float(variance) == pytest.approx(math.exp(found.x), rel=1e-6)
    assert float(bound) == pytest.approx(-found.fun, abs=1e-9)


@pytest.mark.equation("eq-own-noise")
def test_on_the_law_the_noise_that_is_its_own_is_that_of_probabilistic_pca():
    for latent in (2, 8, 16):
        variance = float(DATA.eigenvalues[latent:].mean())  # Tipping and Bishop
        law = rate_law(DATA.eigenvalues, double(variance)[0], latent)
        own = learned_noise(law.rate, law.squared_error, 64)
        assert float(own.variance) == pytest.approx(variance, rel=1e-10)
        others = rate_law(DATA.eigenvalues, variance * double(0.8, 1.25), latent)
        assert (learned_noise(*others, 64).bound < own.bound).all()


def test_a_noise_that_correlates_pixels_needs_a_factor():
    with pytest.raises(ValueError, match="lower triangular"):
        information(CorrelatedNoise(normal(2, 1), normal(2), torch.ones(2, 2).double()))
