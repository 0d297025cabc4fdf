"""The mistakes that people make with VAEs: each is one piece of a sound program, exchanged.

A program is a tuple of small pieces. A mistake changes one of them, in one line, and everything
else stays, the seed too: so what differs afterwards is due to the mistake. Mistakes that are made
when a sound model is *read* are a pair of lines, each a function of what was `Seen` of it.
"""

import copy
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vae_tutorial.bounds import evidence_lower_bound
from vae_tutorial.data import load_digits, minibatches, with_noise
from vae_tutorial.gaussians import (
    cholesky_factor,
    kl_between_full,
    kl_to_standard_normal,
    log_normal,
)
from vae_tutorial.likelihoods import bernoulli_log_likelihood
from vae_tutorial.linear import evidence_at_mean, most_likely_at, spectrum
from vae_tutorial.models import DiagonalPosterior, log_weight, network
from vae_tutorial.noise import generator, standard_normal
from vae_tutorial.reparameterization import draw_diagonal
from vae_tutorial.weights import importance_weighted_bound

VARIANCE = 0.15**2  # σ² of a pixel: a little above the mean squared error that training reaches
PIXELS, HIDDEN, LATENT = 64, 64, 8
EPOCHS, BATCH, LEARNING_RATE = 40, 100, 0.003
DRAWS = 1000  # of z for each test image, when a model is measured
AT_ONCE = 50  # of these that are decoded at once, in memory that is used again
DRAWN = generator(20).initial_seed()  # of these draws, the same for all models
REQUESTED, A_PASS = 1000, 300  # draws that were asked for, and those of one pass of a program
OTHER_SCALE = 0.18215  # the latent scale that goes with another model
HALF_LIMIT = 12.0  # a log-variance whose exponential is beyond float16
POSTERIOR_COVARIANCE = torch.tensor([[1.0, 0.9], [0.9, 1.0]])  # of the closed-form exhibit


class Pieces(NamedTuple):
    """A program that trains a VAE, in pieces; K draws of z for each image of a batch."""

    pixels: Callable[[Tensor], Tensor]  # grey images → images as they are fed
    log_variance: Callable[[Tensor], Tensor]  # the encoder's second output → log σ²
    deviation: Callable[[Tensor], Tensor]  # log σ² → σ of the draw
    noise: Callable[[Tensor], Tensor]  # N(0, I) → the noise that is used
    draw: Callable[[Tensor, Tensor, Tensor], Tensor]  # mean, σ, noise (K, …) → z (K, …)
    error: Callable[[Tensor, Tensor], Tensor]  # x, decoded (K, batch, …) → (K, batch), nats
    kl: Callable[[Tensor, Tensor], Tensor]  # mean, log σ² → (batch,), nats
    weight: Callable[[float], float]  # share of the training that is done → the KL's weight
    total: Callable[[Tensor, Tensor], Tensor]  # error and weighted KL → loss of each image
    reduce: Callable[[Tensor], Tensor]  # (batch,) → the scalar that is minimised
    latent: int = LATENT
    batch: int = BATCH
    draws: int = 1  # K
    epochs: int = EPOCHS


# The sound pieces


def as_scanned(x: Tensor) -> Tensor:
    """Grey pixels as they are."""
    return x


def black_or_white(x: Tensor) -> Tensor:
    """Pixels that are 0 or 1."""
    return (x > 0.5).to(x.dtype)


def as_it_comes(output: Tensor) -> Tensor:
    """The encoder's output, of any sign, is log σ²."""
    return output


def root_of_variance(log_variance: Tensor) -> Tensor:
    """σ is the exponential of half of log σ²."""
    return (0.5 * log_variance).exp()


def standard(noise: Tensor) -> Tensor:
    """The noise of N(0, I), one number a latent and image."""
    return noise


def reparameterized(mean: Tensor, deviation: Tensor, noise: Tensor) -> Tensor:
    """z as a function of the encoder's output, through which the gradient passes."""
    return mean + deviation * noise


def gaussian_error(x: Tensor, decoded: Tensor) -> Tensor:
    """−log p(x|z) without its constant: a sum over pixels, divided by 2σ²."""
    return (x - decoded).square().sum(-1) / (2 * VARIANCE)


def bernoulli_error(x: Tensor, logits: Tensor) -> Tensor:
    """−log p(x|z) of pixels by their logits, a sum over pixels."""
    return cross_entropy(logits, x)


def cross_entropy(logits: Tensor, x: Tensor) -> Tensor:
    """Cross-entropy of pixels (…, D) by logits, grey ones too: (…), in nats."""
    return (nn.functional.softplus(logits) - x * logits).sum(-1)


