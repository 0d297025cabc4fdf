"""What the live figure train-here computes: against torch, the package, and numpy."""

from functools import cache
from itertools import pairwise

import export_train
import numpy as np
import pytest
import scheme
import torch
from places import TALL, WIDE
from scripts import apart, computed
from test_live import stored
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from vae_tutorial.data import load_digits, minibatches
from vae_tutorial.evaluation import dissect, exact_bound, exact_log_evidence
from vae_tutorial.likelihoods import FixedVariance, GaussianPixels
from vae_tutorial.models import VAE, DiagonalEncoder, DiagonalPosterior, network
from vae_tutorial.noise import generator, standard_normal

HIDDEN = 32
STEPS = 60

TRAINED_STEP_BY_STEP = """({ values, batches, settings, rate }) => {
  const { train } = VAE_LIVE.training;
  const model = VAE_LIVE.vae.create(VAE_LIVE.vae.ofDigits(32), Float64Array.from(values));
  const moments = VAE_LIVE.vae.moments(model.shape);
  const path = batches.map(({ rows, noise }) => {
    const images = rows.map((row) => train[row]);
    const { slopes, logLikelihood, kl } = VAE_LIVE.vae.gradient(model, images, noise, settings);
    VAE_LIVE.vae.adam(model, moments, slopes, rate);
    return settings.weight * kl - logLikelihood;
  });
  return { path, values: [...model.values] };
}"""

GRADIENT = """({ values, images, noise, settings }) => {
  const model = VAE_LIVE.vae.create(VAE_LIVE.vae.ofDigits(32), Float64Array.from(values));
  const found = VAE_LIVE.vae.gradient(model, images, noise, settings);
  return [[...found.slopes.values], found.logLikelihood, found.kl];
}"""

RUN = """({ steps, settings, rate }) => {
  const { createRun, mapped } = VAE_LIVE.training;
  const run = createRun();
  for (let step = 0; step < steps; step += 1) {
    run.move(run.gradient(run.next(), settings).slopes, rate);
  }
  return { values: [...run.model.values], rates: mapped(run.model).rates };
}"""

DISSECT = """({ values, variance, images }) => {
  const model = VAE_LIVE.vae.create(VAE_LIVE.vae.ofDigits(32), Float64Array.from(values));
  return VAE_LIVE.exact.finish(VAE_LIVE.exact.dissect(model, variance, images));
}"""

BOUND = """({ values, variance, image, q }) => VAE_LIVE.exact.bound(
  VAE_LIVE.vae.create(VAE_LIVE.vae.ofDigits(32), Float64Array.from(values)), variance, image, q)"""


def javascript(script, *argument):
    return computed("train-here").evaluate(script, *argument)


def vae(variance, values=None, seed=3):
    """A VAE like that of the page; with the weights that it has there, if they are given."""
    weights = generator(seed)
    encoder, decoder = DiagonalEncoder(64, HIDDEN, 2, weights), network([2, HIDDEN, 64], weights)
    model = VAE(encoder, decoder, GaussianPixels(FixedVariance(variance))).double()
    if values is not None:
        vector_to_parameters(torch.tensor(values, dtype=torch.float64), model.parameters())
    return model


def flat(model):
    return parameters_to_vector(model.parameters()).tolist()


def loss(model, x, noise, weight):
    bound = model(x, noise)
    return (weight * bound.kl - bound.log_likelihood).mean()


@cache
def trained(variance, weight=1.0, steps=450):
    """Where the page's run is after so many steps: its weights, and the rates of both latents."""
    settings = {"variance": variance, "weight": weight}
    return javascript(RUN, {"steps": steps, "settings": settings, "rate": 0.01})


@pytest.fixture(scope="module")
def digits():
    return load_digits(torch.float64)


def test_the_scripts_digits_are_those_of_the_book(digits):
    found = javascript(
        "[VAE_LIVE.training.train, VAE_LIVE.training.test].map((all) => "
        "all.map((image) => [...image]))"
    )
    for seen, expected in zip(found, (digits.train, digits.test), strict=True):
        assert torch.equal(torch.tensor(seen, dtype=torch.float64), expected)
    first = [int((digits.test_labels == label).nonzero()[0]) for label in range(10)]
    ten = javascript("VAE_LIVE.training.ten.map((image) => [...image])")
    assert torch.equal(torch.tensor(ten, dtype=torch.float64), digits.test[first])


