"""Train the VAEs of chapter 13 at seven noise levels from five seeds, briefly and for long.

Each VAE has eight latents and one hidden layer of 64 tanh units each way. All of one length are
trained side by side, as one tensor with one more axis: sums over models leave each model its
gradient, and Adam goes entry by entry, so none of them sees the others. What a trained model pays
and leaves is an average over all training (or test) digits and 20 draws. Minutes on one thread.
The results go to one JSON file, which the page reads.
"""

import json
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial.data import load_digits, minibatches
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole
from vae_tutorial.noise import generator, standard_normal

OUTPUT = Path(__file__).resolve().parent.parent / "book" / "results" / "sweep.json"
VARIANCES = (0.4, 0.2, 0.1, 0.05, 0.025, 0.0125, 0.00625)
RUNS = {100: range(5), 400: range(5), 1600: range(1)}  # epochs: seeds
LATENT, HIDDEN, BATCH, LEARNING_RATE, DRAWS = 8, 64, 150, 0.01, 20


class Terms(NamedTuple):
    """What models pay and leave, averaged over images: (models,) each."""

    rate: Tensor  # nats
    squared_error: Tensor  # squared pixels


class Models(NamedTuple):
    """Many VAEs: weights and biases with the models along the first axis."""

    encoder: list[Tensor]  # (m, 64, hidden), (m, 1, hidden), (m, hidden, 2 d), (m, 1, 2 d)
    decoder: list[Tensor]  # (m, d, hidden), (m, 1, hidden), (m, hidden, 64), (m, 1, 64)
    centre: Tensor  # (64,), the mean image

    def terms(self, x: Tensor, noise: Tensor) -> Terms:
        """Rate and squared error of images x (n, 64) from noise (m, n, d)."""
        mean, log_variance = _through(self.encoder, x - self.centre).chunk(2, -1)  # (m, n, d)
        decoded = _through(self.decoder, mean + (0.5 * log_variance).exp() * noise)  # (m, n, 64)
        kl = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(-1)  # (m, n)
        error = (x - self.centre - decoded).square().sum(-1)  # (m, n)
        return Terms(kl.mean(-1), error.mean(-1))


def _through(layers: list[Tensor], inputs: Tensor) -> Tensor:
    weight, bias, out_weight, out_bias = layers
    return (inputs @ weight + bias).tanh() @ out_weight + out_bias


def untrained(seeds: list[int], centre: Tensor) -> Models:
    """One model a seed, its weights drawn from N(0, 1 / inputs)."""

    def layers(sizes: list[tuple[int, int]], draws: list[torch.Generator]) -> list[Tensor]:
        made = []
        for inputs, outputs in sizes:
            weights = [standard_normal((inputs, outputs), each, centre) for each in draws]
            made += [torch.stack(weights) / inputs**0.5, torch.zeros(len(draws), 1, outputs)]
        return [layer.to(centre).requires_grad_() for layer in made]

    draws = [generator(seed) for seed in seeds]
    encoder = layers([(64, HIDDEN), (HIDDEN, 2 * LATENT)], draws)
    return Models(encoder, layers([(LATENT, HIDDEN), (HIDDEN, 64)], draws), centre)


def train(images: Tensor, variance: Tensor, seeds: list[int], epochs: int) -> Models:
    """Models at the noise levels (m,), from their seeds; each has the batches of its seed."""
    models = untrained(seeds, images.mean(0))
    adam = torch.optim.Adam([*models.encoder, *models.decoder], fused=True)
    draws = {seed: generator(100 + seed) for seed in seeds}
    for epoch in range(epochs):
        adam.param_groups[0]["lr"] = LEARNING_RATE * (1 - epoch / epochs)
        shuffled = {seed: minibatches(images, BATCH, draw) for seed, draw in draws.items()}
        for _ in range(len(images) // BATCH):
            x = {seed: next(batches) for seed, batches in shuffled.items()}
            noise = {s: standard_normal((BATCH, LATENT), d, images) for s, d in draws.items()}
            pairs = [torch.stack([each[seed] for seed in seeds]) for each in (x, noise)]
            rate, error = models.terms(*pairs)  # (m,) each
            adam.zero_grad()
            (rate + error / (2 * variance)).sum().backward()
            adam.step()
    return models


@torch.no_grad()
def averages(models: Models, images: Tensor) -> Terms:
    """Rate and squared error on images (n, 64), the latter from the same draws for all models."""
    draws, count = generator(9), len(models.encoder[0])
    parts = []
    for _ in range(DRAWS):
        noise = standard_normal((len(images), LATENT), draws, images)
        parts.append(torch.stack(models.terms(images, noise.expand(count, -1, -1))))  # (2, m)
    return Terms(*torch.stack(parts).mean(0))


def records(epochs: int, seeds: range) -> list[dict]:
    """What the seven models of each seed pay and leave on both sets of digits, after training."""
    digits, levels, found = load_digits(), torch.tensor(VARIANCES), []
    everyone = [seed for seed in seeds for _ in VARIANCES]  # (m,)
    models = train(digits.train, levels.repeat(len(seeds)), everyone, epochs)
    for name, images in (("training", digits.train), ("test", digits.test)):
        rows = (term.reshape(len(seeds), -1).tolist() for term in averages(models, images))
        for seed, rate, error in zip(seeds, *rows, strict=True):
            where = {"epochs": epochs, "images": name, "seed": seed}
            found.append({**where, "rate": rate, "squared_error": error})
    print(epochs, "epochs done", flush=True)
    return found


def main() -> None:
    found = [record for epochs, seeds in RUNS.items() for record in records(epochs, seeds)]
    contents = {"provenance": provenance(), "variance": VARIANCES, "records": found}
    write_whole(OUTPUT, f"{json.dumps(contents, indent=1)}\n".encode())


if __name__ == "__main__":
    main()
