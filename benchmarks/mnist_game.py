"""A small convolutional GAN on MNIST, with the standard stabilisers, beside a VAE of the same nets.

The generator of every run is one network, 16 latents → 7·7·32 → 14·14·16 → 28·28; in the VAE it is
the decoder f, and the encoder is the discriminator's body with another last layer. Every run takes
batches of 128, an epoch passes over all 60,000 images once, and the pictures are scored by one
classifier that saw no made image. First, short trials of one player's game under each stabiliser;
then the trial with the smallest Fréchet distance is trained for longer from several seeds, beside
the plain game and the VAE. Each job leaves one file in a folder and is not done twice:

    VAE_TUTORIAL_DATA=… OMP_NUM_THREADS=1 python benchmarks/mnist_game.py FOLDER [JOB …]

The results, `book/results/mnist_game.json`:

    settings     what all runs share: latents, batch, learning rates, epochs, penalties, …
    classifier   {accuracy (of 10,000 test images), seconds}
    reference    scores of 5,000 training images, the best that a sample could reach
    trials       [{name, epochs, seconds, scores, samples (16)}]: one seed each, so an anecdote
    chosen       the name of the trial that the longer runs repeat
    runs         [{method: "game" | "plain" | "vae", seed, epochs, seconds, scores}]; a run of
                 "vae" scores its means f(z), and has besides {draw_scores (f(z) + σ noise),
                 elbo (nats an image, 10,000 test images), kl (nats an image), sigma}
    samples      {"game", "plain", "vae", "data"}: 64 images each, of the first seed; "vae" is f(z)
    provenance   commit, hardware, threads, date

    scores       classes       of the ten, those that at least 1 % of the samples are taken for
                 frequencies   (10,) share of the samples taken for each digit
                 kl_uniform    KL(frequencies ‖ uniform), nats
                 confidence    mean over samples of the classifier's largest probability
                 frechet       |m − m'|² + tr(S + S' − 2(SS')^½) of the classifier's 32 features,
                               samples against the 10,000 test images
                 nearest       median distance (in pixels, Euclidean) to the nearest training image
                 nearest_test  the same median for test images: a sample far below it is a copy

Seconds are by the clock of a busy machine, so they compare nothing. Images are uint8,
(count, 28, 28), as base64 of zlib: `pictures_of(text)` below reads them, that is
`np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(-1, 28, 28)`.
"""

import argparse
import base64
import json
import math
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from vae_tutorial import datasets
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole

OUTPUT = Path(__file__).resolve().parents[1] / "book" / "results" / "mnist_game.json"
LATENT, BATCH, SIDE = 16, 128, 28
TRIAL_EPOCHS, EPOCHS, SEEDS = 2, 5, (0, 1, 2)
SLOW, FAST = 0.0002, 0.001  # learning rates of both players
R1_WEIGHT, R1_EVERY = 2.0, 4  # weight of ½|∇D|² on data, charged every fourth step and so fourfold
INSTANCE_NOISE = 0.2  # standard deviation, added to made images and to data before D sees them
SCORED, NEAREST = 5000, 1000  # samples in a score; and those that are held against training images
SETTINGS = {
    "latent": LATENT,
    "batch": BATCH,
    "trial_epochs": TRIAL_EPOCHS,
    "epochs": EPOCHS,
    "adam_betas": [0.5, 0.99],
    "vae_learning_rate": FAST,
    "r1_weight": R1_WEIGHT,
    "r1_every": R1_EVERY,
    "instance_noise": INSTANCE_NOISE,
    "scored": SCORED,
    "nearest": NEAREST,
}


class Recipe(NamedTuple):
    """One way to play the game."""

    learning_rate: float
    penalised: bool = False
    noise: float = 0.0
    spectral: bool = False
    matched: bool = False


PLAIN = "plain, slow"
TRIALS = {
    PLAIN: Recipe(SLOW),
    "plain, fast": Recipe(FAST),
    "R1, slow": Recipe(SLOW, penalised=True),
    "R1, fast": Recipe(FAST, penalised=True),
    "instance noise": Recipe(FAST, noise=INSTANCE_NOISE),
    "spectral norm": Recipe(FAST, spectral=True),
    "feature matching": Recipe(FAST, matched=True),
}


def generator_network() -> nn.Sequential:
    """(n, 16) → (n, 1, 28, 28) in (0, 1)."""
    return nn.Sequential(
        nn.Linear(LATENT, 7 * 7 * 32),
        nn.Unflatten(1, (32, 7, 7)),
        nn.GroupNorm(4, 32),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),  # (n, 16, 14, 14)
        nn.GroupNorm(4, 16),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),  # (n, 1, 28, 28)
        nn.Sigmoid(),
    )


