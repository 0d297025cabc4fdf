"""The ledger of gradients: whether each term of the loss sends its own where it should."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from vae_tutorial.audit.findings import Finding, Verdict, number
from vae_tutorial.audit.reading import (
    EXACT,
    ROUNDS,
    SEED,
    SIZES,
    SMALL,
    SURE,
    Reading,
    read,
    row_of,
    set_training,
    stack,
)
from vae_tutorial.audit.regression import Fit, project, regress
from vae_tutorial.audit.subject import Check, Subject
from vae_tutorial.audit.terms import (
    DRAWN,
    LOSS,
    RIGHT,
    draw_with,
    error_terms,
    kl_terms,
    seed_noise,
)

LEDGER_BATCHES = 4  # of SIZES[1] images
MOST_NAMES = 4  # of parameters, that a line lists
TIGHT, LOOSE = 0.1, 0.5  # of a gradient's coefficient, with repeated noise and without
EXACT_GRADIENT = 1e-3  # relative rest where all of a gradient is accounted for, in float32

# What it means that a term sends no gradient

BLOCKED = {
    "decoder": "The decoder learns nothing from the error: it is computed under no_grad, or of a "
    "detached picture.",
    "error": "The error sends no gradient through z to the encoder, which is left with the KL and "
    "collapses: sample instead of rsample, a detached z, or a draw under no_grad.",
    "KL": "The KL has a value but no gradient, so it is printed and not trained. Leave out "
    "detach, item and no_grad.",
}
UNKNOWN = "The weights of the loss's values are not known well enough to be held against."
UNEVEN = "The loss's gradient is not that of its values: a term is scaled, cut or detached in part."


class Ledger(NamedTuple):
    """∇loss = α ∇error + ω ∇KL on encoder and decoder, to be held against the values' a and w."""

    encoder_error: float  # α on the encoder's parameters
    encoder_kl: float  # ω
    decoder_error: float  # α on the decoder's
    encoder_error_se: float
    encoder_kl_se: float
    decoder_error_se: float
    encoder_rest: float  # ‖∇loss − α ∇error − ω ∇KL‖ / ‖∇loss‖
    decoder_rest: float
    kl_rest: float  # ‖∇loss − ω ∇KL‖ / ‖∇loss‖ on the encoder
    error_share: float  # of |a ∇error| and |w ∇KL| on the encoder


class Gradients(NamedTuple):
    """Gradients of loss, error and KL: on the encoder's and the decoder's parameters, each flat."""

    encoder: Tensor  # (3, parameters of the encoder, batches in a row)
    decoder: Tensor  # (3, parameters of the decoder, batches in a row)
    silent: tuple[int, ...]  # parameters that no batch's loss moves


def ledger(subject: Subject) -> Iterator[Finding]:
    """Whether each term of the loss sends its gradient where it should."""
    reading = read(subject)
    parameters = subject.parameters()
    set_training(subject, reading.training)
    encoder, decoder = sides(subject, parameters)
    if not (encoder and decoder):
        side = "decode" if encoder else "encode"
        yield _silent(side, *subject.frozen())
        return
    if not subject.loss_of(subject.some(SIZES[1])).requires_grad:
        yield Finding(
            "gradients",
            Verdict.LOOK,
            "the loss has no gradient",
            "one, if training calls this function",
            "If training calls it, nothing is learned. If it is a copy for the audit, give one "
            "without no_grad, detach and item.",
            "08-reparameterization",
        )
        return
    found = gradients_of(subject, reading, parameters, encoder, decoder)
    yield from _dead(subject, parameters, encoder, decoder, found.silent)
    balanced = balance(found, reading.fits[1])
    if reading.exact:
        yield _judged(reading, balanced)
    elif balanced.kl_rest < EXACT_GRADIENT:
        yield _kl_alone(balanced)
    else:
        silent_term = _without_values(subject, parameters, encoder, decoder)
        yield silent_term or _more_terms(reading, balanced)


