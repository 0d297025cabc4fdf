"""The command `audit`: a run, an adapter in another file, and what is refused."""

import json
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from vae_tutorial.__main__ import main
from vae_tutorial.data import binarize, load_digits
from vae_tutorial.engine import auditing
from vae_tutorial.noise import generator

THEIRS = """
import torch
from torch import nn

torch.manual_seed(0)
encoder, decoder = nn.Linear(64, 4), nn.Linear(2, 64)


def adapter():
    return {"encode": lambda x: encoder(x).chunk(2, -1), "decode": decoder, "likelihood": 0.2}


def broken():
    return {"encode": lambda x: encoder(x[:, :5]), "likelihood": 0.2}
"""

PROJECT = """
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_tutorial.data import load_digits

torch.manual_seed(0)
digits = load_digits()
images, others = (digits.train[:400] > 0.5).float(), (digits.test > 0.5).float()


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decode = nn.Linear(64, 4), nn.Linear(2, 64)

    def encode(self, x):
        return self.encoder(x).chunk(2, -1)

    def draw(self, x):
        mean, log_variance = self.encode(x)
        return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)


model = VAE()


def loss_of(x):
    mean, log_variance = model.encode(x)
    logits = model.decode(model.draw(x))
    error = binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)
    return (error + kl).mean()
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, more in (("grey", ()), ("binary", ("--likelihood", "bernoulli"))):
        tiny = ("--eager", "--hidden", "4", "--epochs", "1", *more)
        assert main(["train", "--output", str(folder / name), *tiny]) == 0
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "theirs_to_audit.py").write_text(THEIRS)
    np.save(tmp_path / "images.npy", load_digits().train[:60].numpy())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_audited_on_the_images_that_it_was_trained_on(runs):
    digits = load_digits()
    given = auditing.of_run(runs / "grey")
    assert torch.equal(given["x"], digits.train)
    assert torch.equal(given["held_out"], digits.test)
    given = auditing.of_run(runs / "binary")
    assert set(given["x"].unique().tolist()) == {0.0, 1.0}
    share = binarize(digits.train, generator(5)).mean()
    assert abs(given["x"].mean() - share) < 0.01
    assert given["likelihood"] == "bernoulli"


def test_a_run_gives_lines_json_and_a_page(runs, tmp_path, capsys):
    whole, page = tmp_path / "report.json", tmp_path / "report.html"
    code = main(["audit", str(runs / "grey"), "--json", str(whole), "--html", str(page)])
    report = json.loads(whole.read_text("utf-8"))
    assert code == int(any(row["verdict"] == "wrong" for row in report["findings"]))
    assert report["images"] == 1500
    text = capsys.readouterr().out
    assert text.startswith("Audit of 1500 images in ")
    assert all(row["check"] in text for row in report["findings"])
    last = text.split("\n\n")[-1]
    assert last.endswith("“Variational autoencoders, checked”.\n")
    assert max(map(len, last.splitlines())) <= 88
    html = page.read_text("utf-8")
    assert html.count("<section>") == len(report["findings"])
    assert html.count("<img ") == 3


def test_the_gradients_of_a_run_are_judged(runs, capsys):
    main(["audit", str(runs / "grey"), "--json", "-"])
    rows = json.loads(capsys.readouterr().out)["findings"]
    verdicts = {row["check"]: row["verdict"] for row in rows}
    assert [verdicts[name] for name in ("gradient", "log-variances", "gradients")] == ["sound"] * 3


def test_the_adapter_of_the_readme_as_it_stands(here, capsys):
    """With a project of the names that it imports: nothing of it is refused."""
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    (block,) = re.findall(r"^    # my_audit\.py\n(?:^(?:    .*)?\n)*", text, re.M)
    (here / "my_audit.py").write_text(textwrap.dedent(block))
    (here / "my_project.py").write_text(PROJECT)
    main(["audit", "--adapter", "my_audit:adapter", "--json", "-"])
    rows = json.loads(capsys.readouterr().out)["findings"]
    verdicts = {row["check"]: row["verdict"] for row in rows}
    assert [verdicts[name] for name in ("reduction", "draws", "gradients")] == ["sound"] * 3
    assert "leak" in verdicts
    assert [row["measured"] for row in rows if "given" in row["measured"]] == [
        "estimate was not given"
    ]


def test_an_adapter_in_another_file(here, capsys):
    given = ["audit", "--adapter", "theirs_to_audit:adapter", "--data", "images.npy"]
    code = main([*given, "--json", "-"])
    report = json.loads(capsys.readouterr().out)
    assert code == int(any(row["verdict"] == "wrong" for row in report["findings"]))
    assert report["images"] == 60


def test_what_is_wrong_makes_the_exit_code_one(here, capsys):
    assert main(["audit", "--adapter", "theirs_to_audit:broken", "--data", "images.npy"]) == 1
    assert "encode raised RuntimeError: mat1 and mat2 shapes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give the folder of a run, or --adapter MODULE:NAME"),
        (["run", "--adapter", "theirs_to_audit:adapter"], "and not both"),
        (["run", "--data", "images.npy"], "--data and --held-out go with --adapter"),
        (["nowhere"], "nowhere"),
        (["--adapter", "theirs_to_audit"], "named MODULE:NAME"),
        (["--adapter", "theirs_to_audit:adapter"], "no images: give --data FILE.npy"),
        (["--adapter", "theirs_to_audit:adapter", "--data", "no.npy"], "existing .npy file"),
        (["--adapter", "theirs_to_audit:adapter", "--data", "words.npy"], "must hold floats or"),
        (["--adapter", "theirs_to_audit:adapter", "--data", "theirs_to_audit.py"], ".npy file"),
        (
            ["--adapter", "theirs_to_audit:adapter", "--data", "images.npy", "--html", "no/x.html"],
            "no",
        ),
        (["--adapter", "theirs_to_audit:adapter", "--seconds", "0"], "--seconds"),
    ],
    ids=str,
)
def test_what_cannot_be_audited_is_refused_in_one_line(here, arguments, words, capsys):
    np.save("words.npy", np.array(["a"]))
    try:
        code = main(["audit", *arguments])
    except SystemExit as stopped:
        code = stopped.code
    captured = capsys.readouterr()
    assert code == 2
    assert words in captured.err
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_bytes_are_divided_by_255(here):
    np.save("bytes.npy", np.array([[0, 255], [51, 102]], np.uint8))
    assert auditing.array_of(here / "bytes.npy").tolist() == pytest.approx(
        np.array([[0, 1], [0.2, 0.4]])
    )
