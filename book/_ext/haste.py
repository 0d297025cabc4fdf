"""A Sphinx extension: a build that takes no longer than it must.

Garbage: trees of documents refer to themselves in circles, so Python would walk through all of them
again and again and find little to free; without that a build needs 1.1 GB. Pages are written by
several processes; they are read by one, since `sphinx_proof` cannot merge what several have read.
The index of Sphinx's own search is not made, because `passages` has another. And the style of the
bibliography is looked up once, and not once a citation.
"""

import gc
import os
from collections.abc import Iterable
from functools import cache

from pybtex import plugin
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

MOST = 4  # processes that write: each takes a copy of what the first one changes


def write_together(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Once all pages are read, let several processes write them; no page changes by that."""
    app.parallel = 1 + min(os.cpu_count() or 1, MOST)  # one of them hands out the work
    return []


def index_nothing(app: Sphinx) -> None:
    """Let the builder drop its index as soon as it has made an empty one."""

    def drop(docnames: Iterable[str]) -> None:
        app.builder.indexer = None

    app.builder.load_indexer = drop


def leave_the_rest(app: Sphinx, exception: Exception | None) -> None:
    """At its end Python would look for garbage once more, in all that has been made."""
    gc.freeze()


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    gc.disable()
    plugin.find_plugin = cache(plugin.find_plugin)
    app.connect("env-updated", write_together)
    app.connect("builder-inited", index_nothing)
    app.connect("build-finished", leave_the_rest, priority=10_000)  # after all others
    return {"parallel_read_safe": True, "parallel_write_safe": True}
