"""Commands as functions: devices, a run loaded again, a longer run from its weights."""

import argparse
import json

import pytest
import torch
from safetensors.torch import load_file

from vae_tutorial import commands, datasets
from vae_tutorial.command_line import parser
from vae_tutorial.data import load_digits
from vae_tutorial.runs import train
from vae_tutorial.settings import Settings

TINY = Settings(hidden=(4,), epochs=1, batch_size=500)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(TINY, datasets.load("digits"), folder, report=lambda line: None)
    return folder


def test_only_a_device_that_is_here_is_taken():
    assert commands.device("cpu") == torch.device("cpu")
    for name in ("foo", "meta", ""):
        with pytest.raises(ValueError, match="--device must be cpu or cuda, got"):
            commands.device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named():
    with pytest.raises(ValueError, match="finds no GPU here"):
        commands.device("cuda")


def test_a_run_is_loaded_with_its_weights_and_images(run):
    settings, model, images = commands.load(run)
    assert settings == TINY
    assert torch.equal(images, load_digits().test)
    for name, value in load_file(run / "weights.safetensors").items():
        assert torch.equal(model.state_dict()[name], value)


def test_one_image_has_no_spread(run, capsys, monkeypatch):
    monkeypatch.setattr(commands, "compiled", lambda function, report: function)
    words = ["evaluate", str(run), "--images", "1", "--importance-samples", "5"]
    assert commands.evaluate(parser().parse_args(words)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == 1
    assert told["standard_error"] is None
    assert told["active_units"] is None


def test_a_run_may_start_from_anothers_weights(run, tmp_path):
    other = tmp_path / "other"
    settings = TINY._replace(start_from=str(run), learning_rate=1e-30)  # which moves nothing
    train(settings, datasets.load("digits"), other, report=lambda line: None)
    first, second = (load_file(folder / "weights.safetensors") for folder in (run, other))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=1e-20)


def test_a_start_that_is_not_there_is_named(run, tmp_path):
    settings = TINY._replace(start_from=str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train(settings, datasets.load("digits"), tmp_path / "new", report=lambda line: None)


def test_a_start_of_another_shape_is_refused(run, tmp_path):
    settings = TINY._replace(start_from=str(run), hidden=(5,))
    with pytest.raises(ValueError, match="does not fit this architecture"):
        train(settings, datasets.load("digits"), tmp_path / "new", report=lambda line: None)
    assert not (tmp_path / "new").exists()


def test_samples_are_counted_and_named(run, tmp_path, capsys):
    options = argparse.Namespace(run=run, output=tmp_path / "a.png", count=7, seed=0)
    assert commands.sample(options) == 0
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert capsys.readouterr().err.startswith("7 images from the prior are in ")