def closed_form(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z|x) ‖ N(0, I)), a sum over latents."""
    return kl_to_standard_normal(mean, log_variance)


def one(share: float) -> float:
    """The bound weighs its KL by one, always."""
    return 1.0


def both(error: Tensor, kl: Tensor) -> Tensor:
    """−ELBO: the error plus the KL."""
    return error + kl


def average(per_image: Tensor) -> Tensor:
    """An average over the images of a batch."""
    return per_image.mean()


SOUND = Pieces(
    as_scanned,
    as_it_comes,
    root_of_variance,
    standard,
    reparameterized,
    gaussian_error,
    closed_form,
    one,
    both,
    average,
)
SOUND_BERNOULLI = SOUND._replace(pixels=black_or_white, error=bernoulli_error)


# The wrong pieces


def rectified(output: Tensor) -> Tensor:
    """A ReLU on log σ²: no variance below 1."""
    return output.relu()


def softplus_variance(output: Tensor) -> Tensor:
    """σ² by a softplus: another way to a positive number, and no mistake."""
    return nn.functional.softplus(output).log()


def exponential(log_variance: Tensor) -> Tensor:
    """The exponential of log σ² is σ², not σ."""
    return log_variance.exp()


def hundredth(log_variance: Tensor) -> Tensor:
    """Noise of deviation 0.01: an autoencoder that pays a KL."""
    return 0.01 * (0.5 * log_variance).exp()


def shared(noise: Tensor) -> Tensor:
    """One draw for the whole batch."""
    return noise[:, :1].expand_as(noise)


def sampled(mean: Tensor, deviation: Tensor, noise: Tensor) -> Tensor:
    """z as `sample` returns it: the gradient stops."""
    return (mean + deviation * noise).detach()


def pixel_mean(x: Tensor, decoded: Tensor) -> Tensor:
    """A mean over pixels, beside a KL that is a sum."""
    return (x - decoded).square().mean(-1)


def squared_error(x: Tensor, decoded: Tensor) -> Tensor:
    """The squared error without 1/2σ²: so σ² is a half."""
    return (x - decoded).square().sum(-1)


def unit_variance(x: Tensor, decoded: Tensor) -> Tensor:
    """σ² = 1, above every eigenvalue of the digits."""
    return (x - decoded).square().sum(-1) / 2


def sigmoid_twice(x: Tensor, logits: Tensor) -> Tensor:
    """A sigmoid at the decoder's end, and a loss that takes logits."""
    return cross_entropy(logits.sigmoid(), x)


def unlearned_term(x: Tensor, decoded: Tensor) -> Tensor:
    """A second term, of vertical edges, whose gradient is cut off."""
    edges = gaussian_error(x.diff(), decoded.diff())
    return gaussian_error(x, decoded) + edges.detach()


def squared_logarithm(mean: Tensor, log_variance: Tensor) -> Tensor:
    """(log σ)² where 2 log σ belongs."""
    log_deviation = 0.5 * log_variance
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_deviation**2).sum(-1)


