"""Calibrate the audit: how often it accuses a sound model, and how often it finds a mistake.

Sound models of the digits differ in likelihood, latents, hidden units, training, activation, the
form of their loss, and seed. Each of the mistakes in `planted.py` is made from several seeds. A
model is written to a file as soon as it is audited, so that a run which was stopped goes on where
it was, on the same commit. Names of mistakes on the command line: only these are made again. A
quarter of an hour on one thread. The results go to one JSON file.
"""

import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from scipy.stats import beta
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from planted import (
    OWN,
    PLANTED,
    Arguments,
    LearnedSigma,
    Vae,
    binary,
    cross_entropy_loss,
    gaussian_loss,
    gaussian_score,
    grey,
    likelihood_loss,
    log_weights,
    trained,
)
from vae_tutorial.audit import Report, Verdict, audit
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole

OUTPUT = Path(__file__).resolve().parent.parent / "book" / "results" / "calibration.json"
UNFINISHED = OUTPUT.with_suffix(".part.json")
LIKELIHOODS = ("stated σ", "learned σ", "bernoulli")
LATENTS, HIDDEN, EPOCHS, SEEDS = (2, 4, 8, 16), (32, 128), (15, 60), range(9)
SIGMAS = (0.1, 0.15, 0.25)  # of a stated σ, by seed
FORMS = ("mean over the batch", "sum over the batch", "mean, with all constants")  # by seed
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
DRAWS = 300  # of a sound model's own estimate of log p(x)
MODELS = 336  # of the 432 settings, chosen by chance: where none of 299 accuses, under 1 % do
CONFIDENCE = 0.95  # of what is said of a rate, one-sided
MISTAKE_SEEDS = range(4)


class Setting(NamedTuple):
    """What one sound model is."""

    likelihood: str
    latent: int
    hidden: int
    epochs: int
    activation: str
    form: str
    seed: int


def settings() -> list[Setting]:
    """What the sound models are, chosen by chance and in that order: the first are a sample."""
    made = []
    grid = product(LIKELIHOODS, enumerate(LATENTS), HIDDEN, EPOCHS, SEEDS)
    for likelihood, (row, latent), hidden, epochs, seed in grid:
        activation = list(ACTIVATIONS)[(row + seed) % 2]
        made.append(Setting(likelihood, latent, hidden, epochs, activation, FORMS[seed % 3], seed))
    return random.Random(0).sample(made, MODELS)


# Sound models


def sound(setting: Setting) -> Arguments:
    """The arguments of `audit` for a sound model."""
    return MAKERS[setting.likelihood](setting)


def _stated(setting: Setting) -> Arguments:
    sigma = SIGMAS[setting.seed % len(SIGMAS)]
    score = partial(gaussian_score, sigma=sigma)
    losses = {
        FORMS[0]: partial(gaussian_loss, sigma=sigma),
        FORMS[1]: partial(_summed, partial(gaussian_loss, sigma=sigma)),
        FORMS[2]: partial(_with_constants, sigma),
    }
    given = _trained(setting, losses[setting.form], Vae, grey(), likelihood=sigma)
    return given | {"estimate": partial(_estimate, given["encode"].__self__, score)}


def _learned(setting: Setting) -> Arguments:
    """Decode gives a distribution, or pixels and the σ is read from the model."""
    summed = setting.form == FORMS[1]
    loss = partial(_summed, likelihood_loss) if summed else likelihood_loss
    given = _trained(setting, loss, LearnedSigma, grey(), likelihood=None)
    model = given["encode"].__self__
    given |= {"estimate": partial(_estimate, model, _own_score)}
    if setting.form == FORMS[2]:
        given |= {"decode": model.decoder, "likelihood": model.log_sigma.exp().item()}
    return given


def _bernoulli(setting: Setting) -> Arguments:
    summed = setting.form == FORMS[1]
    loss = partial(_summed, cross_entropy_loss) if summed else cross_entropy_loss
    given = _trained(setting, loss, Vae, binary(), likelihood="bernoulli")
    return given | {"estimate": partial(_estimate, given["encode"].__self__, _bernoulli_score)}


MAKERS = dict(zip(LIKELIHOODS, (_stated, _learned, _bernoulli), strict=True))


def _trained(
    setting: Setting,
    loss: Callable[[Any, Tensor], Tensor],
    kind: type[Vae],
    images: tuple[Tensor, Tensor],
    likelihood: Any,
) -> Arguments:
    activation = ACTIVATIONS[setting.activation]
    make = partial(kind, latent=setting.latent, hidden=setting.hidden, activation=activation)
    return trained(setting.seed, loss, make, images, setting.epochs, likelihood=likelihood)


def _summed(average: Callable[[Any, Tensor], Tensor], model: Any, x: Tensor) -> Tensor:
    return len(x) * average(model, x)


def _with_constants(sigma: float, model: Any, x: Tensor) -> Tensor:
    constant = x.shape[1] * math.log(sigma * math.sqrt(2 * math.pi))
    return gaussian_loss(model, x, sigma) + constant


def _own_score(x: Tensor, answer: Any) -> Tensor:
    return answer.log_prob(x).sum(-1)


def _bernoulli_score(x: Tensor, logits: Tensor) -> Tensor:
    x = x.expand_as(logits)
    return -binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)


def _estimate(model: Any, score: Callable[[Tensor, Any], Tensor], x: Tensor) -> Tensor:
    return log_weights(model, score, x, DRAWS).logsumexp(0) - math.log(DRAWS)


# What an audit said


