"""How a long command talks: lines, a progress bar on a terminal, and a calm answer to Ctrl-C."""

import contextlib
import io
import math
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from types import FrameType

WIDTH = 30  # characters of the bar
PAUSE = 0.2  # seconds between two moves of the bar
CLEAR_LINE = "\r\033[K"
INTERRUPTED = 130  # the exit status after Ctrl-C, as shells count: 128 and the signal's number


def stand_in_for_closed_streams() -> None:
    """Let a closed standard error lead nowhere, and characters that a terminal lacks become `?`.

    A file opened later would otherwise take the closed stream's place, and be written into by
    whatever warns there.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 for as long as the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def say(line: str) -> None:
    """One line for the reader, on standard error, so that results alone stand on the other."""
    _write(f"{CLEAR_LINE}{line}\n" if _on_terminal() else f"{line}\n")


def answer(line: str) -> None:
    """One line of results, on standard output; raises OSError where it cannot be written."""
    try:
        print(line, flush=True)
    except OSError:
        # What is left in the buffer would fail again, with a traceback, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def require_output() -> None:
    """Raise ValueError where standard output is closed, before any work is done for it."""
    if sys.stdout is None:
        raise ValueError("standard output is closed: the result would be lost")


def progress(items: Iterable, total: int) -> Iterator:
    """Pass `items` on; on a terminal, show with a bar how many of `total` have gone by."""
    if not _on_terminal():
        yield from items
        return
    begin, shown = time.monotonic(), -math.inf  # an empty bar at once: the first item may be long
    for done, item in enumerate(items):
        if (now := time.monotonic()) - shown > PAUSE:
            bar = ("#" * (WIDTH * done // total)).ljust(WIDTH, ".")
            left = (now - begin) / done * (total - done) if done else 0
            _write(f"\r[{bar}] {done}/{total}, {left:.0f} s left ")
            shown = now
        yield item
    _write(CLEAR_LINE)


def _on_terminal() -> bool:
    with contextlib.suppress(AttributeError, ValueError):  # None, or closed
        return sys.stderr.isatty()
    return False


def _write(text: str) -> None:
    """Write on standard error; where that is closed, full or gone, work goes on unread."""
    # A signal may come while a line is written: the line of its answer is then lost (RuntimeError).
    with contextlib.suppress(AttributeError, OSError, ValueError, RuntimeError):
        print(text, end="", file=sys.stderr, flush=True)


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
