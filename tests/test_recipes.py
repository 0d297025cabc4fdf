"""The oracle's models in torch: their files, their layers, and that training makes them again."""

import re

import pytest
import torch
from safetensors import safe_open

from vae_tutorial import oracle, pretrained
from vae_tutorial.oracle import recipes

each_recipe = pytest.mark.parametrize("name", recipes.RECIPES)


@pytest.mark.parametrize("name", oracle.NAMES)
def test_a_model_is_float64_and_frozen(name):
    model = recipes.model(name)
    assert all(p.dtype == torch.float64 and not p.requires_grad for p in model.parameters())
    assert model.encoder.latent == (1 if name == "line" else 2)


def test_two_cases_have_the_models_of_pretrained():
    for name, kept in (("digits", pretrained.two_latents()), ("mnist", pretrained.mnist()[0])):
        for key, value in recipes.model(name).state_dict().items():
            assert torch.equal(value, kept.state_dict()[key].double())


@each_recipe
def test_the_file_says_how_it_was_made(name):
    with safe_open(recipes.file_of(name), "pt") as file:
        said = file.metadata()
    assert re.fullmatch(r"[0-9a-f]{12}", said["commit"])  # from a clean checkout
    assert said["seed"] == str(recipes.SEED)
    assert {"hardware", "seconds", "made", "torch", "python"} <= set(said)


@pytest.mark.slow
@each_recipe
def test_training_again_gives_the_kept_weights(name):
    kept, again = recipes.model(name).state_dict(), recipes.RECIPES[name]().state_dict()
    assert kept.keys() == again.keys()
    for key, value in kept.items():
        torch.testing.assert_close(again[key], value, atol=1e-8, rtol=0)


def test_a_fold_has_its_period():
    fold, z = recipes.Fold(3.0), torch.tensor([[0.3, -0.7]]).double()
    shift = 2 * torch.pi / 3
    torch.testing.assert_close(fold(z), fold(z + shift))
    expected = [z[0, 0] * 3, z[0, 1] * 3]
    known = torch.stack([*(a.cos() for a in expected), *(a.sin() for a in expected)])[None]
    torch.testing.assert_close(fold(z), known)


def test_the_collapsed_variance_is_above_every_eigenvalue_of_the_digits():
    images = pretrained.load_digits(torch.float64).train
    assert torch.linalg.eigvalsh(torch.cov(images.mT)).max() < recipes.LOUD
    assert float(recipes.model("collapsed").likelihood.variance.log_variance.exp()) == recipes.LOUD


def test_the_folded_encoder_starts_narrow():
    """So does its training: a q as wide as a fold would see the average of all copies."""
    q = recipes.untrained_folded().encoder(torch.zeros(1, 64).double())
    assert (q.log_variance < -3).all()
