"""Write the two tables of `book/oracle.md`: `python tools/write_oracle.py`.

The first from the oracle's files, the second from `book/results/oracle.json`. Each stands between
two marks. A second run changes no file.
"""

import json
import re
from pathlib import Path

import numpy as np

from vae_tutorial import oracle

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "book" / "oracle.md"
RESULTS = ROOT / "book" / "results" / "oracle.json"
PACKAGES = {"vae-tutorial": "this package"}  # others are called by their name and version


def number(value: float) -> str:
    """Three decimals, and a minus as printers have it."""
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "−")  # adding 0.0 takes the sign of −0.0


def listed(rows: list[list[str]]) -> str:
    """Rows as a list-table, the first of them its header."""
    lines = [":::{list-table}", ":header-rows: 1", ""]
    for row in rows:
        lines += [f"{'* -' if index == 0 else '  -'} {cell}" for index, cell in enumerate(row)]
    return "\n".join([*lines, ":::"])


def cases() -> str:
    """A row a case: images, log p(x) and the three gaps on average, modes; then what each is."""
    rows = [
        [
            "case",
            "images",
            "log p(x)",
            "encoder",
            "its median",
            "diagonal",
            "Gaussian",
            "modes",
        ]
    ]
    for name in oracle.NAMES:
        case = oracle.load(name)
        truth = case.truth
        encoder, diagonal, gaussian = truth.gaps.mean(1)
        gaps = map(number, (encoder, np.median(truth.gaps[0]), diagonal, gaussian))
        least, most = truth.modes.min(), truth.modes.max()
        modes = str(least) if least == most else f"{least} to {most}"
        count, nats = str(len(truth.modes)), number(truth.log_evidence.mean())
        rows.append([f"`{name}`", count, nats, *gaps, modes])
    about = "\n".join(f"- `{name}`: {oracle.load(name).about}" for name in oracle.NAMES)
    return f"{listed(rows)}\n\n{about}"


def in_order(name: tuple[str, str, str]) -> tuple:
    """This package first; by words, then by the numbers between them."""
    package, estimator, _ = name
    numbers = [int(digits.replace(",", "")) for digits in re.findall(r"[\d,]*\d", estimator)]
    words = re.sub(r"[\d,]*\d", "", estimator).lower()
    return package not in PACKAGES, package, words, numbers


def results() -> str:
    """A row an estimator: in each case its average error, and the largest in brackets."""
    rows = json.loads(RESULTS.read_text("utf-8"))
    found = {(row["package"], row["estimator"], row["case"]): row for row in rows}
    names = {(row["package"], row["estimator"], row["version"]) for row in rows}
    estimators = sorted(names, key=in_order)
    lines = [["package", "estimator", *(f"`{name}`" for name in oracle.NAMES)]]
    for package, estimator, version in estimators:
        cells = []
        for name in oracle.NAMES:
            row = found.get((package, estimator, name))
            cells.append(f"{number(row['mean_error'])} ({number(row['worst'])})" if row else "—")
        lines.append([PACKAGES.get(package, f"{package} {version}"), estimator, *cells])
    return listed(lines)


TABLES = {"the cases": cases, "the estimators": results}


def written() -> str:
    """The whole text of the page, with its tables as files have them."""
    text = PAGE.read_text("utf-8")
    for name, make in TABLES.items():
        begin, end = f"% {name}, by tools/write_oracle.py", f"% end of {name}"
        pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
        table = f"{begin}\n\n{make()}\n\n{end}"
        text, count = pattern.subn(lambda _, table=table: table, text)
        if count != 1:
            raise ValueError(f"oracle.md needs the marks {begin!r} and {end!r} once, found {count}")
    return text


if __name__ == "__main__":
    PAGE.write_text(written(), "utf-8")
