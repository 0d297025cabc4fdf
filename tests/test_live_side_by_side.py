"""What the live figure side-by-side computes: against torch, the package, and numpy."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from scripts import apart, computed
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence
from torch.nn.functional import softplus
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from vae_tutorial.adversarial import (
    Logit,
    initial_players,
    make_discriminator_step,
    make_generator_step,
    non_saturating,
    saturating,
)
from vae_tutorial.likelihoods import FixedVariance, GaussianPixels
from vae_tutorial.models import VAE, DiagonalEncoder, DiagonalPosterior, network
from vae_tutorial.noise import generator, standard_normal

SIDE = "VAE_LIVE.sideBySide"
BATCH = 64
LOSSES = {"saturating": saturating, "nonSaturating": non_saturating}
SETTINGS = {"rate": 0.002, "judgements": 2, "deviation": 0.2, "loss": "nonSaturating", "mix": 0}


def javascript(script, *argument):
    return computed("side-by-side").evaluate(script, *argument)


RING = [tuple(point) for point in javascript(f"{SIDE}.PRESETS.ring")]


class Maker(nn.Module):
    """A generator with its grain: (batch, 4), of z and ε, to f(z) + σε."""

    def __init__(self, decoder, deviation):
        super().__init__()
        self.decoder, self.deviation = decoder, deviation

    def forward(self, drawn):
        z, noise = drawn.chunk(2, -1)
        return self.decoder(z) + self.deviation * noise


class Plane(nn.Module):
    """The networks of the page's VAE, whose encoder has two hidden layers."""

    def __init__(self, weights):
        super().__init__()
        self.encoder = network([2, 32, 32, 4], weights)
        self.decoder = network([2, 32, 32, 2], weights)

    def loss(self, x, noise, variance):
        mean, log_variance = self.encoder(x).chunk(2, -1)
        z = mean + (log_variance / 2).exp() * noise
        miss = (x - self.decoder(z)).square().sum(-1) / variance
        log_likelihood = -0.5 * (miss + 2 * math.log(2 * math.pi * variance))
        kl = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(-1)
        return (kl - log_likelihood).mean(), log_likelihood.mean(), kl.mean()


def flat(module):
    return parameters_to_vector(module.parameters()).tolist()


def normals(*shape, seed):
    return standard_normal(shape, generator(seed))


JUDGED = """({ judge, data, made }) => {
  const net = VAE_LIVE.layers.create(VAE_LIVE.sideBySide.JUDGE, Float64Array.from(judge));
  const { slopes, loss } = VAE_LIVE.game.judge(net, data, made);
  return [[...slopes.values], loss];
}"""

FOOLED = """({ judge, maker, z, noise, settings }) => {
  const net = VAE_LIVE.layers.create(VAE_LIVE.sideBySide.JUDGE, Float64Array.from(judge));
  const shape = VAE_LIVE.sideBySide.SHAPE.decoder;
  const generator = VAE_LIVE.layers.create(shape, Float64Array.from(maker));
  const found = VAE_LIVE.game.fool(
    net, generator, Float64Array.from(z), Float64Array.from(noise), settings);
  return [[...found.slopes.values], found.loss];
}"""

BOUND = """({ values, data, noise, settings }) => {
  const model = VAE_LIVE.vae.create(VAE_LIVE.sideBySide.SHAPE, Float64Array.from(values));
  const found = VAE_LIVE.vae.gradient(model, data, Float64Array.from(noise), settings);
  return [[...found.slopes.values], found.logLikelihood, found.kl];
}"""


def players(seed, size=1.0):
    """A generator and a discriminator; a size above 1 makes the discriminator surer."""
    weights = generator(seed)
    maker, judge = network([2, 32, 32, 2], weights), network([2, 32, 32, 1], weights)
    maker, judge = maker.double(), judge.double()
    with torch.no_grad():
        judge[-1].weight.mul_(size)
    return maker, judge


