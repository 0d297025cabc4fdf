"""Checks of q(z|x) against the posterior of its own model, by importance weights and its draws.

Weights see only what q draws. Where q misses a mode they are calm, and their average is too low by
all that was missed, so they accuse and never acquit. Two measures do acquit. With one or two
latents log p(x) is a sum over a mesh. And for an image that the model itself drew, the z behind it
is a draw of its posterior, whatever the number of latents: the same weight, averaged over q, lies
below log p(x), and averaged over such z, above it.

That L_1 ≤ L_10 ≤ L_500 is not checked: weights of the same draws obey it whatever the model is.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import softplus

from vae_tutorial.audit.findings import Bars, Finding, Verdict, number, with_error
from vae_tutorial.audit.reading import charges, read
from vae_tutorial.audit.subject import MOST_NUMBERS, AnswerError, Check, NotGivenError, Subject
from vae_tutorial.models import DiagonalPosterior, Posterior, log_prior, log_weight
from vae_tutorial.noise import mean_and_error
from vae_tutorial.quadrature import Rule, product, trapezoid
from vae_tutorial.weights import importance_weighted_bound, pareto_shape

DRAWS = 500  # of q, for each image
MOST, FEWEST = 200, 20  # images whose weights are looked at
NUMBERS = 2**24  # pixels × images × draws, which bounds the time; between MOST and FEWEST
UNRELIABLE = min(1 - 1 / math.log10(DRAWS), 0.7)  # k̂ above it; Vehtari et al. 2024
ERRORS, SLACK = 4.0, 0.05  # standard errors, and nats beyond them, that no sound model exceeds
MUCH = 3.0  # nats an image: about what one used latent costs
SMALL_GAP = f"below {MUCH:.0f}, about what one used latent costs"
LITTLE = 1.0  # nats

OWN = 1000  # images that the model draws, to count how often q covers their z
OWN_DRAWS = 20  # of q, for each of them
INTERVAL, QUANTILE = 0.9, 1.6448536269514722  # of a standard normal, on both sides
FAR = 100.0  # nats between q and the posterior on them; sound models that are trained reach 60
RARELY = 0.5  # coverage below which q is far too sure; most sound models stay above, some do not
WIDE = 0.8  # mean square below which q is too wide: the best q has at least 1

REACH = 8.0  # the mesh covers [−8, 8] on each axis; the prior's mass beyond is below 3e-15
MESHES = {1: (4097, 32769), 2: (129, 257, 513)}  # nodes on each axis: finer where too coarse
DEAR = 2**28  # pixels × images × nodes, where p(x|z) is not one product of matrices
MESH_ERROR = 0.01  # nats; images whose integral is known less well are left out
EXACT_IMAGES, ENOUGH = 50, 10  # on the mesh, and how many of them must be known
DEAR_IMAGES = 15  # on the mesh, where p(x|z) is not one product of matrices

BATCHES, REPEATS = 10, 4  # of the caller's loss, whose draws are averaged
TWICE = 0.2  # of a loss, by which it may miss once or twice itself to be called a mean or a sum

TRIED = 4  # images at which a likelihood is integrated
STEPS = 641  # nodes of that integral over a pixel
SPANS = (2, 8, 32)  # how far they reach beyond the data, in ranges of the data
ROWS = 4096  # images scored at once
NOTHING = -14.0  # the log of a density, relative to its peak, that an integral does not feel


class Weights(NamedTuple):
    """Images, their q, and the logs of the weights p(x, z) / q(z|x) of its draws."""

    x: Tensor  # (batch, …)
    posterior: Posterior
    log_weight: Tensor  # (DRAWS, batch), nats

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound by draws: (batch,)."""
        return self.log_weight.mean(0)

    @property
    def bound(self) -> Tensor:
        """L_K for K = DRAWS: (batch,)."""
        return importance_weighted_bound(self.log_weight)


class Exact(NamedTuple):
    """log p(x) on a mesh, and what is not known of it: (batch,) each, in nats."""

    log_evidence: Tensor
    error: Tensor  # what halving the mesh changed, and what may lie beyond it


class Known(NamedTuple):
    """Images of which log p(x) is known: on average it lies between two numbers."""

    x: Tensor  # (batch, …)
    elbo: Tensor  # (batch,), of the audited q
    low: Tensor  # (batch,)
    high: Tensor  # (batch,), the same where a mesh gave them
    weighted: Tensor  # (batch,), L_K
    which: str  # what these images are, in words


class Difference(NamedTuple):
    """The mean of paired differences and its standard error, in nats an image."""

    mean: float
    error: float

    @property
    def limit(self) -> float:
        """Beyond this the mean is not chance, and is not small either."""
        return ERRORS * self.error + SLACK

    def __str__(self) -> str:
        return with_error(self.mean, self.error, ".2f")


