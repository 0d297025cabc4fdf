"""Checks of images: whether they can be what the likelihood speaks of, and how well they fit."""

import bz2
import lzma
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_tutorial.audit.findings import Finding, Verdict, number, with_error
from vae_tutorial.audit.subject import (
    MOST_IMAGES,
    MOST_NUMBERS,
    AnswerError,
    Check,
    NotGivenError,
    Subject,
    is_discrete,
)
from vae_tutorial.decomposition import LinearGaussian
from vae_tutorial.gaussians import log_normal
from vae_tutorial.likelihoods import NORMAL, ROUNDED, CellPixels
from vae_tutorial.linear import evidence_at_mean, most_likely_at, spectrum

SLACK = 1e-6  # beyond [0, 1], or away from 0 and 1, from rounding
ERRORS = 4.0  # standard errors that chance does not reach: 1 in 16,000 for a Gaussian
FEW = 50  # images below which a standard error of theirs is not to be trusted
DRAWS = 4  # of z for each image; their noise is small beside the spread over images
WIDE = 0.5  # of the data's range, by which a decoded mean may lie outside it
STRAY = 0.01  # of the decoded pixels that may lie farther out
LARGEST_LOGIT = 40.0  # beyond it the rounded probability is 1 in float64 too: log(1 − p) = −∞
TOLD, PAID = 0.1, 3.0  # nats of a code that is alike for all images, and costs something
LARGEST_PIXEL = 10.0  # of inputs: layers start with weights that are meant for inputs near 1
HALF = torch.finfo(torch.float16).max  # 65,504, the largest number of float16
HEAD_ROOM = 10.0  # between the largest activation seen and that: other images will be larger
LAYERS = 3  # named in a report
OFF = 4.0  # times by which σ² may be off before it is a fault: twice in σ
MOST_LEVELS = 256  # grey levels that a byte holds
MOST_BYTES = 2**19  # that a compressor is given, for the time that it takes
LEAKED = 0.01  # of the held-out images that may occur in the data by chance
WORTH = 0.02  # nats a pixel that a difference must have to be worth a look

GAUSSIAN = "06-gaussians"
OUT_OF_THE_DECODER = (
    "out of the decoder. If the loss is meant for probabilities, give this audit a decode that "
    "undoes the sigmoid (torch.logit), or a Bernoulli of torch."
)


class View(NamedTuple):
    """A model seen from n images of D pixels, at K draws of q(z|x); in float64."""

    x: Tensor  # (n, D)
    decoded: Tensor  # (K, n, D), means of a Gaussian or logits of a Bernoulli
    log_variance: Tensor | None  # of a Gaussian, () or (K, n, D); None where it is not stated
    kl: Tensor  # (n,)


class Average(NamedTuple):
    """A mean over images and its standard error."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: Tensor) -> "Average":
        """The average of values (n,), which are independent of each other."""
        return cls(values.mean().item(), values.std().item() / math.sqrt(len(values)))

    def __format__(self, form: str) -> str:
        return with_error(self.mean, self.error, form)


class Levels(NamedTuple):
    """Grey levels on which all pixels lie: low, low + step, …, so many of them."""

    low: float
    step: float
    number: int


# What p(x|z) is


def family(subject: Subject) -> str:
    """ "bernoulli", "gaussian", "own", or "distribution" for one of torch that is neither."""
    try:
        return subject.likelihood.name
    except NotGivenError:
        return _family_of(_base(subject.decoded(subject.x.new_zeros(2, subject.latent))))


def _family_of(answer: Any) -> str:
    if isinstance(answer, Bernoulli):
        return "bernoulli"
    if isinstance(answer, Normal):
        return "gaussian"
    if isinstance(answer, Distribution):
        return "distribution"
    raise NotGivenError("likelihood was not given")


def _base(answer: Any) -> Any:
    """A distribution without what only declares its axes."""
    return _base(answer.base_dist) if isinstance(answer, Independent) else answer


def gaussian_view(subject: Subject, images: Tensor, draws: int = DRAWS) -> View:
    """Images (n, …) under the model's own Gaussian; NotGivenError if p(x|z) is none."""

    def read(z: Tensor) -> tuple[Tensor, Tensor | None]:
        answer = _base(subject.decoded(z))
        if isinstance(answer, Normal):
            return answer.mean, 2 * answer.scale.log()
        if isinstance(answer, Distribution) or family(subject) != "gaussian":
            raise NotGivenError("p(x|z) is not a Gaussian whose σ can be read")
        return answer, None

    return _view(subject, images, read, draws)


def bernoulli_view(subject: Subject, images: Tensor, draws: int = DRAWS) -> View:
    """Images (n, …) and logits of the model's Bernoulli; NotGivenError if p(x|z) is none."""

    def read(z: Tensor) -> tuple[Tensor, None]:
        answer = _base(subject.decoded(z))
        if isinstance(answer, Bernoulli):
            return answer.logits, None
        if isinstance(answer, Distribution) or family(subject) != "bernoulli":
            raise NotGivenError("p(x|z) is not a Bernoulli")
        return answer, None

    return _view(subject, images, read, draws)


Read = Callable[[Tensor], tuple[Tensor, Tensor | None]]


