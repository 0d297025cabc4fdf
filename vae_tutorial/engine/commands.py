"""What each command does, from its parsed options to what the reader finds on disk or screen."""

import argparse
import atexit
import io
import json
import math
import os
import shutil
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib.image
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from vae_tutorial import datasets, importance, noise
from vae_tutorial.audit import audit as audited
from vae_tutorial.audit.findings import WIDTH
from vae_tutorial.audit.page import BOOK, page
from vae_tutorial.engine import archive, auditing, compression, memory, runs
from vae_tutorial.engine.checkpoints import read_whole
from vae_tutorial.engine.folders import PICTURE, Config, describe, load_trained
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.engine.runs import Watch, validate
from vae_tutorial.engine.settings import Settings, prepare
from vae_tutorial.engine.terminal import (
    INTERRUPTED,
    Interrupts,
    answer,
    progress,
    require_output,
    say,
)
from vae_tutorial.files import write_whole
from vae_tutorial.models import VAE
from vae_tutorial.pictures import image_rows
from vae_tutorial.processes import joined
from vae_tutorial.scaling import compiled, in_place

CACHE = "TORCHINDUCTOR_CACHE_DIR"  # where PyTorch keeps what it compiled
COLUMNS = 10
SHARPNESS = 150  # dots an inch
CELL = 56  # dots of an image's longer side at least, so that 8 pixels can be seen
GAP = 4  # dots between two images
ACTIVE = 0.01  # variance over images of a latent's posterior mean: Burda et al. 2016, section 5.2
STANDARD_OUTPUT = Path("-")  # the name under which a command writes to the screen
HELD_OUT = "held-out"  # the word for a run's held-out images
AT_ONCE = 100  # images between two moves of the progress bar


def device(name: str) -> torch.device:
    """The device of that name; ValueError where this machine has none."""
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device must be cpu or cuda, got {name!r}") from error
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"--device must be cpu or cuda, got {name!r}")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: PyTorch finds no GPU here")
    return chosen


def with_a_place_for_compiled_code(report: Callable[[str], None] = say) -> None:
    """Give the compiler a temporary folder where it is told one that takes no files.

    PyTorch asks for the folder when it is imported, even if it compiles nothing.
    """
    told = os.environ.get(CACHE)
    if not told:
        return
    try:
        os.makedirs(told, exist_ok=True)
        with tempfile.TemporaryFile(dir=told):
            pass
    except OSError as error:
        report(f"{CACHE} takes no files ({error.strerror}): what is compiled is not kept")
        os.environ[CACHE] = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, os.environ[CACHE], ignore_errors=True)


def train(options: argparse.Namespace) -> int:
    """Train in a folder; 0 when all epochs are done, 130 when Ctrl-C came first."""
    with_a_place_for_compiled_code()
    settings = Settings(**{name: getattr(options, name) for name in Settings._fields})
    where, folder = device(options.device), options.output
    images = datasets.load(settings.data)
    with joined(where) as processes, Interrupts() as interrupts:
        if where.type == "cuda":
            where = torch.device("cuda", processes.rank % torch.cuda.device_count())

        report = say if processes.rank == 0 else runs.unheard  # one process speaks for all
        bar = progress if processes.rank == 0 else runs.unwatched

        def stopping() -> bool:
            if processes.abandoned():
                report("torchrun is gone, and nothing would start a lost process again: stopping")
            return interrupts.seen or processes.abandoned()

        run = runs.train(
            settings,
            images,
            folder,
            device=where,
            processes=processes,
            engine=in_place if options.eager else lambda step: compiled(in_place(step), report),
            watch=Watch(report, bar, stopping),
        )
        if run.writes:
            shape = (images.height, images.width)
            figure = reconstructions(run.model, run.held_out, settings.seed, shape)
            save_figure(figure, folder / PICTURE)
    return 0 if len(run.history) >= settings.epochs else INTERRUPTED


