"""The oracle's files against quadratures, draws and searches that share no code with their maker.

The log-densities are those of the loader, in numpy, which another test compares with torch.
"""

import base64
import copy
import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import sklearn.datasets
import torch
from safetensors.numpy import load_file, save_file
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from vae_tutorial import oracle
from vae_tutorial.data import load_digits
from vae_tutorial.oracle import exact, recipes

ROOT = Path(__file__).parents[1]
VALID = jsonschema.Draft202012Validator(json.loads(oracle.SCHEMA.read_text("utf-8")))
FEW = 5  # images of a case in the fast tests
REACH, FAR = 20.0, 40.0  # deviations of the posterior that a box holds on each side
SIDES = (81, 101, 161, 321, 641, 1281)  # nodes on each axis of such a box
UNCHANGED = 2e-10  # nats
SQUARES = {"line": 8001, "collapsed": 121}  # nodes on each axis of [−9, 9], where that is enough
FINE = 2401  # the same, where no box was enough
PERIOD_SIDE = 240  # nodes on each axis of a period
SHIPPED = [name for name in oracle.NAMES if name != "mnist"]
MNIST = Path(os.environ.get("VAE_TUTORIAL_DATA", "~/.cache/vae-tutorial")).expanduser() / "mnist"
FILES = [MNIST / f"t10k-images-idx3-ubyte{ending}" for ending in ("", ".gz")]
FILE = next((path for path in FILES if path.is_file()), None)

each_case = pytest.mark.parametrize("name", oracle.NAMES)
each_shipped = pytest.mark.parametrize("name", SHIPPED)
load = cache(oracle.load)


@cache
def images(name):
    if name == "mnist" and FILE is None:
        pytest.skip("needs MNIST in the cache folder")
    return oracle.images(load(name), FILE)


def contents(name):
    return json.loads((oracle.FOLDER / f"{name}.json").read_text("utf-8"))


