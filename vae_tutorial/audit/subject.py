"""What is audited: callables and data of any PyTorch model, in the one form that checks read."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from vae_tutorial import require
from vae_tutorial.audit.findings import Finding
from vae_tutorial.audit.guard import TooSlowError, generators_behind, modules_behind
from vae_tutorial.likelihoods import bernoulli_log_likelihood
from vae_tutorial.models import DiagonalPosterior, FullPosterior, Posterior, log_weight
from vae_tutorial.noise import standard_normal

MOST_IMAGES = 1000  # of the data, that checks look at
FEWEST_IMAGES = 20  # from which anything is said of all codes; twice as many are taken, if large
MOST_PIXELS = 2**22  # encoded at a time: images × pixels, which bounds the memory
MOST_NUMBERS = 2**20  # pixels × images × draws, decoded at a time: memory that is used again
NAMES = ("bernoulli", "gaussian")  # of likelihoods

Encode = Callable[[Tensor], Any]  # x (batch, …) → (mean, log-variance), or a distribution
Decode = Callable[[Tensor], Any]  # z (batch, …) → a mean, logits, or a distribution
LogProbability = Callable[[Tensor, Tensor], Tensor]  # x and what was decoded → (batch,)
Loss = Callable[[Tensor], Tensor]  # x (batch, …) → a scalar, as it was trained
Made = TypeVar("Made")


class NotGivenError(Exception):
    """A check needs something that the caller did not give: it cannot tell."""


class AnswerError(Exception):
    """A callable answered with something that no check can read."""


class Likelihood(NamedTuple):
    """p(x|z) as the caller states it: "bernoulli" of logits, "gaussian", or a log-density."""

    name: str  # "bernoulli", "gaussian", "distribution" or "own"
    sigma: float | None = None  # of a Gaussian; None where it was not stated
    log_probability: LogProbability | None = None


class Subject:
    """A model and its data. What was not given raises NotGivenError when a check asks for it.

    Images are (n, …), latents are (batch, latent) inside checks and in the model's own shape
    outside; every number is in nats, summed over an image.
    """

    def __init__(
        self,
        x: Tensor,
        encode: Encode | None,
        decode: Decode | None,
        likelihood: Likelihood | None,
        loss: Loss | None,
        held_out: Tensor | None = None,
        draw: Callable[[Tensor], Tensor] | None = None,
        modules: Sequence[nn.Module] | None = None,
        estimate: Callable[[Tensor], Tensor] | None = None,
    ):
        self.x, self.held_out = x, held_out
        self._encode, self._decode, self._likelihood = encode, decode, likelihood
        self._loss, self._draw, self._estimate = loss, draw, estimate
        callables = (encode, decode, loss, draw, estimate)
        found = modules_behind(*callables) if modules is None else modules
        self.modules = list(found)
        self.generators = generators_behind(*callables, *found)
        self.event = tuple(x.shape[1:])
        self.pixels = math.prod(self.event)
        self._latent_shape: tuple[int, ...] | None = None
        self._made: dict[Callable[[Subject], Any], Any] = {}

    def once(self, make: Callable[["Subject"], Made]) -> Made:
        """What a function makes of this subject: made at the first call, and shared by all."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]

    # What was given

    @property
    def encode(self) -> Encode:
        """The caller's encoder."""
        return _given("encode", self._encode)

    @property
    def decode(self) -> Decode:
        """The caller's decoder."""
        return _given("decode", self._decode)

    @property
    def loss(self) -> Loss:
        """The caller's loss, as it was trained."""
        return _given("loss", self._loss)

    @property
    def draw(self) -> Callable[[Tensor], Tensor]:
        """The caller's way from x to a draw of z."""
        return _given("draw", self._draw)

    @property
    def estimate(self) -> Callable[[Tensor], Tensor]:
        """The caller's estimate of log p(x)."""
        return _given("estimate", self._estimate)

    @property
    def likelihood(self) -> Likelihood:
        """What the caller says of p(x|z)."""
        return _given("likelihood", self._likelihood)

    def parameters(self) -> list[nn.Parameter]:
        """The parameters that training moves; NotGivenError where there are none to be seen."""
        every = self._all_parameters()
        if not every:
            raise NotGivenError(
                "no module with parameters was found behind the callables: give modules="
            )
        found = [p for p in every if p.requires_grad]
        if not found:
            raise NotGivenError(
                f"all {len(every)} parameters behind the callables are frozen (requires_grad is "
                "False): nothing says what training moves"
            )
        return found

    def frozen(self) -> tuple[int, int]:
        """How many parameters behind the callables are frozen, and how many there are."""
        every = self._all_parameters()
        return sum(not p.requires_grad for p in every), len(every)

    def _all_parameters(self) -> list[nn.Parameter]:
        """Each once, in the modules' order."""
        found = [p for module in self.modules for p in module.parameters()]
        return list({id(p): p for p in found}.values())

    # The model's maps, in one form

    def posterior(self, x: Tensor) -> Posterior:
        """q(z|x) of images (batch, …): its latents flattened to (batch, latent)."""
        posterior, shape = as_posterior(_answer("encode", self.encode, x), len(x))
        _finite("encode", *posterior)
        self._latent_shape = shape
        return posterior

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one latent as the model has it."""
        if self._latent_shape is None:
            with torch.no_grad():
                self.posterior(self.x[:2])
        assert self._latent_shape is not None
        return self._latent_shape

    @property
    def latent(self) -> int:
        """How many latents an image has."""
        return math.prod(self.latent_shape)

    def decoded(self, z: Tensor) -> Any:
        """What the decoder makes of z (batch, latent): a tensor (batch, …) or a distribution."""
        answer = _answer(
            "decode", self.decode, z.reshape(len(z), *self.latent_shape).to(self.x.dtype)
        )
        if isinstance(answer, tuple | list) and len(answer) == 1:
            (answer,) = answer
        if isinstance(answer, Distribution):
            return answer
        if not isinstance(answer, Tensor):
            raise AnswerError(
                f"decode must return a tensor or a torch distribution, got {_kind(answer)}"
            )
        if answer.shape[:1] != z.shape[:1] or answer[0].numel() != self.pixels:
            raise AnswerError(
                f"decode must return {(len(z), *self.event)} for {len(z)} latents, "
                f"got {tuple(answer.shape)}"
            )
        _finite("decode", answer)
        return answer

    def loss_of(self, x: Tensor) -> Tensor:
        """The caller's loss of a batch, a scalar tensor; AnswerError where it is none."""
        loss = _answer("loss", self.loss, x)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise AnswerError(f"loss must return one number in a tensor, got {_kind(loss)}")
        _finite("loss", loss)
        return loss.reshape(())

    def draw_of(self, x: Tensor) -> Tensor:
        """z (batch, latent) as the caller's code draws it; AnswerError where it is none."""
        z = _answer("draw", self.draw, x)
        if not isinstance(z, Tensor) or z.shape[:1] != (len(x),):
            raise AnswerError(f"draw must return latents ({len(x)}, …), got {_kind(z)}")
        _finite("draw", z)
        return z.flatten(1)

    def estimate_of(self, x: Tensor) -> Tensor:
        """log p(x) as the caller estimates it, (batch,); AnswerError where it is none."""
        answer = _answer("estimate", self.estimate, x)
        if not isinstance(answer, Tensor) or answer.numel() != len(x):
            raise AnswerError(
                f"estimate must return ({len(x)},), one number an image, got {_kind(answer)}"
            )
        _finite("estimate", answer)
        return answer.reshape(-1).double()

    def mean_image(self, z: Tensor) -> Tensor:
        """E[x|z], the picture that the decoder shows: (batch, latent) to (batch, pixels)."""
        answer = self.decoded(z)
        if isinstance(answer, Distribution):
            return answer.mean.reshape(len(z), -1)
        flat = answer.reshape(len(z), -1)
        named = self._likelihood.name if self._likelihood else ""
        return flat.sigmoid() if named == "bernoulli" else flat

    def log_likelihood(self, x: Tensor, z: Tensor, sigma: float | None = None) -> Tensor:
        """log p(x|z) of images (batch, …) at z (K, batch, latent): (K, batch), in nats.

        `sigma` is used where the caller stated a Gaussian without its own.
        """
        room = max(1, MOST_NUMBERS // (self.pixels * len(x)))  # draws at a time
        rows = [
            self._score(
                x.expand(len(part), *x.shape).flatten(0, 1), part.flatten(0, 1), sigma
            ).reshape(len(part), len(x))
            for part in z.split(room)
        ]
        return torch.cat(rows)

    def _score(self, x: Tensor, z: Tensor, sigma: float | None) -> Tensor:
        return self.score(x, self.decoded(z), sigma)

    def score(self, x: Tensor, answer: Any, sigma: float | None = None) -> Tensor:
        """log p(x|z) of images (batch, …), each with what `decoded` made of its z: (batch,)."""
        if isinstance(answer, Distribution):
            target = x.reshape(_shape_of(answer, len(x)))
            log_probability = _answer("the log_prob of decode's answer", answer.log_prob, target)
            return log_probability.reshape(len(x), -1).sum(-1)
        likelihood = self.likelihood
        if likelihood.log_probability is not None:
            score = _answer("likelihood", likelihood.log_probability, x, answer)
            return _per_image(score, len(x))
        flat, target = answer.reshape(len(x), -1).double(), x.reshape(len(x), -1).double()
        if likelihood.name == "bernoulli":
            if not ((target == 0) | (target == 1)).all():
                raise NotGivenError("x is not binary: a Bernoulli has no log p(x|z) of it")
            return bernoulli_log_likelihood(target, flat)
        stated = likelihood.sigma if likelihood.sigma is not None else sigma
        if stated is None:
            raise NotGivenError("the σ of the Gaussian likelihood was not stated")
        scaled = (target - flat) / stated
        return -0.5 * scaled.square().sum(-1) - self.pixels * math.log(
            stated * math.sqrt(2 * math.pi)
        )

    def log_weight(self, x: Tensor, posterior: Posterior, noise: Tensor) -> Tensor:
        """log p(x, z) − log q(z|x) of images (batch, …) at draws (K, batch, latent): (K, batch)."""
        z = posterior.draw(noise)
        return log_weight(self.log_likelihood(x, z), posterior, z)

    def some(self, most: int = MOST_IMAGES, *, held_out: bool = False) -> Tensor:
        """At most so many images of the data, or of the held-out ones: see `chosen`."""
        return chosen(_given("held_out", self.held_out) if held_out else self.x, most)

    def affordable(self, most: int) -> Tensor:
        """The same, as many as memory and time allow, but enough for two halves."""
        return self.some(min(most, max(2 * FEWEST_IMAGES, MOST_PIXELS // self.pixels)))

    def noise(self, *shape: int, seed: int) -> Tensor:
        """Standard normal noise for draws, in the data's type and on its device."""
        generator = torch.Generator().manual_seed(seed)
        return standard_normal(shape, generator).to(self.x.device, torch.float64)


def chosen(images: Tensor, most: int) -> Tensor:
    """At most so many images (n, …), in their order.

    Where there are more, they are drawn at random, because data may be sorted by class, and alike
    each time.

    >>> chosen(torch.arange(4.0), 4).tolist(), len(chosen(torch.arange(9.0), 4))
    ([0.0, 1.0, 2.0, 3.0], 4)
    """
    if len(images) <= most:
        return images
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[order[:most].sort().values.to(images.device)]


def is_discrete(subject: Subject) -> bool:
    """Whether p(x|z) is a torch distribution of whole numbers, whose probabilities have no unit."""
    with suppress(NotImplementedError):  # not every distribution of torch tells its support
        answer = subject.decoded(subject.x.new_zeros(2, subject.latent))
        support = answer.support if isinstance(answer, Distribution) else None
        return support is not None and support.is_discrete
    return False


class Spectrum(NamedTuple):
    """The variances of images along principal axes, and how many images they are from."""

    eigenvalues: Tensor  # (at most D,), squared pixels, in the order of the axes
    images: int


def spectrum(subject: Subject) -> Spectrum:
    """The one spectrum of a subject's images, for all checks: `subject.once(spectrum)`."""
    x = subject.affordable(MOST_IMAGES)
    return Spectrum(eigenvalues_of(x), len(x))


def eigenvalues_of(x: Tensor) -> Tensor:
    """The variances of half of the images (n, …) along the principal axes of the other half.

    In the axes' order, (at most D,). Noise in few images has large eigenvalues that no model can
    use; along axes from other images it has not.
    """
    flat = x.flatten(1).double()
    first, second = flat[::2], flat[1::2]
    axes = torch.linalg.svd(first - first.mean(0), full_matrices=False).Vh  # (axes, D)
    return (second @ axes.mT).var(0).cpu()


class Check(NamedTuple):
    """A check: its name, the chapter behind it, and what it finds in a subject, line by line."""

    name: str
    chapter: str
    run: Callable[[Subject], Iterator[Finding]]


def as_posterior(answer: Any, batch: int) -> tuple[Posterior, tuple[int, ...]]:
    """What an encoder returned, as a Gaussian over flat latents, and the shape of one latent.

    Understood are (mean, log-variance), (mean, Cholesky factor), a package's posterior, and a
    Normal, an Independent Normal or a MultivariateNormal of torch. Raises AnswerError for others.
    """
    if isinstance(answer, Independent):
        answer = answer.base_dist
    if isinstance(answer, MultivariateNormal):
        return FullPosterior(answer.loc.double(), answer.scale_tril.double()), answer.loc.shape[1:]
    if isinstance(answer, Normal):
        answer = (answer.loc, 2 * answer.scale.log())
    if not (isinstance(answer, tuple | list) and len(answer) >= 2):
        raise AnswerError(
            "encode must return (mean, log_variance), (mean, cholesky), or a Normal of torch, "
            f"got {_kind(answer)}"
        )
    mean, second = answer[0], answer[1]
    for name, part in (("mean", mean), ("log-variance", second)):
        if not isinstance(part, Tensor):
            raise AnswerError(f"encode must return a {name} in a tensor, got {_kind(part)}")
    if mean.ndim < 2 or len(mean) != batch:
        raise AnswerError(
            f"encode must return a mean ({batch}, latent) for {batch} images, "
            f"got {tuple(mean.shape)}"
        )
    shape = tuple(mean.shape[1:])
    mean = mean.flatten(1).double()
    if second.shape == (batch, mean.shape[1], mean.shape[1]):
        return _full(mean, second.double()), shape
    try:
        log_variance = second.double().expand(batch, *shape).flatten(1)
    except RuntimeError:
        raise AnswerError(
            f"encode must return a log-variance of the mean's shape {tuple(answer[0].shape)}, "
            f"got {tuple(second.shape)}"
        ) from None
    return DiagonalPosterior(mean, log_variance), shape


def _full(mean: Tensor, root: Tensor) -> FullPosterior:
    if not (root.diagonal(dim1=1, dim2=2) > 0).all():
        raise AnswerError("encode must return Cholesky factors with a diagonal above 0")
    return FullPosterior(mean, root)


def as_images(name: str, images: Any) -> Tensor:
    """Data of the caller as a tensor (n, …) of finite floats; TypeError or ValueError else."""
    if isinstance(images, np.ndarray):
        if images.dtype.kind not in "fiub":
            raise TypeError(f"{name} must hold numbers, got an array of {images.dtype}")
        images = torch.from_numpy(images)
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a tensor or a numpy array, got {_kind(images)}")
    if not images.is_floating_point():
        raise TypeError(
            f"{name} must hold floats, as the model takes them, got {images.dtype}: convert and "
            "scale it first"
        )
    if images.ndim < 2:
        raise ValueError(
            f"{name} must be (images, pixels) or (images, …), got {tuple(images.shape)}"
        )
    if len(images) < 2 or images[0].numel() == 0:
        raise ValueError(
            f"{name} must hold two images or more, and pixels, got {tuple(images.shape)}"
        )
    if not images.isfinite().all():
        count = int((~images.isfinite()).sum())
        raise ValueError(f"{name} must be finite, got {count} numbers that are NaN or infinite")
    return images.detach()


def as_likelihood(likelihood: Any) -> Likelihood | None:
    """What a caller states of p(x|z): a name, a number σ of a Gaussian, or a log-density."""
    if likelihood is None or isinstance(likelihood, Likelihood):
        return likelihood
    if isinstance(likelihood, str):
        if likelihood not in NAMES:
            raise ValueError(
                f'likelihood must be "bernoulli", "gaussian", a number σ, or a log-density '
                f"(x, decoded) → (batch,), got {likelihood!r}"
            )
        return Likelihood(likelihood)
    if isinstance(likelihood, bool) or not (
        isinstance(likelihood, int | float) or callable(likelihood)
    ):
        raise TypeError(
            'likelihood must be "bernoulli", "gaussian", a number σ, or a callable, got '
            + _kind(likelihood)
        )
    if callable(likelihood):
        return Likelihood("own", None, likelihood)
    require.number("likelihood, as σ,", float(likelihood), above=0.0)
    return Likelihood("gaussian", float(likelihood))


def as_modules(modules: Any) -> list[nn.Module] | None:
    """The modules that a caller names, or None where they are to be looked for."""
    if modules is None:
        return None
    listed = [modules] if isinstance(modules, nn.Module) else modules
    if not isinstance(listed, Iterable):
        raise TypeError(f"modules must be a module or a list of modules, got {_kind(modules)}")
    listed = list(listed)
    for module in listed:
        if not isinstance(module, nn.Module):
            raise TypeError(f"modules must be modules of torch, got {_kind(module)} among them")
    return listed


def as_callable(name: str, function: Any) -> Any:
    """The callable that a caller gave under this name, or None; TypeError for anything else."""
    if function is not None and not callable(function):
        raise TypeError(f"{name} must be callable, got {_kind(function)}")
    return function


def _answer(name: str, function: Callable, *arguments: Tensor) -> Any:
    """What a caller's function answers; AnswerError if it raises."""
    try:
        return function(*arguments)
    except (TooSlowError, KeyboardInterrupt):
        raise
    except Exception as error:  # the caller's code may raise anything
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise AnswerError(f"{name} raised {said}") from error


def _finite(name: str, *tensors: Tensor) -> None:
    for tensor in tensors:
        if not tensor.isfinite().all():
            count = int((~tensor.isfinite()).sum())
            raise AnswerError(
                f"{name} returned {count} numbers of {tensor.numel()} that are NaN or infinite"
            )


def _given(name: str, value: Any) -> Any:
    if value is None:
        raise NotGivenError(f"{name} was not given")
    return value


def _kind(value: Any) -> str:
    if isinstance(value, tuple | list):
        inside = ", ".join(type(part).__name__ for part in value)
        return f"a {type(value).__name__} of ({inside})"
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def _shape_of(answer: Distribution, batch: int) -> tuple[int, ...]:
    shape = (*answer.batch_shape, *answer.event_shape)
    if shape[:1] != (batch,):
        raise AnswerError(f"decode must return a distribution of {batch} images, got {shape}")
    return shape


def _per_image(score: Any, batch: int) -> Tensor:
    if not isinstance(score, Tensor) or score.shape[:1] != (batch,):
        raise AnswerError(
            f"likelihood must return ({batch},), one number an image, got {_kind(score)}"
        )
    return score.reshape(batch, -1).sum(-1).double()
