"""Several processes that train one model: who takes which rows, and how gradients are averaged."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import distributed

from vae_tutorial.adam import Tensors


class Processes(NamedTuple):
    """This process's `rank`, from 0, among `count` processes that train together."""

    rank: int = 0
    count: int = 1

    def rows(self, batch_size: int) -> slice:
        """This process's rows of a batch; ValueError unless all processes get equally many.

        >>> Processes(rank=1, count=4).rows(100)
        slice(25, 50, None)
        """
        if batch_size % self.count:
            needed = f"a multiple of the number of processes, {self.count}"
            raise ValueError(f"batch_size must be {needed}, got {batch_size}")
        share = batch_size // self.count
        return slice(self.rank * share, (self.rank + 1) * share)

    def average(self, tensors: Tensors) -> Tensors:
        """The mean of each tensor over all processes, by one sum of one flat vector.

        Shards of equal size make it the gradient of the whole batch's mean, as
        `DistributedDataParallel` would compute it. Source: Li et al. 2020, section 3.
        """
        if self.count == 1:
            return tensors
        flat = torch.cat([tensor.flatten() for tensor in tensors.values()])
        distributed.all_reduce(flat)  # the sum
        pieces = (flat / self.count).split([tensor.numel() for tensor in tensors.values()])
        named = zip(tensors.items(), pieces, strict=True)
        return {name: piece.view_as(tensor) for (name, tensor), piece in named}


ALONE = Processes()


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the processes that `torchrun` started, or stay alone if it started none.

    They talk by nccl between GPUs, by gloo between CPUs.
    """
    if "WORLD_SIZE" not in os.environ:
        yield ALONE
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
