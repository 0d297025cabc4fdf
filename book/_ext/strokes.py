"""Shapes, words and inks of a drawing that stands in a page as SVG: strings in, strings out.

An ink is a CSS custom property, so that a drawing follows the theme; its light value stands beside
it, for readers whose pages have no style sheet.
"""

import re
from collections.abc import Sequence
from math import hypot

INKS = {  # name: in the light theme, in the dark one; the first six are those of the figures
    "data": ("#222222", "#e4e6ea"),
    "prior": ("#0072B2", "#62b6ee"),
    "encoder": ("#C44E00", "#ff9d5c"),
    "posterior": ("#007F5C", "#3fcf9f"),
    "decoder": ("#B8447E", "#f08dc0"),
    "rival": ("#7A5195", "#bd9fdc"),
    "line": ("#5a6473", "#9aa4b2"),  # arrows and axes
    "dim": ("#b3bac3", "#525b67"),  # what a drawing is not about: pale, but to be seen
}
DASHES = {  # of the curves; widths are in WIDTHS
    "data": "",
    "prior": "7 4",
    "encoder": "",
    "posterior": "",
    "decoder": "9 3 2 3",
    "rival": "1.5 4",
}
WIDTHS = {"posterior": 1.3}
WIDTH = 2.2
HEAD = 9  # length of an arrow's head

SERIF = "'STIX Two Text', 'Latin Modern Roman', 'Times New Roman', Times, serif"
SANS = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
MONO = "ui-monospace, 'SFMono-Regular', Menlo, Consolas, 'Liberation Mono', monospace"

Point = tuple[float, float]
PIECES = re.compile(r"\^\{([^}]+)\}|(?<![^\W\d_])([^\W\d_])(?![^\W\d_])|[^\^]")
UPRIGHT = "ΛΣ"


def ink(name: str) -> str:
    """The colour of an ink: its CSS property, with the light value to fall back on."""
    return f"var(--ink-{name}, {INKS[name][0]})"


def plain(svg: str) -> str:
    """The drawing in its light inks, without CSS properties."""
    return re.sub(r"var\(--[\w-]+, ([^()]+)\)", r"\1", svg)


def number(value: float) -> str:
    """A coordinate, to a tenth."""
    return f"{value:.1f}".removesuffix(".0")


def at(points: Sequence[Point]) -> str:
    """Points as SVG writes them."""
    return " ".join(f"{number(x)},{number(y)}" for x, y in points)


def escaped(text: str) -> str:
    """Text that may stand in XML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def mathematics(tex: str) -> str:
    """A formula in serifs: single letters italic, `^{}` raised, everything else upright."""
    found, back = [], ""  # what lifts the next piece down again
    for piece in PIECES.finditer(tex):
        raised, letter = piece[1], piece[2]
        shift, style = back, ""
        back = ""
        if raised:
            shift, style, back = ' dy="-.45em" font-size="70%"', "", ' dy=".315em"'
        elif letter and letter not in UPRIGHT:
            style = ' font-style="italic"'
        text = escaped(raised or piece[0])
        found.append(f"<tspan{shift}{style}>{text}</tspan>" if shift or style else text)
    return f'<tspan font-family="{SERIF}" font-size="1.16em">{"".join(found)}</tspan>'


def words(
    text: str,
    place: Point,
    colour: str,
    anchor: str = "middle",
    size: float = 14,
    font: str = "",
) -> str:
    """A line of text; what stands between dollars is mathematics."""
    parts = [
        mathematics(part) if count % 2 else escaped(part)
        for count, part in enumerate(text.split("$"))
    ]
    family = f' font-family="{font}"' if font else ""
    return (
        f'<text x="{number(place[0])}" y="{number(place[1])}" fill="{colour}" font-size="{size:g}"'
        f' text-anchor="{anchor}"{family}>{"".join(parts)}</text>'
    )


def line(points: Sequence[Point], colour: str, width: float = 1.5, dash: str = "") -> str:
    """A line through points."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<polyline points="{at(points)}" fill="none" stroke="{colour}" stroke-width="{width:g}"'
        f' stroke-linejoin="round"{dashed}/>'
    )


