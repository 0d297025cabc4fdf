"""Where scoring binary pixels spends its time: Σ log(1 + exp(l)), with few logarithms."""

from torch import Tensor

HALVINGS = 6  # products of up to 64 factors of at most 2: far below float32's largest number


def softplus_sum(logits: Tensor) -> Tensor:
    """Σ log(1 + exp(l)) over the last axis, (..., pixels) to (...): −log p of an all-black image.

    Products of factors 1 + exp(−|l|), at most 2 each, need one logarithm for up to 64 of them.
    """
    factors = 1 + (-logits.abs()).exp()  # (..., pixels), from 1 to 2
    for _ in range(HALVINGS):
        if factors.shape[-1] % 2:
            break
        half = factors.shape[-1] // 2
        factors = factors[..., :half] * factors[..., half:]  # (..., half)
    return logits.clamp(min=0).sum(-1) + factors.log().sum(-1)  # (...)
