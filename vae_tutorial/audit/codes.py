"""Checks of z: how it is drawn, what it costs, and where the codes of all images lie."""

import math
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from vae_tutorial.audit.findings import Bars, Finding, Verdict, number, with_error
from vae_tutorial.audit.subject import (
    FEWEST_IMAGES,
    MOST_IMAGES,
    MOST_NUMBERS,
    MOST_PIXELS,
    AnswerError,
    Check,
    NotGivenError,
    Spectrum,
    Subject,
    spectrum,
)
from vae_tutorial.gaussians import kl_to_standard_normal
from vae_tutorial.limits import kolmogorov_distance
from vae_tutorial.linear import rate_law
from vae_tutorial.models import FullPosterior, Posterior, log_aggregate
from vae_tutorial.noise import Estimate, mean_and_error
from vae_tutorial.transport import Atoms

ERRORS = 4.5  # standard errors that chance alone exceeds once in 150,000 times
TINY = 1e-300  # keeps a quotient finite
MOST_PIXELS_TRACED = 2**19  # as MOST_PIXELS, where every layer is kept for the gradient

# How z is drawn

AGAIN = 64  # images that are encoded twice
ROUNDINGS = 32.0  # units in the last place of its largest number, that an encoder's sums leave
PAIRS = 4  # pairs of images that are encoded without the others
DRAWN_IMAGES, DRAWS_EACH = 500, 4  # whose noise is looked at
FEWEST_DRAWS = 1000  # of images, where there are few images
MOST_DRAWN = 2**21  # latents × images, which bounds the memory
MOST_COMPARED = 64  # latents whose noise is compared pair by pair
STEPS_IN_DEVIATION = 100  # of rounding, where noise can still be told from rounding
SILENT = 1e-3  # share of σ below which noise is as good as none
SCALE_MARGIN = 0.05  # of the noise's mean and deviation; the known mistakes move them further
DISTANCE_MARGIN = 0.02  # of the noise's distribution function
KS_LIMIT = 1e-6  # probability that exact noise lies as far from N(0, 1)
SHARED_MARGIN = 0.1  # correlation of noise that should be independent
PAIR_ERRORS = 6.0  # as ERRORS, where the largest of some 2,000 pairs is looked at
SPREAD_OF_LOGS = 0.1  # of log σ, from which a slope can be read
POWERS = (  # of σ, by which noise is multiplied by mistake
    (2.0, "the variance exp(log σ²) is used as the deviation. Write (0.5 * log_variance).exp()."),
    (0.5, "the root is taken twice: what is returned as log σ² is used as if it were 2 log σ²."),
    (0.0, "noise of deviation 1 is added, whatever σ is. Multiply it by σ."),
    (-1.0, "the log-variance enters with its sign turned: the precision is used as the variance."),
)
GRADIENT_IMAGES = 16
PASSES, EXACT = 0.1, 0.1  # a share of the gradient that is none; how near 1 it should be
RUN_AWAY = 1e8  # a variance, of whose deviation float32's rounding is a thousandth of a mean near 1
HOW_TO_DRAW = (
    "draw was not given: draw=lambda x: model.reparameterize(*model.encode(x)), or whatever "
    "training calls, lets the noise be judged"
)
AT_A_BOUND = 0.01  # share of log-variances

# What z costs

ACTIVE = 0.01  # nats, from which a latent counts as used
COLLAPSED = 0.1  # nats an image, below which a decoder learns next to nothing of its image
WORTH = 1.0  # nats that the law must promise, and a rate must miss, before a verdict
FAR = 2.0  # a ratio of rate and law; 60 sound models of digits: 0.5 to 1.9
LISTED = 8  # latents whose KL is printed
DRAWN_AS_BARS = 64  # of latents, or of principal axes: the largest
IMAGES_PER_LATENT = 2  # from which eigenvalues are known well enough
NO_LAW = (
    f"more than {COLLAPSED}; how much, a law tells only for a Gaussian p(x|z) of known σ and more "
    "images than latents"
)
IDLE = (
    "The decoder ignores z: every reconstruction is the same image. Usual causes: the squared "
    "error is a mean over pixels and the KL a sum, a σ too large in training, a KL at full weight "
    "before the decoder has learned, or training that has hardly begun. Sum both over an image."
)
IDLE_WITHOUT_LAW = (
    "The decoder ignores z: every reconstruction is the same image. Usual causes: a mean over "
    "pixels beside a summed KL, a KL weight above 1, a KL at full weight before the decoder has "
    "learned, or images in which there is nothing to learn."
)
FORETOLD = (
    "At this σ the latents are not worth their cost, so the model collapses, as the law says."
)
FAR_BELOW = (
    "z carries far less than even a linear model would pay for. Usual causes: the KL weighs more "
    "in training than stated here (a mean over pixels, β > 1), or too few epochs."
)
FAR_ABOVE = (
    "z costs far more than a linear model would pay for. Usual causes: a KL weight far below 1, "
    "or a σ in training below the one stated here. Compare with held-out images, too."
)

# Where codes lie: of two limits, a model is sound below the first; above the second lie a few of
# the sound ones, which are sharp or briefly trained, and those whose KL hardly weighs

DIRECTIONS = 64  # axes, and as many random directions, along which codes are held against N(0, 1)
MEAN_MARGIN, VARIANCE_MARGIN, CORRELATION_MARGIN = 1.0, 4.0, 0.75
DISTANCE_FROM_PRIOR = 0.3, 0.5  # Kolmogorov's, along one direction
COMPARED_IMAGES = 500  # whose codes are compared with the others', or with draws from the prior
MOST_COMPARISONS = 2**24  # images × draws × latents, which bounds the time
HELD = 0.99  # share of other images' codes that lie where codes are dense
IN_HOLES = 0.25, 0.75  # share of the prior
DECODED = 300  # draws that are decoded and held against the images
FARTHER = 2.0, 3.0  # ratio of squared distances
SAME_IMAGE = 0.05  # share of the images' variance that decoded codes must explain
MODEL_THE_CODES = (
    "If the KL weight is tiny by design, as in autoencoders for diffusion, draw z from a model of "
    "the codes, at the least a Gaussian with their mean and covariance, and not from N(0, I); "
    "else weigh the KL by 1, or train longer."
)
MOST_CHANNELS = 16  # that are printed
SCALE_LEFT = 2.0  # ratio of the codes' deviation to 1, either way


