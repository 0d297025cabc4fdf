"""Log p(y|x) of images whose other part is known: exact, beside a regressor.

Of one image x is here the part that is seen, and y the part that is hidden. A pair (x, y) is one
row (condition + event,), x first; where a class is the condition, x is its one-hot code.
"""

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from vae_tutorial import require
from vae_tutorial.evaluation import exact_bound, exact_log_evidence
from vae_tutorial.likelihoods import GaussianPixels, InputVariance, Likelihood, PixelVariance
from vae_tutorial.models import VAE, DiagonalEncoder, DiagonalPosterior, Encoder


class Evidence(NamedTuple):
    """log p(y|x) of pairs, and how far it may be off: (batch,) each, in nats."""

    log_evidence: Tensor
    error: Tensor


class VarianceSplit(NamedTuple):
    """The mean of y given x and its variance in two parts, each (batch, pixels)."""

    mean: Tensor  # E[y|x]
    within: Tensor  # E[Var(y|x, z)], squared pixels: the noise that each z leaves
    between: Tensor  # Var(E[y|x, z]), squared pixels: how far the images of different z differ


def pairs_of(images: Tensor, seen: Tensor) -> Tensor:
    """Images (batch, pixels) as pairs (x, y): the pixels where `seen` (pixels,) is true come first.

    >>> pairs_of(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([False, True, False]))
    tensor([[2., 1., 3.]])
    """
    return torch.cat([images[..., seen], images[..., ~seen]], -1)


def images_of(pairs: Tensor, seen: Tensor) -> Tensor:
    """The images (batch, pixels) whose `pairs_of` are these: every pixel back in its place.

    >>> images_of(torch.tensor([[2.0, 1.0, 3.0]]), torch.tensor([False, True, False]))
    tensor([[1., 2., 3.]])
    """
    order = torch.cat([seen.nonzero(), (~seen).nonzero()]).squeeze(-1)  # (pixels,)
    return pairs[..., order.argsort()]


class _Chosen(nn.Module):
    """A decoder of which only the chosen pixels (pixels,) are read."""

    def __init__(self, decoder: nn.Module, chosen: Tensor):
        super().__init__()
        self.decoder, self.chosen = decoder, chosen

    def forward(self, z: Tensor) -> Tensor:
        return self.decoder(z)[..., self.chosen]  # (..., chosen)


class _Given(nn.Module):
    """A network of two inputs, (values, x) in this order, with x (condition,) held."""

    def __init__(self, network: nn.Module, x: Tensor):
        super().__init__()
        self.network, self.x = network, x

    def forward(self, values: Tensor) -> Tensor:
        held = self.x.expand(*values.shape[:-1], -1)  # (..., condition)
        return self.network(torch.cat([values, held], -1))


def marginal(model: VAE, chosen: Tensor) -> VAE:
    """The model of some pixels alone: the same latents, and a decoder without the other pixels.

    `chosen` is (pixels,), true or false. Given z, pixels are independent, so the others integrate
    to one. The encoder is the whole image's and cannot read a part. Raises ValueError unless there
    is a choice for each pixel of the decoder, and TypeError where pixels have variances of their
    own. Book: eq-ratio.

    >>> from vae_tutorial.pretrained import two_latents
    >>> left = torch.arange(64) % 8 < 4
    >>> tuple(marginal(two_latents(), left).decode(torch.zeros(1, 2, dtype=torch.float64)).shape)
    (1, 32)
    """
    likelihood = model.likelihood
    if isinstance(likelihood, GaussianPixels) and isinstance(
        likelihood.variance, PixelVariance | InputVariance
    ):
        raise TypeError("a part of the pixels needs one variance for all of them")
    if chosen.dtype != torch.bool or chosen.shape != (model.encoder.width,) or not chosen.any():
        seen = f"got {tuple(chosen.shape)} in {chosen.dtype}, {int(chosen.sum())} of them true"
        raise ValueError(f"chosen must be ({model.encoder.width},) in torch.bool, {seen}")
    return VAE(model.encoder, _Chosen(model.decoder, chosen), likelihood)


def conditional_evidence(
    model: VAE, images: Tensor, seen: Tensor, tolerance: float = 1e-4
) -> Evidence:
    """log p(y|x) = log p(x, y) − log p(x) of a model of whole images, without training.

    images (batch, pixels); x are the pixels where `seen` (pixels,) is true, y the others. Both
    integrals have errors, which add. Raises as `exact_log_evidence` and `marginal` do.
    Book: eq-ratio.

    >>> from vae_tutorial.data import load_digits
    >>> from vae_tutorial.pretrained import two_latents
    >>> image, column = load_digits(torch.float64).test[:1], torch.arange(64) % 8 == 3
    >>> print(f"{conditional_evidence(two_latents(), image, column).log_evidence.item():.2f} nats")
    17.73 nats
    """
    joint = exact_log_evidence(model, images, tolerance)
    alone = exact_log_evidence(marginal(model, seen), images[:, seen], tolerance)
    return Evidence(joint.log_evidence - alone.log_evidence, joint.error + alone.error)


