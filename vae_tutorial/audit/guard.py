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
    found: dict[int, nn.Module] = {}
    seen: set[int] = set()
    waiting = list(functions)
    while waiting:
        thing = waiting.pop()
        if thing is None or id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, nn.Module):
            found[id(thing)] = thing
        elif isinstance(thing, partial):
            waiting += [thing.func, *thing.args, *thing.keywords.values()]
        elif inspect.ismethod(thing):
            waiting += [thing.__self__, thing.__func__]
        elif inspect.isfunction(thing):
            waiting += _named_by(thing)
        elif hasattr(thing, "__dict__") and not inspect.ismodule(thing) and callable(thing):
            waiting += [thing.__call__, *vars(thing).values()]
    return [module for module in found.values() if not _inside(module, found.values())]


def _named_by(function: Callable) -> list[Any]:
    """What a function closes over, its defaults, and the globals that its code names."""
    closed = inspect.getclosurevars(function)
    candidates = [*closed.nonlocals.values(), *closed.globals.values()]
    candidates += list(function.__defaults__ or ())
    kinds = (nn.Module, partial)
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
def untouched(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Put back parameters, buffers, gradients, modes and random states, whatever happens inside.

    The random states are those of torch, of its devices, of numpy and of `random`.
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
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        np.random.set_state(numbers[0])  # noqa: NPY002
        random.setstate(numbers[1])
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