def printed_only(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The KL has a value and no gradient."""
    return kl_to_standard_normal(mean, log_variance).detach()


def tiny_weight(share: float) -> float:
    """A weight that stands in many programs, beside a mean over pixels."""
    return 0.00025


def quarter(share: float) -> float:
    """A weight of 1/4: half of the σ that was stated."""
    return 0.25


def none(share: float) -> float:
    """No KL: an autoencoder with noise that it may shrink."""
    return 0.0


def never_arrives(share: float) -> float:
    """A warm-up over five times as many steps as there are."""
    return min(1.0, share / 5)


def difference(error: Tensor, kl: Tensor) -> Tensor:
    """The KL with the wrong sign."""
    return error - kl


def twice_by_the_batch(per_image: Tensor) -> Tensor:
    """An average, divided by the batch again."""
    return per_image.mean() / len(per_image)


# Training and measuring


class Exhibit(nn.Module):
    """Encoder and decoder of a program, untrained: one hidden layer of tanh units each."""

    def __init__(self, pieces: Pieces, seed: int):
        super().__init__()
        self.pieces, random = pieces, generator(seed)
        self.encoder = network([PIXELS, HIDDEN, 2 * pieces.latent], random)
        self.decoder = network([pieces.latent, HIDDEN, PIXELS], random)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the log-variance of images (batch, 64): (batch, latent) each."""
        mean, output = self.encoder(x).chunk(2, dim=-1)
        return mean, self.pieces.log_variance(output)

    def draw(self, x: Tensor, noise: Tensor) -> Tensor:
        """z as the program draws it, from noise (K, batch, latent): of the same shape."""
        mean, log_variance = self.encode(x)
        deviation = self.pieces.deviation(log_variance)
        return self.pieces.draw(mean, deviation, self.pieces.noise(noise))

    def decode(self, z: Tensor) -> Tensor:
        """Mean pixels, or logits, of z (…, latent): (…, 64)."""
        return self.decoder(z)

    def loss(self, x: Tensor, noise: Tensor, share: float = 1.0) -> Tensor:
        """What the program minimises, a scalar, when that share of its training is done."""
        error = self.pieces.error(x, self.decode(self.draw(x, noise))).mean(0)  # (batch,)
        kl = self.pieces.weight(share) * self.pieces.kl(*self.encode(x))  # (batch,)
        return self.pieces.reduce(self.pieces.total(error, kl))


def train(pieces: Pieces, seed: int) -> Exhibit:
    """Train a program on the 1,500 training digits by Adam, weights and draws from its seed."""
    model, random = Exhibit(pieces, seed), generator(1000 + seed)
    images = pieces.pixels(load_digits().train)
    adam = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    for epoch in range(pieces.epochs):
        batches = minibatches(images, pieces.batch, random)
        for x, noise in with_noise(batches, pieces.latent, pieces.draws, random):
            adam.zero_grad()
            model.loss(x, noise, epoch / pieces.epochs).backward()
            adam.step()
    return model.eval()


def handed(model: Exhibit, sound: Pieces) -> dict[str, Any]:
    """What an audit of a model is given beside images: its callables, and its p(x|z) as meant."""
    pieces = model.pieces

    def noise(x: Tensor, draws: int) -> Tensor:
        return torch.randn(draws, len(x), pieces.latent)

    return {
        "encode": model.encode,
        "decode": model.decode,
        "likelihood": "bernoulli" if sound.error is bernoulli_error else math.sqrt(VARIANCE),
        "loss": lambda x: model.loss(x, noise(x, pieces.draws)),
        "draw": lambda x: model.draw(x, noise(x, 1))[0],
        "modules": model,
    }


class Seen(NamedTuple):
    """What is seen of a model on n images at K draws of its q(z|x); in nats but the moments."""

    mean: Tensor  # (n, latent)
    log_variance: Tensor  # (n, latent), of the q that the program draws from
    log_weight: Tensor  # (K, n)
    elbo: Tensor  # (n,)
    plugged_in: Tensor  # (n,), with the mean in place of draws
    kl: Tensor  # (n,)
    baseline: Tensor  # (n,), log p(x) of the best linear model with as many latents


@torch.no_grad()
def measure(model: Exhibit, sound: Pieces, draws: int = DRAWS) -> Seen:
    """Measure a model on the 297 test digits with the right formulas, in float64.

    q(z|x) is the one that the program draws from, with its own σ; the KL, p(x|z) and the weights
    are those of the sound program. Raises ValueError where training has diverged.
    """
    digits, pieces = load_digits(torch.float64), model.pieces
    exact, x = copy.deepcopy(model).double(), sound.pixels(digits.test)  # (n, 64)
    mean, log_variance = exact.encode(x)  # (n, latent)
    log_variance = 2 * pieces.deviation(log_variance).log()
    noise = standard_normal((draws, len(x), pieces.latent), generator(DRAWN))
    z = draw_diagonal(mean, log_variance, noise)  # (K, n, latent)
    rows = [score(sound, x, exact.decode(part)) for part in z.split(AT_ONCE)]
    log_likelihood = torch.cat(rows)  # (K, n)
    posterior = DiagonalPosterior(mean, log_variance)
    bound = evidence_lower_bound(log_likelihood, posterior.kl_to_prior())
    weights = log_weight(log_likelihood, posterior, z)  # (K, n)
    plugged_in = score(sound, x, exact.decode(mean)) - bound.kl
    variance = torch.tensor(VARIANCE, dtype=torch.float64)
    linear = most_likely_at(spectrum(digits.train), pieces.latent, variance)
    baseline = evidence_at_mean(linear, digits.test)
    return Seen(mean, log_variance, weights, bound.elbo, plugged_in, bound.kl, baseline)


def score(sound: Pieces, x: Tensor, decoded: Tensor) -> Tensor:
    """log p(x|z) of images (n, 64) by what was decoded (…, n, 64), with its constant: (…, n)."""
    if sound.error is bernoulli_error:
        return bernoulli_log_likelihood(x.expand_as(decoded), decoded)
    return log_normal(x.expand_as(decoded), decoded, x.new_tensor(VARIANCE).log())


def cost(sound: Seen, mutant: Seen) -> Tensor:
    """The nats an image that a mistake takes from the bound, with the same test digits: ().

    Book: eq-mistake-cost.

    >>> nothing = torch.zeros(2)
    >>> sound = Seen(*[nothing] * 7)
    >>> cost(sound, sound._replace(elbo=torch.tensor([-1.0, -3.0])))
    tensor(2.)
    """
    return (sound.elbo - mutant.elbo).mean()


# What is read of a sound model, rightly and wrongly: both in nats an image


def log_of_mean(seen: Seen) -> Tensor:
    """L_K: the log of the average weight."""
    return importance_weighted_bound(seen.log_weight).mean()


def mean_of_logs(seen: Seen) -> Tensor:
    """The average of the logs, which is L_1 whatever K."""
    return seen.log_weight.mean()


def by_the_requested(seen: Seen) -> Tensor:
    """A sum over 1,200 draws, four passes of 300, divided by the 1,000 that were asked for."""
    return log_of_mean(seen) + math.log(drawn(REQUESTED, A_PASS) / REQUESTED)


def drawn(requested: int, a_pass: int) -> int:
    """How many draws whole passes make, when so many were asked for."""
    return math.ceil(requested / a_pass) * a_pass


def bound_of_draws(seen: Seen) -> Tensor:
    """The evidence lower bound."""
    return seen.elbo.mean()


def bound_at_the_mean(seen: Seen) -> Tensor:
    """log p(x|z) at the mean in place of draws: no bound."""
    return seen.plugged_in.mean()


def per_unit_pixel(seen: Seen) -> Tensor:
    """A density of pixels from 0 to 1."""
    return seen.elbo.mean()


def per_grey_level(seen: Seen) -> Tensor:
    """The same of pixels from 0 to 16: every pixel's density is a sixteenth."""
    return seen.elbo.mean() - PIXELS * math.log(16)


def above_a_line(seen: Seen) -> Tensor:
    """How far the bound lies above the best linear model with as many latents, at the same σ²."""
    return (seen.elbo - seen.baseline).mean()


def above_nothing(seen: Seen) -> Tensor:
    """A bound alone, with nothing beside it."""
    return seen.elbo.mean()


def from_the_prior(seen: Seen) -> Tensor:
    """New images start from z with mean 0 and log-variance 0, which is N(0, I)."""
    return from_standard(0 * seen.mean, 0 * seen.log_variance)


def from_an_image(seen: Seen) -> Tensor:
    """New images start from q(z|x) of an image."""
    return from_standard(seen.mean, seen.log_variance)


def from_standard(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, σ²) ‖ N(0, I)) of where z starts (n, latent), an average over images: ()."""
    return closed_form(mean, log_variance).mean()


def a_sample(seen: Seen) -> Tensor:
    """A picture of p(x|z): f(z), and noise of the model's variance around it."""
    return score_of_picture(VARIANCE)


