"""What the latent pads compute, in V8 alone: decoders, posteriors, walks, against torch."""

import json

import export_live
import export_pads
import numpy as np
import pytest
import torch
from scripts import apart, computed

from vae_tutorial import pretrained
from vae_tutorial.data import load_digits
from vae_tutorial.gaussians import log_normal

PAD, MNIST = computed("latent-pad"), computed("mnist-pad")
DIGITS = load_digits(torch.float64)
LATENTS = 1.5 * torch.randn(2000, 2, generator=torch.Generator().manual_seed(6)).double()
DECODE = "zs => zs.map(z => [...VAE_LIVE.decode(z)])"
RESULTS = json.loads((export_live.BOOK / "results" / "mnist-pad.json").read_text("utf-8"))


def test_the_decoder_of_chapter_9_agrees_with_torch_at_two_thousand_latents():
    seen = PAD.evaluate(DECODE, LATENTS.tolist())
    apart("decoder, 2,000 latents", seen, export_pads.chapter_9().decode(LATENTS), 1e-5)


def rounded(model):
    """The kept network with each weight on a grid of 255 levels for its output, in float64."""
    model = model.double()
    for layer in export_pads.linear(model):
        step = layer.weight.abs().amax(1, keepdim=True).float() / 127
        layer.weight.copy_((layer.weight.float() / step).round() * step)
    return model


def test_the_decoder_of_the_landing_page_agrees_with_torch_and_a_byte_is_enough():
    seen = MNIST.evaluate(DECODE, LATENTS[:500].tolist())
    model, _ = pretrained.mnist()
    kept = model.decode(LATENTS[:500].float())
    off = (torch.tensor(seen) - kept).abs()
    print(f"a byte a weight moves a pixel by at most {off.max():.3f}, {off.mean():.4f} on average")
    assert off.max() < 0.05
    assert off.mean() < 0.002
    apart("decoder, 500 latents", seen, rounded(model).decode(LATENTS[:500]), 1e-5)


def test_the_tiles_are_the_middles_of_an_even_grid_from_the_top_left():
    sides = {"x": [-1, 2], "y": [0, 6]}
    seen = PAD.evaluate("sides => VAE_LIVE.tiles(sides, 3)", sides)
    rows = [[x, y] for y in (5, 3, 1) for x in (-0.5, 0.5, 1.5)]
    apart("tiles", seen, rows, 1e-12)


@pytest.mark.parametrize("index", [0, 77, 1499])
def test_a_digit_and_its_ellipse_are_those_of_the_encoder(index):
    digit = PAD.evaluate("i => VAE_LIVE.digit(i)", index)
    x = DIGITS.train[index]
    posterior = export_pads.chapter_9().encoder(x[None])
    assert digit["label"] == DIGITS.train_labels[index]
    apart("pixels", digit["pixels"], x, 0)
    apart("mean", digit["mean"], posterior.mean[0], 1e-6)
    ellipse = "d => VAE_LIVE.ellipse(d.mean, d.logVariance)"
    points = torch.tensor(PAD.evaluate(ellipse, digit)).T.double()  # (61, 2)
    sigma = (posterior.log_variance[0] / 2).exp()
    away = ((points - posterior.mean[0]) / sigma).norm(dim=-1)
    apart("deviations from the mean", away, torch.full((61,), 2.0), 1e-4)
    assert points.std(0).min() > 0


def test_the_log_density_of_a_digit_and_its_cause_agrees_with_torch():
    model, x = export_pads.chapter_9(), DIGITS.train[:50]
    z = LATENTS[:50]
    pairs = list(zip(x.tolist(), z.tolist(), strict=True))
    seen = PAD.evaluate("pairs => pairs.map(([x, z]) => VAE_LIVE.logJoint(x, z))", pairs)
    variance = model.likelihood.variance.log_variance
    prior = torch.distributions.Normal(torch.zeros(2).double(), torch.ones(2).double())
    expected = log_normal(x, model.decode(z), variance) + prior.log_prob(z).sum(-1)
    apart("log p(x, z)", seen, expected, 1e-3)  # weights are float32 there; values reach hundreds


