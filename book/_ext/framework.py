"""A Sphinx extension: the drawing of the framework, with the part lit that a page is about.

The directive `framework` takes one of the STATES. It is a figure like any other, with a caption
and a number; in the HTML the drawing stands in the page itself, in inks that follow the theme, once
for wide windows and once for narrow ones. An EPUB has it as an image; where neither is possible,
its words take its place. The role `ink` draws a sample of an ink, beside the words that name it.
"""

from pathlib import Path
from typing import ClassVar

import strokes
from docutils import nodes
from docutils.parsers.rst import directives
from places import TALL, WIDE
from scheme import STATES, WORDS, drawing, unknown
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective, SphinxRole


class Drawing(nodes.General, nodes.Element):
    """The drawing, until a builder shows it in the way it can."""


def visit_drawing(writer: nodes.NodeVisitor, node: Drawing) -> None:
    """Put both arrangements into the HTML; the style sheet shows one of them."""
    both = [drawing(node["state"], each, node["name"], node["alt"]) for each in (WIDE, TALL)]
    writer.body.append(f'<div class="framework-drawing">{"".join(both)}</div>\n')


def depart(writer: nodes.NodeVisitor, node: nodes.Node) -> None:
    """All is written."""


class FrameworkDirective(SphinxDirective):
    """The figure of the framework in a state; its body is the caption. It needs a `:name:`."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = dict.fromkeys(["name", "alt"], directives.unchanged_required)

    def run(self) -> list[nodes.Node]:
        """A figure with the drawing and the caption."""
        state = self.arguments[0]
        if state not in STATES:
            raise self.error(unknown(state))
        if "name" not in self.options:
            raise self.error(f"the framework {state} needs a :name:")
        if not self.content:
            raise self.error(f"the framework {state} needs a caption")
        name = nodes.make_id(self.options["name"])
        drawn = Drawing(state=state, name=name, alt=self.options.get("alt", WORDS[state]))
        figure = nodes.figure("", drawn, classes=["framework", f"framework-{state}"])
        self.set_source_info(figure)
        said = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, said)
        first, *rest = said.children
        figure += nodes.caption(first.rawsource, "", *first.children)
        if rest:
            figure += nodes.legend("", *rest)
        self.add_name(figure)
        return [figure]


class Sample(nodes.Inline, nodes.Element):
    """A sample of an ink, which says nothing that the words beside it do not say."""


def visit_sample(writer: nodes.NodeVisitor, node: Sample) -> None:
    """Put the sample into the line."""
    writer.body.append(strokes.sample(node["ink"]))


class InkRole(SphinxRole):
    """A sample of the ink that it names."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The sample, or a warning that names the inks."""
        try:
            strokes.sample(self.text)
        except ValueError as unknown_ink:
            return [], [self.inliner.reporter.error(str(unknown_ink), line=self.lineno)]
        return [Sample(ink=self.text)], []


class ShowDrawings(SphinxPostTransform):
    """Where a drawing cannot stand in the page it is an image, and where that cannot be, words."""

    default_priority = 10

    def run(self) -> None:
        """Replace the drawings for builders other than those of HTML pages."""
        builder = self.app.builder
        if builder.format == "html" and builder.name != "epub":
            return
        for node in list(self.document.findall(Drawing)):
            if "image/svg+xml" in getattr(builder, "supported_image_types", ()):
                node.replace_self(self.image(node))
            else:
                node.replace_self(nodes.paragraph("", node["alt"]))
        for sample in list(self.document.findall(Sample)):
            sample.parent.remove(sample)

    def image(self, node: Drawing) -> nodes.image:
        """The drawing as a file of its own, in the light inks."""
        folder = Path(self.app.doctreedir) / "framework"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{node['name']}.svg"
        path.write_text(strokes.plain(drawing(node["state"])), "utf-8")
        self.env.images.add_file(self.env.docname, str(path))
        return nodes.image(uri=str(path), candidates={"*": str(path)}, alt=node["alt"])


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.add_node(Drawing, html=(visit_drawing, depart))
    app.add_node(Sample, html=(visit_sample, depart))
    app.add_directive("framework", FrameworkDirective)
    app.add_role("ink", InkRole())
    app.add_post_transform(ShowDrawings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
