"""The live figures in Chromium: hands on the controls, and what they make of the numbers.

A bare page holds the figure as the directive writes it, and the scripts of the built book. What
the scripts compute by themselves is tested without a browser: `tests/test_live_numbers.py`.
"""

import export_pads
import live
import pytest
import torch
from hands import PLANE, STATUS, announced, at, close, point, press, swipe, values

from vae_tutorial.gaussians import log_normal

PHONE = {"viewport": {"width": 320, "height": 900}, "has_touch": True, "is_mobile": True}


def unfold(page):
    """Open what is folded away, so that it is looked at, too."""
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


def test_the_decoder_agrees_with_torch_at_two_thousand_latents(opened):
    z = 2 * torch.randn(2000, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    decoded = opened().evaluate("zs => zs.map(z => [...VAE_LIVE.decode(z)])", z.tolist())
    difference = (
        (torch.tensor(decoded, dtype=torch.float64) - export_pads.chapter_9().decode(z)).abs().max()
    )
    print(f"JavaScript against torch, 2,000 latents: at most {difference:.1e} apart")
    assert difference <= 1e-5


def test_keys_alone_move_z_and_what_it_means_is_announced(opened):
    page = opened()
    said = page.locator(STATUS)
    assert said.count() == 1
    assert said.inner_text() == ""
    press(page, "Tab", "ArrowUp", "ArrowRight", "Shift+ArrowRight")  # the plane is first
    close(values(page, "z"), point(1.75, -1.35), 1e-9)
    press(page, "Home")
    close(values(page, "z"), point(0, 0), 0)
    press(page, "Tab", "ArrowLeft", "Shift+ArrowLeft", "Tab", "Shift+ArrowUp")  # the sliders
    z = values(page, "z")
    close(z, point(-0.55, 0.5), 1e-9)
    assert announced(page, "z = (−0.55, 0.50)").startswith("z = (−0.55, 0.50): ")
    assert page.get_by_label("z₁").get_attribute("aria-valuetext") == "−0.55"
    close(values(page, "pixels"), export_pads.chapter_9().decode(z))
    close(values(page, "logPrior"), log_normal(z, torch.zeros(2).double(), torch.zeros(())), 1e-9)
    assert page.errors == []


def test_a_draw_adds_the_models_noise_which_stays_while_z_moves(opened):
    page = opened()
    page.get_by_role("radio", name="a draw from").check()
    scale = (export_pads.chapter_9().likelihood.variance.log_variance / 2).exp()
    noise = values(page, "noise")
    page.get_by_label("z₁").press("ArrowLeft")
    assert torch.equal(values(page, "noise"), noise)
    close(values(page, "pixels"), export_pads.chapter_9().decode(values(page, "z")) + scale * noise)
    page.get_by_role("radio", name="the mean").check()
    page.get_by_role("button", name="another").press("Enter")
    assert not torch.isclose(values(page, "noise"), noise).any()
    assert page.get_by_role("radio", name="a draw from").is_checked()


def test_the_image_on_the_canvas_has_the_decoders_ink(opened):
    page = opened()
    read = "c => [...c.getContext('2d').getImageData(0, 0, 8, 8).data].filter((_, i) => i % 4 == 0)"
    levels = torch.tensor(page.locator("canvas").nth(1).evaluate(read)).double()  # (64)
    ink = export_pads.chapter_9().decode(values(page, "z")).clamp(0, 1)
    close(1 - levels / 255, ink, 0.5 / 255 + 1e-5)


def test_the_mouse_drags_z_even_beyond_the_edge(opened):
    page = opened()
    page.mouse.move(*at(page, 0, 0, **PLANE))
    page.mouse.down()
    close(values(page, "z"), point(0, 0), 0.03)
    page.mouse.move(*at(page, 1.5, -1, **PLANE))
    close(values(page, "z"), point(1.5, -1), 0.03)
    page.mouse.move(*at(page, 9, -1, **PLANE))
    close(values(page, "z"), point(3.0, -1), 0.03)
    page.mouse.up()
    page.mouse.move(*at(page, 0, 0, **PLANE))
    close(values(page, "z"), point(3.0, -1), 0.03)


def test_a_finger_drags_z_on_a_narrow_screen(opened):
    page = opened(**PHONE)
    swipe(page, at(page, 0, 0, **PLANE), at(page, -1, 2, **PLANE))
    close(values(page, "z"), point(-1.0, 2), 0.05)


@pytest.mark.parametrize("figure", live.FIGURES)
def test_on_a_narrow_screen_nothing_overflows_and_a_finger_finds_the_controls(opened, figure):
    page = opened(figure, **PHONE)
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    controls = page.locator("input, button, select, summary").locator("visible=true")
    for control in controls.all():
        assert control.bounding_box()["height"] >= 20
    targets = page.locator("label, button, summary").locator("visible=true")
    for target in targets.all():  # WCAG 2.2, target size
        assert target.bounding_box()["height"] >= 24
    assert page.errors == []


@pytest.mark.parametrize(
    "before",
    [
        "Object.defineProperty(window, 'VAE_WEIGHTS', {get() { return this.kept },"
        " set(w) { w.decoder[0].bias = w.decoder[1].bias.slice(0, 8); this.kept = w }})",
        "window.atob = () => { throw new Error('broken') }",
    ],
)
def test_when_a_script_breaks_the_picture_stays_and_the_console_says_so(opened, before):
    page = opened(before=before)
    assert page.get_by_alt_text("The static picture").is_visible()
    assert page.locator(".live-stage").count() == 0
    assert len(page.errors) == 1


def test_when_an_update_breaks_the_picture_comes_back(opened):
    page = opened()
    assert not page.get_by_alt_text("The static picture").is_visible()
    page.evaluate("() => { VAE_LIVE.decode = () => { throw new Error('broken') } }")
    page.get_by_label("z₁").press("ArrowLeft")
    assert page.get_by_alt_text("The static picture").is_visible()
    assert page.locator(".live-stage").count() == 0
    assert len(page.errors) == 1
    assert "latent-pad" in page.errors[0]


@pytest.mark.parametrize("figure", live.FIGURES)
def test_without_scripts_and_in_print_the_picture_is_shown(opened, figure):
    page = opened(figure, java_script_enabled=False)
    assert page.get_by_alt_text("The static picture").is_visible()
    page = opened(figure)
    assert page.locator("canvas:visible").count() > 0
    page.emulate_media(media="print")
    assert page.get_by_alt_text("The static picture").is_visible()
    assert page.locator("canvas:visible").count() == 0


@pytest.mark.parametrize("figure", live.FIGURES)
def test_every_control_and_picture_has_a_name_and_tab_visits_all_controls(opened, figure):
    page = opened(figure)
    unfold(page)
    for canvas in page.locator("canvas").all():
        assert canvas.get_attribute("role") == "img"
        assert canvas.get_attribute("aria-label").endswith(".")
    reached = set()
    pressed = "canvas[tabindex], input[type=range], select, button:enabled, summary"
    controls = page.locator(pressed).locator("visible=true")
    for _ in range(page.locator(f"{pressed}, input").locator("visible=true").count()):
        press(page, "Tab")
        reached.add(
            page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)")
        )
    groups = page.locator("fieldset").count()  # Tab visits one radio button of each
    assert len(reached) >= controls.count() + groups


