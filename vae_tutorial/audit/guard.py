"""A user's model, called without a trace: its state comes back, and no call may take for ever."""

import inspect
import random
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn


class TooSlowError(Exception):
    """A call went on beyond its time."""


def modules_behind(*functions: Any) -> list[nn.Module]:
    """The modules that functions call: themselves, their owners, and what their code names.

    Looked through are bound methods, partials, closures, and the globals that a function names.

    >>> layer = nn.Linear(2, 2)
    >>> modules_behind(lambda x: layer(x)) == [layer]
    True
    """
    found = [thing for thing in _behind(functions) if isinstance(thing, nn.Module)]
    return [module for module in found if not _inside(module, found)]


def generators_behind(*functions: Any) -> list[torch.Generator]:
    """The generators of random numbers that functions or modules draw from.

    They are looked for where `modules_behind` looks, and among the attributes of each module.

    >>> own = torch.Generator()
    >>> generators_behind(lambda x: torch.rand(len(x), generator=own)) == [own]
    True
    """
    return [thing for thing in _behind(functions) if isinstance(thing, torch.Generator)]


def _behind(functions: Iterable[Any]) -> list[Any]:
    """The modules and the generators that functions call or draw from, each once."""
    found: list[Any] = []
    seen: set[int] = set()
    waiting = list(functions)
    while waiting:
        thing = waiting.pop()
        if thing is None or id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, torch.Generator):
            found.append(thing)
        elif isinstance(thing, nn.Module):
            found.append(thing)
            waiting += [own for part in thing.modules() for own in _generators_of(part)]
        elif isinstance(thing, partial):
            waiting += [thing.func, *thing.args, *thing.keywords.values()]
        elif inspect.ismethod(thing):
            waiting += [thing.__self__, thing.__func__]
        elif inspect.isfunction(thing):
            waiting += _named_by(thing)
        elif hasattr(thing, "__dict__") and not inspect.ismodule(thing) and callable(thing):
            waiting += [thing.__call__, *vars(thing).values()]
    return found


def _generators_of(module: nn.Module) -> list[torch.Generator]:
    return [own for own in vars(module).values() if isinstance(own, torch.Generator)]


def _named_by(function: Callable) -> list[Any]:
    """What a function closes over, its defaults, and the globals that its code names."""
    closed = inspect.getclosurevars(function)
    candidates = [*closed.nonlocals.values(), *closed.globals.values()]
    candidates += list(function.__defaults__ or ())
    kinds = (nn.Module, partial, torch.Generator)
    return [
        thing
        for thing in candidates
        if isinstance(thing, kinds) or inspect.isfunction(thing) or inspect.ismethod(thing)
    ]


def _inside(module: nn.Module, others: Iterable[nn.Module]) -> bool:
    return any(
        module is not other and any(part is module for part in other.modules()) for other in others
    )


@contextmanager
def untouched(
    modules: Iterable[nn.Module], generators: Iterable[torch.Generator] = ()
) -> Iterator[None]:
    """Put back parameters, buffers, gradients, modes and random states, whatever happens inside.

    The random states are those of torch, of its devices, of numpy, of `random`, and of generators.
    """
    every = {id(part): part for module in modules for part in module.modules()}.values()
    modes = [(part, part.training) for part in every]
    tensors = {
        id(tensor): tensor
        for part in every
        for tensor in [*part.parameters(recurse=False), *part.buffers(recurse=False)]
    }.values()
    values = [(tensor, tensor.detach().clone(), tensor.grad) for tensor in tensors]
    numbers = np.random.get_state(), random.getstate()  # noqa: NPY002, a user's may be global
    owned = [(generator, generator.get_state()) for generator in generators]
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        np.random.set_state(numbers[0])  # noqa: NPY002
        random.setstate(numbers[1])
        for generator, state in owned:
            generator.set_state(state)
        for part, training in modes:
            part.training = training
        with torch.no_grad():
            for tensor, value, gradient in values:
                if not torch.equal(tensor, value):
                    tensor.copy_(value)
                tensor.grad = gradient


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TooSlowError inside once the time is over, between two steps of Python.

    It needs the main thread of a Unix process; elsewhere nothing is interrupted.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "setitimer"
    ):
        yield
        return

    def over(number: int, frame: Any) -> None:
        raise TooSlowError(f"it took longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
