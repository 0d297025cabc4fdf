"""What an audit says: findings, one line each, and the report that they make together."""

import json
import math
import textwrap
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple, SupportsFloat

from torch import Tensor

WIDTH = 88  # columns of the report on a terminal
MANY = 1e6  # from which a number is written by its power of ten
NOT_JUDGED = "not judged"


def number(value: SupportsFloat, form: str) -> str:
    """A number as reports have it: a true minus sign, no "−0", three digits where it ran away.

    >>> number(-0.25, "+.1f"), number(-1e-9, ".1f"), number(-7.26e26, ".1f")
    ('−0.2', '0.0', '−7.26e+26')
    """
    value = float(value)
    sign, digits = ("+", form[1:]) if form.startswith("+") else ("", form)
    if abs(value) >= MANY and digits.endswith("f"):
        digits = ".3g"
    return f"{value:{sign}z{digits}}".replace("-", "−")


def with_error(value: SupportsFloat, error: SupportsFloat, form: str, of_error: str = "") -> str:
    """A number and its standard error, in the same form unless the error has its own.

    >>> with_error(2.5, 0.25, "+.2f"), with_error(-1.5, 0.03125, ".3g", ".1g")
    ('+2.50 ± 0.25', '−1.5 ± 0.03')
    """
    return f"{number(value, form)} ± {number(error, of_error or form.lstrip('+'))}"


class Verdict(StrEnum):
    """What a finding says. Only WRONG makes the exit code 1."""

    WRONG = "wrong"  # a sound model almost never looks like this
    LOOK = "look"  # a fault looks like this, and many a sound model too
    SOUND = "sound"  # the measure that a fault of this kind would move is where it should be
    CANNOT_TELL = "cannot tell"  # not given, not computable, or a measure that never certifies


class Bars(NamedTuple):
    """Numbers that a page shows as bars, and what they are, with their unit."""

    label: str
    heights: tuple[float, ...]
    line: float = math.nan  # a height that bars are held against, drawn across them
    line_label: str = ""  # what it is


class Pictures(NamedTuple):
    """Images (n, height, width) that a page shows side by side, and what they are."""

    label: str
    images: Tensor


class Finding(NamedTuple):
    """One line of a report. Numbers are in nats an image unless `measured` names another unit."""

    check: str  # which check found it: "KL", "draws"
    verdict: Verdict
    measured: str  # what was seen, with its unit and its error
    expected: str  # what it should be
    reason: str  # why that matters, and what to change; sentences
    chapter: str  # the stem of the chapter that explains it: "03-decomposition"
    value: float = math.nan  # the number in `measured`
    standard_error: float = math.nan
    limit: float = math.nan  # the threshold that the value was held against
    bars: tuple[Bars, ...] = ()


class Report(NamedTuple):
    """All findings of an audit, in the order in which they should be read."""

    findings: tuple[Finding, ...]
    images: int  # how many there were
    seconds: float
    pictures: tuple[Pictures, ...] = ()
    notes: tuple[str, ...] = ()  # what could not be supplied, and so is not judged

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The findings that a sound model almost never has."""
        return tuple(found for found in self.findings if found.verdict is Verdict.WRONG)

    @property
    def exit_code(self) -> int:
        """1 if anything is wrong, else 0."""
        return int(bool(self.wrong))

    @property
    def advice(self) -> str:
        """What to do with the report first, in a sentence or two.

        >>> Report((), 2, 0.0).advice
        'No check found a fault, which does not prove that there is none.'
        """
        verdicts = {found.verdict for found in self.findings}
        first = self.findings[0].check if self.findings else ""
        if Verdict.WRONG in verdicts:
            return f"Mend “{first}” first: what is below it often follows from it."
        if Verdict.LOOK in verdicts:
            return (
                f"Nothing is wrong beyond doubt. Look at “{first}” first: what is below it "
                "often follows from it. Many sound models have a line to look at."
            )
        return "No check found a fault, which does not prove that there is none."

    def to_json(self) -> str:
        """The report for programs: numbers that are not known, or not finite, are null."""
        rows = [_plain(found._asdict()) for found in self.findings]
        whole = {
            "images": self.images,
            "seconds": round(self.seconds, 1),
            "findings": rows,
            "not_judged": list(self.notes),
        }
        return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"

    def __str__(self) -> str:
        counts = [
            f"{sum(found.verdict is verdict for found in self.findings)} {verdict}"
            for verdict in Verdict
        ]
        head = f"Audit of {self.images} images in {self.seconds:.0f} s: {', '.join(counts)}"
        advice = textwrap.fill(self.advice, WIDTH)
        unjudged = [line for note in self.notes for line in _wrapped(f"{NOT_JUDGED:<12}{note}", 28)]
        return "\n".join([head, advice, *(_lines(found) for found in self.findings), *unjudged])


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """What is wrong first, then what to look at; inside each, as the checks were made.

    Checks are made in the order in which one fault causes another: data, draws, loss, posterior.
    So the first line that is wrong is the one to mend first.
    """
    order = list(Verdict)
    return tuple(sorted(findings, key=lambda found: order.index(found.verdict)))


def place(chapter: str) -> str:
    """Where the book explains a finding, in words.

    >>> place("07-linear")
    'Chapter 7, linear'
    """
    number, _, name = chapter.partition("-")
    return f"Chapter {number.lstrip('0')}, {name.replace('-', ' ')}"


def _lines(found: Finding) -> str:
    head = f"{found.verdict:<12}{found.check:<16}{found.measured}"
    if found.expected:
        head += f"; expected: {found.expected}"
    lines = [*_wrapped(head, 28)]
    if found.verdict is not Verdict.SOUND:
        lines += _wrapped(" " * 28 + found.reason, 28)
        lines += _wrapped(" " * 28 + place(found.chapter), 28)
    return "\n".join(lines)


def _wrapped(text: str, indent: int) -> list[str]:
    """Lines of at most WIDTH columns; the first keeps its spaces, the others are indented."""
    lines, line = [], ""
    lead = text[: len(text) - len(text.lstrip())]
    for word in text.split(" ") if not lead else text.strip().split(" "):
        if len(lead) + len(line) + 1 + len(word) > WIDTH and line.strip():
            lines.append(lead + line)
            line, lead = word, " " * indent
        else:
            line = f"{line} {word}" if line else word
    return [*lines, lead + line]


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    bars = {each.label: [_finite(height) for height in each.heights] for each in fields["bars"]}
    return {name: _finite(value) for name, value in fields.items()} | {"bars": bars}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