def repeatable(subject: Subject) -> Iterator[Finding]:
    """An image has one q(z|x): the same when it is asked again, and in another batch.

    Both moves are largest moves of a mean or deviation of q, in units of how far codes spread.
    """
    x = subject.affordable(AGAIN)
    step = max(torch.finfo(kind).eps for kind in (x.dtype, torch.float32))
    with torch.no_grad():
        whole, again = _posterior(subject, x), _posterior(subject, x)
        first = _repeated(
            whole,
            [(whole, again)],
            step,
            "encoded twice",
            "encode draws random numbers in evaluation mode, so what is returned is no mean and "
            "variance. Usual causes: encode returns a draw z in place of the mean, or dropout is "
            "called without training=self.training.",
        )
        yield first
        if first.verdict is not Verdict.SOUND or len(x) < 2 * PAIRS:
            return
        starts = range(0, 2 * PAIRS, 2)
        pairs = [(_rows(whole, i, i + 2), _posterior(subject, x[i : i + 2])) for i in starts]
    yield _repeated(
        whole,
        pairs,
        step,
        "encoded with another batch",
        "An image's code depends on the other images of its batch. Usual cause: batch "
        "normalisation that uses the batch's statistics in evaluation mode.",
    )


def _repeated(
    whole: Posterior, pairs: list[tuple[Posterior, Posterior]], step: float, how: str, reason: str
) -> Finding:
    """The finding on pairs of posteriors that should be the same, beside what rounding may do."""
    limit = math.sqrt(step)
    largest = max(part.abs().max().item() for part in whole)
    rounding, spread = ROUNDINGS * step * largest, _spread(whole)
    moved = max(_move(*pair, spread) for pair in pairs)
    beyond = max(_move(*pair, spread, rounding) for pair in pairs)
    verdict = Verdict.SOUND
    if beyond > limit:
        verdict = Verdict.WRONG
    elif moved > limit:
        verdict = Verdict.CANNOT_TELL
        reason = (
            f"encode's numbers are as large as {number(largest, '.3g')} and its codes lie so close "
            "to each other that rounding moves them as far. What has driven them there is told by "
            "the lines on the loss and on the rate."
        )
    return Finding(
        "repeats",
        verdict,
        f"{how}, codes differ by {number(moved, '.2g')} of their spread",
        f"nothing but rounding (< {number(limit, '.1g')})",
        reason,
        "09-training",
        value=moved,
        limit=limit,
    )


class Drawn(NamedTuple):
    """Draws of a model for the same images, again and again: R draws of n images."""

    posterior: Posterior  # of the n images, with the latents that can be read
    deviation: Tensor  # z − mean, (R, n, latent)
    noise: Tensor  # the ε that made z, if z = mean + L ε: (R, n, latent)


class Noise(NamedTuple):
    """What noise is, which should be N(0, 1) and independent everywhere."""

    mean: float
    mean_error: float
    deviation: float
    deviation_error: float
    distance: float  # Kolmogorov's, of its distribution function from N(0, 1)'s
    p_value: float


def noise_of_draws(subject: Subject) -> Iterator[Finding]:
    """The caller's draws are mean + σ ε, with ε standard normal, fresh and independent."""
    draw = _draw_of(subject)
    drawn = _drawn(subject, draw)
    noise = describe_noise(drawn.noise)
    verdict, reason = _judged(drawn, noise)
    yield Finding(
        "draws",
        verdict,
        f"(z − mean)/σ has mean {with_error(noise.mean, noise.mean_error, '.3f')} and deviation "
        f"{with_error(noise.deviation, noise.deviation_error, '.3g', '.2g')}; distance from N(0, "
        f"1) {number(noise.distance, '.3f')} ({_chance(noise.p_value)})",
        f"0, 1, and a distance that chance explains (p > {KS_LIMIT:g})",
        reason,
        "08-reparameterization",
        value=noise.deviation,
        standard_error=noise.deviation_error,
        limit=1 + SCALE_MARGIN,
    )


def gradient_of_draws(subject: Subject) -> Iterator[Finding]:
    """The gradient of a draw passes to the encoder by its mean and by its log-variance.

    ∇(w·z) is fitted by a ∇(w·mean) + b ∇(w·σε), over all parameters, with random weights w and
    the ε of that draw: a = b = 1 where both paths are open, 0 where one is cut.
    """
    if not _was_given_draw(subject):
        raise NotGivenError(
            "draw was not given: whether training calls rsample, which passes the gradient, or "
            "sample, which does not, is seen only there"
        )
    parameters = subject.parameters()
    if not _drawn(subject, subject.draw_of).noise.abs().max() > SILENT:
        raise NotGivenError("draw adds no noise, so there is no path by the log-variance")
    x = _traced(subject, GRADIENT_IMAGES)
    with torch.enable_grad():
        posterior, z = _posterior(subject, x), subject.draw_of(x).double()
        if not posterior.mean.requires_grad:
            raise NotGivenError(
                "encode keeps no gradient: it is frozen, or called under no_grad or detach"
            )
        largest = variances(posterior).max().item()
        if largest > RUN_AWAY:
            yield _drowned(largest)
            return
        weights = subject.noise(*z.shape, seed=1)
        noise = whitened(_detached(posterior), z.detach())
        added = posterior.draw(noise.unsqueeze(0))[0] - posterior.mean
        whole, by_mean, by_noise = (
            _gradient((weights * part).sum(), parameters) for part in (z, posterior.mean, added)
        )
    if not _inner(by_mean, by_mean) > 0:
        raise NotGivenError("the parameters behind encode were not found: give modules=")
    yield _passed(whole, {"mean": by_mean, "log-variance": by_noise})


def _drowned(largest: float) -> Finding:
    return Finding(
        "gradient",
        Verdict.CANNOT_TELL,
        f"variances of q(z|x) are as large as {number(largest, '.3g')}",
        f"below {number(RUN_AWAY, 'g')}, where a mean is not lost in the rounding of a draw",
        "What has driven them there is told by the lines on the loss and on the rate.",
        "08-reparameterization",
        value=largest,
        limit=RUN_AWAY,
    )


def log_variances_at_a_bound(subject: Subject) -> Iterator[Finding]:
    """Log-variances that lie exactly at their least or largest value, where no gradient passes."""
    x = _traced(subject, DRAWN_IMAGES)
    with torch.enable_grad():
        posterior = _posterior(subject, x)
        if isinstance(posterior, FullPosterior):
            return
        stuck = dead(posterior.log_variance, subject.parameters())
    share = stuck.double().mean().item()
    error = stuck.double().mean(1).std().item() / math.sqrt(len(x))
    bounds = posterior.log_variance.detach()[stuck].unique().tolist()
    where = f" ({number(bounds[0], '.3g')} to {number(bounds[-1], '.3g')})" if bounds else ""
    yield Finding(
        "log-variances",
        Verdict.LOOK if share > AT_A_BOUND else Verdict.SOUND,
        f"{share:.1%} ± {error:.1%} of the log-variances lie at a bound{where}, where no gradient "
        "passes",
        f"at most {AT_A_BOUND:.0%}",
        "Every variance is a constant. If that was not meant, the encoder's second output is not "
        "used."
        if not posterior.log_variance.requires_grad
        else "A ReLU or a clamp on the log-variance stops the gradient there, so those variances "
        "can never be learned. A ReLU also keeps every σ ≥ 1. Leave the layer linear, and bound "
        "it, if it must be, with a smooth function.",
        "06-gaussians",
        value=share,
        standard_error=error,
        limit=AT_A_BOUND,
    )


