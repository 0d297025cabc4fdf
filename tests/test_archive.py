"""The file of compressed images: its bytes, its parts, and every way in which it can be damaged."""

import hashlib
import struct

import pytest
import torch

from vae_tutorial import coding
from vae_tutorial.engine import archive
from vae_tutorial.engine.archive import Archive, Part, decode, encode, pack, unpack
from vae_tutorial.engine.settings import Settings, build

ARCHIVE = Archive(
    bucket_bits=10,
    kind="float32",
    steps=16,
    height=8,
    width=4,
    fingerprint="ab" * 32,
    images_digest=bytes(range(32)),
    parts=[Part(3, 2**40 + 5), Part(1, 255)],
)
CODE = coding.integer_code(build(Settings(hidden=(4,), likelihood="bernoulli"), 6).double(), 6)
LEVELS = torch.randint(0, 2, (40, 6), generator=torch.Generator().manual_seed(3))


def unwatched(items, total):
    assert total == len(items)
    return items


def signed(body):
    """Bytes with the digest that a writer would put behind them."""
    return body + hashlib.sha256(body).digest()


def test_the_bytes_of_a_file_are_those_of_its_description():
    """Written out by hand, as another program would read them."""
    content = pack(ARCHIVE)
    expected = b"\x89VAEbits" + bytes([1, 10, 2, 16]) + struct.pack("<II", 8, 4)
    expected += b"\xab" * 32 + bytes(range(32)) + struct.pack("<I", 2)
    expected += struct.pack("<IIII", 3, 6, 1, 1)
    expected += bytes([5, 0, 0, 0, 0, 1]) + b"\xff"
    assert content == expected + hashlib.sha256(expected).digest()


def test_a_file_is_read_as_it_was_written():
    assert unpack(pack(ARCHIVE), "a.bits") == ARCHIVE
    assert (ARCHIVE.images, ARCHIVE.bits) == (4, 41 + 8)
    nothing = ARCHIVE._replace(parts=[Part(2, 0)])  # a stack of no bits
    assert unpack(pack(nothing), "a.bits") == nothing


def test_every_flipped_bit_is_found():
    content = pack(ARCHIVE)
    for place in range(8 * len(content)):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"^a\.bits (holds no|is of version|is truncated or)"):
            unpack(bytes(changed), "a.bits")


def test_every_cut_and_every_addition_is_found():
    content = pack(ARCHIVE)
    for length in range(len(content)):
        with pytest.raises(ValueError, match=r"^a\.bits (holds no|is truncated or altered)"):
            unpack(content[:length], "a.bits")
    with pytest.raises(ValueError, match=f"its {len(content) + 1} bytes do not end with their SHA"):
        unpack(content + b"\0", "a.bits")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.bits holds no compressed images: it begins with nothing"),
        (b"\x1f\x8b" + bytes(60), "it begins with 1f 8b 00 00 00 00 00 00"),
        (signed(b"\x89VAEbits\x02" + bytes(200)), "is of version 2, this program reads 1"),
        (signed(b"\x89VAEbits\x01"), "holds no compressed images: "),
    ],
)
def test_what_is_no_such_file_is_named(content, message):
    with pytest.raises(ValueError, match=message):
        unpack(content, "a.bits")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (9, 0, "it names 1 buckets"),
        (9, 17, "it names 131072 buckets"),
        (10, 4, "tuple index out of range"),
        (11, 0, "and 1 grey levels"),
        (84, 3, "iterative unpacking requires"),
        (84, 1, "its parts end at byte"),
        (88, 0, "a part of it has no images"),
        (92, 7, "its parts end at byte"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(place, value, message):
    """A digest that is right does not make a header so."""
    body = bytearray(pack(ARCHIVE)[:-32])
    body[place] = value
    with pytest.raises(ValueError, match=rf"^a\.bits holds no compressed images: .*{message}"):
        unpack(signed(bytes(body)), "a.bits")


def test_one_part_is_the_stack_of_the_chapter():
    coded = encode(CODE, LEVELS, unwatched)
    whole = coding.encode_images(CODE, LEVELS, archive.first_stack(CODE))
    assert coded.parts == [Part(40, whole.stack)]
    assert torch.equal(coded.bucket, whole.bucket)
    assert torch.equal(decode(CODE, coded.parts, unwatched), LEVELS)


@pytest.mark.parametrize("longest", [0, 16, 100])
def test_a_stack_that_is_cut_is_as_long_as_one_that_is_not(longest):
    parts, bucket = encode(CODE, LEVELS, unwatched, longest)
    assert len(parts) > 2
    assert sum(part.images for part in parts) == 40
    assert torch.equal(decode(CODE, parts, unwatched), LEVELS)
    kept = coding.initial_bits(CODE)
    for part in parts[:-1]:
        assert part.stack.bit_length() > longest
    net = float(coding.net_length(CODE, LEVELS, bucket).sum())
    # Zeros may lead the bits that are kept at a cut: fewer than two on average.
    whole = kept + 1 + net
    assert whole - 2 * len(parts) < sum(part.stack.bit_length() for part in parts) < whole + 2


def test_the_first_stack_is_the_same_every_time_and_as_long_as_is_needed():
    first = archive.first_stack(CODE)
    assert first.bit_length() == 1 + coding.initial_bits(CODE)
    assert first == archive.first_stack(CODE)
    assert 0.3 < first.bit_count() / first.bit_length() < 0.7


@pytest.mark.parametrize("longest", [40, 10**6])
def test_a_stack_with_a_flipped_bit_leaves_other_bits_under_the_images(longest):
    parts = encode(CODE, LEVELS, unwatched, longest).parts
    for number, part in enumerate(parts):
        for place in range(0, part.stack.bit_length() - 1, 7):
            changed = [*parts]
            changed[number] = part._replace(stack=part.stack ^ 1 << place)
            with pytest.raises(ValueError, match="are not those that the encoder began with"):
                decode(CODE, changed, unwatched)


def test_images_of_a_stack_that_is_too_short_are_found_out():
    parts = encode(CODE, LEVELS, unwatched, 40).parts
    with pytest.raises(ValueError, match="are not those that the encoder began with"):
        decode(CODE, [*parts[:-1], parts[-1]._replace(images=parts[-1].images + 1)], unwatched)
    with pytest.raises(ValueError, match="are not those that the encoder began with"):
        decode(CODE, parts[1:], unwatched)


def test_a_bar_sees_each_image_go_by():
    seen = []

    def watched(items, total):
        seen.append(total)
        for item in items:
            seen.append("one")
            yield item

    parts = encode(CODE, LEVELS[:5], watched).parts
    decode(CODE, parts, watched)
    assert seen == [5, *["one"] * 5] * 2


def test_a_digest_is_that_of_one_byte_a_pixel():
    levels = torch.tensor([[0, 255], [16, 1]])
    assert archive.digest_of(levels) == hashlib.sha256(bytes([0, 255, 16, 1])).digest()
