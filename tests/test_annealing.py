"""Annealing against closed evidences, exact linear maps, quadrature and the laws of its moves."""

import math

import numpy as np
import pytest
import torch
from drawn import normal
from scipy.special import logsumexp
from scipy.stats import norm
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from vae_tutorial.annealing import (
    TARGET,
    AnnealingPath,
    anneal,
    bracket,
    tune_step_sizes,
)
from vae_tutorial.noise import generator, standard_normal


def ladder(num_steps: int) -> Tensor:
    return torch.linspace(0, 1, num_steps + 1, dtype=torch.float64) ** 2


def constant_steps(path: AnnealingPath, batch: int, size: float = 0.2) -> Tensor:
    return torch.full((len(path.temperatures), batch), size, dtype=torch.float64)


class Linear:
    """p(z) = N(0, I), p(x|z) = N(Wz, variance · I), two images; evidence and posterior closed."""

    weight = torch.tensor([[1.0, 0.5], [-0.3, 0.8], [0.2, 0.6]], dtype=torch.float64)
    x = torch.tensor([[0.7, -0.2, 0.4], [-1.0, 0.5, 0.3]], dtype=torch.float64)

    def __init__(self, variance: float):
        self.variance = variance
        noise = variance * torch.eye(3, dtype=torch.float64)
        mean = torch.zeros(3, dtype=torch.float64)
        covariance = self.weight @ self.weight.mT + noise
        self.evidence = MultivariateNormal(mean, covariance).log_prob(self.x)  # (2,)
        precision = torch.eye(2, dtype=torch.float64) + self.weight.mT @ self.weight / variance
        means = torch.linalg.solve(precision, (self.x @ self.weight / variance).mT).mT
        self.posterior = MultivariateNormal(means, precision_matrix=precision)

    @staticmethod
    def log_prior(z: Tensor) -> Tensor:
        return -0.5 * z.square().sum(-1) - math.log(2 * math.pi)

    def log_joint(self, z: Tensor) -> Tensor:
        squared = (self.x - z @ self.weight.mT).square().sum(-1) / self.variance
        return self.log_prior(z) - 0.5 * squared - 1.5 * math.log(2 * math.pi * self.variance)

    def path(self, num_steps: int) -> AnnealingPath:
        return AnnealingPath(self.log_prior, self.log_joint, ladder(num_steps))

    def posterior_draws(self, chains: int, seed: int) -> Tensor:
        noise = normal(chains, 2, 2, seed=seed)
        return self.posterior.mean + noise @ self.posterior.scale_tril[0].mT

    def both_ways(self, num_steps: int, chains: int, seed: int = 3):
        path = self.path(num_steps)
        steps = tune_step_sizes(path, normal(32, 2, 2, seed=seed), 5, generator(seed + 1))
        forward = anneal(path, normal(chains, 2, 2, seed=seed + 2), steps, 5, generator(seed + 3))
        start = self.posterior_draws(chains, seed + 4)
        reverse = anneal(path.reversed(), start, steps.flip(0), 5, generator(seed + 5))
        return forward, reverse


SHARP, MILD = Linear(0.16), Linear(2.0)  # back along MILD's path, weights have a finite variance


def assert_mean_is(draws: Tensor, expected: Tensor | float, width: float = 4.0) -> None:
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - expected).abs() < width * error).all(), (draws.mean(0), error)


# The path


def gaussian(mean: float, deviation: float) -> Normal:
    return Normal(*torch.tensor([mean, deviation], dtype=torch.float64))


@pytest.mark.equation("eq-annealing-path")
@pytest.mark.parametrize("temperature", [0.0, 0.3, 1.0])
def test_the_path_between_two_gaussians_is_a_gaussian(temperature):
    start, end = gaussian(0.0, 1.0), gaussian(2.0, 0.5)
    path = AnnealingPath(
        lambda z: start.log_prob(z).sum(-1), lambda z: end.log_prob(z).sum(-1), torch.empty(0)
    )
    precision = 1 - temperature + temperature / 0.25
    middle = gaussian(temperature * 2.0 / 0.25 / precision, precision**-0.5)
    z = normal(9, 1, 1)
    excess = path.log_density(temperature)(z) - middle.log_prob(z)[..., 0]
    torch.testing.assert_close(excess, excess[:1].expand(9, 1))
    torch.testing.assert_close(path.log_density(0)(z), start.log_prob(z)[..., 0])
    torch.testing.assert_close(path.log_density(1)(z), end.log_prob(z)[..., 0])


