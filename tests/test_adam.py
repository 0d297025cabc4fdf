"""Adam against torch.optim.Adam, and its parts against their definitions."""

import pytest
import torch

from vae_tutorial.adam import Moments, adam, adam_coefficients, zero_moments


@pytest.mark.equation("eq-adam")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_torch(dtype):
    random = torch.Generator().manual_seed(0)
    given = {"a": torch.randn(3, 2, generator=random), "b": torch.randn(4, generator=random)}
    parameters = {name: value.to(dtype) for name, value in given.items()}
    oracle = {name: torch.nn.Parameter(value.clone()) for name, value in parameters.items()}
    optimiser = torch.optim.Adam(oracle.values(), lr=0.02)
    moments = zero_moments(parameters)
    for count in range(1, 30):
        gradients = {n: torch.randn(p.shape, generator=random).to(p) for n, p in oracle.items()}
        optimiser.param_groups[0]["lr"] = rate = 0.02 / count
        coefficients = adam_coefficients(count, rate, parameters["a"])
        parameters, moments = adam(parameters, moments, gradients, coefficients)
        for name, parameter in oracle.items():
            parameter.grad = gradients[name].detach()
        optimiser.step()
    for name, expected in oracle.items():
        torch.testing.assert_close(parameters[name], expected.detach())
        torch.testing.assert_close(moments.first[name], optimiser.state[expected]["exp_avg"])
        torch.testing.assert_close(moments.second[name], optimiser.state[expected]["exp_avg_sq"])


@pytest.mark.equation("eq-adam")
def test_gradients_as_small_as_epsilon_are_taken_as_torch_takes_them():
    gradient = torch.tensor([1e-6, 1e-8, -1e-9, 0.0], dtype=torch.float64)
    oracle = torch.nn.Parameter(torch.ones_like(gradient))
    optimiser = torch.optim.Adam([oracle], lr=0.02)
    parameters = {"a": oracle.detach().clone()}
    moments = zero_moments(parameters)
    for count in (1, 2, 3):
        coefficients = adam_coefficients(count, 0.02, parameters["a"])
        parameters, moments = adam(parameters, moments, {"a": gradient}, coefficients)
        oracle.grad = gradient.clone()
        optimiser.step()
    torch.testing.assert_close(parameters["a"], oracle.detach(), rtol=1e-12, atol=0)


@pytest.mark.equation("eq-adam")
def test_the_first_corrections_make_the_first_average_the_gradient_itself():
    coefficients = adam_coefficients(1, 0.5, torch.zeros(1).double())
    assert coefficients == pytest.approx((0.5, 0.1, 0.001))
    assert {number.dtype for number in coefficients} == {torch.float64}
    late = adam_coefficients(1_000_000, 0.5, torch.zeros(1).double())
    assert late == pytest.approx((0.5, 1.0, 1.0))


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_rate_must_be_positive_and_finite(rate):
    with pytest.raises(ValueError, match=r"learning_rate must be positive and finite, got"):
        adam_coefficients(1, rate, torch.zeros(1))


@pytest.mark.parametrize("rate", [1e39, 1e-50])
def test_a_rate_must_fit_the_precision(rate):
    """In float32 these are infinity and zero."""
    with pytest.raises(
        ValueError, match=r"positive and finite, got .*, which torch.float32 cannot"
    ):
        adam_coefficients(1, rate, torch.zeros(1))
    assert adam_coefficients(1, rate, torch.zeros(1).double()).learning_rate == rate


def test_steps_are_counted_from_one():
    with pytest.raises(ValueError, match="count must be at least 1"):
        adam_coefficients(0, 0.1, torch.zeros(1))


def test_moments_start_at_zero_and_apart():
    moments = zero_moments({"a": torch.ones(2), "b": torch.ones(3, 1)})
    assert isinstance(moments, Moments)
    assert all(not tensor.any() for part in moments for tensor in part.values())
    assert moments.first["a"] is not moments.second["a"]
    assert moments.first["b"].shape == (3, 1)
