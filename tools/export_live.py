"""Export what the live figures need: `python tools/export_live.py`, or `make live`.

Scripts that carry trained weights go to `book/_extra/assets`, the static pictures for readers
without scripts to `book/live`. A new figure adds an entry to SCRIPTS or PICTURES; what it exports
stands in a file of its own.
"""

import io
import json
from pathlib import Path

import export_bits
import export_draw_q
import export_game
import export_gaussians
import export_implied_noise
import export_pads
import export_prior_draws
import export_rate_distortion
import export_reparameterize
import export_side_by_side
import export_train
import export_water_filling
from export_pads import float32
from refresh_notebooks import with_palette

BOOK = Path(__file__).parents[1] / "book"
ASSETS, STATIC_PICTURES = BOOK / "_extra" / "assets", BOOK / "live"


SCRIPTS = {  # file: the variable, what it holds
    "weights": ("VAE_WEIGHTS", export_pads.weights),
    "mnist-weights": ("VAE_MNIST", export_pads.mnist_weights),
    "spectrum": ("VAE_SPECTRUM", export_rate_distortion.exported),
    "bits-weights": ("VAE_BITS", export_bits.weights),
    "digits": ("VAE_DIGITS", export_train.digits),
    "framework": ("VAE_FRAMEWORK", export_train.framework),
}
PICTURES = {
    "latent-pad": export_pads.latent_pad,
    "mnist-pad": export_pads.mnist_pad,
    "slide-q": export_gaussians.slide_q,
    "gaussian-kl": export_gaussians.gaussian_kl,
    "reparameterize": export_reparameterize.picture,
    "rate-distortion": export_rate_distortion.picture,
    "water-filling": export_water_filling.picture,
    "train-here": export_train.picture,
    "game-pad": export_game.picture,
    "prior-draws": export_prior_draws.picture,
    "draw-q": export_draw_q.picture,
    "side-by-side": export_side_by_side.picture,
    "implied-noise": export_implied_noise.picture,
    "bits-back": export_bits.picture,
}


def script(name: str) -> str:
    """The text of a script that holds one variable; tensors in it become float32."""
    variable, export = SCRIPTS[name]
    held = json.dumps(export(), indent=1, default=float32)
    return f"/* Made by `make live`. */\nwindow.{variable} = {held};\n"


COLOURS = {"mnist-pad": 16}  # greys are enough for its many digits; other pictures have more


def png(name: str) -> bytes:
    """The picture of a live figure, as small as those of the chapters."""
    stored = io.BytesIO()
    PICTURES[name]().savefig(stored, format="png", dpi=144)
    return with_palette(stored.getvalue(), COLOURS.get(name, 192))


if __name__ == "__main__":
    STATIC_PICTURES.mkdir(exist_ok=True)
    for name in SCRIPTS:
        (ASSETS / f"{name}.js").write_text(script(name), "utf-8")
    for name in PICTURES:
        (STATIC_PICTURES / f"{name}.png").write_bytes(png(name))
    print("wrote", ", ".join((*SCRIPTS, *PICTURES)))
