"""What a run computes: its settings, and the model and the images that they describe."""

import json
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial import noise, require
from vae_tutorial.data import binarize
from vae_tutorial.datasets import Images
from vae_tutorial.engine.checkpoints import write_whole
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.importance import ImportanceWeighted
from vae_tutorial.likelihoods import BernoulliPixels, FixedVariance, GaussianPixels, SharedVariance
from vae_tutorial.models import VAE, DiagonalEncoder, network

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
CHOICES = {
    "likelihood": ("gaussian", "bernoulli"),
    "binarization": ("dynamic", "static"),
    "activation": tuple(ACTIVATIONS),
    "objective": ("elbo", "iwae"),
}
HELD_OUT_SEED = 1_000_003  # of the held-out images' binarization: the same for every run


class Settings(NamedTuple):
    """All that decides what a run computes; with the same settings it ends with the same bits."""

    data: str = "digits"
    likelihood: str = "gaussian"
    variance: float | None = None  # None: learned
    binarization: str = "dynamic"
    hidden: tuple[int, ...] = (128,)
    latent: int = 2
    activation: str = "tanh"
    objective: str = "elbo"
    samples: int = 1
    epochs: int = 100
    batch_size: int = 100
    learning_rate: float = 0.001
    final_learning_rate: float | None = None  # None: as the first
    seed: int = 0
    start_from: str | None = None  # a run whose weights are the first ones; None: from the seed

    def learning_rate_at(self, epoch: int) -> float:
        """The rate of `epoch`, from 1: geometric from the first to the final over the run."""
        last = self.final_learning_rate or self.learning_rate
        progress = (epoch - 1) / max(1, self.epochs - 1)
        return self.learning_rate * (last / self.learning_rate) ** progress


def build(settings: Settings, pixels: int) -> VAE:
    """The untrained model: encoder and decoder mirror each other, weights from the seed."""
    weights = noise.generator(settings.seed)
    activation = ACTIVATIONS[settings.activation]
    encoder = DiagonalEncoder(pixels, settings.hidden, settings.latent, weights, activation)
    widths = [settings.latent, *reversed(settings.hidden), pixels]
    decoder = network(widths, weights, activation)
    if settings.likelihood == "bernoulli":
        scores = BernoulliPixels()
    else:
        learned = settings.variance is None
        scores = GaussianPixels(
            SharedVariance(0.1) if learned else FixedVariance(settings.variance)
        )
    kind = ImportanceWeighted if settings.objective == "iwae" else VAE
    return kind(encoder, decoder, scores)


def prepare(settings: Settings, images: Images) -> tuple[Tensor, Tensor]:
    """Training and held-out images as the model takes them, the latter binarized once for all."""
    train, test = images.train, images.test
    if settings.likelihood == "bernoulli":
        test = binarize(test, noise.generator(HELD_OUT_SEED))
        if settings.binarization == "static":
            train = binarize(train, noise.generator(HELD_OUT_SEED + 1))
    return train, test


def load_settings(folder: Path) -> Settings:
    """The settings in a run's config.json; FileNotFoundError or ValueError without it."""
    path = folder / "config.json"
    try:
        kept = json.loads(path.read_text("utf-8"))["settings"]
        settings = Settings(**kept | {"hidden": tuple(kept["hidden"])})
        sizes = settings.samples, settings.epochs, settings.batch_size
        for count in (settings.latent, *settings.hidden, *sizes):
            require.count("a width or a count", count)
        if not isinstance(settings.seed, int) or not settings.learning_rate_at(1) > 0:
            raise ValueError("the seed must be a whole number, the learning rate positive")
        odd = [name for name, words in CHOICES.items() if getattr(settings, name) not in words]
        if odd or not isinstance(settings.data, str):
            raise ValueError(f"unknown {', '.join(odd) or 'data'}")
        return settings
    except (ArithmeticError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not hold the settings of a run") from error


def save_settings(folder: Path, settings: Settings, device: torch.device) -> None:
    """Write config.json: what is computed, and where it began."""
    content = {"settings": settings._asdict(), "provenance": provenance(str(device))}
    write_whole(folder / "config.json", (json.dumps(content, indent=2) + "\n").encode())
