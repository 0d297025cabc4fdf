"""A Sphinx extension: the directive `source`, which sets source as source.

A listing has colours, and every name of the package in it leads to that name's place in the
reference. Above it stand the thing's full name and the first sentence of its docstring; the rest
of the docstring is a fold. It holds without scripts, since all of it is markup.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from html import escape
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import sources
from docutils import nodes
from pygments.lexer import Lexer
from pygments.lexers import PythonConsoleLexer, PythonLexer
from pygments.token import STANDARD_TYPES
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

PLAIN = {"", "n", "p", "w"}  # token classes that look like the text around them
BOOK = re.compile(r"\bBook:\s+((?:[\w-]+,\s+)*[\w-]+)")
Word = tuple[str, str]  # as written, and the thing that it leads to, or nothing
PIECES = re.compile(rf"(`[^`]+`)|({BOOK.pattern})")


class Tag(nodes.General, nodes.Element):
    """An HTML element that docutils has no node for: a `div`, or a fold and its title."""


def tag(name: str, *children: nodes.Node, classes: str = "", anchor: str = "") -> Tag:
    """The element `name`, with its children; `anchor` is where a link may lead."""
    return Tag("", *children, tag=name, classes=classes.split(), ids=anchor.split())


def visit_tag(writer: nodes.NodeVisitor, node: Tag) -> None:
    """Begin the element in HTML."""
    writer.body.append(writer.starttag(node, node["tag"], ""))


def depart_tag(writer: nodes.NodeVisitor, node: Tag) -> None:
    """End the element in HTML."""
    writer.body.append(f"</{node['tag']}>\n")


def fold(title: str, *children: nodes.Node) -> Tag:
    """What can be opened, with its title."""
    summary = tag("summary", nodes.Text(title))
    return tag("details", summary, *children, classes="fold")


class NameLink(nodes.inline):
    """Words that stand for the thing `name` of the package; a link where its page is built."""


def name_link(name: str, *children: nodes.Node) -> NameLink:
    """The children, as a link to the place of a thing in the reference."""
    return NameLink("", "", *children, name=name)


def page_of(room: str) -> str:
    """The page of a room in the reference."""
    return f"reference/{room.replace('.', '/')}"


def uri_of(name: str, here: str, builder: Builder) -> str:
    """Where a thing's place is, from the page `here`; nothing where the reference is not built."""
    room, thing = sources.parted(name, sources.read(root_of(builder.env)))
    if page_of(room) not in builder.env.found_docs:
        return ""
    uri = builder.get_relative_uri(here, page_of(room))
    return f"{uri}#{thing}" if thing else uri


class LinkNames(SphinxPostTransform):
    """Makes links of all names, relative to the page that they are on."""

    default_priority = 20

    def run(self) -> None:
        """Replace each name, by its words alone where the reference is not built."""
        for node in list(self.document.findall(NameLink)):
            shown = node.children
            uri = uri_of(node["name"], self.env.docname, self.app.builder)
            if uri:
                shown = [nodes.reference("", "", *shown, refuri=uri, internal=True)]
            node.replace_self(shown)


def root_of(env) -> Path:
    """The repository whose book is built."""
    return Path(env.srcdir).parent


class Code(nodes.General, nodes.Element):
    """A listing: an `excerpt`, and the `lexer` that knows its tokens.

    One node for all its tokens, since each of the many passes over a page looks at every node; and
    they are told apart when the page is written, which several processes do.
    """


def coloured(excerpt: sources.Excerpt, lexer: type[Lexer] = PythonLexer) -> Tag:
    """Code with the classes that the theme colours, names as links."""
    return tag("div", Code(excerpt=excerpt, lexer=lexer), classes="highlight listing-code")


def styled(excerpt: sources.Excerpt, lexer: type[Lexer]) -> Iterator[tuple[str, list[Word]]]:
    """The style of each token, and its words."""
    waiting = list(excerpt.mentions)
    for start, kind, text in lexer(ensurenl=False).get_tokens_unprocessed(excerpt.text):
        position, words = start, []
        while waiting and waiting[0][0] < start + len(text):
            first, last, name = waiting.pop(0)
            if first >= position:
                words.append((text[position - start : first - start], ""))
                words.append((excerpt.text[first:last], name))
                position = last
        words.append((text[position - start :], ""))
        style = STANDARD_TYPES.get(kind, "")
        yield "" if style in PLAIN else style, words


def visit_code(writer: HTML5Translator, node: Code) -> None:
    """Write a listing in HTML, whole."""
    here, builder = writer.builder.current_docname, writer.builder
    writer.body.append('<pre class="literal-block">')
    for style, run in groupby(styled(node["excerpt"], node["lexer"]), itemgetter(0)):
        words = (word for _, words in run for word in words)
        shown = "".join(linked(escape(word), name, here, builder) for word, name in words)
        writer.body.append(f'<span class="{style}">{shown}</span>' if style else shown)
    writer.body.append("</pre>\n")
    raise nodes.SkipNode


