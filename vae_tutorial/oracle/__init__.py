"""Models whose log p(x) is known, image by image: a test set for estimators, in plain numpy.

Each case is a small trained VAE, images, and what is true of them: log p(x) with its error, the
moments of the posterior, the bounds of several q and what separates them. Beside Python this needs
numpy alone. `vae_tutorial.oracle.recipes` has the same models as modules of PyTorch.
"""

import base64
import gzip
import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FOLDER = Path(__file__).parent / "data"
SCHEMA = FOLDER / "schema.json"
NAMES = ("digits", "mnist", "drawn", "folded", "collapsed", "line")
WHITE = 255  # of MNIST
IDX_HEADER = 16  # bytes before the pixels of a file of images: a magic number and three lengths
SAMPLES = (10, 100, 1000)  # the K of the stored L_K
LOG_TWO_PI = math.log(2 * math.pi)
TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "U8": "<u1"}  # safetensors' names, numpy's names
LENGTH = 8  # bytes that say how long the header of a safetensors file is

Array = np.ndarray


class Gaussian(NamedTuple):
    """q(z|x) with a diagonal covariance, of n images: (n, latent) each."""

    mean: Array
    log_variance: Array


class Model(NamedTuple):
    """A VAE as arrays in float64: tanh networks, and pixels that are Gaussian or Bernoulli."""

    encoder: list[tuple[Array, Array]]  # (weight (out, in), bias (out,)) of each layer
    decoder: list[tuple[Array, Array]]
    fold: float | None  # where given, the decoder reads cos(fold · z) and sin(fold · z) for z
    log_variance: float | None  # of a Gaussian pixel; None where pixels are Bernoulli

    @property
    def latent(self) -> int:
        """How many latents z has."""
        return len(self.encoder[-1][1]) // 2

    def encode(self, x: Array) -> Gaussian:
        """The q(z|x) that was trained with the decoder: x (n, pixels) to (n, latent) each."""
        mean, log_variance = np.split(_network(self.encoder, x), 2, axis=-1)
        return Gaussian(mean, log_variance)

    def decode(self, z: Array) -> Array:
        """The mean of a Gaussian pixel, or a Bernoulli pixel's logit: (..., latent) to (..., D)."""
        if self.fold is not None:
            angle = self.fold * z  # (..., latent)
            z = np.concatenate([np.cos(angle), np.sin(angle)], -1)  # (..., 2 latent)
        return _network(self.decoder, z)

    def log_likelihood(self, x: Array, z: Array) -> Array:
        """log p(x|z): x (..., pixels) and z (..., latent), which broadcast, to (...), in nats."""
        decoded = self.decode(z)  # (..., pixels)
        if self.log_variance is None:
            return (x * decoded - np.logaddexp(0, decoded)).sum(-1)  # (...)
        squares = (x - decoded) ** 2 * math.exp(-self.log_variance)
        return -0.5 * (squares + self.log_variance + LOG_TWO_PI).sum(-1)  # (...)

    def log_joint(self, x: Array, z: Array) -> Array:
        """log p(x|z) + log N(z; 0, I), of the same shapes as `log_likelihood`, in nats."""
        return self.log_likelihood(x, z) - 0.5 * (z**2 + LOG_TWO_PI).sum(-1)  # (...)


class Truth(NamedTuple):
    """What is known of n images, in nats.

    An error is what a finer mesh changed, what may lie beyond the mesh, and 1e-9 for rounding: an
    estimate from above, and no proof, since a peak between all nodes would not be seen.
    """

    log_evidence: Array  # (n,), log p(x)
    error: Array  # (n,), of log p(x)
    mean: Array  # (n, latent), of the posterior p(z|x)
    covariance: Array  # (n, latent, latent), of the posterior
    moment_error: Array  # (n,), of every entry of mean and covariance
    modes: Array  # (n,), tops of the posterior density at least 1/100 as high as the highest
    elbo: Array  # (3, n): of the encoder's q, of the best diagonal q found, of the best full q
    elbo_error: Array  # (3, n)
    importance_bound: Array  # (3, n): L_K of the encoder's q for each K of SAMPLES
    importance_error: Array  # (3, n)

    @property
    def gaps(self) -> Array:
        """What the encoder, the diagonal and the Gaussian family lose: (3, n), which add up."""
        return np.diff(np.concatenate([self.elbo, self.log_evidence[None]]), axis=0)


