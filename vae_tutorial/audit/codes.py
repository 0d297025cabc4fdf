"""Checks of z: how it is drawn, what it costs, and where the codes of all images lie."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vae_tutorial.audit.findings import Finding, Verdict
from vae_tutorial.audit.subject import AnswerError, Check, NotGivenError, Subject
from vae_tutorial.limits import kolmogorov_distance
from vae_tutorial.models import FullPosterior, Posterior
from vae_tutorial.transport import Atoms

ERRORS = 4.5  # standard errors that chance alone exceeds once in 150,000 times
TINY = 1e-300  # keeps a quotient finite

# How z is drawn

AGAIN = 64  # images that are encoded twice
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
HOW_TO_DRAW = (
    "draw was not given: draw=lambda x: model.reparameterize(*model.encode(x)), or whatever "
    "training calls, lets the noise be judged"
)
AT_A_BOUND = 0.01  # share of log-variances


def repeatable(subject: Subject) -> Iterator[Finding]:
    """An image has one q(z|x): the same when it is asked again, and in another batch.

    Both moves are largest moves of a mean or deviation of q, in units of how far codes spread.
    """
    x = subject.some(AGAIN)
    limit = math.sqrt(max(torch.finfo(kind).eps for kind in (x.dtype, torch.float32)))
    with torch.no_grad():
        whole, again = subject.posterior(x), subject.posterior(x)
        moved = _move(whole, again, _spread(whole))
        yield Finding(
            "repeats",
            Verdict.WRONG if moved > limit else Verdict.SOUND,
            f"encoded twice, codes differ by {moved:.2g} of their spread",
            f"nothing but rounding (< {limit:.1g})",
            "encode draws random numbers in evaluation mode, so what is returned is no mean and "
            "variance. Usual causes: encode returns a draw z in place of the mean, or dropout is "
            "called without training=self.training.",
            "09-training",
            value=moved,
            limit=limit,
        )
        if moved > limit or len(x) < 2 * PAIRS:
            return
        firsts = range(0, 2 * PAIRS, 2)
        alone = max(
            _move(_rows(whole, i, i + 2), subject.posterior(x[i : i + 2]), _spread(whole))
            for i in firsts
        )
    yield Finding(
        "repeats",
        Verdict.WRONG if alone > limit else Verdict.SOUND,
        f"encoded with another batch, codes differ by {alone:.2g} of their spread",
        f"nothing but rounding (< {limit:.1g})",
        "An image's code depends on the other images of its batch. Usual cause: batch "
        "normalisation that uses the batch's statistics in evaluation mode.",
        "09-training",
        value=alone,
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
        f"(z − mean)/σ has mean {noise.mean:.3f} ± {noise.mean_error:.3f} and deviation "
        f"{noise.deviation:.3g} ± {noise.deviation_error:.2g}; distance from N(0, 1) "
        f"{noise.distance:.3f} (p = {noise.p_value:.1g})",
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
    x = subject.some(GRADIENT_IMAGES)
    with torch.enable_grad():
        posterior, z = subject.posterior(x), subject.draw_of(x).double()
        if not posterior.mean.requires_grad:
            raise NotGivenError("encode keeps no gradient: give it without no_grad and detach")
        weights = subject.noise(*z.shape, seed=1)
        noise = whitened(_detached(posterior), z.detach())
        by_mean = _gradient((weights * posterior.mean).sum(), parameters)
        added = posterior.draw(noise.unsqueeze(0))[0] - posterior.mean
        by_noise = _gradient((weights * added).sum(), parameters)
        whole = _gradient((weights * z).sum(), parameters)
    yield _passed(whole, by_mean, by_noise)


def log_variances_at_a_bound(subject: Subject) -> Iterator[Finding]:
    """Log-variances that lie exactly at their least or largest value, where no gradient passes."""
    x = subject.some(DRAWN_IMAGES)
    with torch.enable_grad():
        posterior = subject.posterior(x)
        if isinstance(posterior, FullPosterior):
            return
        log_variance = posterior.log_variance
        values = log_variance.detach()
        at_bound = (values == values.min()) | (values == values.max())
        dead = at_bound & ~_moves(subject, log_variance, at_bound)
    share = dead.double().mean().item()
    error = math.sqrt(share * (1 - share) / len(x))
    bounds = " and ".join(f"{value:.3g}" for value in values[dead].unique().tolist())
    fixed = dead.all().item()
    yield Finding(
        "log-variances",
        Verdict.LOOK if share > AT_A_BOUND else Verdict.SOUND,
        f"{share:.1%} ± {error:.1%} of them lie at a bound"
        + (f" ({bounds})" if bounds else "")
        + ", where no gradient passes",
        f"at most {AT_A_BOUND:.0%}",
        "Every variance is one constant. If that was not meant, the encoder's second output is "
        "not used."
        if fixed
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
    subject.posterior(subject.x[:2])
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
    images = min(DRAWN_IMAGES, max(2, MOST_DRAWN // subject.latent))
    x = subject.some(images)
    repeats = max(DRAWS_EACH, math.ceil(FEWEST_DRAWS / len(x)))
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = _draws(subject, draw, x, repeats)
        if drawn.noise.abs().max() < SILENT:
            _train(subject.modules)
            drawn = _draws(subject, draw, x, repeats)
    return drawn


def _draws(
    subject: Subject, draw: Callable[[Tensor], Tensor], x: Tensor, repeats: int
) -> Drawn:
    posterior = subject.posterior(x)
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
    repeats, images, latents = (shared(drawn.noise, axis) for axis in range(3))
    if repeats[0] > 0.5:  # 1 where the same noise comes again, 0 otherwise
        return Verdict.LOOK, (
            "Every call draws the same noise. If draw is seeded for this audit, all is well; if "
            "training draws so, draw afresh at each step."
        )
    if _beyond(*images):
        return Verdict.WRONG, (
            "All images of a batch share their noise: the gradient's noise does not average out. "
            "Draw ε in the mean's shape: torch.randn_like(mean)."
        )
    count = drawn.noise[..., 0].numel()
    if largest_pair(drawn.noise) > max(SHARED_MARGIN, PAIR_ERRORS / math.sqrt(count)):
        return Verdict.WRONG, (
            "Latents share their noise, so q is not the Gaussian whose KL is computed. Draw ε in "
            "the mean's shape: torch.randn_like(mean); with a Cholesky factor, z = mean + L ε, "
            "with L and not its transpose."
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
            f"The noise is {noise.deviation:.3g} times what the KL charges for{steepness}: codes "
            "pay for noise that they do not have, or have noise that they do not pay for. Draw "
            "z = mean + σ ε with ε from torch.randn_like."
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
    return f", and grows as σ to the power {power:.2f} ± {error:.2f}"


def _passed(whole: Tensor, by_mean: Tensor, by_noise: Tensor) -> Finding:
    """The finding on how much of a draw's gradient each path carries, all (parameters,)."""
    paths = torch.stack([by_mean, by_noise], 1)  # (parameters, 2)
    shares = torch.linalg.lstsq(paths, whole.unsqueeze(1)).solution.squeeze(1).tolist()
    cut = [
        name
        for name, share in zip(("mean", "log-variance"), shares, strict=True)
        if abs(share) < PASSES
    ]
    exact = max(abs(share - 1) for share in shares) < EXACT
    reason = (
        f"Training cannot move the {' or the '.join(cut)} by way of the decoder. Usual causes: "
        "sample() for rsample(), detach(), .data, no_grad, or a draw made by torch.normal."
        if cut
        else "The gradient passes, but is not that of mean + σ ε. See the line on draws first."
    )
    return Finding(
        "gradient",
        Verdict.WRONG if cut else Verdict.SOUND if exact else Verdict.LOOK,
        f"of a draw's gradient, {shares[0]:.2f} passes by the mean and {shares[1]:.2f} by the "
        "log-variance",
        "1 and 1",
        reason,
        "08-reparameterization",
        value=min(shares, key=abs),
        limit=PASSES,
    )


