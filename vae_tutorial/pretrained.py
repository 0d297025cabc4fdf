"""Small models trained beforehand, and how: most with two latents, so that log p(x) can be known.

Trained weights are kept, in float64, because exact values of a model that were trained anew on
another processor would differ in their last printed digits.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vae_tutorial import require
from vae_tutorial.conditional import ConditionalVAE, regressor
from vae_tutorial.data import load_digits
from vae_tutorial.likelihoods import (
    BernoulliPixels,
    CellPixels,
    GaussianPixels,
    PixelVariance,
    SharedVariance,
)
from vae_tutorial.models import VAE, DiagonalEncoder, network
from vae_tutorial.noise import generator
from vae_tutorial.training import fit

Model = TypeVar("Model", bound=nn.Module)

SEED = 3
WEIGHTS = Path(__file__).parent / "trained" / "two_latents.safetensors"
MNIST = WEIGHTS.with_name("mnist.safetensors")
DECODERS = WEIGHTS.with_name("principles.safetensors")
CONDITIONAL = WEIGHTS.with_name("conditional.safetensors")
CELLS = WEIGHTS.with_name("cells.safetensors")
FLOOR = 1e-6  # of a pixel's variance; a cell holds one at most, so that it need not be wide


def untrained(seed: int = SEED) -> VAE:
    """Two latents, one hidden layer of 64 in the encoder, two in the decoder, Λ = σ²I learned."""
    weights = generator(seed)
    encoder = DiagonalEncoder(64, 64, 2, weights)
    decoder = network([2, 64, 64, 64], weights)
    return VAE(encoder, decoder, GaussianPixels(SharedVariance(0.1))).double()


def train() -> VAE:
    """The recipe of the kept weights: 200 epochs on the training digits, less than a minute."""
    fitted = fit(
        untrained(),
        load_digits(torch.float64).train,
        epochs=200,
        batch_size=100,
        learning_rate=0.003,
        generator=generator(SEED),
    )
    return fitted.model


def two_latents(path: Path = WEIGHTS) -> VAE:
    """The trained VAE, float64, from a safetensors file made by `make weights`.

    Raises FileNotFoundError if the file is missing, ValueError unless it holds exactly the
    parameters of this architecture, all finite.

    >>> model = two_latents()
    >>> tuple(model.decode(torch.zeros(1, 2, dtype=torch.float64)).shape)
    (1, 64)
    """
    return _from_file(untrained(), path)


def untrained_mnist() -> VAE:
    """Two latents for images of 28 by 28 pixels, layers of 128 and 64, and pixels on or off.

    The decoder mirrors the encoder, as in any run of `python -m vae_tutorial train`.
    """
    weights = generator(0)
    encoder = DiagonalEncoder(784, (128, 64), 2, weights)
    return VAE(encoder, network([2, 64, 128, 784], weights), BernoulliPixels())


def untrained_cells(seed: int = SEED) -> VAE:
    """Eight latents, layers of 64, and logistic cells of 17 grey levels with a scale a pixel."""
    weights = generator(seed)
    encoder = DiagonalEncoder(64, 64, 8, weights)
    decoder = network([8, 64, 64], weights)
    return VAE(encoder, decoder, CellPixels(PixelVariance(64, FLOOR, 0.1), 17)).double()


def train_cells(seed: int = SEED) -> VAE:
    """The recipe of the kept cells: 400 epochs on the training digits, a minute or two."""
    fitted = fit(
        untrained_cells(seed),
        load_digits(torch.float64).train,
        epochs=400,
        batch_size=100,
        learning_rate=0.003,
        generator=generator(seed),
    )
    return fitted.model


def cells(path: Path = CELLS) -> VAE:
    """The trained VAE with cells of grey levels, float64, from a file made by `make weights`.

    Raises as `two_latents` does.

    >>> model = cells()
    >>> tuple(model.decode(torch.zeros(1, 8, dtype=torch.float64)).shape)
    (1, 64)
    """
    return _from_file(untrained_cells(), path)


class Places(NamedTuple):
    """Where an encoder puts images: the means of q(z|x), (n, 2), and the digits shown, (n,)."""

    mean: Tensor
    label: Tensor


def mnist(path: Path = MNIST) -> tuple[VAE, Places]:
    """The VAE behind the figure of the landing page, float32, and where it puts 1,000 test digits.

    `benchmarks/mnist_pad.py` trained it on MNIST and kept its weights in float16. Raises ValueError
    unless the file holds exactly the parameters of this architecture, all finite, and the places.

    >>> model, places = mnist()
    >>> tuple(model.decode(places.mean).shape)
    (1000, 784)
    """
    stored = load_file(path)
    if missing := {"test.mean", "test.label"} - stored.keys():
        raise ValueError(f"{path.name} has no {' and no '.join(sorted(missing))}")
    places = Places(stored.pop("test.mean").float(), stored.pop("test.label").long())
    stored = {name: value.float() for name, value in stored.items()}
    return _filled(untrained_mnist(), stored, path.name), places


def decoders(path: Path = DECODERS) -> dict[str, nn.Module]:
    """The decoders that chapter 18 shows, by how they were trained: z (n, 2) to f(z) (n, 64).

    `benchmarks/principles.py` trained them, all from one seed, and kept their weights in float32;
    they come back as float64. Raises ValueError unless all are finite and of the architecture of
    `untrained`.

    >>> kept = decoders()
    >>> tuple(kept["VAE"](torch.zeros(1, 2, dtype=torch.float64)).shape)
    (1, 64)
    """
    stored = load_file(path)
    found = {}
    for name in dict.fromkeys(key.split(".")[0] for key in stored):
        parts = {
            key.removeprefix(f"{name}."): value.double()
            for key, value in stored.items()
            if key.startswith(f"{name}.")
        }
        found[name] = _filled(untrained().decoder, parts, f"{name} in {path.name}")
    return found


class Completers(NamedTuple):
    """Two models of a digit's other 56 pixels, given its fourth column: y given x."""

    vae: ConditionalVAE  # two latents
    regressor: ConditionalVAE  # its decoder does not listen to z


