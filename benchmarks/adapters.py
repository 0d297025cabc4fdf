"""Audit models of other packages, each built and trained as its users do.

They need an environment of their own, made by `make adapters`; vae_tutorial itself is read from
this checkout. Nothing is downloaded: the images are the bundled digits, or MNIST where
VAE_TUTORIAL_DATA holds it; the counts are drawn here. Beside the audits, the packages' own
estimates of log p(x) are held against models whose log p(x) is known from quadrature. A few
minutes on one thread. What was found goes to one JSON file.
"""

import copy
import json
import logging
import math
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import anndata
import lightning
import numpy as np
import scvi
import torch
from diffusers import AutoencoderKL
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from vae_tutorial import datasets
from vae_tutorial.audit import audit
from vae_tutorial.audit.adapters import of
from vae_tutorial.data import binarize, load_digits
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole
from vae_tutorial.marginal_likelihood import exact_evidence
from vae_tutorial.noise import generator, mean_and_error, standard_normal
from vae_tutorial.pretrained import mnist, two_latents

OUTPUT = Path(__file__).resolve().parent.parent / "book" / "results" / "adapters.json"
PACKAGES = ("pythae", "scvi-tools", "diffusers", "lightning", "numpy")
SEED = 1
EPOCHS, BATCH, LEARNING_RATE = 60, 100, 1e-3
SHOWN = 400  # images, of the slow autoencoder
CELLS, GENES, KINDS = 600, 40, 4  # of the synthetic counts
SECONDS = 120.0  # for an audit
KNOWN = 20  # images or cells whose log p(x) is known
DRAWS = (1, 10, 100, 150, 1000)  # asked of their estimates
AT_A_TIME = 100  # as pythae has it; 150 is no multiple of it


class Case(NamedTuple):
    """A model as its users have it, and how the arguments of its audit are made."""

    package: str
    what: str  # how it was built and trained
    build: Callable[[], dict[str, Any]]


class Exact(NamedTuple):
    """A model of which log p(x) is known, and the package's own estimate of it."""

    package: str
    what: str
    log_evidence: Tensor  # (batch,), by quadrature
    error: float  # its bound, for any of them
    decoder: nn.Module  # whose inputs tell how many draws there were
    estimate: Callable[[int, int], Tensor]  # draws, and at a time, to (batch,)


# Images and counts


def square(images: Tensor) -> Tensor:
    """Digits (n, 64) as images (n, 1, 8, 8)."""
    return images.view(-1, 1, 8, 8)


def pad(images: Tensor) -> Tensor:
    """Digits (n, 64) as images (n, 1, 28, 28): each pixel three by three, a margin of two."""
    large = square(images).repeat_interleave(3, 2).repeat_interleave(3, 3)
    return F.pad(large, (2, 2, 2, 2))


def handwriting() -> tuple[Tensor, Tensor]:
    """Training and test images (n, 1, 28, 28): of MNIST where it is kept, else digits enlarged."""
    try:
        images = datasets.load("mnist")
    except FileNotFoundError:
        digits = load_digits()
        return pad(digits.train), pad(digits.test)
    return images.train[:6000].view(-1, 1, 28, 28), images.test[:1000].view(-1, 1, 28, 28)


def counts() -> np.ndarray:
    """Counts (cells, genes) of cells of several kinds: a negative binomial of θ = 4."""
    rng = np.random.default_rng(SEED)
    shares = rng.dirichlet(np.full(GENES, 0.7), size=KINDS)[rng.integers(KINDS, size=CELLS)]
    library = rng.lognormal(math.log(400), 0.3, size=(CELLS, 1))
    drawn = rng.poisson(shares * library * rng.gamma(4.0, 1 / 4.0, size=shares.shape))
    drawn[:, 0] += 1  # no cell is empty
    return drawn.astype(np.float32)


# pythae


def trained_pythae(images: Tensor, likelihood: str) -> VAE:
    """Its VAE with its own networks, through its own pipeline, at its own defaults."""
    configuration = VAEConfig(input_dim=(1, 8, 8), latent_dim=8, reconstruction_loss=likelihood)
    model = VAE(configuration)
    training = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(),
        num_epochs=EPOCHS,
        per_device_train_batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        seed=SEED,
        no_cuda=True,
    )
    TrainingPipeline(model=model, training_config=training)(train_data=images)
    return model


def pythae_on_grey() -> dict[str, Any]:
    digits = load_digits()
    model = trained_pythae(square(digits.train), "mse")
    return of(model) | {"x": square(digits.train), "held_out": square(digits.test)}


def pythae_on_binary() -> dict[str, Any]:
    digits = load_digits()
    train, test = (square(binarize(part, generator(SEED))) for part in (digits.train, digits.test))
    return of(trained_pythae(train, "bce")) | {"x": train, "held_out": test}


