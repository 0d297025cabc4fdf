"""A report as one HTML file: no server, no network, no script; pictures inside."""

import base64
import html
import io
import math

import numpy as np
from PIL import Image
from torch import Tensor

from vae_tutorial.audit.findings import Bars, Finding, Pictures, Report, Verdict, place

MARKS = {Verdict.WRONG: "✗", Verdict.LOOK: "!", Verdict.SOUND: "✓", Verdict.CANNOT_TELL: "?"}
HEADINGS = {  # of the findings of a verdict, and what the verdict means
    Verdict.WRONG: ("Wrong", "No sound model looks like this."),
    Verdict.LOOK: ("To look at", "A fault looks like this, and so do many sound models."),
    Verdict.SOUND: ("Sound", "What a fault of this kind would move is where it should be."),
    Verdict.CANNOT_TELL: (
        "Cannot tell",
        "Not given, not computable, or a measure that can accuse and never acquit.",
    ),
}
BOOK = "Chapters are those of the book “Variational autoencoders, checked”."
HEIGHT, GAP = 60, 2  # of bars, in pixels
WIDEST = 420  # of a row of bars

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --quiet: #595959; --line: #ccc;
  --wrong: #a4262c; --look: #8a5300; --sound: #1f6f3f; --cannot-tell: #595959; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --paper: #161616; --quiet: #b3b3b3;
  --line: #444; --wrong: #ff8f8f; --look: #f0b45c; --sound: #7fd49b; --cannot-tell: #b3b3b3; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid var(--line); padding: .8rem 0; }
h2 { font-size: 1.3rem; margin: 1.6rem 0 0; } h3 { font-size: 1.05rem; margin: 0; }
p { margin: .3rem 0; overflow-wrap: anywhere; }
.quiet, small { color: var(--quiet); } small { font-weight: normal; margin-left: .4rem; }
.wrong { color: var(--wrong); } .look { color: var(--look); } .sound { color: var(--sound); }
.cannot-tell { color: var(--cannot-tell); }
img { image-rendering: pixelated; width: 100%; max-width: 40rem; height: auto; }
svg rect { fill: var(--ink); } figure { margin: .5rem 0; } figcaption { color: var(--quiet); }
@media print { :root { color-scheme: light; --ink: #000; --paper: #fff; --quiet: #444;
  --line: #ccc; --wrong: #a4262c; --look: #8a5300; --sound: #1f6f3f; --cannot-tell: #444; }
  body { font-size: 10pt; margin: 0; max-width: none; } section, figure { break-inside: avoid; }
  h2 { break-after: avoid; } img { max-width: 12cm; } }
"""


def page(report: Report, title: str = "Audit of a VAE") -> str:
    """The report as a self-contained HTML page, the gravest findings first.

    >>> page(Report((), 2, 0.0)).startswith("<!doctype html>")
    True
    """
    counts = ", ".join(
        f"{sum(found.verdict is verdict for found in report.findings)} {verdict}"
        for verdict in Verdict
    )
    body = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{report.images} images, {report.seconds:.0f} seconds: {counts}.</p>",
        f"<p>{html.escape(report.advice)} {BOOK}</p>",
        *map(_picture, report.pictures),
    ]
    for verdict in Verdict:
        found = [finding for finding in report.findings if finding.verdict is verdict]
        if found:
            heading, meaning = HEADINGS[verdict]
            body += [f'<h2>{heading}</h2>\n<p class="quiet">{meaning}</p>', *map(_section, found)]
    if report.notes:
        body += ["<h2>Not judged</h2>", *(f"<p>{html.escape(note)}</p>" for note in report.notes)]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _section(found: Finding) -> str:
    """One finding; of a sound one, not what it would mean if it were none."""
    name = found.verdict.replace(" ", "-")
    lines = [
        f'<section><h3><span class="{name}">{MARKS[found.verdict]} {found.verdict}</span> '
        f"{html.escape(found.check)} <small>{html.escape(place(found.chapter))}</small></h3>",
        f"<p>{html.escape(found.measured)}</p>",
    ]
    if found.expected:
        lines.append(f"<p><b>Expected</b> {html.escape(found.expected)}</p>")
    if found.verdict is not Verdict.SOUND:
        lines.append(f"<p>{html.escape(found.reason)}</p>")
    return "\n".join([*lines, *map(_bars, found.bars), "</section>"])


def _bars(bars: Bars) -> str:
    """A row of bars from zero up, each with its number as a tooltip, and a dashed line across."""
    heights = np.nan_to_num(np.maximum(np.asarray(bars.heights, dtype=float), 0.0), posinf=0.0)
    step = min(24.0 + GAP, WIDEST / max(len(heights), 1))  # from one bar to the next
    width, across = step - min(GAP, step / 4), step * len(heights)
    label, has_line = bars.label, math.isfinite(bars.line)
    most = max(float(heights.max(initial=0.0)), bars.line if has_line else 0.0, 1e-300)
    drawn = [
        f'<rect x="{i * step:.2f}" y="{HEIGHT * (1 - height / most):.1f}" '
        f'width="{width:.2f}" height="{HEIGHT * height / most:.1f}">'
        f"<title>{i + 1}: {height:.4g}</title></rect>"
        for i, height in enumerate(heights)
    ]
    label += f"; at most {heights.max(initial=0.0):.3g}"
    if has_line:
        label += f"; dashed, at {bars.line:.3g}: {bars.line_label}"
        for ink, dashes in (("paper", ""), ("ink", "4 3")):  # a dash is seen on bars, and beside
            drawn.append(
                f'<line x2="{across:.1f}" y1="{HEIGHT * (1 - bars.line / most):.1f}" '
                f'y2="{HEIGHT * (1 - bars.line / most):.1f}" stroke-dasharray="{dashes}" '
                f'style="stroke: var(--{ink})" stroke-width="{2 if dashes else 4}"/>'
            )
    label = html.escape(label)
    return (
        f'<figure><svg role="img" aria-label="{label}" width="{across:.0f}" '
        f'viewBox="0 -2 {across:.0f} {HEIGHT + 4}" style="max-width: 100%; height: auto">'
        f"{''.join(drawn)}</svg><figcaption>{label}</figcaption></figure>"
    )


def _picture(pictures: Pictures) -> str:
    name = html.escape(pictures.label)
    return (
        f'<figure><img alt="{len(pictures.images)} pictures in a row: {name}" '
        f'src="data:image/png;base64,{_png(pictures.images)}">'
        f"<figcaption>{name}</figcaption></figure>"
    )


def _png(images: Tensor) -> str:
    """Images (n, height, width) side by side, dark where they are large: base64 of a PNG."""
    low, high = images.min(), images.max()
    grey = (255 * (1 - (images - low) / (high - low).clamp(min=1e-12))).byte().cpu().numpy()
    height, width = grey.shape[1:]
    row = np.full((height, len(grey) * (width + 1)), 255, dtype=np.uint8)
    for i, image in enumerate(grey):
        row[:, i * (width + 1) : i * (width + 1) + width] = image
    file = io.BytesIO()
    Image.fromarray(row).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
