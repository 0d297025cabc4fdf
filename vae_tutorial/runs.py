"""A run in its folder: the loop that goes on where it was stopped, and what it leaves behind."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from vae_tutorial import experiment
from vae_tutorial.checkpoints import load_weights, remove_leftovers, save_checkpoint
from vae_tutorial.datasets import Images
from vae_tutorial.folders import FILES, require_writable, resume, write_results
from vae_tutorial.importance import negative_importance_bound
from vae_tutorial.processes import ALONE, Processes
from vae_tutorial.records import averages, line, require_sound, validate
from vae_tutorial.scaling import batches
from vae_tutorial.settings import Settings, build, prepare, save_settings
from vae_tutorial.training import State, Step, initial_state, make_step, negative_elbo, run_epoch

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
    generator = experiment.generator(settings.seed)
    state, history = resume(folder, settings, initial_state(model), generator)
    require_together(state, processes)
    if history:
        report(f"resuming after epoch {history[-1]['epoch']} from {folder}")
        if writes:
            write_results(folder, state, history, settings)
    if writes:
        save_settings(folder, settings, device)
    step = engine(make_step(model, OBJECTIVES[settings.objective], processes))
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
