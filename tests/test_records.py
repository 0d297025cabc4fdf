"""What an epoch comes to, against means taken by hand; and what is refused."""

import re

import pytest
import torch

from vae_tutorial import experiment
from vae_tutorial.adam import zero_moments
from vae_tutorial.bounds import Bound
from vae_tutorial.data import load_digits
from vae_tutorial.experiment import standard_normal
from vae_tutorial.records import averages, line, require_sound, validate
from vae_tutorial.settings import Settings, build
from vae_tutorial.training import State


def state(value=1.0, count=10):
    parameters = {"weight": torch.tensor([value, 2.0])}
    return State(parameters, zero_moments(parameters), count)


def means(*elbos):
    return Bound(torch.tensor(elbos), torch.tensor([5.0] * len(elbos)), torch.ones(len(elbos)))


def test_terms_are_averaged_by_name():
    bound = Bound(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([4.0, 4.0, 4.0]), torch.zeros(3))
    assert averages(bound) == {"elbo": 3.0, "log_likelihood": 4.0, "kl": 0.0}


def test_finite_terms_and_parameters_are_sound():
    require_sound(state(), means(1.0, 2.0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_the_first_step_that_is_not_finite_is_named_with_its_terms(bad):
    with pytest.raises(ValueError, match=re.escape(f"step 9 gave elbo {bad:g}, log_likelihood 5")):
        require_sound(state(), means(1.0, 2.0, bad, bad))


def test_parameters_that_are_not_finite_are_named():
    with pytest.raises(ValueError, match="weight after step 10 must be finite"):
        require_sound(state(float("nan")), means(1.0))


def test_validation_takes_the_same_draws_each_time_and_every_image(monkeypatch):
    model, images = build(Settings(hidden=(4,)), 64).requires_grad_(False), load_digits().test
    monkeypatch.setattr("vae_tutorial.records.AT_ONCE", 100)
    first, second = validate(model, images), validate(model, images)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    random = experiment.generator(1_000_005)
    expected = []
    for part in (images[:100], images[100:200], images[200:]):
        noise = standard_normal((1, len(part), 2), random, like=part)
        expected.append(model(part, noise).elbo)
    torch.testing.assert_close(first.elbo, torch.cat(expected))


def test_a_line_holds_what_a_reader_follows():
    record = {"epoch": 3, "elbo": -1.234, "log_likelihood": 5.0, "kl": 6.234}
    record |= {"validation_elbo": -2.5, "seconds": 0.06}
    expected = "epoch 3/9  elbo -1.23  log-likelihood 5.00  kl 6.23  validation elbo -2.50  0.1 s"
    assert line(record, 9) == expected
