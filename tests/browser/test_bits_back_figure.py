"""The live figure bits-back in Chromium: steps by buttons, keys, mouse and finger, and back."""

import json
import math

import export_bits
import pytest
import torch
from hands import STATUS, VALUES, announced, drag, press, swipe, values
from hands import at as on_chart
from playwright.sync_api import expect

from vae_tutorial import coding
from vae_tutorial.data import load_digits

PHONE = {"viewport": {"width": 390, "height": 664}, "has_touch": True, "is_mobile": True}
STILL = {"reduced_motion": "reduce"}


def shown(page, name):
    """A value of the figure as it is: words, truth, whole numbers."""
    return json.loads(page.evaluate(f"JSON.stringify({VALUES}.{name} ?? null)"))


def press_button(page, name, times=1):
    for _ in range(times):
        page.get_by_role("button", name=name, exact=True).press("Enter")


def at(page, images, of=3):
    """Where on the screen the chart shows so many images."""
    return on_chart(page, images, 0.3, x_range=(0, of), y_range=(0, 1), left=56)


def toy_stacks(count):
    """Every stack of the first images of the toy model."""
    way = [export_bits.FIRST]
    for image in export_bits.IMAGES[:count]:
        way += export_bits.stacks(image, way[-1])[1:]
    return way


def test_steps_give_the_stacks_of_python_and_go_back_through_them(opened):
    page = opened("bits-back", **STILL)
    assert page.locator(STATUS).inner_text() == ""
    way = toy_stacks(3)
    for stack in way[1:8]:
        press_button(page, "Step")
        assert shown(page, "stack") == str(stack)
    press_button(page, "Image")
    assert (shown(page, "at"), shown(page, "stack")) == (12, str(way[12]))
    for stack in way[11:3:-1]:
        press_button(page, "Undo")
        assert shown(page, "stack") == str(stack)
        assert shown(page, "same") is True
    assert shown(page, "decoded") == [None, None, None, 0]  # of the first image, its last pixel
    press_button(page, "Undo all")
    assert (shown(page, "at"), shown(page, "stack")) == (0, str(export_bits.FIRST))
    assert shown(page, "decoded") == list(export_bits.IMAGES[0])
    said = announced(page, "Step 0")
    assert "The stack has 8 bits." in said
    assert said.endswith("what the encoder had here, to the last bit.")
    assert page.get_by_role("button", name="Undo all").is_disabled()
    assert page.errors == []


def test_the_line_that_can_be_checked_by_hand_is_right(opened):
    page = opened("bits-back", **STILL)
    way = toy_stacks(1)
    press_button(page, "Step", 2)
    step = shown(page, "step")
    assert [int(step["before"]), int(step["after"])] == way[1:3]
    quotient, rest = divmod(way[1], step["size"])
    line = (
        f"{way[1]} = {quotient}·{step['size']} + {rest} → {quotient}·16 + {step['start']} + {rest}"
    )
    assert f"{line} = {way[2]}" in page.locator(".live-stage").inner_text()
    bits = math.log2(16 / step["size"])
    assert f"{bits:.1f} bits" in page.locator(".live-stage").inner_text().replace("\u00a0", " ")


def test_keys_alone_move_along_the_stack_and_change_q(opened):
    page = opened("bits-back", **STILL)
    press(page, "Tab", *["ArrowRight"] * 3)  # the chart
    assert shown(page, "at") == 3
    press(page, "Shift+ArrowRight", "ArrowLeft")
    assert (shown(page, "at"), shown(page, "backwards")) == (12, True)
    assert shown(page, "stack") == str(toy_stacks(2)[12])
    page.get_by_role("radio", name="the encoder’s").press(" ")
    assert (shown(page, "q"), shown(page, "at")) == ("encoder", 12)
    foretold = values(page, "foretold.elbo")
    assert (foretold[1:] > values(page, "foretold.evidence")[1:]).all()
    said = announced(page, "−ELBO is")
    assert f"2 images have taken {shown(page, 'length') - 8} bits" in said
    page.get_by_label("bits at first").press("Home")
    assert (shown(page, "first"), shown(page, "at")) == (0, 12)
    page.locator("canvas").first.press("Home")
    assert (shown(page, "stack"), shown(page, "length"), shown(page, "same")) == ("0", 0, True)
    assert page.errors == []


