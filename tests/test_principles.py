"""One decoder, three principles: tests of `principles`."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from drawn import close, double, normal
from sklearn.neighbors import KernelDensity
from torch import nn
from torch.distributions import (
    AffineTransform,
    MultivariateNormal,
    Normal,
    TanhTransform,
    TransformedDistribution,
)

from vae_tutorial import principles
from vae_tutorial.data import load_digits
from vae_tutorial.evaluation import exact_log_evidence
from vae_tutorial.noise import generator
from vae_tutorial.pretrained import two_latents
from vae_tutorial.principles import (
    Draws,
    Judged,
    Mixture,
    PerfectGame,
    drawn_divergences,
    generated,
    log_density,
    plane,
    smoothed,
)
from vae_tutorial.quadrature import gauss_hermite, product, trapezoid
from vae_tutorial.training import initial_state, make_step, run_epoch

VARIANCE = 0.3


class Linear(nn.Module):
    """The decoder f(z) = z Wᵀ + b, under which p_g is a Gaussian."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, z):
        return z @ self.weight.mT + self.bias

    def law(self, variance):
        pixels = torch.eye(len(self.bias)).to(self.bias)
        return MultivariateNormal(self.bias, self.weight @ self.weight.mT + variance * pixels)


@pytest.fixture
def wide(monkeypatch):
    """Grids that reach to where the prior has 1e-11 left, so that only the formulas are tested."""
    monkeypatch.setattr(principles, "REACH", 7.0)
    monkeypatch.setattr(principles, "TRAINING_NODES", 61)


# The densities


@pytest.mark.equation("eq-smoothed")
def test_digits_under_noise_have_the_density_of_a_kernel_estimate():
    images, x = normal(30, 5), 2 * normal(250, 5, seed=2)  # more than two blocks
    oracle = KernelDensity(bandwidth=math.sqrt(VARIANCE)).fit(images.numpy())
    close(log_density(smoothed(images, VARIANCE), x), oracle.score_samples(x.numpy()))


@pytest.mark.equation("eq-generated")
def test_a_linear_decoder_makes_a_gaussian(wide):
    decoder = Linear(0.4 * normal(4, 2), normal(4, seed=2))
    x = decoder.bias + 0.3 * normal(20, 4, seed=3)
    found = log_density(generated(decoder, plane(81), VARIANCE), x)
    close(found, decoder.law(VARIANCE).log_prob(x), 1e-9)


@pytest.mark.equation("eq-generated")
def test_the_kept_model_has_the_evidence_that_another_mesh_finds():
    model, digits = two_latents(), load_digits(torch.float64)
    variance = float(model.likelihood.variance.log_variance.exp())
    x = digits.test[:5]
    exact = exact_log_evidence(model, x).log_evidence
    close(log_density(generated(model.decoder, plane(241), variance), x), exact, 1e-5)


def test_the_plane_holds_the_prior_but_for_what_lies_outside_its_circle():
    outside = math.exp(-(principles.REACH**2) / 2)  # of N(0, I) in two dimensions
    for rule in (plane(101), principles.shifted_plane(double(0.5, -0.3))):
        mass = generated(lambda z: z, rule, 1.0).log_shares.logsumexp(0).exp()
        assert abs(float(mass) - 1 + outside) < 1e-5
    assert float(plane(101).nodes.norm(dim=-1).max()) <= principles.REACH


def test_a_training_grid_is_the_plane_shifted_by_parts_of_its_step():
    step = 2 * principles.REACH / (principles.TRAINING_NODES - 1)
    still, moved = (principles.shifted_plane(double(*shift)) for shift in ((0, 0), (0.5, -0.25)))
    close(still.nodes, plane(principles.TRAINING_NODES).nodes)
    close(moved.nodes - still.nodes, double(0.5 * step, -0.25 * step).expand_as(still.nodes))
    close(moved.weights, still.weights)


# How far apart


