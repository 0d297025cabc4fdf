"""The glossary: short sorted entries, each linked where a chapter's prose first uses the term."""

import re
from pathlib import Path

import pytest
from equations import prose

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "book" / "chapters").glob("*.ipynb"))
OTHER_SENSES = (  # phrases that hold a term's word and mean something else
    "exchange rate",
    "exponential law of rate",
    "law of averages",
    "law of large numbers",
    "law of nature",
    "law of total variance",
    "law checks",
    "learning rate",
    "rate law",
    "rate of exchange",
    "rate of their variance",
    "rate–distortion",
)
ELSEWHERE = {  # a chapter that means something else by a term: another law, a learning rate
    *(("07-linear", "law"), ("10-choices", "law"), ("13-rate-distortion", "law")),
    ("17-adversarial", "rate"),
}
NO_PROSE = (  # what is blanked out, in this order
    r"^`{3,}\{margin\}.*?^`{3,}$",  # notes beside the text
    r"^```(?:\w+|\{source\})\n.*?^```$",  # commands, and names of what is listed
    r"^`{3,}.*$|^:\w+:.*$",  # the lines of a directive itself
    r"^\$\$.*?^\$\$[^\n]*",
    r"^#.*$|^\|.*$",  # headings and tables
    r"\{[\w:]+\}`[^`]*`|`[^`]*`",  # roles and code
    r"\$[^$]+\$",
    r"\*\*.+?\*\*|\*[^*\n]+\*",  # definitions in place, claims, labels
    r"\[[^\]]*\]\([^)]*\)",
)


def entries(text: str) -> dict[tuple[str, ...], str]:
    """The names of each entry, and what it says."""
    (body,) = re.findall(r"^```\{glossary\}\n(.*?)^```$", text.replace("’", "'"), re.M | re.S)
    found = {}
    for block in body.strip().split("\n\n"):
        names = tuple(line for line in block.splitlines() if not line.startswith(" "))
        found[names] = " ".join(line.strip() for line in block.splitlines() if line[0] == " ")
    return found


def links(text: str) -> list[tuple[int, str]]:
    """Where a text links a term, and to which name."""
    roles = re.finditer(r"\{term\}`(?:[^`<]*<([^>`]+)>|([^`<]+))`", text.replace("’", "'"))
    return [(role.start(), role[1] or role[2]) for role in roles]


def plain(text: str) -> str:
    """The text with all that is no prose blanked out, character by character."""
    for pattern in NO_PROSE:
        blank = re.compile(pattern, re.M | re.S if ".*?^" in pattern else re.M)
        text = blank.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)
    return text


def uses(text: str, names: list[str]) -> list[tuple[int, str, str]]:
    """Where the prose uses a name, which one, and as written; the longest name counts."""
    known = {name.lower(): name for name in names}
    longest = sorted([*names, *OTHER_SENSES], key=len, reverse=True)
    choice = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in longest)
    found = re.finditer(rf"(?<![\w-])({choice})(s?)(?![\w-])", plain(text), re.IGNORECASE)
    matches = ((m.start(), known.get(" ".join(m[1].lower().split())), m[0]) for m in found)
    return [(place, name, written) for place, name, written in matches if name]


GLOSSARY = entries((ROOT / "book" / "glossary.md").read_text("utf-8"))
NAMES = [name for names in GLOSSARY for name in names]


def test_prose_is_told_from_the_rest():
    text = "# A rate\n\n*rate* `rate` $rate$ {eq}`rate`\n```{x} rate\n:class: rate\nA rate.\n```\n"
    assert uses(text, ["rate"]) == [(text.index("A rate.") + 2, "rate", "rate")]
    text = "Learning rates. The prior law of large numbers; log-likelihood; two\npriors."
    assert [name for _, name, _ in uses(text, ["rate", "prior", "likelihood"])] == ["prior"] * 2
    text = "The evidence lower bound is below the evidence."
    assert [n for _, n, _ in uses(text, ["evidence", "evidence lower bound"])] == [
        "evidence lower bound",
        "evidence",
    ]
    assert links("a {term}`b` and {term}`c's <d e>`") == [(2, "b"), (16, "d e")]


def test_entries_are_sorted_and_short_and_say_where():
    heads = [names[0].lower() for names in GLOSSARY]
    assert heads == sorted(heads)
    assert len(NAMES) == len({name.lower() for name in NAMES})
    for names, said in GLOSSARY.items():
        assert 8 <= len(said.split()) <= 50, names
        assert re.search(r"\{(eq|doc|prf:ref)\}`", said), f"{names[0]} names no place"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_links_each_term_once_where_it_first_uses_it(path):
    text = prose(path)
    linked, used = links(text), uses(text, NAMES)
    assert {name for _, name in linked} <= set(NAMES)
    for names in GLOSSARY:
        at = [place for place, name in linked if name in names]
        before = [place for place, name, _ in used if name in names]
        if any((path.stem, name) in ELSEWHERE for name in names):
            assert not at, f"{names[0]} means something else here"
            continue
        assert len(at) <= 1, f"{names[0]} is linked {len(at)} times"
        first = min(before, default=len(text))
        assert min(at, default=len(text)) <= first, (
            f"{names[0]} is used before it is linked: …{text[first - 30 : first + 30]!r}…"
        )


@pytest.mark.parametrize("names", GLOSSARY, ids=lambda names: names[0])
def test_each_term_is_linked_from_a_chapter(names):
    assert any(name in names for path in CHAPTERS for _, name in links(prose(path)))
