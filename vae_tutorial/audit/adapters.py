"""Adapters: from a model of some package to the arguments of `audit`.

`of` knows a model by its attributes and by the names of its classes, so that none of the packages
is needed here: pythae's VAE, scvi-tools' SCVI, diffusers' AutoencoderKL, a Lightning module, and a
module like that of PyTorch's own example. benchmarks/adapters.py tries each on the package itself.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal
from torch.distributions.constraints import independent, nonnegative_integer

from vae_tutorial.audit.subject import NotGivenError
from vae_tutorial.likelihoods import BernoulliPixels, GaussianPixels
from vae_tutorial.models import VAE
from vae_tutorial.training import negative_elbo

ARGUMENTS = (
    "encode", "decode", "likelihood", "loss", "held_out", "draw", "estimate", "modules", "notes",
)  # fmt: skip
DRAWS = 100  # of an estimate of log p(x), which is also how many pythae draws at a time
LEAST_PROBABILITY = 1e-7  # of a pixel: what a sigmoid in float32 tells from 0 and from 1
HEADS = (("fc_mu", "fc_var"), ("fc_mu", "fc_logvar"), ("fc_mu", "fc_log_var"), ("fc21", "fc22"))
EXAMPLE = ("fc1", "fc21", "fc22", "fc3", "fc4")  # the layers of PyTorch's example


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


class Made(NamedTuple):
    """What an adapter makes of a model, and what it cannot, by the argument that it would be."""

    arguments: dict[str, Any]
    notes: dict[str, str]  # an argument of `audit` → what is not known of it


def of(model: Any, **stated: Any) -> dict[str, Any]:
    """The arguments of `audit` for a model that is known by its attributes.

    What you state yourself, `of(model, likelihood="gaussian")`, replaces what the adapter would
    give. What it cannot give is listed in `notes`, which the report prints. Raises TypeError for
    a model that it does not know, and says what to write.

    >>> from vae_tutorial.pretrained import two_latents
    >>> of(two_latents(), likelihood=0.15)["likelihood"]
    0.15
    """
    if isinstance(model, VAE):
        return of_vae(model) | stated
    for recognised, adapter in ADAPTERS:
        if recognised(model):
            arguments, notes = adapter(model)
            unknown = [note for name, note in notes.items() if name not in stated]
            return arguments | {"notes": unknown} | stated
    raise TypeError(
        f"no adapter knows a {type(model).__name__}. Write audit(x, encode=lambda x: (mean, "
        "log_variance), decode=lambda z: mean_or_logits, likelihood=…, loss=lambda x: the_loss)"
    )


def _has(model: Any, *names: str) -> bool:
    return all(hasattr(model, name) for name in names)


def _is_a(model: Any, name: str) -> bool:
    """Whether a class of this name is among a model's."""
    return any(each.__name__ == name for each in type(model).__mro__)


def _logits(probability: Tensor) -> Tensor:
    return torch.logit(probability, eps=LEAST_PROBABILITY)


# pythae


def _is_pythae(model: Any) -> bool:
    return _has(model, "model_config", "get_nll", "loss_function", "encoder", "decoder") and (
        getattr(model, "model_name", "") in ("VAE", "BetaVAE")
    )


def _of_pythae(model: Any) -> Made:
    """Images are (n, *input_dim). Its squared error is charged as by a Gaussian of σ = 1."""
    is_binary = model.model_config.reconstruction_loss == "bce"

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        answer = model.encoder(x)
        return answer["embedding"], answer["log_covariance"]

    def decode(z: Tensor) -> Tensor:
        decoded = model.decoder(z)["reconstruction"]
        return _logits(decoded) if is_binary else decoded

    @torch.no_grad()
    def estimate(x: Tensor) -> Tensor:
        each = [model.get_nll(image[None], n_samples=DRAWS, batch_size=DRAWS) for image in x]
        return torch.tensor(each, dtype=torch.float64)  # log p(x), in spite of its name

    arguments = {
        "encode": encode,
        "decode": decode,
        "likelihood": "bernoulli" if is_binary else 1.0,
        "loss": lambda x: model({"data": x})["loss"],
        "draw": lambda x: model({"data": x})["z"],
        "estimate": estimate,
        "modules": [model],
    }
    return Made(arguments, {})


# scvi-tools