def body(wrap: Callable[[nn.Module], nn.Module] = lambda layer: layer) -> nn.Sequential:
    """(n, 1, 28, 28) → (n, 1568): what a discriminator or an encoder sees of an image."""
    return nn.Sequential(
        wrap(nn.Conv2d(1, 16, 4, stride=2, padding=1)),  # (n, 16, 14, 14)
        nn.LeakyReLU(0.2),
        wrap(nn.Conv2d(16, 32, 4, stride=2, padding=1)),  # (n, 32, 7, 7)
        nn.LeakyReLU(0.2),
        nn.Flatten(),
    )


def batches(images: Tensor, draws: torch.Generator) -> list[Tensor]:
    """Shuffled minibatches (128, 1, 28, 28), grey levels spread over their cells of width 1/256."""
    order = torch.randperm(len(images), generator=draws)[: len(images) // BATCH * BATCH]
    return [spread(images[rows], draws) for rows in order.view(-1, BATCH)]


def spread(images: Tensor, draws: torch.Generator) -> Tensor:
    uniform = torch.rand(images.shape, generator=draws)
    return ((255 * images + uniform) / 256).view(-1, 1, SIDE, SIDE)


def adam(*networks: nn.Module, learning_rate: float) -> torch.optim.Adam:
    parameters = [parameter for net in networks for parameter in net.parameters()]
    return torch.optim.Adam(parameters, learning_rate, betas=(0.5, 0.99))


class Player(NamedTuple):
    """The discriminator: what it sees of an image, and the logit of D."""

    body: nn.Module
    head: nn.Module

    def logit(self, images: Tensor) -> Tensor:
        return self.head(self.body(images)).squeeze(1)  # (n,)


def discriminator_step(
    player: Player, search: torch.optim.Adam, data: Tensor, made: Tensor, penalty: float
) -> None:
    """Raise log D on data and log(1 − D) on made images; the penalty is R1's weight, or zero."""
    data = data.requires_grad_(penalty > 0)
    logit = player.logit(data)
    loss = functional.softplus(-logit).mean() + functional.softplus(player.logit(made)).mean()
    if penalty > 0:
        (slope,) = torch.autograd.grad(logit.sum(), data, create_graph=True)
        loss = loss + penalty * 0.5 * slope.square().sum((1, 2, 3)).mean()
    search.zero_grad()
    loss.backward()
    search.step()


def generator_loss(player: Player, data: Tensor, made: Tensor, matched: bool) -> Tensor:
    """−log D on made images; or the squared distance of the mean features, data against made."""
    if matched:
        with torch.no_grad():
            wanted = player.body(data).mean(0)
        return (player.body(made).mean(0) - wanted).square().sum()
    return functional.softplus(-player.logit(made)).mean()


def play(recipe: Recipe, seed: int, epochs: int, images: Tensor) -> nn.Module:
    """The generator after `epochs` passes of the two players, one step each a batch."""
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(1000 + seed)
    generator = generator_network()
    wrap = spectral_norm if recipe.spectral else (lambda layer: layer)
    player = Player(body(wrap), wrap(nn.Linear(1568, 1)))
    search = adam(player.body, player.head, learning_rate=recipe.learning_rate)
    search_generator = adam(generator, learning_rate=recipe.learning_rate)

    def seen(batch: Tensor) -> Tensor:
        if recipe.noise == 0:
            return batch
        return batch + recipe.noise * torch.randn(batch.shape, generator=draws)

    for _ in range(epochs):
        for step, data in enumerate(batches(images, draws)):
            made = generator(torch.randn(BATCH, LATENT, generator=draws))
            due = recipe.penalised and step % R1_EVERY == 0
            penalty = R1_WEIGHT * R1_EVERY if due else 0.0
            discriminator_step(player, search, seen(data), seen(made.detach()), penalty)
            loss = generator_loss(player, seen(data.detach()), seen(made), recipe.matched)
            search_generator.zero_grad()
            loss.backward()
            search_generator.step()
    return generator.requires_grad_(False)


class GaussianVae(nn.Module):
    """Encoder and decoder of the players' shapes; pixels are N(f(z), σ²), σ learned."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = generator_network()
        self.encoder = nn.Sequential(body(), nn.Linear(1568, 2 * LATENT))
        self.log_sigma = nn.Parameter(torch.tensor(-1.0))

    def terms(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x|z) at one draw of q, and KL(q‖p), each (n,), nats an image."""
        mean, log_variance = self.encoder(images).chunk(2, 1)
        made = self.decoder(mean + (0.5 * log_variance).exp() * noise)
        residual = (images - made) / self.log_sigma.exp()  # (n, 1, 28, 28)
        density = -0.5 * residual.square() - self.log_sigma - 0.5 * math.log(2 * math.pi)
        kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1)
        return density.sum((1, 2, 3)), kl