def _silent(side: str, frozen: int, count: int) -> Finding:
    """A side whose answers have no gradient: frozen, as far as that can be seen, or cut off."""
    measured = f"{side} gives answers without a gradient"
    verdict = Verdict.CANNOT_TELL
    reason = f"Give {side} as training calls it, without no_grad and detach."
    if frozen:
        measured += f"; {frozen} of {count} parameters behind the callables are frozen"
        verdict = Verdict.LOOK
        reason = (
            f"If they were frozen in training too, {side} never learned: set requires_grad_(True). "
            f"Else give {side} as training calls it, without no_grad and detach."
        )
    return Finding(
        "gradients",
        verdict,
        measured,
        "a gradient, as in training",
        reason,
        "08-reparameterization",
    )


def sides(subject: Subject, parameters: Sequence[Tensor]) -> tuple[set[int], set[int]]:
    """Which parameters the encoder's answer depends on, and which the decoder's, by autograd."""
    x = subject.some(SIZES[0])
    generator = torch.Generator().manual_seed(SEED)

    def weighed(outputs: Sequence[Tensor]) -> Tensor:
        """A sum with weights by chance, of which no part cancels another."""
        weights = [torch.randn(out.shape, generator=generator).to(out) for out in outputs]
        products = [(out * by).sum() for out, by in zip(outputs, weights, strict=True)]
        return torch.stack(products).sum()

    posterior = subject.posterior(x)
    z = posterior.mean.detach() + subject.noise(*posterior.mean.shape, seed=SEED)
    answer = subject.decoded(z)
    decoded = _parts(answer, x) if isinstance(answer, Distribution) else [answer]
    return _reached(weighed(list(posterior)), parameters), _reached(weighed(decoded), parameters)


def _parts(answer: Distribution, x: Tensor) -> list[Tensor]:
    return [answer.log_prob(x.reshape(*answer.batch_shape, *answer.event_shape))]


def _reached(output: Tensor, parameters: Sequence[Tensor]) -> set[int]:
    if not output.requires_grad:
        return set()
    gradients = torch.autograd.grad(output, parameters, allow_unused=True)
    return {i for i, gradient in enumerate(gradients) if gradient is not None}


def gradients_of(
    subject: Subject,
    reading: Reading,
    parameters: Sequence[Tensor],
    encoder: set[int],
    decoder: set[int],
) -> Gradients:
    """Gradients on what only the encoder has, and on what only the decoder has."""
    x = subject.some()
    rows_of = [LEDGER_BATCHES * torch.arange(SIZES[1]) + i for i in range(LEDGER_BATCHES)]
    batches = [x[rows % len(x)] for rows in rows_of]
    rounds = ROUNDS if reading.averaged else 1
    owners = [sorted(encoder - decoder), sorted(decoder - encoder)]
    columns: list[list[Tensor]] = [[], []]
    moved: set[int] = set()
    for place, x in enumerate(batches):
        total = None
        for turn in range(rounds):
            seed = SEED + 2 * (place * rounds + turn)
            terms = _terms(subject, reading, x, seed, seed + reading.averaged)
            rows = [_flat_gradients(term, parameters) for term in terms]
            total = rows if total is None else _added(total, rows)
        assert total is not None
        moved |= {i for i, part in enumerate(total[0]) if part.any()}
        for side, owned in zip(columns, owners, strict=True):
            side.append(torch.stack([torch.cat([row[i] for i in owned]) for row in total]))
    encoded, decoded = (torch.cat(side, dim=-1) / rounds for side in columns)
    return Gradients(encoded, decoded, tuple(i for i in range(len(parameters)) if i not in moved))