def test_the_committed_digits_and_drawing_are_what_python_exports():
    kept, fresh = stored("digits"), export_train.digits()
    assert kept["largestEigenvalue"] == pytest.approx(fresh.pop("largestEigenvalue"), abs=1e-9)
    covariance = np.cov(load_digits(torch.float64).train.numpy(), rowvar=False, bias=True)
    largest = np.linalg.eigvalsh(covariance)[-1]
    assert kept.pop("largestEigenvalue") == pytest.approx(largest, abs=1e-9)
    for name, rule in fresh.pop("rules").items():
        for part, values in rule.items():
            np.testing.assert_allclose(kept["rules"][name][part], values, rtol=0, atol=1e-12)
    del kept["rules"]
    assert kept == {**fresh, "colours": list(fresh["colours"])}
    drawn = {each.name: scheme.drawing("open", each, "train-framework") for each in (WIDE, TALL)}
    assert stored("framework") == drawn


@pytest.mark.parametrize(("variance", "weight"), [(0.05, 1.0), (0.3, 4.0)])
def test_sixty_steps_are_those_of_torch(digits, variance, weight):
    model, draws = vae(variance), generator(5)
    start, batches, path = flat(model), [], []
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    rows = torch.arange(1500, dtype=torch.float64)[:, None]
    while len(batches) < STEPS:
        for chosen in minibatches(rows, 100, draws):
            noise = standard_normal((1, 100, 2), draws)
            chosen = chosen[:, 0].long()
            batches.append({"rows": chosen.tolist(), "noise": noise.flatten().tolist()})
            optimiser.zero_grad()
            nats = loss(model, digits.train[chosen], noise, weight)
            nats.backward()
            optimiser.step()
            path.append(nats.item())
    settings = {"variance": variance, "weight": weight}
    run = {"values": start, "batches": batches, "settings": settings, "rate": 0.01}
    found = javascript(TRAINED_STEP_BY_STEP, run)
    assert path[-1] < path[0] - 1
    apart(f"losses of {len(path)} steps", found["path"], path, 1e-10)
    apart(f"weights after {len(path)} steps", found["values"], flat(model), 1e-10)


def test_a_gradient_is_that_of_autograd(digits):
    noise = standard_normal((1, 7, 2), generator(9))
    for seed, (variance, weight) in enumerate([(0.01, 1.0), (0.05, 0.1), (1.2, 30.0)]):
        model = vae(variance, seed=seed)
        nats = loss(model, digits.train[:7], noise, weight)
        slopes = torch.autograd.grad(nats, list(model.parameters()))
        terms = model(digits.train[:7], noise)
        seen = javascript(
            GRADIENT,
            {
                "values": flat(model),
                "images": digits.train[:7].tolist(),
                "noise": noise.flatten().tolist(),
                "settings": {"variance": variance, "weight": weight},
            },
        )
        expected = torch.cat([slope.flatten() for slope in slopes])
        scale = expected.abs().max().item()
        apart("gradient, of its largest part", np.array(seen[0]) / scale, expected / scale, 1e-12)
        apart("log p(x|z)", seen[1], terms.log_likelihood.mean().item(), 1e-9)
        apart("KL", seen[2], terms.kl.mean().item(), 1e-12)


def dissected(values, variance, images):
    asked = {"values": values, "variance": variance, "images": images.tolist()}
    return javascript(DISSECT, asked)


SLOWER = [pytest.param(variance, marks=pytest.mark.slow) for variance in (0.05, 0.3)]


@pytest.mark.parametrize("variance", [0.01, *SLOWER, 1.2])
def test_log_p_of_x_and_its_parts_are_those_of_the_package(digits, variance):
    """The package halves cells of Gauss-Legendre until they agree; the page refines a lattice."""
    values, images = trained(variance)["values"], digits.test[:6]
    found = dissected(values, variance, images)
    model = vae(variance, values).requires_grad_(False)
    exact = exact_log_evidence(model, images, 1e-8)
    assert exact.error.max() < 1e-7
    apart(f"log p(x) at {variance}", found["logEvidence"], exact.log_evidence, 1e-6)
    parts = dissect(model, images)
    apart(f"the encoder's bound at {variance}", found["encoder"], parts.elbos[0], 1e-6)
    apart(f"the best diagonal bound at {variance}", found["best"], parts.elbos[1], 1e-6)
    order = [found[name] for name in ("encoder", "best", "logEvidence")]
    assert (np.diff(order, axis=0) >= -1e-9).all()


