"""The machine: is it quiet, how many cores may be used, how fast can it be."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def restrict(threads: int) -> None:
    """Give this process, and all that it starts, as many threads as cores: `threads` of them.

    The variables hold for PyTorch and numpy; JAX counts the cores that it may run on, which only
    Linux can limit. Raises ValueError for more threads than cores.
    """
    known = hasattr(os, "sched_getaffinity")
    cores = sorted(os.sched_getaffinity(0)) if known else list(range(os.cpu_count() or 1))
    if not 1 <= threads <= len(cores):
        raise ValueError(f"--threads must lie between 1 and {len(cores)} here, got {threads}")
    if known:
        os.sched_setaffinity(0, cores[:threads])
    os.environ |= dict.fromkeys(THREAD_VARIABLES, str(threads))


def busy_cores(seconds: float = 1.0) -> float:
    """How many cores others keep busy, while this process sleeps for a moment."""
    before = _jiffies()
    if before is None:
        return os.getloadavg()[0]
    time.sleep(seconds)
    busy, total = (after - b for after, b in zip(_jiffies(), before, strict=True))
    return (os.cpu_count() or 1) * busy / total


@contextmanager
def loaded(processes: int) -> Iterator[None]:
    """While this lasts, `processes` others compute without a pause: a busy machine."""
    command = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(command) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def _jiffies() -> tuple[int, int] | None:
    """Busy and all time of all cores since they started, or None where there is no /proc."""
    statistics = Path("/proc/stat")
    if not statistics.exists():
        return None
    user, nice, system, idle, waiting, *rest = map(int, statistics.read_text().split()[1:9])
    busy = user + nice + system + sum(rest)  # the rest: interrupts, and what the host took
    return busy, busy + idle + waiting


def matrix_products() -> dict:
    """What peak.py says: the fastest products, and those of an epoch, with the threads set."""
    command = [sys.executable, HERE / "peak.py"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
