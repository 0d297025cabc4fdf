"""The live figures' scripts in V8 alone, for what they compute: no page, no browser, no built book.

`computed("slide-q").evaluate(script, argument)` is what a browser's page would answer.
"""

import json
from functools import cache
from pathlib import Path

import live
import numpy as np
from py_mini_racer import MiniRacer

ASSETS = Path(__file__).parents[1] / "book" / "_extra" / "assets"
# What the scripts want of a browser: a window, base64, and a figure that is never drawn.
WINDOW = """
    globalThis.window = globalThis;
    window.VAE_LIVE = { figure() {} };
    window.atob = function (text) {
        const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let [bits, held, bytes] = [0, 0, ""];
        for (const letter of text.replace(/=+$/, "")) {
            [bits, held] = [((bits << 6) | letters.indexOf(letter)) & 0xffff, held + 6];
            if (held >= 8) bytes += String.fromCharCode((bits >> (held -= 8)) & 0xff);
        }
        return bytes;
    };
"""


class Scripts:
    """The scripts of one live figure, loaded; those of the engine that touch no page among them."""

    def __init__(self, figure: str):
        self.engine = MiniRacer()
        self.engine.eval(WINDOW)
        for name in (*live.ENGINE, *live.FIGURES[figure]):
            if name != "live":  # the one script that needs a page
                self.engine.eval((ASSETS / f"{name}.js").read_text("utf-8"))

    def evaluate(self, script: str, *argument: object) -> object:
        """The value of an expression, or of a function of one argument; both pass as JSON."""
        call = f"({script})({json.dumps(argument[0])})" if argument else script
        return json.loads(self.engine.eval(f"JSON.stringify({call})"))


@cache
def computed(figure: str) -> Scripts:
    """The scripts of a figure, loaded once; no test leaves anything behind in them."""
    return Scripts(figure)


def apart(what: str, seen: object, expected: object, tolerance: float) -> None:
    """See that numbers differ by no more than a tolerance, and print by how much."""
    seen, expected = np.asarray(seen, dtype=float), np.asarray(expected, dtype=float)
    assert seen.shape == expected.shape, f"{what}: {seen.shape}, not {expected.shape}"
    difference = np.abs(seen - expected).max()
    print(f"JavaScript against Python, {what}: at most {difference:.1e} apart")
    assert difference <= tolerance, f"{what}: {difference:.1e} apart, over {tolerance:.0e}"
