"""Lines, a bar that only a terminal sees, and Ctrl-C: once to stop soon, twice to stop now."""

import io
import os
import signal
import sys

import pytest

from vae_tutorial.engine import terminal
from vae_tutorial.engine.terminal import Interrupts, answer, progress, require_output, say


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_go_to_standard_error_alone(capsys):
    say("a line")
    assert capsys.readouterr() == ("", "a line\n")


def test_on_a_terminal_a_line_takes_the_place_of_the_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    say("a line")
    assert sys.stderr.getvalue() == "\r\033[Ka line\n"


def test_without_a_terminal_items_pass_in_silence(capsys):
    assert list(progress(iter("abc"), 3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_how_far_it_is(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(terminal.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(progress(iter("abcd"), 4)) == list("abcd")
    drawn = sys.stderr.getvalue().split("\r")
    assert "[###############...............] 2/4, 3 s left" in drawn[3]  # 3 s passed for 2 of 4
    assert drawn[-1] == "\033[K"  # the bar is wiped away


def test_the_bar_is_there_before_the_first_item_is_done(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    items = progress(iter("ab"), 2)
    next(items)
    assert sys.stderr.getvalue() == "\r[..............................] 0/2, 0 s left "


class Gone(Terminal):
    def write(self, text):
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [None, Gone()])
def test_work_goes_on_where_nobody_reads(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    say("a line")
    assert list(progress(iter("abc"), 3)) == ["a", "b", "c"]


def test_an_answer_is_written_through_or_fails(capsys, monkeypatch):
    answer("a result")
    assert capsys.readouterr() == ("a result\n", "")
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(ValueError, match="standard output is closed"):
        require_output()


def test_the_first_interrupt_is_noted_and_the_second_stops(capsys):
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        assert not interrupts.seen
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.seen
        assert "stopping after this epoch" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_sigterm_counts_as_an_interrupt(capsys):
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.seen
    assert signal.getsignal(signal.SIGTERM) == before
