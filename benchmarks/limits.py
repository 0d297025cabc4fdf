"""How time grows with the training set, and memory with the number of importance samples.

Writes growth.json and memory.json. Each amount of memory is that of a process of its own.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn

from protocol import peak_memory
from vae_tutorial import datasets
from vae_tutorial.data import binarize
from vae_tutorial.engine.provenance import provenance
from vae_tutorial.files import write_whole
from vae_tutorial.importance import estimate_log_likelihood, make_weigh
from vae_tutorial.likelihoods import BernoulliPixels
from vae_tutorial.models import VAE, DiagonalEncoder, network
from vae_tutorial.noise import generator
from vae_tutorial.scaling import batches, compiled, in_place
from vae_tutorial.training import initial_state, make_step, negative_elbo, run_epoch

SIZES = (7_500, 15_000, 30_000, 60_000)
ROUNDS = 5
SAMPLES = (10, 100, 1_000, 10_000, 100_000)
RESULTS = Path(__file__).resolve().parent.parent / "book" / "results"


def standard() -> VAE:
    """The standard job's architecture, untrained."""
    random = generator(0)
    encoder = DiagonalEncoder(784, 400, 20, random, nn.ReLU)
    return VAE(encoder, network([20, 400, 784], random, nn.ReLU), BernoulliPixels())


def growth() -> dict:
    """Seconds an epoch at each size, sizes in turn, and the exponent of their power law."""
    torch.set_flush_denormal(True)
    images, random = binarize(datasets.load("mnist").train, generator(0)), generator(1)
    model = standard()
    step, state = compiled(in_place(make_step(model, negative_elbo))), initial_state(model)
    seconds = {size: [] for size in SIZES}
    for _ in range(ROUNDS + 1):  # the first is not counted: it compiles
        for size in SIZES:
            sizes = {"batch_size": 128, "latent": 20, "num_samples": 1, "binary": False}
            pairs = batches(images[:size], generator=random, **sizes)
            begin = time.perf_counter()
            state, _ = run_epoch(step, state, pairs, 0.001)
            seconds[size].append(time.perf_counter() - begin)
    medians = [statistics.median(seconds[size][1:]) for size in SIZES]
    logs = [[math.log(v) for v in values] for values in (SIZES, medians)]
    exponent = statistics.linear_regression(*logs).slope
    return {"sizes": SIZES, "seconds": medians, "exponent": exponent} | stamp()


def peak(samples: int) -> int:
    """Bytes held at most, by a process that scores two images with so many samples."""
    images = binarize(torch.rand(2, 784, generator=generator(0)), generator(1))
    model = standard().requires_grad_(False)
    estimate_log_likelihood(model, images, samples, generator(2), make_weigh(model))
    return peak_memory()


def memory() -> dict:
    """Megabytes at each number of samples."""
    command = [sys.executable, __file__, "--peak"]
    told = [subprocess.check_output([*command, str(samples)], text=True) for samples in SAMPLES]
    return {"samples": SAMPLES, "peak_megabytes": [int(t) / 1e6 for t in told]} | stamp()


def stamp() -> dict:
    return {"provenance": provenance()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS, help="a folder (%(default)s)")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)  # one process of memory()
    options = parser.parse_args()
    if options.peak:
        print(peak(options.peak))
        sys.exit()
    for name, content in (("memory", memory()), ("growth", growth())):
        text = json.dumps(content, indent=1) + "\n"
        write_whole(options.output / f"{name}.json", text.encode())
        print(f"{name}: {json.dumps(content)}")