def a_mean(seen: Seen) -> Tensor:
    """A picture of f(z) alone."""
    return score_of_picture(0.0)


def score_of_picture(variance: float) -> Tensor:
    """The mean of log p(x|z) where x is f(z) and noise of a variance: ()."""
    constant = math.log(2 * math.pi * VARIANCE)
    return torch.tensor(-0.5 * PIXELS * (constant + variance / VARIANCE))


def own_scale(seen: Seen) -> Tensor:
    """Codes times one over their own deviation."""
    return scaled(seen, 1 / float(code_variance(seen).mean().sqrt()))


def borrowed_scale(seen: Seen) -> Tensor:
    """Codes times the factor that belongs to another model."""
    return scaled(seen, OTHER_SCALE)


def scaled(seen: Seen, factor: float) -> Tensor:
    """How far codes times a factor are from N(0, I), by their variances: ()."""
    return mismatch(code_variance(seen) * factor**2)


def codes_as_drawn(seen: Seen) -> Tensor:
    """Draws of q(z|x), whose law the decoder was trained with."""
    return from_the_codes(seen, code_variance(seen))


def codes_as_modes(seen: Seen) -> Tensor:
    """The means alone: what q(z|x) adds around them is missing."""
    return from_the_codes(seen, seen.mean.var(0))


