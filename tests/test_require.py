"""Bad arguments are refused, and the message names what was seen."""

import inspect
import math
from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from vae_tutorial import require


def test_types_are_named():
    with pytest.raises(TypeError, match=r"x must be a torch\.Tensor, got list"):
        require.floating("x", [1.0])
    with pytest.raises(TypeError, match=r"x must be floating point, got torch\.int64"):
        require.floating("x", torch.tensor([1, 2]))


def test_finite_entries_may_have_a_sum_that_is_not():
    require.finite("x", torch.full((4,), 3e38))  # float32 ends at 3.4e38


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_counted(bad):
    with pytest.raises(ValueError, match="x must be finite, but 2 of 3 entries"):
        require.finite("x", torch.tensor([bad, 1.0, bad]))


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match=r"x is empty, of shape \(0, 4\)"):
        require.finite("x", torch.zeros(0, 4))


def test_the_event_axis_is_checked():
    require.event("x", torch.zeros(2, 3), 3)
    with pytest.raises(ValueError, match="x needs a last axis"):
        require.event("x", torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"last axis of x must be 4, got shape \(2, 3\)"):
        require.event("x", torch.zeros(2, 3), 4)


def test_signs_and_ranges_are_checked():
    require.positive("variance", torch.tensor([0.1, 2.0]))
    with pytest.raises(ValueError, match="variance must be positive, its smallest entry is 0"):
        require.positive("variance", torch.tensor([0.0, 2.0]))
    require.between("x", torch.tensor([0.0, 1.0]), 0, 1)
    for outside in ([-0.5, 1.0], [0.0, 1.5]):
        with pytest.raises(ValueError, match=r"x must lie in \[0, 1\], but its entries span"):
            require.between("x", torch.tensor(outside), 0, 1)


def test_counts_are_whole_and_positive():
    require.count("epochs", 1)
    with pytest.raises(ValueError, match="epochs must be at least 1, got 0"):
        require.count("epochs", 0)
    for bad in (1.5, True, "3"):
        with pytest.raises(TypeError, match="epochs must be a whole number"):
            require.count("epochs", bad)


def test_a_generator_is_asked_for():
    require.generator(torch.Generator())
    for bad in (None, 0):
        with pytest.raises(TypeError, match=r"generator must be a torch\.Generator, got (None|0)"):
            require.generator(bad)


def test_a_covariance_equals_its_transpose():
    require.symmetric("covariance", torch.tensor([[2.0, 0.5], [0.5, 1.0]]))
    with pytest.raises(ValueError, match=r"covariance must be symmetric, .* differ by 0\.5"):
        require.symmetric("covariance", torch.tensor([[2.0, 0.5], [0.0, 1.0]]))


def test_factors_are_lower_triangular_and_positive():
    require.cholesky("factor", torch.eye(3))
    with pytest.raises(ValueError, match="entries above its diagonal"):
        require.cholesky("factor", torch.ones(2, 2))
    with pytest.raises(ValueError, match="the diagonal of factor must be positive"):
        require.cholesky("factor", torch.diag(torch.tensor([1.0, -1.0])))


# Shapes, named in one line above a function


