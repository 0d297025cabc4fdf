"""The command line's words: four commands, their options, and one-line errors."""

import argparse
import math
from pathlib import Path

from vae_tutorial.engine.settings import CHOICES, Settings

ABOUT = """\
Train, evaluate and sample the variational autoencoder of the book, with the very functions that
its chapters explain. A quantity is in nats an image unless it says otherwise."""

TRAIN = """\
Train a VAE. The run lives in one folder: the same command goes on where it was stopped, and ends
with the same bits as a run that was never stopped. After each epoch the folder holds

  config.json          the settings, and where the run was made
  checkpoint.pt        all that the next epoch depends on
  metrics.jsonl        one line an epoch: elbo = log_likelihood - kl, seconds, validation terms
  weights.safetensors  the parameters alone
  reconstructions.png  at the end: held-out images, their copies, and images made up

Ctrl-C stops after the epoch that runs; twice, at once, and the last checkpoint remains. The step is
compiled, ten seconds at the first start; TORCHDYNAMO_DISABLE=1 does without. On a machine that is
busy with other work, OMP_NUM_THREADS=1 is often faster than more."""

EVALUATE = """\
Print one JSON object for the held-out images of a run: elbo, log_likelihood by importance sampling
with its standard error over images, active units, bits a dimension, and provenance."""

SAMPLE = "Draw z from the prior and save the mean images f(z), ten a row."

DOWNLOAD = """\
Fetch MNIST or Fashion-MNIST into the folder VAE_TUTORIAL_DATA, or else ~/.cache/vae-tutorial. Every
file is checked by its SHA-256 before it is kept."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors take one line."""

    def error(self, message: str) -> None:
        self.exit(2, f"{self.prog}: {message} (--help explains)\n")


def whole(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needed a whole number of at least 1, got {text!r}")
    return int(text)


def seed(text: str) -> int:
    """A whole number that seeds a generator."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"needed a whole number from 0 to 2^63 - 1, got {text!r}")
    return int(text)


def positive(text: str) -> float:
    """A finite number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"needed a positive, finite number, got {text!r}")
    return value


def variance(text: str) -> float | None:
    """`learned`, or a positive number."""
    return None if text == "learned" else positive(text)


def picture(text: str) -> Path:
    """A path that ends in .png, .pdf or .svg."""
    if Path(text).suffix not in (".png", ".pdf", ".svg"):
        raise argparse.ArgumentTypeError(f"needed a name in .png, .pdf or .svg, got {text!r}")
    return Path(text)


DEFAULT = Settings()


def parser() -> Parser:
    """The whole command line."""
    main = Parser("python -m vae_tutorial", description=ABOUT)
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_train(commands)
    formatter = argparse.RawDescriptionHelpFormatter
    evaluate = commands.add_parser(
        "evaluate",
        help="log p(x) of held-out images",
        description=EVALUATE,
        formatter_class=formatter,
    )
    add = evaluate.add_argument
    add("run", type=Path, help="the folder of a run")
    add(
        "--importance-samples",
        type=whole,
        default=5000,
        metavar="K",
        help="draws an image (%(default)s)",
    )
    add("--images", type=whole, metavar="N", help="the first N held-out images only (all)")
    add("--seed", type=seed, default=0, help="of the draws (%(default)s)")
    add("--device", default="cpu", help="cpu, or cuda (%(default)s)")
    sample = commands.add_parser(
        "sample", help="images from the prior", description=SAMPLE, formatter_class=formatter
    )
    add = sample.add_argument
    add("run", type=Path, help="the folder of a run")
    add("--output", type=picture, required=True, help="the picture: .png, .pdf or .svg")
    add("--count", type=whole, default=100, help="how many images (%(default)s)")
    add("--seed", type=seed, default=0, help="of the draws (%(default)s)")
    download = commands.add_parser(
        "download", help="fetch a data set", description=DOWNLOAD, formatter_class=formatter
    )
    download.add_argument("name", choices=("mnist", "fashion-mnist"))
    return main


def add_train(commands: argparse._SubParsersAction) -> None:
    """The options of `train`, in the order of the book: data, p(x|z), maps, objective, loop."""
    train = commands.add_parser(
        "train",
        help="train a VAE, or go on training it",
        description=TRAIN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data = train.add_argument_group("data")
    data.add_argument(
        "--data",
        default=DEFAULT.data,
        help="digits (embedded), mnist, fashion-mnist, or a .npy or IDX file (%(default)s)",
    )
    data.add_argument(
        "--binarization",
        choices=CHOICES["binarization"],
        default=DEFAULT.binarization,
        help="for bernoulli: draw each pixel anew at each step, or once for all (%(default)s)",
    )
    model = train.add_argument_group("model")
    add = model.add_argument
    add(
        "--likelihood",
        choices=CHOICES["likelihood"],
        default=DEFAULT.likelihood,
        help="p(x|z) (%(default)s)",
    )
    add(
        "--variance",
        type=variance,
        default=DEFAULT.variance,
        help="for gaussian: Λ = variance · I, a number or `learned` (learned)",
    )
    add(
        "--hidden",
        type=whole,
        nargs="+",
        default=list(DEFAULT.hidden),
        metavar="WIDTH",
        help="widths of the encoder's hidden layers; the decoder mirrors them (128)",
    )
    add("--latent", type=whole, default=DEFAULT.latent, help="numbers in z (%(default)s)")
    add(
        "--activation",
        choices=CHOICES["activation"],
        default=DEFAULT.activation,
        help="between layers (%(default)s)",
    )
    loop = train.add_argument_group("objective and loop")
    add = loop.add_argument
    add(
        "--objective",
        choices=CHOICES["objective"],
        default=DEFAULT.objective,
        help="the evidence lower bound, or the importance-weighted one (%(default)s)",
    )
    add(
        "--samples",
        type=whole,
        default=DEFAULT.samples,
        metavar="K",
        help="draws of z an image a step (%(default)s)",
    )
    add(
        "--epochs",
        type=whole,
        default=DEFAULT.epochs,
        help="passes over the data, earlier ones included (%(default)s)",
    )
    add(
        "--batch-size",
        type=whole,
        default=DEFAULT.batch_size,
        help="images a step, over all processes (%(default)s)",
    )
    add(
        "--learning-rate",
        type=positive,
        default=DEFAULT.learning_rate,
        help="Adam's, in the first epoch (%(default)s)",
    )
    add(
        "--final-learning-rate",
        type=positive,
        help="in the last epoch, reached geometrically (as the first)",
    )
    add("--seed", type=seed, default=DEFAULT.seed, help="of weights, order and draws (%(default)s)")
    add(
        "--start-from",
        metavar="RUN",
        help="begin with the weights of another run of the same maps (weights from the seed)",
    )
    machine = train.add_argument_group("machine")
    machine.add_argument("--output", type=Path, required=True, help="the folder of the run")
    machine.add_argument("--device", default="cpu", help="cpu, or cuda (%(default)s)")
    machine.add_argument(
        "--eager", action="store_true", help="do not compile: for runs of a few seconds"
    )
