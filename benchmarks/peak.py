"""What the machine's matrix products allow, by PyTorch in float32: one line of JSON.

"gflops" has the fastest single products seen, by shape; "products_seconds" is what the products
of an epoch of the standard training job take, one after another, and nothing else.
"""

import json
import statistics
import time
from collections.abc import Callable

import torch

from job import BATCH, HIDDEN, IMAGES, LATENT, PIXELS

SHAPES = [(2048, 2048, 2048), (1000, 400, 784)]  # a square, and the decoder's largest
FORWARD = [(PIXELS, HIDDEN), (HIDDEN, 2 * LATENT), (LATENT, HIDDEN), (HIDDEN, PIXELS)]
SECONDS = 1.0  # spent on each


def seconds(run: Callable[[], object]) -> list[float]:
    """How long each of many runs took."""
    taken, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return taken


def product(rows: int, inner: int, columns: int) -> float:
    """GFLOP/s of one product at its fastest."""
    left, right = torch.rand(rows, inner), torch.rand(inner, columns)
    out = torch.empty(rows, columns)
    return 2e-9 * rows * inner * columns / min(seconds(lambda: torch.mm(left, right, out=out)))


def step() -> Callable[[], None]:
    """The eleven products of one training step, with the layouts that its gradient gives them."""
    layers = []
    for inputs, outputs in FORWARD:
        shapes = (BATCH, inputs), (outputs, inputs), (BATCH, outputs), (BATCH, outputs)
        layers.append([torch.rand(shape) for shape in shapes])

    def run() -> None:
        for x, weight, out, _ in layers:
            torch.mm(x, weight.T, out=out)
        for place, (x, weight, _, gradient) in enumerate(layers):
            gradient.T @ x  # of the weights
            if place:
                gradient @ weight  # of the inputs, but not of the pixels

    return run


if __name__ == "__main__":
    gflops = {" x ".join(map(str, shape)): product(*shape) for shape in SHAPES}
    products = IMAGES // BATCH * statistics.median(seconds(step()))
    print(json.dumps({"gflops": gflops, "products_seconds": products}))
