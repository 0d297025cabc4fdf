"""The bound as a file: stacks against constriction, masses against scipy, lengths by counting."""

import functools
import itertools
import math
import os
import subprocess
import sys
from collections import Counter
from fractions import Fraction

import constriction
import numpy as np
import pytest
import torch
from drawn import close, double, normal
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from vae_tutorial import models
from vae_tutorial.coding import (
    PRECISION,
    bucket_centres,
    bucket_edges,
    bucket_starts,
    cell_starts,
    cumulative_table,
    decode_images,
    encode_images,
    expected_length,
    initial_bits,
    integer_code,
    net_length,
    pixel_length,
    pop,
    push,
    random_stack,
)
from vae_tutorial.data import load_digits
from vae_tutorial.evaluation import exact_bound
from vae_tutorial.likelihoods import (
    LOGISTIC,
    NORMAL,
    BernoulliPixels,
    CellPixels,
    FixedVariance,
    GaussianPixels,
    InputVariance,
    PixelVariance,
    SharedVariance,
)
from vae_tutorial.noise import generator
from vae_tutorial.pretrained import two_latents

LOG_TWO = math.log(2)


def vae(likelihood, latent=2, pixels=4, seed=0):
    """A small VAE whose decoder is not flat."""
    weights = generator(seed)
    encoder = models.DiagonalEncoder(pixels, 8, latent, weights)
    decoder = models.network([latent, 8, pixels], weights).double()
    decoder[-1].weight.data *= 3
    return models.VAE(encoder, decoder, likelihood).double()


def grey(count, pixels, levels, seed=0):
    """Random grey levels (count, pixels)."""
    return torch.randint(0, levels, (count, pixels), generator=generator(seed))


@functools.cache
def kept():
    """The kept model with its Gaussians as cells, its code, and the grey levels of 12 digits."""
    model = two_latents()
    cells = CellPixels(model.likelihood.variance, 17, NORMAL)
    levels = (load_digits(torch.float64).test[:12] * 16).round().long()
    return models.VAE(model.encoder, model.decoder, cells), levels


# The stack

frequencies = st.lists(st.integers(1, 2**20), min_size=2, max_size=6)


def slots(counts, precision=PRECISION):
    """The first slots of symbols with these frequencies; the last symbol takes what is left."""
    starts = [0, *itertools.accumulate(counts[:-1])]
    return [*starts, 2**precision]


@pytest.mark.equation("eq-ans")
@given(st.integers(0, 2**200), frequencies, st.data())
def test_a_pop_undoes_a_push(stack, counts, data):
    starts = slots(counts)
    symbol = data.draw(st.integers(0, len(counts) - 1))
    pushed = push(stack, starts[symbol], starts[symbol + 1] - starts[symbol])
    assert pop(pushed, starts) == (stack, symbol)


@pytest.mark.equation("eq-ans")
@given(st.integers(0, 2**200), frequencies)
def test_a_push_undoes_a_pop(stack, counts):
    starts = slots(counts)
    below, symbol = pop(stack, starts)
    assert push(below, starts[symbol], starts[symbol + 1] - starts[symbol]) == stack


def test_a_symbol_without_slots_is_never_popped():
    starts = [0, 0, 5, 5, 16, 16]
    popped = {pop(stack, starts, 4)[1] for stack in range(64)}
    assert popped == {1, 3}


def by_constriction(message, counts):
    """The words of constriction's coder, as one whole number, the first word lowest."""
    shares = np.diff(slots(counts)) / 2**PRECISION
    model = constriction.stream.model.Categorical(shares, perfect=True)
    coder = constriction.stream.stack.AnsCoder()
    coder.encode_reverse(np.array(message, dtype=np.int32), model)
    words = coder.get_compressed()
    return sum(int(word) << (32 * place) for place, word in enumerate(words)), len(words)


def pushed(message, counts, stack=0):
    starts = slots(counts)
    for symbol in reversed(message):
        stack = push(stack, starts[symbol], starts[symbol + 1] - starts[symbol])
    return stack


@pytest.mark.equation("eq-ans")
@given(frequencies, st.data())
def test_a_short_stack_is_the_number_that_constriction_has(counts, data):
    """Its head has 64 bits, and below them it is one whole number, as here."""
    symbols = st.integers(0, len(counts) - 1)
    message = data.draw(st.lists(symbols, min_size=1, max_size=12))
    stack = pushed(message, counts)
    while stack.bit_length() > 63:
        message = message[1:]
        stack = pushed(message, counts)
    assert by_constriction(message, counts)[0] == stack


