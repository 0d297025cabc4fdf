"""Chapter 16 over five seeds: models of a digit's other pixels, given its fourth column.

Each seed trains a VAE of whole digits, a conditional VAE and a regressor, with the settings of
`pretrained.train`, and takes log p(y|x) of the 297 test digits on a plain grid, without draws. It
also trains a VAE of digits given their class, which then classifies. The kept seed goes on, to
twice as many epochs; its conditional VAE and its regressor are stored. Minutes on one thread. The
results go to one JSON file, which the page reads, the weights to `vae_tutorial/trained`.
"""

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vae_tutorial.conditional import (
    ConditionalVAE,
    given,
    leak,
    marginal,
    pairs_of,
    regressor_evidence,
    variance_split,
)
from vae_tutorial.data import load_digits, minibatches, with_noise
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.evaluation import exact_bound
from vae_tutorial.files import write_whole
from vae_tutorial.likelihoods import GaussianPixels, SharedVariance
from vae_tutorial.models import VAE, DiagonalEncoder, log_prior, network
from vae_tutorial.noise import generator
from vae_tutorial.pretrained import CONDITIONAL, SEED, untrained, untrained_completers
from vae_tutorial.quadrature import product, trapezoid
from vae_tutorial.training import initial_state, make_step, negative_elbo, run_epoch

OUTPUT = Path(__file__).resolve().parent.parent / "book" / "results" / "conditional.json"
SEEDS = range(5)
MARK, LATER = 200, 400  # epochs
BATCH, LEARNING_RATE = 100, 0.003
SEEN = torch.arange(64) % 8 == 3  # the fourth column
SIDE = 161  # nodes of the plain grid on [−6, 6], on each axis
RULE = product(trapezoid(-6, 6, SIDE), 2)
LOG_MASS = log_prior(RULE.nodes) + RULE.weights.log()  # (n,)
HALF = torch.arange(SIDE**2).reshape(SIDE, SIDE)[::2, ::2].flatten()  # every second node
LOG_HALF = LOG_MASS[HALF] + math.log(4)  # each stands for four (the outermost have no mass)


def trained(model: VAE, rows: Tensor, seed: int, marks: tuple) -> Iterator[tuple[int, VAE, float]]:
    """Train, and at each mark give the epoch, a frozen copy, and the epoch's average bound."""
    draws, step = generator(100 + seed), make_step(model, negative_elbo)
    state = initial_state(model)
    for epoch in range(1, marks[-1] + 1):
        pairs = with_noise(minibatches(rows, BATCH, draws), model.encoder.latent, 1, draws)
        state, means = run_epoch(step, state, pairs, LEARNING_RATE)
        if epoch in marks:
            fitted = copy.deepcopy(model).requires_grad_(False)
            fitted.load_state_dict({**model.state_dict(), **state.parameters})
            yield epoch, fitted, float(means.elbo.mean())


def integral(table: Tensor) -> tuple[Tensor, Tensor]:
    """The log of the average of exp(table) (n, batch) under the prior, and its change on HALF."""
    fine = (table + LOG_MASS[:, None]).logsumexp(0)  # (batch,)
    coarse = (table[HALF] + LOG_HALF[:, None]).logsumexp(0)
    return fine, (fine - coarse).abs()


def summary(log_density: Tensor, mean: Tensor, hidden: Tensor) -> dict[str, float]:
    """Averages over the digits: log p(y|x) with its standard error, and the squared error."""
    return {
        "log_density": float(log_density.mean()),
        "standard_error": float(log_density.std() / math.sqrt(len(log_density))),
        "squared_error": float((mean - hidden).square().mean()),
    }


def of_whole(model: VAE, images: Tensor) -> dict[str, float]:
    """log p(y|x) of a model of whole images, and what it predicts of y."""
    decoded = model.decoder(RULE.nodes)  # (n, 64)
    score = model.likelihood.log_density_table
    joint, joint_error = integral(score(images, decoded, RULE.nodes))
    table = score(images[:, SEEN], marginal(model, SEEN).decoder(RULE.nodes), RULE.nodes)
    alone, error = integral(table)
    variance = model.likelihood.variance.log_variance.exp()
    split = variance_split(decoded[:, ~SEEN], variance, table + LOG_MASS[:, None])
    return {
        **summary(joint - alone, split.mean, images[:, ~SEEN]),
        "average_error": float((joint_error + error).mean()),
        "between": float(split.between.mean()),
        "within": float(variance),
    }


