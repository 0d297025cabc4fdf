"""What an adapter makes of a model: the same numbers as the model's own."""

import pytest
import torch
from drawn import close, normal

from vae_tutorial import pretrained
from vae_tutorial.audit.adapters import named, of_vae
from vae_tutorial.audit.subject import Subject, as_likelihood
from vae_tutorial.data import load_digits
from vae_tutorial.likelihoods import GaussianPixels, InputVariance
from vae_tutorial.models import VAE, FullEncoder, network
from vae_tutorial.noise import generator

DIGITS = load_digits(torch.float64).test[:6]


def as_subject(model, x):
    given = of_vae(model)
    likelihood = as_likelihood(given.pop("likelihood"))
    modules, draw = given.pop("modules"), given.pop("draw")
    return Subject(x, likelihood=likelihood, modules=modules, draw=draw, **given)


def by_input():
    weights = generator(0)
    variance = InputVariance(network([2, 64], weights), 0.01)
    encoder, decoder = FullEncoder(64, 8, 2, weights), network([2, 8, 64], weights)
    return VAE(encoder, decoder, GaussianPixels(variance)).double()


def binary():
    return pretrained.mnist()[0].double()


@pytest.mark.parametrize("make", [pretrained.two_latents, by_input, binary])
def test_log_p_of_x_given_z_is_the_models(make):
    model = make()
    x = DIGITS if model.encoder.width == 64 else (normal(6, 784) > 1).double()
    made, z = as_subject(model, x), normal(3, 6, 2)
    close(made.log_likelihood(x, z), model.log_likelihood(x, z), 1e-9)
    close(made.posterior(x).log_density(z), model.encoder(x).log_density(z))


def test_the_loss_is_minus_the_bound_of_one_draw():
    model = pretrained.two_latents()
    made = as_subject(model, DIGITS)
    torch.manual_seed(3)
    loss = made.loss_of(DIGITS)
    torch.manual_seed(3)
    noise = torch.randn(6, 2, dtype=torch.float64)
    close(loss, -model(DIGITS, noise[None]).elbo.mean())
    torch.manual_seed(3)
    close(made.draw_of(DIGITS), model.encoder(DIGITS).draw(noise[None])[0])


def test_a_likelihood_that_no_adapter_knows():
    with pytest.raises(TypeError, match="no adapter knows a CellPixels"):
        of_vae(pretrained.cells())


ADAPTERS = """
import torch
layer = torch.nn.Linear(64, 4)
ready = {"encode": lambda x: layer(x).chunk(2, -1)}
def made(): return {**ready, "x": torch.zeros(5, 64)}
def several(): return [1, 2]
misspelt = {"encoder": layer}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "their_model.py").write_text(ADAPTERS)
    (tmp_path / "their_broken.py").write_text("import a_package_that_is_not_here")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_adapter_is_a_dict_or_a_function_that_returns_one(folder):
    assert list(named("their_model:ready")) == ["encode"]
    assert list(named("their_model.py:made")) == ["encode", "x"]
    assert isinstance(named("their_model:made")["x"], torch.Tensor)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("their_model", "named MODULE:NAME, got 'their_model'"),
        (":made", "named MODULE:NAME"),
        ("their_other:made", "no module their_other here or on the path"),
        ("their_model:make", "their_model has no make"),
        ("their_model:several", "a dict of arguments, got a list"),
        ("their_model:layer", "missing 1 required|a dict of arguments"),
        ("their_model:misspelt", "gives 'encoder'; known are x, encode, decode"),
    ],
)
def test_an_adapter_that_is_none_is_refused(folder, name, words):
    with pytest.raises((ValueError, TypeError), match=words):
        named(name)


def test_a_package_that_an_adapter_lacks_is_named(folder):
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_here"):
        named("their_broken:made")
