"""The command line's words: four commands, their options, and one-line errors."""

import argparse
from pathlib import Path

from vae_tutorial.manual import ABOUT, DOWNLOAD, EVALUATE, SAMPLE, TRAIN
from vae_tutorial.options import Parser, picture, positive, seed, variance, whole
from vae_tutorial.settings import CHOICES, Settings

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