def describe_noise(noise: Tensor) -> Noise:
    """Mean, deviation and Kolmogorov distance of noise (...), with errors and a p-value."""
    flat = noise.flatten()
    count = len(flat)
    deviation = flat.square().mean().sqrt().item()
    squares_error = flat.square().std().item() / math.sqrt(count)
    distance, p_value = kolmogorov_smirnov(torch.special.ndtr(flat))
    return Noise(
        flat.mean().item(),
        flat.std().item() / math.sqrt(count),
        deviation,
        squares_error / (2 * deviation + TINY),  # the error of a root
        distance,
        p_value,
    )


def kolmogorov_smirnov(uniform: Tensor) -> tuple[float, float]:
    """How far draws (n,) lie from a uniform law on [0, 1], and how often chance is as far.

    The largest gap of the distribution functions, and its probability by Kolmogorov's series at
    Stephens' argument. Source: Stephens 1970.
    """
    places = uniform.double().sort().values
    count = len(places)
    masses = torch.full_like(places, 1 / count)
    gap = kolmogorov_distance(Atoms(places, masses), lambda x: x).item()
    root = math.sqrt(count)
    return gap, kolmogorov_tail((root + 0.12 + 0.11 / root) * gap)


def kolmogorov_tail(argument: float) -> float:
    """The probability that the limit law of √n times Kolmogorov's distance exceeds a number.

    >>> print(f"{kolmogorov_tail(1.3581):.4f}")
    0.0500
    """
    if argument < 0.2:  # where the series is slow and the probability is 1 to 15 digits
        return 1.0
    terms = range(1, 40)  # enough from 0.2 on: the last is below 1e-50
    series = sum((-1) ** (k - 1) * math.exp(-2 * (k * argument) ** 2) for k in terms)
    return min(1.0, max(0.0, 2 * series))


def slope(x: Tensor, y: Tensor) -> tuple[float, float]:
    """The slope of the least-squares line through points x, y (n,), and its standard error."""
    x, y = x.flatten() - x.mean(), y.flatten() - y.mean()
    squares = x.square().sum()
    fitted = (x * y).sum() / squares
    left = (y - fitted * x).square().sum() / (len(x) - 2)
    return fitted.item(), (left / squares).sqrt().item()


def shared(noise: Tensor, axis: int) -> tuple[float, float]:
    """The correlation of noise's signs along an axis, averaged over all pairs, and its error.

    Signs are taken about the median, so neither a shift nor a scale of the noise matters.
    """
    signs = (noise - noise.median()).sign()
    count = signs.shape[axis]
    squares = count * signs.mean(axis).square()  # 1 on average where nothing is shared
    error = math.sqrt(2 / squares.numel())  # of that average: the variance of χ² with 1 is 2
    return (squares.mean().item() - 1) / (count - 1), error / (count - 1)


def largest_pair(noise: Tensor) -> float:
    """The largest correlation of signs between two latents of noise (..., latent)."""
    signs = (noise - noise.median()).sign().flatten(0, -2)[:, :MOST_COMPARED]
    pairs = signs.mT @ signs / len(signs)
    return pairs.fill_diagonal_(0).abs().max().item()


def whitened(posterior: Posterior, z: Tensor) -> Tensor:
    """The ε of z = mean + L ε: z (..., batch, latent) to the same shape."""
    if isinstance(posterior, FullPosterior):
        return torch.linalg.solve_triangular(
            posterior.cholesky, (z - posterior.mean).unsqueeze(-1), upper=False
        ).squeeze(-1)
    return (z - posterior.mean) * (-0.5 * posterior.log_variance).exp()


def _draw_of(subject: Subject) -> Callable[[Tensor], Tensor]:
    """The caller's way to z or, where encode returns a distribution of torch, its rsample."""
    if _was_given_draw(subject):
        return subject.draw_of
    answer = subject.encode(subject.x[:2])
    if isinstance(answer, Distribution) and answer.has_rsample:
        return lambda x: subject.encode(x).rsample().flatten(1)
    raise NotGivenError(HOW_TO_DRAW)


def _was_given_draw(subject: Subject) -> bool:
    try:
        return callable(subject.draw)
    except NotGivenError:
        return False