@pytest.mark.parametrize("variance", [0.01, 1.2])
def test_log_p_of_x_is_exact_after_a_jump_of_the_variance_too(digits, variance):
    values, images = trained(0.05)["values"], digits.test[:6]
    model = vae(variance, values).requires_grad_(False)
    expected = exact_log_evidence(model, images, 1e-8).log_evidence
    seen = dissected(values, variance, images)["logEvidence"]
    apart(f"log p(x) at {variance}, trained at 0.05", seen, expected, 1e-6)


def test_a_bound_of_any_q_is_that_of_the_package(digits):
    values = trained(0.05)["values"]
    model = vae(0.05, values).requires_grad_(False)
    for mean, log_variance in (([0.3, -1.0], [-2.0, -3.0]), ([2.0, 0.0], [-4.0, 0.5])):
        q = DiagonalPosterior(*torch.tensor([[mean], [log_variance]], dtype=torch.float64))
        expected = exact_bound(model, digits.test[:1], q).elbo.item()
        asked = {"values": values, "variance": 0.05, "image": digits.test[0].tolist()}
        seen = javascript(BOUND, asked | {"q": {"mean": mean, "logVariance": log_variance}})
        apart("bound of a given q", seen, expected, 1e-8)


def test_above_the_largest_eigenvalue_a_run_collapses_and_below_it_does_not():
    assert min(trained(0.05)["rates"]) > 1
    assert max(trained(0.9)["rates"]) < 0.05
    assert max(trained(0.05, 18.0)["rates"]) < 0.05


def test_networks_depend_on_the_product_of_variance_and_weight_alone(digits):
    """But for Adam's ε, which matters only to the weights of pixels that are almost never inked."""
    models = [vae(1, trained(*pair, 100)["values"]) for pair in ((0.2, 1), (0.05, 4), (0.1, 1))]
    with torch.no_grad():
        means = [model.encoder(digits.train).mean for model in models]
        copies = [model.reconstruct(digits.train) for model in models]
    apart("means of q at one σ²β, made in two ways", means[0], means[1], 1e-4)
    apart("copies at one σ²β, made in two ways", copies[0], copies[1], 1e-4)
    assert (means[0] - means[2]).abs().max() > 0.1  # at another product


INTERRUPTED = """(settings) => {
  let clock = 0;
  window.performance = { now: () => (clock += 4) }; // a slice is three pieces of work
  const lab = VAE_LIVE.training.createLab(settings);
  lab.step();
  lab.slice(); // the measurement after the first step has begun
  lab.step();
  while (lab.slice());
  const point = lab.history.at(-1);
  const { encoder } = VAE_LIVE.exact.finish(
    VAE_LIVE.exact.dissect(lab.model, settings.variance, VAE_LIVE.training.ten));
  const mean = encoder.reduce((sum, value) => sum + value, 0) / encoder.length;
  return { steps: lab.history.map(({ step }) => step), off: Math.abs(point.bound - mean) };
}"""


def test_a_measurement_is_dropped_when_the_weights_move_under_it():
    settings = {"variance": 0.05, "weight": 1.0, "rate": 0.01}
    assert javascript(INTERRUPTED, settings) == {"steps": [2], "off": 0}


SURPRISE = """({ values, variance, drawings }) => {
  const model = VAE_LIVE.vae.create(VAE_LIVE.vae.ofDigits(32), Float64Array.from(values));
  const own = drawings.map((strokes) => {
    const ink = new Uint8Array(1024);
    for (const [from, to] of strokes) VAE_LIVE.drawn.stroke(ink, from, to);
    return VAE_LIVE.drawn.digit(ink);
  });
  const job = VAE_LIVE.exact.evidence(model, variance, [...own, ...VAE_LIVE.training.test]);
  const { logEvidence } = VAE_LIVE.exact.finish(job);
  const crowd = logEvidence.slice(own.length);
  return own.map((_, i) => crowd.filter((value) => value < logEvidence[i]).length);
}"""


def closed(*places):
    return list(zip(places, (*places[1:], places[0]), strict=True))


def test_a_cross_and_a_square_surprise_the_model_more_than_nearly_all_test_digits_do():
    turn = np.linspace(0, 2 * np.pi, 30)
    zero = closed(*np.stack([16 + 8 * np.cos(turn), 16 + 11 * np.sin(turn)], axis=1).tolist())
    three = [(8, 8), (14, 5), (22, 8), (20, 14), (14, 16), (21, 18), (23, 24), (16, 28), (8, 26)]
    drawings = [
        zero,
        closed(*three)[:-1],
        [((6, 6), (26, 26)), ((26, 6), (6, 26))],
        closed((6, 6), (26, 6), (26, 26), (6, 26)),
    ]
    asked = {"values": trained(0.05)["values"], "variance": 0.05, "drawings": drawings}
    zero, three, cross, square = javascript(SURPRISE, asked)
    print(
        f"of 297 test digits more surprising: zero {zero}, three {three}, cross {cross},"
        f" square {square}"
    )
    assert min(zero, three) > 100
    assert max(cross, square) < 30


