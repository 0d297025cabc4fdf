"""Checks of the loss as it is trained: what an image's error and its KL are charged."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_tutorial.audit.findings import Finding, Verdict, number, with_error
from vae_tutorial.audit.reading import (
    BATCHES,
    EXACT,
    ROUNDS,
    SEED,
    SIZES,
    SMALL,
    SURE,
    UNEXPLAINED,
    Charges,
    Reading,
    charges,
    read,
    set_training,
)
from vae_tutorial.audit.subject import Check, Subject, is_discrete, spectrum
from vae_tutorial.audit.terms import (
    ABSOLUTE,
    AT_THE_MEAN,
    DRAWN,
    FORMULAS,
    IN_NATS,
    LOGITS,
    OWN,
    PROBABILITIES,
    ROOT,
    SIGMOID,
    SQUARED,
    STILL,
    THE_CALLERS,
    likelihood_of,
    seed_noise,
)
from vae_tutorial.models import DiagonalPosterior, Posterior, log_prior

STATED_MARGIN = 1.1  # a stated σ² and the trained one, apart by less than 10 %, agree
WHOLE = 0.01  # a part by which a weight may miss the whole number that was meant
BETA_MARGIN = 1.02  # a β that was meant differs from 1 by more than 2 %
FAR = 3.0  # σ² and the mean squared error agree within this factor on models trained briefly
SPREAD_MARGIN = 2.0  # σ² beyond twice the largest eigenvalue: no latent pays, in a linear model
MOST_FOR_SCALE = 500  # images
FEW_FOR_EIGENVALUES = 40  # images, below which no eigenvalue is known well enough
MOST_FOR_KL = 256  # images of the average KL
DRAWS_FOR_KL = 64  # of each: the closed form is told from others to 0.1 nats
RELATIVE_ROUNDING = 1e-6  # of a mean of float32's
GREY_LEVELS = 255
LEAST_NATS = 0.01  # an image: below it no power of ten is written
CONSTANT_MARGIN = 0.01  # nats an image: a constant that was meant is as near as that


class Scale(NamedTuple):
    """What images and reconstructions are like, an average over images as they are."""

    squared: float  # (x − f(z))² of a pixel
    absolute: float  # |x − f(z)| of a pixel
    low: float  # of all pixels
    high: float

    @property
    def unit_interval(self) -> bool:
        """Whether pixels lie in [0, 1]."""
        return self.low >= 0 and self.high <= 1


def scale_of(subject: Subject) -> Scale:
    """The errors of a pixel when z is drawn, and the range of the images."""
    x = subject.some(MOST_FOR_SCALE)
    with torch.no_grad():
        posterior = subject.posterior(x)
        z = posterior.draw(subject.noise(1, *posterior.mean.shape, seed=SEED))[0]
        rest = x.reshape(len(x), -1).double() - _picture(subject, z)
    flat = x.reshape(len(x), -1).double()
    return Scale(
        rest.square().mean().item(),
        rest.abs().mean().item(),
        flat.min().item(),
        flat.max().item(),
    )


def _picture(subject: Subject, z: Tensor) -> Tensor:
    """What was decoded, or the sigmoid of it where the loss compares that with the image."""
    answer = subject.decoded(z)
    if isinstance(answer, Distribution):
        answer = answer.mean
    flat = answer.reshape(len(z), -1).double()
    return flat.sigmoid() if read(subject).error in (SIGMOID, LOGITS) else flat


def _found(
    check: str,
    verdict: Verdict,
    measured: str,
    expected: str,
    reason: str,
    chapter: str = "13-rate-distortion",
    /,
    value: float = math.nan,
    standard_error: float = math.nan,
    limit: float = math.nan,
) -> Finding:
    numbers = (value, standard_error, limit)
    return Finding(check, verdict, measured, expected, reason, chapter, *numbers)


# Check 2: the KL that the loss uses


def drawn_kl(posterior: Posterior, noise: Tensor) -> Tensor:
    """log q(z|x) − log p(z) at draws by noise (K, batch, latent): (K, batch), in nats.

    log q is taken by the noise and the volume of its map, which holds where σ is so small that z
    rounds to the mean.
    """
    volume = posterior.root.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # (batch,)
    return log_prior(noise) - volume - log_prior(posterior.draw(noise))


def closed_form(subject: Subject) -> Iterator[Finding]:
    """The formula by which the loss charges the KL, against an average of draws."""
    reading = read(subject)
    charged = charges(reading.fits)
    with torch.no_grad():
        x = subject.some(MOST_FOR_KL)
        posterior = subject.posterior(x)
        noise = subject.noise(DRAWS_FOR_KL, *posterior.mean.shape, seed=SEED)
        ratios = drawn_kl(posterior, noise).mean(-1)  # (draws,), each an average over images
        used = _used(reading.kl, posterior)  # (batch,)
    error = (ratios.std() / math.sqrt(DRAWS_FOR_KL)).item()
    drawn, formula = ratios.mean().item(), used.mean().item()
    limit = max(SURE * error, RELATIVE_ROUNDING * abs(drawn))
    numbers = {"value": formula - drawn, "standard_error": error, "limit": limit}
    form, of_error = (
        (".4f", ".4f") if max(abs(formula), abs(drawn)) < LEAST_NATS else (".4g", ".2g")
    )
    measured = f"{number(formula, form)} nats an image by the loss's formula"
    expected = f"{with_error(drawn, error, form, of_error)}, by {DRAWS_FOR_KL} draws an image"
    chapter = "06-gaussians"
    if reading.formula_is_wrong:
        yield _wrong_formula(reading, measured, expected, chapter, numbers)
    elif not reading.exact or abs(charged.kl) <= SURE * charged.kl_se:
        why = (
            "Its weight is 0 within the error."
            if reading.exact
            else f"{_share(reading)} is neither an error that this audit knows nor a KL."
        )
        apart = "the loss's KL cannot be told from its other terms"
        yield _found("KL", Verdict.CANNOT_TELL, apart, expected, why, chapter)
    else:
        sound = abs(formula - drawn) <= limit
        yield _found(
            "KL",
            Verdict.SOUND if sound else Verdict.LOOK,
            measured,
            expected,
            "The formula is the closed form, but draws say otherwise: a few images dominate.",
            chapter,
            **numbers,
        )


def _wrong_formula(
    reading: Reading, measured: str, expected: str, chapter: str, numbers: dict[str, float]
) -> Finding:
    reason = (
        f"The loss's KL is not ½ Σ (μ² + σ² − 1 − log σ²): it fits with “{reading.kl}”. Write "
        "it by the log-variance: 0.5 * (mean**2 + log_var.exp() - 1 - log_var)."
    )
    if reading.kl == reading.draw:  # loss and draw agree, against what encode was said to return
        reason = (
            f"Loss and draw agree on another reading of encode: “{reading.kl}”. If that is meant, "
            "give the audit an encode that returns log σ²; every other line reads it wrongly."
        )
    return _found("KL", Verdict.WRONG, measured, expected, reason, chapter, **numbers)


def _used(kl: str, posterior: Posterior) -> Tensor:
    if kl in FORMULAS and isinstance(posterior, DiagonalPosterior):
        return FORMULAS[kl](posterior.mean, posterior.log_variance)
    return posterior.kl_to_prior()


# Check 1: the exchange rate


def exchange(subject: Subject) -> Iterator[Finding]:
    """What the loss charges for an error and for a nat of KL, and the model that this trains."""
    reading = read(subject)
    if not reading.readable:
        yield _no_bound(reading)
        return
    charged = charges(reading.fits)
    if reading.draw not in (DRAWN, THE_CALLERS) and reading.draw != reading.kl:
        yield _other_draw(reading)
    if reading.formula_is_wrong:
        why = "The loss has another KL, so its weight means no σ and no β. Mend the KL first."
        yield _found("exchange rate", Verdict.CANNOT_TELL, f"KL: {reading.kl}", "", why)
        return
    yield from _reduction(charged)
    scale = subject.once(scale_of)
    fault = _weight_fault(subject, reading, charged, scale)
    if fault is not None:
        yield fault
        return
    yield from _rate(subject, reading, charged, scale)


def _share(reading: Reading) -> str:
    """What is not explained of a loss, in words."""
    share = number(100 * reading.unexplained, ".3g")
    return f"{share}% of the loss's variance over {2 * BATCHES} batches"


def _no_bound(reading: Reading) -> Finding:
    share = f"{_share(reading)} is neither an error that this audit knows nor the KL"
    if reading.from_noise > 0.5 * reading.unexplained:
        return _found(
            "exchange rate",
            Verdict.CANNOT_TELL,
            share,
            "",
            "Most of that is the noise of draws. Let loss draw its noise from torch's own state.",
            value=reading.unexplained,
            limit=UNEXPLAINED,
        )
    return _found(
        "exchange rate",
        Verdict.LOOK,
        share,
        f"at most {UNEXPLAINED:.0%}, and little beside the KL",
        "The loss is no weighted sum of an error and the KL, so it is not the ELBO. Perceptual and "
        "adversarial terms do that, free bits, clipped values, and a bound of several draws "
        "(IWAE), which is a bound all the same.",
        "04-bounds",
        value=reading.unexplained,
        limit=UNEXPLAINED,
    )


def _other_draw(reading: Reading) -> Finding:
    reasons = {
        AT_THE_MEAN: "The loss decodes the mean and never draws z, so it is no bound on log p(x) "
        "and the KL costs nothing but size. Draw: z = mean + (0.5 * log_var).exp() * noise.",
        STILL: "In training mode the loss is random, by draws or by dropout, but not as mean + σ · "
        "noise alone, so the rest is read of evaluation mode. Let the model draw there too.",
        "uniform noise": "The noise is uniform on [0, 1): torch.rand for torch.randn.",
    }
    usual = (
        "The loss draws with another deviation than σ = exp(½ log σ²), which the KL is of. "
        "Write (0.5 * log_var).exp()."
    )
    return _found(
        "loss's draw",
        Verdict.LOOK if reading.draw == STILL else Verdict.WRONG,
        f"z in the loss: {reading.draw}, which explains all but "
        f"{number(reading.unexplained, '.1g')} of the loss's variance",
        "mean + σ · noise, with standard normal noise and σ = exp(½ log σ²)",
        reasons.get(reading.draw, usual),
        "08-reparameterization",
        value=reading.unexplained,
        limit=EXACT,
    )


def _reduction(charged: Charges) -> Iterator[Finding]:
    """Whether error and KL grow alike with the batch, and how."""
    error, kl = charged.error_exponent, charged.kl_exponent
    names = {0.0: "an average over the batch", 1.0: "a sum over the batch"}
    if math.isnan(error) or math.isnan(kl):
        verdict, reason = Verdict.CANNOT_TELL, "The weights are not known well enough for it."
    elif error != kl:
        verdict = Verdict.WRONG
        reason = (
            "The KL's weight depends on the batch size. Reduce both terms alike: sum over an "
            "image, then average over the batch."
        )
    elif error in names:
        verdict, reason = Verdict.SOUND, ""
    else:
        verdict = Verdict.LOOK
        reason = (
            "The loss shrinks with the batch, as if it were divided by it twice. Adam does not "
            "notice; weight decay, clipping and a change of the batch size do."
        )

    def words(exponent: float) -> str:
        if math.isnan(exponent):
            return "not known"
        return names.get(exponent, f"grows like batch^{number(exponent, '.2g')}")

    yield _found(
        "reduction",
        verdict,
        f"error: {words(error)}; KL: {words(kl)}",
        "both alike",
        reason,
        "09-training",
        value=kl - error,
        limit=0.0,
    )


def _natural(reading: Reading, scale: Scale) -> float:
    """w / a where the noise of the likelihood is as large as the error that is left."""
    if reading.error in IN_NATS:
        return 1.0
    return scale.absolute if reading.error == ABSOLUTE else 2 * scale.squared


def _weight_fault(
    subject: Subject, reading: Reading, charged: Charges, scale: Scale
) -> Finding | None:
    """What is wrong with a weight's sign or size, or None."""
    rewarded = charged.kl < -SURE * charged.kl_se
    known = charged.error > SURE * charged.error_se
    if not (known or rewarded):
        return _no_error(reading, charged)
    natural = charged.error * _natural(reading, scale)
    measured = f"weight of the KL: {with_error(charged.kl, charged.kl_se, '.3g', '.2g')}"
    expected = f"about {number(natural, '.2g')}, and above 0" if known else "above 0"
    numbers = {"value": charged.kl, "standard_error": charged.kl_se, "limit": 0.0}
    if rewarded:
        reason = (
            "The KL is rewarded: its sign is turned round, and it grows without end. The loss is "
            "error + KL, with KL = 0.5 * (mean**2 + log_var.exp() - 1 - log_var) ≥ 0."
        )
        return _found("exchange rate", Verdict.WRONG, measured, expected, reason, **numbers)
    if charged.kl > SURE * charged.kl_se:
        return None
    if not reading.exact:
        return _no_bound(reading)
    if SURE * charged.kl_se > SMALL * natural:
        reason = "The KL of these images hardly differs: its weight cannot be read."
        return _found("exchange rate", Verdict.CANNOT_TELL, measured, expected, reason, **numbers)
    reason = (
        "The KL is not in the loss: an autoencoder, whose latents have no prior. A weight that "
        "is passed on but never used looks so, and so does a warm-up that stays at 0."
    )
    return _found("exchange rate", Verdict.WRONG, measured, expected, reason, **numbers)


