"""IDX files packed by hand with struct: read back, and refused when damaged."""

import contextlib
import gzip
import re
import struct
import tracemalloc

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
        (LABELS[:-5], "is truncated", 8, 13),
        (struct.pack(">BBBBII", 0, 0, 8, 2, 2**32 - 1, 2**32 - 1), "is truncated", 12, None),
    ],
)
def test_the_length_is_exact(content, what, seen, needed):
    needed = needed or 12 + (2**32 - 1) ** 2
    with pytest.raises(ValueError, match=f"^it {what}: it has {seen} bytes, needed {needed:,}$"):
        parse_idx(content, "it")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_bytes_after_the_last_are_refused(pack):
    said = "^it has trailing bytes: needed 40, and there are more$"
    with pytest.raises(ValueError, match=said):
        parse_idx(pack(IMAGES + b"\x00"), "it")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_ends_within_its_header(pack):
    said = "^it is truncated: it ends within the lengths of its 3 axes$"
    with pytest.raises(ValueError, match=said):
        parse_idx(pack(IMAGES[:10]), "it")


def test_packed_bytes_that_end_too_early_are_counted():
    with pytest.raises(ValueError, match=r"^it is truncated: it has 39 bytes, needed 40$"):
        parse_idx(gzip.compress(IMAGES[:-1]), "it")


@pytest.mark.parametrize("length", [10**6, 10**9])  # 4 MB and 4 GB
def test_a_header_is_not_believed_beyond_what_the_file_can_hold(length):
    claim = struct.pack(">BBBBII", 0, 0, 8, 2, length, 4)
    packed = gzip.compress(claim)
    needed = f"needed {12 + 4 * length:,}$"
    with no_memory_for(10**6):
        with pytest.raises(ValueError, match=f"^it is truncated: it has 12 bytes, {needed}"):
            parse_idx(claim, "it")
        said = f"^it is truncated: it has {len(packed)} bytes, packed, {needed}"
        with pytest.raises(ValueError, match=said):
            parse_idx(packed, "it")


def test_no_file_is_denser_than_the_densest_gzip():
    zeros = struct.pack(">BBBBI", 0, 0, 8, 1, 10**7) + bytes(10**7)
    assert parse_idx(gzip.compress(zeros, 9), "it").shape == (10**7,)


def test_more_is_not_unpacked_than_the_header_names():
    bomb = gzip.compress(IMAGES + bytes(10**7))
    with no_memory_for(10**6), pytest.raises(ValueError, match="has trailing bytes"):
        parse_idx(bomb, "it")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_memory_is_asked_for_once(tmp_path, pack):
    content = struct.pack(">BBBBI", 0, 0, 8, 1, 10**7) + bytes(10**7)
    (tmp_path / "file").write_bytes(pack(content))
    with no_memory_for(1.3 * 10**7):  # the array, and a chunk
        assert read_idx(tmp_path / "file").shape == (10**7,)


@contextlib.contextmanager
def no_memory_for(most):
    """Fail where the memory that is held at once grows by more than so many bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("lengths", [[0] * 255, [2**32 - 1] * 3 + [0], [1] * 100])
def test_a_shape_that_no_array_has(lengths):
    content = struct.pack(f">BBBB{len(lengths)}I", 0, 0, 8, len(lengths), *lengths) + b"\x00"
    content = content if 0 not in lengths else content[:-1]
    with pytest.raises(ValueError, match=r"^it has a shape that no array has: "):
        parse_idx(content, "it")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_unpacking_stops_at_the_longest_that_is_allowed(pack):
    assert unpack(pack(IMAGES), len(IMAGES), "it") == IMAGES
    said = f"^it is longer than {len(IMAGES) - 1} bytes$"
    with pytest.raises(ValueError, match=said):
        unpack(pack(IMAGES), len(IMAGES) - 1, "it")


def test_damaged_gzip_is_refused():
    packed = gzip.compress(IMAGES, mtime=0)
    wrong_block = packed[:10] + b"\xff" + packed[11:]
    wrong_sum = packed[:-8] + bytes(4) + packed[-4:]
    for damaged in (packed[:-1], packed[:12], wrong_block, wrong_sum, packed + b"more"):
        with pytest.raises(ValueError, match=r"^it is damaged gzip: "):
            unpack(damaged, 100, "it")


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "broken"
    path.write_bytes(b"\x1f\x8b")
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} is damaged gzip"):
        read_idx(path)
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} is not IDX"):
        read_idx(path)
