"""Train and evaluate the runs behind chapter 19's table of published results.

Each run is one call of `python -m vae_tutorial train`, then one of `evaluate`, as a reader would
type them. Both are skipped where they are done, and training goes on where it was stopped: start
this script again after any interruption. The results go to one JSON file.

The protocol is that of Burda et al. 2016, section 5, one stochastic layer, except where `PROTOCOL`
differs; the file says where.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from vae_tutorial.files import write_whole

PROTOCOL = {
    "data": "mnist",
    "likelihood": "bernoulli",
    "hidden": "200 200",
    "latent": 50,
    "epochs": 100,
    "batch-size": 100,
    "learning-rate": 0.001,
    "final-learning-rate": 0.0001,
}
RUNS = {  # by folder, what differs from the protocol: in order of what they teach for their time
    "elbo-1-seed-0": {},
    "iwae-5-seed-0": {"objective": "iwae", "samples": 5},
    "elbo-5-seed-0": {"samples": 5},
    "iwae-5-seed-0-longer": {
        "objective": "iwae",
        "samples": 5,
        "epochs": 60,
        "learning-rate": 0.0005,
        "final-learning-rate": 0.00002,
        "start-from": "iwae-5-seed-0",
    },
    "elbo-1-seed-1": {"seed": 1},
    "elbo-1-seed-2": {"seed": 2},
}
HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "book" / "results" / "published.json"


def call(*words: object) -> str:
    """What one command prints; its lines of progress go to the screen."""
    command = [sys.executable, "-m", "vae_tutorial", *map(str, words)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def result(folder: Path, changes: dict) -> dict:
    """One row: the evaluation of one run, trained first if need be."""
    kept = folder / "evaluation.json"
    if not kept.exists():
        chosen = PROTOCOL | changes
        if "start-from" in chosen:
            chosen["start-from"] = folder.parent / chosen["start-from"]
        options = [word for n, v in chosen.items() for word in (f"--{n}", *str(v).split())]
        call("train", *options, "--output", folder)
        write_whole(kept, call("evaluate", folder, "--importance-samples", 5000).encode())
    row = {"run": folder.name} | json.loads(kept.read_text())
    if start := row["settings"].get("start_from"):
        row["settings"]["start_from"] = Path(start).name
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return row | {"training_seconds": round(sum(record["seconds"] for record in records))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option = parser.add_argument
    option("--runs", type=Path, default=Path("runs"), help="where the runs are kept (%(default)s)")
    option("--output", type=Path, default=RESULTS, help="the JSON file (%(default)s)")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two runs side by side: one thread each
    rows = []
    for name, changes in RUNS.items():
        print(f"{name}: row {len(rows) + 1} of {len(RUNS)}", file=sys.stderr, flush=True)
        rows.append(result(options.runs / name, changes))
        content = {"protocol": PROTOCOL, "rows": rows}
        write_whole(options.output, (json.dumps(content, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
