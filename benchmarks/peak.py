"""The fastest float32 matrix products seen here, in GFLOP/s: one line of JSON."""

import json
import time

import torch

SHAPES = [(2048, 2048, 2048), (1000, 400, 784)]  # a square, and the decoder's largest
SECONDS = 1.0  # spent on each

fastest = {}
for rows, inner, columns in SHAPES:
    left, right = torch.rand(rows, inner), torch.rand(inner, columns)
    out = torch.empty(rows, columns)
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(left, right, out=out)
        best = min(best, time.perf_counter() - start)
    fastest[f"{rows} x {inner} x {columns}"] = 2e-9 * rows * inner * columns / best
print(json.dumps(fastest))
