"""Rows and averages; with two processes, against PyTorch's own DistributedDataParallel."""

import os
import socket

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.func import functional_call, grad_and_value
from torch.nn.parallel import DistributedDataParallel

from vae_tutorial.noise import generator
from vae_tutorial.processes import ALONE, Processes, joined


def test_rows_cover_a_batch_once_and_in_order():
    for count in (1, 2, 4):
        batch = torch.arange(8)
        parts = [batch[Processes(rank, count).rows(8)] for rank in range(count)]
        assert torch.equal(torch.cat(parts), batch)
        assert {len(part) for part in parts} == {8 // count}


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of the number of processes, 3, got 8"):
        Processes(0, 3).rows(8)


def test_one_process_averages_nothing():
    tensors = {"a": torch.ones(2)}
    assert ALONE.average(tensors) is tensors


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined(torch.device("cpu")) as processes:
        assert processes == ALONE
    assert not distributed.is_initialized()


def test_who_joins_knows_its_launcher(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"WORLD_SIZE": "1", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    with joined(torch.device("cpu")) as processes:
        assert processes == (0, 1, os.getppid())
        assert distributed.is_initialized()
    assert not distributed.is_initialized()


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"WORLD_SIZE": "x"}, "WORLD_SIZE, which torchrun sets, must be a whole number, got 'x'"),
        ({"WORLD_SIZE": "2"}, "RANK, which torchrun sets, must be a whole number, got ''"),
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK, which"),
        ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_PORT": "1"}, "RANK must be below WORLD_SIZE, 2"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "no"}, "MASTER_PORT, which"),
        ({"WORLD_SIZE": "1", "RANK": "0", "MASTER_PORT": "1"}, "MASTER_ADDR"),
    ],
)
def test_what_a_launcher_got_wrong_is_named(variables, named, monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "MASTER_PORT", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(ValueError, match=named), joined(torch.device("cpu")):
        pass
    assert not distributed.is_initialized()


def test_a_process_is_abandoned_once_its_launcher_is_gone(monkeypatch):
    assert not ALONE.abandoned()
    mine = Processes(0, 2, os.getppid())
    assert not mine.abandoned()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert mine.abandoned()


def test_a_lost_process_is_an_error_of_one_line(monkeypatch):
    def broken(flat):
        raise RuntimeError(
            "[../third_party/gloo/transport/tcp/pair.cc:534] Connection closed by peer"
        )

    monkeypatch.setattr(distributed, "all_reduce", broken)
    with pytest.raises(ConnectionError, match="process 1 lost another one, and ends"):
        Processes(1, 2).average({"a": torch.ones(2)})


def network():
    made = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    with torch.no_grad():
        for number, parameter in enumerate(made.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator(number)))
    return made


def compare(rank: int, folder: str) -> None:
    """One of two processes: its average of gradients, beside what the library's wrapper holds."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    model, processes = network(), Processes(rank, 2)
    x = torch.randn(6, 5, generator=generator(9), dtype=torch.float64)[processes.rows(6)]
    oracle = DistributedDataParallel(network())
    oracle(x).square().mean().backward()
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    loss = lambda p: functional_call(model, p, (x,)).square().mean()  # noqa: E731
    mine = grad_and_value(loss)(parameters)[0]
    for name, value in processes.average(mine).items():
        expected = oracle.module.get_parameter(name).grad
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-14)
        assert not torch.allclose(mine[name], expected)
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_average_as_the_library_does(tmp_path):
    context = multiprocessing.start_processes(
        compare, (str(tmp_path),), nprocs=2, join=False, start_method="spawn"
    )
    assert context.join(timeout=60) or context.join(timeout=5), "the processes hang"