CLIMB = """({ rate, every, times }) => {
  const { createRun, ten } = VAE_LIVE.training;
  const run = createRun();
  return Array.from({ length: times }, () => {
    for (let step = 0; step < every; step += 1) {
      run.move(run.gradient(run.next(), { variance: 0.05, weight: 1 }).slopes, rate);
    }
    const { encoder } = VAE_LIVE.exact.finish(VAE_LIVE.exact.dissect(run.model, 0.05, ten));
    return encoder.reduce((sum, value) => sum + value, 0) / ten.length;
  });
}"""


@pytest.mark.slow
def test_at_the_highest_learning_rate_the_bound_does_not_climb_steadily():
    def falls(rate):
        bounds = javascript(CLIMB, {"rate": rate, "every": 75, "times": 6})
        return sum(later < earlier for earlier, later in pairwise(bounds))

    assert falls(0.1) >= 2
    assert falls(0.01) == 0


def blocks(bitmap):
    """The ink in blocks of 4 by 4, from 0 to 1."""
    return bitmap.reshape(8, 4, 8, 4).mean((1, 3)).flatten()


def drawn(bitmap):
    return javascript("(ink) => [...VAE_LIVE.drawn.digit(Uint8Array.from(ink))]", bitmap)


def test_a_drawing_is_stretched_centred_and_counted_in_blocks():
    small = np.random.default_rng(4).integers(0, 2, (16, 10))
    small[[0, -1]] = small[:, [0, -1]] = 1  # ink at every side of its box
    large = np.zeros((32, 32), dtype=int)
    large[:, 6:26] = np.kron(small, np.ones((2, 2), dtype=int))
    apart("a drawing as large as the data's", drawn(large.flatten().tolist()), blocks(large), 0)
    for top, left in ((0, 0), (9, 13), (16, 22)):
        placed = np.zeros((32, 32), dtype=int)
        placed[top : top + 16, left : left + 10] = small
        apart(f"half as large at {top}, {left}", drawn(placed.flatten().tolist()), blocks(large), 0)
    assert drawn([0] * 1024) == [0.0] * 64


def test_a_line_stays_a_line():
    bitmap = np.zeros((32, 32), dtype=int)
    bitmap[2:30, 15:19] = 1  # 28 high, 4 wide
    columns = np.reshape(drawn(bitmap.flatten().tolist()), (8, 8)).mean(0)
    assert columns[[0, 1, 2, 5, 6, 7]].max() < 0.5
    assert columns.sum() * 4 == pytest.approx(7)  # 4 wide, times 32/28, times 1.5


def test_a_stroke_is_all_that_is_near_the_pens_way():
    stroke = """([from, to]) => { const ink = new Uint8Array(1024);
      VAE_LIVE.drawn.stroke(ink, from, to); return [...ink]; }"""
    row, column = np.mgrid[0:32, 0:32] + 0.5
    for start, end in (((8, 8), (20, 25)), ((16, 16), (16, 16)), ((1, 1), (40, 5))):
        seen = np.reshape(javascript(stroke, [start, end]), (32, 32)).astype(bool)
        way = np.subtract(end, start)
        along = ((column - start[0]) * way[0] + (row - start[1]) * way[1]) / max(way @ way, 1)
        near = along.clip(0, 1)
        distance = np.hypot(column - start[0] - near * way[0], row - start[1] - near * way[1])
        assert seen[distance < 2.1].all()
        assert not seen[distance > 2.2].any()


def test_a_drawing_in_the_address_comes_back_and_nonsense_is_blank():
    there_and_back = """(ink) => { const { text, bitmap } = VAE_LIVE.drawn;
      return [...bitmap(text(Uint8Array.from(ink)))]; }"""
    ink = np.random.default_rng(6).integers(0, 2, 1024).tolist()
    assert javascript(there_and_back, ink) == ink
    blank = [0] * 1024
    assert javascript(there_and_back, blank) == blank
    for nonsense in ("xyz", "0" * 257, "<script>", "ABC"):
        assert javascript("(text) => [...VAE_LIVE.drawn.bitmap(text)]", nonsense) == blank
