"""Images from each kind of source against the arrays that were stored; and every refusal."""

import doctest
import gzip
import hashlib
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch

from vae_tutorial import datasets
from vae_tutorial.data import load_digits
from vae_tutorial.datasets import Images, cache_folder, download, load
from vae_tutorial.datasets.mirrors import FILE_NAMES, SOURCES

BYTES = np.random.default_rng(0).integers(0, 256, (20, 3, 4), dtype=np.uint8)
BYTES[0, 0, :2] = 0, 255


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def flat(array):
    """The float32 nearest to each byte / 255, which is where a float64 quotient rounds to."""
    return torch.from_numpy((array.reshape(len(array), -1) / np.float64(255)).astype(np.float32))


def npy(folder, array):
    np.save(folder / "own.npy", array)
    return folder / "own.npy"


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Five training and two test images of 3 by 4, under the name of MNIST."""
    arrays = [
        BYTES[:5],
        np.array([4, 3, 2, 1, 255], dtype=np.uint8),
        BYTES[5:7],
        np.array([9, 8], dtype=np.uint8),
    ]
    contents = list(map(idx, arrays))
    hashes = [hashlib.sha256(content).hexdigest() for content in contents]
    monkeypatch.setitem(SOURCES, "mnist", SOURCES["mnist"]._replace(hashes=hashes))
    monkeypatch.setenv("VAE_TUTORIAL_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    for file, content in zip(FILE_NAMES, contents, strict=True):
        (tmp_path / "mnist" / f"{file}.gz").write_bytes(gzip.compress(content))
    return arrays


@pytest.mark.parametrize("room", [datasets, datasets.idx])
def test_the_examples_of_the_docstrings(room):
    failed, tried = doctest.testmod(room)
    assert tried > 0
    assert failed == 0


def test_the_digits_are_those_of_the_data_room():
    digits, images = load_digits(), load("digits")
    assert (images.name, images.height, images.width) == ("digits", 8, 8)
    assert images.train.shape == (1500, 64)
    assert images.test.shape == (297, 64)
    assert all(
        torch.equal(getattr(images, field), getattr(digits, field)) for field in digits._fields
    )


def test_a_published_set_is_read_from_the_cache(published):
    images = load("mnist")
    assert isinstance(images, Images)
    assert (images.name, images.height, images.width) == ("mnist", 3, 4)
    train, train_labels, test, test_labels = published
    torch.testing.assert_close(images.train, flat(train), atol=0, rtol=0)
    torch.testing.assert_close(images.test, flat(test), atol=0, rtol=0)
    assert images.train_labels.dtype == images.test_labels.dtype == torch.int64
    assert images.train_labels.tolist() == train_labels.tolist()
    assert images.test_labels.tolist() == test_labels.tolist()


@pytest.mark.parametrize(("name", "ending"), [("mnist", ""), ("fashion-mnist", ".gz")])
def test_an_absent_set_says_how_to_get_it(monkeypatch, tmp_path, name, ending):
    monkeypatch.setenv("VAE_TUTORIAL_DATA", str(tmp_path))
    said = (
        f"train-images-idx3-ubyte{ending} is not in {tmp_path / name}: run"
        f" `python -m vae_tutorial download {name}`, or set VAE_TUTORIAL_DATA to a folder with"
        f" {name}/"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(said)}$"):
        load(name)


def test_one_absent_file_is_named(published, tmp_path):
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"^t10k-labels-idx1-ubyte is not in "):
        load("mnist")


def test_a_damaged_set_is_refused(published, tmp_path):
    path = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(BYTES[6:8])))
    with pytest.raises(ValueError, match=r"has the SHA-256 [0-9a-f]{64}, needed [0-9a-f]{64}; del"):
        load("mnist")
    assert path.exists()


def test_the_room_passes_on_the_cache_and_the_download(monkeypatch, tmp_path):
    monkeypatch.setenv("VAE_TUTORIAL_DATA", str(tmp_path))
    assert cache_folder() == tmp_path
    with pytest.raises(ValueError, match="can download"):
        download("faces")


@pytest.mark.parametrize(("count", "held_out"), [(2, 1), (9, 1), (10, 1), (19, 1), (20, 2)])
def test_the_last_tenth_of_a_file_is_held_out(tmp_path, count, held_out):
    images = load(npy(tmp_path, BYTES[:count]))
    assert torch.equal(images.train, flat(BYTES[: count - held_out]))
    assert torch.equal(images.test, flat(BYTES[count - held_out : count]))
    assert images[3:] == (None, None, 3, 4)
    assert images.name == "own.npy"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_images(tmp_path, pack):
    (tmp_path / "faces-idx3-ubyte").write_bytes(pack(idx(BYTES)))
    images = load(str(tmp_path / "faces-idx3-ubyte"))
    assert torch.equal(images.train, flat(BYTES[:18]))
    assert torch.equal(images.test, flat(BYTES[18:]))
    assert (images.name, images.height, images.width) == ("faces-idx3-ubyte", 3, 4)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_floats_are_kept_as_they_are(tmp_path, dtype, order):
    floats = np.linspace(0, 1, 48).reshape(4, 3, 4).astype(dtype, order=order)
    images = load(npy(tmp_path, floats))
    together = torch.cat([images.train, images.test])
    assert together.dtype == torch.float32
    assert images.train.is_contiguous()
    expected = [[float(np.float32(pixel)) for pixel in image.ravel()] for image in floats]
    assert together.tolist() == expected


def test_flat_square_images(tmp_path):
    array = np.arange(196, dtype=np.uint8).reshape(4, 49)
    images = load(npy(tmp_path, np.asfortranarray(array)))
    assert (images.height, images.width) == (7, 7)
    assert torch.equal(images.train, flat(array[:3]))
    assert images.train.is_contiguous()


def test_flat_images_that_are_not_square(tmp_path):
    path = npy(tmp_path, np.zeros((4, 48), dtype=np.uint8))
    said = "has 48 pixels an image, needed a perfect square, or shape (n, height, width)"
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path} {said}')}$"):
        load(path)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 3, 4), dtype=np.int64), "holds int64, needed uint8 or floating point"),
        (np.zeros((4, 3, 4), dtype=bool), "holds bool, needed uint8 or floating point"),
        (np.zeros((4, 3, 4), dtype=complex), "holds complex128, needed uint8 or floating point"),
        (np.zeros(4), "has shape (4,), needed (n, height, width) or (n, pixels)"),
        (
            np.zeros((4, 3, 4, 1)),
            "has shape (4, 3, 4, 1), needed (n, height, width) or (n, pixels)",
        ),
        (np.zeros((0, 3, 4)), "is empty, of shape (0, 3, 4)"),
        (np.zeros((4, 0)), "is empty, of shape (4, 0)"),
        (np.zeros((1, 3, 4)), "holds 1 image, needed at least 2: one to train on, one to test"),
        (np.full((4, 2, 2), np.nan), "holds floats from nan to nan, needed 0 to 1 and no NaN"),
        (np.full((4, 2, 2), -0.25), "holds floats from -0.25 to -0.25, needed 0 to 1"),
        (np.linspace(0, 2, 16).reshape(4, 4), "holds floats from 0 to 2, needed 0 to 1"),
        (np.full((4, 2, 2), np.inf), "holds floats from inf to inf, needed 0 to 1"),
        (np.full((4, 2, 2), 1e300), "holds floats from 1e+300 to 1e+300, needed 0 to 1"),
    ],
)
def test_an_unfit_array_is_refused(tmp_path, array, said):
    path = npy(tmp_path, array)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path} {said}')}"):
        load(path)


def test_one_pixel_that_is_not_a_number_is_enough(tmp_path):
    array = np.full((4, 2, 2), 0.5)
    array[2, 1, 0] = np.nan
    with pytest.raises(ValueError, match="holds floats from nan to nan"):
        load(npy(tmp_path, array))


def test_labels_are_no_images(tmp_path):
    (tmp_path / "labels").write_bytes(idx(np.zeros(9, dtype=np.uint8)))
    with pytest.raises(ValueError, match=r"has shape \(9,\), needed \(n, height, width\)"):
        load(tmp_path / "labels")


def test_a_file_that_is_not_idx(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    with pytest.raises(
        ValueError, match=r"photo\.png is not IDX: it begins with 89 50 4e 47, need"
    ):
        load(tmp_path / "photo.png")


def test_pickled_objects_are_never_loaded(tmp_path):
    path = tmp_path / "own.npy"
    np.save(path, np.array([{"a": 1}, None]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"own\.npy holds object, needed uint8 or floating point"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_a_broken_npy_file(tmp_path, content):
    path = tmp_path / "own.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"own\.npy is not a readable \.npy array: "):
        load(path)


def test_a_truncated_npy_file(tmp_path):
    path = npy(tmp_path, BYTES)
    path.write_bytes(path.read_bytes()[:-1])
    said = (
        "is truncated: its header is followed by 239 bytes, too few for uint8 of shape (20, 3, 4)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path} {said}')}$"):
        load(path)


def test_a_number_of_eight_bytes_is_counted_as_eight(tmp_path):
    path = npy(tmp_path, np.zeros((4, 3, 4)))
    path.write_bytes(path.read_bytes()[:-1])
    said = "is truncated: its header is followed by 383 bytes, too few for float64 of shape"
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path} {said} (4, 3, 4)')}$"):
        load(path)


def with_header(path, text, version=1):
    """A .npy file with this header, and a byte of data."""
    header = text.encode("latin1") + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    path.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + length + header + b"\x00")
    return path


CLAIM = "{{'descr': '|u1', 'fortran_order': False, 'shape': {}}}"


@pytest.mark.parametrize(
    "shape", [(40_000, 1000, 1000), (3 * 10**6, 10**6, 1000), (2**40, 2**40, 4), (10**400, 2)]
)
def test_a_header_is_not_believed_beyond_the_end_of_the_file(tmp_path, shape):
    path = with_header(tmp_path / "own.npy", CLAIM.format(shape))
    said = f"is truncated: its header is followed by 1 bytes, too few for uint8 of shape {shape}"
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path} {said}')}$"):
        load(path)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 900,
        "(" * 9000,
        "[" * 150 + "]" * 150,
        "-" * 9000 + "1",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 4)",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 4",
        "{'descr': '|u1', 'fortran_order': False, 'shape': '''",
        " 1\n  2\n 3",
        "{[]: 1}",
        "{'descr': ('|u1', -1), 'fortran_order': False, 'shape': (4, 4)}",
        "{'descr': (), 'fortran_order': False, 'shape': (4, 4)}",
        CLAIM.format("(True, 1)"),
        CLAIM.format("(-1, 4, 4)"),
        CLAIM.format("(-4, -4)"),
        CLAIM.format(f"(0, {'1, ' * 70})"),
        CLAIM.format(f"({'9' * 5000}, 2)"),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_a_header_that_no_writer_wrote(tmp_path, text, version):
    path = with_header(tmp_path / "own.npy", text, version)
    with pytest.raises(
        ValueError, match=r"^.*own\.npy is not a readable \.npy array: \S.*$"
    ) as told:
        load(path)
    assert "\n" not in str(told.value)


def test_a_version_that_holds_no_images(tmp_path):
    path = with_header(tmp_path / "own.npy", CLAIM.format((1, 1)), 3)
    with pytest.raises(ValueError, match=r"its format is version \(3, 0\), needed one of \[\(1, 0"):
        load(path)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process cannot limit its memory")
def test_a_file_too_large_for_the_memory_is_refused_in_one_line(tmp_path):
    array = np.zeros((40_000, 28, 28), dtype=np.uint8)  # 31 MB, and 125 MB as float32
    paths = [npy(tmp_path, array), tmp_path / "large.gz"]
    paths[1].write_bytes(gzip.compress(idx(array), 1))
    program = (
        "import resource, sys, psutil\n"
        "from vae_tutorial.datasets import load\n"
        "held = psutil.Process().memory_info().vms\n"
        "resource.setrlimit(resource.RLIMIT_AS, (held + 10**8,) * 2)\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        load(path)\n"
        "    except ValueError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, text=True, check=True
    )
    said = done.stdout.splitlines()
    assert len(said) == 2
    for path, line in zip(paths, said, strict=True):
        assert line.startswith(f"{path} is too large for the memory: Unable to allocate")


@pytest.mark.parametrize("folder", [False, True])
def test_an_unknown_name(tmp_path, folder):
    path = tmp_path / "minst"
    if folder:
        path.mkdir()
    said = f"no images '{path}': needed digits, mnist, fashion-mnist, or the path of an existing"
    with pytest.raises(ValueError, match=f"^{re.escape(said)} file$"):
        load(str(path))