def linked(word: str, name: str, here: str, builder: Builder) -> str:
    """A word of a listing in HTML, as a link where it stands for a thing that has its place."""
    uri = uri_of(name, here, builder) if name else ""
    return f'<a class="reference internal" href="{escape(uri)}">{word}</a>' if uri else word


def words(text: str, room: str, root: Path) -> list[nodes.Node]:
    """A paragraph of a docstring: names in code font, and labels of equations as links."""
    package, found, position = sources.read(root), [], 0
    for piece in PIECES.finditer(text):
        found.append(nodes.Text(text[position : piece.start()]))
        position = piece.end()
        if piece[1]:
            shown = nodes.literal("", piece[1].strip("`"))
            name = sources.known(f"{room}.{shown.astext()}", package)
            found.append(name_link(name, shown) if name else shown)
        else:
            found.append(nodes.Text("Book: "))
            for count, label in enumerate(re.split(r",\s+", piece[3])):
                found += [nodes.Text(", ")] if count else []
                found.append(equation(label))
    found.append(nodes.Text(text[position:]))
    return [node for node in found if node.astext()]


def equation(label: str) -> addnodes.pending_xref:
    """A link to a numbered equation, by its number."""
    options = {"refdomain": "math", "reftype": "eq", "reftarget": label, "refwarn": True}
    return addnodes.pending_xref("", nodes.literal("", label), refexplicit=False, **options)


def paragraphs(text: str, room: str, root: Path) -> list[nodes.Node]:
    """A docstring, or the rest of one; its examples are coloured."""
    found = []
    for paragraph in filter(None, re.split(r"\n\s*\n", text.strip())):
        if paragraph.startswith(">>>"):
            found.append(coloured(sources.Excerpt(paragraph, []), PythonConsoleLexer))
        else:
            flowing = " ".join(paragraph.split())
            found.append(nodes.paragraph("", "", *words(flowing, room, root)))
    return found


def title(name: str) -> NameLink:
    """The full name of a thing, as a link."""
    return name_link(name, nodes.literal("", name))


def said_below(rest: str, methods: dict[str, str], room: str, root: Path) -> list[nodes.Node]:
    """What the fold of a listing holds: the rest of the docstring, and those of the methods."""
    found = paragraphs(rest, room, root)
    for name, said in methods.items():
        first, *others = paragraphs(said, room, root)
        shown = nodes.literal("", name.removeprefix(f"{room}."))
        first[:0] = [name_link(name, shown), nodes.Text(" ")]
        found += [first, *others]
    return found


def listing(name: str, root: Path) -> Tag:
    """The source of a thing, below its name and what its docstring says first."""
    package = sources.read(root)
    room, thing = sources.parted(name, package)
    definition = package[room].definitions.get(thing)
    methods = sources.docstrings(definition, name) if definition else {}
    first, rest = sources.first_sentence(methods.pop(name, ""))
    if BOOK.fullmatch(rest.rstrip(".")):  # too little for a fold
        first, rest = f"{first} {rest}", ""
    heading = nodes.paragraph("", "", title(name), nodes.Text(" "), *words(first, room, root))
    heading["classes"] = ["listing-title"]
    shown = [heading, coloured(sources.code(root, room, thing))]
    below = said_below(rest, methods, room, root)
    if below:
        shown.insert(1, fold("Shapes, errors, sources" if rest else "What the methods do", *below))
    return tag("div", *shown, classes="listing")


def problem(name: str, package: sources.Package) -> str:
    """What is wrong with a name that is to be listed, or nothing."""
    room, thing = sources.parted(name, package)
    module = package.get(room)
    things = {f"{r}.{t}" for r, m in package.items() for t in (*m.definitions, *m.constants)}
    if module and (thing in module.definitions or thing in module.constants):
        return ""
    near = get_close_matches(name, things, 1)
    return f"the package has no {name}" + (f"; is it {near[0]}?" if near else "")


class SourceDirective(SphinxDirective):
    """Lists the things of the package that it names, as arguments or one a line."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """A listing for each name, and a warning for each name that is unknown."""
        root = root_of(self.env)
        package = sources.read(root)
        shown = []
        for name in " ".join([*self.arguments, *self.content]).split():
            wrong = problem(name, package)
            if wrong:
                logging.getLogger(__name__).warning(wrong, location=self.get_location())
            else:
                room, _ = sources.parted(name, package)
                self.env.note_dependency(str(package[room].path))
                shown.append(listing(name, root))
        return shown


def forget(app: Sphinx) -> None:
    """Read the sources afresh in every build."""
    sources.read.cache_clear()
    sources.mentions.cache_clear()


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.add_node(Tag, html=(visit_tag, depart_tag))
    app.add_node(NameLink)
    app.add_node(Code, html=(visit_code, None))
    app.add_directive("source", SourceDirective)
    app.add_post_transform(LinkNames)
    app.connect("builder-inited", forget)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
