"""What the tests over five seeds share: the seeds, the digits, and averages over images."""

import torch

from vae_tutorial.data import load_digits
from vae_tutorial.noise import generator
from vae_tutorial.training import average_bound

SEEDS = range(5)
DIGITS = load_digits()


def averages(fitted, term, images):
    """One term of the bound, an average over images and 20 draws, for each model: (seeds,)."""
    bounds = (average_bound(model, images, 20, generator(2)) for model in fitted)
    return torch.stack([getattr(bound, term).mean() for bound in bounds])
