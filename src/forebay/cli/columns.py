"""Tables as text: aligned columns, the same bytes on a terminal and in a pipe save for colour and cutting.

On a terminal one column, the flexible one, is cut with an ellipsis so that a row fits the width; in a pipe nothing is
cut. This is 60 lines of our own and not rich's table because `forebay ls` should cost what the store costs, not an
import, and because what a script greps should not depend on who looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

GAP = "  "
_LEAST = 8


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is shown."""

    title: str
    right: bool = False
    """Numbers and quantities stand to the right."""
    flexible: bool = False
    """May be cut to make a row fit; at most one column of a table."""


def cells(text: str) -> int:
    """Return how many terminal cells `text` takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def visible(text: str) -> str:
    """Return `text` with what would break the line or steer the terminal written out, ``\\n`` and ``\\x1b``."""
    if text.isprintable():
        return text
    import unicodedata

    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") else char
        for char in text
    )


def cut(text: str, width: int) -> str:
    """Return `text` in at most `width` cells; what is cut from its middle becomes ``…``."""
    if cells(text) <= width:
        return text
    tail_room = (width - 1) // 2
    head = _take(text, width - 1 - tail_room)
    tail = _take(text[::-1], tail_room)[::-1]
    return f"{head}…{tail}"


def _take(text: str, width: int) -> str:
    used = 0
    for number, char in enumerate(text):
        used += cells(char)
        if used > width:
            return text[:number]
    return text


def lines(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None = None) -> Iterator[str]:
    """Yield the header and one line per row, without line ends or trailing blanks.

    Args:
        columns: how each column looks.
        rows: one text per column each.
        width: cells that a line may take; None: as many as it needs.
    """
    rows = [[visible(text) for text in row] for row in rows]
    widths = [
        max([cells(column.title), *(cells(row[number]) for row in rows)]) for number, column in enumerate(columns)
    ]
    if width is not None:
        widths = _fitted(columns, widths, width)
    yield _line(columns, [column.title for column in columns], widths)
    for row in rows:
        yield _line(columns, row, widths)


def _fitted(columns: Sequence[Column], widths: list[int], width: int) -> list[int]:
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    if excess <= 0:
        return widths
    return [
        max(min(_LEAST, wide), wide - excess) if column.flexible else wide
        for column, wide in zip(columns, widths, strict=True)
    ]


def _line(columns: Sequence[Column], texts: Sequence[str], widths: Sequence[int]) -> str:
    padded: list[str] = []
    for column, text, width in zip(columns, texts, widths, strict=True):
        shown = cut(text, width) if column.flexible else text
        blank = " " * (width - cells(shown))
        padded.append(blank + shown if column.right else shown + blank)
    return GAP.join(padded).rstrip()