def untrained_completers(seed: int = SEED) -> Completers:
    """A conditional VAE with the layers of `untrained`, and a regressor with those of its decoder.

    They read pairs whose x are the 8 pixels of a column; Λ = σ²I is learned.
    """
    weights = generator(seed)
    encoder, decoder = DiagonalEncoder(64, 64, 2, weights), network([2 + 8, 64, 64, 56], weights)
    vae = ConditionalVAE(encoder, decoder, GaussianPixels(SharedVariance(0.1)), 8)
    alone = regressor(network([8, 64, 64, 56], weights), GaussianPixels(SharedVariance(0.1)))
    return Completers(vae.double(), alone.double())


def completers(path: Path = CONDITIONAL) -> Completers:
    """The conditional VAE and the regressor of chapter 16, trained for 200 epochs, float64.

    `benchmarks/conditional.py` trained them. Raises as `two_latents` does.

    >>> vae, alone = completers()
    >>> vae.condition, vae.encoder.latent
    (8, 2)
    """
    both = nn.ModuleDict(untrained_completers()._asdict())
    return Completers(**_from_file(both, path))


def _from_file(model: Model, path: Path) -> Model:
    if not path.exists():
        raise FileNotFoundError(f"{path.name} is missing: `make weights` trains it again")
    return _filled(model, load_file(path), path.name)


def _filled(model: Model, stored: Mapping[str, Tensor], file: str) -> Model:
    """The model with the parameters of a file, frozen."""
    seen, needed = (
        {name: tuple(value.shape) for name, value in tensors.items()}
        for tensors in (stored, model.state_dict())
    )
    if seen != needed:
        names = sorted(n for n in seen | needed if seen.get(n) != needed.get(n))
        differences = ", ".join(f"{n} is {seen.get(n)}, not {needed.get(n)}" for n in names)
        raise ValueError(f"{file} does not fit this architecture: {differences}")
    for name, value in stored.items():
        require.finite(f"{name} in {file}", value)
    model.load_state_dict(stored)
    return model.requires_grad_(False)
