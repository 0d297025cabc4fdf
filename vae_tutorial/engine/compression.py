"""Images as a file of a run's model, and back: their grey levels, and the masses they have."""

import copy
import gzip
import lzma
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_tutorial import coding, noise
from vae_tutorial.engine import archive
from vae_tutorial.engine.archive import KINDS, Archive, Watched
from vae_tutorial.likelihoods import NORMAL, BernoulliPixels, CellPixels
from vae_tutorial.models import VAE
from vae_tutorial.training import average_bound

STEPS = (1, 16, 255)  # between the grey levels of images: on or off, the embedded digits, bytes
DRAWS = 8  # an image, for its bound
AT_ONCE = 100  # images in one sum of the bound
SEED = 1_000_007  # of the bound's draws


class Levels(NamedTuple):
    """Images as whole numbers from 0 to `steps`, and what they are made of again."""

    level: Tensor  # (n, pixels), int64
    steps: int
    kind: str  # of the numbers they came in: uint8 to 255, or floats to 1
    height: int
    width: int


def grey_levels(images: np.ndarray, name: str) -> Levels:
    """Images (n, height, width), uint8 or floats in [0, 1], on the coarsest grid that holds them.

    Raises ValueError, under `name`, where they lie on none: what lies between two levels would be
    lost.

    >>> found = grey_levels(np.array([[[0.0, 0.25], [0.5, 1.0]]]), "four pixels")
    >>> found.level.tolist(), found.steps
    ([[0, 4, 8, 16]], 16)
    """
    kind = str(images.dtype)
    if kind not in KINDS:
        raise ValueError(f"{name} holds {kind}, needed one of {', '.join(KINDS)}")
    white = 255 if kind == "uint8" else 1
    for steps in STEPS:
        level = np.rint(images.astype(np.float64) * (steps / white)).astype(np.int64)
        if np.array_equal(restored(level, steps, kind), images):
            whole = torch.from_numpy(level.reshape(len(level), -1))
            return Levels(whole, steps, kind, *images.shape[1:])
    grids = " or ".join(f"1/{steps}" for steps in STEPS[1:])
    raise ValueError(f"{name} has greys between levels: needed multiples of {grids}")


def restored(level: np.ndarray, steps: int, kind: str) -> np.ndarray:
    """Grey levels as the numbers they came from, of the type `kind`; the same shape."""
    if kind == "uint8":
        return (level * (255 / steps)).astype(np.uint8)
    return (level / steps).astype(kind)


def with_cells(model: VAE, steps: int) -> VAE:
    """The model that gives each of `steps` + 1 grey levels a mass, in float64.

    Pixels on or off have masses; a Gaussian has a density, of which each level gets what lies in
    its cell. Raises ValueError where the model knows pixels on or off alone, and images have more.
    """
    model = copy.deepcopy(model).double()
    if isinstance(model.likelihood, BernoulliPixels):
        if steps != 1:
            raise ValueError(
                f"the images have {steps + 1} grey levels, and the run's likelihood, bernoulli, has"
                " masses for pixels on or off alone: needed images of 0 and 1, or a gaussian run"
            )
        return model
    cells = CellPixels(model.likelihood.variance, steps + 1, NORMAL)
    return VAE(model.encoder, model.decoder, cells)


class Compressed(NamedTuple):
    """A file, and what its images cost: in bits, all images together."""

    content: bytes
    net: int  # what the images added to the stack
    negative_elbo: float  # what real numbers in the place of whole ones foretell
    negative_elbo_error: float  # its standard error, over draws
    initial: int  # random bits under the first image
    gzip: int  # what that program makes of the same images, in the packing that suits it
    xz: int


def compress(model: VAE, images: Levels, watched: Watched) -> Compressed:
    """The images as a file that the same model turns back, and its length beside others'.

    Raises ValueError or TypeError where the model has no masses for their grey levels.
    """
    cells = with_cells(model, images.steps)
    code = coding.integer_code(cells)
    parts, _ = archive.encode(code, images.level, watched)
    packed = Archive(
        code.bucket_bits,
        images.kind,
        images.steps,
        images.height,
        images.width,
        code.fingerprint,
        archive.digest_of(images.level),
        parts,
    )
    first = archive.first_stack(code).bit_length()
    plain = plain_bytes(images)
    strongest = 9 | lzma.PRESET_EXTREME
    return Compressed(
        archive.pack(packed),
        packed.bits - first,
        *negative_elbo(cells, images),
        first,
        8 * min(len(gzip.compress(each, 9, mtime=0)) for each in plain),
        8 * min(len(lzma.compress(each, preset=strongest)) for each in plain),
    )


def decompress(model: VAE, packed: Archive, name: str, watched: Watched) -> np.ndarray:
    """The images (n, height, width) of an archive; ValueError, under `name`, by another model."""
    code = coding.integer_code(with_cells(model, packed.steps), packed.bucket_bits)
    if code.fingerprint != packed.fingerprint:
        raise ValueError(
            f"{name} needs the model whose whole numbers have the SHA-256"
            f" {packed.fingerprint[:12]}…, and those of this run have {code.fingerprint[:12]}…:"
            " it was made by another run, or after another epoch"
        )
    if packed.height * packed.width != code.pixels:
        raise ValueError(
            f"{name} has images of {packed.height} by {packed.width}, needed {code.pixels} pixels"
        )
    try:
        level = archive.decode(code, packed.parts, watched)
    except ValueError as error:
        raise ValueError(f"{name} cannot be decoded: {error}") from error
    if archive.digest_of(level) != packed.images_digest:
        raise ValueError(f"{name} was decoded to other images than it was made of")
    shaped = level.numpy().reshape(-1, packed.height, packed.width)
    return restored(shaped, packed.steps, packed.kind)


def negative_elbo(model: VAE, images: Levels) -> tuple[float, float]:
    """−ELBO of all images together, in bits, and the standard error over draws."""
    random = noise.generator(SEED)
    parts = (images.level.double() / images.steps).split(AT_ONCE)
    sums = torch.tensor(
        [
            sum(average_bound(model, part, 1, random).elbo.sum().item() for part in parts)
            for _ in range(DRAWS)
        ]
    )
    bits = -sums.double() / math.log(2)  # (DRAWS,)
    return bits.mean().item(), bits.std().item() / math.sqrt(DRAWS)


def plain_bytes(images: Levels) -> list[bytes]:
    """The images as other programs may get them: a byte a pixel, and a bit where two levels are."""
    level = images.level.numpy().astype(np.uint8)
    packed = [np.packbits(level).tobytes()] if images.steps == 1 else []
    return [level.tobytes(), *packed]
