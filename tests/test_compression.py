"""Images as a file of a model and back: levels, masses, lengths, and files of another model."""

import gzip
import lzma
import math

import numpy as np
import pytest
import torch

from vae_tutorial import coding
from vae_tutorial.bounds import Bound
from vae_tutorial.data import load_digits
from vae_tutorial.engine import archive, compression
from vae_tutorial.engine.compression import Levels, compress, decompress, grey_levels, restored
from vae_tutorial.engine.settings import Settings, build
from vae_tutorial.likelihoods import NORMAL, BernoulliPixels, CellPixels
from vae_tutorial.pretrained import two_latents

SETTINGS = Settings(hidden=(6,), seed=1)
ON_OFF = build(SETTINGS._replace(likelihood="bernoulli"), 12).requires_grad_(False)
GREY = build(SETTINGS, 12).requires_grad_(False)
RANDOM = np.random.default_rng(5)
BYTES = RANDOM.integers(0, 256, (5, 3, 4), dtype=np.uint8)
TURNED = RANDOM.integers(0, 2, (9, 3, 4), dtype=np.uint8)


def unwatched(items, total):
    return items


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_floats_lie_on_the_coarsest_grid_that_holds_them(kind):
    whole = np.arange(24).reshape(2, 3, 4)
    for steps in (1, 16, 255):
        if kind == "float16" and steps == 255:
            continue
        level = whole % (steps + 1)
        found = grey_levels((level / steps).astype(kind), "images")
        assert found.steps == steps
        assert (found.kind, found.height, found.width) == (kind, 3, 4)
        assert found.level.dtype == torch.int64
        assert found.level.tolist() == level.reshape(2, 12).tolist()


def test_the_embedded_digits_have_seventeen_levels():
    found = grey_levels(load_digits().test.reshape(-1, 8, 8).numpy(), "digits")
    assert found.steps == 16
    assert int(found.level.max()) == 16
    assert torch.equal(found.level.float() / 16, load_digits().test)


