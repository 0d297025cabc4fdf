"""Train the kept weights again: `python tests/make_weights.py`, or `make weights`.

The file says in its own header how it was made: commit, seed, processor, time, and the versions.
It is written to a temporary name, then moved.
"""

import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import torch
from safetensors.torch import save_file

from vae_tutorial import pretrained


def processor() -> str:
    """The processor's name, from Linux where it says, with the instruction set that torch uses."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}, one thread"


def commit() -> str:
    """The commit that the working tree started from, with a plus sign if files have changed."""
    describe = ["git", "describe", "--always", "--dirty=+", "--abbrev=12"]
    return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    print("Training two latents on 1,500 digits: less than a minute.", flush=True)
    start = time.perf_counter()
    model = pretrained.train()
    provenance = {
        "commit": commit(),
        "seed": str(pretrained.SEED),
        "hardware": processor(),
        "seconds": f"{time.perf_counter() - start:.0f}",
        "made": datetime.now(UTC).strftime("%Y-%m-%d"),
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
    }
    pretrained.WEIGHTS.parent.mkdir(exist_ok=True)
    temporary = pretrained.WEIGHTS.with_suffix(".tmp")
    save_file(model.state_dict(), temporary, provenance)
    temporary.chmod(0o644)
    temporary.replace(pretrained.WEIGHTS)
    print(f"{pretrained.WEIGHTS.name}: {provenance}")
