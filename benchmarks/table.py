"""What the rounds say: one line a contender, and whether all did the same job."""

import math
import statistics

from job import FLOP_A_SAMPLE, FLOP_AN_IMAGE
from processes import Timing
from protocol import LOSS, RESULT

NATS_APART = 1.0  # of training losses: seeds alone spread them by a few tenths
ERRORS_APART = 4  # standard errors, of estimates of the same number
WORK = {
    "training": FLOP_AN_IMAGE,
    "ideas": FLOP_AN_IMAGE,
    "waiting": FLOP_AN_IMAGE,
    "evaluation": FLOP_A_SAMPLE,
}  # FLOP, of an image or a sample
REFERENCES = {
    "training": ["jax", "pytorch", "pythae"],
    "evaluation": ["pythae", "jax"],
    "ideas": ["example"],
    "waiting": ["as torch waits"],
}
EPOCH = ("s/epoch", "first epoch, s", "negative ELBO, nats")
HEADS = {
    "training": EPOCH,
    "ideas": EPOCH,
    "waiting": EPOCH,
    "evaluation": ("µs/sample", "first round, s", "log p(x), nats"),
}


def nats(timing: Timing, job: str) -> list[float]:
    """The mean of each round, the first one included: epochs in order, or repeated estimates."""
    return [seen[RESULT.get(job, LOSS)] for seen in (timing.first, *timing.rounds)]


def median(timing: Timing) -> float:
    """Of the rounds after the first, in seconds."""
    return statistics.median(seen["seconds"] for seen in timing.rounds)


def estimate(timing: Timing) -> tuple[float, float]:
    """Mean log-likelihood over the rounds, each with its own noise, and its standard error."""
    values = nats(timing, "evaluation")
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))


def print_table(job: str, timings: dict[str, Timing], count: int, peak: float) -> None:
    """Print a line a contender, for rounds of `count` images or samples and a peak in GFLOP/s."""
    cost, first, result = HEADS[job]
    versus = [f"to {name}" for name in REFERENCES[job]]
    head = ["contender", cost, "min–max", *versus, "GFLOP/s", "of peak"]
    lines = [[*head, first, "memory, MB", result]]
    for name, timing in timings.items():
        speed = count * WORK[job] / median(timing) / 1e9
        lines.append(
            [
                name,
                *_costs(job, timing, count),
                *(_ratio(timings, name, reference) for reference in REFERENCES[job]),
                f"{speed:.0f}",
                f"{speed / peak:.0%}",
                f"{timing.first['seconds']:.1f}",
                f"{timing.peak_memory / 1e6:.0f}",
                _result(job, timing),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *others in lines:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        print("  ".join([name.ljust(widths[0]), *cells]))


def agreement(job: str, timings: dict[str, Timing]) -> str:
    """Whether the nats say that all did the same job."""
    if job != "evaluation":
        seen, allowed = [nats(timing, job)[-1] for timing in timings.values()], NATS_APART
        where = f"the losses of epoch {len(nats(next(iter(timings.values())), job))}"
    else:
        seen, errors = zip(*map(estimate, timings.values()), strict=True)
        allowed = ERRORS_APART * math.hypot(*sorted(errors)[-2:])
        where = "the mean log-likelihoods"
    apart = max(seen) - min(seen)
    verdict = "the same job" if apart <= allowed else "NOT THE SAME JOB"
    return f"{verdict}: {where} lie {apart:.2f} nats apart, {allowed:.2f} are allowed"


def _costs(job: str, timing: Timing, count: int) -> list[str]:
    seconds = [seen["seconds"] for seen in timing.rounds]
    scale, digits = (1, 2) if job != "evaluation" else (1e6 / count, 1)
    middle, low, high = (
        f"{scale * value:.{digits}f}" for value in (median(timing), min(seconds), max(seconds))
    )
    return [middle, f"{low}–{high}"]


def _ratio(timings: dict[str, Timing], name: str, reference: str) -> str:
    if reference not in timings:
        return "—"
    return f"{median(timings[name]) / median(timings[reference]):.2f}"


def _result(job: str, timing: Timing) -> str:
    if job != "evaluation":
        return f"{nats(timing, job)[-1]:.2f}"
    return "{:.2f} ± {:.2f}".format(*estimate(timing))
