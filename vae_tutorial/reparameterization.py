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


@require.shapes(mean="... d", log_variance="... d", noise="... d")
def draw_diagonal(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Draw from a diagonal Gaussian by z = mean + exp(log_variance / 2) · noise.

    mean and log_variance (batch, d), noise (K, batch, d), to z (K, batch, d); they broadcast.
    Source: Kingma & Welling 2014, section 2.4. Book: vae11.

    >>> draw_diagonal(torch.tensor([1.0, 2.0]), torch.zeros(2), torch.tensor([[0.5, -0.5]]))
    tensor([[1.5000, 1.5000]])
    """
    return mean + (0.5 * log_variance).exp() * noise  # (K, batch, d)


@require.shapes(mean="... d", root="... d d", noise="... d")
def draw_full(mean: Tensor, root: Tensor, noise: Tensor) -> Tensor:
    """Draw from a full Gaussian by z = mean + R · noise, for any root R with R Rᵀ = Σ.

    mean (batch, d), root (batch, d, d), noise (K, batch, d), to z (K, batch, d); they broadcast.
    Source: Rezende et al. 2014. Book: vae11, eq-root-law, eq-change-of-variables.

    >>> root = torch.tensor([[1.0, 0.0], [0.5, 1.0]])
    >>> draw_full(torch.zeros(2), root, torch.tensor([[2.0, 1.0]]))
    tensor([[2., 2.]])
    """
    return mean + (root @ noise.unsqueeze(-1)).squeeze(-1)  # (K, batch, d)


@require.shapes(covariance="... d d: symmetric")
def symmetric_root(covariance: Tensor) -> Tensor:
    """The symmetric, positive S with S S = covariance, (..., d, d).

    Raises ValueError unless the covariance is symmetric and positive definite.
    Book: eq-root-rotation.

    >>> root = symmetric_root(torch.tensor([[5.0, 4.0], [4.0, 5.0]]))
    >>> print([[f"{entry:.3f}" for entry in row] for row in root])
    [['2.000', '1.000'], ['1.000', '2.000']]
    """
    values, vectors = torch.linalg.eigh(covariance)  # (..., d), (..., d, d)
    if not (values > 0).all():
        smallest = float(values.min())
        raise ValueError(
            f"covariance must be positive definite, but its smallest eigenvalue is {smallest:.3g}"
        )
    return (vectors * values.sqrt().unsqueeze(-2)) @ vectors.mT  # (..., d, d)


@require.shapes(mean="d", log_variance="d", noise="K d")
def pathwise_gradients(
    function: Callable[[Tensor], Tensor], mean: Tensor, log_variance: Tensor, noise: Tensor
) -> Gradients:
    """Estimate the gradients of E[f(z)] through the draw, once for each of K draws.

    mean and log_variance (d,), noise (K, d), to (K, d) each. `function` maps z (K, d) to (K,), row
    by row. Raises ValueError where it has no gradient; where it jumps, the estimates are biased
    and nothing warns. Source: Kingma & Welling 2014, section 2.4. Book: eq-pathwise,
    eq-sine-variance.

    >>> at, noise = torch.tensor([3.0]), torch.zeros(1, 1)
    >>> pathwise_gradients(lambda z: z.square().sum(-1), at, torch.zeros(1), noise).mean
    tensor([[6.]])
    """
    copies = [p.detach().expand(noise.shape).clone().requires_grad_() for p in (mean, log_variance)]
    z = draw_diagonal(copies[0], copies[1], noise)  # (K, d): draw k uses row k of both copies
    values = function(z)  # (K,)
    if values.shape != noise.shape[:-1]:
        shapes = f"{tuple(values.shape)} from noise {tuple(noise.shape)}"
        raise ValueError(f"function must give one value a draw, (K, d) to (K,), got {shapes}")
    if not values.requires_grad:
        raise ValueError("function must be differentiable, but its values carry no gradient to z")
    return Gradients(*torch.autograd.grad(values.sum(), copies))


@require.shapes(values="K", log_variance="d", noise="K d")
def score_function_gradients(values: Tensor, log_variance: Tensor, noise: Tensor) -> Gradients:
    """Estimate the same gradients from values f(z) alone, which need no gradient of f.

    values (K,), log_variance (d,), noise (K, d), to (K, d) each. Each value multiplies the gradient
    of log q(z) at z = mean + σ noise. Source: Williams 1992. Book: eq-score-function, eq-baseline,
    eq-score-variance, eq-sine-variance, eq-step-gradient.

    >>> values, noise = torch.tensor([4.0, 2.0]), torch.tensor([[1.0], [-1.0]])
    >>> score_function_gradients(values, torch.zeros(1), noise).mean
    tensor([[ 4.],
            [-2.]])
    """
    deviation = (0.5 * log_variance).exp()  # (d,)
    score = noise / deviation, 0.5 * (noise.square() - 1)  # (K, d) each
    return Gradients(*(values.unsqueeze(-1) * part for part in score))


@require.shapes(mean="d", log_variance="d", noise="K d")
def path_gradients_of_bound(
    log_joint: Callable[[Tensor], Tensor], mean: Tensor, log_variance: Tensor, noise: Tensor
) -> Gradients:
    """Estimate the gradients of the bound E[log p(x, z) − log q(z)] by the path term alone.

    mean and log_variance (d,), noise (K, d), to (K, d) each, in nats. `log_joint` maps z (K, d) to
    log p(x, z), (K,). The total derivative of a draw has a second term, minus the score of q, whose
    average is zero; left out, each draw's gradient is zero where q is the posterior.
    Source: Roeder et al. 2017, section 3. Book: eq-path-derivative, eq-path-variance.

    The posterior of a standard normal z seen with noise of variance 1 as x = 2 is N(1, 1/2):

    >>> at, log_variance = torch.tensor([1.0]), torch.tensor([0.5]).log()
    >>> noise = torch.tensor([[1.0], [-2.0]])
    >>> path = path_gradients_of_bound(
    ...     lambda z: -(z.square() + (2 - z).square()).sum(-1) / 2, at, log_variance, noise
    ... )
    >>> print(path.mean.abs().max() < 1e-5, path.log_variance.abs().max() < 1e-5)
    tensor(True) tensor(True)
    """
    deviation = (0.5 * log_variance).exp().detach()  # (d,)
    centre = mean.detach()  # q's parameters are held still: only the draw moves

    def log_weight(z: Tensor) -> Tensor:  # log p(x, z) − log q(z), up to a constant: (K,)
        return log_joint(z) + 0.5 * ((z - centre) / deviation).square().sum(-1)

    return pathwise_gradients(log_weight, mean, log_variance, noise)


@require.shapes(values="K>=2")
def leave_one_out(values: Tensor) -> Tensor:
    """For each draw the average of the other draws' values, (K,) to (K,): a baseline for free.

    Source: Kool et al. 2019. Book: eq-leave-one-out.

    >>> leave_one_out(torch.tensor([1.0, 2.0, 6.0]))
    tensor([4.0000, 3.5000, 1.5000])
    """
    return (values.sum(0) - values) / (values.shape[0] - 1)  # (K,)


def gradient_graph(tensors: Mapping[str, Tensor]) -> Graph:
    """Walk back from each tensor through the operations that autograd recorded, to the leaves.

    Labels are "name: Operation", or the operation alone where no name was given; a leaf's operation
    is "leaf". Raises ValueError for a tensor that needs no gradient: of it autograd keeps nothing.
    Book: eq-chain-rule.

    >>> mean = torch.zeros(2, requires_grad=True)
    >>> gradient_graph({"z": 2 * mean, "mean": mean}).nodes
    ['z: Mul', 'mean: leaf']
    """
    for name, tensor in tensors.items():
        if not tensor.requires_grad:
            raise ValueError(f"{name} requires no gradient, so autograd has recorded nothing of it")
    names = {get_gradient_edge(tensor).node: name for name, tensor in tensors.items()}
    nodes, edges = list(names), []
    for node in nodes:  # the list grows while we walk it
        for source, _ in node.next_functions:
            if source is not None:  # None stands for a constant
                if source not in nodes:
                    nodes.append(source)
                edges.append((nodes.index(source), nodes.index(node)))
    return Graph([_label(node, names.get(node)) for node in nodes], edges)


def _label(node: torch.autograd.graph.Node, name: str | None) -> str:
    operation = node.name().split("::")[-1].split("Backward")[0]  # "ExpBackward0" to "Exp"
    operation = "leaf" if operation == "AccumulateGrad" else operation
    return f"{name}: {operation}" if name else operation
