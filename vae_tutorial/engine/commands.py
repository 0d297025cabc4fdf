"""What each command does, from its parsed options to what the reader finds on disk or screen."""

import argparse
import io
import json
import math
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vae_tutorial import datasets, importance, noise
from vae_tutorial.engine import runs
from vae_tutorial.engine.checkpoints import load_weights, write_whole
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.engine.runs import validate
from vae_tutorial.engine.settings import Settings, build, load_settings, prepare
from vae_tutorial.engine.terminal import Interrupts, progress, say
from vae_tutorial.models import VAE
from vae_tutorial.pictures import image_rows
from vae_tutorial.processes import joined
from vae_tutorial.scaling import compiled, in_place

COLUMNS = 10
SHARPNESS = 150  # dots an inch


@torch.no_grad()
def prior_means(model: VAE, count: int, generator: torch.Generator) -> Tensor:
    """The mean images at `count` draws z ~ N(0, I): (count, pixels)."""
    like = next(model.parameters())
    z = noise.standard_normal((count, model.encoder.latent), generator, like=like)
    return model.decode(z)  # (count, pixels)


def samples(model: VAE, count: int, seed: int, shape: tuple[int, int]) -> Figure:
    """`count` mean images at draws from the prior, ten a row, of `shape` (height, width)."""
    images = prior_means(model, count, noise.generator(seed))
    return image_rows([("", part) for part in images.split(COLUMNS)], shape)


@torch.no_grad()
def reconstructions(model: VAE, images: Tensor, seed: int, shape: tuple[int, int]) -> Figure:
    """Ten held-out images, their reconstructions, and ten mean images at draws from the prior."""
    first = images[:COLUMNS]
    made_up = prior_means(model, COLUMNS, noise.generator(seed))
    rows = [("held out", first), ("copied", model.reconstruct(first)), ("made up", made_up)]
    return image_rows(rows, shape)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's ending, whole or not at all; raises OSError."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:], dpi=SHARPNESS)
    write_whole(path, buffer.getvalue())


ACTIVE = 0.01  # variance over images of a latent's posterior mean: Burda et al. 2016, section 5.2
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


def train(options: argparse.Namespace) -> int:
    """Train in a folder; 0 when all epochs are done, 130 when Ctrl-C came first."""
    chosen = {name: getattr(options, name) for name in Settings._fields}
    settings = Settings(**chosen | {"hidden": tuple(options.hidden)})
    where, folder = device(options.device), options.output
    images = datasets.load(settings.data)
    with joined(where) as processes, Interrupts() as interrupts:
        report = say if processes.rank == 0 else lambda line: None
        if where.type == "cuda":
            where = torch.device("cuda", processes.rank % torch.cuda.device_count())
        history = runs.train(
            settings,
            images,
            folder,
            device=where,
            processes=processes,
            engine=in_place if options.eager else lambda step: compiled(in_place(step), report),
            report=report,
            watch=progress if processes.rank == 0 else lambda batches, steps: batches,
            stopping=lambda: interrupts.seen,
        )
        if processes.rank == 0:
            model, held_out = load(folder)[1:]
            shape = (images.height, images.width)
            figure = reconstructions(model, held_out, settings.seed, shape)
            save_figure(figure, folder / "reconstructions.png")
    return 0 if len(history) >= settings.epochs else 130


def load(folder: Path) -> tuple[Settings, VAE, Tensor]:
    """The settings of a run, its trained model, and its held-out images as the model takes them."""
    settings = load_settings(folder)
    held_out = prepare(settings, datasets.load(settings.data))[1]
    model = build(settings, held_out.shape[-1])
    load_weights(folder / "weights.safetensors", model)
    return settings, model.requires_grad_(False), held_out


def evaluate(options: argparse.Namespace) -> int:
    """Print one JSON object about a run's held-out images."""
    where = device(options.device)
    settings, model, images = load(options.run)
    images = images[: options.images].to(where)
    model, random = model.to(where), noise.generator(options.seed)
    weigh = compiled(importance.make_weigh(model), say)
    samples = options.importance_samples
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
        "importance_error": error.square().sum().sqrt().item() / count,
        "importance_samples": samples,
        "images": count,
        "active_units": int((means.var(0) > ACTIVE).sum()) if count > 1 else None,
        "latent": settings.latent,
        "bits_per_dimension": -value.mean().item() / (pixels * math.log(2)),
        "seed": options.seed,
        "settings": settings._asdict(),
        "provenance": provenance(str(where)),
    }
    print(json.dumps({n: round(v, 6) if isinstance(v, float) else v for n, v in result.items()}))
    return 0


def sample(options: argparse.Namespace) -> int:
    """Save a picture of images made up."""
    settings, model, _ = load(options.run)
    images = datasets.load(settings.data)
    shape = (images.height, images.width)
    figure = samples(model, options.count, options.seed, shape)
    save_figure(figure, options.output)
    say(f"{options.count} images from the prior are in {options.output}")
    return 0


def download(options: argparse.Namespace) -> int:
    """Fetch a published data set."""
    datasets.download(options.name, say)
    return 0