@pytest.mark.parametrize("size", [1.0, 60.0])
def test_the_slopes_of_a_discriminator_are_those_of_autograd(size):
    _, judge = players(1, size)
    data, made = normals(9, 2, seed=2), normals(7, 2, seed=3) + 1
    of_data, of_made = judge(data), judge(made)
    loss = -(of_data.sigmoid().log().mean() + (1 - of_made.sigmoid()).log().mean())
    slopes = torch.cat([each.flatten() for each in torch.autograd.grad(loss, judge.parameters())])
    asked = {"judge": flat(judge), "data": data.tolist(), "made": made.tolist()}
    seen = javascript(JUDGED, asked)
    apart("slopes of D", seen[0], slopes, 1e-12)
    apart("loss of D", seen[1], loss.item(), 1e-11)


@pytest.mark.parametrize("size", [1.0, 60.0])
@pytest.mark.parametrize("kind", LOSSES)
def test_the_slopes_of_a_generator_are_those_of_autograd(kind, size):
    maker, judge = players(4, size)
    z, noise = normals(9, 2, seed=5), normals(9, 2, seed=6)
    logit = judge(maker(z) + 0.3 * noise)
    loss = {"saturating": (1 - logit.sigmoid()).log(), "nonSaturating": -logit.sigmoid().log()}
    loss = loss[kind].mean()
    slopes = torch.cat([each.flatten() for each in torch.autograd.grad(loss, maker.parameters())])
    asked = {"judge": flat(judge), "maker": flat(maker)}
    asked |= {"z": z.flatten().tolist(), "noise": noise.flatten().tolist()}
    seen = javascript(FOOLED, asked | {"settings": {"deviation": 0.3, "loss": kind}})
    apart("slopes of f", seen[0], slopes, 1e-12)
    apart("loss of f", seen[1], loss.item(), 1e-11)


def test_the_slopes_of_the_vae_on_the_plane_are_those_of_autograd():
    model = Plane(generator(7)).double()
    data, noise = normals(9, 2, seed=8), normals(9, 2, seed=9)
    loss, log_likelihood, kl = model.loss(data, noise, 0.04)
    slopes = torch.cat([each.flatten() for each in torch.autograd.grad(loss, model.parameters())])
    asked = {"values": flat(model), "data": data.tolist(), "noise": noise.flatten().tolist()}
    seen = javascript(BOUND, asked | {"settings": {"variance": 0.04, "weight": 1}})
    apart("slopes of −ELBO", seen[0], slopes, 1e-11)
    apart("log p(x|z)", seen[1], log_likelihood.item(), 1e-11)
    apart("KL", seen[2], kl.item(), 1e-12)
    oracle = VAE(
        DiagonalEncoder(2, 32, 2, generator(0)), model.decoder, GaussianPixels(FixedVariance(0.04))
    ).double()
    oracle.encoder.forward = lambda x: DiagonalPosterior(*model.encoder(x).chunk(2, -1))
    terms = oracle(data, noise[None])
    apart(
        "ELBO of the package", (terms.log_likelihood - terms.kl).mean().item(), -loss.item(), 1e-12
    )


# Every number that a run draws comes from two lists, so that torch can draw the same.
ROUNDS = """({ uniforms, normals, points, settings, rounds }) => {
  const { generator } = VAE_LIVE;
  const [flat, bent] = [uniforms[Symbol.iterator](), normals[Symbol.iterator]()];
  const uniform = () => flat.next().value;
  const normal = () => bent.next().value;
  VAE_LIVE.generator = () => ({
    uniform, normal, normals: (count) => Float64Array.from({ length: count }, normal) });
  const run = VAE_LIVE.sideBySide.createRun(points, 1);
  VAE_LIVE.generator = generator;
  const start = [run.model, run.generator, run.discriminator, run.rival].map(
    ({ values }) => [...values]);
  const fine = Array.from({ length: rounds }, () => run.round(settings)).every(Boolean);
  const end = [run.model, run.generator, run.discriminator, run.rival].map(
    ({ values }) => [...values]);
  return { start, end, fine, steps: run.steps };
}"""


