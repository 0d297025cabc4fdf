"""Every page from disk, and over loopback: mathematics, requests, errors, pictures, width."""

import re

import pytest
from built import HTML, markup, pages, weight
from playwright.sync_api import Page, expect
from visiting import local_path, watched

FILE_NAME = re.compile(r"^\S*\.(png|svg|jpe?g|gif|webp)$|^[0-9a-f]{16,}$", re.IGNORECASE)


def test_the_book_is_built():
    assert "index.html" in pages(), f"no built book at {HTML}: run `make book` first"


def test_mathematics_is_typeset(page, way, opening, record_property):
    expected = markup(page).formulas
    if page.startswith("chapters/"):
        assert expected > 0, f"{page} has no formula: a chapter needs some"
    if way == "disk":
        record_property("pages", 1)
        record_property("formulas", opening.formulas)
    assert opening.formulas == expected, (
        f"{page} typesets {opening.formulas} of {expected} formulas"
    )
    assert not opening.faults, f"{page} has formulas that MathJax refuses: {opening.faults}"


def test_nothing_is_requested_from_another_host(page, opening, address, record_property):
    own = (f"{HTML.as_uri()}/", f"{address}/", "data:", "blob:")
    others = [request for request in opening.requests if not request.startswith(own)]
    record_property("external requests", len(others))
    assert not others, f"{page} asks for {others}: keep a copy in the book"


def refused(opened: Page, element: str, address: str) -> str:
    """The directive under which a page refuses an element from an address; empty where it asks."""
    return opened.evaluate(
        """([name, address]) => new Promise((resolve) => {
            const element = document.createElement(name);
            addEventListener("securitypolicyviolation", (event) => {
                if (event.blockedURI === address) resolve(event.effectiveDirective);
            });
            element.onerror = () => setTimeout(() => resolve(""), 500);
            Object.assign(element, { src: address });
            document.body.append(element);
        })""",
        [element, address],
    )


@pytest.mark.parametrize("start", ["disk", "loopback"])
@pytest.mark.parametrize(("element", "kind"), [("img", "img-src"), ("script", "script-src-elem")])
def test_the_browser_refuses_to_ask_another_host(browser, address, start, element, kind):
    opened = browser.new_page()
    opened.goto(f"{HTML.as_uri() if start == 'disk' else address}/index.html")
    assert refused(opened, element, "https://cdn.example.org/a.js") == kind
    opened.close()


def test_no_request_fails(page, opening):
    assert len(opening.requests) > 1, f"{page} asks for nothing: was it watched?"
    assert not opening.failed, f"{page} asks for what is not there: {opening.failed}"


def test_no_error_in_the_console(page, opening):
    assert not opening.errors, f"{page} says in the console: {opening.errors}"


def test_pictures_load_and_say_what_they_show(page, way, opening, record_property):
    in_text = [picture for picture in opening.pictures if picture.in_text]
    if way == "disk":
        record_property("figures", len(in_text))
        record_property("live figures", len(markup(page).live_figures))
    for picture in opening.pictures:
        assert picture.width > 0, f"{page}: the picture {picture.source} does not load"
    for picture in in_text:
        words = (picture.alt or "").strip()
        assert words, f"{page}: the picture {picture.source} has no alt text"
        assert not FILE_NAME.match(words), f"{page}: the alt text {words} is a file's name"
        assert len(words.split()) >= 5, f"{page}: the alt text {words!r} says too little"


def test_a_chapter_shows_pictures(page, opening):
    if page.startswith("chapters/"):
        assert any(picture.in_text for picture in opening.pictures), f"{page} shows no picture"


def test_no_sideways_scrolling_at_320_pixels(page, seen):
    found = f"{page} is {seen.scrolled_width} px wide in a window of 320: {seen.too_wide}"
    assert seen.scrolled_width <= 320, found


def test_weight_and_time_are_counted(page, visited, record_property):
    opening = visited(page).opening
    files = {local_path(request) for request in opening.requests if request.startswith("file:")}
    assert HTML / page in files
    on_disk, compressed = map(sum, zip(*map(weight, files), strict=True))
    record_property("kilobytes", on_disk / 1000)
    record_property("compressed", compressed / 1000)
    record_property("milliseconds", opening.milliseconds)


def test_search_works_over_loopback(browser, address):
    opened = browser.new_page()
    _, failed, errors = watched(opened)
    opened.goto(f"{address}/search.html?q=posterior")
    expect(opened.locator(".search-summary")).to_have_text(re.compile(r"^\d+ places"))
    assert opened.locator("ul.search li").count() >= 5
    assert not failed
    assert not errors
    opened.close()