def test_a_long_stack_is_as_long_as_the_message_s_entropy_and_constriction_pads_it():
    counts = [2**22, 2**20, 2**23, 1]
    shares = np.diff(slots(counts)) / 2**PRECISION
    message = np.random.default_rng(0).choice(4, 3000, p=shares).tolist()
    entropy = -np.log2(shares[message]).sum()
    below = 2**48  # beside which what a floor drops is nothing
    assert abs(pushed(message, counts, below).bit_length() - 49 - entropy) < 1
    assert 0 <= 32 * by_constriction(message, counts)[1] - entropy < 64


# Cells


def cell_masses(law, decoded, scale, levels):
    """Differences of scipy's cumulative, between edges half-way from level to level."""
    edges = (np.arange(levels - 1) + 0.5) / (levels - 1)
    cumulative = law.cdf((edges - decoded) / scale)
    return np.diff(np.concatenate([[0.0], cumulative, [1.0]]))


LAWS = [(NORMAL, stats.norm), (LOGISTIC, stats.logistic)]


@pytest.mark.equation("eq-cells")
@pytest.mark.parametrize(("law", "other"), LAWS, ids=["normal", "logistic"])
@pytest.mark.parametrize("scale", [0.004, 0.07, 1.5])
def test_a_cell_holds_the_mass_between_its_edges(law, other, scale):
    decoded = [-0.4, 0.02, 0.5, 0.97, 1.3]
    likelihood = CellPixels(FixedVariance(scale**2), 17, law)
    seen = likelihood.log_masses(double(*decoded), double(0))  # (5, 17)
    close(seen.exp().sum(-1), torch.ones(5), 1e-12)
    for masses, place in zip(seen.exp(), decoded, strict=True):
        expected = torch.from_numpy(cell_masses(other, place, scale, 17))
        torch.testing.assert_close(masses, expected, atol=1e-12, rtol=0)


@pytest.mark.equation("eq-cells")
@pytest.mark.parametrize("law", [NORMAL, LOGISTIC], ids=["normal", "logistic"])
def test_an_image_scores_the_sum_of_its_cells_in_both_forms(law):
    variance = PixelVariance(3, 1e-3, 0.01)
    likelihood = CellPixels(variance, 5, law).double()
    levels = torch.tensor([[0, 2, 4], [4, 0, 3]])
    decoded = normal(6, 3) / 3
    masses = likelihood.log_masses(decoded, decoded)  # (6, 3, 5)
    expected = torch.stack([masses[:, range(3), row].sum(-1) for row in levels], 1)  # (6, 2)
    close(likelihood.log_density_table(levels.double() / 4, decoded, decoded), expected)
    close(likelihood.log_density(levels.double() / 4, decoded[:, None], decoded[:, None]), expected)


def test_far_tails_have_finite_scores_and_slopes():
    for law in (NORMAL, LOGISTIC):
        decoded = double(-3.0, 4.0, 0.5).requires_grad_()
        likelihood = CellPixels(FixedVariance(1e-4), 17, law)
        score = likelihood.log_density(double(1.0, 0.5, 0.25), decoded, decoded)
        (slope,) = torch.autograd.grad(score, decoded)
        assert score < -300
        assert slope.isfinite().all()
        assert (slope.sign() == double(1, -1, -1)).all()


def test_draws_follow_the_cells_and_lie_on_levels():
    likelihood = CellPixels(FixedVariance(0.04), 5)
    decoded = double(0.1, 0.8).expand(20_000, 2)
    x = likelihood.draw(decoded, decoded, generator(0)) * 4
    expected = likelihood.log_masses(decoded[0], decoded[0]).exp()
    share = torch.stack([(x == level).double().mean(0) for level in range(5)], -1)
    error = (expected * (1 - expected) / 20_000).sqrt()
    assert ((share - expected).abs() < 4.5 * error).all()
    close(likelihood.mean(decoded), decoded)


def test_images_between_the_levels_are_refused():
    likelihood, decoded = CellPixels(FixedVariance(1.0), 17), double([0.0, 0.0])
    likelihood.log_density(double([1 / 16, 1.0]), decoded, decoded)
    with pytest.raises(ValueError, match="17 grey levels, multiples of 1/16, but an entry"):
        likelihood.log_density(double([1.2 / 16, 1.0]), decoded, decoded)
    with pytest.raises(ValueError, match="x must lie in"):
        likelihood.log_density(double([1.0625, 1.0]), decoded, decoded)


