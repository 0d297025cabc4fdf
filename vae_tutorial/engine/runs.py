"""A run in its folder: the loop that goes on where it was stopped, and what it leaves behind."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from vae_tutorial import noise, require
from vae_tutorial.bounds import Bound
from vae_tutorial.datasets import Images
from vae_tutorial.engine.checkpoints import (
    load_checkpoint,
    load_weights,
    remove_leftovers,
    save_checkpoint,
    save_weights,
    write_whole,
)
from vae_tutorial.engine.settings import Settings, build, prepare, save_settings
from vae_tutorial.importance import negative_importance_bound
from vae_tutorial.models import VAE
from vae_tutorial.processes import ALONE, Processes
from vae_tutorial.scaling import batches, make_shared_step
from vae_tutorial.training import (
    State,
    Step,
    average_bound,
    initial_state,
    negative_elbo,
    run_epoch,
)

VALIDATION_SEED = 1_000_005  # the same draws after every epoch, so that its curve is smooth
AT_ONCE = 1000  # held-out images scored together


def require_sound(state: State, means: Bound) -> None:
    """Raise ValueError, with the step and its terms, unless bound and parameters are finite."""
    table = torch.stack(list(means))  # (terms, steps)
    bad = (~table.isfinite()).any(0).nonzero()
    if len(bad):
        step = int(bad[0])
        terms = ", ".join(f"{n} {v:g}" for n, v in zip(means._fields, table[:, step], strict=True))
        number = state.count - table.shape[-1] + step + 1
        raise ValueError(
            f"step {number} gave {terms}, and training stops where the bound is not finite"
        )
    for name, value in state.parameters.items():
        require.finite(f"{name} after step {state.count}", value)


def averages(bound: Bound) -> dict[str, float]:
    """The mean of each term, in nats an image."""
    return {name: round(term.double().mean().item(), 6) for name, term in bound._asdict().items()}


def validate(model: VAE, images: Tensor) -> Bound:
    """The bound of each held-out image, from one draw each; a Bound of (n,), in nats."""
    generator = noise.generator(VALIDATION_SEED)
    parts = [average_bound(model, part, 1, generator) for part in images.split(AT_ONCE)]
    return type(parts[0])(*(torch.cat(terms) for terms in zip(*parts, strict=True)))


def line(record: dict, epochs: int) -> str:
    """One epoch as a line for a reader."""
    terms = f"elbo {record['elbo']:.2f}  log-likelihood {record['log_likelihood']:.2f}"
    held_out = f"kl {record['kl']:.2f}  validation elbo {record['validation_elbo']:.2f}"
    return f"epoch {record['epoch']}/{epochs}  {terms}  {held_out}  {record['seconds']:.1f} s"


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


OBJECTIVES = {"elbo": negative_elbo, "iwae": negative_importance_bound}


def train(
    settings: Settings,
    images: Images,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    processes: Processes = ALONE,
    engine: Callable[[Step], Step] = lambda step: step,
    report: Callable[[str], None] = print,
    watch: Callable[[Iterable, int], Iterable] = lambda batches, steps: batches,
    stopping: Callable[[], bool] = lambda: False,
) -> list[dict]:
    """Train until the last epoch, or until `stopping()`, from the checkpoint in `folder` if any.

    Returns one record an epoch, in nats an image. After each epoch process 0 writes
    checkpoint.pt, weights.safetensors and metrics.jsonl. `engine` turns the pure step into the one
    that runs, `report` gets a line an epoch, `watch` sees the batches go by. Raises ValueError on
    a folder with another run in it or a damaged checkpoint, FloatingPointError once the bound is
    not finite, OSError where the folder cannot be written. The last good checkpoint survives all.
    """
    device, writes = torch.device(device), processes.rank == 0
    train_images, held_out = (part.to(device) for part in prepare(settings, images))
    require_batch(settings.batch_size, len(train_images), processes)
    model = build(settings, train_images.shape[-1])
    if settings.start_from and not (folder / "checkpoint.pt").exists():
        load_weights(Path(settings.start_from) / "weights.safetensors", model)
    model = model.to(device)
    if writes:
        require_writable(folder)
        remove_leftovers(folder, FILES)
    generator = noise.generator(settings.seed)
    state, history = resume(folder, settings, initial_state(model), generator)
    require_together(state, processes)
    if history:
        report(f"resuming after epoch {history[-1]['epoch']} from {folder}")
        if writes:
            write_results(folder, state, history, settings)
    if writes:
        save_settings(folder, settings, device)
    step = engine(make_shared_step(model, OBJECTIVES[settings.objective], processes))
    for epoch in range(len(history) + 1, settings.epochs + 1):
        begin = time.perf_counter()
        pairs = batches(
            train_images,
            batch_size=settings.batch_size,
            latent=settings.latent,
            num_samples=settings.samples,
            generator=generator,
            binary=settings.likelihood == "bernoulli" and settings.binarization == "dynamic",
            processes=processes,
        )
        pairs = watch(pairs, len(train_images) // settings.batch_size)
        try:
            state, means = run_epoch(step, state, pairs, settings.learning_rate_at(epoch))
            means = type(means)(**processes.average(means._asdict()))
            require_sound(state, means)
            seconds = round(time.perf_counter() - begin, 3)
            if writes:
                model.load_state_dict(state.parameters, strict=False)
                held_out_means = averages(validate(model, held_out))
        except ValueError as error:
            kept = f"the state after epoch {epoch - 1} is kept" if history else "nothing was kept"
            raise FloatingPointError(f"epoch {epoch}: {error}; {kept}") from error
        record = {"epoch": epoch} | averages(means) | {"seconds": seconds}
        record["learning_rate"] = settings.learning_rate_at(epoch)
        if writes:
            record |= {f"validation_{name}": value for name, value in held_out_means.items()}
            history.append(record)
            notes = json.dumps({"settings": settings._asdict(), "history": history})
            save_checkpoint(folder / "checkpoint.pt", state, generator, notes)
            write_results(folder, state, history, settings)
            report(line(record, settings.epochs))
        else:
            history.append(record)
        flag = {"stop": torch.tensor(float(stopping()), device=device)}
        if processes.average(flag)["stop"] > 0:
            break
    return history


def require_batch(batch_size: int, images: int, processes: Processes) -> None:
    """Raise ValueError unless images suffice, and the batch divides among the processes."""
    processes.rows(batch_size)
    if batch_size > images:
        raise ValueError(
            f"batch_size must be at most the number of images, {images}, got {batch_size}"
        )


def require_together(state: State, processes: Processes) -> None:
    """Raise ValueError unless all processes stand at the same step."""
    count = torch.tensor(float(state.count))
    if processes.count > 1 and processes.average({"count": count})["count"] != count:
        raise ValueError(
            f"process {processes.rank} stands at step {state.count}, others elsewhere: "
            "the output folder must be one that all machines share"
        )
