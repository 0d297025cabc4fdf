"""The drawing of the framework: the parts, the states that light some of them, and their words.

A digit goes through the encoder, a latent is drawn, the decoder makes a copy; two prices are paid.
The GAN is the same drawing: its generator stands where the decoder does, and a discriminator below
tells made images from digits. What one of the two frameworks lacks is dim.
"""

from collections.abc import Callable, Iterator, Mapping
from math import exp, pi, sqrt

import strokes
from places import JUDGE, MAP, NARROW_NETWORK, NETWORK, PANEL, PIXEL, WIDE, Layout
from strokes import Point, arrow, box, circle, hatched, ink, line, picture, words

# A three of the digits that are kept for testing, in greys from 0 to 16, and what the model
# `pretrained.two_latents` makes of it: f(μ(x)), rounded to the same greys. The sample is f(−1, ½).
DIGIT = bytes.fromhex(
    "0000080e0f060000 0004100c0e0b0000 000408010e070000 0000000e10050000"
    "0000000b10100200 00000000010f0700 0000040b080e0700 00000b10100a0000"
)
COPY = bytes.fromhex(
    "0000090e0d060100 00040e080c0a0100 000305030b080000 0001040c0f070000"
    "000002070b0e0300 00000200010d0700 00010805070e0500 00010a0f0e080000"
)

SAMPLE = bytes.fromhex(
    "0000000b0c020000 000006100c030100 00010c0c03030100 00030f0c08070200"
    "0005100e0a0c0400 00020e07020d0600 0000090c090f0500 0000010a0f0a0100"
)
SEEN = 4  # columns of the digit that are known where the framework is conditional

