"""A run's folder: held by one process, bound to its settings and images, and nobody else's."""

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from vae_tutorial import datasets
from vae_tutorial.engine import folders
from vae_tutorial.engine.folders import (
    config_of,
    describe,
    differences,
    held,
    load_trained,
    read_config,
    require_ours,
    write_config,
)
from vae_tutorial.engine.runs import SILENT, train
from vae_tutorial.engine.settings import Settings

DIGITS = datasets.load("digits")
SETTINGS = Settings(hidden=(4,), epochs=2, batch_size=500)
OTHERS = {
    "activation": "relu",
    "likelihood": "bernoulli",
    "variance": 0.5,
    "seed": 3,
    "objective": "iwae",
    "learning_rate": 0.5,
    "data": "mnist",
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "run"
    train(SETTINGS._replace(variance=0.1), DIGITS, folder, watch=SILENT)
    return folder


@pytest.fixture
def copy(good, tmp_path):
    return shutil.copytree(good, tmp_path / "run")


def edit(folder, part, **changes):
    path = folder / "config.json"
    content = json.loads(path.read_text("utf-8"))
    content[part] |= changes
    path.write_text(json.dumps(content), "utf-8")


# What a folder says


def test_images_are_known_by_all_their_bytes_and_their_shape():
    digest = hashlib.sha256(b"1500 8 8")
    digest.update(DIGITS.train.numpy().tobytes())
    digest.update(DIGITS.test.numpy().tobytes())
    seen = describe(SETTINGS, DIGITS)
    assert seen == (SETTINGS, 8, 8, digest.hexdigest())
    assert seen.pixels == 64
    changed = DIGITS.test.clone()
    changed[-1, -1] += 2**-24
    others = [
        DIGITS._replace(test=changed),
        DIGITS._replace(train=DIGITS.train.flip(0)),
        DIGITS._replace(height=4, width=16),
        DIGITS._replace(train=DIGITS.train[:-1], test=torch.cat([DIGITS.train[-1:], DIGITS.test])),
    ]
    digests = {describe(SETTINGS, images).digest for images in others}
    assert len(digests | {seen.digest}) == 5


def test_a_configuration_comes_back_as_it_was_written(tmp_path):
    for settings in (SETTINGS, Settings(hidden=(3, 2), variance=0.5, start_from="a")):
        config = describe(settings, DIGITS)
        write_config(tmp_path, config, "cpu", resumed=False)
        assert read_config(tmp_path) == config
        kept = json.loads((tmp_path / "config.json").read_text("utf-8"))["images"]
        assert [kept[name] for name in ("height", "width", "pixels")] == [8, 8, 64]


BAD = {
    "": "is no JSON",
    "{": "is no JSON",
    "\udcff": "is no JSON",
    "[" * 5000: "is no JSON",
    "[]": "does not hold the settings of a run",
    "null": "does not hold the settings of a run",
    "3": "does not hold the settings of a run",
    '{"a": 1}': "does not hold the settings of a run",
    '{"settings": {"hidden": [8]}}': "is of an older version",
    '{"settings": {"hidden": [8]}, "images": {}}': "needed an object with data",
    '{"settings": [], "images": {}}': "needed an object with data",
}


@pytest.mark.parametrize("text", BAD)
def test_a_config_without_a_run_is_refused_with_its_reason(text, tmp_path):
    (tmp_path / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=BAD[text]) as caught:
        read_config(tmp_path)
    assert str(tmp_path / "config.json") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("likelihood", "poisson", "likelihood must be gaussian or bernoulli, got 'poisson'"),
        ("seed", "0", "seed must be a whole number from 0 to"),
        ("hidden", [], "hidden must be one width or more"),
        ("variance", {}, "variance must be a positive, finite number, got {}"),
        ("epochs", True, "epochs must be a whole number, got True"),
        (
            "final_learning_rate",
            -1,
            "final_learning_rate must be a positive, finite number, got -1",
        ),
    ],
)
def test_what_is_wrong_with_settings_reaches_the_reader(name, value, reason, copy):
    edit(copy, "settings", **{name: value})
    with pytest.raises(ValueError, match=f"does not hold the settings of a run: {reason}"):
        read_config(copy)


@pytest.mark.parametrize(
    "images", [[], 3, {}, {"height": 8}, {"height": -8, "width": 8}, {"height": 0, "width": 8}]
)
def test_images_without_a_size_are_refused(images):
    content = describe(SETTINGS, DIGITS).notes() | {"images": images}
    with pytest.raises(ValueError, match="x does not hold the height and the width"):
        config_of(content, "x")
    with pytest.raises(ValueError, match="x does not hold the digest"):
        config_of(content | {"images": {"height": 8, "width": 8, "digest": 3}}, "x")


def test_what_differs_is_named_and_what_changes_no_bit_does_not():
    one = describe(SETTINGS, DIGITS)

    def seen(digest=one.digest, **changes):
        return differences(one, one._replace(settings=SETTINGS._replace(**changes), digest=digest))

    assert seen() == seen(data="elsewhere") == seen(epochs=9) == []
    assert seen(epochs=1) == ["epochs 2, not 1"]
    assert seen(epochs=9, final_learning_rate=0.1)[0] == "epochs 2, not 9"
    assert seen(latent=3, seed=1) == ["latent 2, not 3", "seed 0, not 1"]
    assert seen("other") == ["other images, though they, too, were given as digits"]
    assert seen("other", data="mnist") == ["data digits, not mnist"]
    assert differences(one, one._replace(height=4, width=16))


# Weights bound to their run