class Drawn:
    """The draws of a run, in the order in which the page uses them."""

    def __init__(self, uniforms, normals):
        self.uniforms, self.normals = iter(uniforms), iter(normals)

    def take(self, count):
        values = [next(self.normals) for _ in range(2 * count)]
        return torch.tensor(values, dtype=torch.float64).view(-1, 2)

    def data(self, points, deviation):
        rows = []
        for _ in range(BATCH):
            point = points[int(next(self.uniforms) * len(points))]
            rows.append([value + deviation * next(self.normals) for value in point])
        return torch.tensor(rows, dtype=torch.float64)


def loaded(module, values):
    vector_to_parameters(torch.tensor(values, dtype=torch.float64), module.double().parameters())
    return module


@pytest.mark.parametrize(("kind", "mix"), [("nonSaturating", 0), ("saturating", 2.5)])
def test_rounds_are_those_of_the_package_and_torch(kind, mix):
    settings = SETTINGS | {"loss": kind, "mix": mix}
    rounds, rate, deviation = 10, settings["rate"], settings["deviation"]
    random = np.random.default_rng(6)
    uniforms, numbers = random.random(20_000).tolist(), random.normal(size=20_000).tolist()
    found = javascript(
        ROUNDS,
        {"uniforms": uniforms, "normals": numbers, "points": RING, "settings": settings}
        | {"rounds": rounds},
    )
    assert found["fine"]
    assert found["steps"] == rounds
    model = loaded(Plane(generator(0)), found["start"][0])
    maker = loaded(Maker(network([2, 32, 32, 2], generator(0)), deviation), found["start"][1])
    judge, rival = (
        loaded(Logit(network([2, 32, 32, 1], generator(0))), found["start"][place])
        for place in (2, 3)
    )
    assert found["start"][1] == flat(model.decoder)
    assert found["start"][2] == found["start"][3]
    tell, fool = (
        make_discriminator_step(maker, judge),
        make_generator_step(maker, judge, LOSSES[kind]),
    )
    state = initial_players(maker, judge)
    bound = torch.optim.Adam(model.parameters(), lr=rate)
    against = torch.optim.Adam(rival.parameters(), lr=rate)
    begun = len(found["start"][0]) + len(found["start"][2])
    drawn = Drawn(uniforms[begun:], numbers)
    hybrid = Maker(model.decoder, deviation)
    for _ in range(rounds):
        for _ in range(settings["judgements"]):
            data = drawn.data(RING, deviation)
            pair = torch.cat([drawn.take(BATCH), drawn.take(BATCH)], -1)
            state = state._replace(discriminator=tell(state, rate, data, pair)[0])
            if mix:
                against.zero_grad()
                told = softplus(-rival(data)).mean() + softplus(rival(hybrid(pair).detach())).mean()
                told.backward()
                against.step()
        pair = torch.cat([drawn.take(BATCH), drawn.take(BATCH)], -1)
        state = state._replace(generator=fool(state, rate, data, pair)[0])
        bound.zero_grad()
        loss, *_ = model.loss(data, drawn.take(BATCH), deviation**2)
        if mix:
            loss = loss + mix * LOSSES[kind](rival(hybrid(pair))).mean()
        loss.backward()
        bound.step()
    ends = [
        flat(model),
        torch.cat([each.flatten() for each in state.generator.parameters.values()]),
        torch.cat([each.flatten() for each in state.discriminator.parameters.values()]),
        flat(rival),
    ]
    for name, seen, expected, start in zip(
        ("VAE", "generator", "discriminator", "rival"),
        found["end"],
        ends,
        found["start"],
        strict=True,
    ):
        apart(f"weights of the {name} after {rounds} rounds", seen, expected, 1e-10)
        assert (np.abs(np.subtract(seen, start)).max() > 0.01) == (name != "rival" or mix > 0)


