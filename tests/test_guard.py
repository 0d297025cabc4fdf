"""What an audit touches comes back, and what takes too long is stopped."""

import random
import threading
import time
from functools import partial

import numpy as np
import pytest
import torch
from sound import snapshot
from torch import nn

from vae_tutorial.audit.guard import (
    TooSlowError,
    generators_behind,
    modules_behind,
    time_limit,
    untouched,
)

LAYER = nn.Linear(3, 2)


def by_its_global_name(x):
    return LAYER(x)


def through_another_function(x):
    return by_its_global_name(x) + 1


class Owner(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def encode(self, x):
        return self.inner(x)


class Wrapper:
    def __init__(self, module):
        self.module = module

    def __call__(self, x):
        return self.module(x)


def ways(layer):
    def closed(x):
        return layer(x)

    def with_default(x, layer=layer):
        return layer(x)

    return {
        "itself": layer,
        "closure": closed,
        "default": with_default,
        "partial": partial(closed),
        "partial of itself": partial(torch.add, layer),
        "object that is called": Wrapper(layer),
        "lambda": lambda x: layer(x),
    }


@pytest.mark.parametrize("way", ways(nn.Linear(1, 1)))
def test_a_module_is_found_behind_a_callable(way):
    layer = nn.Linear(3, 2)
    assert modules_behind(ways(layer)[way]) == [layer]


def test_modules_behind_globals_and_methods_are_found_once():
    assert modules_behind(by_its_global_name) == [LAYER]
    assert modules_behind(through_another_function) == [LAYER]
    owner = Owner()
    assert modules_behind(owner.encode, owner.inner, owner) == [owner]
    assert modules_behind(None, torch.sin, len) == []


def test_parameters_buffers_gradients_and_modes_come_back():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    model[1].eval()
    model[0].weight.grad = torch.ones(4, 3)
    before, gradient = snapshot(model), model[0].weight.grad
    with untouched([model]):
        model.train()
        model(torch.randn(8, 3)).sum().backward()
        with torch.no_grad():
            model[0].bias += 1
    assert all(torch.equal(old, new) for old, new in zip(before, snapshot(model), strict=True))
    assert model[0].weight.grad is gradient
    assert model[0].bias.grad is None
    assert [part.training for part in model] == [True, False, True]
    assert model.training


def test_a_model_comes_back_after_an_error_too():
    before = snapshot(LAYER)

    def spoil():
        with untouched([LAYER]):
            nn.init.zeros_(LAYER.weight)
            LAYER.eval()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spoil()
    assert torch.equal(LAYER.weight, before[0])
    assert LAYER.training


def numpy_state():
    return np.random.get_state()[1].tolist()  # noqa: NPY002, a user's code may draw from it


def test_random_states_come_back():
    states = torch.get_rng_state(), numpy_state(), random.getstate()
    with untouched([]):
        torch.rand(3)
        np.random.rand(3)  # noqa: NPY002, as a user's code might
        random.random()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert numpy_state() == states[1]
    assert random.getstate() == states[2]


class Drawing(nn.Module):
    """A model that draws from a generator of its own, in a part of it."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.inner.own = torch.Generator().manual_seed(1)

    def draw(self, x):
        return x + torch.rand(x.shape, generator=self.inner.own)


OWN = torch.Generator().manual_seed(2)


def drawn_globally(x):
    return x + torch.rand(x.shape, generator=OWN)


def generator_owners():
    """Ways to draw from a generator that is not torch's, each with the generator."""
    model, closed = Drawing(), torch.Generator().manual_seed(3)

    def with_default(x, own=closed):
        return x + torch.rand(x.shape, generator=own)

    return {
        "attribute of a part": (model.draw, model.inner.own),
        "global": (drawn_globally, OWN),
        "closure": (lambda x: x + torch.rand(x.shape, generator=closed), closed),
        "default": (with_default, closed),
        "partial": (partial(torch.rand, generator=closed), closed),
    }


@pytest.mark.parametrize("way", generator_owners())
def test_the_state_of_a_generator_of_ones_own_comes_back(way):
    function, own = generator_owners()[way]
    assert generators_behind(function) == [own]
    before = own.get_state()
    with untouched([], generators_behind(function)):
        torch.rand(3, generator=own)
        assert not torch.equal(own.get_state(), before)
    assert torch.equal(own.get_state(), before)


def test_what_takes_too_long_is_stopped():
    def endless():
        with time_limit(1.0):
            while True:
                time.sleep(0.001)

    begin = time.perf_counter()
    with pytest.raises(TooSlowError, match="longer than 1 s"):
        endless()
    assert 0.9 < time.perf_counter() - begin < 2


def test_what_ends_in_time_is_left_alone():
    with time_limit(0.05):
        pass
    time.sleep(0.1)  # the clock was stopped


def test_beside_the_main_thread_nothing_is_stopped():
    def work():
        with time_limit(0.01):
            time.sleep(0.05)
            done.append(True)

    done = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