CHAIN = "x encoder mu sigma q z decoder f lambda copy"
GAME = "discriminator discriminator-loss generator-loss"
STATES = {  # what is lit; what else each shows is in EXTRAS
    "all": f"{CHAIN} axis prior posterior noise rate distortion loss",
    "generate": "axis prior z decoder f lambda image",
    "infer": "x encoder mu sigma axis q posterior",
    "maps": "x encoder mu sigma z decoder f lambda",
    "blocked": f"{CHAIN} axis rate distortion loss",
    "open": f"{CHAIN} axis noise rate distortion loss",
    "shapes": f"{CHAIN} axis prior noise rate distortion loss",
    "losses": "encoder axis prior q posterior decoder",
    "game": f"x axis prior z decoder output sample {GAME}",
    "game-step": f"x axis prior z decoder output sample {GAME}",
    "hybrid": f"{CHAIN} axis prior noise rate distortion {GAME}",
    "condition": "pair encoder mu sigma axis prior q z decoder f lambda rest rate distortion loss",
}
WITHOUT = {
    "infer": "rate",
    "losses": "rate noise",
    "generate": "copy noise",
    "blocked": "noise",
    "game": "copy noise f lambda loss",
    "game-step": "copy noise f lambda loss",
    "hybrid": "loss",
    "condition": "x copy noise",
}
NAMES = {  # what stands at the parts; what else they are called in a state is in RENAMED
    "x": "$x$",
    "copy": "its copy",
    "image": "$x$",
    "sample": "made image",
    "rest": "copy of $y$",
    "encoder": "encoder",
    "decoder": "decoder",
    "mu": "$μ(x)$",
    "sigma": "$Σ(x)$",
    "f": "$f(z)$",
    "lambda": "$Λ(z)$",
    "output": "$f(z)$",
    "prior": "$p(z)$",
    "q": "$q(z | x)$",
    "posterior": "$p(z | x)$",
    "rate": "rate\u2002$KL(q ‖ p(z))$",
    "distortion": "distortion\u2002$−log p(x | z)$",
    "discriminator": "discriminator $D$",
    "discriminator-loss": "$D$ pays\n$−log D(x)$\n$− log(1 − D(f(z)))$",
    "generator-loss": "generator pays\n$−log D(f(z))$",
}
RENAMED = {
    "game": {"decoder": "generator"},
    "game-step": {"decoder": "generator"},
    "hybrid": {"copy": "copy, sample", "generator-loss": "game\n$−log D(f(z))$"},
    "condition": {
        "mu": "$μ(x, y)$",
        "sigma": "$Σ(x, y)$",
        "f": "$f(x, z)$",
        "lambda": "$Λ(x, z)$",
        "q": "$q(z | x, y)$",
        "posterior": "$p(z | x, y)$",
        "distortion": "distortion\u2002$−log p(y | x, z)$",
    },
}
WORDS = {  # what an image of each state says to who cannot see it
    "all": (
        "The framework. A digit x goes through the encoder, which gives mean and covariance of "
        "q(z|x). A latent z is drawn from q with noise from outside. The decoder makes f(z) "
        "and Λ(z) of it: the copy of the digit. Two prices are paid: the distortion between x "
        "and its copy, and the rate, the divergence of q from the prior. The loss is their sum."
    ),
    "generate": (
        "The framework with its right half lit: a latent z is drawn from the prior, the decoder "
        "makes f(z) and Λ(z) of it, and these make an image. No encoder takes part. Above, the "
        "graphical model: an arrow from z to x, for each of m images."
    ),
    "infer": (
        "The framework with inference lit: a digit x, the encoder, and over the latent axis the "
        "density q(z|x) beside the exact posterior p(z|x). The area between the two is hatched: "
        "the gap."
    ),
    "maps": (
        "The framework with its four maps lit: μ(x), the centre of q, and Σ(x), its spread, come "
        "out of the encoder; f(z), the centre of p(x|z), and Λ(z), its spread, come out of the "
        "decoder."
    ),
    "blocked": (
        "The framework with the draw inside. The gradient of the distortion goes back from the "
        "loss through f, Λ and the decoder and stops with a cross at z, since z is drawn from q; "
        "no path leads on to μ, Σ and the encoder. The gradient of the rate reaches them."
    ),
    "open": (
        "The framework with noise ε from outside: z is μ(x) plus a root of Σ(x) times ε. The "
        "gradient goes back from the loss through the decoder and through z to μ, Σ and the "
        "encoder."
    ),
    "shapes": (
        "The framework with the shape of every value: x (batch, 64); mean and covariance (batch, "
        "2); noise and z (K, batch, 2); f(z) (K, batch, 64); distortion (K, batch), averaged over "
        "the K draws (batch,); rate (batch,); loss (), a single number."
    ),
    "losses": (
        "The framework with the four places where nats are lost: 1, the encoder, which does not "
        "choose the best q; 2, the Gaussian family of q, beside the exact posterior; 3, the prior, "
        "against the codes of all images together; 4, the decoder."
    ),
    "game": (
        "The other framework: a game. A latent z is drawn from the prior, and the generator, which "
        "is the decoder under another name, makes the image f(z). No encoder takes part, and no "
        "rate and no distortion are paid. A discriminator D gets a digit x or a made image and "
        "says how likely it is a digit. It pays −log D(x) − log(1 − D(f(z))); the generator pays "
        "−log D(f(z))."
    ),
    "game-step": (
        "The two steps of the game. The discriminator’s step: the gradient of its loss reaches the "
        "weights of D and stops with a cross at the made image. The generator’s step: the gradient "
        "of its loss goes through D, whose weights stay, and on through the made image to f and "
        "the generator."
    ),
    "hybrid": (
        "The hybrid of both frameworks. All parts of the first are lit: encoder, q, z with noise, "
        "decoder, copy, rate and distortion. Below, a discriminator D gets a digit x, or a copy "
        "or a sample that the decoder made. Three prices: the loss is distortion plus rate plus "
        "λ times the game’s price, −log D(f(z)). D pays a loss that the others do not."
    ),
    "condition": (
        "The framework under a condition. The digit has two parts: x, its left half, is seen, and "
        "y, the rest, is hidden. The encoder gets both and gives q(z|x, y). The decoder gets a "
        "latent z and, by an arrow that goes around the encoder, the seen part x; it makes a copy "
        "of y alone. Rate and distortion, −log p(y|x, z), are paid as before."
    ),
}
LINE = 18  # from one line of a price to the next
REACH = 2.6  # of the latent axis, to either side of 0

