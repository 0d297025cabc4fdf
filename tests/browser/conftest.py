"""One browser for all tests that need one, and bare pages with one live figure."""

import os
import shutil

import export_live
import live
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="session")
def browser():
    """Chromium; without it the tests are skipped, except in continuous integration."""
    if CHROMIUM is None and "CI" not in os.environ:
        pytest.skip("no Chromium is found: `apt install chromium` brings one")
    with sync_api.sync_playwright() as running:
        started = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def opened(browser, tmp_path):
    """A function that opens a page with one live figure, from disk; options are the browser's."""
    contexts = []

    def open_page(figure="latent-pad", before="", **options):
        assets = export_live.ASSETS.as_uri()
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
