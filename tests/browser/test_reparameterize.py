"""The live figure reparameterize: its cloud and both gradients against torch and a quadrature."""

import math

import numpy as np
import torch
from hands import announced, close, drag, point, press, swipe, values
from torch.distributions import MultivariateNormal

from vae_tutorial.reparameterization import pathwise_gradients, score_function_gradients

RUNS = """([laws, noise, counts]) => laws.map((law) => {
  const { pathwise, score } = VAE_LIVE.gradientRuns(law, noise, counts);
  return [pathwise, score].map((run) => [run.means, run.variances, run.errors]);
})"""
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
    """Pathwise and score-function estimates of the gradient in μ₁, one a draw, (K,) each."""
    q, mean = normal(law)
    copies = mean.detach().expand(noise.shape).clone().requires_grad_()  # (K, 2)
    z = copies + noise @ q.scale_tril.detach().T  # (K, 2)
    (pathwise,) = torch.autograd.grad(z.square().sum(), copies)
    moved = MultivariateNormal(copies, q.covariance_matrix.detach())
    fixed = z.detach()
    (score,) = torch.autograd.grad(moved.log_prob(fixed).sum(), copies)
    return pathwise[:, 0], fixed.square().sum(1) * score[:, 0]


def test_z_is_that_of_torch_and_keeps_its_noise(opened):
    laws = settings(1000)
    noise = torch.randn(1000, 2, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    seen = opened("reparameterize").evaluate(MOVED, [laws, noise.tolist()])
    seen = torch.tensor(seen, dtype=torch.float64)
    expected = []
    for law, each in zip(laws, noise, strict=True):
        q, mean = normal(law)
        expected.append((mean + q.scale_tril @ each).detach())
    difference = (seen - torch.stack(expected)).abs().max()
    print(f"z, 1,000 random settings: at most {difference:.1e} apart")
    assert difference <= 1e-5


def test_exact_variances_agree_with_a_quadrature(opened):
    laws = settings(300)
    seen = torch.tensor(opened("reparameterize").evaluate(LAWS, laws), dtype=torch.float64)
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)  # exact to degree 15; here it is 6
    grid = torch.tensor(np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2))  # (64, 2)
    weight = torch.tensor(np.outer(weights, weights).reshape(-1) / (2 * math.pi))  # (64,)
    expected = []
    for law in laws:
        moments = []
        for draws in by_autograd(law, grid):
            moments.append(((weight * draws).sum(), (weight * draws.square()).sum()))
        (mean, square), (same, other) = moments
        close(mean, same, 1e-9)  # neither is biased
        expected.append(torch.stack([mean, square - mean**2, other - mean**2]))
    relative = ((seen - torch.stack(expected)) / torch.stack(expected)).abs().max()
    print(f"exact gradient and variances, 300 random settings: {relative:.1e} apart (relative)")
    assert relative <= 1e-5


def test_the_chapters_variances_are_four_and_fifty_six(opened):
    law = {"mean": [1, 1], "deviations": [1, 1], "correlation": 0}
    assert opened("reparameterize").evaluate(LAWS, [law]) == [[2, 4, 4 * 2**2 + 14 * 2 + 12]]


def test_running_means_variances_and_errors_are_those_of_torch(opened):
    laws, counts = settings(200), [2, 10, 300]
    noise = torch.randn(300, 2, generator=torch.Generator().manual_seed(10), dtype=torch.float64)
    sent = [laws, noise.flatten().tolist(), counts]
    seen = torch.tensor(opened("reparameterize").evaluate(RUNS, sent), dtype=torch.float64)
    expected = []
    for law in laws:
        rows = []
        for draws in by_autograd(law, noise):
            first = [draws[:count] for count in counts]
            means, variances = (torch.stack([f(d) for d in first]) for f in (torch.mean, torch.var))
            rows.append(torch.stack([means, variances, (variances / torch.tensor(counts)).sqrt()]))
        expected.append(torch.stack(rows))
    expected = torch.stack(expected)  # (200, 2, 3, 3)
    difference = ((seen - expected).abs() / expected.abs().clamp(min=1)).max()
    print(f"running estimates, 200 random settings: at most {difference:.1e} apart")
    assert difference <= 1e-5


