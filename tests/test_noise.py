"""Noise that repeats and has the right law."""

import scipy.stats
import torch

from vae_tutorial.noise import generator, mean_and_error, standard_normal


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


def test_an_average_and_its_error_are_those_of_scipy():
    draws = standard_normal((7, 3, 2), generator(2))
    mean, error = mean_and_error(draws)
    torch.testing.assert_close(mean, torch.from_numpy(draws.numpy().mean(0)))
    torch.testing.assert_close(error, torch.from_numpy(scipy.stats.sem(draws.numpy(), axis=0)))
