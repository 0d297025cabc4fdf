"""A run in its folder: the loop that goes on where it was stopped, and what it leaves behind."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial import noise, require
from vae_tutorial.bounds import Bound
from vae_tutorial.datasets import Images
from vae_tutorial.engine.checkpoints import (
    is_whole,
    keep_as,
    load_checkpoint,
    load_weights,
    parsed_json,
    read_whole,
    remove_leftovers,
    save_checkpoint,
    save_weights,
)
from vae_tutorial.engine.folders import (
    CHECKPOINT,
    FILES,
    METRICS,
    PREVIOUS,
    WEIGHTS,
    Config,
    config_of,
    describe,
    differences,
    held,
    require_ours,
    write_config,
)
from vae_tutorial.engine.settings import Settings, build, prepare, require_memory
from vae_tutorial.files import write_whole
from vae_tutorial.importance import negative_importance_bound
from vae_tutorial.models import VAE
from vae_tutorial.processes import ALONE, Processes
from vae_tutorial.scaling import batches, make_shared_step
from vae_tutorial.training import (
    Objective,
    State,
    Step,
    average_bound,
    initial_state,
    negative_elbo,
    run_epoch,
)

OBJECTIVES: dict[str, Objective] = {"elbo": negative_elbo, "iwae": negative_importance_bound}
VALIDATION_SEED = 1_000_005  # the same draws after every epoch, so that its curve is smooth
AT_ONCE = 1000  # held-out images scored together


def as_it_is(step: Step) -> Step:
    """The engine that changes nothing."""
    return step


def unwatched(batches: Iterable, steps: int) -> Iterable:
    """The progress that nobody sees."""
    return batches


def unheard(line: str) -> None:
    """The report that nobody hears."""


def never() -> bool:
    """The wish to stop that never comes."""
    return False


class Watch(NamedTuple):
    """Who hears of a run, a line an epoch; who sees its batches go by; and who may end it."""

    report: Callable[[str], None] = print
    progress: Callable[[Iterable, int], Iterable] = unwatched
    stopping: Callable[[], bool] = never


ALOUD = Watch()
SILENT = Watch(report=unheard)


class Run(NamedTuple):
    """A run as it stands: what it is, what it works with, and how far it came."""

    folder: Path
    config: Config
    processes: Processes
    train_images: Tensor  # (n, pixels)
    held_out: Tensor  # (m, pixels)
    model: VAE  # with the parameters of `state` once an epoch is over
    step: Step
    generator: torch.Generator
    state: State
    history: list[dict]  # one record an epoch, in nats an image

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.processes.rank == 0


def train(
    settings: Settings,
    images: Images,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    processes: Processes = ALONE,
    engine: Callable[[Step], Step] = as_it_is,
    watch: Watch = ALOUD,
) -> Run:
    """Train until the last epoch, or until `watch.stopping()`, from the checkpoint if there is one.

    Returns the run: its trained model, and its history, one record an epoch. After each epoch
    process 0 writes its files. `engine` turns the pure step into the one that runs. Raises as
    `new_run` and `open_run` do, FloatingPointError once the bound is not finite, OSError where the
    folder cannot be written. The last good checkpoint survives all.
    """
    new = new_run(settings, images, folder, device, processes, engine)
    with open_run(new, watch.report) as run:
        try:
            stopped = False
            while len(run.history) < settings.epochs and not stopped:
                later = one_epoch(run, watch)
                if later.writes:
                    keep(later)
                    watch.report(line(later.history[-1], settings.epochs))
                run = later  # now that it is kept, whatever may come
                stopped = any_of(processes, watch.stopping(), run.train_images)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped; {what_is_kept(run.history)}") from None
    run.model.load_state_dict(run.state.parameters, strict=False)
    return run


def new_run(
    settings: Settings,
    images: Images,
    folder: Path,
    device: torch.device | str,
    processes: Processes,
    engine: Callable[[Step], Step],
) -> Run:
    """The run before its first step; its folder is not touched yet.

    Raises ValueError or TypeError on settings that cannot be trained on these images here.
    """
    require_batch(settings.checked().batch_size, len(images.train), processes)
    config = describe(settings, images)
    require_memory(settings, config.pixels)
    model = first_model(config, folder).to(device)
    train_images, held_out = (part.to(device) for part in prepare(settings, images))
    step = engine(make_shared_step(model, OBJECTIVES[settings.objective], processes))
    random, start = noise.generator(settings.seed), initial_state(model)
    return Run(
        folder, config, processes, train_images, held_out, model, step, random, start, history=[]
    )


@contextmanager
def open_run(new: Run, report: Callable[[str], None]) -> Iterator[Run]:
    """The new run, or what its checkpoint made of it; process 0 holds the folder meanwhile.

    Raises ValueError on a folder with another run or with files that are no run's, and on a
    damaged checkpoint without one before it; BlockingIOError where another process trains there,
    OSError where nothing can be written.
    """
    folder = new.folder
    with held(folder, report) if new.writes else nullcontext():
        if new.writes:
            require_ours(folder)
            remove_leftovers(folder, FILES)
            mend(folder, report)
        any_of(new.processes, False, new.train_images)  # all wait until the folder is in order
        state, history = resume(folder, new.config, new.state, new.generator)
        require_together(state, new.processes)
        run = new._replace(state=state, history=history)
        if history:
            report(f"resuming after epoch {len(history)} from {folder}")
        if run.writes:
            write_results(run)
            device = str(run.train_images.device)
            write_config(folder, run.config, device, resumed=bool(history))
        yield run


def first_model(config: Config, folder: Path) -> VAE:
    """The model before its first step: from the seed, or from another run's weights."""
    model, origin = build(config.settings, config.pixels), config.settings.start_from
    if origin and not (folder / CHECKPOINT).exists() and not (folder / PREVIOUS).exists():
        load_weights(Path(origin) / WEIGHTS, model)
    return model


