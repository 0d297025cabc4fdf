"""What tests draw and compare: seeds, noise that repeats, and numbers of float64.

A small model stays in the file of its tests: the ledger reads there what a marked test reaches.
"""

import torch
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.transport import Atoms, collect

seeds = st.integers(0, 10_000)


def normal(*shape: int, seed: int = 1) -> Tensor:
    """Noise from N(0, I) of a shape, float64."""
    return standard_normal(shape, generator(seed))


def double(*values) -> Tensor:
    """Numbers, or rows of them, as float64."""
    return torch.tensor(values, dtype=torch.float64)


def close(actual: Tensor, expected, tolerance: float = 1e-10) -> None:
    """Assert that two arrays of one size agree, absolutely or relatively."""
    expected = torch.as_tensor(expected, dtype=actual.dtype).reshape(actual.shape)
    torch.testing.assert_close(actual.detach(), expected.detach(), rtol=tolerance, atol=tolerance)


def random_law(size: int, seed: int) -> Atoms:
    """A law on `size` places, with masses that differ."""
    return collect(normal(size, seed=seed), normal(size, seed=seed + 1).softmax(0))


def log_prior(z: Tensor) -> Tensor:
    """The log-density of N(0, I) at z (..., d), by scipy."""
    return torch.from_numpy(stats.norm.logpdf(z.numpy()).sum(-1))


def spiral(z: Tensor) -> Tensor:
    """A curve in the plane that winds outwards: (..., 1) to (..., 2)."""
    return torch.cat([(1 + z.exp()) * z.cos(), (1 + z.exp()) * z.sin()], -1)
