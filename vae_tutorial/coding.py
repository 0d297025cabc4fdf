"""−ELBO is the length of a file that decodes without loss: bits back, on one whole number.

The file is a stack, a Python integer. A symbol that owns F of 2ʳ slots is pushed on it in
r − log₂ F bits and popped off again; a pop from bits that are random is a draw. Whatever the two
sides must compute alike is made of whole numbers from `fixed_point`, the same on every processor.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial import require
from vae_tutorial.fixed_point import (
    UNIT,
    Table,
    fingerprint,
    fixed_network,
    in_units,
    on_grid,
    tabulate,
)
from vae_tutorial.likelihoods import (
    LOGISTIC,
    NORMAL,
    BernoulliPixels,
    CellPixels,
    FixedVariance,
    InputVariance,
    Law,
    PixelVariance,
    SharedVariance,
)
from vae_tutorial.models import VAE, DiagonalEncoder, DiagonalPosterior

PRECISION = 24  # r: the masses of a law are whole numbers that sum to 2ʳ
BUCKET_BITS = 10  # b: 2ᵇ buckets of a latent
MASS_BITS = 26  # a cumulative is tabulated in units of 2⁻²⁶: times 2²⁴ it fits 64 bits
REACH = {NORMAL: 8.0, LOGISTIC: 24.0}  # beyond it, a cumulative is 0 or 1 to within half a unit
STEP = 2.0**-12  # of a cumulative's argument
SCALE = 2.0**-20  # the unit of standard deviations and of scales
LOG_VARIANCES = (-24.0, 4.0)
RAW = (-40.0, 40.0)  # of what a network gives to softplus
LOG_STEP = 2.0**-10  # of a log-variance, and of what a network gives to softplus

ROWS = 1024  # buckets whose masses are computed together, which bounds the memory


def push(stack: int, start: int, frequency: int, precision: int = PRECISION) -> int:
    """Push a symbol that owns the slots from `start` on, F = `frequency` of 2ʳ: r − log₂ F bits.

    Source: Duda 2013. Book: eq-ans.

    >>> push(37, 8, 4, precision=4)  # 37 = 9 · 4 + 1: on 9 · 16 comes the slot 8 + 1
    153
    """
    above, below = divmod(stack, frequency)
    return (above << precision) + start + below


def pop(stack: int, starts: Sequence[int], precision: int = PRECISION) -> tuple[int, int]:
    """Pop a symbol: the stack without it, and which symbol it was. It undoes `push`.

    `starts` are the first slots of all symbols, and 2ʳ at the end. Book: eq-ans.

    >>> pop(153, [0, 8, 12, 16], precision=4)  # the slot is 153 mod 16 = 9, symbol 1's
    (37, 1)
    """
    above, slot = stack >> precision, stack & ((1 << precision) - 1)
    symbol = bisect_right(starts, slot) - 1
    frequency = starts[symbol + 1] - starts[symbol]
    return above * frequency + slot - starts[symbol], symbol


def cumulative_table(law: Law) -> Table:
    """A law's cumulative function in units of 2⁻²⁶: whole numbers, the same on every processor."""
    return tabulate(law.cumulative, -REACH[law], REACH[law], STEP, 2.0**-MASS_BITS)


def bucket_edges(bucket_bits: int) -> Tensor:
    """Where 2ᵇ buckets of equal mass under N(0, 1) meet: (2ᵇ − 1,), multiples of 2⁻¹⁶."""
    shares = torch.arange(1, 2**bucket_bits, dtype=torch.float64) / 2**bucket_bits
    return in_units(torch.special.ndtri(shares) / UNIT).double() * UNIT


def bucket_centres(bucket_bits: int) -> Tensor:
    """The median of N(0, 1) inside each of 2ᵇ buckets: (2ᵇ,), multiples of 2⁻¹⁶.

    >>> print([f"{z:.2f}" for z in bucket_centres(2)])
    ['-1.15', '-0.32', '0.32', '1.15']
    """
    shares = (torch.arange(2**bucket_bits, dtype=torch.float64) + 0.5) / 2**bucket_bits
    return in_units(torch.special.ndtri(shares) / UNIT).double() * UNIT


def bucket_starts(mean: Tensor, deviation: Tensor, edges: Tensor, normal: Table) -> Tensor:
    """The first slots of 2ᵇ buckets under N(mean, deviation²): (...) each to (..., 2ᵇ + 1), int64.

    Both are multiples of 2⁻²⁰; `edges` are `bucket_edges`, `normal` is the table of NORMAL.
    A bucket may own no slot: it is never popped, and what was not popped is not pushed back.
    Book: eq-buckets.

    >>> standard = torch.tensor([0.0, 1.0], dtype=torch.float64)
    >>> starts = bucket_starts(*standard, bucket_edges(2), cumulative_table(NORMAL))
    >>> [round(slots / 2**22, 3) for slots in starts.diff().tolist()]  # the prior's own buckets
    [1.0, 1.0, 1.0, 1.0]
    """
    standard = (edges - mean[..., None]) / deviation[..., None]  # (..., 2ᵇ − 1)
    return _with_ends(normal.units_at(standard) >> (MASS_BITS - PRECISION))


