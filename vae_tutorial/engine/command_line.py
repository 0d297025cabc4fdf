"""The command line's words: seven commands, their options, and one-line errors."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from vae_tutorial.datasets import mirrors
from vae_tutorial.engine import commands
from vae_tutorial.engine.settings import CHOICES, LARGE, Settings

ABOUT = """\
Train, evaluate and sample the variational autoencoder of the book, with the very functions that
its chapters explain. A quantity is in nats an image unless it says otherwise."""

TRAIN = """\
Train a VAE. The run lives in one folder, which one process at a time can hold: the same command
goes on where it was stopped, and ends with the same bits as a run that was never stopped. After
each epoch the folder holds

  config.json             the settings, the size of the images, and where the run began
  checkpoint.pt           all that the next epoch depends on
  checkpoint.previous.pt  the same, an epoch earlier, in case a disk loses the other
  metrics.jsonl           one line an epoch: elbo = log_likelihood - kl, seconds, validation terms
  weights.safetensors     the parameters alone
  reconstructions.png     at the end: held-out images, their copies, and images made up

Ctrl-C stops after the epoch that runs; twice, at once, and the last checkpoint remains. The step is
compiled, ten seconds at the first start; TORCHDYNAMO_DISABLE=1 does without. Threads wait for each
other asleep rather than awake, which costs nothing on a quiet machine and keeps a busy one usable;
OMP_WAIT_POLICY or GOMP_SPINCOUNT, where set, decide instead, and OMP_NUM_THREADS says how many."""

EVALUATE = """\
Print one JSON object for the held-out images of a run: elbo, log_likelihood by importance sampling
with its standard error over images, active units, bits a dimension, and provenance."""

SAMPLE = "Draw z from the prior and save the mean images f(z), ten a row."

COMPRESS = """\
Write images as a file that the run's model, and no other, turns back bit for bit, and print one
JSON object: bits an image, beside -ELBO and what gzip and xz make of the same images. A bernoulli
run takes pixels on or off. A gaussian one takes grey levels, multiples of 1/16 or of 1/255, and
gives each the mass of its cell. Bits are taken back: the first image alone needs random ones."""

DECOMPRESS = """\
Write the images of a compressed file as a .npy array, in the type and with the values that they
had. It needs the run that the file was made with, trained no further. A file that was cut or
changed is refused, and so is one whose images do not come back: nothing is written then."""

AUDIT = """\
Look for the known mistakes in a trained VAE: of a run of this package, or of any PyTorch code by
an adapter. MODULE:NAME is a dict, or a function that returns one, with what the Python function
`vae_tutorial.audit.audit` takes:

  x                 images (n, ...) as the model takes them, floats; or --data, a .npy file
  held_out          images that it was not trained on; or --held-out
  encode, decode    x to (mean, log-variance); z to E[x|z], logits, or a distribution of torch
  likelihood        "bernoulli" of logits, "gaussian", a number sigma, or (x, decoded) to log p(x|z)
  loss              x to the scalar that training minimises
  draw              x to z, as training draws it
  estimate          x to your estimate of log p(x), in nats
  modules, notes    the trained modules; sentences on what could not be given

One of encode, decode and loss is needed, and what is not given is not judged. Each line says what
was measured, what it should be, and the chapter that explains it. The first line is the one to
start with. `wrong` is what a sound model almost never shows; `look` is what a fault looks like, and
many a sound model too. The exit code is 1 if anything is wrong, 0 if not, 2 if nothing was
audited."""

DOWNLOAD = """\
Fetch MNIST or Fashion-MNIST into the folder VAE_TUTORIAL_DATA, or else ~/.cache/vae-tutorial. Every
file is checked by its SHA-256 before it is kept."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors take one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help explains)\n")


def number(text: str, least: int) -> int:
    """A whole number from `least` to what PyTorch can count."""
    short = text.isdecimal() and text.isascii() and len(text.lstrip("0")) < 20
    if not short or not least <= int(text) < LARGE:
        needed = f"a whole number of at least {least} and below 2^63"
        raise argparse.ArgumentTypeError(f"needed {needed}, got {text[:40]!r}")
    return int(text)


def whole(text: str) -> int:
    """A whole number of at least 1."""
    return number(text, 1)


def seed(text: str) -> int:
    """A whole number that seeds a generator."""
    return number(text, 0)


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


def data(text: str) -> str:
    """The name of a data set, or the path of a file, absolute: a run may go on from elsewhere."""
    return text if text in ("digits", *mirrors.SOURCES) else str(Path(text).absolute())


def folder(text: str) -> Path:
    """The path of a folder; none at all would be the current one."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"needed the name of a folder, got {text!r}")
    return Path(text)


def other_run(text: str) -> str:
    """The folder of another run, absolute."""
    return str(folder(text).absolute())


def picture(text: str) -> Path:
    """A path that ends in .png, .pdf or .svg."""
    if Path(text).suffix not in (".png", ".pdf", ".svg"):
        raise argparse.ArgumentTypeError(f"needed a name in .png, .pdf or .svg, got {text!r}")
    return Path(text)


def array(text: str) -> Path:
    """A path that ends in .npy."""
    if Path(text).suffix != ".npy":
        raise argparse.ArgumentTypeError(f"needed a name in .npy, got {text!r}")
    return Path(text)


def file(text: str) -> Path:
    """The path of a file."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"needed the name of a file, got {text!r}")
    return Path(text)


