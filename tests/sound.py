"""Sound VAEs written as a user would, for the tests of the audit: trained on the digits."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial.data import load_digits


class Trained(NamedTuple):
    """A VAE of one's own: the module, its loss on a batch, and the digits it saw and did not."""

    model: nn.Module
    loss: Callable[[Tensor], Tensor]
    train: Tensor
    test: Tensor


class Plain(nn.Module):
    """A VAE as tutorials write it: 64 pixels, one hidden layer, a diagonal Gaussian q."""

    def __init__(self, latent: int = 8, hidden: int = 64):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(64, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent)
        )
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, 64))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        return mean, log_variance

    def draw(self, x: Tensor) -> Tensor:
        mean, log_variance = self.encode(x)
        return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)


def gaussian_loss(model: nn.Module, sigma: float, x: Tensor) -> Tensor:
    """−ELBO of a batch without its constants: squared error / 2σ² and KL, a mean over images."""
    mean, log_variance = model.encode(x)
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    error = (x - model.decode(z)).square().sum(-1)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
    return (error / (2 * sigma**2) + kl).mean()


def bernoulli_loss(model: nn.Module, x: Tensor) -> Tensor:
    """−ELBO of a batch of binary pixels, a mean over images."""
    mean, log_variance = model.encode(x)
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    logits = model.decode(z)
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
    return (entropy + kl).mean()


def fit(model: nn.Module, loss: Callable[[Tensor], Tensor], train: Tensor, epochs: int) -> None:
    """Adam at 0.003, batches of 100; the random state is the caller's."""
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(epochs):
        for batch in train[torch.randperm(len(train))].split(100):
            optimiser.zero_grad()
            loss(batch).backward()
            optimiser.step()


@cache
def gaussian(seed: int = 0, latent: int = 8, sigma: float = 0.15, epochs: int = 40) -> Trained:
    """A sound VAE of grey digits, its σ fixed. Do not change it: it is shared by tests."""
    digits = load_digits()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Plain(latent)

        def loss(x: Tensor) -> Tensor:
            return gaussian_loss(model, sigma, x)

        fit(model, loss, digits.train, epochs)
    return Trained(model, loss, digits.train, digits.test)


@cache
def bernoulli(seed: int = 0, latent: int = 8, epochs: int = 40) -> Trained:
    """A sound VAE of digits on or off. Do not change it: it is shared by tests."""
    digits = load_digits()
    train, test = (digits.train > 0.5).float(), (digits.test > 0.5).float()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Plain(latent)

        def loss(x: Tensor) -> Tensor:
            return bernoulli_loss(model, x)

        fit(model, loss, train, epochs)
    return Trained(model, loss, train, test)


def snapshot(*modules: nn.Module) -> list[Tensor]:
    """Copies of all parameters and buffers, in order: an audit must bring them back."""
    return [
        tensor.detach().clone()
        for module in modules
        for tensor in [*module.parameters(), *module.buffers()]
    ]
