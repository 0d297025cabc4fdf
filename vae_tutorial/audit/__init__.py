"""The book's measures as a tool: audit a VAE of any PyTorch code, by its callables and its data.

    from vae_tutorial.audit import audit

    report = audit(x, encode=model.encode, decode=model.decode, likelihood="bernoulli", loss=loss)
    print(report)

Each finding says what was measured, what it should be, and which chapter explains it. A check whose
measure can only accuse never certifies: its best verdict is that it cannot tell.
"""

import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vae_tutorial import require
from vae_tutorial.audit.checks import CHECKS
from vae_tutorial.audit.findings import Finding, Pictures, Report, Verdict, in_order
from vae_tutorial.audit.guard import TooSlowError, time_limit, untouched
from vae_tutorial.audit.subject import (
    AnswerError,
    Check,
    NotGivenError,
    Subject,
    as_callable,
    as_images,
    as_likelihood,
    as_modules,
)

__all__ = ["CHECKS", "Finding", "Report", "Verdict", "audit"]

SHOWN = 10  # images of a row of pictures

Watched = Callable[[Iterable[Check], int], Iterable[Check]]


def _plainly(checks: Iterable[Check], count: int) -> Iterable[Check]:
    return checks


def audit(
    x: Any,
    *,
    encode: Callable[[Tensor], Any] | None = None,
    decode: Callable[[Tensor], Any] | None = None,
    likelihood: Any = None,
    loss: Callable[[Tensor], Tensor] | None = None,
    held_out: Any = None,
    draw: Callable[[Tensor], Tensor] | None = None,
    estimate: Callable[[Tensor], Tensor] | None = None,
    modules: nn.Module | list[nn.Module] | None = None,
    notes: Sequence[str] = (),
    seconds: float = 60.0,
    watched: Watched = _plainly,
) -> Report:
    """Audit a trained VAE: run every check that what is given allows, and report each finding.

    - `x` (n, …): images as the model takes them, a tensor or an array of floats; `held_out` (m, …):
      images that it was not trained on.
    - `encode(x)`: (mean, log-variance), (mean, Cholesky factor), or a Normal of torch.
    - `decode(z)`: E[x|z], or logits for "bernoulli", or a distribution of torch.
    - `likelihood`: "bernoulli", "gaussian" with its σ not stated, a number σ, or a callable
      (x, decoded) → (batch,) that gives log p(x|z).
    - `loss(x)`: the scalar that was minimised, as the training code computes it on a batch.
    - `draw(x)`: z as the training code draws it.
    - `estimate(x)`: (batch,), your own estimate of log p(x), in nats.
    - `modules`: whose parameters were trained; by default those that the callables name.
    - `notes`: sentences on what could not be given, which end the report as "not judged".

    The model is put into evaluation mode and is left as it was, and so are all random states.
    `seconds` is for all checks together; a check that is not done by then cannot tell. Raises
    TypeError or ValueError where an argument cannot be meant; what a callable does wrong is a
    finding, not an error.

    >>> import torch
    >>> from vae_tutorial.data import load_digits
    >>> from vae_tutorial.pretrained import two_latents
    >>> kept, x = two_latents(), load_digits(torch.float64).test
    >>> report = audit(x, encode=kept.encoder, decode=kept.decode, likelihood="gaussian")
    >>> report.exit_code
    0
    """
    require.number("seconds", seconds, above=0.0)
    callables = {
        name: as_callable(name, function)
        for name, function in (
            ("encode", encode), ("decode", decode), ("loss", loss), ("draw", draw),
            ("estimate", estimate),
        )
    }  # fmt: skip
    if not any(callables.values()):
        raise ValueError("nothing to audit: give encode, decode or loss beside the images")
    sentences = _sentences(notes)
    images = as_images("x", x)
    others = None if held_out is None else as_images("held_out", held_out)
    if others is not None and others.shape[1:] != images.shape[1:]:
        raise ValueError(
            f"held_out must have images like x's, {tuple(images.shape[1:])}, "
            f"got {tuple(others.shape[1:])}"
        )
    subject = Subject(
        images,
        callables["encode"],
        callables["decode"],
        as_likelihood(likelihood),
        callables["loss"],
        others,
        callables["draw"],
        as_modules(modules),
        callables["estimate"],
    )
    return _run(subject, seconds, watched)._replace(notes=sentences)


