"""Kill a training run at random moments, start it again each time, and compare how it ends.

The end must be that of a run that was left alone, bit for bit: parameters, both moments, the
number of steps and the random generator in checkpoint.pt, weights.safetensors, and metrics.jsonl
but for its seconds. A hundred kills take about a quarter of an hour, most of it starting Python.
"""

import argparse
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole

ROOT = Path(__file__).parents[1]
TENSORS = ("parameters", "first", "second")
AIMS = ("start-up", "epochs", "epochs", "writing", "writing")  # where a kill is meant to fall
POLL = 0.0002  # seconds between two looks for a file that is being written


def launch(folder: Path, epochs: int) -> subprocess.Popen:
    """Start the run, or go on with it; its lines come through a pipe."""
    options = ["--data", "digits", "--eager", "--hidden", "16", "--epochs", str(epochs)]
    return subprocess.Popen(
        [sys.executable, "-m", "vae_tutorial", "train", *options, "--output", str(folder)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def first_epoch(process: subprocess.Popen) -> bool:
    """Wait until the process has told of an epoch; False if it ended without."""
    return any(line.startswith("epoch ") for line in process.stderr)


def being_written(folder: Path, process: subprocess.Popen) -> list[str]:
    """The temporary files of a process."""
    return [path.name for path in folder.glob(f".*.{process.pid}")]


def finish(folder: Path, epochs: int) -> tuple[float, float]:
    """Let the run come to its end; seconds to its first epoch, and seconds an epoch after it."""
    begin = time.monotonic()
    with launch(folder, epochs) as process:
        first_epoch(process)
        start = time.monotonic() - begin
        said = process.stderr.read()
    if process.returncode:
        raise RuntimeError(f"the run ended with {process.returncode}: {said.strip()[-500:]}")
    return start, (time.monotonic() - begin - start) / epochs


def kill(folder: Path, epochs: int, aim: str, start: float, epoch: float, draw: random.Random):
    """Start the run, SIGKILL it near `aim`, and tell by what it left where it was hit."""
    with launch(folder, epochs) as process:
        if aim == "start-up":
            wait = draw.uniform(
                0, start
            )  # but no longer than to the first line: load may have gone
            select.select([process.stderr], [], [], wait)
        elif first_epoch(process):
            time.sleep(draw.uniform(0, 4 * epoch))
            while aim == "writing" and process.poll() is None:
                if being_written(folder, process):
                    time.sleep(draw.choice([0, 0, POLL, 5 * POLL, 25 * POLL]))
                    break
                time.sleep(POLL)
        process.kill()
        lines = process.stderr.read()
    if process.returncode != -signal.SIGKILL:
        raise RuntimeError(f"the run ended with {process.returncode} before it was killed: {lines}")
    if names := being_written(folder, process):
        return f"writing {names[0].removesuffix(f'.{process.pid}')[1:]}"
    if behind(folder):
        return "between two files"
    told = aim != "start-up" or any(line.startswith("epoch ") for line in lines.splitlines())
    return "an epoch" if told else "start-up"


def behind(folder: Path) -> bool:
    """Whether the checkpoint knows of an epoch that metrics.jsonl lacks."""
    path = folder / "checkpoint.pt"
    if not path.exists():
        return False
    history = json.loads(torch.load(path, weights_only=True)["notes"])["history"]
    return history[-1]["epoch"] > len(records(folder))


def records(folder: Path) -> list[dict]:
    """The lines of metrics.jsonl without their seconds; none where there is no file."""
    path = folder / "metrics.jsonl"
    lines = map(json.loads, path.read_text("utf-8").splitlines() if path.exists() else [])
    return [{n: value for n, value in line.items() if n != "seconds"} for line in lines]


def differences(alone: Path, killed: Path, epochs: int) -> list[str]:
    """What of the killed run's end is not, bit for bit, that of the run left alone."""
    one, two = (torch.load(f / "checkpoint.pt", weights_only=True) for f in (alone, killed))
    pairs = [(f"{part} {n}", t, two[part][n]) for part in TENSORS for n, t in one[part].items()]
    pairs.append(("generator", one["generator"], two["generator"]))
    found = [
        name
        for name, a, b in pairs
        if a.dtype != b.dtype or a.numpy().tobytes() != b.numpy().tobytes()
    ]
    if one["count"] != two["count"]:
        found.append("count")
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (alone, killed)]
    if weights[0] != weights[1]:
        found.append("weights.safetensors")
    if records(alone) != records(killed):
        found.append("metrics.jsonl")
    if [record["epoch"] for record in records(killed)] != list(range(1, epochs + 1)):
        found.append("epochs, once each")
    names = [sorted(path.name for path in folder.iterdir()) for folder in (alone, killed)]
    if names[0] != names[1]:
        found.append(f"files {sorted(set(names[0]) ^ set(names[1]))}")
    return found


def main() -> int:
    """Run the whole comparison: 0 if nothing differs, 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="how many (%(default)s)")
    parser.add_argument("--epochs", type=int, help="of the run (eight a kill)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the result as JSON, too")
    options = parser.parse_args()
    epochs = options.epochs or 8 * options.kills
    draw, hits, begin = random.Random(options.seed), Counter(), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        alone, killed = Path(scratch, "alone"), Path(scratch, "killed")
        start, epoch = finish(alone, epochs)
        while hits.total() < options.kills:
            aim = AIMS[hits.total() % len(AIMS)]
            hits[kill(killed, epochs, aim, start, epoch, draw)] += 1
        reached = len(records(killed))
        finish(killed, epochs)
        found = differences(alone, killed, epochs)
    seconds = round(time.monotonic() - begin)
    where = ", ".join(f"{number} in {phase}" for phase, number in hits.most_common())
    result = f"differs in {'; '.join(found)}" if found else "the same bits as a run left alone"
    print(
        f"{hits.total()} kills ({where}), the last after epoch {reached} of {epochs}, "
        f"in {seconds} s: {result}"
    )
    if options.output:
        said = {"kills": hits.total(), "identical": not found, "seconds": seconds}
        said |= {"where": dict(hits.most_common()), "provenance": provenance() | {"threads": 1}}
        write_whole(options.output, (json.dumps(said, indent=1) + "\n").encode())
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
