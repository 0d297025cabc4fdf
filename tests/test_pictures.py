"""Pictures show the pixels they are given, all on one grey map."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from vae_tutorial.pictures import (
    DIGIT_COLOURS,
    Plane,
    Ratio,
    Scene,
    contour_levels,
    gradient_flow,
    image_rows,
    latent_map,
    planes,
    posterior_scenes,
    ratio_maps,
)


def test_images_keep_their_place_and_share_one_range():
    images = torch.linspace(0, 1, 3 * 64).reshape(3, 64)
    figure = image_rows([("seen", images), ("decoded", images[:2])])
    shown = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(shown) == 5
    assert np.allclose(shown[1].get_array(), images[1].reshape(8, 8))
    assert {image.get_clim() for image in shown} == {(0, 1)}
    assert {text.get_text() for axes in figure.axes for text in axes.texts} == {"seen", "decoded"}
    assert plt.get_fignums() == []


def test_a_latent_map_names_each_class_at_its_mean():
    labels = torch.arange(10).repeat(2)
    z = torch.stack([labels.double(), -labels.double()], dim=-1)  # (20, 2)
    figure = latent_map(z, labels)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == [str(digit) for digit in range(10)]
    assert [text.get_position() for text in axes.texts] == [(d, -d) for d in range(10)]
    assert len(axes.collections) == len(DIGIT_COLOURS) == 10
    (circle,) = axes.lines
    assert np.allclose(np.hypot(*circle.get_data()), 2.0)


def test_a_class_without_a_point_is_left_out():
    figure = latent_map(torch.tensor([[0.5, 1.0], [0.0, 2.0]]), torch.tensor([3, 3]))
    assert [text.get_text() for text in figure.axes[0].texts] == ["3"]


@pytest.mark.parametrize("z", [torch.zeros(1, 20, 2), torch.zeros(20, 3), torch.zeros(19, 2)])
def test_points_that_do_not_fit_are_named(z):
    with pytest.raises(ValueError, match=r"z must be \(n, 2\) and labels \(n,\), got"):
        latent_map(z, torch.arange(10).repeat(2))


def test_images_of_another_shape_are_named():
    for images in (torch.zeros(2, 63), torch.zeros(64), torch.zeros(2, 8, 8)):
        with pytest.raises(ValueError, match=r"images must be \(n, 64\), but row 'odd' has shape"):
            image_rows([("even", torch.zeros(2, 64)), ("odd", images)])


def test_the_picture_marks_what_a_gradient_reaches():
    labels, edges, cuts = (
        ["loss: Pow", "z: leaf", "mean: Mul", "a: leaf"],
        [(1, 0), (3, 2)],
        [(2, 1)],
    )
    figure = gradient_flow(
        {"cut": (labels, edges, cuts), "open": (labels, edges + cuts, [])}, {"a": "encoder"}
    )
    cut, whole = figure.axes

    def dashed(axes):
        boxes = [text for text in axes.texts if text.get_text()]
        return [text.get_text() for text in boxes if text.get_bbox_patch().get_linestyle() == "--"]

    assert dashed(cut) == ["mean: Mul", "a: leaf"]
    assert dashed(whole) == []
    assert [len(axes.lines) for axes in (cut, whole)] == [1, 0]
    heights = {text.get_text(): text.get_position()[1] for text in whole.texts if text.get_text()}
    assert heights == {"loss: Pow": 0, "z: leaf": 1, "mean: Mul": 2, "a: leaf": 3}


def a_scene(width: float) -> Scene:
    sides = tuple(torch.linspace(-width, width, 61, dtype=torch.float64) for _ in "ab")
    mass = (-((sides[0][:, None] / 0.3) ** 2) - (sides[1] / 0.1) ** 2).exp()  # wide in z₁
    angle = torch.linspace(0, 6.2, 40)
    ring = torch.stack([angle.cos(), angle.sin()], -1) * 0.3
    images = {name: torch.full((64,), shade) for name, shade in (("x", 0.2), ("a", 0.5), ("b", 1))}
    return Scene(f"{width}", sides, mass, {"q": ring, "best": ring + 0.1}, images)


def test_a_scene_shows_posterior_rings_and_images_to_one_scale():
    figure = posterior_scenes([a_scene(1.0), a_scene(2.0)])
    assert [axes.get_title() for axes in figure.axes] == ["1.0", "2.0"]
    for axes, *images in (each.child_axes for each in figure.axes):
        first, second, bar = axes.lines
        assert np.allclose(np.ptp(bar.get_xdata()), 0.2)
        assert [line.get_linestyle() for line in (first, second)] == ["-", "--"]
        written = {text.get_text().strip() for text in axes.texts}
        assert {"posterior", "q", "best", "0.2"} <= written
        assert [inset.get_xlabel() for inset in images] == ["x", "a", "b"]
        shades = [float(inset.images[0].get_array().max()) for inset in images]
        assert np.allclose(shades, [0.2, 0.5, 1])
        (contours,) = axes.collections
        across, up = (np.ptp(contours.get_paths()[0].vertices, axis=0)).tolist()
        assert across > 2 * up  # the side that is first in `mass` runs to the right


def test_contours_hold_their_shares_of_the_mass():
    side = torch.linspace(-5, 5, 201, dtype=torch.float64)
    mass = (-0.5 * (side[:, None] ** 2 + side**2)).exp()
    heights = torch.tensor(contour_levels(mass), dtype=torch.float64)
    expected = torch.tensor([0.01, 0.1, 0.5], dtype=torch.float64)  # exp(−r²/2), outside radius r
    torch.testing.assert_close(heights, expected, atol=0.01, rtol=0)


def ratio(low=-2.0, high=2.0, rows=5):
    axis = torch.linspace(low, high, 5)
    log_ratio = (axis + axis[:rows, None]) * 2.302585  # log10 q/p is z₁ + z₂
    return Ratio(f"from {low}", axis, axis, log_ratio, torch.tensor([[0.5, -0.5]]))


def test_a_ratio_is_drawn_in_powers_of_ten_with_its_tenth_and_its_codes():
    figure = ratio_maps(ratio())
    axes, bar = figure.axes
    mesh, contour = axes.collections
    assert np.allclose(mesh.get_array()[0], [-4, -3, -2, -1, 0], atol=1e-5)
    assert mesh.get_clim() == (-3, 3)
    assert contour.levels == [-1]
    (line,) = [path.vertices for path in contour.get_paths()]
    assert np.allclose(line.sum(-1), -1, atol=1e-5)
    assert [list(part) for part in axes.lines[0].get_data()] == [[0.5], [-0.5]]
    assert "log_{10}" in bar.get_xlabel()


def test_less_than_even_is_the_priors_ink_and_more_is_the_codes():
    mesh = ratio_maps(ratio()).axes[0].collections[0]
    low, even, high = (tuple(mesh.cmap(mesh.norm(power))[:3]) for power in (-3, 0, 3))
    assert even == pytest.approx((1, 1, 1), abs=0.02)
    assert low[2] > low[0]  # blue
    assert high[0] > high[2]  # orange


def test_a_part_is_framed_in_the_whole():
    whole, _, part, _, again, _ = ratio_maps(ratio(), ratio(-0.5, 0.5), ratio(-0.5, 0.5)).axes
    (frame,) = whole.patches
    assert (*frame.get_xy(), frame.get_width(), frame.get_height()) == (-0.5, -0.5, 1, 1)
    assert not list(part.patches)
    assert not list(again.patches)


def test_a_ratio_off_its_grid_is_named():
    with pytest.raises(
        ValueError, match=r"log_ratio must be \(5, 5\), as its axes are, got \(4, 5\)"
    ):
        ratio_maps(ratio(rows=4))


def test_a_followed_point_has_one_number_and_one_colour_in_every_plane():
    noise = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    arrows = torch.tensor([[[0.0, 0.0], [2.0, 0.0]]])
    plane = Plane(noise, noise, arrows, noise, "prior", "ε")
    moved = plane._replace(followed=3 * noise, ink="encoder", letter="z")
    figure = planes({"noise": plane, "moved": moved})
    seen = [
        [(text.get_text(), text.get_position()) for text in axes.texts if text.get_text()]
        for axes in figure.axes
    ]
    assert seen == [[("1", (1, 0)), ("2", (0, 2))], [("1", (3, 0)), ("2", (0, 6))]]
    edges = [[t.get_bbox_patch().get_edgecolor() for t in a.texts[1:]] for a in figure.axes]
    assert edges[0] == edges[1]
    assert edges[0][0] != edges[0][1]
    assert [axes.get_xlabel() for axes in figure.axes] == ["$ε_1$", "$z_1$"]
    assert plt.get_fignums() == []
