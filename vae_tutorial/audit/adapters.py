"""Adapters: from a model of some package to the arguments of `audit`."""

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from vae_tutorial.likelihoods import BernoulliPixels, GaussianPixels
from vae_tutorial.models import VAE
from vae_tutorial.training import negative_elbo

ARGUMENTS = ("encode", "decode", "likelihood", "loss", "held_out", "draw", "estimate", "modules")


def of_vae(model: VAE) -> dict[str, Any]:
    """The arguments of `audit` for a VAE of this package, its loss the negative ELBO.

    >>> from vae_tutorial.pretrained import two_latents
    >>> sorted(of_vae(two_latents()))
    ['decode', 'draw', 'encode', 'likelihood', 'loss', 'modules']
    """
    likelihood = model.likelihood

    def draw(x: Tensor) -> Tensor:
        posterior = model.encoder(x)
        return posterior.draw(torch.randn_like(posterior.mean)[None])[0]

    def loss(x: Tensor) -> Tensor:
        mean = model.encoder(x).mean
        return negative_elbo(model(x, torch.randn_like(mean)[None]))

    arguments = {"encode": model.encoder, "draw": draw, "loss": loss, "modules": [model]}
    if isinstance(likelihood, BernoulliPixels):
        return arguments | {"decode": model.decoder, "likelihood": "bernoulli"}
    if isinstance(likelihood, GaussianPixels):

        def normal(z: Tensor) -> Independent:
            decoded = model.decoder(z)
            deviation = (0.5 * likelihood.variance(z)).exp().expand_as(decoded)
            return Independent(Normal(decoded, deviation), 1)

        return arguments | {"decode": normal, "likelihood": "gaussian"}
    raise TypeError(f"no adapter knows a {type(likelihood).__name__}: write one, as README shows")


def named(name: str) -> dict[str, Any]:
    """What `module:name` in the working folder or on the path gives: the arguments of `audit`.

    The name is a mapping of arguments, or a function without arguments that returns one. Raises
    ValueError where there is none, and where its keys are no arguments of `audit`.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ValueError(f"an adapter is named MODULE:NAME, got {name!r}")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name.removesuffix(".py"))
    except ModuleNotFoundError as missing:
        if missing.name != module_name:
            raise
        raise ValueError(f"there is no module {module_name} here or on the path") from None
    finally:
        sys.path.pop(0)
    if not hasattr(module, attribute):
        raise ValueError(f"{module_name} has no {attribute}")
    found: Mapping[str, Any] | Callable[[], Mapping[str, Any]] = getattr(module, attribute)
    arguments = found() if callable(found) else found
    if not isinstance(arguments, Mapping):
        raise ValueError(
            f"{name} must be or return a dict of arguments, got a {type(arguments).__name__}"
        )
    unknown = [key for key in arguments if key not in (*ARGUMENTS, "x")]
    if unknown:
        raise ValueError(
            f"{name} gives {', '.join(map(repr, unknown))}; known are x, {', '.join(ARGUMENTS)}"
        )
    return dict(arguments)
