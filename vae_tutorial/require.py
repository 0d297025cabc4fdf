"""What public functions ask of their arguments: errors that name what was seen and what is needed.

A function names the shapes that it takes in a line above it, and its body is mathematics alone:

    @require.shapes(x="... d", mean="... d", log_variance="... d|1")
    def log_normal(x, mean, log_variance): ...

Every such function raises TypeError for what is no floating-point tensor, or is of another dtype or
device than its neighbours, and ValueError for another shape, for an empty tensor, and for an entry
that is NaN or infinite. Docstrings do not repeat this; they name what else a function refuses.

Shapes and types are always checked. Values are checked too, except inside a compiled graph, where
looking at a value would force the graph to stop.
"""

import functools
import inspect
import math
import numbers
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")
Owner = TypeVar("Owner", bound=type)
Sizes = dict[str, tuple[Any, str]]  # an axis → its size, and the argument that said so


def shapes(**needs: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check the arguments of a function before its body runs, by one line that also documents them.

    A tensor's need lists its axes, by name or by length: `x="batch pixels"`, `z="... 2"`. A name
    stands for one length in all arguments. `...` stands for any leading axes, which broadcast
    among the arguments; `*batch` for any axes, the same wherever they are named; `d|1` for an axis
    of d entries or one entry that all d share, and then a scalar will do; `n>=2` for two or more;
    `()` for a scalar. A word behind a colon asks something of the values: `"... d d: cholesky"`,
    and `CONDITIONS` lists them all.

    What is no tensor: `"count"`, `"count>=2"` and `"count<=D"` are whole numbers, the last at most
    the length of an axis; `"counts"` are several; `"number"` is finite, and `"number: positive"`
    above zero; `"fields"` is a NamedTuple whose class names the shapes of its fields.

    >>> @shapes(x="... d", mean="... d")
    ... def distance(x, mean):
    ...     return (x - mean).norm(dim=-1)
    >>> distance(torch.zeros(4, 3), torch.zeros(2))
    Traceback (most recent call last):
    ...
    ValueError: mean must be (..., d) with d = 3 as in x, got shape (2,)
    """
    parsed = {name: _parse(need) for name, need in needs.items()}

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function).parameters
        names = tuple(signature)
        if unknown := needs.keys() - set(names):
            raise TypeError(f"{function.__qualname__} takes no {', '.join(sorted(unknown))}")
        kinds = {name: signature[name].annotation for name in names}

        @functools.wraps(function)
        def checked(*arguments: P.args, **named: P.kwargs) -> R:
            given = {**dict(zip(names, arguments, strict=False)), **named}
            _check(given, parsed, kinds)
            return function(*arguments, **named)

        return checked

    return decorate


def fields(**needs: str) -> Callable[[Owner], Owner]:
    """Name the shapes of a NamedTuple's fields, for functions whose `shapes` say "fields"."""

    def decorate(owner: Owner) -> Owner:
        # No annotation says that a class gains an attribute here.
        owner.NEEDS = {n: _parse(need) for n, need in needs.items()}  # type: ignore[attr-defined]
        return owner

    return decorate


def floating(name: str, value: Tensor) -> None:
    """Raise TypeError unless `value` is a floating-point tensor."""
    if not isinstance(value, Tensor):
        hint = ""
        if isinstance(value, bool | int | float):
            hint = f": write torch.tensor({float(value)})"
        elif isinstance(value, list | tuple):
            hint = ": write torch.tensor(...) around it"
        elif type(value).__module__ == "numpy":
            hint = ": write torch.from_numpy(...) around it"
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}{hint}")
    if not value.is_floating_point():
        raise TypeError(
            f"{name} must be floating point, got {value.dtype}: use .float() or .double()"
        )


def finite(name: str, value: Tensor) -> None:
    """Raise TypeError unless floating point, ValueError if empty or any entry is not finite."""
    floating(name, value)
    _full(name, value)
    if torch.compiler.is_compiling() or math.isfinite(value.detach().sum()):
        return  # one bad entry spoils a sum, and a sum is found faster than all the signs
    good = value.isfinite()
    if not good.all():  # the sum of finite entries may overflow, too
        bad = int((~good).sum())
        raise ValueError(
            f"{name} must be finite, but {bad} of {value.numel()} entries are NaN or inf"
        )


def event(name: str, value: Tensor, width: int | None = None) -> None:
    """Raise ValueError unless `value` is finite with a last axis, of `width` entries if given."""
    finite(name, value)
    if value.ndim == 0:
        raise ValueError(f"{name} needs a last axis (the event), got a scalar")
    if width is not None and value.shape[-1] != width:
        raise ValueError(f"the last axis of {name} must be {width}, got shape {tuple(value.shape)}")


def positive(name: str, value: Tensor) -> None:
    """Raise ValueError unless every entry of `value` is finite and above zero."""
    finite(name, value)
    if not torch.compiler.is_compiling() and not (value > 0).all():
        raise ValueError(f"{name} must be positive, its smallest entry is {float(value.min()):g}")