# The weights


@pytest.mark.equation("eq-annealing-weight")
def test_one_step_is_plain_importance_sampling():
    path, z = SHARP.path(1), normal(6, 2, 2)
    annealed = anneal(path, z, constant_steps(path, 2), 3, generator(1))
    expected = MultivariateNormal(z @ SHARP.weight.mT, 0.16 * torch.eye(3).double()).log_prob(
        SHARP.x
    )
    torch.testing.assert_close(annealed.log_weight, expected)
    assert annealed.z.shape == z.shape
    assert annealed.acceptance.shape == (1, 2)
    assert not torch.equal(annealed.z, z)


@pytest.mark.equation("eq-annealing-weight")
def test_chains_that_stand_still_carry_the_importance_weight_of_their_start():
    path, z = SHARP.path(6), normal(4, 2, 2)
    annealed = anneal(path, z, constant_steps(path, 2, 1e-12), 1, generator(1))
    expected = SHARP.log_joint(z) - SHARP.log_prior(z)
    torch.testing.assert_close(annealed.log_weight, expected)
    back = anneal(path.reversed(), z, constant_steps(path, 2, 1e-12), 1, generator(1))
    torch.testing.assert_close(back.log_weight, -expected)


def sharp_log_likelihood(z: np.ndarray) -> np.ndarray:
    """log p(x|z) of SHARP by scipy, (chains, batch)."""
    means = z @ SHARP.weight.numpy().T
    return norm.logpdf(SHARP.x.numpy(), means, math.sqrt(SHARP.variance)).sum(-1)


def moved_by_hand(t, z, momentum, step, uniform):
    """Two leapfrogs at temperature t, then accept or stay, with the force worked out on paper."""
    weight, x = SHARP.weight.numpy(), SHARP.x.numpy()

    def force(z):
        return -z + t * (x - z @ weight.T) @ weight / SHARP.variance

    def energy(z, momentum):
        density = norm.logpdf(z).sum(-1) + t * sharp_log_likelihood(z)
        return np.square(momentum).sum(-1) / 2 - density

    end, arrived = z, momentum + step / 2 * force(z)
    end = end + step * arrived
    arrived = arrived + step * force(end)  # two half kicks meet
    end = end + step * arrived
    arrived = arrived + step / 2 * force(end)
    accepted = uniform < np.exp(energy(z, momentum) - energy(end, arrived))
    return np.where(accepted[..., None], end, z)


@pytest.mark.equation("eq-annealing-weight")
def test_each_weight_is_taken_before_the_move_to_its_temperature():
    path, z, steps = SHARP.path(3), normal(4, 2, 2), 0.2 * (1 + normal(4, 2).square())
    annealed = anneal(path, z, steps, 2, generator(8))
    source, expected, here = generator(8), np.zeros((4, 2)), z.numpy()
    for before, now, step in zip(
        path.temperatures[:-1], path.temperatures[1:], steps[1:], strict=True
    ):
        expected = expected + (float(now) - float(before)) * sharp_log_likelihood(here)
        momentum = standard_normal((4, 2, 2), source).numpy()
        uniform = torch.rand((4, 2), generator=source, dtype=torch.float64).numpy()
        here = moved_by_hand(float(now), here, momentum, step.numpy()[:, None], uniform)
    np.testing.assert_allclose(annealed.log_weight, expected, rtol=1e-9)
    np.testing.assert_allclose(annealed.z, here, rtol=1e-9)
    assert not np.allclose(here, z.numpy())


@pytest.mark.equation("eq-annealing-weight")
@pytest.mark.parametrize("num_steps", [2, 4])
def test_the_weights_average_to_the_evidence_and_back_to_its_inverse(num_steps):
    forward, reverse = MILD.both_ways(num_steps, 4000)
    assert_mean_is((forward.log_weight - MILD.evidence).exp(), 1.0)
    assert_mean_is((reverse.log_weight + MILD.evidence).exp(), 1.0)


def test_the_annealed_chains_end_at_the_posterior():
    forward, reverse = SHARP.both_ways(20, 1000)
    weight = (forward.log_weight - forward.log_weight.logsumexp(0)).exp()[..., None]
    mean = (weight * forward.z).sum(0)
    torch.testing.assert_close(mean, SHARP.posterior.mean, atol=0.03, rtol=0)
    assert float(reverse.z.mean().abs()) < 0.1
    assert float(reverse.z.var()) == pytest.approx(1, abs=0.1)


