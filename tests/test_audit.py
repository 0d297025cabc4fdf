"""An audit as a whole: it changes nothing, loses nothing, and says clearly what it was given."""

import json
import random
import re
import time

import numpy as np
import pytest
import sound
import torch
from sound import snapshot
from torch import nn
from torch.distributions import Gamma, Normal

from vae_tutorial import CHAPTERS
from vae_tutorial.audit import CHECKS, Finding, Verdict, audit
from vae_tutorial.audit import subject as subjects

IMAGES = torch.rand(20, 6, generator=torch.Generator().manual_seed(0))


def encode(x):
    return x[:, :2], torch.zeros(len(x), 2)


def decode(z):
    return z.repeat(1, 3)


def nothing(_):
    return None


def broken(_):
    raise RuntimeError("mat1 and mat2 shapes cannot be multiplied\n(second line)")


def endless(_):
    while True:
        time.sleep(0.01)


def test_one_spectrum_is_made_and_said_to_be_of_so_many_images(monkeypatch):
    """The exchange rate and the rate hold σ² against the same eigenvalue."""
    made, trained = [], sound.gaussian(epochs=12)
    computed = subjects.eigenvalues_of

    def eigenvalues_of(x):
        made.append(computed(x))
        return made[-1]

    monkeypatch.setattr(subjects, "eigenvalues_of", eigenvalues_of)
    model, x = trained.model, trained.train

    def average(x):  # over pixels, beside a KL that is a sum
        return sound.gaussian_loss(model, 4.0, x)

    given = {"encode": model.encode, "decode": model.decode, "loss": average}
    trained_so = audit(x, **given, likelihood="gaussian")
    idle = audit(x, encode=lambda x: (1e-3 * x[:, :2], 0 * x[:, :2]), decode=decode_widely)
    assert len(made) == 2  # once in each audit
    said = f"largest eigenvalue of 1000 images is {made[0][0]:.3g}"
    for report, check in ((trained_so, "exchange rate"), (idle, "rate")):
        assert said in next(found.reason for found in report.findings if found.check == check)


def test_an_audit_leaves_a_models_own_generator_as_it_was():
    own = torch.Generator().manual_seed(5)
    model, train = sound.gaussian(epochs=12).model, sound.gaussian(epochs=12).train

    def draw(x):
        mean, log_variance = model.encode(x)
        return mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=own)

    before = own.get_state()
    report = audit(train, encode=model.encode, decode=model.decode, draw=draw, likelihood=0.15)
    assert "draws" in {found.check for found in report.findings}
    assert torch.equal(own.get_state(), before)


def decode_widely(z):
    return Normal(torch.zeros(len(z), 64), 4.0)


# At the doors: what cannot be meant is refused, with what was seen and what is needed