Colour = Callable[[str], str]
Names = Mapping[str, str]


def normal(z: float, mean: float, deviation: float) -> float:
    """The density of a Gaussian."""
    return exp(-(((z - mean) / deviation) ** 2) / 2) / (deviation * sqrt(2 * pi))


DENSITIES = {  # over the latent axis; the exact posterior is no Gaussian
    "prior": lambda z: normal(z, 0, 1),
    "q": lambda z: normal(z, 0.92, 0.38),
    "posterior": lambda z: 0.62 * normal(z, 0.3, 0.27) + 0.38 * normal(z, 1.15, 0.42),
}


def curve(density: str, layout: Layout) -> list[Point]:
    """The graph of one of the DENSITIES over the latent axis of a layout."""
    (x, y), (width, height) = layout.centres["axis"], PANEL
    steps = [REACH * (step / 40 - 1) for step in range(81)]
    return [(x + z / REACH * width / 2, y - height * DENSITIES[density](z) / 1.05) for z in steps]


def said(place: str, text: str, layout: Layout, colour: str, size: float = 14) -> str:
    """Words at one of a layout's places; they break where they must."""
    x, y, anchor, broken = layout.words[place]
    lines = text.split("\n") if broken else [text.replace("\n", " ")]
    return "".join(
        words(each, (x, y + count * size * 1.2), colour, anchor, size)
        for count, each in enumerate(lines)
    )


def inside(text: str, centre: Point, colour: str, size: float = 14) -> str:
    """Words in the middle of a shape."""
    return words(text, (centre[0], centre[1] + size / 3), colour, size=size)


def image(part: str, layout: Layout, colour: Colour, names: Names) -> str:
    """The digit, its copy, or an image that is no copy, with its name."""
    x, y = layout.centres[part]
    greys = {"x": DIGIT, "sample": SAMPLE}.get(part, COPY)
    drawn = picture(greys, (x - 4 * PIXEL, y - 4 * PIXEL), PIXEL, colour("data"))
    size = 17 if names[part] == "$x$" else 14
    return drawn + said(part, names[part], layout, colour("data"), size)


def pair(part: str, layout: Layout, colour: Colour, names: Names) -> str:
    """The digit in two parts: what is seen stands in a heavy frame and leads to the decoder."""
    (x, y), hue, side = layout.centres[part], colour("data"), 4 * PIXEL
    drawn = picture(DIGIT, (x - side, y - side), PIXEL, hue)
    middle = x - side + SEEN * PIXEL
    corners = [(x - side, y - side), (middle, y - side), (middle, y + side), (x - side, y + side)]
    frame = line([*corners, corners[0], corners[1]], hue, 2.6)
    both = said("seen", "$x$", layout, hue, 17) + said("hidden", "$y$", layout, hue, 17)
    return arrow(layout.routes["seen"], colour("line")) + drawn + frame + both


def rest(part: str, layout: Layout, colour: Colour, names: Names) -> str:
    """The copy of what is hidden; the place of what is seen is empty."""
    (x, y), hue = layout.centres[part], colour("data")
    greys = [0 if place % 8 < SEEN else grey for place, grey in enumerate(COPY)]
    drawn = picture(greys, (x - 4 * PIXEL, y - 4 * PIXEL), PIXEL, hue)
    return drawn + said(part, names[part], layout, hue)


def network(part: str, layout: Layout, colour: Colour, names: Names) -> str:
    """The encoder, which narrows, or the decoder, which widens, with its name."""
    x, y = layout.centres[part]
    length, large, small = NETWORK if layout.across else NARROW_NETWORK
    first, last = (large / 2, small / 2) if part == "encoder" else (small / 2, large / 2)
    corners = [(-length / 2, first), (length / 2, last), (length / 2, -last), (-length / 2, -first)]
    points = [(x + a, y + b) if layout.across else (x + b, y + a) for a, b in corners]
    name, size = names[part], 13 if len(names[part]) > 7 else 14
    return strokes.shape(points, colour(part)) + inside(name, (x, y), colour(part), size)