@require.shapes(x="... d", mean="... d", log_variance="... d|1")
def log_density(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """An example with axes that broadcast, and one that may be shared."""
    return -0.5 * ((x - mean).square() / log_variance.exp() + log_variance).sum(-1)


def test_a_function_with_shapes_stays_itself():
    assert log_density.__name__ == "log_density"
    assert log_density.__doc__.startswith("An example")
    assert list(inspect.signature(log_density).parameters) == ["x", "mean", "log_variance"]
    assert inspect.getsource(log_density).startswith('@require.shapes(x="... d", mean="... d"')


def test_what_fits_is_passed_on_by_place_or_by_name():
    x = torch.ones(4, 2)
    expected = torch.full((4,), -1.0)
    for log_variance in (torch.zeros(2), torch.zeros(1), torch.tensor(0.0), torch.zeros(4, 1)):
        assert torch.equal(log_density(x, torch.zeros(2), log_variance), expected)
        assert torch.equal(log_density(x, mean=0 * x, log_variance=log_variance), expected)
    assert torch.equal(
        log_density(x.double(), 0 * x[0].double(), torch.tensor(0.0)), expected.double()
    )


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((4, 3), (2,), (3,)), r"mean must be \(\.\.\., d\) with d = 3 as in x, got shape \(2,\)"),
        (((4, 3), (3,), (2,)), r"\(\.\.\., d or 1\) with d = 3 as in x, got shape \(2,\)"),
        (((), (3,), (3,)), r"x must be \(\.\.\., d\), got a scalar$"),
        (((4, 3), (5, 3), ()), r"got \(4,\) of x, \(5,\) of mean, \(\) of log_variance"),
        (((0, 3), (3,), ()), r"x is empty, of shape \(0, 3\)"),
    ],
)
def test_what_does_not_fit_is_named_with_what_it_should_fit(shapes, message):
    with pytest.raises(ValueError, match=message):
        log_density(*(torch.zeros(shape) for shape in shapes))


def test_a_missing_argument_is_left_to_python():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'log_variance'"):
        log_density(torch.zeros(2), torch.zeros(2))
    with pytest.raises(TypeError, match="takes 3 positional arguments but 4 were given"):
        log_density(*[torch.zeros(2)] * 4)


def test_another_dtype_or_device_is_named():
    x = torch.zeros(2)
    with pytest.raises(TypeError, match=r"mean must be torch\.float32 as x is, got torch\.float64"):
        log_density(x, x.double(), x)
    with pytest.raises(TypeError, match="mean must be on cpu as x is, got meta"):
        log_density(x, x.to("meta"), x)


def test_values_are_checked_where_a_word_asks_for_it():
    @require.shapes(variance="(): positive", share="...: fraction", radius="...: nonnegative")
    def takes(variance=None, share=None, radius=None):
        return "taken"

    assert takes(torch.tensor(0.1), torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 9.0]])) == "taken"
    for handed, message in (
        ({"variance": torch.tensor(0.0)}, "variance must be positive"),
        ({"variance": torch.tensor([1.0])}, r"variance must be a scalar, got shape \(1,\)"),
        ({"share": torch.tensor([1.1])}, r"share must lie in \[0, 1\]"),
        ({"radius": torch.tensor(-0.1)}, r"radius must lie in \[0, inf\]"),
        ({"radius": torch.tensor(math.nan)}, "radius must be finite, but 1 of 1"),
    ):
        with pytest.raises(ValueError, match=message):
            takes(**handed)


def test_axes_are_counted_matched_and_grouped():
    @require.shapes(x="n>=2 D", y="*batch 3", z="K *batch", latent="count<=D", least="count>=2")
    def takes(x=None, y=None, z=None, latent=1, least=2):
        return "taken"

    table, grouped = torch.zeros(2, 4), torch.zeros(5, 6, 3)
    assert takes(table, grouped, torch.zeros(7, 5, 6), 4) == "taken"
    for handed, error, message in (
        ((table[:1],), ValueError, r"\(n, D\) with n at least 2, got shape \(1, 4\)"),
        ((table, table), ValueError, r"y must be \(batch, 3\), got shape \(2, 4\)"),
        ((table, grouped, table), ValueError, r"with batch = \(5, 6\) as in y, got shape \(2, 4\)"),
        ((table, grouped, torch.zeros(7, 5, 6), 5), ValueError, "latent must be at most 4, got 5"),
        ((table, grouped, torch.zeros(7, 5, 6), 1, 1), ValueError, "least must be at least 2"),
        ((table, grouped, torch.zeros(7, 5, 6), 1.0), TypeError, "latent must be a whole number"),
    ):
        with pytest.raises(error, match=message):
            takes(*handed)


