"""Train one-latent VAEs on the law of the digits' first principal score, until nothing moves.

The law is a mixture of three Gaussians, fitted to the scores of the training digits, so that the
construction of chapter 14 and its gap are exact. The VAE sees the law by a quadrature in x, and its
bound by Gauss–Hermite: nothing is drawn but the initial weights, and L-BFGS can be run until
the loss stands still. log p(x) and the bound are then taken exactly, and averaged over the law on a
finer grid. Minutes on one thread; the page reads the results.
"""

import json
from pathlib import Path

import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from vae_tutorial.data import load_digits
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.evaluation import exact_bound, exact_log_evidence
from vae_tutorial.files import write_whole
from vae_tutorial.likelihoods import FixedVariance, GaussianPixels
from vae_tutorial.linear import spectrum
from vae_tutorial.models import VAE, DiagonalEncoder, network
from vae_tutorial.noise import generator
from vae_tutorial.quadrature import gauss_hermite, trapezoid
from vae_tutorial.zero_error import Mixture, mixture

OUTPUT = Path(__file__).resolve().parent.parent / "book" / "results" / "first_score.json"
SIGMAS = (0.4, 0.2, 0.1)
SEEDS = range(5)
PARTS, HIDDEN, NODES = 3, 16, 12
SEEN, FINER = 141, 281  # nodes in x on [−3.5, 3.5], of training and of the exact averages
MOST_ROUNDS, ITERATIONS = 12, 300  # of L-BFGS
STILL = 2e-4  # nats by which a whole round lowers the loss: then it stands still
VIEW = torch.linspace(-3, 3, 61, dtype=torch.float64)  # latents at which the decoder is kept


def fitted_law() -> Mixture:
    """Three Gaussians fitted to the first principal scores of the 1,500 training digits."""
    train = load_digits(torch.float64).train
    data = spectrum(train)
    scores = (train - data.mean) @ data.axes[:, :1]  # (1500, 1)
    found = GaussianMixture(PARTS, random_state=0, n_init=5, tol=1e-8, max_iter=2000)
    found.fit(scores.numpy())
    weight = found.weights_ / found.weights_.sum()
    deviation = found.covariances_[:, 0, 0] ** 0.5
    return mixture(weight.tolist(), found.means_[:, 0].tolist(), deviation.tolist())


def average_rule(law: Mixture, nodes: int) -> tuple[Tensor, Tensor]:
    """Places x (nodes, 1), and what each counts for in an average over the law (nodes,)."""
    rule = trapezoid(-3.5, 3.5, nodes)
    return rule.nodes[:, None], rule.weights * law.log_density(rule.nodes).exp()


def exact_averages(model: VAE, law: Mixture) -> dict[str, float]:
    """Exact log p(x), bound and rate, averaged over the law, nats; and the largest error."""
    x, mass = average_rule(law, FINER)
    posterior = model.encoder(x)
    evidence, bound = exact_log_evidence(model, x), exact_bound(model, x, posterior)
    return {
        "log_evidence": float(mass @ evidence.log_evidence),
        "elbo": float(mass @ bound.elbo),
        "rate": float(mass @ posterior.kl_to_prior()),
        "error": float(mass @ (evidence.error + bound.error)),
    }


def trained(law: Mixture, sigma: float, seed: int) -> tuple[VAE, list[float]]:
    """The VAE and its loss after each round, nats."""
    weights = generator(seed)
    encoder = DiagonalEncoder(1, HIDDEN, 1, weights)
    decoder = network([1, HIDDEN, 1], weights)
    model = VAE(encoder, decoder, GaussianPixels(FixedVariance(sigma**2))).double()
    x, mass = average_rule(law, SEEN)
    rule = gauss_hermite(NODES)
    noise = rule.nodes[:, None, None].expand(-1, SEEN, 1)

    def loss() -> Tensor:
        posterior = model.encoder(x)
        log_likelihood = rule.weights @ model.log_likelihood(x, posterior.draw(noise))  # (141,)
        return mass @ (posterior.kl_to_prior() - log_likelihood)

    search = torch.optim.LBFGS(
        model.parameters(),
        max_iter=ITERATIONS,
        max_eval=10 * ITERATIONS,
        history_size=30,
        tolerance_grad=1e-9,
        tolerance_change=1e-13,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        search.zero_grad()
        value = loss()
        value.backward()
        return value

    losses: list[float] = []
    while len(losses) < MOST_ROUNDS and (len(losses) < 2 or losses[-2] - losses[-1] > STILL):
        search.step(closure)
        losses.append(float(loss().detach()))
    return model.requires_grad_(False), losses


def main() -> None:
    made, law, records, decoders = provenance(), fitted_law(), [], {}
    for sigma in SIGMAS:
        for seed in SEEDS:
            model, losses = trained(law, sigma, seed)
            record = {"sigma": sigma, "seed": seed, "losses": losses, **exact_averages(model, law)}
            records.append(record)
            print(record, flush=True)
            if seed == 0:
                decoders[str(sigma)] = model.decoder(VIEW[:, None])[:, 0].tolist()
    contents = {
        "provenance": made,
        "law": {name: part.tolist() for name, part in law._asdict().items()},
        "records": records,
        "decoders": {"z": VIEW.tolist(), **decoders},
    }
    write_whole(OUTPUT, f"{json.dumps(contents, indent=1)}\n".encode())


if __name__ == "__main__":
    main()
