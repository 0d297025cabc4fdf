"""How the KL is weighed in training: warm-up, and free bits with the law of its best model."""

from torch import Tensor

from vae_tutorial import require
from vae_tutorial.linear import RateLaw
from vae_tutorial.models import DiagonalPosterior


def warm_up(step: int, num_steps: int) -> float:
    """The weight of the KL at a step, counted from 1: it rises evenly and is 1 from `num_steps` on.

    Source: Bowman et al. 2016, Sønderby et al. 2016. Book: eq-warm-up.

    >>> [warm_up(step, 4) for step in (1, 2, 4, 100)]
    [0.25, 0.5, 1.0, 1.0]
    """
    require.count("step", step)
    require.count("num_steps", num_steps)
    return min(1.0, step / num_steps)


def kl_by_latent(posterior: DiagonalPosterior) -> Tensor:
    """The KL divergence of q(z|x) from N(0, 1), latent by latent: (batch, latent), in nats.

    Summed over the latents it is `posterior.kl_to_prior()`. Book: eq-kl-standard.

    >>> import torch
    >>> mean, log_variance = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> kl_by_latent(DiagonalPosterior(mean, log_variance))
    tensor([[2., 0.]])
    """
    mean, log_variance = posterior
    return 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance)  # (batch, latent)


@require.shapes(kl_by_latent="batch latent", floor="number: positive")
def free_bits(kl_by_latent: Tensor, floor: float) -> Tensor:
    """The price of a code where each latent's first `floor` nats are charged in full: ().

    Each latent's KL is averaged over the batch and, if below `floor`, replaced by it, so that no
    gradient pushes it lower. Source: Kingma et al. 2016, eq. 15. Book: eq-free-bits.

    >>> import torch
    >>> free_bits(torch.tensor([[1.0, 0.0], [3.0, 0.2]]), 0.5)  # averages 2.0 and 0.1
    tensor(2.5000)
    """
    return kl_by_latent.mean(0).clamp(min=floor).sum()  # ()


@require.shapes(
    eigenvalues="d: positive",
    variance="(): positive",
    floor="number: positive",
)
def free_bits_law(eigenvalues: Tensor, variance: Tensor, floor: float) -> RateLaw:
    """What the best linear VAE pays and leaves on d axes if each latent has `floor` nats free.

    `eigenvalues` (d,) are the images' variances along the axes, `variance` is σ²; the two terms of
    the result are (d,), axis by axis. Book: eq-free-law.

    >>> import torch
    >>> law = free_bits_law(torch.tensor([4.0, 0.5]), torch.tensor(1.0), 0.1)
    >>> [f"{rate:.3f}" for rate in law.rate], [f"{error:.3f}" for error in law.squared_error]
    (['0.693', '0.100'], ['1.000', '0.409'])
    """
    rate = (0.5 * (eigenvalues / variance).log()).clamp(min=floor)  # (d,), in nats
    return RateLaw(rate, eigenvalues * (-2 * rate).exp())
