"""Export what the live figures need: `python tools/export_live.py`, or `make live`.

Scripts that carry trained weights go to `book/_extra/assets`, the static pictures for readers
without scripts to `book/live`. A new figure adds an entry to SCRIPTS or PICTURES; what it exports
stands in a file of its own.
"""

import base64
import io
import json
from pathlib import Path

import export_draw_q
import export_four_maps
import export_gaussians
import export_prior_draws
import export_reparameterize
import torch
from matplotlib.figure import Figure
from refresh_notebooks import with_palette
from torch import Tensor

from vae_tutorial.data import load_digits
from vae_tutorial.pictures import latent_map
from vae_tutorial.pretrained import two_latents

BOOK = Path(__file__).parents[1] / "book"
ASSETS, STATIC_PICTURES = BOOK / "_extra" / "assets", BOOK / "live"
SHOWN = (-1.75, -0.8)  # the latent of the static picture, and where the pad begins


def float32(values: Tensor) -> str:
    """Numbers of any shape, little-endian float32, in base64: VAE_LIVE.float32 reads them."""
    return base64.b64encode(values.numpy(force=True).astype("<f4").tobytes()).decode()


def weights() -> dict:
    """The kept model's decoder and log σ², and where it puts the training digits."""
    model, digits = two_latents(), load_digits(torch.float64)
    layers = [layer for layer in model.decoder if isinstance(layer, torch.nn.Linear)]
    return {
        "decoder": [{"weight": float32(at.weight), "bias": float32(at.bias)} for at in layers],
        "logVariance": model.likelihood.variance.log_variance.item(),
        "means": float32(model.encoder(digits.train).mean),  # (1500, 2)
        "labels": "".join(map(str, digits.train_labels.tolist())),
    }


def latent_pad() -> Figure:
    """The latent map with one z marked, and beside it the digit that the decoder draws there."""
    model, digits = two_latents(), load_digits(torch.float64)
    figure = latent_map(model.encoder(digits.train).mean, digits.train_labels)
    figure.set_size_inches(7.2, 4.8)
    figure.get_layout_engine().set(rect=(0, 0, 0.98, 1))  # no frame touches the edge
    (plane,) = figure.axes
    plane.set(xlim=(-4.1, 4.1), ylim=(-4.1, 4.1))  # the axes of the live plane
    for style in ({"color": "white", "mew": 5}, {"color": "#222222", "mew": 2}):
        plane.plot(*SHOWN, "+", markersize=20, **style)
    image = plane.inset_axes((1.08, 0.33, 0.34, 0.34))
    pixels = model.decode(torch.tensor(SHOWN, dtype=torch.float64)).reshape(8, 8)
    image.imshow(pixels.numpy(), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    image.set(xticks=[], yticks=[], title="f(z) at the cross")
    return figure


SCRIPTS = {  # file: the variable, what it holds
    "weights": ("VAE_WEIGHTS", weights),
    "spectrum": ("VAE_SPECTRUM", export_four_maps.exported),
}
PICTURES = {
    "latent-pad": latent_pad,
    "slide-q": export_gaussians.slide_q,
    "gaussian-kl": export_gaussians.gaussian_kl,
    "reparameterize": export_reparameterize.picture,
    "four-maps": export_four_maps.picture,
    "prior-draws": export_prior_draws.picture,
    "draw-q": export_draw_q.picture,
}


def script(name: str) -> str:
    """The text of a script that holds one variable; tensors in it become float32."""
    variable, export = SCRIPTS[name]
    held = json.dumps(export(), indent=1, default=float32)
    return f"/* Made by `make live`. */\nwindow.{variable} = {held};\n"


def png(figure: Figure) -> bytes:
    """A figure's picture, as small as those of the chapters."""
    stored = io.BytesIO()
    figure.savefig(stored, format="png", dpi=144)
    return with_palette(stored.getvalue())


if __name__ == "__main__":
    STATIC_PICTURES.mkdir(exist_ok=True)
    for name in SCRIPTS:
        (ASSETS / f"{name}.js").write_text(script(name), "utf-8")
    for name, draw in PICTURES.items():
        (STATIC_PICTURES / f"{name}.png").write_bytes(png(draw()))
    print("wrote", ", ".join((*SCRIPTS, *PICTURES)))