@pytest.mark.parametrize(("motion", "frames"), [("no-preference", 5), ("reduce", 0)])
def test_an_animation_is_done_at_once_where_motion_is_to_be_reduced(opened, motion, frames):
    page = opened(reduced_motion=motion)
    page.evaluate("""() => {
        const stage = VAE_LIVE.stages["fig-pad"], real = window.requestAnimationFrame;
        window.frames_asked = 0; window.steps = 0;
        window.requestAnimationFrame = (f) => (window.frames_asked += 1, real(f));
        stage.animate(() => (window.steps += 1) < 5);
    }""")
    page.wait_for_function("window.steps === 5", polling=50)  # by the clock, not by frames
    page.wait_for_timeout(100)
    assert page.evaluate("[window.steps, window.frames_asked]") == [5, frames]


def test_the_address_keeps_the_setting_and_opens_it_again(opened):
    page = opened()
    assert page.evaluate("location.hash") == ""
    page.get_by_label("z₁").press("ArrowRight")
    page.get_by_role("radio", name="a draw from").check()
    page.wait_for_function("location.hash === '#fig-pad&z1=1.25&show=draw'")
    address = page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(address)
    close(values(page, "z"), point(1.25, -1.4), 1e-9)
    assert page.get_by_role("radio", name="a draw from").is_checked()
    assert page.errors == []


def test_a_link_to_a_setting_sets_what_it_names_and_puts_back_the_rest(opened):
    page = opened()
    page.get_by_label("z₂").press("ArrowUp")
    page.evaluate("location.hash = '#fig-pad&z1=2.5'")
    page.wait_for_function("VAE_LIVE.stages['fig-pad'].values.z[0] === 2.5")
    close(values(page, "z"), point(2.5, -1.4), 1e-9)


@pytest.mark.parametrize(
    "asked", ["z1=none&show=none", "z1=9999&none=1", "show=toString&z1=%", "digit=1500&from=x"]
)
def test_an_address_that_asks_for_nonsense_breaks_nothing(opened, asked):
    page = opened()
    page.evaluate(f"location.hash = '#fig-pad&{asked}'")
    page.wait_for_timeout(100)
    close(values(page, "z"), point(3.0 if "9999" in asked else 1.2, -1.4), 1e-9)
    assert page.get_by_role("radio", name="the mean").is_checked()
    assert page.errors == []
