"""The models of the oracle as VAEs of PyTorch: their layers, their training and their files.

`model` loads what `tools/make_oracle.py` kept. The models of the cases `digits` and `mnist` are
those of `pretrained`; the other three are small and were made for the oracle.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vae_tutorial import oracle, pretrained
from vae_tutorial.data import load_digits
from vae_tutorial.likelihoods import BernoulliPixels, FixedVariance, GaussianPixels, SharedVariance
from vae_tutorial.models import VAE, DiagonalEncoder, network
from vae_tutorial.noise import generator
from vae_tutorial.training import fit

SEED = 0
FREQUENCY = 3.0  # of the fold: places 2π/3 apart decode alike, and three lie within ±2.1 of 0
LOUD = 1.0  # σ² of the collapsed model, above every eigenvalue of the digits' covariance
FIRST_VARIANCE = 0.1  # of a learned σ², before training
NARROW = -5.0  # the folded encoder's first log-variances: a wide q averages over the folds
THRESHOLD = 0.5  # where grey becomes on or off
BATCH, LEARNING_RATE = 100, 0.003


class Fold(nn.Module):
    """(cos ωz, sin ωz) of each latent: z (..., latent) to (..., 2 latent), with period 2π/ω.

    >>> Fold(1.0)(torch.tensor([0.0]))
    tensor([1., 0.])
    """

    def __init__(self, frequency: float):
        super().__init__()
        self.frequency = frequency

    def forward(self, z: Tensor) -> Tensor:
        angle = self.frequency * z  # (..., latent)
        return torch.cat([angle.cos(), angle.sin()], -1)  # (..., 2 latent)


def untrained_folded() -> VAE:
    """Two latents that the decoder reads through `Fold`, so that many z explain an image alike."""
    weights = generator(SEED)
    encoder = DiagonalEncoder(64, 64, 2, weights)
    last = list(encoder.parameters())[-1]  # its bias: two means, two log-variances
    last.data[2:] = NARROW
    decoder = nn.Sequential(Fold(FREQUENCY), *network([4, 64, 64, 64], weights))
    return VAE(encoder, decoder, GaussianPixels(SharedVariance(FIRST_VARIANCE))).double()


def untrained_collapsed() -> VAE:
    """Two latents and a pixel variance that is held at LOUD."""
    weights = generator(SEED)
    encoder, decoder = DiagonalEncoder(64, 32, 2, weights), network([2, 32, 64], weights)
    return VAE(encoder, decoder, GaussianPixels(FixedVariance(LOUD))).double()


def untrained_line() -> VAE:
    """One latent, and pixels on or off."""
    weights = generator(SEED)
    encoder, decoder = DiagonalEncoder(64, 64, 1, weights), network([1, 64, 64, 64], weights)
    return VAE(encoder, decoder, BernoulliPixels()).double()


def train_folded() -> VAE:
    """The recipe of the folded model: 200 epochs on the training digits."""
    return _trained(untrained_folded(), load_digits(torch.float64).train, 200)


def train_collapsed() -> VAE:
    """The recipe of the collapsed model: 100 epochs; its variance is stored as if it were learned.

    So that one rule reads all files, it comes back with a SharedVariance of the same value.
    """
    fitted = _trained(untrained_collapsed(), load_digits(torch.float64).train, 100)
    return _with_a_parameter(fitted)


def _with_a_parameter(model: VAE) -> VAE:
    """The same model, its held variance LOUD as a parameter, which a file keeps."""
    return VAE(model.encoder, model.decoder, GaussianPixels(SharedVariance(LOUD))).double()


def train_line() -> VAE:
    """The recipe of the model with one latent: 200 epochs on digits whose pixels are on or off."""
    images = load_digits(torch.float64).train
    return _trained(untrained_line(), (images > THRESHOLD).double(), 200)


def _trained(model: VAE, images: Tensor, epochs: int) -> VAE:
    fitted = fit(
        model,
        images,
        epochs=epochs,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        generator=generator(SEED),
    )
    return fitted.model


RECIPES: dict[str, Callable[[], VAE]] = {
    "folded": train_folded,
    "collapsed": train_collapsed,
    "line": train_line,
}
ARCHITECTURES: dict[str, Callable[[], VAE]] = {
    "two_latents": pretrained.untrained,
    "mnist": lambda: pretrained.untrained_mnist().double(),
    "folded": untrained_folded,
    "collapsed": lambda: _with_a_parameter(untrained_collapsed()),
    "line": untrained_line,
}
CASES = {  # case → the name of its architecture
    "digits": "two_latents",
    "mnist": "mnist",
    "drawn": "mnist",
    "folded": "folded",
    "collapsed": "collapsed",
    "line": "line",
}


def model(name: str) -> VAE:
    """The VAE of a case, float64 and frozen; raises ValueError where its file does not fit.

    >>> model("line").encoder.latent
    1
    """
    architecture = CASES[name]
    stored = load_file(file_of(name))
    parameters = {
        key: value.double() for key, value in stored.items() if not key.startswith("test.")
    }
    vae = ARCHITECTURES[architecture]()
    vae.load_state_dict(parameters)
    return vae.requires_grad_(False)


def file_of(name: str) -> Path:
    """Where the weights of a case are."""
    architecture = CASES[name]
    kept = {"two_latents": pretrained.WEIGHTS, "mnist": pretrained.MNIST}
    return kept.get(architecture, oracle.FOLDER / f"{architecture}.safetensors")
