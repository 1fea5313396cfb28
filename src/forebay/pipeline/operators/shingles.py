"""Cutting texts into tokens and tokens into shingles, all as slices of one run of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from forebay.pipeline.operators import characters
from forebay.pipeline.operators.characters import Table
from forebay.pipeline.operators.splice import drop
from forebay.pipeline.operators.texts import Texts, in_rows, offsets_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Bytes, Offsets

    Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Slices:
    """Pieces of texts.

    Attributes:
        data: uint8, what they are cut from.
        starts: where each begins.
        ends: where each ends.
        offsets: where each text's pieces begin among all; one more than texts.
    """

    data: Bytes
    starts: Positions
    ends: Positions
    offsets: Offsets

    @property
    def lengths(self) -> Positions:
        """Bytes in each."""
        return self.ends - self.starts

    def shingles(self, size: int) -> Slices:
        """Return every run of `size` tokens of one text, with what stands between them."""
        counts = np.maximum(np.diff(self.offsets) - size + 1, 0)
        offsets = offsets_of(counts)
        first = np.repeat(self.offsets[:-1] - offsets[:-1], counts) + np.arange(offsets[-1])
        return Slices(self.data, self.starts[first], self.ends[first + size - 1], offsets)


def by_spaces(texts: Texts) -> Slices:
    """Cut at runs of plain spaces, which become one; a text without anything else has no token."""
    data, offsets = texts.data, texts.offsets
    begins = offsets[:-1][texts.lengths > 0]
    space = data == 0x20
    extra = space.copy()
    extra[1:] &= space[:-1]
    extra[begins] = space[begins]  # at the head, and only there, a single space goes too
    texts = drop(texts, np.flatnonzero(extra))
    lasts = texts.offsets[1:][texts.lengths > 0] - 1
    texts = drop(texts, lasts[texts.data[lasts] == 0x20])
    return _cut(texts, np.flatnonzero(texts.data == 0x20), empty_is_token=False)


def by_punctuation(texts: Texts) -> Slices:
    """Cut at each punctuation character, put a space in its place; tokens may be empty, and every text has one."""
    codes = texts.characters()
    marks = np.flatnonzero(_punctuation().classes(codes) != 0)
    data = texts.data.copy()
    starts = np.flatnonzero((data & 0xC0) != 0x80)
    widths = np.diff(np.append(starts, len(data)))[marks]
    places = starts[marks]
    data[places] = 0x20
    dropped = np.sort(np.concatenate([places[widths > step] + step for step in (1, 2, 3)]))
    texts = drop(texts, dropped, data)
    return _cut(texts, places - np.searchsorted(dropped, places), empty_is_token=True)


def by_characters(texts: Texts) -> Slices:
    """Cut between all characters."""
    starts = np.flatnonzero((texts.data & 0xC0) != 0x80)
    return Slices(texts.data, starts, np.append(starts[1:], len(texts.data)), texts.characters_offsets())


def _cut(texts: Texts, separators: Positions, *, empty_is_token: bool) -> Slices:
    """Cut each text at its separators, single bytes at ascending positions."""
    whole = np.ones(len(texts), bool) if empty_is_token else texts.lengths > 0
    begins, ends = texts.offsets[:-1][whole], texts.offsets[1:][whole]
    starts = np.insert(separators + 1, np.searchsorted(separators, begins), begins)
    ends = np.insert(separators, np.searchsorted(separators, ends), ends)
    return Slices(texts.data, starts, ends, offsets_of(in_rows(separators, texts.offsets) + whole))


@cache
def _punctuation() -> Table:
    return Table.of((1, characters.members("punctuation")))