# The bracket


@pytest.mark.equation("eq-bracket")
def test_the_truth_lies_between_the_two_and_they_close_in():
    gaps = []
    for num_steps in (2, 8, 24):
        forward, reverse = SHARP.both_ways(num_steps, 1200)
        groups = [w.log_weight.unflatten(0, (4, 300)) for w in (forward, reverse)]  # 4 chains
        sides = [bracket(f, r) for f, r in zip(*(g.unbind(1) for g in groups), strict=True)]
        lower = SHARP.evidence - torch.stack([side.lower for side in sides])  # (300, 2)
        upper = torch.stack([side.upper for side in sides]) - SHARP.evidence
        for gap in (lower, upper):
            assert (gap.mean(0) > -3 * gap.std(0) / math.sqrt(300)).all()
        gaps.append([float(gap.mean()) for gap in (lower, upper)])
    assert gaps[0][0] > 2 * gaps[1][0] > 4 * gaps[2][0] > 0
    assert gaps[0][1] > 2 * gaps[1][1] > 4 * gaps[2][1] > 0


@pytest.mark.equation("eq-bracket")
def test_chains_may_share_their_posterior_draw():
    path = MILD.path(3)
    draws = MILD.posterior_draws(2000, 11)  # one for each of 2000 repeats, of 3 chains
    start = draws.repeat(3, 1, 1)
    reverse = anneal(path.reversed(), start, constant_steps(path, 2), 3, generator(12))
    weights = reverse.log_weight.unflatten(0, (3, 2000)).movedim(1, -1)  # (3, 2, 2000)
    upper = bracket(weights.flatten(1), weights.flatten(1)).upper.unflatten(0, (2, 2000)).mT
    assert_mean_is((-upper + MILD.evidence).exp(), 1.0)
    assert (upper.mean(0) > MILD.evidence).all()


@pytest.mark.equation("eq-bracket")
def test_the_sides_are_log_means_of_either_sign():
    forward, reverse = 900 + 3 * normal(5, 4), 900 + 2 * normal(7, 4, seed=2)
    seen = bracket(forward, reverse)
    np.testing.assert_allclose(seen.lower, logsumexp(forward.numpy(), 0, b=1 / 5))
    np.testing.assert_allclose(seen.upper, -logsumexp(reverse.numpy(), 0, b=1 / 7))


# The pilot


def test_the_pilot_finds_steps_that_are_accepted_as_asked():
    path = SHARP.path(20)
    steps = tune_step_sizes(path, normal(64, 2, 2), 5, generator(1))
    assert steps.shape == (21, 2)
    assert float(steps[-1].mean()) < 0.7 * float(steps[5].mean())  # the posterior is narrower
    annealed = anneal(path, normal(500, 2, 2, seed=2), steps, 5, generator(3))
    assert float(annealed.acceptance[5:].mean()) == pytest.approx(TARGET, abs=0.06)


def test_each_image_has_its_own_step():
    scale = torch.tensor([1.0, 0.1], dtype=torch.float64)
    narrow = MultivariateNormal(
        torch.zeros(2, 2).double(), torch.diag_embed(scale[:, None] ** 2 * torch.ones(2).double())
    )
    path = AnnealingPath(SHARP.log_prior, narrow.log_prob, ladder(15))
    steps = tune_step_sizes(path, normal(64, 2, 2), 5, generator(1))
    assert float(steps[-1, 0] / steps[-1, 1]) == pytest.approx(10, rel=0.3)


# The caller


def test_the_same_generator_gives_the_same_chains_and_leaves_the_caller_alone():
    path, z = SHARP.path(4), normal(5, 2, 2)
    kept, steps = z.clone(), constant_steps(path, 2)
    state = torch.get_rng_state()
    first, again = (anneal(path, z, steps, 3, generator(4)) for _ in range(2))
    other = anneal(path, z, steps, 3, generator(5))
    for one, two in zip(first, again, strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(first.log_weight, other.log_weight)
    tuned, same = (tune_step_sizes(path, z, 3, generator(6)) for _ in range(2))
    assert torch.equal(tuned, same)
    assert torch.equal(z, kept)
    assert torch.equal(state, torch.get_rng_state())
    assert not z.requires_grad


def test_a_network_keeps_no_gradient():
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))

    def log_joint(z: Tensor) -> Tensor:
        prior = -0.5 * z.square().sum(-1)
        return prior - 0.5 * (network(z) - 1).square().sum(-1)

    path = AnnealingPath(lambda z: -0.5 * z.square().sum(-1), log_joint, ladder(3))
    z = normal(4, 1, 2).float().requires_grad_()
    annealed = anneal(path, z, constant_steps(path, 1).float(), 2, generator(1))
    steps = tune_step_sizes(path, z, 2, generator(1))
    assert all(part.dtype == torch.float32 for part in (*annealed, steps))
    assert not any(part.requires_grad for part in (*annealed, steps))
    assert z.grad is None
    assert all(parameter.grad is None for parameter in network.parameters())


