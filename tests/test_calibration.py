"""The calibration of the audit: the kept table, and a sample of it made again."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from scipy.stats import binom

from vae_tutorial.audit import CHECKS, Verdict, audit

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import calibration
import planted

KEPT = json.loads(calibration.OUTPUT.read_text("utf-8"))
VERDICTS = ("wrong", "look", "sound", "cannot tell")
BY_CHANCE = {"decoder_of_another_run": 3}  # whose codes may suit the other decoder; of four seeds
SAMPLE = 6  # of sound models and of mistakes, that are made again


def test_at_least_three_hundred_sound_models_of_every_kind():
    models = KEPT["sound"]
    assert len(models) >= 320
    assert len({tuple(model[key] for key in calibration.Setting._fields) for model in models}) == (
        len(models)
    )
    for key, values in {
        "likelihood": {"stated σ", "learned σ", "bernoulli"},
        "latent": {2, 4, 8, 16},
        "hidden": {32, 128},
        "epochs": {15, 60},
        "activation": {"tanh", "relu"},
        "form": set(calibration.FORMS),
    }.items():
        counts = Counter(model[key] for model in models)
        assert set(counts) == values
        assert min(counts.values()) >= 60, (key, counts)


def test_the_rows_count_the_records():
    """Counted again here, record by record; and the counts of today's code are the kept ones."""
    today = calibration.check_rows(KEPT["sound"]), calibration.mistake_rows(KEPT["mistakes"])
    assert json.loads(json.dumps(today)) == [KEPT["checks"], KEPT["power"]]
    for row in KEPT["checks"]:
        for verdict in VERDICTS:
            count = sum(row["check"] in model[verdict] for model in KEPT["sound"])
            assert row[verdict] == count, row
    for row in KEPT["power"]:
        its = [record for record in KEPT["mistakes"] if record["mistake"] == row["mistake"]]
        accused = ("wrong", "look") if row["best"] == "look" else ("wrong",)
        found = [any(name in r[v] for name in row["own"] for v in accused) for r in its]
        assert (len(its), sum(found)) == (row["seeds"], row["found"])
        assert sum(row["first"].values()) == len(its)


def test_no_check_accuses_more_than_one_sound_model_in_a_hundred():
    """And "at most" is what can be said of it with 95 % confidence, by the models asked."""
    for row in KEPT["checks"]:
        assert row["asked"] == sum(row[verdict] for verdict in VERDICTS)
        assert row["wrong"] <= 0.01 * row["asked"], row
        chance = binom.cdf(row["wrong"], row["asked"], row["at most"])
        assert chance == pytest.approx(0.05, abs=0.003)  # the rate is kept with four decimals
    shown = [row for row in KEPT["checks"] if row["at most"] <= 0.01]
    assert len(shown) >= 25


def test_the_sound_models_that_are_accused_were_trained_briefly_and_do_not_use_z():
    accused = [row for row in KEPT["sound"] if row["wrong"]]
    assert {tuple(row["wrong"]) for row in accused} == {("rate",)}
    assert {row["epochs"] for row in accused} == {min(calibration.EPOCHS)}


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in KEPT["sound"] if row["wrong"]])
def test_a_sound_model_that_is_accused_is_not_once_it_is_trained_twice_as_long(row):
    fields = {name: row[name] for name in calibration.Setting._fields}
    setting = calibration.Setting(**fields)
    assert [found.check for found in audit(**calibration.sound(setting)).wrong] == ["rate"]
    longer = setting._replace(epochs=2 * setting.epochs)
    assert not audit(**calibration.sound(longer)).wrong


def test_the_highest_rate_is_that_of_the_binomial_law():
    """At it, so few alarms or fewer have a chance of one in twenty."""
    for alarms, models in ((0, 299), (1, 336), (5, 70)):
        rate = calibration.highest_rate(alarms, models)
        assert binom.cdf(alarms, models, rate) == pytest.approx(0.05)
    assert calibration.highest_rate(3, 3) == 1.0


def test_no_check_stopped_on_any_model():
    for record in [*KEPT["sound"], *KEPT["mistakes"]]:
        assert record["stopped"] == [], record


def test_every_mistake_is_found_by_its_own_checks_or_is_said_to_be_invisible():
    rows = {row["mistake"]: row for row in KEPT["power"]}
    assert set(rows) == set(planted.PLANTED)
    assert sum(bool(row["own"]) for row in rows.values()) >= 25
    for name, row in rows.items():
        own = planted.OWN[name]
        assert (tuple(row["own"]), row["best"], row["seeds"]) == (own.checks, own.verdict, 4)
        if own.checks:
            assert row["found"] >= BY_CHANCE.get(name, row["seeds"]), row


def test_the_power_over_all_visible_mistakes_is_above_nine_tenths():
    rows = [row for row in KEPT["power"] if row["own"]]
    assert sum(row["found"] for row in rows) >= 0.9 * sum(row["seeds"] for row in rows)


def test_an_invisible_mistake_makes_nothing_wrong():
    invisible = {name for name, own in planted.OWN.items() if not own.checks}
    assert invisible
    for record in KEPT["mistakes"]:
        if record["mistake"] in invisible:
            assert record["wrong"] == []