@require.shapes(mean="n pixels", variance="...: positive", log_mass="n batch")
def variance_split(mean: Tensor, variance: Tensor, log_mass: Tensor) -> VarianceSplit:
    """The mean and the variance of y over n values of z: the law of total variance.

    mean (n, pixels) is E[y|x, z], variance () or (n, pixels) is Var(y|x, z), and log_mass
    (n, batch) is the log of each z's share in p(z|x), which is rescaled to sum to one.
    Source: Blitzstein & Hwang 2019, section 9.5. Book: eq-total-variance.

    >>> two = torch.tensor([[0.0], [1.0]])  # two images of one pixel, equally likely
    >>> split = variance_split(two, torch.tensor(0.1), torch.zeros(2, 1))
    >>> [round(part.item(), 4) for part in split]
    [0.5, 0.1, 0.25]
    """
    share = log_mass.softmax(0).mT  # (batch, n)
    middle = mean.mean(0)  # (pixels,), taken off, so that no digits cancel in the squares
    apart = mean - middle  # (n, pixels)
    shift = share @ apart  # (batch, pixels)
    between = (share @ apart.square() - shift.square()).clamp(min=0)
    return VarianceSplit(middle + shift, share @ variance.expand_as(mean), between)


@require.shapes(squared_error="...: positive", pixels="count")
def regressor_evidence(squared_error: Tensor, pixels: int) -> Tensor:
    """The average log p(y|x) of a regressor that states the best σ² for its errors, in nats.

    squared_error (...) is the mean over images and pixels, to (...). No other σ² gives more, so
    the squared error alone says what such a regressor is worth.
    Source: Bishop 2006, eq. 3.21. Book: eq-regressor-evidence.

    >>> print(f"{regressor_evidence(torch.tensor(1.0), 2):.4f}")  # −log 2πe
    -2.8379
    """
    return -0.5 * pixels * (2 * math.pi * math.e * squared_error).log()


class ConditionalVAE(VAE):
    """A VAE of y for each x: q(z|x, y), a decoder f(z, x), and p(z) = N(0, I) whatever x is.

    It reads pairs (batch, condition + event). The decoder's input is z, then x. For one x, `given`
    makes an ordinary VAE of it. Source: Sohn et al. 2015. Book: eq-conditional-bound.

    >>> from vae_tutorial.likelihoods import SharedVariance
    >>> from vae_tutorial.models import network
    >>> weights = torch.Generator().manual_seed(0)
    >>> encoder, decoder = DiagonalEncoder(64, 32, 2, weights), network([10, 32, 56], weights)
    >>> model = ConditionalVAE(encoder, decoder, GaussianPixels(SharedVariance(0.1)), 8)
    >>> [tuple(term.shape) for term in model(torch.zeros(5, 64), torch.zeros(3, 5, 2))]
    [(5,), (5,), (5,)]
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood, condition: int
    ):
        require.count("condition", condition)
        super().__init__(cast(Encoder, encoder), decoder, likelihood)
        self.condition = condition

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(y|x, z): each pair (batch, condition + event) at K latents (K, batch, latent).

        Returns (K, batch), in nats.
        """
        pairs = x.expand(*z.shape[:-1], -1)  # (K, batch, condition + event)
        condition, event = pairs.tensor_split([self.condition], -1)
        decoded = self.decoder(torch.cat([z, condition], -1))  # (K, batch, event)
        return self.likelihood.log_density(event, decoded, z)  # (K, batch)

    def decode(self, z: Tensor) -> Tensor:
        """Raise TypeError: what z decodes to depends on x, and `given(model, x)` knows it."""
        raise TypeError("the decoder needs x beside z: use given(model, x).decode(z)")


def given(model: ConditionalVAE, x: Tensor) -> VAE:
    """The VAE of y that a conditional VAE is for one x (condition,): all that VAEs can is possible.

    Its encoder is the conditional model's, which reads pairs: where q is needed, ask the model.
    Book: eq-conditional-bound.
    """
    require.event("x", x, model.condition)
    if x.ndim != 1:
        raise ValueError(f"x must be one condition ({model.condition},), got {tuple(x.shape)}")
    return VAE(model.encoder, _Given(model.decoder, x), model.likelihood)


