"""Train the two-latent network of the landing page's figure on MNIST, and keep it.

One call of `python -m vae_tutorial train`, as a reader would type it, which goes on where it was
stopped. The weights are kept in float16, half the size, with the places where the encoder puts
test digits: the book and its tests need no MNIST. What is measured is measured on what is kept.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from vae_tutorial import datasets, pretrained
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.engine.runs import validate
from vae_tutorial.engine.settings import Settings, prepare
from vae_tutorial.files import write_whole

PROTOCOL = {
    "data": "mnist",
    "likelihood": "bernoulli",
    "hidden": (128, 64),
    "latent": 2,
    "epochs": 40,
    "batch_size": 100,
    "learning_rate": 0.002,
    "final_learning_rate": 0.0002,
    "seed": 0,
}
PLACES = 1000  # test digits whose q(z|x) is kept
RESULTS = Path(__file__).resolve().parents[1] / "book" / "results" / "mnist-pad.json"


def trained(folder: Path) -> dict[str, torch.Tensor]:
    """The parameters of the run in `folder`, trained first if need be."""
    words = [sys.executable, "-m", "vae_tutorial", "train", "--output", str(folder)]
    for name, value in PROTOCOL.items():
        each = value if isinstance(value, tuple) else (value,)
        words += [f"--{name.replace('_', '-')}", *map(str, each)]
    subprocess.run(words, check=True)
    return load_file(folder / "weights.safetensors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of the run")
    folder = parser.parse_args().folder
    images = datasets.load("mnist")
    weights = {name: value.half() for name, value in trained(folder).items()}
    model = pretrained.untrained_mnist().requires_grad_(False)
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    _, held_out = prepare(Settings(**PROTOCOL), images)
    posterior = model.encoder(images.test[:PLACES])
    places = {
        "test.mean": posterior.mean.half(),
        "test.label": images.test_labels[:PLACES].to(torch.uint8),
    }
    save_file(weights | places, pretrained.MNIST)
    pretrained.MNIST.chmod(0o644)

    bound = validate(model, held_out)
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    results = {
        "settings": PROTOCOL,
        "images": len(held_out),
        "elbo": bound.elbo.double().mean().item(),
        "kl": bound.kl.double().mean().item(),
        "training_seconds": round(sum(json.loads(line)["seconds"] for line in lines)),
        "provenance": provenance(),
    }
    write_whole(RESULTS, f"{json.dumps(results, indent=1)}\n".encode())
    print(f"{RESULTS.name}: {results}")
