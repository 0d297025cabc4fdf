"""The articles of a finished HTML build as trees, for the extensions that read what was written."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from sphinx.application import Sphinx

LATE = 900  # after what other extensions still mend in the finished pages
START, END = '<article class="bd-article">', "</article>"
INLINE = {"a", "b", "code", "em", "i", "span", "strong", "sub", "sup"}
GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "theta", "lambda", "mu", "nu"),
    *("pi", "rho", "sigma", "tau", "phi", "psi", "omega"),
    *("Delta", "Theta", "Lambda", "Sigma", "Phi", "Psi", "Omega"),
)
COMMANDS = {  # of TeX, which a line of plain text can say
    **{"mid": " | ", "|": "‖", "lVert": "‖", "rVert": "‖", "le": "≤", "ge": "≥", "approx": "≈"},
    **{"cdot": "·", "times": "×", "infty": "∞", "sqrt": "√", "in": "∈", "ne": "≠", "to": "→"},
    **{",": "", "!": "", ";": " ", " ": " ", "{": "{", "}": "}", "%": "%", "left": "", "right": ""},
    **dict(
        zip(
            GREEK,
            "αβγδεεθλμνπρστφψωΔΘΛΣΦΨΩ",
            strict=True,
        )
    ),
}
LETTERS = r"\\(?:mathcal|mathbb|mathrm|mathsf|operatorname|text|tfrac)(?![a-zA-Z])"
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
TEX = re.compile(r"\\[(\[](.*)\\[)\]]", re.DOTALL)  # between its delimiters
LISTING = re.compile(r'(?<=<pre class="literal-block">).*?(?=</pre>)', re.DOTALL)
CODE, SPAN = re.compile(r"<pre>.*?</pre>", re.DOTALL), re.compile(r"</?span[^>]*>")  # its colours
LONGEST = 48  # characters of a formula that a line of text can bear


def in_line(tex: str) -> str:
    """TeX as plain text, such as "log p(x|z)"; what a line cannot say becomes an ellipsis."""
    text = re.sub(r"\\tfrac\{?(\w)\}?\{?(\w)\}?", r"\1/\2", tex)
    text = re.sub(LETTERS, "", text)
    text = re.sub(r"\\([a-zA-Z]+|.)", lambda found: COMMANDS.get(found[1], f" {found[1]} "), text)
    text = re.sub(r"\^\{?(\d+)\}?", lambda found: found[1].translate(RAISED), text)
    text = re.sub(r"_\{?(\d+)\}?", lambda found: found[1].translate(LOWERED), text)
    text = re.sub(r"\s+", " ", text.replace("{", "").replace("}", "")).strip()
    return text if len(text) <= LONGEST and "&" not in text else "…"


def plain(element: Tag, left_out: Callable[[Tag], bool] = lambda node: False) -> str:
    """The text of an element in one line, its formulas as far as a line can say them."""

    def said(node: Tag) -> str:
        classes = node.get("class", ())
        if left_out(node) or "headerlink" in classes:
            return " "
        if "math" in classes:
            return in_line(TEX.search(node.get_text())[1])
        parts = (said(each) if isinstance(each, Tag) else str(each) for each in node.children)
        return "".join(parts) + ("" if node.name in INLINE else " ")

    return re.sub(r"\s+", " ", said(element)).strip()


@cache
def article(path: Path) -> Tag:
    """The article of a page, without the theme around it, its listings and the colours of its code.

    It is read once a build and not changed.
    """
    text = path.read_text("utf-8").partition(START)[2].partition(END)[0]
    text = LISTING.sub("", text)
    return BeautifulSoup(CODE.sub(lambda code: SPAN.sub("", code[0]), text), "html.parser")


def articles(app: Sphinx) -> dict[str, Tag]:
    """The article of each document of the book."""
    names = sorted(app.env.found_docs)
    return {name: article(Path(app.builder.get_outfilename(name))) for name in names}
