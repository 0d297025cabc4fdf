"""Two processes on this machine against one at the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
OPTIONS = ["-m", "vae_tutorial", "train", "--data", "digits", "--eager", "--hidden", "16"]
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def launch(start, folder):
    ended = subprocess.run(
        [sys.executable, *start, *OPTIONS, "--epochs", "3", "--output", str(folder)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def test_two_processes_train_as_one(tmp_path):
    said = launch(TWO, tmp_path / "two")
    launch([], tmp_path / "one")
    one, two = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["parameters"]
        for name in ("one", "two")
    )
    assert max((one[name] - two[name]).abs().max().item() for name in one) <= 1e-6
    assert said.count("epoch 2/3") == 1  # process 0 alone speaks, and writes
    names = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("one", "two")]
    assert names[0] == names[1]
