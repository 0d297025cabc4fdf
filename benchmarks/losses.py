"""Dissect all 1,797 digits under the kept model of chapter 11: log p(x), the bound, three losses.

A minute or two on one thread, too long for the page, which reads the JSON file that this writes.
Digits are sorted by the encoder's mean, so that those of a part share a small mesh.
"""

import json
from pathlib import Path

import torch
from torch import Tensor

from vae_tutorial.data import load_digits
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.evaluation import dissect
from vae_tutorial.files import write_whole
from vae_tutorial.models import VAE
from vae_tutorial.pretrained import two_latents

OUTPUT = Path(__file__).resolve().parent.parent / "book" / "results" / "losses.json"
PART = 100  # digits that share a mesh
DECIMALS = 7  # of a nat


def dissected(model: VAE, images: Tensor) -> dict:
    """Lists over the images, in their own order, in nats; and the largest error of log p(x)."""
    order = model.encoder(images).mean[:, 0].argsort()
    parts = [dissect(model, images[rows]) for rows in order.split(PART)]
    columns = [torch.stack([part.exact.log_evidence, *part.elbos]) for part in parts]
    found = torch.cat(columns, 1)[:, order.argsort()]  # (4, n)
    names = ("log_evidence", "encoder", "diagonal", "full")
    rounded = [[round(value, DECIMALS) for value in row] for row in found.tolist()]
    error = max(float(part.exact.error.max()) for part in parts)
    return dict(zip(names, rounded, strict=True)) | {"largest_error": error}


def main() -> None:
    model, digits = two_latents(), load_digits(torch.float64)
    sets = {"training": digits.train, "test": digits.test}
    found = {name: dissected(model, images) for name, images in sets.items()}
    contents = {"provenance": provenance(), **found}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(part)}" for name, part in contents.items())
    write_whole(OUTPUT, f"{{\n{lines}\n}}\n".encode())


if __name__ == "__main__":
    main()