def _sentences(notes: Any) -> tuple[str, ...]:
    """What a caller notes, a list of strings; TypeError for anything else."""
    if not isinstance(notes, list | tuple) or not all(isinstance(note, str) for note in notes):
        raise TypeError(f"notes must be a list of sentences, got {notes!r}")
    return tuple(notes)


def _run(subject: Subject, seconds: float, watched: Watched) -> Report:
    start = time.perf_counter()
    findings: list[Finding] = []
    said: set[str] = set()  # what callables did wrong, which is reported once
    for check in watched(CHECKS, len(CHECKS)):
        left = seconds - (time.perf_counter() - start)
        with untouched(subject.modules, subject.generators):
            for module in subject.modules:
                module.eval()
            findings += _guarded(check, subject, left, said)
    pictures = _pictures(subject, max(1.0, seconds / 10))
    took = time.perf_counter() - start
    return Report(in_order(findings), len(subject.x), took, pictures)


def _pictures(subject: Subject, seconds: float) -> tuple[Pictures, ...]:
    """Some images, their copies and images made up, where the model gives what that needs."""
    shape = _shown_as(subject.event)
    made: list[Pictures] = []
    if shape is None:
        return ()
    try:
        with untouched(subject.modules, subject.generators), torch.no_grad(), time_limit(seconds):
            for module in subject.modules:
                module.eval()
            x = subject.some(SHOWN)
            made.append(Pictures("images", _grey(x, shape)))
            mean = subject.posterior(x).mean
            made.append(Pictures("their copies, f(μ(x))", _grey(subject.mean_image(mean), shape)))
            z = subject.noise(SHOWN, subject.latent, seed=SHOWN)
            made.append(Pictures("made up, f(z), z ~ N(0, I)", _grey(subject.mean_image(z), shape)))
    except Exception:  # a check has reported what is wrong here
        return tuple(made)
    return tuple(made)


def _shown_as(event: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape in which an image can be shown: (channels, height, width), or None."""
    if len(event) == 3 and event[0] in (1, 3):
        return event
    if len(event) == 2:
        return (1, *event)
    side = math.isqrt(event[0])
    return (1, side, side) if len(event) == 1 and side**2 == event[0] and side > 1 else None


def _grey(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Images (n, …) as pictures (n, height, width), colours averaged."""
    return images.detach().reshape(len(images), *shape).double().mean(1)


def _guarded(check: Check, subject: Subject, seconds: float, said: set[str]) -> list[Finding]:
    """A check's findings; whatever goes wrong inside is a finding too, and ends this check only."""

    def cannot_tell(what: str, reason: str) -> Finding:
        return Finding(check.name, Verdict.CANNOT_TELL, what, "", reason, check.chapter)

    found: list[Finding] = []
    if seconds <= 0:
        return [cannot_tell("no time was left", "Give more seconds, or fewer images.")]
    try:
        with time_limit(seconds):
            for finding in check.run(subject):
                found.append(finding)
    except NotGivenError as missing:
        found.append(cannot_tell(str(missing), "So this is not judged."))
    except AnswerError as answer:
        without_sizes = re.sub(r"\d+", "", str(answer))
        if without_sizes in said:
            found.append(cannot_tell(str(answer), "The same as above."))
        else:
            said.add(without_sizes)
            verdict, reason = Verdict.WRONG, "Mend this first: nothing can be read from it."
            found.append(Finding(check.name, verdict, str(answer), "", reason, check.chapter))
    except TooSlowError as slow:
        found.append(cannot_tell(str(slow), "Give more seconds, or fewer images."))
    except Exception as error:  # a check of ours met what it cannot handle: the others go on
        what = f"this check stopped with {type(error).__name__}: {error}".splitlines()[0]
        found.append(cannot_tell(what, "The fault is the check's or the data's, not the model's."))
    return found
