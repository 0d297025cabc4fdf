"""The live figure train-here in Chromium: it starts, pauses, steps, collapses, and sees a drawing.

What it computes is tested without a browser: `tests/test_live_train.py`.
"""

import json

import pytest
import torch
from export_rate_distortion import ten_digits
from hands import VALUES, announced, close, press, swipe, values
from test_live_train import vae

from vae_tutorial.data import load_digits
from vae_tutorial.evaluation import exact_bound, exact_log_evidence

PHONE = {"viewport": {"width": 390, "height": 664}, "has_touch": True, "is_mobile": True}
PATIENCE = 120_000  # milliseconds: a busy machine trains slowly
STOPS = ["batch", "encode", "noise", "decode", "score", "gradient", "update"]


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def until(page, condition):
    """Wait until a condition on the figure's values `v` holds."""
    page.wait_for_function(f"(({{ ...v }}) => {condition})({VALUES})", timeout=PATIENCE)


def steps(page):
    return int(values(page, "steps").item())


def model_of(page):
    """The page's VAE in torch, at its σ² (β is 1)."""
    variance = values(page, "threshold").item()
    return vae(variance, values(page, "weights").tolist()).requires_grad_(False)


def test_keys_alone_start_pause_and_step_and_what_happened_is_announced(opened):
    page = opened("train-here")
    assert steps(page) == 0
    press(page, "Tab", "Tab", "Enter")  # the mode is first, then Start
    until(page, "v.steps >= 5 && v.measured >= 2")
    assert button(page, "Pause").is_visible()
    press(page, "Enter")
    until(page, "!v.working")
    at = steps(page)
    announced(page, f"Step {at}, epoch")
    page.wait_for_timeout(300)
    assert steps(page) == at
    press(page, "Tab", "Space")  # One step
    until(page, "!v.working")
    assert steps(page) == at + 1
    said = announced(page, f"Step {at + 1}, epoch")
    assert "at a learning rate of 0.0100 and σ²β = 0.050, below λ₁ = 0.705." in said
    assert "of the encoder and" in said
    press(page, "Tab", "Enter")  # Begin again
    assert steps(page) == 0
    press(page, "Tab", "ArrowLeft", "Tab", "Shift+ArrowRight", "Tab", "ArrowRight")  # the sliders
    announced(page, "at a learning rate of 0.0079 and σ²β = 0.100, below")
    assert page.errors == []


def test_a_run_begun_again_is_the_same_run_and_its_bound_stays_below_the_truth(opened):
    page = opened("train-here")
    found = []
    for _ in range(2):
        for _ in range(3):
            button(page, "One step").click()
            until(page, "!v.working")
        names = ("weights", "bound", "best", "logEvidence")
        found.append([values(page, name) for name in names])
        button(page, "Begin again").click()
    assert values(page, "former") == 3  # the curve of the run before is left to compare with
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
    _, bound, best, truth = found[0]
    assert bound < best < truth


def test_what_is_shown_is_of_the_weights_that_are_shown_however_fast_the_hand(opened):
    page = opened("train-here")
    for _ in range(4):
        button(page, "One step").click()  # before the measurement of the last one is done
    page.get_by_label("σ² of a pixel").press("ArrowRight")
    until(page, "!v.working")
    images, model = ten_digits(), model_of(page)
    truth = exact_log_evidence(model, images).log_evidence.mean()
    close(values(page, "logEvidence"), truth, 1e-4)
    bound = exact_bound(model, images, model.encoder(images)).elbo.mean()
    close(values(page, "bound"), bound, 1e-6)


def test_the_reader_causes_collapse_by_the_slider_and_not_before(opened):
    page = opened("train-here")
    button(page, "Start").click()
    until(page, "Math.min(...v.rates) > 0.5")
    page.get_by_label("σ² of a pixel").press("End")
    assert values(page, "threshold") > 0.705
    until(page, "Math.max(...v.rates) < 0.01")
    button(page, "Pause").click()
    until(page, "!v.working")
    announced(page, "Both latents have collapsed.")
    assert values(page, "gap") < 0.1


def test_a_new_variance_is_measured_without_a_step(opened):
    page = opened("train-here")
    button(page, "One step").click()
    until(page, "!v.working && v.measured === 1")
    before = values(page, "logEvidence")
    page.get_by_label("σ² of a pixel").press("Shift+ArrowRight")
    until(page, f"!v.working && v.logEvidence !== {before.item()}")
    assert steps(page) == 1


def test_where_motion_is_to_be_reduced_it_trains_all_the_same(opened):
    page = opened("train-here", reduced_motion="reduce")
    button(page, "Start").click()
    until(page, "v.steps >= 5")
    assert button(page, "Pause").is_visible()


