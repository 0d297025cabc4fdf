"""Make the oracle's files: `python tools/make_oracle.py [--mnist FILE] NAME …`.

The words `folded`, `collapsed` and `line` train a model and keep its weights, each in a minute, if
they are not there yet. Every word then computes what is true of the images of a case, in minutes,
and writes it to `vae_tutorial/oracle/data/NAME.json`. The case `mnist` needs the path of
t10k-images-idx3-ubyte.gz. Run it from a clean checkout: the files name their commit.
"""

import argparse
import base64
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
import sklearn.datasets
import torch
from safetensors.torch import save_file
from sklearn.model_selection import train_test_split

from vae_tutorial import oracle
from vae_tutorial.datasets import mirrors
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole
from vae_tutorial.oracle import exact, recipes

COUNT = 100  # images of a case
DRAWN = 30  # of the case whose images were drawn from a model: for tests without MNIST
DIGITS = 10  # decimals that are kept
SEED = 0  # of MNIST's binarization, and of what is drawn
MNIST_FILE = "t10k-images-idx3-ubyte"
ABOUT = {
    "digits": "Two latents and Gaussian pixels with a learned variance; test digits of 8 by 8.",
    "mnist": "Two latents and Bernoulli pixels; MNIST's first test images, binarized once.",
    "drawn": "The model of the case mnist; images that were drawn from it.",
    "folded": "Two latents, each read through a cosine and a sine: seven or more modes an image.",
    "collapsed": "Pixel noise too loud for any latent: the posterior is nearly the prior.",
    "line": "One latent and Bernoulli pixels; test digits of 8 by 8, on or off.",
}
LEVELS = 16  # the white of scikit-learn's digits, whose pixels are whole numbers from 0
MIT = "MIT, as the package"
LICENCES = {
    "scikit-learn digits": (
        "CC BY 4.0, https://creativecommons.org/licenses/by/4.0: E. Alpaydin and C. Kaynak (1998), "
        "Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, "
        "https://doi.org/10.24432/C50P49; rows of the copy in scikit-learn's load_digits, where "
        "white is 1 with a pixel on if it is brighter than half"
    ),
    "mnist": "not shipped here: rows of MNIST's own file, known by its SHA-256",
    "drawn from the model": MIT,
}


def digits(white: int) -> dict[str, Any]:
    """The first test digits of `data.load_digits`: grey levels if white is LEVELS, or on and off.

    `rows` are their places in scikit-learn's own order.
    """
    pixels, labels = sklearn.datasets.load_digits(return_X_y=True)
    rows = train_test_split(np.arange(1797), test_size=297, stratify=labels, random_state=0)[1]
    rows = rows[:COUNT]
    levels = pixels[rows] if white == LEVELS else pixels[rows] > recipes.THRESHOLD * LEVELS
    return {
        "kind": "scikit-learn digits",
        "rows": rows.tolist(),
        "levels": base64.b64encode(levels.astype(np.uint8).tobytes()).decode(),
        "pixels": pixels.shape[1],
        "white": white,
    }


def mnist() -> dict[str, Any]:
    hashes = dict(zip(mirrors.FILE_NAMES, mirrors.SOURCES["mnist"].hashes, strict=True))
    return {
        "kind": "mnist",
        "file": MNIST_FILE,
        "file_sha256": hashes[MNIST_FILE],
        "count": COUNT,
        "pixels": 784,
        "seed": SEED,
        "white": 1,
    }


def drawn(model: oracle.Model) -> dict[str, Any]:
    """Images drawn from a model: z from the prior, then each pixel with its probability."""
    z = np.random.RandomState(SEED).standard_normal((DRAWN, model.latent))
    bits = oracle.binarize(1 / (1 + np.exp(-model.decode(z))), SEED + 1)
    return {
        "kind": "drawn from the model",
        "bits": base64.b64encode(np.packbits(bits)).decode(),
        "z": z.round(DIGITS).tolist(),
        "pixels": bits.shape[1],
        "white": 1,
    }


def keep_model(name: str) -> None:
    """Train the model of a case that has a recipe, unless its file is there."""
    path = recipes.file_of(name)
    if name in recipes.RECIPES and not path.exists():
        start, made = time.perf_counter(), provenance()
        model = recipes.RECIPES[name]()
        said = {**made, "seed": recipes.SEED, "seconds": round(time.perf_counter() - start)}
        temporary = path.with_suffix(".tmp")
        save_file(model.state_dict(), temporary, {key: str(value) for key, value in said.items()})
        temporary.chmod(0o644)
        temporary.replace(path)
        print(f"{path.name}: {said}", flush=True)


def description(name: str) -> dict[str, Any]:
    """What a case's file says of its model."""
    path = recipes.file_of(name)
    return {
        "file": Path(os.path.relpath(path, oracle.FOLDER)).as_posix(),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "fold": recipes.FREQUENCY if name == "folded" else None,
    }


def make(name: str, mnist_file: Path | None) -> None:
    """Compute what is true of a case, and write its file."""
    made = provenance()  # before anything is written
    keep_model(name)
    said = description(name)
    arrays = oracle.read_model(recipes.file_of(name), said)
    sources = {"mnist": mnist, "drawn": lambda: drawn(arrays), "line": lambda: digits(1)}
    source = sources.get(name, lambda: digits(LEVELS))()
    levels = oracle.SOURCES[source["kind"]](source, mnist_file)
    source["sha256"] = hashlib.sha256(levels.tobytes()).hexdigest()
    source["licence"] = LICENCES[source["kind"]]
    start = time.perf_counter()
    x = torch.from_numpy(levels / source["white"])
    fields = exact.measure(recipes.model(name), x)
    for field in ("elbo", "elbo_error", "importance_bound", "importance_error"):
        fields[field] = fields[field].mT  # (3, n)
    lists = {
        key: (value.numpy() if key == "modes" else value.numpy().round(DIGITS)).tolist()
        for key, value in fields.items()
    }
    contents = {
        "name": name,
        "about": ABOUT[name],
        "model": said,
        "images": source,
        "samples": list(oracle.SAMPLES),
        "truth": {key: lists.pop(key) for key in oracle.Truth._fields},
        "best": lists,
        "provenance": {**made, "seconds": round(time.perf_counter() - start)},
    }
    write_whole(oracle.FOLDER / f"{name}.json", text(contents).encode())
    print(f"{name}: {contents['provenance']}", flush=True)


def text(contents: dict[str, Any]) -> str:
    """JSON with a line for each field of a field, so that a change shows where it is."""
    lines = []
    for key, value in contents.items():
        if isinstance(value, dict):
            inner = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            lines.append(f" {json.dumps(key)}: {{\n{inner}\n }}")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=oracle.NAMES)
    parser.add_argument("--mnist", type=Path, help="the path of t10k-images-idx3-ubyte.gz")
    options = parser.parse_args()
    for name in options.names:
        make(name, options.mnist)


if __name__ == "__main__":
    main()
