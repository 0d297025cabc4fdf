"""Images to train on: the embedded digits, MNIST, Fashion-MNIST, or a file of your own."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_tutorial.data import load_digits
from vae_tutorial.datasets.idx import read_idx
from vae_tutorial.datasets.mirrors import (
    FILE_NAMES,
    SOURCES,
    cache_folder,
    download,
    read_cached,
)

__all__ = ["Images", "cache_folder", "download", "load", "read"]

WHITE = 255  # the largest value of a byte
HEADERS = {  # version of the format → its reader; 3.0 is for names of fields, not for images
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Images(NamedTuple):
    """Images (n, height · width), float32 in [0, 1]; labels (n,), int64 from 0, or None."""

    name: str
    train: Tensor
    test: Tensor
    train_labels: Tensor | None
    test_labels: Tensor | None
    height: int
    width: int


def load(name_or_path: str | Path) -> Images:
    """`digits` (8 by 8), `mnist` or `fashion-mnist` (28 by 28), or the images in a file.

    A file is a .npy array or IDX, plain or gzip, of shape (n, height, width), or (n, pixels) where
    images are square: uint8, divided by 255, or floats in [0, 1]. Its last tenth, rounded down and
    at least one image, is held out as the test set. Raises FileNotFoundError where a published set
    is not in the cache folder, ValueError on an unknown name, on a damaged or an unfit file, and on
    one that is too large for the memory; OSError where the file cannot be read.
    Source: LeCun et al. 1998; Xiao et al. 2017.

    >>> images = load("digits")
    >>> images.train.shape, images.height, images.width
    (torch.Size([1500, 64]), 8, 8)
    """
    if name_or_path == "digits":
        digits = load_digits()
        labels = digits.train_labels, digits.test_labels
        return Images("digits", digits.train, digits.test, *labels, 8, 8)
    if name_or_path in SOURCES:
        return _load_published(name_or_path)
    path = Path(name_or_path)
    if not path.is_file():
        names = ", ".join(["digits", *SOURCES])
        raise ValueError(
            f"no images {str(path)!r}: needed {names}, or the path of an existing file"
        )
    with _memory_for(path):
        return _divide(read(path), path)


def read(path: Path) -> np.ndarray:
    """The images (n, height, width) in a file as they are stored: uint8, or floats in [0, 1].

    Raises ValueError where they are not, or where the file is damaged, empty or too large for the
    memory; OSError where it cannot be read.
    """
    if not path.is_file():
        raise ValueError(f"no images {str(path)!r}: needed the path of an existing file")
    with _memory_for(path):
        array = _read_npy(path) if path.suffix == ".npy" else read_idx(path)
        return _as_images(array, path)


@contextmanager
def _memory_for(path: Path) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise ValueError(f"{path} is too large for the memory: {error or 'no more'}") from error


def _load_published(name: str) -> Images:
    arrays = []
    for file in FILE_NAMES:
        array = read_cached(name, file)
        if array is None:
            raise FileNotFoundError(
                f"{file}{SOURCES[name].ending} is not in {cache_folder() / name}: run `python -m"
                f" vae_tutorial download {name}`, or set VAE_TUTORIAL_DATA to a folder with {name}/"
            )
        arrays.append(array)
    train, train_labels, test, test_labels = arrays  # images (n, 28, 28), labels (n,)
    labels = _integers(train_labels), _integers(test_labels)
    height, width = train.shape[1:]
    return Images(name, _pixels(train, WHITE), _pixels(test, WHITE), *labels, height, width)


def _read_npy(path: Path) -> np.ndarray:
    """The array in a .npy file; its header is compared with the file before memory is asked for."""
    with path.open("rb") as file:
        shape, dtype = _read_header(file, path)
        if dtype != np.uint8 and dtype.kind != "f":
            raise ValueError(f"{path} holds {dtype}, needed uint8 or floating point")
        if any(type(length) is not int or length < 0 for length in shape):
            raise ValueError(f"{path} is not a readable .npy array: its shape is {shape}")
        there = os.fstat(file.fileno()).st_size - file.tell()
        if math.prod(shape) * dtype.itemsize > there:
            raise ValueError(
                f"{path} is truncated: its header is followed by {there:,} bytes, too few for"
                f" {dtype} of shape {shape}"
            )
        file.seek(0)
        try:
            return np.lib.format.read_array(file, allow_pickle=False)
        except ValueError as error:
            raise ValueError(f"{path} is not a readable .npy array: {error}") from error


def _read_header(file: BinaryIO, path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and the type that the header of a .npy file names."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"its format is version {version}, needed one of {[*HEADERS]}")
        shape, _, dtype = HEADERS[version](file)
    except OSError:
        raise
    except Exception as error:  # numpy parses a Python literal, and passes on whatever that raises
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{path} is not a readable .npy array: {reason}") from error
    return shape, dtype


def _as_images(array: np.ndarray, path: Path) -> np.ndarray:
    """An array as images (n, height, width); ValueError unless its shape and its values are."""
    shape = array.shape
    if array.ndim not in (2, 3):
        raise ValueError(f"{path} has shape {shape}, needed (n, height, width) or (n, pixels)")
    if array.size == 0:
        raise ValueError(f"{path} is empty, of shape {shape}")
    height, width = shape[1:] if array.ndim == 3 else (math.isqrt(shape[1]),) * 2
    if height * width != array[0].size:
        raise ValueError(
            f"{path} has {shape[1]} pixels an image, needed a perfect square, or shape"
            " (n, height, width)"
        )
    low, high = array.min(), array.max()  # NaN if any entry is
    if not 0 <= low <= high <= _white(array):
        raise ValueError(
            f"{path} holds floats from {low:g} to {high:g}, needed 0 to 1 and no NaN"
            " (or uint8, 0 to 255)"
        )
    return array.reshape(-1, height, width)


def _divide(images: np.ndarray, path: Path) -> Images:
    """Training images first, the last tenth to test on; ValueError where there is but one."""
    if len(images) < 2:
        raise ValueError(f"{path} holds 1 image, needed at least 2: one to train on, one to test")
    pixels, held_out = _pixels(images, _white(images)), max(1, len(images) // 10)
    train, test = pixels[:-held_out], pixels[-held_out:]
    return Images(path.name, train, test, None, None, *images.shape[1:])


def _white(array: np.ndarray) -> int:
    return WHITE if array.dtype == np.uint8 else 1


def _integers(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.int64))


def _pixels(array: np.ndarray, white: int) -> Tensor:
    """Flat images (n, pixels); in one pass, without a second copy or float64."""
    flat = array.reshape(len(array), -1)
    return torch.from_numpy(np.divide(flat, white, dtype=np.float32, order="C"))
