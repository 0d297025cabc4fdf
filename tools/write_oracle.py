"""Write what is computed in `book/oracle.md`: `python tools/write_oracle.py`.

What its lines of numpy print, the table of cases from the oracle's files, and the table of
estimators from `book/results/oracle.json`. Each stands between two marks. A second run changes no
file.
"""

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np

from vae_tutorial import oracle

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "book" / "oracle.md"
RESULTS = ROOT / "book" / "results" / "oracle.json"
GLUE = "\u202f"  # a narrow space at which no line breaks
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
    """A row a case: images, log p(x), the three gaps on average, modes; then what each is."""
    header = [
        "case",
        "images",
        "log p(x)",
        "error, $10^{-9}$",
        "encoder (median)",
        "diagonal",
        "Gaussian",
        "modes",
    ]
    rows = [header]
    for name in oracle.NAMES:
        truth = oracle.load(name).truth
        encoder, diagonal, gaussian = map(number, truth.gaps.mean(1))
        least, most = truth.modes.min(), truth.modes.max()
        rows.append(
            [
                f"`{name}`",
                str(len(truth.modes)),
                number(truth.log_evidence.mean()),
                f"{1e9 * truth.error.max():.1f}",
                f"{encoder} ({number(np.median(truth.gaps[0]))})",
                diagonal,
                gaussian,
                str(least) if least == most else f"{least} to {most}",
            ]
        )
    about = "\n".join(f"- `{name}`: {oracle.load(name).about}" for name in oracle.NAMES)
    return f"{listed(rows)}\n\n{about}"


def in_order(name: tuple[str, str, str]) -> tuple:
    """This package first; by words, then by the numbers between them."""
    package, estimator, _ = name
    numbers = [int(digits.replace(",", "")) for digits in re.findall(r"[\d,]*\d", estimator)]
    words = re.sub(r"[\d,]*\d", "", estimator).lower()
    return package not in PACKAGES, package, words, numbers


def measured(mean: float, error: float, worst: float) -> str:
    """An average with as many decimals as its error allows, and the largest in brackets."""
    decimals = 1 if error >= 0.95 else 2 if error >= 0.0095 else 4
    average = f"{round(mean, decimals) + 0.0:.{decimals}f}".replace("-", "−")
    return f"{average} ±{GLUE}{error:.{decimals}f} ({largest(worst)})"


def largest(value: float) -> str:
    """Three digits, but no more than three decimals."""
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{decimals}f}"


def without_draws() -> list[list[str]]:
    """A row a bound of the encoder's q that needs no draws: bound minus log p(x), the largest."""
    names = ["ELBO", *(f"$L_{{{k}}}$" for k in oracle.SAMPLES)]
    rows = [[f"*without draws:* {name}"] for name in names]
    for name in oracle.NAMES:
        truth = oracle.load(name).truth
        for row, bound in zip(rows, [truth.elbo[0], *truth.importance_bound], strict=True):
            error = bound - truth.log_evidence
            row.append(f"{number(error.mean())} ({largest(np.abs(error).max())})")
    return rows


def results() -> str:
    """A row an estimator: in each case its average error, and the largest in brackets."""
    rows = json.loads(RESULTS.read_text("utf-8"))
    found = {(row["package"], row["estimator"], row["case"]): row for row in rows}
    names = {(row["package"], row["estimator"], row["version"]) for row in rows}
    estimators = sorted(names, key=in_order)
    lines = [["estimator", *(f"`{name}`" for name in oracle.NAMES)], *without_draws()]
    for package, estimator, version in estimators:
        cells = []
        for name in oracle.NAMES:
            row = found.get((package, estimator, name))
            keys = ("mean_error", "standard_error", "worst")
            cells.append(measured(*(row[key] for key in keys)) if row else "—")
        lines.append([f"{PACKAGES.get(package, f'{package} {version}')}: {estimator}", *cells])
    return listed(lines)


def printed() -> str:
    """What the page's lines of numpy print, rounded."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    scope: dict = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(block, scope)
    score = oracle.score(scope["case"], scope["estimate"])
    rounded = oracle.Score(*(round(value, 2) for value in score))
    return f"```text\n{rounded}\n```"


PARTS = {"what is printed": printed, "the cases": cases, "the estimators": results}


def written() -> str:
    """The whole text of the page, with what is computed as files have it."""
    text = PAGE.read_text("utf-8")
    for name, make in PARTS.items():
        begin, end = f"% {name}, by tools/write_oracle.py", f"% end of {name}"
        pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
        table = f"{begin}\n\n{make()}\n\n{end}"
        text, count = pattern.subn(lambda _, table=table: table, text)
        if count != 1:
            raise ValueError(f"oracle.md needs the marks {begin!r} and {end!r} once, found {count}")
    return text


if __name__ == "__main__":
    PAGE.write_text(written(), "utf-8")
