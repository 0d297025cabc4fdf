"""Where everything in the drawing of the framework stands: in a wide window, and in a narrow one.

Both arrangements hold the same things. The wide one runs from left to right, with noise and the
rate above and the distortion below; the tall one is the same, turned: noise and the rate stand on
the right, the distortion on the left and at the foot.
"""

from collections.abc import Mapping
from typing import NamedTuple

from strokes import Point


class Words(NamedTuple):
    """Where a line of text begins, is centred or ends; `broken` if it stands on several lines."""

    x: float
    y: float
    anchor: str = "middle"
    broken: bool = False


class Layout(NamedTuple):
    """One arrangement; all lengths in the units of its own size."""

    name: str
    size: Point
    foot: float  # what the shapes of the loss need below
    across: bool  # whether data run from left to right, or downwards
    centres: Mapping[str, Point]
    routes: Mapping[str, list[Point]]  # arrows, by the part that they lead to
    words: Mapping[str, Words]


PIXEL = 9  # of an image
NETWORK = (72, 104, 60)  # of the encoder: length, larger and smaller width
NARROW_NETWORK = (52, 112, 72)
MAP = (52, 32)
PANEL = (150, 104)  # of the latent axis with its densities; the centre is that of the axis
TAG = {"rate": (160, 30), "distortion": (214, 30)}

WIDE = Layout(
    "wide",
    (744, 322),
    18,
    True,
    {
        "x": (50, 152),
        "encoder": (142, 152),
        "mu": (224, 129),
        "sigma": (224, 175),
        "axis": (346, 198),
        "z": (456, 152),
        "noise": (456, 38),
        "decoder": (528, 152),
        "f": (610, 129),
        "lambda": (610, 175),
        "copy": (694, 152),
        "image": (694, 152),
        "rate": (346, 38),
        "distortion": (560, 271),
        "cross": (456, 192),
        "graph": (610, 42),
    },
    {
        "encoder": [(87, 152), (104, 152)],
        "mu": [(180, 140), (196, 130)],
        "sigma": [(180, 164), (196, 174)],
        "q": [(252, 152), (270, 152)],
        "z": [(420, 152), (438, 152)],
        "noise": [(456, 54), (456, 133)],
        "decoder": [(475, 152), (490, 152)],
        "f": [(566, 140), (582, 130)],
        "lambda": [(566, 164), (582, 174)],
        "copy": [(638, 152), (656, 152)],
        "image": [(638, 152), (656, 152)],
        "rate": [(346, 86), (346, 55)],
        "distortion": [(50, 218), (50, 271), (451, 271)],
        "distortion from the copy": [(694, 218), (694, 271), (669, 271)],
        "gradient": [(640, 255), (640, 232), (456, 232)],
        "gradient at f": [(610, 232), (610, 194)],
        "gradient at decoder": [(528, 232), (528, 200)],
        "gradient at z": [(456, 232), (456, 172)],
        "gradient stopped": [(456, 232), (456, 198)],
        "gradient on": [(456, 232), (142, 232), (142, 206)],
        "gradient at maps": [(224, 232), (224, 194)],
        "loss of the prior": [(292, 70), (292, 148)],
        "loss of the family": [(364, 230), (364, 182)],
        "gap": [(354, 72), (363, 100)],
        "gradient of rate": [(265, 38), (224, 38), (224, 111)],
    },
    {
        "x": Words(50, 209),
        "copy": Words(694, 208),
        "image": Words(694, 209),
        "axis": Words(346, 217),
        "prior": Words(306, 166, "end"),
        "q": Words(388, 112, "start"),
        "posterior": Words(342, 118, "end"),
        "noise": Words(479, 34, "start"),
        "noise in words": Words(479, 53, "start"),
        "loss": Words(470, 312),
        "equals": Words(498, 312),
        "first term": Words(550, 312),
        "plus": Words(602, 312),
        "second term": Words(635, 312),
        "gap": Words(346, 48, broken=True),
        "mean of q": Words(224, 104),
        "spread of q": Words(224, 208),
        "mean of p": Words(610, 104),
        "spread of p": Words(610, 208),
        "drawn": Words(447, 98, "start"),
        "reparameterized": Words(466, 88, "start"),
        "gradient": Words(606, 249, "end"),
        "shape of x": Words(50, 106),
        "shape of mu": Words(224, 214),
        "shape of z": Words(458, 216),
        "shape of noise": Words(479, 53, "start"),
        "shape of f": Words(626, 98),
        "shape of rate": Words(346, 16),
        "shape of distortion": Words(500, 248),
        "shape of loss": Words(470, 332),
        "shape of first term": Words(550, 332),
        "shape of second term": Words(635, 332),
        "averaged": Words(432, 322, "end", True),
        "lost by the encoder": Words(142, 232, broken=True),
        "lost by the family": Words(364, 246),
        "lost by the prior": Words(300, 46, broken=True),
        "lost by the decoder": Words(528, 230),
    },
)

