"""Checks of images: whether they can be what the likelihood speaks of, and how well they fit."""

from collections.abc import Iterator

from vae_tutorial.audit.findings import Finding, Verdict
from vae_tutorial.audit.subject import Check, Subject

SLACK = 1e-6  # beyond [0, 1], from rounding


def inside(subject: Subject) -> Iterator[Finding]:
    """Pixels of a Bernoulli lie in [0, 1]; outside, its log-density has no upper limit."""
    if subject.likelihood.name != "bernoulli":
        return
    x = subject.some()
    outside = ((x < -SLACK) | (x > 1 + SLACK)).double().mean().item()
    yield Finding(
        "support",
        Verdict.WRONG if outside > 0 else Verdict.SOUND,
        f"{outside:.1%} of the pixels lie outside [0, 1] ({x.min():.3g} to {x.max():.3g})",
        "none, under a Bernoulli",
        "Outside [0, 1] a logit that grows without end lowers the loss without end. Rescale the "
        "images, or take a Gaussian.",
        "06-gaussians",
        value=outside,
        limit=0.0,
    )


DOMAIN: tuple[Check, ...] = (Check("support", "06-gaussians", inside),)
FIT: tuple[Check, ...] = ()
