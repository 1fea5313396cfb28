"""Sets of characters as tables: a byte for each of the 1,114,112 code points, the first 128 also for `bytes.translate`.

The sets are facts that results depend on, recorded by ``scripts/record_character_sets.py`` in `character_sets.txt`, so
that they do not change with the version of Python or of any library.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forebay.pipeline.operators.texts import Bytes, Characters

CODE_POINTS = 0x110000

PYTHON_BLANKS = (
    *range(0x09, 0x0E), *range(0x1C, 0x21), 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F,
    0x3000,
)  # fmt: skip
"""What `str.strip` takes off."""

ASCII_BLANKS = bytes(code < 0x80 and code in PYTHON_BLANKS for code in range(256))
"""1 for each byte that is such a blank by itself."""

LINE_BREAKS = (*range(0x0A, 0x0E), 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029)
"""Where `str.splitlines` cuts; CR LF is one cut."""


@cache
def ranges(name: str) -> tuple[tuple[int, int], ...]:
    """Return a recorded set as ascending inclusive ranges of code points.

    Raises:
        KeyError: no set of this name is recorded.
    """
    for line in Path(__file__).with_name("character_sets.txt").read_text("ascii").splitlines():
        label, _, text = line.partition(": ")
        if label == name:
            pairs = (item.partition("-") for item in text.split())
            return tuple((int(low, 16), int(high or low, 16)) for low, _, high in pairs)
    raise KeyError(name)


def members(name: str) -> Iterator[int]:
    """Yield the code points of a recorded set, ascending."""
    for low, high in ranges(name):
        yield from range(low, high + 1)


def expression(name: str) -> str:
    """Write a recorded set as the inside of a regular expression's brackets."""
    return "".join(rf"\U{low:08x}-\U{high:08x}" for low, high in ranges(name))


class Table:
    """A small class (0 to 255) for each code point."""

    __slots__ = ("_ascii", "_codes")

    def __init__(self, codes: Bytes) -> None:
        self._codes = codes
        self._ascii = codes[:256].tobytes()

    @classmethod
    def of(cls, *sets: tuple[int, Iterator[int] | tuple[int, ...]]) -> Table:
        """Make a table from (class, code points), later ones over earlier ones; all else is class 0."""
        codes = np.zeros(CODE_POINTS, np.uint8)
        for value, points in sets:
            codes[np.fromiter(points, np.int64)] = value
        return cls(codes)

    def classes(self, characters: Characters) -> Bytes:
        """Return the class of each character, uint8."""
        if characters.ascii:
            # bytes.translate looks up twice as fast as numpy does
            return np.frombuffer(characters.codes.tobytes().translate(self._ascii), np.uint8)
        return self._codes[characters.codes]


@cache
def special() -> Table:
    """Class 1: what Data-Juicer calls special characters, white space, digits, punctuation, symbols and emoji."""
    return Table.of((1, members("special")))


@cache
def words() -> Table:
    """Class 0: part of a word. 1: special, so stripped from a word. 2: blank, tab or newline, which part words."""
    return Table.of((1, members("special")), (2, (0x20, 0x09, 0x0A)))


@cache
def line_breaks() -> Table:
    """Class 1: cuts lines. 2: CR. 3: LF."""
    return Table.of((1, LINE_BREAKS), (2, (0x0D,)), (3, (0x0A,)))


@cache
def alphanumeric() -> Table:
    """Class 1: `str.isalnum`, by the tables of this Python."""
    everything = np.arange(CODE_POINTS, dtype=np.uint32)
    return Table(np.char.isalnum(everything.view("U1")).astype(np.uint8))