# Of a run after some steps: its networks, both densities on their grid, and what is said of them.
STATE = """({ settings, steps, seed, points }) => {
  const { createRun, dissect } = VAE_LIVE.sideBySide;
  const { images, grid, density, finish } = VAE_LIVE.mixtures;
  const run = createRun(points, seed);
  for (let step = 0; step < steps; step += 1) run.round(settings);
  const { deviation } = settings;
  const both = [run.generator, run.model.decoder].map((net) => finish(images(net, deviation)));
  const square = grid([points.flat(), ...both.map(({ means }) => means)], deviation);
  const even = points.map(() => 1 / points.length);
  const p = finish(density(points.flat(), even, deviation, square));
  const made = both.map(({ means, weights }) => [
    ...finish(density(means, weights, deviation, square)),
  ]);
  return { generator: [...run.generator.values], decoder: [...run.model.decoder.values],
    discriminator: [...run.discriminator.values], rival: [...run.rival.values],
    grid: square, p: [...p], made, found: finish(dissect(run, settings)) };
}"""


@cache
def state(steps=100, mix=0, deviation=0.2):
    settings = SETTINGS | {"mix": mix, "deviation": deviation}
    asked = {"settings": settings, "steps": steps, "seed": 2, "points": RING}
    return javascript(STATE, asked)


def places(grid, finer=1):
    """The grid's lines, or some between them as well."""
    count = finer * (grid["count"] - 1) + 1
    return np.linspace(grid["low"], -grid["low"], count)


def mixture(means, weights, deviation, lines):
    """The density of round Gaussians on a square grid: (rows, columns), from below."""

    def bell(axis):
        off = (lines[:, None] - means[None, :, axis]) / deviation
        return np.exp(-0.5 * off**2) / (deviation * math.sqrt(2 * math.pi))

    return (bell(1) * weights) @ bell(0).T


def fine_images(values, count=200, end=5.0):
    """f on a lattice finer and wider than the page's, with the prior's weights."""
    decoder = loaded(network([2, 32, 32, 2], generator(0)), values).requires_grad_(False)
    line = torch.linspace(-end, end, count, dtype=torch.float64)
    z = torch.cartesian_prod(line, line)
    weights = torch.exp(-0.5 * z.square().sum(-1)) / (2 * math.pi) * (line[1] - line[0]) ** 2
    return decoder(z).numpy(), weights.numpy()


@pytest.mark.parametrize("deviation", [0.1, 0.2])
def test_densities_are_those_of_a_finer_lattice(deviation):
    held = state(deviation=deviation)
    lines = places(held["grid"])
    p = mixture(np.array(RING), np.full(8, 1 / 8), deviation, lines)
    apart("p", held["p"], p.flatten(), 1e-12)
    for name, seen in zip(("generator", "decoder"), held["made"], strict=True):
        expected = mixture(*fine_images(held[name]), deviation, lines)
        apart(f"p_g of the {name}", seen, expected.flatten(), 5e-4 * expected.max())


@pytest.mark.parametrize("mix", [0, 4])
def test_divergences_are_those_of_a_finer_grid_and_lattice(mix):
    held = state(mix=mix)
    lines = places(held["grid"], finer=2)
    p = mixture(np.array(RING), np.full(8, 1 / 8), 0.2, lines)
    area = (lines[1] - lines[0]) ** 2
    for name, key in (("generator", "gan"), ("decoder", "vae")):
        q = mixture(*fine_images(held[name]), 0.2, lines)
        middle, seen = (p + q) / 2, held["found"][key]
        away = [
            (left * np.log(left / right)).sum() * area
            for left, right in ((p, q), (q, p), (p, middle), (q, middle))
        ]
        apart(f"KL(p‖p_g) of the {name}", seen["forward"], away[0], 2e-3)
        apart(f"KL(p_g‖p) of the {name}", seen["reverse"], away[1], 2e-3)
        apart(f"JS of the {name}", seen["jensenShannon"], (away[2] + away[3]) / 2, 1e-5)
        assert abs(seen["missing"]) < 1e-4