@pytest.mark.equation("eq-cells")
@pytest.mark.parametrize(("law", "other"), LAWS, ids=["normal", "logistic"])
def test_slots_of_cells_are_their_masses_and_every_level_has_one(law, other):
    decoded, scale = double(-0.2, 0.3, 0.9), 0.06
    edges = (torch.arange(16).double() + 0.5) / 16
    starts = cell_starts((edges - decoded[:, None]) / scale, cumulative_table(law))
    assert starts.dtype == torch.int64
    assert starts[:, 0].tolist() == [0] * 3
    assert starts[:, -1].tolist() == [2**24] * 3
    assert starts.diff().min() >= 1
    for seen, place in zip(starts.diff(), decoded, strict=True):
        expected = torch.from_numpy(cell_masses(other, float(place), scale, 17)) * (2**24 - 17) + 1
        # The argument is rounded to 2⁻¹², where the law's density is below 0.4.
        assert (seen - expected).abs().max() < 0.4 * 2**-12 * 2**24


# Buckets


def test_buckets_have_one_mass_under_the_prior():
    edges, centres = bucket_edges(5), bucket_centres(5)
    shares = stats.norm.cdf(np.concatenate([[-np.inf], edges, [np.inf]]))
    assert np.abs(np.diff(shares) - 1 / 32).max() < 2**-16
    assert np.abs(stats.norm.cdf(centres) - (np.arange(32) + 0.5) / 32).max() < 2**-17
    assert torch.equal(edges, -edges.flip(0))


@pytest.mark.equation("eq-buckets")
@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (-0.7, 0.1), (2.6, 0.02), (9.0, 0.5)])
def test_slots_of_buckets_are_differences_of_the_normal_cumulative(mean, deviation):
    edges = bucket_edges(8)
    starts = bucket_starts(*double(mean, deviation), edges, cumulative_table(NORMAL))
    assert (int(starts[0]), int(starts[-1]), len(starts)) == (0, 2**24, 257)
    assert starts.diff().min() >= 0
    expected = np.diff(
        stats.norm.cdf(np.concatenate([[-np.inf], edges, [np.inf]]), mean, deviation)
    )
    off = np.abs(starts.diff().numpy() - expected * 2**24)
    assert off.max() < 0.4 * 2**-12 * 2**24
    if mean == 9:
        assert starts.diff().tolist() == [0] * 255 + [2**24]  # most own no slot


# The code of a model, and its files

LIKELIHOODS = {
    "bernoulli": (BernoulliPixels(), 2),
    "one normal scale": (CellPixels(SharedVariance(0.02), 17, NORMAL), 17),
    "a fixed scale, 256 levels": (CellPixels(FixedVariance(0.01), 256), 256),
    "a scale a pixel": (CellPixels(PixelVariance(4, 1e-6, 0.01), 17), 17),
    "a scale from z": (
        CellPixels(InputVariance(models.network([2, 4], generator(5)), 1e-4), 17),
        17,
    ),
}