def on_grid(model: ConditionalVAE, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log p(y|x), its error, E[y|x] and Var(E[y|x, z]) of each pair, a row each."""
    hidden, found = pairs[:, model.condition :], []
    first, *rest = model.decoder
    by_z = RULE.nodes @ first.weight[:, :2].mT  # (n, width), the same for every x
    by_x = pairs[:, : model.condition] @ first.weight[:, 2:].mT + first.bias  # (batch, width)
    variance = model.likelihood.variance.log_variance.exp()
    for row, y in zip(by_x, hidden, strict=True):
        decoded = nn.Sequential(*rest)(by_z + row)  # (n, event)
        table = model.likelihood.log_density_table(y[None], decoded, RULE.nodes)  # (n, 1)
        split = variance_split(decoded, variance, LOG_MASS[:, None])
        found.append((*integral(table), split.mean, split.between))
    log_density, error, mean, between = (torch.cat(column) for column in zip(*found, strict=True))
    return log_density, error, mean, between


def of_conditional(model: ConditionalVAE, pairs: Tensor) -> tuple[dict[str, float], Tensor]:
    """What a conditional VAE is worth, its bound and its leak; and log p(y|x) of each pair."""
    log_density, error, mean, between = on_grid(model, pairs)
    posterior, hidden = model.encoder(pairs), pairs[:, model.condition :]
    copies = model.decoder(torch.cat([posterior.mean, pairs[:, : model.condition]], -1))
    return {
        **summary(log_density, mean, hidden),
        "average_error": float(error.mean()),
        "between": float(between.mean()),
        "within": float(model.likelihood.variance.log_variance.exp()),
        "elbo": float(exact_bound(model, pairs, posterior).elbo.mean()),
        "kl": float(posterior.kl_to_prior().mean()),
        "leak": float(leak(model, pairs, log_density).mean()),
        "squared_error_of_copies": float((copies - hidden).square().mean()),
    }, log_density


def of_regressor(model: ConditionalVAE, train: Tensor, test: Tensor) -> tuple[dict, Tensor]:
    """What a regressor is worth at its σ² and at the test digits' best; and log p(y|x) of each."""
    log_density = model(test, test.new_zeros(1, len(test), 1)).elbo
    mean, hidden = model.decoder(test[:, :8]), test[:, 8:]
    training = (model.decoder(train[:, :8]) - train[:, 8:]).square().mean()
    best = regressor_evidence((mean - hidden).square().mean(), 56)
    return {
        **summary(log_density, mean, hidden),
        "at_best_variance": float(best),
        "training_squared_error": float(training),
    }, log_density


def of_classes(seed: int) -> dict[str, float]:
    """How many of the 297 labels the exact log p(x|c) and its bound find, and where they differ."""
    digits, codes = load_digits(torch.float64), torch.eye(10, dtype=torch.float64)
    weights = generator(seed)
    encoder, decoder = DiagonalEncoder(74, 64, 2, weights), network([12, 64, 64, 64], weights)
    model = ConditionalVAE(encoder, decoder, GaussianPixels(SharedVariance(0.1)), 10).double()
    rows = torch.cat([codes[digits.train_labels], digits.train], -1)
    ((_, fitted, _),) = trained(model, rows, seed, (MARK,))
    columns = []
    for code in codes:
        table = fitted.likelihood.log_density_table
        decoded = given(fitted, code).decoder(RULE.nodes)
        pairs = torch.cat([code.expand(297, -1), digits.test], -1)
        elbo = exact_bound(fitted, pairs, fitted.encoder(pairs)).elbo
        columns.append((*integral(table(digits.test, decoded, RULE.nodes)), elbo))
    evidence, error, elbo = (torch.stack(column, 1) for column in zip(*columns, strict=True))
    gap, label = evidence - elbo, digits.test_labels  # (297, 10), (297,)
    own = gap[range(297), label]
    return {
        "right_by_evidence": int((evidence.argmax(1) == label).sum()),
        "right_by_elbo": int((elbo.argmax(1) == label).sum()),
        "flipped": int((evidence.argmax(1) != elbo.argmax(1)).sum()),
        "gap_of_own_class": float(own.mean()),
        "gap_of_other_classes": float((gap.sum() - own.sum()) / (297 * 9)),
        "surprise_by_evidence": float(-evidence.log_softmax(1)[range(297), label].mean()),
        "surprise_by_elbo": float(-elbo.log_softmax(1)[range(297), label].mean()),
        "average_error": float(error.mean()),
    }


def records_of(seed: int, made: dict) -> dict:
    """Everything of one seed; the models of the kept seed are stored, with how they were `made`."""
    digits = load_digits(torch.float64)
    train, test = pairs_of(digits.train, SEEN), pairs_of(digits.test, SEEN)
    marks = (MARK, LATER) if seed == SEED else (MARK,)
    found: dict = {"seed": seed, "whole": [], "conditional": [], "regressor": []}
    kept, density = nn.ModuleDict(), {}
    for epoch, model, bound in trained(untrained(seed), digits.train, seed, marks):
        found["whole"].append(
            {"epoch": epoch, "training_elbo": bound, **of_whole(model, digits.test)}
        )
    vae, alone = untrained_completers(seed)
    for epoch, model, bound in trained(vae, train, seed, marks):
        record, log_density = of_conditional(model, test)
        found["conditional"].append({"epoch": epoch, "training_elbo": bound, **record})
        if epoch == MARK:
            kept["vae"], density["vae"] = model, log_density
    for epoch, model, bound in trained(alone, train, seed, marks):
        record, log_density = of_regressor(model, train, test)
        found["regressor"].append({"epoch": epoch, "training_elbo": bound, **record})
        if epoch == MARK:
            kept["regressor"], density["regressor"] = model, log_density
    lead = density["vae"] - density["regressor"]
    found["lead"] = float(lead.mean())
    found["standard_error_of_lead"] = float(lead.std() / math.sqrt(len(lead)))
    found["classes"] = of_classes(seed)
    if seed == SEED:
        said = {name: str(value) for name, value in {**made, "seed": SEED}.items()}
        temporary = CONDITIONAL.with_suffix(".tmp")
        save_file(kept.state_dict(), temporary, said)
        temporary.chmod(0o644)
        temporary.replace(CONDITIONAL)
    print(json.dumps(found), flush=True)
    return found


def main() -> None:
    made = provenance()  # before anything is written
    order = sorted(SEEDS, key=lambda seed: seed != SEED)  # the kept seed first
    records = sorted((records_of(seed, made) for seed in order), key=lambda found: found["seed"])
    contents = {"provenance": made, "records": records}
    write_whole(OUTPUT, f"{json.dumps(contents, indent=1)}\n".encode())


if __name__ == "__main__":
    main()