def test_a_run_is_loaded_as_it_was_left_without_its_images(copy, monkeypatch):
    monkeypatch.setattr(datasets, "load", None)  # whoever calls it fails
    edit(copy, "settings", data="gone.npy")
    config, model, epoch = load_trained(copy)
    assert config.settings == SETTINGS._replace(variance=0.1, data="gone.npy")
    assert epoch == 2
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", [name for name in OTHERS if name != "data"])
def test_weights_are_refused_where_the_settings_have_changed(name, copy):
    edit(copy, "settings", **{name: OTHERS[name]})
    with pytest.raises(ValueError, match=f"is not of the run in config.json, but .* with {name} "):
        load_trained(copy)


def test_weights_are_refused_where_the_images_are_others(copy):
    edit(copy, "images", digest="0" * 64)
    with pytest.raises(ValueError, match="but of one with other images"):
        load_trained(copy)


@pytest.mark.parametrize("name", OTHERS)
def test_another_runs_weights_are_refused(name, copy, tmp_path):
    settings = SETTINGS._replace(variance=0.1)._replace(**{name: OTHERS[name]})
    images = DIGITS._replace(train=DIGITS.train.flip(0)) if name == "data" else DIGITS
    train(settings, images, tmp_path / "other", watch=SILENT)
    shutil.copy(tmp_path / "other" / "weights.safetensors", copy)
    with pytest.raises(ValueError, match=f"but of one with {name} "):
        load_trained(copy)


def test_weights_of_an_older_version_are_named(copy):
    from safetensors.torch import load_file, save_file

    path = copy / "weights.safetensors"
    save_file(load_file(path), path, {"run": '{"epoch": 2, "settings": {}}'})
    with pytest.raises(
        ValueError, match=r"weights\.safetensors does not hold the settings of a run"
    ):
        load_trained(copy)


# Whose a folder is


def test_an_empty_folder_and_one_with_other_things_may_be_trained_in(tmp_path):
    require_ours(tmp_path)
    (tmp_path / "log.txt").write_text("mine")
    require_ours(tmp_path)


def test_a_checkpoint_speaks_for_its_folder(good):
    require_ours(good)


# Who holds it


def hold(folder, ready, leave):
    with held(folder):
        ready.set()
        leave.wait(60)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder; its number, and how it is asked to leave."""
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path / "run", ready, leave))
    process.start()
    assert ready.wait(60)
    yield process, leave
    process.kill()  # an event waits for ever for a listener that was killed
    process.join(60)


needs_locks = pytest.mark.skipif(folders.fcntl is None, reason="no locks on this system")


@needs_locks
def test_a_folder_is_held_by_one_process_which_is_named(holder, tmp_path):
    process, leave = holder
    said = f"run is held by process {process.pid} on .*: wait for it, or stop it"
    with pytest.raises(BlockingIOError, match=said):
        train(SETTINGS, DIGITS, tmp_path / "run", watch=SILENT)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    leave.set()
    process.join(60)
    assert list((tmp_path / "run").iterdir()) == []
    train(SETTINGS, DIGITS, tmp_path / "run", watch=SILENT)


@needs_locks
def test_the_hold_of_a_process_that_is_killed_is_gone(holder, tmp_path):
    process, _ = holder
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert (tmp_path / "run" / ".lock").exists()
    with held(tmp_path / "run"):
        number = (tmp_path / "run" / ".lock").read_text("utf-8").split()[0]
        assert number == str(os.getpid())
    assert list((tmp_path / "run").iterdir()) == []


@needs_locks
def test_a_process_that_failed_holds_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="mine"), held(tmp_path):
        raise RuntimeError("mine")
    with held(tmp_path):
        pass


@needs_locks
def test_a_lock_is_not_passed_on_to_a_child(tmp_path):
    with held(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with held(tmp_path):
        child.communicate(b"\n")


@needs_locks
def test_a_lock_on_a_file_that_its_holder_has_removed_holds_nothing(tmp_path, monkeypatch):
    lock, asked = folders._lock, []

    def late(file):
        asked.append(1)
        if len(asked) == 2:  # opened, not yet locked: meanwhile one process leaves, one comes
            (tmp_path / ".lock").unlink()
            (tmp_path / ".lock").touch()
        return lock(file)

    monkeypatch.setattr(folders, "_lock", late)
    with held(tmp_path), pytest.raises(BlockingIOError, match="is held by process"), held(tmp_path):
        pass


def no_lock(*arguments):
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("locks", [None, SimpleNamespace(flock=no_lock, LOCK_EX=2, LOCK_NB=4)])
def test_without_locks_the_reader_is_told(tmp_path, monkeypatch, locks):
    monkeypatch.setattr(folders, "fcntl", locks)
    said = []
    with held(tmp_path / "run", said.append):
        pass
    assert said == [
        f"this system has no locks: see that no other process trains in {tmp_path / 'run'}"
    ]
    assert list((tmp_path / "run").iterdir()) == []


def test_a_folder_that_lets_go_of_no_file_is_refused_and_keeps_one_file_at_most(
    tmp_path, monkeypatch
):
    def refuse(path, *arguments, **options):
        raise PermissionError(1, "Operation not permitted", str(path))

    for name in ("unlink", "replace"):  # as in a folder that is for appending alone
        monkeypatch.setattr(folders.Path, name, refuse)
    for _ in range(2):
        with pytest.raises(PermissionError, match="not permitted"):
            train(SETTINGS, DIGITS, tmp_path, watch=SILENT)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_folder_is_made_and_a_file_is_none(tmp_path):
    with held(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / ".lock").exists()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), held(tmp_path / "file"):
        pass
