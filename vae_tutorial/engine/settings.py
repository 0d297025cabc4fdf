"""What a run computes: its settings, and the model and the images that they describe."""

import sys
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from vae_tutorial import noise, require
from vae_tutorial.data import binarize
from vae_tutorial.datasets import Images
from vae_tutorial.engine import memory
from vae_tutorial.importance import ImportanceWeighted
from vae_tutorial.likelihoods import (
    BernoulliPixels,
    FixedVariance,
    GaussianPixels,
    Likelihood,
    SharedVariance,
)
from vae_tutorial.models import VAE, DiagonalEncoder, network

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
CHOICES = {
    "likelihood": ("gaussian", "bernoulli"),
    "binarization": ("dynamic", "static"),
    "activation": tuple(ACTIVATIONS),
    "objective": ("elbo", "iwae"),
}
COUNTS = ("latent", "samples", "epochs", "batch_size")
HELD_OUT_SEED = 1_000_003  # of the held-out images' binarization: the same for every run
LARGE = 2**63  # what PyTorch counts, and seeds generators with, stays below
SINGLE, DOUBLE = 4, 8  # bytes a number


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

    def checked(self) -> "Settings":
        """These settings; ValueError or TypeError, with the name, where no run can have one."""
        require_words(self)
        require_numbers(self)
        return self


def require_words(settings: Settings) -> None:
    """Raise ValueError or TypeError unless each setting that is a word is one that is known."""
    for name, words in CHOICES.items():
        word = getattr(settings, name)
        if word not in words:
            raise ValueError(f"{name} must be {' or '.join(words)}, got {word!r}")
    if not isinstance(settings.data, str):
        raise TypeError(f"data must be a name or a path, got {settings.data!r}")
    if not isinstance(settings.start_from, str | None):
        raise TypeError(f"start_from must be a path, got {settings.start_from!r}")


def require_numbers(settings: Settings) -> None:
    """Raise ValueError or TypeError unless each setting that is a number is one that can be."""
    if not isinstance(settings.hidden, tuple) or not settings.hidden:
        raise ValueError(f"hidden must be one width or more, got {settings.hidden!r}")
    for width in settings.hidden:
        require_count("a width in hidden", width)
    for name in COUNTS:
        require_count(name, getattr(settings, name))
    if type(settings.seed) is not int or not 0 <= settings.seed < LARGE:
        raise ValueError(f"seed must be a whole number from 0 to 2^63 - 1, got {settings.seed!r}")
    require_positive("learning_rate", settings.learning_rate)
    for name in ("final_learning_rate", "variance"):
        if getattr(settings, name) is not None:
            require_positive(name, getattr(settings, name))


def require_count(name: str, value: int) -> None:
    """Raise TypeError or ValueError unless `value` is a whole number that PyTorch can count to."""
    require.count(name, value)
    if value >= LARGE:
        raise ValueError(f"{name} must be below 2^63, got one of {len(str(value))} digits")


def require_positive(name: str, value: float) -> None:
    """Raise ValueError unless `value` is a finite number above zero."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= sys.float_info.max:
        raise ValueError(f"{name} must be a positive, finite number, got {value!r}")


def parsed(content: object) -> Settings:
    """The settings in a JSON object; ValueError or TypeError where it is none of a run's."""
    if not isinstance(content, dict) or content.keys() != set(Settings._fields):
        raise ValueError(f"needed an object with {', '.join(Settings._fields)}")
    hidden = content["hidden"]
    return Settings(**content | {"hidden": tuple(hidden) if isinstance(hidden, list) else hidden})


def layers(settings: Settings, pixels: int) -> tuple[list[int], list[int]]:
    """The widths of the encoder, from pixels to q's two terms, and of the decoder, its mirror."""
    hidden = settings.hidden
    encoder = [pixels, *hidden, 2 * settings.latent]
    return encoder, [settings.latent, *reversed(hidden), pixels]


def count_parameters(settings: Settings, pixels: int) -> int:
    """How many numbers the two networks learn, known without building them."""
    both = (pair for widths in layers(settings, pixels) for pair in pairwise(widths))
    return sum((inputs + 1) * outputs for inputs, outputs in both)


def build(settings: Settings, pixels: int) -> VAE:
    """The untrained model: encoder and decoder mirror each other, weights from the seed.

    Raises ValueError or TypeError on settings that no run can have, a model beyond all memory
    included.
    """
    count = count_parameters(settings.checked(), pixels)
    memory.require(SINGLE * count, f"a model of {count:.3g} parameters")
    weights = noise.generator(settings.seed)
    activation = ACTIVATIONS[settings.activation]
    encoder = DiagonalEncoder(pixels, settings.hidden, settings.latent, weights, activation)
    decoder = network(layers(settings, pixels)[1], weights, activation)
    likelihood: Likelihood
    if settings.likelihood == "bernoulli":
        likelihood = BernoulliPixels()
    elif settings.variance is None:
        likelihood = GaussianPixels(SharedVariance(0.1))
    else:
        likelihood = GaussianPixels(FixedVariance(settings.variance))
    kind = ImportanceWeighted if settings.objective == "iwae" else VAE
    return kind(encoder, decoder, likelihood)


def require_memory(settings: Settings, pixels: int) -> None:
    """Raise ValueError where training needs more memory than there is, by the least it can take.

    A parameter comes with its gradient and Adam's two moments; a draw of z with the float64 that
    it is made from, and with a decoded image.
    """
    parameters = 4 * SINGLE * count_parameters(settings, pixels)
    memory.require(parameters, f"training hidden {settings.hidden} and latent {settings.latent}")
    draw = (SINGLE + DOUBLE) * settings.latent + SINGLE * pixels
    purpose = f"a step of {settings.batch_size} images with {settings.samples} samples each"
    memory.require(parameters + settings.batch_size * settings.samples * draw, purpose)


def prepare(settings: Settings, images: Images) -> tuple[Tensor, Tensor]:
    """Training and held-out images as the model takes them, the latter binarized once for all."""
    train, test = images.train, images.test
    if settings.likelihood == "bernoulli":
        test = binarize(test, noise.generator(HELD_OUT_SEED))
        if settings.binarization == "static":
            train = binarize(train, noise.generator(HELD_OUT_SEED + 1))
    return train, test