def _terms(
    subject: Subject, reading: Reading, x: Tensor, seed: int, other: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, error and KL of a batch, as autograd sees them."""
    seed_noise(x, seed)
    loss = subject.loss_of(x)
    posterior = subject.posterior(x)
    z = draw_with(subject, x, posterior, reading.draw, other)
    return loss, error_terms(subject, x, z)[reading.error], kl_terms(posterior, z)[reading.kl]


def _flat_gradients(value: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    if not value.requires_grad:
        return [torch.zeros_like(p, dtype=torch.float64).flatten() for p in parameters]
    gradients = torch.autograd.grad(
        value, parameters, allow_unused=True, materialize_grads=True, retain_graph=True
    )
    return [gradient.double().flatten() for gradient in gradients]


def _added(left: list[list[Tensor]], right: list[list[Tensor]]) -> list[list[Tensor]]:
    return [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(left, right, strict=True)]


def balance(found: Gradients, fit: Fit) -> Ledger:
    """The loss's gradient as a sum of the error's and the KL's, on either side."""
    encoder, encoder_se, encoder_rest = project(found.encoder[0], found.encoder[1:])
    decoder, decoder_se, decoder_rest = project(found.decoder[0], found.decoder[1:2])
    error, kl = abs(fit.coefficients[0]), abs(fit.coefficients[1])
    error, kl = error * found.encoder[1].norm().item(), kl * found.encoder[2].norm().item()
    return Ledger(
        encoder[0].item(),
        encoder[1].item(),
        decoder[0].item(),
        encoder_se[0].item(),
        encoder_se[1].item(),
        decoder_se[0].item(),
        encoder_rest,
        decoder_rest,
        project(found.encoder[0], found.encoder[2:])[2],
        error / (error + kl) if error + kl > 0 else math.nan,
    )


def _dead(
    subject: Subject,
    parameters: Sequence[Tensor],
    encoder: set[int],
    decoder: set[int],
    silent: Sequence[int],
) -> Iterator[Finding]:
    """Parameters that the loss never moves, over all batches."""
    touched = {id(parameters[i]) for i in encoder | decoder}
    names = {
        id(p): name
        for module in subject.modules
        if any(id(p) in touched for p in module.parameters())  # not a judge's, as in LPIPS
        for name, p in module.named_parameters()
    }
    silent = [i for i in silent if id(parameters[i]) in names]
    if not silent:
        return
    listed = [names[id(parameters[i])] for i in silent]
    sides_silent = [
        name
        for name, owned in (("encoder", encoder - decoder), ("decoder", decoder - encoder))
        if owned and owned <= set(silent)
    ]
    reason = (
        f"The {' and the '.join(sides_silent)} learns nothing from this loss. Look for no_grad, "
        "detach, item, or a draw by sample instead of rsample."
        if sides_silent
        else "A layer that is never used looks so, and one whose activations are all cut off. An "
        "optimiser may still decay it."
    )
    shown = ", ".join(listed[:MOST_NAMES]) + (", …" if len(listed) > MOST_NAMES else "")
    yield Finding(
        "dead parameters",
        Verdict.WRONG if sides_silent else Verdict.LOOK,
        f"{len(listed)} of {len(parameters)} parameters get no gradient from the loss: {shown}",
        "none",
        reason,
        "08-reparameterization",
        value=float(len(listed)),
        limit=0.0,
    )


def _judged(reading: Reading, found: Ledger) -> Finding:
    """Each term's gradient against what its values say."""
    fit = reading.fits[1]
    (a, w, _), (a_se, w_se, _) = fit.coefficients, fit.standard_errors
    weighed = abs(w) > SURE * w_se
    ratios = {
        "decoder": (found.decoder_error / a, found.decoder_error_se / abs(a)),
        "error": (found.encoder_error / a, found.encoder_error_se / abs(a)),
    }
    if weighed:
        ratios["KL"] = (found.encoder_kl / w, found.encoder_kl_se / abs(w))
    said = {name: number(round(ratio, 4), ".3g") for name, (ratio, _) in ratios.items()}
    rest = max(found.encoder_rest, found.decoder_rest)
    measured = (
        "of the gradient that the loss's values call for, there arrives: the error's at the "
        f"decoder {said['decoder']}, the error's at the encoder {said['error']}"
        + (f", the KL's at the encoder {said['KL']}" if weighed else "")
        + f"; {rest:.1%} is neither; the error makes {found.error_share:.0%} of what the encoder "
        "gets"
    )
    tolerance = LOOSE if reading.averaged else TIGHT
    blocked = [name for name, (ratio, se) in ratios.items() if abs(ratio) + SURE * se < SMALL]
    off = [name for name, (ratio, _) in ratios.items() if abs(ratio - 1) > tolerance]
    name = blocked[0] if blocked else (off[0] if off else "")
    if abs(a) <= SURE * a_se:  # the error's weight is lost, as where the KL has run away
        verdict, blocked = Verdict.CANNOT_TELL, []
    elif blocked:
        verdict = Verdict.WRONG
    elif any(SURE * se > tolerance for _, se in ratios.values()):
        verdict = Verdict.CANNOT_TELL
    elif off or (rest > TIGHT and not reading.averaged):
        verdict = Verdict.LOOK
    else:
        verdict = Verdict.SOUND
    value, error = ratios.get(name, ratios["error"])
    return Finding(
        "gradients",
        verdict,
        measured,
        "1 of each",
        BLOCKED[name] if blocked else UNKNOWN if verdict is Verdict.CANNOT_TELL else UNEVEN,
        "08-reparameterization",
        value=value,
        standard_error=error,
        limit=1 - tolerance,
    )


def _without_values(
    subject: Subject, parameters: Sequence[Tensor], encoder: set[int], decoder: set[int]
) -> Finding | None:
    """A finding if the gradients are those of an error and the KL, and the values hold more."""
    reading = read(subject)._replace(draw=DRAWN, kl=RIGHT, averaged=False)
    with torch.no_grad():
        x = subject.some(SIZES[1])
        names = [*error_terms(subject, x, subject.posterior(x).mean)]
    rests: dict[str, float] = {}
    for error in names:
        tried = reading._replace(error=error)
        found = gradients_of(subject, tried, parameters, encoder, decoder)
        encoded = project(found.encoder[0], found.encoder[1:])[2]
        rests[error] = max(encoded, project(found.decoder[0], found.decoder[1:2])[2])
    error = min(rests, key=rests.__getitem__)
    if rests[error] > EXACT_GRADIENT:
        return None
    share = _of_z(subject, x, error)
    moves = share > EXACT
    return Finding(
        "gradients",
        Verdict.WRONG if moves else Verdict.LOOK,
        f"a term of the loss's values gets no gradient: all of that is of {error} and the KL",
        "a gradient from each term",
        "A term moves the loss and teaches nothing: a perceptual error under no_grad, or a "
        "detached one, looks so."
        if moves
        else "The loss holds a term of x alone, which no parameter can change.",
        "08-reparameterization",
        value=share,
        limit=EXACT,
    )


def _kl_alone(found: Ledger) -> Finding:
    return Finding(
        "gradients",
        Verdict.WRONG,
        f"the encoder's gradient is the KL's alone, to {number(found.kl_rest, '.1g')} of its "
        "length",
        "the KL's and the error's",
        BLOCKED["error"],
        "08-reparameterization",
        value=found.kl_rest,
        limit=EXACT_GRADIENT,
    )


def _more_terms(reading: Reading, found: Ledger) -> Finding:
    rest = max(found.encoder_rest, found.decoder_rest)
    return Finding(
        "gradients",
        Verdict.CANNOT_TELL,
        f"{rest:.0%} of the gradient is neither of {reading.error} nor of the KL",
        "",
        "The loss has further terms, so what each of them sends is not known.",
        "04-bounds",
        value=rest,
        limit=TIGHT,
    )


def _of_z(subject: Subject, x: Tensor, error: str) -> float:
    """The share of the loss's variance over draws of z, x fixed, that an error does not explain."""
    rows = [row_of(subject, x, DRAWN, SEED + i, SEED + i)[0] for i in range(ROUNDS)]
    values = stack(rows)
    return regress(values[error], torch.zeros(ROUNDS), values[LOSS]).unexplained


CHECKS: tuple[Check, ...] = (Check("gradients", "08-reparameterization", ledger),)
