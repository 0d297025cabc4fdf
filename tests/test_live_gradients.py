"""What the live figure reparameterize computes: against torch and a quadrature."""

import math

import numpy as np
import torch
from scripts import computed
from torch.distributions import MultivariateNormal

MEANS = """([laws, noise, count]) => laws.map((law) => {
  const { pathwise, score } = VAE_LIVE.gradientMeans(law, noise, count);
  return [pathwise, score].map((each) => [each.means, each.variances, each.errors]);
})"""


DRAWN = """([laws, noise]) => laws.map((law) => noise.map((each) => {
  const { pathwise, score } = VAE_LIVE.gradients(law)(each);
  return [pathwise, score];
}))"""


LAWS = """laws => laws.map((law) => {
  const { exact, pathwise, score } = VAE_LIVE.gradientLaw(law);
  return [exact, pathwise, score];
})"""


MOVED = "([laws, noise]) => laws.map((law, i) => VAE_LIVE.moved(law)(noise[i]))"


def settings(count):
    """Random laws over the sliders' ranges, as the script takes them."""
    uniform = torch.rand(count, 5, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    laws = []
    for a, b, c, d, e in uniform.tolist():
        deviations = [0.2 + 1.4 * c, 0.2 + 1.4 * d]
        mean = [4 * a - 2, 4 * b - 2]
        laws.append({"mean": mean, "deviations": deviations, "correlation": 1.9 * e - 0.95})
    return laws


def normal(law):
    """The same law in torch.distributions, and its mean, which takes a gradient."""
    mean = torch.tensor(law["mean"], dtype=torch.float64, requires_grad=True)
    s, t = law["deviations"]
    shared = law["correlation"] * s * t
    covariance = torch.tensor([[s * s, shared], [shared, t * t]], dtype=torch.float64)
    return MultivariateNormal(mean, covariance), mean


def by_autograd(law, noise):
    """Pathwise and score-function estimates of the gradient in μ, one a draw, (K, 2) each."""
    q, mean = normal(law)
    copies = mean.detach().expand(noise.shape).clone().requires_grad_()  # (K, 2)
    z = copies + noise @ q.scale_tril.detach().T  # (K, 2)
    (pathwise,) = torch.autograd.grad(z.square().sum(), copies)
    moved = MultivariateNormal(copies, q.covariance_matrix.detach())
    fixed = z.detach()
    (score,) = torch.autograd.grad(moved.log_prob(fixed).sum(), copies)
    return pathwise, fixed.square().sum(1, keepdim=True) * score


def test_z_is_that_of_torch_and_keeps_its_noise():
    laws = settings(1000)
    noise = torch.randn(1000, 2, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    seen = computed("reparameterize").evaluate(MOVED, [laws, noise.tolist()])
    seen = torch.tensor(seen, dtype=torch.float64)
    expected = []
    for law, each in zip(laws, noise, strict=True):
        q, mean = normal(law)
        expected.append((mean + q.scale_tril @ each).detach())
    difference = (seen - torch.stack(expected)).abs().max()
    print(f"z, 1,000 random settings: at most {difference:.1e} apart")
    assert difference <= 1e-5


def test_exact_variances_agree_with_a_quadrature():
    laws = settings(300)
    seen = torch.tensor(computed("reparameterize").evaluate(LAWS, laws), dtype=torch.float64)
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)  # exact to degree 15; here it is 6
    grid = torch.tensor(np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2))  # (64, 2)
    weight = torch.tensor(np.outer(weights, weights).reshape(-1) / (2 * math.pi))  # (64,)
    expected = []
    for law in laws:
        moments = []
        for draws in (each[:, 0] for each in by_autograd(law, grid)):  # in μ₁
            moments.append(((weight * draws).sum(), (weight * draws.square()).sum()))
        (mean, square), (same, other) = moments
        torch.testing.assert_close(mean, same, rtol=0, atol=1e-9)  # neither is biased
        expected.append(torch.stack([mean, square - mean**2, other - mean**2]))
    relative = ((seen - torch.stack(expected)) / torch.stack(expected)).abs().max()
    print(f"exact gradient and variances, 300 random settings: {relative:.1e} apart (relative)")
    assert relative <= 1e-5


def test_the_chapters_variances_are_four_and_fifty_six():
    law = {"mean": [1, 1], "deviations": [1, 1], "correlation": 0}
    assert computed("reparameterize").evaluate(LAWS, [law]) == [[2, 4, 4 * 2**2 + 14 * 2 + 12]]


def test_every_arrow_is_the_gradient_that_torch_finds():
    laws = settings(200)
    noise = torch.randn(20, 2, generator=torch.Generator().manual_seed(11), dtype=torch.float64)
    seen = computed("reparameterize").evaluate(DRAWN, [laws, noise.tolist()])
    seen = torch.tensor(seen, dtype=torch.float64)  # (200, 20, 2, 2)
    expected = torch.stack([torch.stack(by_autograd(law, noise), 1) for law in laws])
    difference = ((seen - expected).abs() / expected.abs().clamp(min=1)).max()
    print(f"arrows, 200 random settings of 20 points: at most {difference:.1e} apart")
    assert difference <= 1e-5


def test_means_variances_and_errors_are_those_of_torch():
    laws = settings(200)
    noise = torch.randn(300, 2, generator=torch.Generator().manual_seed(10), dtype=torch.float64)
    worst = 0.0
    for count in (2, 10, 300):
        sent = [laws, noise.flatten().tolist(), count]
        seen = torch.tensor(computed("reparameterize").evaluate(MEANS, sent), dtype=torch.float64)
        expected = []
        for law in laws:
            rows = []
            for draws in by_autograd(law, noise[:count]):
                variance = draws.var(0)  # (2,)
                rows.append(torch.stack([draws.mean(0), variance, (variance / count).sqrt()]))
            expected.append(torch.stack(rows))
        expected = torch.stack(expected)  # (200, 2, 3, 2)
        worst = max(worst, ((seen - expected).abs() / expected.abs().clamp(min=1)).max())
    print(f"estimates, 200 random settings: at most {worst:.1e} apart")
    assert worst <= 1e-5
