"""The images of both jobs, binarized once, before any clock runs: the loss is Bernoulli's."""

from pathlib import Path

import numpy as np
import torch

from job import BATCH, PIXELS
from vae_tutorial import datasets
from vae_tutorial.data import binarize
from vae_tutorial.noise import generator

EVALUATED, QUICK_EVALUATED = 20, 2  # images
QUICK_STEPS = 5  # an epoch


def save_images(job: str, folder: Path, quick: bool) -> Path:
    """Write the images of a job, (n, 784) of 0 and 1, to the one file that its contenders read.

    Quick ones are drawn from ten random shapes. Raises as `datasets.load` does.
    """
    random = generator(0)
    if quick:
        shapes = torch.rand(10, PIXELS, generator=random) ** 4
        grey = shapes[torch.randint(10, (QUICK_STEPS * BATCH,), generator=random)]
    else:
        images = datasets.load("mnist")
        grey = images.test if job == "evaluation" else images.train
    if job == "evaluation":
        grey = grey[: QUICK_EVALUATED if quick else EVALUATED]
    np.save(path := folder / f"{job}.npy", binarize(grey, random).to(torch.uint8).numpy())
    return path
