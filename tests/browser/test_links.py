"""Every link of every page leads somewhere: to a file of the book, and to an element in it."""

from urllib.parse import urlsplit

import pytest
from built import HTML, broken, markup


def test_links_within_the_book_resolve(page, visited, record_property):
    links = visited(page).opening.links
    own = [link for link in links if urlsplit(link).scheme == "file"]
    others = [link for link in links if urlsplit(link).scheme in ("http", "https")]
    wrong = sorted(filter(None, map(broken, set(own))))
    record_property("links", len(own))
    record_property("external links", len(others))
    record_property("broken links", len(wrong))
    assert len(own) >= 10, f"{page} has {len(own)} links into the book: where is its sidebar?"
    assert not wrong, f"{page} has broken links: {wrong}"
    strange = set(links) - set(own) - set(others)
    assert not strange, f"{page} links to neither a file nor a site: {strange}"


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("index.html", None),
        ("index.html#no-such-place", "no element with the identifier no-such-place"),
        ("no-such-page.html", "no such file"),
        ("../elsewhere.html", "leads out of the book"),
    ],
)
def test_a_broken_link_is_recognised(link, wrong):
    start = HTML.parent.as_uri() + "/" if link.startswith("..") else HTML.as_uri() + "/"
    found = broken(start + link.removeprefix("../"))
    assert found is None if wrong is None else wrong in found


def test_identifiers_are_read_from_the_markup():
    assert "main-content" in markup("index.html").identifiers