def cell_starts(standard: Tensor, cumulative: Table) -> Tensor:
    """The first slots of grey levels: (..., levels − 1) edges, in scales, to (..., levels + 1).

    Each level owns a slot at least: any image can be pushed. Book: eq-cells.

    >>> middle = torch.zeros(1, dtype=torch.float64)  # two levels of equal mass
    >>> cell_starts(middle, cumulative_table(LOGISTIC)).diff().tolist() == [2**23, 2**23]
    True
    """
    levels = standard.shape[-1] + 1
    shared = 2**PRECISION - levels  # slots, after each level has got one
    inner = (cumulative.units_at(standard) * shared >> MASS_BITS) + torch.arange(1, levels)
    return _with_ends(inner)


def _with_ends(inner: Tensor) -> Tensor:
    return nn.functional.pad(nn.functional.pad(inner, (1, 0)), (0, 1), value=2**PRECISION)


class Code(NamedTuple):
    """A VAE in whole numbers: all that encoder and decoder of a file must agree on."""

    posterior: Callable[[Tensor], DiagonalPosterior]  # grey levels (n, pixels) → q(z|x)
    cell_edges: Callable[[Tensor], Tensor]  # z (n, latent) → (n, pixels, levels − 1), in scales
    cumulative: Table  # of the pixels' law
    normal: Table
    deviation: Table  # of a log-variance
    edges: Tensor  # where z's buckets meet, (2ᵇ − 1,)
    centres: Tensor  # (2ᵇ,)
    bucket_bits: int
    latent: int
    pixels: int
    levels: int
    fingerprint: str  # SHA-256 of all whole numbers behind these: another model has another

    def posterior_starts(self, level: Tensor) -> Tensor:
        """The slots of z's buckets under q(z|x): (n, pixels) to (n, latent, 2ᵇ + 1), int64."""
        q = self.posterior(level)  # (n, latent)
        deviation = self.deviation(q.log_variance).clamp(min=SCALE)
        return bucket_starts(on_grid(q.mean), deviation, self.edges, self.normal)

    def pixel_starts(self, bucket: Tensor) -> Tensor:
        """The slots of grey levels under p(x|z): (n, latent) to (n, pixels, levels + 1), int64."""
        return cell_starts(self.cell_edges(self.centres[bucket]), self.cumulative)


def integer_code(model: VAE, bucket_bits: int = BUCKET_BITS) -> Code:
    """The code of a VAE on the grid; images have as many grey levels as its likelihood says.

    Raises TypeError where the pixels have a density, which gives no file (give `CellPixels`), or
    where a map is none that `fixed_point` can compute; ValueError where a table would differ
    between processors.

    >>> from vae_tutorial.pretrained import mnist
    >>> code = integer_code(mnist()[0])
    >>> code.latent, code.pixels, code.levels
    (2, 784, 2)
    """
    require.count("bucket_bits", bucket_bits)
    if not isinstance(model.encoder, DiagonalEncoder):
        raise TypeError(
            f"the encoder must be a DiagonalEncoder, got {type(model.encoder).__name__}"
        )
    encoder, cells = fixed_network(model.encoder.network), _cells(model)
    cumulative, normal = cumulative_table(cells.law), cumulative_table(NORMAL)
    deviation = deviation_table()
    edges, centres = bucket_edges(bucket_bits), bucket_centres(bucket_bits)
    latent, pixels, levels = model.encoder.latent, model.encoder.width, cells.levels
    entries = [table.entries for table in (cumulative, normal, deviation)]
    sizes = torch.tensor([PRECISION, bucket_bits, latent, pixels, levels])
    whole = [*encoder.arrays, *cells.arrays, *entries, edges, centres, sizes]

    def posterior(level: Tensor) -> DiagonalPosterior:
        x = on_grid(level.double() * (1 / (levels - 1)))  # (n, pixels)
        mean, log_variance = encoder(x).chunk(2, dim=-1)
        return DiagonalPosterior(mean, log_variance)

    return Code(
        posterior,
        cells.edges,
        cumulative,
        normal,
        deviation,
        edges,
        centres,
        bucket_bits,
        latent,
        pixels,
        levels,
        fingerprint(whole),
    )


