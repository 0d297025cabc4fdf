"""k̂ of 200 vectors of importance weights by arviz-stats, against the book's own.

arviz-stats needs a Python of its own, 3.12 or later: give its path. Its `psislw` takes the logs of
the weights with their sign turned, as its users hold log-likelihoods to be left out; r_eff is 1,
since the draws are independent; both draw k̂ to 1/2 as by ten weights more. The k̂ of arviz-stats
go to one JSON file, against which the tests hold `vae_tutorial.weights.pareto_shape`.

    python benchmarks/pareto.py /path/to/python3.12
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.weights import pareto_shape

OUTPUT = Path(__file__).resolve().parent.parent / "book" / "results" / "pareto.json"
COUNTS = (50, 225, 500, 1000, 4000)  # draws; 225 is where the two lengths of a tail meet
SCALES = (0.1, 0.5, 0.9, 2.0)  # of a log-weight
SEEDS = 5

THEIRS = """
import json, sys
from importlib.metadata import version
import numpy as np
from arviz_stats.base import array_stats
vectors = json.load(sys.stdin)
shapes = [float(array_stats.psislw(-np.array(vector), r_eff=1)[1]) for vector in vectors]
json.dump({"arviz-stats": version("arviz-stats"), "numpy": np.__version__, "k": shapes}, sys.stdout)
"""


class Case(NamedTuple):
    """How one vector of log-weights is drawn."""

    law: str  # "normal", or "square", whose tail falls like a power
    scale: float
    count: int
    seed: int


CASES = tuple(
    Case(law, scale, count, seed)
    for law in ("normal", "square")
    for scale in SCALES
    for count in COUNTS
    for seed in range(SEEDS)
)


def log_weights(case: Case) -> Tensor:
    """The vector (count,): scale · ε, or scale · (|ε|² / 2 + ε₁) for ε of two dimensions."""
    noise = standard_normal((case.count, 2), generator(case.seed))  # (count, 2)
    if case.law == "normal":
        return case.scale * noise[:, 0]
    return case.scale * (noise.square().sum(-1) / 2 + noise[:, 0])


def main(python: str) -> None:
    vectors = [log_weights(case) for case in CASES]
    sent = json.dumps([vector.tolist() for vector in vectors])
    command = [python, "-c", THEIRS]
    answer = subprocess.run(command, input=sent, capture_output=True, text=True, check=True)
    theirs = json.loads(answer.stdout)
    shapes = torch.tensor(theirs.pop("k"), dtype=torch.float64)
    ours = torch.stack([pareto_shape(vector) for vector in vectors])
    print(f"{len(CASES)} vectors, k from {shapes.min():.2f} to {shapes.max():.2f}")
    print(f"largest difference {(ours - shapes).abs().max():.1e}")
    records = [
        case._asdict() | {"k": shape} for case, shape in zip(CASES, shapes.tolist(), strict=True)
    ]
    contents = {"provenance": provenance() | theirs, "records": records}
    write_whole(OUTPUT, f"{json.dumps(contents, indent=1)}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1])
