"""Time the standard training or evaluation job for all contenders, or one idea after another.

Training: MNIST, 60,000 images, 468 steps of 128 an epoch in a fresh order, Adam
at 1e-3, float32, a network of 784-400-(20, 20)-400-784 units with ReLU. All
contenders start from the same weights and train on the same images, binarized
once with a fixed seed before any clock runs. The last incomplete batch is left
out. Where the losses agree (mean negative ELBO of an epoch, in nats an image),
the jobs were the same.

Evaluation: log p(x) of 20 test images by importance weighting, 5,000 samples an
image, under the same weights, trained for three epochs. Each contender draws its
own noise, anew each round.

Ideas: the training job by a loop that changes one habit at a time, from PyTorch's example to
the engine of the book.

Waiting: the training job by the engine, whose threads wait for each other in four ways; with
--load, beside processes that compute, as on a machine that others use.

Every contender is a process of its own. All are started, each runs a first round
by itself, compilation included; then they take turns, one at a time, in an order
that rotates. Figures are medians over the rounds. Compare ratios from one run:
absolute times vary with the machine. The peak is the fastest float32 matrix
product seen with the same threads. What the products of a whole epoch take by
themselves, one after another, is below the reach of any loop that calls them.
Memory is the most that the process held.

MNIST is read as by `python -m vae_tutorial`: from the folder mnist/ in --data, or else
in VAE_TUTORIAL_DATA, or else in the cache.
"""

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

import machine
import table
from images import save_images
from job import BATCH, initial_weights
from processes import CONTENDERS, Entry, Process, Timing, chosen, interleave
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole

SAMPLES, QUICK_SAMPLES = 5000, 1000  # an image
SCRIPT_JOBS = {  # what a contender's script is asked for; an idea by its name
    "training": "training",
    "evaluation": "evaluation",
    "waiting": "training",
}
EPOCHS_BEFORE = 3  # of training, before an evaluation
NOISE = 0.05  # of a core, kept busy by others: above it the machine is not quiet
HERE = Path(__file__).resolve().parent
CONTENDERS_PYTHON = HERE.parent / ".venv-benchmark" / "bin" / "python"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks/run.py",
        description=__doc__,
        epilog="example: python benchmarks/run.py evaluation --only pythae,jax --rounds 3",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    option = parser.add_argument
    option("job", choices=CONTENDERS, help="which job")
    option("--rounds", type=int, default=5, help="timed rounds, the first one apart (default: 5)")
    option("--threads", type=int, default=2, help="cores, and threads, for each (default: 2)")
    option("--load", type=int, default=0, help="processes that compute beside them (default: 0)")
    option("--only", metavar="NAMES", help="contenders, with commas between them (default: all)")
    option("--data", type=Path, metavar="FOLDER", help="the folder that holds mnist/")
    option("--contenders-python", type=Path, metavar="PATH", default=CONTENDERS_PYTHON,
           help="of the contenders' environment (default: that of `make benchmark`)")  # fmt: skip
    option("--output", type=Path, metavar="FILE", help="write all figures there, as JSON")
    option("--quick", action="store_true", help="a few steps on synthetic images, as a trial")
    return parser.parse_args()


class Bench(NamedTuple):
    """What is asked for, and the folder that holds what contenders share; it goes at the end."""

    asked: argparse.Namespace
    folder: Path
    stack: ExitStack

    @property
    def samples(self) -> int:
        return QUICK_SAMPLES if self.asked.quick else SAMPLES

    def start(self, name: str, entry: Entry, job: str, images: Path, weights: Path) -> Process:
        """A contender's process, which waits for its turn; it ends with the stack."""
        mine = entry.script in ("ours.py", "ideas.py")
        python = Path(sys.executable) if mine else self.asked.contenders_python
        if not python.exists():
            raise FileNotFoundError(f"{name} needs the environment that `make benchmark` makes")
        command = [python, HERE / entry.script, job, "--images", images, "--weights", weights]
        chunk = min(entry.chunk, self.samples)
        command += ["--samples", str(self.samples), "--chunk", str(chunk)]
        process = Process(name, command, self.folder / f"{name}-{job}.log", dict(entry.variables))
        self.stack.callback(process.kill)
        return process


