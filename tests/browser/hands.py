"""Hands and eyes of the tests of live figures: keys, a finger, and what a figure shows."""

import json

import torch

VALUES = "VAE_LIVE.stages['fig-pad'].values"
STATUS = "[role=status]"


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


def touch(page, start, end):
    """One finger goes down at `start`, moves to `end`, both (x, y) on the screen, and lifts."""
    session = page.context.new_cdp_session(page)
    for kind, places in (("touchStart", [start]), ("touchMove", [end]), ("touchEnd", [])):
        points = [{"x": x, "y": y} for x, y in places]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
