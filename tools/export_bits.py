"""What the live figure bits-back needs: a small VAE on the grid of `fixed_point`, and a picture."""

import itertools
import math

import torch
from export_pads import float32
from matplotlib.figure import Figure
from torch import Tensor, nn

from vae_tutorial import coding, data, pretrained
from vae_tutorial.fixed_point import UNIT, fixed_network
from vae_tutorial.likelihoods import NORMAL, CellPixels
from vae_tutorial.models import VAE
from vae_tutorial.plotting import Line, Panel, panels

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
    edges = code.cell_edges(torch.zeros(1, 2, dtype=torch.float64))[0]  # (64, 16), in scales
    deviation = data.GREY_STEP / edges.diff()[:, 0]  # (64,)
    return {
        "encoder": layers(vae.encoder.network),
        "decoder": layers(vae.decoder),
        "law": "normal" if vae.likelihood.law is NORMAL else "logistic",
        "scales": in_units(deviation, coding.SCALE),
        "edges": in_units(code.edges, UNIT),
        "centres": in_units(code.centres, UNIT),
    }


# The toy model of the picture: 2 by 2 pixels, on or off, and eight buckets of z

DARK = torch.tensor(  # of 16 slots, those of a dark pixel, in each bucket
    [
        [15, 14, 12, 8, 4, 2, 1, 1],
        [8, 12, 14, 12, 8, 4, 2, 1],
        [1, 2, 4, 8, 12, 14, 12, 8],
        [1, 1, 2, 4, 8, 12, 14, 15],
    ]
)
SLOT_BITS, Q_BITS, PRIOR_BITS = 4, 6, 3
FIRST = 240  # the stack at the beginning, as the figure has it
IMAGES = ((1, 1, 1, 0), (0, 0, 0, 1), (0, 0, 0, 1))  # the figure's first three


def masses(image: tuple[int, ...]) -> list[int]:
    """16⁴ · p(x|z) in each bucket, whole numbers."""
    dark = torch.tensor(image, dtype=torch.bool)[:, None]  # (4, 1)
    return torch.where(dark, DARK, 16 - DARK).prod(0).tolist()


def posterior_starts(image: tuple[int, ...]) -> list[int]:
    """The first slots, of 64, of the buckets under p(z|x)."""
    ends = [0, *itertools.accumulate(masses(image))]
    return [2**Q_BITS * end // ends[-1] for end in ends]


def stacks(image: tuple[int, ...], stack: int) -> list[int]:
    """The stack before an image, and after each of its six steps."""
    way = [stack]
    stack, z = coding.pop(stack, posterior_starts(image), Q_BITS)
    way.append(stack)
    for pixel, dark in zip(image, DARK[:, z].tolist(), strict=True):
        start, slots = (16 - dark, dark) if pixel else (0, 16 - dark)
        stack = coding.push(stack, start, slots, SLOT_BITS)
        way.append(stack)
    return [*way, coding.push(stack, z, 1, PRIOR_BITS)]


def least(image: tuple[int, ...]) -> float:
    """−log₂ p(x): no code of this model is shorter on average."""
    return 4 * SLOT_BITS + PRIOR_BITS - math.log2(sum(masses(image)))


def picture() -> Figure:
    """The length of the stack over the steps of three images, and what −ELBO foretells at best."""
    steps = torch.arange(7, dtype=torch.float64) / 6
    parts = {
        "pop z": ("encoder", slice(0, 2)),
        "push four pixels": ("decoder", slice(1, 6)),
        "push z": ("prior", slice(5, 7)),
    }
    layers = []
    stack, foretold = FIRST, [math.log2(FIRST)]
    for number, image in enumerate(IMAGES):
        way = stacks(image, stack)
        lengths = torch.tensor([math.log2(each) for each in way], dtype=torch.float64)
        for words, (ink, part) in parts.items():
            label = words if number == 0 else ""
            layers.append(Line(number + steps[part], lengths[part], ink, label, dash="-"))
        stack = way[-1]
        foretold.append(foretold[-1] + least(image))
    ends = torch.arange(len(foretold)).double()
    layers.append(Line(ends, torch.tensor(foretold), "data", "plus −log₂ p(x)", dash=":"))
    limits = {"ylim": (0, None), "xticks": range(4)}
    return panels(Panel(layers, "images", "length of the stack, bits", legend=True, axes=limits))
