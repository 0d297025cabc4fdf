"""Train every mistake of chapter 20 from five seeds, beside the sound program of the same seed.

What a mistake costs is measured on the test digits with the right formulas. What the audit says of
the model, from the training digits, is kept by check: the worst verdict of each, and its first
line. A mistake that is made when a model is read is measured on the sound models. A quarter of an
hour on one thread. With numbers, `python benchmarks/mistakes.py 27 31`, only these mistakes are
run again, and their rows say by which commit. The results go to one JSON file, which the page
reads.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_tutorial.audit import Report, Verdict, audit
from vae_tutorial.data import load_digits
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole
from vae_tutorial.mistakes import (
    MISTAKES,
    SOUND,
    SOUND_BERNOULLI,
    Exhibit,
    Mistake,
    Pieces,
    Seen,
    cost,
    handed,
    measure,
    piece,
    train,
)
from vae_tutorial.weights import importance_weighted_bound

OUTPUT = Path(__file__).resolve().parent.parent / "book" / "results" / "mistakes.json"
SEEDS = range(5)
DIGITS = load_digits()


def known(nats: Tensor) -> float | None:
    """A number for JSON, or nothing where it is infinite."""
    value = float(nats)
    return value if math.isfinite(value) else None


def evidence(seen: Seen) -> Tensor:
    """L_1000, an average over images: ()."""
    return importance_weighted_bound(seen.log_weight).mean()


def said(report: Report) -> dict[str, Any]:
    """The worst verdict by check, where it is one to act on, and the report's first such line."""
    order = [Verdict.WRONG, Verdict.LOOK]
    found = [each for each in report.findings if each.verdict in order]
    worst: dict[str, str] = {}
    for each in found:
        worst.setdefault(each.check, str(each.verdict))
    first = [{"check": f.check, "verdict": f.verdict, "measured": f.measured} for f in found[:1]]
    return {"verdicts": worst, "first": first[0] if first else None}


def audited(model: Exhibit, sound: Pieces) -> dict[str, Any]:
    """What the audit says of a model, from the images that it was trained on."""
    x, others = (model.pieces.pixels(images) for images in (DIGITS.train, DIGITS.test))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return said(audit(x, held_out=others, **handed(model, sound)))


def trained(mistake: Mistake, seed: int, sound: Seen) -> dict[str, Any]:
    """One model with the mistake: its cost in nats of the bound and of L_1000, and its audit."""
    assert mistake.pieces is not None
    model = train(mistake.pieces, seed)
    record: dict[str, Any] = {"seed": seed, "bound": None, "evidence": None}
    try:
        seen = measure(model, mistake.sound)
        record["bound"] = known(cost(sound, seen))
        record["evidence"] = known(evidence(sound) - evidence(seen))
    except ValueError:  # training has diverged to numbers that are none
        print(mistake.name, "diverged from seed", seed, flush=True)
    return record | audited(model, mistake.sound)


def read(mistake: Mistake, seed: int, sound: Seen) -> dict[str, Any]:
    """One sound model, read wrongly: by how many nats that is off."""
    right, wrong = mistake.read or (None, None)
    off = known(wrong(sound) - right(sound)) if right and wrong else None
    return {"seed": seed, "bound": off}


def sound_models(name: str, pieces: Pieces) -> tuple[dict[str, Any], dict[int, Seen]]:
    """The row of the sound programs, and what was seen of each by its seed."""
    records, found = [], {}
    for seed in SEEDS:
        model = train(pieces, seed)
        seen = found[seed] = measure(model, pieces)
        values = {"elbo": float(seen.elbo.mean()), "evidence": float(evidence(seen))}
        records.append({"seed": seed, **values, **audited(model, pieces)})
    return {"number": 0, "name": f"sound, {name}", "records": records}, found


def row_of(mistake: Mistake, sound: dict[int, Seen]) -> dict[str, Any]:
    """All that is measured of a mistake, from every seed."""
    run = trained if mistake.is_trained else read
    records = [run(mistake, seed, sound[seed]) for seed in SEEDS]
    print(mistake.number, mistake.name, [each["bound"] for each in records], flush=True)
    head = {"number": mistake.number, "name": mistake.name, "piece": piece(mistake)}
    return {**head, "trained": mistake.is_trained, "records": records}


def main(numbers: set[int]) -> None:
    grey, of_grey = sound_models("gaussian", SOUND)
    binary, of_binary = sound_models("bernoulli", SOUND_BERNOULLI)
    if numbers:
        contents = json.loads(OUTPUT.read_text("utf-8"))
    else:
        contents = {"provenance": provenance(), "rows": [grey, binary]}
    places = {row["number"]: place for place, row in enumerate(contents["rows"])}
    for mistake in MISTAKES:
        seen = of_binary if mistake.sound is SOUND_BERNOULLI else of_grey
        if not numbers:
            contents["rows"].append(row_of(mistake, seen))
        elif mistake.number in numbers:
            again = {**row_of(mistake, seen), "provenance": provenance()}
            contents["rows"][places[mistake.number]] = again
    write_whole(OUTPUT, f"{json.dumps(contents, indent=1, ensure_ascii=False)}\n".encode())


if __name__ == "__main__":
    main({int(number) for number in sys.argv[1:]})
