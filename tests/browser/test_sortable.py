"""The table of exhibits: sorted by key and by pointer, both ways, and a table without scripts."""

import math

import pytest
from built import HTML
from hands import press
from visiting import PATIENCE

PAGE = "chapters/20-mistakes.html"
TABLE = "table.sortable"


@pytest.fixture
def reader(browser):
    """The chapter in a window of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(f"{HTML.as_uri()}/{PAGE}")
    yield page
    context.close()


def column(page, number):
    """The words of a column, from the first row to the last."""
    return page.locator(f"{TABLE} tbody td:nth-child({number})").all_inner_texts()


def numbers(words):
    """The numbers of a column's words, in their order; a dash is none."""
    plain = [each.replace(",", "").replace("−", "-").replace("∞", "inf") for each in words]
    return [float(each) for each in plain if each != "–"]


def test_a_heading_sorts_by_numbers_and_once_more_the_other_way(reader):
    before = column(reader, 1)
    assert before == [str(number) for number in range(1, len(before) + 1)]
    heading = reader.locator(f"{TABLE} th", has_text="Cost")
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    costs = numbers(column(reader, 3))
    assert costs == sorted(costs)
    assert costs[0] < 0
    assert costs[-2:] == [math.inf] * 2
    assert column(reader, 3)[len(costs) :] == ["–"] * (len(before) - len(costs))
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert numbers(column(reader, 3)[: len(costs)]) == costs[::-1]


def test_keys_sort_words_and_one_heading_alone_is_sorted(reader):
    heading = reader.locator(f"{TABLE} th", has_text="Piece")
    reader.locator(f"{TABLE} th button").first.click()
    heading.locator("button").focus()
    press(reader, "Enter")
    pieces = column(reader, 5)
    assert pieces == sorted(pieces)
    assert reader.locator(f"{TABLE} th[aria-sort]").count() == 1


def test_without_scripts_it_is_a_plain_table(browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{HTML.as_uri()}/{PAGE}")
    assert page.locator(f"{TABLE} button").count() == 0
    assert page.locator(f"{TABLE} th").first.inner_text() == "№"
    context.close()
