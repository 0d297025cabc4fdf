"""Networks on a grid, against whole numbers of Python and against 40 digits of mpmath."""

import hashlib
import struct
from fractions import Fraction
from math import floor

import mpmath
import pytest
import torch
from drawn import double, normal
from torch import nn

from vae_tutorial import models
from vae_tutorial.fixed_point import (
    DOUBT,
    FINE,
    UNIT,
    fingerprint,
    fixed_network,
    in_units,
    on_grid,
    tabulate,
)
from vae_tutorial.noise import generator

ONE = 2**16  # the grid's unit, turned over


def whole(value) -> int:
    return floor(Fraction(value) * ONE + Fraction(1, 2))


def test_a_number_goes_to_the_nearest_multiple():
    values = normal(200)
    assert [int(v * ONE) for v in on_grid(values)] == [whole(v) for v in values.tolist()]
    assert on_grid(double(-0.3, 0.3), 0.25).tolist() == [-0.25, 0.25]


def test_a_number_near_the_middle_of_two_is_refused_and_others_are_not():
    with pytest.raises(ValueError, match="another processor may round it otherwise"):
        in_units(double(1.0, 7.5 + DOUBT / 2))
    with pytest.raises(ValueError, match="rounding turns"):
        in_units(double(-2.5 - DOUBT / 2))
    assert in_units(double(7.5 + 2 * DOUBT, 7.5 - 2 * DOUBT)).tolist() == [8, 7]


def test_a_table_is_read_at_the_nearest_step_and_clamped_at_its_ends():
    table = tabulate(torch.square, -1.0, 2.0, 0.5, unit=0.125)
    at = double(-9.0, -1.0, -0.26, -0.24, 0.3, 1.6, 2.0, 9.0)
    assert table.units_at(at).tolist() == [8, 8, 2, 0, 2, 18, 32, 32]
    assert table(at).dtype == torch.float64
    assert table(at).tolist() == [1.0, 1.0, 0.25, 0.0, 0.25, 2.25, 4.0, 4.0]


def tanh_to_forty_digits(steps: int) -> int:
    """tanh of a multiple of FINE in units of the grid, rounded."""
    with mpmath.workdps(40):
        return int(mpmath.floor(mpmath.tanh(mpmath.mpf(steps) * FINE) * ONE + mpmath.mpf("0.5")))


def by_hand(network: nn.Sequential, z: list[Fraction]) -> list[int]:
    """The network in Python's whole numbers, which never round but where the grid says so."""
    x = [whole(v) for v in z]
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    for layer in layers:
        weight = [[whole(w) for w in row] for row in layer.weight.tolist()]
        bias = [whole(b) for b in layer.bias.tolist()]
        sums = [sum(w * v for w, v in zip(row, x, strict=True)) for row in weight]
        x = [(total + ONE // 2) // ONE + b for total, b in zip(sums, bias, strict=True)]
        if layer is layers[-1]:
            return x
        steps = [floor(Fraction(v, ONE) / Fraction(FINE) + Fraction(1, 2)) for v in x]
        x = [tanh_to_forty_digits(max(min(s, 2**17), -(2**17))) for s in steps]
    raise AssertionError


def test_a_network_is_that_of_whole_numbers_to_the_last_bit():
    network = models.network([3, 20, 10, 4], generator(0)).double()
    z = on_grid(normal(30, 3) * 3)
    seen = fixed_network(network)(z) * ONE  # (30, 4)
    for row, expected in zip(z.tolist(), seen.tolist(), strict=True):
        assert by_hand(network, row) == expected


def test_the_order_of_a_sum_the_batch_and_the_threads_change_no_bit():
    plain = models.network([64, 300, 5], generator(1)).double()
    fixed, x = fixed_network(plain), on_grid(torch.rand(50, 64, generator=generator(2)).double())
    order = torch.randperm(64, generator=generator(3))
    turned = fixed._replace(weights=[fixed.weights[0][:, order], fixed.weights[1]])
    together = fixed(x)
    assert torch.equal(turned(x[:, order]), together)
    assert torch.equal(torch.stack([fixed(row) for row in x]), together)
    assert not torch.equal(plain(x).detach(), together)
    torch.testing.assert_close(together, plain(x).detach(), atol=3e-4, rtol=0)


def test_relu_is_exact_and_a_single_layer_needs_no_table():
    network = models.network([2, 8, 3], generator(0), nn.ReLU).double()
    fixed = fixed_network(network)
    assert fixed.tanh is None
    z = on_grid(normal(9, 2))
    torch.testing.assert_close(fixed(z), network(z).detach(), atol=1e-4, rtol=0)
    line = models.network([2, 3], generator(0)).double()
    torch.testing.assert_close(fixed_network(line)(z), line(z).detach(), atol=1e-4, rtol=0)


def test_sums_that_could_round_are_refused():
    network = models.network([2, 3], generator(0)).double()
    network[0].weight.data[:] = 2.0**18
    fixed = fixed_network(network)
    fixed(torch.ones(1, 2).double())
    with pytest.raises(ValueError, match=r"layer 1 may sum up to 1\.05e"):
        fixed(2 * torch.ones(1, 2).double())


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 2)],
        [nn.Linear(2, 2), nn.Tanh()],
        [nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)],
        [nn.Tanh()],
        [],
    ],
)
def test_other_layers_are_refused(layers):
    with pytest.raises(TypeError, match="must be Linear with Tanh or with ReLU between"):
        fixed_network(nn.Sequential(*layers))


def test_a_fingerprint_is_that_of_hashlib_and_knows_every_unit_and_the_shape():
    said = repr((2,)).encode() + struct.pack("<2q", 3, -1)
    assert fingerprint([torch.tensor([3, -1])]) == hashlib.sha256(said).hexdigest()
    assert fingerprint([double(3 * UNIT, -UNIT)]) == fingerprint([torch.tensor([3, -1])])
    marks = {
        fingerprint([array])
        for array in (
            torch.zeros(2, 3),
            torch.zeros(3, 2),
            torch.tensor([[0, 0, 0], [0, 0, UNIT]]),
        )
    }
    assert len(marks) == 3


def test_a_fixed_network_lists_all_its_numbers():
    network = models.network([2, 4, 3], generator(0)).double()
    before = fingerprint(fixed_network(network).arrays)
    for parameter in network.parameters():
        parameter.data.view(-1)[-1] += UNIT
        after = fingerprint(fixed_network(network).arrays)
        assert after != before
        before = after
