"""Adapters to other packages, on stand-ins with the attributes that the packages' models have.

What the packages themselves are seen to do is kept in book/results/adapters.json.
"""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.distributions import Normal, Poisson, kl_divergence
from torch.nn import functional as F

from vae_tutorial.audit import audit
from vae_tutorial.audit.adapters import named, of
from vae_tutorial.audit.page import page
from vae_tutorial.audit.subject import NotGivenError
from vae_tutorial.data import load_digits
from vae_tutorial.pretrained import two_latents

KEPT = Path(__file__).parents[1] / "book" / "results" / "adapters.json"
X = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def cross_entropy(x, p):
    """By numpy, image by image."""
    x, p = (part.detach().double().flatten(1).numpy() for part in (x, p))
    return -(x * np.log(p) + (1 - x) * np.log1p(-p)).sum(1)


def kl_of(mean, log_variance):
    q = Normal(mean, (0.5 * log_variance).exp())
    return kl_divergence(q, Normal(torch.zeros_like(mean), 1.0)).flatten(1).sum(1)


def at_seed(seed, function, *arguments):
    torch.manual_seed(seed)
    return function(*arguments)


# pythae


class Pythae(nn.Module):
    """What a VAE of pythae has: networks that answer with dicts, and a loss on `data`."""

    model_name = "VAE"

    def __init__(self, likelihood):
        super().__init__()
        self.model_config = SimpleNamespace(reconstruction_loss=likelihood)
        self.layers = nn.ModuleList([nn.Linear(16, 2), nn.Linear(16, 2), nn.Linear(2, 16)])

    def encoder(self, x):
        flat = x.flatten(1)
        return {"embedding": self.layers[0](flat), "log_covariance": self.layers[1](flat)}

    def decoder(self, z):
        return {"reconstruction": self.layers[2](z).sigmoid().view(-1, 1, 4, 4)}

    def loss_function(self): ...

    def forward(self, inputs):
        mean, log_variance = self.encoder(inputs["data"]).values()
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return {"loss": z.sum() + 5, "z": z}

    def get_nll(self, data, n_samples, batch_size):
        assert len(data) == 1
        assert n_samples % batch_size == 0  # else it draws another number
        return float(data.sum())


@pytest.mark.parametrize("likelihood", ["mse", "bce"])
def test_pythae(likelihood):
    torch.manual_seed(0)
    model = Pythae(likelihood)
    made = of(model)
    mean, log_variance = made["encode"](X)
    assert torch.equal(mean, model.layers[0](X.flatten(1)))
    assert torch.equal(log_variance, model.layers[1](X.flatten(1)))
    pixels = model.decoder(mean)["reconstruction"]
    decoded = made["decode"](mean)
    assert made["likelihood"] == (1.0 if likelihood == "mse" else "bernoulli")
    assert torch.allclose(decoded if likelihood == "mse" else decoded.sigmoid(), pixels)
    z = at_seed(1, made["draw"], X)
    noise = at_seed(1, torch.randn, 6, 2)
    assert torch.allclose(z, mean + (0.5 * log_variance).exp() * noise)
    assert torch.isclose(at_seed(1, made["loss"], X), z.sum() + 5)
    assert torch.allclose(made["estimate"](X), X.flatten(1).sum(1).double())
    assert made["modules"] == [model]
    assert not made["notes"]


def test_a_pixel_that_is_certain_has_a_logit():
    model = Pythae("bce")
    nn.init.constant_(model.layers[2].bias, 80.0)
    assert of(model)["decode"](torch.zeros(1, 2)).isfinite().all()


# scvi-tools


class Scvi(nn.Module):
    """What a module of SCVI has, its counts Poisson: rates are the library size by shares of z."""

    use_observed_lib_size, latent_distribution, n_input = True, "normal", 3

    def __init__(self):
        super().__init__()
        self.z_encoder, self.shares = nn.Linear(3, 4), nn.Linear(2, 3)

    def inference(self, x, batch_index):
        assert batch_index.shape == (len(x), 1)
        mean, log_variance = self.z_encoder(x.log1p()).chunk(2, -1)
        q = Normal(mean, (0.5 * log_variance).exp())
        return {"qz": q, "z": q.rsample()}

    def generative(self, z, library, batch_index, y):
        return {"px": Poisson(library.exp() * self.shares(z).softmax(-1))}

    def forward(self, tensors, loss_kwargs):
        q, z = self.inference(tensors["X"], tensors["batch"]).values()
        library = tensors["X"].sum(1, keepdim=True).log()
        error = -self.generative(z, library, None, None)["px"].log_prob(tensors["X"]).sum(-1)
        kl = kl_divergence(q, Normal(torch.zeros_like(z), 1.0)).sum(-1)
        return None, None, SimpleNamespace(loss=(error + loss_kwargs["kl_weight"] * kl).mean())

    def marginal_ll(self, tensors, n_mc_samples, n_mc_samples_per_pass):
        assert n_mc_samples % n_mc_samples_per_pass == 0
        with torch.inference_mode():
            return tensors["X"].sum(1) + 0.0


