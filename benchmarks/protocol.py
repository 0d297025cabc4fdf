"""What the runner and a contender's process say to each other, a line at a time.

The runner writes `round` (one epoch, or all images evaluated once), `save FILE`, or closes the
pipe. The contender answers each line, and the end, with one line of JSON.
"""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from job import Weights

RESULT = {"evaluation": "log_likelihood"}  # means, nats an image; all else is training
LOSS = "negative_elbo"


class Task(NamedTuple):
    """What a contender starts from."""

    images: np.ndarray  # (n, 784) of 0 and 1, uint8
    weights: Weights
    samples: int  # K of the importance weighting, an image
    chunk: int  # of those, decoded at once


class Contender(NamedTuple):
    """A contender that is ready: `round` does the job once, and returns its mean in nats."""

    round: Callable[[], float]
    weights: Callable[[], Weights] | None = None


def serve(*packages: str, **jobs: Callable[[Task], Contender]) -> None:
    """Answer the runner until it closes the pipe, with the job that the command line names.

    `packages` are those whose versions are reported; `jobs` are called by the job's name.
    """
    parser = argparse.ArgumentParser(description="A contender: started by run.py, not by hand.")
    parser.add_argument("job", choices=jobs)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=0)
    parser.add_argument("--chunk", type=int, default=0)
    arguments = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to stderr, and not between the answers

    def answer(**fields):
        print(json.dumps(fields), file=answers, flush=True)

    with np.load(arguments.weights) as stored:
        weights = dict(stored)
    task = Task(np.load(arguments.images), weights, arguments.samples, arguments.chunk)
    contender = jobs[arguments.job](task)
    answer(versions={name: version(name) for name in packages})
    for line in sys.stdin:
        match line.split(maxsplit=1):
            case ["round"]:
                start = time.perf_counter()
                result = contender.round()
                seconds = time.perf_counter() - start
                answer(seconds=seconds, **{RESULT.get(arguments.job, LOSS): float(result)})
            case ["save", path]:
                np.savez(path.strip(), **contender.weights())
                answer(saved=True)
    answer(peak_memory=peak_memory())


def peak_memory() -> int:
    """The most memory that this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would begin at what the parent held
        lines = status.read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