def fit_vae(seed: int, epochs: int, images: Tensor) -> GaussianVae:
    torch.manual_seed(seed)
    draws = torch.Generator().manual_seed(1000 + seed)
    model = GaussianVae()
    search = adam(model, learning_rate=FAST)
    for _ in range(epochs):
        for data in batches(images, draws):
            noise = torch.randn(BATCH, LATENT, generator=draws)
            log_likelihood, kl = model.terms(data, noise)
            search.zero_grad()
            (kl - log_likelihood).mean().backward()
            search.step()
    return model.requires_grad_(False)


class Judge(nn.Module):
    """The classifier: 32 features of an image, then ten logits."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(body(), nn.Linear(1568, 32), nn.Tanh())
        self.head = nn.Linear(32, 10)


def fit_judge(images: Tensor, labels: Tensor, epochs: int = 3) -> Judge:
    torch.manual_seed(7)
    draws = torch.Generator().manual_seed(7)
    judge = Judge()
    search = adam(judge, learning_rate=FAST)
    for _ in range(epochs):
        for rows in torch.randperm(len(images), generator=draws).split(BATCH):
            logits = judge.head(judge.features(spread(images[rows], draws)))
            search.zero_grad()
            functional.cross_entropy(logits, labels[rows]).backward()
            search.step()
    return judge.requires_grad_(False)


def in_parts(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    return torch.cat([function(part) for part in rows.split(1000)])


def frechet(samples: Tensor, reference: Tensor) -> float:
    """The Fréchet distance, squared, of the Gaussians fitted to two sets of features (n, 32)."""
    mean, other = samples.mean(0), reference.mean(0)
    spread_of, other_spread = samples.T.cov(), reference.T.cov()
    root = torch.from_numpy(sqrtm((spread_of @ other_spread).numpy()).real)
    return float((mean - other).square().sum() + (spread_of + other_spread - 2 * root).trace())


def nearest(images: Tensor, training: Tensor) -> float:
    """The median distance of images (n, 784) to their nearest training image."""
    found = [torch.cdist(part, training).amin(1) for part in images.split(100)]
    return float(torch.cat(found).median())


class Scale(NamedTuple):
    """What all samples are measured with."""

    judge: Judge
    test_features: Tensor
    training: Tensor
    nearest_test: float


def scores(images: Tensor, scale: Scale) -> dict:
    """The scores of images (5,000, 1, 28, 28), as the head of this file lists them."""
    features = in_parts(scale.judge.features, images)
    probabilities = scale.judge.head(features).softmax(1)
    frequencies = probabilities.argmax(1).bincount(minlength=10).double() / len(images)
    return {
        "classes": int((frequencies >= 0.01).sum()),
        "frequencies": frequencies.tolist(),
        "kl_uniform": float(torch.special.xlogy(frequencies, 10 * frequencies).sum()),
        "confidence": float(probabilities.amax(1).double().mean()),
        "frechet": frechet(features.double(), scale.test_features.double()),
        "nearest": nearest(images[:NEAREST].flatten(1), scale.training),
        "nearest_test": scale.nearest_test,
    }


def text_of(images: Tensor) -> str:
    """Images in [0, 1] as base64 of zlib of uint8."""
    grey = (255 * images.clamp(0, 1)).round().to(torch.uint8).numpy()
    return base64.b64encode(zlib.compress(grey.tobytes(), 9)).decode()


def pictures_of(text: str) -> np.ndarray:
    """The images behind `text_of`: uint8, (count, 28, 28)."""
    flat = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return flat.reshape(-1, SIDE, SIDE)


def made_by(generator: nn.Module, count: int = SCORED) -> Tensor:
    draws = torch.Generator().manual_seed(5)
    return in_parts(generator, torch.randn(count, LATENT, generator=draws))


def play_job(recipe: Recipe, seed: int, epochs: int, images: datasets.Images) -> dict:
    began = time.perf_counter()
    generator = play(recipe, seed, epochs, images.train)
    record = {"seed": seed, "epochs": epochs, "seconds": round(time.perf_counter() - began)}
    made = made_by(generator)
    return {**record, "scores": scores(made, measured(images)), "samples": text_of(made[:64])}


def vae_job(seed: int, images: datasets.Images) -> dict:
    began = time.perf_counter()
    model = fit_vae(seed, EPOCHS, images.train)
    record = {"seed": seed, "epochs": EPOCHS, "seconds": round(time.perf_counter() - began)}
    draws = torch.Generator().manual_seed(6)
    parts = [
        model.terms(spread(part, draws), torch.randn(len(part), LATENT, generator=draws))
        for part in images.test.split(1000)
    ]
    log_likelihood, kl = (torch.cat(each).double().mean() for each in zip(*parts, strict=True))
    made, sigma = made_by(model.decoder), model.log_sigma.exp()
    drawn = made + sigma * torch.randn(made.shape, generator=draws)
    scale = measured(images)
    return {
        **record,
        "scores": scores(made, scale),
        "draw_scores": scores(drawn, scale),
        "elbo": float(log_likelihood - kl),
        "kl": float(kl),
        "sigma": float(sigma),
        "samples": text_of(made[:64]),
    }


def measured(images: datasets.Images) -> Scale:
    """The classifier, trained anew in seconds from one seed, and what it says of test images."""
    judge = fit_judge(images.train, images.train_labels)
    features = in_parts(judge.features, images.test.view(-1, 1, SIDE, SIDE))
    return Scale(judge, features, images.train, nearest(images.test[:NEAREST], images.train))


def judge_job(images: datasets.Images) -> dict:
    began = time.perf_counter()
    scale = measured(images)
    seconds = round(time.perf_counter() - began)
    found = scale.judge.head(scale.test_features).argmax(1)
    accuracy = float((found == images.test_labels).double().mean())
    some = images.train[torch.randperm(60_000, generator=torch.Generator().manual_seed(8))[:SCORED]]
    pictures = some.view(-1, 1, SIDE, SIDE)
    return {
        "accuracy": accuracy,
        "seconds": seconds,
        "reference": scores(pictures, scale),
        "samples": text_of(pictures[:64]),
    }


def chosen(folder: Path) -> str:
    """The trial whose samples have the smallest Fréchet distance."""
    found = {name: record_of(folder, f"trial {name}")["scores"]["frechet"] for name in TRIALS}
    return min(found, key=lambda name: found[name])


def record_of(folder: Path, job: str) -> dict:
    return json.loads((folder / f"{job}.json").read_text("utf-8"))


def jobs(folder: Path, images: datasets.Images) -> dict[str, Callable[[], dict]]:
    """Each job's name, in order, and how it is done."""
    found: dict[str, Callable[[], dict]] = {"judge": lambda: judge_job(images)}
    for name, recipe in TRIALS.items():
        found[f"trial {name}"] = lambda recipe=recipe: play_job(recipe, 0, TRIAL_EPOCHS, images)
    for seed in SEEDS:
        found[f"game {seed}"] = lambda seed=seed: play_job(
            TRIALS[chosen(folder)], seed, EPOCHS, images
        )
        found[f"vae {seed}"] = lambda seed=seed: vae_job(seed, images)
    found["plain 0"] = lambda: play_job(TRIALS[PLAIN], 0, EPOCHS, images)
    return found