COUNTS = torch.tensor([[3.0, 1, 0], [2, 9, 4], [0, 1, 0], [5, 5, 6]])


class Series(list):
    """As a column of pandas: its last number is iloc[-1, 0]."""

    @property
    def iloc(self):
        return {(-1, 0): self[-1]}


def scvi(**more):
    torch.manual_seed(0)
    table = SimpleNamespace(X=COUNTS.numpy())
    return SimpleNamespace(module=Scvi(), adata=table, **more)


def test_scvi_scores_each_cell_given_its_own_library_size():
    model = scvi()
    made = of(model)
    z = torch.randn(4, 2)
    shares = model.module.shares(z).softmax(-1).detach().double().numpy()
    library = COUNTS.double().numpy().sum(1, keepdims=True)
    expected = stats.poisson.logpmf(COUNTS.numpy(), library * shares).sum(1)
    decoded = made["decode"](z)
    assert decoded.log_prob(COUNTS).detach().numpy() == pytest.approx(expected, abs=1e-4)
    assert decoded.mean.detach().numpy() == pytest.approx(9 * shares, rel=1e-5)  # 36 / 4 counts
    with pytest.raises(NotGivenError, match="no counts can be drawn"):
        decoded.sample()
    assert torch.equal(made["estimate"](COUNTS), COUNTS.sum(1))
    assert not made["estimate"](COUNTS).is_inference()
    assert "a cell of 9 counts" in made["notes"][0]
    assert "l_encoder" in made["notes"][2]


@pytest.mark.parametrize(
    ("history", "weight", "note"),
    [({}, 1.0, "is not recorded"), ({"kl_weight": Series([0.0, 0.25])}, 0.25, "weighed 0.25")],
)
def test_scvis_loss_is_that_of_its_last_epoch(history, weight, note):
    model = scvi(history=history)
    made = of(model)
    mean = made["encode"](COUNTS).mean
    loss, z = at_seed(1, made["loss"], COUNTS), at_seed(1, made["draw"], COUNTS)
    q = made["encode"](COUNTS)
    kl = kl_divergence(q, Normal(torch.zeros_like(mean), 1.0)).sum(-1)
    expected = (weight * kl - made["decode"](z).log_prob(COUNTS)).mean()
    assert torch.isclose(loss, expected)
    assert note in made["notes"][1]


@pytest.mark.parametrize(
    "changed", [{"use_observed_lib_size": False}, {"latent_distribution": "ln"}]
)
def test_scvi_with_other_latents_is_refused(changed):
    model = scvi()
    vars(model.module).update(changed)
    with pytest.raises(TypeError, match="more latents than a Gaussian z"):
        of(model)


# diffusers


class AutoencoderKL(nn.Module):
    config = SimpleNamespace(scaling_factor=0.18215)

    def encode(self, x):
        mean = x[:, :, ::2, ::2]
        return SimpleNamespace(
            latent_dist=SimpleNamespace(mean=mean, logvar=mean - 1, sample=lambda: mean + 2)
        )

    def decode(self, z):
        return SimpleNamespace(sample=z.repeat(1, 1, 2, 2))


def test_an_autoencoder_of_diffusers_is_judged_without_loss_and_likelihood():
    made = of(AutoencoderKL())
    mean, log_variance = made["encode"](X)
    assert torch.equal(mean, X[:, :, ::2, ::2])
    assert torch.equal(log_variance, mean - 1)
    assert torch.equal(made["draw"](X), mean + 2)
    assert made["decode"](mean).shape == X.shape
    assert not {"loss", "likelihood", "estimate"} & set(made)
    assert ["loss" in note for note in made["notes"]] == [True, False]
    stated = of(AutoencoderKL(), loss=torch.mean, likelihood="gaussian")
    assert stated["loss"] is torch.mean
    assert stated["likelihood"] == "gaussian"
    assert not stated["notes"]


# Modules of one's own


class LightningModule(nn.Module):
    """Logs inside of a fit only, as Lightning's does."""

    def log(self, name, value):
        raise RuntimeError("You are trying to `self.log()` but the loop's result is not registered")

    log_dict = log


class Bare(LightningModule):
    """Encoder, heads and decoder; batches are pairs of images and labels."""

    heads = ("fc_mu", "fc_var")

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.Tanh())
        for name in self.heads:
            setattr(self, name, nn.Linear(5, 2))
        self.decoder = nn.Linear(2, 16)

    def training_step(self, batch, batch_idx):
        x, labels = batch
        assert labels.dtype == torch.long
        self.log("train", x.mean())
        self.log_dict({"train": x.mean()})
        return {"loss": self.decoder(self.fc_mu(self.encoder(x))).square().mean()}


