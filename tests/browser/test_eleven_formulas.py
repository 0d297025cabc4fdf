"""The strip of the eleven formulas leads to each of them, and each bears its name."""

import spine
from built import HTML, pages
from playwright.sync_api import expect


def test_each_chip_leads_to_the_formula_of_its_name(browser):
    chapter = next(page for page in pages() if page.startswith("chapters/"))
    opened = browser.new_page(java_script_enabled=False)
    opened.goto(f"{HTML.as_uri()}/{chapter}")
    links = {
        chip.locator("b").text_content(): chip.evaluate("link => link.href")
        for chip in opened.locator("nav.spine a").all()
    }
    assert [*links] == [*spine.FORMULAS]
    for label, link in links.items():
        assert link.endswith(f"#equation-{label}")
        opened.goto(link)
        expect(opened.locator(":target .eqno")).to_contain_text(f"({label})")
    opened.close()


def test_the_strip_is_small_and_fits_a_narrow_window(browser):
    opened = browser.new_page(viewport={"width": 320, "height": 700}, java_script_enabled=False)
    for chapter in (page for page in pages() if page.startswith("chapters/")):
        opened.goto(f"{HTML.as_uri()}/{chapter}")
        box = opened.locator("nav.spine").bounding_box()
        assert box["x"] >= 0, chapter
        assert box["x"] + box["width"] <= 320, chapter
        assert box["height"] < 200, chapter
    opened.close()
