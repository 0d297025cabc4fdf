"""What the live figure train-here needs: digits, quadrature rules, the framework's drawing."""

import copy
import sys
from pathlib import Path

import torch
from export_rate_distortion import ten_digits
from matplotlib.figure import Figure

from vae_tutorial.data import GREY_STEP, load_digits, minibatches, with_noise
from vae_tutorial.evaluation import exact_bound, exact_log_evidence
from vae_tutorial.likelihoods import FixedVariance, GaussianPixels
from vae_tutorial.linear import spectrum
from vae_tutorial.models import VAE, DiagonalEncoder, network
from vae_tutorial.noise import generator
from vae_tutorial.pictures import DIGIT_COLOURS
from vae_tutorial.plotting import INKS, styled
from vae_tutorial.quadrature import gauss_hermite
from vae_tutorial.training import initial_state, make_step, negative_elbo, run_epoch

sys.path.append(str(Path(__file__).parents[1] / "book" / "_ext"))
from places import TALL, WIDE
from scheme import drawing

LETTERS = "abcdefghijklmnopq"  # one for each grey level from 0 to 16
EPOCHS = (0, 1, 2, 4, 8, 15, 30, 60)  # that the static picture shows
ORDERS = {
    "climb": 12,
    "bound": 16,
}  # of Gauss–Hermite, as in evaluation.best_posterior, exact_bound


def letters(images: torch.Tensor) -> str:
    """One letter a pixel of images (n, 64), image after image."""
    levels = (images / GREY_STEP).round().long().flatten()
    return "".join(LETTERS[level] for level in levels.tolist())


def digits() -> dict:
    """All digits with their labels, λ₁ of the training digits, and two quadrature rules."""
    data = load_digits(torch.float64)
    rules = {name: gauss_hermite(order) for name, order in ORDERS.items()}
    return {
        "train": letters(data.train),
        "trainLabels": "".join(map(str, data.train_labels.tolist())),
        "test": letters(data.test),
        "testLabels": "".join(map(str, data.test_labels.tolist())),
        "colours": DIGIT_COLOURS,
        "largestEigenvalue": spectrum(data.train).eigenvalues[0].item(),
        "rules": {
            name: {"nodes": rule.nodes.tolist(), "weights": rule.weights.tolist()}
            for name, rule in rules.items()
        },
    }


def framework() -> dict:
    """The drawing with noise from outside, for wide windows and for narrow ones, as SVG."""
    return {each.name: drawing("open", each, "train-framework") for each in (WIDE, TALL)}


def snapshots() -> list[tuple[int, VAE]]:
    """A VAE like the one of the page at the EPOCHS of its training, each with its steps so far."""
    weights, draws = generator(1), generator(2)
    encoder, decoder = DiagonalEncoder(64, 32, 2, weights), network([2, 32, 64], weights)
    model = VAE(encoder, decoder, GaussianPixels(FixedVariance(0.05))).double()
    train = load_digits(torch.float64).train
    step, state = make_step(model, negative_elbo), initial_state(model)
    kept = []
    for epoch in range(EPOCHS[-1] + 1):
        if epoch in EPOCHS:
            model.load_state_dict(state.parameters)
            kept.append((state.steps, copy.deepcopy(model).requires_grad_(False)))
        pairs = with_noise(minibatches(train, 100, draws), 2, 1, draws)
        state, _ = run_epoch(step, state, pairs, 0.01)
    return kept


def picture() -> Figure:
    """The bound under the exact log p(x) while a VAE is trained, and the plane where it ends."""
    digits, images, kept = load_digits(torch.float64), ten_digits(), snapshots()
    truth, bound = [], []
    for _, model in kept:
        truth.append(exact_log_evidence(model, images).log_evidence.mean())
        bound.append(exact_bound(model, images, model.encoder(images)).elbo.mean())
    steps, (truth, bound) = [step for step, _ in kept], (torch.stack(truth), torch.stack(bound))
    means = kept[-1][1].encoder(digits.train).mean  # (1500, 2)
    with styled(1, 2, (7.2, 3.2)) as (figure, ((left, right),)):
        hatched = {"facecolor": "#EEEEEE", "edgecolor": "#888888", "hatch": "//"}
        left.fill_between(steps, bound, truth, **hatched)
        left.plot(steps, truth, color=INKS["data"][0])
        left.plot(steps, bound, color=INKS["encoder"][0])
        left.set(xlabel="training steps", ylabel="nats per test digit", ylim=(-15, 20))
        left.text(steps[-1], truth[-1] + 1, "log p(x), exact", color=INKS["data"][0], ha="right")
        left.text(steps[-1], bound[-1] - 3, "bound", color=INKS["encoder"][0], ha="right")
        for digit, colour in enumerate(DIGIT_COLOURS):
            chosen = means[digits.train_labels == digit]
            right.scatter(*chosen.T, s=3, color=colour)
            centre = chosen.mean(0).tolist()
            label = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": colour}
            right.text(*centre, str(digit), ha="center", va="center", fontsize=8, bbox=label)
        right.set(xlabel="$z_1$", ylabel="$z_2$", xlim=(-3.4, 3.4), ylim=(-3.4, 3.4))
    return figure