class Best(NamedTuple):
    """The best Gaussians that were found, whose bounds are rows 1 and 2 of `Truth.elbo`."""

    diagonal: Gaussian
    full_mean: Array  # (n, latent)
    full_root: Array  # (n, latent, latent), L of a covariance L Lᵀ


class Case(NamedTuple):
    """A model, where its images come from, and what is true of them."""

    name: str
    about: str
    model: Model
    source: dict[str, Any]  # of the images, as the file states it
    truth: Truth
    best: Best
    provenance: dict[str, Any]


class Score(NamedTuple):
    """How an estimate of log p(x) differs from the truth over n images, in nats."""

    mean_error: float  # estimate minus truth
    standard_error: float  # of mean_error, over images
    root_mean_square: float
    worst: float  # the largest absolute difference
    above: int  # images whose estimate lies above log p(x) by more than the error of the truth


def load(name: str, folder: Path = FOLDER) -> Case:
    """The case `name` of NAMES; raises ValueError for another name, and where a file is damaged.

    >>> case = load("folded")
    >>> print(f"{case.truth.log_evidence[0]:.3f} nats, {case.truth.modes[0]} modes")
    16.085 nats, 7 modes
    >>> z = np.zeros(case.model.latent)
    >>> case.model.decode(z).shape
    (64,)
    """
    if name not in NAMES:
        raise ValueError(f"the oracle has {', '.join(NAMES)}, got {name!r}")
    stored = json.loads((folder / f"{name}.json").read_text("utf-8"))
    model = read_model(folder / stored["model"]["file"], stored["model"])
    truth = Truth(**{field: np.array(stored["truth"][field]) for field in Truth._fields})
    found = {field: np.array(values) for field, values in stored["best"].items()}
    diagonal = Gaussian(found["best_diagonal_mean"], found["best_diagonal_log_variance"])
    best = Best(diagonal, found["best_full_mean"], found["best_full_root"])
    return Case(name, stored["about"], model, stored["images"], truth, best, stored["provenance"])


def read_model(path: Path, description: dict[str, Any]) -> Model:
    """The weights of a safetensors file as a `Model`; its SHA-256 must be the stated one."""
    content, needed = path.read_bytes(), description["sha256"]
    seen = hashlib.sha256(content).hexdigest()
    if seen != needed:
        raise ValueError(f"{path.name} has the SHA-256 {seen}, needed {needed}")
    weights = {key: value.astype(np.float64) for key, value in tensors(content).items()}
    encoder, decoder = (_layers(weights, part) for part in ("encoder.network", "decoder"))
    grey = weights.get("likelihood.variance.log_variance")
    return Model(encoder, decoder, description["fold"], None if grey is None else float(grey))


def tensors(content: bytes) -> dict[str, Array]:
    """The arrays of a safetensors file, from its bytes: a length, a header in JSON, the numbers."""
    start = LENGTH + int.from_bytes(content[:LENGTH], "little")
    header = json.loads(content[LENGTH:start])
    found = {}
    for name, said in header.items():
        if name != "__metadata__":
            begin, end = said["data_offsets"]  # counted from the end of the header
            numbers = np.frombuffer(content[start + begin : start + end], TYPES[said["dtype"]])
            found[name] = numbers.reshape(said["shape"])
    return found


def images(case: Case, mnist: Path | None = None) -> Array:
    """The images of a case as its model takes them: (n, pixels), float64 in [0, 1].

    `mnist` is the path of t10k-images-idx3-ubyte, plain or .gz, which the case "mnist" needs and
    which is not shipped. Raises FileNotFoundError without it, and ValueError where a hash of the
    file or of the finished images is another than the stated one.

    >>> images(load("line")).shape
    (100, 64)
    """
    source = case.source
    levels = SOURCES[source["kind"]](source, mnist)  # (n, pixels), uint8
    seen = hashlib.sha256(levels.tobytes()).hexdigest()
    if seen != source["sha256"]:
        raise ValueError(f"the images of {case.name} have the SHA-256 {seen}, not the stated one")
    return levels / source["white"]


