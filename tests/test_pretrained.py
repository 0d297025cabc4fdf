"""The kept weights: made again, refused when damaged, and telling how they were made."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from vae_tutorial import pretrained, principles
from vae_tutorial.conditional import pairs_of
from vae_tutorial.data import load_digits
from vae_tutorial.engine.settings import Settings, build


@pytest.mark.slow
def test_training_again_gives_the_kept_weights():
    """In float64 two instruction sets differ by 2e-14 after 3,000 steps."""
    kept, again = pretrained.two_latents(), pretrained.train()
    for name, value in kept.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=1e-9, rtol=0)


def test_the_kept_model_is_float64_frozen_and_trained():
    model, images = pretrained.two_latents(), load_digits(torch.float64).train
    assert all(p.dtype == torch.float64 and not p.requires_grad for p in model.parameters())
    missed = (model.reconstruct(images) - images).square().mean()
    assert missed < 0.5 * images.var(0).mean()


def test_the_file_says_how_it_was_made():
    with safe_open(pretrained.WEIGHTS, "pt") as file:
        said = file.metadata()
    assert re.fullmatch(r"[0-9a-f]{12}", said["commit"])  # from a clean checkout
    assert said["seed"] == str(pretrained.SEED)
    assert {"hardware", "seconds", "made", "torch", "python"} <= set(said)


def test_the_kept_completers_are_float64_and_frozen_and_say_how_they_were_made():
    pair = pretrained.completers()
    for model in pair:
        assert all(p.dtype == torch.float64 and not p.requires_grad for p in model.parameters())
    assert (pair.vae.condition, pair.vae.encoder.latent, pair.regressor.condition) == (8, 2, 8)
    images = load_digits(torch.float64).train
    rows = pairs_of(images, torch.arange(64) % 8 == 3)
    missed = (pair.regressor.decoder(rows[:, :8]) - rows[:, 8:]).square().mean()
    assert missed < 0.75 * rows[:, 8:].var(0).mean()
    with safe_open(pretrained.CONDITIONAL, "pt") as file:
        said = file.metadata()
    assert re.fullmatch(r"[0-9a-f]{12}", said["commit"])  # from a clean checkout
    assert said["seed"] == str(pretrained.SEED)


def test_the_kept_model_of_mnist_has_the_maps_that_its_run_had():
    results = Path(__file__).parents[1] / "book" / "results" / "mnist-pad.json"
    settings = json.loads(results.read_text("utf-8"))["settings"]
    built = build(Settings(**settings | {"hidden": tuple(settings["hidden"])}), 784)
    model, places = pretrained.mnist()
    assert {name: value.shape for name, value in model.state_dict().items()} == {
        name: value.shape for name, value in built.state_dict().items()
    }
    assert type(model.likelihood) is type(built.likelihood)
    assert str(model.encoder) == str(built.encoder)
    assert not any(p.requires_grad for p in model.parameters())
    assert places.mean.shape == (1000, 2)
    assert places.label.bincount().tolist() == [85, 126, 116, 107, 110, 87, 87, 99, 89, 94]


def test_a_place_of_mnist_is_decoded_as_something_that_is_put_near_it():
    """The encoder read the test digits; their copies stand in for them, where there is no MNIST."""
    model, places = pretrained.mnist()
    again = model.encoder(model.decode(places.mean)).mean
    assert (again - places.mean).norm(dim=-1).median() < 0.25


def test_mnist_without_its_places(tmp_path):
    path = damaged(tmp_path, lambda t: t.pop("test.label"), pretrained.MNIST)
    with pytest.raises(ValueError, match=r"damaged.safetensors has no test.label"):
        pretrained.mnist(path)


def test_the_decoders_of_chapter_18_are_those_of_its_results():
    """Each repeats, on other draws, what the table of the results says of seed 0."""
    path = Path(__file__).parents[1] / "book" / "results" / "principles.json"
    results = json.loads(path.read_text("utf-8"))
    variance, test = results["settings"]["variance"], load_digits(torch.float64).test
    kept = pretrained.decoders()
    assert set(kept) < set(results["runs"])
    for name, decoder in kept.items():
        assert not any(p.requires_grad for p in decoder.parameters())
        made = principles.generated(decoder, principles.plane(81), variance)
        found = float(principles.log_density(made, test).mean())
        assert found == pytest.approx(results["runs"][name][0]["test_log_p"], abs=0.5), name


def test_a_decoder_of_another_shape(tmp_path):
    path = damaged(tmp_path, lambda t: t.pop("VAE.0.bias"), pretrained.DECODERS)
    with pytest.raises(ValueError, match=r"VAE in damaged.safetensors does not fit"):
        pretrained.decoders(path)


def damaged(tmp_path, change, kept=pretrained.WEIGHTS):
    tensors = load_file(kept)
    change(tensors)
    save_file(tensors, tmp_path / "damaged.safetensors")
    return tmp_path / "damaged.safetensors"


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="make weights"):
        pretrained.two_latents(tmp_path / "none.safetensors")


def test_weights_of_another_shape(tmp_path):
    path = damaged(tmp_path, lambda t: t.update({"decoder.0.weight": torch.zeros(64, 3)}))
    with pytest.raises(ValueError, match=r"decoder.0.weight is \(64, 3\), not \(64, 2\)"):
        pretrained.two_latents(path)


def test_weights_missing(tmp_path):
    path = damaged(tmp_path, lambda t: t.pop("decoder.0.bias"))
    with pytest.raises(ValueError, match=r"decoder.0.bias is None, not \(64,\)"):
        pretrained.two_latents(path)


def test_weights_that_are_not_finite(tmp_path):
    path = damaged(tmp_path, lambda t: t["decoder.0.bias"].fill_(float("nan")))
    with pytest.raises(ValueError, match=r"decoder.0.bias in damaged.safetensors must be finite"):
        pretrained.two_latents(path)