class _Cells(NamedTuple):
    """The pixels of a model: the edges of their cells as a function of z, and the noise's law."""

    edges: Callable[[Tensor], Tensor]  # z (n, latent) → (n, pixels, levels − 1), in scales
    law: Law
    levels: int
    arrays: list[Tensor]  # the numbers behind `edges`


def deviation_table() -> Table:
    """The standard deviation as a function of the log-variance, in units of 2⁻²⁰."""
    return tabulate(lambda log: (0.5 * log).exp(), *LOG_VARIANCES, LOG_STEP, SCALE)


def _cells(model: VAE) -> _Cells:
    decoder, likelihood = fixed_network(model.decoder), model.likelihood
    if isinstance(likelihood, BernoulliPixels):
        # Off has the mass sigmoid(−logit): a first cell that ends at −logit.
        return _Cells(lambda z: -decoder(z)[..., None], LOGISTIC, 2, decoder.arrays)
    if not isinstance(likelihood, CellPixels):
        name = type(likelihood).__name__
        raise TypeError(f"a density of pixels gives no file, got {name}: give CellPixels")
    scale, arrays = _scale(likelihood.variance)
    levels = likelihood.levels
    halfway = (torch.arange(levels - 1, dtype=torch.float64) + 0.5) * (1 / (levels - 1))
    halfway = on_grid(halfway)  # (levels − 1,)

    def edges(z: Tensor) -> Tensor:
        return (halfway - decoder(z)[..., None]) / scale(z)[..., None]

    return _Cells(edges, likelihood.law, levels, [*decoder.arrays, *arrays])


def _scale(variance: nn.Module) -> tuple[Callable[[Tensor], Tensor], list[Tensor]]:
    """The scale of the pixels' noise as a function of z, and the whole numbers behind it."""
    if isinstance(variance, InputVariance):
        network, floor = fixed_network(variance.network), variance.floor

        def root(raw: Tensor) -> Tensor:
            return (nn.functional.softplus(raw) + floor).sqrt()

        table = tabulate(root, *RAW, LOG_STEP, SCALE)
        return lambda z: table(network(z)).clamp(min=SCALE), [*network.arrays, table.entries]
    if not isinstance(variance, FixedVariance | SharedVariance | PixelVariance):
        raise TypeError(f"no whole numbers are known for a {type(variance).__name__}")
    log_variance = variance(torch.zeros(1, dtype=torch.float64)).detach().double().reshape(-1)
    steps = in_units(log_variance / LOG_STEP)  # (pixels,) or (1,)
    fixed = deviation_table()(steps.double() * LOG_STEP).clamp(min=SCALE)
    return lambda z: fixed, [steps]


class Encoded(NamedTuple):
    """The stack with the images on it, and the bucket of z that each image was coded with."""

    stack: int
    bucket: Tensor  # (n, latent), int64


def initial_bits(code: Code) -> int:
    """How many random bits must lie on the stack so that the first z is a draw from q(z|x).

    Each of the latents is popped by p bits. Book: eq-first-image.
    """
    return code.latent * PRECISION


def random_stack(bits: int, generator: torch.Generator) -> int:
    """A stack of random bits under a leading 1, which marks where they end.

    >>> random_stack(48, torch.Generator().manual_seed(0)).bit_length()
    49
    """
    require.generator(generator)
    drawn = torch.randint(0, 2, (bits,), generator=generator).tolist()
    return int("1" + "".join(map(str, drawn)), 2)


def encode_image(code: Code, stack: int, level: Tensor) -> Encoded:
    """Pop z by q(z|x), push x (pixels,) by p(x|z), push z by p(z); the bucket is (latent,).

    Source: Townsend et al. 2019. Book: eq-net-length.
    """
    _require_levels(code, level[None])
    places = []
    for starts in code.posterior_starts(level[None])[0].tolist():
        stack, place = pop(stack, starts)
        places.append(place)
    bucket = torch.tensor(places)
    slots = code.pixel_starts(bucket[None])[0]  # (pixels, levels + 1)
    first, after = (slots.gather(-1, level[:, None] + i)[:, 0] for i in (0, 1))  # (pixels,)
    for start, frequency in zip(first.tolist(), (after - first).tolist(), strict=True):
        stack = push(stack, start, frequency)
    for place in places:
        stack = push(stack, place, 1, code.bucket_bits)  # one of 2ᵇ buckets of one mass
    return Encoded(stack, bucket)


