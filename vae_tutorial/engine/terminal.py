"""How a long command talks: lines, a progress bar on a terminal, and a calm answer to Ctrl-C."""

import signal
import sys
import time
from collections.abc import Iterable, Iterator
from types import FrameType

WIDTH = 30  # characters of the bar
PAUSE = 0.2  # seconds between two moves of the bar


def say(line: str) -> None:
    """One line for the reader, on standard error, so that results alone stand on the other."""
    print(f"\r\033[K{line}" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)


def progress(items: Iterable, total: int) -> Iterator:
    """Pass `items` on; on a terminal, show with a bar how many of `total` have gone by."""
    if not sys.stderr.isatty():
        yield from items
        return
    shown = begin = time.monotonic()
    for done, item in enumerate(items):
        if (now := time.monotonic()) - shown > PAUSE:
            bar = ("#" * (WIDTH * done // total)).ljust(WIDTH, ".")
            left = (now - begin) / done * (total - done) if done else 0
            print(
                f"\r[{bar}] {done}/{total}, {left:.0f} s left ", end="", file=sys.stderr, flush=True
            )
            shown = now
        yield item
    print("\r\033[K", end="", file=sys.stderr, flush=True)


class Interrupts:
    """Within `with Interrupts() as interrupts`, the first Ctrl-C sets `seen`; the second stops.

    SIGTERM is treated the same, since that is how schedulers and `torchrun` ask.
    """

    def __init__(self) -> None:
        self.seen = False

    def __enter__(self) -> "Interrupts":
        numbers = (signal.SIGINT, signal.SIGTERM)
        self.before = {number: signal.signal(number, self._answer) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, answer in self.before.items():
            signal.signal(number, answer)

    def _answer(self, number: int, frame: FrameType | None) -> None:
        if self.seen:
            raise KeyboardInterrupt
        self.seen = True
        say("stopping after this epoch; once more to stop at once and lose it")