def test_a_count_may_have_to_stay_below_the_length_of_an_axis():
    @require.shapes(x="n D", latent="count<D")
    def takes(x, latent):
        return "taken"

    assert takes(torch.zeros(2, 4), 3) == "taken"
    with pytest.raises(ValueError, match="latent must be at most 3, got 4"):
        takes(torch.zeros(2, 4), 4)


def test_several_counts_are_each_a_count():
    @require.shapes(sizes="counts")
    def takes(sizes):
        return "taken"

    assert takes([1, 5]) == "taken"
    with pytest.raises(ValueError, match="each entry of sizes must be at least 1, got 0"):
        takes([5, 0])
    with pytest.raises(TypeError, match=r"each entry of sizes must be a whole number, got 1\.5"):
        takes([5, 1.5])


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (0.0, ValueError, "scale must be positive, got 0"),
        (math.nan, ValueError, "scale must be finite, got nan"),
        ("1", TypeError, "scale must be a number, got str"),
        (True, TypeError, "scale must be a number, got bool"),
    ],
)
def test_numbers(value, error, message):
    @require.shapes(scale="number: positive")
    def takes(scale):
        return "taken"

    assert takes(np.float64(0.5)) == takes(2) == "taken"
    with pytest.raises(error, match=message):
        takes(value)


@require.fields(offset="D", weight="D d")
class Model(NamedTuple):
    weight: Tensor
    offset: Tensor

    @require.shapes(self="fields", z="... d")
    def mean(self, z: Tensor) -> Tensor:
        return z @ self.weight.mT + self.offset


def test_the_fields_of_a_tuple_are_arguments_like_others():
    @require.shapes(model="fields", x="... D")
    def takes(model: Model, x: Tensor):
        return "taken"

    model = Model(torch.ones(3, 2), torch.zeros(3))
    assert takes(model, torch.zeros(3)) == "taken"
    assert torch.equal(model.mean(torch.ones(4, 2)), torch.full((4, 3), 2.0))
    with pytest.raises(ValueError, match=r"x must be .* with D = 3 as in model\.offset"):
        takes(model, torch.zeros(2))
    with pytest.raises(ValueError, match=r"model\.weight must be \(D, d\) with D = 2"):
        takes(model._replace(offset=torch.zeros(2)), torch.zeros(3))
    with pytest.raises(ValueError, match=r"z must be \(\.\.\., d\) with d = 2 as in weight"):
        model.mean(torch.zeros(3))
    with pytest.raises(TypeError, match="model must be a Model, got Tensor"):
        takes(torch.zeros(3), torch.zeros(3))


def test_a_mistake_in_the_line_itself_is_found_when_the_module_is_read():
    with pytest.raises(TypeError, match="log_density takes no y"):
        require.shapes(y="...")(log_density)
    with pytest.raises(ValueError, match="'even' is no condition: choose from"):
        require.shapes(x="...: even")


def test_one_graph_is_compiled_and_looks_at_no_value():
    x, mean = torch.ones(4, 2), torch.zeros(2)
    compiled = torch.compile(log_density, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x, mean, log_variance=mean), log_density(x, mean, mean))
    assert compiled(x * math.nan, mean, mean).isnan().all()
    explained = torch._dynamo.explain(log_density)(x, mean, mean)
    assert explained.graph_break_count == 0


def test_gradients_pass_through():
    gradient, value = torch.func.grad_and_value(lambda m: log_density(m + 1, m, 0 * m).sum())(
        torch.zeros(2)
    )
    assert float(value) == -1.0
    assert torch.equal(gradient, torch.zeros(2))


@given(st.lists(st.lists(st.integers(1, 3), max_size=3), min_size=3, max_size=3))
def test_leading_axes_broadcast_where_torch_says_so(leading):
    x, mean, log_variance = (torch.zeros(*axes, 2) for axes in leading)
    try:
        torch.broadcast_shapes(*leading)
    except RuntimeError:
        with pytest.raises(ValueError, match="leading axes must broadcast"):
            log_density(x, mean, log_variance)
    else:
        log_density(x, mean, log_variance)