def test_what_d_sees_is_its_value_and_never_more_than_the_js():
    held = state(mix=4)
    lines = places(held["grid"])
    square = torch.from_numpy(np.stack(np.meshgrid(lines, lines), -1).reshape(-1, 2))
    p = torch.tensor(held["p"], dtype=torch.float64)
    for name, key, made in (("discriminator", "gan", 0), ("rival", "vae", 1)):
        judge = loaded(network([2, 32, 32, 1], generator(0)), held[name])
        d = judge(square)[:, 0].sigmoid().detach()
        q = torch.tensor(held["made"][made], dtype=torch.float64)
        value = (p * d.log() + q * (1 - d).log()).sum() * (lines[1] - lines[0]) ** 2
        seen = held["found"][key]["seen"]
        apart(f"JS as the {name} sees it", seen, (value.item() + math.log(4)) / 2, 1e-10)
        assert seen < held["found"][key]["jensenShannon"]
    assert state()["found"]["vae"]["seen"] is None


def test_a_point_is_hit_where_p_g_has_a_quarter_of_what_p_has_near_it():
    held = state()
    lines = places(held["grid"])
    x, y = np.meshgrid(lines, lines)
    p = np.reshape(held["p"], x.shape)
    for key, made in (("gan", 0), ("vae", 1)):
        q = np.reshape(held["made"][made], x.shape)
        near = [np.hypot(x - a, y - b) <= 3 * 0.2 for a, b in RING]
        shares = [q[where].sum() / p[where].sum() for where in near]
        apart(f"shares of the {key}", held["found"][key]["shares"], shares, 1e-10)
        assert held["found"][key]["hits"] == sum(share >= 0.25 for share in shares)
    assert 0 < held["found"]["gan"]["hits"] < 8  # both answers are seen


GAUSSIAN = """({ weight, bias, point, slope, level, deviation }) => {
  const { layers, mixtures } = VAE_LIVE;
  const { images, grid, density, divergences, game, finish } = mixtures;
  const net = layers.create([2, 2], Float64Array.from([...weight, ...bias]));
  const judge = layers.create([2, 1], Float64Array.from([...slope, level]));
  const { means, weights } = finish(images(net, deviation));
  const square = grid([point, means], deviation);
  const p = finish(density(point, [1], deviation, square));
  const q = finish(density(means, weights, deviation, square));
  return { ...divergences(p, q, square), game: game(judge, p, q, square) };
}"""


def test_a_linear_generator_is_a_gaussian_with_divergences_in_closed_form():
    weight = torch.tensor([[0.4, -0.1], [0.2, 0.3]], dtype=torch.float64)
    bias, point = torch.tensor([[0.3, -0.2], [0.5, 0.4]], dtype=torch.float64)
    one = torch.eye(2, dtype=torch.float64)
    data = MultivariateNormal(point, 0.25**2 * one)
    made = MultivariateNormal(bias, weight @ weight.T + 0.25**2 * one)
    asked = {"weight": weight.flatten().tolist(), "bias": bias.tolist(), "point": point.tolist()}
    found = javascript(GAUSSIAN, asked | {"slope": [0, 0], "level": 0, "deviation": 0.25})
    apart("KL(p‖p_g)", found["forward"], kl_divergence(data, made), 1e-4)
    apart("KL(p_g‖p)", found["reverse"], kl_divergence(made, data), 1e-3)
    apart("the game of a D that says ½", found["game"], -math.log(4), 1e-4)