def main(asked: argparse.Namespace, stack: ExitStack) -> None:
    """Check what was asked for, start the contenders, let them take turns, print the table."""
    bench = Bench(asked, Path(stack.enter_context(tempfile.TemporaryDirectory())), stack)
    entries = chosen(asked.job, asked.only)
    if asked.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {asked.rounds}")
    machine.restrict(asked.threads)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(bench.folder)  # compile anew, as JAX does
    if asked.data:
        os.environ["VAE_TUTORIAL_DATA"] = str(asked.data)
    busy = machine.busy_cores()
    if busy > NOISE:
        print(f"warning: the machine is not quiet, others keep {busy:.1f} of its cores busy")
    weights = first_weights(bench)
    images = save_images(asked.job, bench.folder, asked.quick)
    alone = [machine.matrix_products()]
    processes = [
        bench.start(name, entry, SCRIPT_JOBS.get(asked.job) or name, images, weights)
        for name, entry in entries.items()
    ]
    with machine.loaded(asked.load):
        timings = interleave(processes, asked.rounds)
    alone.append(machine.matrix_products())
    report(bench, timings, alone, len(np.load(images, mmap_mode="r")), busy)


def first_weights(bench: Bench) -> Path:
    """The file of the weights that all contenders start from; for an evaluation, trained ones."""
    weights = bench.folder / "initial.npz"
    np.savez(weights, **initial_weights())
    if bench.asked.job != "evaluation":
        return weights
    name = "jax" if bench.asked.contenders_python.exists() else "ours"
    images = save_images("training", bench.folder, bench.asked.quick)
    trainer = bench.start(name, CONTENDERS["training"][name], "training", images, weights)
    return trained(trainer, bench.folder)


def report(
    bench: Bench, timings: dict[str, Timing], alone: list[dict], images: int, busy: float
) -> None:
    """Print the table with the machine's name, and write it where --output says."""
    asked, job = bench.asked, bench.asked.job
    peak = max(max(seen["gflops"].values()) for seen in alone)
    products = min(seen["products_seconds"] for seen in alone)
    stamp = provenance() | {"threads": asked.threads, "competing_processes": asked.load}
    load = f", {asked.load} competing processes" if asked.load else ""
    title = f"{stamp['hardware']}, --threads {asked.threads}{load}, peak {peak:.0f} GFLOP/s"
    print(f"{title}; medians of {asked.rounds} rounds")
    if job != "evaluation":
        print(f"an epoch's matrix products alone, by PyTorch: {products:.2f} s")
    count = images * bench.samples if job == "evaluation" else images // BATCH * BATCH
    table.print_table(job, timings, count, peak)
    verdict = "a trial, too short to compare" if asked.quick else table.agreement(job, timings)
    print(verdict)
    if asked.output:
        figures = {name: timing._asdict() for name, timing in timings.items()}
        record = {"job": job, "quick": asked.quick, "verdict": verdict, "provenance": stamp}
        record |= {"busy_cores_before": busy, "matrix_products": alone, "contenders": figures}
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        write_whole(asked.output, text.encode())


def trained(trainer: Process, folder: Path) -> Path:
    """The file of the weights that a contender has after a few epochs of the training job."""
    trainer.read()
    for _ in range(EPOCHS_BEFORE):
        trainer.ask("round")
    path = folder / "trained.npz"
    trainer.ask(f"save {path}")
    trainer.end()
    return path


if __name__ == "__main__":
    asked = parse()
    try:
        with ExitStack() as closing:
            main(asked, closing)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"run.py: {error}")