def test_a_digit_drawn_by_touch_is_encoded_scored_and_compared(opened):
    page = opened("train-here", **PHONE)
    for _ in range(2):
        button(page, "One step").click()
        until(page, "!v.working")
    page.get_by_role("radio", name="draw a digit").check()
    pad = page.locator("canvas.live-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    place = [(12, 6), (20, 6), (20, 16), (14, 26)]  # a seven, in columns and rows of 32
    swipe(
        page,
        *((box["x"] + x / 32 * box["width"], box["y"] + y / 32 * box["height"]) for x, y in place),
    )
    until(page, "v.own && v.crowd && !v.working")
    digit = values(page, "digit")
    rows = digit.reshape(8, 8).sum(1)
    assert (rows > 0).all()  # stretched to the full height
    assert rows[0] > rows[4]
    model, x = model_of(page), digit[None]
    code = torch.cat([*model.encoder(x)], dim=-1)[0]
    close(values(page, "own.code"), code, 1e-9)
    close(values(page, "own.bound"), exact_bound(model, x, model.encoder(x)).elbo[0], 1e-6)
    truth = exact_log_evidence(model, x).log_evidence[0]
    close(values(page, "own.logEvidence"), truth, 1e-3)
    worse = int((values(page, "crowd") < truth).sum())
    said = announced(page, "surprise the model more")
    assert f"{worse} of the 297 test digits" in said
    surprise = page.get_by_text("surprise the model more").first.bounding_box()
    assert surprise["y"] >= 0  # in sight beside the hand
    assert surprise["y"] + surprise["height"] < pad.bounding_box()["y"] + 5
    button(page, "Erase").click()
    announced(page, "draw a digit in the square")
    assert page.evaluate(f"{VALUES}.digit") is None


def test_keys_draw_too_and_the_drawing_stands_in_the_address(opened):
    page = opened("train-here")
    page.get_by_role("radio", name="draw a digit").check()
    page.locator("canvas.live-pad").focus()
    press(page, *["ArrowLeft"] * 2, "Space", *["ArrowDown"] * 9, "Space")
    announced(page, "The pen is up. Drawn:")
    drawn = values(page, "digit")
    assert drawn.sum() > 5
    press(page, *["ArrowRight"] * 3)  # the pen is up: nothing changes
    assert torch.equal(values(page, "digit"), drawn)
    page.wait_for_function("location.hash.includes('digit=')")
    address = page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(address)
    assert torch.equal(values(page, "digit"), drawn)
    assert page.get_by_role("radio", name="draw a digit").is_checked()
    assert page.errors == []


@pytest.mark.parametrize("asked", ["digit=xyz&mode=draw", "variance=none&rate=1e9&mode=none"])
def test_an_address_that_asks_for_nonsense_breaks_nothing(opened, asked):
    page = opened("train-here")
    page.evaluate(f"location.hash = '#fig-pad&{asked}'")
    page.wait_for_timeout(100)
    close(values(page, "threshold"), torch.tensor(10**-1.3).double(), 1e-6)
    assert page.errors == []


LIT = """() => [...document.querySelectorAll('svg.wide > g:not(.unlit)')].flatMap((group) =>
    [...group.classList].filter((name) => !['lit', 'dim'].includes(name)))"""


def test_one_step_in_slow_motion_lights_its_parts_and_says_its_numbers(opened):
    page = opened("train-here")
    page.get_by_role("radio", name="slow step").check()
    lit = []
    for number, stop in enumerate(STOPS, 1):
        said = announced(page, f"Stop {number} of 7, {stop}:")
        assert any(letter.isdigit() for letter in said.split(":")[1])
        assert steps(page) == (1 if stop == "update" else 0)
        lit.append(set(page.evaluate(LIT)))
        button(page, "Next stop").press("Enter")
    announced(page, "Stop 1 of 7, batch:")
    assert steps(page) == 1
    assert lit[0] == {"x"}
    assert {"encoder", "mu", "sigma"} <= lit[1]
    assert {"noise", "z"} <= lit[2]
    assert {"decoder", "f", "lambda", "copy"} == lit[3]
    assert {"rate", "distortion", "loss"} == lit[4]
    assert lit[5] == {"extra"}
    assert lit[6] == {"encoder", "decoder"}


def test_the_drawing_shows_the_first_digit_of_the_batch(opened):
    page = opened("train-here")
    page.get_by_role("radio", name="slow step").check()
    page.wait_for_function(f"{VALUES}.stop === 0")
    read = """() => [...document.querySelectorAll('svg.wide > g.x > g > rect')].map((cell) =>
        Number(cell.getAttribute('fill-opacity')))"""
    shown = torch.tensor(page.evaluate(read), dtype=torch.float64)
    train = json.loads(
        page.evaluate("JSON.stringify(VAE_LIVE.training.train.map((image) => [...image]))")
    )
    nearest = (torch.tensor(train, dtype=torch.float64) - shown).abs().amax(1).min()
    assert nearest < 1e-3  # three decimals in the drawing


def test_a_loss_that_is_no_number_stops_the_run_and_says_so(opened):
    page = opened("train-here")
    page.evaluate("""() => {
        const { gradient } = VAE_LIVE.vae;
        VAE_LIVE.vae.gradient = (...given) => ({ ...gradient(...given), kl: Number.NaN });
    }""")
    button(page, "Start").click()
    announced(page, "The loss is no number any more.")
    assert button(page, "Start").is_visible()
    assert page.get_by_text("none: the loss is no number. Begin again").is_visible()
    assert page.errors == []


def test_the_threshold_is_marked_on_the_sliders_and_moves_with_the_other(opened):
    page = opened("train-here")
    largest = torch.linalg.eigvalsh(torch.cov(load_digits(torch.float64).train.T, correction=0))[
        -1
    ].item()

    def marked(label):
        slider = page.get_by_label(label)
        read = "e => e.classList.contains('live-marked') && +e.style.getPropertyValue('--mark')"
        low, high = (float(slider.get_attribute(name)) for name in ("min", "max"))
        share = slider.evaluate(read)
        return share and 10 ** (low + share * (high - low))

    assert marked("σ² of a pixel") == pytest.approx(largest, rel=1e-3)
    page.get_by_label("β, weight of KL").fill("1")  # β = 10
    assert marked("σ² of a pixel") == pytest.approx(largest / 10, rel=1e-3)
    page.get_by_label("β, weight of KL").fill("2")
    assert marked("σ² of a pixel") is False  # below the slider's reach
    assert marked("β, weight of KL") == pytest.approx(largest / 10**-1.3, rel=1e-3)
