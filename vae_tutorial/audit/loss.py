"""Checks of the loss as it is trained: what an image's error and its KL are charged.

The loss is a black box, read as loss = a · error + w · KL + c by a regression over many batches of
two sizes. With the noise that the loss itself has drawn the fit is exact, and any other term, any
other formula and any other draw leaves a rest. Book: eq-exchange.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_tutorial.audit.findings import Finding, Verdict
from vae_tutorial.audit.subject import Check, Likelihood, NotGivenError, Subject
from vae_tutorial.gaussians import kl_to_standard_normal
from vae_tutorial.likelihoods import softplus_sum
from vae_tutorial.models import DiagonalPosterior, Posterior, log_prior

SIZES = (16, 32)  # images a batch: sums double from one to the other, averages stay
BATCHES = 24  # of each size: eight for each of the three numbers that are read
SEED = 15_000  # of the first batch; the others follow
MOST_SHARE = 0.5  # of the pixels that an image gives away, where regressors are spread
ROUNDS = 16  # draws of each batch that are averaged where the noise cannot be repeated
LEAST_ROUNDS = 2  # which a variance needs
SECONDS = 1.5  # for these rounds: a check has four
EXACT = 1e-5  # unexplained share of a fit with repeated noise: float32 leaves 1e-9
ROUNDING_SHARE = 1e-9  # below it formulas cannot be told apart in float32
ALIKE = 10.0  # what is plausible is preferred if it leaves at most so many times the best's rest
ALIKE_AVERAGED = 2.0  # the same among averages, whose rest is mostly noise
ROUNDING_ROOM = 100.0  # of the rest that rounding the loss alone would leave: sums round too
UNEXPLAINED = 0.02  # beyond it the loss is no weighted sum of an error and the KL
SURE = 4.0  # standard errors: a false alarm in 16,000 where errors are normal
SMALL = 0.1  # a weight or a gradient below this part of its expected value counts as missing
STATED_MARGIN = 1.1  # a stated σ² and the trained one, apart by less than 10 %, agree
BETA_MARGIN = 1.02  # a β that was meant differs from 1 by more than 2 %
FAR = 3.0  # σ² and the mean squared error agree within this factor on models trained briefly
SPREAD_MARGIN = 2.0  # σ² beyond twice the largest eigenvalue: no latent pays, in a linear model
MOST_FOR_EIGENVALUES = 500  # images
MOST_FOR_KL = 256  # images of the average KL
DRAWS_FOR_KL = 64  # of each: the closed form is told from others to 0.1 nats
KNOWN_EXPONENT = 0.1  # standard error of an exponent of the batch size that can be named
RELATIVE_ROUNDING = 1e-6  # of a mean of float32's
TINY = torch.finfo(torch.float64).tiny
GREY_LEVELS = 255
CONSTANT_MARGIN = 0.01  # nats an image: a constant that was meant is as near as that
LEDGER_BATCHES = 4  # of SIZES[1] images
MOST_NAMES = 4  # of parameters, that a line lists
TIGHT, LOOSE = 0.1, 0.5  # of a gradient's coefficient, with repeated noise and without
EXACT_GRADIENT = 1e-3  # relative rest where all of a gradient is accounted for, in float32
GRADIENT_ROUNDING = 1e-6  # of a gradient in float32, as a part of its length

Terms = dict[str, Tensor]  # the name of a candidate → its value on a batch, a scalar

# What an image's KL may be charged as: mean and log-variance (batch, latent) to (batch,)

RIGHT = "the KL in closed form"
SAMPLED = "log q(z|x) − log p(z) at the drawn z"


def _half_sum(mean: Tensor, variance: Tensor, log_variance: Tensor) -> Tensor:
    return 0.5 * (mean.square() + variance - 1 - log_variance).sum(-1)


FORMULAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "(log σ)² for log σ²": lambda m, v: _half_sum(m, v.exp(), (0.5 * v).square()),
    "(log σ²)² for log σ²": lambda m, v: _half_sum(m, v.exp(), v.square()),
    "log σ² read as log σ": lambda m, v: _half_sum(m, (2 * v).exp(), 2 * v),
    "σ for σ²": lambda m, v: _half_sum(m, (0.5 * v).exp(), 0.5 * v),
    "log σ² read as σ": lambda m, v: _half_sum(m, v.square(), v.square().log()),
    "log σ² read as σ²": lambda m, v: _half_sum(m, v, v.abs().log()),
    "log σ for log σ²": lambda m, v: _half_sum(m, v.exp(), 0.5 * v),
    "no log σ²": lambda m, v: _half_sum(m, v.exp(), torch.zeros_like(v)),
    "no variance": lambda m, v: 0.5 * m.square().sum(-1),
    "no mean": lambda m, v: _half_sum(torch.zeros_like(m), v.exp(), v),
    "the mean not squared": lambda m, v: 0.5 * (m + v.exp() - 1 - v).sum(-1),
    "the sign of one term": lambda m, v: _half_sum(m, -v.exp(), v),
    "KL(p‖q) for KL(q‖p)": lambda m, v: kl_to_standard_normal(m * (-0.5 * v).exp(), -v),
}

# How z may be drawn: a posterior and the noise's maker to z (batch, latent)

Draw = Callable[[DiagonalPosterior, Callable[..., Tensor]], Tensor]
DRAWN, AT_THE_MEAN, THE_CALLERS = "drawn", "the mean, without noise", "draw(x)"
STILL = "the mean, in evaluation mode"  # and in training mode something that cannot be repeated
OTHER_DRAWS: dict[str, Draw] = {
    "log σ² read as log σ": lambda q, noise: q.mean + q.log_variance.exp() * noise(torch.randn),
    "log σ² read as σ": lambda q, noise: q.mean + q.log_variance * noise(torch.randn),
    "uniform noise": lambda q, noise: q.mean + (0.5 * q.log_variance).exp() * noise(torch.rand),
}

# What an image's error may be

OWN, SQUARED, SIGMOID = "−log p(x|z)", "squared error", "squared error of the sigmoid"
LOGITS, PROBABILITIES = "cross-entropy of logits", "cross-entropy of probabilities"
ABSOLUTE, ROOT = "absolute error", "root of an image's squared error"
LOSS = "loss"  # beside them, in rows of a table
LOGARITHM = "(pixels / 2) log of the batch's squared error"
IN_NATS = (OWN, LOGITS, PROBABILITIES, LOGARITHM)  # of which the bound has as much as of the KL


# What it means that a term sends no gradient

BLOCKED = {
    "decoder": "The decoder learns nothing from the error: it is computed under no_grad, or of a "
    "detached picture.",
    "error": "The error sends no gradient through z to the encoder, which is left with the KL and "
    "collapses: sample instead of rsample, a detached z, or a draw under no_grad.",
    "KL": "The KL has a value but no gradient, so it is printed and not trained. Leave out "
    "detach, item and no_grad.",
}
UNEVEN = "The loss's gradient is not that of its values: a term is scaled, cut or detached in part."


class Fit(NamedTuple):
    """loss = a · error + w · KL + c, with the standard errors of (a, w, c)."""

    coefficients: tuple[float, float, float]
    standard_errors: tuple[float, float, float]
    unexplained: float  # share of the loss's variance over batches


class Table(NamedTuple):
    """What was seen on batches of one size; all are (batches,)."""

    losses: Tensor
    errors: Terms
    kls: Terms
    noise: dict[str, float]  # variance of each error, as an average of draws
    loss_noise: float  # variance of a loss, as an average of draws


class Reading(NamedTuple):
    """The loss, read: which draw, error and KL explain it best, and how well."""

    draw: str
    error: str
    kl: str
    fits: tuple[Fit, ...]  # one for each of SIZES
    unexplained: float  # share of the loss's variance, an average over SIZES
    with_right_kl: float  # the same with the KL in closed form
    from_noise: float  # share that draws leave, where they are averaged
    from_rounding: float  # share that float32 may leave
    averaged: bool  # whether draws were averaged, since the noise could not be repeated
    training: bool  # whether the model had to be in training mode to draw

    @property
    def readable(self) -> bool:
        """Whether the loss is a weighted sum of this error, this KL and a constant."""
        return self.unexplained <= UNEXPLAINED

    @property
    def exact(self) -> bool:
        """Whether no more is left than rounding, or than the draws that were averaged leave."""
        return self.unexplained <= max(EXACT, 2 * self.from_noise)

    @property
    def formula_is_wrong(self) -> bool:
        """Whether another formula than the KL's explains the loss, and the KL's does not."""
        return (
            self.kl not in (RIGHT, SAMPLED)
            and self.exact
            and self.with_right_kl > ALIKE * max(self.unexplained, ROUNDING_SHARE)
        )


class Charges(NamedTuple):
    """What the loss charges an image, from the batches of the larger size."""

    error: float  # a, for one unit of error
    kl: float  # w, for one nat of KL
    constant: float
    error_se: float
    kl_se: float
    constant_se: float
    error_exponent: float  # p: the loss grows like batch^p; 0 an average, 1 a sum, NaN unknown
    kl_exponent: float

    @property
    def ratio(self) -> float:
        """w / a: β where the error is in nats, 2σ² where it is a squared error."""
        return self.kl / self.error

    @property
    def relative_se(self) -> float:
        """The standard error of w / a, as a part of it."""
        return math.hypot(self.error_se / self.error, self.kl_se / self.kl)


class Scale(NamedTuple):
    """What images and reconstructions are like, an average over images as they are."""

    squared: float  # (x − f(z))² of a pixel
    absolute: float  # |x − f(z)| of a pixel
    largest_eigenvalue: float  # of the images' covariance
    unit_interval: bool  # whether pixels lie in [0, 1]


_READ: WeakKeyDictionary[Subject, Reading] = WeakKeyDictionary()  # what three checks share

# Regression


def regress(error: Tensor, kl: Tensor, loss: Tensor, error_noise: float = 0.0) -> Fit:
    """Least squares of losses on (error, KL, 1), each (batches,).

    `error_noise` is the variance of the noise in `error`, which would pull its coefficient towards
    0 and is taken out of the moments. Where a regressor does not vary, its coefficient is 0 and
    its standard error infinite. Source: Fuller 1987, Measurement Error Models, section 1.2.

    >>> error, kl = torch.tensor([[1.0, 2, 4, 7], [3.0, 1, 1, 2]], dtype=torch.float64)
    >>> [round(number, 6) for number in regress(error, kl, 2 * error - kl + 5).coefficients]
    [2.0, -1.0, 5.0]
    """
    solved = _solve(error, kl, loss, torch.tensor(error_noise))
    rounding = _rounding(loss)
    variance = max(solved.rest.item() / max(len(loss) - 3, 1), rounding**2)
    deviations = (variance * solved.inverse.diagonal()).sqrt() / solved.scale
    deviations = torch.where(solved.constant, math.inf, deviations)
    a, w = (solved.slopes / solved.scale).tolist()
    center, level = solved.center, loss.double().mean().item()
    center_se = torch.where(solved.constant, 0.0, deviations * center).norm().item()
    c_se = math.hypot(center_se, math.sqrt(variance / len(loss)))
    return Fit(
        (a, w, level - a * center[0].item() - w * center[1].item()),
        (*deviations.tolist(), c_se),
        (solved.rest / _total(loss)).item(),
    )


class Solved(NamedTuple):
    """Normal equations, solved for standardised regressors: (..., 2) for error and KL."""

    slopes: Tensor  # (..., 2), for one standard deviation each
    inverse: Tensor  # (..., 2, 2), of the moments
    center: Tensor  # (..., 2)
    scale: Tensor  # (..., 2)
    constant: Tensor  # (..., 2), where a regressor does not vary
    rest: Tensor  # (...), the sum of squared residuals


def _solve(error: Tensor, kl: Tensor, loss: Tensor, error_noise: Tensor) -> Solved:
    """Least squares for many regressors at once: error and kl (..., batches), loss (batches,)."""
    features = torch.stack([error, kl], dim=-1).double()  # (..., batches, 2)
    response = loss.double() - loss.double().mean()
    center, scale = features.mean(-2), features.std(-2)
    constant = scale <= 1e-9 * features.abs().mean(-2)  # rounding, not variation
    scale = torch.where(constant, 1.0, scale)
    standard = (features - center[..., None, :]) / scale[..., None, :]
    standard = torch.where(constant[..., None, :], 0.0, standard)
    moments = standard.mT @ standard  # (..., 2, 2)
    noise = len(loss) * error_noise / scale[..., 0].square()
    moments[..., 0, 0] -= torch.minimum(noise, 0.9 * moments[..., 0, 0])
    inverse = torch.linalg.pinv(moments, hermitian=True)
    slopes = (inverse @ (standard.mT @ response)[..., None])[..., 0]
    residual = response - (standard @ slopes[..., None])[..., 0]
    return Solved(slopes, inverse, center, scale, constant, residual.square().sum(-1))


def _rounding(loss: Tensor) -> float:
    return torch.finfo(torch.float32).eps * loss.abs().mean().item()


def _rounded(loss: Tensor) -> float:
    """The share of a loss's variance that rounding it to float32 makes."""
    return len(loss) * _rounding(loss) ** 2 / _total(loss)


