"""A report: its order, its words on a terminal, and its JSON."""

import json

import pytest

from vae_tutorial.audit.findings import (
    WIDTH,
    Bars,
    Finding,
    Report,
    Verdict,
    in_order,
    number,
    with_error,
)

LONG = "The decoder ignores z, because the loss takes a mean over pixels and a sum over latents. "


def finding(check, verdict, **more):
    return Finding(check, verdict, "0.1 ± 0.0 nats", "3 nats", LONG * 2, "07-linear", **more)


FOUND = (
    finding("support", Verdict.SOUND),
    finding("draws", Verdict.CANNOT_TELL),
    finding("rate", Verdict.WRONG, value=0.1, limit=1.0, bars=(Bars("KL, nats", (0.1, 0.0)),)),
    finding("noise", Verdict.LOOK),
    finding("loss", Verdict.WRONG, value=float("inf")),
)


def test_what_is_wrong_comes_first_and_in_the_order_of_the_checks():
    names = [found.check for found in in_order(FOUND)]
    assert names == ["rate", "loss", "noise", "support", "draws"]


def test_only_what_is_wrong_makes_the_exit_code_one():
    assert Report(FOUND, 5, 1.0).exit_code == 1
    assert Report(FOUND[:2], 5, 1.0).exit_code == 0
    assert Report((), 5, 1.0).exit_code == 0


def test_a_terminal_gets_lines_that_fit_and_every_word():
    text = str(Report(in_order(FOUND), 5, 1.4))
    lines = text.splitlines()
    assert lines[0] == "Audit of 5 images in 1 s: 2 wrong, 1 look, 1 sound, 1 cannot tell"
    assert lines[1] == "Mend “rate” first: what is below it often follows from it."
    assert max(map(len, lines)) <= WIDTH
    assert " ".join(text.split()).count(LONG.strip()) == 8  # sound findings need no reason
    assert text.count("Chapter 7, linear") == 4


def test_advice_names_what_is_wrong_or_else_what_to_look_at():
    """By its name: the first line of a report that has something wrong is wrong."""
    draws, noise = FOUND[1], FOUND[3]
    assert Report(in_order(FOUND), 5, 1.0).advice.startswith("Mend “rate” first")
    looked = Report((noise, draws), 5, 1.0)
    assert looked.advice.startswith("Nothing is wrong beyond doubt. Look at “noise” first")
    assert looked.advice in " ".join(str(looked).split())
    for nothing in (Report((draws,), 5, 1.0), Report((), 5, 1.0)):
        assert "No check found a fault" in nothing.advice


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (-5.06, ".1f", "−5.1"),
        (5.06, "+.1f", "+5.1"),
        (-5.06, "+.1f", "−5.1"),
        (-2.71e-10, ".3f", "0.000"),
        (-0.001, "+.1f", "+0.0"),
        (2.5e-5, ".2g", "2.5e−05"),
        (-1.2619632213377e31, ".1f", "−1.26e+31"),
        (1e6, ".2f", "1e+06"),
        (999_999.0, ".0f", "999999"),
        (5_250_000.0, ".4g", "5.25e+06"),
        (6550.4, ",.0f", "6,550"),
        (-1.152, ".1%", "−115.2%"),
        (float("nan"), ".2f", "nan"),
        (float("-inf"), ".2f", "−inf"),
    ],
)
def test_a_number_has_a_true_minus_sign_and_few_digits(value, form, expected):
    assert number(value, form) == expected


def test_an_error_has_no_sign():
    assert with_error(3.25, 0.5, "+.1f") == "+3.2 ± 0.5"
    assert with_error(-3e7, 20.0, ".2f") == "−3e+07 ± 20.00"


def test_a_word_that_is_longer_than_a_line_is_kept_whole():
    word = "x" * 100
    found = finding("rate", Verdict.WRONG)._replace(measured=word)
    assert word in str(Report((found,), 5, 0.0))


def test_json_has_null_where_a_number_is_not_known_or_not_finite():
    whole = json.loads(Report(FOUND, 5, 1.23).to_json())
    assert whole["seconds"] == 1.2
    rows = {row["check"]: row for row in whole["findings"]}
    assert rows["rate"]["value"] == 0.1
    assert rows["rate"]["bars"] == {"KL, nats": [0.1, 0.0]}
    assert rows["rate"]["standard_error"] is None
    assert rows["loss"]["value"] is None
    assert rows["draws"]["verdict"] == "cannot tell"