def _gradient(scalar: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """The gradient of a scalar by all parameters, in one vector; zero where there is none."""
    if not scalar.requires_grad:
        return torch.zeros(sum(p.numel() for p in parameters), dtype=torch.float64)
    gradients = torch.autograd.grad(scalar, parameters, retain_graph=True, materialize_grads=True)
    return torch.cat([gradient.flatten().double().cpu() for gradient in gradients])


def _moves(subject: Subject, log_variance: Tensor, chosen: Tensor) -> Tensor:
    """Whether the chosen log-variances move with the parameters: one answer a latent, (latent,).

    Where no parameters are seen, nothing is known, and what lies at a bound counts as still.
    """
    still = torch.zeros(log_variance.shape[1], dtype=torch.bool, device=chosen.device)
    if not log_variance.requires_grad:
        return still
    parameters = subject.parameters()
    weights = subject.noise(*log_variance.shape, seed=1) * chosen  # lest gradients cancel
    for latent in chosen.any(0).nonzero().flatten().tolist()[:MOST_COMPARED]:
        scalar = (weights[:, latent] * log_variance[:, latent]).sum()
        still[latent] = bool(_gradient(scalar, parameters).abs().max() > 0)
    return still


def _detached(posterior: Posterior) -> Posterior:
    return type(posterior)(*(part.detach() for part in posterior))


def _rows(posterior: Posterior, start: int, end: int) -> Posterior:
    return type(posterior)(*(part[start:end] for part in posterior))


def _move(first: Posterior, second: Posterior, spread: Tensor) -> float:
    """The largest difference of two posteriors (batch, latent) in mean or deviation, by spread."""
    means = (first.mean - second.mean).abs()
    deviations = (variances(first).sqrt() - variances(second).sqrt()).abs()
    return (torch.maximum(means, deviations) / spread).max().item()


def _spread(posterior: Posterior) -> Tensor:
    """The deviation of all codes of a batch, (latent,): of their means and around them."""
    between = posterior.mean.var(0, correction=0)
    return (between + variances(posterior).mean(0)).sqrt().clamp(min=TINY)


def variances(posterior: Posterior) -> Tensor:
    """The variance of each latent of q(z|x): (batch, latent)."""
    if isinstance(posterior, FullPosterior):
        return posterior.cholesky.square().sum(-1)
    return posterior.log_variance.exp()


DRAWS: tuple[Check, ...] = (
    Check("repeats", "09-training", repeatable),
    Check("draws", "08-reparameterization", noise_of_draws),
    Check("gradient", "08-reparameterization", gradient_of_draws),
    Check("log-variances", "06-gaussians", log_variances_at_a_bound),
)
CODES: tuple[Check, ...] = ()
