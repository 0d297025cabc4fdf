"""Two processes on this machine: against one at the same global batch, and with one killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
OPTIONS = ["-m", "vae_tutorial", "train", "--data", "digits", "--eager", "--hidden", "16"]
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
LIMIT = 100  # seconds


def start(launcher, folder, epochs):
    return subprocess.Popen(
        [sys.executable, *launcher, *OPTIONS, "--epochs", str(epochs), "--output", str(folder)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(launcher, folder, epochs):
    with start(launcher, folder, epochs) as process:
        said = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == 0, said
    return said


def kept(folder):
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    return {
        (part, n): t for part in ("parameters", "first", "second") for n, t in content[part].items()
    }


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    said = finish(TWO, tmp_path / "two", 3)
    finish([], tmp_path / "one", 3)
    one, two = (kept(tmp_path / name) for name in ("one", "two"))
    for (part, name), value in one.items():
        if part == "parameters":
            assert (two[part, name] - value).abs().max() <= 1e-6, name
        else:  # of any size, so their rounding is relative
            torch.testing.assert_close(two[part, name], value, rtol=1e-4, atol=1e-6)
    assert said.count("epoch 2/3") == 1  # process 0 alone speaks, and writes
    names = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("one", "two")]
    assert names[0] == names[1]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the workers")
@pytest.mark.parametrize("rank", [0, 1])
def test_when_one_is_killed_all_end_and_a_relaunch_ends_as_if_nothing_had_been(rank, tmp_path):
    epochs = 30
    with start(TWO, tmp_path / "killed", epochs) as process:
        assert any(line.startswith("epoch 5/") for line in process.stderr)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        environments = {w: Path(f"/proc/{w}/environ").read_bytes().split(b"\0") for w in workers}
        (victim,) = [w for w, e in environments.items() if f"RANK={rank}".encode() in e]
        os.kill(int(victim), signal.SIGKILL)
        process.communicate(timeout=LIMIT)
    assert process.returncode != 0
    lines = (tmp_path / "killed" / "metrics.jsonl").read_text("utf-8").splitlines()
    assert 5 <= len(lines) < epochs
    assert "resuming after epoch" in finish(TWO, tmp_path / "killed", epochs)
    finish(TWO, tmp_path / "alone", epochs)
    killed, alone = (kept(tmp_path / name) for name in ("killed", "alone"))
    assert all(torch.equal(killed[name], alone[name]) for name in alone)


@pytest.mark.slow
def test_when_the_launcher_is_killed_its_processes_stop_and_let_the_folder_go(tmp_path):
    with start(TWO, tmp_path / "run", 1_000_000) as process:
        assert any(line.startswith("epoch 3/") for line in process.stderr)
        process.kill()
        said = process.stderr.read()  # until the last process has closed it
    assert "torchrun is gone" in said
    assert (tmp_path / "run" / "reconstructions.png").exists()
    assert not (tmp_path / "run" / ".lock").exists()
