"""The fast step against the plain one, and what the processes see against what one would see."""

import math

import pytest
import torch
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._inductor.exc import InvalidCxxCompiler

from vae_tutorial.adam import adam_coefficients
from vae_tutorial.likelihoods import BernoulliPixels
from vae_tutorial.models import VAE, DiagonalEncoder, network
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.processes import ALONE, Processes
from vae_tutorial.scaling import batches, compiled, in_place, make_shared_step
from vae_tutorial.training import (
    Update,
    initial_state,
    make_gradients,
    make_step,
    negative_elbo,
    run_epoch,
)

PIXELS, LATENT = 6, 2

compiling = pytest.mark.filterwarnings(  # PyTorch's own, when its compiler is first used
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning",
    "ignore:dynamo_pgo force disabled:UserWarning",
)


def small():
    weights = generator(0)
    encoder = DiagonalEncoder(PIXELS, 5, LATENT, weights)
    return VAE(encoder, network([LATENT, 5, PIXELS], weights), BernoulliPixels())


def grey(count=40, seed=1):
    return torch.rand(count, PIXELS, generator=generator(seed))


def epoch(images, seed=2, binary=True, processes=None, **changes):
    chosen = {"batch_size": 8, "latent": LATENT, "num_samples": 3} | changes
    where = {} if processes is None else {"processes": processes}
    return batches(images, generator=generator(seed), binary=binary, **chosen, **where)


def tensors(state):
    return [*state.parameters.values(), *(v for part in state.moments for v in part.values())]


# The step


def test_in_place_gives_the_pure_steps_numbers_in_the_memory_it_was_given():
    step = make_step(small(), negative_elbo)
    pure, mine = initial_state(small()), initial_state(small())
    before = [value.data_ptr() for value in tensors(mine)]
    parameters, moments = mine.parameters, mine.moments
    for count, (batch, noise) in enumerate(epoch(grey()), 1):
        coefficients = adam_coefficients(count, 0.01, batch)
        update = step(*pure[:2], coefficients, batch, noise)
        pure = pure._replace(parameters=update.parameters, moments=update.moments)
        seen = in_place(step)(parameters, moments, coefficients, batch, noise)
        assert isinstance(seen, Update)
        assert seen.parameters is parameters
        assert seen.moments is moments
        assert all(map(torch.equal, seen.bound, update.bound))
        assert all(map(torch.equal, tensors(mine), tensors(pure)))
    assert [value.data_ptr() for value in tensors(mine)] == before
    assert not any(map(torch.equal, tensors(mine), tensors(initial_state(small()))))


def test_an_epoch_in_place_ends_where_the_pure_one_does():
    step, start = make_step(small(), negative_elbo), initial_state(small())
    pure, pure_means = run_epoch(step, start, epoch(grey()), 0.01)
    mine, means = run_epoch(in_place(step), start, epoch(grey()), 0.01)
    assert mine.steps == pure.steps == 5
    assert all(map(torch.equal, tensors(mine), tensors(pure)))
    assert all(map(torch.equal, means, pure_means))
    assert mine.parameters is start.parameters  # and so the start is gone


def test_a_shared_step_moves_by_the_average_of_the_gradients():
    """Two processes, played by one: what the other one has is handed in, where a sum would be."""
    (batch, noise), *_ = epoch(grey())
    state, rows = initial_state(small()), [Processes(rank, 2).rows(8) for rank in (0, 1)]
    halves = [
        make_gradients(small(), negative_elbo)(state.parameters, batch[r], noise[:, r])[0]
        for r in rows
    ]

    class Played(Processes):
        def average(self, tensors):
            assert all(map(torch.equal, tensors.values(), halves[0].values()))
            return {name: (halves[0][name] + halves[1][name]) / 2 for name in tensors}

    coefficients = adam_coefficients(1, 0.01, batch)
    shared = make_shared_step(small(), negative_elbo, Played(0, 2))
    seen = shared(*state[:2], coefficients, batch[rows[0]], noise[:, rows[0]])
    whole = make_step(small(), negative_elbo)(*state[:2], coefficients, batch, noise)
    for name, expected in whole.moments.first.items():
        torch.testing.assert_close(seen.moments.first[name], expected)
    assert len(seen.bound.elbo) == 4  # its own rows


def test_alone_a_shared_step_is_the_plain_one():
    plain, shared = initial_state(small()), initial_state(small())
    plain, _ = run_epoch(make_step(small(), negative_elbo), plain, epoch(grey()), 0.01)
    step = make_shared_step(small(), negative_elbo, ALONE)
    shared, _ = run_epoch(step, shared, epoch(grey()), 0.01)
    assert all(map(torch.equal, tensors(plain), tensors(shared)))


# Compiling


