"""A Sphinx extension: tables of the class `sortable` get a button in each heading.

`assets/sortable.js` makes the buttons, on the pages that have such a table. Without scripts, in the
PDF and in the EPUB, it is a plain table.
"""

from sphinx.application import Sphinx

TABLE = 'class="sortable"'


def add_assets(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """The script and its style, on a page that has a table to sort."""
    if app.builder.name == "html" and TABLE in context.get("body", ""):
        app.add_css_file("../assets/sortable.css")
        app.add_js_file("../assets/sortable.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("html-page-context", add_assets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
