"""The open problems: a right answer passes, and typical wrong ones are told apart from it."""

import math

import pytest
import scipy.optimize
import torch

from vae_tutorial import problems

# transport


def noisy_ring(x, deviation, reach=15.0):
    """log p(x) by a sum over the plane of z, in polar coordinates."""
    root = (torch.arange(3000, dtype=torch.float64) + 0.5) * math.sqrt(reach) / 3000
    length = root.square()  # finer steps near z = 0
    angle = torch.arange(800, dtype=torch.float64) * 2 * math.pi / 800
    place = (1 + length / 10)[:, None, None] * torch.stack([angle.cos(), angle.sin()], -1)
    log_mass = length.log() - length.square() / 2 + (2 * root).log()
    log_mass += math.log(math.sqrt(reach) / 3000 / 800)
    found = []
    for point in x:
        squared = (point - place).square().sum(-1)  # (lengths, angles)
        log_terms = log_mass[:, None] - squared / (2 * deviation**2)
        found.append(log_terms.logsumexp((0, 1)) - math.log(2 * math.pi * deviation**2))
    return torch.stack(found)


def test_the_ring_is_scored_by_a_sum_over_the_plane(capsys):
    problems.transport(noisy_ring)
    assert capsys.readouterr().out.count("passed: log p(x)") == 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, deviation: noisy_ring(x, deviation**0.5),  # the deviation taken for a variance
        lambda x, deviation: noisy_ring(x, deviation, reach=6.0),  # a part of the latents
        lambda x, deviation: noisy_ring(x, deviation) + math.log(2 * math.pi),  # no normaliser
        lambda x, deviation: noisy_ring(x, deviation).exp().log(),  # underflows far from the ring
        lambda x, deviation: -((x.norm(dim=-1) - 1) ** 2) / (2 * deviation**2),  # a circle
    ],
)
def test_a_ring_scored_otherwise_is_told_apart(wrong):
    with pytest.raises(AssertionError, match=r"log p\(x\), noise"):
        problems.transport(wrong)


def test_without_an_answer_the_question_is_asked(capsys):
    for ask in (problems.transport, problems.training, problems.choices, problems.limits):
        ask()
        assert capsys.readouterr().out.startswith("open: ")


# marginal_likelihood

# decomposition

# bounds

# weights

# gaussians

# linear

# reparameterization

# training


def split_rate(mean, log_variance, reach=12.0, nodes=40_001):
    """Both parts by a sum over each code's own grid: as fine as the code is narrow."""
    deviation = (0.5 * log_variance).exp()
    unit = torch.linspace(-reach, reach, nodes, dtype=torch.float64)
    weights = torch.exp(-0.5 * unit.square())
    weights = weights / weights.sum()
    mismatch = torch.zeros((), dtype=torch.float64)
    for centre, spread in zip(mean, deviation, strict=True):
        z = centre + spread * unit  # (nodes,)
        standard = (z[:, None] - mean) / deviation
        score = -0.5 * standard.square() - deviation.log() - 0.5 * math.log(2 * math.pi)
        log_q = score.logsumexp(-1) - math.log(len(mean))
        log_p = -0.5 * (z.square() + math.log(2 * math.pi))
        mismatch = mismatch + (weights * (log_q - log_p)).sum() / len(mean)
    rate = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).mean()
    return rate - mismatch, mismatch


def split_by_draws(mean, log_variance):
    noise = torch.randn(20_000, len(mean), generator=torch.Generator().manual_seed(0))
    z = (mean + (0.5 * log_variance).exp() * noise).double()[..., None]  # (draws, n, 1)
    variance = log_variance.exp()
    score = -0.5 * ((z - mean).square() / variance + log_variance)
    log_ratio = score.logsumexp(-1) - math.log(len(mean)) + 0.5 * z[..., 0].square()
    rate = 0.5 * (variance + mean.square() - 1 - log_variance).mean()
    return rate - log_ratio.mean(), log_ratio.mean()


def split_on_one_grid(mean, log_variance):
    z = torch.linspace(-9, 9, 20_001, dtype=torch.float64)[:, None]
    score = -0.5 * ((z - mean).square() / log_variance.exp() + log_variance)
    q = (score.logsumexp(-1) - math.log(len(mean)) - 0.5 * math.log(2 * math.pi)).exp()
    log_p = -0.5 * (z[:, 0].square() + math.log(2 * math.pi))
    mismatch = (q * ((q + 1e-300).log() - log_p)).sum() * 18 / 20_000
    rate = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).mean()
    return rate - mismatch, mismatch


def test_the_rate_is_split_by_a_grid_for_each_code(capsys):
    problems.training(split_rate)
    assert capsys.readouterr().out.count("passed: ") == 8


