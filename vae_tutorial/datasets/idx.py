"""IDX, the format of MNIST's files: how many axes, their lengths, and then the bytes.

A file begins with four bytes: two zeros, 8 for unsigned bytes, and the number of axes. One length
an axis follows, four bytes each, the largest byte first.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

GZIP = b"\x1f\x8b"
UNSIGNED_BYTES = b"\x00\x00\x08"


def unpack(content: bytes, name: str) -> bytes:
    """What gzip packed, or `content` itself where it is not gzip; ValueError if it is damaged."""
    if not content.startswith(GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{name} is damaged gzip: {error}") from error


def parse_idx(content: bytes, name: str) -> np.ndarray:
    """The uint8 array, of any shape and read-only, in the bytes of an unpacked IDX file.

    Raises ValueError, under `name`, unless they begin as IDX and are as long as their header says.
    Source: LeCun, Cortes & Burges, the MNIST database.
    """
    if content[:3] != UNSIGNED_BYTES or content[3:4] in (b"", b"\x00"):
        seen = content[:4].hex(" ") or "none"
        raise ValueError(
            f"{name} is not IDX: it begins with {seen}, needed 00 00 08 and an axis or more"
        )
    header = 4 + 4 * content[3]
    lengths = [int.from_bytes(content[start : start + 4], "big") for start in range(4, header, 4)]
    needed = header + math.prod(lengths)
    if len(content) != needed:
        what = "is truncated" if len(content) < needed else "has trailing bytes"
        raise ValueError(f"{name} {what}: it has {len(content):,} bytes, needed {needed:,}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(lengths)


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in an IDX file, plain or gzip; ValueError where it is damaged or not IDX."""
    return parse_idx(unpack(path.read_bytes(), str(path)), str(path))
