"""What chapter 14 says of trained one-latent VAEs, held to five seeds at one noise.

Minutes of training, so `make test-slow` runs them. The bounds leave room for another processor.
"""

import pytest
import torch
from seeded import SEEDS

from vae_tutorial import zero_error
from vae_tutorial.evaluation import exact_bound, exact_log_evidence
from vae_tutorial.likelihoods import FixedVariance, GaussianPixels
from vae_tutorial.models import VAE, DiagonalEncoder, network
from vae_tutorial.noise import generator
from vae_tutorial.quadrature import gauss_hermite, trapezoid

SIGMA = 0.4
LAW = zero_error.mixture(  # near that of the digits' first score
    [0.18, 0.67, 0.15], [1.25, -0.08, -1.15], [0.34, 0.54, 0.29]
)


def places(nodes):
    rule = trapezoid(-3.5, 3.5, nodes)
    return rule.nodes[:, None], rule.weights * LAW.log_density(rule.nodes).exp()


def converged(seed):
    """A VAE trained on the law itself by L-BFGS, and what the last 300 steps gained, nats."""
    weights = generator(seed)
    encoder, decoder = DiagonalEncoder(1, 16, 1, weights), network([1, 16, 1], weights)
    model = VAE(encoder, decoder, GaussianPixels(FixedVariance(SIGMA**2))).double()
    x, mass = places(141)
    rule = gauss_hermite(12)
    noise = rule.nodes[:, None, None].expand(-1, len(x), 1)
    search = torch.optim.LBFGS(
        model.parameters(), max_iter=300, history_size=30, line_search_fn="strong_wolfe"
    )

    def closure():
        search.zero_grad()
        q = model.encoder(x)
        log_likelihood = rule.weights @ model.log_likelihood(x, q.draw(noise))
        loss = mass @ (q.kl_to_prior() - log_likelihood)
        loss.backward()
        return loss

    search.step(closure)
    middle = float(search.step(closure).detach())  # the loss where the second round begins
    gained = middle - float(closure().detach())
    return model.requires_grad_(False), gained


@pytest.mark.slow
def test_a_converged_vae_beats_the_construction_and_its_gap_is_small():
    x, mass = places(281)
    rule = trapezoid(-3.5, 3.5, 281)
    blurred = float(mass @ LAW.blurred_log_density(x[:, 0], SIGMA**2))
    for seed in SEEDS:
        model, gained = converged(seed)
        log_p = float(mass @ exact_log_evidence(model, x).log_evidence)
        bound = float(mass @ exact_bound(model, x, model.encoder(x)).elbo)
        assert 0 <= gained < 1e-3
        assert log_p > blurred + 0.005
        assert 0 < log_p - bound < 0.02
        assert zero_error.average_gap(LAW, SIGMA**2, rule) > 0.1