class Widths(argparse.Action):
    """Several numbers, kept as a tuple, as `Settings` has them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # a list, as `nargs` asks
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, tuple(values))


class Option(NamedTuple):
    """One setting on the command line; what is not said here, `Settings` and `CHOICES` say."""

    help: str  # without its default, which follows in brackets
    type: Callable[[str], object] = str
    metavar: str | None = None
    default: str = "%(default)s"


OPTIONS: dict[str, dict[str, Option]] = {  # in the order of the book
    "data": {
        "data": Option("digits (embedded), mnist, fashion-mnist, or a .npy or IDX file", data),
        "binarization": Option("for bernoulli: draw each pixel anew at each step, or once for all"),
    },
    "model": {
        "likelihood": Option("p(x|z)"),
        "variance": Option(
            "for gaussian: Λ = variance · I, a number or `learned`", variance, default="learned"
        ),
        "hidden": Option(
            "widths of the encoder's hidden layers; the decoder mirrors them",
            whole,
            "WIDTH",
            " ".join(map(str, Settings().hidden)),
        ),
        "latent": Option("numbers in z", whole),
        "activation": Option("between layers"),
    },
    "objective and loop": {
        "objective": Option("the evidence lower bound, or the importance-weighted one"),
        "samples": Option("draws of z an image a step", whole, "K"),
        "epochs": Option("passes over the data, earlier ones included", whole),
        "batch_size": Option("images a step, over all processes", whole),
        "learning_rate": Option("Adam's, in the first epoch", positive),
        "final_learning_rate": Option(
            "in the last epoch, reached geometrically", positive, default="as the first"
        ),
        "seed": Option("of weights, order and draws", seed),
        "start_from": Option(
            "begin with the weights of another run of the same maps",
            other_run,
            "RUN",
            "weights from the seed",
        ),
    },
}


def parser() -> Parser:
    """The whole command line; `call` is the function of the command that was chosen."""
    main = Parser("python -m vae_tutorial", description=ABOUT)
    subparsers = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(call: Callable, help: str, description: str) -> Parser:
        made = subparsers.add_parser(
            call.__name__,
            help=help,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(call=call)
        return made

    add_train(command(commands.train, "train a VAE, or go on training it", TRAIN))
    add_evaluate(command(commands.evaluate, "log p(x) of held-out images", EVALUATE))
    add_sample(command(commands.sample, "images from the prior", SAMPLE))
    add_compress(command(commands.compress, "images as a short file", COMPRESS))
    add_decompress(command(commands.decompress, "images from such a file", DECOMPRESS))
    add_audit(command(commands.audit, "look for the known mistakes in a VAE", AUDIT))
    download = command(commands.download, "fetch a data set", DOWNLOAD)
    download.add_argument("name", choices=tuple(mirrors.SOURCES))
    return main


def add_train(train: argparse.ArgumentParser) -> None:
    """The options of `train`: one a setting, and those of the machine, which change no result."""
    for title, options in OPTIONS.items():
        group = train.add_argument_group(title)
        for name, option in options.items():
            several: dict[str, Any] = {"nargs": "+", "action": Widths} if name == "hidden" else {}
            group.add_argument(
                f"--{name.replace('_', '-')}",
                type=option.type,
                choices=CHOICES.get(name),
                default=getattr(Settings(), name),
                metavar=option.metavar,
                help=f"{option.help} ({option.default})",
                **several,
            )
    add = train.add_argument_group("machine").add_argument
    add("--output", type=folder, required=True, help="the folder of the run")
    add_device(add)
    add("--eager", action="store_true", help="do not compile: for runs of a few seconds")


def add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    """The options of `evaluate`."""
    add = evaluate.add_argument
    add_run(add)
    text = "draws an image (%(default)s)"
    add("--importance-samples", type=whole, default=5000, metavar="K", help=text)
    add("--images", type=whole, metavar="N", help="the first N held-out images only (all)")
    add_seed(add)
    add_device(add)


def add_sample(sample: argparse.ArgumentParser) -> None:
    """The options of `sample`."""
    add = sample.add_argument
    add_run(add)
    add("--output", type=picture, required=True, help="the picture: .png, .pdf or .svg")
    add("--count", type=whole, default=100, help="how many images (%(default)s)")
    add_seed(add)


def add_compress(compress: argparse.ArgumentParser) -> None:
    """The options of `compress`."""
    add = compress.add_argument
    add_run(add)
    add("images", help="a .npy or IDX file, or `held-out`: the images that the run was tested on")
    add("output", type=file, help="the file to write")
    add("--count", type=whole, metavar="N", help="the first N images only (all)")


def add_decompress(decompress: argparse.ArgumentParser) -> None:
    """The options of `decompress`."""
    add = decompress.add_argument
    add_run(add)
    add("file", type=file, help="what `compress` wrote")
    add("output", type=array, help="the array to write: .npy")


def add_audit(audit: argparse.ArgumentParser) -> None:
    """The options of `audit`."""
    add = audit.add_argument
    add("run", type=folder, nargs="?", help="the folder of a run")
    add("--adapter", metavar="MODULE:NAME", help="what gives the model, instead of a run")
    add("--data", type=file, metavar="FILE", help="the images, a .npy file, for an adapter")
    add("--held-out", type=file, metavar="FILE", help="images that it was not trained on")
    add("--json", type=file, metavar="FILE", help="write the report as JSON; - is the screen")
    add("--html", type=file, metavar="FILE", help="write the report as a page with pictures")
    add("--seconds", type=positive, default=60.0, help="for all checks together (%(default)s)")


def add_run(add: Callable) -> None:
    """The run that a command is about."""
    add("run", type=folder, help="the folder of a run")


def add_seed(add: Callable) -> None:
    """The seed of what a command draws."""
    add("--seed", type=seed, default=0, help="of the draws (%(default)s)")


def add_device(add: Callable) -> None:
    """Where a command computes."""
    add("--device", default="cpu", help="cpu, or cuda (%(default)s)")
