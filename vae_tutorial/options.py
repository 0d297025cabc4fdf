"""What an option may be: each kind says in one line what it needed and what it got."""

import argparse
import math
from pathlib import Path


class Parser(argparse.ArgumentParser):
    """A parser whose errors take one line."""

    def error(self, message: str) -> None:
        self.exit(2, f"{self.prog}: {message} (--help explains)\n")


def whole(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needed a whole number of at least 1, got {text!r}")
    return int(text)


def seed(text: str) -> int:
    """A whole number that seeds a generator."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"needed a whole number from 0 to 2^63 - 1, got {text!r}")
    return int(text)


def positive(text: str) -> float:
    """A finite number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"needed a positive, finite number, got {text!r}")
    return value


def variance(text: str) -> float | None:
    """`learned`, or a positive number."""
    return None if text == "learned" else positive(text)


def picture(text: str) -> Path:
    """A path that ends in .png, .pdf or .svg."""
    if Path(text).suffix not in (".png", ".pdf", ".svg"):
        raise argparse.ArgumentTypeError(f"needed a name in .png, .pdf or .svg, got {text!r}")
    return Path(text)
