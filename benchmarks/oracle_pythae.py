"""What pythae's `VAE.get_nll` reports on the oracle, in an environment that has pythae.

    PYTHONPATH=. python benchmarks/oracle_pythae.py [--mnist FILE] [NAME …]

The environment also needs safetensors and scikit-learn. `get_nll` is an importance-weighted
estimate. Its decoders are Bernoulli (`bce`) or Gaussian of variance one (`mse`), so that the cases
with another σ² are left out. It is called an image at a time, as it returns an average.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from torch import Tensor

from oracle_layers import tensors, through
from oracle_rows import cases, keep
from vae_tutorial import oracle

CASES = ("collapsed", "line", "drawn", "mnist")
SAMPLES = 1000


class Encoder(BaseEncoder):
    """The encoder of a case, in torch."""

    def __init__(self, model: oracle.Model):
        super().__init__()
        self.layers = tensors(model.encoder)

    def forward(self, x: Tensor) -> ModelOutput:
        mean, log_variance = through(self.layers, x.flatten(1)).chunk(2, -1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


class Decoder(BaseDecoder):
    """The decoder of a case: means of grey pixels, or probabilities."""

    def __init__(self, model: oracle.Model):
        super().__init__()
        self.layers, self.grey = tensors(model.decoder), model.log_variance is not None

    def forward(self, z: Tensor) -> ModelOutput:
        decoded = through(self.layers, z)
        return ModelOutput(reconstruction=decoded if self.grey else decoded.sigmoid())


@torch.no_grad()
def estimate(case: oracle.Case, x: np.ndarray) -> np.ndarray:
    """log p(x) of each image, by one call of `get_nll` for each."""
    model, kind = case.model, "bce" if case.model.log_variance is None else "mse"
    if model.log_variance not in (None, 0.0):
        raise ValueError(f"pythae's Gaussian has variance one, that of {case.name} another")
    pixels = x.shape[1]
    configuration = VAEConfig((1, pixels), latent_dim=model.latent, reconstruction_loss=kind)
    vae = VAE(configuration, encoder=Encoder(model), decoder=Decoder(model)).eval()
    torch.manual_seed(0)
    images = torch.from_numpy(x)[:, None, None]  # (n, 1, 1, pixels)
    return np.array([vae.get_nll(one, n_samples=SAMPLES, batch_size=SAMPLES) for one in images])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=CASES, help="cases (all that it can score)")
    parser.add_argument("--mnist", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for case, x in cases(options.names, options.mnist):
        keep("pythae", f"VAE.get_nll, n_samples = {SAMPLES:,}", case, estimate(case, x))
