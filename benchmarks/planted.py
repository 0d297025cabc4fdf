"""Mistakes as people make them, planted in a VAE that is written from scratch and then trained.

`PLANTED` is a name → a function of a seed that trains the model and gives the arguments of `audit`;
`OWN` says which findings are that mistake's own, and what the best of them can say. A mistake that
has none is invisible: it leaves no trace in what was given. Each training takes about a second.
The numbers of questions are those of the book's list of readers' questions.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from vae_tutorial.audit import Verdict
from vae_tutorial.data import load_digits

PIXELS, LATENT, HIDDEN = 64, 8, 64
SIGMA = 0.15  # of the pixels, of which the largest is 1
EPOCHS, BATCH, LEARNING_RATE = 25, 100, 0.003
BYTE = 255  # the largest pixel of an image in bytes

Arguments = dict[str, Any]  # of audit
Plant = Callable[[int], Arguments]
Loss = Callable[[Any, Tensor], Tensor]  # a model and images (batch, 64) to a scalar
Score = Callable[[Tensor, Any], Tensor]  # images and what was decoded to log p(x|z), (…, batch)


class Own(NamedTuple):
    """The findings that a mistake is known by, and the strongest verdict that they have for it."""

    checks: tuple[str, ...]
    verdict: Verdict


PLANTED: dict[str, Plant] = {}
OWN: dict[str, Own] = {}


def mistake(*checks: str, best: Verdict = Verdict.WRONG) -> Callable[[Plant], Plant]:
    """Put a function into PLANTED, by its name, with the checks that should find its mistake."""

    def listed(plant: Plant) -> Plant:
        PLANTED[plant.__name__], OWN[plant.__name__] = plant, Own(checks, best)
        return plant

    return listed


# A VAE as a user writes it


class Vae(nn.Module):
    """64 pixels, one hidden layer each way, and a diagonal Gaussian q."""

    def __init__(
        self, latent: int = LATENT, hidden: int = HIDDEN, activation: type[nn.Module] = nn.Tanh
    ):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(PIXELS, hidden), activation())
        self.to_mean, self.to_log_variance = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), activation(), nn.Linear(hidden, PIXELS)
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (batch, 64) to mean and log-variance of q, (batch, latent) each."""
        features = self.body(x)
        return self.to_mean(features), self.to_log_variance(features)

    def reparameterize(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """A draw of q, (batch, latent)."""
        return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)

    def draw(self, x: Tensor) -> Tensor:
        """A draw of q(z|x) for images (batch, 64)."""
        return self.reparameterize(*self.encode(x))

    def decode(self, z: Tensor) -> Any:
        """Latents to means or logits of pixels, (batch, 64)."""
        return self.decoder(z)


def kl_of(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q ‖ N(0, I)) of each image, (batch,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)