def from_the_codes(seen: Seen, variance: Tensor) -> Tensor:
    """How far a law of that variance (latent,) is from the law of draws of q(z|x): ()."""
    return mismatch(variance / code_variance(seen))


def code_variance(seen: Seen) -> Tensor:
    """The variance of draws of q(z|x) over all images: (latent,)."""
    return seen.mean.var(0) + seen.log_variance.exp().mean(0)


def mismatch(variance: Tensor) -> Tensor:
    """KL(N(0, variance) ‖ N(0, 1)), a sum over latents (latent,): ()."""
    return closed_form(torch.zeros_like(variance), variance.log())


def in_float32(seen: Seen) -> Tensor:
    """The KL of log σ² = 12 and mean 0."""
    return 0.5 * (torch.tensor(HALF_LIMIT).exp() - 1 - HALF_LIMIT)


def in_float16(seen: Seen) -> Tensor:
    """The same in half precision, whose largest number is 65,504."""
    return 0.5 * (torch.tensor(HALF_LIMIT).exp().half().float() - 1 - HALF_LIMIT)


def from_logits(seen: Seen) -> Tensor:
    """The cross-entropy of a black pixel at logit 40."""
    return nn.functional.softplus(torch.tensor(40.0))


def from_probabilities(seen: Seen) -> Tensor:
    """The same from the probability, which float32 rounds to 1."""
    return -(1 - torch.tensor(40.0).sigmoid()).log()


def full_posterior(seen: Seen) -> Tensor:
    """The gap of q with the posterior's own covariance."""
    return gap(POSTERIOR_COVARIANCE)


def diagonal_posterior(seen: Seen) -> Tensor:
    """The gap of the best diagonal q, whose precision is the posterior's on the diagonal."""
    return gap((1 / POSTERIOR_COVARIANCE.inverse().diagonal()).diag())


def gap(covariance: Tensor) -> Tensor:
    """KL(q ‖ posterior) of q = N(0, covariance) to a posterior with correlated latents: ()."""
    mean, posterior = torch.zeros(2), cholesky_factor(POSTERIOR_COVARIANCE)
    return kl_between_full(mean, cholesky_factor(covariance), mean, posterior)


# The catalogue


class Mistake(NamedTuple):
    """One exhibit: what people say, what is exchanged, and where it is explained."""

    number: int  # as on the page of mistakes; from 26 on, what practitioners add
    name: str
    symptom: str  # as people describe it
    group: str  # what it breaks
    check: str  # of the audit, that catches it; "" where none does
    threads: tuple[str, ...]  # where it was asked, as addresses without https://
    chapter: str  # the stem of the chapter with the cause
    because: str
    sound: Pieces = SOUND
    pieces: Pieces | None = None  # of the mistake, if it is made in training
    read: tuple[Callable[[Seen], Tensor], Callable[[Seen], Tensor]] | None = None  # right, wrong

    @property
    def is_trained(self) -> bool:
        """Whether the mistake is made in training, and not when a sound model is read."""
        return self.pieces is not None


def piece(mistake: Mistake) -> str:
    """The name of the piece that a mistake exchanges, or "reading"."""
    return ", ".join(name for name, _, _ in _exchanged(mistake)) or "use"


def diff(mistake: Mistake) -> str:
    """The right line and the wrong one, as a diff; "" where no line of a program is at fault."""
    return "\n".join(
        f"- {_line(name, right)}\n+ {_line(name, wrong)}"
        for name, right, wrong in _exchanged(mistake)
    )


def _exchanged(mistake: Mistake) -> list[tuple[str, Any, Any]]:
    """The name, the right thing and the wrong one of each piece that differs."""
    if mistake.read is not None:
        return [("reading", *mistake.read)]
    if mistake.pieces is None:
        return []
    pairs = zip(Pieces._fields, mistake.sound, mistake.pieces, strict=True)
    return [(name, right, wrong) for name, right, wrong in pairs if right is not wrong]


def _line(name: str, piece: Any) -> str:
    """The last line of a piece, which is what it computes."""
    if not callable(piece):
        return f"{name} = {piece}"
    last = inspect.getsource(piece).strip().splitlines()[-1]
    return last.strip().removeprefix("return ")


DATA, DRAW, LOSS, POSTERIOR, USE = (
    "data and likelihood",
    "draws",
    "the loss",
    "the posterior and its estimators",
    "use",
)
GITHUB = "github.com/"


def _issues(*places: str) -> tuple[str, ...]:
    """Addresses of threads, from owner/name#number."""
    return tuple(GITHUB + place.replace("#", "/issues/") for place in places)


