"""The drawing of the framework: its states, its inks, its directive, and what each reader gets."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from itertools import product
from pathlib import Path

import framework
import pytest
import scheme
import strokes
import torch
from places import TALL, WIDE

from vae_tutorial.data import load_digits
from vae_tutorial.plotting import INKS
from vae_tutorial.pretrained import two_latents

EXTENSIONS = Path(framework.__file__).parent
STYLE = (EXTENSIONS.parent / "_static" / "book.css").read_text("utf-8")
PAGES = {"light": "#ffffff", "dark": "#121212"}  # the theme's backgrounds
CHOSEN = 66  # the digit in the drawing, among those kept for testing
SVG = "{http://www.w3.org/2000/svg}"
CONFIGURATION = f"""
import sys
sys.path.insert(0, {str(EXTENSIONS)!r})
extensions = ["myst_parser", "framework"]
html_theme = "basic"
numfig = True
exclude_patterns = ["out"]
epub_show_urls = "no"
latex_elements = {{"papersize": "a4paper"}}
"""
FIGURE = """
```{framework} infer
:name: fig-maps-framework

Where *q* comes from.
```
"""

each_state = pytest.mark.parametrize("state", scheme.STATES)
each_layout = pytest.mark.parametrize("layout", [WIDE, TALL], ids=lambda layout: layout.name)


def parts(state, layout=WIDE):
    """The groups of a drawing, by part: whether each is lit."""
    groups = ElementTree.fromstring(scheme.drawing(state, layout)).findall(f"{SVG}g")
    classes = [group.get("class").split() for group in groups]
    return {part: shown == "lit" for shown, part in classes}


def luminance(colour):
    """Relative luminance, as WCAG defines it."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first, second):
    dark, light = sorted([luminance(first), luminance(second)])
    return (light + 0.05) / (dark + 0.05)


@each_state
@each_layout
def test_every_state_is_well_formed_and_stays_inside_its_frame(state, layout):
    drawn = ElementTree.fromstring(scheme.drawing(state, layout))
    _, _, width, height = map(float, drawn.get("viewBox").split())
    for element in drawn.iter():
        for pair in (element.get("points") or "").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= width, ElementTree.tostring(element)
            assert 0 <= y <= height, ElementTree.tostring(element)
        assert float(element.get("font-size", "13").removesuffix("%").removesuffix("em")) > 1


@each_state
@each_layout
def test_words_are_large_enough_to_read(state, layout):
    for text in ElementTree.fromstring(scheme.drawing(state, layout)).iter(f"{SVG}text"):
        assert float(text.get("font-size")) >= 13, "".join(text.itertext())


@pytest.mark.parametrize(
    ("state", "lit", "dim"),
    [
        ("all", "x encoder mu sigma q prior posterior z noise decoder f lambda copy rate loss", ""),
        ("generate", "prior z decoder f lambda image", "x encoder mu sigma q posterior distortion"),
        ("infer", "x encoder q posterior", "prior z decoder copy distortion"),
        ("maps", "mu sigma f lambda encoder decoder", "q prior posterior copy rate distortion"),
        ("blocked", "x q z decoder copy distortion rate loss", "posterior"),
        ("open", "x q z noise decoder copy distortion rate loss", "posterior"),
        ("shapes", "x mu z noise f copy rate distortion loss", "posterior"),
        ("losses", "encoder q posterior prior decoder", "x copy distortion"),
        (
            "game",
            "x prior z decoder output sample discriminator discriminator-loss generator-loss",
            "encoder mu sigma q rate distortion",
        ),
        (
            "game-step",
            "x prior z decoder output sample discriminator discriminator-loss generator-loss",
            "encoder mu sigma q rate distortion",
        ),
        (
            "hybrid",
            "x encoder q prior z noise decoder f copy rate distortion discriminator "
            "discriminator-loss generator-loss",
            "posterior",
        ),
        ("condition", "pair encoder mu q prior z decoder f rest rate distortion", "posterior"),
    ],
)
@each_layout
def test_what_a_state_lights(state, lit, dim, layout):
    found = parts(state, layout)
    assert {part for part in lit.split() if not found[part]} == set()
    assert {part for part in dim.split() if found[part]} == set()
    assert ("extra" in found) == (state not in ("all", "condition"))


@each_state
def test_what_is_dim_is_pale_and_what_is_lit_is_not(state):
    for group in ElementTree.fromstring(scheme.drawing(state)).findall(f"{SVG}g"):
        inks = set(re.findall(r"--ink-(\w+)", ElementTree.tostring(group, "unicode")))
        lit = group.get("class").startswith("lit")
        assert ("dim" in inks) == (not lit) or (state, group.get("class")) == (
            *("blocked", "lit extra"),
        )
        assert lit or inks == {"dim"}


