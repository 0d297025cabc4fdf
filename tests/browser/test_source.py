"""Source is set as source: coloured, linked, and reached from the equations and the ledger."""

import pytest
from built import HTML, broken, markup, pages
from playwright.sync_api import expect
from visiting import PATIENCE


@pytest.fixture
def reader(browser):
    """A page in a window of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def test_listings_are_coloured_and_their_names_lead_somewhere(page, visited):
    listings = visited(page).listings
    if page.startswith("chapters/"):
        assert listings, f"{page} lists no source"
    for listing in listings:
        if listing["text"].startswith(("def ", "class ", "@")):
            assert listing["colours"] > 1, f"{page}: one colour in {listing['text']!r}"
        wrong = list(filter(None, map(broken, listing["links"])))
        assert not wrong, f"{page}: {wrong}"
        assert {*listing["lines"]} <= {"underline"}, f"{page}: a link that looks like text"


def test_chapter_8_lists_the_class_and_leads_to_its_place(reader):
    reader.goto(f"{HTML.as_uri()}/chapters/09-training.html")
    listing = reader.locator(".listing", has_text="class VAE(nn.Module)")
    assert listing.locator(":scope > .listing-code .k").first.text_content() == "class"
    reader.evaluate(
        "document.querySelectorAll('details.sd-dropdown').forEach((fold) => { fold.open = true; })"
    )
    fold = listing.locator("details")
    fold.locator("summary").focus()
    reader.keyboard.press("Enter")
    expect(fold.locator("p").first).to_be_visible()
    listing.locator(".listing-title a").first.click()
    reader.wait_for_url("**/reference/models.html#VAE")
    expect(reader.locator("section#VAE h2")).to_be_in_viewport()


def test_an_equation_leads_to_its_row(reader):
    reader.goto(f"{HTML.as_uri()}/chapters/06-gaussians.html")
    link = reader.get_by_role("link", name="vae7 in the ledger")
    link.focus()
    reader.keyboard.press("Enter")
    reader.wait_for_url("**/ledger.html#row-vae7")
    expect(reader.locator("#row-vae7")).to_be_in_viewport()


def test_every_numbered_equation_of_a_chapter_has_its_row():
    rows = {name for name in markup("ledger.html").identifiers if name.startswith("row-")}
    numbered = {
        name.removeprefix("equation-")
        for page in pages()
        if page.startswith("chapters/")
        for name in markup(page).identifiers
        if name.startswith("equation-")
    }
    assert rows == {f"row-{label}" for label in numbered}
    assert len(rows) > 50


def test_the_filter_works_by_keys_and_says_what_it_leaves(reader):
    reader.goto(f"{HTML.as_uri()}/ledger.html")
    rows, said = reader.locator("table.ledger tbody tr"), reader.locator(".ledger-filter [role]")
    total = rows.count()
    expect(said).to_have_text(f"{total} of {total} equations")
    reader.get_by_label("Show rows with").focus()
    reader.keyboard.type("VAE7 pixels")
    expect(reader.locator("#row-vae7")).to_be_visible()
    expect(reader.locator("#row-vae5")).to_be_hidden()
    expect(said).to_have_text(f"{rows.filter(visible=True).count()} of {total} equations")
    reader.evaluate("location.hash = 'row-vae5'")  # a link to a row that is hidden
    expect(reader.locator("#row-vae5")).to_be_in_viewport()
    reader.get_by_label("Show rows with").focus()
    reader.keyboard.type("no such words")
    expect(said).to_have_text(f"0 of {total} equations")
    reader.keyboard.press("Escape")
    expect(said).to_have_text(f"{total} of {total} equations")


def test_without_scripts_the_whole_ledger_is_there(browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{HTML.as_uri()}/ledger.html")
    assert page.locator("table.ledger tbody tr:visible").count() > 50
    assert page.locator(".ledger-filter").count() == 0
    context.close()
