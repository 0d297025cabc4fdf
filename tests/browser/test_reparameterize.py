"""The live figure reparameterize in Chromium: hands on its controls, draws that accumulate."""

import torch
from hands import announced, close, drag, point, press, swipe, values

from vae_tutorial.reparameterization import pathwise_gradients, score_function_gradients


def test_at_the_beginning_the_estimates_are_those_of_the_module(opened):
    page = opened("reparameterize")
    noise = values(page, "noise").reshape(-1, 2)[:200]
    mean, log_variance = torch.ones(2).double(), torch.zeros(2).double()
    path = pathwise_gradients(lambda z: z.square().sum(-1), mean, log_variance, noise)
    score = score_function_gradients((mean + noise).square().sum(-1), log_variance, noise)
    for name, gradients in (("pathwise", path), ("score", score)):
        close(values(page, f"estimates.{name}.means"), gradients.mean.mean(0), 1e-9)
        close(values(page, f"estimates.{name}.variances"), gradients.mean.var(0), 1e-9)
    shown = page.locator(".live-readout").filter(has_text="variance, ").all_inner_texts()
    assert [" ".join(words.split()) for words in shown] == [  # eq-score-variance at d = 2
        "variance, pathwise 4.0",
        "variance, score 56.0",
    ]


def test_keys_alone_move_the_cloud_while_the_noise_stays(opened):
    page = opened("reparameterize")
    noise = values(page, "noise")
    press(page, "Tab", "ArrowUp", "Shift+ArrowLeft")  # the plane
    close(values(page, "mean"), point(0.5, 1.05), 1e-9)
    press(page, "Tab", "ArrowRight")  # the arrows
    assert page.get_by_role("radio", name="pathwise").is_checked()
    press(page, "Tab", "Shift+ArrowRight", "Tab", "Enter")  # σ₁, and more
    press(page, "Tab", "ArrowLeft", "Tab", "Shift+ArrowRight")  # σ₂, ρ
    close(values(page, "deviations"), point(1.5, 0.95), 1e-9)
    close(values(page, "correlation"), torch.tensor(0.5).double(), 1e-9)
    assert torch.equal(values(page, "noise"), noise)
    said = announced(page, "μ = (0.50")
    assert said.startswith(
        "μ = (0.50, 1.05), σ = (1.50, 0.95), ρ = 0.50. After 200 draws: pathwise "
    )
    assert "exact 1.00. Variances of a draw: 9.0 and " in said
    page.wait_for_function(
        "location.hash.endsWith('&more=open&sigma2=0.95&rho=0.5&mu1=0.5&mu2=1.05')"
    )
    press(page, "Shift+Tab", "Shift+Tab", "Shift+Tab", "Shift+Tab", "Shift+Tab", "Home")
    close(values(page, "mean"), point(0, 0), 0)
    assert page.errors == []


def test_an_address_with_more_in_it_opens_the_fold(opened):
    page = opened("reparameterize")
    assert not page.get_by_role("slider", name="ρ").is_visible()
    page.evaluate("location.hash = '#fig-pad&more=open&rho=0.9'")
    page.get_by_role("slider", name="ρ").wait_for()
    assert values(page, "correlation") == 0.9


def test_each_set_of_arrows_is_drawn_in_its_ink(opened):
    page = opened("reparameterize")
    count = """([red, green, blue]) => {
        const plane = document.querySelector("canvas.live-pad");
        const { data } = plane.getContext("2d").getImageData(0, 0, plane.width, plane.height);
        let seen = 0;
        for (let i = 0; i < data.length; i += 4) {
            seen += data[i] === red && data[i + 1] === green && data[i + 2] === blue;
        }
        return seen;
    }"""
    inks = {"pathwise": [0xC4, 0x4E, 0x00], "score function": [0x7A, 0x51, 0x95]}
    seen = {}
    for arrows in ("both", "pathwise", "score function"):
        page.get_by_role("radio", name=arrows).check()
        seen[arrows] = {name: page.evaluate(count, ink) for name, ink in inks.items()}
    for name in inks:
        (other,) = inks.keys() - {name}
        assert seen[name][name] > 1.1 * seen[other][name]  # its words are always there
    assert seen["both"]["pathwise"] > 1.1 * seen["score function"]["pathwise"]


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
        mean, error = (values(page, f"estimates.{name}.{each}") for each in ("means", "errors"))
        assert ((mean - 2 * values(page, "mean")).abs() < 4.5 * error).all()


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