def discriminator(part: str, layout: Layout, colour: Colour, names: Names) -> str:
    """The discriminator, which narrows downwards to one number, with its name."""
    (x, y), (length, large, small), hue = layout.centres[part], JUDGE, colour("rival")
    corners = [(-large / 2, -1), (large / 2, -1), (small / 2, 1), (-small / 2, 1)]
    points = [(x + across, y + length / 2 * down) for across, down in corners]
    return strokes.shape(points, hue) + inside(names[part], (x, y), hue)


def one_map(part: str, layout: Layout, colour: Colour, names: Names) -> str:
    """One of the four maps, in the ink of its network."""
    hue, name = colour("encoder" if part in ("mu", "sigma") else "decoder"), names[part]
    centre, size = layout.centres[part], 13 if "," in name else 15
    return box(centre, MAP, hue) + inside(name, centre, hue, size)


def axis(part: str, layout: Layout, colour: Colour, names: Names) -> str:
    """The axis of the latent."""
    x, y = layout.centres[part]
    half = PANEL[0] / 2 + 4
    return line([(x - half, y), (x + half, y)], colour("line")) + said(
        part, "$z$", layout, colour("line")
    )


def density(part: str, layout: Layout, colour: Colour, names: Names) -> str:
    """A curve over the latent axis and its name."""
    name = "encoder" if part == "q" else part
    width = strokes.WIDTHS.get(name, strokes.WIDTH)
    drawn = line(curve(part, layout), colour(name), width, strokes.DASHES[name])
    return drawn + said(part, names[part], layout, colour(name))


def latent(part: str, layout: Layout, colour: Colour, names: Names) -> str:
    """The draw."""
    centre, hue = layout.centres[part], colour("data")
    return circle(centre, 17, hue) + inside("$z$", centre, hue, 18)


def noise(part: str, layout: Layout, colour: Colour, names: Names) -> str:
    """Noise, and its law."""
    centre, hue = layout.centres[part], colour("data")
    drawn = circle(centre, 15, hue, dash="2 3") + inside("$ε$", centre, hue, 17)
    return drawn + said(part, "$ε ∼ N(0, I)$", layout, hue)


PAID = {  # the ink of what each price is charged to
    "rate": "encoder",
    "distortion": "decoder",
    "discriminator-loss": "rival",
    "generator-loss": "decoder",
}


def price(part: str, layout: Layout, colour: Colour, names: Names) -> str:
    """What is charged, in the ink of what it is charged to; on several lines in a tall box."""
    hue, (x, y), size = colour(PAID[part]), layout.centres[part], layout.tags[part]
    drawn = box((x, y), size, hue, 15, 0.06)
    if size[1] < LINE * 2:
        return drawn + inside(one_line(names[part]), (x, y), hue)
    lines = names[part].split("\n")
    first = y - LINE * (len(lines) - 1) / 2
    return drawn + "".join(
        inside(text, (x, first + LINE * count), hue) for count, text in enumerate(lines)
    )


def one_line(text: str) -> str:
    """The lines of a price one after the other; formulas that meet become one."""
    return text.replace("$\n$", " ").replace("\n", "\u2002")


def loss(part: str, layout: Layout, colour: Colour, names: Names) -> str:
    """The sum of the prices."""
    pieces = {
        "loss": ("loss", "data"),
        "equals": ("=", "data"),
        "first term": ("distortion", "decoder"),
        "plus": ("+", "data"),
        "second term": ("rate", "encoder"),
    }
    return "".join(said(at, text, layout, colour(name)) for at, (text, name) in pieces.items())


Part = Callable[[str, Layout, Colour, Names], str]
PARTS: dict[str, Part] = {  # from the back to the front
    "x": image,
    "pair": pair,
    "encoder": network,
    "mu": one_map,
    "sigma": one_map,
    "axis": axis,
    "prior": density,
    "posterior": density,
    "q": density,
    "z": latent,
    "noise": noise,
    "decoder": network,
    "f": one_map,
    "lambda": one_map,
    "output": one_map,
    "copy": image,
    "image": image,
    "sample": image,
    "rest": rest,
    "rate": price,
    "distortion": price,
    "loss": loss,
    "discriminator": discriminator,
    "discriminator-loss": price,
    "generator-loss": price,
}