# Bad input


def run(path=None, z=None, steps=None, num_leapfrog=2):
    path = path or SHARP.path(2)
    z = normal(3, 2, 2) if z is None else z
    steps = constant_steps(path, 2) if steps is None else steps
    return anneal(path, z, steps, num_leapfrog, generator(1))


@pytest.mark.parametrize(
    "temperatures",
    [[0, 0.5], [0.1, 1], [0, 0.5, 0.5, 1], [0, 0.6, 0.4, 1], [1, 0.5], [0, 1, 0], [0], [1, 0, 1]],
)
def test_temperatures_run_one_way_from_end_to_end(temperatures):
    path = SHARP.path(1)._replace(temperatures=torch.tensor(temperatures, dtype=torch.float64))
    with pytest.raises(ValueError, match="temperatures must lead from 0 to 1"):
        run(path)
    with pytest.raises(ValueError, match="temperatures must lead from 0 to 1"):
        tune_step_sizes(path, normal(3, 2, 2), 2, generator(1))


def test_temperatures_are_numbers():
    path = SHARP.path(1)
    for bad, error in [
        (torch.tensor([0.0, math.nan, 1.0]), ValueError),
        (torch.tensor([0, 1]), TypeError),
        ([0.0, 1.0], TypeError),
        (torch.empty(0), ValueError),
    ]:
        steps = constant_steps(path, 2)
        with pytest.raises(error, match="temperatures"):
            anneal(path._replace(temperatures=bad), normal(3, 2, 2), steps, 2, generator(1))


@pytest.mark.parametrize("shape", [(2, 2), (2,), (3, 2, 2, 2)])
def test_the_shape_of_z_is_named(shape):
    with pytest.raises(ValueError, match=r"must be \(chains, batch, latent\)"):
        run(z=torch.zeros(shape, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"must be \(chains, batch, latent\)"):
        tune_step_sizes(SHARP.path(2), torch.zeros(shape).double(), 2, generator(1))


def test_a_log_density_of_another_shape_is_refused():
    path = SHARP.path(2)._replace(log_end=lambda z: -z.square())
    with pytest.raises(
        ValueError,
        match=r"log_end\(z\) must be \(chains, batch\) = \(3, 2\) .*, got shape \(3, 2, 2\)",
    ):
        run(path)


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="z is empty"):
        run(z=torch.empty(3, 0, 2).double())
    with pytest.raises(ValueError, match="z is empty"):
        tune_step_sizes(SHARP.path(2), torch.empty(0, 2, 2), 2, generator(1))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_log_density_that_is_not_finite_is_refused(value):
    path = SHARP.path(2)._replace(log_end=lambda z: z.sum(-1) * 0 + value)
    with pytest.raises(ValueError, match=r"log_end\(z\) − log_start\(z\) must be finite"):
        run(path)


def test_step_sizes_fit_temperatures_and_images():
    for shape, needed in [((3,), "batch = 2"), ((3, 1), "batch = 2"), ((2, 2), "3 temperatures")]:
        with pytest.raises(ValueError, match=f"step_sizes.*{needed}"):
            run(steps=torch.full(shape, 0.1, dtype=torch.float64))
    with pytest.raises(ValueError, match="step_sizes must be finite"):
        run(steps=torch.full((3, 2), math.nan, dtype=torch.float64))


@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError)])
def test_at_least_one_leapfrog(count, error):
    with pytest.raises(error, match="num_leapfrog"):
        run(num_leapfrog=count)


def test_a_bracket_needs_weights_of_the_same_images():
    with pytest.raises(ValueError, match=r"reverse must be .* batch = 2 as in forward"):
        bracket(torch.zeros(4, 2), torch.zeros(4, 3))
    with pytest.raises(ValueError, match="forward must be finite"):
        bracket(torch.full((2, 1), math.nan), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="reverse must be finite"):
        bracket(torch.zeros(2, 1), torch.full((2, 1), math.inf))
