"""Train the kept weights again: `python tools/make_weights.py [NAME …]`, or `make weights`.

Without a name all are made. A file says in its own header how it was made: commit, seed,
processor, time, and the versions.
It is written to a temporary name, then moved.
"""

import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import torch
from safetensors.torch import save_file

from vae_tutorial import pretrained
from vae_tutorial.engine.provenance import commit, processor
from vae_tutorial.models import VAE

RECIPES = {
    "two_latents": (pretrained.WEIGHTS, pretrained.train),
    "cells": (pretrained.CELLS, pretrained.train_cells),
}


def make(path: Path, train: Callable[[], VAE]) -> None:
    """Train a model, and keep its weights with what made them."""
    start = time.perf_counter()
    model = train()
    provenance = {
        "commit": commit(),
        "seed": str(pretrained.SEED),
        "hardware": f"{processor()}, one thread",
        "seconds": f"{time.perf_counter() - start:.0f}",
        "made": datetime.now(UTC).strftime("%Y-%m-%d"),
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
    }
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file(model.state_dict(), temporary, provenance)
    temporary.chmod(0o644)
    temporary.replace(path)
    print(f"{path.name}: {provenance}")


if __name__ == "__main__":
    for name in sys.argv[1:] or RECIPES:
        print(f"Training {name} on 1,500 digits: a minute or two.", flush=True)
        make(*RECIPES[name])