def _no_error(reading: Reading, charged: Charges) -> Finding:
    return _found(
        "exchange rate",
        Verdict.WRONG if reading.exact else Verdict.CANNOT_TELL,
        f"weight of the error: {with_error(charged.error, charged.error_se, '.3g', '.2g')}",
        "above 0",
        "The loss does not charge what the decoder makes of z. Look for a sign, or for an error "
        "that is not of decode(z).",
        value=charged.error,
        standard_error=charged.error_se,
        limit=0.0,
    )


def _rate(subject: Subject, reading: Reading, charged: Charges, scale: Scale) -> Iterator[Finding]:
    if reading.error in (SQUARED, SIGMOID):
        yield _gaussian(subject, reading, charged, scale)
    elif reading.error in IN_NATS:
        yield _in_nats(subject, reading, charged)
    else:
        yield _other_error(reading, charged, scale)


def _formula(reading: Reading, charged: Charges) -> str:
    fit = "1" if reading.unexplained < EXACT else number(1 - reading.unexplained, ".4f")

    def added(weight: float, form: str) -> str:
        return f"{'+' if weight > 0 else '−'} {number(abs(weight), form)}"

    constant = ""
    if abs(charged.constant) > SURE * charged.constant_se:
        constant = f" {added(charged.constant, '.3g')}"
    return (
        f"loss = {number(charged.error, '.4g')} × {reading.error} {added(charged.kl, '.4g')} × KL"
        f"{constant}, by {2 * BATCHES} batches (R² = {fit})"
    )