def difference(values: Tensor) -> Difference:
    """The mean of paired differences (n,), with its standard error.

    >>> print(difference(torch.tensor([1.0, 2.0, 3.0, 4.0])))
    2.50 ± 0.65
    """
    return Difference(*(float(part) for part in mean_and_error(values.double())))


@torch.no_grad()
def weigh(subject: Subject, x: Tensor, seed: int) -> Weights:
    """Draw DRAWS times from the q of each image, and weigh the draws."""
    posterior = subject.posterior(x)
    noise = subject.noise(DRAWS, len(x), subject.latent, seed=seed)
    return Weights(x, posterior, subject.log_weight(x, posterior, noise))


def affordable(subject: Subject) -> int:
    """How many images DRAWS draws each are affordable for."""
    return max(FEWEST, min(MOST, NUMBERS // (DRAWS * subject.pixels)))


# Weights


def weights(subject: Subject) -> Iterator[Finding]:
    """What the encoder loses, how far its weights can be trusted, and whether it helps at all."""
    seen = weigh(subject, subject.some(affordable(subject)), seed=1)
    yield helps(subject, seen)
    yield loses(seen)
    yield tails(seen)


@torch.no_grad()
def helps(subject: Subject, seen: Weights) -> Finding:
    """The encoder's q against two that need no encoder: N(0, I), and the q of another image."""
    noise = subject.noise(OWN_DRAWS, len(seen.x), subject.latent, seed=2)
    z = seen.posterior.draw(noise)
    gain = difference(seen.elbo - subject.log_likelihood(seen.x, noise).mean(0))
    swapped = subject.log_likelihood(seen.x, z) - subject.log_likelihood(seen.x, z.roll(1, 1))
    told = difference(swapped.mean(0))
    kl = float(seen.posterior.kl_to_prior().mean())
    limit, least = ERRORS * gain.error + LITTLE, ERRORS * told.error + LITTLE
    verdict, reason = Verdict.LOOK, (
        "The codes carry next to nothing: the model has collapsed, is not trained yet, or is "
        "shown images of another scale than in training."
    )  # fmt: skip
    if gain.mean < -limit or (told.mean < ERRORS * told.error and kl > MUCH):
        verdict, reason = Verdict.WRONG, (
            "No encoder at all would do as well, for less. Encoder and decoder do not belong "
            "together: look for images that are scaled or ordered in another way than in "
            "training, weights of another run, or a mean and a log-variance that are exchanged."
        )  # fmt: skip
    elif gain.mean > limit and told.mean > least:
        verdict, reason = Verdict.CANNOT_TELL, (
            "The codes tell of their images. So do those of an encoder that is half wrong: for "
            "how near q is to the posterior see the gap, and the model's own images."
        )  # fmt: skip
    return Finding(
        "encoder",
        verdict,
        f"for a KL of {number(kl, '.1f')} nats, q(z|x) scores {told} nats an image above the q of "
        f"another image, and {gain} above q = N(0, I)",
        "more than 0",
        reason,
        "04-bounds",
        gain.mean,
        gain.error,
        limit,
    )


def loses(seen: Weights) -> Finding:
    """L_K − ELBO: at least so much the encoder's q lies below log p(x)."""
    lost = difference(seen.bound - seen.elbo)
    much = lost.mean - ERRORS * lost.error > MUCH
    return Finding(
        "encoder gap",
        Verdict.LOOK if much else Verdict.CANNOT_TELL,
        f"the encoder loses at least {lost} nats an image, by which the bound of {DRAWS} draws, "
        f"L_{DRAWS}, lies above the ELBO",
        SMALL_GAP,
        "The ELBO understates this model: report L_K beside it, train the encoder longer, or give "
        "it more units or a full covariance."
        if much
        else "A mode that q never draws does not show here, so the true loss may be larger.",
        "05-weights",
        lost.mean,
        lost.error,
        MUCH,
    )


def tails(seen: Weights) -> Finding:
    """k̂ and the effective sample size, image by image; they accuse and never acquit."""
    shape = pareto_shape(seen.log_weight)  # (batch,)
    flagged = (shape > UNRELIABLE).double()
    share = difference(flagged)
    size = 1 / seen.log_weight.softmax(0).square().sum(0)  # (batch,)
    many = share.mean > 0.5
    return Finding(
        "weights",
        Verdict.LOOK if many else Verdict.CANNOT_TELL,
        f"the weights' tail index k̂ is above {UNRELIABLE:.2f} for {int(flagged.sum())} of "
        f"{len(flagged)} images; {DRAWS} draws are worth {number(size.median(), '.0f')} at the "
        f"median image, {number(size.min(), '.0f')} at the worst",
        "for at most half of the images",
        "For these images no average of weights, L_K among them, can be taken for log p(x): q is "
        "too narrow somewhere. Annealing, or more draws of a wider q, goes further."
        if many
        else "Calm weights do not acquit q: they know nothing of a mode that it never draws.",
        "05-weights",
        share.mean,
        share.error,
        0.5,
        (
            Bars(
                "k̂ of each image, in order",
                tuple(shape.sort().values.tolist()),
                UNRELIABLE,
                "above it an average of weights is not to be trusted",
            ),
        ),
    )


# A mesh


def is_plain(subject: Subject) -> bool:
    """Whether p(x|z) is a Gaussian of one σ or a Bernoulli, scored by one product of matrices."""
    with torch.no_grad():
        answer = subject.decoded(subject.noise(1, subject.latent, seed=0))
    if isinstance(answer, Distribution):
        return False
    return subject.likelihood.name == "bernoulli" or subject.likelihood.sigma is not None


@torch.no_grad()
def table(subject: Subject, x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z) of all images (batch, …) at all nodes z (n, latent): (n, batch), in nats."""
    answer = subject.decoded(z)
    if not is_plain(subject):
        rows = [subject.score(image.expand(len(z), *image.shape), answer) for image in x]
        return torch.stack(rows, 1).double()
    flat = answer.reshape(len(z), -1).double()  # (n, pixels)
    target = x.reshape(len(x), -1).double()  # (batch, pixels)
    sigma = subject.likelihood.sigma
    if sigma is None:
        return flat @ target.mT - softplus(flat).sum(-1, keepdim=True)
    squares = torch.cdist(flat, target).square()  # (n, batch)
    return -0.5 * squares / sigma**2 - subject.pixels * math.log(sigma * math.sqrt(2 * math.pi))


def on_mesh(subject: Subject, x: Tensor, nodes: int) -> Exact:
    """log ∫ p(x|z) N(z; 0, I) dz by the trapezoidal rule, which converges fast for smooth ones.

    Its error is taken to be what every other node alone would have changed, which is many times
    more than the error of all nodes; and the prior's mass beyond at the largest likelihood seen.
    """
    latent = subject.latent
    rule = product(trapezoid(-REACH, REACH, nodes), latent)
    room = max(1, MOST_NUMBERS // (subject.pixels * len(x)))  # nodes at a time
    seen = torch.cat([table(subject, x, part) for part in rule.nodes.to(x.device).split(room)])
    mass = (log_prior(rule.nodes) + rule.weights.log()).to(seen)[:, None]  # (n, 1)
    even = torch.arange(nodes) % 2 == 0
    every_other = torch.cartesian_prod(*[even] * latent).reshape(-1, latent).all(-1)
    joint = seen + mass
    fine = joint.logsumexp(0)  # (batch,)
    coarse = joint[every_other.to(seen.device)].logsumexp(0) + latent * math.log(2)
    beyond = seen.amax(0) + math.log(latent * math.erfc(REACH / math.sqrt(2))) - fine
    return Exact(fine, (fine - coarse).abs() + beyond.exp())


def exact(subject: Subject, x: Tensor) -> Exact:
    """log p(x) of a model with one or two latents; on a finer mesh where the first is too coarse.

    Raises NotGivenError for more latents.
    """
    if subject.latent not in MESHES:
        raise NotGivenError(f"log p(x) is summed for one or two latents, not for {subject.latent}")
    first, *finer = MESHES[subject.latent]
    found = on_mesh(subject, x, first)
    for nodes in finer:
        numbers = nodes**subject.latent * len(x) * subject.pixels
        if (found.error < MESH_ERROR).all() or not (numbers < DEAR or is_plain(subject)):
            break
        found = on_mesh(subject, x, nodes)
    return found


def known_exactly(subject: Subject) -> Known | None:
    """The data's first images with log p(x) on a mesh; None where too few of them are known."""
    images = EXACT_IMAGES if is_plain(subject) else DEAR_IMAGES
    seen = weigh(subject, subject.some(images), seed=3)
    found = exact(subject, seen.x)
    inside = seen.posterior.mean.abs().amax(-1) < REACH - 1  # their codes, (batch,)
    chosen = (found.error < MESH_ERROR) & inside
    if int(chosen.sum()) < ENOUGH:
        return None
    log_evidence = found.log_evidence[chosen]
    which = f"{len(log_evidence)} images whose log p(x) is summed on a mesh"
    elbo, weighted = seen.elbo[chosen], seen.bound[chosen]
    return Known(seen.x[chosen], elbo, log_evidence, log_evidence, weighted, which)


def exact_gap(subject: Subject) -> Iterator[Finding]:
    """log p(x) − ELBO where log p(x) is known, and what L_K sees of it."""
    if subject.latent not in MESHES:
        return
    found = subject.once(known_exactly)
    if found is None:
        raise NotGivenError("the mesh is too coarse for these posteriors, or does not reach them")
    lost = difference(found.high - found.elbo)
    much = lost.mean - ERRORS * lost.error > MUCH
    yield Finding(
        "exact gap",
        Verdict.LOOK if much else Verdict.SOUND,
        f"the encoder loses {lost} nats an image, of which L_{DRAWS} sees "
        f"{difference(found.weighted - found.elbo)} ({found.which})",
        SMALL_GAP,
        "The ELBO understates this model by so much: report log p(x), train the encoder longer, "
        "or give it more units or a full covariance.",
        "11-evaluation",
        lost.mean,
        lost.error,
        MUCH,
    )


# The model's own images


class Drawn(NamedTuple):
    """Latents from the prior, and an image that the model draws at each."""

    z: Tensor  # (batch, latent)
    x: Tensor  # (batch, …)


@torch.no_grad()
def own_images(subject: Subject, count: int, seed: int) -> Drawn:
    """z ~ N(0, I), x ~ p(x|z). NotGivenError where p(x|z) can be scored but not drawn from."""
    z = subject.noise(count, subject.latent, seed=seed)
    torch.manual_seed(seed)
    answer = subject.decoded(z)
    if isinstance(answer, Distribution):
        x = answer.sample()
    elif subject.likelihood.name == "bernoulli":
        x = answer.sigmoid().bernoulli()
    elif subject.likelihood.sigma is not None:
        x = answer + subject.likelihood.sigma * torch.randn_like(answer)
    elif subject.likelihood.name == "gaussian":
        raise NotGivenError("the σ of the Gaussian likelihood was not stated")
    else:
        raise NotGivenError("no image can be drawn from a likelihood given as a callable")
    return Drawn(z, x.reshape(count, *subject.event).to(subject.x.dtype))


def standardized(posterior: Posterior, z: Tensor) -> Tensor:
    """u with z = μ + L u: (batch, latent), which is N(0, I) for z from q itself."""
    if isinstance(posterior, DiagonalPosterior):
        return (z - posterior.mean) / (0.5 * posterior.log_variance).exp()
    offset = (z - posterior.mean)[..., None]  # (batch, latent, 1)
    return torch.linalg.solve_triangular(posterior.cholesky, offset, upper=False)[..., 0]


@torch.no_grad()
def jeffreys(subject: Subject, drawn: Drawn, posterior: Posterior) -> Tensor:
    """KL(p(z|x) ‖ q) + KL(q ‖ p(z|x)) for images that the model drew, without p(z|x): (batch,).

    One draw a term: the log-weight of the z behind the image, less its average under q. Only the
    mean over images is no less than 0. Zero is q = p(z|x) at almost all images of the model.
    """
    noise = subject.noise(OWN_DRAWS, len(drawn.x), subject.latent, seed=5)
    below = subject.log_weight(drawn.x, posterior, noise).mean(0)  # (batch,)
    score = subject.log_likelihood(drawn.x, drawn.z[None])
    return log_weight(score, posterior, drawn.z[None])[0] - below


@torch.no_grad()
def calibration(subject: Subject) -> Iterator[Finding]:
    """Whether q covers the z behind the model's own images as often as it says."""
    count = max(5 * FEWEST, min(OWN, NUMBERS // (OWN_DRAWS * subject.pixels)))
    drawn = own_images(subject, count, seed=4)
    posterior = subject.posterior(drawn.x)
    yield covers(standardized(posterior, drawn.z))
    yield agrees(difference(jeffreys(subject, drawn, posterior)))


def covers(u: Tensor) -> Finding:
    """Coverage of 90 % intervals, and the mean square of u (batch, latent).

    q = N(0, I) for every image would cover perfectly, so that it acquits nothing. That u is
    not N(0, I) is no fault in itself: of a nonlinear model the best Gaussian q is not either.
    """
    covered = (u.abs() < QUANTILE).double().mean(1)  # (batch,), an average over latents
    by_latent = (u.abs() < QUANTILE).double().mean(0)  # (latent,)
    square, error = mean_and_error(u.square())  # (latent,) each
    coverage = difference(covered)
    wide = bool((square + ERRORS * error < WIDE).any())
    rare = coverage.mean + ERRORS * coverage.error < RARELY
    reason = (
        "q = N(0, I) would cover as well, so this alone acquits nothing; and a q trained on data "
        "need not be right for images of the model."
    )
    if wide:
        reason = (
            "q is wider than the posterior, which the best q never is: is a log-deviation taken "
            "for a log-variance, or the encoder hardly trained?"
        )
    elif rare:
        reason = (
            "q is far too sure on images that the model draws: they are not like its data, or q "
            "is too narrow there. Do not read its deviations as errors."
        )
    return Finding(
        "calibration",
        Verdict.LOOK if wide or rare else Verdict.CANNOT_TELL,
        f"90 % intervals of q hold {with_error(100 * coverage.mean, 100 * coverage.error, '.0f')} "
        f"% of the z behind the model's own images, {number(100 * by_latent.min(), '.0f')} % at "
        f"the worst latent; the mean of ((z − μ)/σ)² is {number(square.min(), '.3g')} to "
        f"{number(square.max(), '.3g')} by latent",
        "90 % of them, and a mean square of 1",
        reason,
        "11-evaluation",
        coverage.mean,
        coverage.error,
        RARELY,
    )


def agrees(apart: Difference) -> Finding:
    """The two divergences between q and the posterior, added, on the model's own images."""
    verdict, reason = Verdict.CANNOT_TELL, (
        "The encoder was never shown such images, and many a sound one is wrong there: do not "
        "rely on its codes of images unlike the data."
    )  # fmt: skip
    if apart.mean < -apart.limit:
        verdict, reason = Verdict.WRONG, (
            "This sum cannot be negative: the decoder's distribution draws other images than its "
            "log-probability describes."
        )  # fmt: skip
    elif apart.mean + ERRORS * apart.error < MUCH:
        verdict, reason = Verdict.SOUND, "q is the posterior, nearly, of the model's own images."
    elif apart.mean - ERRORS * apart.error > FAR:
        verdict, reason = Verdict.LOOK, (
            "The model's images are unlike its data, or the encoder does not belong to this "
            "decoder: look at the samples, and at how images are scaled."
        )  # fmt: skip
    return Finding(
        "own images",
        verdict,
        f"KL(p ‖ q) + KL(q ‖ p) is {apart} nats between q and the posterior, on images that the "
        "model draws",
        f"below {MUCH:.0f}",
        reason,
        "03-decomposition",
        apart.mean,
        apart.error,
        MUCH,
    )


# Bounds


def known(subject: Subject) -> Known:
    """Images whose log p(x) is known: the data's, on a mesh, or the model's own, between bounds."""
    if subject.latent in MESHES:
        found = subject.once(known_exactly)
        if found is not None:
            return found
    drawn = own_images(subject, affordable(subject), seed=6)
    seen = weigh(subject, drawn.x, seed=7)
    with torch.no_grad():
        score = subject.log_likelihood(drawn.x, drawn.z[None])
    behind = log_weight(score, seen.posterior, drawn.z[None])  # (1, batch)
    high = importance_weighted_bound(torch.cat([behind, seen.log_weight[1:]]))
    which = f"{len(high)} images that the model draws, whose log p(x) lies between two bounds"
    return Known(drawn.x, seen.elbo, seen.bound, high, seen.bound, which)


def bound(subject: Subject) -> Iterator[Finding]:
    """Whether minus the caller's loss is a bound on log p(x)."""
    subject.loss  # noqa: B018, which was given, or the check ends here
    found = subject.once(known)
    minus = minus_loss(subject, found.x)  # (batches,)
    above = difference(minus - averages(found.high))
    beside = difference(minus - averages(found.elbo))
    verdict, reason = elbo_or_not(subject, minus, found)
    yield Finding(
        "bound",
        verdict,
        f"minus the loss lies {_over(above)} log p(x) and {_over(beside)} the ELBO, in nats an "
        f"image ({found.which})",
        "at the ELBO, below log p(x)",
        reason,
        "04-bounds",
        above.mean,
        above.error,
        above.limit,
    )


def elbo_or_not(subject: Subject, minus: Tensor, found: Known) -> tuple[Verdict, str]:
    """What minus the loss (batches,) is: the ELBO, in some unit; above log p(x); or neither.

    Where the KL is near 0 a mean over pixels of the error alone looks like the ELBO in nats a
    pixel, and neither can be told.
    """
    above = difference(minus - averages(found.high))
    left_out = constant(subject)
    with torch.no_grad():
        kl = float(subject.posterior(found.x).kl_to_prior().mean())
    for factor, unit in units(subject):
        beside = difference(factor * minus - averages(found.elbo))
        if abs(beside.mean) < beside.limit < MUCH:
            if factor == 1 or kl > LITTLE:
                within = f"as far as {number(beside.limit, '.2f')} nats can tell"
                return Verdict.SOUND, f"It is the ELBO in {unit}, {within}."
            return Verdict.CANNOT_TELL, (
                f"It is the ELBO in {unit}, or its error alone is in that unit, which would "
                "explain why the KL is near 0. Where it is, the two look the same."
            )
        if left_out and factor == 1 and abs(beside.mean - left_out) < beside.limit < MUCH:
            verdict = Verdict.LOOK if above.mean > above.limit else Verdict.SOUND
            return verdict, (
                f"It is the ELBO but for the Gaussian's constant, {number(left_out, '.1f')} nats. "
                "Training at a fixed σ does not mind; do not compare it over σ, or call it log "
                "p(x)."
            )
    if above.mean > above.limit:
        return Verdict.WRONG, (
            "Your bound lies above log p(x), so it is none. Usual causes: a mean over pixels in "
            "place of their sum, a KL with the wrong sign or a weight below 1, or another σ."
        )
    return Verdict.CANNOT_TELL, (
        "A loss that lies below the ELBO may be weighed otherwise, or leave out a constant; and "
        "one that varies much from draw to draw cannot be told from it."
    )


def units(subject: Subject) -> tuple[tuple[float, str], ...]:
    """Units in which people state a bound, and what turns them into nats an image."""
    bit = math.log(2)
    return (
        (1.0, "nats an image"),
        (subject.pixels, "nats a pixel"),
        (bit, "bits an image"),
        (subject.pixels * bit, "bits a pixel"),
    )


def constant(subject: Subject) -> float:
    """What a Gaussian loss gains by leaving log σ√(2π) out of each pixel; 0 for others, nats."""
    try:
        sigma = subject.likelihood.sigma
    except NotGivenError:  # the decoder's own distribution says it all
        return 0.0
    return subject.pixels * math.log(sigma * math.sqrt(2 * math.pi)) if sigma else 0.0


def averages(nats: Tensor) -> Tensor:
    """Means over the batches in which `minus_loss` splits its images: (batch,) to (batches,)."""
    return torch.stack([part.mean() for part in nats.tensor_split(BATCHES)])


def minus_loss(subject: Subject, x: Tensor) -> Tensor:
    """Minus the caller's loss of each of BATCHES batches, a mean over their images: (BATCHES,)."""
    torch.manual_seed(8)
    size = per_image(subject, x)
    rows = [
        torch.stack([-subject.loss_of(part).detach().double() for _ in range(REPEATS)]).mean()
        / (len(part) if size == "sum" else 1)
        for part in x.tensor_split(BATCHES)
    ]
    return torch.stack(rows)


def per_image(subject: Subject, x: Tensor) -> str:
    """ "mean" or "sum": what the loss does over a batch, as it was read; else by its values."""
    reading = read(subject)
    charged = charges(reading.fits)
    if reading.readable and charged.error_exponent == charged.kl_exponent:
        words = {0.0: "mean", 1.0: "sum"}
        if charged.error_exponent in words:
            return words[charged.error_exponent]
    return by_taking_twice(subject, x)


def by_taking_twice(subject: Subject, x: Tensor) -> str:
    """ "mean" or "sum", by the losses of some images and of the same taken twice.

    Raises NotGivenError where their noise, or neither of the two, leaves it open.
    """
    once, twice = (
        torch.stack([subject.loss_of(images).detach().double() for _ in range(REPEATS)])
        for images in (x, torch.cat([x, x]))
    )  # (REPEATS,) each
    found = []
    for word, times in (("mean", 1), ("sum", 2)):
        noise = ((twice.var() + times**2 * once.var()) / REPEATS).sqrt()
        allowed = torch.maximum(ERRORS * noise, TWICE * once.mean().abs())
        if (twice.mean() - times * once.mean()).abs() < allowed:
            found.append(word)
    if len(found) != 1:
        ratio = number(twice.mean() / once.mean(), ".2f")
        raise NotGivenError(
            "whether the loss is a mean or a sum over its batch is not clear: of a batch taken "
            f"twice it is {ratio} times as large"
        )
    return found[0]


def _over(apart: Difference) -> str:
    word = "above" if apart.mean > 0 else "below"
    return f"{with_error(abs(apart.mean), apart.error, '.2f')} {word}"


# The caller's estimator


def estimator(subject: Subject) -> Iterator[Finding]:
    """The caller's estimate of log p(x) where it is known, pair by pair."""
    subject.estimate  # noqa: B018, which was given, or the check ends here
    found = subject.once(known)
    torch.manual_seed(9)
    seen = subject.estimate_of(found.x).detach()
    above, beside = difference(seen - found.high), difference(seen - found.elbo)
    verdict, reason = Verdict.CANNOT_TELL, (
        "It lies between the ELBO and log p(x), as an average of few weights does."
    )  # fmt: skip
    wrong = above.mean > above.limit or beside.mean < -beside.limit or too_often(seen, found)
    if wrong:
        verdict, reason = Verdict.WRONG, cause(subject, seen, found)
    elif abs(beside.mean) < beside.limit and above.mean < -above.limit:
        verdict, reason = Verdict.LOOK, (
            "It is the ELBO: a mean of the logs of weights. The log of their mean is nearer to "
            "log p(x): use logsumexp over the draws, less the log of their number."
        )  # fmt: skip
    elif abs(above.mean) + ERRORS * above.error < LITTLE / 2:
        within = abs(above.mean) + ERRORS * above.error
        verdict, reason = (
            Verdict.SOUND,
            f"It is log p(x), as far as {number(within, '.2f')} nats can tell.",
        )
    yield Finding(
        "estimate",
        verdict,
        f"the estimate lies {_over(above)} log p(x) and {_over(beside)} the ELBO, in nats an image "
        f"({found.which})",
        "between them",
        reason,
        "05-weights",
        above.mean,
        above.error,
        above.limit,
    )


def too_often(seen: Tensor, found: Known) -> bool:
    """Whether an estimate lies MUCH above a log p(x) that is known, more often than one may.

    A sound estimate is on average p(x), or less, on the scale of p; so it lies t nats above
    log p(x) with a probability of at most exp(−t). It sees errors that cancel over images.
    """
    if not torch.equal(found.low, found.high):
        return False
    chance = math.exp(-MUCH)
    error = math.sqrt(chance * (1 - chance) / len(seen))
    return float((seen - found.high > MUCH).double().mean()) > chance + ERRORS * error


def cause(subject: Subject, seen: Tensor, found: Known) -> str:
    """What would bring a wrong estimate nearest to log p(x), image by image, in words."""
    middle = (found.low + found.high) / 2  # (batch,)
    offset = seen - middle
    off = float(offset.median())
    count = (
        f"Most images are off by about the same {number(off, '.2f')} nats, the log of "
        f"{number(math.exp(abs(off)), '.3g')}: is a sum over draws divided by the wrong count?"
    )
    guesses = {count: offset - off}
    for sign, turned in ((1, "It is"), (-1, "Its sign is turned: it is −log p(x),")):
        for factor, unit in units(subject):
            if sign * factor != 1:
                words = f"{turned} in {unit}. Return log p(x) in nats an image."
                guesses[words] = sign * factor * seen - middle
    apart = {words: float(left.abs().median()) for words, left in guesses.items()}
    best = min(apart, key=lambda words: apart[words])
    if apart[best] < LITTLE + float((found.high - found.low).median()):
        return best
    return (
        "An estimate of log p(x) is log mean p(x|z) p(z)/q(z|x) over draws of q: look at each of "
        "the three terms, their signs, and sums over pixels and latents."
    )


# A likelihood of one's own


class Mass(NamedTuple):
    """∫ p(x|z) dx at one z over one range of the pixels, and whether that is all of it."""

    log_mass: float  # nats
    error: float  # nats, by which every other node alone would be off
    closed: bool  # the density is nothing at both ends of the range


def mass(subject: Subject, x: Tensor, z: Tensor, rule: Rule) -> Mass:
    """log ∫ p(x|z) dx over all pixels at z (latent,), from the values near one image x (…).

    Where p(x|z) is a product over pixels, ∫ p(t|z) dt of one pixel, the others held, is known
    relative to p(x|z). The product of these over all pixels is 1 / p(x|z) for a density. Of a
    mixture of products only the part that x belongs to is seen.
    `rule` are the values of a pixel, and their weights in the integral (or the sum) over them.
    """
    pixels, count = subject.pixels, len(rule.nodes)
    varied = x.flatten().expand(pixels, count, pixels).clone()
    each = torch.arange(pixels)
    varied[each, :, each] = rule.nodes.to(x)
    score = torch.cat([
        subject.log_likelihood(part, z.expand(1, len(part), -1))[0]
        for part in varied.reshape(-1, *x.shape).split(ROWS)
    ]).reshape(pixels, count)  # fmt: skip
    here = subject.log_likelihood(x[None], z.expand(1, 1, -1))[0, 0]
    shares = score - here + rule.weights.log().to(score)  # (pixels, n)
    whole = here + shares.logsumexp(1).sum()
    half = here + (shares[:, ::2].logsumexp(1) + math.log(2)).sum()
    ends = score[:, [0, -1]].amax(1) - score.amax(1)  # (pixels,)
    return Mass(float(whole), float((whole - half).abs()), bool((ends < NOTHING).all()))


def masses_on(subject: Subject, x: Tensor, z: Tensor, rule: Rule) -> list[Mass]:
    """The integral at each z (n, latent), near each image x (n, …)."""
    return [mass(subject, *pair, rule) for pair in zip(x, z, strict=True)]


def masses_on_the_line(subject: Subject, x: Tensor, z: Tensor) -> list[Mass]:
    """The same over the real line: a range that grows until the density is nothing at its ends.

    Empty where the likelihood refuses values that no image has, or does not come to an end.
    """
    low, high = float(subject.x.min()), float(subject.x.max())
    for spans in SPANS:
        margin = spans * (high - low)
        try:
            found = masses_on(subject, x, z, trapezoid(low - margin, high + margin, STEPS))
        except AnswerError:
            return []
        if all(each.closed for each in found):
            return found
    return []


def log_masses(subject: Subject, x: Tensor, z: Tensor) -> Tensor | None:
    """log ∫ p(x|z) dx at each z (n, latent), near each image x (n, …): (n,). None if not known.

    Binary pixels are summed over. Others lie on the real line, or in [0, 1]: what is nearer to a
    density is believed.
    """
    if ((subject.x == 0) | (subject.x == 1)).all():
        two = torch.tensor([0.0, 1.0], dtype=torch.float64)
        both = masses_on(subject, x, z, Rule(two, torch.ones_like(two)))
        return torch.tensor([each.log_mass for each in both])
    unit = bool(subject.x.min() >= 0 and subject.x.max() <= 1)
    ranges = [masses_on_the_line(subject, x, z)]
    ranges += [masses_on(subject, x, z, trapezoid(0.0, 1.0, STEPS))] if unit else []
    sure = [part for part in ranges if part and max(each.error for each in part) < SLACK]
    found = [torch.tensor([each.log_mass for each in part]) for part in sure]
    return min(found, key=lambda masses: float(masses.abs().max()), default=None)


@torch.no_grad()
def is_product(subject: Subject, x: Tensor, other: Tensor, z: Tensor) -> bool:
    """Whether log p(x|z) is a sum over pixels: what two halves of other pixels add, adds up."""
    half = torch.arange(subject.pixels).reshape(x.shape) % 2 == 0
    four = torch.stack([x, torch.where(half, other, x), torch.where(half, x, other), other])
    here, first, second, both = subject.log_likelihood(four, z.expand(1, 4, -1))[0].tolist()
    rounding = torch.finfo(x.dtype).eps * subject.pixels * max(abs(here), abs(both))
    return abs(both + here - first - second) < SLACK + rounding


def normalized(subject: Subject) -> Iterator[Finding]:
    """Whether a likelihood that the caller wrote is a density of x at every z."""
    with torch.no_grad():
        answer = subject.decoded(subject.noise(1, subject.latent, seed=0))
    if isinstance(answer, Distribution) or subject.likelihood.name != "own":
        return  # a density by itself
    x = subject.some(TRIED)
    if STEPS * subject.pixels**2 * TRIED > NUMBERS:
        raise NotGivenError("an image has too many pixels to integrate over each of them")
    with torch.no_grad():
        z = subject.posterior(x).mean
        if not all(map(is_product, [subject] * len(x), x, x.roll(1, 0), z)):
            raise NotGivenError(
                "the likelihood is no product over pixels, which hides its integral"
            )
        masses = log_masses(subject, x, z)
    if masses is None:
        raise NotGivenError("the likelihood goes on beyond the range of the data, or is too narrow")
    verdict, reason = Verdict.WRONG, (
        "A decoder can raise this integral in place of fitting x. Usual causes: log σ left out "
        "where σ depends on z, or a cross-entropy of pixels that are grey."
    )  # fmt: skip
    if masses.abs().max() < SLACK:
        verdict, reason = Verdict.SOUND, "It is a density of x."
    elif masses.max() - masses.min() < SLACK:
        verdict, reason = Verdict.LOOK, (
            "A constant is left out. Training does not mind unless σ is learned, which then "
            "grows without end; do not compare such a bound over σ, or call it log p(x)."
        )  # fmt: skip
    yield Finding(
        "likelihood",
        verdict,
        f"log ∫ p(x|z) dx is {number(masses.min(), '.2f')} to {number(masses.max(), '.2f')} nats "
        f"at the codes of {len(x)} images",
        "0",
        reason,
        "06-gaussians",
        float(masses[masses.abs().argmax()]),
        limit=SLACK,
    )


CHECKS: tuple[Check, ...] = (
    Check("likelihood", "06-gaussians", normalized),
    Check("bound", "04-bounds", bound),
    Check("estimate", "05-weights", estimator),
    Check("posterior", "05-weights", weights),
    Check("exact gap", "11-evaluation", exact_gap),
    Check("own images", "03-decomposition", calibration),
)
