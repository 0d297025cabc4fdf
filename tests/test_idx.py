"""IDX files packed by hand with struct: read back, and refused when damaged."""

import gzip
import re
import struct

import numpy as np
import pytest

from vae_tutorial.datasets.idx import parse_idx, read_idx, unpack

BYTES = bytes(range(24))
IMAGES = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4) + BYTES  # 2 images of 3 by 4
LABELS = struct.pack(">BBBBI", 0, 0, 8, 1, 5) + b"\x09\x00\x03\xff\x01"


def test_images_are_read_row_by_row():
    expected = np.array(list(BYTES), dtype=np.uint8).reshape(2, 3, 4)
    array = parse_idx(IMAGES, "it")
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, expected)


def test_labels_have_one_axis():
    assert parse_idx(LABELS, "it").tolist() == [9, 0, 3, 255, 1]


def test_a_length_takes_four_bytes_the_largest_first():
    content = struct.pack(">BBBBI", 0, 0, 8, 1, 66_051) + bytes(66_051)  # 0x00010203
    assert parse_idx(content, "it").shape == (66_051,)


def test_an_axis_may_be_empty():
    assert parse_idx(struct.pack(">BBBBIII", 0, 0, 8, 3, 0, 28, 28), "it").shape == (0, 28, 28)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_is_plain_or_gzip_whatever_its_name(tmp_path, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(IMAGES))
    np.testing.assert_array_equal(read_idx(path).ravel(), list(BYTES))


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", "none"),
        (b"\x00\x00", "00 00"),
        (b"\x00\x00\x08", "00 00 08"),
        (b"\x00\x00\x08\x00\x07", "00 00 08 00"),  # no axis
        (b"\x00\x00\x0d\x01" + bytes(8), "00 00 0d 01"),  # floats
        (b"\x00\x01\x08\x01" + bytes(8), "00 01 08 01"),
        (b"\x89PNG\r\n", "89 50 4e 47"),
    ],
)
def test_what_is_not_idx(content, seen):
    said = f"^it is not IDX: it begins with {seen}, needed 00 00 08 and an axis or more$"
    with pytest.raises(ValueError, match=said):
        parse_idx(content, "it")


@pytest.mark.parametrize(
    ("content", "what", "seen", "needed"),
    [
        (IMAGES[:-1], "is truncated", 39, 40),
        (IMAGES + b"\x00", "has trailing bytes", 41, 40),
        (LABELS[:-5], "is truncated", 8, 13),
        (IMAGES[:10], "is truncated", 10, 16),  # within the header: two lengths read as 2 and 0
        (struct.pack(">BBBBII", 0, 0, 8, 2, 2**32 - 1, 2**32 - 1), "is truncated", 12, None),
    ],
)
def test_the_length_is_exact(content, what, seen, needed):
    needed = needed or 12 + (2**32 - 1) ** 2
    with pytest.raises(ValueError, match=f"^it {what}: it has {seen} bytes, needed {needed:,}$"):
        parse_idx(content, "it")


def test_damaged_gzip_is_refused():
    packed = gzip.compress(IMAGES, mtime=0)
    wrong_block = packed[:10] + b"\xff" + packed[11:]
    wrong_sum = packed[:-8] + bytes(4) + packed[-4:]
    for damaged in (packed[:-1], packed[:12], wrong_block, wrong_sum, packed + b"more"):
        with pytest.raises(ValueError, match=r"^it is damaged gzip: "):
            unpack(damaged, "it")


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "broken"
    path.write_bytes(b"\x1f\x8b")
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} is damaged gzip"):
        read_idx(path)
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} is not IDX"):
        read_idx(path)