@pytest.mark.parametrize(
    ("images", "steps"), [(BYTES, 255), (TURNED * np.uint8(255), 1), (TURNED, 255)]
)
def test_bytes_are_levels_of_255_or_on_and_off(images, steps):
    found = grey_levels(images, "images")
    assert (found.steps, found.kind) == (steps, "uint8")
    assert np.array_equal(found.level.numpy() * (255 // steps), images.reshape(len(images), -1))


@pytest.mark.parametrize(
    "images",
    [BYTES, TURNED * np.uint8(255), (TURNED / 1).astype("f2"), (BYTES / 255).astype("f4")],
)
def test_levels_become_what_they_came_from(images):
    found = grey_levels(images, "images")
    seen = restored(found.level.numpy().reshape(images.shape), found.steps, found.kind)
    assert seen.dtype == images.dtype
    assert np.array_equal(seen, images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((1, 2, 2), 0.3), "own has greys between levels: needed multiples of 1/16 or 1/25"),
        (np.full((1, 2, 2), 1 / 16 + 1e-9), "own has greys between levels"),
        (np.zeros((1, 2, 2), int), "own holds int64, needed one of uint8, float16, float32, float"),
    ],
)
def test_what_would_be_lost_is_refused(images, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        grey_levels(images, "own")


def test_a_gaussian_gives_each_level_the_mass_of_its_cell():
    cells = compression.with_cells(two_latents(), 16)
    assert isinstance(cells.likelihood, CellPixels)
    assert (cells.likelihood.levels, cells.likelihood.law) == (17, NORMAL)
    assert cells.likelihood.variance is not None
    z = torch.zeros(1, 2, dtype=torch.float64)
    mean = two_latents().decode(z)[0, 20]
    deviation = (0.5 * two_latents().likelihood.variance(z)).exp()
    normal = torch.distributions.Normal(mean, deviation)
    edges = (torch.arange(16, dtype=torch.float64) + 0.5) / 16
    ends = torch.cat([torch.zeros(1), normal.cdf(edges), torch.ones(1)])
    seen = cells.likelihood.log_masses(cells.decoder(z), z)[0, 20].exp()
    torch.testing.assert_close(seen, ends.diff(), rtol=0, atol=1e-9)


def test_the_model_of_the_run_stays_as_it_was():
    compression.with_cells(GREY, 16)
    assert next(GREY.parameters()).dtype == torch.float32


def test_pixels_on_or_off_keep_their_masses_and_refuse_greys():
    model = compression.with_cells(ON_OFF, 1)
    assert isinstance(model.likelihood, BernoulliPixels)
    with pytest.raises(ValueError, match=r"^the images have 17 grey levels, and the run's likelih"):
        compression.with_cells(ON_OFF, 16)


@pytest.mark.parametrize(
    ("model", "images"),
    [(GREY, BYTES), (GREY, (BYTES % 17) / 16), (GREY, TURNED * 1.0), (ON_OFF, TURNED * 1.0)],
)
def test_images_come_back_bit_for_bit(model, images):
    made = compress(model, grey_levels(images, "images"), unwatched)
    packed = archive.unpack(made.content, "a.bits")
    seen = decompress(model, packed, "a.bits", unwatched)
    assert seen.dtype == images.dtype
    assert np.array_equal(seen, images)


DIGITS = Levels((load_digits().test[:60] * 16).round().long(), 16, "float32", 8, 8)


def test_a_file_is_as_long_as_the_bound_says():
    """Of sixty digits: whole numbers, real numbers and the file, by the kept model."""
    model = two_latents()
    made = compress(model, DIGITS, unwatched)
    code = coding.integer_code(compression.with_cells(model, 16))
    bucket = archive.encode(code, DIGITS.level, unwatched).bucket
    assert made.net == pytest.approx(coding.net_length(code, DIGITS.level, bucket).sum(), abs=2)
    assert made.net == pytest.approx(made.negative_elbo, rel=0.02)
    assert made.initial == coding.initial_bits(code) + 1
    overhead = 8 * (archive.HEADER.size + archive.PART.size + archive.DIGEST)
    assert 0 <= 8 * len(made.content) - overhead - made.net - made.initial < 8 + 2


def test_the_bound_is_an_average_over_draws_of_the_sums_over_images(monkeypatch):
    values = iter(range(100, 116))  # one for each draw of each half
    monkeypatch.setattr(compression, "AT_ONCE", 30)

    def bound(model, images, draws, generator):
        assert images.shape == (30, 64)
        assert images.dtype == torch.float64
        assert float(images.max()) == 1
        each = torch.full((30,), -float(next(values)), dtype=torch.float64)
        return Bound(each, each, each)

    monkeypatch.setattr(compression, "average_bound", bound)
    mean, error = compression.negative_elbo(compression.with_cells(two_latents(), 16), DIGITS)
    sums = 30 * np.arange(100, 116).reshape(8, 2).sum(1) / math.log(2)
    assert mean == pytest.approx(sums.mean(), abs=1e-9)
    assert error == pytest.approx(sums.std(ddof=1) / math.sqrt(8), abs=1e-9)


def test_other_programs_get_the_packing_that_suits_them():
    on_off = grey_levels(np.repeat(TURNED, 40, 0) * 1.0, "images")
    made = compress(ON_OFF, on_off, unwatched)
    level = on_off.level.numpy().astype(np.uint8)
    plain = [level.tobytes(), np.packbits(level).tobytes()]
    assert compression.plain_bytes(on_off) == plain
    assert made.gzip == 8 * min(len(gzip.compress(each, 9)) for each in plain)
    assert made.xz <= 8 * min(len(lzma.compress(each, preset=9)) for each in plain)
    assert compression.plain_bytes(DIGITS) == [bytes(DIGITS.level.flatten().tolist())]


def of_the_file(model, images=TURNED * 1.0):
    return archive.unpack(compress(model, grey_levels(images, "x"), unwatched).content, "a.bits")


def test_another_model_is_refused_with_both_fingerprints():
    packed = of_the_file(ON_OFF)
    other = build(SETTINGS._replace(likelihood="bernoulli", seed=2), 12)
    theirs = coding.integer_code(other.double()).fingerprint
    with pytest.raises(
        ValueError, match=rf"^a\.bits needs the model .*{packed.fingerprint[:12]}"
    ) as e:
        decompress(other, packed, "a.bits", unwatched)
    assert theirs[:12] in str(e.value)


def test_a_weight_that_moved_by_a_unit_makes_another_model():
    packed = of_the_file(ON_OFF)
    moved = build(SETTINGS._replace(likelihood="bernoulli"), 12).double()
    with torch.no_grad():
        moved.decoder[2].bias[3] += 2.0**-16
    with pytest.raises(ValueError, match=r"^a\.bits needs the model"):
        decompress(moved, packed, "a.bits", unwatched)


def test_a_shape_of_other_pixels_is_refused():
    packed = of_the_file(ON_OFF)._replace(height=3, width=5)
    with pytest.raises(ValueError, match=r"has images of 3 by 5, needed 12 pixels"):
        decompress(ON_OFF, packed, "a.bits", unwatched)


def test_images_that_went_wrong_are_not_given_out():
    packed = of_the_file(ON_OFF)
    (part,) = packed.parts
    altered = packed._replace(parts=[part._replace(stack=part.stack ^ 64)])
    with pytest.raises(ValueError, match=r"^a\.bits cannot be decoded: the bits under the images"):
        decompress(ON_OFF, altered, "a.bits", unwatched)
    other = packed._replace(images_digest=bytes(32))
    with pytest.raises(ValueError, match=r"^a\.bits was decoded to other images"):
        decompress(ON_OFF, other, "a.bits", unwatched)