@torch.no_grad()
def _view(subject: Subject, images: Tensor, read: Read, most: int) -> View:
    posterior = subject.posterior(images)
    count = len(images)
    draws = max(1, min(most, MOST_NUMBERS // (count * subject.pixels)))
    z = posterior.draw(subject.noise(draws, count, subject.latent, seed=0))  # (K, n, latent)
    parts = [read(part) for part in z]
    flat = partial(_flat, count=count, pixels=subject.pixels)
    decoded = torch.stack([flat(part) for part, _ in parts])  # (K, n, D)
    spreads = [flat(spread) for _, spread in parts if spread is not None]
    stated = subject.likelihood.sigma if not spreads and _states(subject) else None
    log_variance = None
    if spreads:
        log_variance = torch.stack(spreads)  # (K, n, D)
    elif stated is not None:
        log_variance = decoded.new_tensor(2 * math.log(stated))  # ()
    return View(images.flatten(1).double(), decoded, log_variance, posterior.kl_to_prior())


def _flat(part: Tensor, count: int, pixels: int) -> Tensor:
    """What was decoded, as (n, D) in float64; AnswerError where it has another size."""
    if part.shape[:1] != (count,) or part[0].numel() != pixels:
        raise AnswerError(
            f"decode's distribution must be of {count} images with {pixels} pixels, "
            f"got {tuple(part.shape)}"
        )
    return part.reshape(count, pixels).double()


def _states(subject: Subject) -> bool:
    try:
        return subject.likelihood.sigma is not None
    except NotGivenError:
        return False


def entropy_floor(x: Tensor) -> Tensor:
    """The least cross-entropy of grey images (n, D), reached by x itself: (n,), in nats."""
    x = x.double().clamp(0, 1)
    return (torch.special.entr(x) + torch.special.entr(1 - x)).sum(-1)


def grey_share(x: Tensor) -> float:
    """The share of pixels that are neither 0 nor 1, beyond rounding."""
    return ((x.abs() > SLACK) & ((x - 1).abs() > SLACK)).double().mean().item()


def grey_levels(x: Tensor) -> Levels | None:
    """The coarsest grey levels that hold every pixel, or None: at most 256, evenly spaced."""
    values = x.double().unique()
    low, span = values.min().item(), (values.max() - values.min()).item()
    if len(values) > MOST_LEVELS or span == 0:
        return None
    steps = torch.arange(len(values) - 1, MOST_LEVELS, dtype=torch.float64)  # from low to high
    scaled = (values.cpu() - low) / span * steps[:, None]  # (tried, values), in steps
    fits = ((scaled - scaled.round()).abs() < ROUNDED).all(-1)
    if not fits.any():
        return None
    count = int(steps[fits][0])
    return Levels(low, span / count, count + 1)


# Domain: before anything is fitted


def inside(subject: Subject) -> Iterator[Finding]:
    """Pixels of a Bernoulli lie in [0, 1]; outside, its log-density has no upper limit."""
    if family(subject) != "bernoulli":
        return
    x = subject.some()
    outside = ((x < -SLACK) | (x > 1 + SLACK)).double().mean().item()
    yield Finding(
        "support",
        Verdict.WRONG if outside > 0 else Verdict.SOUND,
        f"{outside:.1%} of the pixels lie outside [0, 1] ({number(x.min(), '.3g')} to "
        f"{number(x.max(), '.3g')})",
        "none, under a Bernoulli",
        "Outside [0, 1] a logit that grows without end lowers the loss without end. Rescale the "
        "images, or take a Gaussian.",
        GAUSSIAN,
        value=outside,
        limit=0.0,
    )


def grey(subject: Subject) -> Iterator[Finding]:
    """A Bernoulli speaks of pixels that are 0 or 1; on grey ones its loss has a floor above 0."""
    if family(subject) != "bernoulli":
        return
    x = subject.some().flatten(1)
    share, floor = grey_share(x), Average.of(entropy_floor(x))
    yield Finding(
        "grey pixels",
        Verdict.LOOK if share > 0 else Verdict.SOUND,
        f"{share:.1%} of the pixels are neither 0 nor 1"
        + (f"; no cross-entropy is below {floor:.1f} nats an image" if share > 0 else ""),
        "none, under a Bernoulli",
        "Cross-entropy on grey pixels is not a log-likelihood: a perfect copy still costs that "
        "floor, and no comparison with other models holds. Binarize the images, or take a "
        "likelihood of grey pixels.",
        GAUSSIAN,
        value=floor.mean if share > 0 else 0.0,
        standard_error=floor.error,
        limit=0.0,
    )


def unreachable(x: Tensor) -> Tensor:
    """Nats that images (n, D) lose in log-likelihood where logits cannot leave [0, 1]: (n,).

    Both sides are independent pixels at their best, so that a model is not needed.
    """
    frequency = (x.sum(0) + 0.5) / (len(x) + 1)  # (D,), never 0 or 1
    logits = frequency.logit()
    return bernoulli_score(x, logits) - bernoulli_score(x, logits.clamp(0, 1))


def bernoulli_score(x: Tensor, logits: Tensor) -> Tensor:
    """−cross-entropy of x (…, D), grey or not, by logits: (…), in nats; x and logits broadcast."""
    logits, x = torch.broadcast_tensors(logits, x)
    return -binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


def as_probabilities(x: Tensor, decoded: Tensor) -> Tensor:
    """The cross-entropy of images by decoded numbers that are read as probabilities: (n,), nats."""
    return -bernoulli_score(x, decoded.clamp(SLACK, 1 - SLACK).logit())


def trained_as_probabilities(x: Tensor, decoded: Tensor) -> bool:
    """Whether decoded numbers (n, D), of which some lie outside [0, 1], are meant as probabilities.

    They tell of their images x: more than one frequency of all pixels does, which an untrained
    model of nearly empty images does not. And a number between 0 and ½ stands for a pixel that is
    mostly off, where a logit above 0 stands for one that is mostly on.
    """
    one_frequency = bernoulli_score(x, x.mean().logit(SLACK))  # (n,)
    told = Average.of(-one_frequency - as_probabilities(x, decoded))
    between = (decoded > 0) & (decoded < 0.5)
    on = Average.of((x - 0.5).where(between, 0.0).sum(-1))  # pixels that are more on than off
    return told.mean > ERRORS * told.error and on.mean < -ERRORS * on.error


def logits(subject: Subject) -> Iterator[Finding]:
    """A Bernoulli's decoder gives logits: no probabilities, and no numbers that miss a sigmoid.

    Where all lie in [0, 1], they were squeezed before. Where some lie outside, and yet describe the
    images better as probabilities than as logits, see `trained_as_probabilities`.
    """
    if family(subject) != "bernoulli":
        return
    x, decoded, _, _ = bernoulli_view(subject, subject.some(), draws=1)
    x, decoded = x.clamp(0, 1), decoded[0]  # (n, D)
    low, high = decoded.min().item(), decoded.max().item()
    least, lost = WORTH * subject.pixels, Average.of(unreachable(x))
    inside = low >= 0 and high <= 1
    squeezed = inside and lost.mean > ERRORS * lost.error + least
    by_logits, by_probabilities = -bernoulli_score(x, decoded), as_probabilities(x, decoded)
    gain = Average.of(by_logits - by_probabilities)
    better = gain.mean > ERRORS * gain.error + least
    trained_so = better and not inside and trained_as_probabilities(x, decoded)
    if squeezed:
        reason = (
            "Logits inside [0, 1] keep every probability between 0.50 and 0.73, which costs "
            f"{number(lost.mean, '.1f')} nats an image even without latents. Sigmoid was applied "
            f"twice: take it {OUT_OF_THE_DECODER}"
        )
    elif trained_so:
        reason = (
            "Read as probabilities these fit far better, yet some lie outside [0, 1]: the decoder "
            "has no sigmoid and its loss expects one. Train with binary_cross_entropy_with_logits, "
            "or end the decoder in a sigmoid and give this audit torch.logit of it. But if the "
            "loss is a squared error, only the likelihood is misstated: state a Gaussian."
        )
    elif not inside:
        reason = (
            "Some lie outside [0, 1], so no sigmoid made them. A model looks so that is hardly "
            "trained, and so does a decoder without a sigmoid whose loss expects one: train with "
            "binary_cross_entropy_with_logits."
        )
    else:
        reason = (
            "These look like probabilities or means of pixels, not like logits: take a sigmoid "
            f"{OUT_OF_THE_DECODER}"
        )
    wrong = squeezed or trained_so
    yield Finding(
        "logits",
        Verdict.WRONG if wrong else Verdict.LOOK if better else Verdict.SOUND,
        f"decoded pixels from {number(low, '.3g')} to {number(high, '.3g')}; cross-entropy "
        f"{Average.of(by_logits):.1f} nats read as logits, {Average.of(by_probabilities):.1f} "
        "read as probabilities",
        "logits, of both signs",
        reason,
        GAUSSIAN,
        value=gain.mean,
        standard_error=gain.error,
        limit=ERRORS * gain.error + least,
    )


def saturated(subject: Subject) -> Iterator[Finding]:
    """Logits beyond ±40 are probabilities of exactly 0 or 1, whose logarithm is infinite."""
    if family(subject) != "bernoulli":
        return
    largest = bernoulli_view(subject, subject.some(), draws=1).decoded.abs().max().item()
    exact = _exact_probabilities(subject)
    beyond = largest > LARGEST_LOGIT or exact > 0
    measured = f"the largest logit is ±{number(largest, '.3g')}"
    if exact > 0:
        measured = f"{exact:.1%} of the probabilities are exactly 0 or 1"
    yield Finding(
        "saturation",
        Verdict.LOOK if beyond else Verdict.SOUND,
        measured,
        f"below {LARGEST_LOGIT:.0f}, and no probability of exactly 0 or 1",
        "In float32 a probability is exactly 1 above a logit of 16.6, and its log(1 − p) is −∞: "
        "one wrong pixel makes the loss infinite, or is clipped and teaches nothing. Keep logits: "
        "binary_cross_entropy_with_logits, or Bernoulli(logits=…).",
        GAUSSIAN,
        value=largest,
        limit=LARGEST_LOGIT,
    )


@torch.no_grad()
def _exact_probabilities(subject: Subject) -> float:
    """The share of exact zeros and ones where the decoder gives a Bernoulli by probabilities."""
    answer = _base(subject.decoded(subject.posterior(subject.some()).mean))
    if not isinstance(answer, Bernoulli) or "probs" not in vars(answer):
        return 0.0
    return ((answer.probs == 0) | (answer.probs == 1)).double().mean().item()


def decoded_range(subject: Subject) -> Iterator[Finding]:
    """A Gaussian's decoder gives means of pixels: in the data's range, and no logits."""
    if family(subject) != "gaussian":
        return
    x, decoded, _, _ = gaussian_view(subject, subject.some(), draws=1)
    low, high = x.min().item(), x.max().item()
    margin = WIDE * (high - low)
    stray = ((decoded < low - margin) | (decoded > high + margin)).double().mean().item()
    squares = (x - decoded).square().mean((0, 2)), (x - decoded.sigmoid()).square().mean((0, 2))
    gain = Average.of(squares[0] - squares[1])  # of reading them as logits, squared pixels
    in_unit = low >= -SLACK and high <= 1 + SLACK
    better = in_unit and gain.mean > ERRORS * gain.error
    yield Finding(
        "decoded means",
        Verdict.LOOK if stray > STRAY or better else Verdict.SOUND,
        f"decoded pixels from {number(decoded.min(), '.3g')} to {number(decoded.max(), '.3g')}, "
        f"{stray:.1%} of them far outside the data's {number(low, '.3g')} to {number(high, '.3g')}"
        + ("; after a sigmoid they are nearer to x" if better else ""),
        "means of pixels, in the data's range",
        "These look like logits or another scale than the data's. If the model was trained with a "
        "sigmoid or with cross-entropy, apply the sigmoid in decode or state a Bernoulli; else "
        "compare how the images are scaled here and in training. An untrained model looks so too.",
        GAUSSIAN,
        value=stray,
        limit=STRAY,
    )


def scale(subject: Subject) -> Iterator[Finding]:
    """Densities count per unit of a pixel: another scale shifts log p(x) by a constant."""
    named = family(subject)
    if named == "bernoulli" or (named == "distribution" and is_discrete(subject)):
        return
    x = subject.some()
    low, high = x.min().item(), x.max().item()
    largest, span = max(abs(low), abs(high)), high - low
    large = largest > LARGEST_PIXEL
    mute = _mute(subject) if large else ""
    levels = grey_levels(x)
    measured = f"pixels from {number(low, '.3g')} to {number(high, '.3g')}"
    if levels is not None:
        measured += f" on {levels.number} levels {number(levels.step, '.3g')} apart"
    if 0 < span != 1:
        shift = subject.pixels * math.log(span)
        measured += f"; with a range of 1, log p(x) is {number(shift, '+.1f')} nats an image"
    yield Finding(
        "scale",
        Verdict.WRONG if mute else Verdict.LOOK if large else Verdict.SOUND,
        measured + mute,
        f"at most {LARGEST_PIXEL:.0f} in size",
        "Layers start with weights that are meant for inputs near 1; larger ones saturate them, "
        "and a decoder needs long to reach such means. Divide the images by their range, σ with "
        "them: log p(x) changes by a constant that no comparison may leave out.",
        GAUSSIAN,
        value=largest,
        limit=LARGEST_PIXEL,
    )


@torch.no_grad()
def _mute(subject: Subject) -> str:
    """In words, that codes cost nats and do not tell one image from another; empty where they do.

    Codes whose spread over images is small beside σ tell ½ log(1 + their quotient) nats a latent.
    """
    try:
        posterior = subject.posterior(subject.affordable(MOST_IMAGES))
    except NotGivenError:
        return ""
    within = posterior.root.square().sum(-1).mean(0)  # (latent,)
    told = 0.5 * (posterior.mean.var(0) / within).log1p().sum().item()
    paid = posterior.kl_to_prior().mean().item()
    if told > TOLD or paid < PAID:
        return ""
    tell = f"of {number(paid, '.1f')} nats each they tell {number(told, '.2g')}"
    return f"; the codes of all images are alike: {tell}"


def constant_pixels(subject: Subject) -> Iterator[Finding]:
    """A learned σ of a pixel that never changes runs to zero, and its density to infinity."""
    if family(subject) != "gaussian":
        return
    view = gaussian_view(subject, subject.some(), draws=1)
    if view.log_variance is None or view.log_variance.ndim == 0:  # σ is the same everywhere
        return
    still = view.x.amin(0) == view.x.amax(0)  # (D,)
    count = int(still.sum())
    deviation = (0.5 * view.log_variance).exp().mean((0, 1))  # (D,)
    smallest = deviation[still].min().item() if count else deviation.min().item()
    limit = _resolution(view.x)
    nats = log_normal(view.x[:, still], view.decoded[..., still], view.log_variance[..., still])
    gained = Average.of(nats.mean(0))
    yield Finding(
        "constant pixels",
        Verdict.LOOK if count and smallest < limit else Verdict.SOUND,
        f"{count} pixels are the same in all images; the smallest σ "
        + (f"there is {number(smallest, '.2g')}, and they add {gained:+.1f} nats an image" if count
           else f"is {number(smallest, '.2g')}"),
        f"σ above {number(limit, '.2g')} where nothing changes",
        "A pixel that never changes rewards ever smaller σ without end: log p(x) grows and says "
        "nothing. Give σ a floor (a third of a grey step), or leave these pixels out.",
        GAUSSIAN,
        value=smallest,
        limit=limit,
    )  # fmt: skip


def _resolution(x: Tensor) -> float:
    """The deviation of rounding to grey levels; a hundredth of the range where there are none."""
    levels = grey_levels(x)
    if levels is None or levels.number <= 2:  # two levels are black and white, not a rounding
        return (x.max() - x.min()).item() / 100
    return levels.step / math.sqrt(12)  # of a uniform error inside a step


# Head-room of float16


@contextmanager
def largest_activations(modules: Iterable[nn.Module]) -> Iterator[dict[str, float]]:
    """Watch every layer inside modules: its name → the largest |number| that it gave so far.

    The hooks are gone after the block, whatever happens in it.
    """
    largest: dict[str, float] = {}
    handles = []

    def note(name: str, module: nn.Module, given: Any, answer: Any) -> None:
        for tensor in answer if isinstance(answer, tuple | list) else [answer]:
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.numel():
                size = tensor.detach().abs().max().item()
                largest[name] = max(largest.get(name, 0.0), size)

    try:
        for module in modules:
            for name, layer in module.named_modules(prefix=type(module).__name__):
                if not any(True for _ in layer.children()):
                    handles.append(layer.register_forward_hook(partial(note, name)))
        yield largest
    finally:
        for handle in handles:
            handle.remove()


def head_room(subject: Subject) -> Iterator[Finding]:
    """The largest activations of all layers, against the largest number of float16."""
    with torch.no_grad(), largest_activations(subject.modules) as largest:
        mean = subject.posterior(subject.some()).mean
        with suppress(NotGivenError):  # an encoder alone has layers too
            subject.decoded(mean)
    if not largest:
        raise NotGivenError("no layer was seen behind the callables: give modules=")
    worst = sorted(largest.items(), key=lambda item: -item[1])[:LAYERS]
    size = worst[0][1]
    limit = HALF / HEAD_ROOM
    named = ", ".join(f"{name} {number(value, ',.3g')}" for name, value in worst)
    yield Finding(
        "head-room",
        Verdict.LOOK if size > limit else Verdict.SOUND,
        f"largest activations of {len(largest)} layers: {named}",
        f"below {number(limit, ',.0f')}, a tenth of float16's largest number",
        "Above 65,504 a float16 number is infinite, and the next layer makes NaN of it. Run these "
        "layers in float32 or bfloat16, or rescale their weights; in float32 it is no fault.",
        "19-scaling",
        value=size,
        limit=limit,
    )


# Fit: how far off the pixels are


def squared_ratio(view: View) -> Tensor:
    """(x − f(z))²/σ² averaged over pixels that change, and over draws of q: (n,)."""
    assert view.log_variance is not None
    moving = view.x.amin(0) < view.x.amax(0)  # (D,)
    if view.log_variance.ndim == 0:  # one σ, which constant pixels share
        moving = torch.ones_like(moving)
    ratio = (view.x - view.decoded).square() / view.log_variance.exp()
    return ratio[..., moving].mean((0, 2))


def nats_lost(ratio: float, pixels: int) -> float:
    """What σ² costs for maps that leave `ratio` times as much squared error, in nats an image.

    The log-density of D pixels at the best σ², their mean squared error, minus that at σ².
    """
    return 0.5 * pixels * (ratio - 1 - math.log(ratio))


def decoder_noise(subject: Subject) -> Iterator[Finding]:
    """The σ² of a Gaussian against the mean squared error, which is the best one for its maps."""
    if family(subject) == "bernoulli":
        return
    images = _enough(subject.some())
    view = gaussian_view(subject, images)
    error = Average.of((view.x - view.decoded).square().mean((0, 2)))
    best = f"mean squared error {error:.2g} a pixel"
    report = partial(Finding, "decoder noise", chapter=GAUSSIAN)
    _positive(error.mean)
    if view.log_variance is None:
        yield report(
            Verdict.CANNOT_TELL,
            f"{best}, so the best σ is {number(math.sqrt(error.mean), '.3g')}",
            "a stated σ",
            "With no σ there is no log-likelihood. The mean squared error is the σ² that "
            "maximises the bound for these maps: state it, or learn it.",
            value=error.mean,
            standard_error=error.error,
        )
        return
    ratio = Average.of(squared_ratio(view))
    far = abs(math.log(_positive(ratio.mean))) - ERRORS * ratio.error / ratio.mean > math.log(OFF)
    lost = nats_lost(ratio.mean, subject.pixels)
    shared = view.log_variance.ndim == 0
    sigma = f"σ = {number(math.exp(0.5 * view.log_variance.item()), '.3g')}, " if shared else ""
    yield report(
        Verdict.LOOK if far else Verdict.SOUND,
        f"{sigma}{best}: squared error / σ² is {ratio:.2g}, and {number(lost, '.1f')} nats an "
        "image are lost",
        f"1; between {1 / OFF:.2g} and {OFF:.0f}",
        "The best σ² for these maps is the mean squared error: σ = "
        f"{number(math.sqrt(error.mean), '.2g')}. Train with that, or learn σ. Above 1 the model "
        "is surer than its copies are good; below 1 its error counts too little beside the KL. A "
        "picture of f(z) has no noise; a draw of p(x|z) has σ, and what f(z) lacks in sharpness is "
        "there.",
        value=ratio.mean,
        standard_error=ratio.error,
        limit=OFF,
    )


def explained(x: Tensor, pictures: Tensor) -> Average:
    """The share of the variance of images (n, D) that pictures of them (K, n, D) hold.

    It is 1 for copies, and 0 where the mean image would do as well.
    """
    spread = (x - x.mean(0)).square().sum(-1)  # (n,)
    left = (x - pictures).square().sum(-1).mean(0)  # (n,)
    return Average.of((spread - left) / spread.mean())


@torch.no_grad()
def copies(subject: Subject) -> Iterator[Finding]:
    """What f(z) holds of the images: the rest is blur in its picture and noise in a draw."""
    if family(subject) == "own":
        raise NotGivenError("what decode gives under an own log-density is not known to be a mean")
    images = _enough(subject.some())
    posterior = subject.posterior(images)
    z = posterior.draw(subject.noise(1, len(images), subject.latent, seed=0))[0]
    share = explained(images.flatten(1).double(), _mean_image(subject, z)[None].double())
    yield Finding(
        "copies",
        Verdict.LOOK if share.mean < ERRORS * share.error else Verdict.SOUND,
        f"f(z) at a draw of q(z|x) holds {share:.1%} of the images' variance",
        "more than 0, which is the mean image's share",
        "Copies are no better than the mean image: the decoder does not use z, z says nothing of "
        "x, or the noise of q drowns it. A picture of f(z) is a mean, so it is blurred where z "
        "does not decide; a draw of p(x|z) has noise there.",
        "09-training",
        value=share.mean,
        standard_error=share.error,
        limit=ERRORS * share.error,
    )


def _mean_image(subject: Subject, z: Tensor) -> Tensor:
    try:
        return subject.mean_image(z)
    except NotImplementedError as missing:
        raise NotGivenError("the distribution that decode gives has no mean") from missing


def _enough(images: Tensor) -> Tensor:
    if len(images) < FEW:
        raise NotGivenError(f"{len(images)} images are too few for a standard error: give {FEW}")
    if (images == images[:1]).all():
        raise NotGivenError("all images are the same: nothing is left to fit")
    return images


def _positive(error: float) -> float:
    if error == 0:
        raise NotGivenError("every copy is exact: no σ above 0 is the best one")
    return error


# Fit: against models that need no training


class Bounded(NamedTuple):
    """Images (n, D) and the model's bound of each (n,), with the noise that it was scored by."""

    view: View
    elbo: Tensor  # (n,), nats
    log_variance: Tensor  # () or (K, n, D) of a Gaussian; empty for others

    @property
    def variance(self) -> float | None:
        """The σ² that all pixels share, by which other images must be scored as well."""
        return self.log_variance.exp().item() if self.log_variance.ndim == 0 else None


def bounded(subject: Subject, images: Tensor, fallback: float | None = None) -> Bounded:
    """The bound on log p(x) of images (n, …), each; NotGivenError where it has no value.

    `fallback` is the σ² of a Gaussian whose σ was not stated.
    """
    if family(subject) == "bernoulli":
        view = bernoulli_view(subject, images)
        share = grey_share(view.x)
        if share > 0:
            raise NotGivenError(
                f"{share:.1%} of the pixels are neither 0 nor 1: a Bernoulli has no log p(x)"
            )
        score = bernoulli_score(view.x, view.decoded).mean(0)  # (n,)
        return Bounded(view, score - view.kl, view.x.new_empty(0))
    view = gaussian_view(subject, images)
    log_variance = view.log_variance
    if log_variance is None:
        best = (view.x - view.decoded).square().mean().item() if fallback is None else fallback
        log_variance = view.x.new_tensor(math.log(_positive(best)))
    score = log_normal(view.x, view.decoded, log_variance).mean(0)  # (n,)
    return Bounded(view, score - view.kl, log_variance)


def linear_score(seen: Tensor, x: Tensor, latent: int, log_variance: Tensor) -> Tensor:
    """log p(x) of images (m, D) under the best linear model of those seen (n, D): (m,), in nats.

    It has at most `latent` latents, and the given log-variance () or (D,) as its pixel noise:
    probabilistic PCA at a known variance, of pixels measured in deviations of that noise. With D
    latents it is one Gaussian of full covariance, no eigenvalue below the noise.
    """
    deviation = (0.5 * log_variance).exp()
    scaled = seen / deviation
    if len(seen) < scaled.shape[1]:
        model = _linear_of_few(scaled, latent)
    else:
        model = most_likely_at(spectrum(scaled), latent, scaled.new_ones(()))
    jacobian = 0.5 * log_variance.expand(scaled.shape[1:]).sum()
    return evidence_at_mean(model, x / deviation) - jacobian


def _linear_of_few(images: Tensor, latent: int) -> LinearGaussian:
    """`most_likely_at` a variance of 1, of fewer images (n, D) than pixels: matrices n by n."""
    centred = images - images.mean(0)
    rising, columns = torch.linalg.eigh(centred @ centred.mT / len(images))  # (n,), (n, n)
    eigenvalues, columns = rising.flip(0)[:latent], columns.flip(1)[:, :latent]
    share = (1 - 1 / eigenvalues.clamp(min=1)) / len(images)  # of λ, that lies above the noise
    return LinearGaussian(
        centred.mT @ (columns * share.sqrt()), images.mean(0), images.new_ones(())
    )


def independent_score(seen: Tensor, x: Tensor) -> Tensor:
    """log p(x) of binary images (m, D), each pixel by its frequency in those seen: (m,), nats."""
    frequency = (seen.sum(0) + 0.5) / (len(seen) + 1)  # Krichevsky & Trofimov 1981: never 0 or 1
    return bernoulli_score(x, frequency.logit())


Score = Callable[[Tensor, Tensor], Tensor]


def unseen(score: Score, seen: Tensor, x: Tensor | None) -> Tensor:
    """score(seen, x); without other images x, each half of those seen by the other half."""
    if x is not None:
        return score(seen, x)
    scores = torch.empty(len(seen)).to(seen)
    scores[::2] = score(seen[1::2], seen[::2])  # every other one: data may be in order of class
    scores[1::2] = score(seen[::2], seen[1::2])
    return scores


class Baseline(NamedTuple):
    """A model that needs no training: what a report calls it, and its log p(x)."""

    name: str
    words: str
    score: Score


def _baseline(subject: Subject, scored: Bounded) -> Baseline:
    """Independent pixels for binary images, else a linear model with as many latents.

    A Gaussian of all pixels is no baseline: sound models with few latents may well lie below it,
    and those with many need not lie above it, so it could accuse nobody.
    """
    if not scored.log_variance.numel():
        return Baseline("one Bernoulli", "independent pixels", independent_score)
    noise = scored.log_variance
    if noise.ndim:
        noise = noise.mean((0, 1))  # (D,), of each pixel its geometric mean
    latent = min(subject.latent, subject.pixels)
    linear = partial(linear_score, latent=latent, log_variance=noise)
    return Baseline("linear model", f"probabilistic PCA of {latent} latents", linear)


def baselines(subject: Subject) -> Iterator[Finding]:
    """The bound of images that were not trained on, if given, beside a model without training."""
    seen = _enough(subject.some())
    own = bounded(subject, seen)
    held_out = subject.held_out is not None
    scored = own
    if held_out:
        scored = bounded(subject, _enough(subject.some(held_out=True)), own.variance)
    where = "held-out images" if held_out else "x, whose other half the baseline learned from"
    name, words, score = _baseline(subject, scored)
    log_p = unseen(score, own.view.x, scored.view.x if held_out else None)
    gain, theirs = Average.of(scored.elbo - log_p), Average.of(log_p)
    limit = ERRORS * gain.error
    verdict = Verdict.CANNOT_TELL if gain.mean >= -limit else Verdict.LOOK
    yield Finding(
        name,
        Verdict.SOUND if gain.mean > limit else verdict,
        f"ELBO {Average.of(scored.elbo):.1f} nats an image, {words} {number(theirs.mean, '.1f')}, "
        f"on {where}: a gain of {gain:+.1f}",
        "a gain above 0",
        "A model that needs no training and no draws, with the same noise, describes the images as "
        "well or better. Train for longer, or see what else is wrong: a loss that is no bound, an "
        "unused latent, an encoder that is far from the posterior.",
        "10-choices",
        value=gain.mean,
        standard_error=gain.error,
        limit=limit,
    )


# Fit: in bits, beside a compressor


class _Known(nn.Module):
    """A variance map whose values are known."""

    def __init__(self, log_variance: Tensor):
        super().__init__()
        self.log_variance = log_variance

    def forward(self, z: Tensor) -> Tensor:
        return self.log_variance


def cell_bound(scored: Bounded, levels: Levels) -> Tensor:
    """The bound on the log-mass of images on grey levels: (n,), in nats.

    The mass of a level is what the Gaussian puts within half a step of it; the ends are open.
    """
    span = levels.step * (levels.number - 1)
    noise = _Known(scored.log_variance - 2 * math.log(span))
    cells = CellPixels(noise, levels.number, NORMAL)
    x, decoded, _, kl = scored.view
    unit, mean = ((x - levels.low) / span).clamp(0, 1), (decoded - levels.low) / span
    return cells.log_density(unit.expand_as(mean), mean, kl).mean(0) - kl


def compressed_bits(levels: Tensor) -> float:
    """Bits a pixel of grey levels (n, D), uint8, in the shorter file of bz2 and xz."""
    forms = [levels.cpu().numpy()]
    if levels.max() <= 1:
        forms.append(np.packbits(forms[0]))  # eight pixels a byte
    files = [squeeze(form.tobytes()) for form in forms for squeeze in (bz2.compress, lzma.compress)]
    return 8 * min(map(len, files)) / levels.numel()


def compressor(subject: Subject) -> Iterator[Finding]:
    """The length of a file that the model would write, beside one of a general compressor."""
    held_out = subject.held_out is not None
    images = _enough(subject.some(held_out=held_out))
    images = images[: max(FEW, MOST_BYTES // subject.pixels)]
    levels = grey_levels(images)
    if levels is None:
        raise NotGivenError("the pixels lie on no grey levels: there is nothing to compress")
    fallback = bounded(subject, subject.some()).variance if held_out else None
    scored = bounded(subject, images, fallback)
    elbo = cell_bound(scored, levels) if scored.log_variance.numel() else scored.elbo
    own = Average.of(-elbo / (subject.pixels * math.log(2)))
    codes = ((scored.view.x - levels.low) / levels.step).round().to(torch.uint8)
    theirs = compressed_bits(codes)
    margin = ERRORS * own.error
    verdict = (
        Verdict.LOOK if own.mean > theirs + margin
        else Verdict.SOUND if own.mean < theirs - margin
        else Verdict.CANNOT_TELL
    )  # fmt: skip
    yield Finding(
        "compressor",
        verdict,
        f"{own:.3f} bits a pixel from the bound, {number(theirs, '.3f')} from bz2 or xz, on "
        f"{'held-out images' if held_out else 'x'} of {levels.number} grey levels",
        "fewer than the compressor",
        "A general compressor, which knows nothing of images, needs no more bits. "
        + (
            "Train for longer, or bring σ² to the mean squared error: every pixel pays for a wrong "
            "one."
            if scored.log_variance.numel()
            else "Train for longer, or give the model more latents or units."
        )
        + " A model of few latents or few epochs looks so too.",
        "15-coding",
        value=own.mean,
        standard_error=own.error,
        limit=theirs,
    )


# Fit: beyond the training data


def leaks(subject: Subject) -> Iterator[Finding]:
    """Held-out images that are among the data: what they measure is memory."""
    if subject.held_out is None:
        raise NotGivenError("held_out was not given")
    seen = Counter(_rows(subject.x))
    share = Average.of(
        torch.tensor([row in seen for row in _rows(subject.held_out.to(subject.x))]).double()
    )
    twins = sum(count for count in seen.values() if count > 1) / len(subject.x)
    limit = max(LEAKED, twins + ERRORS * share.error)
    yield Finding(
        "leak",
        Verdict.LOOK if share.mean > limit
        else Verdict.CANNOT_TELL if share.mean > 0 else Verdict.SOUND,
        f"{share.mean:.1%} of the held-out images are also in x; {twins:.1%} of x have a twin in x",
        "none",
        "What the model was trained on cannot show how it does on new images. Split the data "
        "before anything else, and by its source where images repeat. If x is not the training "
        "data, nothing leaked.",
        "11-evaluation",
        value=share.mean,
        standard_error=share.error,
        limit=limit,
    )  # fmt: skip


def _rows(images: Tensor) -> list[bytes]:
    flat = (images.flatten(1) + 0.0).contiguous().cpu()  # −0 and 0 are one number
    return [row.tobytes() for row in flat.view(torch.uint8).numpy()]  # of any type of float


@torch.no_grad()
def any_bound(subject: Subject, images: Tensor, variance: float | None = None) -> Bounded:
    """The bound of images as `bounded` has it, or under a likelihood that no baseline has."""
    if family(subject) in ("bernoulli", "gaussian"):
        return bounded(subject, images, variance)
    posterior = subject.posterior(images)
    z = posterior.draw(subject.noise(DRAWS, len(images), subject.latent, seed=0))
    elbo = subject.log_likelihood(images, z).mean(0) - posterior.kl_to_prior()
    view = View(images.flatten(1), images.new_empty(0), None, posterior.kl_to_prior())
    return Bounded(view, elbo, elbo.new_empty(0))


def overfitting(subject: Subject) -> Iterator[Finding]:
    """The bound on the data against the bound on images that were held out."""
    new, seen = _enough(subject.some(held_out=True)), _enough(subject.some())
    own = any_bound(subject, seen)
    other = any_bound(subject, new, own.variance)
    first, second = Average.of(own.elbo), Average.of(other.elbo)
    gap = Average(first.mean - second.mean, math.hypot(first.error, second.error))
    limit = max(ERRORS * gap.error, WORTH * subject.pixels)
    over = (
        "Overfitting: the model knows its training images better than others. Stop earlier, use "
        "more images, fewer parameters or latents, or more noise."
    )
    under = (
        "Held-out images score higher: they are easier, or prepared in another way, or the two "
        "were exchanged."
    )
    yield Finding(
        "overfitting",
        Verdict.LOOK if abs(gap.mean) > limit else Verdict.SOUND,
        f"ELBO {first:.1f} nats an image on x, {second:.1f} on held-out images: {gap:+.1f}",
        f"within {number(limit, '.1f')}",
        over if gap.mean > 0 else under,
        "11-evaluation",
        value=gap.mean,
        standard_error=gap.error,
        limit=limit,
    )


DOMAIN: tuple[Check, ...] = (
    Check("support", GAUSSIAN, inside),
    Check("grey pixels", GAUSSIAN, grey),
    Check("scale", GAUSSIAN, scale),
    Check("logits", GAUSSIAN, logits),
    Check("saturation", GAUSSIAN, saturated),
    Check("decoded means", GAUSSIAN, decoded_range),
    Check("constant pixels", GAUSSIAN, constant_pixels),
    Check("head-room", "19-scaling", head_room),
)
FIT: tuple[Check, ...] = (
    Check("decoder noise", GAUSSIAN, decoder_noise),
    Check("copies", "09-training", copies),
    Check("baselines", "10-choices", baselines),
    Check("compressor", "15-coding", compressor),
    Check("leak", "11-evaluation", leaks),
    Check("overfitting", "11-evaluation", overfitting),
)
