"""The explained step at full speed: overwritten in place, compiled as one graph, fed by index."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vae_tutorial.adam import adam
from vae_tutorial.data import binarize, minibatches, with_noise
from vae_tutorial.processes import ALONE, Processes
from vae_tutorial.training import Objective, Step, Update, make_gradients


def make_shared_step(model: nn.Module, objective: Objective, processes: Processes) -> Step:
    """The step of `make_step`, by the average of the gradients of several processes.

    Each process hands in its own rows of the batch and of the noise; all leave with the same
    parameters. The bound that comes back is that of the process's own rows. Raises as `make_step`.
    Source: Li et al. 2020, section 3. Book: eq-adam.
    """
    differentiate = make_gradients(model, objective)

    def step(parameters, moments, coefficients, batch, noise):
        gradients, bound = differentiate(parameters, batch, noise)
        gradients = processes.average(gradients)
        return Update(*adam(parameters, moments, gradients, coefficients), bound)

    return step


def in_place(step: Step) -> Step:
    """The same step, but the parameters and moments it is given are overwritten with the new.

    A step that returns new tensors asks the allocator for three times the parameters' memory and
    writes it once more; compiled, this one updates each entry where it lies. Book: eq-adam.
    """

    def overwrite(parameters, moments, coefficients, batch, noise):
        update = step(parameters, moments, coefficients, batch, noise)
        for old, new in (
            (parameters, update.parameters),
            (moments.first, update.moments.first),
            (moments.second, update.moments.second),
        ):
            for name, value in new.items():
                old[name].copy_(value)
        return Update(parameters, moments, update.bound)

    return overwrite


def compiled(function: Callable, report: Callable[[str], None] = print) -> Callable:
    """`function` compiled as one graph at its first call, about ten seconds, then cached on disk.

    Before each call PyTorch asks whether the graph still fits what it is given: 0.3 ms a step for
    all parameters and moments. Only arguments that are tensors are looked at here, a batch or its
    noise. The tensors inside the others must keep their shapes, which a graph sees by itself
    (AssertionError), and their types, which it does not: a run changes neither.
    Where no compiler is found it runs as it is, and `report` gets one line saying so.
    Source: Ansel et al. 2024.
    """
    from torch._dynamo.exc import BackendCompilerFailed  # takes seconds, which eager runs spare

    options: dict[str, Any] = {"guard_filter_fn": _guards_of_arguments}
    fast = torch.compile(function, fullgraph=True, options=options)
    chosen = None

    def run(*arguments):
        nonlocal chosen
        if chosen is None:
            try:
                result = fast(*arguments)
            except BackendCompilerFailed as error:
                cause = error.inner_exception
                reason = f"{type(cause).__name__}: {cause}".splitlines()[0]
                report(f"not compiled, so several times slower: {reason}")
                chosen = function
            else:
                chosen = fast
                return result
        return chosen(*arguments)

    return run


def _guards_of_arguments(guards: Sequence) -> list[bool]:
    return [g.guard_type == "TENSOR_MATCH" and g.name.isidentifier() for g in guards]


def batches(
    images: Tensor,
    *,
    batch_size: int,
    latent: int,
    num_samples: int,
    generator: torch.Generator,
    binary: bool,
    processes: Processes = ALONE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of (batch, pixels) with its noise (K, batch, latent): this process's rows of both.

    Every process draws the same order and the same noise, then takes its rows: together they see
    what one process would see. With `binary`, grey pixels are drawn anew as 0 or 1 each time.
    Raises ValueError unless the batch divides among the processes, or as `minibatches` does.

    >>> images, random = torch.rand(60, 64), torch.Generator().manual_seed(0)
    >>> shape = {"batch_size": 20, "latent": 2, "num_samples": 5}
    >>> for batch, noise in batches(images, **shape, generator=random, binary=True):
    ...     print(tuple(batch.shape), tuple(noise.shape))
    (20, 64) (5, 20, 2)
    (20, 64) (5, 20, 2)
    (20, 64) (5, 20, 2)
    """
    rows = processes.rows(batch_size)
    whole = minibatches(images, batch_size, generator)
    if binary:
        whole = (binarize(batch, generator) for batch in whole)
    for batch, noise in with_noise(whole, latent, num_samples, generator):
        yield batch[rows], noise[:, rows]
