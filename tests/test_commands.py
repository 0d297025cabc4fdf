"""Commands as functions: devices, a run loaded again, a longer run from its weights."""

import argparse
import json
import time

import matplotlib.image
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vae_tutorial import datasets, noise
from vae_tutorial.data import load_digits
from vae_tutorial.engine import commands, folders, memory, runs
from vae_tutorial.engine.command_line import parser
from vae_tutorial.engine.runs import SILENT, train
from vae_tutorial.engine.settings import Settings, build

TINY = Settings(hidden=(4,), epochs=1, batch_size=500)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(TINY, datasets.load("digits"), folder, watch=SILENT)
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


def test_one_image_has_no_spread(run, capsys, monkeypatch):
    monkeypatch.setattr(commands, "compiled", lambda function, report: function)
    words = ["evaluate", str(run), "--images", "1", "--importance-samples", "5"]
    assert commands.evaluate(parser().parse_args(words)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == 1
    assert told["standard_error"] is None
    assert told["active_units"] is None


def test_one_draw_has_no_error(run, capsys, monkeypatch):
    monkeypatch.setattr(commands, "compiled", lambda function, report: function)
    words = ["evaluate", str(run), "--images", "3", "--importance-samples", "1"]
    assert commands.evaluate(parser().parse_args(words)) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["importance_error"] is None
    assert "Infinity" not in out  # which is no JSON


def test_the_bar_of_an_evaluation_knows_how_many_parts_there_are(run, monkeypatch):
    seen = []

    def progress(items, total):
        seen.append((len(items), total))
        return items

    monkeypatch.setattr(commands, "compiled", lambda function, report: function)
    monkeypatch.setattr(commands, "progress", progress)
    monkeypatch.setattr(commands, "AT_ONCE", 2)
    words = ["evaluate", str(run), "--images", "5", "--importance-samples", "2"]
    assert commands.evaluate(parser().parse_args(words)) == 0
    assert seen == [(3, 3)]  # two, two and one


def test_sums_that_do_not_fit_are_refused_before_they_are_formed(monkeypatch):
    sums = 8 * 3 * 100 * 10**6  # float64, three a chunk of 1000 draws, of 100 images at once
    monkeypatch.setattr(memory, "limit", lambda: sums)
    with pytest.raises(ValueError, match=r"^--importance-samples 1000000000 needs at least"):
        commands.require_room_for_sums(10**9)
    monkeypatch.setattr(memory, "limit", lambda: 2 * sums)
    commands.require_room_for_sums(10**9)


def test_an_evaluation_tells_the_epoch_that_was_reached(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(commands, "compiled", lambda function, report: function)
    stop = SILENT._replace(stopping=lambda: True)
    train(TINY._replace(epochs=3000), datasets.load("digits"), tmp_path / "a", watch=stop)
    words = ["evaluate", str(tmp_path / "a"), "--images", "2", "--importance-samples", "5"]
    assert commands.evaluate(parser().parse_args(words)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["epoch"] == 1
    assert told["settings"]["epochs"] == 3000


def image_file(folder, seed=0):
    path = folder / "images.npy"
    np.save(path, np.random.default_rng(seed).integers(0, 256, (40, 4, 6), dtype=np.uint8))
    return path


WORDS = ["--eager", "--hidden", "4", "--epochs", "1", "--batch-size", "20"]


@pytest.fixture
def of_a_file(tmp_path):
    """A run on a file of images that are not square."""
    words = [
        "train",
        *WORDS,
        "--data",
        str(image_file(tmp_path)),
        "--output",
        str(tmp_path / "run"),
    ]
    assert commands.train(parser().parse_args(words)) == 0
    return tmp_path / "run"


def test_a_run_reads_its_images_once_and_its_weights_never(tmp_path, monkeypatch):
    loads, load = [], datasets.load
    monkeypatch.setattr(datasets, "load", lambda name: loads.append(name) or load(name))
    monkeypatch.setattr(folders, "load_weights", None)  # whoever calls it fails
    monkeypatch.setattr(runs, "load_weights", None)
    words = ["train", *WORDS, "--output", str(tmp_path / "run")]
    assert commands.train(parser().parse_args(words)) == 0
    assert loads == ["digits"]
    assert (tmp_path / "run" / "reconstructions.png").exists()


def test_samples_need_no_images(of_a_file, tmp_path):
    (tmp_path / "images.npy").unlink()
    words = ["sample", str(of_a_file), "--count", "3", "--output", str(tmp_path / "x.png")]
    assert commands.sample(parser().parse_args(words)) == 0
    height, width = matplotlib.image.imread(tmp_path / "x.png").shape[:2]
    assert (height, width) == (4 * 10, 3 * 6 * 10 + 2 * 4)


def test_an_evaluation_needs_the_images_of_the_run(of_a_file, tmp_path):
    options = parser().parse_args(["evaluate", str(of_a_file)])
    image_file(tmp_path, seed=1)
    with pytest.raises(ValueError, match=r"images\.npy are not those that the run was trained on"):
        commands.evaluate(options)
    (tmp_path / "images.npy").unlink()
    with pytest.raises(ValueError, match=f"no images '{tmp_path}/images.npy'"):
        commands.evaluate(options)


def test_a_run_may_start_from_anothers_weights(run, tmp_path):
    other = tmp_path / "other"
    settings = TINY._replace(start_from=str(run), learning_rate=1e-30)  # which moves nothing
    train(settings, datasets.load("digits"), other, watch=SILENT)
    first, second = (load_file(folder / "weights.safetensors") for folder in (run, other))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=1e-20)


def test_a_start_that_is_not_there_is_named(run, tmp_path):
    settings = TINY._replace(start_from=str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train(settings, datasets.load("digits"), tmp_path / "new", watch=SILENT)


def test_a_start_of_another_shape_is_refused(run, tmp_path):
    settings = TINY._replace(start_from=str(run), hidden=(5,))
    with pytest.raises(ValueError, match="does not fit this architecture"):
        train(settings, datasets.load("digits"), tmp_path / "new", watch=SILENT)
    assert not (tmp_path / "new").exists()


def test_samples_are_counted_and_named(run, tmp_path, capsys):
    options = argparse.Namespace(run=run, output=tmp_path / "a.png", count=7, seed=0)
    assert commands.sample(options) == 0
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert capsys.readouterr().err.startswith("7 images from the prior are in ")


def test_a_picture_that_does_not_fit_is_refused_before_it_is_drawn(run, tmp_path, monkeypatch):
    drawn = commands.mosaic(torch.zeros(1000, 64), 8, 8).nbytes
    monkeypatch.setattr(memory, "limit", lambda: drawn)  # and nothing left for the images
    options = argparse.Namespace(run=run, output=tmp_path / "a.png", count=1000, seed=0)
    with pytest.raises(ValueError, match=r"^--count 1000 needs at least"):
        commands.sample(options)
    monkeypatch.setattr(memory, "limit", lambda: 2 * drawn)
    assert commands.sample(options) == 0


MODEL = build(Settings(hidden=(5,)), 64).requires_grad_(False)


def shown(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_samples_are_decoded_draws_of_the_prior():
    z = torch.randn(13, 2, generator=noise.generator(3), dtype=torch.float64).float()
    seen = MODEL.prior_means(13, noise.generator(3))
    torch.testing.assert_close(seen, MODEL.decoder(z))


def test_a_mosaic_holds_every_image_ten_a_row_dark_where_there_is_ink():
    images = torch.rand(13, 64, generator=noise.generator(1)) * 1.4 - 0.2  # beyond 0 and 1, too
    drawn = commands.mosaic(images, 4, 16)
    assert drawn.dtype == np.uint8
    scale = 4  # 56 dots for 16 pixels, rounded up
    tall, wide = 4 * scale, 16 * scale
    assert drawn.shape == (2 * tall + 4, 10 * wide + 9 * 4)
    for number, image in enumerate(images.reshape(13, 4, 16).numpy()):
        top, left = (tall + 4) * (number // 10), (wide + 4) * (number % 10)
        part = drawn[top : top + tall, left : left + wide]
        for row, column in ((0, 0), (tall - 1, wide - 1), (5, 17)):
            ink = min(1, max(0, image[row // scale, column // scale]))
            assert part[row, column] == round(255 * (1 - ink))
        drawn[top : top + tall, left : left + wide] = 255
    assert (drawn == 255).all()


def test_fewer_than_ten_make_a_shorter_row():
    assert commands.mosaic(torch.zeros(2, 784), 28, 28).shape == (56, 2 * 56 + 4)


def test_thousands_of_images_are_drawn_in_seconds(tmp_path):
    begin = time.perf_counter()
    commands.save_mosaic(commands.mosaic(torch.rand(5000, 784), 28, 28), tmp_path / "x.png")
    assert time.perf_counter() - begin < 10


def test_reconstructions_stand_under_their_images():
    images = load_digits().test
    seen = shown(commands.reconstructions(MODEL, images, 3, (8, 8)))
    assert len(seen) == 30
    mean, _ = MODEL.encoder.network(images[:10]).chunk(2, -1)
    assert np.allclose(seen[:10], images[:10].reshape(10, 8, 8))
    assert np.allclose(seen[10:20], MODEL.decoder(mean).reshape(10, 8, 8), atol=1e-6)
    made_up = MODEL.prior_means(10, noise.generator(3))
    assert np.allclose(seen[20:], made_up.reshape(10, 8, 8))


def test_a_saved_mosaic_has_the_greys_that_were_drawn(tmp_path):
    drawn = np.array([[40, 90], [200, 90]], np.uint8)  # neither black nor white
    commands.save_mosaic(drawn, tmp_path / "a.png")
    seen = matplotlib.image.imread(tmp_path / "a.png")[..., :3] * 255
    assert np.abs(seen - drawn[..., None]).max() < 1.5  # matplotlib's map of greys rounds down


def test_a_picture_is_written_in_the_format_of_its_name(tmp_path):
    drawn = commands.mosaic(torch.rand(3, 64), 8, 8)
    figure = commands.reconstructions(MODEL, load_digits().test, 3, (8, 8))
    for save, made in ((commands.save_mosaic, drawn), (commands.save_figure, figure)):
        save(made, tmp_path / "a.png")
        assert matplotlib.image.imread(tmp_path / "a.png").ndim == 3
        save(made, tmp_path / "a.svg")
        assert "<svg" in (tmp_path / "a.svg").read_text("utf-8")
        save(made, tmp_path / "a.pdf")
        assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
        assert len(list(tmp_path.iterdir())) == 3
        with pytest.raises(OSError, match="missing"):
            save(made, tmp_path / "missing" / "a.png")