def evaluate(options: argparse.Namespace) -> int:
    """Print one JSON object about a run's held-out images."""
    require_output()
    with_a_place_for_compiled_code()
    where, samples = device(options.device), options.importance_samples
    require_room_for_sums(samples)
    config, model, epoch = load_trained(options.run)
    images = held_out(config)[: options.images].to(where)
    model, random = model.to(where), noise.generator(options.seed)
    weigh = compiled(importance.make_weigh(model), say)
    parts = [
        importance.estimate_log_likelihood(model, part, samples, random, weigh)
        for part in progress(images.split(AT_ONCE), math.ceil(len(images) / AT_ONCE))
    ]
    value, error = (torch.cat(terms) for terms in zip(*parts, strict=True))
    count, pixels = images.shape
    bound = validate(model, images)
    means = model.encoder(images).mean  # (n, latent)
    result = {
        "elbo": bound.elbo.double().mean().item(),
        "log_likelihood": value.mean().item(),
        "standard_error": value.std().item() / math.sqrt(count) if count > 1 else None,
        "importance_error": error.square().sum().sqrt().item() / count if samples > 1 else None,
        "importance_samples": samples,
        "images": count,
        "active_units": int((means.var(0) > ACTIVE).sum()) if count > 1 else None,
        "latent": config.settings.latent,
        "bits_per_dimension": -value.mean().item() / (pixels * math.log(2)),
        "seed": options.seed,
        "epoch": epoch,
        "settings": config.settings._asdict(),
        "provenance": provenance(str(where)),
    }
    answer(rounded(result))
    return 0


def require_room_for_sums(samples: int) -> None:
    """Raise ValueError where the sums that an evaluation keeps, three a chunk, are too many."""
    chunks = AT_ONCE * (samples // importance.DRAWS_AT_ONCE + 1)
    memory.require(chunks * 3 * (4 + 8), f"--importance-samples {samples}")


def held_out(config: Config) -> Tensor:
    """The held-out images of a run, as its model takes them; ValueError where they are others."""
    data = config.settings.data
    images = datasets.load(data)
    if describe(config.settings, images) != config:
        raise ValueError(f"the images in {data} are not those that the run was trained on")
    return prepare(config.settings, images)[1]


def sample(options: argparse.Namespace) -> int:
    """Save a picture of images made up."""
    config, model, _ = load_trained(options.run)
    numbers = options.count * (12 * config.settings.latent + 8 * config.pixels)
    dots = options.count * (CELL + GAP) ** 2
    memory.require(numbers + dots, f"--count {options.count}")
    images = model.prior_means(options.count, noise.generator(options.seed))
    save_mosaic(mosaic(images, config.height, config.width), options.output)
    say(f"{options.count} images from the prior are in {options.output}")
    return 0


def compress(options: argparse.Namespace) -> int:
    """Write images as a file of the run's model, and print one JSON object about its length."""
    require_output()
    require_folder_of(options.output)
    config, model, epoch = load_trained(options.run)
    images = images_to_compress(options.images, config, options.count)
    begin = time.perf_counter()
    made = compression.compress(model, images, progress)
    write_whole(options.output, made.content)
    count = len(images.level)
    result = {
        "bits_an_image": 8 * len(made.content) / count,
        "net_bits_an_image": made.net / count,
        "negative_elbo_bits_an_image": made.negative_elbo / count,
        "standard_error": made.negative_elbo_error / count,
        "gzip_bits_an_image": made.gzip / count,
        "xz_bits_an_image": made.xz / count,
        "bytes": len(made.content),
        "initial_bits": made.initial,
        "images": count,
        "grey_levels": images.steps + 1,
        "seconds": time.perf_counter() - begin,
        "epoch": epoch,
    }
    answer(rounded(result))
    return 0


def decompress(options: argparse.Namespace) -> int:
    """Write the images of a compressed file as they were."""
    require_folder_of(options.output)
    packed = archive.unpack(read_whole(options.file), str(options.file))
    _, model, _ = load_trained(options.run)
    images = compression.decompress(model, packed, str(options.file), progress)
    buffer = io.BytesIO()
    np.save(buffer, images)
    write_whole(options.output, buffer.getvalue())
    say(f"{len(images)} images are in {options.output}, each bit as it was")
    return 0


def audit(options: argparse.Namespace) -> int:
    """Print what an audit finds, and write it as JSON and as a page; 1 if anything is wrong."""
    if options.json is None:
        require_output()
    for path in (options.json, options.html):
        if path is not None and path != STANDARD_OUTPUT:
            require_folder_of(path)
    if (options.run is None) == (options.adapter is None):
        raise ValueError("give the folder of a run, or --adapter MODULE:NAME, and not both")
    if options.run is not None:
        if options.data is not None or options.held_out is not None:
            raise ValueError("--data and --held-out go with --adapter; a run knows its images")
        arguments = auditing.of_run(options.run)
        about = str(options.run)
    else:
        arguments = auditing.of_adapter(options.adapter, options.data, options.held_out)
        about = options.adapter
    report = audited(arguments.pop("x"), **arguments, seconds=options.seconds, watched=progress)
    if options.html is not None:
        write_whole(options.html, page(report, f"Audit of {about}").encode())
    if options.json == STANDARD_OUTPUT:
        answer(report.to_json().rstrip())
    else:
        answer(f"{report}\n\n{textwrap.fill(BOOK, WIDTH)}")
        if options.json is not None:
            write_whole(options.json, report.to_json().encode())
    return report.exit_code


def images_to_compress(source: str, config: Config, count: int | None) -> compression.Levels:
    """The grey levels of a run's held-out images, or of those in a file; the first `count`."""
    if source == HELD_OUT:
        images = held_out(config).reshape(-1, config.height, config.width).numpy()
    else:
        images = datasets.read(Path(source))
    shape, needed = images.shape[1:], (config.height, config.width)
    if shape != needed:
        seen, wanted = (f"{height} by {width}" for height, width in (shape, needed))
        raise ValueError(f"the images in {source} have {seen} pixels, those of the run {wanted}")
    return compression.grey_levels(images[:count], source)


def require_folder_of(path: Path) -> None:
    """Raise FileNotFoundError where there is no folder for a file, before any work is done."""
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.absolute().parent}")