@pytest.mark.equation("eq-drawn-divergences")
def test_divergences_of_two_gaussians():
    """p around one image, p_g of a linear decoder: closed forms, and for JS a quadrature."""
    decoder, image = Linear(double([0.5, 0.3]), double(0.4)).requires_grad_(False), double([-0.2])
    p, model = smoothed(image, VARIANCE), generated(decoder, plane(41), VARIANCE)
    width = decoder.law(VARIANCE).covariance_matrix.item() ** 0.5
    data, made = Normal(image.item(), VARIANCE**0.5), Normal(0.4, width)
    draws = 3000
    found = drawn_divergences(
        p,
        model,
        image + VARIANCE**0.5 * normal(draws, 1),
        decoder(normal(draws, 2, seed=2)) + VARIANCE**0.5 * normal(draws, 1, seed=3),
    )

    def middle_to(law):  # KL of law from the middle of both
        def integrand(x):
            x = double(x)[0]
            mixed = torch.logaddexp(data.log_prob(x), made.log_prob(x)) - math.log(2)
            return float(law.log_prob(x).exp() * (law.log_prob(x) - mixed))

        return scipy.integrate.quad(integrand, -8, 8)[0]

    reverse = torch.distributions.kl_divergence(made, data).item()
    shannon = 0.5 * (middle_to(data) + middle_to(made))
    exact = (
        torch.distributions.kl_divergence(data, made).item(),
        reverse,
        shannon,
        reverse - 2 * shannon,
    )
    for estimate, value in zip(found, exact, strict=True):
        assert float(estimate.standard_error) < 0.04
        assert abs(float(estimate.mean) - value) < 4 * float(estimate.standard_error)


@pytest.mark.equation("eq-half-way")
def test_the_game_s_price_is_twice_the_divergence_of_the_middle_from_p():
    """Both laws on two far images, so that the draws are classes and the sums can be written."""
    images, shares = double([-20.0], [20.0]), (0.9, 0.1)
    p = smoothed(images, 0.01)
    model = Mixture(images, double(*shares).log(), 0.01)
    classes = torch.tensor([0, 1] * 500), torch.tensor([0] * 900 + [1] * 100)
    found = drawn_divergences(p, model, *(images[rows] for rows in classes))
    middle = [(0.5 + share) / 2 for share in shares]
    assert (
        abs(float(found.non_saturating.mean) - 2 * scipy.stats.entropy(middle, [0.5, 0.5])) < 1e-9
    )
    assert abs(float(found.reverse.mean) - scipy.stats.entropy(shares, [0.5, 0.5])) < 1e-9


@pytest.mark.equation("eq-memorised")
@pytest.mark.parametrize("count", [1, 2, 3])
def test_memorised_images_lie_between_the_limits(count):
    """On a line, where the divergence is an integral."""
    images = double([0.0], [2.5], [-3.0], [4.0], [7.0])
    p, model = smoothed(images, 0.25), smoothed(images[:count], 0.25)
    nodes = torch.linspace(-10, 15, 20_001, dtype=torch.float64)[:, None]
    log_p, log_made = log_density(p, nodes), log_density(model, nodes)
    exact = float((log_made.exp() * (log_made - log_p)).sum() * 25 / 20_000)
    low, high = principles.memorised_divergence(images, count, 0.25)
    assert high == pytest.approx(math.log(5 / count), abs=1e-12)
    assert low < exact < high
    # The slack is the Bhattacharyya overlap with the images that are left out, by scipy.
    slack = sum(
        scipy.integrate.quad(
            lambda x, a=a, b=b: math.sqrt(
                scipy.stats.norm.pdf(x, a, 0.5) * scipy.stats.norm.pdf(x, b, 0.5)
            ),
            -10,
            15,
            points=[a, b],
        )[0]
        for a in images[:count, 0].tolist()
        for b in images[count:, 0].tolist()
    )
    assert high - low == pytest.approx(slack / count, rel=1e-6)


def test_who_memorises_all_images_has_nothing_to_pay():
    assert principles.memorised_divergence(normal(6, 2), 6, 1.0) == (0.0, 0.0)


