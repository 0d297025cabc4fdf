"""The command line: what is refused and how, what help says, and one good round on the digits."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vae_tutorial.__main__ import main
from vae_tutorial.data import load_digits
from vae_tutorial.engine import command_line, commands
from vae_tutorial.engine.command_line import Parser, picture, positive, seed, variance, whole
from vae_tutorial.engine.folders import FILES, load_trained
from vae_tutorial.engine.settings import Settings
from vae_tutorial.importance import estimate_log_likelihood
from vae_tutorial.noise import generator

TINY = ["--eager", "--hidden", "4", "--epochs", "2"]
COUNTS = ("--epochs", "--batch-size", "--hidden", "--latent", "--samples")
RATES = ("--learning-rate", "--final-learning-rate", "--variance")
NO_COUNT = ("0", "-1", "1.5", "abc", "nan", "inf", "1e999", "", "٣", str(10**20), "9" * 5000)
NO_RATE = ("0", "-1", "abc", "nan", "inf", "1e999", "")
NO_SEED = ("-1", "1.5", "abc", "nan", "inf", "1e999", "", str(2**63))
NUMBERS = [
    *((["train", option, bad], option) for option in COUNTS for bad in NO_COUNT),
    *((["train", option, bad], option) for option in RATES for bad in NO_RATE),
    *((["train", "--seed", bad], "--seed") for bad in NO_SEED),
    *(
        (["evaluate", "{run}", option, bad], option)
        for option in ("--images", "--importance-samples")
        for bad in NO_COUNT
    ),
    *(
        (["sample", "{run}", "--output", "{tmp}/x.png", "--count", bad], "--count")
        for bad in NO_COUNT
    ),
    *((["evaluate", "{run}", "--seed", bad], "--seed") for bad in NO_SEED),
    *(
        (["compress", "{run}", "held-out", "{tmp}/x.bits", "--count", bad], "--count")
        for bad in NO_COUNT
    ),
]
WORDS = [
    ([], "COMMAND"),
    (["fly"], "invalid choice: 'fly'"),
    (["train", "evaluate"], "unrecognized arguments: evaluate"),
    (["train", "--foreign", "1"], "unrecognized arguments: --foreign 1"),
    (["download"], "name"),
    (["download", "foo"], "invalid choice: 'foo'"),
    (["sample", "{run}"], "--output"),
    (["sample", "{run}", "--output", "{tmp}/x.txt"], "needed a name in .png, .pdf or .svg"),
    (["evaluate"], "run"),
    (["evaluate", ""], "needed the name of a folder"),
    (["train", "--start-from", ""], "needed the name of a folder"),
    (["train", "--latent", str(10**9)], "of memory, here are "),
    (["train", "--hidden", str(10**6), str(10**6)], "of memory, here are "),
    (["train", "--samples", str(10**12)], "of memory, here are "),
    (["train", "--latent", str(2**63 - 1)], "of memory, here are "),
    (["evaluate", "{run}", "--importance-samples", str(10**15)], "of memory, here are "),
    (["sample", "{run}", "--output", "{tmp}/x.png", "--count", str(10**9)], "of memory, here are "),
    *(
        (["train", option, "foo"], f"argument {option}: invalid choice: 'foo'")
        for option in ("--likelihood", "--binarization", "--activation", "--objective")
    ),
    (["train", "--batch-size", "5000"], "at most the number of images, 1500, got 5000"),
    (["train", "--device", "foo"], "--device must be cpu or cuda, got 'foo'"),
    (["train", "--device", "meta"], "--device must be cpu or cuda, got 'meta'"),
    (["train", "--data", "{tmp}/absent.npy"], "no images"),
    (["train", "--data", "{tmp}/text.txt"], "is not IDX"),
    (["train", "--data", "{tmp}/empty.npy"], "is not a readable .npy array"),
    (["train", "--data", "{tmp}/whole.npy"], "needed uint8 or floating point"),
    (["train", "--data", "{tmp}/nan.npy"], "needed 0 to 1 and no NaN"),
    (["train", "--data", "mnist"], "download mnist"),
    (["train", "--data", "fashion-mnist"], "download fashion-mnist"),
    (["evaluate", "{tmp}/absent"], "config.json"),
    (["evaluate", "{tmp}"], "config.json"),
    (["sample", "{tmp}/absent", "--output", "{tmp}/x.png"], "config.json"),
    (["compress", "{tmp}/absent", "held-out", "{tmp}/x.bits"], "config.json"),
    (["compress", "{run}"], "images, output"),
    (["compress", "{run}", "held-out", ""], "needed the name of a file"),
    (["compress", "{run}", "held-out", "{tmp}/no/x.bits"], "there is no folder"),
    (["compress", "{run}", "{tmp}/absent.npy", "{tmp}/x.bits"], "no images"),
    (["compress", "{run}", "{tmp}/text.txt", "{tmp}/x.bits"], "is not IDX"),
    (["compress", "{run}", "{tmp}/empty.npy", "{tmp}/x.bits"], "is not a readable .npy array"),
    (["compress", "{run}", "{tmp}/nan.npy", "{tmp}/x.bits"], "needed 0 to 1 and no NaN"),
    (["compress", "{run}", "{tmp}/small.npy", "{tmp}/x.bits"], "4 by 4 pixels, those of the run 8"),
    (["compress", "{run}", "{tmp}/grey.npy", "{tmp}/x.bits"], "has greys between levels"),
    (["decompress", "{run}", "{tmp}/text.txt", "{tmp}/x.npy"], "holds no compressed images"),
    (["decompress", "{run}", "{tmp}/absent.bits", "{tmp}/x.npy"], "absent.bits"),
    (["decompress", "{run}", "{tmp}/text.txt", "{tmp}/x.txt"], "needed a name in .npy"),
    (["decompress", "{run}", "{tmp}/text.txt", "{tmp}/no/x.npy"], "there is no folder"),
    (["decompress", "{run}", "{tmp}", "{tmp}/x.npy"], "is not a file"),
]


@pytest.fixture(autouse=True)
def _denormals_as_before():
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "run"
    assert main(["train", *TINY, "--output", str(folder)]) == 0
    torch.set_flush_denormal(False)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with bad data in it, and no published set."""
    (tmp_path / "text.txt").write_text("no images")
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save(tmp_path / "whole.npy", np.ones((5, 4, 4), dtype=np.int64))
    np.save(tmp_path / "nan.npy", np.full((5, 4, 4), np.nan))
    np.save(tmp_path / "small.npy", np.zeros((5, 4, 4)))
    np.save(tmp_path / "grey.npy", np.full((5, 8, 8), 0.3))
    monkeypatch.setenv("VAE_TUTORIAL_DATA", str(tmp_path / "none"))
    return tmp_path


