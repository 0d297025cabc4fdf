"""Drawing z so that a gradient passes, two estimates of that gradient, and the graph it walks.

A draw is a smooth function of the parameters and of noise that does not depend on them.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from vae_tutorial import require


class Gradients(NamedTuple):
    """One estimate a draw of the gradient of E[f(z)], each (K, d), in units of f."""

    mean: Tensor
    log_variance: Tensor


class Graph(NamedTuple):
    """What autograd recorded: node labels, and edges (input, output) as positions in `nodes`."""

    nodes: list[str]
    edges: list[tuple[int, int]]


def draw_diagonal(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """z = mean + exp(log_variance / 2) · noise; noise (K, batch, d) or what broadcasts, to z.

    Raises ValueError or TypeError on bad input.
    Source: Kingma & Welling 2014, section 2.4. Book: vae11.
    """
    require.event("mean", mean)
    require.event("log_variance", log_variance, mean.shape[-1])
    require.event("noise", noise, mean.shape[-1])
    return mean + (0.5 * log_variance).exp() * noise  # (K, batch, d)


def draw_full(mean: Tensor, root: Tensor, noise: Tensor) -> Tensor:
    """z = mean + R · noise for any root R (..., d, d) with R Rᵀ = Σ; noise (K, batch, d) to z.

    Raises ValueError or TypeError on bad input. Source: Rezende et al. 2014.
    Book: vae11, eq-root-law, eq-change-of-variables.
    """
    require.event("mean", mean)
    require.square("root", root, mean.shape[-1])
    require.event("noise", noise, mean.shape[-1])
    return mean + (root @ noise.unsqueeze(-1)).squeeze(-1)  # (K, batch, d)


def symmetric_root(covariance: Tensor) -> Tensor:
    """The symmetric, positive S with S S = covariance, (..., d, d). Book: eq-root-rotation.

    Raises ValueError unless the covariance is symmetric and positive definite.
    """
    require.symmetric("covariance", covariance)
    values, vectors = torch.linalg.eigh(covariance)  # (..., d), (..., d, d)
    if not (values > 0).all():
        smallest = float(values.min())
        raise ValueError(
            f"covariance must be positive definite, but its smallest eigenvalue is {smallest:.3g}"
        )
    return (vectors * values.sqrt().unsqueeze(-2)) @ vectors.mT  # (..., d, d)


def pathwise_gradients(
    function: Callable[[Tensor], Tensor], mean: Tensor, log_variance: Tensor, noise: Tensor
) -> Gradients:
    """Gradients of E[f(z)] through the draw: mean and log_variance (d,), noise (K, d) to (K, d).

    `function` maps z (K, d) to (K,), row by row. It must be differentiable; where it jumps, the
    estimates are biased and nothing warns. Raises ValueError or TypeError on bad input.
    Source: Kingma & Welling 2014, section 2.4. Book: eq-pathwise, eq-sine-variance.
    """
    copies = [p.detach().expand(noise.shape).clone().requires_grad_() for p in (mean, log_variance)]
    values = function(draw_diagonal(*copies, noise))  # (K,): draw k uses row k of both copies
    if values.shape != noise.shape[:-1]:
        seen = f"{tuple(values.shape)} from noise {tuple(noise.shape)}"
        raise ValueError(f"function must give one value a draw, (K, d) to (K,), got {seen}")
    if not values.requires_grad:
        raise ValueError("function must be differentiable, but its values carry no gradient to z")
    return Gradients(*torch.autograd.grad(values.sum(), copies))


def score_function_gradients(
    values: Tensor,
    log_variance: Tensor,
    noise: Tensor,
) -> Gradients:
    """The same gradients from values f(z) alone: (K,), noise (K, d) to (K, d).

    Each value multiplies the gradient of log q(z) at z = mean + σ noise.
    Raises ValueError or TypeError on bad input.
    Source: Williams 1992. Book: eq-score-function, eq-baseline,
    eq-score-variance, eq-sine-variance, eq-step-gradient.
    """
    require.finite("values", values)
    require.event("noise", noise)
    require.event("log_variance", log_variance, noise.shape[-1])
    if values.shape != noise.shape[:-1]:
        seen = f"{tuple(values.shape)} for noise {tuple(noise.shape)}"
        raise ValueError(f"values must be (K,) for noise (K, d), got {seen}")
    deviation = (0.5 * log_variance).exp()  # (d,)
    score = noise / deviation, 0.5 * (noise.square() - 1)  # (K, d) each
    return Gradients(*(values.unsqueeze(-1) * part for part in score))


def leave_one_out(values: Tensor) -> Tensor:
    """For each draw the average of the other draws' values, (K,) to (K,): a baseline for free.

    Raises ValueError or TypeError on bad input. Source: Kool et al. 2019. Book: eq-leave-one-out.
    """
    require.event("values", values)
    if values.shape[0] < 2:
        raise ValueError(f"leave_one_out needs at least 2 draws, got {values.shape[0]}")
    return (values.sum(0) - values) / (values.shape[0] - 1)  # (K,)


def gradient_graph(tensors: Mapping[str, Tensor]) -> Graph:
    """Walk back from each tensor through the operations that autograd recorded, to the leaves.

    Labels are "name: Operation", or the operation alone where no name was given; a leaf's operation
    is "leaf". Raises ValueError for a tensor that needs no gradient: of it autograd keeps nothing.
    Book: eq-chain-rule.
    """
    for name, tensor in tensors.items():
        if not tensor.requires_grad:
            raise ValueError(f"{name} requires no gradient, so autograd has recorded nothing of it")
    names = {get_gradient_edge(tensor).node: name for name, tensor in tensors.items()}
    found, edges = list(names), []
    for node in found:  # the list grows while we walk it
        for source, _ in node.next_functions:
            if source is not None:  # None stands for a constant
                if source not in found:
                    found.append(source)
                edges.append((found.index(source), found.index(node)))
    return Graph([_label(node, names.get(node)) for node in found], edges)


def _label(node: torch.autograd.graph.Node, name: str | None) -> str:
    operation = node.name().split("::")[-1].split("Backward")[0]  # "ExpBackward0" to "Exp"
    operation = "leaf" if operation == "AccumulateGrad" else operation
    return f"{name}: {operation}" if name else operation
