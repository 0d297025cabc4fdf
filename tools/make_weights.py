"""Train the kept weights again: `python tools/make_weights.py`, or `make weights`.

The file says in its own header how it was made: commit, seed, processor, time, and the versions.
It is written to a temporary name, then moved.
"""

import os
import platform
import time
from datetime import UTC, datetime

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import torch
from safetensors.torch import save_file

from vae_tutorial import pretrained
from vae_tutorial.engine.provenance import commit, processor

if __name__ == "__main__":
    print("Training two latents on 1,500 digits: less than a minute.", flush=True)
    start = time.perf_counter()
    model = pretrained.train()
    provenance = {
        "commit": commit(),
        "seed": str(pretrained.SEED),
        "hardware": f"{processor()}, one thread",
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
