"""Runs that are stopped, killed, refused or out of disk, against runs that were left alone."""

import errno
import itertools
import json
import os
import random
import re
from types import SimpleNamespace

import kill_runs
import pytest
import torch
from safetensors.torch import load_file

from vae_tutorial import datasets, noise
from vae_tutorial.adam import zero_moments
from vae_tutorial.bounds import Bound
from vae_tutorial.data import binarize, load_digits
from vae_tutorial.engine import runs
from vae_tutorial.engine.checkpoints import save_checkpoint
from vae_tutorial.engine.folders import describe, read_config
from vae_tutorial.engine.runs import (
    SILENT,
    Watch,
    any_of,
    averages,
    line,
    mend,
    require_batch,
    require_sound,
    require_together,
    resume,
    train,
    validate,
)
from vae_tutorial.engine.settings import Settings, build
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.processes import Processes
from vae_tutorial.scaling import in_place
from vae_tutorial.training import State, average_bound, fit, initial_state

DIGITS = datasets.load("digits")
FEW = DIGITS._replace(train=DIGITS.train[:60], test=DIGITS.test[:30])
SETTINGS = Settings(hidden=(8,), epochs=3, batch_size=25, learning_rate=0.01)
KINDS = {
    "elbo": SETTINGS,
    "iwae": SETTINGS._replace(objective="iwae", samples=3, activation="relu"),
    "dynamic": SETTINGS._replace(likelihood="bernoulli"),
    "static": SETTINGS._replace(likelihood="bernoulli", binarization="static"),
    "decaying": SETTINGS._replace(final_learning_rate=0.001, variance=0.05),
}
FILES = {"config.json", "checkpoint.pt", "weights.safetensors", "metrics.jsonl"}
FILES |= {"checkpoint.previous.pt"}


def run(settings, folder, **options):
    watch = SILENT._replace(**options.pop("watch", {}))
    return train(settings, FEW, folder, watch=watch, **options)


def step_by_step(settings, folder, **options):
    """Stopped after every epoch, and started again."""
    for _ in range(settings.epochs):
        stopped = run(settings, folder, watch={"stopping": lambda: True}, **options)
    return stopped