def gap(layout: Layout, name: str) -> Iterator[str]:
    """The band between q and the exact posterior, hatched."""
    band = [*curve("q", layout), *reversed(curve("posterior", layout))]
    hue = ink("line")
    yield hatched(band, f"{name}-hatch", hue)
    yield line(layout.routes["gap"], hue)
    yield said("gap", "the gap\n$KL(q ‖ p(z | x))$", layout, hue, 15)


def graph(layout: Layout, name: str) -> Iterator[str]:
    """The graphical model: z, which is hidden, leads to x, which is seen, for m images."""
    x, y = layout.centres["graph"]
    hue = ink("data")
    yield box((x + 8, y), (128, 50), ink("line"), 6, 0)
    yield circle((x - 34, y), 15, hue)
    yield circle((x + 22, y), 15, hue, 0.2)
    yield arrow([(x - 18, y), (x + 6, y)], hue)
    yield words("$z$", (x - 34, y + 5), hue, size=15)
    yield words("$x$", (x + 22, y + 5), hue, size=15)
    yield words("$m$", (x + 64, y + 19), hue, "end", 13)


def map_words(layout: Layout, name: str) -> Iterator[str]:
    """What each of the four maps says."""
    for place, text in (("mean", "centre"), ("spread", "spread")):
        yield said(f"{place} of q", text, layout, ink("encoder"))
        yield said(f"{place} of p", text, layout, ink("decoder"))


def gradient(layout: Layout, *routes: str) -> Iterator[str]:
    """The way back from the loss, along some of a layout's routes."""
    hue, routes = ink("data"), ("gradient at f", "gradient at decoder", *routes)
    yield line(layout.routes["gradient"], hue, 2.3)
    for route in (*routes, "gradient of rate"):
        yield arrow(layout.routes[route], hue, 2.3)
    yield said("gradient", "gradient", layout, hue)


def blocked(layout: Layout, name: str) -> Iterator[str]:
    """The gradient that stops at the draw."""
    yield line(layout.routes["gradient on"], ink("dim"), 2, "3 5")
    yield from gradient(layout)
    yield said("drawn", "$z ∼ q(z | x)$", layout, ink("data"), 15)
    yield line(layout.routes["gradient stopped"], ink("data"), 2.3)
    x, y = layout.centres["cross"]
    for lean in (-7, 7):
        yield line([(x - 7, y - lean), (x + 7, y + lean)], ink("data"), 3.4)


def reparameterized(layout: Layout, name: str) -> Iterator[str]:
    """The gradient that passes through z, and what z is."""
    yield from gradient(layout, "gradient at z", "gradient on", "gradient at maps")
    text = "$z = μ(x) + Σ(x)^{1/2} ε$"
    yield said("reparameterized", text, layout, ink("data"), 15)


def shapes(layout: Layout, name: str) -> Iterator[str]:
    """The shape of every value."""
    found = {
        "x": "(batch, 64)",
        "mu": "(batch, 2)",
        "z": "(K, batch, 2)",
        "noise": "(K, batch, 2)",
        "f": "(K, batch, 64)",
        "rate": "(batch,)",
        "distortion": "(K, batch)",
        "loss": "()",
        "first term": "(batch,)",
        "second term": "(batch,)",
    }
    for part, text in found.items():
        x, y, anchor, _ = layout.words[f"shape of {part}"]
        yield words(text, (x, y), ink("data"), anchor, 13, strokes.MONO)
    yield said("averaged", "averaged over the $K$ draws\nand over the batch", layout, ink("line"))


def losses(layout: Layout, name: str) -> Iterator[str]:
    """Where nats are lost."""
    found = {
        "encoder": "1\u2002the encoder’s\nchoice of $q$",
        "family": "2\u2002the Gaussian\nfamily",
        "prior": "3\u2002the prior against\nall codes together",
        "decoder": "4\u2002the decoder",
    }
    for place, text in found.items():
        yield said(f"lost by the {place}", text, layout, ink("data"))
    for place in ("prior", "family"):
        yield arrow(layout.routes[f"loss of the {place}"], ink("data"), 1.2)


