"""The live figure reparameterize in Chromium: hands on its controls, draws that accumulate."""

import torch
from hands import announced, close, drag, point, press, swipe, values

from vae_tutorial.reparameterization import pathwise_gradients, score_function_gradients


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
