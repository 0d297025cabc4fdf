"""A small VAE trained beforehand, and how: two latents, so that its log p(x) can be known.

Trained weights are kept, in float64, because exact values of a model that were trained anew on
another processor would differ in their last printed digits.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file

from vae_tutorial import require
from vae_tutorial.data import load_digits
from vae_tutorial.likelihoods import GaussianPixels, SharedVariance
from vae_tutorial.models import VAE, DiagonalEncoder, network
from vae_tutorial.noise import generator
from vae_tutorial.training import fit

SEED = 3
WEIGHTS = Path(__file__).parent / "trained" / "two_latents.safetensors"


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
    if not path.exists():
        raise FileNotFoundError(f"{path.name} is missing: `make weights` trains it again")
    model = untrained()
    stored = load_file(path)
    seen, needed = (
        {name: tuple(value.shape) for name, value in tensors.items()}
        for tensors in (stored, model.state_dict())
    )
    if seen != needed:
        names = sorted(n for n in seen | needed if seen.get(n) != needed.get(n))
        differences = ", ".join(f"{n} is {seen.get(n)}, not {needed.get(n)}" for n in names)
        raise ValueError(f"{path.name} does not fit this architecture: {differences}")
    for name, value in stored.items():
        require.finite(f"{name} in {path.name}", value)
    model.load_state_dict(stored)
    return model.requires_grad_(False)
