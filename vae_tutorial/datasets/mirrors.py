"""Published data sets: where their files are found, how they are known, and where they are kept.

Only `download` opens a connection. Each reading checks a SHA-256: MNIST's of the unpacked files, as
copies are packed differently; Fashion-MNIST's of the packed ones, the only hashes found published.
"""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae_tutorial.datasets.idx import parse_idx, unpack

SILENCE, LONGEST = 20, 600  # seconds that a mirror may say nothing, and that a file may take
LARGEST = 2**26  # bytes; the largest packed file has 26,421,880
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


class Source(NamedTuple):
    """Mirrors that hold the four packed files; the SHA-256 of each file with `ending` "" or .gz."""

    mirrors: tuple[str, ...]
    ending: str
    hashes: tuple[str, ...]


SOURCES = {
    "mnist": Source(  # mirrors: torchvision's, TensorFlow Datasets' (TFDS)
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        "",
        (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    "fashion-mnist": Source(  # mirrors: the authors', Keras's; hashes: Keras and TFDS
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        ".gz",
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
}


def cache_folder() -> Path:
    """The folder VAE_TUTORIAL_DATA, else ~/.cache/vae-tutorial; a set `name` is in its `name`/."""
    return Path(os.environ.get("VAE_TUTORIAL_DATA") or "~/.cache/vae-tutorial").expanduser()


def verified(content: bytes, file: str, source: Source, name: str) -> np.ndarray:
    """The array in `content`, packed or not; ValueError, under `name`, unless it is `file`."""
    hashed = content if source.ending else unpack(content, name)
    seen, needed = hashlib.sha256(hashed).hexdigest(), source.hashes[FILES.index(file)]
    if seen != needed:
        raise ValueError(f"{name} has the SHA-256 {seen}, needed {needed}")
    return parse_idx(unpack(hashed, name), name)


def kept(name: str, file: str) -> np.ndarray | None:
    """The array in the cached `file`, plain or .gz; None if absent, ValueError if damaged."""
    source, folder = SOURCES[name], cache_folder() / name
    path = next(filter(Path.is_file, (folder / f"{file}{e}" for e in (source.ending, ".gz"))), None)
    if path is None:
        return None
    try:
        return verified(path.read_bytes(), file, source, str(path))
    except ValueError as error:
        remedy = f"delete it and run `python -m vae_tutorial download {name}`"
        raise ValueError(f"{error}; {remedy}") from error


def download(name: str, report: Callable[[str], None] = print) -> None:
    """Fetch the files of `name` that the cache folder lacks, with one line to `report` a file.

    A file is written once its hash is seen to be right: a failure leaves nothing behind. Raises
    ValueError on an unknown name or a damaged file in the cache, ConnectionError where no mirror
    gave the right file.
    """
    if name not in SOURCES:
        raise ValueError(f"can download {' and '.join(SOURCES)}, got {name!r}")
    folder = cache_folder() / name
    for file in FILES:
        if kept(name, file) is not None:
            report(f"{file}: already in {folder}")
            continue
        url, content = _from_a_mirror(name, file)
        _write(folder / f"{file}.gz", content)
        report(f"{file}: {len(content):,} bytes from {url}")


def _from_a_mirror(name: str, file: str) -> tuple[str, bytes]:
    failures = []
    for mirror in SOURCES[name].mirrors:
        url = f"{mirror}{file}.gz"
        try:
            content = _fetch(url)
            verified(content, file, SOURCES[name], "what it sent")
            return url, content
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{url} ({' '.join(str(error).split())})")
    by_hand = f"by hand, put {', '.join(f'{f}.gz' for f in FILES)} into {cache_folder() / name}"
    raise ConnectionError(f"no mirror gave {file}: {'; '.join(failures)}; {by_hand}")


def _fetch(url: str) -> bytes:
    end, content = time.monotonic() + LONGEST, bytearray()
    try:
        with urllib.request.urlopen(url, timeout=SILENCE) as response:
            while chunk := response.read1(2**16):
                content += chunk
                if len(content) > LARGEST or time.monotonic() > end:
                    raise OSError(f"gave up after {len(content):,} bytes within {LONGEST} s")
    except urllib.error.HTTPError as error:
        error.close()  # or its socket stays open
        raise
    return bytes(content)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