def _total(loss: Tensor) -> float:
    """The sum of squares about the mean, or what rounding makes of it."""
    return max((loss - loss.mean()).square().sum().item(), _rounding(loss) ** 2, TINY)


# The regressors of one batch


def kl_terms(posterior: Posterior, z: Tensor) -> Terms:
    """Each candidate of the KL, averaged over a batch: the right ones first, then mistakes."""
    sampled = posterior.log_density(z[None])[0] - log_prior(z)  # (batch,)
    terms = {RIGHT: posterior.kl_to_prior().mean(), SAMPLED: sampled.mean()}
    if isinstance(posterior, DiagonalPosterior):
        terms |= {
            name: formula(posterior.mean, posterior.log_variance).mean()
            for name, formula in FORMULAS.items()
        }
    return terms


def error_terms(subject: Subject, x: Tensor, z: Tensor) -> Terms:
    """Each candidate of the error of images x (batch, …) at z (batch, latent), over the batch.

    All are averages of a sum over pixels, except the logarithm, which is taken of the batch.
    """
    target = x.reshape(len(x), -1).double()
    answer = subject.decoded(z)
    stated = _stated(subject)
    terms: Terms = {}  # what is stated comes first
    if isinstance(answer, Distribution) or (stated and stated.log_probability):
        terms[OWN] = -subject.log_likelihood(x, z[None])[0].mean()
    if isinstance(answer, Distribution):
        answer = answer.mean
    flat = answer.reshape(len(x), -1).double()
    cross_entropy = (softplus_sum(flat) - (target * flat).sum(-1)).mean()
    if stated and stated.name == "bernoulli":
        terms[LOGITS] = cross_entropy
    squares = (target - flat).square().sum(-1)  # (batch,)
    terms[SQUARED] = squares.mean()
    terms[SIGMOID] = (target - flat.sigmoid()).square().sum(-1).mean()
    terms[LOGITS] = cross_entropy
    if flat.min() >= 0 and flat.max() <= 1:
        terms[PROBABILITIES] = _cross_entropy(target, flat).mean()
    terms[ABSOLUTE] = (target - flat).abs().sum(-1).mean()
    terms[ROOT] = squares.sqrt().mean()
    terms[LOGARITHM] = 0.5 * subject.pixels * squares.mean().log()
    return terms


def _cross_entropy(target: Tensor, probability: Tensor) -> Tensor:
    least = -100.0  # where torch's own cross-entropy cuts a logarithm
    on, off = probability.log().clamp(min=least), (-probability).log1p().clamp(min=least)
    return -(target * on + (1 - target) * off).sum(-1)


