"""A file of compressed images: stacks of bits, what they need to be read, and two checksums.

The images are those of `coding.encode_images`, one after another. As each push costs as long as its
stack, a stack that has grown long is laid aside but for its low bits, from which the next image
pops: the bits are those of one stack, cut into parts, and the time grows with their number alone.

A file holds, in this order and with the low byte first: HEADER, a pair of PART for each part, the
parts' bytes, and the SHA-256 of all that.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import coding, noise
from vae_tutorial.coding import Code

MAGIC = b"\x89VAEbits"  # no text begins so
VERSION = 1
HEADER = struct.Struct("<8sBBBBII32s32sI")  # magic, version, bits of a bucket, kind of numbers,
# grey steps, height, width, fingerprint of the code, SHA-256 of the grey levels, parts
PART = struct.Struct("<II")  # images, bytes
DIGEST = hashlib.sha256().digest_size
KINDS = ("uint8", "float16", "float32", "float64")  # of the numbers that images are given in
MOST_BUCKET_BITS = 16  # of a latent: more would be no help, and fill the memory
LONGEST = 2**15  # bits of a stack that is not laid aside yet
SEED = 1_000_006  # of the bits under the first image

Watched = Callable[[Iterable, int], Iterable]  # of a progress bar: the items, and how many they are


class Part(NamedTuple):
    """So many images, and the stack that was laid aside after them."""

    images: int
    stack: int


class Archive(NamedTuple):
    """What a file says: how its images are to be read, and the images as a stack in parts."""

    bucket_bits: int
    kind: str  # one of KINDS
    steps: int  # grey levels less one
    height: int
    width: int
    fingerprint: str  # of the code: 64 hexadecimal digits
    images_digest: bytes  # SHA-256 of the grey levels, one byte each
    parts: list[Part]

    @property
    def images(self) -> int:
        """How many images there are."""
        return sum(part.images for part in self.parts)

    @property
    def bits(self) -> int:
        """How long the one stack is that the parts are cut from."""
        return sum(part.stack.bit_length() for part in self.parts)


def digest_of(levels: Tensor) -> bytes:
    """SHA-256 of grey levels, (n, pixels) int64 below 256."""
    return hashlib.sha256(levels.to(torch.uint8).contiguous().numpy().data).digest()


def first_stack(code: Code) -> int:
    """The bits under the first image: random, and known to the decoder, who sees them return."""
    return coding.random_stack(coding.initial_bits(code), noise.generator(SEED))


# Images on the stack


class Coded(NamedTuple):
    """The images as parts of a stack, and the bucket of z with which each was coded."""

    parts: list[Part]
    bucket: Tensor  # (n, latent), int64


def encode(code: Code, levels: Tensor, watched: Watched, longest: int = LONGEST) -> Coded:
    """Push images (n, pixels), int64 levels, on a stack that is cut where it exceeds `longest`."""
    stack, parts, images, buckets = first_stack(code), [], 0, []
    kept = coding.initial_bits(code)  # bits from which the next image can pop
    for level in watched(levels, len(levels)):
        if images and stack.bit_length() > longest + kept:
            parts.append(Part(images, stack >> kept))
            stack, images = stack & ((1 << kept) - 1), 0
        stack, bucket = coding.encode_image(code, stack, level)
        images += 1
        buckets.append(bucket)
    return Coded([*parts, Part(images, stack)], torch.stack(buckets))


def decode(code: Code, parts: list[Part], watched: Watched) -> Tensor:
    """The images of `encode`, (n, pixels) int64; ValueError where the first stack does not return.

    Any bit that went wrong on the way, in the file or in the arithmetic, leaves other bits there.
    """
    kept, stack = coding.initial_bits(code), 0
    levels: list[Tensor] = []
    order = [(part, image) for part in reversed(parts) for image in range(part.images)]
    for part, image in watched(order, len(order)):
        if image == 0 and levels:
            require_returned(stack >> kept == 0)
            stack |= part.stack << kept
        elif image == 0:
            stack = part.stack
        stack, level = coding.decode_image(code, stack)
        levels.append(level)
    require_returned(stack == first_stack(code))
    return torch.stack(levels[::-1])


def require_returned(returned: bool) -> None:
    """Raise ValueError unless the bits are there that the encoder began with."""
    if not returned:
        raise ValueError("the bits under the images are not those that the encoder began with")


# The file


def pack(archive: Archive) -> bytes:
    """An archive as the bytes of a file."""
    stacks = [packed(part.stack) for part in archive.parts]
    header = HEADER.pack(
        MAGIC,
        VERSION,
        archive.bucket_bits,
        KINDS.index(archive.kind),
        archive.steps,
        archive.height,
        archive.width,
        bytes.fromhex(archive.fingerprint),
        archive.images_digest,
        len(stacks),
    )
    sizes = [PART.pack(p.images, len(s)) for p, s in zip(archive.parts, stacks, strict=True)]
    content = b"".join((header, *sizes, *stacks))
    return content + hashlib.sha256(content).digest()


def packed(stack: int) -> bytes:
    """A stack as bytes, as few as hold it."""
    return stack.to_bytes((stack.bit_length() + 7) // 8, "little")


def unpack(content: bytes, name: str) -> Archive:
    """The archive in the bytes of a file; ValueError, under `name`, unless they are one, unchanged.

    >>> unpack(b"GIF89a", "a.gif")
    Traceback (most recent call last):
    ValueError: a.gif holds no compressed images: it begins with 47 49 46 38 39 61
    """
    if content[: len(MAGIC)] != MAGIC:
        seen = content[: len(MAGIC)].hex(" ") or "nothing"
        raise ValueError(f"{name} holds no compressed images: it begins with {seen}")
    version = content[len(MAGIC) : len(MAGIC) + 1]
    if version and version[0] != VERSION:
        raise ValueError(f"{name} is of version {version[0]}, this program reads {VERSION}")
    body, digest = content[:-DIGEST], content[-DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError(
            f"{name} is truncated or altered: its {len(content):,} bytes do not end with their"
            " SHA-256"
        )
    try:
        return parsed(body)
    except (struct.error, IndexError, ValueError) as error:
        raise ValueError(f"{name} holds no compressed images: {error}") from error


def parsed(body: bytes) -> Archive:
    """The archive in a file's bytes but for their digest; ValueError or the like without one."""
    _, _, buckets, kind, steps, height, width, code, digest, count = HEADER.unpack_from(body)
    if not 0 < buckets <= MOST_BUCKET_BITS or not steps:
        raise ValueError(f"it names {2**buckets} buckets and {steps + 1} grey levels")
    first = HEADER.size + count * PART.size  # byte of the stacks
    parts = []
    for images, size in PART.iter_unpack(body[HEADER.size : first]):
        if not images:
            raise ValueError("a part of it has no images")
        parts.append(Part(images, int.from_bytes(body[first : first + size], "little")))
        first += size
    if first != len(body) or len(parts) != count or not parts:
        raise ValueError(f"its parts end at byte {first:,} of {len(body):,}")
    return Archive(buckets, KINDS[kind], steps, height, width, code.hex(), digest, parts)
