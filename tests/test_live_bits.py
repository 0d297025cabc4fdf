"""What the live figure bits-back computes: whole numbers, the same as Python's to the last bit."""

import itertools
import math
from fractions import Fraction

import export_bits
import export_live
import numpy as np
import pytest
import torch
from scripts import apart, computed

from vae_tutorial import coding
from vae_tutorial.data import load_digits
from vae_tutorial.likelihoods import LOGISTIC, NORMAL

PAGE = computed("bits-back")
IMAGES = list(itertools.product((0, 1), repeat=4))  # all that the toy model knows
DARK = np.array(  # of 16 slots, those of a dark pixel, in each bucket of z
    [
        [15, 14, 12, 8, 4, 2, 1, 1],
        [8, 12, 14, 12, 8, 4, 2, 1],
        [1, 2, 4, 8, 12, 14, 12, 8],
        [1, 1, 2, 4, 8, 12, 14, 15],
    ]
)
STARTS = """([name, q, images, s]) => {
    const coder = VAE_LIVE[`${name}Coder`]();
    return VAE_LIVE.encode(coder, q, images, BigInt(s)).map((state) => state.s.toString());
}"""


def stacks(name, q, images, stack):
    """The stack after each step of the figure's encoder."""
    return list(map(int, PAGE.evaluate(STARTS, [name, q, images, str(stack)])))


def floors(masses, total):
    """Starts at the floor of total · (masses before) / all, by fractions."""
    ends = np.cumsum([0, *masses]).tolist()
    return [math.floor(Fraction(total * end, ends[-1])) for end in ends]


def posterior(image, rows=(0, 1, 2, 3)):
    """The slots of z's buckets, of 64, where the pixels in `rows` are seen."""
    terms = [[DARK[k, z] if image[k] else 16 - DARK[k, z] for k in rows] for z in range(8)]
    return floors([math.prod(map(int, each)) for each in terms], 64)


@pytest.mark.parametrize("table", [[0, 8, 12, 16], [0, 1, 1, 15, 16], [0, 9979600, 2**24]])
@pytest.mark.parametrize("stack", [0, 1, 37, 153, 2**70 + 12345678901])
def test_a_push_and_a_pop_are_those_of_the_package(table, stack):
    precision = int(math.log2(table[-1]))
    call = "([s, k, t]) => VAE_LIVE.push(BigInt(s), k, t).toString()"
    for symbol, size in enumerate(np.diff(table).tolist()):
        if size == 0:
            continue
        pushed = coding.push(stack, table[symbol], size, precision)
        assert PAGE.evaluate(call, [str(stack), symbol, table]) == str(pushed)
    below, symbol = coding.pop(stack, table, precision)
    script = """([s, t]) => {
        const { symbol, s: below } = VAE_LIVE.pop(BigInt(s), t);
        return [below.toString(), symbol];
    }"""
    assert PAGE.evaluate(script, [str(stack), table]) == [str(below), symbol]


def test_a_length_counts_every_bit():
    for number in (0, 1, 2, 255, 256, 2**53 + 1, 3**200):
        script = "(s) => [VAE_LIVE.bitLength(BigInt(s)), VAE_LIVE.log2(BigInt(s))]"
        whole, exact = PAGE.evaluate(script, str(number))
        assert whole == number.bit_length()
        apart(f"log2 of {whole} bits", exact, math.log2(number) if number else 0, 1e-12)


def test_the_first_bits_are_as_many_as_asked_for_and_end_in_the_same():
    script = "[0, 1, 8, 64].map((n) => VAE_LIVE.firstBits(n).toString())"
    none, one, few, many = map(int, PAGE.evaluate(script))
    assert [none, one] == [0, 1]
    assert [few.bit_length(), many.bit_length()] == [8, 64]
    assert (many - few) % 2**7 == 0


