"""Bad arguments are refused, and the message names what was seen."""

import math

import pytest
import torch

from vae_tutorial import require


def test_types_are_named():
    with pytest.raises(TypeError, match=r"x must be a torch\.Tensor, got list"):
        require.floating("x", [1.0])
    with pytest.raises(TypeError, match=r"x must be floating point, got torch\.int64"):
        require.floating("x", torch.tensor([1, 2]))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_counted(bad):
    with pytest.raises(ValueError, match="x must be finite, but 2 of 3 entries"):
        require.finite("x", torch.tensor([bad, 1.0, bad]))


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match=r"x is empty, of shape \(0, 4\)"):
        require.finite("x", torch.zeros(0, 4))


def test_the_event_axis_is_checked():
    require.event("x", torch.zeros(2, 3), 3)
    with pytest.raises(ValueError, match="x needs a last axis"):
        require.event("x", torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"last axis of x must be 4, got shape \(2, 3\)"):
        require.event("x", torch.zeros(2, 3), 4)


def test_signs_and_ranges_are_checked():
    require.positive("variance", torch.tensor([0.1, 2.0]))
    with pytest.raises(ValueError, match="variance must be positive, its smallest entry is 0"):
        require.positive("variance", torch.tensor([0.0, 2.0]))
    require.between("x", torch.tensor([0.0, 1.0]), 0, 1)
    for outside in ([-0.5, 1.0], [0.0, 1.5]):
        with pytest.raises(ValueError, match=r"x must lie in \[0, 1\], but its entries span"):
            require.between("x", torch.tensor(outside), 0, 1)


def test_counts_are_whole_and_positive():
    require.count("epochs", 1)
    with pytest.raises(ValueError, match="epochs must be at least 1, got 0"):
        require.count("epochs", 0)
    for bad in (1.5, True, "3"):
        with pytest.raises(TypeError, match="epochs must be a whole number"):
            require.count("epochs", bad)


def test_a_covariance_equals_its_transpose():
    require.symmetric("covariance", torch.tensor([[2.0, 0.5], [0.5, 1.0]]))
    with pytest.raises(ValueError, match=r"covariance must be symmetric, .* differ by 0\.5"):
        require.symmetric("covariance", torch.tensor([[2.0, 0.5], [0.0, 1.0]]))


def test_factors_are_lower_triangular_and_positive():
    require.cholesky("factor", torch.eye(3))
    with pytest.raises(ValueError, match="entries above its diagonal"):
        require.cholesky("factor", torch.ones(2, 2))
    with pytest.raises(ValueError, match="the diagonal of factor must be positive"):
        require.cholesky("factor", torch.diag(torch.tensor([1.0, -1.0])))