def _is(weight: float, whole: float) -> bool:
    return math.isclose(weight, whole, rel_tol=WHOLE)


def _cause(subject: Subject, charged: Charges) -> str:
    """The reductions that the weights betray, in words."""
    pixels, latent = subject.pixels, subject.latent

    def averaged(weight: float, count: int) -> bool:
        return count > 1 and any(_is(weight * count, whole) for whole in (0.5, 1.0))

    causes = []
    if averaged(charged.error, pixels):
        causes.append(
            f"the error is an average over {pixels} pixels where the bound has a sum (sum over an "
            "image's pixels, then average over images)"
        )
    if averaged(charged.kl, latent):
        causes.append(
            f"the KL is an average over {latent} latents where the bound has a sum (sum over an "
            "image's latents, then average over images)"
        )
    return f" The weights say why: {', and '.join(causes)}." if causes else ""


def _gaussian(subject: Subject, reading: Reading, charged: Charges, scale: Scale) -> Finding:
    """The σ² that a squared error and a KL weight mean, against what is stated or left."""
    variance = charged.ratio / 2
    sigma = math.sqrt(variance)
    levels = round(GREY_LEVELS * sigma, 2 - math.floor(math.log10(GREY_LEVELS * sigma)))
    grey = f", {number(levels, ',g')} grey levels" if scale.unit_interval else ""
    measured = f"{_formula(reading, charged)}: trained with σ = {number(sigma, '.3g')}{grey}"
    numbers = {"value": variance, "standard_error": variance * charged.relative_se}
    stated = likelihood_of(subject)
    if stated is not None and stated.name == "bernoulli":
        return _unlike_stated(
            reading, measured, "a cross-entropy of logits, as a Bernoulli has", numbers
        )
    if stated is not None and stated.sigma is not None:
        return _against_stated(measured, stated.sigma, charged, numbers)
    expected = f"σ² near the mean squared error, {number(scale.squared, '.3g')} a pixel"
    cause = _cause(subject, charged)
    eigenvalues, images = subject.once(spectrum)
    largest = eigenvalues[0].item()
    if images >= FEW_FOR_EIGENVALUES and variance > SPREAD_MARGIN * largest:
        reason = (
            f"A decoder with σ² = {number(variance, '.3g')} has no use for any latent: the largest "
            f"eigenvalue of {images} images is {number(largest, '.3g')}. The KL goes to 0. Give "
            f"the KL less weight, or the error more.{cause}"
        )
        numbers["limit"] = SPREAD_MARGIN * largest
        return _found("exchange rate", Verdict.WRONG, measured, expected, reason, **numbers)
    times = variance / scale.squared
    far = max(times, 1 / times) > FAR
    surer = "less sure" if times > 1 else "surer"
    warm = "" if times > 1 else " A warm-up of the KL that never arrives looks so too."
    reason = (
        f"Your loss is the bound of a decoder {number(max(times, 1 / times), '.3g')} times {surer} "
        f"than its errors are (in σ²). Best is σ² = the mean squared error.{warm}{cause}"
    )
    numbers["limit"] = FAR * scale.squared if times > 1 else scale.squared / FAR
    verdict = Verdict.LOOK if far else Verdict.SOUND
    return _found("exchange rate", verdict, measured, expected, reason, **numbers)


