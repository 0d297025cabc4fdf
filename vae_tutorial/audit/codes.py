"""Checks of z: how it is drawn, what it costs, and where the codes of all images lie."""

from vae_tutorial.audit.subject import Check

DRAWS: tuple[Check, ...] = ()
CODES: tuple[Check, ...] = ()