def _stated(subject: Subject) -> Likelihood | None:
    try:
        return subject.likelihood
    except NotGivenError:
        return None


def draw_with(subject: Subject, x: Tensor, posterior: Posterior, draw: str, seed: int) -> Tensor:
    """z (batch, latent) of a batch, by the noise that a loss draws first after the same seed."""
    answer = subject.encode(x[:2])  # two, for layers that normalise a batch
    kind = getattr(answer, "mean", answer)  # of a distribution
    kind = kind.dtype if isinstance(kind, Tensor) else answer[0].dtype
    _seed(x, seed)
    if draw == THE_CALLERS:
        z = subject.draw_of(x).double()
        rest = (z - posterior.mean)[..., None]  # (batch, latent, 1)
        theirs = torch.linalg.solve_triangular(posterior.root, rest, upper=False)[..., 0].detach()
        return posterior.draw(theirs[None])[0]  # their values, with our gradient

    def noise(law: Callable[..., Tensor]) -> Tensor:
        shape = (len(x), *subject.latent_shape)  # as the model has it: so the same numbers
        return law(shape, dtype=kind, device=x.device).flatten(1).double()

    if draw in (AT_THE_MEAN, STILL):
        return posterior.mean
    if draw == DRAWN or not isinstance(posterior, DiagonalPosterior):
        return posterior.draw(noise(torch.randn)[None])[0]
    return OTHER_DRAWS[draw](posterior, noise)


# Batches whose errors and KL differ


def spread_batches(subject: Subject, size: int) -> list[Tensor]:
    """Batches (size, …) that spread the regressors: by chance, by KL, by error, with mixed pixels.

    Mixing takes a share of an image's pixels from others, each at its own place: so every pixel
    keeps the values that it has in the data. The random state is the caller's.
    """
    x = subject.some()
    with torch.no_grad():
        posterior = subject.posterior(x)
        flat = subject.mean_image(posterior.mean).double()
        errors = (x.reshape(len(x), -1) - flat).square().sum(-1)
        orders = posterior.kl_to_prior().argsort(), errors.argsort()
    found = []
    for number in range(BATCHES):
        kind, level = number % 4, (number + 0.5) / BATCHES  # 0 < level < 1
        rows = torch.randperm(len(x))[torch.arange(size) % len(x)]
        if kind in (1, 2):
            start = int(level * max(len(x) - size, 0))
            rows = orders[kind - 1][(start + torch.arange(size)) % len(x)].cpu()
        batch = x[rows]
        if kind == 3:
            batch = _mixed(batch, MOST_SHARE * level)
        found.append(batch)
    return found


def _mixed(batch: Tensor, share: float) -> Tensor:
    flat = batch.flatten(1)
    others = torch.stack([column[torch.randperm(len(flat))] for column in flat.T], dim=1)
    taken = (torch.rand(flat.shape) < share).to(flat.device)
    return torch.where(taken, others, flat).reshape(batch.shape)


def _seed(x: Tensor, seed: int) -> None:
    """The seed of torch's own noise; on a processor alone, where it is a hundred times faster."""
    if x.device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _row(subject: Subject, x: Tensor, draw: str, seed: int, other: int) -> tuple[Terms, Terms]:
    """A batch's loss and errors, and its KLs: the loss's noise has one seed, ours the other."""
    values, posterior, z = _values(subject, x, draw, seed, other)
    with torch.no_grad():
        return values, kl_terms(posterior, z)


def _values(
    subject: Subject, x: Tensor, draw: str, seed: int, other: int
) -> tuple[Terms, Posterior, Tensor]:
    _seed(x, seed)
    loss = subject.loss_of(x).detach().double()  # with gradients: a loss may take some itself
    with torch.no_grad():
        posterior = subject.posterior(x)
        z = draw_with(subject, x, posterior, draw, other)
        return {LOSS: loss} | error_terms(subject, x, z), posterior, z


def table_of(subject: Subject, size: int, draw: str) -> Table:
    """Batches of a size, each with the noise that the loss has drawn itself."""
    torch.manual_seed(SEED + size)
    batches = spread_batches(subject, size)
    rows = [_row(subject, x, draw, SEED + i, SEED + i) for i, x in enumerate(batches)]
    values, kls = _stacked([row[0] for row in rows]), _stacked([row[1] for row in rows])
    return Table(values.pop(LOSS), values, kls, dict.fromkeys(values, 0.0), 0.0)


def averaged_table(subject: Subject, size: int) -> Table:
    """Batches of a size, each an average over draws that the loss and we make apart."""
    torch.manual_seed(SEED + size)
    batches = spread_batches(subject, size)
    start = time.perf_counter()
    rows = [_row(subject, x, DRAWN, SEED, SEED) for x in batches]
    kls = _stacked([row[1] for row in rows])
    kls.pop(SAMPLED, None)  # an average of it is the closed form, with noise
    rounds: list[Terms] = []
    while len(rounds) < ROUNDS:
        first = SEED + 2 * len(rounds) * len(batches)
        rounds.append(
            _stacked(
                [
                    _values(subject, x, DRAWN, first + i, first + len(batches) + i)[0]
                    for i, x in enumerate(batches)
                ]
            )
        )
        if len(rounds) >= LEAST_ROUNDS and time.perf_counter() - start > SECONDS / len(SIZES):
            break
    every = _stacked(rounds)  # (rounds, batches) each
    noise = {name: (value.var(0) / len(rounds)).mean().item() for name, value in every.items()}
    values = {name: value.mean(0) for name, value in every.items()}
    return Table(values.pop(LOSS), values, kls, noise, noise.pop(LOSS))


def _stacked(rows: Sequence[Terms]) -> Terms:
    """Terms that all rows have, and that are finite."""
    names = [name for name in rows[0] if all(name in row for row in rows)]
    stacked = {name: torch.stack([row[name] for row in rows]) for name in names}
    return {name: value for name, value in stacked.items() if value.isfinite().all()}


# Which draw, error and KL explain the loss


def explain(tables: Sequence[Table], draw: str) -> Reading:
    """The first pair of error and KL, most plausible first, that explains a loss as well as any."""
    errors = _shared([table.errors for table in tables])
    kls = _shared([table.kls for table in tables])
    left = torch.stack([_unexplained(table, errors, kls) for table in tables]).mean(0).flatten()
    pairs = [(error, kl) for kl in kls for error in errors]
    scores = dict(zip(pairs, left.tolist(), strict=True))
    averaged = any(table.loss_noise > 0 for table in tables)
    room = ALIKE_AVERAGED if averaged else ALIKE
    enough = max(room * min(scores.values()), ROUNDING_SHARE)
    alike = [pair for pair, score in scores.items() if score <= enough]
    error = alike[0][0]
    alike = [pair for pair in alike if pair[0] == error]
    fits = {
        pair: tuple(
            regress(table.errors[error], table.kls[pair[1]], table.losses, table.noise[error])
            for table in tables
        )
        for pair in alike
    }
    whole = alike  # averages are not exact enough for a constant to tell one formula from another
    if not averaged:
        whole = [each for each in alike if _stands_alone(tables[-1], each, fits[each][-1])] or alike
    kl = whole[0][1]
    right = (error, RIGHT)
    impossible = right not in scores or (right in alike and right not in whole)
    noise = sum(
        (table.loss_noise + fit.coefficients[0] ** 2 * table.noise[error])
        / (_total(table.losses) / len(table.losses))
        for table, fit in zip(tables, fits[error, kl], strict=True)
    )
    return Reading(
        draw,
        error,
        kl,
        fits[error, kl],
        scores[error, kl],
        math.inf if impossible else scores[right],
        noise / len(tables),
        ROUNDING_ROOM * sum(_rounded(table.losses) for table in tables) / len(tables),
        averaged=averaged,
        training=False,
    )


