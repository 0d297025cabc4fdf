"""The oracle's page: its tables say what files say, its lines of numpy print what it says."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import write_oracle

from vae_tutorial import oracle

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book" / "oracle.md").read_text("utf-8")
RESULTS = json.loads((ROOT / "book" / "results" / "oracle.json").read_text("utf-8"))
HALF = 0.0005  # of the last printed digit


def table(number):
    """The rows of a list-table of the page, a list of cells each, as many in every row."""
    body = PAGE.split(":::{list-table}")[number].split("\n:::")[0]
    rows = re.split(r"^\* - ", body, flags=re.M)[1:]
    cells = [[cell.strip() for cell in re.split(r"\n  - ", row)] for row in rows]
    assert len({len(row) for row in cells}) == 1
    return cells


def value(cell):
    return float(cell.replace("−", "-"))


def test_what_is_written_follows_from_the_files():
    assert write_oracle.written() == PAGE, "run tools/write_oracle.py"


def test_the_table_of_cases_says_what_the_files_say():
    header, *rows = table(1)
    assert header[:3] == ["case", "images", "log p(x)"]
    assert [row[0].strip("`") for row in rows] == list(oracle.NAMES)
    for row in rows:
        stored = json.loads((oracle.FOLDER / f"{row[0].strip('`')}.json").read_text("utf-8"))
        truth, elbos = stored["truth"], np.array(stored["truth"]["elbo"]).mean(1)
        nats = float(np.mean(truth["log_evidence"]))
        assert int(row[1]) == len(truth["modes"])
        each = np.subtract(truth["elbo"][1], truth["elbo"][0])
        encoder, median = re.fullmatch(r"(\S+) \((\S+)\)", row[4]).groups()
        known = [nats, elbos[1] - elbos[0], np.median(each), elbos[2] - elbos[1], nats - elbos[2]]
        for cell, expected in zip([row[2], encoder, median, *row[5:7]], known, strict=True):
            assert abs(value(cell) - expected) <= HALF + 1e-9
        assert abs(value(row[3]) - 1e9 * max(truth["error"])) <= 0.05 + 1e-9
        modes = [int(number) for number in re.findall(r"\d+", row[7])]
        assert (modes[0], modes[-1]) == (min(truth["modes"]), max(truth["modes"]))


def rounds_to(cell, expected):
    """Whether a printed number is `expected` to half of its last digit."""
    decimals = len(cell.partition(".")[2])
    return abs(value(cell) - expected) <= 0.5 * 10**-decimals + 1e-9


def test_the_table_of_estimators_says_what_the_results_say():
    header, *rows = table(2)
    names = [name.strip("`") for name in header[1:]]
    assert names == list(oracle.NAMES)
    found = 0
    for label, *cells in rows[4:]:
        package, estimator = label.split(": ", 1)
        for name, cell in zip(names, cells, strict=True):
            own = [
                result
                for result in RESULTS
                if (result["estimator"], result["case"]) == (estimator, name)
            ]
            if cell == "—":
                assert own == []
                continue
            (result,) = own
            found += 1
            assert package == "this package" or package.endswith(result["version"])
            mean, error, worst = re.fullmatch(r"(\S+)\s±\s(\S+) \((\S+)\)", cell).groups()
            assert rounds_to(mean, result["mean_error"])
            assert rounds_to(error, result["standard_error"])
            assert rounds_to(worst, result["worst"])
    assert found == len(RESULTS)


def test_the_rows_without_draws_say_what_the_files_say():
    header, *rows = table(2)
    labels = ["ELBO", "$L_{10}$", "$L_{100}$", "$L_{1000}$"]
    assert [row[0] for row in rows[:4]] == [f"*without draws:* {label}" for label in labels]
    for column, name in enumerate(header[1:], 1):
        truth = json.loads((oracle.FOLDER / f"{name.strip('`')}.json").read_text("utf-8"))["truth"]
        bounds = [truth["elbo"][0], *truth["importance_bound"]]
        for row, bound in zip(rows[:4], bounds, strict=True):
            below = np.subtract(bound, truth["log_evidence"])
            mean, worst = re.fullmatch(r"(\S+) \((\S+)\)", row[column]).groups()
            assert rounds_to(mean, below.mean())
            assert rounds_to(worst, np.abs(below).max())


def test_a_result_says_where_it_is_from():
    for row in RESULTS:
        assert {"commit", "hardware", "threads", "made"} <= set(row["provenance"])
        own = row["package"] == "vae-tutorial"  # others ran beside results that had changed
        assert re.fullmatch(
            r"[0-9a-f]{12}" if own else r"[0-9a-f]{12}\+?", row["provenance"]["commit"]
        )
        assert row["standard_error"] > 0
        assert row["worst"] >= row["root_mean_square"] >= abs(row["mean_error"])


@pytest.mark.parametrize("name", oracle.NAMES)
def test_the_packages_bounds_are_those_that_are_known_without_draws(name):
    """Averaged over images, K = 10 within five standard errors of L_10, each image's own error."""
    truth = oracle.load(name).truth
    (row,) = [
        result
        for result in RESULTS
        if result["case"] == name and result["estimator"] == "importance weights, K = 10"
    ]
    known = float((truth.importance_bound[0] - truth.log_evidence).mean())
    assert abs(row["mean_error"] - known) < 5 * row["standard_error"]


def test_the_ten_lines_of_numpy_run_and_print_what_the_page_says(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len([line for line in block.splitlines() if line.strip()]) <= 12
    assert re.findall(r"^(?:import|from) (\w+)", block, re.M) == ["numpy", "vae_tutorial"]
    exec(block, {})
    (shown,) = re.findall(r"```text\n(.*?)\n```", PAGE, re.S)
    numbers, printed = (
        re.findall(r"=(-?[\d.]+)", text) for text in (shown, capsys.readouterr()[0])
    )
    assert len(numbers) == len(oracle.Score._fields)
    for number, exact in zip(numbers, printed, strict=True):
        assert rounds_to(number, float(exact))
    known = oracle.load("digits").truth
    expected = float((known.importance_bound[1] - known.log_evidence).mean())  # K = 100
    assert abs(float(printed[0]) - expected) < 0.3
