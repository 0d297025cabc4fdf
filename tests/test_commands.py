"""Commands as functions: devices, a run loaded again, a longer run from its weights."""

import argparse
import json

import matplotlib.image
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vae_tutorial import datasets, noise
from vae_tutorial.data import load_digits
from vae_tutorial.engine import commands
from vae_tutorial.engine.command_line import parser
from vae_tutorial.engine.runs import train
from vae_tutorial.engine.settings import Settings, build

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


MODEL = build(Settings(hidden=(5,)), 64).requires_grad_(False)


def shown(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_samples_are_decoded_draws_of_the_prior():
    z = torch.randn(13, 2, generator=noise.generator(3), dtype=torch.float64).float()
    expected = MODEL.decoder(z).reshape(13, 8, 8)
    seen = shown(commands.samples(MODEL, 13, 3, (8, 8)))
    assert len(seen) == 13
    assert np.allclose(seen, expected)


def test_reconstructions_stand_under_their_images():
    images = load_digits().test
    seen = shown(commands.reconstructions(MODEL, images, 3, (8, 8)))
    assert len(seen) == 30
    mean, _ = MODEL.encoder.network(images[:10]).chunk(2, -1)
    assert np.allclose(seen[:10], images[:10].reshape(10, 8, 8))
    assert np.allclose(seen[10:20], MODEL.decoder(mean).reshape(10, 8, 8), atol=1e-6)
    assert np.allclose(seen[20:], shown(commands.samples(MODEL, 10, 3, (8, 8))))


def test_images_need_not_be_square():
    (first, *_) = shown(commands.samples(MODEL, 2, 0, (4, 16)))
    assert first.shape == (4, 16)


def test_a_picture_is_written_in_the_format_of_its_name(tmp_path):
    figure = commands.samples(MODEL, 3, 0, (8, 8))
    commands.save_figure(figure, tmp_path / "a.png")
    assert matplotlib.image.imread(tmp_path / "a.png").ndim == 3
    commands.save_figure(figure, tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text("utf-8")
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(OSError, match="missing"):
        commands.save_figure(figure, tmp_path / "missing" / "a.png")