class OtherHeads(Bare):
    heads = ("fc_mu", "fc_logvar")


class Whole(Bare):
    """With encode, decode and reparametrize; batches are images."""

    def encode(self, x):
        return self.fc_mu(self.encoder(x)), self.fc_var(self.encoder(x))

    def decode(self, z):
        return self.decoder(z)

    def reparametrize(self, mean, log_variance):
        return mean + log_variance

    def training_step(self, batch, batch_idx):
        self.log("train", 0.0)
        return self.decode(self.encode(batch)[0]).square().mean()


@pytest.mark.parametrize("made_by", [Bare, OtherHeads, Whole])
def test_a_lightning_module(made_by):
    torch.manual_seed(0)
    model = made_by()
    made = of(model, likelihood="gaussian")
    hidden = model.encoder(X)
    mean, log_variance = made["encode"](X)
    assert torch.equal(mean, model.fc_mu(hidden))
    assert torch.equal(log_variance, getattr(model, made_by.heads[1])(hidden))
    assert torch.equal(made["decode"](mean), model.decoder(mean))
    assert torch.isclose(made["loss"](X), model.decoder(mean).square().mean())
    assert not made["notes"]
    assert ("draw" in made) == (made_by is Whole)
    if made_by is Whole:
        assert torch.equal(made["draw"](X), mean + log_variance)


def test_a_lightning_module_logs_again_after_its_loss_and_keeps_a_log_of_its_own():
    model = Bare()
    made = of(model)
    made["loss"](X)
    with pytest.raises(RuntimeError, match="not registered"):
        model.log("train", 0.0)
    model.log = print
    made["loss"](X)
    assert model.log is print
    assert "which p(x|z) it means" in made["notes"][0]


def test_what_a_training_step_raises_is_not_lost():
    class Broken(Whole):
        def training_step(self, batch, batch_idx):
            raise AttributeError("'Broken' has no attribute 'beta'")

    model = Broken()
    with pytest.raises(AttributeError, match="beta"):
        of(model)["loss"](X)
    assert "log" not in vars(model)