def between(name: str, value: Tensor, low: float, high: float) -> None:
    """Raise ValueError unless every entry of `value` lies in [low, high]."""
    finite(name, value)
    if not torch.compiler.is_compiling() and not ((value >= low) & (value <= high)).all():
        span = f"[{float(value.min()):g}, {float(value.max()):g}]"
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], but its entries span {span}")


def binary(name: str, value: Tensor) -> None:
    """Raise ValueError unless every entry of `value` is 0 or 1."""
    between(name, value, 0, 1)
    if torch.compiler.is_compiling():
        return
    grey = int(((value > 0) & (value < 1)).sum())
    if grey:
        counted = f"{grey} of its {value.numel()} pixels are grey: binarize first"
        raise ValueError(f"{name} must be binary for a Bernoulli likelihood, but {counted}")


def symmetric(name: str, value: Tensor) -> None:
    """Raise ValueError unless the square `value` equals its transpose, up to rounding."""
    finite(name, value)
    if not torch.compiler.is_compiling() and not torch.allclose(value, value.mT):
        gap = float((value - value.mT).abs().max())
        raise ValueError(f"{name} must be symmetric, but its two halves differ by {gap:.3g}")


def cholesky(name: str, factor: Tensor) -> None:
    """Raise ValueError unless a square factor is lower triangular with a positive diagonal."""
    finite(name, factor)
    if torch.compiler.is_compiling():
        return
    if factor.triu(1).any():
        raise ValueError(f"{name} must be lower triangular, but has entries above its diagonal")
    positive(f"the diagonal of {name}", factor.diagonal(dim1=-2, dim2=-1))


def count(name: str, value: int, least: int = 1) -> None:
    """Raise TypeError unless `value` is an int, ValueError unless it is at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def number(name: str, value: float, above: float = -math.inf) -> None:
    """Raise TypeError unless `value` is a number, ValueError unless finite and above a bound."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    if value <= above:
        raise ValueError(f"{name} must be positive, got {value:g}")


def generator(value: torch.Generator) -> None:
    """Raise TypeError unless `value` is a torch.Generator: None would draw without a seed."""
    if not isinstance(value, torch.Generator):
        advice = "make one with noise.generator(seed)"
        raise TypeError(f"generator must be a torch.Generator, got {value!r}: {advice}")


CONDITIONS: dict[str, Callable[[str, Tensor], None]] = {
    "": finite,
    "positive": positive,
    "nonnegative": lambda name, value: between(name, value, 0, math.inf),
    "fraction": lambda name, value: between(name, value, 0, 1),
    "binary": binary,
    "symmetric": symmetric,
    "cholesky": cholesky,
}


class _Count(NamedTuple):
    """`"count>=2"`: least 2; `"count<=D"`: axis D, slack 0; `"count<D"`: slack 1."""

    least: int = 1
    axis: str | None = None
    slack: int = 0
    many: bool = False


class _Number(NamedTuple):
    above: float = -math.inf


class _Axis(NamedTuple):
    """One axis: its name or its length, the least length, and whether one entry may be shared."""

    name: str
    least: int = 1
    shared: bool = False


class _Form(NamedTuple):
    """A tensor's axes, the group of axes (`...` or `*name`) among them and where, and the values'
    condition by its name."""

    axes: tuple[_Axis, ...]
    group: str | None
    place: int
    condition: str

    def __str__(self) -> str:
        words = [f"{axis.name} or 1" if axis.shared else axis.name for axis in self.axes]
        if self.group is not None:
            words.insert(self.place, self.group.removeprefix("*"))
        if not words:
            return "a scalar"
        return f"({words[0]},)" if len(words) == 1 and words != ["..."] else f"({', '.join(words)})"


_Need = _Count | _Number | _Form | str


def _parse(need: str) -> _Need:
    if need == "fields":
        return need
    text, _, condition = (part.strip() for part in need.partition(":"))
    if text == "number":
        return _Number(0.0 if condition == "positive" else -math.inf)
    if found := re.fullmatch(r"count(s?)(?:>=(\d+))?(?:<(=?)(\w+))?", text):
        many, least, equal, axis = found.groups()
        return _Count(int(least or 1), axis, int(bool(axis) and not equal), bool(many))
    if condition not in CONDITIONS:
        raise ValueError(f"{condition!r} is no condition: choose from {', '.join(CONDITIONS)}")
    axes, group, place = [], None, 0
    for position, word in enumerate([] if text == "()" else text.split()):
        if word == "..." or word.startswith("*"):
            group, place = word, position
        else:
            name, _, least = word.removesuffix("|1").partition(">=")
            axes.append(_Axis(name, int(least or 1), word.endswith("|1")))
    return _Form(tuple(axes), group, place, condition)


def _check(given: Mapping[str, Any], needs: Mapping[str, _Need], kinds: Mapping[str, Any]) -> None:
    """Whole numbers first, then types, then shapes against each other, and values at the end."""
    values = _flatten(given, needs, kinds)
    tensors = [(name, value, need) for name, value, need in values if isinstance(need, _Form)]
    for name, value, need in values:
        _check_plain(name, value, need)
    _check_types(tensors)
    sizes: Sizes = {}
    for name, value, form in tensors:
        _full(name, value)
        _check_shape(name, tuple(value.shape), form, sizes)
    for name, value, need in values:
        if isinstance(need, _Count) and need.axis is not None:
            most = sizes[need.axis][0] - need.slack
            if value > most:
                raise ValueError(f"{name} must be at most {most}, got {value}")
    _check_broadcast(tensors)
    for name, value, form in tensors:
        CONDITIONS[form.condition](name, value)