def score(case: Case, estimate: Array) -> Score:
    """Compare estimates (n,) of log p(x), in nats, with the truth; ValueError on another shape.

    >>> case = load("digits")
    >>> score(case, case.truth.log_evidence - 1).mean_error
    -1.0
    """
    truth = case.truth
    if np.shape(estimate) != truth.log_evidence.shape:
        needed, seen = truth.log_evidence.shape, np.shape(estimate)
        raise ValueError(f"estimate must be {needed}, a value an image, got shape {seen}")
    if not np.isfinite(estimate).all():
        raise ValueError("estimate must be finite")
    error = np.asarray(estimate) - truth.log_evidence  # (n,)
    return Score(
        float(error.mean()),
        float(error.std(ddof=1) / math.sqrt(len(error))),
        float(np.sqrt((error**2).mean())),
        float(np.abs(error).max()),
        int((error > truth.error).sum()),
    )


def _network(layers: list[tuple[Array, Array]], x: Array) -> Array:
    """Linear layers with tanh between: (..., in) to (..., out)."""
    for index, (weight, bias) in enumerate(layers):
        x = (np.tanh(x) if index else x) @ weight.T + bias
    return x


def _layers(weights: dict[str, Array], part: str) -> list[tuple[Array, Array]]:
    """The layers of `part`, in the order of their numbers: part.0.weight, part.2.weight, …"""
    keys = [key.removeprefix(f"{part}.") for key in weights if key.startswith(f"{part}.")]
    numbers = sorted({int(key.split(".")[0]) for key in keys})
    return [(weights[f"{part}.{n}.weight"], weights[f"{part}.{n}.bias"]) for n in numbers]


def _of_the_file(source: dict[str, Any], mnist: Path | None) -> Array:
    """Images that the case's file holds: a byte a pixel, image after image, in base64."""
    levels = np.frombuffer(base64.b64decode(source["levels"]), np.uint8)
    return levels.reshape(-1, source["pixels"])


def _of_mnist(source: dict[str, Any], mnist: Path | None) -> Array:
    """The first test images of MNIST, each pixel on with the probability that is its grey level.

    The numbers between 0 and 1 that decide come from numpy's RandomState, whose stream is frozen.
    """
    if mnist is None or not mnist.is_file():
        needed = "the path of t10k-images-idx3-ubyte, plain or .gz"
        raise FileNotFoundError(f"the images of MNIST are not shipped: mnist must be {needed}")
    content = mnist.read_bytes()
    content = gzip.decompress(content) if mnist.suffix == ".gz" else content
    seen = hashlib.sha256(content).hexdigest()
    if seen != source["file_sha256"]:
        raise ValueError(f"{mnist} has the SHA-256 {seen}, needed {source['file_sha256']}")
    count, pixels = source["count"], source["pixels"]
    grey = np.frombuffer(content, np.uint8, count * pixels, IDX_HEADER).reshape(count, pixels)
    return binarize(grey / WHITE, source["seed"])


def _of_the_model(source: dict[str, Any], mnist: Path | None) -> Array:
    """Images that were drawn from the model: bits, the first pixel in the highest, in base64."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(source["bits"]), np.uint8))
    return bits.reshape(-1, source["pixels"])


def binarize(probability: Array, seed: int) -> Array:
    """Each pixel is 1 with its probability, the same way every time: to the same shape, uint8.

    >>> binarize(np.array([0.0, 1.0]), seed=0)
    array([0, 1], dtype=uint8)
    """
    uniform = np.random.RandomState(seed).random_sample(probability.shape)
    return (uniform < probability).astype(np.uint8)


Source = Callable[[dict[str, Any], Path | None], Array]
SOURCES: dict[str, Source] = {
    "scikit-learn digits": _of_the_file,
    "mnist": _of_mnist,
    "drawn from the model": _of_the_model,
}
