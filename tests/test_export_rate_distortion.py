"""The exported spectrum of the digits is a spectrum, and the committed one is that of today."""

import export_rate_distortion
import numpy as np
import torch
from test_live import numbers, stored

from vae_tutorial.data import load_digits


def test_the_committed_spectrum_is_what_python_exports():
    kept, fresh = stored("spectrum"), export_rate_distortion.exported()
    assert kept.keys() == fresh.keys()
    np.testing.assert_allclose(kept["eigenvalues"], fresh["eigenvalues"], rtol=0, atol=2e-9)
    for name in ("axes", "mean", "digits"):
        expected = fresh[name].flatten().numpy()
        np.testing.assert_allclose(numbers(kept[name]), expected, rtol=0, atol=1e-6)


def test_the_kept_axes_are_orthogonal_and_diagonalise_the_covariance():
    held, train = export_rate_distortion.exported(), load_digits(torch.float64).train.numpy()
    axes, eigenvalues = held["axes"].numpy(), np.array(held["eigenvalues"])
    covariance = np.cov(train, rowvar=False, bias=True)
    np.testing.assert_allclose(axes @ axes.T, np.eye(len(axes)), atol=1e-10)
    diagonal = np.diag(eigenvalues[: len(axes)])
    np.testing.assert_allclose(axes @ covariance @ axes.T, diagonal, atol=2e-9)
    assert eigenvalues[len(axes)] <= export_rate_distortion.LOWEST < eigenvalues[len(axes) - 1]