def test_the_tables_of_the_toy_are_floors_of_its_posterior():
    script = """(images) => {
        const { tables } = VAE_LIVE.toyCoder();
        return images.map((x) => [tables.exact(x), tables.encoder(x), tables.prior(x)]);
    }"""
    for image, seen in zip(IMAGES, PAGE.evaluate(script, IMAGES), strict=True):
        expected = [posterior(image), posterior(image, (0, 1)), posterior(image, ())]
        assert seen == expected
        assert np.diff(seen).min() >= 0
        assert [table[-1] for table in seen] == [64, 64, 64]


@pytest.mark.parametrize(
    ("q", "rows"), [("exact", (0, 1, 2, 3)), ("encoder", (0, 1)), ("prior", ())]
)
def test_the_toy_is_coded_as_by_hand(q, rows):
    """Every stack of the way, for all sixteen images in a row, by the package's push and pop."""
    stack, expected = 0b10110101, [0b10110101]
    for image in IMAGES:
        stack, z = coding.pop(stack, posterior(image, rows), 6)
        expected.append(stack)
        for pixel, dark in zip(image, DARK[:, z].tolist(), strict=True):
            start, size = (16 - dark, dark) if pixel else (0, 16 - dark)
            stack = coding.push(stack, start, size, 4)
            expected.append(stack)
        stack = coding.push(stack, z, 1, 3)
        expected.append(stack)
    assert stacks("toy", q, IMAGES, 0b10110101) == expected


DECODED = """([name, q, images, s]) => {
    const coder = VAE_LIVE[`${name}Coder`]();
    const states = VAE_LIVE.encode(coder, q, images, BigInt(s));
    let state = states.at(-1);
    const [decoded, same] = [[], []];
    for (let at = states.length - 1; at > 0; at -= 1) {
        if (state.place === 0) {
            decoded.unshift(state.image);
            state = VAE_LIVE.end(coder, state.s);
        }
        ({ state } = VAE_LIVE.backwards(coder, q, null, state));
        same.push(state.s === states[at - 1].s);
    }
    return { decoded: [state.image, ...decoded], same, z: state.z, s: state.s.toString() };
}"""


@pytest.mark.parametrize("q", ["exact", "encoder", "prior"])
@pytest.mark.parametrize("stack", [0, 181, 2**60 + 7])
def test_a_decoder_that_sees_the_stack_alone_returns_every_image_and_every_bit(q, stack):
    found = PAGE.evaluate(DECODED, ["toy", q, IMAGES, str(stack)])
    assert found["decoded"] == [list(image) for image in IMAGES]
    assert found["s"] == str(stack)
    assert found["same"] == [True] * (6 * 16)
    assert found["z"] == []


def test_an_encoder_can_turn_back_in_the_middle_of_an_image():
    script = """(turn) => {
        const coder = VAE_LIVE.toyCoder(), image = [1, 0, 1, 1];
        let state = VAE_LIVE.begin(coder, 181n);
        const seen = [];
        for (let k = 0; k < turn; k += 1) {
            ({ state } = VAE_LIVE.forwards(coder, "exact", image, state));
        }
        while (state.place > 0) {
            let step;
            ({ state, step } = VAE_LIVE.backwards(coder, "exact", image, state));
            seen.push([step.kind, step.symbol, step.before.toString(), step.after.toString()]);
        }
        return [state.s.toString(), seen];
    }"""
    way = stacks("toy", "exact", [(1, 0, 1, 1)], 181)
    z = coding.pop(181, posterior((1, 0, 1, 1)), 6)[1]
    kinds = [
        ("pop z", z),
        ("push x", 1),
        ("push x", 0),
        ("push x", 1),
        ("push x", 1),
        ("push z", z),
    ]
    for turn in range(1, 7):
        first, seen = PAGE.evaluate(script, turn)
        assert first == "181"
        steps = list(zip(kinds, itertools.pairwise(way), strict=False))[:turn]
        assert seen == [[*kind, str(old), str(new)] for kind, (old, new) in reversed(steps)]


