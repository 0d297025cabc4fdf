"""Train the VAE of chapter 11 from five seeds for longer than it should be, and take exact marks.

At each mark the exact log p(x) and the exact bound of all training and all test digits are
averaged, nats per image. The model and its settings are those of the kept weights
(`pretrained.train`); only seed and length differ. Minutes on one thread. The results go to one JSON
file, which the page reads.
"""

import copy
import json
from pathlib import Path

import torch
from torch import Tensor

from vae_tutorial.data import load_digits, minibatches, with_noise
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.evaluation import exact_bound, exact_log_evidence
from vae_tutorial.files import write_whole
from vae_tutorial.models import VAE
from vae_tutorial.noise import generator
from vae_tutorial.pretrained import untrained
from vae_tutorial.training import initial_state, make_step, negative_elbo, run_epoch

OUTPUT = Path(__file__).resolve().parent.parent / "book" / "results" / "stopping.json"
SEEDS = range(5)
MARKS = (50, 100, 200, 400, 800)  # epochs
BATCH, LEARNING_RATE = 100, 0.003
PART = 100  # digits that share a mesh


def averages(model: VAE, images: Tensor) -> dict[str, float]:
    """Mean exact log p(x), mean exact bound, and the largest error of either, nats per image."""
    exact = [exact_log_evidence(model, part) for part in images.split(PART)]
    log_p = torch.cat([part.log_evidence for part in exact])  # (n,)
    bound = exact_bound(model, images, model.encoder(images))
    error = max(float(part.error.max()) for part in (*exact, bound))
    means = {"log_evidence": float(log_p.mean()), "elbo": float(bound.elbo.mean())}
    return {**means, "largest_error": error}


def marks_of(seed: int) -> list[dict]:
    """Train from one seed, and look at both sets of digits at each mark."""
    digits, draws, found = load_digits(torch.float64), generator(100 + seed), []
    model = untrained(seed)
    step, state = make_step(model, negative_elbo), initial_state(model)
    for epoch in range(1, MARKS[-1] + 1):
        pairs = with_noise(minibatches(digits.train, BATCH, draws), 2, 1, draws)
        state, _ = run_epoch(step, state, pairs, LEARNING_RATE)
        if epoch in MARKS:
            fitted = copy.deepcopy(model).requires_grad_(False)
            fitted.load_state_dict({**model.state_dict(), **state.parameters})
            sets = {"training": digits.train, "test": digits.test}
            record = {name: averages(fitted, images) for name, images in sets.items()}
            found.append({"seed": seed, "epoch": epoch, **record})
            print(found[-1], flush=True)
    return found


def main() -> None:
    records = [record for seed in SEEDS for record in marks_of(seed)]
    contents = {"provenance": provenance(), "records": records}
    write_whole(OUTPUT, f"{json.dumps(contents, indent=1)}\n".encode())


if __name__ == "__main__":
    main()