class Counts(Distribution):
    """p(x|z) of a module of scvi-tools, each x scored given its own library size.

    Its mean is that of a cell of typical size. It cannot be drawn from: counts that were drawn
    would have another sum than the one that was given.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012, as torch declares it
    support = independent(nonnegative_integer, 1)

    def __init__(self, module: Any, z: Tensor, typical: float):
        self.module, self.z, self.typical = module, z, typical
        shape = torch.Size([len(z)]), torch.Size([module.n_input])
        super().__init__(*shape, validate_args=False)

    def _given(self, library: Tensor) -> Any:
        """The package's own distribution at library sizes (batch, 1)."""
        nothing = _no_batch(self.z)
        return self.module.generative(self.z, library.log(), nothing, y=nothing)["px"]

    @property
    def mean(self) -> Tensor:
        """E[x|z] at the typical library size: (batch, genes)."""
        return self._given(self.z.new_full((len(self.z), 1), self.typical)).mean

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(x|z, library size of x) of counts (batch, genes): (batch,), in nats."""
        return self._given(value.sum(1, keepdim=True)).log_prob(value).sum(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Refused: NotGivenError."""
        raise NotGivenError("the library size is a condition: no counts can be drawn without it")


def _is_scvi(model: Any) -> bool:
    return _has(model, "adata") and _has(
        getattr(model, "module", None), "z_encoder", "generative", "marginal_ll"
    )


def _of_scvi(model: Any) -> Made:
    """Counts are (n, genes), as floats, of one batch and without covariates."""
    module = model.module
    if not module.use_observed_lib_size or module.latent_distribution != "normal":
        raise TypeError(
            "this SCVI has more latents than a Gaussian z: the audit needs "
            "use_observed_lib_size=True and latent_distribution='normal'"
        )
    typical = float(model.adata.X.sum() / model.adata.X.shape[0])
    weight, told = _kl_weight(model)

    def tensors(x: Tensor) -> dict[str, Tensor]:
        return {"X": x, "batch": _no_batch(x), "labels": _no_batch(x)}

    def estimate(x: Tensor) -> Tensor:
        each = module.marginal_ll(tensors(x), n_mc_samples=DRAWS, n_mc_samples_per_pass=DRAWS)
        return each.clone()  # out of inference mode

    arguments = {
        "encode": lambda x: module.inference(x, _no_batch(x))["qz"],
        "decode": lambda z: Counts(module, z, typical),
        "loss": lambda x: module(tensors(x), loss_kwargs={"kl_weight": weight})[2].loss,
        "draw": lambda x: module.inference(x, _no_batch(x))["z"],
        "estimate": estimate,
        "modules": [module],
    }
    notes = {
        "decode": "The library size is a condition: each cell is scored given its own, pictures "
        f"are of a cell of {typical:.0f} counts, and no cells can be drawn. Cells are taken to be "
        "of batch 0, without covariates.",
        "loss": told,
    }
    return Made(arguments, notes)


def _no_batch(x: Tensor) -> Tensor:
    return x.new_zeros(len(x), 1)


def _kl_weight(model: Any) -> tuple[float, str]:
    """The KL's weight at the end of training, as the model recorded it, and a note on it."""
    history = getattr(model, "history", None)
    if not history or "kl_weight" not in history:
        return 1.0, "How the KL was weighed in training is not recorded: it is taken to be by 1."
    weight = float(history["kl_weight"].iloc[-1, 0])
    return weight, (
        f"The loss is that of the last epoch, when the KL weighed {weight:.3g}; what it weighed "
        "before, in a warm-up, is not judged."
    )


# diffusers


def _is_autoencoder_kl(model: Any) -> bool:
    return _is_a(model, "AutoencoderKL") and _has(model, "encode", "decode", "config")


def _of_autoencoder_kl(model: Any) -> Made:
    """Images are (n, channels, height, width), scaled to [−1, 1] as the package's pipelines do."""

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        answer = model.encode(x).latent_dist
        return answer.mean, answer.logvar

    arguments = {
        "encode": encode,
        "decode": lambda z: model.decode(z).sample,
        "draw": lambda x: model.encode(x).latent_dist.sample(),
        "modules": [model],
    }
    notes = {
        "loss": "An AutoencoderKL does not hold the loss that it was trained with, which for the "
        "published ones has perceptual and adversarial terms. Give your own: of(model, loss=…).",
        "likelihood": "Nor does it say which p(x|z) is meant, so that there is no log p(x). If "
        'it is a Gaussian, say so: of(model, likelihood="gaussian").',
    }
    return Made(arguments, notes)