# scvi-tools


def trained_scvi(latent: int, **training: Any) -> tuple[scvi.model.SCVI, Tensor]:
    """SCVI as its tutorial has it, but of few latents and epochs; and its counts."""
    scvi.settings.seed = SEED
    table = anndata.AnnData(counts())
    scvi.model.SCVI.setup_anndata(table)
    model = scvi.model.SCVI(table, n_latent=latent, gene_likelihood="nb")
    model.train(accelerator="cpu", enable_progress_bar=False, logger=None, **training)
    model.module.eval()
    return model, torch.from_numpy(table.X)


def scvi_at_its_defaults() -> dict[str, Any]:
    model, x = trained_scvi(10, max_epochs=EPOCHS)
    return of(model) | {"x": x}


def scvi_warmed_up() -> dict[str, Any]:
    model, x = trained_scvi(10, max_epochs=EPOCHS, plan_kwargs={"n_epochs_kl_warmup": EPOCHS // 3})
    return of(model) | {"x": x}


# diffusers


def autoencoder() -> AutoencoderKL:
    torch.manual_seed(SEED)
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(16, 32),
        latent_channels=4,
        norm_num_groups=8,
        sample_size=8,
    )


def from_minus_one(images: Tensor) -> Tensor:
    return 2 * square(images) - 1


def diffusers_untrained() -> dict[str, Any]:
    return of(autoencoder()) | {"x": from_minus_one(load_digits().train[:SHOWN])}


def diffusers_trained() -> dict[str, Any]:
    """200 steps of a loss that is often seen: a mean squared error and 10⁻⁶ of the KL."""
    digits, model = load_digits(), autoencoder()
    images = from_minus_one(digits.train)

    def loss(x: Tensor) -> Tensor:
        posterior = model.encode(x).latent_dist
        decoded = model.decode(posterior.sample()).sample
        return F.mse_loss(decoded, x) + 1e-6 * posterior.kl().mean()

    adam = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for _ in range(200):
        adam.zero_grad()
        loss(images[torch.randint(len(images), (32,))]).backward()
        adam.step()
    stated = of(model, loss=loss, likelihood="gaussian")
    return stated | {"x": images[:SHOWN], "held_out": from_minus_one(digits.test)}


# Lightning


class Plain(lightning.LightningModule):
    """A VAE of grey digits as one writes it, its squared error weighed as by σ = 0.15."""

    def __init__(self, weight: float = 1 / (2 * 0.15**2)):
        super().__init__()
        self.weight = weight  # of the squared error
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU())
        self.fc_mu, self.fc_var = nn.Linear(128, 8), nn.Linear(128, 8)
        self.decoder = nn.Sequential(nn.Linear(8, 128), nn.ReLU(), nn.Linear(128, 64))

    def reparameterize(self, mean, log_variance):
        return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)

    def training_step(self, batch, batch_idx):
        x, _ = batch
        hidden = self.encoder(x)
        mean, log_variance = self.fc_mu(hidden), self.fc_var(hidden)
        decoded = self.decoder(self.reparameterize(mean, log_variance))
        error = self.weight * (x - decoded).pow(2).sum(-1)
        kl = 0.5 * (mean.pow(2) + log_variance.exp() - 1 - log_variance).sum(-1)
        loss = (error + kl).mean()
        self.log_dict({"loss": loss, "kl": kl.mean()})
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)


class Averaged(Plain):
    """The same with the error an average over pixels, as F.mse_loss gives it."""

    def __init__(self):
        super().__init__(weight=1 / 64)


def lightning_of(made: type[Plain], likelihood: float | str) -> dict[str, Any]:
    digits = load_digits()
    lightning.seed_everything(SEED, verbose=False)
    model = made()
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    pairs = TensorDataset(digits.train, torch.zeros(len(digits.train)))
    trainer.fit(model, DataLoader(pairs, batch_size=BATCH, shuffle=True))
    return of(model, likelihood=likelihood) | {"x": digits.train, "held_out": digits.test}


# PyTorch's example: the layers, methods and loss of pytorch/examples, vae/main.py


class Example(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 400)
        self.fc21, self.fc22 = nn.Linear(400, 20), nn.Linear(400, 20)
        self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

    def encode(self, x):
        hidden = F.relu(self.fc1(x))
        return self.fc21(hidden), self.fc22(hidden)

    def reparameterize(self, mean, log_variance):
        return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mean, log_variance = self.encode(x.view(-1, 784))
        return self.decode(self.reparameterize(mean, log_variance)), mean, log_variance


def loss_function(decoded, x, mean, log_variance):
    cross_entropy = F.binary_cross_entropy(decoded, x.view(-1, 784), reduction="sum")
    kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
    return cross_entropy + kl