def decode_image(code: Code, stack: int) -> tuple[int, Tensor]:
    """Undo `encode_image`: the stack as it was before, and the grey levels (pixels,), int64.

    Raises ValueError where the image's q gives no slot to the z that it was decoded from: the
    stack was altered, or another model wrote it.
    """
    places, pixels, alike = [], [], range(2**code.bucket_bits + 1)
    for _ in range(code.latent):
        stack, place = pop(stack, alike, code.bucket_bits)
        places.append(place)
    bucket = torch.tensor(places[::-1])  # what was pushed last was popped first
    for starts in reversed(code.pixel_starts(bucket[None])[0].tolist()):
        stack, pixel = pop(stack, starts)
        pixels.append(pixel)
    level = torch.tensor(pixels[::-1])
    slots = reversed(code.posterior_starts(level[None])[0].tolist())
    for starts, place in zip(slots, places, strict=True):
        frequency = starts[place + 1] - starts[place]
        if frequency == 0:
            raise ValueError(
                "an image came from a z that its encoder never chooses: the file was altered, or "
                "another model wrote it"
            )
        stack = push(stack, starts[place], frequency)
    return stack, level


def encode_images(code: Code, levels: Tensor, stack: int) -> Encoded:
    """Push images of grey levels (n, pixels), int64, one after another.

    Raises TypeError or ValueError unless they are whole numbers below the code's levels.
    Book: eq-net-length.
    """
    _require_levels(code, levels)
    buckets = []
    for level in levels:
        stack, bucket = encode_image(code, stack, level)
        buckets.append(bucket)
    return Encoded(stack, torch.stack(buckets))


def decode_images(code: Code, stack: int, count: int) -> tuple[int, Tensor]:
    """Pop `count` images: the stack that was there before, and the grey levels (count, pixels)."""
    require.count("count", count)
    images = []
    for _ in range(count):
        stack, level = decode_image(code, stack)
        images.append(level)
    return stack, torch.stack(images[::-1])


def net_length(code: Code, levels: Tensor, bucket: Tensor) -> Tensor:
    """What each image adds to the stack, −log₂ P(x|z) − log₂ P(z) + log₂ Q(z|x): (n,), in bits.

    Images are levels (n, pixels), z lies in the buckets (n, latent), and P and Q are the masses in
    whole numbers. Book: eq-net-length.
    """
    pixels = code.pixel_starts(bucket).diff().double().log2() - PRECISION
    posterior = code.posterior_starts(levels).diff().double().log2() - PRECISION
    pushed = pixels.gather(-1, levels[..., None]).sum((-2, -1))  # (n,)
    popped = posterior.gather(-1, bucket[..., None]).sum((-2, -1))
    return popped - pushed + code.latent * code.bucket_bits


def pixel_length(code: Code, levels: Tensor) -> Tensor:
    """−log₂ P(x|z) of images (n, pixels) in every bucket of z: (n, (2ᵇ)ᵈ), in bits.

    The buckets of d latents are counted with the last latent running fastest. Book: eq-expected.
    """
    _require_levels(code, levels)
    chosen = nn.functional.one_hot(levels, code.levels).flatten(1).double()  # (n, pixels · levels)
    every = torch.cartesian_prod(*[torch.arange(2**code.bucket_bits)] * code.latent)
    parts = []
    for bucket in every.view(-1, code.latent).split(ROWS):
        masses = code.pixel_starts(bucket).diff().double()  # (rows, pixels, levels)
        parts.append(chosen @ (PRECISION - masses.log2()).flatten(1).mT)
    return torch.cat(parts, dim=1)


def expected_length(pixel_length: Tensor, posterior: Tensor) -> Tensor:
    """What an image adds on average over z ~ Q, a sum over all buckets and no draw: (n,), in bits.

    `pixel_length` (n, (2ᵇ)ᵈ) is that of the function above, `posterior` (n, d, 2ᵇ) are Q's masses.
    Book: eq-expected.
    """
    joint = posterior[:, 0]  # (n, 2ᵇ)
    for latent in posterior[:, 1:].unbind(1):
        joint = (joint[..., None] * latent[:, None]).flatten(1)  # (n, 2ᵇ · …)
    pushed = (joint * pixel_length).sum(-1)  # (n,), the pixels
    popped = -torch.special.xlogy(posterior, posterior).sum((-2, -1)) / math.log(2)
    prior = posterior.shape[1] * math.log2(posterior.shape[2])  # d latents of b bits
    return pushed + prior - popped


def _require_levels(code: Code, levels: Tensor) -> None:
    if levels.dtype != torch.int64 or levels.ndim != 2 or levels.shape[1] != code.pixels:
        seen = f"{levels.dtype} of shape {tuple(levels.shape)}"
        raise ValueError(f"images must be int64 grey levels (n, {code.pixels}), got {seen}")
    if levels.numel() == 0 or levels.min() < 0 or levels.max() >= code.levels:
        raise ValueError(f"grey levels must lie in 0 … {code.levels - 1}")
