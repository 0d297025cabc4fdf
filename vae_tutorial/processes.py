"""Several processes that train one model: who takes which rows, and how gradients are averaged."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import distributed

from vae_tutorial.adam import Tensors


class Processes(NamedTuple):
    """This process's `rank`, from 0, among `total` processes that train together."""

    rank: int = 0
    total: int = 1
    launcher: int | None = None  # the process that started them, where it can start them again

    def rows(self, batch_size: int) -> slice:
        """This process's rows of a batch; ValueError unless all processes get equally many.

        >>> Processes(rank=1, total=4).rows(100)
        slice(25, 50, None)
        """
        if batch_size % self.total:
            needed = f"a multiple of the number of processes, {self.total}"
            raise ValueError(f"batch_size must be {needed}, got {batch_size}")
        share = batch_size // self.total
        return slice(self.rank * share, (self.rank + 1) * share)

    def average(self, tensors: Tensors) -> Tensors:
        """The mean of each tensor over all processes, by one sum of one flat vector.

        Shards of equal size make it the gradient of the whole batch's mean, as
        `DistributedDataParallel` would compute it. Source: Li et al. 2020, section 3.
        """
        if self.total == 1:
            return tensors
        flat = torch.cat([tensor.flatten() for tensor in tensors.values()])
        try:
            distributed.all_reduce(flat)  # the sum
        except RuntimeError as error:  # a page of C++, of which nothing helps
            raise ConnectionError(f"process {self.rank} lost another one, and ends") from error
        pieces = (flat / self.total).split([tensor.numel() for tensor in tensors.values()])
        named = zip(tensors.items(), pieces, strict=True)
        return {name: piece.view_as(tensor) for (name, tensor), piece in named}

    def abandoned(self) -> bool:
        """Whether `torchrun`, which would start them again, is gone, and they have gone on."""
        return self.launcher is not None and os.getppid() != self.launcher


ALONE = Processes()


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Join the processes that `torchrun` started, or stay alone if it started none.

    They talk by nccl between GPUs, by gloo between CPUs.
    """
    if "WORLD_SIZE" not in os.environ:
        yield ALONE
        return
    total, rank = environment_number("WORLD_SIZE"), environment_number("RANK")
    environment_number("MASTER_PORT")
    if rank >= total:
        raise ValueError(f"RANK must be below WORLD_SIZE, {total}, got {rank}")
    launcher = os.getppid()
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(rank, total, launcher)
    finally:
        distributed.destroy_process_group()


def environment_number(name: str) -> int:
    """The whole number in an environment variable; ValueError where it holds none."""
    text = os.environ.get(name, "")
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{name}, which torchrun sets, must be a whole number, got {text!r}")
    return int(text)
