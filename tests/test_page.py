"""The page of a report: whole in one file, valid, escaped, its pictures as they are."""

import base64
import io
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import torch
from PIL import Image

from vae_tutorial.audit.findings import Bars, Finding, Pictures, Report, Verdict
from vae_tutorial.audit.page import page

VOID = {"meta", "img"}
FOUND = Finding(
    "rate",
    Verdict.CANNOT_TELL,
    "a < b & c",
    '"three"',
    "Look <here>.",
    "07-linear",
    bars=(Bars("KL by latent, nats", (2.0, 0.5, float("nan"), -1.0)),),
)
IMAGES = torch.tensor([[[0.0, 1.0], [0.5, 0.25]], [[1.0, 0.0], [0.0, 0.0]]])
REPORT = Report((FOUND,), 7, 3.2, (Pictures("images", IMAGES),))


class Nesting(HTMLParser):
    """Raises where a tag is closed that is not the last one open."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_tags_are_closed_in_order_and_text_is_escaped():
    made = page(REPORT, "Audit of <runs/a>")
    nesting = Nesting()
    nesting.feed(made)
    assert nesting.open == []
    assert "<p>a &lt; b &amp; c</p>" in made
    assert "<p><b>Expected</b> &quot;three&quot;</p>" in made
    assert "<p>Look &lt;here&gt;.</p>" in made
    assert "rate <small>Chapter 7, linear</small>" in made
    assert made.count("Audit of &lt;runs/a&gt;") == 2
    assert "? cannot tell" in made


def test_nothing_is_fetched_and_nothing_runs():
    made = page(REPORT)
    assert not re.search(r"(src|href)=\"(?!data:)", made)
    assert "<script" not in made
    assert "http" not in made


def test_bars_stand_on_one_line_in_proportion_and_below_zero_there_is_none():
    made = page(REPORT)
    bars = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)">', made)
    tops, heights = ([float(bar[i]) for bar in bars] for i in (1, 2))
    assert heights == [60.0, 15.0, 0.0, 0.0]
    assert [top + height for top, height in zip(tops, heights, strict=True)] == [60.0] * 4
    assert "KL by latent, nats; at most 2" in made
    assert "dashed" not in made


def test_a_line_across_bars_stands_at_its_height_and_is_named():
    high, low = (Bars("k̂", (0.2, 0.4), line, "limit") for line in (0.8, 0.1))
    for bars, top, height in ((high, 0.0, 30.0), (low, 45.0, 60.0)):
        made = page(Report((FOUND._replace(bars=(bars,)),), 7, 3.2))
        lines = re.findall(r'<line x2="[\d.]+" y1="([\d.]+)" y2="([\d.]+)"', made)
        assert {float(end) for line in lines for end in line} == {top}
        assert float(re.findall(r'<rect [^>]*height="([\d.]+)"', made)[1]) == height
        assert f"k̂; at most 0.4; dashed, at {bars.line:.3g}: limit" in made


def test_many_bars_are_no_wider_than_few():
    made = page(Report((FOUND._replace(bars=(Bars("k̂", (1.0,) * 200),)),), 7, 3.2))
    rows = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', made)
    edges = [(float(x), float(x) + float(width)) for x, width in rows]
    assert all(end < start for (_, end), (start, _) in pairwise(edges))
    assert edges[-1][1] <= 420


def test_a_picture_shows_the_images_dark_where_they_are_large():
    encoded = re.search(r"data:image/png;base64,([^\"]+)", page(REPORT)).group(1)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    assert shown.shape == (2, 6)
    expected = np.floor(255 * (1 - IMAGES.numpy()))
    assert np.array_equal(shown[:, :2], expected[0])
    assert np.array_equal(shown[:, 3:5], expected[1])
    assert (shown[:, [2, 5]] == 255).all()


def verdicts(*given):
    return Report(tuple(FOUND._replace(verdict=each, check=str(each)) for each in given), 7, 3.2)


def test_findings_stand_under_their_verdict_and_a_sound_one_does_not_say_what_a_fault_means():
    made = page(verdicts(Verdict.WRONG, Verdict.SOUND, Verdict.SOUND, Verdict.CANNOT_TELL))
    assert re.findall("<h2>(.*?)</h2>", made) == ["Wrong", "Sound", "Cannot tell"]
    sound = made[made.index("<h2>Sound") : made.index("<h2>Cannot tell")]
    assert sound.count("<section>") == 2
    assert "Look &lt;here&gt;." not in sound
    assert made.count("Look &lt;here&gt;.") == 2


def test_a_page_says_what_to_do_first():
    report = verdicts(Verdict.LOOK, Verdict.SOUND)
    assert "“look” first" in report.advice
    assert report.advice in page(report)


def test_a_report_without_findings_is_a_page_too():
    Nesting().feed(page(Report((), 2, 0.0)))
