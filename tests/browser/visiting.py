"""One visit of one page in the browser, with everything that the tests ask about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import axe_playwright_python
from built import HTML
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text("utf-8")
PATIENCE = 120_000  # milliseconds that a busy machine may take to open a page
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
OUTCOMES = ["passes", "violations", "incomplete", "inapplicable"]
# One rule of WCAG 2.1 A that axe still calls experimental: the visible words are in the name.
ALSO = {"label-content-name-mismatch": {"enabled": True}}

SETTLED = """async () => {
    await window.MathJax?.startup?.promise;
    return performance.now();
}"""
SEEN = """() => ({
    formulas: document.querySelectorAll('mjx-container').length,
    faults: [...document.querySelectorAll('[data-mjx-error], mjx-merror, merror')]
        .map(found => found.dataset.mjxError ?? found.textContent),
    links: [...document.querySelectorAll('a[href]')].map(found => found.href),
    images: [...document.querySelectorAll('img')].map(found => ({
        source: found.getAttribute('src'), alt: found.getAttribute('alt'),
        width: found.naturalWidth, inText: found.closest('article') !== null })),
    predictions: [...document.querySelectorAll('.admonition > .admonition-title')]
        .filter(found => found.textContent.trim() === 'Predict').length,
    answers: [...document.querySelectorAll('details.answer:not(.deeper)')]
        .map(found => found.open),
})"""
WIDER = """() => [...document.querySelectorAll('main *')].filter(found => {
    for (let above = found; above; above = above.parentElement) {
        const style = getComputedStyle(above);
        if (above !== found && style.overflowX !== 'visible') return false;
        if (style.position === 'fixed') return false;
    }
    return found.getBoundingClientRect().right > innerWidth + 1;
}).map(found => found.outerHTML.slice(0, 120)).slice(-3)"""

CHROME = (
    "button, .bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .prev-next-footer, "
    "#pst-back-to-top, .headerlink, input, .sd-summary-state-marker"
)
PRINTED = """chrome => {
    const shown = found => found.checkVisibility({
        visibilityProperty: true, opacityProperty: true, contentVisibilityAuto: true })
        && found.getBoundingClientRect().height > 0;
    const lost = selector => [...document.querySelectorAll(selector)]
        .filter(found => found.textContent.trim() || found.tagName === 'IMG')
        .filter(found => !shown(found)).map(found => found.outerHTML.slice(0, 120));
    const channels = colour => colour.match(/[0-9.]+/g).slice(0, 3).map(Number);
    return {
        chrome: [...document.querySelectorAll(chrome)].filter(shown)
            .map(found => found.outerHTML.slice(0, 120)),
        lost: lost('article img, .solution p, .solution pre, details.sd-dropdown pre'),
        pale: [...document.querySelectorAll('article p, article pre span, article a, h1, h2')]
            .filter(found => shown(found) && found.textContent.trim())
            .filter(found => Math.max(...channels(getComputedStyle(found).color)) > 200)
            .map(found => found.outerHTML.slice(0, 120)).slice(0, 5),
    };
}"""
LISTINGS = """() => [...document.querySelectorAll('.listing-code')].map(found => {
    const colour = part => getComputedStyle(part).color;
    const inside = [...found.querySelectorAll('pre span')];
    return {
        text: found.textContent.slice(0, 60),
        colours: new Set(inside.map(colour)).size,
        links: [...found.querySelectorAll('a')].map(a => a.href),
        lines: [...found.querySelectorAll('a')].map(a => getComputedStyle(a).textDecorationLine),
    };
})"""

# What axe would judge again and again: letters of formulas, drawn and spoken, and names in code, of
# which one of each kind stays.
THINNED = """() => {
    for (const drawn of document.querySelectorAll('mjx-container > svg')) drawn.replaceChildren();
    for (const spoken of document.querySelectorAll('math')) spoken.textContent = 'a formula';
    const kinds = new Set();
    for (const name of document.querySelectorAll('pre span:not(:has(*))')) {
        const block = name.closest('pre').parentElement.parentElement;
        const kind = [name.className, name.parentElement.className, block.className].join();
        if (kinds.has(kind)) name.replaceWith(name.textContent);
        kinds.add(kind);
    }
}"""

# It takes the longest over colours, element by element. Text of the same ink, size and weight in
# elements of the same kinds and backgrounds has the same contrast, and links among words stand out
# from them alike: the first of each kind is marked to be judged.
ONE_OF_EACH = """() => {
    const ways = new Map([[null, '']]);
    const way = (element) => {
        if (!ways.has(element)) {
            const { backgroundColor, backgroundImage, opacity } = getComputedStyle(element);
            ways.set(element, [way(element.parentElement), element.tagName, element.className,
                backgroundColor, backgroundImage, opacity].join(' '));
        }
        return ways.get(element);
    };
    const speaks = (element) => [...element.childNodes].some(
        node => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const kinds = new Set();
    for (const element of document.querySelectorAll('body *')) {
        delete element.dataset.judged;
        if (!speaks(element) || !element.checkVisibility()) continue;
        const { color, fontSize, fontWeight } = getComputedStyle(element);
        const among = speaks(element.parentElement);
        const kind = [way(element), color, fontSize, fontWeight, among].join(' ');
        if (!kinds.has(kind)) element.dataset.judged = '';
        kinds.add(kind);
    }
}"""
THEME = "document.documentElement.dataset.theme"
INTO_THE_DARK = f"""() => {{
    {THEME} = 'dark';
    return Promise.all(document.getAnimations().map(moving => moving.finished)).then(() => null);
}}"""
# The rules whose answers depend on the theme, and which of the elements that are judged they take.
ON_COLOUR = {"color-contrast": "", "link-in-text-block": "a[href]"}
CONFIGURED = """rules => axe.configure({ rules: Object.entries(rules)
    .map(([id, kind]) => ({ id, selector: `${kind}[data-judged]` })) })"""


class Picture(NamedTuple):
    """An `img` of a page."""

    source: str
    alt: str | None
    width: int  # of the file's own pixels; 0 when it did not load
    in_text: bool


class Opening(NamedTuple):
    """What one page did and held when it was opened in one way."""

    requests: list[str]
    failed: list[str]
    errors: list[str]  # of the console, and uncaught
    milliseconds: float  # until it is loaded and its mathematics typeset
    formulas: int
    faults: list[str]  # formulas that MathJax refused
    links: list[str]
    pictures: list[Picture]
    predictions: int  # questions to think about before going on
    answers: list[bool]  # whether each answer is open


class Audit(NamedTuple):
    """The rules that axe ran, and what they object to: rule, element and what it needs."""

    rules: list[str]
    violations: list[str]


class Visit(NamedTuple):
    """What there was to see on a page that was opened from disk."""

    opening: Opening
    audits: dict[str, Audit]  # by theme
    printed: dict[str, list[str]]  # what goes wrong on paper, in the dark theme: a kind → elements
    listings: list[dict[str, Any]]
    scrolled_width: int  # of the page in a window 320 px wide
    too_wide: list[str]


def place(said: ConsoleMessage) -> str:
    """What the console says, and which file it speaks of."""
    return f"{said.text} ({said.location['url']})"


def watched(page: Page) -> tuple[list[str], list[str], list[str]]:
    """Lists that fill with a page's requests, failed requests and errors while it is open."""
    requests, failed, errors = [], [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("response", lambda r: failed.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    page.on("console", lambda said: errors.append(place(said)) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return requests, failed, errors


@contextmanager
def open_file(context: BrowserContext, page: str) -> Iterator[Page]:
    """A page of the book, opened from disk; its mathematics is typeset where scripts run."""
    opened = context.new_page()
    opened.goto(f"{HTML.as_uri()}/{page}")
    opened.evaluate("window.MathJax?.startup?.promise")
    yield opened
    opened.close()


def audit(page: Page) -> Audit:
    """Hold a page against all of WCAG's rules, in those on colour once a kind of text.

    The page is thinned: it looks the same but for its formulas, which keep their size.
    """
    page.evaluate(THINNED)
    page.evaluate(AXE)
    page.evaluate(CONFIGURED, ON_COLOUR)
    return _run_axe(page, {"rules": ALSO, "runOnly": WCAG})


def audit_in_the_dark(page: Page) -> Audit:
    """Turn a page that was audited to the dark theme, and hold it against the rules on colour."""
    page.emulate_media(color_scheme="dark")
    page.evaluate(INTO_THE_DARK)
    return _run_axe(page, {"runOnly": [*ON_COLOUR]})


def _run_axe(page: Page, options: dict[str, Any]) -> Audit:
    """What axe says of a page, where of each kind of text one is marked to be judged."""
    page.evaluate(ONE_OF_EACH)
    common = {"preload": False, "resultTypes": ["violations"]}
    found = page.evaluate("options => axe.run(document, options)", common | options)
    rules = [rule["id"] for kind in OUTCOMES for rule in found[kind]]
    objections = [
        f"{rule['id']}: {node['html'][:160]} — {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
    return Audit(rules, objections)


@contextmanager
def at_desk(browser: Browser, address: str, theme: str) -> Iterator[tuple[Page, Opening]]:
    """A page opened in a theme at desk width, and what it did and held until it stood there."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme=theme, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    context.add_init_script(f"localStorage.setItem('mode', {theme!r})")
    page = context.new_page()
    requests, failed, errors = watched(page)
    page.goto(address)
    milliseconds = page.evaluate(SETTLED)
    if page.evaluate(THEME) != theme:
        raise RuntimeError(f"{address} is not shown in the {theme} theme that was asked for")
    seen = page.evaluate(SEEN)
    pictures = [Picture(*found.values()) for found in seen["images"]]
    inside = (seen["formulas"], seen["faults"], seen["links"], pictures)
    asked = (seen["predictions"], seen["answers"])
    yield page, Opening(requests, failed, errors, milliseconds, *inside, *asked)
    context.close()


def open_in_dark(browser: Browser, address: str) -> Opening:
    """Open an address in the dark theme, and look at nothing else."""
    with at_desk(browser, address, "dark") as (_, opening):
        return opening


def visit(browser: Browser, address: str) -> Visit:
    """Open an address in the light theme, and look at everything, in the dark, on paper and narrow.

    In the dark theme axe runs its rules on colour alone.
    """
    with at_desk(browser, address, "light") as (page, opening):
        listings = page.evaluate(LISTINGS)
        audits = {"light": audit(page), "dark": audit_in_the_dark(page)}
        page.emulate_media(media="print")
        printed = page.evaluate(PRINTED, CHROME)
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": 320, "height": 700})
        width = page.evaluate("document.scrollingElement.scrollWidth")
        too_wide = page.evaluate(WIDER) if width > 320 else []
    return Visit(opening, audits, printed, listings, width, too_wide)


def local_path(address: str) -> Path:
    """The file behind a `file://` address."""
    return Path(unquote(urlsplit(address).path))