class Example(nn.Module):
    """As in PyTorch's example; its loss_function is beside it, below."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(16, 5), nn.Linear(5, 2), nn.Linear(5, 2)
        self.fc3, self.fc4 = nn.Linear(2, 5), nn.Linear(5, 16)

    def encode(self, flat):
        hidden = F.relu(self.fc1(flat))
        return self.fc21(hidden), self.fc22(hidden)

    def reparameterize(self, mean, log_variance):
        return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mean, log_variance = self.encode(x.view(-1, 16))
        return self.decode(self.reparameterize(mean, log_variance)), mean, log_variance


def loss_function(decoded, x, mean, log_variance):
    cross_entropy = F.binary_cross_entropy(decoded, x.view(-1, 16), reduction="sum")
    kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
    return cross_entropy + kl


def test_pytorchs_example_and_the_loss_beside_it():
    torch.manual_seed(0)
    model = Example()
    made = of(model)
    mean, log_variance = made["encode"](X)  # images, which its own encode does not take
    assert torch.equal(mean, model.encode(X.flatten(1))[0])
    noise = at_seed(1, torch.randn, 6, 2)
    z = mean + (0.5 * log_variance).exp() * noise
    expected = cross_entropy(X, model.decode(z)).sum() + float(
        kl_of(mean, log_variance).detach().sum()
    )
    assert float(at_seed(1, made["loss"], X).detach()) == pytest.approx(expected, rel=1e-5)
    assert made["likelihood"] == "bernoulli"
    assert torch.allclose(made["decode"](z).sigmoid(), model.decode(z))
    assert made["draw"](X).shape == (6, 2)
    assert not made["notes"]


def test_a_module_whose_loss_is_elsewhere(monkeypatch):
    monkeypatch.delitem(globals(), "loss_function")
    made = of(Example())
    assert "loss" not in made
    assert made["notes"] == [
        "Where the loss is computed is not known: of(model, loss=lambda x: …)."
    ]
    monkeypatch.setitem(globals(), "loss_function", lambda decoded, x: decoded)  # another one
    assert "loss" not in of(Example())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Linear(2, 2), "no adapter knows a Linear. Write audit"),
        (None, "no adapter knows a NoneType"),
        (SimpleNamespace(module=Scvi()), "no adapter knows a SimpleNamespace"),
        (
            nn.ModuleDict({"encoder": nn.Identity(), "decoder": nn.Identity()}),
            "finds the mean and the log-variance of a ModuleDict",
        ),
    ],
)
def test_a_model_that_no_adapter_knows(model, words):
    with pytest.raises(TypeError, match=words):
        of(model)


def test_a_vae_of_this_package_and_what_is_stated_beside_it():
    made = of(two_latents(), likelihood=0.2)
    assert made["likelihood"] == 0.2
    assert "notes" not in made


# Notes


def test_what_was_not_judged_ends_the_report():
    report = audit(X, encode=of(Example())["encode"], notes=["The loss <is> unknown."])
    assert report.notes == ("The loss <is> unknown.",)
    assert str(report).endswith("not judged  The loss <is> unknown.")
    assert json.loads(report.to_json())["not_judged"] == ["The loss <is> unknown."]
    assert "<h2>Not judged</h2>\n<p>The loss &lt;is&gt; unknown.</p>" in page(report)


@pytest.mark.parametrize("notes", ["one sentence", [1], None, 5])
def test_notes_that_are_none_are_refused(notes):
    with pytest.raises(TypeError, match="notes must be a list of sentences, got"):
        audit(X, encode=of(Example())["encode"], notes=notes)


def test_an_adapter_in_a_file_may_hand_on_notes(tmp_path, monkeypatch):
    (tmp_path / "with_notes.py").write_text("ready = {'notes': ['a'], 'encode': print}")
    monkeypatch.chdir(tmp_path)
    assert named("with_notes:ready")["notes"] == ["a"]


# What the packages themselves were seen to do

FIRST = {  # the first line of each report
    "VAE of grey digits, 'mse', 8 latents": ("look", "rate"),
    "VAE of binary digits, 'bce', 8 latents": ("sound", "support"),
    "SCVI, 60 epochs, the KL's warm-up left at 400": ("look", "exchange rate"),
    "SCVI, 60 epochs, a warm-up of 20": ("look", "dead parameters"),
    "AutoencoderKL, random weights": ("sound", "head-room"),
    "AutoencoderKL, mean squared error + 1e-6 KL": ("look", "exchange rate"),
    "a VAE of grey digits, σ = 0.15": ("look", "weights"),
    "the error an average over pixels": ("wrong", "exchange rate"),
    "vae, on grey pixels as shipped": ("look", "grey pixels"),
    "vae, on binary pixels": ("look", "encoder gap"),
}


@pytest.fixture(scope="module")
def kept():
    return json.loads(KEPT.read_text("utf-8"))


def test_the_first_line_of_each_report_names_the_fault(kept):
    seen = {row["model"]: row["findings"][0] for row in kept["audits"]}
    assert {name: (row["verdict"], row["check"]) for name, row in seen.items()} == FIRST
    grey = seen["VAE of grey digits, 'mse', 8 latents"]
    assert "σ < 0.795" in grey["reason"]
    pixels = load_digits(torch.float64).train.numpy()
    root = np.linalg.eigvalsh(np.cov(pixels.T, bias=True))[-1] ** 0.5
    assert 0.9 * root < 0.795 < root  # by the axes of one half and the variances of the other
    warming = seen["SCVI, 60 epochs, the KL's warm-up left at 400"]
    assert warming["value"] == pytest.approx(
        59 / 400, rel=1e-3
    )  # the last of 60 epochs is the 59th
    averaged = seen["the error an average over pixels"]
    assert "an average over 64 pixels where the bound has a sum" in averaged["reason"]


def test_each_report_says_what_it_could_not_judge(kept):
    notes = {row["model"]: row["not_judged"] for row in kept["audits"]}
    assert {name for name, said in notes.items() if said} == {
        "SCVI, 60 epochs, the KL's warm-up left at 400",
        "SCVI, 60 epochs, a warm-up of 20",
        "AutoencoderKL, random weights",
    }
    versions = {"pythae", "scvi-tools", "diffusers", "lightning", "torch", "commit"}
    assert versions <= set(kept["provenance"])


def test_their_estimates_of_a_log_p_that_is_known(kept):
    """get_nll makes as many draws as it takes at a time, or a multiple; marginal_ll rounds up."""
    made = {1: (100, 1), 10: (100, 10), 100: (100, 100), 150: (100, 200), 1000: (1000, 1000)}
    assert {row["draws_asked"] for row in kept["estimates"]} == set(made)
    for row in kept["estimates"]:
        assert row["draws_made"] == made[row["draws_asked"]][row["package"] == "scvi-tools"]
        assert row["log_p_error"] < 1e-3
        surplus = math.log(max(row["draws_made"] / row["draws_asked"], 1)) * (
            row["package"] == "scvi-tools"  # which divides by what was asked
        )
        assert row["nats_above"] - surplus < 4.5 * row["standard_error"]  # an average of weights
