"""The evidence lower bound on log p(x) and its two terms, in nats an image."""

from typing import NamedTuple

from torch import Tensor

from vae_tutorial import require


class Bound(NamedTuple):
    """The evidence lower bound, elbo = log_likelihood − kl: each (batch,), in nats an image."""

    elbo: Tensor
    log_likelihood: Tensor
    kl: Tensor


@require.shapes(log_likelihood="K *batch", kl="*batch")
def evidence_lower_bound(log_likelihood: Tensor, kl: Tensor) -> Bound:
    """The evidence lower bound from log p(x|z) of K draws and KL(q ‖ p(z)).

    log_likelihood (K, batch), kl (batch,); each term of the Bound is (batch,), in nats.
    Source: Kingma & Welling 2014, eq. 3. Book: vae8, eq-jensen.

    >>> import torch
    >>> log_likelihood = torch.tensor([[-3.0, -8.0], [-5.0, -6.0]])  # two draws, two images
    >>> evidence_lower_bound(log_likelihood, torch.tensor([1.0, 2.0])).elbo
    tensor([-5., -9.])
    """
    average = log_likelihood.mean(0)  # (batch,)
    return Bound(average - kl, average, kl)