def gathered(folder: Path, names: list[str]) -> dict:
    """The contents of the results' file, from the files of the jobs."""
    records = {name: record_of(folder, name) for name in names}
    judge = records["judge"]
    runs = [
        {"method": name.split()[0], **{key: record[key] for key in record if key != "samples"}}
        for name, record in records.items()
        if name.split()[0] in ("game", "plain", "vae")
    ]
    trials = []
    for name in TRIALS:
        record = records[f"trial {name}"]
        few = torch.from_numpy(pictures_of(record["samples"])[:16] / 255)
        trials.append({"name": name, **record, "samples": text_of(few)})
    samples = {name: records[f"{name} 0"]["samples"] for name in ("game", "plain", "vae")}
    return {
        "settings": SETTINGS,
        "classifier": {"accuracy": judge["accuracy"], "seconds": judge["seconds"]},
        "reference": judge["reference"],
        "trials": trials,
        "chosen": chosen(folder),
        "runs": runs,
        "samples": {**samples, "data": judge["samples"]},
        "provenance": provenance(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where each job leaves its record")
    parser.add_argument("job", nargs="*", help="the jobs to do; all, if none is named")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    tasks = jobs(options.folder, datasets.load("mnist"))
    for name in options.job or tasks:
        path = options.folder / f"{name}.json"
        if not path.exists():
            write_whole(path, json.dumps(tasks[name]()).encode())
            record = record_of(options.folder, name)
            print(name, {key: record[key] for key in record if key != "samples"}, flush=True)
    if all((options.folder / f"{name}.json").exists() for name in tasks):
        contents = gathered(options.folder, list(tasks))
        write_whole(OUTPUT, f"{json.dumps(contents, indent=1)}\n".encode())


if __name__ == "__main__":
    main()
