"""What a section of the page is made of, and how values and texts of others are written in it."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from datascaler.safe_text import printable, redacted

Bounds = tuple[float, float] | None
LONGEST_TEXT = 300
"""Letters of a caption or a name; how many there were is said."""
_LONGEST_LABEL = 44
"""Letters beside an axis, or in what is shown under the pointer."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of a table: what is read, and what a program reads."""

    text: str
    value: str | float | None = None
    """None is the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    kind: ClassVar[str] = "figure"

    name: str
    """It has letters, digits and dashes, and is unlike any other of the page."""
    title: str
    says: str
    """What is drawn, in a sentence: for those who don't see it."""
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any] = field(default_factory=dict)
    height: int = 360
    """Pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    kind: ClassVar[str] = "table"

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    folded: bool = False
    """Whether it is opened by the reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    source: str
    """A data: URL; empty where there is no picture."""
    caption: str
    score: float | None
    name: str
    """The sample's key and shard."""
    fault: str = ""
    """Why there is no picture, or what was wrong with the sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    kind: ClassVar[str] = "gallery"

    title: str
    pictures: Sequence[Picture]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    kind: ClassVar[str] = "text"

    text: str
    leads: bool = False
    """Whether it is the answer that the reader came for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Lines to be copied into a shell."""

    kind: ClassVar[str] = "commands"

    title: str
    lines: Sequence[str]


PageBlock = Figure | Table | Gallery | Text | Commands


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    name: str
    title: str
    blocks: Sequence[PageBlock]


def page_text(text: str, longest: int = LONGEST_TEXT) -> str:
    """A text of anybody's as it may stand in the page, still to be escaped: of bounded length, without secrets and
    without characters that turn or break the line around them.
    """
    cut = text[:longest]
    left = f"… ({len(text):,} letters)" * (len(text) > len(cut))
    return printable(redacted(cut)) + left


def plot_text(text: str) -> str:
    """The same for a figure, where tags would be obeyed."""
    safe = page_text(text)
    return html.escape(safe if len(safe) <= _LONGEST_LABEL else safe[: _LONGEST_LABEL - 1] + "…", quote=False)


def words(text: str) -> Cell:
    """A text."""
    return Cell(page_text(text))


def number(value: float | None, digits: int = 4) -> Cell:
    """A number as people read it: counts whole, with separators; others to so many significant digits."""
    if value is None:
        return Cell("-", "")
    return Cell(f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}g}", value)


def share(value: float | None, interval: Bounds = None) -> Cell:
    """A part of 1 to three decimals, with its interval."""
    if value is None:
        return Cell("-", "")
    return Cell(f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ""), value)


def difference(value: float | None, interval: Bounds = None) -> Cell:
    """A signed difference; a star marks one whose interval is on one side of 0."""
    if value is None:
        return Cell("-", "")
    told = f" ({interval[0]:+.3f} to {interval[1]:+.3f})" if interval else ""
    star = " *" if interval and not interval[0] <= 0 <= interval[1] else ""
    return Cell(f"{value:+.3f}{told}{star}", value)