def _against_stated(
    measured: str, sigma: float, charged: Charges, numbers: dict[str, float]
) -> Finding:
    apart = math.log(charged.ratio / 2 / sigma**2)
    limit = max(math.log(STATED_MARGIN), SURE * charged.relative_se)
    surer = "less sure" if apart > 0 else "surer"
    return _found(
        "exchange rate",
        Verdict.WRONG if abs(apart) > limit else Verdict.SOUND,
        measured,
        f"σ = {number(sigma, '.3g')}, as stated",
        f"Your loss is the bound of a decoder {number(math.exp(abs(apart)), '.3g')} times {surer} "
        "(in σ²) than it says. Weigh the squared error by 1 / 2σ², summed over pixels, and the KL "
        "by 1.",
        **numbers,
        limit=sigma**2 * math.exp(math.copysign(limit, apart)),
    )


def _unlike_stated(
    reading: Reading, measured: str, expected: str, numbers: dict[str, float]
) -> Finding:
    return _found(
        "exchange rate",
        Verdict.LOOK if reading.averaged else Verdict.WRONG,
        measured,
        expected,
        "The likelihood that was stated is not the one that was trained. State the one that the "
        "loss has, or mend the loss; every other line depends on it.",
        **numbers,
    )


def _in_nats(subject: Subject, reading: Reading, charged: Charges) -> Finding:
    """β, the weight of the KL where the error is a −log p."""
    beta, error = charged.ratio, charged.ratio * charged.relative_se
    measured = f"{_formula(reading, charged)}: β = {with_error(beta, error, '.4g', '.2g')}"
    numbers = {"value": beta, "standard_error": error}
    stated = likelihood_of(subject)
    name = stated.name if stated else ""
    if name == "bernoulli" and reading.error == PROBABILITIES:
        expected = "logits from decode, under a Bernoulli"
        return _unlike_stated(reading, measured, expected, numbers)
    if name == "gaussian" and reading.error in (LOGITS, PROBABILITIES):
        return _unlike_stated(reading, measured, "a squared error, as a Gaussian has", numbers)
    limit = max(BETA_MARGIN - 1, SURE * error)
    meant, off = "Unless β is meant, the", Verdict.LOOK
    if subject.pixels > 1 and _is(charged.error * subject.pixels, 1) and _is(charged.kl, 1):
        meant, off = "The", Verdict.WRONG  # nobody states a β that is the number of pixels so
    low = " A warm-up that never arrives ends so." if beta < 1 else ""
    reason = (
        f"{meant} loss is not the bound: it charges a nat of KL {number(beta, '.3g')} times."
        f"{low}{_cause(subject, charged)}"
    )
    return _found(
        "exchange rate",
        Verdict.SOUND if abs(beta - 1) <= limit else off,
        measured,
        "β = 1 for a bound on log p(x)",
        reason,
        "10-choices",
        **numbers,
        limit=1 + math.copysign(limit, beta - 1),
    )


