"""The audit's least squares, against those of numpy."""

import math

import numpy as np
import pytest
import torch

from vae_tutorial.audit.regression import project, regress


def test_regression_is_least_squares():
    generator = torch.Generator().manual_seed(0)
    error, kl, rest = torch.randn(3, 40, generator=generator, dtype=torch.float64)
    kl = 30 + 4 * kl + error
    losses = 2 * error - 0.5 * kl + 7 + 0.1 * rest
    design = torch.stack([error, kl, torch.ones(40)], dim=1).double().numpy()
    expected, squares, _, _ = np.linalg.lstsq(design, losses.numpy(), rcond=None)
    covariance = squares[0] / 37 * np.linalg.inv(design.T @ design)
    found = regress(error, kl, losses)
    np.testing.assert_allclose(found.coefficients, expected, rtol=1e-9)
    np.testing.assert_allclose(
        found.standard_errors[:2], np.sqrt(covariance.diagonal())[:2], rtol=1e-9
    )
    share = squares[0] / ((losses - losses.mean()) ** 2).sum().item()
    assert found.unexplained == pytest.approx(share, rel=1e-9)


def test_noise_in_the_error_does_not_pull_its_coefficient_down():
    generator = torch.Generator().manual_seed(1)
    error, kl, noise = torch.randn(3, 20_000, generator=generator, dtype=torch.float64)
    losses = 3 * error + kl
    pulled = regress(error + noise, kl, losses).coefficients[0]
    mended = regress(error + noise, kl, losses, error_noise=1.0).coefficients[0]
    assert pulled == pytest.approx(1.5, abs=0.06)  # 3 · 1 / (1 + 1)
    assert mended == pytest.approx(3.0, abs=0.15)  # 4 standard errors, 3 · √(3 / 20,000)


def test_a_regressor_that_does_not_vary_has_no_weight_that_is_known():
    error = torch.arange(9.0, dtype=torch.float64)
    found = regress(error, torch.full_like(error, 3.0), 2 * error)
    assert found.coefficients[:2] == (pytest.approx(2.0), 0.0)
    assert found.standard_errors[1] == math.inf


def test_projection_is_least_squares():
    generator = torch.Generator().manual_seed(2)
    terms = torch.randn(2, 50, generator=generator, dtype=torch.float64)
    target = torch.tensor([4.0, -1.0], dtype=torch.float64) @ terms
    target = target + 0.3 * torch.randn(50, generator=generator, dtype=torch.float64)
    expected, squares, _, _ = np.linalg.lstsq(terms.T.numpy(), target.numpy(), rcond=None)
    covariance = squares[0] / 48 * np.linalg.inv(terms.numpy() @ terms.T.numpy())
    parts, errors, rest = project(target, terms)
    np.testing.assert_allclose(parts, expected, rtol=1e-9)
    np.testing.assert_allclose(errors, np.sqrt(covariance.diagonal()), rtol=1e-9)
    assert rest == pytest.approx(math.sqrt(squares[0]) / target.norm().item(), rel=1e-9)
    assert project(torch.zeros_like(target), terms)[2] == 0.0
