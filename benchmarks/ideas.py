"""What each idea pays: the loop of PyTorch's example, one habit changed after another."""

import torch
from torch.nn import functional as F

import ours
import pytorch_example
from job import BATCH, LEARNING_RATE
from protocol import Contender, Task, serve
from vae_tutorial.noise import generator
from vae_tutorial.scaling import compiled


def by_index(task: Task, *, logits: bool, fused: bool, read: bool) -> Contender:
    """The familiar loop over one tensor of decoded images, with or without three more ideas."""
    images, random = torch.from_numpy(task.images).float(), generator(0)
    model = pytorch_example.VAE()
    model.load_state_dict({name: torch.from_numpy(w) for name, w in task.weights.items()})
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=fused)

    def loss_of(x):
        hidden = F.relu(model.encoder_hidden(x))
        mean, log_variance = model.encoder_mean(hidden), model.encoder_log_variance(hidden)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        decoded = model.decoder_logits(F.relu(model.decoder_hidden(z)))
        kl = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        if logits:
            return F.binary_cross_entropy_with_logits(decoded, x, reduction="sum") + kl
        return F.binary_cross_entropy(torch.sigmoid(decoded), x, reduction="sum") + kl

    def epoch() -> float:
        order = torch.randperm(len(images), generator=random)
        total, steps = torch.zeros(()), len(images) // BATCH
        for rows in order[: steps * BATCH].split(BATCH):
            optimizer.zero_grad()
            loss = loss_of(images[rows])
            loss.backward()
            total += loss.item() if read else loss.detach()
            optimizer.step()
        return total.item() / (steps * BATCH)

    return Contender(epoch)


IDEAS = {  # in the order of the chapter; each but the last keeps those before it
    "example": pytorch_example.training,
    "one-tensor": lambda task: by_index(task, logits=False, fused=False, read=True),
    "logits": lambda task: by_index(task, logits=True, fused=False, read=True),
    "fused-adam": lambda task: by_index(task, logits=True, fused=True, read=True),
    "nothing-read": lambda task: by_index(task, logits=True, fused=True, read=False),
    "pure-step": lambda task: ours.training(task, lambda step: step),
    "compiled": lambda task: ours.training(task, compiled),
    "in-place": ours.training,
    "denormals-kept": lambda task: ours.training(task, flush=False),
}

if __name__ == "__main__":
    serve("torch", **IDEAS)