def _unexplained(table: Table, errors: Sequence[str], kls: Sequence[str]) -> Tensor:
    """The share of a loss that each pair leaves: (KLs, errors)."""
    left = torch.stack([table.errors[name] for name in errors])  # (errors, batches)
    right = torch.stack([table.kls[name] for name in kls])[:, None]  # (KLs, 1, batches)
    noise = torch.tensor([table.noise[name] for name in errors], dtype=torch.float64)
    error, kl = torch.broadcast_tensors(left, right)
    return _solve(error, kl, table.losses, noise).rest / _total(table.losses)


def _stands_alone(table: Table, pair: tuple[str, str], fit: Fit) -> bool:
    """Whether error and KL make the loss as large as it is, without a constant that does it.

    Where log-variances differ little about a large value, every formula is a line; only the
    constant then tells one from another.
    """
    a, w, c = fit.coefficients
    error, kl = table.errors[pair[0]].mean().item(), table.kls[pair[1]].mean().item()
    return abs(c) <= SMALL * (abs(a * error) + abs(w * kl))


def _shared(terms: Sequence[Terms]) -> list[str]:
    return [name for name in terms[0] if all(name in other for other in terms)]


def _repeated(subject: Subject, draw: str) -> Reading:
    return explain([table_of(subject, size, draw) for size in SIZES], draw)


def read(subject: Subject) -> Reading:
    """Read the caller's loss: by repeated noise where that can be, else by averages of draws."""
    if subject not in _READ:
        _READ[subject] = _read(subject)
    return _READ[subject]


def _read(subject: Subject) -> Reading:
    plain = _repeated(subject, DRAWN)
    if plain.unexplained <= plain.from_rounding:
        return plain
    draws = [AT_THE_MEAN, *OTHER_DRAWS]
    with suppress(NotGivenError):
        _ = subject.draw
        draws.append(THE_CALLERS)
    better = plain.unexplained / ALIKE
    for draw in draws:  # the small batches say whether the large ones are worth their time
        if explain([table_of(subject, SIZES[0], draw)], draw).unexplained <= min(better, EXACT):
            found = _repeated(subject, draw)
            return _in_training(subject, found) if draw == AT_THE_MEAN else found
    if plain.unexplained <= EXACT:
        return plain
    averaged = explain([averaged_table(subject, size) for size in SIZES], DRAWN)
    return min(plain, averaged, key=lambda found: found.unexplained)


def _in_training(subject: Subject, still: Reading) -> Reading:
    """The same in training mode, where some models draw only then; else what it was."""
    x = subject.some(SIZES[1])
    _set_training(subject, True)
    drawn = _repeated(subject, DRAWN)
    losses = []
    for seed in (SEED, SEED + 1):
        _seed(x, seed)
        losses.append(subject.loss_of(x).item())
    _set_training(subject, False)
    if drawn.unexplained <= EXACT:
        return drawn._replace(training=True)
    return still if losses[0] == losses[1] else still._replace(draw=STILL)


def _set_training(subject: Subject, training: bool) -> None:
    for module in subject.modules:
        module.train(training)


# What the numbers mean


def charges(fits: Sequence[Fit]) -> Charges:
    """What an image is charged, from fits of batches of SIZES: sums are divided by the batch."""
    exponents = [_exponent(fits, index) for index in range(2)]
    image = SIZES[1] ** (exponents[0] if math.isfinite(exponents[0]) else 0.0)
    a, w, c = (number / image for number in fits[1].coefficients)
    a_se, w_se, c_se = (number / image for number in fits[1].standard_errors)
    return Charges(a, w, c, a_se, w_se, c_se, *exponents)


def _exponent(fits: Sequence[Fit], index: int) -> float:
    """How a coefficient grows with the batch: batch^p. NaN where it is not known well."""
    small, large = (fit.coefficients[index] for fit in fits)
    if small * large <= 0:
        return math.nan
    relative = [fit.standard_errors[index] / abs(fit.coefficients[index]) for fit in fits]
    growth = math.log(SIZES[1] / SIZES[0])
    exponent, error = math.log(large / small) / growth, math.hypot(*relative) / growth
    if error > KNOWN_EXPONENT:
        return math.nan
    error = max(SURE * error, KNOWN_EXPONENT)  # exponents are whole: what is nearer is meant
    return float(round(exponent)) if abs(exponent - round(exponent)) <= error else exponent


def scale_of(subject: Subject) -> Scale:
    """The errors of a pixel when z is drawn, and the spread of the images."""
    x = subject.some(MOST_FOR_EIGENVALUES)
    with torch.no_grad():
        posterior = subject.posterior(x)
        z = posterior.draw(subject.noise(1, *posterior.mean.shape, seed=SEED))[0]
        rest = x.reshape(len(x), -1).double() - _picture(subject, z)
    flat = x.reshape(len(x), -1).double()
    centered = flat - flat.mean(0)
    gram = centered @ centered.T if len(x) < subject.pixels else centered.T @ centered
    return Scale(
        rest.square().mean().item(),
        rest.abs().mean().item(),
        torch.linalg.eigvalsh(gram)[-1].item() / (len(x) - 1),
        bool(flat.min() >= 0 and flat.max() <= 1),
    )


def _picture(subject: Subject, z: Tensor) -> Tensor:
    """What was decoded, or the sigmoid of it where the loss compares that with the image."""
    answer = subject.decoded(z)
    if isinstance(answer, Distribution):
        answer = answer.mean
    flat = answer.reshape(len(z), -1).double()
    return flat.sigmoid() if read(subject).error in (SIGMOID, LOGITS) else flat


def _found(
    check: str,
    verdict: Verdict,
    measured: str,
    expected: str,
    reason: str,
    chapter: str = "13-rate-distortion",
    /,
    value: float = math.nan,
    standard_error: float = math.nan,
    limit: float = math.nan,
) -> Finding:
    numbers = (value, standard_error, limit)
    return Finding(check, verdict, measured, expected, reason, chapter, *numbers)


# Check 2: the KL that the loss uses


def drawn_kl(posterior: Posterior, noise: Tensor) -> Tensor:
    """log q(z|x) − log p(z) at draws by noise (K, batch, latent): (K, batch), in nats.

    log q is taken by the noise and the volume of its map, which holds where σ is so small that z
    rounds to the mean.
    """
    volume = posterior.root.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # (batch,)
    return log_prior(noise) - volume - log_prior(posterior.draw(noise))


def closed_form(subject: Subject) -> Iterator[Finding]:
    """The formula by which the loss charges the KL, against an average of draws."""
    reading = read(subject)
    charged = charges(reading.fits)
    with torch.no_grad():
        x = subject.some(MOST_FOR_KL)
        posterior = subject.posterior(x)
        noise = subject.noise(DRAWS_FOR_KL, *posterior.mean.shape, seed=SEED)
        ratios = drawn_kl(posterior, noise).mean(-1)  # (draws,), each an average over images
        used = _used(reading.kl, posterior)  # (batch,)
    error = (ratios.std() / math.sqrt(DRAWS_FOR_KL)).item()
    drawn, formula = ratios.mean().item(), used.mean().item()
    limit = max(SURE * error, RELATIVE_ROUNDING * abs(drawn))
    numbers = {"value": formula - drawn, "standard_error": error, "limit": limit}
    measured = f"{formula:.4g} nats an image by the loss's formula"
    expected = f"{drawn:.4g} ± {error:.2g}, by {DRAWS_FOR_KL} draws an image"
    chapter = "06-gaussians"
    if reading.formula_is_wrong:
        yield _wrong_formula(reading, measured, expected, chapter, numbers)
    elif not reading.exact or abs(charged.kl) <= SURE * charged.kl_se:
        why = "The loss's KL cannot be told from its other terms: "
        why += (
            "its weight is 0 within the error."
            if reading.exact
            else f"{reading.unexplained:.2g} of its variance is neither an error nor a KL."
        )
        yield _found("KL", Verdict.CANNOT_TELL, "not isolated", "", why, chapter)
    else:
        sound = abs(formula - drawn) <= limit
        yield _found(
            "KL",
            Verdict.SOUND if sound else Verdict.LOOK,
            measured,
            expected,
            "The formula is the closed form, but draws say otherwise: a few images dominate.",
            chapter,
            **numbers,
        )