def example_on(train: Tensor, held_out: Tensor) -> dict[str, Any]:
    """1,000 steps on batches of 128, at the example's own learning rate."""
    torch.manual_seed(SEED)
    model = Example()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(1000):
        x = train[torch.randint(len(train), (128,))]
        adam.zero_grad()
        decoded, mean, log_variance = model(x)
        loss_function(decoded, x, mean, log_variance).backward()
        adam.step()
    return of(model) | {"x": train, "held_out": held_out}


def example_as_shipped() -> dict[str, Any]:
    return example_on(*handwriting())


def example_on_binary() -> dict[str, Any]:
    return example_on(*(binarize(images, generator(SEED)) for images in handwriting()))


CASES = (
    Case("pythae", "VAE of grey digits, 'mse', 8 latents", pythae_on_grey),
    Case("pythae", "VAE of binary digits, 'bce', 8 latents", pythae_on_binary),
    Case("scvi-tools", "SCVI, 60 epochs, the KL's warm-up left at 400", scvi_at_its_defaults),
    Case("scvi-tools", "SCVI, 60 epochs, a warm-up of 20", scvi_warmed_up),
    Case("diffusers", "AutoencoderKL, random weights", diffusers_untrained),
    Case("diffusers", "AutoencoderKL, mean squared error + 1e-6 KL", diffusers_trained),
    Case("lightning", "a VAE of grey digits, σ = 0.15", lambda: lightning_of(Plain, 0.15)),
    Case(
        "lightning", "the error an average over pixels", lambda: lightning_of(Averaged, "gaussian")
    ),
    Case("pytorch/examples", "vae, on grey pixels as shipped", example_as_shipped),
    Case("pytorch/examples", "vae, on binary pixels", example_on_binary),
)


def audited(case: Case) -> dict[str, Any]:
    """A case's report, as plain values."""
    start = time.perf_counter()
    arguments = case.build()
    built = time.perf_counter() - start
    report = audit(arguments.pop("x"), seconds=SECONDS, **arguments)
    first = report.findings[0]
    print(f"{case.package}: {case.what}: {first.verdict}, {first.check}", flush=True)
    return {
        "package": case.package,
        "model": case.what,
        "seconds_to_build": round(built, 1),
        **json.loads(report.to_json()),
    }


# Their own estimates of log p(x), where it is known


class ScaledEncoder(BaseEncoder):
    """The kept encoder, of images in units of σ."""

    def __init__(self, encoder: nn.Module, deviation: float):
        super().__init__()
        self.kept, self.deviation = encoder, deviation

    def forward(self, x: Tensor) -> ModelOutput:
        posterior = self.kept(self.deviation * x.flatten(1))
        return ModelOutput(embedding=posterior.mean, log_covariance=posterior.log_variance)


class ScaledDecoder(BaseDecoder):
    """The kept decoder, its images in units of σ."""

    def __init__(self, decode: Callable[[Tensor], Tensor], deviation: float, side: int):
        super().__init__()
        self.kept, self.deviation, self.side = decode, deviation, side

    def forward(self, z: Tensor) -> ModelOutput:
        images = (self.kept(z) / self.deviation).view(-1, 1, self.side, self.side)
        return ModelOutput(reconstruction=images)


def estimated_by(model: VAE, x: Tensor) -> Callable[[int, int], Tensor]:
    """Its `get_nll`, image by image."""

    @torch.no_grad()
    def estimate(draws: int, at_a_time: int) -> Tensor:
        each = [model.get_nll(image[None], n_samples=draws, batch_size=at_a_time) for image in x]
        return torch.tensor(each, dtype=torch.float64)

    return estimate


def pythae_of_grey() -> Exact:
    """The book's kept model of two latents, in units of its σ: pythae's Gaussian has σ = 1."""
    kept = two_latents()
    deviation = float((0.5 * kept.likelihood.variance(torch.zeros(1, 2).double())).exp())
    x = load_digits(torch.float64).test[:KNOWN] / deviation  # (batch, 64)

    def log_likelihood(z: Tensor) -> Tensor:
        squares = torch.cdist(kept.decode(z) / deviation, x).square()  # (n, batch)
        return -0.5 * squares - 32 * math.log(2 * math.pi)

    configuration = VAEConfig(input_dim=(1, 8, 8), latent_dim=2, reconstruction_loss="mse")
    decoder = ScaledDecoder(kept.decode, deviation, 8)
    model = VAE(configuration, ScaledEncoder(kept.encoder, deviation), decoder).double().eval()
    exact = exact_evidence(log_likelihood, 2)
    what = "VAE with the kept weights of two latents, grey digits in units of σ"
    error = float(exact.error.max())
    estimate = estimated_by(model, square(x))
    return Exact("pythae", what, exact.log_evidence, error, decoder, estimate)