def log_masses(model, decoded, z):
    """The logs of all levels' masses of the real model: (n, pixels, levels)."""
    if isinstance(model.likelihood, BernoulliPixels):
        signs = double(-1, 1)
        return nn.functional.logsigmoid(signs * decoded[..., None])
    return model.likelihood.log_masses(decoded, z)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_code_has_the_masses_of_the_model(name):
    likelihood, levels = LIKELIHOODS[name]
    model = vae(likelihood)
    code = integer_code(model, 6)
    assert (code.latent, code.pixels, code.levels) == (2, 4, levels)
    bucket = torch.cartesian_prod(*[torch.arange(0, 64, 7)] * 2)
    z = code.centres[bucket]
    expected = log_masses(model, model.decoder(z), z).exp().detach()
    seen = code.pixel_starts(bucket).diff().double() / 2**24
    torch.testing.assert_close(seen, expected, atol=6e-3, rtol=0)
    level = grey(5, 4, levels)
    q = model.encoder(level.double() / (levels - 1))
    mean, deviation = q.mean.detach()[..., None], (0.5 * q.log_variance.detach()).exp()[..., None]
    cumulative = torch.special.ndtr((bucket_edges(6) - mean) / deviation)
    shares = code.posterior_starts(level)[..., 1:-1].double() / 2**24
    torch.testing.assert_close(shares, cumulative, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_images_come_back_with_the_stack_that_lay_below(name):
    likelihood, levels = LIKELIHOODS[name]
    code, images = integer_code(vae(likelihood), 7), grey(6, 4, levels)
    below = random_stack(initial_bits(code), generator(0))
    encoded = encode_images(code, images, below)
    assert encoded.bucket.shape == (6, 2)
    stack, decoded = decode_images(code, encoded.stack, 6)
    assert torch.equal(decoded, images)
    assert stack == below


@pytest.mark.equation("eq-net-length")
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_file_is_as_long_as_the_net_lengths_say_to_two_bits(name):
    likelihood, levels = LIKELIHOODS[name]
    code, images = integer_code(vae(likelihood), 7), grey(40, 4, levels)
    below = random_stack(60, generator(1))
    encoded = encode_images(code, images, below)
    expected = below.bit_length() + net_length(code, images, encoded.bucket).sum()
    assert abs(encoded.stack.bit_length() - float(expected)) < 2


@pytest.mark.equation("eq-net-length")
def test_a_net_length_is_minus_the_log_of_a_product_of_whole_numbers():
    code, images = integer_code(vae(*LIKELIHOODS["bernoulli"][:1]), 5), grey(3, 4, 2)
    bucket = torch.tensor([[10, 20], [16, 15], [12, 18]])
    for image, place, seen in zip(images, bucket, net_length(code, images, bucket), strict=True):
        weight = Fraction(1, 32) ** 2  # P(z)
        for starts, level in zip(code.pixel_starts(place[None])[0].tolist(), image, strict=True):
            weight *= Fraction(starts[level + 1] - starts[level], 2**24)
        q = code.posterior_starts(image[None])[0].tolist()
        for starts, one in zip(q, place.tolist(), strict=True):
            weight /= Fraction(starts[one + 1] - starts[one], 2**24)
        assert abs(float(seen) + math.log2(weight)) < 1e-9


@pytest.mark.equation("eq-expected")
@pytest.mark.parametrize("latent", [1, 2, 3])
def test_an_expected_length_is_the_average_of_net_lengths_over_all_buckets(latent):
    likelihood = CellPixels(SharedVariance(0.03), 5)
    code, images = integer_code(vae(likelihood, latent), 2), grey(4, 4, 5)
    masses = code.posterior_starts(images).diff().double() / 2**24  # (4, latent, 4)
    seen = expected_length(pixel_length(code, images), masses)
    for image, mass, value in zip(images, masses, seen, strict=True):
        total = 0.0
        for place in itertools.product(range(4), repeat=latent):
            chance = math.prod(float(mass[i, one]) for i, one in enumerate(place))
            if chance:
                total += chance * float(net_length(code, image[None], torch.tensor([place])))
        assert abs(total - float(value)) < 1e-9


def test_the_expected_length_of_the_kept_model_is_its_bound():
    model, levels = kept()
    x, code = levels.double() / 16, integer_code(model, 7)
    masses = code.posterior_starts(levels).diff().double() / 2**24
    expected = expected_length(pixel_length(code, levels), masses)
    bits = -exact_bound(model, x, model.encoder(x)).elbo / LOG_TWO
    assert (expected - bits).mean().abs() < 0.3
    assert (expected - bits).abs().max() < 3


@pytest.mark.equation("eq-first-image")
@pytest.mark.parametrize("latent", [1, 2])
def test_initial_bits_are_the_fewest_of_which_the_pops_are_draws(latent):
    """All stacks of so many bits, counted; with one bit fewer the masses cannot come out."""
    code = integer_code(vae(BernoulliPixels(), latent), 3)
    assert initial_bits(code) == 24 * latent
    precision, starts = 3, [[0, 1, 4, 8], [0, 3, 4, 8]][:latent]

    def law(bits):
        found = Counter()
        for stack in range(2**bits):
            symbols = []
            for one in starts:
                stack, symbol = pop(stack, one, precision)
                symbols.append(symbol)
            found[tuple(symbols)] += 1
        return {symbols: Fraction(count, 2**bits) for symbols, count in found.items()}

    masses = [[Fraction(b - a, 8) for a, b in itertools.pairwise(one)] for one in starts]
    wanted = {
        places: math.prod(mass[i] for mass, i in zip(masses, places, strict=True))
        for places in itertools.product(range(3), repeat=latent)
    }
    assert law(precision * latent) == wanted
    assert law(precision * latent - 1) != wanted


def test_random_bits_lie_under_a_one():
    stacks = [random_stack(20, generator(seed)) for seed in range(200)]
    assert all(stack.bit_length() == 21 for stack in stacks)
    ones = sum((stack - 2**20).bit_count() for stack in stacks)
    assert abs(ones - 2000) < 4.5 * 1000**0.5


def reads(code, stack, below):
    """Whether a stack decodes to the stack that lay below."""
    try:
        return decode_images(code, stack, 12)[0] == below
    except ValueError:
        return False


def test_an_altered_a_truncated_and_a_foreign_file_do_not_give_back_what_lay_below():
    model, levels = kept()
    code = integer_code(model)
    below = random_stack(initial_bits(code), generator(0))
    stack = encode_images(code, levels, below).stack
    assert reads(code, stack, below)
    for bit in (0, 700, stack.bit_length() - 2):
        assert not reads(code, stack ^ (1 << bit), below)
    with pytest.raises(ValueError, match="from a z that its encoder never chooses"):
        decode_images(code, stack >> 8, 12)
    other = two_latents()
    other.decoder[0].bias.data[0] += 2.0**-16
    moved = integer_code(models.VAE(other.encoder, other.decoder, model.likelihood))
    assert moved.fingerprint != code.fingerprint
    assert not reads(moved, stack, below)


def test_a_fingerprint_knows_every_part():
    marks = [integer_code(vae(likelihood), 5).fingerprint for likelihood, _ in LIKELIHOODS.values()]
    marks += [integer_code(vae(BernoulliPixels()), 6).fingerprint]
    marks += [integer_code(vae(CellPixels(SharedVariance(0.02), 17))).fingerprint]
    marks += [integer_code(vae(CellPixels(SharedVariance(0.021), 17))).fingerprint]
    marks += [integer_code(vae(CellPixels(SharedVariance(0.02), 9))).fingerprint]
    model = vae(BernoulliPixels())
    for parameter in model.parameters():
        parameter.data.view(-1)[0] += 2.0**-16
        marks.append(integer_code(model, 5).fingerprint)
    assert len(set(marks)) == len(marks)
    assert integer_code(vae(BernoulliPixels()), 5).fingerprint == marks[0]


OTHER_MACHINE = """
from vae_tutorial import coding, models
from vae_tutorial.data import load_digits
from vae_tutorial.likelihoods import NORMAL, CellPixels
from vae_tutorial.noise import generator
from vae_tutorial.pretrained import two_latents
import torch

kept = two_latents()
cells = CellPixels(kept.likelihood.variance, 17, NORMAL)
x = load_digits(torch.float64).test[:12]
code = coding.integer_code(models.VAE(kept.encoder, kept.decoder, cells))
below = coding.random_stack(coding.initial_bits(code), generator(0))
print(code.fingerprint)
print(coding.encode_images(code, (x * 16).round().long(), below).stack)
print(kept.encoder(x).mean.sum().item().hex())
"""


def test_another_instruction_set_writes_the_same_file():
    """On the oldest one the network in floating point ends in other last places."""
    other = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", OTHER_MACHINE]
    run = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **path, **other}
    )
    fingerprint, stack, _ = run.stdout.split()
    model, levels = kept()
    code = integer_code(model)
    assert code.fingerprint == fingerprint
    below = random_stack(initial_bits(code), generator(0))
    assert encode_images(code, levels, below).stack == int(stack)


def test_what_gives_no_file_is_refused():
    with pytest.raises(TypeError, match="density of pixels gives no file, got GaussianPixels"):
        integer_code(vae(GaussianPixels(FixedVariance(1.0))))
    model = vae(BernoulliPixels())
    full = models.VAE(
        models.FullEncoder(4, 8, 2, generator(0)).double(), model.decoder, model.likelihood
    )
    with pytest.raises(TypeError, match="must be a DiagonalEncoder, got FullEncoder"):
        integer_code(full)
    with pytest.raises(TypeError, match="no whole numbers are known for a Tanh"):
        integer_code(vae(CellPixels(nn.Tanh(), 17)))
    code = integer_code(model)
    for wrong in (torch.zeros(2, 4), torch.zeros(2, 5).long(), torch.zeros(4).long()):
        with pytest.raises(ValueError, match=r"must be int64 grey levels \(n, 4\)"):
            encode_images(code, wrong, 1)
    for entry in (-1, 2):
        with pytest.raises(ValueError, match=r"must lie in 0 … 1"):
            encode_images(code, torch.full((2, 4), entry), 1)
