"""Noise that repeats and has the right law; checks that can fail."""

import pytest
import scipy.stats
import torch

from vae_tutorial.experiment import check, check_close, generator, standard_normal


def test_a_seed_gives_the_same_noise_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    first = standard_normal((3, 2), generator(7))
    assert torch.equal(first, standard_normal((3, 2), generator(7)))
    assert not torch.equal(first, standard_normal((3, 2), generator(8)))
    assert torch.equal(before, torch.get_rng_state())


def test_noise_is_standard_normal():
    noise = standard_normal((1_000_000,), generator(0))
    assert scipy.stats.kstest(noise[:20_000].numpy(), "norm").pvalue > 0.001
    assert abs(noise.mean()) < 4.5e-3  # 4.5 standard errors of a mean
    assert abs(noise.square().mean() - 1) < 4.5e-3 * 2**0.5  # and of a mean square


def test_float32_noise_is_the_float64_noise_rounded():
    like = torch.zeros(1, dtype=torch.float32)
    single = standard_normal((100,), generator(1), like=like)
    assert single.dtype == torch.float32
    assert torch.equal(single, standard_normal((100,), generator(1)).float())


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


def test_a_residual_of_nan_does_not_pass():
    with pytest.raises(AssertionError, match="off by nan"):
        check_close("nothing", float("nan"), 0.0, 1.0)
