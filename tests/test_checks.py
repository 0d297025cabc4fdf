"""Checks that pass print a line; checks that fail raise, and name the residual."""

import pytest
import torch

from vae_tutorial.checks import check, check_close


def test_a_check_prints_or_raises(capsys):
    check("one is one", True)
    check_close("halves", torch.tensor([0.5, 0.5]), 0.5, 1e-9)
    assert capsys.readouterr().out == "passed: one is one\npassed: halves (to 1e-09)\n"
    with pytest.raises(AssertionError, match="check failed: never"):
        check("never", False)
    with pytest.raises(AssertionError, match=r"off by 0\.25, allowed 0\.1"):
        check_close("far", torch.tensor([1.0, 1.25]), 1.0, 0.1)


def test_plain_numbers_are_compared_in_float64():
    with pytest.raises(AssertionError, match="off by 1e-12"):
        check_close("one", 1 + 1e-12, 1.0, 1e-15)


def test_a_residual_as_large_as_the_tolerance_passes(capsys):
    check_close("a half and a quarter", 0.5, 0.25, 0.25)
    assert capsys.readouterr().out == "passed: a half and a quarter (to 0.25)\n"


def test_a_residual_of_nan_does_not_pass():
    with pytest.raises(AssertionError, match="off by nan"):
        check_close("nothing", float("nan"), 0.0, 1.0)
