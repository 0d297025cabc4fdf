"""The sum with few logarithms against numpy's, one logarithm an entry."""

import numpy as np
import pytest
import torch

from vae_tutorial.experiment import generator
from vae_tutorial.softplus import softplus_sum


@pytest.mark.parametrize("width", [1, 7, 64, 96, 784])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softplus_is_summed_as_numpy_sums_it(width, scale, dtype):
    logits = scale * torch.randn(5, 3, width, generator=generator(width), dtype=torch.float64)
    logits[0, 0, 0] = 0.0
    logits = logits.to(dtype)
    expected = np.logaddexp(0, logits.double().numpy()).sum(-1)
    seen = softplus_sum(logits)
    rounding = torch.finfo(dtype).eps  # of 1 + exp(−|l|), once an entry, and of the sum
    tolerance = {"rtol": 4 * rounding, "atol": 2 * width * rounding}
    torch.testing.assert_close(seen.double(), torch.from_numpy(expected), **tolerance)
