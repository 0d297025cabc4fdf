"""Every check of an audit, in the order in which one fault causes the next.

Data before draws, draws before the loss, the loss before what it led to: so the first line of a
report that is wrong is the one to mend first.
"""

from vae_tutorial.audit import codes, gradients, loss, pixels, posterior
from vae_tutorial.audit.subject import Check

CHECKS: tuple[Check, ...] = (
    *pixels.DOMAIN,
    *codes.DRAWS,
    *loss.CHECKS,
    *gradients.CHECKS,
    *codes.CODES,
    *pixels.FIT,
    *loss.UNITS,
    *posterior.CHECKS,
)