@pytest.mark.equation("eq-effective-images")
def test_shares_of_images_are_those_of_a_mixture_and_their_number_is_exp_entropy():
    images, x = normal(7, 3), normal(230, 3, seed=2)
    around = [scipy.stats.multivariate_normal(c, VARIANCE).pdf(x.numpy()) for c in images.numpy()]
    shares = principles.shares_of_images(smoothed(images, VARIANCE), x)
    expected = (around / np.sum(around, 0)).mean(1)
    close(shares, expected)
    close(principles.effective_count(shares), math.exp(scipy.stats.entropy(expected)))


# Training before the best discriminator


def nodes_as_draws(order=40):
    """All pairs of latent and pixel noise of a rule, as the draws of one step: with weights."""
    rule = product(gauss_hermite(order), 2)
    latent = torch.stack([rule.nodes[:, 0], torch.zeros(len(rule.nodes)).double()], -1)
    noise = rule.nodes[:, 1:]
    return Draws(latent, noise, noise, double(0.2, -0.4)), rule.weights


def one_pixel_game():
    """Two images on a line, and a decoder that leans on the first latent alone."""
    decoder = Linear(double([0.3, 0.0]), double(0.3))
    return decoder, PerfectGame(decoder, double([-0.4], [0.7]), VARIANCE)


def integral_of_the_game(width, bias, variance=VARIANCE):
    """2 KL(½(p + p_g) ‖ p) of the same game, and KL(p ‖ p_g), by a fine trapezoid."""
    rule = trapezoid(-12, 12, 4001)
    line = rule.nodes
    around = (Normal(double(c), variance**0.5).log_prob(line) for c in (-0.4, 0.7))
    log_p = torch.logaddexp(*around) - math.log(2)
    log_made = Normal(bias, (width**2 + variance).sqrt()).log_prob(line)
    log_middle = torch.logaddexp(log_p, log_made) - math.log(2)
    game = 2 * (rule.weights * log_middle.exp() * (log_middle - log_p)).sum()
    return game, (rule.weights * log_p.exp() * (log_p - log_made)).sum()


@pytest.mark.equation("eq-hybrid")
@pytest.mark.parametrize("weight", [0.0, 0.5, 5.0, 1e6])
def test_the_hybrid_follows_kl_and_weight_times_the_games_divergence(wide, weight):
    decoder, perfect = one_pixel_game()
    draws, weights = nodes_as_draws()
    images = perfect.images
    # The digits of the batch: both images at each node of the noise.
    both = [perfect(image.expand(len(weights), 1), draws) for image in images]
    averaged = Judged(
        (both[0].log_density + both[1].log_density) / 2 * weights * len(weights),
        both[0].logit,
    )
    likelihood_part = principles.hybrid(weight)(averaged) - weight * principles.game(averaged)
    game_part = (weights * nn.functional.softplus(-both[0].logit)).sum()
    found = torch.autograd.grad(
        likelihood_part + weight * game_part, (decoder.weight, decoder.bias)
    )
    width, bias = double(0.3).requires_grad_(), double(0.3).requires_grad_()
    game, forward = integral_of_the_game(width, bias)
    expected = torch.autograd.grad(forward + weight * game, (width, bias))
    close(found[0][0, 0], expected[0], 1e-8 * (1 + weight))
    close(found[1], expected[1].reshape(1), 1e-8 * (1 + weight))


@pytest.mark.equation("eq-hybrid")
def test_the_hybrids_two_ends():
    judged = Judged(normal(50), 3 * normal(50, seed=2))
    likelihood = -float(judged.log_density.mean())
    game = float((1 + (-judged.logit).exp()).log().mean())
    assert float(principles.hybrid(0.0)(judged)) == pytest.approx(likelihood, abs=1e-12)
    assert float(principles.hybrid(1e9)(judged)) / 1e9 == pytest.approx(game, abs=1e-7)
    assert float(principles.hybrid(2.0)(judged)) == pytest.approx(likelihood + 2 * game, abs=1e-12)
    saturating = float((1 - judged.logit.sigmoid()).log().mean())
    assert float(principles.saturating_game(judged)) == pytest.approx(saturating, abs=1e-12)