def test_where_nothing_is_tilted_the_estimates_are_those_of_the_module(opened):
    page = opened("reparameterize")
    page.get_by_role("button", name="Set μ").click()
    noise = values(page, "noise").reshape(-1, 2)[:200]
    mean, log_variance = torch.ones(2).double(), torch.zeros(2).double()
    path = pathwise_gradients(lambda z: z.square().sum(-1), mean, log_variance, noise)
    score = score_function_gradients((mean + noise).square().sum(-1), log_variance, noise)
    for name, gradients in (("pathwise", path), ("score", score)):
        close(values(page, f"runs.{name}.means")[-1], gradients.mean[:, 0].mean(), 1e-9)
        close(values(page, f"runs.{name}.variances")[-1], gradients.mean[:, 0].var(), 1e-9)


def test_keys_alone_move_the_cloud_while_the_noise_stays(opened):
    page = opened("reparameterize")
    noise = values(page, "noise")
    press(page, "Tab", "Shift+ArrowRight", "Tab", "ArrowLeft", "Tab", "ArrowRight")  # σ₁, σ₂, ρ
    close(values(page, "deviations"), point(1.6, 0.75), 1e-9)
    close(values(page, "correlation"), torch.tensor(0.75).double(), 1e-9)
    press(
        page, "Tab", "Enter", "Tab", "ArrowUp", "Shift+ArrowLeft"
    )  # another point; the plane of z
    close(values(page, "mean"), point(0.5, -0.45), 1e-9)
    assert torch.equal(values(page, "noise"), noise)
    assert torch.equal(values(page, "epsilon"), noise[18:20])
    first, second = values(page, "deviations")
    tilt = values(page, "correlation")
    root = torch.stack([first, 0 * first, tilt * second, second * (1 - tilt**2).sqrt()])
    close(values(page, "z"), point(0.5, -0.45) + root.reshape(2, 2) @ noise[18:20], 1e-9)
    said = announced(page, "μ = (0.50")
    assert said.startswith(
        "μ = (0.50, −0.45), σ = (1.60, 0.75), ρ = 0.75. After 200 draws: pathwise "
    )
    assert said.endswith("exact 1.00.")
    press(page, "Home")
    close(values(page, "mean"), point(0, 0), 0)
    assert page.errors == []


def test_draws_accumulate_pause_and_go_on(opened):
    page = opened("reparameterize")
    page.get_by_role("button", name="Draw more").click()
    page.wait_for_function("VAE_LIVE.stages['fig-pad'].values.count > 210", polling=50)
    page.get_by_role("button", name="Pause").press("Enter")
    count = values(page, "count")
    page.wait_for_timeout(300)
    assert values(page, "count") == count
    page.get_by_role("button", name="Draw more").press("Enter")
    page.wait_for_function(f"VAE_LIVE.stages['fig-pad'].values.count > {count}", polling=50)
    page.get_by_role("button", name="Take new noise").click()
    page.wait_for_timeout(300)
    assert values(page, "count") == 200
    assert page.errors == []


def test_with_reduced_motion_one_press_adds_a_thousand_draws_at_once(opened):
    page = opened("reparameterize", reduced_motion="reduce")
    button = page.get_by_role("button", name="Draw 1,000 more")
    button.press("Enter")
    assert values(page, "count") == 1200
    for _ in range(19):
        button.press("Enter")
    last = page.get_by_role("button", name="All 20,000 drawn")
    last.press("Enter")
    assert values(page, "count") == 20_000
    for name in ("pathwise", "score"):  # all draws: within 4.5 standard errors of the exact value
        mean, error = (values(page, f"runs.{name}.{each}")[-1] for each in ("means", "errors"))
        assert abs(mean - values(page, "exact.exact")) < 4.5 * error


def at(page, x, y):
    """Where on the screen the plane shows z = (x, y): 5 units each way, inside the margins."""
    box = page.locator("canvas.live-pad").bounding_box()
    across = 44 + (x + 5) / 10 * (box["width"] - 54)
    down = 10 + (5 - y) / 10 * (box["height"] - 50)
    return box["x"] + across, box["y"] + down


def test_the_mouse_drags_the_mean_and_stays_in_range(opened):
    page = opened("reparameterize")
    drag(page, at(page, 1, 1), at(page, 0, 0))
    close(values(page, "mean"), point(0, 0), 0.04)
    drag(page, at(page, 0, 0), at(page, -4, 1.5))
    close(values(page, "mean"), point(-2, 1.5), 0.04)


def test_a_finger_drags_the_mean_on_a_narrow_screen(opened):
    phone = {"viewport": {"width": 320, "height": 1400}, "has_touch": True, "is_mobile": True}
    page = opened("reparameterize", **phone)
    swipe(page, at(page, 0, 0), at(page, -1, 2))
    close(values(page, "mean"), point(-1, 2), 0.05)