def terms(model: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Squared error and KL of each image, (batch,) each, at a draw of q."""
    mean, log_variance = model.encode(x)
    pictures = model.decode(model.reparameterize(mean, log_variance))
    return (x - pictures).square().sum(-1), kl_of(mean, log_variance)


def gaussian_loss(model: Any, x: Tensor, sigma: float = SIGMA, kl_weight: float = 1.0) -> Tensor:
    """−ELBO of a Gaussian decoder without its constants, an average over the batch."""
    squares, kl = terms(model, x)
    return (squares / (2 * sigma**2) + kl_weight * kl).mean()


def cross_entropy_loss(model: Any, x: Tensor, kl_weight: float = 1.0) -> Tensor:
    """−ELBO of a Bernoulli decoder of logits, an average over the batch."""
    mean, log_variance = model.encode(x)
    logits = model.decode(model.reparameterize(mean, log_variance))
    entropy = functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    return (entropy + kl_weight * kl_of(mean, log_variance)).mean()


def fit(model: nn.Module, loss: Loss, x: Tensor, epochs: int, learning_rate: float) -> None:
    """Adam over shuffled batches of 100 images."""
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    for _ in range(epochs):
        for batch in x[torch.randperm(len(x))].split(BATCH):
            optimiser.zero_grad()
            loss(model, batch).backward()
            optimiser.step()


def grey() -> tuple[Tensor, Tensor]:
    """Digits in [0, 1], to train on and to hold out: (1500, 64) and (297, 64)."""
    digits = load_digits()
    return digits.train, digits.test


def binary() -> tuple[Tensor, Tensor]:
    """Digits whose pixels are 0 or 1, to train on and to hold out."""
    train, test = grey()
    return (train > 0.5).float(), (test > 0.5).float()


def trained(
    seed: int,
    minimised: Loss = gaussian_loss,
    make: Callable[[], Any] = Vae,
    images: tuple[Tensor, Tensor] | None = None,
    epochs: int = EPOCHS,
    learning_rate: float = LEARNING_RATE,
    **stated: Any,
) -> Arguments:
    """A model trained from a seed, and the arguments of `audit` for it; `stated` replaces some."""
    train, test = grey() if images is None else images
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make()
        fit(model, minimised, train, epochs, learning_rate)
    given = {
        "x": train, "held_out": test, "encode": model.encode, "decode": model.decode,
        "draw": model.draw, "loss": partial(minimised, model), "likelihood": SIGMA,
    }  # fmt: skip
    return given | stated


# The images and the likelihood


@mistake("grey pixels", best=Verdict.LOOK)
def grey_cross_entropy(seed: int) -> Arguments:
    """Cross-entropy of pixels that are grey (question 4)."""
    return trained(seed, cross_entropy_loss, likelihood="bernoulli")


@mistake("support")
def pixels_below_zero(seed: int) -> Arguments:
    """Cross-entropy of pixels that were scaled to [−1, 1]."""
    train, test = grey()
    images = (2 * train - 1, 2 * test - 1)
    return trained(seed, cross_entropy_loss, images=images, likelihood="bernoulli")


class SigmoidTwice(Vae):
    """The decoder ends with a sigmoid, and the loss takes another."""

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z).sigmoid()


@mistake("logits")
def sigmoid_twice(seed: int) -> Arguments:
    """Probabilities in the place of logits (question 21)."""
    return trained(seed, cross_entropy_loss, SigmoidTwice, images=binary(), likelihood="bernoulli")


@mistake("saturation", best=Verdict.LOOK)
def logits_sharpened_for_pictures(seed: int) -> Arguments:
    """Logits over a temperature of 0.1: probabilities are 0 or 1 (question 21)."""
    given = trained(seed, cross_entropy_loss, images=binary(), likelihood="bernoulli")
    model = given["encode"].__self__
    return given | {"decode": lambda z: model.decode(z) / 0.1}


@mistake("decoded means", "exchange rate", best=Verdict.LOOK)
def logits_shown_as_pixels(seed: int) -> Arguments:
    """A model of logits whose sigmoid is forgotten: its pictures are said to be pixels."""
    return trained(seed, cross_entropy_loss, likelihood="gaussian", loss=None)


@mistake("scale")
def bytes_as_pixels(seed: int) -> Arguments:
    """Pixels from 0 to 255, not divided by 255."""
    train, test = grey()
    loss = partial(gaussian_loss, sigma=BYTE * SIGMA)
    return trained(seed, loss, images=(BYTE * train, BYTE * test), likelihood=BYTE * SIGMA)


@mistake("encoder", "decoded means", "copies", "decoder noise", best=Verdict.LOOK)
def other_scale_than_in_training(seed: int) -> Arguments:
    """Images that are standardized, shown to a model that was trained on [0, 1]."""
    train, test = grey()
    mean, deviation = train.mean(), train.std()
    return trained(
        seed, x=(train - mean) / deviation, held_out=(test - mean) / deviation, loss=None
    )


@mistake("likelihood")
def log_sigma_left_out(seed: int) -> Arguments:
    """Noise that grows with the brightness of a pixel, without the log σ that belongs to it."""

    def score(x: Tensor, pictures: Tensor) -> Tensor:
        sigma = 0.1 + 0.2 * pictures.abs()
        return -0.5 * ((x - pictures) / sigma).square().sum(-1)

    def loss(model: Any, x: Tensor) -> Tensor:
        mean, log_variance = model.encode(x)
        pictures = model.decode(model.reparameterize(mean, log_variance))
        return (kl_of(mean, log_variance) - score(x, pictures)).mean()

    return trained(seed, loss, likelihood=score)


@mistake("decoder noise", "rate", best=Verdict.LOOK)
def sigma_of_one(seed: int) -> Arguments:
    """Half the squared error, so σ = 1, of pixels in [0, 1]: every output is the same (3, 17)."""
    return trained(seed, partial(gaussian_loss, sigma=1.0), likelihood=1.0)


class LearnedSigma(Vae):
    """A Gaussian decoder with one σ for all pixels, which is learned."""

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.log_sigma = nn.Parameter(torch.zeros(()))

    def decode(self, z: Tensor) -> Normal:
        return Normal(self.decoder(z), self.log_sigma.exp())


def likelihood_loss(model: Any, x: Tensor) -> Tensor:
    """−ELBO of a decoder that gives a distribution, an average over the batch."""
    mean, log_variance = model.encode(x)
    score = model.decode(model.reparameterize(mean, log_variance)).log_prob(x).sum(-1)
    return (kl_of(mean, log_variance) - score).mean()


@mistake("decoder noise", best=Verdict.LOOK)
def sigma_that_is_not_optimised(seed: int) -> Arguments:
    """A learned σ that the optimiser was not given: it stays where it began (question 17)."""

    def make() -> LearnedSigma:
        model = LearnedSigma()
        model.log_sigma.requires_grad_(False)
        return model

    return trained(seed, likelihood_loss, make, likelihood=None)


class SigmaOfAPixel(Vae):
    """A Gaussian decoder with a σ for each pixel, which is learned and has no floor."""

    def __init__(self):
        super().__init__()
        self.log_sigma = nn.Parameter(torch.zeros(PIXELS))

    def decode(self, z: Tensor) -> Normal:
        return Normal(self.decoder(z), self.log_sigma.exp())


@mistake("constant pixels", best=Verdict.LOOK)
def sigma_of_a_pixel_that_never_changes(seed: int) -> Arguments:
    """log p(x) that grows without end, by pixels that are the same in all images."""
    return trained(
        seed, likelihood_loss, SigmaOfAPixel, epochs=60, learning_rate=0.005, likelihood=None
    )


# How z is drawn


class VarianceAsDeviation(Vae):
    """exp(log σ²) is used as σ."""

    def reparameterize(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        return mean + log_variance.exp() * torch.randn_like(mean)


@mistake("draws")
def variance_as_deviation(seed: int) -> Arguments:
    """The variance is used as the deviation (question 7)."""
    return trained(seed, make=VarianceAsDeviation)


class SmallNoise(Vae):
    """Noise of deviation 0.01."""

    def reparameterize(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        return mean + (0.5 * log_variance).exp() * 0.01 * torch.randn_like(mean)


@mistake("draws")
def small_noise(seed: int) -> Arguments:
    """Noise of a hundredth: is it a VAE at all?"""
    return trained(seed, make=SmallNoise)


class UniformNoise(Vae):
    """rand for randn."""

    def reparameterize(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        return mean + (0.5 * log_variance).exp() * torch.rand_like(mean)


@mistake("draws")
def uniform_noise(seed: int) -> Arguments:
    """Uniform noise in the place of normal noise."""
    return trained(seed, make=UniformNoise)


class SharedNoise(Vae):
    """One noise for all images of a batch."""

    def reparameterize(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        return mean + (0.5 * log_variance).exp() * torch.randn(mean.shape[-1])


@mistake("draws")
def one_noise_for_a_batch(seed: int) -> Arguments:
    """A draw of the size of one latent, which a whole batch shares."""
    return trained(seed, make=SharedNoise)


class Sampled(Vae):
    """sample, which passes no gradient, in the place of rsample."""

    def reparameterize(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        return Normal(mean, (0.5 * log_variance).exp()).sample()


@mistake("gradient", "gradients")
def sample_not_rsample(seed: int) -> Arguments:
    """A draw without a gradient (question 14)."""
    return trained(seed, make=Sampled)


class Turned(Vae):
    """A full covariance, whose Cholesky factor is transposed in the draw."""

    def __init__(self):
        super().__init__()
        self.to_factor = nn.Linear(HIDDEN, LATENT**2)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = super().encode(x)
        factor = self.to_factor(self.body(x)).reshape(-1, LATENT, LATENT).tril(-1)
        return mean, factor + (0.5 * log_variance).exp().diag_embed()

    def reparameterize(self, mean: Tensor, factor: Tensor) -> Tensor:
        return mean + torch.einsum("bji,bj->bi", factor, torch.randn_like(mean))


@mistake("draws")
def transposed_cholesky(seed: int) -> Arguments:
    """Draws with the covariance Lᵀ L in the place of L Lᵀ (question 24)."""

    def loss(model: Any, x: Tensor) -> Tensor:
        mean, factor = model.encode(x)
        squares = (x - model.decode(model.reparameterize(mean, factor))).square().sum(-1)
        volume = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        size = factor.square().sum((-2, -1)) + mean.square().sum(-1) - LATENT
        return (squares / (2 * SIGMA**2) + 0.5 * size - volume).mean()

    return trained(seed, loss, Turned)


class Dropping(Vae):
    """Dropout that is never switched off."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = functional.dropout(self.body(x), 0.2)
        return self.to_mean(features), self.to_log_variance(features)


@mistake("repeats")
def dropout_when_tested(seed: int) -> Arguments:
    """functional.dropout without training=self.training."""
    return trained(seed, make=Dropping)


class OfTheBatch(Vae):
    """Batch normalisation that keeps no statistics, so that it needs those of the batch."""

    def __init__(self):
        super().__init__()
        self.body.append(nn.BatchNorm1d(HIDDEN, track_running_stats=False))


@mistake("repeats")
def statistics_of_the_batch(seed: int) -> Arguments:
    """A code that depends on the other images of the batch."""
    return trained(seed, make=OfTheBatch)


@mistake("repeats")
def a_draw_for_the_mean(seed: int) -> Arguments:
    """An encode that returns z where its mean is expected."""
    given = trained(seed)
    model = given["encode"].__self__
    return given | {"encode": lambda x: (model.draw(x), model.encode(x)[1])}


# The loss


@mistake("exchange rate")
def mean_over_pixels(seed: int) -> Arguments:
    """torch's mean squared error, which is a mean over pixels, beside a summed KL (question 1)."""

    def loss(model: Any, x: Tensor) -> Tensor:
        mean, log_variance = model.encode(x)
        pictures = model.decode(model.reparameterize(mean, log_variance))
        return functional.mse_loss(pictures, x) + kl_of(mean, log_variance).mean()

    return trained(seed, loss, likelihood="gaussian")


@mistake("reduction")
def sum_and_mean_over_the_batch(seed: int) -> Arguments:
    """An error summed over the batch beside a KL averaged over it (question 22)."""

    def loss(model: Any, x: Tensor) -> Tensor:
        squares, kl = terms(model, x)
        return squares.sum() / (2 * SIGMA**2) + kl.mean()

    return trained(seed, loss)


@mistake("exchange rate")
def kl_weight_of_another_image_size(seed: int) -> Arguments:
    """A mean over pixels and a KL weight of 0.00025, under a stated σ of 1 (question 2)."""

    def loss(model: Any, x: Tensor) -> Tensor:
        squares, kl = terms(model, x)
        return (squares / PIXELS + 0.00025 * kl).mean()

    return trained(seed, loss, likelihood=1.0)


@mistake("exchange rate", "units", best=Verdict.LOOK)
def kl_that_hardly_weighs(seed: int) -> Arguments:
    """Good copies and bad samples: a KL weight of a millionth (question 11)."""

    def loss(model: Any, x: Tensor) -> Tensor:
        squares, kl = terms(model, x)
        return (squares + 1e-6 * kl).mean()

    return trained(seed, loss, likelihood="gaussian")


@mistake("exchange rate")
def kl_that_weighs_too_much(seed: int) -> Arguments:
    """β = 50, of which the likelihood that is stated knows nothing."""
    return trained(seed, partial(gaussian_loss, kl_weight=50.0))


@mistake("exchange rate")
def kl_averaged_over_latents(seed: int) -> Arguments:
    """torch's mean over images and latents, in the place of a sum over latents."""

    def loss(model: Any, x: Tensor) -> Tensor:
        squares, kl = terms(model, x)
        return (squares / (2 * SIGMA**2) + kl / LATENT).mean()

    return trained(seed, loss)


@mistake("exchange rate")
def sign_of_the_kl(seed: int) -> Arguments:
    """The KL is rewarded (question 5); stopped before its numbers overflow."""
    return trained(seed, partial(gaussian_loss, kl_weight=-1.0), epochs=3)


@mistake("KL")
def squared_log_deviation(seed: int) -> Arguments:
    """(log σ)² in the place of 2 log σ (question 6)."""

    def loss(model: Any, x: Tensor) -> Tensor:
        mean, log_variance = model.encode(x)
        squares, _ = terms(model, x)
        rest = mean.square() + log_variance.exp() - 1 - (0.5 * log_variance).square()
        return (squares / (2 * SIGMA**2) + 0.5 * rest.sum(-1)).mean()

    return trained(seed, loss)


@mistake("loss's draw")
def the_mean_is_decoded(seed: int) -> Arguments:
    """The loss decodes the mean and never draws (question 13)."""

    def loss(model: Any, x: Tensor) -> Tensor:
        mean, log_variance = model.encode(x)
        squares = (x - model.decode(mean)).square().sum(-1)
        return (squares / (2 * SIGMA**2) + kl_of(mean, log_variance)).mean()

    return trained(seed, loss)


@mistake("gradients")
def kl_is_only_printed(seed: int) -> Arguments:
    """A KL that has a value and no gradient."""

    def loss(model: Any, x: Tensor) -> Tensor:
        squares, kl = terms(model, x)
        return squares.mean() / (2 * SIGMA**2) + kl.mean().item()

    return trained(seed, loss)


@mistake("dead parameters")
def decoder_under_no_grad(seed: int) -> Arguments:
    """An error that is computed under no_grad: nothing but the KL is learned."""

    def loss(model: Any, x: Tensor) -> Tensor:
        mean, log_variance = model.encode(x)
        with torch.no_grad():
            squares, _ = terms(model, x)
        return (squares / (2 * SIGMA**2) + kl_of(mean, log_variance)).mean()

    return trained(seed, loss)


@mistake("exchange rate")
def kl_weight_is_never_used(seed: int) -> Arguments:
    """A weight that is an argument and multiplies nothing: the KL is not in the loss."""

    def loss(model: Any, x: Tensor, kl_weight: float = 1.0) -> Tensor:
        squares, _ = terms(model, x)
        return squares.mean() / (2 * SIGMA**2)

    return trained(seed, loss)


@mistake("exchange rate", best=Verdict.LOOK)
def warm_up_that_never_arrives(seed: int) -> Arguments:
    """A KL weight that rises by a ten-thousandth a step, and training ends before it is 1."""
    last = EPOCHS * 15 / 10_000  # 15 steps an epoch
    loss = partial(cross_entropy_loss, kl_weight=last)
    return trained(seed, loss, images=binary(), likelihood="bernoulli")


@torch.no_grad()
def features(images: Tensor) -> Tensor:
    """What a perceptual distance sees: fixed, and not linear in the pixels."""
    generator = torch.Generator().manual_seed(9)
    return (images @ torch.randn(PIXELS, 32, generator=generator)).relu()


@mistake("gradients")
def perceptual_term_without_gradient(seed: int) -> Arguments:
    """A perceptual distance inside no_grad: it is in the loss and teaches nothing."""

    def loss(model: Any, x: Tensor) -> Tensor:
        mean, log_variance = model.encode(x)
        pictures = model.decode(model.reparameterize(mean, log_variance))
        seen = (features(pictures) - features(x)).square().sum(-1)
        squares = (x - pictures).square().sum(-1)
        return (squares / (2 * SIGMA**2) + kl_of(mean, log_variance) + seen).mean()

    return trained(seed, loss)


def _divided_twice(model: Any, x: Tensor) -> Tensor:
    return gaussian_loss(model, x) / len(x)


@mistake("reduction", best=Verdict.LOOK)
def divided_by_the_batch_twice(seed: int) -> Arguments:
    """An average over the batch that is divided by the batch again (question 22)."""
    return trained(seed, _divided_twice)


@mistake()
def divided_by_the_batch_twice_unseen(seed: int) -> Arguments:
    """The same, where the loss is not given: Adam does not notice, and nor does anyone."""
    return trained(seed, _divided_twice, loss=None)


# The encoder and the codes


class Rectified(Vae):
    """A ReLU on the log-variance."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = super().encode(x)
        return mean, log_variance.relu()


@mistake("log-variances", best=Verdict.LOOK)
def rectified_log_variance(seed: int) -> Arguments:
    """A ReLU that keeps every σ at 1 or more (question 9)."""
    return trained(seed, make=Rectified)


@mistake("rate", "encoder gap", best=Verdict.LOOK)
def encoder_that_is_not_optimised(seed: int) -> Arguments:
    """An optimiser that was given the parameters of the decoder alone."""

    def make() -> Vae:
        model = Vae()
        for part in (model.body, model.to_mean, model.to_log_variance):
            part.requires_grad_(False)
        return model

    return trained(seed, make=make)


@mistake("exact gap", best=Verdict.LOOK)
def log_deviation_said_to_be_log_variance(seed: int) -> Arguments:
    """An encoder of two latents whose log σ is handed on as log σ²: q is too wide."""
    given = trained(seed, make=partial(Vae, latent=2), epochs=40)
    model = given["encode"].__self__

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = model.encode(x)
        return mean, 0.5 * log_variance

    return given | {"encode": encode, "draw": None, "loss": None}


@mistake("encoder")
def decoder_of_another_run(seed: int) -> Arguments:
    """Weights of two runs, an encoder of one and a decoder of the other."""
    given, other = trained(seed, epochs=10), trained(seed + 1000, epochs=10)
    return given | {"decode": other["decode"], "loss": None}


@mistake("latent scale", best=Verdict.LOOK)
def scale_of_another_model(seed: int) -> Arguments:
    """Codes that are multiplied by 0.18215, and decoded without undoing that."""
    given, factor = trained(seed), 0.18215
    model = given["encode"].__self__

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = model.encode(x)
        return factor * mean, log_variance + 2 * math.log(factor)

    return given | {"encode": encode, "draw": None, "loss": None}


@mistake("head-room", best=Verdict.LOOK)
def activations_beyond_float16(seed: int) -> Arguments:
    """Large activations, which the next layer's small weights undo; float32 does not mind."""
    given = trained(seed, make=partial(Vae, activation=nn.ReLU))
    decoder = given["decode"].__self__.decoder
    with torch.no_grad():  # a ReLU lets a factor pass
        for part in decoder[0].parameters():
            part.mul_(30_000)
        decoder[2].weight.div_(30_000)
    return given


# Estimates and data


def log_weights(model: Any, score: Score, x: Tensor, draws: int) -> Tensor:
    """log p(x, z) − log q(z|x) at draws of q, (draws, batch); score(x, decoded) is log p(x|z)."""
    with torch.no_grad():
        mean, log_variance = model.encode(x)
        q = Normal(mean, (0.5 * log_variance).exp())
        z = q.sample((draws,))  # (draws, batch, latent)
        prior = Normal(torch.zeros(()), torch.ones(()))
        return score(x, model.decode(z)) + (prior.log_prob(z) - q.log_prob(z)).sum(-1)


def gaussian_score(x: Tensor, pictures: Tensor, sigma: float = SIGMA) -> Tensor:
    """log p(x|z) of a Gaussian decoder, summed over pixels."""
    return Normal(pictures, torch.tensor(sigma)).log_prob(x).sum(-1)


def _estimated(seed: int, draws: int, estimate: Callable[[Tensor], Tensor]) -> Arguments:
    """A model of two latents, with an estimate that is made of log-weights (draws, batch)."""
    sigma = 0.3
    loss, score = (partial(each, sigma=sigma) for each in (gaussian_loss, gaussian_score))
    given = trained(seed, loss, partial(Vae, latent=2), epochs=40, likelihood=sigma)
    model = given["encode"].__self__
    return given | {"estimate": lambda x: estimate(log_weights(model, score, x, draws))}


@mistake("estimate")
def estimate_by_the_wrong_count(seed: int) -> Arguments:
    """A sum over 1,200 draws that is divided by 1,000, the number that was asked for."""
    return _estimated(seed, 1200, lambda weights: weights.logsumexp(0) - math.log(1000))


@mistake("estimate")
def estimate_with_its_sign_turned(seed: int) -> Arguments:
    """A negative log-likelihood under the name of a log-likelihood."""
    return _estimated(seed, 300, lambda weights: math.log(300) - weights.logsumexp(0))


@mistake("estimate", best=Verdict.LOOK)
def mean_of_the_logs(seed: int) -> Arguments:
    """A mean of logs where the log of a mean is meant (question 18)."""
    return _estimated(seed, 300, lambda weights: weights.mean(0))


@mistake("leak", best=Verdict.LOOK)
def tested_on_what_was_trained(seed: int) -> Arguments:
    """A fifth of the held-out images are among those that it was trained on."""
    train, test = grey()
    return trained(seed, held_out=torch.cat([train[: len(test) // 4], test]))


@mistake("overfitting", best=Verdict.LOOK)
def too_few_images(seed: int) -> Arguments:
    """A hundred images, seen very often."""
    train, test = grey()
    images = (train[:100], test)
    return trained(seed, images=images, epochs=300)
