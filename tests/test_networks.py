"""Networks against torch.nn layer by layer; triangles against numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from vae_tutorial.experiment import generator
from vae_tutorial.models import DiagonalEncoder
from vae_tutorial.networks import lower_triangle, network


@pytest.mark.parametrize(("activation", "function"), [(nn.Tanh, np.tanh), (nn.ReLU, None)])
def test_the_activation_stands_between_the_layers_only(activation, function):
    function = function or (lambda x: np.maximum(x, 0))
    made = network((3, 5, 4, 2), generator(0), activation).double()
    x = torch.randn(7, 3, generator=generator(1), dtype=torch.float64)
    expected = x.numpy()
    linears = [layer for layer in made if isinstance(layer, nn.Linear)]
    for place, layer in enumerate(linears):
        expected = expected @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        expected = expected if place == len(linears) - 1 else function(expected)
    assert [(layer.in_features, layer.out_features) for layer in linears] == [
        (3, 5),
        (5, 4),
        (4, 2),
    ]
    np.testing.assert_allclose(made(x).detach().numpy(), expected, rtol=1e-12)


def test_weights_come_from_the_generator_alone():
    state = torch.get_rng_state()
    first, second, other = (network([4, 3], generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first[0].weight, second[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)
    assert torch.equal(state, torch.get_rng_state())


def test_an_encoder_may_have_several_hidden_layers():
    one, same, several = (DiagonalEncoder(6, h, 2, generator(0)) for h in (5, [5], (5, 4, 3)))
    for a, b in zip(one.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)
    widths = [layer.out_features for layer in several.network if isinstance(layer, nn.Linear)]
    assert widths == [5, 4, 3, 4]


def test_a_triangle_is_filled_row_by_row_with_a_positive_diagonal():
    entries = torch.randn(3, 6, generator=generator(2), dtype=torch.float64)
    for row, seen in zip(entries.numpy(), lower_triangle(entries, 3).numpy(), strict=True):
        expected = np.zeros((3, 3))
        expected[np.tril_indices(3)] = row
        np.fill_diagonal(expected, np.exp(np.diag(expected)))
        np.testing.assert_allclose(seen, expected)
    with pytest.raises(ValueError, match="last axis of entries must be 6"):
        lower_triangle(entries[:, :5], 3)
