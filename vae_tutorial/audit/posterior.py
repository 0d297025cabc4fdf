"""Checks of q(z|x) against the posterior of its own model, by importance weights and its draws."""

from vae_tutorial.audit.subject import Check

CHECKS: tuple[Check, ...] = ()