def pythae_of_binary() -> Exact:
    """The book's kept model of MNIST with two latents, and images that it draws."""
    kept = mnist()[0].double().eval()
    z = standard_normal((KNOWN, 2), generator(SEED)).double()
    x = kept.decoder(z).sigmoid().bernoulli(generator=generator(SEED)).detach()  # (batch, 784)

    def log_likelihood(z: Tensor) -> Tensor:
        logits = kept.decoder(z)  # (n, 784)
        return logits @ x.mT - F.softplus(logits).sum(-1, keepdim=True)

    configuration = VAEConfig(input_dim=(1, 28, 28), latent_dim=2, reconstruction_loss="bce")
    decoder = ScaledDecoder(lambda z: kept.decoder(z).sigmoid(), 1.0, 28)
    model = VAE(configuration, ScaledEncoder(kept.encoder, 1.0), decoder).double().eval()
    exact = exact_evidence(log_likelihood, 2)
    what = "VAE with the kept weights of MNIST, two latents, images drawn from it"
    error = float(exact.error.max())
    estimate = estimated_by(model, x.view(-1, 1, 28, 28))
    return Exact("pythae", what, exact.log_evidence, error, decoder, estimate)


def negative_binomial(x: Tensor, shares: Tensor, library: Tensor, theta: Tensor) -> Tensor:
    """log p of counts x (batch, genes) with means library · shares (n, genes): (n, batch)."""
    constant = (x + theta).lgamma() - theta.lgamma() - (x + 1).lgamma() + x * library.log()
    constant = (constant + theta * theta.log()).sum(-1)  # (batch,)
    each = [
        ((theta + size * shares).log() * (cell + theta)).sum(-1)  # (n,)
        for cell, size in zip(x, library, strict=True)
    ]
    return constant + shares.log() @ x.mT - torch.stack(each, 1)


def scvi_of_two_latents() -> Exact:
    """SCVI trained here with two latents; each cell's library size is given, as it has it."""
    training = {"max_epochs": EPOCHS, "plan_kwargs": {"n_epochs_kl_warmup": EPOCHS // 3}}
    model, cells = trained_scvi(2, **training)
    x, double = cells[:KNOWN].double(), copy.deepcopy(model.module).double()
    library = x.sum(1, keepdim=True)  # (batch, 1)

    def log_likelihood(z: Tensor) -> Tensor:
        nothing = z.new_zeros(len(z), 1)
        given = double.generative(z, nothing, nothing, y=nothing)["px"]  # at a library size of 1
        return negative_binomial(x, given.mu, library, double.px_r.detach().exp())

    def estimate(draws: int, at_a_time: int) -> Tensor:
        return model.get_marginal_ll(
            indices=range(KNOWN),
            n_mc_samples=draws,
            return_mean=False,
            n_mc_samples_per_pass=min(draws, at_a_time),
        ).double()

    exact = exact_evidence(log_likelihood, 2)
    error, decoder = float(exact.error.max()), model.module.decoder
    what = "SCVI with two latents, library sizes given"
    return Exact("scvi-tools", what, exact.log_evidence, error, decoder, estimate)


def estimates(known: Exact) -> list[dict[str, Any]]:
    """How far a package's estimates are from log p(x), for each number of draws asked for."""
    found = []
    for asked in DRAWS:
        decoded: list[int] = []

        def count(_: nn.Module, inputs: tuple, decoded: list[int] = decoded) -> None:
            (z,) = (each for each in inputs if isinstance(each, Tensor) and each.shape[-1] == 2)
            decoded.append(z[..., 0].numel())

        hook = known.decoder.register_forward_pre_hook(count)
        torch.manual_seed(SEED)
        apart = mean_and_error(known.estimate(asked, AT_A_TIME) - known.log_evidence)
        hook.remove()
        found.append(
            {
                "package": known.package,
                "model": known.what,
                "log_p": float(known.log_evidence.mean()),
                "log_p_error": known.error,
                "images": KNOWN,
                "draws_asked": asked,
                "at_a_time": AT_A_TIME,
                "draws_made": sum(decoded) / KNOWN,
                "nats_above": float(apart.mean),
                "standard_error": float(apart.standard_error),
            }
        )
        print(f"{known.package}, {asked} draws asked: {apart.mean:+.2f} nats", flush=True)
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    audits = [audited(case) for case in CASES]
    compared = [
        row
        for known in (pythae_of_grey, pythae_of_binary, scvi_of_two_latents)
        for row in estimates(known())
    ]
    packages = {name: version(name) for name in PACKAGES}
    contents = {
        "provenance": provenance() | packages,
        "settings": {"seed": SEED, "epochs": EPOCHS, "handwriting": len(handwriting()[0])},
        "audits": audits,
        "estimates": compared,
    }
    write_whole(OUTPUT, f"{json.dumps(contents, indent=1, ensure_ascii=False)}\n".encode())


if __name__ == "__main__":
    main()
