"""What the live figure water-filling computes: against `rate_distortion`, `linear` and scipy."""

import export_rate_distortion
import export_water_filling
import pytest
import torch
from scipy import optimize
from scripts import apart, computed

from vae_tutorial.data import load_digits
from vae_tutorial.linear import rate_law, spectrum
from vae_tutorial.rate_distortion import remaining_error

EIGENVALUES = spectrum(load_digits(torch.float64).train).eigenvalues
LEVELS = "all => all.map(nats => VAE_LIVE.waterLevel(nats))"
ERRORS = "all => all.map(rates => VAE_LIVE.remainingError(rates))"
LEVELS_OF_ERRORS = "all => all.map(error => VAE_LIVE.levelOfError(error))"
COPY = "([image, rates]) => [...VAE_LIVE.copyOf(image, rates)]"


def spendings(count=200):
    """Nats of the first twenty latents, many of them none, (count, 20)."""
    uniform = torch.rand(count, 20, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return (2 * uniform - 0.8).clamp(min=0)


def law_at(power):
    return rate_law(EIGENVALUES, torch.tensor(10**power, dtype=torch.float64), 64)


def test_the_water_level_is_what_scipy_finds():
    nats = torch.linspace(0.01, 12, 60).double().tolist()
    expected = [
        10 ** optimize.brentq(lambda power, n=n: float(law_at(power).rate) - n, -4, 0) for n in nats
    ]
    apart("60 water levels", computed("water-filling").evaluate(LEVELS, nats), expected, 1e-8)
    nothing = computed("water-filling").evaluate(LEVELS, [0])
    assert nothing == pytest.approx([EIGENVALUES[0].item()])


def test_the_error_that_remains_is_that_of_the_module():
    rates = torch.cat([spendings(), torch.zeros(200, 44).double()], 1)  # (200, 64)
    expected = remaining_error(EIGENVALUES, rates).sum(-1)
    apart("200 errors", computed("water-filling").evaluate(ERRORS, rates.tolist()), expected, 1e-7)
    short = computed("water-filling").evaluate(ERRORS, rates[:, :20].tolist())
    apart("the same of twenty latents", short, expected, 1e-7)


def test_no_spending_leaves_less_than_the_water_level_of_as_many_nats():
    rates = spendings()
    error = torch.tensor(computed("water-filling").evaluate(ERRORS, rates.tolist())).double()
    level = computed("water-filling").evaluate(LEVELS, rates.sum(-1).tolist())
    law = rate_law(EIGENVALUES, torch.tensor(level).double(), 64)
    apart("nats at the level", law.rate, rates.sum(-1), 1e-6)
    assert (law.squared_error < error).all()


def test_the_level_of_an_error_is_what_scipy_finds():
    errors = torch.linspace(0.6, 4.6, 30).double()

    def excess(power, error):
        return float(law_at(power).squared_error) - error

    expected = [10 ** optimize.brentq(excess, -4, 0, args=(error,)) for error in errors.tolist()]
    apart(
        "30 levels",
        computed("water-filling").evaluate(LEVELS_OF_ERRORS, errors.tolist()),
        expected,
        1e-8,
    )


def test_copies_from_any_spending_are_those_of_python():
    images = export_rate_distortion.ten_digits()
    for i, rates in enumerate(spendings(30)):
        image = images[i % 10]
        seen = computed("water-filling").evaluate(COPY, [image.tolist(), rates.tolist()])
        apart("a copy", seen, export_water_filling.copies_of(image, rates), 1e-5)


def test_the_copy_at_a_water_level_is_the_one_that_chapter_7_draws():
    image, level = export_rate_distortion.ten_digits()[7], 0.06
    rates = (0.5 * (EIGENVALUES[:20] / level).log()).clamp(min=0)
    seen = computed("water-filling").evaluate(COPY, [image.tolist(), rates.tolist()])
    apart("a copy at a level", seen, export_rate_distortion.copies(image, level), 1e-5)