def test_no_two_states_say_or_show_the_same():
    assert scheme.STATES.keys() == scheme.WORDS.keys()
    assert len(set(scheme.WORDS.values())) == len(scheme.STATES)
    assert all(len(words) >= 40 for words in scheme.WORDS.values())
    assert len({scheme.drawing(state) for state in scheme.STATES}) == len(scheme.STATES)


def test_one_colour_one_quantity_there_as_here():
    assert {name: strokes.INKS[name][0] for name in INKS} == {
        name: colour for name, (colour, *_) in INKS.items()
    }
    dashes = [(strokes.DASHES[name], strokes.WIDTHS.get(name)) for name in INKS if name != "data"]
    assert len(set(dashes)) == len(dashes)
    assert {name for name in INKS if strokes.DASHES[name]} == {
        name for name, (_, dash, _) in INKS.items() if dash != "-"
    }


@pytest.mark.parametrize(("theme", "name"), [*product(PAGES, strokes.INKS)])
def test_every_ink_stands_out_from_the_page(theme, name):
    colour = strokes.INKS[name][theme == "dark"]
    found = contrast(colour, PAGES[theme])
    assert found >= 3 if name != "dim" else 1.7 <= found < 3


@pytest.mark.parametrize(("theme", "start"), [("light", ":root"), ("dark", '[data-theme="dark"]')])
def test_the_style_sheet_has_the_same_inks(theme, start):
    (declared,) = re.findall(re.escape(start) + r" \{ (--ink-[^}]*)\}", STYLE)
    found = dict(re.findall(r"--ink-(\w+): (#\w{6});", declared))
    assert found == {name: pair[theme == "dark"] for name, pair in strokes.INKS.items()}


def test_the_digit_and_its_copy_are_those_of_the_package():
    x = load_digits(torch.float64).test[CHOSEN : CHOSEN + 1]
    model = two_latents()
    copy = model.decode(model.encoder(x).mean)
    sample = model.decode(x.new_tensor([[-1.0, 0.5]]))
    for greys, image in ((scheme.DIGIT, x), (scheme.COPY, copy), (scheme.SAMPLE, sample)):
        drawn = torch.tensor(list(greys), dtype=torch.float64)
        torch.testing.assert_close(drawn, 16 * image[0].clamp(0, 1), rtol=0, atol=0.501)


def said(state, layout=WIDE):
    """All words in a drawing, one after the other."""
    drawn = ElementTree.fromstring(scheme.drawing(state, layout))
    return " ".join("".join(text.itertext()) for text in drawn.iter(f"{SVG}text"))


@each_layout
def test_what_a_state_calls_its_parts(layout):
    assert "generator" not in said("all", layout)
    for state in ("game", "game-step"):
        assert "generator" in said(state, layout)
        assert "decoder" not in said(state, layout)
        assert "Λ(z)" not in said(state, layout)
    assert "decoder" in said("hybrid", layout)
    assert "λ · game" in said("hybrid", layout)
    for name in ("μ(x, y)", "Σ(x, y)", "q(z | x, y)", "f(x, z)", "Λ(x, z)", "log p(y | x, z)"):
        assert name in said("condition", layout)