def _other_error(reading: Reading, charged: Charges, scale: Scale) -> Finding:
    """A Laplace's scale for an absolute error; a root is an error of no usual likelihood."""
    measured = f"{_formula(reading, charged)}: w / a = {number(charged.ratio, '.3g')}"
    numbers = {"value": charged.ratio, "standard_error": charged.ratio * charged.relative_se}
    if reading.error == ROOT:
        reason = "The root of a squared error is no pixel's log-likelihood. Leave the root out."
        return _found("exchange rate", Verdict.LOOK, measured, "no root", reason, **numbers)
    times = charged.ratio / scale.absolute
    return _found(
        "exchange rate",
        Verdict.LOOK if max(times, 1 / times) > FAR else Verdict.SOUND,
        measured,
        f"the scale of a Laplace, near the mean absolute error, {number(scale.absolute, '.3g')} a "
        "pixel",
        f"Your loss is the bound of a Laplace decoder whose scale is {number(times, '.3g')} times "
        "its error.",
        **numbers,
    )


# Units


def units(subject: Subject) -> Iterator[Finding]:
    """−ELBO in nats an image and bits a dimension, and the constant that the loss leaves out."""
    reading = read(subject)
    if not reading.exact or reading.formula_is_wrong:
        return  # of which the checks above have said why
    charged, scale = charges(reading.fits), subject.once(scale_of)
    alike = charged.error_exponent == charged.kl_exponent
    if not alike or _weight_fault(subject, reading, charged, scale) is not None:
        return
    pixels = subject.pixels
    if reading.error == SQUARED:
        unit = charged.kl  # of the loss, a nat
        full = 0.5 * pixels * math.log(math.pi * charged.ratio)  # D/2 log 2πσ², 2σ² = w / a
        half = 0.5 * pixels * math.log(2 * math.pi)
        usual = {"all": full, "none": 0.0, "all but D/2 log 2π": full - half}
    elif reading.error in (OWN, LOGITS):
        unit, full, usual = charged.error, 0.0, {"all": 0.0}
    else:
        return
    present, error = charged.constant / unit, abs(charged.constant_se / unit)
    allowed = max(CONSTANT_MARGIN, SURE * error)
    part = next((name for name, value in usual.items() if abs(present - value) <= allowed), "")
    nats = _mean_loss(subject, reading, charged) / unit - present + full
    bits = nats / pixels / math.log(2)
    grey = reading.error == SQUARED and scale.unit_interval
    levels = f" ({number(bits + 8, '.3g')} at 256 grey levels)" if grey else ""
    most = uniform_bits(subject, reading, scale)
    constant = ""
    if not part:
        constant = f"; the loss has a constant of its own, {number(present, '.4g')} nats"
    elif full:
        has = f"{number(full, '.4g')} nats, the loss has {part}"
        constant = f"; of the likelihood's constant, {has}"
    worse = bits - SURE * error / pixels / math.log(2) > most
    verdict = Verdict.SOUND if part else Verdict.CANNOT_TELL
    yield _found(
        "units",
        Verdict.LOOK if worse else verdict,
        f"−ELBO {number(nats, '.4g')} nats an image, {number(bits, '.3g')} bits a dimension"
        f"{levels}{constant}",
        f"at most {number(most, '.3g')} bits a dimension, as a uniform code needs"
        if most < math.inf
        else "a value that other models' can be compared with",
        "Without any model, a uniform code of the pixels' range needs fewer bits than the model "
        "that this loss states. So the figure is no description length: the loss's σ or β is not "
        "that of the model, or the model is not trained. See the exchange rate."
        if worse
        else "The loss has a constant of its own, so its value compares with no other's.",
        value=nats,
        standard_error=error,
        limit=most * pixels * math.log(2),
    )


