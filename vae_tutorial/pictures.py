"""Pictures of digits and of their latents: arrays in, one closed figure out."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from vae_tutorial.plotting import STYLE

DIGIT_COLOURS = (  # Petroff 2021, chosen to stay apart for colour-blind readers
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)


def image_rows(rows: dict[str, Tensor], side: int = 8) -> Figure:
    """Rows of images, a label and (n, side²) pixels each; ink is dark, one grey map from 0 to 1."""
    columns = max(len(images) for images in rows.values())
    cell = min(0.6, 5.6 / columns)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            len(rows), columns, figsize=(6.4, len(rows) * (cell + 0.12)), squeeze=False
        )
        for line, (label, images) in zip(grid, rows.items(), strict=True):
            for axes in line:
                axes.set_axis_off()
            for axes, image in zip(line, images, strict=False):
                axes.imshow(
                    image.reshape(side, side).numpy(force=True),
                    cmap="gray_r",
                    vmin=0,
                    vmax=1,
                    interpolation="nearest",
                )
            line[0].text(-0.25, 0.5, label, transform=line[0].transAxes, ha="right", va="center")
        plt.close(figure)
    return figure


def latent_map(z: Tensor, labels: Tensor, title: str = "") -> Figure:
    """Points z (n, 2) coloured by digit, with each digit printed at the mean of its class."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 5.2))
        for digit, colour in enumerate(DIGIT_COLOURS):
            points = z[labels == digit].numpy(force=True)  # (m, 2)
            axes.scatter(points[:, 0], points[:, 1], s=7, color=colour, alpha=0.55, linewidths=0)
        for digit, colour in enumerate(DIGIT_COLOURS):
            x, y = z[labels == digit].mean(0).tolist()
            box = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": colour}
            style = {"color": colour, "weight": "bold", "ha": "center", "va": "center"}
            axes.text(x, y, str(digit), bbox=box, **style)
        axes.set(
            xlabel="first latent, $z_1$", ylabel="second latent, $z_2$", title=title, aspect="equal"
        )
        plt.close(figure)
    return figure
