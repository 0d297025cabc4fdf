"""What chapter 16 says of trained models, held to five seeds.

Minutes of training, so `make test-slow` runs them. The bounds leave room for another processor.
"""

import functools

import pytest
import torch
from seeded import SEEDS

from vae_tutorial.conditional import (
    ConditionalVAE,
    exact_conditional_evidence,
    given,
    leak,
    pairs_of,
    regressor_evidence,
)
from vae_tutorial.data import load_digits
from vae_tutorial.evaluation import exact_bound
from vae_tutorial.likelihoods import GaussianPixels, SharedVariance
from vae_tutorial.models import DiagonalEncoder, log_prior, network
from vae_tutorial.noise import generator
from vae_tutorial.pretrained import completers, untrained_completers
from vae_tutorial.quadrature import gauss_hermite, product, trapezoid
from vae_tutorial.training import fit

DIGITS = load_digits(torch.float64)
SEEN = torch.arange(64) % 8 == 3
TRAIN, TEST = pairs_of(DIGITS.train, SEEN), pairs_of(DIGITS.test, SEEN)[:100]
PLANE = product(trapezoid(-5, 5, 101), 2)
CODES = torch.eye(10, dtype=torch.float64)


def trained(model, rows, seed):
    """200 epochs on rows, as the kept models had."""
    settings = {"epochs": 200, "batch_size": 100, "learning_rate": 0.003}
    return fit(model, rows, generator=generator(100 + seed), **settings).model.requires_grad_(False)


@functools.cache
def pair(seed):
    return [trained(model, TRAIN, seed) for model in untrained_completers(seed)]


def evidence(model, rows):
    """log p(y|x) of pairs on a plain grid: (batch,)."""
    found, log_mass = [], log_prior(PLANE.nodes) + PLANE.weights.log()
    for row in rows:
        of_y = given(model, row[: model.condition])
        score, decoded = of_y.likelihood.log_density_table, of_y.decoder(PLANE.nodes)
        table = score(row[None, model.condition :], decoded, PLANE.nodes)[:, 0]
        found.append((table + log_mass).logsumexp(0))
    return torch.stack(found)


def mean_of(model):
    """E[y|x] of the test pairs: (batch, event)."""
    rule, x = product(gauss_hermite(20), 2), TEST[:, :8]
    rows = torch.cat([rule.nodes.expand(len(x), -1, -1), x[:, None].expand(-1, 400, -1)], -1)
    return torch.einsum("n,bnp->bp", rule.weights, model.decoder(rows))


def squared_error(mean):
    return (mean - TEST[:, 8:]).square().mean()


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_regressor_wins_in_squared_error_and_loses_nats(seed):
    vae, alone = pair(seed)
    error = squared_error(alone.decoder(TEST[:, :8]))
    assert error < 0.97 * squared_error(mean_of(vae))
    assert evidence(vae, TEST).mean() - regressor_evidence(error, 56) > 15


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_peek_at_the_answer_flatters(seed):
    vae, alone = pair(seed)
    assert leak(vae, TEST, evidence(vae, TEST)).mean() > 0.3
    copies = vae.decoder(torch.cat([vae.encoder(TEST).mean, TEST[:, :8]], -1))
    assert squared_error(copies) < 0.75 * squared_error(alone.decoder(TEST[:, :8]))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_bounds_classify_almost_as_well_and_are_too_sure(seed):
    weights = generator(seed)
    encoder, decoder = DiagonalEncoder(74, 64, 2, weights), network([12, 64, 64, 64], weights)
    model = ConditionalVAE(encoder, decoder, GaussianPixels(SharedVariance(0.1)), 10).double()
    rows = torch.cat([CODES[DIGITS.train_labels], DIGITS.train], -1)
    model, label = trained(model, rows, seed), DIGITS.test_labels
    log_mass = (log_prior(PLANE.nodes) + PLANE.weights.log())[:, None]
    columns = []
    for code in CODES:
        of_x = given(model, code)
        score, decoded = of_x.likelihood.log_density_table, of_x.decoder(PLANE.nodes)
        exact = (score(DIGITS.test, decoded, PLANE.nodes) + log_mass).logsumexp(0)
        rows = torch.cat([code.expand(297, -1), DIGITS.test], -1)
        columns.append((exact, exact_bound(model, rows, model.encoder(rows)).elbo))
    exact, bound = (torch.stack(column, 1) for column in zip(*columns, strict=True))  # (297, 10)
    assert (exact.argmax(1) == label).sum() > 275
    assert 0 < (exact.argmax(1) != bound.argmax(1)).sum() < 15
    gap, own = exact - bound, torch.nn.functional.one_hot(label, 10).bool()
    assert gap[~own].mean() > 5 * gap[own].mean()
    surprise = [-scores.log_softmax(1)[own].mean() for scores in (exact, bound)]
    assert surprise[1] > surprise[0]


@pytest.mark.slow
def test_training_again_gives_the_kept_weights():
    for kept, again in zip(completers(), pair(3), strict=True):
        for name, value in kept.state_dict().items():
            torch.testing.assert_close(again.state_dict()[name], value, atol=1e-8, rtol=0)


@pytest.mark.slow
def test_the_plain_grid_and_the_mesh_agree_on_trained_models():
    vae, _ = completers()
    exact = exact_conditional_evidence(vae, TEST[:20])
    torch.testing.assert_close(evidence(vae, TEST[:20]), exact.log_evidence, atol=0.02, rtol=0)