def ways(state, hue, layout):
    """The lines of one ink in what a state adds: their points."""
    (group,) = (
        each
        for each in ElementTree.fromstring(scheme.drawing(state, layout)).findall(f"{SVG}g")
        if each.get("class") == "lit extra"
    )
    return [
        [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
        for line in group.iter(f"{SVG}polyline")
        if line.get("stroke") == strokes.ink(hue)
    ]


def reaches(lines, part, layout):
    """Whether one of the lines ends beside a part."""
    x, y = layout.centres[part]
    return any(abs(line[-1][0] - x) + abs(line[-1][1] - y) < 95 for line in lines)


@each_layout
def test_the_step_of_d_stops_at_the_image_and_the_other_reaches_the_generator(layout):
    x, y = layout.centres["detached"]
    violet, magenta = (ways("game-step", hue, layout) for hue in ("rival", "decoder"))
    for lean in (-7, 7):
        violet.remove([(x - 7, y - lean), (x + 7, y + lean)])  # the cross
    assert reaches(violet, "discriminator", layout)
    assert not reaches(violet, "decoder", layout)
    assert not reaches(violet, "output", layout)
    for part in ("discriminator", "output", "decoder"):
        assert reaches(magenta, part, layout)


def test_the_seen_half_is_empty_in_the_copy_and_leads_to_the_decoder():
    def columns(part):
        (group,) = (
            each
            for each in ElementTree.fromstring(scheme.drawing("condition")).findall(f"{SVG}g")
            if part in each.get("class").split()
        )
        left = WIDE.centres[part][0] - 36
        squares = "".join(path.get("d") for path in group.iter(f"{SVG}path"))
        return {int((float(x) - left) // 9) for x in re.findall(r"M([\d.]+) ", squares)}

    assert min(columns("rest")) >= scheme.SEEN
    assert min(columns("pair")) < scheme.SEEN <= max(columns("pair"))
    for layout in (WIDE, TALL):
        end, decoder = layout.routes["seen"][-1], layout.centres["decoder"]
        assert abs(end[0] - decoder[0]) + abs(end[1] - decoder[1]) < 55


def test_an_unknown_state_is_refused_by_name():
    with pytest.raises(ValueError, match="no state some of the framework, only all, generate"):
        scheme.drawing("some")


def test_mathematics_is_set_as_such():
    set_ = strokes.mathematics("Σ(x)^{1/2} ε ∼ KL")
    assert '<tspan font-style="italic">x</tspan>' in set_
    assert ">Σ<" not in set_
    assert '<tspan dy="-.45em" font-size="70%">1/2</tspan><tspan dy=".315em"> </tspan>' in set_
    assert set_.endswith("KL</tspan>")


def test_a_sample_of_each_ink_shows_its_dash_and_a_mark():
    for name in INKS:
        drawn = ElementTree.fromstring(strokes.sample(name))
        (line,) = drawn.iter(f"{SVG}polyline")
        assert (line.get("stroke-dasharray") or "") == strokes.DASHES[name]
        assert [line.get("stroke")] == [mark.get("fill") for mark in drawn.iter(f"{SVG}circle")]
    assert "pattern" in strokes.sample("gap")
    with pytest.raises(ValueError, match="no ink pink, only data, prior"):
        strokes.sample("pink")


def test_a_sample_stands_in_its_line_and_its_words_say_the_same(tmp_path):
    said = build(tmp_path, "html", "Here {ink}`prior` blue, and {ink}`pink` no ink.")
    assert "there is no ink pink, only data" in said
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert re.search(r"Here <svg[^>]* aria-hidden=\"true\".*?</svg> blue", page)
    build(tmp_path, "text", "Here {ink}`prior` blue.")
    assert "Here blue." in " ".join((tmp_path / "out" / "index.txt").read_text("utf-8").split())


def build(folder, builder, figure=FIGURE):
    """A book of two pages, the figure on the first alone; what Sphinx complained of."""
    pages = {
        "conf.py": CONFIGURATION,
        "index.md": f"# Book\n\n{figure}\n\n```{{toctree}}\nother\n```\n",
        "other.md": "# Other\n\n"
        + ("See {numref}`fig-maps-framework`.\n" if figure.lstrip().startswith("```") else ""),
    }
    for name, text in pages.items():
        (folder / name).write_text(text, "utf-8")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", builder, folder, folder / "out"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_a_page_holds_both_arrangements_a_caption_and_a_number(tmp_path):
    assert build(tmp_path, "html") == ""
    page, other = ((tmp_path / "out" / f"{p}.html").read_text("utf-8") for p in ("index", "other"))
    (figure,) = re.findall(r"<figure.*?</figure>", page, flags=re.DOTALL)
    assert 'id="fig-maps-framework"' in figure
    drawn = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", figure)]
    assert [svg.get("class") for svg in drawn] == ["wide", "tall"]
    assert {svg.get("aria-label") for svg in drawn} == {scheme.WORDS["infer"]}
    names = re.findall(r' id="([^"]+)"', page)
    assert len(set(names)) == len(names)
    assert "Where <em>q</em> comes from." in figure
    assert "Fig. 1" in figure
    assert "Fig. 1" in other
    assert "<script" not in figure


def test_the_words_may_be_others(tmp_path):
    words = 'A "q" that is < p.'
    assert build(tmp_path, "html", FIGURE.replace("\n\n", f"\n:alt: {words}\n\n", 2)) == ""
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert 'aria-label="A &quot;q&quot; that is &lt; p."' in page


def test_an_epub_has_an_image_in_plain_inks(tmp_path):
    build(tmp_path, "epub")
    page = (tmp_path / "out" / "index.xhtml").read_text("utf-8")
    (name,) = re.findall(r'src="_images/([^"]+\.svg)"', page)
    text = (tmp_path / "out" / "_images" / name).read_text("utf-8")
    ElementTree.fromstring(text)
    assert "var(" not in text
    assert INKS["posterior"][0] in text
    assert "the exact posterior p(z|x)" in page
    assert "Where <em>q</em> comes from." in page


@pytest.mark.parametrize(("builder", "file"), [("latex", "*.tex"), ("text", "index.txt")])
def test_other_readers_have_the_words(tmp_path, builder, file):
    build(tmp_path, builder)
    (printed,) = (tmp_path / "out").glob(file)
    text = " ".join(printed.read_text("utf-8").split())
    assert "The area between the two is hatched" in text
    assert "comes from." in text


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            " infer",
            " inner",
            f"no state inner of the framework, only {', '.join(scheme.STATES)}",
        ),
        (":name: fig-maps-framework\n", "", "the framework infer needs a :name:"),
        ("Where *q* comes from.\n", "", "the framework infer needs a caption"),
    ],
)
def test_a_mistake_in_the_directive_is_named(tmp_path, old, new, complaint):
    assert complaint in build(tmp_path, "html", FIGURE.replace(old, new))