def exact_conditional_evidence(
    model: ConditionalVAE, pairs: Tensor, tolerance: float = 1e-4
) -> Evidence:
    """log p(y|x) of pairs (batch, condition + event) under a conditional VAE, by quadrature.

    Pairs of the same x share a mesh. Raises as `exact_log_evidence` does.
    Book: eq-conditional-bound.
    """
    x, y = pairs.tensor_split([model.condition], -1)
    conditions, which = x.unique(dim=0, return_inverse=True)  # (conditions, condition), (batch,)
    found, error = (pairs.new_empty(len(pairs)) for _ in range(2))
    for number, condition in enumerate(conditions):
        mine = which == number  # (batch,)
        exact = exact_log_evidence(given(model, condition), y[mine], tolerance)
        found[mine], error[mine] = exact.log_evidence, exact.error
    return Evidence(found, error)


def leak(model: ConditionalVAE, pairs: Tensor, log_evidence: Tensor) -> Tensor:
    """The nats by which E_q[log p(y|x, z)] exceeds log p(y|x), z drawn from q(z|x, y): (batch,).

    That q has read the y that it is scored on. The leak is KL(q ‖ p(z)) less the bound's gap.
    Book: eq-leak.
    """
    posterior = model.encoder(pairs)
    bound = exact_bound(model, pairs, posterior)
    return bound.elbo + posterior.kl_to_prior() - log_evidence  # (batch,)


class _Silent(nn.Module):
    """An encoder that answers N(0, 1) to everything: one latent, which nobody reads."""

    def __init__(self, width: int):
        super().__init__()
        self.width, self.latent = width, 1

    def forward(self, pairs: Tensor) -> DiagonalPosterior:
        nothing = torch.zeros_like(pairs[..., :1])  # (batch, 1)
        return DiagonalPosterior(nothing, nothing)


class _Deaf(nn.Module):
    """A decoder that hears x and not z."""

    def __init__(self, network: nn.Module, condition: int):
        super().__init__()
        self.network, self.condition = network, condition

    def forward(self, latent_and_x: Tensor) -> Tensor:
        return self.network(latent_and_x[..., -self.condition :])


def regressor(network: nn.Sequential, likelihood: Likelihood) -> ConditionalVAE:
    """y = network(x) and noise: the conditional VAE whose decoder does not listen to z.

    Its bound is log p(y|x), because q is the prior and the decoder the same for every z; so it is
    trained and scored as any conditional VAE. Book: eq-regressor-evidence.
    """
    first, last = cast(nn.Linear, network[0]), cast(nn.Linear, network[-1])
    encoder = _Silent(first.in_features + last.out_features)
    decoder = _Deaf(network, first.in_features)
    return ConditionalVAE(encoder, decoder, likelihood, first.in_features)


class _AbsorbedDecoder(nn.Module):
    """f(m(x) + s(x) z, x), for a conditional prior N(m(x), s(x)²)."""

    def __init__(self, decoder: nn.Module, prior: DiagonalEncoder):
        super().__init__()
        self.decoder, self.prior = decoder, prior

    def forward(self, latent_and_x: Tensor) -> Tensor:
        z, x = latent_and_x.tensor_split([self.prior.latent], -1)
        moved = self.prior(x).draw(z)  # m(x) + s(x) z
        return self.decoder(torch.cat([moved, x], -1))


class _AbsorbedEncoder(nn.Module):
    """q(z|x, y) in the coordinates (z − m(x)) / s(x)."""

    def __init__(self, encoder: Encoder, prior: DiagonalEncoder):
        super().__init__()
        self.encoder, self.prior = encoder, prior
        self.width, self.latent = encoder.width, encoder.latent

    def forward(self, pairs: Tensor) -> DiagonalPosterior:
        posterior, prior = self.encoder(pairs), self.prior(pairs[..., : self.prior.width])
        mean = (posterior.mean - prior.mean) * (-0.5 * prior.log_variance).exp()
        return DiagonalPosterior(mean, posterior.log_variance - prior.log_variance)


def absorbed(model: ConditionalVAE, prior: DiagonalEncoder) -> ConditionalVAE:
    """The conditional VAE with p(z) = N(0, I) that equals `model` with p(z|x) = N(m(x), s(x)²).

    `prior` maps x (batch, condition) to m(x) and log s(x)². Densities of y, bounds and draws are
    those of the model that the learned prior belongs to. Book: eq-absorb.
    """
    decoder = _AbsorbedDecoder(model.decoder, prior)
    encoder = _AbsorbedEncoder(model.encoder, prior)
    return ConditionalVAE(encoder, decoder, model.likelihood, model.condition)