def _wrong_formula(
    reading: Reading, measured: str, expected: str, chapter: str, numbers: dict[str, float]
) -> Finding:
    reason = (
        f"The loss's KL is not ½ Σ (μ² + σ² − 1 − log σ²): it fits with “{reading.kl}”. Write "
        "it by the log-variance: 0.5 * (mean**2 + log_var.exp() - 1 - log_var)."
    )
    if reading.kl == reading.draw:  # loss and draw agree, against what encode was said to return
        reason = (
            f"Loss and draw agree on another reading of encode: “{reading.kl}”. If that is meant, "
            "give the audit an encode that returns log σ²; every other line reads it wrongly."
        )
    return _found("KL", Verdict.WRONG, measured, expected, reason, chapter, **numbers)


def _used(kl: str, posterior: Posterior) -> Tensor:
    if kl in FORMULAS and isinstance(posterior, DiagonalPosterior):
        return FORMULAS[kl](posterior.mean, posterior.log_variance)
    return posterior.kl_to_prior()


# Check 1: the exchange rate


def exchange(subject: Subject) -> Iterator[Finding]:
    """What the loss charges for an error and for a nat of KL, and the model that this trains."""
    reading = read(subject)
    if not reading.readable:
        yield _no_bound(reading)
        return
    charged = charges(reading.fits)
    if reading.draw not in (DRAWN, THE_CALLERS) and reading.draw != reading.kl:
        yield _other_draw(reading)
    if reading.formula_is_wrong:
        why = "The loss has another KL, so its weight means no σ and no β. Mend the KL first."
        yield _found("exchange rate", Verdict.CANNOT_TELL, f"KL: {reading.kl}", "", why)
        return
    yield from _reduction(charged)
    scale = scale_of(subject)
    fault = _weight_fault(subject, reading, charged, scale)
    if fault is not None:
        yield fault
        return
    yield from _rate(subject, reading, charged, scale)


def _no_bound(reading: Reading) -> Finding:
    share = f"{reading.unexplained:.2g} of the loss's variance is neither an error nor the KL"
    if reading.from_noise > 0.5 * reading.unexplained:
        return _found(
            "exchange rate",
            Verdict.CANNOT_TELL,
            share,
            "",
            "Most of that is the noise of draws. Let loss draw its noise from torch's own state.",
            value=reading.unexplained,
            limit=UNEXPLAINED,
        )
    return _found(
        "exchange rate",
        Verdict.LOOK,
        share,
        f"at most {UNEXPLAINED:.0%}, and little beside the KL",
        "The loss is not a weighted sum of an error and the KL, so it is no bound on log p(x). "
        "Perceptual and adversarial terms do that, and free bits too; what follows from a bound "
        "does not hold.",
        "04-bounds",
        value=reading.unexplained,
        limit=UNEXPLAINED,
    )


def _other_draw(reading: Reading) -> Finding:
    reasons = {
        AT_THE_MEAN: "The loss decodes the mean and never draws z, so it is no bound on log p(x) "
        "and the KL costs nothing but size. Draw: z = mean + (0.5 * log_var).exp() * noise.",
        STILL: "In training mode the loss is random, by draws or by dropout, but not as mean + σ · "
        "noise alone, so the rest is read of evaluation mode. Let the model draw there too.",
        "uniform noise": "The noise is uniform on [0, 1): torch.rand for torch.randn.",
    }
    usual = (
        "The loss draws with another deviation than σ = exp(½ log σ²), which the KL is of. "
        "Write (0.5 * log_var).exp()."
    )
    return _found(
        "loss's draw",
        Verdict.LOOK if reading.draw == STILL else Verdict.WRONG,
        f"z in the loss: {reading.draw}",
        "mean + σ · noise, standard normal",
        reasons.get(reading.draw, usual),
        "08-reparameterization",
        value=reading.unexplained,
        limit=EXACT,
    )


def _reduction(charged: Charges) -> Iterator[Finding]:
    """Whether error and KL grow alike with the batch, and how."""
    error, kl = charged.error_exponent, charged.kl_exponent
    names = {0.0: "an average over the batch", 1.0: "a sum over the batch"}
    if math.isnan(error) or math.isnan(kl):
        verdict, reason = Verdict.CANNOT_TELL, "The weights are not known well enough for it."
    elif error != kl:
        verdict = Verdict.WRONG
        reason = (
            "The KL's weight depends on the batch size. Reduce both terms alike: sum over an "
            "image, then average over the batch."
        )
    elif error in names:
        verdict, reason = Verdict.SOUND, ""
    else:
        verdict = Verdict.LOOK
        reason = (
            "The loss shrinks with the batch, as if it were divided by it twice. Adam does not "
            "notice; weight decay, clipping and a change of the batch size do."
        )

    def words(exponent: float) -> str:
        if math.isnan(exponent):
            return "not known"
        return names.get(exponent, f"grows like batch^{exponent:.2g}")

    yield _found(
        "reduction",
        verdict,
        f"error: {words(error)}; KL: {words(kl)}",
        "both alike",
        reason,
        "09-training",
        value=kl - error,
        limit=0.0,
    )


def _natural(reading: Reading, scale: Scale) -> float:
    """w / a where the noise of the likelihood is as large as the error that is left."""
    if reading.error in IN_NATS:
        return 1.0
    return scale.absolute if reading.error == ABSOLUTE else 2 * scale.squared


def _weight_fault(
    subject: Subject, reading: Reading, charged: Charges, scale: Scale
) -> Finding | None:
    """What is wrong with a weight's sign or size, or None."""
    if charged.error <= SURE * charged.error_se:
        return _no_error(reading, charged)
    natural = charged.error * _natural(reading, scale)
    measured = f"weight of the KL: {charged.kl:.3g} ± {charged.kl_se:.2g}"
    expected = f"about {natural:.2g}, and above 0"
    numbers = {"value": charged.kl, "standard_error": charged.kl_se, "limit": 0.0}
    if charged.kl < -SURE * charged.kl_se:
        reason = (
            "The KL is rewarded: its sign is turned round, and it grows without end. The loss is "
            "error + KL, with KL = 0.5 * (mean**2 + log_var.exp() - 1 - log_var) ≥ 0."
        )
        return _found("exchange rate", Verdict.WRONG, measured, expected, reason, **numbers)
    if charged.kl > SURE * charged.kl_se:
        return None
    if not reading.exact:
        return _no_bound(reading)
    if SURE * charged.kl_se > SMALL * natural:
        reason = "The KL of these images hardly differs: its weight cannot be read."
        return _found("exchange rate", Verdict.CANNOT_TELL, measured, expected, reason, **numbers)
    reason = (
        "The KL is not in the loss: an autoencoder, whose latents have no prior. A weight that "
        "is passed on but never used looks so, and so does a warm-up that stays at 0."
    )
    return _found("exchange rate", Verdict.WRONG, measured, expected, reason, **numbers)


def _no_error(reading: Reading, charged: Charges) -> Finding:
    return _found(
        "exchange rate",
        Verdict.WRONG if reading.exact else Verdict.CANNOT_TELL,
        f"weight of the error: {charged.error:.3g} ± {charged.error_se:.2g}",
        "above 0",
        "The loss does not charge what the decoder makes of z. Look for a sign, or for an error "
        "that is not of decode(z).",
        value=charged.error,
        standard_error=charged.error_se,
        limit=0.0,
    )


def _rate(subject: Subject, reading: Reading, charged: Charges, scale: Scale) -> Iterator[Finding]:
    if reading.error in (SQUARED, SIGMOID):
        yield _gaussian(subject, reading, charged, scale)
    elif reading.error in IN_NATS:
        yield _in_nats(subject, reading, charged)
    else:
        yield _other_error(reading, charged, scale)
    if reading.exact and charged.error_exponent == charged.kl_exponent:
        yield from _units(subject, reading, charged, scale)


