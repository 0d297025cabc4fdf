"""How long files of the test digits are: general compressors, a histogram, and VAEs of five seeds.

Compressors may change by a byte from one version to the next, and ten trainings take minutes. So
chapter 15 reads the JSON file that this writes. All lengths are in bits an image.
"""

import bz2
import gzip
import io
import json
import lzma
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vae_tutorial import pretrained
from vae_tutorial.data import load_digits
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole
from vae_tutorial.likelihoods import NORMAL, CellPixels, GaussianPixels
from vae_tutorial.models import VAE
from vae_tutorial.noise import generator
from vae_tutorial.training import average_bound, fit

OUTPUT = Path(__file__).resolve().parent.parent / "book" / "results" / "coding.json"
SEEDS = range(5)
SHEET = (27, 11)  # rows and columns of images in one picture: 297 digits
DRAWS = 200  # of z for an image, to average its bound


def png(levels: Tensor) -> bytes:
    """One PNG of all digits side by side, as whole bytes a pixel."""
    rows, columns = SHEET
    sheet = levels.view(rows, columns, 8, 8).permute(0, 2, 1, 3).reshape(8 * rows, 8 * columns)
    stream = io.BytesIO()
    Image.fromarray(sheet.to(torch.uint8).numpy()).save(stream, "png", optimize=True)
    return stream.getvalue()


def compressed(levels: Tensor) -> dict[str, float]:
    """Bits an image of general compressors, of which each gets all images in one piece."""
    raw = bytes(levels.flatten().tolist())
    files = {
        "gzip": gzip.compress(raw, 9, mtime=0),
        "bz2": bz2.compress(raw, 9),
        "xz": lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME),
        "png": png(levels),
    }
    return {name: 8 * len(file) / len(levels) for name, file in files.items()}


def bits(model: VAE, x: Tensor) -> float:
    """−ELBO in bits an image, by draws."""
    bound = average_bound(model, x, DRAWS, generator(1))
    return -float(bound.elbo.mean()) / math.log(2)


def as_cells(model: VAE) -> VAE:
    """The same model with a Gaussian's mass of each grey cell in place of its density."""
    assert isinstance(model.likelihood, GaussianPixels)
    cells = CellPixels(model.likelihood.variance, 17, NORMAL)
    return VAE(model.encoder, model.decoder, cells)


def of_seed(seed: int) -> dict[str, float]:
    """−ELBO of the test digits: a model of densities, read as cells, and one trained on cells."""
    digits = load_digits(torch.float64)
    settings = {"epochs": 200, "batch_size": 100, "learning_rate": 0.003}
    draws = generator(seed)
    density = fit(pretrained.untrained(seed), digits.train, generator=draws, **settings).model
    found = {
        "seed": seed,
        "density": bits(as_cells(density), digits.test),
        "cells": bits(pretrained.train_cells(seed), digits.test),
    }
    print(found, flush=True)
    return found


def main() -> None:
    levels = (load_digits(torch.float64).test * 16).round().long()
    records = [of_seed(seed) for seed in SEEDS]
    contents = {"provenance": provenance(), "compressors": compressed(levels), "seeds": records}
    write_whole(OUTPUT, f"{json.dumps(contents, indent=1)}\n".encode())


if __name__ == "__main__":
    main()
