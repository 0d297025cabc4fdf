"""The oracle's page: its tables say what the files say, and its ten lines of numpy run."""

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
        known = [nats, elbos[1] - elbos[0], np.median(each), elbos[2] - elbos[1], nats - elbos[2]]
        for cell, expected in zip(row[2:7], known, strict=True):
            assert abs(value(cell) - expected) <= HALF + 1e-9
        modes = [int(number) for number in re.findall(r"\d+", row[7])]
        assert (modes[0], modes[-1]) == (min(truth["modes"]), max(truth["modes"]))


def test_the_table_of_estimators_says_what_the_results_say():
    header, *rows = table(2)
    names = [name.strip("`") for name in header[2:]]
    assert names == list(oracle.NAMES)
    found = 0
    for package, estimator, *cells in rows:
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
            mean, worst = re.fullmatch(r"(\S+) \((\S+)\)", cell).groups()
            assert abs(value(mean) - result["mean_error"]) <= HALF + 1e-9
            assert abs(value(worst) - result["worst"]) <= HALF + 1e-9
    assert found == len(RESULTS)


def test_a_result_says_where_it_is_from():
    for row in RESULTS:
        assert {"commit", "hardware", "threads", "made"} <= set(row["provenance"])
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


def test_the_ten_lines_of_numpy_run():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len([line for line in block.splitlines() if line.strip()]) <= 12
    assert "torch" not in block
    scope: dict = {}
    exec(block.replace("print(oracle.score(case, estimate))", ""), scope)
    score = oracle.score(scope["case"], scope["estimate"])
    known = scope["case"].truth
    expected = float((known.importance_bound[1] - known.log_evidence).mean())  # K = 100
    assert abs(score.mean_error - expected) < 0.3