@compiling
def test_a_compiled_epoch_agrees_with_the_plain_one_to_rounding():
    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        pytest.skip("torch.compile needs a C++ compiler, and finds none here")
    said, step = [], make_shared_step(small(), negative_elbo, ALONE)
    fast = compiled(in_place(step), said.append)
    seen, means = run_epoch(fast, initial_state(small()), epoch(grey()), 0.01)
    plain, plain_means = run_epoch(step, initial_state(small()), epoch(grey()), 0.01)
    assert said == []
    torch.testing.assert_close(means, plain_means, atol=1e-5, rtol=1e-5)
    for one, other in zip(tensors(seen), tensors(plain), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@compiling
def test_without_a_compiler_it_runs_as_it_is_and_says_so_once():
    said, runs = [], []

    def double(x):
        if not torch.compiler.is_compiling():
            runs.append(len(x))
        return (2 * x).sin()

    function = compiled(double, said.append)
    nothing = {"cpp.cxx": (None, "/nowhere/a-compiler"), "force_disable_caches": True}
    with torch._inductor.config.patch(nothing):
        for count in (3, 3, 4):
            x = torch.arange(count).float()
            torch.testing.assert_close(function(x), (x + x).sin())
    assert runs == [3, 3, 4]
    assert len(said) == 1
    assert "\n" not in said[0]
    assert said[0].startswith("not compiled, so several times slower: InvalidCxxCompiler")
    assert "/nowhere/a-compiler" in said[0]


def test_what_is_compiled_is_what_runs(monkeypatch):
    asked, calls = [], []

    def fake(function, **options):
        asked.append(options)
        return lambda x: calls.append(x) or -function(x)

    monkeypatch.setattr(torch, "compile", fake)
    function = compiled(lambda x: x + 1)
    assert [function(1), function(2), function(3)] == [-2, -3, -4]
    assert calls == [1, 2, 3]  # each ran once, the first one too
    assert [(options.pop("fullgraph"), *options) for options in asked] == [(True, "options")]


def test_an_error_of_the_function_itself_is_not_hidden(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    said = []
    with pytest.raises(ZeroDivisionError):
        compiled(lambda x: x / 0, said.append)(1)
    assert said == []


@compiling
def test_a_graph_looks_at_the_batch_alone_and_never_computes_with_a_wrong_shape():
    def scaled(parameters, batch):
        return {name: value * batch.sum() for name, value in parameters.items()}

    function = compiled(scaled)
    for rows in (3, 5, 5, 2):  # a new shape of the batch is a new graph
        seen = function({"a": torch.ones(4)}, torch.ones(rows))
        assert torch.equal(seen["a"], torch.full((4,), float(rows)))
    with pytest.raises(AssertionError, match=r"expected size 7==4|wrong number of dimensions"):
        function({"a": torch.ones(7)}, torch.ones(5))


# Batches


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("count", [2, 4])
def test_processes_together_see_what_one_would_see(binary, count):
    alone = list(epoch(grey(), binary=binary))
    shares = [epoch(grey(), binary=binary, processes=Processes(r, count)) for r in range(count)]
    together = list(zip(*shares, strict=True))
    assert len(alone) == len(together) == 5
    for (batch, noise), parts in zip(alone, together, strict=True):
        assert all(len(part) == 8 // count for part, _ in parts)
        assert torch.equal(torch.cat([part for part, _ in parts]), batch)
        assert torch.equal(torch.cat([share for _, share in parts], 1), noise)


@pytest.mark.parametrize("binary", [True, False])
def test_order_pixels_and_noise_are_drawn_in_turn_from_one_generator(binary):
    """Written out with torch alone: whoever changes the order changes every seeded run."""
    images, random = grey(21), generator(2)
    order = torch.randperm(21, generator=random)
    seen = list(epoch(images, binary=binary))
    assert len(seen) == 2  # the last five images are left out
    for number, (batch, noise) in enumerate(seen):
        expected = images[order[8 * number : 8 * number + 8]]
        if binary:
            uniform = torch.rand(8, PIXELS, generator=random, dtype=torch.float64)
            expected = torch.where(uniform < expected, 1.0, 0.0)
        assert torch.equal(batch, expected)
        drawn = torch.randn(3, 8, LATENT, generator=random, dtype=torch.float64)
        assert torch.equal(noise, drawn.float())


def test_binary_pixels_are_drawn_anew_with_the_grey_levels_mean():
    image = torch.tensor([[0.0, 0.1, 0.35, 0.5, 0.9, 1.0]])
    random = generator(4)
    options = {"batch_size": 500, "latent": 1, "num_samples": 1, "binary": True}
    drawn = []
    for _ in range(10):
        pairs = batches(image.expand(500, -1), generator=random, **options)
        drawn += [batch for batch, _ in pairs]
    assert not torch.equal(drawn[0], drawn[1])
    pixels = torch.cat(drawn).double()  # (5000, 6)
    assert ((pixels == 0) | (pixels == 1)).all()
    error = (image * (1 - image) / len(pixels)).sqrt()
    assert ((pixels.mean(0) - image).abs() <= 4 * error).all()


def test_noise_is_standard_normal_of_the_images_type():
    for dtype in (torch.float32, torch.float64):
        images = grey(1000).to(dtype)
        noise = torch.cat([n for _, n in epoch(images, batch_size=500, num_samples=20)], 1)
        assert noise.dtype == dtype
        assert noise.shape == (20, 1000, LATENT)
        assert abs(noise.mean()) < 4 / math.sqrt(noise.numel())
        assert abs(noise.var() - 1) < 4 * math.sqrt(2 / noise.numel())


def test_batches_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="batch_size must be a multiple of the number of process"):
        list(epoch(grey(), processes=Processes(0, 3)))
    with pytest.raises(ValueError, match="batch_size must be at most the number of images, 40"):
        list(epoch(grey(), batch_size=41))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        list(epoch(grey(), batch_size=0))
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\]"):
        list(epoch(2 * grey()))
    with pytest.raises(ValueError, match="images must be finite"):
        list(epoch(grey() * math.nan))
    assert len(list(epoch(standard_normal((16, PIXELS), generator(5)), binary=False))) == 2