TALL = Layout(
    "tall",
    (340, 740),
    50,
    False,
    {
        "x": (146, 46),
        "encoder": (146, 132),
        "mu": (116, 194),
        "sigma": (176, 194),
        "axis": (146, 356),
        "z": (146, 408),
        "noise": (270, 408),
        "decoder": (146, 474),
        "f": (116, 536),
        "lambda": (176, 536),
        "copy": (146, 610),
        "image": (146, 610),
        "rate": (256, 244),
        "distortion": (146, 688),
        "cross": (102, 408),
        "graph": (264, 474),
    },
    {
        "encoder": [(146, 84), (146, 104)],
        "mu": [(136, 160), (120, 176)],
        "sigma": [(156, 160), (172, 176)],
        "q": [(146, 212), (146, 234)],
        "z": [(166, 362), (155, 391)],
        "noise": [(254, 408), (165, 408)],
        "decoder": [(146, 427), (146, 446)],
        "f": [(136, 502), (120, 518)],
        "lambda": [(156, 502), (172, 518)],
        "copy": [(146, 554), (146, 572)],
        "image": [(146, 554), (146, 572)],
        "rate": [(204, 294), (226, 261)],
        "distortion": [(108, 46), (14, 46), (14, 688), (37, 688)],
        "distortion from the copy": [(146, 648), (146, 671)],
        "gradient": [(56, 672), (56, 408)],
        "gradient at f": [(56, 536), (88, 536)],
        "gradient at decoder": [(56, 474), (98, 474)],
        "gradient at z": [(56, 408), (126, 408)],
        "gradient stopped": [(56, 408), (96, 408)],
        "gradient on": [(56, 408), (56, 132), (90, 132)],
        "gradient at maps": [(56, 194), (88, 194)],
        "loss of the prior": [(220, 386), (209, 355)],
        "loss of the family": [(202, 254), (165, 282)],
        "gap": [(202, 254), (168, 276)],
        "gradient of rate": [(270, 228), (270, 194), (205, 194)],
    },
    {
        "x": Words(192, 52, "start"),
        "copy": Words(192, 615, "start"),
        "image": Words(192, 616, "start"),
        "axis": Words(146, 374),
        "prior": Words(104, 322, "end"),
        "q": Words(190, 310, "start"),
        "posterior": Words(142, 274, "end"),
        "noise": Words(270, 384),
        "noise in words": Words(270, 440),
        "loss": Words(52, 728),
        "equals": Words(82, 728),
        "first term": Words(136, 728),
        "plus": Words(190, 728),
        "second term": Words(224, 728),
        "gap": Words(206, 246, "start", True),
        "mean of q": Words(82, 199, "end"),
        "spread of q": Words(210, 199, "start"),
        "mean of p": Words(82, 541, "end"),
        "spread of p": Words(210, 541, "start"),
        "drawn": Words(176, 413, "start"),
        "reparameterized": Words(336, 470, "end"),
        "gradient": Words(64, 664, "start"),
        "shape of x": Words(212, 52, "start"),
        "shape of mu": Words(210, 199, "start"),
        "shape of z": Words(122, 413, "end"),
        "shape of noise": Words(276, 440),
        "shape of f": Words(210, 541, "start"),
        "shape of rate": Words(300, 276),
        "shape of distortion": Words(158, 664, "start"),
        "shape of loss": Words(52, 747),
        "shape of first term": Words(136, 747),
        "shape of second term": Words(224, 747),
        "averaged": Words(146, 766, broken=True),
        "lost by the encoder": Words(212, 126, "start", True),
        "lost by the family": Words(206, 246, "start", True),
        "lost by the prior": Words(190, 402, "start", True),
        "lost by the decoder": Words(212, 468, "start", True),
    },
)
