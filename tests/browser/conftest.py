"""One browser, one loopback server, a page opened twice for all the tests, and their summary."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import chromium
import export_live
import live
import pytest
from built import HTML, pages
from playwright.sync_api import Browser
from visiting import Opening, Visit, open_in_dark, visit
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

TOTALS = {  # a property that tests record → how the summary says it
    "pages": "pages",
    "formulas": "formulas typeset",
    "figures": "pictures in the text",
    "live figures": "live figures",
    "links": "links within the book",
    "external links": "links to other sites, not followed",
    "broken links": "broken links",
    "external requests": "requests to other hosts",
    "audits": "axe audits (each page in light, its colours in dark)",
    "violations": "axe violations",
}
LARGEST = {
    "rules": ("axe rules run, at most", "{:.0f}"),
    "kilobytes": ("largest page with all it loads", "{:.0f} kB"),
    "compressed": ("largest page with all it loads, compressed", "{:.0f} kB"),
    "milliseconds": ("slowest page until typeset, from disk", "{:.0f} ms"),
}


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep the tests' output to the tests."""


class Patient(ThreadingHTTPServer):
    """Lets as many requests wait as a page makes."""

    request_queue_size = 128
    daemon_threads = True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ask for every page once, and of the tests that ask for a way, for each way to it.

    Of the pages of the reference, which are written alike, one is opened over loopback.
    """
    if metafunc.definition.get_closest_marker("parametrize"):
        return
    if "way" in metafunc.fixturenames:
        written = [page for page in pages() if not page.startswith("reference/")]
        ways = {"disk": pages(), "loopback": [*written, "reference/mistakes.html"]}
        pairs = [(way, page) for way, opened in ways.items() for page in opened]
        metafunc.parametrize(("way", "page"), pairs, ids=map("-".join, pairs))
    elif "page" in metafunc.fixturenames:
        metafunc.parametrize("page", pages())


def page_of(nodeid: str) -> str:
    """The page that a test is about; empty where it is about none."""
    found = re.search(r"(?:disk-|loopback-)?([\w/-]+\.html)", nodeid)
    return found[1] if found else ""


class ByPage(LoadScopeScheduling):
    """All tests of a page go to one process, which opens it once in each way."""

    def _split_scope(self, nodeid: str) -> str:
        return page_of(nodeid) or nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByPage:
    """Share the tests out by page; `--dist loadgroup` cannot, its marks go unseen here."""
    return ByPage(config, log)


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The built book over HTTP, on this machine only."""
    server = Patient(("127.0.0.1", 0), partial(Quiet, directory=HTML))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def installed() -> None:
    """Chromium is here; where it is not, tests are skipped, but never in continuous integration."""
    if chromium.path() is None:
        message = f"no Chromium: none of {', '.join(chromium.NAMES)} is on the path"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


@pytest.fixture(scope="session")
def browser(installed: None) -> Iterator[Browser]:
    """The one browser of all the tests."""
    with chromium.started() as started:
        yield started


@pytest.fixture(scope="session")
def visited(browser: Browser) -> Callable[[str], Visit]:
    """The visit of a page from disk, made when a test first asks for it."""
    return cache(lambda page: visit(browser, f"{HTML.as_uri()}/{page}"))


@pytest.fixture(scope="session")
def served(browser: Browser, address: str) -> Callable[[str], Opening]:
    """A page opened over loopback, once a test asks for it."""
    return cache(lambda page: open_in_dark(browser, f"{address}/{page}"))


@pytest.fixture
def seen(visited: Callable[[str], Visit], page: str) -> Visit:
    """The visit that a test looks at."""
    return visited(page)


@pytest.fixture
def opening(
    visited: Callable[[str], Visit], served: Callable[[str], Opening], page: str, way: str
) -> Opening:
    """What a page did and held, from disk in the light theme or over loopback in the dark one."""
    return visited(page).opening if way == "disk" else served(page)


@pytest.fixture
def opened(browser, tmp_path):
    """A function that opens a bare page with one live figure and the built book's scripts."""
    contexts = []

    def open_page(figure="latent-pad", before="", **options):
        assets = (HTML / "assets").as_uri()
        names = (*live.ENGINE, *live.FIGURES[figure])
        scripts = "".join(f"<script defer src='{assets}/{name}.js'></script>" for name in names)
        picture = (export_live.STATIC_PICTURES / f"{figure}.png").as_uri()
        path = tmp_path / "page.html"
        path.write_text(
            "<!doctype html><html lang='en'><meta charset='utf-8'><title>Figure</title>"
            "<meta name='viewport' content='width=device-width'>"
            f"<link rel='stylesheet' href='{assets}/live.css'><script>{before}</script>{scripts}"
            f"<body><figure class='live live-{figure}' id='fig-pad'>"
            f"<img alt='The static picture' src='{picture}' style='max-width: 100%'>"
            "<figcaption>Caption</figcaption></figure></body></html>",
            "utf-8",
        )
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.errors = []
        page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was counted, whether the tests passed or failed."""
    totals, largest = dict.fromkeys(TOTALS, 0), {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) != "call":
                continue
            page = page_of(report.nodeid)
            for name, value in report.user_properties:
                if name in totals:
                    totals[name] += value
                elif name in LARGEST:
                    largest[name] = max(largest.get(name, (0, "")), (value, page))
    if largest:
        terminalreporter.section("what the browser saw")
        for name, value in totals.items():
            terminalreporter.write_line(f"{TOTALS[name]:<50}{value:>10,}")
        for name, (value, page) in largest.items():
            words, shape = LARGEST[name]
            terminalreporter.write_line(f"{words:<50}{shape.format(value):>10}   {page}")