def test_judged_digits_and_made_images_are_scored_by_the_exact_densities():
    decoder, images = Linear(0.5 * normal(3, 2), normal(3, seed=2)), normal(6, 3, seed=3)
    batch = images[:4]
    draws = Draws(*(normal(4, size, seed=9 + size) for size in (2, 3, 3)), double(0.1, 0.3))
    draws = draws._replace(real=normal(4, 3, seed=20))
    with torch.no_grad():
        judged = PerfectGame(decoder, images, VARIANCE)(batch, draws)
        real = batch + VARIANCE**0.5 * draws.real
        made = decoder(draws.latent) + VARIANCE**0.5 * draws.made
        law = decoder.law(VARIANCE)
        close(judged.log_density, law.log_prob(real), 1e-3)
        oracle = KernelDensity(bandwidth=math.sqrt(VARIANCE)).fit(images.numpy())
        expected = torch.from_numpy(oracle.score_samples(made.numpy())) - law.log_prob(made)
        close(judged.logit, expected, 1e-3)


def test_the_engine_of_training_trains_a_game():
    """The loop that trains a VAE brings a generator nearer to the one image of its data."""
    image, draws = double([1.0, -0.5]), generator(3)
    model = PerfectGame(Linear(0.2 * normal(2, 2), double(0.0, 0.0)), image, 0.1)
    step, state = make_step(model, principles.game), initial_state(model)
    pairs = principles.with_draws([image.expand(10, 2)] * 40, draws)
    state, means = run_epoch(step, state, pairs, 0.05)
    assert state.steps == len(means.logit) == 40
    assert float(means.logit[-5:].mean()) > float(means.logit[:5].mean()) + 1
    assert float((state.parameters["decoder.bias"] - image[0]).norm()) < 0.3


def test_draws_are_those_of_their_step():
    batches = [torch.zeros(4, 5), torch.zeros(3, 5)]
    one, other = (list(principles.with_draws(batches, generator(1))) for _ in range(2))
    for (batch, draws), (_, again) in zip(one, other, strict=True):
        shapes = [tuple(part.shape) for part in draws]
        assert shapes == [(len(batch), 2), (len(batch), 5), (len(batch), 5), (2,)]
        assert all(part.dtype == batch.dtype for part in draws)
        assert all(torch.equal(a, b) for a, b in zip(draws, again, strict=True))
    assert not torch.equal(one[0][1].made, one[0][1].real)
    shifts = torch.stack(
        [d.shift for _, d in principles.with_draws([torch.zeros(1, 1)] * 300, generator(2))]
    )
    assert shifts.min() >= -0.5
    assert shifts.max() <= 0.5
    assert scipy.stats.kstest(shifts.flatten().numpy() + 0.5, "uniform").pvalue > 0.01


# A density of features


@pytest.mark.equation("eq-feature-density")
def test_pixels_get_the_density_of_their_features_and_the_volume():
    """Features 3 tanh(x) + 1 of independent normal pixels: the law of x by torch."""
    base = Normal(double(0.2, -0.1), double(0.5, 0.9))
    to_features = [TanhTransform(), AffineTransform(1.0, 3.0)]
    features = TransformedDistribution(base, to_features)
    x = 0.8 * normal(9, 2)
    found = principles.log_density_through(
        lambda image: 3 * image.tanh() + 1, lambda y: features.log_prob(y).sum(-1), x
    )
    close(found, base.log_prob(x).sum(-1), 1e-9)


@pytest.mark.equation("eq-feature-density")
def test_a_map_that_mixes_pixels_brings_its_determinant():
    matrix = normal(3, 3)
    latent = MultivariateNormal(torch.zeros(3).double(), matrix @ matrix.mT)
    standard = MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    x, inverse = normal(5, 3, seed=2), torch.linalg.inv(matrix)
    found = principles.log_density_through(lambda image: inverse @ image, standard.log_prob, x)
    close(found, latent.log_prob(x), 1e-9)