def one_epoch(run: Run, watch: Watch) -> Run:
    """The run after one more epoch; FloatingPointError once the bound is not finite."""
    settings, epoch, begin = run.config.settings, len(run.history) + 1, time.perf_counter()
    rate = settings.learning_rate_at(epoch)
    pairs = batches(
        run.train_images,
        batch_size=settings.batch_size,
        latent=settings.latent,
        num_samples=settings.samples,
        generator=run.generator,
        binary=settings.likelihood == "bernoulli" and settings.binarization == "dynamic",
        processes=run.processes,
    )
    watched = watch.progress(pairs, len(run.train_images) // settings.batch_size)
    try:
        state, means = run_epoch(run.step, run.state, watched, rate)
        means = type(means)(**run.processes.average(means._asdict()))
        require_sound(state, means)
        seconds = round(time.perf_counter() - begin, 3)
        record = {"epoch": epoch} | averages(means) | {"seconds": seconds, "learning_rate": rate}
        if run.writes:
            run.model.load_state_dict(state.parameters, strict=False)
            held_out = averages(validate(run.model, run.held_out))
            record |= {f"validation_{name}": value for name, value in held_out.items()}
    except ValueError as error:
        kept = what_is_kept(run.history)
        raise FloatingPointError(f"epoch {epoch}: {error}; {kept}") from error
    return run._replace(state=state, history=[*run.history, record])


def keep(run: Run) -> None:
    """Write all that the next epoch depends on, and then what follows from it; raises OSError."""
    path = run.folder / CHECKPOINT
    if path.exists():
        keep_as(path, run.folder / PREVIOUS)
    notes = json.dumps(run.config.notes() | {"history": run.history})
    save_checkpoint(path, run.state, run.generator, notes)
    write_results(run)


def write_results(run: Run) -> None:
    """Write what follows from a checkpoint: the weights, and one line of metrics an epoch."""
    if not run.history:
        return
    notes = {"epoch": len(run.history)} | run.config.notes()
    save_weights(run.folder / WEIGHTS, run.state.parameters, notes)
    lines = "".join(json.dumps(record) + "\n" for record in run.history)
    write_whole(run.folder / METRICS, lines.encode())


def what_is_kept(history: list[dict]) -> str:
    """What a run that is stopped leaves behind, in words."""
    return f"the state after epoch {len(history)} is kept" if history else "nothing was kept"


def line(record: dict, epochs: int) -> str:
    """What the reader sees of an epoch."""
    parts = [f"epoch {record['epoch']}/{epochs}", f"elbo {record['elbo']:.2f}"]
    parts += [f"log-likelihood {record['log_likelihood']:.2f}", f"kl {record['kl']:.2f}"]
    parts += [f"validation elbo {record['validation_elbo']:.2f}", f"{record['seconds']:.1f} s"]
    return "  ".join(parts)


# Going on


def mend(folder: Path, report: Callable[[str], None]) -> None:
    """Put the checkpoint before it in the place of one that is damaged or lost, and tell `report`.

    Raises ValueError where there is no whole one before it.
    """
    path, previous = folder / CHECKPOINT, folder / PREVIOUS
    if not path.exists() and not previous.exists():
        return
    if path.exists() and is_whole(read_whole(path)):
        return
    reason = f"{path} is no checkpoint, or a damaged one" if path.exists() else f"{path} is lost"
    stored = read_whole(previous) if previous.exists() else b""
    if not is_whole(stored):
        rescue = f"--start-from {folder} and another --output begin with the weights that it holds"
        more = f"; {rescue}" if (folder / WEIGHTS).exists() else ""
        raise ValueError(f"{reason}, and there is no whole one before it{more}")
    write_whole(path, stored)
    report(f"{reason}: {previous.name}, the one before it, takes its place")


def resume(
    folder: Path, config: Config, start: State, generator: torch.Generator
) -> tuple[State, list[dict]]:
    """The state and the records so far: those of the checkpoint in `folder`, or a fresh start.

    Raises ValueError if the checkpoint is damaged, or another run's. A longer run may follow a
    shorter one where the learning rate does not depend on the number of epochs.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return start, []
    state, notes = load_checkpoint(path, start, generator)
    content = parsed_json(notes, f"what {path} notes")
    seen = config_of(content, str(path))
    history = content.get("history")
    if not isinstance(history, list) or not history:
        raise ValueError(f"{path} does not hold the history of a run")
    for number, record in enumerate(history, 1):
        if not isinstance(record, dict) or record.get("epoch") != number:
            raise ValueError(f"{path} does not hold the history of a run, epoch by epoch")
    found = differences(seen, config)
    if found:
        raise ValueError(
            f"{folder} holds another run, with {'; '.join(found)}: take another folder"
        )
    return state, history


# What must hold


def require_sound(state: State, means: Bound) -> None:
    """Raise ValueError, with the step and its terms, unless bound and parameters are finite."""
    table = torch.stack(list(means))  # (terms, steps)
    bad = (~table.isfinite()).any(0).nonzero()
    if len(bad):
        step = int(bad[0])
        terms = ", ".join(f"{n} {v:g}" for n, v in zip(means._fields, table[:, step], strict=True))
        number = state.steps - table.shape[-1] + step + 1
        raise ValueError(
            f"step {number} gave {terms}, and training stops where the bound is not finite"
        )
    for name, value in state.parameters.items():
        require.finite(f"{name} after step {state.steps}", value)


def require_batch(batch_size: int, images: int, processes: Processes) -> None:
    """Raise ValueError unless images suffice, and the batch divides among the processes."""
    processes.rows(batch_size)
    if batch_size > images:
        raise ValueError(
            f"batch_size must be at most the number of images, {images}, got {batch_size}"
        )


def require_together(state: State, processes: Processes) -> None:
    """Raise ValueError unless all processes stand at the same step."""
    steps = torch.tensor(float(state.steps))
    if processes.total > 1 and processes.average({"steps": steps})["steps"] != steps:
        raise ValueError(
            f"process {processes.rank} stands at step {state.steps}, others elsewhere: "
            "the output folder must be one that all machines share"
        )


def any_of(processes: Processes, wish: bool, like: Tensor) -> bool:
    """Whether any process has the wish, so that all do the same."""
    return bool(processes.average({"wish": like.new_tensor(float(wish))})["wish"] > 0)


# Averages


def validate(model: VAE, images: Tensor) -> Bound:
    """The bound of each held-out image, from one draw each; a Bound of (n,), in nats."""
    generator = noise.generator(VALIDATION_SEED)
    parts = [average_bound(model, part, 1, generator) for part in images.split(AT_ONCE)]
    return type(parts[0])(*(torch.cat(terms) for terms in zip(*parts, strict=True)))


def averages(bound: Bound) -> dict[str, float]:
    """The mean of each term, in nats an image; ValueError where there is none."""
    for name, term in bound._asdict().items():
        if not term.numel():
            raise ValueError(f"{name} is empty: a mean needs at least one number")
    return {name: round(term.double().mean().item(), 6) for name, term in bound._asdict().items()}
