"""A loss, read by a regression: its batches, its exponents, and what tells formulas apart."""

import math

import pytest
import torch
from sound import gaussian

from vae_tutorial.audit import reading, terms
from vae_tutorial.audit.reading import charges
from vae_tutorial.audit.regression import Fit
from vae_tutorial.audit.subject import Subject
from vae_tutorial.models import DiagonalPosterior


def test_mixed_batches_hold_only_values_that_their_pixels_have():
    model, _, train, _ = gaussian(epochs=12)
    torch.manual_seed(7)
    with torch.no_grad():
        batches = reading.spread_batches(Subject(train, model.encode, model.decode, None, None), 16)
        assert len(batches) == reading.BATCHES
        for pixel in (0, 8, 27):  # of which the first is 0 in each image
            values = {value.item() for value in train[:1000, pixel]}
            assert {value.item() for batch in batches for value in batch[:, pixel]} <= values
        rates = torch.stack(
            [DiagonalPosterior(*model.encode(batch)).kl_to_prior().mean() for batch in batches]
        )
        by_chance = torch.stack(
            [
                DiagonalPosterior(*model.encode(batch)).kl_to_prior().mean()
                for batch in train[:384].split(16)
            ]
        )
    assert rates.std() > 2 * by_chance.std()


def test_exponents_of_the_batch_size():
    def fits(*powers):
        return [
            Fit((2.0 * size ** powers[0], 3.0 * size ** powers[1], 1.0), (1e-6,) * 3, 0.0)
            for size in reading.SIZES
        ]

    for powers in ((0, 0), (1, 1), (-1, -1), (1, 0), (0, 1)):
        found = charges(fits(*powers))
        assert (found.error_exponent, found.kl_exponent) == powers
    assert charges(fits(1, 1)).error == pytest.approx(2.0)
    assert charges(fits(1, 1)).kl == pytest.approx(3.0)
    assert charges(fits(0.5, 0)).error_exponent == pytest.approx(0.5)
    vague = [Fit((2.0, 3.0, 1.0), (1e-6, 2.0, 1.0), 0.0)] * 2
    assert charges(vague).error_exponent == 0.0
    assert math.isnan(charges(vague).kl_exponent)


@pytest.mark.parametrize(("side", "rounds"), [(8, 16), (32, 8), (64, 2), (200, 2)])
def test_how_many_draws_are_averaged_is_a_count_of_pixels(side, rounds, monkeypatch):
    """Not of seconds: a slow machine sees what a fast one sees."""
    monkeypatch.setattr(reading, "BATCHES", 4)
    losses = []

    def a_loss(x):
        losses.append(len(x))
        return x.square().mean()

    x = torch.rand(20, side, side, generator=torch.Generator().manual_seed(0))
    subject = Subject(
        x,
        lambda x: (x.flatten(1)[:, :2], torch.zeros(len(x), 2)),
        lambda z: z[:, :1, None].expand(-1, side, side),
        None,
        a_loss,
    )
    reading.averaged_table(subject, 16)
    assert losses == [16] * 4 * (1 + rounds)  # once for the KLs, which do not vary


@pytest.mark.parametrize(("loss_noise", "formula"), [(0.0, "no mean"), (1e-4, terms.RIGHT)])
def test_a_constant_tells_formulas_apart_only_where_the_fit_is_exact(loss_noise, formula):
    """Two formulas that differ by 50 nats on every batch: one needs a constant, the other none."""
    generator = torch.Generator().manual_seed(3)
    error, kl = torch.rand(2, 24, generator=generator, dtype=torch.float64)
    kls = {terms.RIGHT: kl, "no mean": kl + 50}
    table = reading.Table(
        error + kl + 50, {terms.SQUARED: error}, kls, {terms.SQUARED: 0.0}, loss_noise
    )
    found = reading.explain([table, table], terms.DRAWN)
    assert found.kl == formula
    assert found.formula_is_wrong == (formula != terms.RIGHT)
