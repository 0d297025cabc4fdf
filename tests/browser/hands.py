"""What the browser tests of live figures do to a figure, and what they read from it."""

import json

import torch

VALUES = "VAE_LIVE.stages['fig-pad'].values"
STATUS = "[role=status]"
PLANE = {"x_range": (-3.3, 3.0), "y_range": (-2.9, 3.4)}  # of the latent pad


def values(page, name):
    """What the figure shows, by name; arrays become tensors."""
    shown = page.evaluate(f"JSON.stringify({VALUES}.{name}, (_, v) => v.length ? [...v] : v)")
    return torch.tensor(json.loads(shown), dtype=torch.float64)


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def close(seen, expected, tolerance=1e-5):
    torch.testing.assert_close(seen, expected, rtol=0, atol=tolerance)


def point(*coordinates):
    return torch.tensor(coordinates, dtype=torch.float64)


def announced(page, words):
    """What is said once the figure has been left alone and a sentence with these words comes."""
    said = f"document.querySelector('{STATUS}').textContent"
    page.wait_for_function(f"words => {said}.includes(words)", arg=words)
    return page.locator(STATUS).inner_text()


def at(page, x, y, x_range=(-4.1, 4.1), y_range=(-4.1, 4.1), left=44, canvas=0):
    """Where on the screen a chart, the first if no other is named, shows (x, y)."""
    box = page.locator("canvas").nth(canvas).bounding_box()
    across = (x - x_range[0]) / (x_range[1] - x_range[0]) * (box["width"] - left - 10)
    down = (y_range[1] - y) / (y_range[1] - y_range[0]) * (box["height"] - 50)
    return box["x"] + left + across, box["y"] + 10 + down


def drag(page, *places):
    """The mouse goes down at the first place, moves through the others, and comes up."""
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place)
    page.mouse.up()


def swipe(page, *places):
    """A finger does the same."""
    touch = page.context.new_cdp_session(page)
    kinds = ["touchStart", *["touchMove"] * (len(places) - 1), "touchEnd"]
    for kind, place in zip(kinds, (*places, None), strict=True):
        points = [] if place is None else [{"x": place[0], "y": place[1]}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
