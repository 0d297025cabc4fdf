"""Train the digits with two processes and with one, and write how far the parameters lie apart.

Writes processes.json: the largest difference of a parameter, at the same global batch.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from safetensors.torch import load_file

from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole

TRAIN = ["-m", "vae_tutorial", "train", "--eager", "--hidden", "16", "--epochs", "3"]
LAUNCHERS = {
    "one": [],
    "two": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"],
}
OUTPUT = Path(__file__).resolve().parent.parent / "book" / "results" / "processes.json"

if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        for name, launcher in LAUNCHERS.items():
            command = [sys.executable, *launcher, *TRAIN, "--output", f"{scratch}/{name}"]
            subprocess.run(command, check=True)
        one, two = (load_file(f"{scratch}/{name}/weights.safetensors") for name in LAUNCHERS)
    apart = max((one[name] - two[name]).abs().max().item() for name in one)
    content = {"largest_difference": apart, "epochs": 3, "provenance": provenance()}
    write_whole(OUTPUT, (json.dumps(content, indent=1) + "\n").encode())
    print(f"the largest difference of a parameter is {apart:.3g}")