def test_lengths_are_sums_over_all_buckets():
    script = """(images) => images.map((x) => ["exact", "encoder", "prior"].map((q) => {
        const { elbo, evidence } = VAE_LIVE.lengths(VAE_LIVE.toyCoder(), q, x);
        return [elbo, evidence];
    }))"""
    expected = []
    for image in IMAGES:
        masses = np.where(np.array(image)[:, None] == 1, DARK, 16 - DARK) / 16
        joint = masses.prod(0) / 8
        row = []
        for rows in ((0, 1, 2, 3), (0, 1), ()):
            q = np.diff(posterior(image, rows)) / 64
            kept = q > 0
            elbo = (q[kept] * np.log2(q[kept] / joint[kept])).sum()
            row.append([elbo, -np.log2(joint.sum())])
        expected.append(row)
    apart("lengths, 16 images", PAGE.evaluate(script, IMAGES), expected, 1e-12)


def test_the_images_of_the_toy_follow_its_model():
    """A thousand draws against the probabilities of the sixteen images: χ² of 15 freedoms."""
    script = "VAE_LIVE.toyImages(VAE_LIVE.toyCoder(), 1000)"
    seen = [tuple(image) for image in PAGE.evaluate(script)]
    chances = [
        (np.where(np.array(image)[:, None] == 1, DARK, 16 - DARK) / 16).prod(0).mean()
        for image in IMAGES
    ]
    counts = np.array([seen.count(image) for image in IMAGES])
    assert sum(chances) == pytest.approx(1, abs=1e-12)
    expected = 1000 * np.array(chances)
    assert ((counts - expected) ** 2 / expected).sum() < 44.3  # passed by chance once in 10,000


# Digits

CODE = coding.integer_code(export_bits.model(), export_bits.BUCKET_BITS)
LEVELS = (load_digits(torch.float64).test[:10] * 16).round().long()


@pytest.mark.parametrize(("name", "law"), [("normal", NORMAL), ("logistic", LOGISTIC)])
def test_a_cumulative_has_the_same_whole_numbers_at_each_point_of_its_grid(name, law):
    table = coding.cumulative_table(law)
    script = """([name, low, step, count]) => Array.from({ length: count }, (_, k) =>
        VAE_LIVE[`${name}Slots`](low + step * k))"""
    seen = PAGE.evaluate(script, [name, table.low, table.step, len(table.entries)])
    assert seen == table.entries.tolist()
    between = [-30.0, -8.1, -0.30001, 0.0, 0.2999, 1.70009, 7.99, 30.0]
    script = "([name, xs]) => xs.map((x) => VAE_LIVE[`${name}Slots`](x))"
    expected = table.units_at(torch.tensor(between, dtype=torch.float64)).tolist()
    assert PAGE.evaluate(script, [name, between]) == expected


def test_the_first_test_digits_are_the_images():
    assert PAGE.evaluate("VAE_LIVE.digitImages(10)") == LEVELS.tolist()


def test_the_slots_of_the_digits_are_those_of_the_package():
    script = "(images) => { const { tables } = VAE_LIVE.digitCoder();\
        return images.map((x) => [tables.encoder(x, []), tables.encoder(x, [0])]) }"
    assert PAGE.evaluate(script, LEVELS.tolist()) == CODE.posterior_starts(LEVELS).tolist()
    buckets = [[0, 0], [3, 30], [16, 15], [31, 31]]
    script = "(zs) => { const coder = VAE_LIVE.digitCoder(); return zs.map(coder.pixelTables) }"
    expected = CODE.pixel_starts(torch.tensor(buckets)).tolist()
    assert PAGE.evaluate(script, buckets) == expected


