"""The search, from disk: what people type leads first to the section that answers it."""

import re

import pytest
from built import HTML, broken
from playwright.sync_api import expect
from visiting import PATIENCE, audit, watched

FIRST = {  # what is typed → the first result
    "sum or mean": "questions.html#sum-or-mean-over-pixels",
    "KL annealing": "questions.html#kl-annealing-or-warm-up-does-it-help",
    "negative loss": "questions.html#why-is-my-loss-negative",
    "NaN": "questions.html#nan-in-training-where-from",
    "blurry": "questions.html#why-are-the-samples-blurry",
    "posterior collapse": "questions.html#posterior-collapse-what-is-it-and-what-helps",
    "how many latents": "questions.html#how-many-latents",
    "sample or rsample": "questions.html#sample-or-rsample",
    "0.18215": "questions.html#what-is-0-18215",
    "beta": "questions.html#below-one-one-or-above",
    # as others type them
    "β": "questions.html#below-one-one-or-above",
    "size_average": "questions.html#sum-or-mean-over-pixels",
    "warmup": "questions.html#kl-annealing-or-warm-up-does-it-help",
    "logvar": "questions.html#why-a-log-variance",
    "KL vanishing": "questions.html#posterior-collapse-what-is-it-and-what-helps",
    # terms, functions, works, and what only a chapter says
    "effective sample size": "glossary.html#term-effective-sample-size",
    "kl_to_standard_normal": "reference/gaussians.html#kl_to_standard_normal",
    "natural gradient": "chapters/11-evaluation.html#the-climb",
    "Cremer": "bibliography.html#",
}


@pytest.fixture(scope="module")
def reader(browser):
    """The search page, opened from disk."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.seen = watched(page)
    page.goto(f"{HTML.as_uri()}/search.html")
    yield page
    context.close()


def results(page, typed: str):
    """The results of what is typed into the field of the page."""
    page.locator(".bd-search-container input[name=q]").fill(typed)
    return page.locator("ul.search li")


@pytest.mark.parametrize("typed", FIRST)
def test_the_first_result_answers(reader, typed):
    first = results(reader, typed).first
    assert first.locator("a").get_attribute("href").startswith(FIRST[typed])
    assert broken(first.locator("a").evaluate("link => link.href")) is None
    assert len(first.locator(".context").inner_text()) > 60  # so that one need not go there


def test_a_result_says_where_it_stands_and_marks_what_was_typed(reader):
    found = results(reader, "free bits").first
    expect(found).to_contain_text("Questions, as people type them")
    marked = results(reader, "natural gradient").locator("mark").all_inner_texts()
    assert {word.lower() for word in marked} >= {"natural", "gradient"}


def test_what_is_found_is_counted_aloud_while_one_types(reader):
    said = reader.locator("#search-results [role=status]")
    found = results(reader, "posterior")
    expect(said).to_have_text(re.compile(r"^\d+ places, the best 30 below$"))
    assert found.count() == 30
    results(reader, "xyzzy")
    expect(said).to_have_text("0 places")
    results(reader, "")
    expect(said).to_have_text("")


def test_nothing_is_fetched_and_nothing_is_an_error(reader):
    requests, failed, errors = reader.seen
    results(reader, "evidence")
    assert {request.rpartition("/")[2] for request in requests} >= {"passages.js", "search.js"}
    assert not failed
    assert not errors


def test_a_search_begins_in_the_sidebar_of_any_page(browser):
    page = browser.new_page()
    page.goto(f"{HTML.as_uri()}/chapters/04-bounds.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("sum or mean")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=sum+or+mean")
    first = page.locator("ul.search li a").first
    expect(first).to_have_attribute("href", FIRST["sum or mean"])
    first.click()
    expect(page.locator("#sum-or-mean-over-pixels h2")).to_be_in_viewport()
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_results_are_accessible_and_fit_a_phone(browser, theme):
    context = browser.new_context(color_scheme=theme, viewport={"width": 320, "height": 640})
    context.add_init_script(f"localStorage.setItem('mode', {theme!r})")
    page = context.new_page()
    page.goto(f"{HTML.as_uri()}/search.html?q=KL+annealing")
    expect(page.locator("ul.search li")).not_to_have_count(0)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 320
    _, objections = audit(page)
    assert not objections, "\n".join(objections)
    context.close()
