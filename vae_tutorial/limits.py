"""What maps between laws cannot do, measured: distances, the floor of an atom, bridges, curves.

A law is the distribution of a random quantity. Logs of densities are in nats.
"""

import torch
from torch import Tensor, nn

from vae_tutorial import require
from vae_tutorial.transport import Atoms, Map


@require.shapes(law="fields")
def kolmogorov_distance(law: Atoms, cdf: Map) -> Tensor:
    """The largest gap between the law's distribution function and a continuous one: a scalar.

    Source: Kolmogorov 1933. Book: eq-kolmogorov, eq-atom-floor.

    >>> kolmogorov_distance(Atoms(torch.zeros(1), torch.ones(1)), torch.special.ndtr)
    tensor(0.5000)
    """
    after, expected = law.masses.cumsum(0), cdf(law.places)  # (n,) each
    return torch.maximum(after - expected, expected - (after - law.masses)).max()


@require.shapes(x="n>=2 D", y="m>=2 D")
def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """Estimate how far two laws lie apart from draws x (n, D) and y (m, D), without bias: ().

    Source: Székely & Rizzo 2013. Book: eq-energy-distance.

    >>> energy_distance(torch.tensor([[0.0], [1.0]]), torch.tensor([[4.0], [5.0]]))
    tensor(6.)
    """
    exactly = "donot_use_mm_for_euclid_dist"
    between = torch.cdist(x, y, compute_mode=exactly)  # (n, m)
    within = nn.functional.pdist(x).mean() + nn.functional.pdist(y).mean()
    return 2 * between.mean() - within


@require.shapes(share="...: fraction", gap="number: positive", slope="...: positive")
def least_bridge(share: Tensor, gap: float, slope: Tensor) -> Tensor:
    """The least mass inside a gap when `share` of N(0, I) is mapped to one side of it.

    For every map into the line of at most the given slope, from any dimension: (...) to (...).
    Source: Sudakov & Tsirel'son 1974, Borell 1975. Book: eq-bridge.

    >>> print(f"{least_bridge(torch.tensor(0.5), 2.0, torch.tensor(2.0)):.4f}")
    0.3413
    """
    return torch.special.ndtr(torch.special.ndtri(share) + gap / slope) - share
