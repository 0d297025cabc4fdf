"""The picture of the live figure side-by-side for readers without scripts."""

import json
from pathlib import Path

from matplotlib.figure import Figure

from vae_tutorial.plotting import INKS, styled

KEPT = Path(__file__).parents[1] / "book" / "results" / "side_by_side.json"
SHOWN = (  # the run, its maker, what that is called, and the ink of its samples
    ("usual", "gan", "GAN", "rival"),
    ("usual", "vae", "VAE", "decoder"),
    ("patient", "gan", "GAN", "rival"),
)


def points_of(text: str) -> list[list[float]]:
    """The points of a cloud, as they are kept."""
    return [[float(value) for value in pair.split()] for pair in text.split(", ")]


def picture() -> Figure:
    """The ring of eight, and samples of a GAN and a VAE at the start's settings, then of a GAN."""
    kept = json.loads(KEPT.read_text("utf-8"))
    with styled(1, 3, (7.2, 2.75)) as (figure, ((*planes,),)):
        for plane, (name, key, words, ink) in zip(planes, SHOWN, strict=True):
            first = kept["runs"][name][0]
            cloud = points_of(first["clouds"][key])
            plane.scatter(*zip(*cloud, strict=True), s=2, color=INKS[ink][0], alpha=0.6)
            for (x, y), share in zip(kept["points"], first[key]["shares"], strict=True):
                face = INKS["data"][0] if share >= kept["hit"] else "white"
                plane.plot(x, y, "o", ms=4, mfc=face, mec=INKS["data"][0])
            of_d = kept["made"][name]["stages"][0]["settings"]["judgements"]
            steps = "" if key == "vae" else f", {of_d} step{'s' * (of_d > 1)} of D"
            plane.set_title(f"{words}{steps}: {first[key]['hits']} of 8", fontsize=9)
            plane.set(xlim=(-2.3, 2.3), ylim=(-2.3, 2.3), aspect="equal", xlabel="$x_1$")
        planes[0].set(ylabel="$x_2$")
    return figure
