"""Chromium without a window: where it is, and how the press and the browser tests start it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def path() -> str | None:
    """The Chromium of this machine, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def started() -> Iterator[Browser]:
    """A browser, closed after; where the machine has none, Playwright's own if that is there."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path(), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def blank_page() -> Iterator[Page]:
    """An empty page that may open files and ask no other host; closed after."""
    with started() as browser:
        context = browser.new_context(offline=True)
        context.set_default_timeout(600_000)
        yield context.new_page()