def _formula(reading: Reading, charged: Charges) -> str:
    fit = "1" if reading.unexplained < EXACT else f"{1 - reading.unexplained:.4f}"
    return (
        f"loss = {charged.error:.4g} × {reading.error} + {charged.kl:.4g} × KL "
        f"{charged.constant:+.3g} an image (R² = {fit})"
    )


def _cause(subject: Subject, charged: Charges) -> str:
    """The reductions that the weights betray, in words."""
    pixels, latent = subject.pixels, subject.latent

    def averaged(weight: float, count: int) -> bool:
        return count > 1 and any(
            math.isclose(weight * count, whole, rel_tol=0.01) for whole in (0.5, 1.0)
        )

    causes = []
    if averaged(charged.error, pixels):
        causes.append(f"the error is an average over {pixels} pixels where the bound has a sum")
    if averaged(charged.kl, latent):
        causes.append(f"the KL is an average over {latent} latents where the bound has a sum")
    return f" The weights say why: {', and '.join(causes)}." if causes else ""


def _gaussian(subject: Subject, reading: Reading, charged: Charges, scale: Scale) -> Finding:
    """The σ² that a squared error and a KL weight mean, against what is stated or left."""
    variance = charged.ratio / 2
    sigma = math.sqrt(variance)
    levels = round(GREY_LEVELS * sigma, 2 - math.floor(math.log10(GREY_LEVELS * sigma)))
    grey = f", {levels:,g} grey levels" if scale.unit_interval else ""
    measured = f"{_formula(reading, charged)}: trained with σ = {sigma:.3g}{grey}"
    numbers = {"value": variance, "standard_error": variance * charged.relative_se}
    stated = _stated(subject)
    if stated is not None and stated.name == "bernoulli":
        return _unlike_stated(
            reading, measured, "a cross-entropy of logits, as a Bernoulli has", numbers
        )
    if stated is not None and stated.sigma is not None:
        return _against_stated(measured, stated.sigma, charged, numbers)
    expected = f"σ² near the mean squared error, {scale.squared:.3g} a pixel"
    cause = _cause(subject, charged)
    if variance > SPREAD_MARGIN * scale.largest_eigenvalue:
        reason = (
            f"A decoder with σ² = {variance:.3g} has no use for any latent: the images' largest "
            f"variance in any direction is {scale.largest_eigenvalue:.3g}. The KL goes to 0. "
            f"Give the KL less weight, or the error more.{cause}"
        )
        numbers["limit"] = SPREAD_MARGIN * scale.largest_eigenvalue
        return _found("exchange rate", Verdict.WRONG, measured, expected, reason, **numbers)
    times = variance / scale.squared
    far = max(times, 1 / times) > FAR
    surer = "less sure" if times > 1 else "surer"
    warm = "" if times > 1 else " A warm-up of the KL that never arrives looks so too."
    reason = (
        f"Your loss is the bound of a decoder {max(times, 1 / times):.3g} times {surer} than its "
        f"errors are (in σ²). Best is σ² = the mean squared error.{warm}{cause}"
    )
    numbers["limit"] = FAR * scale.squared if times > 1 else scale.squared / FAR
    verdict = Verdict.LOOK if far else Verdict.SOUND
    return _found("exchange rate", verdict, measured, expected, reason, **numbers)


def _against_stated(
    measured: str, sigma: float, charged: Charges, numbers: dict[str, float]
) -> Finding:
    apart = math.log(charged.ratio / 2 / sigma**2)
    limit = max(math.log(STATED_MARGIN), SURE * charged.relative_se)
    surer = "less sure" if apart > 0 else "surer"
    return _found(
        "exchange rate",
        Verdict.WRONG if abs(apart) > limit else Verdict.SOUND,
        measured,
        f"σ = {sigma:.3g}, as stated",
        f"Your loss is the bound of a decoder {math.exp(abs(apart)):.3g} times {surer} (in σ²) "
        "than it says. Weigh the squared error by 1 / 2σ², summed over pixels, and the KL by 1.",
        **numbers,
        limit=sigma**2 * math.exp(math.copysign(limit, apart)),
    )


def _unlike_stated(
    reading: Reading, measured: str, expected: str, numbers: dict[str, float]
) -> Finding:
    return _found(
        "exchange rate",
        Verdict.LOOK if reading.averaged else Verdict.WRONG,
        measured,
        expected,
        "The likelihood that was stated is not the one that was trained. State the one that the "
        "loss has, or mend the loss; every other line depends on it.",
        **numbers,
    )


def _in_nats(subject: Subject, reading: Reading, charged: Charges) -> Finding:
    """β, the weight of the KL where the error is a −log p."""
    beta, error = charged.ratio, charged.ratio * charged.relative_se
    measured = f"{_formula(reading, charged)}: β = {beta:.4g} ± {error:.2g}"
    numbers = {"value": beta, "standard_error": error}
    stated = _stated(subject)
    name = stated.name if stated else ""
    if name == "bernoulli" and reading.error == PROBABILITIES:
        expected = "logits from decode, under a Bernoulli"
        return _unlike_stated(reading, measured, expected, numbers)
    if name == "gaussian" and reading.error in (LOGITS, PROBABILITIES):
        return _unlike_stated(reading, measured, "a squared error, as a Gaussian has", numbers)
    limit = max(BETA_MARGIN - 1, SURE * error)
    low = "A warm-up that never arrives ends so. " if beta < 1 else ""
    reason = (
        f"Unless β is meant, the loss is not the bound: it charges a nat of KL {beta:.3g} times. "
        f"{low}{_cause(subject, charged).strip()}"
    )
    verdict = Verdict.SOUND if abs(beta - 1) <= limit else Verdict.LOOK
    return _found(
        "exchange rate",
        verdict,
        measured,
        "β = 1 for a bound on log p(x)",
        reason.strip(),
        "10-choices",
        **numbers,
        limit=1 + math.copysign(limit, beta - 1),
    )


def _other_error(reading: Reading, charged: Charges, scale: Scale) -> Finding:
    """A Laplace's scale for an absolute error; a root is an error of no usual likelihood."""
    measured = f"{_formula(reading, charged)}: w / a = {charged.ratio:.3g}"
    numbers = {"value": charged.ratio, "standard_error": charged.ratio * charged.relative_se}
    if reading.error == ROOT:
        reason = "The root of a squared error is no pixel's log-likelihood. Leave the root out."
        return _found("exchange rate", Verdict.LOOK, measured, "no root", reason, **numbers)
    times = charged.ratio / scale.absolute
    return _found(
        "exchange rate",
        Verdict.LOOK if max(times, 1 / times) > FAR else Verdict.SOUND,
        measured,
        f"the scale of a Laplace, near the mean absolute error, {scale.absolute:.3g} a pixel",
        f"Your loss is the bound of a Laplace decoder whose scale is {times:.3g} times its error.",
        **numbers,
    )


def _units(subject: Subject, reading: Reading, charged: Charges, scale: Scale) -> Iterator[Finding]:
    """−ELBO in nats an image and bits a dimension, and the constant that the loss leaves out."""
    pixels = subject.pixels
    if reading.error == SQUARED:
        unit = charged.kl  # of the loss, a nat
        full = 0.5 * pixels * math.log(math.pi * charged.ratio)  # D/2 log 2πσ², 2σ² = w / a
        half = 0.5 * pixels * math.log(2 * math.pi)
        usual = {"all": full, "none": 0.0, "all but D/2 log 2π": full - half}
    elif reading.error in (OWN, LOGITS):
        unit, full, usual = charged.error, 0.0, {"all": 0.0}
    else:
        return
    present, error = charged.constant / unit, abs(charged.constant_se / unit)
    allowed = max(CONSTANT_MARGIN, SURE * error)
    part = next((name for name, value in usual.items() if abs(present - value) <= allowed), "")
    nats = _mean_loss(subject, reading, charged) / unit - present + full
    bits = nats / pixels / math.log(2)
    grey = reading.error == SQUARED and scale.unit_interval
    levels = f" ({bits + 8:.3g} at 256 grey levels)" if grey else ""
    yield _found(
        "units",
        Verdict.SOUND if part else Verdict.CANNOT_TELL,
        f"−ELBO {nats:.4g} nats an image, {bits:.3g} bits a dimension{levels}; of its constant, "
        f"{full:.4g}, the loss has {part or format(present, '.4g')}",
        "",
        "The loss has a constant of its own, so its value compares with no other's.",
        value=nats,
        standard_error=error,
    )