def said(report: Report) -> dict[str, Any]:
    """The checks by their worst verdict, the first finding that is no praise, and what stopped."""
    worst: dict[str, Verdict] = {}
    for found in report.findings:  # what is wrong comes first, then what to look at
        worst.setdefault(found.check, found.verdict)
    first = next((found for found in report.findings if found.verdict is not Verdict.SOUND), None)
    accused = first is not None and first.verdict is not Verdict.CANNOT_TELL
    return {
        "first": first.check if accused and first else None,
        **{
            verdict.value: [name for name, its in worst.items() if its is verdict]
            for verdict in Verdict
        },
        "stopped": [
            f.check for f in report.findings if f.measured.startswith("this check stopped")
        ],
        "alarms": {found.check: found.measured for found in report.wrong},
    }


def audited(make: Callable[[], Arguments]) -> dict[str, Any]:
    """What the audit says of a model, and the seconds that training and audit took."""
    start = time.process_time()
    given = make()
    training = time.process_time()
    report = audit(**given)
    end = time.process_time()
    seconds = {"training": round(training - start, 2), "audit": round(end - training, 2)}
    return {**said(report), "seconds": seconds, "wall": round(report.seconds, 2)}


def sound_record(setting: Setting) -> dict[str, Any]:
    """The record of a sound model; its alarms in words."""
    return {**setting._asdict(), **audited(partial(sound, setting))}


def mistake_record(name: str, seed: int) -> dict[str, Any]:
    """The record of a planted mistake, without the words of its alarms."""
    record = {"mistake": name, "seed": seed, **audited(partial(PLANTED[name], seed))}
    del record["alarms"]
    return record


def is_found(record: dict[str, Any]) -> bool:
    """Whether one of the mistake's own checks says as much as it can of it."""
    own = OWN[record["mistake"]]
    counted = record[Verdict.WRONG] + (record[Verdict.LOOK] if own.verdict is Verdict.LOOK else [])
    return bool(set(own.checks) & set(counted))


# Tables


def highest_rate(alarms: int, models: int) -> float:
    """The rate below which the true one lies, at CONFIDENCE, after so many alarms in models.

    The one-sided limit of Clopper & Pearson 1934; for no alarm about 3 / models.

    >>> print(f"{highest_rate(0, 299):.4f}")
    0.0100
    """
    return float(beta.ppf(CONFIDENCE, alarms + 1, models - alarms)) if models > alarms else 1.0


def check_rows(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each check on sound models: how often it says what, of the models that it speaks of.

    "at most" is what can be said of its rate of false alarms, among these models.
    """
    records = list(records)
    counts = {verdict: Counter(name for r in records for name in r[verdict]) for verdict in Verdict}
    rows = []
    for name in sorted(set().union(*counts.values())):
        each = {verdict.value: counts[verdict][name] for verdict in Verdict}
        asked = sum(each.values())
        most = round(highest_rate(each[Verdict.WRONG], asked), 4)
        rows.append({"check": name, **each, "asked": asked, "at most": most})
    return rows


def mistake_rows(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each mistake: of how many seeds it was found by its own checks, and what came first."""
    records, rows = list(records), []
    for name, own in OWN.items():
        its = [record for record in records if record["mistake"] == name]
        found = sum(map(is_found, its))
        first = Counter(str(record["first"]) for record in its).most_common()
        rows.append(
            {
                "mistake": name,
                "own": own.checks,
                "best": own.verdict.value,
                "seeds": len(its),
                "found": found,
                "first": dict(first),
            }
        )
    return rows


def _unfinished() -> dict[str, Any]:
    """What an earlier run on this commit has, or an empty start."""
    empty = {"provenance": provenance(), "sound": [], "mistakes": []}
    if not UNFINISHED.exists():
        return empty
    kept = json.loads(UNFINISHED.read_text("utf-8"))
    return kept if kept["provenance"]["commit"] == empty["provenance"]["commit"] else empty


def _write(path: Path, contents: dict[str, Any]) -> None:
    """JSON with one line a record."""
    parts = []
    for key, value in contents.items():
        if isinstance(value, list):
            lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in value)
            parts.append(f' "{key}": [\n{lines}\n ]')
        else:
            parts.append(f' "{key}": {json.dumps(value, ensure_ascii=False)}')
    write_whole(path, ("{\n" + ",\n".join(parts) + "\n}\n").encode())


def make_again(names: list[str]) -> None:
    """Make some mistakes of the kept table again, after a change that touches no other record."""
    contents = json.loads(OUTPUT.read_text("utf-8"))
    for number, record in enumerate(contents["mistakes"]):
        if record["mistake"] in names:
            contents["mistakes"][number] = mistake_record(record["mistake"], record["seed"])
    again = {"commit": provenance()["commit"], "mistakes": names}
    tables = {"power": mistake_rows(contents["mistakes"]), "made again": again}
    _write(OUTPUT, contents | tables)


def main() -> None:
    contents = _unfinished()
    mistakes = [(name, seed) for seed in MISTAKE_SEEDS for name in PLANTED]
    models: list[tuple[str, Callable[[], dict]]] = [
        ("sound", partial(sound_record, each)) for each in settings()
    ]
    models += [("mistakes", partial(mistake_record, *each)) for each in mistakes]
    done = len(contents["sound"]) + len(contents["mistakes"])
    for number, (kind, record) in enumerate(models[done:], done + 1):
        contents[kind].append(record())
        _write(UNFINISHED, contents)
        print(
            f"{number} of {len(models)}", contents[kind][-1]["first"], file=sys.stderr, flush=True
        )
    tables = {"checks": check_rows(contents["sound"]), "power": mistake_rows(contents["mistakes"])}
    _write(OUTPUT, {"provenance": contents["provenance"], **tables, **contents})
    UNFINISHED.unlink()


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:]:
        make_again(sys.argv[1:])
    else:
        main()