@pytest.mark.parametrize("name", ["Undo", "Undo all"])
def test_a_button_that_disables_itself_hands_the_focus_on(opened, name):
    page = opened("bits-back", **STILL)
    press_button(page, "Step")
    page.get_by_role("button", name=name, exact=True).press("Enter")
    assert shown(page, "at") == 0
    expect(page.get_by_role("button", name="Step", exact=True)).to_be_focused()
    assert page.errors == []


@pytest.mark.parametrize("hand", [drag, swipe])
def test_a_drag_along_the_chart_codes_and_decodes(opened, hand):
    page = opened("bits-back", **STILL, **(PHONE if hand is swipe else {}))
    page.locator("canvas").first.scroll_into_view_if_needed()
    hand(page, at(page, 0.1), at(page, 1.0), at(page, 2.0))
    assert shown(page, "at") == 12
    assert shown(page, "stack") == str(toy_stacks(2)[12])
    hand(page, at(page, 2.0), at(page, 1.0))
    assert (shown(page, "at"), shown(page, "backwards")) == (6, True)
    assert shown(page, "stack") == str(toy_stacks(2)[6])
    assert page.errors == []


def test_ten_digits_are_the_number_of_the_package_and_come_back(opened):
    page = opened("bits-back", **STILL)
    page.get_by_role("radio", name="digits, 8 by 8").check()
    page.get_by_role("radio", name="the encoder’s").check()
    page.get_by_label("bits at first").press("End")
    page.wait_for_function(f"{VALUES}.first === 64 && {VALUES}.model === 'digit'")
    first = int(shown(page, "stack"))
    assert first.bit_length() == 64
    for _ in range(10):
        press_button(page, "Image")
    code = coding.integer_code(export_bits.model(), export_bits.BUCKET_BITS)
    levels = (load_digits(torch.float64).test[:10] * 16).round().long()
    assert shown(page, "stack") == str(coding.encode_images(code, levels, first).stack)
    press_button(page, "Undo all")
    assert (shown(page, "stack"), shown(page, "same")) == (str(first), True)
    assert shown(page, "decoded") == levels[0].tolist()
    assert page.errors == []


def test_an_image_is_coded_before_the_eye(opened):
    page = opened("bits-back")
    page.get_by_role("radio", name="digits, 8 by 8").check()
    press_button(page, "Image")
    page.wait_for_function(f"{VALUES}.at > 0 && {VALUES}.at < 68", polling=10)
    page.wait_for_function(f"{VALUES}.at === 68")
    press_button(page, "Undo all")
    page.wait_for_function(f"{VALUES}.at === 0")
    assert shown(page, "same") is True
    assert page.errors == []


def test_the_address_keeps_the_setting(opened):
    page = opened("bits-back", **STILL)
    page.get_by_role("radio", name="the prior").check()
    press_button(page, "Step", 9)
    page.wait_for_function("location.hash === '#fig-pad&q=prior&step=9'")
    stack, address = shown(page, "stack"), page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(address)
    assert (shown(page, "stack"), shown(page, "at")) == (stack, 9)


@pytest.mark.parametrize(
    ("asked", "step"),
    [
        ("step=9999", 60),
        ("first=5&step=9999", 60),
        ("step=-1", 0),
        ("step=1e9", 0),
        ("q=toString&images=x&step=7&first=%", 7),
    ],
)
def test_an_address_that_asks_for_nonsense_breaks_nothing(opened, asked, step):
    page = opened("bits-back", **STILL)
    press_button(page, "Step", 4)
    page.evaluate(f"location.hash = '#fig-pad&{asked}'")
    page.wait_for_function(f"{VALUES}.at === {step}")
    assert (shown(page, "q"), shown(page, "model"), shown(page, "same")) == ("exact", "toy", True)
    assert page.errors == []
