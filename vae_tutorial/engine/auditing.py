"""What the command `audit` looks at: a run's model and images, or an adapter's and a file's."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vae_tutorial import datasets, noise
from vae_tutorial.audit import adapters
from vae_tutorial.data import binarize
from vae_tutorial.engine.folders import Config, describe, load_trained
from vae_tutorial.engine.settings import prepare

DYNAMIC_SEED = 1_000_007  # of the binarization of images that the run drew anew at each step


def of_run(folder: Path) -> dict[str, Any]:
    """The arguments of `audit` for a run: its model, its training images, its held-out ones.

    Where pixels were drawn anew at each step, one such draw stands for the training images. Raises
    ValueError where the folder holds no trained run, or its images are no longer what they were.
    """
    config, model, _ = load_trained(folder)
    train, held_out = images_of(config)
    model.requires_grad_(True)  # as it was in training: checks follow the gradient
    return {"x": train, "held_out": held_out, **adapters.of_vae(model)}


def images_of(config: Config) -> tuple[Tensor, Tensor]:
    """Training and held-out images of a run; ValueError where they are others than they were."""
    settings = config.settings
    images = datasets.load(settings.data)
    if describe(settings, images) != config:
        raise ValueError(f"the images in {settings.data} are not those that the run was trained on")
    train, held_out = prepare(settings, images)
    if settings.likelihood == "bernoulli" and settings.binarization == "dynamic":
        train = binarize(train, noise.generator(DYNAMIC_SEED))
    return train, held_out


def of_adapter(name: str, data: Path | None, held_out: Path | None) -> dict[str, Any]:
    """The arguments of `audit` that an adapter MODULE:NAME gives, with the images of files.

    A file wins over the adapter's own images. Raises ValueError where there are no images.
    """
    arguments = adapters.named(name)
    for key, path in (("x", data), ("held_out", held_out)):
        if path is not None:
            arguments[key] = array_of(path)
    if "x" not in arguments:
        raise ValueError(f"no images: give --data FILE.npy, or let {name} give x")
    return arguments


def array_of(path: Path) -> Tensor:
    """The array of a .npy file as a tensor: floats as they are stored, bytes divided by 255.

    Raises ValueError for other files and other numbers.
    """
    if path.suffix != ".npy" or not path.is_file():
        raise ValueError(f"images must be an existing .npy file, got {str(path)!r}")
    array = np.load(path, allow_pickle=False)
    if array.dtype == np.uint8:
        return torch.from_numpy(array).float() / 255
    if array.dtype.kind != "f":
        raise ValueError(f"{path} must hold floats or bytes, got {array.dtype}")
    return torch.from_numpy(array)