def from_prior(layout: Layout, name: str) -> Iterator[str]:
    """Where the latents of the game come from."""
    yield said("drawn", "$z ∼ p(z)$", layout, ink("data"), 15)


def steps(layout: Layout, name: str) -> Iterator[str]:
    """The gradients of both players: the one stops at the made image, the other goes through D."""
    yield from from_prior(layout, name)
    violet, magenta = ink("rival"), ink("decoder")
    for route in ("loss to discriminator", "discriminator to image"):
        yield arrow(layout.routes[route], violet, 2.3)
    x, y = layout.centres["detached"]
    for lean in (-7, 7):
        yield line([(x - 7, y - lean), (x + 7, y + lean)], violet, 3.4)
    yield line(layout.routes["discriminator to generator"], magenta, 2.3)
    for route in ("loss through discriminator", "gradient at output", "gradient at generator"):
        yield arrow(layout.routes[route], magenta, 2.3)
    yield said("step of the discriminator", "discriminator’s\nstep", layout, violet)
    yield said("step of the generator", "generator’s\nstep", layout, magenta)


def three_prices(layout: Layout, name: str) -> Iterator[str]:
    """What z is drawn from, and the sum of three prices."""
    yield said("copied", "$z ∼ q(z | x)$: a copy", layout, ink("data"))
    yield said("sampled", "$z ∼ p(z)$: a sample", layout, ink("data"))
    x, y, *_ = layout.words["hybrid loss"]
    pieces = {
        "loss": ("data", 0),
        "=": ("data", 28),
        "distortion": ("decoder", 80),
        "+": ("data", 132),
        "rate": ("encoder", 165),
        "\u200a+": ("data", 198),
        "$λ$ · game": ("decoder", 244),
    }
    for text, (hue, right) in pieces.items():
        yield words(text, (x + right, y), ink(hue), size=14)


EXTRAS: dict[str, Callable[[Layout, str], Iterator[str]]] = {
    "generate": graph,
    "infer": gap,
    "maps": map_words,
    "blocked": blocked,
    "open": reparameterized,
    "shapes": shapes,
    "losses": losses,
    "game": from_prior,
    "game-step": steps,
    "hybrid": three_prices,
}


def dimmed(name: str) -> str:
    """The one ink of what a state is not about."""
    return ink("dim")


def group(part: str, lit: bool, layout: Layout, names: Names) -> str:
    """One part, with the arrows that lead to it, lit or dimmed."""
    colour = ink if lit else dimmed
    routes = [part, f"{part} from the copy"]
    arrows = [arrow(layout.routes[at], colour("line")) for at in routes if at in layout.routes]
    drawn = "".join([*arrows, PARTS[part](part, layout, colour, names)])
    return f'<g class="{"lit" if lit else "dim"} {part}">{drawn}</g>'


def drawing(state: str, layout: Layout = WIDE, name: str = "framework", alt: str = "") -> str:
    """The drawing of the framework in one of its STATES, as SVG.

    `name` begins the ids in it; `alt` takes the place of what it says to who cannot see it.
    Raises ValueError for a state that there is not.
    """
    if state not in STATES:
        raise ValueError(unknown(state))
    lit, without = STATES[state].split(), WITHOUT.get(state, "").split()
    name = f"{name}-{layout.name}"
    shown = [part for part in PARTS if part in lit or part in STATES["all"].split()]
    names = NAMES | RENAMED.get(state, {})
    drawn = [group(part, part in lit, layout, names) for part in shown if part not in without]
    if state in EXTRAS:
        drawn.append(f'<g class="lit extra">{"".join(EXTRAS[state](layout, name))}</g>')
    width, height = layout.size
    height += layout.foot.get(state, 0)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{layout.name}" id="{name}" role="img"'
        f' aria-label="{strokes.escaped(alt or WORDS[state])}" viewBox="0 0 {width} {height}"'
        f' font-family="{strokes.SANS}">{"".join(drawn)}</svg>'
    )


def unknown(state: str) -> str:
    """What to say of a state that there is not."""
    return f"there is no state {state} of the framework, only {', '.join(STATES)}"
