"""On paper there are no sidebars and no buttons; figures, listings and solutions are all there."""

import io

import pytest
from pypdf import PdfReader
from pypdf.generic import ContentStream
from visiting import PATIENCE, open_file


@pytest.fixture(scope="module")
def paper(browser):
    """A reader with the dark theme, who prints."""
    context = browser.new_context(color_scheme="dark")
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def test_a_page_prints_whole(page, seen):
    wrong = seen.printed
    assert not wrong["chrome"], f"{page} prints what one can only press: {wrong['chrome']}"
    assert not wrong["lost"], f"{page} loses on paper: {wrong['lost']}"
    assert not wrong["pale"], f"{page} prints pale on white: {wrong['pale']}"


@pytest.mark.parametrize("page", ["index.html", "chapters/04-bounds.html"])
def test_a_page_becomes_a_pdf(page, paper):
    with open_file(paper, page) as opened:
        printed = opened.pdf()
    assert printed.startswith(b"%PDF-"), f"{page} prints {printed[:20]}"
    assert len(printed) > 10_000, f"{page} prints {len(printed)} bytes: is there anything on it?"


BOXES = """() => [...document.querySelectorAll('article div.cell_input')]
    .filter((found) => found.checkVisibility())"""
BAR = (0.0, 128 / 255, 0.0)  # the green of the bar on the left of each listing
LONG = """() => { const [first] = [...document.querySelectorAll('article div.cell_input pre')]
        .filter((found) => found.checkVisibility());
    first.textContent = Array.from({ length: 150 }, (_, i) => `line_${i}_of`).join('\\n'); }"""


def printed(opened) -> PdfReader:
    """What a page prints, as a reader of PDF sees it."""
    opened.emulate_media(media="print")
    return PdfReader(io.BytesIO(opened.pdf()))


def bars(paper: PdfReader) -> int:
    """How many green bars are drawn: a listing that is broken has one on each of its sheets."""
    drawn, colour = 0, None
    for sheet in paper.pages:
        for values, operation in ContentStream(sheet.get_contents(), paper).operations:
            if operation == b"rg":
                colour = tuple(map(float, values))
            elif operation == b"f":
                drawn += colour == pytest.approx(BAR, abs=0.01)
    return drawn


@pytest.mark.parametrize("page", ["chapters/04-bounds.html", "chapters/09-training.html"])
def test_a_listing_stands_on_one_sheet_and_no_sheet_ends_in_an_empty_box(page, paper):
    with open_file(paper, page) as opened:
        found = bars(printed(opened))
        boxes = opened.evaluate(f"({BOXES})().length")
    assert boxes > 10
    assert found == boxes, f"{page} prints {boxes} listings in {found} boxes"


def test_a_listing_longer_than_a_sheet_is_broken_and_nothing_of_it_is_lost(paper):
    with open_file(paper, "chapters/04-bounds.html") as opened:
        opened.evaluate(LONG)
        sheets = [sheet.extract_text() for sheet in printed(opened).pages]
    counts = [sum(f"line_{i}_of" in sheet for i in range(150)) for sheet in sheets]
    assert sum(counts) == 150
    held = [count for count in counts if count]
    assert len(held) > 1
    assert min(held) >= 6, "a box has only a line or two"
