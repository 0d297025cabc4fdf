"""Hamiltonian moves against exact linear maps and the laws that they must keep."""

import math

import pytest
import torch
from drawn import normal
from torch import Tensor

from vae_tutorial.hamiltonian import hamiltonian_step, leapfrog
from vae_tutorial.noise import generator


def banana(z: Tensor) -> Tensor:
    """An unnormalised density, (chains, batch, 2) to (chains, batch): a bent ridge."""
    return -0.5 * z[..., 0].square() - 2 * (z[..., 1] - z[..., 0].square()).square()


def assert_mean_is(draws: Tensor, expected: Tensor | float, width: float = 4.0) -> None:
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - expected).abs() < width * error).all(), (draws.mean(0), error)


def quadratic(matrix: Tensor):
    return lambda z: -0.5 * (z * (z @ matrix)).sum(-1)


@pytest.mark.equation("eq-leapfrog")
def test_the_leapfrog_of_a_gaussian_is_a_power_of_its_matrix():
    matrix = torch.tensor([[2.0, 0.4], [0.4, 0.7]], dtype=torch.float64)
    half_kick = torch.eye(4, dtype=torch.float64)
    half_kick[2:, :2] = -0.5 * 0.3 * matrix
    drift = torch.eye(4, dtype=torch.float64)
    drift[:2, 2:] = 0.3 * torch.eye(2)
    expected = torch.linalg.matrix_power(half_kick @ drift @ half_kick, 7)
    start = torch.eye(4, dtype=torch.float64)[:, None]  # (4, 1, 4), one chain a basis vector
    step = torch.tensor([0.3], dtype=torch.float64)
    end = torch.cat(leapfrog(quadratic(matrix), start[..., :2], start[..., 2:], step, 7), -1)
    torch.testing.assert_close(end[:, 0].mT, expected)


@pytest.mark.equation("eq-leapfrog")
def test_the_leapfrog_turns_back_and_keeps_volume():
    z, momentum = normal(5, 3, 2), normal(5, 3, 2, seed=2)
    step = torch.tensor([0.05, 0.1, 0.2], dtype=torch.float64)
    end, arrived = leapfrog(banana, z, momentum, step, 6)
    back, departed = leapfrog(banana, end, -arrived, step, 6)
    torch.testing.assert_close((back, -departed), (z, momentum))
    shift = 1e-5 * torch.eye(4, dtype=torch.float64)[:, None]  # (4, 1, 4)
    point = torch.tensor([0.4, -0.3, 0.8, 0.5], dtype=torch.float64)
    ends = [
        torch.cat(leapfrog(banana, q[..., :2], q[..., 2:], step[2], 6), -1)[:, 0]
        for q in (point + shift, point - shift)
    ]
    jacobian = (ends[0] - ends[1]) / 2e-5  # (4, 4)
    assert float(torch.linalg.det(jacobian)) == pytest.approx(1, abs=1e-7)
    assert float((jacobian - torch.eye(4)).abs().max()) > 0.5


@pytest.mark.equation("eq-leapfrog")
def test_the_energy_error_is_of_second_order():
    z, momentum = normal(40, 1, 2), normal(40, 1, 2, seed=2)

    def error(step: float, steps: int) -> Tensor:
        q, p = leapfrog(banana, z, momentum, torch.tensor(step, dtype=torch.float64), steps)
        start = 0.5 * momentum.square().sum(-1) - banana(z)
        return (0.5 * p.square().sum(-1) - banana(q) - start).abs().mean()

    ratios = [float(error(s, n) / error(s / 2, 2 * n)) for s, n in [(0.01, 50), (0.005, 100)]]
    assert ratios == pytest.approx([4, 4], abs=0.15)


# The move


@pytest.mark.parametrize("step", [0.15, 0.45, 0.8])
def test_a_move_leaves_a_bent_density_invariant(step):
    z = normal(40_000, 1, 2, seed=5)  # exact: z₁ ~ N(0, 1), z₂ | z₁ ~ N(z₁², ¼)
    z = torch.stack([z[..., 0], z[..., 0].square() + 0.5 * z[..., 1]], -1)
    source, size = generator(6), torch.tensor([step], dtype=torch.float64)
    accepted = []
    for _ in range(4):
        z, probability = hamiltonian_step(banana, z, size, 4, source)
        accepted.append(float(probability.mean()))
    first, bend = z[:, 0, 0], z[:, 0, 1] - z[:, 0, 0].square()
    assert_mean_is(torch.stack([first, bend, first * bend], -1), 0.0)
    assert_mean_is(torch.stack([first.square(), 4 * bend.square()], -1), 1.0)
    assert_mean_is(torch.stack([first**4, 16 * bend**4], -1), 3.0)
    assert max(accepted) < (0.98 if step < 0.2 else 0.8)


def test_a_long_run_forgets_where_it_began():
    z = torch.full((4000, 1, 2), 2.0, dtype=torch.float64)
    matrix = torch.tensor([[1.5, 0.5], [0.5, 1.0]], dtype=torch.float64)
    source = generator(7)
    for size in [0.9, 0.7, 0.5] * 10:
        z, _ = hamiltonian_step(quadratic(matrix), z, torch.tensor([size]).double(), 5, source)
    products = z[:, 0, :, None] * z[:, 0, None, :]
    assert_mean_is(z[:, 0], 0.0)
    assert_mean_is(products, torch.linalg.inv(matrix))


def test_a_tiny_step_is_accepted_and_a_huge_one_is_refused():
    z = normal(50, 2, 2)
    step = torch.tensor([1e-6, 100.0], dtype=torch.float64)
    end, probability = hamiltonian_step(banana, z, step, 3, generator(1))
    torch.testing.assert_close(probability[:, 0], torch.ones(50, dtype=torch.float64))
    assert torch.equal(probability[:, 1], torch.zeros(50, dtype=torch.float64))
    assert (end[:, 0] != z[:, 0]).all()
    assert torch.equal(end[:, 1], z[:, 1])


def test_a_trajectory_that_leaves_the_numbers_stays():
    z = normal(10, 1, 2)
    step = torch.tensor([1e30], dtype=torch.float64)
    end, probability = hamiltonian_step(banana, z, step, 20, generator(1))
    assert torch.equal(end, z)
    assert torch.equal(probability, torch.zeros(10, 1, dtype=torch.float64))


def test_the_share_of_moves_is_the_probability():
    z = normal(20_000, 1, 2)
    step = torch.tensor([1.5], dtype=torch.float64)
    end, probability = hamiltonian_step(quadratic(torch.eye(2).double()), z, step, 3, generator(2))
    moved = (end != z).any(-1).double()
    assert 0.1 < float(probability.mean()) < 0.9
    assert_mean_is(moved - probability, 0.0)


@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError)])
def test_at_least_one_leapfrog(count, error):
    with pytest.raises(error, match="num_leapfrog"):
        leapfrog(banana, normal(1, 1, 2), normal(1, 1, 2), torch.tensor([0.1]), count)
