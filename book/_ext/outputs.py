"""What cells print and draw, set for a reader: checks on one quiet line, panels that stack.

The lines `passed: …` of a cell's output become one line, "✓ 3 checks", that opens on demand. A
picture of several panels, which `panels` gives equal parts of the width, is stored a second time
with the panels below one another, and a narrow screen takes that one.
"""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx

PASSED = "passed: "
NARROW = "(max-width: 576px)"  # where the page's other styles change as well
LEAST = 1000  # pixels of width, from which a picture can hold more than one panel
MARGIN = 14  # pixels on each side of a picture, a tenth of an inch
GUTTER = 2  # pixels to each side of a cut that are empty between two panels
PICTURE = re.compile(r'<img (?P<rest>[^>]*?)src="(?P<source>(?:\.\./)?_images/[^"]+\.png)"[^>]*>')


class checks(nodes.Element):
    """The claims of one cell that held."""


def gather(app: Sphinx, doctree: nodes.document) -> None:
    """Take the lines `passed: …` out of each printed block, into one `checks` behind it."""
    for block in list(doctree.findall(nodes.literal_block)):
        lines = block.astext().splitlines()
        claims = [line.removeprefix(PASSED) for line in lines if line.startswith(PASSED)]
        if not claims or "stream" not in block["classes"]:
            continue
        found = [checks("", claims=claims)]
        rest = "\n".join(line for line in lines if not line.startswith(PASSED))
        if rest.strip():
            kept = block.copy()
            kept.rawsource = rest
            kept += nodes.Text(rest)
            found.insert(0, kept)
        block.parent.replace(block, found)


def show(self: Any, node: checks) -> None:
    """One line that opens."""
    count = len(node["claims"])
    title = f"✓ {count} check{'s' if count > 1 else ''}"
    items = "".join(f"<li>{self.encode(claim)}</li>" for claim in node["claims"])
    self.body.append(
        f'<details class="checks"><summary>{title}</summary><ul>{items}</ul></details>'
    )
    raise nodes.SkipNode


def cuts(pixels: np.ndarray) -> list[int]:
    """The columns at which a picture (height, width) falls into panels; none for a single one."""
    width = pixels.shape[1]
    if width < LEAST:
        return []
    for count in (2, 3):
        part = (width - 2 * MARGIN) / count
        columns = [round(MARGIN + cut * part) for cut in range(1, count)]
        if all((pixels[:, c - GUTTER : c + GUTTER + 1] == 255).all() for c in columns):
            return columns
    return []


def stacked(path: Path) -> Path | None:
    """The picture with its panels below one another, beside the first; None for a single panel."""
    picture = Image.open(path).convert("RGB")
    columns = cuts(np.asarray(picture.convert("L")))
    if not columns:
        return None
    edges = [0, *columns, picture.width]
    width = max(right - left for left, right in pairwise(edges))
    tall = Image.new("RGB", (width, picture.height * (len(edges) - 1)), "white")
    for number, (left, right) in enumerate(pairwise(edges)):
        tall.paste(picture.crop((left, 0, right, picture.height)), (0, number * picture.height))
    target = path.with_name(f"{path.stem}-stacked.png")
    tall.quantize(192, dither=Image.Dither.NONE).save(target, "PNG", optimize=True)
    return target


def stack(app: Sphinx, exception: Exception | None) -> None:
    """Offer narrow screens the stacked pictures, on every page of a finished HTML build."""
    if exception or app.builder.name != "html":
        return
    known: dict[str, Path | None] = {}

    def offered(found: re.Match) -> str:
        name = found["source"].rpartition("/")[2]
        if name not in known:
            known[name] = stacked(Path(app.outdir) / "_images" / name)
        if known[name] is None:
            return found[0]
        tall = found["source"].replace(name, known[name].name)
        return f'<picture><source media="{NARROW}" srcset="{tall}">{found[0]}</picture>'

    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text("utf-8")
        if "<picture>" not in text and (changed := PICTURE.sub(offered, text)) != text:
            page.write_text(changed, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.add_node(checks, html=(show, None))
    app.connect("doctree-read", gather)
    app.connect("build-finished", stack)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
