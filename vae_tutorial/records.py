"""What an epoch comes to: its terms, whether they are sound, and the held-out images' bound."""

import torch
from torch import Tensor

from vae_tutorial import experiment
from vae_tutorial.arguments import require_finite
from vae_tutorial.bounds import Bound
from vae_tutorial.models import VAE
from vae_tutorial.training import State, average_bound

VALIDATION_SEED = 1_000_005  # the same draws after every epoch, so that its curve is smooth
AT_ONCE = 1000  # held-out images scored together


def require_sound(state: State, means: Bound) -> None:
    """Raise ValueError, with the step and its terms, unless bound and parameters are finite."""
    table = torch.stack(list(means))  # (terms, steps)
    bad = (~table.isfinite()).any(0).nonzero()
    if len(bad):
        step = int(bad[0])
        terms = ", ".join(f"{n} {v:g}" for n, v in zip(means._fields, table[:, step], strict=True))
        number = state.count - table.shape[-1] + step + 1
        raise ValueError(
            f"step {number} gave {terms}, and training stops where the bound is not finite"
        )
    for name, value in state.parameters.items():
        require_finite(f"{name} after step {state.count}", value)


def averages(bound: Bound) -> dict[str, float]:
    """The mean of each term, in nats an image."""
    return {name: round(term.double().mean().item(), 6) for name, term in bound._asdict().items()}


def validate(model: VAE, images: Tensor) -> Bound:
    """The bound of each held-out image, from one draw each; a Bound of (n,), in nats."""
    generator = experiment.generator(VALIDATION_SEED)
    parts = [average_bound(model, part, 1, generator) for part in images.split(AT_ONCE)]
    return type(parts[0])(*(torch.cat(terms) for terms in zip(*parts, strict=True)))


def line(record: dict, epochs: int) -> str:
    """One epoch as a line for a reader."""
    terms = f"elbo {record['elbo']:.2f}  log-likelihood {record['log_likelihood']:.2f}"
    held_out = f"kl {record['kl']:.2f}  validation elbo {record['validation_elbo']:.2f}"
    return f"epoch {record['epoch']}/{epochs}  {terms}  {held_out}  {record['seconds']:.1f} s"