def test_the_nearest_digits_are_those_of_torch_and_named_by_class():
    script = """zs => zs.map((z) => {
        const near = VAE_LIVE.nearest(VAE_LIVE.float32(VAE_WEIGHTS.means), z, 15);
        return [near, VAE_LIVE.company([...VAE_DIGITS.trainLabels].map(Number), near)];
    })"""
    distances = torch.cdist(LATENTS[:200], export_pads.chapter_9().encoder(DIGITS.train).mean)
    nearest = distances.topk(15, largest=False)
    for (near, company), far, indices in zip(
        PAD.evaluate(script, LATENTS[:200].tolist()), nearest.values, nearest.indices, strict=True
    ):
        apart("distance", [each["distance"] for each in near], far, 1e-6)
        counts = DIGITS.train_labels[indices].bincount(minlength=10)
        assert company["counts"] == counts.tolist()
        if far[0] > 0.5:
            assert company["words"] == "far from every digit"
        else:
            assert f"{counts.argmax()}s" in company["words"]
            assert ("among" in company["words"]) == bool(counts.max() > 10)


def test_a_walk_is_straight_and_ends_where_it_should():
    script = "([a, b]) => [0, 0.25, 1].map((share) => VAE_LIVE.along(a, b, share))"
    ends = [[1.0, -2.0], [3.0, 2.0]]
    apart("line", PAD.evaluate(script, ends), [ends[0], [1.5, -1.0], ends[1]], 1e-12)


@pytest.mark.parametrize(
    ("page", "held", "labels"),
    [(PAD, "VAE_WEIGHTS", "VAE_DIGITS.trainLabels"), (MNIST, "VAE_MNIST", "VAE_MNIST.labels")],
)
def test_a_walk_starts_among_its_own_kind(page, held, labels):
    hearts = page.evaluate(f"{held}.hearts")
    labels = np.array(page.evaluate(f"[...{labels}].map(Number)"))
    assert labels[hearts].tolist() == list(range(10))
    places = np.array(page.evaluate(f"[...VAE_LIVE.float32({held}.means)]")).reshape(-1, 2)
    for digit, index in enumerate(hearts):
        near = np.linalg.norm(places - places[index], axis=1).argsort()[:15]
        alike = (labels[near] == digit).sum()
        assert alike == np.bincount(labels[near], minlength=10).max()


def test_posteriors_are_wide_where_the_decoder_changes_slowly():
    """What chapter 9 says of the ellipses: Spearman's correlation over the training digits."""
    model = export_pads.chapter_9()
    posterior = model.encoder(DIGITS.train)
    slope = torch.vmap(torch.func.jacrev(model.decoder))(posterior.mean)  # (1500, 64, 2)
    precision = slope.mT @ slope / model.likelihood.variance.log_variance.exp() + torch.eye(2)
    ranks = torch.stack([-posterior.log_variance.sum(-1), precision.logdet()]).argsort().argsort()
    correlation = ranks.double().corrcoef()[0, 1]
    print(f"size of q against the decoder's slope: {correlation:.2f}")
    assert correlation > 0.6


def test_most_digits_have_a_better_place_than_the_encoders_mean():
    """What chapter 9 says of log p(x, z): the best of a mesh against μ(x), training digits."""
    model = export_pads.chapter_9()
    x, means = DIGITS.train, model.encoder(DIGITS.train).mean
    side = torch.linspace(-3.3, 3.4, 135, dtype=torch.float64)  # steps of 0.05, as on the page
    mesh = torch.cartesian_prod(side, side)
    prior = torch.distributions.Normal(torch.zeros(2).double(), torch.ones(2).double())

    def log_joint(at):
        return prior.log_prob(at).sum(-1)

    variance = model.likelihood.variance.log_variance
    table = -(torch.cdist(x, model.decode(mesh)) ** 2) / (2 * variance.exp()) + log_joint(mesh)
    at_mean = -((x - model.decode(means)) ** 2).sum(-1) / (2 * variance.exp()) + log_joint(means)
    best = table.max(-1)
    gain = best.values - at_mean
    away = (mesh[best.indices] - means).norm(dim=-1)
    print(
        f"gain: median {gain.median():.2f}, above 0.1 in {(gain > 0.1).double().mean():.0%};"
        f" median distance {away.median():.2f}"
    )
    assert (gain > 0.1).double().mean() > 0.8
    assert away.median() < 0.5


def test_the_landing_page_says_what_was_measured():
    index = (export_live.BOOK / "index.md").read_text("utf-8")
    rows = json.loads((export_live.BOOK / "results" / "published.json").read_text("utf-8"))["rows"]
    (fifty,) = (row for row in rows if row["run"] == "elbo-1-seed-0")
    assert fifty["latent"] == 50
    assert RESULTS["images"] == fifty["images"] == 10_000
    for elbo in (RESULTS["elbo"], fifty["elbo"]):
        assert f"−{-elbo:.1f}" in index