def same(one, two, epochs=SETTINGS.epochs):
    return kill_runs.differences(one, two, epochs) == []


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Each kind of run, left alone."""
    folder = tmp_path_factory.mktemp("alone")
    for name, settings in KINDS.items():
        run(settings, folder / name)
    return folder


@pytest.mark.parametrize("engine", [lambda step: step, in_place])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_stopped_after_every_epoch_ends_with_the_same_bits(kind, engine, alone, tmp_path):
    step_by_step(KINDS[kind], tmp_path, engine=engine)
    assert same(alone / kind, tmp_path)


def test_runs_of_two_seeds_differ(alone, tmp_path):
    run(SETTINGS._replace(seed=1), tmp_path)
    found = kill_runs.differences(alone / "elbo", tmp_path, SETTINGS.epochs)
    assert {"generator", "weights.safetensors", "metrics.jsonl"} < set(found)


def test_a_stopped_run_tells_how_far_it_came(tmp_path):
    said = []
    stop = Watch(report=said.append, stopping=lambda: True)
    assert len(train(SETTINGS, FEW, tmp_path, watch=stop).history) == 1
    assert [line.split("  ")[0] for line in said] == ["epoch 1/3"]
    assert len(train(SETTINGS, FEW, tmp_path, watch=Watch(said.append)).history) == 3
    assert said[1] == f"resuming after epoch 1 from {tmp_path}"
    assert [line.split("  ")[0] for line in said[2:]] == ["epoch 2/3", "epoch 3/3"]


def test_a_finished_run_stays_as_it_is(alone, tmp_path):
    first = run(SETTINGS, tmp_path).history
    before = (tmp_path / "checkpoint.pt").read_bytes()
    assert run(SETTINGS, tmp_path).history == first
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_longer_run_may_follow_a_shorter_one(alone, tmp_path):
    run(SETTINGS._replace(epochs=1), tmp_path)
    run(SETTINGS, tmp_path)
    assert same(alone / "elbo", tmp_path)
    assert read_config(tmp_path).settings == SETTINGS


def test_results_that_were_lost_are_made_again_from_the_checkpoint(alone, tmp_path):
    run(SETTINGS, tmp_path)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "weights.safetensors").write_bytes(b"")
    run(SETTINGS, tmp_path)
    assert same(alone / "elbo", tmp_path)


def test_training_is_that_of_fit(alone, tmp_path):
    model = build(SETTINGS, 64)
    fitted, history = fit(
        model,
        FEW.train,
        epochs=SETTINGS.epochs,
        batch_size=SETTINGS.batch_size,
        learning_rate=SETTINGS.learning_rate,
        generator=noise.generator(SETTINGS.seed),
    )
    stored = load_file(alone / "elbo" / "weights.safetensors")
    for name, value in fitted.named_parameters():
        assert torch.equal(stored.pop(name), value)
    assert not stored
    for epoch, record in zip(history, kill_runs.records(alone / "elbo"), strict=True):
        expected = {name: round(value, 6) for name, value in epoch._asdict().items()}
        assert {name: record[name] for name in expected} == expected


OTHERS = {
    "likelihood": "bernoulli",
    "binarization": "static",
    "activation": "relu",
    "objective": "iwae",
    "samples": 2,
    "batch_size": 20,
    "learning_rate": 0.02,
    "final_learning_rate": 0.001,
    "seed": 1,
    "epochs": 2,
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_folder_with_another_run_is_refused_by_the_name_of_what_differs(name, tmp_path):
    settings = SETTINGS._replace(variance=0.1)
    run(settings, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    old, new = getattr(settings, name), OTHERS[name]
    with pytest.raises(ValueError, match=f"holds another run, with {name} {old}, not {new}: take"):
        run(settings._replace(**{name: new}), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def swapped(images):
    """The same images, the first two of them in the other order."""
    return images._replace(train=images.train[[1, 0, *range(2, len(images.train))]])


def test_a_run_knows_its_images(alone, tmp_path):
    run(SETTINGS._replace(epochs=1), tmp_path)
    with pytest.raises(
        ValueError, match="other images, though they, too, were given as digits: take"
    ):
        train(SETTINGS, swapped(FEW), tmp_path, watch=SILENT)
    with pytest.raises(ValueError, match="another run, with data digits, not mnist: take"):
        train(SETTINGS._replace(data="mnist"), swapped(FEW), tmp_path, watch=SILENT)
    run(SETTINGS._replace(data="moved/elsewhere.npy"), tmp_path)  # the same images
    assert read_config(tmp_path).settings.data == "moved/elsewhere.npy"
    states = [
        torch.load(f / "checkpoint.pt", weights_only=True) for f in (alone / "elbo", tmp_path)
    ]
    for name, value in states[0]["parameters"].items():
        assert torch.equal(states[1]["parameters"][name], value)


@pytest.mark.parametrize("files", [["weights.safetensors"], ["metrics.jsonl", "config.json"]])
def test_results_without_a_checkpoint_are_not_written_over(files, tmp_path):
    run(SETTINGS, tmp_path)
    for path in tmp_path.iterdir():
        if path.name not in files:
            path.unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="but no checkpoint to go on from: take another folder"):
        run(SETTINGS, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("text", ["", "{}", '{"name": "mine"}', '{"settings": {"hidden": [8]}}'])
def test_another_programs_config_is_not_written_over(text, tmp_path):
    (tmp_path / "config.json").write_text(text, "utf-8")
    with pytest.raises(
        ValueError, match=r"config\.json .*: take another folder, or it would be lost"
    ):
        run(SETTINGS, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_text("utf-8") == text


def test_a_run_that_failed_in_its_first_epoch_may_be_tried_again(alone, tmp_path):
    with pytest.raises(FloatingPointError, match="nothing was kept"):
        run(SETTINGS._replace(learning_rate=1e30), tmp_path)
    run(SETTINGS, tmp_path)
    assert same(alone / "elbo", tmp_path)


def test_a_resumed_run_tells_where_it_began(tmp_path):
    run(SETTINGS._replace(epochs=1), tmp_path)
    path = tmp_path / "config.json"
    began = json.loads(path.read_text("utf-8")) | {"provenance": {"threads": 77}}
    path.write_text(json.dumps(began), "utf-8")
    run(SETTINGS, tmp_path)
    assert json.loads(path.read_text("utf-8"))["provenance"] == {"threads": 77}
    path.unlink()
    run(SETTINGS, tmp_path)
    assert json.loads(path.read_text("utf-8"))["provenance"]["threads"] == torch.get_num_threads()


@pytest.mark.parametrize(
    ("number", "kept"), [(2, "nothing was"), (4, "the state after epoch 1 is")]
)
def test_a_second_interrupt_tells_what_is_kept(number, kept, tmp_path):
    def engine(step):
        seen = []

        def interrupted(*arguments):
            seen.append(1)
            if len(seen) == number:
                raise KeyboardInterrupt
            return step(*arguments)

        return interrupted

    with pytest.raises(KeyboardInterrupt, match=f"^stopped; {kept} kept$"):
        run(SETTINGS, tmp_path, engine=engine)
    assert (tmp_path / "checkpoint.pt").exists() == (number > 2)


def test_an_epoch_that_was_not_yet_written_is_not_said_to_be_kept(tmp_path, monkeypatch):
    writings = []

    def interrupted(*given):
        writings.append(1)
        if len(writings) == 2:
            raise KeyboardInterrupt
        save_checkpoint(*given)

    monkeypatch.setattr(runs, "save_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"^stopped; the state after epoch 1 is kept$"):
        run(SETTINGS, tmp_path)


def test_the_trained_model_is_returned(alone, tmp_path):
    made = run(SETTINGS, tmp_path, engine=in_place)
    stored = load_file(alone / "elbo" / "weights.safetensors")
    assert all(torch.equal(stored[n], value) for n, value in made.model.state_dict().items())
    assert [record["epoch"] for record in made.history] == [1, 2, 3]
    assert torch.equal(made.held_out, FEW.test)


@pytest.mark.parametrize(
    "other", [{"hidden": (9,)}, {"hidden": (8, 8)}, {"latent": 3}, {"variance": 0.1}]
)
def test_a_folder_with_another_model_is_refused(other, tmp_path):
    run(SETTINGS, tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(ValueError, match=r"checkpoint\.pt does not fit this architecture"):
        run(SETTINGS._replace(**other), tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_no_longer_run_follows_where_the_rate_depends_on_the_length(tmp_path):
    run(KINDS["decaying"], tmp_path)
    with pytest.raises(ValueError, match="with epochs 3, not 4"):
        run(KINDS["decaying"]._replace(epochs=4), tmp_path)


def spoil(path, part):
    """Cut a file short, or turn it around where `part` is 1."""
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))] if part < 1 else whole[::-1])
    return path.read_bytes()


@pytest.mark.parametrize("part", [0, 1, 0.3, 0.99, None])
def test_a_checkpoint_that_a_disk_lost_gives_way_to_the_one_before_it(part, alone, tmp_path):
    run(SETTINGS._replace(epochs=2), tmp_path)
    path, said = tmp_path / "checkpoint.pt", []
    if part is None:
        path.unlink()
    else:
        spoil(path, part)
    train(SETTINGS, FEW, tmp_path, watch=SILENT._replace(report=said.append))
    assert re.search(
        "checkpoint.pt is (no checkpoint, or a damaged one|lost): checkpoint.prev", said[0]
    )
    assert [line.split("  ")[0] for line in said[1:]] == [
        f"resuming after epoch 1 from {tmp_path}",
        "epoch 2/3",
        "epoch 3/3",
    ]
    assert same(alone / "elbo", tmp_path)


def test_the_first_weights_are_not_asked_for_again_where_one_checkpoint_is_left(tmp_path):
    run(SETTINGS._replace(epochs=1), tmp_path / "first")
    settings = SETTINGS._replace(start_from=str(tmp_path / "first"))
    for name in ("whole", "lost"):
        run(settings, tmp_path / name)
    (tmp_path / "first" / "weights.safetensors").unlink()
    (tmp_path / "lost" / "checkpoint.pt").unlink()
    run(settings, tmp_path / "lost")
    assert same(tmp_path / "whole", tmp_path / "lost")


@pytest.mark.parametrize("part", [0, 1, 0.3, 0.99])
def test_two_damaged_checkpoints_are_refused_and_left_in_place(part, tmp_path):
    run(SETTINGS, tmp_path)
    paths = tmp_path / "checkpoint.pt", tmp_path / "checkpoint.previous.pt"
    damaged = [spoil(path, part) for path in paths]
    rescue = f"--start-from {tmp_path} and another --output begin with the weights"
    with pytest.raises(
        ValueError, match=rf"damaged one, and there is no whole .*{rescue}"
    ) as caught:
        run(SETTINGS, tmp_path)
    assert "\n" not in str(caught.value)
    assert [path.read_bytes() for path in paths] == damaged
    run(SETTINGS._replace(start_from=str(tmp_path)), tmp_path / "other")  # as the message says


def test_the_first_checkpoint_has_none_before_it(tmp_path):
    run(SETTINGS._replace(epochs=1), tmp_path)
    assert not (tmp_path / "checkpoint.previous.pt").exists()
    spoil(tmp_path / "checkpoint.pt", 0.5)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match=r"no whole one before it$"):
        run(SETTINGS, tmp_path)


def test_a_folder_without_a_checkpoint_needs_no_mending(tmp_path):
    mend(tmp_path, print)
    assert list(tmp_path.iterdir()) == []


def test_another_models_checkpoint_is_no_damaged_one(tmp_path):
    run(SETTINGS, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="does not fit this architecture"):
        run(SETTINGS._replace(latent=3), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


NO_NOTES = [
    *("", "{", "{}", "[]", "3", '"text"', "null", "[" * 5000, "settings"),
    '{"settings": {}, "images": {}}',
    '{"settings": 3, "images": 3}',
]
NO_HISTORY = [None, {}, [], 3, "text", [3], [{}], [{"epoch": 2}], [{"epoch": 1}, {"epoch": 1}]]


@pytest.mark.parametrize("notes", NO_NOTES)
def test_a_checkpoint_with_other_notes_is_refused(notes, tmp_path):
    kept(tmp_path, notes=notes)
    with pytest.raises(ValueError, match=r"checkpoint\.pt") as caught:
        taken_up(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("history", NO_HISTORY)
def test_a_checkpoint_with_another_history_is_refused(history, tmp_path):
    kept(tmp_path, notes=json.dumps(describe(PLAIN, FEW).notes() | {"history": history}))
    with pytest.raises(ValueError, match=r"checkpoint\.pt does not hold the history of a run"):
        taken_up(tmp_path)


def spoiled_at(number, field):
    """An engine whose step of that number, from 1, gives NaN in a term, or in the parameters."""

    def engine(step):
        seen = 0

        def spoil(*arguments):
            nonlocal seen
            seen += 1
            update = step(*arguments)
            if seen != number:
                return update
            if field == "parameters":
                bad = {n: value * torch.nan for n, value in update.parameters.items()}
                return update._replace(parameters=bad)
            return update._replace(bound=update.bound._replace(kl=update.bound.kl * torch.nan))

        return spoil

    return engine


def test_a_learning_rate_too_large_ends_in_the_first_epoch_with_nothing_kept(tmp_path):
    with pytest.raises(FloatingPointError, match=r"^epoch 1: step 2: .* NaN .*nothing was kept$"):
        run(SETTINGS._replace(learning_rate=1e30), tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_learning_rate_that_grows_too_large_leaves_the_last_good_checkpoint(tmp_path):
    settings, kept = SETTINGS._replace(final_learning_rate=1e30), []
    watch = Watch(lambda line: kept.append((tmp_path / "checkpoint.pt").read_bytes()))
    with pytest.raises(FloatingPointError, match=r"^epoch 2: .* inf; the state after epoch 1 is"):
        train(settings, FEW, tmp_path, watch=watch)
    assert [(tmp_path / "checkpoint.pt").read_bytes()] == kept


@pytest.mark.parametrize(("number", "kept"), [(2, "nothing"), (4, "the state after epoch 1")])
def test_a_bound_that_is_not_finite_is_told_with_its_step_and_terms(number, kept, tmp_path):
    terms = r"elbo -\d\S*, log_likelihood -\d\S*, kl nan"
    epoch = (number + 1) // 2  # two steps an epoch
    said = rf"^epoch {epoch}: step {number} gave {terms}, .*; {kept} (was|is) kept$"
    with pytest.raises(FloatingPointError, match=said):
        run(SETTINGS, tmp_path, engine=spoiled_at(number, "kl"))
    assert (tmp_path / "checkpoint.pt").exists() == (epoch > 1)


def test_the_run_goes_on_from_the_last_good_checkpoint(alone, tmp_path):
    with pytest.raises(FloatingPointError, match=r"epoch 2: \S+ after step 4"):
        run(SETTINGS, tmp_path, engine=spoiled_at(4, "parameters"))
    run(SETTINGS, tmp_path)
    assert same(alone / "elbo", tmp_path)


@pytest.mark.parametrize("writing", range(1, 21))
def test_a_full_disk_costs_at_most_the_epoch(writing, alone, tmp_path, monkeypatch):
    count, fsync = 0, os.fsync

    def full(file):
        nonlocal count
        count += 1
        if count == writing:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        run(SETTINGS, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= FILES
    run(SETTINGS, tmp_path)
    assert same(alone / "elbo", tmp_path)


def test_all_files_are_written_through_the_disk(tmp_path, monkeypatch):
    count, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: count.append(fsync(file)))
    run(SETTINGS, tmp_path)
    files = 1 + 3 * SETTINGS.epochs  # the settings; three files an epoch
    assert len(count) == 2 * files  # each, and the folder that has its name


def test_files_of_killed_writers_are_removed_and_no_others(tmp_path):
    left = [".checkpoint.pt.123", ".metrics.jsonl.7", ".weights.safetensors.99"]
    others = {".notes.7", "checkpoint.pt.5", ".checkpoint.pt.swp", ".config.json.7x", "notes.txt"}
    for name in [*left, ".checkpoint.previous.pt.5", *others]:
        (tmp_path / name).write_bytes(b"part")
    run(SETTINGS, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES | others


@pytest.mark.parametrize("kind", ["elbo", "dynamic", "iwae"])
def test_validation_is_the_bound_of_held_out_images_under_the_stored_weights(kind, alone):
    model = build(KINDS[kind], 64)
    model.load_state_dict(load_file(alone / kind / "weights.safetensors"), strict=False)
    held_out = FEW.test
    if kind == "dynamic":
        held_out = binarize(held_out, noise.generator(1_000_003))
    bound = average_bound(model, held_out, 1, noise.generator(1_000_005))
    record = kill_runs.records(alone / kind)[-1]
    for name, term in bound._asdict().items():
        assert record[f"validation_{name}"] == pytest.approx(term.mean().item(), abs=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_holds_the_terms_and_the_rate(kind, alone):
    terms = ["elbo", "log_likelihood", "kl"] + (["importance_bound"] if kind == "iwae" else [])
    text = (alone / kind / "metrics.jsonl").read_text("utf-8")
    for number, record in enumerate(map(json.loads, text.splitlines()), 1):
        validation = [f"validation_{name}" for name in terms]
        assert list(record) == ["epoch", *terms, "seconds", "learning_rate", *validation]
        assert record["epoch"] == number
        assert record["learning_rate"] == KINDS[kind].learning_rate_at(number)
        assert record["seconds"] >= 0
        for start in ("", "validation_"):
            gap = record[f"{start}log_likelihood"] - record[f"{start}kl"]
            assert record[f"{start}elbo"] == pytest.approx(gap, abs=1e-4)  # rounding
    assert len(text.splitlines()) == SETTINGS.epochs


def test_an_epoch_is_timed_in_seconds(tmp_path, monkeypatch):
    clock = itertools.count(100, 2.5)
    monkeypatch.setattr(runs, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert run(SETTINGS._replace(epochs=1), tmp_path).history[0]["seconds"] == 2.5


def test_who_watches_knows_how_many_batches_there_are(tmp_path):
    seen = []

    def progress(batches, steps):
        batches = list(batches)
        seen.append((len(batches), steps))
        return batches

    run(SETTINGS, tmp_path, watch={"progress": progress})
    assert seen == [(2, 2)] * 3  # two batches of 25 in 60 images


def test_dynamic_images_are_drawn_anew_and_static_ones_stay(tmp_path):
    for kind, new in (("dynamic", True), ("static", False)):
        seen = []

        def note(step, seen=seen):
            return lambda *given: seen.append(given[3]) or step(*given)

        run(KINDS[kind]._replace(batch_size=60), tmp_path / kind, engine=note)
        one, two = (batch.sum().item() for batch in seen[:2])  # all images, in another order
        assert (one != two) == new
        assert set(seen[0].unique().tolist()) == {0.0, 1.0}


def test_settings_are_kept_whole(alone):
    for kind, settings in KINDS.items():
        assert read_config(alone / kind) == describe(settings, FEW)


def test_a_batch_must_fit_the_images_and_the_processes():
    require_batch(60, 60, Processes(0, 3))
    with pytest.raises(ValueError, match="at most the number of images, 60, got 61"):
        require_batch(61, 60, Processes())
    with pytest.raises(ValueError, match="multiple of the number of processes, 2, got 25"):
        require_batch(25, 60, Processes(0, 2))


def others(monkeypatch, value):
    """All other processes together hand in `value` wherever a sum over processes is formed."""
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda flat: flat.add_(value))


def test_processes_that_stand_at_different_steps_do_not_begin(monkeypatch):
    others(monkeypatch, 10)
    require_together(state(count=10), Processes(0, 2))
    others(monkeypatch, 15)
    with pytest.raises(ValueError, match=r"^process 0 stands at step 10, others elsewhere: "):
        require_together(state(count=10), Processes(0, 2))


@pytest.mark.parametrize("count", [2, 8])
def test_the_wish_of_one_process_is_that_of_all(count, monkeypatch):
    for mine, theirs in itertools.product((False, True), repeat=2):
        others(monkeypatch, float(theirs))  # at most one of the others has it
        assert any_of(Processes(0, count), mine, torch.ones(3)) == (mine or theirs)


def test_a_refused_batch_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="got 61"):
        run(SETTINGS._replace(batch_size=61), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_run_that_is_killed_ends_with_the_same_bits(tmp_path):
    settings, draw = Settings(hidden=(16,), epochs=30), random.Random(0)
    torch.set_flush_denormal(True)  # as the command line does
    try:
        train(settings, DIGITS, tmp_path / "alone", watch=SILENT, engine=in_place)
        for aim in ("epochs", "writing"):
            kill_runs.kill(tmp_path / "killed", 30, aim, start=8, epoch=0.05, draw=draw)
        assert 1 <= len(kill_runs.records(tmp_path / "killed")) < 30
        train(settings, DIGITS, tmp_path / "killed", watch=SILENT, engine=in_place)
    finally:
        torch.set_flush_denormal(False)
    assert kill_runs.differences(tmp_path / "alone", tmp_path / "killed", 30) == []


def state(value=1.0, count=10):
    parameters = {"weight": torch.tensor([value, 2.0])}
    return State(parameters, zero_moments(parameters), count)


def means(*elbos):
    return Bound(torch.tensor(elbos), torch.tensor([5.0] * len(elbos)), torch.ones(len(elbos)))


def test_terms_are_averaged_by_name():
    bound = Bound(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([4.0, 4.0, 4.0]), torch.zeros(3))
    assert averages(bound) == {"elbo": 3.0, "log_likelihood": 4.0, "kl": 0.0}


def test_terms_without_a_number_have_no_mean():
    empty = Bound(torch.ones(2), torch.ones(2), torch.zeros(0))
    with pytest.raises(ValueError, match="kl is empty"):
        averages(empty)


def test_finite_terms_and_parameters_are_sound():
    require_sound(state(), means(1.0, 2.0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_the_first_step_that_is_not_finite_is_named_with_its_terms(bad):
    with pytest.raises(ValueError, match=re.escape(f"step 9 gave elbo {bad:g}, log_likelihood 5")):
        require_sound(state(), means(1.0, 2.0, bad, bad))


def test_parameters_that_are_not_finite_are_named():
    with pytest.raises(ValueError, match="weight after step 10 must be finite"):
        require_sound(state(float("nan")), means(1.0))


def test_validation_takes_the_same_draws_each_time_and_every_image(monkeypatch):
    model, images = build(Settings(hidden=(4,)), 64).requires_grad_(False), load_digits().test
    monkeypatch.setattr("vae_tutorial.engine.runs.AT_ONCE", 100)
    first, second = validate(model, images), validate(model, images)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    random = generator(1_000_005)
    expected = []
    for part in (images[:100], images[100:200], images[200:]):
        draws = standard_normal((1, len(part), 2), random, like=part)
        expected.append(model(part, draws).elbo)
    torch.testing.assert_close(first.elbo, torch.cat(expected))


def test_a_line_holds_what_a_reader_follows():
    record = {"epoch": 3, "elbo": -1.234, "log_likelihood": 5.0, "kl": 6.234}
    record |= {"validation_elbo": -2.5, "seconds": 0.06}
    expected = "epoch 3/9  elbo -1.23  log-likelihood 5.00  kl 6.23  validation elbo -2.50  0.1 s"
    assert line(record, 9) == expected


PLAIN = Settings(hidden=(3,), epochs=5, seed=4)


def kept(folder, settings=PLAIN, notes=None):
    """A folder as it is after one epoch, and the state in it."""
    start = initial_state(build(settings, 64))
    state = start._replace(steps=15)
    generator = noise.generator(9)
    torch.rand(7, generator=generator)
    default = json.dumps(describe(settings, FEW).notes() | {"history": [{"epoch": 1}]})
    notes = default if notes is None else notes
    save_checkpoint(folder / "checkpoint.pt", state, generator, notes)
    return state, generator


def taken_up(folder, settings=PLAIN):
    generator = noise.generator(settings.seed)
    start = initial_state(build(settings, 64))
    return *resume(folder, describe(settings, FEW), start, generator), generator


def test_an_empty_folder_is_a_fresh_start(tmp_path):
    state, history, generator = taken_up(tmp_path)
    assert state.steps == 0
    assert history == []
    assert torch.equal(generator.get_state(), noise.generator(4).get_state())


def test_a_run_is_taken_up_where_it_stood(tmp_path):
    expected, stood = kept(tmp_path)
    state, history, generator = taken_up(tmp_path)
    assert state.steps == 15
    assert history == [{"epoch": 1}]
    assert torch.equal(generator.get_state(), stood.get_state())
    for name, value in expected.parameters.items():
        assert torch.equal(state.parameters[name], value)


@pytest.mark.parametrize("changed", [{"seed": 5}, {"batch_size": 64}, {"learning_rate": 0.1}])
def test_another_runs_settings_are_named(tmp_path, changed):
    kept(tmp_path)
    ((name, value),) = changed.items()
    words = f"{name} {getattr(PLAIN, name)}, not {value}"
    with pytest.raises(ValueError, match=f"holds another run, with {words}: take another folder"):
        taken_up(tmp_path, PLAIN._replace(**changed))


def test_only_a_run_of_constant_rate_may_be_prolonged(tmp_path):
    kept(tmp_path)
    assert taken_up(tmp_path, PLAIN._replace(epochs=9))[1] == [{"epoch": 1}]
    with pytest.raises(ValueError, match="epochs 5, not 4"):
        taken_up(tmp_path, PLAIN._replace(epochs=4))
    falling = PLAIN._replace(final_learning_rate=1e-4)
    kept(tmp_path, falling)
    with pytest.raises(ValueError, match="epochs 5, not 9"):
        taken_up(tmp_path, falling._replace(epochs=9))