def _mean_loss(subject: Subject, reading: Reading, charged: Charges) -> float:
    """The loss an image of the first images, an average over draws."""
    x = subject.some(SIZES[1])
    _set_training(subject, reading.training)
    losses = []
    for seed in range(ROUNDS):
        _seed(x, SEED + seed)
        losses.append(subject.loss_of(x).item())
    _set_training(subject, False)
    grown = len(x) ** (charged.error_exponent if math.isfinite(charged.error_exponent) else 0.0)
    return sum(losses) / len(losses) / grown


# Check 9: the ledger of gradients


class Ledger(NamedTuple):
    """∇loss = α ∇error + ω ∇KL on encoder and decoder, to be held against the values' a and w."""

    encoder_error: float  # α on the encoder's parameters
    encoder_kl: float  # ω
    decoder_error: float  # α on the decoder's
    encoder_error_se: float
    encoder_kl_se: float
    decoder_error_se: float
    encoder_rest: float  # ‖∇loss − α ∇error − ω ∇KL‖ / ‖∇loss‖
    decoder_rest: float
    kl_rest: float  # ‖∇loss − ω ∇KL‖ / ‖∇loss‖ on the encoder
    error_share: float  # of |a ∇error| and |w ∇KL| on the encoder


class Gradients(NamedTuple):
    """Gradients of loss, error and KL: on the encoder's and the decoder's parameters, each flat."""

    encoder: Tensor  # (3, parameters of the encoder, batches in a row)
    decoder: Tensor  # (3, parameters of the decoder, batches in a row)
    silent: tuple[int, ...]  # parameters that no batch's loss moves


def project(target: Tensor, terms: Tensor) -> tuple[Tensor, Tensor, float]:
    """Coefficients of terms (k, n) in a target (n,), their standard errors, and the relative rest.

    The rest is ‖target − terms · coefficients‖ / ‖target‖. Rounding in float32 is allowed for.

    >>> terms = torch.tensor([[1.0, 0, 0], [0, 2, 0]], dtype=torch.float64)
    >>> project(torch.tensor([3.0, 4, 0], dtype=torch.float64), terms)[0]
    tensor([3., 2.], dtype=torch.float64)
    """
    size = terms.norm(dim=-1)
    known = torch.where(size > 0, size, 1.0)
    unit = terms / known[:, None]
    inverse = torch.linalg.pinv(unit @ unit.T, hermitian=True)  # (k, k)
    parts = inverse @ unit @ target
    length = target.norm().item()
    rest = (target - parts @ unit).norm().item()
    noise = max(rest / math.sqrt(max(target.numel() - len(terms), 1)), GRADIENT_ROUNDING * length)
    errors = torch.where(size > 0, noise * inverse.diagonal().clamp(min=0).sqrt() / known, math.inf)
    return parts / known, errors, rest / length if length > 0 else 0.0


def ledger(subject: Subject) -> Iterator[Finding]:
    """Whether each term of the loss sends its gradient where it should."""
    reading = read(subject)
    parameters = subject.parameters()
    _set_training(subject, reading.training)
    encoder, decoder = sides(subject, parameters)
    if not (encoder and decoder):
        side = "decode" if encoder else "encode"
        yield _found(
            "gradients",
            Verdict.CANNOT_TELL,
            f"{side} gives answers without a gradient",
            "",
            f"Give {side} as training calls it, without no_grad and detach.",
            "08-reparameterization",
        )
        return
    if not subject.loss_of(subject.some(SIZES[1])).requires_grad:
        yield _found(
            "gradients",
            Verdict.LOOK,
            "the loss has no gradient",
            "one, if training calls this function",
            "If training calls it, nothing is learned. If it is a copy for the audit, give one "
            "without no_grad, detach and item.",
            "08-reparameterization",
        )
        return
    found = gradients_of(subject, reading, parameters, encoder, decoder)
    yield from _dead(subject, parameters, encoder, decoder, found.silent)
    balanced = balance(found, reading.fits[1])
    if reading.exact:
        yield _judged(reading, balanced)
    elif balanced.kl_rest < EXACT_GRADIENT:
        yield _kl_alone(balanced)
    else:
        silent_term = _without_values(subject, parameters, encoder, decoder)
        yield silent_term or _more_terms(reading, balanced)


def sides(subject: Subject, parameters: Sequence[Tensor]) -> tuple[set[int], set[int]]:
    """Which parameters the encoder's answer depends on, and which the decoder's, by autograd."""
    x = subject.some(SIZES[0])
    generator = torch.Generator().manual_seed(SEED)

    def weighed(outputs: Sequence[Tensor]) -> Tensor:
        """A sum with weights by chance, of which no part cancels another."""
        weights = [torch.randn(out.shape, generator=generator).to(out) for out in outputs]
        products = [(out * by).sum() for out, by in zip(outputs, weights, strict=True)]
        return torch.stack(products).sum()

    posterior = subject.posterior(x)
    z = posterior.mean.detach() + subject.noise(*posterior.mean.shape, seed=SEED)
    answer = subject.decoded(z)
    decoded = _parts(answer, x) if isinstance(answer, Distribution) else [answer]
    return _reached(weighed(list(posterior)), parameters), _reached(weighed(decoded), parameters)


def _parts(answer: Distribution, x: Tensor) -> list[Tensor]:
    return [answer.log_prob(x.reshape(*answer.batch_shape, *answer.event_shape))]


def _reached(output: Tensor, parameters: Sequence[Tensor]) -> set[int]:
    if not output.requires_grad:
        return set()
    gradients = torch.autograd.grad(output, parameters, allow_unused=True)
    return {i for i, gradient in enumerate(gradients) if gradient is not None}


def gradients_of(
    subject: Subject,
    reading: Reading,
    parameters: Sequence[Tensor],
    encoder: set[int],
    decoder: set[int],
) -> Gradients:
    """Gradients on what only the encoder has, and on what only the decoder has."""
    x = subject.some()
    rows_of = [LEDGER_BATCHES * torch.arange(SIZES[1]) + i for i in range(LEDGER_BATCHES)]
    batches = [x[rows % len(x)] for rows in rows_of]
    rounds = ROUNDS if reading.averaged else 1
    owners = [sorted(encoder - decoder), sorted(decoder - encoder)]
    columns: list[list[Tensor]] = [[], []]
    moved: set[int] = set()
    for number, x in enumerate(batches):
        total = None
        for turn in range(rounds):
            seed = SEED + 2 * (number * rounds + turn)
            terms = _terms(subject, reading, x, seed, seed + reading.averaged)
            rows = [_flat_gradients(term, parameters) for term in terms]
            total = rows if total is None else _added(total, rows)
        assert total is not None
        moved |= {i for i, part in enumerate(total[0]) if part.any()}
        for side, owned in zip(columns, owners, strict=True):
            side.append(torch.stack([torch.cat([row[i] for i in owned]) for row in total]))
    encoded, decoded = (torch.cat(side, dim=-1) / rounds for side in columns)
    return Gradients(encoded, decoded, tuple(i for i in range(len(parameters)) if i not in moved))


