"""Contender: pythae from its package, its BaseTrainer and its `get_nll`, with our architecture.

Nothing of it is changed but the last batch, which its loader would keep. No validation set, no
checkpoint. `get_nll` is called without gradients, which its own code leaves to the caller.
"""

import logging
import tempfile

import torch
from pythae.data.datasets import BaseDataset, collate_dataset_output
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from job import BATCH, HIDDEN, LATENT, LEARNING_RATE, PIXELS
from protocol import Contender, Task, serve

logging.disable(logging.INFO)


class Encoder(BaseEncoder):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(PIXELS, HIDDEN)
        self.mean = nn.Linear(HIDDEN, LATENT)
        self.log_variance = nn.Linear(HIDDEN, LATENT)

    def forward(self, x):
        hidden = F.relu(self.hidden(x.flatten(1)))
        return ModelOutput(embedding=self.mean(hidden), log_covariance=self.log_variance(hidden))


class Decoder(BaseDecoder):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(LATENT, HIDDEN)
        self.logits = nn.Linear(HIDDEN, PIXELS)

    def forward(self, z):
        pixels = torch.sigmoid(self.logits(F.relu(self.hidden(z))))
        return ModelOutput(reconstruction=pixels.view(-1, 1, 28, 28))


class Trainer(BaseTrainer):
    def get_train_dataloader(self, train_dataset):
        """As pythae's own, but without the last incomplete batch."""
        return DataLoader(
            dataset=train_dataset,
            batch_size=self.training_config.per_device_train_batch_size,
            num_workers=self.training_config.train_dataloader_num_workers,
            shuffle=True,
            drop_last=True,
            collate_fn=collate_dataset_output,
        )


def build(task: Task) -> VAE:
    configuration = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    model = VAE(configuration, encoder=Encoder(), decoder=Decoder())
    ours = {name.replace("_", ".", 1): torch.from_numpy(w) for name, w in task.weights.items()}
    model.load_state_dict(ours)
    return model


def pixels(task: Task) -> torch.Tensor:
    return torch.from_numpy(task.images).float().view(-1, 1, 28, 28)


def training(task: Task) -> Contender:
    configuration = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=BATCH,
        optimizer_cls="Adam",
        learning_rate=LEARNING_RATE,
        keep_best_on_train=True,
        no_cuda=True,
    )
    images = pixels(task)
    dataset = BaseDataset(images, torch.zeros(len(images)))
    trainer = Trainer(build(task), dataset, training_config=configuration)
    trainer.prepare_training()
    count = 0

    def epoch() -> float:
        nonlocal count
        count += 1
        return trainer.train_step(count)

    return Contender(epoch)


def evaluation(task: Task) -> Contender:
    model, images = build(task).eval(), pixels(task)

    @torch.no_grad()
    def evaluate() -> float:
        return model.get_nll(images, n_samples=task.samples, batch_size=task.chunk)  # log p(x)

    return Contender(evaluate)


if __name__ == "__main__":
    serve("pythae", "torch", training=training, evaluation=evaluation)
