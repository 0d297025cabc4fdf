"""Files that survive: written whole or not at all, and read with suspicion."""

import hashlib
import io
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from zipfile import BadZipFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from vae_tutorial import require
from vae_tutorial.adam import Moments
from vae_tutorial.files import write_whole
from vae_tutorial.training import State

FORMAT = "vae_tutorial checkpoint 1"
DIGEST = hashlib.sha256().digest_size  # bytes at the end of a checkpoint, over all before them


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove the temporary files of these names that writers left when they were killed."""
    for name in names:
        for path in folder.glob(f".{name}.*"):
            path.unlink(missing_ok=True)


def save_checkpoint(path: Path, state: State, generator: torch.Generator, notes: str) -> None:
    """Keep all that the next epoch depends on, and `notes`, a text; raises OSError."""
    content = {
        "format": FORMAT,
        "notes": notes,
        "count": state.count,
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
    device = next(iter(start.parameters.values())).device
    stored = path.read_bytes()
    kept, digest = stored[:-DIGEST], stored[-DIGEST:]
    if hashlib.sha256(kept).digest() != digest:  # torch.load alone takes most flipped bits as given
        raise ValueError(f"{path} is no checkpoint, or a damaged one")
    try:
        content = torch.load(io.BytesIO(kept), map_location=device, weights_only=True)
    except (RuntimeError, EOFError, KeyError, pickle.UnpicklingError, BadZipFile) as error:
        raise ValueError(f"{path} is no checkpoint, or a damaged one") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of this program ({FORMAT})")
    expected = {"parameters": start.parameters, "first": start.moments.first}
    expected["second"] = start.moments.second
    for part, tensors in expected.items():
        require_like(f"{part} in {path}", content.get(part), tensors)
    count, notes = content.get("count"), content.get("notes")
    if not isinstance(count, int) or not isinstance(notes, str):
        raise ValueError(f"{path} lacks the number of steps, or its notes")
    try:
        generator.set_state(content["generator"].cpu())
    except (RuntimeError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} lacks the state of the random generator") from error
    moments = Moments(content["first"], content["second"])
    return State(content["parameters"], moments, count), notes


def save_weights(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, object]) -> None:
    """Keep weights as safetensors, with `notes` as text in its header; raises OSError."""
    texts = {name: str(note) for name, note in notes.items()}
    contiguous = {name: value.cpu().contiguous() for name, value in tensors.items()}
    write_whole(path, to_safetensors(contiguous, texts))


def load_weights(path: Path, model: nn.Module) -> None:
    """Put the weights of a safetensors file into `model`.

    Raises FileNotFoundError, or ValueError unless the file holds exactly the model's parameters,
    all finite.
    """
    try:
        stored = parse_safetensors(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file, or a damaged one") from error
    require_like(str(path), stored, model.state_dict())
    model.load_state_dict(stored)


def require_like(name: str, seen: object, needed: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless `seen` has finite tensors of the names, shapes and types needed."""
    if not isinstance(seen, dict) or not all(isinstance(v, Tensor) for v in seen.values()):
        raise ValueError(f"{name}: needed tensors by name, got {type(seen).__name__}")
    kinds = [{n: (*v.shape, v.dtype) for n, v in table.items()} for table in (seen, needed)]
    names = sorted(kinds[0].keys() | kinds[1].keys(), key=str)
    odd = [n for n in names if kinds[0].get(n) != kinds[1].get(n)]
    if odd:
        shown = ", ".join(f"{n} is {kinds[0].get(n)}, not {kinds[1].get(n)}" for n in odd[:3])
        raise ValueError(f"{name} does not fit this architecture: {shown}")
    for tensor_name, value in seen.items():
        require.finite(f"{tensor_name} in {name}", value)