def _terms(
    subject: Subject, reading: Reading, x: Tensor, seed: int, other: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, error and KL of a batch, as autograd sees them."""
    _seed(x, seed)
    loss = subject.loss_of(x)
    posterior = subject.posterior(x)
    z = draw_with(subject, x, posterior, reading.draw, other)
    return loss, error_terms(subject, x, z)[reading.error], kl_terms(posterior, z)[reading.kl]


def _flat_gradients(value: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    if not value.requires_grad:
        return [torch.zeros_like(p, dtype=torch.float64).flatten() for p in parameters]
    gradients = torch.autograd.grad(
        value, parameters, allow_unused=True, materialize_grads=True, retain_graph=True
    )
    return [gradient.double().flatten() for gradient in gradients]


def _added(left: list[list[Tensor]], right: list[list[Tensor]]) -> list[list[Tensor]]:
    return [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(left, right, strict=True)]


def balance(found: Gradients, fit: Fit) -> Ledger:
    """The loss's gradient as a sum of the error's and the KL's, on either side."""
    encoder, encoder_se, encoder_rest = project(found.encoder[0], found.encoder[1:])
    decoder, decoder_se, decoder_rest = project(found.decoder[0], found.decoder[1:2])
    error, kl = abs(fit.coefficients[0]), abs(fit.coefficients[1])
    error, kl = error * found.encoder[1].norm().item(), kl * found.encoder[2].norm().item()
    return Ledger(
        encoder[0].item(),
        encoder[1].item(),
        decoder[0].item(),
        encoder_se[0].item(),
        encoder_se[1].item(),
        decoder_se[0].item(),
        encoder_rest,
        decoder_rest,
        project(found.encoder[0], found.encoder[2:])[2],
        error / (error + kl) if error + kl > 0 else math.nan,
    )


def _dead(
    subject: Subject,
    parameters: Sequence[Tensor],
    encoder: set[int],
    decoder: set[int],
    silent: Sequence[int],
) -> Iterator[Finding]:
    """Parameters that the loss never moves, over all batches."""
    touched = {id(parameters[i]) for i in encoder | decoder}
    names = {
        id(p): name
        for module in subject.modules
        if any(id(p) in touched for p in module.parameters())  # not a judge's, as in LPIPS
        for name, p in module.named_parameters()
    }
    silent = [i for i in silent if id(parameters[i]) in names]
    if not silent:
        return
    listed = [names[id(parameters[i])] for i in silent]
    sides_silent = [
        name
        for name, owned in (("encoder", encoder - decoder), ("decoder", decoder - encoder))
        if owned and owned <= set(silent)
    ]
    reason = (
        f"The {' and the '.join(sides_silent)} learns nothing from this loss. Look for no_grad, "
        "detach, item, or a draw by sample instead of rsample."
        if sides_silent
        else "A layer that is never used looks so, and one whose activations are all cut off. An "
        "optimiser may still decay it."
    )
    shown = ", ".join(listed[:MOST_NAMES]) + (", …" if len(listed) > MOST_NAMES else "")
    yield _found(
        "dead parameters",
        Verdict.WRONG if sides_silent else Verdict.LOOK,
        f"{len(listed)} of {len(parameters)} parameters get no gradient from the loss: {shown}",
        "none",
        reason,
        "08-reparameterization",
        value=float(len(listed)),
        limit=0.0,
    )


def _judged(reading: Reading, found: Ledger) -> Finding:
    """Each term's gradient against what its values say."""
    fit = reading.fits[1]
    (a, w, _), (_, w_se, _) = fit.coefficients, fit.standard_errors
    weighed = abs(w) > SURE * w_se
    ratios = {
        "decoder": (found.decoder_error / a, found.decoder_error_se / abs(a)),
        "error": (found.encoder_error / a, found.encoder_error_se / abs(a)),
    }
    if weighed:
        ratios["KL"] = (found.encoder_kl / w, found.encoder_kl_se / abs(w))
    measured = (
        f"decoder: {ratios['decoder'][0]:.3g} × the error's gradient; encoder: "
        f"{ratios['error'][0]:.3g} × the error's"
        + (f", {ratios['KL'][0]:.3g} × the KL's" if weighed else "")
        + f"; rest {max(found.encoder_rest, found.decoder_rest):.1%}; the error is "
        f"{found.error_share:.0%} of what the encoder gets"
    )
    tolerance = LOOSE if reading.averaged else TIGHT
    blocked = [name for name, (ratio, se) in ratios.items() if abs(ratio) + SURE * se < SMALL]
    off = [name for name, (ratio, _) in ratios.items() if abs(ratio - 1) > tolerance]
    rest = max(found.encoder_rest, found.decoder_rest)
    name = blocked[0] if blocked else (off[0] if off else "")
    if blocked:
        verdict = Verdict.WRONG
    elif any(SURE * se > tolerance for _, se in ratios.values()):
        verdict = Verdict.CANNOT_TELL
    elif off or (rest > TIGHT and not reading.averaged):
        verdict = Verdict.LOOK
    else:
        verdict = Verdict.SOUND
    value, error = ratios.get(name, ratios["error"])
    return _found(
        "gradients",
        verdict,
        measured,
        "1 × each, as in the loss's values",
        BLOCKED[name] if blocked else UNEVEN,
        "08-reparameterization",
        value=value,
        standard_error=error,
        limit=1 - tolerance,
    )


def _without_values(
    subject: Subject, parameters: Sequence[Tensor], encoder: set[int], decoder: set[int]
) -> Finding | None:
    """A finding if the gradients are those of an error and the KL, and the values hold more."""
    reading = read(subject)._replace(draw=DRAWN, kl=RIGHT, averaged=False)
    with torch.no_grad():
        x = subject.some(SIZES[1])
        names = [*error_terms(subject, x, subject.posterior(x).mean)]
    rests: dict[str, float] = {}
    for error in names:
        tried = reading._replace(error=error)
        found = gradients_of(subject, tried, parameters, encoder, decoder)
        encoded = project(found.encoder[0], found.encoder[1:])[2]
        rests[error] = max(encoded, project(found.decoder[0], found.decoder[1:2])[2])
    error = min(rests, key=rests.__getitem__)
    if rests[error] > EXACT_GRADIENT:
        return None
    share = _of_z(subject, x, error)
    moves = share > EXACT
    return _found(
        "gradients",
        Verdict.WRONG if moves else Verdict.LOOK,
        f"a term of the loss's values gets no gradient: all of that is of {error} and the KL",
        "a gradient from each term",
        "A term moves the loss and teaches nothing: a perceptual error under no_grad, or a "
        "detached one, looks so."
        if moves
        else "The loss holds a term of x alone, which no parameter can change.",
        "08-reparameterization",
        value=share,
        limit=EXACT,
    )


def _kl_alone(found: Ledger) -> Finding:
    return _found(
        "gradients",
        Verdict.WRONG,
        f"the encoder's gradient is the KL's alone, to {found.kl_rest:.1g} of its length",
        "the KL's and the error's",
        BLOCKED["error"],
        "08-reparameterization",
        value=found.kl_rest,
        limit=EXACT_GRADIENT,
    )


def _more_terms(reading: Reading, found: Ledger) -> Finding:
    rest = max(found.encoder_rest, found.decoder_rest)
    return _found(
        "gradients",
        Verdict.CANNOT_TELL,
        f"{rest:.0%} of the gradient is neither of {reading.error} nor of the KL",
        "",
        "The loss has further terms, so what each of them sends is not known.",
        "04-bounds",
        value=rest,
        limit=TIGHT,
    )


def _of_z(subject: Subject, x: Tensor, error: str) -> float:
    """The share of the loss's variance over draws of z, x fixed, that an error does not explain."""
    rows = [_row(subject, x, DRAWN, SEED + i, SEED + i)[0] for i in range(ROUNDS)]
    values = _stacked(rows)
    return regress(values[error], torch.zeros(ROUNDS), values[LOSS]).unexplained


CHECKS: tuple[Check, ...] = (
    Check("KL", "06-gaussians", closed_form),
    Check("exchange rate", "13-rate-distortion", exchange),
    Check("gradients", "08-reparameterization", ledger),
)
