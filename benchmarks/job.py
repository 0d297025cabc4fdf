"""The standard job, the same for all contenders: its sizes, its cost, its first weights.

Only numpy is imported here, because every contender's environment has it.
"""

import numpy as np

PIXELS, HIDDEN, LATENT = 784, 400, 20
IMAGES = 60_000
BATCH = 128  # images a step; a last incomplete batch is left out
LEARNING_RATE = 1e-3
LAYERS = {  # (inputs, outputs)
    "encoder_hidden": (PIXELS, HIDDEN),
    "encoder_mean": (HIDDEN, LATENT),
    "encoder_log_variance": (HIDDEN, LATENT),
    "decoder_hidden": (LATENT, HIDDEN),
    "decoder_logits": (HIDDEN, PIXELS),
}
_PRODUCTS = {name: inputs * outputs for name, (inputs, outputs) in LAYERS.items()}
# Forward, and twice as much backward; but no one asks for the gradient at the pixels.
FLOP_AN_IMAGE = 6 * sum(_PRODUCTS.values()) - 2 * _PRODUCTS["encoder_hidden"]
FLOP_A_SAMPLE = 2 * (_PRODUCTS["decoder_hidden"] + _PRODUCTS["decoder_logits"])

Weights = dict[str, np.ndarray]  # "<layer>.weight" (outputs, inputs) and "<layer>.bias" (outputs,)


def initial_weights(seed: int = 0) -> Weights:
    """Uniform on ±1/√inputs, weights and biases alike, as PyTorch's own layers; float32."""
    random, weights = np.random.default_rng(seed), {}
    for name, (inputs, outputs) in LAYERS.items():
        bound = inputs**-0.5
        weights[f"{name}.weight"] = random.uniform(-bound, bound, (outputs, inputs))
        weights[f"{name}.bias"] = random.uniform(-bound, bound, outputs)
    return {name: value.astype(np.float32) for name, value in weights.items()}
