"""IDX, the format of MNIST's files: how many axes, their lengths, and then the bytes.

A file begins with four bytes: two zeros, 8 for unsigned bytes, and the number of axes. One length
an axis follows, four bytes each, the largest byte first. Files come as they are or packed by gzip.
"""

import gzip
import io
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

GZIP = b"\x1f\x8b"
UNSIGNED_BYTES = b"\x00\x00\x08"
DENSEST = 1032  # bytes that one byte of gzip can become: 258 from two bits, at most
AT_ONCE = 2**17  # bytes; asked for all, GzipFile would hold a second copy of them


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in an IDX file, plain or gzip; ValueError where it is damaged or not IDX."""
    with path.open("rb") as file:
        return _read(file, str(path))


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """The uint8 array, of any shape, in the bytes of an IDX file, plain or gzip.

    Raises ValueError, under `name`, unless they begin as IDX and are as long as their header says.
    Source: LeCun, Cortes & Burges, the MNIST database.

    >>> parse_idx(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 10, 20, 30, 40, 50, 60]), "six")
    array([[10, 20, 30],
           [40, 50, 60]], dtype=uint8)
    """
    return _read(io.BytesIO(content), name)


def unpack(content: bytes, longest: int, name: str) -> bytes:
    """What gzip packed, or `content` itself where it is not gzip.

    Raises ValueError, under `name`, if it is damaged or longer than `longest` bytes: a megabyte of
    gzip can hold a gigabyte.
    """
    with _unpacked(io.BytesIO(content), name) as file:
        plain = file.read(longest + 1)
    if len(plain) > longest:
        raise ValueError(f"{name} is longer than {longest:,} bytes")
    return plain


@contextmanager
def _unpacked(file: io.BufferedIOBase, name: str) -> Iterator[io.BufferedIOBase]:
    """What gzip packed, as a file; the file itself where it is not gzip."""
    packed = file.read(2) == GZIP
    file.seek(0)
    if not packed:
        yield file
        return
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            yield unpacked
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{name} is damaged gzip: {error}") from error


def _read(file: io.BufferedIOBase, name: str) -> np.ndarray:
    """The header is compared with the size of the file before memory is asked for."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    with _unpacked(file, name) as plain:
        lengths = _read_lengths(plain, name)
        needed = 4 + 4 * len(lengths) + math.prod(lengths)
        most = size if plain is file else DENSEST * size
        if needed > most:
            there = f"it has {size:,} bytes" + ("" if plain is file else ", packed")
            raise ValueError(f"{name} is truncated: {there}, needed {needed:,}")
        array = _reserve(lengths, name)
        seen = needed - array.size + _fill(array.reshape(-1).data, plain)
        if seen < needed:
            raise ValueError(f"{name} is truncated: it has {seen:,} bytes, needed {needed:,}")
        if plain.read(1):
            raise ValueError(f"{name} has trailing bytes: needed {needed:,}, and there are more")
    return array


def _read_lengths(file: io.BufferedIOBase, name: str) -> tuple[int, ...]:
    start = file.read(4)
    if start[:3] != UNSIGNED_BYTES or start[3:] in (b"", b"\x00"):
        seen = start.hex(" ") or "none"
        raise ValueError(
            f"{name} is not IDX: it begins with {seen}, needed 00 00 08 and an axis or more"
        )
    axes = start[3]
    header = file.read(4 * axes)
    if len(header) < 4 * axes:
        raise ValueError(f"{name} is truncated: it ends within the lengths of its {axes} axes")
    return tuple(int.from_bytes(header[4 * axis : 4 * axis + 4], "big") for axis in range(axes))


def _reserve(lengths: tuple[int, ...], name: str) -> np.ndarray:
    try:
        return np.empty(lengths, np.uint8)
    except ValueError as error:  # more axes than numpy has
        raise ValueError(f"{name} has a shape that no array has: {error}") from error


def _fill(memory: memoryview, file: io.BufferedIOBase) -> int:
    """Read until `memory` is full or `file` at its end; how many bytes came."""
    seen = 0
    while count := file.readinto(memory[seen : seen + AT_ONCE]):
        seen += count
    return seen
