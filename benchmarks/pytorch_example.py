"""Contender: the loop of PyTorch's own VAE example (pytorch/examples, `vae/main.py`).

Its habits are kept: one image decoded an item, sigmoid and binary cross-entropy, Adam as it
comes, the loss read out at each step. torchvision's detour through PIL is spared it.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from job import BATCH, HIDDEN, LATENT, LEARNING_RATE, PIXELS
from protocol import Contender, Task, serve


class Digits(Dataset):
    """As torchvision's MNIST under ToTensor: bytes kept, a float image (1, 28, 28) an item."""

    def __init__(self, images: np.ndarray):
        self.data = images.reshape(-1, 28, 28) * np.uint8(255)
        self.targets = np.zeros(
            len(images), np.int64
        )  # the example reads the labels and drops them

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int):
        image = torch.from_numpy(np.array(self.data[index], copy=True)).view(28, 28, 1)
        image = image.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        return image, int(self.targets[index])


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder_hidden = nn.Linear(PIXELS, HIDDEN)
        self.encoder_mean = nn.Linear(HIDDEN, LATENT)
        self.encoder_log_variance = nn.Linear(HIDDEN, LATENT)
        self.decoder_hidden = nn.Linear(LATENT, HIDDEN)
        self.decoder_logits = nn.Linear(HIDDEN, PIXELS)

    def forward(self, x):
        hidden = F.relu(self.encoder_hidden(x.view(-1, PIXELS)))
        mean, log_variance = self.encoder_mean(hidden), self.encoder_log_variance(hidden)
        deviation = torch.exp(0.5 * log_variance)
        z = mean + torch.randn_like(deviation) * deviation
        decoded = torch.sigmoid(self.decoder_logits(F.relu(self.decoder_hidden(z))))
        return decoded, mean, log_variance


def loss_function(decoded, x, mean, log_variance):
    cross_entropy = F.binary_cross_entropy(decoded, x.view(-1, PIXELS), reduction="sum")
    kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
    return cross_entropy + kl


def training(task: Task) -> Contender:
    torch.manual_seed(1)
    loader = DataLoader(Digits(task.images), batch_size=BATCH, shuffle=True, drop_last=True)
    model = VAE()
    model.load_state_dict({name: torch.from_numpy(w) for name, w in task.weights.items()})
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    def epoch() -> float:
        model.train()
        total = 0.0
        for x, _ in loader:
            optimizer.zero_grad()
            decoded, mean, log_variance = model(x)
            loss = loss_function(decoded, x, mean, log_variance)
            loss.backward()
            total += loss.item()
            optimizer.step()
        return total / (len(loader) * BATCH)

    return Contender(epoch)


if __name__ == "__main__":
    serve("torch", training=training)
