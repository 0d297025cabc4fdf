"""Where a result comes from: commit, versions, processor, threads and date."""

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch


def processor(device: str = "cpu") -> str:
    """The processor's name where the system tells it, with the instruction set that torch uses."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def commit() -> str:
    """The commit of this checkout, with a plus sign if files have changed; else the version."""
    describe = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    folder = Path(__file__).parent
    try:
        told = subprocess.run(describe, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return f"version {version('vae-tutorial')}"
    return told.stdout.strip()


def provenance(device: str = "cpu") -> dict[str, str | int]:
    """What a reader needs to judge a result, or to make it again; plain values for JSON."""
    return {
        "commit": commit(),
        "hardware": processor(device),
        "threads": torch.get_num_threads(),
        "made": datetime.now(UTC).strftime("%Y-%m-%d"),
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
    }
