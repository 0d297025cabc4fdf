"""A caller's loss, read as a black box: loss = a · error + w · KL + c.

By a regression over many batches of two sizes. With the noise that the loss itself has drawn the
fit is exact, and any other term, any other formula and any other draw leaves a rest. Book:
eq-exchange.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor

from vae_tutorial.audit.regression import Fit, regress, rounded, solve, total_squares
from vae_tutorial.audit.subject import NotGivenError, Subject
from vae_tutorial.audit.terms import (
    AT_THE_MEAN,
    DRAWN,
    LOSS,
    OTHER_DRAWS,
    RIGHT,
    SAMPLED,
    STILL,
    THE_CALLERS,
    Terms,
    draw_with,
    error_terms,
    kl_terms,
    seed_noise,
)
from vae_tutorial.models import Posterior

SIZES = (16, 32)  # images a batch: sums double from one to the other, averages stay
BATCHES = 24  # of each size: eight for each of the three numbers that are read
SEED = 15_000  # of the first batch; the others follow
MOST_SHARE = 0.5  # of the pixels that an image gives away, where regressors are spread
ROUNDS = 16  # draws of each batch that are averaged where the noise cannot be repeated
LEAST_ROUNDS = 2  # which a variance needs
ROUND_PIXELS = 2**13  # pixels × rounds: large images have fewer, as their models are slow
EXACT = 1e-5  # unexplained share of a fit with repeated noise: float32 leaves 1e-9
ROUNDING_SHARE = 1e-9  # below it formulas cannot be told apart in float32
ALIKE = 10.0  # what is plausible is preferred if it leaves at most so many times the best's rest
ALIKE_AVERAGED = 2.0  # the same among averages, whose rest is mostly noise
ROUNDING_ROOM = 100.0  # of the rest that rounding the loss alone would leave: sums round too
UNEXPLAINED = 0.02  # beyond it the loss is no weighted sum of an error and the KL
SURE = 4.0  # standard errors: a false alarm in 16,000 where errors are normal
SMALL = 0.1  # a weight or a gradient below this part of its expected value counts as missing
KNOWN_EXPONENT = 0.1  # standard error of an exponent of the batch size that can be named


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


def row_of(subject: Subject, x: Tensor, draw: str, seed: int, other: int) -> tuple[Terms, Terms]:
    """A batch's loss and errors, and its KLs: the loss's noise has one seed, ours the other."""
    values, posterior, z = _values(subject, x, draw, seed, other)
    with torch.no_grad():
        return values, kl_terms(posterior, z)


def _values(
    subject: Subject, x: Tensor, draw: str, seed: int, other: int
) -> tuple[Terms, Posterior, Tensor]:
    seed_noise(x, seed)
    loss = subject.loss_of(x).detach().double()  # with gradients: a loss may take some itself
    with torch.no_grad():
        posterior = subject.posterior(x)
        z = draw_with(subject, x, posterior, draw, other)
        return {LOSS: loss} | error_terms(subject, x, z), posterior, z


def table_of(subject: Subject, size: int, draw: str) -> Table:
    """Batches of a size, each with the noise that the loss has drawn itself."""
    torch.manual_seed(SEED + size)
    batches = spread_batches(subject, size)
    rows = [row_of(subject, x, draw, SEED + i, SEED + i) for i, x in enumerate(batches)]
    values, kls = stack([row[0] for row in rows]), stack([row[1] for row in rows])
    return Table(values.pop(LOSS), values, kls, dict.fromkeys(values, 0.0), 0.0)


def averaged_table(subject: Subject, size: int) -> Table:
    """Batches of a size, each an average over draws that the loss and we make apart."""
    torch.manual_seed(SEED + size)
    batches = spread_batches(subject, size)
    count = max(LEAST_ROUNDS, min(ROUNDS, ROUND_PIXELS // subject.pixels))
    rows = [row_of(subject, x, DRAWN, SEED, SEED) for x in batches]
    kls = stack([row[1] for row in rows])
    kls.pop(SAMPLED, None)  # an average of it is the closed form, with noise
    rounds: list[Terms] = []
    for turn in range(count):
        first = SEED + 2 * turn * len(batches)
        rounds.append(
            stack(
                [
                    _values(subject, x, DRAWN, first + i, first + len(batches) + i)[0]
                    for i, x in enumerate(batches)
                ]
            )
        )
    every = stack(rounds)  # (rounds, batches) each
    noise = {name: (value.var(0) / len(rounds)).mean().item() for name, value in every.items()}
    values = {name: value.mean(0) for name, value in every.items()}
    return Table(values.pop(LOSS), values, kls, noise, noise.pop(LOSS))


def stack(rows: Sequence[Terms]) -> Terms:
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
        / (total_squares(table.losses) / len(table.losses))
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
        ROUNDING_ROOM * sum(rounded(table.losses) for table in tables) / len(tables),
        averaged=averaged,
        training=False,
    )


def _unexplained(table: Table, errors: Sequence[str], kls: Sequence[str]) -> Tensor:
    """The share of a loss that each pair leaves: (KLs, errors)."""
    left = torch.stack([table.errors[name] for name in errors])  # (errors, batches)
    right = torch.stack([table.kls[name] for name in kls])[:, None]  # (KLs, 1, batches)
    noise = torch.tensor([table.noise[name] for name in errors], dtype=torch.float64)
    error, kl = torch.broadcast_tensors(left, right)
    return solve(error, kl, table.losses, noise).rest / total_squares(table.losses)


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
    return subject.once(_read)


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
    set_training(subject, True)
    drawn = _repeated(subject, DRAWN)
    losses = []
    for seed in (SEED, SEED + 1):
        seed_noise(x, seed)
        losses.append(subject.loss_of(x).item())
    set_training(subject, False)
    if drawn.unexplained <= EXACT:
        return drawn._replace(training=True)
    return still if losses[0] == losses[1] else still._replace(draw=STILL)


def set_training(subject: Subject, training: bool) -> None:
    """Put the modules behind a subject in training mode or in evaluation mode."""
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