def _flatten(
    given: Mapping[str, Any], needs: Mapping[str, _Need], kinds: Mapping[str, Any]
) -> list[tuple[str, Any, _Need]]:
    """Each argument that was given, with its need; a NamedTuple becomes its fields."""
    values = []
    for name, need in needs.items():
        if name not in given:
            continue
        value = given[name]
        if need != "fields":
            values.append((name, value, need))
            continue
        if not hasattr(value, "NEEDS"):
            kind = getattr(kinds[name], "__name__", kinds[name])
            raise TypeError(f"{name} must be a {kind}, got {type(value).__name__}")
        prefix = "" if name == "self" else f"{name}."
        for field, inner in value.NEEDS.items():
            values.append((f"{prefix}{field}", getattr(value, field), inner))
    return values


def _check_plain(name: str, value: Any, need: _Need) -> None:
    if isinstance(need, _Number):
        number(name, value, need.above)
    elif isinstance(need, _Count) and need.many:
        for entry in value:
            count(f"each entry of {name}", entry, need.least)
    elif isinstance(need, _Count):
        count(name, value, need.least)


def _check_types(tensors: list[tuple[str, Tensor, _Form]]) -> None:
    """Floating point, and alike; a scalar takes the dtype of what it meets, as it does in torch."""
    for name, value, _ in tensors:
        floating(name, value)
    alike = [(name, value) for name, value, _ in tensors if value.ndim > 0]
    for name, value in alike[1:]:
        first_name, first = alike[0]
        if value.dtype != first.dtype:
            raise TypeError(
                f"{name} must be {first.dtype} as {first_name} is, got {value.dtype}: "
                f"convert one of them with .float() or .double()"
            )
        if value.device != first.device:
            raise TypeError(
                f"{name} must be on {first.device} as {first_name} is, got {value.device}: "
                f"move one of them with .to(...)"
            )


def _check_shape(name: str, shape: tuple[int, ...], form: _Form, sizes: Sizes) -> None:
    """Raise ValueError unless `shape` has the form; `sizes` learns the axes that are new."""
    known = dict(sizes)
    if _fits(name, shape, form, sizes):
        return
    words = [f"{axis.name} at least {axis.least}" for axis in form.axes if axis.least > 1]
    for axis in (*(axis.name for axis in form.axes), form.group):
        if axis in known:
            words.append("{} = {} as in {}".format(axis.strip("*"), *known[axis]))
    wanted = f" with {' and '.join(dict.fromkeys(words))}" if words else ""
    hint = ""
    if shape and _fits(name, (1, *shape), form, known):
        hint = f": {name}.unsqueeze(0) adds the axis that is missing"
    raise ValueError(f"{name} must be {form}{wanted}, got {_shape_in_words(shape)}{hint}")


def _fits(name: str, shape: tuple[int, ...], form: _Form, sizes: Sizes) -> bool:
    """Whether `shape` has the form, given the sizes of axes so far; new ones are written down."""
    if not shape and form.axes and form.axes[-1].shared:
        return True
    extra = len(shape) - len(form.axes)
    if extra < 0 or (extra > 0 and form.group is None):
        return False
    after = form.place + extra
    if form.group not in (None, "..."):
        group = shape[form.place : after]
        if sizes.setdefault(form.group, (group, name))[0] != group:
            return False
    for axis, size in zip(form.axes, shape[: form.place] + shape[after:], strict=True):
        if axis.shared and size == 1:
            continue
        needed = int(axis.name) if axis.name.isdigit() else size
        if sizes.setdefault(axis.name, (needed, name))[0] != size or size < axis.least:
            return False
    return True


def _check_broadcast(tensors: list[tuple[str, Tensor, _Form]]) -> None:
    leading = {
        name: tuple(value.shape[: max(0, value.ndim - len(form.axes))])
        for name, value, form in tensors
        if form.group == "..."
    }
    if not _broadcasts([*leading.values()]):
        seen = ", ".join(f"{shape} of {name}" for name, shape in leading.items())
        raise ValueError(f"leading axes must broadcast, got {seen}")


def _broadcasts(shapes: list[tuple[int, ...]]) -> bool:
    """As torch.broadcast_shapes, which takes longer than all the other checks together."""
    for place in range(1, max([0, *[len(shape) for shape in shapes]]) + 1):
        sizes = {shape[-place] for shape in shapes if len(shape) >= place}
        if len(sizes - {1}) > 1:
            return False
    return True


def _full(name: str, value: Tensor) -> None:
    if value.numel() == 0:
        shape = tuple(value.shape)
        raise ValueError(f"{name} is empty, of shape {shape}: it needs at least one entry")


def _shape_in_words(shape: tuple[int, ...]) -> str:
    return f"shape {tuple(shape)}" if shape else "a scalar"