def _drawn(subject: Subject, draw: Callable[[Tensor], Tensor]) -> Drawn:
    """Draws of the model, in training mode if it draws nothing in evaluation mode.

    Dropout and batch normalisation stay in evaluation mode, so that q(z|x) is the one seen.
    """
    x = subject.affordable(min(DRAWN_IMAGES, max(2, MOST_DRAWN // subject.latent)))
    room = MOST_DRAWN // (subject.latent * len(x))
    repeats = max(DRAWS_EACH, min(room, math.ceil(FEWEST_DRAWS / len(x))))
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = _draws(subject, draw, x, repeats)
        if drawn.noise.abs().max() < SILENT:
            _train(subject.modules)
            drawn = _draws(subject, draw, x, repeats)
    return drawn


def _draws(subject: Subject, draw: Callable[[Tensor], Tensor], x: Tensor, repeats: int) -> Drawn:
    posterior = _posterior(subject, x)
    z = torch.stack([draw(x).double() for _ in range(repeats)])  # (R, n, latent)
    if z.shape[1:] != posterior.mean.shape:
        raise AnswerError(
            f"draw returned {z.shape[-1]} latents an image, encode {posterior.mean.shape[-1]}"
        )
    step = torch.finfo(x.dtype).eps * posterior.mean.abs()  # of rounding, (n, latent)
    readable = (variances(posterior).sqrt() > STEPS_IN_DEVIATION * step).all(0)  # (latent,)
    if not readable.any():
        raise NotGivenError("σ is too small beside the mean to be told from rounding: give float64")
    deviation, noise = z - posterior.mean, whitened(posterior, z)
    return Drawn(posterior, deviation[..., readable], noise[..., readable])


def _train(modules: list[nn.Module]) -> None:
    """Set what a reparameterisation may ask, self.training, and leave dropout and the like."""
    still = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    for module in modules:
        for part in module.modules():
            part.training = not isinstance(part, still)


def _judged(drawn: Drawn, noise: Noise) -> tuple[Verdict, str]:
    """The verdict on noise, and what to do: what is shared first, as it spoils the rest."""
    if noise.deviation < SILENT:
        return Verdict.WRONG, (
            "z is the mean, without noise: this is an autoencoder, and its KL pays for nothing. "
            "Draw z = mean + σ ε while training."
        )
    again, _ = shared(drawn.noise, 0)
    if again > 0.5:  # 1 where the same noise comes again, 0 otherwise
        return Verdict.LOOK, (
            "Every call draws the same noise. If draw is seeded for this audit, all is well; if "
            "training draws so, draw afresh at each step."
        )
    if _beyond(*shared(drawn.noise, 1)):
        return Verdict.WRONG, (
            "All images of a batch share their noise: the gradient's noise does not average out. "
            "Draw ε in the mean's shape: torch.randn_like(mean)."
        )
    count = drawn.noise[..., 0].numel()
    if largest_pair(drawn.noise) > max(SHARED_MARGIN, PAIR_ERRORS / math.sqrt(count)):
        return Verdict.WRONG, (
            "Latents share their noise, so q is not the Gaussian whose KL is computed. Draw ε in "
            "the mean's shape: torch.randn_like(mean); with a Cholesky factor L, mean + L ε, and "
            "not Lᵀ ε."
        )
    if _is_standard(noise):
        return Verdict.SOUND, ""
    return Verdict.WRONG, _cause(drawn, noise)


def _beyond(correlation: float, error: float) -> bool:
    return correlation > max(SHARED_MARGIN, ERRORS * error)


def _is_standard(noise: Noise) -> bool:
    centred = abs(noise.mean) < max(SCALE_MARGIN, ERRORS * noise.mean_error)
    scaled = abs(noise.deviation - 1) < max(SCALE_MARGIN, ERRORS * noise.deviation_error)
    normal = noise.p_value > KS_LIMIT or noise.distance < DISTANCE_MARGIN
    return centred and scaled and normal


def _cause(drawn: Drawn, noise: Noise) -> str:
    """Which known mistake makes such noise, in words."""
    deviation = variances(drawn.posterior).sqrt()
    if not isinstance(drawn.posterior, FullPosterior) and deviation.shape == drawn.noise.shape[1:]:
        for power, words in POWERS:
            if _is_standard(describe_noise(drawn.deviation / deviation**power)):
                return "The noise has the wrong scale: " + words
        steepness = _steepness(drawn.deviation, deviation)
    else:
        steepness = ""
    if abs(noise.mean) > SCALE_MARGIN and abs(noise.mean) > ERRORS * noise.mean_error:
        return (
            "The noise is not centred, which shifts every code. Usual cause: torch.rand_like, "
            "uniform on [0, 1], for torch.randn_like."
        )
    if abs(noise.deviation - 1) > SCALE_MARGIN:
        return (
            f"The noise is {number(noise.deviation, '.3g')} times what the KL charges "
            f"for{steepness}: codes pay for noise that they do not have, or have noise that they "
            "do not pay for. Draw z = mean + σ ε with ε from torch.randn_like; with a Cholesky "
            "factor L, mean + L ε, and not Lᵀ ε."
        )
    return (
        "The noise has the right scale but is not normal, so the KL is not that of the "
        f"q that is drawn from{steepness}. Draw ε by torch.randn_like."
    )


def _steepness(deviation: Tensor, sigma: Tensor) -> str:
    """How the spread of draws grows with σ, where σ varies enough for that to be seen."""
    logs = sigma.log().expand_as(deviation)
    if logs.std() < SPREAD_OF_LOGS:
        return ""
    power, error = slope(logs, (deviation.abs() + TINY).log())
    return f", and grows as σ to the power {with_error(power, error, '.2f')}"


def shares(whole: list[Tensor], paths: list[list[Tensor]]) -> list[float]:
    """The factors by which gradients, each a list of tensors, add up to `whole` in least squares.

    By the normal equations, so that no gradient of a large model is copied.
    """
    products = torch.tensor([[_inner(a, b) for b in paths] for a in paths], dtype=torch.float64)
    target = torch.tensor([_inner(path, whole) for path in paths], dtype=torch.float64)
    return torch.linalg.lstsq(products, target.unsqueeze(1)).solution.squeeze(1).tolist()


def _inner(first: list[Tensor], second: list[Tensor]) -> float:
    return sum((a.double() * b.double()).sum().item() for a, b in zip(first, second, strict=True))


def _passed(whole: list[Tensor], paths: dict[str, list[Tensor]]) -> Finding:
    """The finding on how much of a draw's gradient passes by each path that encode itself has."""
    paths = {name: path for name, path in paths.items() if _inner(path, path) > 0}
    parts = dict(zip(paths, shares(whole, list(paths.values())), strict=True))
    cut = [name for name, share in parts.items() if abs(share) < PASSES]
    exact = all(abs(share - 1) < EXACT for share in parts.values())
    parts = {name: round(share, 6) + 0.0 for name, share in parts.items()}  # no "-0.00"
    said = " and ".join(f"{number(share, '.2f')} by the {name}" for name, share in parts.items())
    reason = (
        f"Training cannot move the {' or the '.join(cut)} by way of the decoder. Usual causes: "
        "sample() for rsample(), detach(), .data, no_grad, or a draw made by torch.normal."
        if cut
        else "The gradient passes, but is not that of mean + σ ε. See the line on draws first."
    )
    return Finding(
        "gradient",
        Verdict.WRONG if cut else Verdict.SOUND if exact else Verdict.LOOK,
        f"of the gradient that a draw should pass on, there is {said}",
        " and ".join("1" for _ in parts),
        reason,
        "08-reparameterization",
        value=min(parts.values(), key=abs),
        limit=PASSES,
    )


def _gradient(scalar: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    """The gradient of a scalar by each parameter; zeros where there is none."""
    if not scalar.requires_grad:
        return [torch.zeros_like(parameter) for parameter in parameters]
    return list(torch.autograd.grad(scalar, parameters, retain_graph=True, materialize_grads=True))


def dead(log_variance: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """Which log-variances (n, latent) share their latent's least or largest value, and are stuck.

    Stuck: their sum, with random weights, has no gradient by any parameter.
    """
    values = log_variance.detach()
    found = torch.zeros_like(values, dtype=torch.bool)
    weights = torch.rand_like(values)  # lest gradients cancel
    for bound in (values.min(0).values, values.max(0).values):  # (latent,) each
        ties = values == bound
        for latent in (ties.sum(0) > 1).nonzero().flatten().tolist():
            chosen = ties[:, latent]
            scalar = (weights[:, latent] * log_variance[:, latent])[chosen].sum()
            if not any(part.any() for part in _gradient(scalar, parameters)):
                found[chosen, latent] = True
    return found


def _detached(posterior: Posterior) -> Posterior:
    return type(posterior)(*(part.detach() for part in posterior))


def _rows(posterior: Posterior, start: int, end: int) -> Posterior:
    return type(posterior)(*(part[start:end] for part in posterior))


def _traced(subject: Subject, most: int) -> Tensor:
    """The first images, as many as memory allows where a gradient is asked for: at least two."""
    return subject.some(min(most, max(2, MOST_PIXELS_TRACED // subject.pixels)))


def _move(first: Posterior, second: Posterior, spread: Tensor, allowed: float = 0.0) -> float:
    """The largest difference of two posteriors (batch, latent) in mean or deviation, by spread.

    Of each difference only what is beyond `allowed` counts.
    """
    means = (first.mean - second.mean).abs()
    deviations = (variances(first).sqrt() - variances(second).sqrt()).abs()
    beyond = (torch.maximum(means, deviations) - allowed).clamp(min=0.0)
    return (beyond / spread).max().item()


def _spread(posterior: Posterior) -> Tensor:
    """The deviation of all codes of a batch, (latent,): of their means and around them."""
    between = posterior.mean.var(0, correction=0)
    return (between + variances(posterior).mean(0)).sqrt().clamp(min=TINY)


def variances(posterior: Posterior) -> Tensor:
    """The variance of each latent of q(z|x): (batch, latent)."""
    if isinstance(posterior, FullPosterior):
        return posterior.cholesky.square().sum(-1)
    return posterior.log_variance.exp()


def rate(subject: Subject) -> Iterator[Finding]:
    """What z costs, latent by latent, beside what the best linear VAE would pay at the same σ²."""
    x = subject.affordable(MOST_IMAGES)
    posterior = _codes(subject, x)
    few = len(x) < IMAGES_PER_LATENT * posterior.mean.shape[1]
    variance = None if few else pixel_variance(subject, x, posterior)
    paid = mean_and_error(posterior.kl_to_prior())
    nats, error = paid.mean.item(), paid.standard_error.item()
    found = Rate(nats, posterior.mean.shape[1], subject.once(spectrum), variance)
    verdict, expected, reason = found.judged()
    yield Finding(
        "rate",
        verdict,
        f"q(z|x) costs {with_error(nats, error, '.2f')} nats an image",
        expected,
        reason,
        "07-linear",
        value=nats,
        standard_error=error,
        limit=COLLAPSED,
        bars=(found.spectrum_as_bars(),),
    )
    if verdict is Verdict.WRONG:
        return
    yield _activity(mean_and_error(kl_by_latent(posterior)), found)


class Variance(NamedTuple):
    """σ² of a Gaussian p(x|z), in squared pixels, and where it comes from, in words."""

    value: float
    source: str


class Rate(NamedTuple):
    """A rate, and what the law of linear models says of it."""

    nats: float  # an image
    latent: int
    spectrum: Spectrum  # of the images
    variance: Variance | None  # None where no Gaussian p(x|z) is known

    @property
    def promised(self) -> int:
        """How many latents the best linear model would use."""
        assert self.variance is not None
        return int((self.spectrum.eigenvalues[: self.latent] > self.variance.value).sum())

    @property
    def law(self) -> float:
        """The rate of the best linear model, nats an image."""
        assert self.variance is not None
        variance = torch.tensor(self.variance.value, dtype=torch.float64)
        eigenvalues = self.spectrum.eigenvalues
        latent = min(self.latent, len(eigenvalues))
        return rate_law(eigenvalues, variance, latent).rate.item()

    def spectrum_as_bars(self) -> Bars:
        """The images' deviations along their axes, with the σ that they are held against."""
        deviations = self.spectrum.eigenvalues[:DRAWN_AS_BARS].sqrt().tolist()
        label = f"deviation of {self.spectrum.images} images along each principal axis, in pixels"
        if self.variance is None:
            return Bars(label, tuple(deviations))
        line = f"σ {self.variance.source}, above which a latent pays in a linear model"
        return Bars(label, tuple(deviations), math.sqrt(self.variance.value), line)

    def judged(self) -> tuple[Verdict, str, str]:
        """Verdict, what was expected, and what to do."""
        if self.variance is None:
            idle = self.nats < COLLAPSED
            return Verdict.LOOK if idle else Verdict.SOUND, NO_LAW, IDLE_WITHOUT_LAW
        law, sigma = self.law, math.sqrt(self.variance.value)
        told = (
            f"{number(law, '.2f')} by the law of linear models at σ = {number(sigma, '.3g')} "
            f"{self.variance.source}"
        )
        if law < COLLAPSED and self.nats < WORTH:
            largest = self.spectrum.eigenvalues[0].item()
            words = (
                f" The largest eigenvalue of {self.spectrum.images} images is "
                f"{number(largest, '.3g')}: σ < {number(math.sqrt(largest), '.3g')} is needed if z "
                "is to be used."
            )
            return Verdict.LOOK, told, FORETOLD + words
        if self.nats < COLLAPSED and law > WORTH:
            return Verdict.WRONG, told, IDLE
        if self.nats * FAR < law - WORTH:
            return Verdict.LOOK, told, FAR_BELOW
        if self.nats > FAR * law + WORTH:
            return Verdict.LOOK, told, FAR_ABOVE
        return Verdict.SOUND, told, ""


def _activity(cost: Estimate, found: Rate) -> Finding:
    """How many latents are used, beside how many eigenvalues exceed σ²."""
    active = int((cost.mean > ACTIVE).sum())
    order = cost.mean.argsort(descending=True)[:LISTED].tolist()
    listed = ", ".join(with_error(cost.mean[j], cost.standard_error[j], ".2f") for j in order)
    listed = f": {listed}, …" if found.latent > LISTED else f": {listed}"
    reason = (
        "Most latents are idle: they are drawn from the prior, whatever the image is. They do no "
        "harm, but the model is smaller than it looks. Usual causes: a KL that weighs too much, "
        "or more latents than training could use."
    )
    if active == 0:
        listed = f" (the largest {number(cost.mean.max(), '.1g')})"
        reason = (
            "No latent is used: whatever the image is, z is drawn from the prior, and the model "
            "has collapsed. See the line on the rate."
        )
    promised = found.latent if found.variance is None else found.promised
    expected = "at least half of them"
    if found.variance is not None:
        expected = "any number: no eigenvalue of the images is above σ²"
        if promised:
            expected = (
                f"at least half of the {promised} that a linear model would use (eigenvalues of "
                "the images above σ²)"
            )
    return Finding(
        "active units",
        Verdict.LOOK if 2 * active < promised else Verdict.SOUND,
        f"{active} of {found.latent} latents cost more than {ACTIVE} nats{listed}",
        expected,
        reason,
        "07-linear",
        value=float(active),
        limit=promised / 2,
        bars=(
            Bars(
                "KL of each latent, nats, the largest first",
                tuple(cost.mean.sort(descending=True).values[:DRAWN_AS_BARS].tolist()),
                ACTIVE,
                "a latent counts as used",
            ),
        ),
    )


def prior_moments(subject: Subject) -> Iterator[Finding]:
    """Mean and covariance of the codes of all images, which under the prior are 0 and I."""
    posterior = _codes(subject, subject.affordable(MOST_IMAGES))
    found = moments(posterior)
    means = found.mean.abs() / found.mean_error.clamp(min=TINY)
    low, high = found.variance.min().item(), found.variance.max().item()
    shift = found.mean.abs().max().item()
    correlation = largest_correlation(posterior)
    near = (
        shift < MEAN_MARGIN
        and low > 1 / VARIANCE_MARGIN
        and high < VARIANCE_MARGIN
        and correlation < CORRELATION_MARGIN
    )
    yield Finding(
        "prior",
        Verdict.SOUND if near else Verdict.LOOK,
        f"codes of all images have means up to {number(shift, '.2g')} "
        f"({number(means.max(), '.0f')} standard errors), variances {number(low, '.3g')} to "
        f"{number(high, '.3g')} and correlations up to {number(correlation, '.2f')}; for their "
        "means and variances alone N(0, I) costs "
        f"{with_error(found.nats, found.nats_error, '.2f')} nats",
        "near 0, 1 and 0; no trained model meets them exactly",
        "Draws from N(0, I) are not where the codes are, so decoded they look worse than "
        "reconstructions. " + MODEL_THE_CODES,
        "11-evaluation",
        value=found.nats,
        standard_error=found.nats_error,
    )
    yield _two_sample(subject, posterior)


class Moments(NamedTuple):
    """Mean and variance of each latent over all images, with what they cost under N(0, I)."""

    mean: Tensor  # (latent,)
    mean_error: Tensor
    variance: Tensor  # (latent,)
    variance_error: Tensor
    nats: float  # KL(N(mean, diag(variance)) ‖ N(0, I)): a part of the rate that a prior would save
    nats_error: float


def moments(posterior: Posterior) -> Moments:
    """The moments of q(z) = the average of q(z|x) over n images, by latent, without any draws."""
    count = len(posterior.mean)
    mean = posterior.mean.mean(0)  # (latent,)
    off = posterior.mean - mean  # (n, latent)
    squares = off.square() + variances(posterior)  # (n, latent)
    variance = squares.mean(0)  # (latent,)
    nats = kl_to_standard_normal(mean, variance.log())
    # how far each image pulls those nats, to first order
    pull = (off * mean + 0.5 * (1 - 1 / variance) * (squares - variance)).sum(1)  # (n,)
    root = math.sqrt(count)
    return Moments(
        mean,
        posterior.mean.std(0) / root,
        variance,
        squares.std(0) / root,
        nats.item(),
        pull.std().item() / root,
    )


def largest_correlation(posterior: Posterior) -> float:
    """The largest correlation between two latents (the first ones) over all images, in size."""
    mean = posterior.mean[:, :MOST_COMPARED]
    off = mean - mean.mean(0)
    covariance = off.mT @ off / len(mean)  # between images
    if isinstance(posterior, FullPosterior):
        factor = posterior.cholesky[:, :MOST_COMPARED]
        covariance = covariance + (factor @ factor.mT).mean(0)
    else:
        covariance = covariance + variances(posterior)[:, :MOST_COMPARED].mean(0).diag()
    root = covariance.diagonal().rsqrt()
    return (covariance * root * root.unsqueeze(1)).fill_diagonal_(0).abs().max().item()


def _chance(p_value: float) -> str:
    """A p-value in words: none is 0, but one may be too small for float64."""
    return f"p < {number(TINY, 'g')}" if p_value < TINY else f"p = {number(p_value, '.1g')}"


def _two_sample(subject: Subject, posterior: Posterior) -> Finding:
    noise = subject.noise(1, *posterior.mean.shape, seed=2)
    distance, p_value = farthest_direction(posterior.draw(noise)[0])
    error = 0.5 / math.sqrt(len(posterior.mean))  # of a share, at most
    return Finding(
        "prior",
        _graded(distance, DISTANCE_FROM_PRIOR),
        f"along the worst direction {distance:.0%} ± {error:.0%} of the codes would have to move "
        f"to be normal ({_chance(p_value)})",
        f"less than {DISTANCE_FROM_PRIOR[0]:.0%}",
        "The codes of all images do not fill N(0, I): a draw from it need not look like an image. "
        + MODEL_THE_CODES,
        "11-evaluation",
        value=distance,
        standard_error=error,
        limit=DISTANCE_FROM_PRIOR[1],
    )


def farthest_direction(z: Tensor) -> tuple[float, float]:
    """The largest Kolmogorov distance of draws z (n, d) from N(0, I), and its p-value.

    Along axes and random directions, where N(0, I) is N(0, 1), and in the radius, where |z|² is
    χ² with d. The p-value is Bonferroni's. A law that differs in no such view is not seen.
    """
    latent = z.shape[1]
    generator = torch.Generator().manual_seed(3)
    random = torch.randn(latent, DIRECTIONS, generator=generator, dtype=torch.float64).to(z.device)
    views = torch.special.ndtr(
        torch.cat([z[:, :DIRECTIONS], z @ (random / random.norm(dim=0))], 1)
    )  # (n, views)
    half = z.new_full((len(z),), latent / 2)
    radius = torch.special.gammainc(half, z.square().sum(1) / 2)  # (n,)
    uniform = torch.cat([views, radius.unsqueeze(1)], 1)
    found = [kolmogorov_smirnov(column) for column in uniform.mT]
    distance, p_value = max(found)
    return distance, min(1.0, len(found) * p_value)


def holes(subject: Subject) -> Iterator[Finding]:
    """The share of the prior's draws that lie where fewer codes are than around other codes.

    The measure is log q(z), the average of q(z|x) over half of the images: the limit is what 99 %
    of the other half's codes (of the held-out images' where given) exceed. It counts in q's own
    units, and for q(z) = p(z) the share is 1 % in any number of latents. With many latents, or few
    images, q(z) of one half does not cover the other, and the measure grows blunt.
    """
    halves = _halves(subject)
    codes = halves.draws(subject)
    prior = subject.noise(*codes.shape, seed=5)
    share = share_in_holes(halves.posterior, codes, prior)
    error = math.sqrt(share * (1 - share) / len(prior))
    yield Finding(
        "holes",
        _graded(share, IN_HOLES),
        f"{share:.1%} ± {error:.1%} of N(0, I) lies where codes are rarer than around "
        f"{HELD:.0%} of other images' codes",
        f"{1 - HELD:.0%} if the codes filled the prior; less than {IN_HOLES[0]:.0%}",
        "The prior has holes: the decoder was never trained on most of its draws, so samples are "
        "bad where reconstructions are good. Fewer latents leave fewer holes. " + MODEL_THE_CODES,
        "09-training",
        value=share,
        standard_error=error,
        limit=IN_HOLES[1],
    )


def share_in_holes(posterior: Posterior, codes: Tensor, prior: Tensor) -> float:
    """The share of prior (m, d) with a smaller log q(z) than 99 % of codes (n, d)."""
    least = aggregate_density(posterior, codes).quantile(1 - HELD)
    return (aggregate_density(posterior, prior) < least).double().mean().item()


def aggregate_density(posterior: Posterior, z: Tensor) -> Tensor:
    """log q(z), the average of q(z|x) over the images behind `posterior`: z (m, d) to (m,)."""
    room = max(1, MOST_NUMBERS // posterior[1].numel())  # rows at a time
    return torch.cat([log_aggregate(posterior, rows) for rows in z.split(room)])


def samples(subject: Subject) -> Iterator[Finding]:
    """Decoded draws of the prior, and of other images' codes: how far is the nearest image?"""
    if not _decodes_pictures(subject):
        raise NotGivenError(
            'what decode returns is known to be a picture only for "bernoulli", "gaussian", or a '
            "distribution"
        )
    halves = _halves(subject)
    images, others = halves.images.flatten(1).double(), halves.others.flatten(1).double()
    count = min(DECODED, max(FEWEST_IMAGES, MOST_PIXELS // subject.pixels), len(others))
    z = halves.draws(subject)[:count]
    with torch.no_grad():
        coded = _decoded(subject, z)
        drawn = _decoded(subject, subject.noise(*z.shape, seed=5))
    shown = explained(others[:count], coded)
    if shown < SAME_IMAGE:
        yield _same_image(shown)
        return
    near, far = (mean_and_error(nearest(rows, images)) for rows in (coded, drawn))
    ratio = (far.mean / near.mean).item()
    errors = torch.stack([part.standard_error / part.mean for part in (near, far)])
    error = ratio * errors.norm().item()
    yield Finding(
        "samples",
        _graded(ratio, FARTHER),
        f"decoded draws of N(0, I) lie {with_error(ratio, error, '.2f')} times as far from the "
        f"nearest image as decoded codes do ({number(far.mean, '.3g')} and "
        f"{number(near.mean, '.3g')}, squared)",
        f"less than {FARTHER[0]:g}",
        "Reconstructions are better than samples, because the decoder has not seen what N(0, I) "
        "draws; a draw of N(mean, σ²) of one image only makes that image again. " + MODEL_THE_CODES,
        "11-evaluation",
        value=ratio,
        standard_error=error,
        limit=FARTHER[1],
    )


def _same_image(shown: float) -> Finding:
    return Finding(
        "samples",
        Verdict.LOOK,
        f"decoded codes explain {number(shown, '.1%')} of the variance of their images",
        f"more than {SAME_IMAGE:.0%}",
        "What is decoded has nothing to do with the image that was encoded: the decoder ignores z, "
        "or is not trained. See the lines on the rate.",
        "07-linear",
        value=shown,
        limit=SAME_IMAGE,
    )


def explained(images: Tensor, decoded: Tensor) -> float:
    """The share of the variance of images (n, D) that what was decoded from their codes explains.

    1 where they are equal; 0 for the mean image, and below for worse.
    """
    left = (images - decoded).square().sum()
    return 1 - (left / (images - images.mean(0)).square().sum().clamp(min=TINY)).item()


def _graded(value: float, limits: tuple[float, float]) -> Verdict:
    if value < limits[0]:
        return Verdict.SOUND
    return Verdict.LOOK if value > limits[1] else Verdict.CANNOT_TELL


def nearest(rows: Tensor, images: Tensor) -> Tensor:
    """The squared distance of each row (m, D) to the nearest of images (n, D): (m,)."""
    return torch.cdist(rows, images).min(1).values.square()


def latent_scale(subject: Subject) -> Iterator[Finding]:
    """What a second-stage model of the codes should subtract and multiply by.

    Latents (channels, height, width) are measured by channel as well. Errors are over images.
    """
    posterior = _codes(subject, subject.affordable(MOST_IMAGES))
    count = len(posterior.mean)
    whole = scale(posterior.mean.unsqueeze(1), variances(posterior).unsqueeze(1))
    factor = 1 / whole.deviation.item()
    error = factor * (whole.deviation_error / whole.deviation).item()
    noise = (variances(posterior).mean() / whole.deviation.square()).item()
    measured = (
        "all latents together have mean "
        f"{with_error(whole.mean.item(), whole.mean_error.item(), '.3g', '.1g')} and deviation "
        f"{with_error(whole.deviation.item(), whole.deviation_error.item(), '.4g', '.1g')}, of "
        f"whose square q's σ² is {noise:.1%}: scale {with_error(factor, error, '.5g', '.1g')}"
    )
    if len(subject.latent_shape) > 2:  # (channels, height, width), or longer
        channels = (count, subject.latent_shape[0], -1)
        each = scale(posterior.mean.reshape(channels), variances(posterior).reshape(channels))
        measured += "; by channel, (mean, deviation) " + ", ".join(
            f"({with_error(mean, mean_error, '.2g', '.1g')}, "
            f"{with_error(deviation, deviation_error, '.3g', '.1g')})"
            for mean, mean_error, deviation, deviation_error in list(zip(*each, strict=True))[
                :MOST_CHANNELS
            ]
        )
    left = max(factor, 1 / factor) > SCALE_LEFT
    yield Finding(
        "latent scale",
        Verdict.LOOK if left else Verdict.SOUND,
        measured,
        f"a scale between {1 / SCALE_LEFT:g} and {SCALE_LEFT:g}, where none is needed",
        "A second-stage model, such as diffusion, expects codes of deviation 1: give it (z − mean) "
        f"· {number(factor, '.5g')}, and undo that before decoding. Another model's scale, such as "
        "0.18215, is not this one's.",
        "11-evaluation",
        value=factor,
        standard_error=error,
    )


class Scale(NamedTuple):
    """Mean and deviation of latents by channel, (channels,) each, with errors over images."""

    mean: Tensor
    mean_error: Tensor
    deviation: Tensor
    deviation_error: Tensor


def scale(mean: Tensor, variance: Tensor) -> Scale:
    """Mean and deviation of draws of q, whose moments are (images, channels, positions)."""
    root = math.sqrt(len(mean))
    by_image = mean.mean(2)  # (images, channels)
    shift = by_image.mean(0)  # (channels,)
    squares = ((mean - shift.unsqueeze(1)).square() + variance).mean(2)  # (images, channels)
    deviation = squares.mean(0).sqrt()  # (channels,)
    return Scale(
        shift,
        by_image.std(0) / root,
        deviation,
        squares.std(0) / root / (2 * deviation),  # the error of a root
    )


def kl_by_latent(posterior: Posterior) -> Tensor:
    """KL(q(z_j|x) ‖ N(0, 1)) of each latent by its margin: (batch, latent), in nats."""
    log_variance = variances(posterior).log().unsqueeze(-1)
    return kl_to_standard_normal(posterior.mean.unsqueeze(-1), log_variance)


def pixel_variance(subject: Subject, x: Tensor, posterior: Posterior) -> Variance | None:
    """σ² of a Gaussian p(x|z): as stated, as decoded, or the mean squared error of draws.

    None where p(x|z) is not known to be Gaussian, or nothing was given that tells.
    """
    try:
        likelihood = subject.likelihood
    except NotGivenError:
        likelihood = None
    if likelihood is not None and likelihood.name != "gaussian":
        return None
    if likelihood is not None and likelihood.sigma is not None:
        return Variance(likelihood.sigma**2, "as stated")
    count = min(len(x), DECODED)
    noise = subject.noise(1, *posterior.mean.shape, seed=6)
    z = posterior.draw(noise)[0][:count]
    try:
        with torch.no_grad():
            answer = subject.decoded(z[:FEWEST_IMAGES])
            return _variance_of(subject, answer, likelihood is not None, x[:count], z)
    except NotGivenError:
        return None


def _variance_of(
    subject: Subject, answer: Any, is_gaussian: bool, x: Tensor, z: Tensor
) -> Variance | None:
    if isinstance(answer, Independent):
        answer = answer.base_dist
    if isinstance(answer, Normal):
        return Variance(answer.variance.mean().item(), "as decoded")
    if isinstance(answer, Distribution) or not is_gaussian:
        return None
    error = (_decoded(subject, z) - x.flatten(1).double()).square().mean().item()
    return Variance(max(error, TINY), "from the mean squared error")


def _probed(run: Callable[[Subject], Iterator[Finding]]) -> Callable[[Subject], Iterator[Finding]]:
    """A check that encodes the same first images as all others before it does anything else.

    So an encoder whose answer cannot be read is reported in the same words, and therefore once.
    """

    @wraps(run)
    def probed(subject: Subject) -> Iterator[Finding]:
        with torch.no_grad():
            _posterior(subject, subject.affordable(AGAIN))
        yield from run(subject)

    return probed


def _posterior(subject: Subject, x: Tensor) -> Posterior:
    """q(z|x), with variances above 0 and finite, and a Cholesky factor that is one."""
    posterior = subject.posterior(x)
    spread = variances(posterior)
    if not (spread.isfinite() & (spread > 0)).all():
        raise AnswerError("encode returned variances that are 0 or overflow")
    if isinstance(posterior, FullPosterior):
        factor = posterior.cholesky
        if factor.triu(1).any() or not (factor.diagonal(dim1=-2, dim2=-1) > 0).all():
            raise AnswerError(
                "encode's Cholesky factor must be lower triangular, its diagonal above 0"
            )
    return posterior


def _codes(subject: Subject, x: Tensor) -> Posterior:
    """q(z|x) of images, encoded some at a time and without gradients."""
    if len(x) < FEWEST_IMAGES:
        raise NotGivenError(f"{len(x)} images are too few: give {FEWEST_IMAGES} or more")
    room = max(1, MOST_PIXELS // subject.pixels)
    with torch.no_grad():
        parts = [_posterior(subject, rows) for rows in x.split(room)]
    return type(parts[0])(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


class Halves(NamedTuple):
    """Some images and others, and q(z|x) of each."""

    images: Tensor
    posterior: Posterior
    others: Tensor
    of_others: Posterior

    def draws(self, subject: Subject) -> Tensor:
        """One code z of each of the others: (n, latent)."""
        return self.of_others.draw(subject.noise(1, *self.of_others.mean.shape, seed=4))[0]


def _halves(subject: Subject) -> Halves:
    """The images by halves; the other half is of the held-out images, where they are given."""
    most = min(COMPARED_IMAGES, max(FEWEST_IMAGES, math.isqrt(MOST_COMPARISONS // subject.latent)))
    x = subject.affordable(2 * most)
    if len(x) < 2 * FEWEST_IMAGES:
        raise NotGivenError(f"{len(x)} images are too few: give {2 * FEWEST_IMAGES} or more")
    half = len(x) // 2
    others = x[half:] if subject.held_out is None else subject.held_out[:half]
    return Halves(x[:half], _codes(subject, x[:half]), others, _codes(subject, others))


def _decodes_pictures(subject: Subject) -> bool:
    """Whether decode's answer has a mean that is known to be an image."""
    try:
        return subject.likelihood.name != "own"
    except NotGivenError:
        with torch.no_grad():
            origin = torch.zeros(FEWEST_IMAGES, subject.latent, device=subject.x.device)
            return isinstance(subject.decoded(origin), Distribution)


def _decoded(subject: Subject, z: Tensor) -> Tensor:
    """E[x|z] of latents (m, latent), decoded some at a time: (m, pixels)."""
    room = max(1, MOST_PIXELS // subject.pixels)
    return torch.cat([subject.mean_image(rows).double() for rows in z.split(room)])


DRAWS: tuple[Check, ...] = (
    Check("repeats", "09-training", _probed(repeatable)),
    Check("draws", "08-reparameterization", _probed(noise_of_draws)),
    Check("gradient", "08-reparameterization", _probed(gradient_of_draws)),
    Check("log-variances", "06-gaussians", _probed(log_variances_at_a_bound)),
)
CODES: tuple[Check, ...] = (
    Check("rate", "07-linear", _probed(rate)),
    Check("prior", "11-evaluation", _probed(prior_moments)),
    Check("holes", "09-training", _probed(holes)),
    Check("samples", "11-evaluation", _probed(samples)),
    Check("latent scale", "11-evaluation", _probed(latent_scale)),
)