REFUSED = {
    "no callables": ({}, ValueError, "give encode, decode or loss"),
    "a list": ({"x": [[0.0, 1.0]]}, TypeError, "a tensor or a numpy array, got a list of"),
    "no images at all": ({"x": None}, TypeError, "got a NoneType"),
    "a path": ({"x": "images.npy"}, TypeError, "got a str"),
    "a data loader": ({"x": iter([IMAGES])}, TypeError, "a tensor or a numpy array"),
    "bytes": ({"x": torch.zeros(5, 4, dtype=torch.uint8)}, TypeError, "floats, .* torch.uint8"),
    "whole numbers": ({"x": torch.zeros(5, 4, dtype=torch.long)}, TypeError, "convert and scale"),
    "whole numbers of numpy": ({"x": np.zeros((5, 4), int)}, TypeError, "must hold floats"),
    "words": ({"x": np.array([["a", "b"]])}, TypeError, "must hold numbers, got an array of <U1"),
    "objects": ({"x": np.array([[None]], object)}, TypeError, "must hold numbers"),
    "complex numbers": ({"x": torch.zeros(5, 4, dtype=torch.cfloat)}, TypeError, "complex64"),
    "one image, flat": ({"x": torch.zeros(64)}, ValueError, r"\(images, …\), got \(64,\)"),
    "one number": ({"x": torch.tensor(1.0)}, ValueError, r"got \(\)"),
    "one image": ({"x": torch.zeros(1, 64)}, ValueError, "two images or more"),
    "no image": ({"x": torch.zeros(0, 64)}, ValueError, r"got \(0, 64\)"),
    "no pixels": ({"x": torch.zeros(5, 0)}, ValueError, r"got \(5, 0\)"),
    "NaN": ({"x": torch.full((5, 4), float("nan"))}, ValueError, "20 numbers that are NaN"),
    "infinite": ({"x": torch.tensor([[1.0, float("inf")], [0, 0]])}, ValueError, "got 1 numbers"),
    "held out of another shape": (
        {"encode": encode, "held_out": torch.zeros(5, 7)},
        ValueError,
        r"images like x's, \(6,\), got \(7,\)",
    ),
    "held out NaN": (
        {"encode": encode, "held_out": IMAGES * float("nan")},
        ValueError,
        "held_out must be finite, got 120",
    ),
    "held out of bytes": (
        {"encode": encode, "held_out": IMAGES.byte()},
        TypeError,
        "held_out must hold floats",
    ),
    "an encoded tensor": ({"encode": IMAGES}, TypeError, r"encode must be callable, got a tensor"),
    "a decoder's name": ({"decode": "decoder"}, TypeError, "decode must be callable, got a str"),
    "a loss's value": ({"loss": 3.5}, TypeError, "loss must be callable, got a float"),
    "a drawn tensor": ({"draw": IMAGES}, TypeError, "draw must be callable"),
    "an unknown likelihood": (
        {"decode": decode, "likelihood": "poisson"},
        ValueError,
        """must be "bernoulli", "gaussian", a number σ, or .*, got 'poisson'""",
    ),
    "a likelihood's class": (
        {"decode": decode, "likelihood": ("gaussian", 0.1)},
        TypeError,
        r"got a tuple of \(str, float\)",
    ),
    "σ = 0": ({"decode": decode, "likelihood": 0.0}, ValueError, "as σ, must be positive, got"),
    "σ < 0": ({"decode": decode, "likelihood": -0.1}, ValueError, "as σ, must be positive, got"),
    "σ = NaN": ({"decode": decode, "likelihood": float("nan")}, ValueError, "as σ,"),
    "σ = True": ({"decode": decode, "likelihood": True}, TypeError, "got a bool"),
    "modules that are none": ({"encode": encode, "modules": 3}, TypeError, "got a int"),
    "parameters for modules": (
        {"encode": encode, "modules": list(nn.Linear(2, 2).parameters())},
        TypeError,
        "must be modules of torch, got a tensor",
    ),
    "no time": ({"encode": encode, "seconds": 0.0}, ValueError, "seconds must be positive, got 0"),
    "time that is no number": ({"encode": encode, "seconds": "60"}, TypeError, "seconds"),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_cannot_be_meant_is_refused(case):
    wrong, error, words = REFUSED[case]
    arguments = {"x": IMAGES, **({"encode": encode} if "x" in wrong else {}), **wrong}
    with pytest.raises(error, match=words):
        audit(arguments.pop("x"), **arguments)


# Inside: what a callable does wrong is a finding, and nothing of the rest is lost

ANSWERS = {
    "encode returns nothing": ({"encode": nothing}, "encode must return .* got a NoneType"),
    "encode returns a tensor": (
        {"encode": lambda x: x},
        r"encode must return .* tensor \(\d+, 6\)",
    ),
    "encode returns a Gamma": ({"encode": lambda x: Gamma(x, x)}, "got a Gamma"),
    "encode returns one mean": (
        {"encode": lambda x: (x.mean(0), x.mean(0))},
        r"mean \(\d+, latent\) for \d+ images, got \(6,\)",
    ),
    "encode returns numpy": (
        {"encode": lambda x: (x.numpy(), x.numpy())},
        "must return a mean in a tensor, got a ndarray",
    ),
    "encode's parts do not fit": (
        {"encode": lambda x: (x[:, :2], x[:, :3])},
        r"the mean's shape \(\d+, 2\), got \(\d+, 3\)",
    ),
    "encode returns NaN": ({"encode": lambda x: (x / 0, x)}, "encode returned .* NaN or infinite"),
    "encode raises": ({"encode": broken}, "encode raised RuntimeError: mat1 and mat2 shapes"),
    "decode returns nothing": ({"decode": nothing}, "decode must return a tensor"),
    "decode returns other pixels": (
        {"decode": lambda z: z},
        r"decode must return \(\d+, 6\) for \d+ latents, got \(\d+, 2\)",
    ),
    "decode returns NaN": (
        {"decode": lambda z: decode(z) * float("nan")},
        "decode returned .* NaN or infinite",
    ),
    "decode raises": ({"decode": broken}, "decode raised RuntimeError"),
    "decode returns few distributions": (
        {"decode": lambda z: Normal(torch.zeros(6), 1.0)},
        "decode must return a distribution of",
    ),
    "likelihood returns one number": (
        {"likelihood": lambda x, f: torch.tensor(1.0)},
        r"likelihood must return \(\d+,\), one number an image",
    ),
    "likelihood raises": ({"likelihood": lambda x, f: broken(x)}, "likelihood raised RuntimeError"),
    "loss returns a number": ({"loss": lambda x: 3.5}, "loss must return one number in a tensor"),
    "loss returns many": ({"loss": lambda x: x}, "loss must return one number in a tensor, got"),
    "loss returns NaN": ({"loss": lambda x: x.sum() * float("nan")}, "loss returned 1 numbers"),
    "loss raises": ({"loss": broken}, "loss raised RuntimeError"),
    "draw returns the pair": ({"draw": encode}, "draw must return latents"),
    "draw raises": ({"draw": broken}, "draw raised RuntimeError"),
}


def a_loss(x):
    mean, _ = encode(x)
    return (x - decode(mean)).square().sum(-1).mean() + mean.square().sum(-1).mean() / 2


@pytest.mark.parametrize("case", ANSWERS, ids=str)
def test_what_a_callable_does_wrong_is_a_finding(case):
    wrong, words = ANSWERS[case]
    whole = {"encode": encode, "decode": decode, "likelihood": 0.3, "loss": a_loss} | wrong
    report = audit(IMAGES, **whole, seconds=20)
    (first, *others) = [f for f in report.wrong if "raised" in f.measured or "return" in f.measured]
    assert re.search(words, first.measured), first.measured
    assert not others  # said once
    assert "second line" not in str(report)
    assert len({found.check for found in report.findings}) > 3  # the rest is judged
    assert report.exit_code == 1


def test_a_model_that_takes_for_ever_is_reported_and_the_rest_is_judged():
    begin = time.perf_counter()
    report = audit(IMAGES, encode=encode, decode=decode, likelihood=0.3, loss=endless, seconds=2)
    assert time.perf_counter() - begin < 5
    slow = [found for found in report.findings if "it took longer" in found.measured]
    assert slow
    assert all(found.verdict is Verdict.CANNOT_TELL for found in slow)
    assert "support" in {found.check for found in report.findings} or len(report.findings) > 3


def numpy_state():
    return np.random.get_state()[1].tolist()  # noqa: NPY002, a user's code may draw from it


def test_nothing_of_the_model_or_of_random_states_is_changed():
    trained = sound.gaussian()
    model = trained.model
    model.train()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = snapshot(model)
    states = torch.get_rng_state(), numpy_state(), random.getstate()
    audit(
        trained.train[:200],
        encode=model.encode,
        decode=model.decode,
        likelihood=0.15,
        loss=trained.loss,
        draw=model.draw,
    )
    assert all(torch.equal(old, new) for old, new in zip(before, snapshot(model), strict=True))
    assert all(module.training for module in model.modules())
    assert all(bool((p.grad == 1).all()) for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert numpy_state() == states[1]
    assert random.getstate() == states[2]
    for parameter in model.parameters():
        parameter.grad = None


def test_two_audits_say_the_same():
    trained = sound.gaussian()
    said = [
        audit(
            trained.train[:200],
            encode=trained.model.encode,
            decode=trained.model.decode,
            likelihood=0.15,
        ).findings
        for _ in range(2)
    ]
    assert [f.measured for f in said[0]] == [f.measured for f in said[1]]


def test_a_report_is_json_with_a_verdict_and_a_chapter_in_each_line():
    report = audit(IMAGES, encode=encode, decode=decode, likelihood="bernoulli")
    whole = json.loads(report.to_json())
    assert whole["images"] == 20
    assert len(whole["findings"]) == len(report.findings) >= len({c.name for c in CHECKS}) // 2
    for row in whole["findings"]:
        assert row["verdict"] in set(Verdict)
        assert set(row) == set(Finding._fields)
        assert row["chapter"] in CHAPTERS