def uniform_bits(subject: Subject, reading: Reading, scale: Scale) -> float:
    """Bits a dimension of a code that knows the range of the pixels alone; ∞ where it has none.

    A pixel on or off costs one bit, and a uniform density over a range costs the log of its width:
    0 bits on [0, 1], which are 8 for a pixel that is stored in a byte.
    """
    if reading.error == LOGITS:
        return 1.0
    width = scale.high - scale.low
    answer = subject.decoded(subject.x.new_zeros(2, subject.latent))
    density = isinstance(answer, Distribution) and not is_discrete(subject)
    known = reading.error == SQUARED or density
    return math.log2(width) if known and width > 0 else math.inf


def _mean_loss(subject: Subject, reading: Reading, charged: Charges) -> float:
    """The loss an image of the first images, an average over draws."""
    x = subject.some(SIZES[1])
    set_training(subject, reading.training)
    losses = []
    for seed in range(ROUNDS):
        seed_noise(x, SEED + seed)
        losses.append(subject.loss_of(x).item())
    set_training(subject, False)
    grown = len(x) ** (charged.error_exponent if math.isfinite(charged.error_exponent) else 0.0)
    return sum(losses) / len(losses) / grown


CHECKS: tuple[Check, ...] = (
    Check("KL", "06-gaussians", closed_form),
    Check("exchange rate", "13-rate-distortion", exchange),
)
UNITS: tuple[Check, ...] = (Check("units", "13-rate-distortion", units),)
