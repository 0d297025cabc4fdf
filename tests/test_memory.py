"""How much memory there is, against what the system's own tools say; and refusals with numbers."""

import os
import subprocess
import sys

import pytest

from vae_tutorial.engine import memory


@pytest.mark.skipif(not os.path.exists("/proc/meminfo"), reason="no /proc/meminfo")
def test_there_is_no_more_than_the_machine_has():
    with open("/proc/meminfo", encoding="ascii") as file:
        (line,) = [line for line in file if line.startswith("MemTotal:")]
    assert 0 < memory.limit() <= 1024 * int(line.split()[1])


@pytest.mark.skipif(memory.resource is None, reason="no limits on this system")
def test_a_limit_of_the_process_is_the_limit():
    code = (
        "import resource; from vae_tutorial.engine import memory; "
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, 2 * 10**9)); print(memory.limit())"
    )
    told = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert int(told) == 10**9


def test_a_container_may_have_less(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CONTAINER", tmp_path / "memory.max")
    there = memory.limit()
    for text, expected in (("5000\n", 5000), ("max\n", there)):
        (tmp_path / "memory.max").write_text(text)
        assert memory.limit() == expected


def test_what_fits_is_let_through_and_what_does_not_is_named(monkeypatch):
    monkeypatch.setattr(memory, "limit", lambda: 1500)
    memory.require(1500, "this")
    with pytest.raises(
        ValueError, match=r"^this needs at least 1\.5 kB of memory, here are 1\.5 kB"
    ):
        memory.require(1501, "this")
    monkeypatch.setattr(memory, "limit", lambda: None)
    memory.require(10**30, "anything")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1e3, "1 kB"),
        (25e9, "25 GB"),
        (3e15, "3 PB"),
        (10**21, "1e+06 PB"),
    ],
)
def test_bytes_are_readable(number, text):
    assert memory.readable(number) == text
