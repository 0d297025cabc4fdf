"""A network on a grid: every sum is exact, so that two processors compute the same bits.

Two machines add in another order and round exp and tanh in another last place. Here every weight
and every activation is a multiple of 2⁻¹⁶, so that products and sums are exact in float64, whatever
their order; and each function is a table of whole numbers, none of which a last place could change.
What is left is a subtraction, a product, a quotient or a floor of single numbers, which IEEE 754
defines to the bit.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial import require

UNIT = 2.0**-16  # weights, activations, latents and images are multiples of it
LARGEST = 2.0**20  # products are multiples of 2⁻³², so that sums below 2²⁰ fit float64's 53 bits
DOUBT = 1e-7  # parts of a unit: several times the error of float64 functions in these units
REACH = 8.0  # tanh is 1 to within half a unit from 6.3 on
FINE = 2.0**-14  # the step of tanh's table


def on_grid(value: Tensor, unit: float = UNIT) -> Tensor:
    """The nearest multiples of `unit`, a power of two: of the same shape.

    >>> on_grid(torch.tensor([0.3], dtype=torch.float64), 0.25)
    tensor([0.2500], dtype=torch.float64)
    """
    return (value / unit + 0.5).floor() * unit


def in_units(exact: Tensor) -> Tensor:
    """Round to whole numbers, int64; ValueError where a last place of `exact` could decide.

    >>> in_units(torch.tensor([0.3, 7.9], dtype=torch.float64))
    tensor([0, 8])
    """
    require.finite("the numbers to round", exact)
    nearest = (exact + 0.5).floor()
    margin = float((0.5 - (exact - nearest).abs()).min())
    if margin < DOUBT:
        raise ValueError(
            f"a number lies {margin:.1g} units from where rounding turns, and needs {DOUBT:g}: "
            "another processor may round it otherwise"
        )
    return nearest.long()


class Table(NamedTuple):
    """A function in whole `unit`s, from the argument `low` on in steps of `step`: (n,) int64."""

    low: float
    step: float
    unit: float
    entries: Tensor

    def units_at(self, x: Tensor) -> Tensor:
        """The entries nearest to x, the first and the last beyond the ends: int64, as x."""
        place = ((x - self.low) / self.step + 0.5).floor()
        return self.entries[place.clamp(0, len(self.entries) - 1).long()]

    def __call__(self, x: Tensor) -> Tensor:
        """The function at x to the nearest step and unit: float64, as x."""
        return self.units_at(x).double() * self.unit


def tabulate(
    function: Callable[[Tensor], Tensor], low: float, high: float, step: float, unit: float
) -> Table:
    """The table of a function in units, from `low` to `high`; `low` and `step` are dyadic.

    Raises ValueError where an entry lies so near to a rounding edge that another processor's
    exp or tanh could choose the other side.

    >>> table = tabulate(torch.exp, 0.0, 2.0, 0.5, unit=0.125)
    >>> table(torch.tensor([0.0, 1.1, 9.0], dtype=torch.float64)).tolist()
    [1.0, 2.75, 7.375]
    """
    points = low + step * torch.arange(round((high - low) / step) + 1, dtype=torch.float64)
    return Table(low, step, unit, in_units(function(points) / unit))


class Network(NamedTuple):
    """A perceptron on the grid: weights, biases, and the table of tanh, or none for ReLU."""

    weights: list[Tensor]  # (out, in) each, multiples of UNIT
    biases: list[Tensor]  # (out,) each
    tanh: Table | None

    @property
    def arrays(self) -> list[Tensor]:
        """All numbers behind the network, for `fingerprint`."""
        table = [] if self.tanh is None else [self.tanh.entries]
        return [*self.weights, *self.biases, *table]

    def __call__(self, x: Tensor) -> Tensor:
        """Map x (..., in), multiples of UNIT, to (..., out), with the same bits everywhere.

        Raises ValueError where sums could be too large to be exact.
        """
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            largest = float(weight.abs().sum(-1).max() * x.abs().max() + bias.abs().max())
            if largest >= LARGEST:
                raise ValueError(
                    f"layer {layer + 1} may sum up to {largest:.3g}: sums are exact below "
                    f"{LARGEST:g} only"
                )
            x = on_grid(x @ weight.mT) + bias  # (..., out)
            if layer < last:
                x = x.clamp(min=0) if self.tanh is None else self.tanh(x)
        return x


def fixed_network(network: nn.Module) -> Network:
    """The network on the grid nearest to a Sequential of Linear layers with Tanh or ReLU between.

    Raises TypeError for other layers.

    >>> from vae_tutorial import models
    >>> plain = models.network([2, 8, 4], torch.Generator().manual_seed(0)).double()
    >>> z = on_grid(torch.tensor([[0.3, -1.0]], dtype=torch.float64))
    >>> bool((fixed_network(plain)(z) - plain(z)).abs().max() < 1e-3)
    True
    """
    layers = list(network.children())
    linear, between = layers[::2], layers[1::2]
    kinds = {type(layer) for layer in between} or {nn.Tanh}
    plain = all(isinstance(layer, nn.Linear) for layer in linear)
    if not plain or len(linear) != len(between) + 1 or kinds not in ({nn.Tanh}, {nn.ReLU}):
        names = ", ".join(type(layer).__name__ for layer in layers)
        raise TypeError(f"layers must be Linear with Tanh or with ReLU between, got {names}")
    weights, biases = (
        [on_grid(getattr(layer, name).detach().double().cpu()) for layer in linear]
        for name in ("weight", "bias")
    )
    tanh = tabulate(torch.tanh, -REACH, REACH, FINE, UNIT) if kinds == {nn.Tanh} else None
    return Network(weights, biases, tanh)


def fingerprint(arrays: Iterable[Tensor]) -> str:
    """SHA-256 of shapes and entries, of whole numbers or of multiples of UNIT: 64 hex digits.

    >>> fingerprint([torch.tensor([1, 2])])[:8]
    '20f4a486'
    """
    digest = hashlib.sha256()
    for array in arrays:
        whole = array if array.dtype == torch.int64 else (array / UNIT).long()
        digest.update(repr(tuple(array.shape)).encode())
        digest.update(whole.cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()
