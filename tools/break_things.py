"""Break one thing of each kind in a copy of the built book and see that the browser tests fail.

Most are broken on the landing page, of the live figures the decoder's weights.

`make test-slow` runs it; by itself it needs a built book (`make book`) and Chromium.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
PAGE, WEIGHTS = "index.html", "assets/weights.js"
CHOSEN = {  # the file that is broken: the tests that are run
    PAGE: f"{PAGE} and not genindex and not pdf and not reference",
    WEIGHTS: "decoder_agrees_with_torch",
}
END = "</article>"
BREAKS = {  # what breaks: (a pattern, what takes its place, the test that must see it, for -k)
    "nothing": ("", "", None),
    "a weight": (r'"weight": "\w{8}', '"weight": "AAAAAAAA', "decoder_agrees_with_torch"),
    "a link": (
        r'internal" href="notation\.html"',
        'internal" href="no.html"',
        "links_within_the_book",
    ),
    "an anchor": (END, f'<a href="notation.html#nowhere">x</a>{END}', "links_within_the_book"),
    "an alt text": (r'alt="[^"]{40,}"', 'alt="3b2f989ef1a85ff4.png"', "say_what_they_show"),
    "a picture": (r'src="_images/', 'src="_images/gone-', "pictures_load"),
    "a script": (END, f"<script>noSuchFunction()</script>{END}", "no_error_in_the_console"),
    "a CDN link": (
        END,
        f'<script src="https://cdn.example.org/a.js"></script>{END}',
        "nothing_is_requested",
    ),
    "the contrast": (END, f'<p style="color: #808080">A grey sentence.</p>{END}', "axe_objects"),
    "the contrast in the dark": (
        END,
        f'<p style="color: #444444">A dark sentence.</p>{END}',
        "axe_objects and dark",
    ),
    "a link's looks": (
        END,
        '<p>A <a href="notation.html" style="color: #333a44; text-decoration: none">link</a> '
        f"among words.</p>{END}",
        "axe_objects",
    ),
    "a button's name": (END, f"<button></button>{END}", "axe_objects"),
    "a formula": (END, rf'<span class="math">\\(\\frac{{1\\)</span>{END}', "mathematics"),
    "the width": (END, f'<div style="width: 700px">wide</div>{END}', "no_sideways_scrolling"),
    "the paper": (
        "</head>",
        "<style>@media print { figure { display: none !important } }</style></head>",
        "prints_whole",
    ),
    "no scripts": (
        END,
        f'<p style="display: none" class="needs-script">Hidden.</p>{END}',
        "without_scripts",
    ),
}


def failures(folder: Path, chosen: str) -> set[str]:
    """Which of the chosen tests fail on the book in a folder."""
    command = [sys.executable, "-m", "pytest", "tests/browser", "-k", chosen, "-q", "-rfE"]
    environment = os.environ | {"VAE_TUTORIAL_HTML": str(folder), "CI": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return set(re.findall(r"^(?:FAILED|ERROR) \S+::(\w+)", done.stdout, flags=re.MULTILINE))


def failures_with(thing: str, folder: Path) -> set[str]:
    """Which tests fail on a copy of the book, made in a folder, in which one thing is broken.

    Where a thing is broken only the test meant for it is run; where nothing is, all of them.
    """
    pattern, instead, test = BREAKS[thing]
    name = WEIGHTS if thing == "a weight" else PAGE
    shutil.copytree(HTML, folder)
    whole = (folder / name).read_text("utf-8")
    broken, times = re.subn(pattern, instead, whole, count=1) if pattern else (whole, 1)
    if times != 1:
        raise RuntimeError(f"{name} has nothing like {pattern} to break")
    (folder / name).write_text(broken, "utf-8")
    return failures(folder, f"{CHOSEN[name]} and {test}" if test else CHOSEN[name])


def is_seen(thing: str, failed: set[str]) -> bool:
    """Whether the test that is meant for a thing is among those that failed."""
    test = BREAKS[thing][-1]
    return any(test.split()[0] in name for name in failed) if test else not failed


def main() -> int:
    """Break and test, one thing at a time; 1 where a break was not seen."""
    unseen = 0
    for thing in BREAKS:
        with tempfile.TemporaryDirectory() as above:
            failed = failures_with(thing, Path(above, "html"))
        seen = is_seen(thing, failed)
        unseen += not seen
        print(f"{thing:<24} {'as it must be' if seen else 'NOT SEEN':<14}", *sorted(failed))
    return min(unseen, 1)


if __name__ == "__main__":
    sys.exit(main())