def status_and_line(arguments, capsys):
    """The exit status and the only line on standard error; nothing on standard output."""
    capsys.readouterr()
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    table = os.environ.get("VAE_TUTORIAL_BAD_INPUTS")
    if table:
        with Path(table).open("a") as file:
            file.write(f"| {' '.join(map(repr, arguments))} | {err.strip()} | {status} |\n")
    return status, err


@pytest.mark.parametrize(("arguments", "named"), NUMBERS + WORDS)
def test_what_is_refused_is_named_in_one_line(arguments, named, good, place, capsys):
    filled = [text.format(run=good, tmp=place) for text in arguments]
    if filled[:1] == ["train"]:
        filled += ["--output", str(place / "new")]
    before = sorted(place.iterdir())
    status, line = status_and_line(filled, capsys)
    assert status == 2
    assert named in line
    assert sorted(place.iterdir()) == before


def test_every_setting_is_an_option_with_its_default():
    options = command_line.parser().parse_args(["train", "--output", "x"])
    assert Settings(**{name: getattr(options, name) for name in Settings._fields}) == Settings()
    assert options.call is commands.train


def test_what_is_not_said_of_an_evaluation_or_a_sample():
    def options(*words):
        return vars(command_line.parser().parse_args(words))

    evaluation, sample = options("evaluate", "x"), options("sample", "x", "--output", "y.png")
    seen = [evaluation[name] for name in ("importance_samples", "images", "seed", "device")]
    assert seen == [5000, None, 0, "cpu"]  # 5000 as in Burda et al. 2016, section 5
    assert [sample[name] for name in ("count", "seed")] == [100, 0]