def test_where_something_is_wrong_a_mistakes_own_check_comes_first():
    for record in KEPT["mistakes"]:
        own = planted.OWN[record["mistake"]].checks
        if record["wrong"]:
            assert record["first"] in own, record


def test_each_check_that_praises_sound_models_has_accused_a_model_too():
    """A check that can only certify says nothing."""
    records = [*KEPT["sound"], *KEPT["mistakes"]]
    accused = {name for record in records for name in (*record["wrong"], *record["look"])}
    assert {name for record in records for name in record["sound"]} <= accused


def test_an_audit_of_a_small_model_takes_less_than_a_minute():
    records = [*KEPT["sound"], *KEPT["mistakes"]]
    assert max(record["seconds"]["audit"] for record in records) < 60


def test_the_own_checks_of_mistakes_have_names_that_audits_use():
    """A name that no audit of a sound model or of a mistake ever prints would never be found."""
    said = {name for r in [*KEPT["sound"], *KEPT["mistakes"]] for v in VERDICTS for name in r[v]}
    for own in planted.OWN.values():
        assert set(own.checks) <= said
    assert len(CHECKS) <= len(said)


def test_a_find_counts_by_its_own_check_and_its_verdict_alone():
    record = {"wrong": ["rate"], "look": ["draws", "head-room"], "sound": []}
    assert not calibration.is_found({**record, "mistake": "small_noise"})  # draws must be wrong
    half = "activations_beyond_float16"
    assert calibration.is_found({**record, "mistake": half})  # head-room can only look
    invisible = {"mistake": "divided_by_the_batch_twice_unseen"}
    assert not calibration.is_found({**record, **invisible})


def test_what_was_said_is_the_worst_of_each_check():
    from vae_tutorial.audit.findings import Finding, Report, in_order

    findings = [
        Finding("prior", Verdict.SOUND, "near", "", "", "11-evaluation"),
        Finding("prior", Verdict.LOOK, "far", "", "", "11-evaluation"),
        Finding("rate", Verdict.WRONG, "0 nats", "", "", "07-linear"),
        Finding("holes", Verdict.CANNOT_TELL, "this check stopped with ValueError: no", "", "", ""),
    ]
    seen = calibration.said(Report(in_order(findings), 10, 1.0))
    assert seen == {
        "first": "rate", "wrong": ["rate"], "look": ["prior"], "sound": [],
        "cannot tell": ["holes"], "stopped": ["holes"], "alarms": {"rate": "0 nats"},
    }  # fmt: skip
    nothing = calibration.said(Report((findings[0], findings[3]), 10, 1.0))
    assert (nothing["first"], nothing["sound"]) == (None, ["prior"])


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, monkeypatch):
    """A run of four models that is stopped after three makes one more, and then all tables."""
    made = []

    def record(what):
        made.append(what)
        said = {"wrong": [], "look": [], "sound": ["rate"], "cannot tell": []}
        return {"first": None, **said, "stopped": []}

    def mistake(name, seed):
        if len(made) == 3:
            raise KeyboardInterrupt
        return {**record(name), "mistake": name, "seed": seed}

    monkeypatch.setattr(calibration, "OUTPUT", tmp_path / "whole.json")
    monkeypatch.setattr(calibration, "UNFINISHED", tmp_path / "part.json")
    monkeypatch.setattr(calibration, "settings", lambda: ["a", "b"])
    monkeypatch.setattr(calibration, "sound_record", record)
    monkeypatch.setattr(calibration, "mistake_record", mistake)
    monkeypatch.setattr(calibration, "PLANTED", {"small_noise": None})
    monkeypatch.setattr(calibration, "MISTAKE_SEEDS", range(2))
    with pytest.raises(KeyboardInterrupt):
        calibration.main()
    assert not calibration.OUTPUT.exists()
    monkeypatch.setattr(calibration, "mistake_record", lambda n, s: {**record(n), "mistake": n})
    calibration.main()
    assert made == ["a", "b", "small_noise", "small_noise"]
    assert not calibration.UNFINISHED.exists()
    whole = json.loads(calibration.OUTPUT.read_text("utf-8"))
    counts = {"wrong": 0, "look": 0, "sound": 2, "cannot tell": 0, "asked": 2}
    most = round(1 - 0.05**0.5, 4)  # at which two sound models of two have a chance of 5 %
    assert whole["checks"] == [{"check": "rate", **counts, "at most": most}]
    assert len(whole["mistakes"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", range(SAMPLE))
def test_a_sound_model_made_again_gets_the_same_verdicts(number):
    kept = KEPT["sound"][number]
    setting = calibration.Setting(*(kept[key] for key in calibration.Setting._fields))
    again = calibration.sound_record(setting)
    assert {v: again[v] for v in VERDICTS} == {v: kept[v] for v in VERDICTS}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["grey_cross_entropy", "mean_over_pixels", "sample_not_rsample", "small_noise",
     "squared_log_deviation", "kl_is_only_printed"],
)  # fmt: skip
def test_a_mistake_made_again_is_found_again(name):
    kept = next(r for r in KEPT["mistakes"] if r["mistake"] == name and r["seed"] == 0)
    again = calibration.mistake_record(name, 0)
    assert calibration.is_found(again)
    assert (again["first"], again["wrong"]) == (kept["first"], kept["wrong"])
