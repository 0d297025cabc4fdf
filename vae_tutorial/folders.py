"""The folder of a run: what lies in it, and how it is taken up again."""

import json
from pathlib import Path

import torch

from vae_tutorial.checkpoints import load_checkpoint, save_weights, write_whole
from vae_tutorial.settings import Settings
from vae_tutorial.training import State

FILES = (
    "config.json",
    "checkpoint.pt",
    "weights.safetensors",
    "metrics.jsonl",
    "reconstructions.png",
    ".writable",
)


def require_writable(folder: Path) -> None:
    """Make `folder` if need be; OSError now, not after an epoch, where it takes no files."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / ".writable", b"")
    (folder / ".writable").unlink()


def resume(
    folder: Path, settings: Settings, start: State, generator: torch.Generator
) -> tuple[State, list[dict]]:
    """The state and the records so far: those of the checkpoint in `folder`, or a fresh start.

    Raises ValueError if the checkpoint is damaged, or another run's. A longer run may follow a
    shorter one where the learning rate does not depend on the number of epochs.
    """
    path = folder / "checkpoint.pt"
    if not path.exists():
        return start, []
    state, notes = load_checkpoint(path, start, generator)
    kept = json.loads(notes)
    seen, wanted = kept["settings"], json.loads(json.dumps(settings._asdict()))
    if settings.final_learning_rate is None and wanted["epochs"] > seen["epochs"]:
        seen["epochs"] = wanted["epochs"]
    odd = [
        f"{name} {seen.get(name)}, not {wanted[name]}"
        for name in wanted
        if seen.get(name) != wanted[name]
    ]
    if odd:
        raise ValueError(f"{folder} holds another run, with {'; '.join(odd)}: take another folder")
    return state, kept["history"]


def write_results(folder: Path, state: State, history: list[dict], settings: Settings) -> None:
    """Write what follows from a checkpoint: the weights, and one line of metrics an epoch."""
    notes = {"epoch": history[-1]["epoch"], "settings": settings._asdict()}
    whole = {"run": json.dumps(notes)}  # one note: safetensors writes several in a random order
    save_weights(folder / "weights.safetensors", state.parameters, whole)
    lines = "".join(json.dumps(record) + "\n" for record in history)
    write_whole(folder / "metrics.jsonl", lines.encode())
