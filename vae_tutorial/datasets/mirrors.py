"""Published data sets: where their files are found, how they are known, and where they are kept.

Only `download` opens a connection. Each reading checks a SHA-256: MNIST's of the unpacked files, as
copies are packed differently; Fashion-MNIST's of the packed ones, the only hashes found published.
"""

import hashlib
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pooch import HTTPDownloader

from vae_tutorial.datasets.idx import parse_idx, unpack
from vae_tutorial.files import write_whole

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SILENCE = 20  # seconds that a mirror may say nothing
LONGEST = 600  # seconds that a file may take, looked at whenever a kibibyte has come
LARGEST = 2**26  # bytes of a file, packed or not; the largest has 47,040,016 unpacked
FILE_NAMES = (
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
    hashed = content if source.ending else unpack(content, LARGEST, name)
    seen = hashlib.sha256(hashed).hexdigest()
    needed = source.hashes[FILE_NAMES.index(file)]
    if seen != needed:
        raise ValueError(f"{name} has the SHA-256 {seen}, needed {needed}")
    return parse_idx(hashed, name)


def read_cached(name: str, file: str) -> np.ndarray | None:
    """The array in the cached `file`, plain or .gz; None if absent, ValueError if damaged."""
    source = SOURCES[name]
    for ending in dict.fromkeys((source.ending, ".gz")):
        path = cache_folder() / name / f"{file}{ending}"
        if path.is_file():
            return _read_verified(path, file, name)
    return None


def _read_verified(path: Path, file: str, name: str) -> np.ndarray:
    try:
        with path.open("rb") as stored:
            content = stored.read(LARGEST)  # a longer file loses its end, and has another hash
        return verified(content, file, SOURCES[name], str(path))
    except ValueError as error:
        remedy = f"delete it and run `python -m vae_tutorial download {name}`"
        raise ValueError(f"{error}; {remedy}") from error


def download(name: str, report: Callable[[str], None] = print) -> None:
    """Fetch the files of `name` that the cache folder lacks, with one line to `report` a file.

    A file is written once its hash is seen to be right: a failure leaves nothing behind. Raises
    ValueError on an unknown name or a damaged file in the cache, ConnectionError where no mirror
    gave the right file, OSError where the cache folder refuses it.
    """
    if name not in SOURCES:
        raise ValueError(f"can download {' and '.join(SOURCES)}, got {name!r}")
    folder = cache_folder() / name
    for file in FILE_NAMES:
        if read_cached(name, file) is not None:
            report(f"{file}: already in {folder}")
            continue
        url, content = _from_a_mirror(name, file)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / f"{file}.gz", content)
        report(f"{file}: {len(content):,} bytes from {url}")


def _from_a_mirror(name: str, file: str) -> tuple[str, bytes]:
    failures = []
    for mirror in SOURCES[name].mirrors:
        url = f"{mirror}{file}.gz"
        try:
            content = _fetch(url)
            verified(content, file, SOURCES[name], "what it sent")
            return url, content
        except (OSError, ValueError, MemoryError) as error:
            failures.append(f"{url} ({_reason(error)})")
    by_hand = ", ".join(f"{known}.gz" for known in FILE_NAMES)
    raise ConnectionError(
        f"no mirror gave {file}: {'; '.join(failures)}; by hand, put {by_hand} into"
        f" {cache_folder() / name}"
    )


def _reason(error: BaseException) -> str:
    """What went wrong, in one line; of a failed connection the first cause, not its wrappings."""
    cause = error
    while isinstance(error, OSError) and cause.__context__ is not None:
        cause = cause.__context__
    return " ".join(str(cause).split()) or type(cause).__name__


class _Bounded(io.BytesIO):
    """Memory that takes at most `LARGEST` bytes, and none once `LONGEST` seconds have passed."""

    def __init__(self) -> None:
        super().__init__()
        self.end = time.monotonic() + LONGEST

    def write(self, content: "ReadableBuffer", /) -> int:
        if self.tell() + memoryview(content).nbytes > LARGEST or time.monotonic() > self.end:
            raise OSError(f"gave up after {self.tell():,} bytes within {LONGEST} s")
        return super().write(content)


def _fetch(url: str) -> bytes:
    content = _Bounded()
    as_stored = {"Accept-Encoding": "identity"}  # or the library unpacks what a server packs
    HTTPDownloader(timeout=SILENCE, headers=as_stored)(url, content, None)
    return content.getvalue()