@pytest.mark.parametrize(
    "wrong",
    [
        split_by_draws,
        split_on_one_grid,  # steps over the spikes
        lambda *codes: split_rate(*codes)[::-1],  # the parts change places
        lambda mean, log_variance: split_rate(mean, 2 * log_variance),  # a variance for deviation
        lambda *codes: (torch.tensor(len(codes[0])).log(), split_rate(*codes)[1]),  # always log n
    ],
)
def test_a_rate_split_otherwise_is_told_apart(wrong):
    with pytest.raises(AssertionError, match=r"mismatch|information"):
        problems.training(wrong)


# choices


def rates_by_search(eigenvalues, variance, total):
    """Spend the free nats, and none more than pays, in one convex search over the simplex."""

    def loss(rates):
        return float((eigenvalues * (-2 * torch.tensor(rates)).exp()).sum() / (2 * variance))

    def slope(rates):
        return (-eigenvalues * (-2 * torch.tensor(rates)).exp() / variance).numpy()

    paid = (0.5 * (eigenvalues / variance).log()).clamp(min=0)
    if paid.sum() >= total:
        return paid
    size = len(eigenvalues)
    found = scipy.optimize.minimize(
        loss,
        [total / size] * size,
        jac=slope,
        method="SLSQP",
        bounds=[(0, None)] * size,
        constraints={"type": "eq", "fun": lambda r: r.sum() - total, "jac": lambda r: r * 0 + 1},
        options={"ftol": 1e-15, "maxiter": 2000},
    )
    return torch.tensor(found.x)


def rates_by_level(eigenvalues, variance, total):
    """Axes in order of size: with k of them in use, the level follows from the total."""
    paid = (0.5 * (eigenvalues / variance).log()).clamp(min=0)
    if paid.sum() >= total:
        return paid
    for count in range(1, len(eigenvalues) + 1):
        level = (eigenvalues.sort(descending=True).values[:count].log().sum() - 2 * total) / count
        rates = (0.5 * (eigenvalues.log() - level)).clamp(min=0)
        if abs(float(rates.sum()) - total) < 1e-9:
            return rates
    raise AssertionError("no level fits")


def test_rates_under_a_budget_are_found_by_their_level(capsys):
    problems.choices(rates_by_level)
    assert capsys.readouterr().out.count("passed: ") == 5


def test_a_search_agrees_with_the_level():
    eigenvalues = torch.tensor([3.0, 0.5, 1.5, 0.5, 0.02]).double()
    for total in (0.5, 1.5, 6.0):
        pair = (f(eigenvalues, torch.tensor(0.8), total) for f in (rates_by_search, rates_by_level))
        assert torch.allclose(*pair, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda e, v, total: (0.5 * (e / v).log()).clamp(min=0),  # the law without a budget
        lambda e, v, total: (0.5 * (e / v).log()).clamp(min=total / len(e)),  # a floor for each
        lambda e, v, total: (0.5 * (e / v).log()).clamp(min=0) * 0 + total / len(e),
        lambda e, v, total: rates_by_level(e, v * 0 + 1e9, total),  # every nat of the budget spent
        lambda e, v, total: 2 * rates_by_level(e, v, total),
    ],
)
def test_rates_found_otherwise_are_told_apart(wrong):
    with pytest.raises(AssertionError, match=r"the rates"):
        problems.choices(wrong)


# evaluation

# annealing

# scaling

# limits


def hilbert(level, depth=20):
    """Hilbert's curve: the quarters of the interval in turn, each square turned or mirrored."""
    x, y = torch.zeros_like(level), torch.zeros_like(level)
    quarters = []
    for _ in range(depth):
        quarter = (4 * level).floor().clamp(max=3)
        quarters.append(quarter)
        level = 4 * level - quarter
    for quarter in reversed(quarters):
        first, last, right = quarter == 0, quarter == 3, quarter >= 2
        x, y = (
            torch.where(first, y, torch.where(last, 1 - y, x)),
            torch.where(first, x, torch.where(last, 1 - x, y)),
        )
        x, y = (x + right) / 2, (y + ((quarter == 1) | (quarter == 2))) / 2
    return torch.stack([x, y], -1)


def interleaved(level, depth=20):
    """Digits dealt out to x and y in turn: each box once, but the path jumps."""
    bits = (level[:, None] * 2.0 ** torch.arange(1, 2 * depth + 1)).floor() % 2
    weight = 0.5 ** torch.arange(1, depth + 1, dtype=torch.float64)
    return torch.stack([bits[:, ::2] @ weight, bits[:, 1::2] @ weight], -1)


def lawnmower(level, rows=64):
    """Row by row, forth and back: continuous, and right at one size of box only."""
    row = (level * rows).floor()
    along = level * rows - row
    along = torch.where(row % 2 == 0, along, 1 - along)
    return torch.stack([along, (row + 0.5) / rows], -1)


def test_hilberts_curve_fills_the_square(capsys):
    problems.limits(hilbert)
    assert capsys.readouterr().out.count("passed: ") == 18


@pytest.mark.parametrize(
    "wrong", [interleaved, lawnmower, lambda u: torch.stack([u, u], -1), lambda u: hilbert(u) / 2]
)
def test_other_curves_do_not(wrong):
    with pytest.raises(AssertionError):
        problems.limits(wrong)
