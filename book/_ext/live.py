"""A Sphinx extension: the directive `live`, a figure that answers to the reader's hand.

It is a figure like any other, with a picture, a caption and a number; that is all a reader without
scripts, a PDF and an EPUB get. Pages that hold one load the engine, `assets/live.js`, and the
scripts of their own figures; other pages load nothing.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.directives.patches import Figure

ENGINE = ("live-numbers", "live-chart", "live")
FIGURES = {  # name: what its page loads after the engine
    "latent-pad": ("digits", "weights", "pad", "latent-pad"),
    "mnist-pad": ("mnist-weights", "pad", "mnist-pad"),
    "slide-q": ("live-gaussians", "slide-q"),
    "gaussian-kl": ("live-gaussians", "gaussian-kl"),
    "reparameterize": ("gradients", "reparameterize"),
    "rate-distortion": ("spectrum", "linear-law", "losses", "rate-distortion"),
    "water-filling": ("spectrum", "linear-law", "water-filling"),
    "train-here": (
        *("digits", "framework", "layers", "vae-network", "vae-exact", "drawn-digit"),
        *("training-run", "training-pictures", "train-here"),
    ),
    "game-pad": ("exact-game", "game-pad"),
    "prior-draws": ("live-gaussians", "prior-estimates", "prior-draws"),
    "draw-q": ("live-gaussians", "wave", "draw-q"),
    "side-by-side": (
        *("layers", "vae-network", "game-network", "mixtures"),
        *("side-by-side-run", "side-by-side-planes", "side-by-side"),
    ),
    "implied-noise": ("digits", "losses", "implied-noise"),
    "bits-back": ("digits", "bits-weights", "bits", "bits-digits", "bits-back"),
}


class LiveFigure(Figure):
    """The figure `name`, brought to life by `assets/name.js`; without scripts `live/name.png`.

    Options and body are those of a figure. It needs a known name, a `:name:` and an `:alt:`.
    """

    def run(self) -> list[nodes.Node]:
        figure = self.arguments[0]
        if figure not in FIGURES:
            raise self.error(f"there is no live figure {figure}, only {', '.join(FIGURES)}")
        if missing := {"alt", "name"} - self.options.keys():
            raise self.error(f"the live figure {figure} needs :{':, :'.join(sorted(missing))}:")
        self.arguments[0] = f"/live/{figure}.png"
        self.options["figclass"] = ["live", f"live-{figure}"]
        return super().run()


def add_scripts(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """The scripts and the style of the live figures on one page of the HTML."""
    drawn = doctree.findall(nodes.figure) if doctree else ()
    classes = [name for figure in drawn for name in figure["classes"]]
    scripts = [s for name, own in FIGURES.items() if f"live-{name}" in classes for s in own]
    if scripts:
        app.add_css_file("../assets/live.css")
        for script in dict.fromkeys((*ENGINE, *scripts)):
            app.add_js_file(f"../assets/{script}.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.add_directive("live", LiveFigure)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