def test_a_run_needs_a_name(capsys):
    status, line = status_and_line(["train", "--output", ""], capsys)
    assert (status, "needed the name of a folder" in line) == (2, True)


def test_paths_in_the_settings_hold_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["train", "--output", "x", "--data", "a.npy", "--start-from", "runs/one"]
    options = command_line.parser().parse_args(words)
    assert options.data == str(tmp_path / "a.npy")
    assert options.start_from == str(tmp_path / "runs" / "one")


def test_a_run_needs_a_folder(capsys):
    status, line = status_and_line(["train"], capsys)
    assert (status, "--output" in line) == (2, True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_missing_gpu_is_told(tmp_path, capsys):
    arguments = ["train", "--device", "cuda", "--output", str(tmp_path / "new")]
    status, line = status_and_line(arguments, capsys)
    assert (status, "PyTorch finds no GPU here" in line) == (2, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", ["file", "file/below", "file/below/it"])
def test_an_output_that_cannot_be_a_folder_is_refused(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    status, _ = status_and_line(["train", *TINY, "--output", str(tmp_path / folder)], capsys)
    assert status in (1, 2)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("command", ["evaluate", "sample"])
@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b"\xff"),
        ("config.json", b"[]"),
        ("config.json", b'{"settings": {"hidden": [4], "foreign": 1}}'),
        ("config.json", b'{"settings": {"hidden": [4], "latent": "x"}}'),
        ("config.json", b'{"settings": {"hidden": [4], "latent": -1}}'),
        ("config.json", b'{"settings": {"hidden": ["x"]}}'),
        ("config.json", b'{"settings": {"hidden": [4], "data": 7}}'),
        ("config.json", b'{"settings": {"hidden": [4], "activation": "foo"}}'),
        ("config.json", b'{"settings": {"hidden": [4], "likelihood": "foo"}}'),
        ("config.json", b'{"settings": {"hidden": [4], "variance": "x"}}'),
        ("config.json", b'{"settings": {"hidden": [5]}}'),
        ("weights.safetensors", b""),
        ("weights.safetensors", None),
    ],
)
def test_a_damaged_run_is_refused(command, file, content, good, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(good, run)
    whole = (run / file).read_bytes()
    (run / file).write_bytes(whole[: len(whole) // 2] if content is None else content)
    more = ["--output", str(tmp_path / "x.png")] if command == "sample" else []
    status, _ = status_and_line([command, str(run), *more], capsys)
    assert status == 2
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("command", ["train", "evaluate", "sample", "download"])
def test_help_explains_every_option(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0
    options = {
        "train": "data binarization likelihood variance hidden latent activation objective samples "
        "epochs batch-size start-from learning-rate final-learning-rate seed output device eager",
        "evaluate": "importance-samples images seed device",
        "sample": "output count seed",
        "download": "",
    }
    assert set(re.findall(r"--([a-z-]+[a-z])", said)) == {*options[command].split(), "help"}


def test_one_line_of_json_tells_of_the_held_out_images(good, monkeypatch, capsys):
    monkeypatch.setattr(commands, "compiled", lambda function, report: function)
    capsys.readouterr()
    many = ["--images", "7", "--importance-samples", "20", "--seed", "3"]
    assert main(["evaluate", str(good), *many]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    seen = json.loads(out)
    assert list(seen) == [
        *("elbo", "log_likelihood", "standard_error", "importance_error", "importance_samples"),
        *("images", "active_units", "latent", "bits_per_dimension", "seed"),
        *("epoch", "settings", "provenance"),
    ]
    model, images = load_trained(good).model, load_digits().test
    value, error = estimate_log_likelihood(model, images[:7], 20, generator(3))
    mean = value.mean().item()
    assert seen["log_likelihood"] == pytest.approx(mean, abs=1e-6)
    spread = np.std(value.numpy(), ddof=1) / np.sqrt(7)
    assert seen["standard_error"] == pytest.approx(spread, abs=1e-6)
    together = np.sqrt((error.numpy() ** 2).sum()) / 7
    assert seen["importance_error"] == pytest.approx(together, abs=1e-6)
    assert seen["bits_per_dimension"] == pytest.approx(-mean / np.log(2) / 64, abs=1e-6)
    active = np.var(model.encoder(images[:7]).mean.numpy(), axis=0, ddof=1) > 0.01
    assert seen["active_units"] == active.sum()
    counts = [seen[name] for name in ("images", "importance_samples", "latent", "seed", "epoch")]
    assert counts == [7, 20, 2, 3, 2]
    assert seen["settings"] == json.loads((good / "config.json").read_text())["settings"]


def test_a_sample_is_a_picture(good, tmp_path):
    assert main(["sample", str(good), "--count", "12", "--output", str(tmp_path / "x.png")]) == 0
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_a_run_leaves_the_promised_files(good):
    assert {path.name for path in good.iterdir()} == {
        *("config.json", "checkpoint.pt", "metrics.jsonl", "weights.safetensors"),
        *("reconstructions.png", "checkpoint.previous.pt"),
    }


def test_a_bound_that_is_not_finite_fails_with_one(tmp_path, capsys):
    arguments = ["train", *TINY, "--learning-rate", "1e30", "--output", str(tmp_path / "new")]
    assert status_and_line(arguments, capsys)[0] == 1


def test_a_process_ends_with_the_status(tmp_path):
    arguments = ["train", "--batch-size", "5000", "--output", str(tmp_path / "new")]
    ended = subprocess.run(
        [sys.executable, "-m", "vae_tutorial", *arguments],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)


def test_good_values_are_taken_as_they_are():
    assert whole("1") == 1
    assert whole("5000") == 5000
    assert seed("0") == 0
    assert seed(str(2**63 - 1)) == 2**63 - 1
    assert positive("1e-3") == 0.001
    assert variance("learned") is None
    assert variance("0.5") == 0.5
    assert picture("a/b.png") == Path("a/b.png")


@pytest.mark.parametrize(
    ("kind", "texts", "needed"),
    [
        (whole, ("0", "-1", "1.5", "abc", "", "nan", "1e3"), "a whole number of at least 1"),
        (seed, ("-1", "1.5", "x", "", str(2**63)), "a whole number of at least 0 and below 2^63"),
        (positive, ("0", "-1", "nan", "inf", "1e999", "", "x"), "a positive, finite number"),
        (variance, ("0", "-1", "nan", "learn"), "a positive, finite number"),
        (picture, ("a.txt", "a", "png", ".png/"), "a name in .png, .pdf or .svg"),
    ],
)
def test_bad_values_are_named(kind, texts, needed):
    for text in texts:
        with pytest.raises(argparse.ArgumentTypeError) as caught:
            kind(text)
        assert needed in str(caught.value)
        assert repr(text) in str(caught.value)


def test_an_error_takes_one_line(capsys):
    parser = Parser("program")
    parser.add_argument("--count", type=whole)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--count", "0"])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("program: argument --count: needed")


NAMES = ("ABOUT", "TRAIN", "EVALUATE", "SAMPLE", "COMPRESS", "DECOMPRESS", "DOWNLOAD")
TEXTS = [getattr(command_line, name) for name in NAMES]


def test_every_file_of_a_run_is_described():
    described = set(re.findall(r"^  (\S+\.\w+) ", command_line.TRAIN, re.M))
    assert described == set(FILES)


@pytest.mark.parametrize("text", TEXTS)
def test_no_line_is_wider_than_a_page(text):
    assert max(map(len, text.splitlines())) <= 100
