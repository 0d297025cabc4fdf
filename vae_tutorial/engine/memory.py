"""How much memory there is, so that what cannot fit is refused before it is tried."""

import contextlib
import os
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # to mypy the name is a module's

CONTAINER = Path("/sys/fs/cgroup/memory.max")  # a container's limit in bytes, or the word "max"
UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def limit() -> int | None:
    """The bytes that a process here may hold at most; None where the system does not say."""
    found = []
    with contextlib.suppress(AttributeError, ValueError, OSError):  # no POSIX system
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    if resource:
        soft, _ = resource.getrlimit(resource.RLIMIT_AS)  # what `ulimit -v` sets
        found += [soft] if soft != resource.RLIM_INFINITY else []
    with contextlib.suppress(OSError, ValueError):
        found.append(int(CONTAINER.read_text("ascii")))
    return min((number for number in found if number > 0), default=None)


def require(needed: int, purpose: str) -> None:
    """Raise ValueError where `purpose` needs more bytes than there are."""
    there = limit()
    if there is not None and needed > there:
        raise ValueError(
            f"{purpose} needs at least {readable(needed)} of memory, here are {readable(there)}"
        )


def readable(number: float) -> str:
    """A number of bytes in three digits and a unit."""
    for unit in UNITS[:-1]:
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} {UNITS[-1]}"
