"""What is mended in the HTML, counted over a build of a small book."""

import subprocess
import sys
from pathlib import Path

import accessible
import pytest

CONFIGURATION = f"""
import sys
sys.path.insert(0, {str(Path(accessible.__file__).parent)!r})
extensions = ["myst_parser", "accessible"]
myst_enable_extensions = ["dollarmath"]
html_theme = "basic"
"""
FIRST = """# Book

```{{raw}} html
{markup}
```

So $x$, then.

```{{toctree}}
other
```
"""


@pytest.fixture
def build(tmp_path):
    """A function that builds two pages, some markup on the first: the complaints, the first page.

    The second page stays as it is, and a second build does not write it again.
    """
    (tmp_path / "conf.py").write_text(CONFIGURATION, "utf-8")
    (tmp_path / "other.md").write_text("# Other\n\nA page ($y$) for itself.\n", "utf-8")

    def run(*markup):
        (tmp_path / "index.md").write_text(FIRST.format(markup="\n".join(markup)), "utf-8")
        command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", tmp_path, tmp_path / "out"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stderr, (tmp_path / "out" / "index.html").read_text("utf-8")

    return run


def test_everything_that_is_wrong_is_mended(build):
    said, page = build(*accessible.MENDED)
    assert said == ""
    for wrong, right in accessible.MENDED.items():
        assert wrong not in page
        assert right in page
    assert '<span class="together"><span class="math notranslate nohighlight">' in page


@pytest.mark.parametrize("present", [list(accessible.MENDED)[1:], ["nothing is wrong"]])
def test_what_no_page_has_any_more_is_a_warning(build, present):
    said, _ = build(*present)
    absent = [wrong for wrong in accessible.MENDED if wrong not in present]
    assert said.splitlines() == [f"WARNING: no page has {each} to mend any more" for each in absent]


def test_pages_that_are_not_written_again_stay_mended_and_say_nothing(build, tmp_path):
    build(*accessible.MENDED)
    other = tmp_path / "out" / "other.html"
    before = other.read_bytes()
    assert before.count(b'class="together"') == 1
    said, page = build("nothing is wrong")  # the first page alone, which has none of it
    assert said == ""
    assert '<span class="together">' in page
    assert other.read_bytes() == before