# Modules of one's own


def _is_own(model: Any) -> bool:
    return isinstance(model, nn.Module) and (
        _has(model, "decode") or (_has(model, "decoder") and _has(model, "encoder"))
    )


def _of_own(model: Any) -> Made:
    """A module with `encode` and `decode`, or with an encoder, two heads and a decoder."""
    encode = _encoder_of(model)
    arguments: dict[str, Any] = {
        "encode": encode,
        "decode": model.decode if _has(model, "decode") else model.decoder,
        "modules": [model],
    }
    notes = {
        "likelihood": "A module does not say which p(x|z) it means: of(model, "
        'likelihood="gaussian"), or "bernoulli" where decode returns logits.'
    }
    for name in ("reparameterize", "reparametrize"):
        if _has(model, name):
            arguments["draw"] = _drawn_by(getattr(model, name), encode)
    loss = _loss_of(model)
    if loss is None:
        notes["loss"] = "Where the loss is computed is not known: of(model, loss=lambda x: …)."
    else:
        arguments["loss"] = loss
    if _has(model, *EXAMPLE):
        del notes["likelihood"]
        arguments |= {"likelihood": "bernoulli", "decode": lambda z: _logits(model.decode(z))}
    return Made(arguments, notes)


def _drawn_by(draw: Callable, encode: Callable) -> Callable[[Tensor], Tensor]:
    return lambda x: draw(*encode(x)[:2])


def _encoder_of(model: Any) -> Callable[[Tensor], Any]:
    """From images to a mean and a log-variance; TypeError where no name tells how."""
    if _loss_function(model) is not None and not _is_a(model, "LightningModule"):
        return lambda x: model(x)[1:3]  # forward knows how images become vectors
    if _has(model, "encode"):
        return model.encode
    for heads in HEADS:
        if _has(model, "encoder", *heads):
            return _with_heads(model, *heads)
    raise TypeError(
        f"no adapter finds the mean and the log-variance of a {type(model).__name__}: give it a "
        "method encode(x) that returns both"
    )


def _with_heads(model: Any, mean: str, log_variance: str) -> Callable[[Tensor], Any]:
    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = model.encoder(x)
        return getattr(model, mean)(hidden), getattr(model, log_variance)(hidden)

    return encode


def _loss_of(model: Any) -> Callable[[Tensor], Tensor] | None:
    if _is_a(model, "LightningModule"):
        return lambda x: _training_step(model, x)
    function = _loss_function(model)
    if function is None:
        return None

    def loss(x: Tensor) -> Tensor:
        decoded, mean, log_variance = model(x)
        return function(decoded, x, mean, log_variance)

    return loss


def _loss_function(model: Any) -> Callable | None:
    """The `loss_function(decoded, x, mean, log_variance)` beside a model's class, if any."""
    found = getattr(sys.modules.get(type(model).__module__), "loss_function", None)
    if callable(found) and len(inspect.signature(found).parameters) == 4:
        return found
    return None


def _training_step(model: Any, x: Tensor) -> Tensor:
    """The loss of a Lightning module on images: as (images, labels) if it takes these, else bare.

    Nothing is logged.
    """
    labels = torch.zeros(len(x), dtype=torch.long, device=x.device)
    with _without_logging(model):
        try:
            answer = model.training_step((x, labels), 0)
        except (TypeError, AttributeError):  # it took the pair for images
            answer = model.training_step(x, 0)
    return answer["loss"] if isinstance(answer, Mapping) else answer


@contextmanager
def _without_logging(model: Any) -> Iterator[None]:
    """Lightning logs only inside of a fit, and raises outside."""
    silenced = {name: lambda *_, **__: None for name in ("log", "log_dict")}
    before = {name: vars(model)[name] for name in silenced if name in vars(model)}
    vars(model).update(silenced)
    try:
        yield
    finally:
        for name in silenced:
            del vars(model)[name]
        vars(model).update(before)


ADAPTERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Made]], ...] = (
    (_is_pythae, _of_pythae),
    (_is_scvi, _of_scvi),
    (_is_autoencoder_kl, _of_autoencoder_kl),
    (_is_own, _of_own),
)


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