def equal_steps(low, high, side):
    """Nodes (n, latent) and the weight that they share, of equal steps with nothing at the ends."""
    axes = [np.linspace(*ends, side) for ends in zip(low, high, strict=True)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return nodes, float(np.prod([axis[1] - axis[0] for axis in axes]))


def log_joint(model, x, nodes):
    """log p(x, z) of images (batch, pixels) at nodes (n, latent), a part at a time: (n, batch)."""
    parts = []
    for part in np.array_split(nodes, max(1, len(nodes) // 20_000)):
        decoded, log_prior = model.decode(part), norm.logpdf(part).sum(-1)
        if model.log_variance is None:
            likelihood = decoded @ x.T - np.logaddexp(0, decoded).sum(-1)[:, None]
        else:
            squares = [((decoded - one) ** 2).sum(-1) for one in x]
            variance, size = np.exp(model.log_variance), x.shape[1]
            likelihood = np.stack(squares, -1) / -2 / variance
            likelihood -= size / 2 * np.log(2 * np.pi * variance)
        parts.append(likelihood + log_prior[:, None])
    return np.concatenate(parts)


def summed(heights, nodes, weight):
    """log p(x), mean and covariance of one image from log p(x, z) at nodes of equal weight."""
    total = logsumexp(heights)
    share = np.exp(heights - total)
    mean = share @ nodes
    centred = nodes - mean
    return total + np.log(weight), mean, np.einsum("n,ni,nj->ij", share, centred, centred)


def agrees(truth, row, found):
    log_evidence, mean, covariance = found
    assert abs(log_evidence - truth.log_evidence[row]) <= truth.error[row]
    assert np.abs(mean - truth.mean[row]).max() <= truth.moment_error[row]
    assert np.abs(covariance - truth.covariance[row]).max() <= truth.moment_error[row]


def on_a_square(case, x, side):
    """By equal steps on [−9, 9] along each axis, the posteriors of several images at a time."""
    latent = case.model.latent
    nodes, weight = equal_steps([-9] * latent, [9] * latent, side)
    return [summed(column, nodes, weight) for column in log_joint(case.model, x, nodes).T]


def around(case, x, mean, covariance, reach):
    """By equal steps of ε, z = mean + root ε, of one image; finer until log p(x) is unchanged.

    Where it never is, because a mode lies far away, by fine steps on a square.
    """
    root, found = np.linalg.cholesky(covariance), [np.inf]
    ends = np.full(case.model.latent, reach)
    for side in SIDES:
        noise, weight = equal_steps(-ends, ends, side)
        nodes, before = mean + noise @ root.T, found[0]
        heights = log_joint(case.model, x[None], nodes)[:, 0]
        found = summed(heights, nodes, weight * np.linalg.det(root))
        if abs(found[0] - before) < UNCHANGED:
            return found
    return on_a_square(case, x[None], FINE)[0]


def folded(case, x):
    """By equal steps on one period, each node with the prior of all its copies and their z, z²."""
    period = 2 * np.pi / case.model.fold
    step = period / PERIOD_SIDE
    axis = step * np.arange(PERIOD_SIDE)
    copies = axis[:, None] + period * np.arange(-6, 7)
    zeroth, first, second = ((norm.pdf(copies) * copies**k).sum(1) * step for k in range(3))
    nodes = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    table = log_joint(case.model, x, nodes) - norm.logpdf(nodes).sum(-1)[:, None]
    for column in table.T:
        likelihood = np.exp(column - column.max()).reshape(PERIOD_SIDE, PERIOD_SIDE)
        total = zeroth @ likelihood @ zeroth
        mean = np.array([first @ likelihood @ zeroth, zeroth @ likelihood @ first]) / total
        both = first @ likelihood @ first
        squares = [
            [second @ likelihood @ zeroth, both],
            [both, zeroth @ likelihood @ second],
        ]
        covariance = np.array(squares) / total - np.outer(mean, mean)
        yield column.max() + np.log(total), mean, covariance


def by_equal_steps(name, rows, reach=REACH):
    """log p(x), mean and covariance of some images of a case."""
    case, x = load(name), images(name)[rows]
    if name == "folded":
        return [*folded(case, x)]
    if name in SQUARES:
        return on_a_square(case, x, SQUARES[name])
    moments = zip(case.truth.mean[rows], case.truth.covariance[rows], strict=True)
    return [around(case, one, *pair, reach) for one, pair in zip(x, moments, strict=True)]


@each_shipped
def test_log_evidence_and_moments_by_equal_steps(name):
    rows = range(1 if name == "drawn" else FEW)
    for row, found in zip(rows, by_equal_steps(name, rows), strict=True):
        agrees(load(name).truth, row, found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "folded", "collapsed", "line"])
def test_log_evidence_and_moments_of_every_image_by_equal_steps(name):
    for row in range(len(images(name))):
        agrees(load(name).truth, row, by_equal_steps(name, [row], FAR)[0])


def by_scipy(name, row):
    """log p(x) and its error by scipy's cubature, on the box that holds the posterior."""
    case, x = load(name), images(name)[row : row + 1]
    truth, latent = case.truth, case.model.latent
    scale = truth.log_evidence[row]
    if name == "folded":  # scipy is told where the cells of the fold are, not what is in them
        period = 2 * np.pi / recipes.FREQUENCY
        shift = truth.mean[row] % period + period / 2
        cuts = [np.array([-8, *(s + period * np.arange(-4, 4)), 8]) for s in shift]
    else:
        # Around the mean, and elsewhere small enough for a mode of small mass to be seen.
        deviation = np.sqrt(np.diag(truth.covariance[row]))
        cuts = [
            np.unique(np.clip([-9, *range(-4, 5), m - 8 * d, m + 8 * d, 9], -9, 9))
            for m, d in zip(truth.mean[row], deviation, strict=True)
        ]
    total = error = 0.0
    boxes = [list(pairwise(cut)) for cut in cuts]
    for box in boxes[0] if latent == 1 else [(a, b) for a in boxes[0] for b in boxes[1]]:
        low, high = np.transpose([box] if latent == 1 else box)
        found = scipy.integrate.cubature(
            lambda z: np.exp(log_joint(case.model, x, z)[:, 0] - scale),
            low,
            high,
            rtol=1e-10,
            atol=1e-12,
            max_subdivisions=3000,
        )
        total, error = total + float(found.estimate), error + float(found.error)
    return scale + np.log(total), error / total


def test_log_evidence_by_scipy():
    for name, row in (("line", 3), ("digits", 2), ("collapsed", 1)):
        found, error = by_scipy(name, row)
        assert error < 1e-8
        assert abs(found - load(name).truth.log_evidence[row]) <= load(name).truth.error[row]


@pytest.mark.slow
@each_case
def test_log_evidence_of_twenty_images_by_scipy(name):
    images(name)  # skips where there is no MNIST
    dear = {"drawn": 10, "folded": 6}  # seconds an image
    for row in range(dear.get(name, 20)):
        found, error = by_scipy(name, row)
        assert error < 1e-8
        assert abs(found - load(name).truth.log_evidence[row]) <= load(name).truth.error[row]


def bound(case, x, mean, root):
    """The bound of q = N(mean, root rootᵀ), by scipy's log-density and equal steps of the noise."""
    latent = case.model.latent
    noise, weight = equal_steps([-8] * latent, [8] * latent, 1601 if latent == 1 else 81)
    z = mean + noise @ root.T
    log_q = multivariate_normal(mean, root @ root.T).logpdf(z)
    log_weight = log_joint(case.model, x[None], z)[:, 0] - log_q
    return np.exp(norm.logpdf(noise).sum(-1)) @ log_weight * weight


def posteriors(case, row):
    """The three q of an image: the encoder's, the best diagonal, the best full one."""
    encoder = case.model.encode(images(case.name)[row])
    best = case.best
    return [
        (encoder.mean, np.diag(np.exp(encoder.log_variance / 2))),
        (best.diagonal.mean[row], np.diag(np.exp(best.diagonal.log_variance[row] / 2))),
        (best.full_mean[row], best.full_root[row]),
    ]


@each_shipped
def test_bounds_by_equal_steps(name):
    case = load(name)
    for row in range(1 if name == "drawn" else 2):
        for which, q in enumerate(posteriors(case, row)):
            found = bound(case, images(name)[row], *q)
            assert abs(found - case.truth.elbo[which, row]) <= 2 * case.truth.elbo_error[which, row]


@pytest.mark.slow
@each_shipped
def test_bounds_of_every_image_by_equal_steps(name):
    case = load(name)
    for row, x in enumerate(images(name)):
        for which, q in enumerate(posteriors(case, row)):
            error = case.truth.elbo_error[which, row]
            assert abs(bound(case, x, *q) - case.truth.elbo[which, row]) <= 2 * error


@pytest.mark.parametrize("name", ["line", "digits", "folded", "collapsed"])
def test_no_neighbour_of_the_best_gaussian_is_better(name):
    case = load(name)
    for row in range(2):
        x = images(name)[row]
        for which, (mean, root) in enumerate(posteriors(case, row)[1:], 1):
            top = case.truth.elbo[which, row]
            for step in (-0.05, 0.05):
                for axis in range(case.model.latent):
                    moved = mean + step * root[:, axis]
                    assert bound(case, x, moved, root) < top
                    stretch = np.eye(len(root))
                    stretch[axis, axis] += step
                    assert bound(case, x, mean, root @ stretch) < top


def drawn_bounds(name, samples, repetitions):
    """L_K of the encoder's q by draws, an average over the images of a case: (repetitions,)."""
    case, x = load(name), images(name)
    q, random = case.model.encode(x), np.random.default_rng(0)
    deviation = np.exp(q.log_variance / 2)
    for _ in range(repetitions):
        z = q.mean + deviation * random.standard_normal((samples, *q.mean.shape))
        log_q = norm(q.mean, deviation).logpdf(z).sum(-1)
        weights = case.model.log_joint(x, z) - log_q
        yield (logsumexp(weights, 0) - np.log(samples)).mean()


def holds_up(name, which, found):
    """Whether the stated L_K lies within five standard errors of repeated draws."""
    found, stated = np.array([*found]), load(name).truth.importance_bound[which].mean()
    return abs(found.mean() - stated) < 5 * found.std(ddof=1) / np.sqrt(len(found))


@pytest.mark.parametrize("name", ["line", "digits"])
def test_importance_bounds_by_draws(name):
    assert holds_up(name, 0, drawn_bounds(name, 10, 40))
    assert holds_up(name, 1, drawn_bounds(name, 100, 8))


@pytest.mark.slow
@each_shipped
def test_every_importance_bound_by_draws(name):
    for which, samples in enumerate(oracle.SAMPLES):
        assert holds_up(name, which, drawn_bounds(name, samples, 30))


@pytest.mark.slow
@each_shipped
def test_the_same_is_computed_again(name):
    """All that is stated of some images, from the weights; another block has another mesh."""
    found = exact.measure(recipes.model(name), torch.from_numpy(images(name)[:FEW]))
    truth = load(name).truth
    assert found["modes"].tolist() == truth.modes[:FEW].tolist()
    moments = (("mean", "moment_error"), ("covariance", "moment_error"))
    for field, error in (("log_evidence", "error"), *moments):
        off = np.abs(found[field].numpy() - getattr(truth, field)[:FEW])
        assert (off.reshape(FEW, -1).max(1) <= 2 * getattr(truth, error)[:FEW]).all()
    for field, error in (("elbo", "elbo_error"), ("importance_bound", "importance_error")):
        off = np.abs(found[field].numpy().T - getattr(truth, field)[:, :FEW])
        assert (off <= 2 * getattr(truth, error)[:, :FEW] + 1e-6).all()


@each_case
def test_the_stated_values_fit_each_other(name):
    truth = load(name).truth
    # A climb sums the bound with 12 nodes an axis, and so misses the top by up to 1e-5.
    assert (truth.gaps[:2] >= -1e-5).all()
    assert (truth.gaps[2] >= -(truth.elbo_error[2] + truth.error)).all()
    np.testing.assert_allclose(truth.gaps.sum(0), truth.log_evidence - truth.elbo[0], atol=1e-9)
    rising = np.concatenate([truth.elbo[:1], truth.importance_bound, truth.log_evidence[None]])
    worst = truth.importance_error.max(0) + truth.elbo_error[0]
    assert (np.diff(rising, axis=0) >= -2 * worst).all()
    np.testing.assert_array_equal(truth.covariance, truth.covariance.swapaxes(1, 2))
    assert (np.linalg.eigvalsh(truth.covariance) > 0).all()
    assert (truth.error < 1e-8).all()
    assert (truth.moment_error < 1e-5).all()
    assert (truth.elbo_error < 1e-7).all()
    assert (truth.importance_error < 0.02).all()


def tops(model, x):
    """The tops of the posterior that scipy climbs to from a lattice, at least 1/100 of the best."""
    found: list = []
    lattice = np.linspace(-3.6, 3.6, 13)
    for start in np.stack(np.meshgrid(lattice, lattice), -1).reshape(-1, 2):
        end = scipy.optimize.minimize(lambda z: -model.log_joint(x, z), start, method="BFGS")
        if all(np.abs(end.x - z).max() > 0.01 for z, _ in found):
            found.append((end.x, -end.fun))
    highest = max(height for _, height in found)
    return [z for z, height in found if height > highest - np.log(100)]


def test_folded_posteriors_have_many_modes():
    truth = load("folded").truth
    assert (truth.modes >= 7).all()
    period = 2 * np.pi / recipes.FREQUENCY  # a copy a period away explains the image as well
    case, x, z = load("folded"), images("folded")[0], truth.mean[0]
    apart = z + np.array([0, period])
    here, there = (case.model.log_likelihood(x, place) for place in (z, apart))
    assert here == pytest.approx(there, rel=1e-12)


@pytest.mark.slow
def test_the_number_of_modes_by_climbs():
    case = load("folded")
    for row in range(FEW):
        assert len(tops(case.model, images("folded")[row])) == case.truth.modes[row]


def test_a_collapsed_posterior_is_nearly_the_prior():
    """And log p(x) nearly that of one Gaussian around the average training digit."""
    case, x = load("collapsed"), images("collapsed")
    average = load_digits(torch.float64).train.mean(0).numpy()
    alone = multivariate_normal(average, np.eye(64)).logpdf(x)
    assert np.abs(case.truth.log_evidence - alone).max() < 0.15
    assert np.abs(case.truth.covariance - np.eye(2)).max() < 0.05
    assert case.truth.gaps.sum(0).max() < 0.005


@each_shipped
def test_the_numpy_model_is_the_torch_model(name):
    case, model = load(name), recipes.model(name)
    x = images(name)[:FEW]
    z = np.random.default_rng(0).standard_normal((3, FEW, case.model.latent))
    ours, theirs = case.model.encode(x), model.encoder(torch.from_numpy(x))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        case.model.decode(z), model.decoder(torch.from_numpy(z)), rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(
        case.model.log_likelihood(x, z),
        model.log_likelihood(torch.from_numpy(x), torch.from_numpy(z)),
        rtol=1e-10,
    )
    np.testing.assert_allclose(
        case.model.log_joint(x, z) - case.model.log_likelihood(x, z),
        norm.logpdf(z).sum(-1),
        rtol=1e-9,
    )


NUMPY_ALONE = """
import sys
from importlib.metadata import packages_distributions
others = {name for name, of in packages_distributions().items() if set(of) != {"numpy"}}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in others - {"vae_tutorial"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Refuse())
from vae_tutorial import oracle
for name in oracle.NAMES:
    case = oracle.load(name)
    if name != "mnist":
        x = oracle.images(case)
        print(case.model.log_likelihood(x, case.model.encode(x).mean).shape)
for blocked in ("torch", "scipy", "sklearn", "safetensors"):
    assert blocked in others
    assert blocked not in sys.modules
"""


def test_the_loader_needs_numpy_alone():
    done = subprocess.run(
        [sys.executable, "-c", NUMPY_ALONE],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["(100,)", "(30,)", *["(100,)"] * 3]


@each_case
def test_a_file_has_the_form_that_its_schema_states(name):
    stored = contents(name)
    assert VALID.is_valid(stored)
    assert stored["name"] == name
    lengths = {len(values) for values in stored["best"].values()}
    lengths |= {len(stored["truth"][key]) for key in ("log_evidence", "error", "mean", "modes")}
    lengths |= {len(row) for key in ("elbo", "importance_bound") for row in stored["truth"][key]}
    assert lengths == {30 if name == "drawn" else 100}


@pytest.mark.parametrize(
    "damage",
    [
        lambda stored: stored.pop("truth"),
        lambda stored: stored["truth"].pop("error"),
        lambda stored: stored["truth"]["error"].__setitem__(0, -1.0),
        lambda stored: stored["truth"]["modes"].__setitem__(0, 1.5),
        lambda stored: stored["truth"]["elbo"].pop(),
        lambda stored: stored["model"].update(sha256="0"),
        lambda stored: stored["images"].update(kind="unknown"),
        lambda stored: stored["images"].pop("levels"),
        lambda stored: stored.update(more=1),
    ],
)
def test_the_schema_refuses_what_is_damaged(damage):
    stored = contents("line")
    damage(stored)
    assert not VALID.is_valid(stored)


@pytest.mark.parametrize("name", sorted(set(recipes.CASES.values())))
def test_weights_are_read_as_safetensors_reads_them(name):
    path = recipes.file_of(next(case for case, of in recipes.CASES.items() if of == name))
    ours, theirs = oracle.tensors(path.read_bytes()), load_file(path)
    assert ours.keys() == theirs.keys()
    for key, expected in theirs.items():
        assert ours[key].dtype == expected.dtype
        np.testing.assert_array_equal(ours[key], expected)


@pytest.mark.parametrize("name", ["digits", "folded", "collapsed", "line"])
def test_shipped_digits_are_rows_of_scikit_learn(name):
    source, pixels = load(name).source, sklearn.datasets.load_digits().data
    shipped = pixels[source["rows"]] / 16
    np.testing.assert_array_equal(images(name), shipped > 0.5 if name == "line" else shipped)
    assert "CC BY 4.0" in source["licence"]


def test_the_digits_are_the_first_of_the_test_set():
    test = load_digits(torch.float64).test[:100].numpy()
    np.testing.assert_array_equal(images("digits"), test)
    np.testing.assert_array_equal(images("folded"), test)
    np.testing.assert_array_equal(images("line"), test > 0.5)


def test_drawn_images_come_from_the_places_that_are_stated():
    """At its own z an image is as likely as images from there are: a mean of standard scores."""
    case, x = load("drawn"), images("drawn")
    z = np.array(case.source["z"])
    logits = case.model.decode(z)
    probability = 1 / (1 + np.exp(-logits))
    entropy = -(probability * np.log(probability) + (1 - probability) * np.log1p(-probability))
    variance = (probability * (1 - probability) * logits**2).sum(-1)
    scores = (case.model.log_likelihood(x, z) + entropy.sum(-1)) / np.sqrt(variance)
    assert abs(scores.mean()) < 5 / np.sqrt(len(scores))
    assert 0.5 < scores.std() < 1.7


@pytest.mark.skipif(FILE is None, reason="needs MNIST in the cache folder")
def test_mnist_is_binarized_by_its_grey_levels():
    x = images("mnist")
    assert set(np.unique(x)) == {0.0, 1.0}
    assert x.shape == (100, 784)


def test_mnist_needs_its_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="mnist must be the path of t10k-images-idx3"):
        oracle.images(load("mnist"))
    (tmp_path / "other").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"other has the SHA-256 \w+, needed 0fa7898d"):
        oracle.images(load("mnist"), tmp_path / "other")


def test_the_same_numbers_binarize_everywhere():
    """RandomState's stream is frozen; its first numbers are in numpy's own documentation."""
    uniform = [0.5488135, 0.71518937, 0.60276338]  # of seed 0
    for shift, expected in ((1e-7, 1), (-1e-7, 0)):
        found = oracle.binarize(np.array(uniform) + shift, 0)
        assert found.tolist() == [expected] * 3


def test_another_image_is_refused():
    case = load("line")
    source = copy.deepcopy(case.source)
    levels = bytearray(base64.b64decode(source["levels"]))
    levels[0] ^= 1
    source["levels"] = base64.b64encode(levels).decode()
    with pytest.raises(ValueError, match="the images of line have the SHA-256"):
        oracle.images(case._replace(source=source))


def test_other_weights_are_refused(tmp_path):
    weights = load_file(oracle.FOLDER / "line.safetensors")
    weights["decoder.0.bias"][0] += 1e-9
    save_file(weights, tmp_path / "line.safetensors")
    (tmp_path / "line.json").write_text(json.dumps(contents("line")), "utf-8")
    with pytest.raises(ValueError, match=r"line\.safetensors has the SHA-256"):
        oracle.load("line", tmp_path)


def test_an_unknown_case():
    with pytest.raises(ValueError, match=r"the oracle has digits, mnist, .*, got 'celeba'"):
        oracle.load("celeba")


def test_a_score_counts_what_is_off():
    case = load("line")
    truth = case.truth.log_evidence
    off = np.where(np.arange(100) < 50, 0.5, -1.5)
    found = oracle.score(case, truth + off)
    assert found.mean_error == pytest.approx(-0.5)
    assert found.standard_error == pytest.approx(off.std(ddof=1) / 10)
    assert found.root_mean_square == pytest.approx(np.sqrt((0.25 + 2.25) / 2))
    assert found.worst == pytest.approx(1.5)
    assert found.above == 50
    with pytest.raises(ValueError, match=r"estimate must be \(100,\), .* got shape \(3,\)"):
        oracle.score(case, truth[:3])
    with pytest.raises(ValueError, match="estimate must be finite"):
        oracle.score(case, truth + np.nan)


def test_the_files_are_small():
    files = [path for path in oracle.FOLDER.iterdir() if path.suffix in (".json", ".safetensors")]
    assert len(files) == 6 + 1 + 3
    assert sum(path.stat().st_size for path in files) < 1_000_000


def test_each_file_says_which_weights_it_is_of():
    for name in oracle.NAMES:
        said = contents(name)["model"]
        path = (oracle.FOLDER / said["file"]).resolve()
        assert path == recipes.file_of(name).resolve()
        assert hashlib.sha256(path.read_bytes()).hexdigest() == said["sha256"]
