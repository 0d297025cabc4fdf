"""What scvi-tools' `VAE.marginal_ll` reports on the oracle, where scvi-tools is installed.

    PYTHONPATH=. python benchmarks/oracle_scvi.py [NAME …]

The environment also needs safetensors and scikit-learn. `marginal_ll`, behind the models'
`get_marginal_ll`, is an importance-weighted estimate. The module's encoder and decoder are replaced
by a case's; its likelihood "normal" stays. It has no Bernoulli pixels, so those cases are left out.
"""

import argparse

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from scvi.module import VAE
from torch import Tensor, nn
from torch.distributions import Normal

from oracle_layers import tensors, through
from oracle_rows import cases, keep
from vae_tutorial import oracle

CASES = ("digits", "folded", "collapsed")
SAMPLES = 1000


class Encoder(nn.Module):
    """The encoder of a case, with the face of scvi's."""

    z_transformation = nn.Identity()

    def __init__(self, model: oracle.Model):
        super().__init__()
        self.layers = tensors(model.encoder)

    def forward(self, x: Tensor, *covariates: Tensor) -> tuple[Normal, Tensor]:
        mean, log_variance = through(self.layers, x).chunk(2, -1)
        q = Normal(mean, (log_variance / 2).exp())
        return q, q.rsample()


class Decoder(nn.Module):
    """The decoder of a case, with the face of scvi's: the mean is both scale and rate."""

    def __init__(self, model: oracle.Model):
        super().__init__()
        self.layers, self.fold = tensors(model.decoder), model.fold

    def forward(self, dispersion: str, z: Tensor, *rest: Tensor) -> tuple:
        if self.fold is not None:
            angle = self.fold * z
            z = torch.cat([angle.cos(), angle.sin()], -1)
        decoded = through(self.layers, z)
        return decoded, None, decoded, None


@torch.no_grad()
def estimate(case: oracle.Case, x: np.ndarray) -> np.ndarray:
    """log p(x) of each image, by one call of `marginal_ll`."""
    model, count = case.model, len(x)
    module = VAE(
        x.shape[1],
        n_batch=1,
        n_latent=model.latent,
        gene_likelihood="normal",
        log_variational=False,
    ).double()
    module.z_encoder, module.decoder = Encoder(model), Decoder(model)
    module.px_r.data.fill_(model.log_variance / 2)
    torch.manual_seed(0)
    zero = torch.zeros(count, 1, dtype=torch.long)
    rows = {
        REGISTRY_KEYS.X_KEY: torch.from_numpy(x),
        REGISTRY_KEYS.BATCH_KEY: zero,
        REGISTRY_KEYS.LABELS_KEY: zero,
    }
    return module.eval().marginal_ll(rows, SAMPLES, n_mc_samples_per_pass=100).numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=CASES, help="cases (all that it can score)")
    torch.set_num_threads(1)
    for case, x in cases(parser.parse_args().names, None):
        name = f"VAE.marginal_ll, n_mc_samples = {SAMPLES:,}"
        keep("scvi-tools", name, case, estimate(case, x))
