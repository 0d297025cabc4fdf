"""Contenders as processes that wait for their turn: started together, timed one at a time."""

import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from vae_tutorial.engine import SPINS


class Entry(NamedTuple):
    """A line of the table: what runs, how many samples it decodes at once, in what environment."""

    script: str
    chunk: int = 0
    variables: tuple[tuple[str, str], ...] = ()


CONTENDERS = {
    "training": {
        "pytorch": Entry("pytorch_example.py"),
        "pythae": Entry("pythae_package.py"),
        "numpyro": Entry("numpyro_example.py"),
        "jax": Entry("jax_plain.py"),
        "ours": Entry("ours.py"),
    },
    "waiting": {  # the engine's training, as its threads may wait for each other
        "as torch waits": Entry("ours.py"),
        "asleep": Entry("ours.py", variables=(("OMP_WAIT_POLICY", "passive"),)),
        "one thread": Entry(
            "ours.py", variables=(("OMP_NUM_THREADS", "1"), ("MKL_NUM_THREADS", "1"))
        ),
        "as the engine waits": Entry("ours.py", variables=(("GOMP_SPINCOUNT", SPINS),)),
    },
    "evaluation": {
        "pythae": Entry("pythae_package.py", chunk=100),  # as it comes
        "pythae-best": Entry("pythae_package.py", chunk=1000),  # the fastest of 100 to 5,000
        "jax": Entry("jax_plain.py", chunk=1000),
        "ours": Entry("ours.py", chunk=1000),
    },
    "ideas": dict.fromkeys(
        (
            *("example", "one-tensor", "logits", "fused-adam", "nothing-read"),
            *("pure-step", "compiled", "in-place", "denormals-kept"),
        ),
        Entry("ideas.py"),
    ),
}


def chosen(job: str, only: str | None) -> dict[str, Entry]:
    """The contenders of a job, or those of them that are named; ValueError for an unknown name."""
    entries = CONTENDERS[job]
    names = only.split(",") if only else list(entries)
    if unknown := set(names) - set(entries):
        raise ValueError(f"--only knows {', '.join(entries)}; got {', '.join(sorted(unknown))}")
    return {name: entry for name, entry in entries.items() if name in names}


class Process:
    """One contender. Raises RuntimeError, with the last lines it wrote, if it ends early."""

    def __init__(self, name: str, command: list, errors: Path, variables: Mapping[str, str]):
        self.name, self.errors = name, errors
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with errors.open("w") as file:
            self.process = subprocess.Popen(
                command, stderr=file, env=os.environ | variables, **pipes
            )

    def read(self) -> dict:
        """The next answer."""
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            last = "\n".join(self.errors.read_text().splitlines()[-20:])
            raise RuntimeError(f"contender {self.name} ended with code {code}\n{last}")
        return json.loads(line)

    def ask(self, line: str) -> dict:
        """Send one line of the protocol, and wait for the answer."""
        with suppress(BrokenPipeError):  # `read` then says why
            print(line, file=self.process.stdin, flush=True)
        return self.read()

    def end(self) -> dict:
        """Close the pipe, and wait for the last answer."""
        self.process.stdin.close()
        last = self.read()
        self.process.wait()
        return last

    def kill(self) -> None:
        """Whatever happened, leave nothing running."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with suppress(BrokenPipeError):
            self.process.stdin.close()


class Timing(NamedTuple):
    """What one contender did: the answers of its rounds, the first one apart."""

    first: dict  # with compilation, and whatever else is done once
    rounds: list[dict]
    versions: dict[str, str]
    peak_memory: int  # bytes


def interleave(processes: list[Process], rounds: int) -> dict[str, Timing]:
    """Time `rounds` rounds of each, one contender at a time, each round begun by another one."""
    versions = {process.name: process.read()["versions"] for process in processes}
    first = {process.name: process.ask("round") for process in processes}
    seen = {process.name: [] for process in processes}
    for number in range(rounds):
        start = number % len(processes)
        for process in processes[start:] + processes[:start]:
            seen[process.name].append(process.ask("round"))
    ends = {process.name: process.end()["peak_memory"] for process in processes}
    return {name: Timing(first[name], seen[name], versions[name], ends[name]) for name in seen}
