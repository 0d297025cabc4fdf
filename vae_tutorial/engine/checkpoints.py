"""Files that survive: written whole or not at all, and read with suspicion."""

import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from vae_tutorial import require
from vae_tutorial.adam import Moments
from vae_tutorial.files import temporary_name, write_whole
from vae_tutorial.training import State

FORMAT = "vae_tutorial checkpoint 2"  # 1 did not say which images it had seen
DIGEST = hashlib.sha256().digest_size  # bytes at the end of a checkpoint, over all before them


# Writing


def keep_as(path: Path, name: Path) -> None:
    """Let the content of `path` stand under `name`, too, when `path` is written anew; OSError."""
    temporary = temporary_name(name)
    try:
        os.link(path, temporary)
        temporary.replace(name)
    except OSError:  # a file system without links
        write_whole(name, path.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)  # a link on a link to the same file is not moved


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove the temporary files of these names that writers left when they were killed."""
    ours = re.compile(rf"\.({'|'.join(map(re.escape, names))})\.\d+")
    for path in folder.iterdir():
        if ours.fullmatch(path.name):
            path.unlink(missing_ok=True)


# Reading


def read_whole(path: Path) -> bytes:
    """The bytes of a file; ValueError where the path is a folder, a pipe or a device."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a file")  # a pipe would keep its reader waiting
    return path.read_bytes()


def parsed_json(text: bytes | str, name: str) -> Any:
    """The value of a JSON text; ValueError, with `name`, where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no JSON, or a damaged one") from error


def save_checkpoint(path: Path, state: State, generator: torch.Generator, notes: str) -> None:
    """Keep all that the next epoch depends on, and `notes`, a text; raises OSError."""
    content = {
        "format": FORMAT,
        "notes": notes,
        "count": state.steps,
        "generator": generator.get_state(),
        "parameters": state.parameters,
        "first": state.moments.first,
        "second": state.moments.second,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    kept = buffer.getvalue()
    write_whole(path, kept + hashlib.sha256(kept).digest())


def load_checkpoint(path: Path, start: State, generator: torch.Generator) -> tuple[State, str]:
    """The state and the notes that `save_checkpoint` kept; `generator` is set to where it stood.

    `start` is a fresh state of the same model, on the device wanted: names, shapes and types must
    be its own. Nothing in the file is executed. Raises ValueError on a file that is truncated,
    changed, foreign, poisoned, made for another model, or not finite; OSError if it cannot be read.
    """
    content = _table(path, next(iter(start.parameters.values())).device)
    expected = {"parameters": start.parameters, "first": start.moments.first}
    expected["second"] = start.moments.second
    for part, tensors in expected.items():
        require_like(f"{part} in {path}", content.get(part), tensors)
    count, notes = content.get("count"), content.get("notes")
    if type(count) is not int or count < 0 or not isinstance(notes, str):
        raise ValueError(f"{path} lacks the number of steps, or its notes")
    try:
        generator.set_state(content["generator"].cpu())
    except (RuntimeError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} lacks the state of the random generator") from error
    moments = Moments(content["first"], content["second"])
    return State(content["parameters"], moments, count), notes


def is_whole(stored: bytes) -> bool:
    """Whether these bytes end in the checksum of all before, as those of a checkpoint do."""
    return hashlib.sha256(stored[:-DIGEST]).digest() == stored[-DIGEST:]


def _table(path: Path, device: torch.device) -> dict:
    """What a checkpoint holds, its checksum and its format seen to be right."""
    stored = read_whole(path)
    if not is_whole(stored):  # torch.load alone takes most flipped bits as given
        raise ValueError(f"{path} is no checkpoint, or a damaged one")
    try:
        content = torch.load(io.BytesIO(stored[:-DIGEST]), map_location=device, weights_only=True)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the unpickler raises a dozen kinds, all for the same reason
        raise ValueError(f"{path} is no checkpoint, or a damaged one") from error
    seen = content.get("format") if isinstance(content, dict) else None
    if isinstance(seen, str) and seen != FORMAT and seen.startswith(FORMAT[:-1]):
        raise ValueError(f"{path} is not a checkpoint of this version ({seen}, not {FORMAT})")
    if not isinstance(seen, str) or seen != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of this program ({FORMAT})")
    return content


# Weights


def save_weights(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, object]) -> None:
    """Keep weights as safetensors, with `notes`, JSON, bound to them by a digest; raises OSError.

    All notes are one entry of the header, since safetensors writes several in a random order.
    """
    contiguous = {name: value.cpu().contiguous() for name, value in tensors.items()}
    run = json.dumps({**notes, "digest": digest_of(contiguous, notes)})
    write_whole(path, to_safetensors(contiguous, {"run": run}))


def load_weights(path: Path, model: nn.Module) -> dict[str, Any]:
    """Put the weights of a safetensors file into `model`; the notes that were kept with them.

    Raises FileNotFoundError, or ValueError unless the file holds exactly the model's parameters,
    all finite, and they and the notes are those that were written together. A file without a
    digest, as other programs write it, has no notes.
    """
    stored = read_whole(path)
    try:
        tensors = parse_safetensors(stored)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file, or a damaged one") from error
    require_like(str(path), tensors, model.state_dict())
    length = int.from_bytes(stored[:8], "little")  # of the header, which is JSON
    header = json.loads(stored[8 : 8 + length]).get("__metadata__", {})
    notes = parsed_json(header.get("run", "{}"), f"the header of {path}")
    digest = notes.pop("digest", None) if isinstance(notes, dict) else None
    if digest is not None and digest != digest_of(tensors, notes):
        raise ValueError(f"{path} is damaged: its weights or its notes have changed")
    model.load_state_dict(tensors)
    return notes if digest is not None else {}


def digest_of(tensors: Mapping[str, Tensor], notes: Mapping[str, object]) -> str:
    """SHA-256 of tensors, contiguous and on the CPU, and of the notes beside them."""
    digest = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().numpy().data)
    return digest.hexdigest()


def require_like(name: str, seen: object, needed: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless `seen` has finite tensors of the names, shapes and types needed."""
    if not isinstance(seen, dict) or not all(isinstance(v, Tensor) for v in seen.values()):
        raise ValueError(f"{name}: needed tensors by name, got {type(seen).__name__}")
    kinds = [{n: (*v.shape, v.dtype) for n, v in table.items()} for table in (seen, needed)]
    names = sorted(kinds[0].keys() | kinds[1].keys(), key=str)
    differing = [n for n in names if kinds[0].get(n) != kinds[1].get(n)]
    if differing:
        shown = ", ".join(f"{n} is {kinds[0].get(n)}, not {kinds[1].get(n)}" for n in differing[:3])
        raise ValueError(f"{name} does not fit this architecture: {shown}")
    for tensor_name, value in seen.items():
        require.finite(f"{tensor_name} in {name}", value)
