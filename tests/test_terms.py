"""What a loss may be made of, against closed forms and torch's own losses."""

import math

import pytest
import torch
from sound import gaussian
from torch import nn

from vae_tutorial.audit import terms
from vae_tutorial.audit.subject import Subject

functional = nn.functional


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # at μ = 2, log σ² = −1
        ("(log σ)² for log σ²", 0.5 * (4 + math.exp(-1) - 1 - 0.25)),
        ("(log σ²)² for log σ²", 0.5 * (4 + math.exp(-1) - 1 - 1)),
        ("log σ² read as log σ", 0.5 * (4 + math.exp(-2) - 1 + 2)),
        ("σ for σ²", 0.5 * (4 + math.exp(-0.5) - 1 + 0.5)),
        ("log σ² read as σ", 0.5 * (4 + 1 - 1 - 0)),
        ("log σ² read as σ²", 0.5 * (4 - 1 - 1 - 0)),
        ("log σ for log σ²", 0.5 * (4 + math.exp(-1) - 1 + 0.5)),
        ("no log σ²", 0.5 * (4 + math.exp(-1) - 1)),
        ("no variance", 2.0),
        ("no mean", 0.5 * (math.exp(-1) - 1 + 1)),
        ("the mean not squared", 0.5 * (2 + math.exp(-1) - 1 + 1)),
        ("the sign of one term", 0.5 * (4 - math.exp(-1) - 1 + 1)),
        ("KL(p‖q) for KL(q‖p)", 0.5 * (5 * math.e - 1 - 1)),
    ],
)
def test_formulas_at_a_point(name, expected):
    mean, log_variance = torch.tensor([[2.0]]).double(), torch.tensor([[-1.0]]).double()
    assert terms.FORMULAS[name](mean, log_variance).item() == pytest.approx(expected, rel=1e-12)


def test_errors_are_those_of_torch():
    model, _, train, _ = gaussian(epochs=12)
    x = train[:7]
    z = torch.randn(7, 8, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        found = terms.error_terms(Subject(x, model.encode, model.decode, None, None), x, z.double())
        raw = model.decode(z)
        squashed = nn.Sequential(model.decoder, nn.Sigmoid())
        of_sigmoid = terms.error_terms(
            Subject(x, model.encode, squashed, None, None), x, z.double()
        )
    expected = {
        terms.SQUARED: functional.mse_loss(raw, x) * 64,
        terms.SIGMOID: functional.mse_loss(raw.sigmoid(), x) * 64,
        terms.LOGITS: functional.binary_cross_entropy_with_logits(raw, x) * 64,
        terms.ABSOLUTE: functional.l1_loss(raw, x) * 64,
        terms.ROOT: (raw - x).norm(dim=-1).mean(),
        terms.LOGARITHM: 32 * ((raw - x).square().sum() / 7).log(),
    }
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-5)
    assert terms.PROBABILITIES not in found  # outputs outside [0, 1]
    cross = functional.binary_cross_entropy(raw.sigmoid(), x) * 64
    assert of_sigmoid[terms.PROBABILITIES].item() == pytest.approx(cross.item(), rel=1e-5)
