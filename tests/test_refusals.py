"""What a learner is likely to pass by mistake is refused, and the error says what to do."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from vae_tutorial import gaussians, limits, quadrature, transport
from vae_tutorial.annealing import bracket
from vae_tutorial.bounds import evidence_lower_bound
from vae_tutorial.data import binarize, minibatches
from vae_tutorial.decomposition import (
    LatentModel,
    LinearGaussian,
    decompose,
    expectation,
    gaussian_decoder,
    kl_divergence,
    linear_posterior,
    log_evidence,
)
from vae_tutorial.hamiltonian import hamiltonian_step, leapfrog
from vae_tutorial.likelihoods import (
    BernoulliPixels,
    FixedVariance,
    GaussianPixels,
    bernoulli_log_likelihood,
)
from vae_tutorial.linear import optimal_encoder, rate_law, spectrum
from vae_tutorial.marginal_likelihood import prior_monte_carlo
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.reparameterization import draw_diagonal, draw_full, score_function_gradients
from vae_tutorial.weights import importance_weighted_bound

TWO = torch.zeros(3, 2, dtype=torch.float64)
EYE = torch.eye(2, dtype=torch.float64)
IMAGES = torch.zeros(4, 5, dtype=torch.float64)
RULE = quadrature.trapezoid(-6, 6, 61)
PLAIN = LinearGaussian(torch.ones(3, 2), torch.zeros(3), torch.tensor(1.0))


@pytest.mark.parametrize(
    "call",
    [
        lambda: gaussians.log_normal(TWO, TWO, 0.0),
        lambda: gaussians.kl_to_standard_normal(TWO, 0.0),
        lambda: gaussians.kl_between(TWO, 0.0, TWO, 0.0),
        lambda: gaussians.log_normal(TWO, 0, TWO),
        lambda: draw_diagonal(TWO, 0.0, TWO),
        lambda: transport.quantile(transport.Atoms(TWO[:, 0], TWO[:, 0] + 1 / 3), 0.0),
        lambda: rate_law(torch.ones(3), 0.0, 1),
    ],
)
def test_a_number_where_a_tensor_is_needed(call):
    with pytest.raises(TypeError, match=r"must be a torch\.Tensor, got .* torch\.tensor\(0\.0\)"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: gaussians.entropy(x),
        lambda x: gaussians.cholesky_factor(x),
        lambda x: draw_diagonal(TWO, x, TWO),
        lambda x: bernoulli_log_likelihood(IMAGES, x),
        lambda x: transport.collect(x, TWO[:, 0]),
        lambda x: transport.ring(x),
        lambda x: transport.push_forward(transport.Atoms(x, x), torch.exp),
        lambda x: spectrum(x),
        lambda x: prior_monte_carlo(x),
        lambda x: importance_weighted_bound(x),
        lambda x: evidence_lower_bound(TWO, x),
        lambda x: bracket(x, TWO),
        lambda x: linear_posterior(PLAIN, x),
        lambda x: linear_posterior(PLAIN._replace(offset=x), TWO),
        lambda x: optimal_encoder(PLAIN).mean(x),
        lambda x: gaussian_decoder(torch.exp, x, 0.5),
        lambda x: leapfrog(lambda z: -z.sum(-1), x, TWO[None], torch.tensor(0.1), 1),
        lambda x: binarize(x, generator(0)),
        lambda x: next(minibatches(x, 1, generator(0))),
        lambda x: quadrature.grid(x, 2),
    ],
)
@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: np.zeros((2, 2)), "ndarray: write torch.from_numpy"),
        (lambda: [[0.0, 1.0]], "list: write torch.tensor"),
        (lambda: torch.zeros(2, 2, dtype=torch.int64), r"torch\.int64: use \.float\(\)"),
    ],
)
def test_arrays_lists_and_whole_numbers(call, make, advice):
    with pytest.raises(TypeError, match=advice):
        call(make())


@pytest.mark.parametrize(
    "call",
    [
        lambda: gaussians.log_normal(TWO, TWO.float(), TWO),
        lambda: gaussians.kl_between_full(TWO, EYE, TWO, EYE.float()),
        lambda: draw_full(TWO, EYE, TWO.float()),
        lambda: transport.collect(torch.zeros(1), torch.ones(1).double()),
        lambda: limits.energy_distance(TWO, TWO.float()),
        lambda: bernoulli_log_likelihood(IMAGES, IMAGES.float()),
        lambda: linear_posterior(PLAIN, torch.zeros(2, 3).double()),
        lambda: leapfrog(lambda z: -z.sum(-1), TWO[None], TWO[None].float(), TWO[0, 0] + 0.1, 1),
    ],
)
def test_single_precision_among_double(call):
    with pytest.raises(TypeError, match=r"must be torch\.float.. as .* is, got torch\.float"):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_diagonal(TWO, TWO, TWO[:2]), r"must broadcast, .* \(2,\) of noise"),
        (
            lambda: bernoulli_log_likelihood(IMAGES, IMAGES[:3]),
            r"got \(4,\) of x, \(3,\) of logits",
        ),
        (
            lambda: limits.least_bridge(TWO[:, 0] + 0.5, 1.0, TWO[0] + 1),
            r"got \(3,\) of share, \(2,\) of slope",
        ),
        (lambda: score_function_gradients(TWO[:, 0], TWO[0], TWO[:2]), "K = 3 as in values"),
        (lambda: optimal_encoder(PLAIN).mean(torch.zeros(2)), "D = 3 as in weight"),
    ],
)
def test_shapes_that_do_not_fit_each_other(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: GaussianPixels(FixedVariance(1.0)).log_density_table(IMAGES[0], IMAGES, TWO),
        lambda: BernoulliPixels().log_density_table(IMAGES[0], IMAGES, TWO),
        lambda: spectrum(IMAGES[0]),
    ],
)
def test_an_image_without_its_batch_axis(call):
    with pytest.raises(ValueError, match=r"unsqueeze\(0\) adds the axis that is missing"):
        call()


def nan(z):
    return torch.full_like(z, math.nan)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_evidence(LatentModel(nan, torch.sin), RULE), "log_prior must be a number or"),
        (lambda: log_evidence(LatentModel(torch.sin, nan), RULE), "NaN at 61 of 61 nodes"),
        (lambda: decompose(LatentModel(nan, torch.sin), torch.sin, RULE, RULE), "log_prior must"),
        (lambda: decompose(LatentModel(torch.sin, nan), torch.sin, RULE, RULE), "log_likelihood m"),
        (lambda: decompose(LatentModel(torch.sin, torch.sin), nan, RULE, RULE), "log_q must be"),
        (lambda: kl_divergence(nan, torch.sin, RULE), "log_q must be a number"),
        (lambda: expectation(nan, torch.sin, RULE), "log_q must be a number"),
        (lambda: quadrature.trapezoid(math.nan, 1, 5), "low must be finite, got nan"),
        (lambda: quadrature.gauss_legendre(0, math.inf, 5), "high must be finite, got inf"),
        (lambda: quadrature.gauss_hermite(400), "num_nodes must be at most 370, got 400"),
        (lambda: linear_posterior(PLAIN._replace(offset=nan(torch.zeros(3))), torch.ones(3)), "of"),
        (
            lambda: optimal_encoder(PLAIN)._replace(weight=nan(torch.zeros(2, 3))).mean(PLAIN[1]),
            "weight must be finite, but 6 of 6",
        ),
        (
            lambda: transport.log_density_of_image(torch.exp, TWO, nan(TWO[:, 0])),
            "log_density must be finite, but 3 of 3",
        ),
        (
            lambda: transport.log_density_of_image(lambda z: z / 0, TWO, TWO[:, 0]),
            r"function\(z\) must be finite",
        ),
        (
            lambda: leapfrog(lambda z: z.sum(-1), TWO[None], nan(TWO)[None], TWO[0, 0], 1),
            "momentum must be finite",
        ),
        (
            lambda: leapfrog(lambda z: (z * math.nan).sum(-1), TWO[None], TWO[None], TWO[0, 0], 1),
            "the gradient of log_density at z must be finite",
        ),
        (
            lambda: hamiltonian_step(
                lambda z: z.sum(-1) + math.nan, TWO[None], TWO[0, 0], 1, generator(0)
            ),
            r"log_density\(z\) must be finite",
        ),
    ],
)
def test_nan_is_not_passed_on_in_silence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_rule_of_many_nodes_still_integrates():
    nodes, weights = quadrature.gauss_hermite(360)
    assert float((weights * nodes.square()).sum()) == pytest.approx(1, rel=1e-9)


def test_a_model_of_another_kind_is_named():
    with pytest.raises(TypeError, match="model must be a LinearGaussian, got Linear"):
        linear_posterior(nn.Linear(3, 2), torch.zeros(3))


@pytest.mark.parametrize(
    "draw",
    [
        lambda random: standard_normal((2, 2), random),
        lambda random: binarize(torch.zeros(2, 2), random),
        lambda random: next(minibatches(torch.zeros(4, 2), 2, random)),
    ],
)
def test_nothing_is_drawn_without_a_seed(draw):
    """None drew from the global generator, and no run could be repeated."""
    with pytest.raises(TypeError, match=r"generator must be a torch\.Generator, got None"):
        draw(None)
