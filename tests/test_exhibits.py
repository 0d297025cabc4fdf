"""Pictures hold the images that the model gives, in their order, and are written whole."""

import matplotlib.image
import numpy as np
import pytest
import torch

from vae_tutorial import exhibits, experiment
from vae_tutorial.data import load_digits
from vae_tutorial.settings import Settings, build

MODEL = build(Settings(hidden=(5,)), 64).requires_grad_(False)


def shown(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_samples_are_decoded_draws_of_the_prior():
    noise = torch.randn(13, 2, generator=experiment.generator(3), dtype=torch.float64).float()
    expected = MODEL.decoder(noise).reshape(13, 8, 8)
    seen = shown(exhibits.samples(MODEL, 13, 3, (8, 8)))
    assert len(seen) == 13
    assert np.allclose(seen, expected)


def test_reconstructions_stand_under_their_images():
    images = load_digits().test
    seen = shown(exhibits.reconstructions(MODEL, images, 3, (8, 8)))
    assert len(seen) == 30
    mean, _ = MODEL.encoder.network(images[:10]).chunk(2, -1)
    assert np.allclose(seen[:10], images[:10].reshape(10, 8, 8))
    assert np.allclose(seen[10:20], MODEL.decoder(mean).reshape(10, 8, 8), atol=1e-6)
    assert np.allclose(seen[20:], shown(exhibits.samples(MODEL, 10, 3, (8, 8))))


def test_images_need_not_be_square():
    (first, *_) = shown(exhibits.samples(MODEL, 2, 0, (4, 16)))
    assert first.shape == (4, 16)


def test_a_picture_is_written_in_the_format_of_its_name(tmp_path):
    figure = exhibits.samples(MODEL, 3, 0, (8, 8))
    exhibits.save(figure, tmp_path / "a.png")
    assert matplotlib.image.imread(tmp_path / "a.png").ndim == 3
    exhibits.save(figure, tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text("utf-8")
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(OSError, match="missing"):
        exhibits.save(figure, tmp_path / "missing" / "a.png")
