"""Audit models of other packages, each built and trained as its users do.

They need an environment of their own, made by `make adapters`; vae_tutorial itself is read from
this checkout. Nothing is downloaded: the images are the bundled digits, or MNIST where
VAE_TUTORIAL_DATA holds it; the counts are drawn here. Beside the audits, the packages' own
estimates of log p(x) are held against models whose log p(x) is known from quadrature. A few
minutes on one thread. What was found goes to one JSON file.
"""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import anndata
import lightning
import numpy as np
import scvi
import torch
from diffusers import AutoencoderKL
from pythae.models import VAE, VAEConfig
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from vae_tutorial import datasets
from vae_tutorial.audit.adapters import of
from vae_tutorial.data import binarize, load_digits
from vae_tutorial.noise import generator

OUTPUT = Path(__file__).resolve().parent.parent / "book" / "results" / "adapters.json"
PACKAGES = ("pythae", "scvi-tools", "diffusers", "lightning", "numpy")
SEED = 1
EPOCHS, BATCH, LEARNING_RATE = 60, 100, 1e-3
CELLS, GENES, KINDS = 600, 40, 4  # of the synthetic counts
SECONDS = 120.0  # for an audit
KNOWN = 20  # images or cells whose log p(x) is known
DRAWS = (1, 10, 150, 1000)  # of their estimates; 150 is no multiple of the hundred at a time


class Case(NamedTuple):
    """A model as its users have it, and the arguments of its audit."""

    package: str
    what: str  # how it was built and trained
    arguments: Callable[[], dict[str, Any]]


# Images and counts


def square(images: Tensor) -> Tensor:
    """Digits (n, 64) as images (n, 1, 8, 8)."""
    return images.view(-1, 1, 8, 8)


def pad(images: Tensor) -> Tensor:
    """Digits (n, 64) as images (n, 1, 28, 28): each pixel three by three, a margin of two."""
    large = square(images).repeat_interleave(3, 2).repeat_interleave(3, 3)
    return F.pad(large, (2, 2, 2, 2))


def handwriting() -> tuple[str, Tensor, Tensor]:
    """MNIST where it is kept, else the digits enlarged: its name, training and test images."""
    try:
        images = datasets.load("mnist")
    except FileNotFoundError:
        digits = load_digits()
        return "digits, enlarged to 28 by 28", pad(digits.train), pad(digits.test)
    shown = images.train[:6000].view(-1, 1, 28, 28), images.test[:1000].view(-1, 1, 28, 28)
    return "MNIST, 6,000 images", *shown


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
    return of(autoencoder()) | {"x": from_minus_one(load_digits().train)}


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
    return stated | {"x": images, "held_out": from_minus_one(digits.test)}


# Lightning


class Plain(lightning.LightningModule):
    """A VAE of grey digits as one writes it: σ = 0.15, which a newcomer would call 22."""

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


def lightning_of(made: type[Plain]) -> dict[str, Any]:
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
    return of(model, likelihood="gaussian") | {"x": digits.train, "held_out": digits.test}


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
    torch.manual_seed(SEED)
    model, steps = Example(), 1000
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        x = train[torch.randint(len(train), (128,))]
        adam.zero_grad()
        decoded, mean, log_variance = model(x)
        loss_function(decoded, x, mean, log_variance).backward()
        adam.step()
    return of(model) | {"x": train, "held_out": held_out}


def example_as_shipped() -> dict[str, Any]:
    _, train, test = handwriting()
    return example_on(train, test)


def example_on_binary() -> dict[str, Any]:
    _, train, test = handwriting()
    return example_on(binarize(train, generator(SEED)), binarize(test, generator(SEED)))