def test_digits_are_the_same_number_as_in_python_and_come_back():
    """Ten digits on one stack: the integer of `encode_images`, bit for bit."""
    stack = 2**48 + 123456789012345
    encoded = coding.encode_images(CODE, LEVELS, stack).stack
    way = stacks("digit", "encoder", LEVELS.tolist(), stack)
    assert len(way) == 10 * 68 + 1
    assert way[-1] == encoded
    found = PAGE.evaluate(DECODED, ["digit", "encoder", LEVELS.tolist(), str(stack)])
    assert found["decoded"] == LEVELS.tolist()
    assert found["s"] == str(stack)
    assert all(found["same"])


def test_the_best_q_of_a_digit_is_its_posterior_in_whole_numbers():
    """Of one digit, all 1,024 pairs of buckets: exact products of whole numbers."""
    image = LEVELS[:1]
    pairs = torch.cartesian_prod(*2 * [torch.arange(32)])  # (1024, 2)
    sizes = CODE.pixel_starts(pairs).diff()  # (1024, 64, 17)
    own = sizes.gather(-1, image[0][None, :, None].expand(1024, 64, 1))[..., 0].tolist()
    joint = np.array([math.prod(row) for row in own], dtype=object).reshape(32, 32)
    script = """(x) => { const { tables } = VAE_LIVE.digitCoder();
        return [tables.exact(x, []), tables.exact(x, [20])] }"""
    seen = PAGE.evaluate(script, image[0].tolist())
    expected = [list(joint.sum(1)), list(joint[20])]
    for table, masses in zip(seen, expected, strict=True):
        ends = [0, *itertools.accumulate(masses)]
        assert table == [2**24 * end // ends[-1] for end in ends]

    least = "(x) => VAE_LIVE.lengths(VAE_LIVE.digitCoder(), 'exact', x)"
    lengths = PAGE.evaluate(least, image[0].tolist())
    exact = 64 * 24 + 10 - math.log2(int(joint.sum()))
    apart("−log₂ p(x) of a digit", lengths["evidence"], exact, 1e-9)
    assert exact <= lengths["elbo"] < exact + 1e-3


def test_on_average_an_image_takes_its_bound():
    """3,000 images of the toy model itself, with its posterior as q."""
    script = """(count) => {
        const coder = VAE_LIVE.toyCoder(), images = VAE_LIVE.toyImages(coder, count);
        const states = VAE_LIVE.encode(coder, "exact", images, VAE_LIVE.firstBits(64));
        const ends = states.filter((_, k) => k % 6 === 0).map(({ s }) => VAE_LIVE.log2(s));
        return [ends, images.map((x) => VAE_LIVE.lengths(coder, "exact", x).elbo)];
    }"""
    ends, foretold = PAGE.evaluate(script, 3000)
    off = np.diff(ends) - foretold
    assert abs(off.mean()) < 4 * off.std(ddof=1) / math.sqrt(len(off))
    assert off.std(ddof=1) / math.sqrt(len(off)) < 0.05


def test_the_picture_shows_what_the_figure_computes():
    script = "[VAE_LIVE.firstBits(8).toString(), VAE_LIVE.toyImages(VAE_LIVE.toyCoder(), 3)]"
    assert PAGE.evaluate(script) == [str(export_bits.FIRST), [*map(list, export_bits.IMAGES)]]
    expected = [export_bits.FIRST]
    for image in export_bits.IMAGES:
        expected += export_bits.stacks(image, expected[-1])[1:]
        evidence = "(x) => VAE_LIVE.lengths(VAE_LIVE.toyCoder(), 'exact', x).evidence"
        apart("−log₂ p(x)", PAGE.evaluate(evidence, image), export_bits.least(image), 1e-12)
    assert stacks("toy", "exact", export_bits.IMAGES, export_bits.FIRST) == expected


def test_the_committed_model_is_what_python_exports():
    kept = (export_live.ASSETS / "bits-weights.js").read_text("utf-8")
    assert kept == export_live.script("bits-weights")