def arrow(points: Sequence[Point], colour: str, width: float = 1.5, dash: str = "") -> str:
    """A line with a head at its last point."""
    (x, y), (x_end, y_end) = points[-2:]
    length = hypot(x_end - x, y_end - y)
    along, across = (x_end - x) / length, (y_end - y) / length
    head = HEAD + width - 1.5
    foot = (x_end - head * along, y_end - head * across)
    half = 0.42 * head
    tips = [
        (foot[0] - half * across, foot[1] + half * along),
        (x_end, y_end),
        (foot[0] + half * across, foot[1] - half * along),
    ]
    shaft = line([*points[:-1], (foot[0] + along, foot[1] + across)], colour, width, dash)
    return f'{shaft}<polygon points="{at(tips)}" fill="{colour}"/>'


def shape(points: Sequence[Point], colour: str, width: float = WIDTH) -> str:
    """A closed shape with straight sides, tinted."""
    return (
        f'<polygon points="{at(points)}" fill="{colour}" fill-opacity=".1" stroke="{colour}"'
        f' stroke-width="{width:g}" stroke-linejoin="round"/>'
    )


def box(centre: Point, size: Point, colour: str, corner: float = 6, tint: float = 0.1) -> str:
    """A box with round corners."""
    (x, y), (width, height) = centre, size
    return (
        f'<rect x="{number(x - width / 2)}" y="{number(y - height / 2)}" width="{number(width)}"'
        f' height="{number(height)}" rx="{corner:g}" fill="{colour}" fill-opacity="{tint:g}"'
        f' stroke="{colour}" stroke-width="1.8"/>'
    )


def circle(centre: Point, radius: float, colour: str, tint: float = 0.0, dash: str = "") -> str:
    """A circle, tinted."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<circle cx="{number(centre[0])}" cy="{number(centre[1])}" r="{radius:g}" fill="{colour}"'
        f' fill-opacity="{tint:g}" stroke="{colour}" stroke-width="1.8"{dashed}/>'
    )


def hatched(points: Sequence[Point], name: str, colour: str) -> str:
    """A hatched band; `name` is the id of its pattern."""
    return (
        f'<pattern id="{name}" width="5" height="5" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><path d="M0 0V5" stroke="{colour}" stroke-width="1.6"/>'
        f'</pattern><polygon points="{at(points)}" fill="url(#{name})"/>'
    )


def sample(name: str) -> str:
    """A line in one of the six inks and a mark on it, or the hatching of the gap, beside words.

    Raises ValueError unless there is such an ink.
    """
    if name != "gap" and name not in DASHES:
        raise ValueError(f"there is no ink {name}, only {', '.join(DASHES)} and gap")
    if name == "gap":
        drawn = hatched([(1, 3), (59, 3), (59, 15), (1, 15)], "ink-gap", ink("line"))
    else:
        drawn = line([(1, 9), (59, 9)], ink(name), WIDTHS.get(name, WIDTH), DASHES[name])
        drawn += f'<circle cx="30" cy="9" r="4" fill="{ink(name)}"/>'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" class="ink" aria-hidden="true" width="60"'
        f' height="18" viewBox="0 0 60 18">{drawn}</svg>'
    )


def picture(greys: Sequence[int], corner: Point, pixel: float, colour: str) -> str:
    """An 8 by 8 image of greys from 0 to 16, darkest in full ink, and a thin frame around it."""
    cells: dict[int, list[str]] = {}
    for place, grey in enumerate(greys):
        row, column = divmod(place, 8)
        x, y = corner[0] + column * pixel, corner[1] + row * pixel
        step = number(pixel)
        cells.setdefault(grey, []).append(f"M{number(x)} {number(y)}h{step}v{step}h-{step}z")
    cells.pop(0, None)
    inked = [
        f'<path fill="{colour}" fill-opacity="{grey / 16:.4g}" d="{"".join(squares)}"/>'
        for grey, squares in sorted(cells.items())
    ]
    frame = (
        f'<rect x="{number(corner[0])}" y="{number(corner[1])}" width="{number(8 * pixel)}"'
        f' height="{number(8 * pixel)}" fill="none" stroke="{colour}" stroke-width="1"/>'
    )
    return f'<g shape-rendering="crispEdges">{"".join(inked)}</g>{frame}'