def rounded(result: Mapping[str, object]) -> str:
    """Results as a line of JSON."""
    return json.dumps({n: round(v, 6) if isinstance(v, float) else v for n, v in result.items()})


def download(options: argparse.Namespace) -> int:
    """Fetch a published data set."""
    datasets.download(options.name, say)
    return 0


# Pictures


@torch.no_grad()
def reconstructions(model: VAE, images: Tensor, seed: int, shape: tuple[int, int]) -> Figure:
    """Ten held-out images, their reconstructions, and ten mean images at draws from the prior."""
    first = images[:COLUMNS]
    made_up = model.prior_means(COLUMNS, noise.generator(seed))
    rows = [("held out", first), ("copied", model.reconstruct(first)), ("made up", made_up)]
    return image_rows(rows, shape)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's ending, whole or not at all; raises OSError."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:], dpi=SHARPNESS)
    write_whole(path, buffer.getvalue())


def mosaic(images: Tensor, height: int, width: int) -> np.ndarray:
    """Images (n, height · width), ten a row, as one: bytes, 0 where an image is 1; gaps are white.

    Each pixel becomes a square of whole dots. One array is drawn, since a figure's axes, one an
    image, take a tenth of a second each.
    """
    scale = max(1, math.ceil(CELL / max(height, width)))
    rows, columns = math.ceil(len(images) / COLUMNS), min(COLUMNS, len(images))
    ink = (255 * (1 - images.clamp(0, 1))).round().to(torch.uint8)  # (n, pixels)
    tall, wide = scale * height, scale * width
    drawn = np.full((rows * (tall + GAP) - GAP, columns * (wide + GAP) - GAP), 255, np.uint8)
    for number, image in enumerate(ink.reshape(-1, height, width).numpy(force=True)):
        top, left = number // COLUMNS * (tall + GAP), number % COLUMNS * (wide + GAP)
        drawn[top : top + tall, left : left + wide] = np.kron(
            image, np.ones((scale, scale), np.uint8)
        )
    return drawn


def save_mosaic(drawn: np.ndarray, path: Path) -> None:
    """Write grey bytes in the format of the path's ending, whole or not at all; raises OSError."""
    buffer = io.BytesIO()
    matplotlib.image.imsave(
        buffer, drawn, format=path.suffix[1:], cmap="gray", vmin=0, vmax=255, dpi=SHARPNESS
    )
    write_whole(path, buffer.getvalue())
