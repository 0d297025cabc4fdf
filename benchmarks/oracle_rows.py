"""Where the scripts that run estimators on the oracle keep what they found: a row an estimate."""

import json
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from vae_tutorial import oracle
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole

OUTPUT = Path(__file__).resolve().parent.parent / "book" / "results" / "oracle.json"
MNIST = "t10k-images-idx3-ubyte.gz"
Estimator = Callable[[oracle.Case, np.ndarray], np.ndarray]  # a case, x to log p(x), (n,) in nats


def cases(names: Iterable[str], mnist: Path | None) -> Iterable[tuple[oracle.Case, np.ndarray]]:
    """Cases with their images, that of MNIST only where its file is given."""
    for name in names:
        if name != "mnist" or mnist is not None:
            case = oracle.load(name)
            yield case, oracle.images(case, mnist)


@cache
def made() -> dict[str, str | int]:
    """The provenance of all rows of a process, as it was before the first changed a file."""
    return provenance()


def keep(package: str, estimator: str, case: oracle.Case, estimate: np.ndarray) -> None:
    """Score an estimate, and put it in the place of the row of the same name, if there is one."""
    said = {"package": package, "estimator": estimator, "case": case.name}
    row = {
        **said,
        "version": version(package),
        **oracle.score(case, np.asarray(estimate, dtype=float))._asdict(),
        "provenance": made(),
    }
    rows = json.loads(OUTPUT.read_text("utf-8")) if OUTPUT.exists() else []
    rows = [other for other in rows if any(other[key] != said[key] for key in said)]
    rows.append(row)
    rows.sort(key=lambda r: (r["package"] != "vae-tutorial", r["package"], r["estimator"]))
    lines = ",\n".join(f" {json.dumps(r)}" for r in rows)
    write_whole(OUTPUT, f"[\n{lines}\n]\n".encode())
    print(json.dumps({key: row[key] for key in (*said, "mean_error", "worst")}), flush=True)
