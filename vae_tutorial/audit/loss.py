"""Checks of the loss as it is trained: what an image's error and its KL are charged."""

from vae_tutorial.audit.subject import Check

CHECKS: tuple[Check, ...] = ()
