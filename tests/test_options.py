"""Each kind of option takes what it should, and says in one line what it needed and what it got."""

import argparse
from pathlib import Path

import pytest

from vae_tutorial.options import Parser, picture, positive, seed, variance, whole


def test_good_values_are_taken_as_they_are():
    assert whole("1") == 1
    assert whole("5000") == 5000
    assert seed("0") == 0
    assert seed(str(2**63 - 1)) == 2**63 - 1
    assert positive("1e-3") == 0.001
    assert variance("learned") is None
    assert variance("0.5") == 0.5
    assert picture("a/b.png") == Path("a/b.png")


@pytest.mark.parametrize(
    ("kind", "texts", "needed"),
    [
        (whole, ("0", "-1", "1.5", "abc", "", "nan", "1e3"), "a whole number of at least 1"),
        (seed, ("-1", "1.5", "x", "", str(2**63)), "a whole number from 0 to"),
        (positive, ("0", "-1", "nan", "inf", "1e999", "", "x"), "a positive, finite number"),
        (variance, ("0", "-1", "nan", "learn"), "a positive, finite number"),
        (picture, ("a.txt", "a", "png", ".png/"), "a name in .png, .pdf or .svg"),
    ],
)
def test_bad_values_are_named(kind, texts, needed):
    for text in texts:
        with pytest.raises(argparse.ArgumentTypeError) as caught:
            kind(text)
        assert needed in str(caught.value)
        assert repr(text) in str(caught.value)


def test_an_error_takes_one_line(capsys):
    parser = Parser("program")
    parser.add_argument("--count", type=whole)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--count", "0"])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("program: argument --count: needed")
