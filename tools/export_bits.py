"""What the live figure bits-back needs: a small VAE on the grid of `fixed_point`, and a picture."""

import torch
from export_pads import float32
from torch import Tensor, nn

from vae_tutorial import coding, data, pretrained
from vae_tutorial.fixed_point import UNIT, fixed_network
from vae_tutorial.likelihoods import NORMAL, CellPixels
from vae_tutorial.models import VAE

BUCKET_BITS = 5  # 32 buckets a latent, so that all 1,024 pairs can be summed in a moment


def model() -> VAE:
    kept = pretrained.two_latents()
    return VAE(kept.encoder, kept.decoder, CellPixels(kept.likelihood.variance, 17, NORMAL))


def layers(network: nn.Module) -> list[dict[str, str]]:
    """Weights and biases of a network on the grid; float32 holds each of them exactly."""
    fixed = fixed_network(network)
    for array in (*fixed.weights, *fixed.biases):
        if not torch.equal(array.float().double(), array):
            raise ValueError("a weight on the grid has more digits than float32")
    return [
        {"weight": float32(weight), "bias": float32(bias)}
        for weight, bias in zip(fixed.weights, fixed.biases, strict=True)
    ]


def in_units(values: Tensor, unit: float) -> list[int]:
    """Multiples of a unit as whole numbers."""
    return (values / unit).round().long().tolist()


def weights() -> dict:
    """Encoder and decoder, the scale of the pixels' noise, and the buckets of a latent."""
    vae = model()
    code = coding.integer_code(vae, BUCKET_BITS)
    edges = code.edges(torch.zeros(1, 2, dtype=torch.float64))[0]  # (64, 16), in scales
    deviation = data.GREY_STEP / edges.diff()[:, 0]  # (64,)
    return {
        "encoder": layers(vae.encoder.network),
        "decoder": layers(vae.decoder),
        "law": "normal" if vae.likelihood.law is NORMAL else "logistic",
        "scales": in_units(deviation, coding.SCALE),
        "edges": in_units(code.bucket_edges, UNIT),
        "centres": in_units(code.bucket_centres, UNIT),
    }