def test_the_best_discriminator_of_two_equal_gaussians_sees_all_of_js():
    """Λ alone makes p_g where f is constant: then log p − log p_g is linear in x."""
    bias, point = torch.tensor([[0.3, -0.2], [0.5, 0.4]], dtype=torch.float64)
    slope = (point - bias) / 0.25**2
    level = (bias.square().sum() - point.square().sum()) / (2 * 0.25**2)
    asked = {"weight": [0, 0, 0, 0], "bias": bias.tolist(), "point": point.tolist()}
    asked |= {"slope": slope.tolist(), "level": level.item(), "deviation": 0.25}
    found = javascript(GAUSSIAN, asked)
    apart("JS", (found["game"] + math.log(4)) / 2, found["jensenShannon"], 1e-7)
    away = (point - bias).square().sum().item() / 0.25**2
    apart("KL", found["forward"], away / 2, 1e-6)


def test_points_in_the_address_come_back_and_nonsense_does_not():
    both = f"(points) => {SIDE}.list({SIDE}.text(points))"
    for name in ("ring", "arcs", "digit", "cluster"):
        points = javascript(f"{SIDE}.PRESETS.{name}")
        assert javascript(both, points) == points
        assert len({tuple(point) for point in points}) == len(points) <= 40
        assert np.abs(points).max() <= 2
    for nonsense in ("0", "00000", "zzzz", "<x>1", "2b00", "0a0-", "0a0b" * 41):
        assert javascript(f"(text) => {SIDE}.list(text)", nonsense) is None, nonsense
    assert javascript(f"{SIDE}.list('2800')") == [[2, -2]]


def test_a_place_is_the_nearest_of_the_lattice_and_within_its_limits():
    snapped = javascript(f"[[0.12, -0.13], [7, -7], [0.024, 0.026]].map({SIDE}.snap)")
    assert snapped == [[0.1, -0.15], [2, -2], [0, 0.05]]


LAB = """(wanted) => {
  let clock = 0;
  window.performance = { now: () => (clock += 4) }; // a slice is three pieces of work
  const { createLab, PRESETS } = VAE_LIVE.sideBySide;
  const settings = { rate: 0.002, judgements: 1, deviation: 0.3, loss: "saturating", mix: 0 };
  const lab = createLab(settings, PRESETS.ring, 1);
  const say = [lab.waits()];
  lab.start(true);
  for (let turn = 0; turn < 160; turn += 1) lab.slice();
  say.push(lab.history.length > 1, lab.run.steps > 3);
  lab.start(false);
  while (lab.slice());
  say.push(lab.latest.step === lab.run.steps, lab.latest.gan.shares.length);
  lab.place(PRESETS.arcs);
  say.push(lab.latest, lab.waits());
  lab.slice(); // the measurement of the arcs has begun
  lab.place(PRESETS.cluster);
  while (lab.slice());
  say.push(lab.latest.gan.shares.length, lab.history.filter(
    ({ step }) => step === lab.run.steps).length);
  lab.settings = { ...settings, deviation: 0.4 };
  say.push(lab.latest);
  while (lab.slice());
  say.push(lab.latest.deviation);
  const kept = lab.history.length;
  lab.again(4);
  say.push(lab.former.length === kept, lab.history.length, lab.run.steps, lab.waits());
  lab.settings = { ...settings, rate: Infinity };
  lab.start(true);
  for (let turn = 0; turn < 50 && lab.slice(); turn += 1);
  say.push(lab.failed, lab.running);
  lab.start(true);
  say.push(lab.running, lab.slice());
  return say;
}"""


def test_the_lab_measures_what_it_has_and_drops_what_is_of_other_points():
    said = [False, True, True, True, 8, None, True, 7, 1, None, 0.4, True, 0, 0, False]
    assert javascript(LAB, None) == [*said, True, False, False, False]


def test_a_run_is_the_same_for_the_same_seed_and_another_for_another():
    script = f"""(seed) => {{ const run = {SIDE}.createRun({SIDE}.PRESETS.ring, seed);
      run.round({{ rate: 0.01, judgements: 1, deviation: 0.2, loss: "saturating", mix: 0 }});
      return [...run.generator.values]; }}"""
    first = javascript(script, 1)
    assert javascript(script, 1) == first
    assert javascript(script, 2) != first