MISTAKES: tuple[Mistake, ...] = (
    Mistake(
        1,
        "mean over pixels",
        "The KL is 0.000 and every output is the same",
        LOSS,
        "exchange rate",
        _issues("keras-team/keras#6015", "pytorch/examples#290"),
        "06-gaussians",
        "a mean over 64 pixels beside a summed KL states σ² = 32, and no code is worth its price "
        "under so much noise",
        pieces=SOUND._replace(error=pixel_mean),
    ),
    Mistake(
        2,
        "a KL weight of 0.00025",
        "Where does a KL weight of 0.00025 come from?",
        LOSS,
        "exchange rate",
        _issues("AntixK/PyTorch-VAE#11", "AntixK/PyTorch-VAE#35", "AntixK/PyTorch-VAE#56"),
        "06-gaussians",
        "with a mean over pixels that weight states σ² = 0.00025 · 64 / 2, a σ that nobody chose",
        pieces=SOUND._replace(error=pixel_mean, weight=tiny_weight),
    ),
    Mistake(
        3,
        "too much pixel noise",
        "Every output is the same image",
        DATA,
        "rate",
        _issues("AppliedDataSciencePartners/WorldModels#12", "molecularsets/moses#45"),
        "07-linear",
        "σ² = 1 lies above the largest eigenvalue of the digits, so the best code says nothing of "
        "an image",
        pieces=SOUND._replace(error=unit_variance),
    ),
    Mistake(
        4,
        "cross-entropy on grey pixels",
        "The cross-entropy never comes near zero",
        DATA,
        "grey pixels",
        _issues(
            "fchollet/deep-learning-with-python-notebooks#109",
            "Lightning-Universe/lightning-bolts#177",
        ),
        "06-gaussians",
        "a grey pixel pulls its probability towards its grey, which is not how often a pixel is on",
        SOUND_BERNOULLI,
        SOUND_BERNOULLI._replace(pixels=as_scanned),
    ),
    Mistake(
        5,
        "the sign of the KL",
        "The loss falls without end",
        LOSS,
        "exchange rate",
        _issues("pytorch/examples#824", "AntixK/PyTorch-VAE#68"),
        "09-training",
        "the KL is now a gain, and codes that fly apart have as much of it as they like",
        pieces=SOUND._replace(total=difference),
    ),
    Mistake(
        6,
        "(log σ)² for 2 log σ",
        "The KL is negative",
        LOSS,
        "KL",
        ("github.com/FluxML/model-zoo/pull/76", "github.com/FluxML/model-zoo/pull/147"),
        "06-gaussians",
        "charged so, a code costs less the smaller its σ, without end, and the encoder is paid for "
        "certainty",
        pieces=SOUND._replace(kl=squared_logarithm),
    ),
    Mistake(
        7,
        "the exponential of log σ² for σ",
        "Draws disagree with the KL that is charged for them",
        DRAW,
        "draws",
        ("github.com/keras-team/keras/pull/9972", *_issues("zfjsail/gae-pytorch#8")),
        "06-gaussians",
        "the draw has the deviation σ² and the KL charges for σ, so where σ < 1 a code is more "
        "precise than it is charged for",
        pieces=SOUND._replace(deviation=exponential),
    ),
    Mistake(
        8,
        "a softplus for an exponential",
        "Why does the encoder give a log-variance at all?",
        DRAW,
        "",
        _issues("Lasagne/Recipes#90"),
        "06-gaussians",
        "any map onto the positive numbers states the same posteriors: this is a choice",
        pieces=SOUND._replace(log_variance=softplus_variance),
    ),
    Mistake(
        9,
        "a ReLU on the log-variance",
        "NaN, or a σ that is never below 1",
        DRAW,
        "log-variances",
        _issues("vanderschaarlab/synthcity#331", "pyg-team/pytorch_geometric#500"),
        "06-gaussians",
        "no variance can be below the prior's, so a code cannot say anything precisely",
        pieces=SOUND._replace(log_variance=rectified),
    ),
    Mistake(
        10,
        "nats of another unit",
        "The loss is negative; another paper's is not",
        USE,
        "scale",
        _issues("chainer/chainer#5440", "SeldonIO/alibi-detect#316"),
        "06-gaussians",
        "a density is per unit of a pixel: in other units it differs by a constant, and no "
        "model is better for it",
        read=(per_unit_pixel, per_grey_level),
    ),
    Mistake(
        11,
        "no KL at all",
        "Good copies, bad samples",
        LOSS,
        "exchange rate",
        _issues("AntixK/PyTorch-VAE#88", "openai/vdvae#10"),
        "09-training",
        "nothing pulls the codes to where N(0, I) has its draws, so the decoder has not seen those",
        pieces=SOUND._replace(weight=none),
    ),
    Mistake(
        12,
        "samples that start from an image",
        "Samples look like the training images",
        USE,
        "",
        _issues("AntixK/PyTorch-VAE#32"),
        "09-training",
        "q(z|x) of one image is far from the prior, and decoding it makes that image again",
        read=(from_the_prior, from_an_image),
    ),
    Mistake(
        13,
        "the mean for a draw",
        "The test bound is better than the training bound",
        POSTERIOR,
        "",
        ("github.com/AntixK/PyTorch-VAE/issues/62", "github.com/pytorch/examples/pull/226"),
        "10-choices",
        "the error at the mean leaves out what the encoder's doubt costs, so it bounds nothing",
        read=(bound_of_draws, bound_at_the_mean),
    ),
    Mistake(
        14,
        "sample for rsample",
        "The encoder does not learn, and nothing complains",
        DRAW,
        "gradient",
        _issues("AntixK/PyTorch-VAE#13", "pytorch/examples#592"),
        "08-reparameterization",
        "the encoder hears of the KL alone and makes it zero, as a collapsed model's does",
        pieces=SOUND._replace(draw=sampled),
    ),
    Mistake(
        15,
        "ten draws of ten images",
        "Is one draw of z enough?",
        DRAW,
        "",
        _issues("AntixK/PyTorch-VAE#62"),
        "08-reparameterization",
        "for as many decoded draws a step, ten images say less of the gradient than a hundred do",
        pieces=SOUND._replace(batch=10, draws=10, epochs=EPOCHS // 10),
    ),
    Mistake(
        16,
        "β below one",
        "Is a β below 1 still a VAE?",
        LOSS,
        "exchange rate",
        (
            "stats.stackexchange.com/questions/332179",
            "github.com/facebookresearch/irmae/issues/1",
        ),
        "07-linear",
        "it is the bound of a model with half the σ, and a loss only for who reports the stated σ",
        pieces=SOUND._replace(weight=quarter),
    ),
    Mistake(
        17,
        "the squared error as it is",
        "Which weight does the squared error need?",
        DATA,
        "exchange rate",
        _issues("orybkin/sigma-vae#1", "vdumoulin/discgen#4"),
        "06-gaussians",
        "without 1/2σ² the model believes in σ² = 1/2, twenty times the noise of these digits",
        pieces=SOUND._replace(error=squared_error),
    ),
    Mistake(
        18,
        "the mean of logs",
        "More weights change nothing",
        POSTERIOR,
        "estimate",
        _issues("arahuja/generative-tf#1", "tensorflow/probability#189"),
        "05-weights",
        "the average of logs is the bound with one draw, however many are averaged",
        read=(log_of_mean, mean_of_logs),
    ),
    Mistake(
        19,
        "a mean shown as a sample",
        "The samples are blurry",
        USE,
        "",
        ("ai.stackexchange.com/questions/8885",),
        "09-training",
        "f(z) is the mean of all images that z may stand for; a sample has the noise Λ as well "
        "and is half a nat a pixel less probable, on average, than the mean",
        read=(a_sample, a_mean),
    ),
    Mistake(
        20,
        "too few latents",
        "How many latents do I need?",
        DATA,
        "",
        _issues("scverse/scvi-tools#730"),
        "07-linear",
        "eigenvalues above σ² are worth a latent each, and here two latents leave most of them out",
        pieces=SOUND._replace(latent=2),
    ),
    Mistake(
        21,
        "the logarithm of a rounded probability",
        "Sigmoid and cross-entropy give inf",
        DATA,
        "saturation",
        _issues("hwalsuklee/tensorflow-mnist-VAE#4"),
        "06-gaussians",
        "float32 rounds the probability at logit 40 to 1, and the logarithm of 1 − 1 is −∞",
        read=(from_logits, from_probabilities),
    ),
    Mistake(
        22,
        "divided by the batch twice",
        "Do I divide by the batch? Our curves differ",
        LOSS,
        "reduction",
        _issues("pytorch/examples#652"),
        "10-choices",
        "Adam divides each gradient by its own size, so a factor before the loss falls out",
        pieces=SOUND._replace(reduce=twice_by_the_batch),
    ),
    Mistake(
        23,
        "a number with nothing beside it",
        "What is a good value of the bound?",
        USE,
        "linear model",
        ("github.com/tensorflow/probability/issues/56", "github.com/pytorch/examples/pull/1416"),
        "10-choices",
        "nats have no zero: what a linear model reaches is counted as a merit of this one, and "
        "only the distance between the two says something",
        read=(above_a_line, above_nothing),
    ),
    Mistake(
        24,
        "a diagonal where the posterior is not",
        "How do I give q a full covariance?",
        POSTERIOR,
        "",
        _issues("pyro-ppl/pyro#2016"),
        "06-gaussians",
        "a diagonal q cannot follow a correlation, and pays −½ log(1 − ρ²) for it",
        read=(full_posterior, diagonal_posterior),
    ),
    Mistake(
        25,
        "a data set that does not arrive",
        "The download fails",
        DATA,
        "",
        _issues("pytorch/vision#1938", "pytorch/vision#3497"),
        "19-scaling",
        "hosts move and proxies answer with a page: only a checksum tells, before any training",
    ),
    Mistake(
        26,
        "another model's latent scale",
        "What is 0.18215?",
        USE,
        "latent scale",
        _issues("huggingface/diffusers#437", "LTH14/mar#2"),
        "11-evaluation",
        "it is one over the deviation of one model's codes, and says nothing of another's",
        read=(own_scale, borrowed_scale),
    ),
    Mistake(
        27,
        "the mode for a draw",
        "Do I encode by the mode or by a sample?",
        USE,
        "draws",
        _issues("Alpha-VLLM/Lumina-Image-2.0#54", "Nerogar/OneTrainer#652"),
        "11-evaluation",
        "means alone lack the variance of q(z|x), which the decoder was trained with",
        read=(codes_as_drawn, codes_as_modes),
    ),
    Mistake(
        28,
        "an exponential in half precision",
        "NaN in fp16, and not in fp32",
        DATA,
        "",
        _issues("huggingface/diffusers#7188", "huggingface/diffusers#9844"),
        "19-scaling",
        "float16 ends at 65,504, which the exponential passes at a log-variance of 11.1",
        read=(in_float32, in_float16),
    ),
    Mistake(
        29,
        "a term without a gradient",
        "The perceptual loss is printed and changes nothing",
        LOSS,
        "gradients",
        (),
        "08-reparameterization",
        "its gradient is cut off, so training is that of the loss without it, to the last bit",
        pieces=SOUND._replace(error=unlearned_term),
    ),
    Mistake(
        30,
        "a warm-up that never arrives",
        "Does the KL's weight ever reach 1?",
        LOSS,
        "exchange rate",
        _issues("scverse/scvi-tools#1569"),
        "10-choices",
        "training ends at a fifth of the weight, which is a model with less noise than is reported",
        pieces=SOUND._replace(weight=never_arrives),
    ),
    Mistake(
        31,
        "divided by the wrong count",
        "log p(x) changes with the size of a pass",
        POSTERIOR,
        "",
        (),
        "05-weights",
        "four passes of 300 draw 1,200, and a sum of 1,200 weights over 1,000 is log 1.2 too large",
        read=(log_of_mean, by_the_requested),
    ),
    Mistake(
        32,
        "noise of deviation 0.01",
        "Is it a VAE at all?",
        DRAW,
        "draws",
        _issues("maxhodak/keras-molecules#61"),
        "08-reparameterization",
        "almost no noise is added while the KL charges for all of it, so the bound is of another q",
        pieces=SOUND._replace(deviation=hundredth),
    ),
    Mistake(
        33,
        "a KL that is only printed",
        "β changes nothing",
        LOSS,
        "gradients",
        _issues("Lightning-Universe/lightning-bolts#328", "AlexanderVNikitin/tsgm#69"),
        "08-reparameterization",
        "the value is in the loss and its gradient is not: this trains a noisy autoencoder",
        pieces=SOUND._replace(kl=printed_only),
    ),
    Mistake(
        34,
        "a sigmoid before the sigmoid",
        "All pictures are grey",
        DATA,
        "exchange rate",
        (),
        "06-gaussians",
        "logits between 0 and 1 are probabilities between 0.50 and 0.73, so no pixel can be black",
        SOUND_BERNOULLI,
        SOUND_BERNOULLI._replace(error=sigmoid_twice),
    ),
    Mistake(
        35,
        "one draw for a whole batch",
        "The noise has the wrong shape and still broadcasts",
        DRAW,
        "draws",
        (),
        "08-reparameterization",
        "each image still has its right law, but the noise no longer averages out over a batch",
        pieces=SOUND._replace(noise=shared),
    ),
)
