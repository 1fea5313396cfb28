"""A column of texts as numpy sees it: one run of UTF-8 bytes and where each row begins.

Worked example, the rows ``["ab", null, "é"]``::

    Texts.data     61 62 c3 a9              uint8, 4 bytes
    Texts.offsets  0 2 2 4                  int64, one more than rows
    Texts.valid    True False True          None where no row is null
    .characters()  codes 61 62 e9 (uint32), offsets 0 2 2 3

Operators work on blocks of some hundred kilobytes, so that what they make on the way stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forebay.errors import SourceError
from forebay.table import compute
from forebay.table.buffers import valid_bits

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Offsets = npt.NDArray[np.int64]
    Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint32]
    Flags = npt.NDArray[np.bool_]
    Counts = npt.NDArray[np.int64]

BLOCK_BYTES = 1 << 18
"""Bytes of text worked on at once: with eight bytes of scratch a character it still fits a second-level cache."""


@dataclass(frozen=True, slots=True)
class Characters:
    """Code points of several rows in a run.

    Attributes:
        codes: uint8 where all are ASCII, else uint32.
        offsets: int64, where each row begins, in characters; one more than rows, the first is 0.
    """

    codes: Codes
    offsets: Offsets

    @property
    def ascii(self) -> bool:
        """Whether every character is ASCII."""
        return self.codes.dtype == np.uint8

    @property
    def lengths(self) -> Counts:
        """Characters in each row, int64."""
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Texts:
    """A column of texts."""

    data: Bytes
    offsets: Offsets
    valid: Flags | None = None
    large: bool = False
    """Whether the column is `large_string`, and so is what is made from it."""

    @classmethod
    def of(cls, rows: pa.Table, column: str) -> Texts:
        """Take the texts of a column, without copying them.

        Raises:
            SourceError: there is no such column (names those there are), or it does not hold text, or no UTF-8.
        """
        return cls.from_arrow(column_of(rows, column), column)

    @classmethod
    def from_arrow(cls, array: pa.Array, column: str = "text") -> Texts:
        """Take the texts of an Arrow array, without copying them.

        Raises:
            SourceError: it does not hold text, or no UTF-8.
        """
        if pa.types.is_null(array.type):
            array = compute.cast(array, pa.string())
        if pa.types.is_dictionary(array.type) or pa.types.is_string_view(array.type):
            array = compute.cast(array, pa.large_string())
        if not pa.types.is_string(array.type) and not pa.types.is_large_string(array.type):
            raise SourceError(
                f"column {column!r} holds {array.type}, not text",
                subject=column,
                hint="name a column of text in text_key",
            )
        return cls._from_buffers(array, column)

    @classmethod
    def _from_buffers(cls, array: pa.Array, column: str) -> Texts:
        large = pa.types.is_large_string(array.type)
        _refuse_broken(array, column)
        valid = valid_bits(array) if array.null_count else None
        _, starts, values = array.buffers()
        if len(array) == 0 or starts is None:
            return cls(np.zeros(0, np.uint8), np.zeros(len(array) + 1, np.int64), valid, large)
        width = np.dtype(np.int64 if large else np.int32)
        raw = np.frombuffer(starts, width, len(array) + 1, array.offset * width.itemsize).astype(np.int64)
        data = np.zeros(0, np.uint8) if values is None else np.frombuffer(values, np.uint8)
        first, last = int(raw[0]), int(raw[-1])
        texts = cls(data[first:last], raw - first, valid, large)
        return texts if valid is None else texts._without_hidden_bytes()

    def _without_hidden_bytes(self) -> Texts:
        """Drop bytes that stand behind null rows, which Arrow allows: a null row is an empty one here."""
        assert self.valid is not None
        lengths = self.lengths
        if not lengths[~self.valid].any():
            return self
        kept = np.repeat(self.valid, lengths)
        return Texts(self.data[kept], offsets_of(np.where(self.valid, lengths, 0)), self.valid, self.large)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Counts:
        """Bytes in each row, int64."""
        return np.diff(self.offsets)

    @cached_property
    def ascii(self) -> bool:
        """Whether every byte is ASCII."""
        return self.data.size == 0 or int(self.data.max()) < 0x80

    def rows(self, first: int, last: int) -> Texts:
        """Return rows first to last (exclusive), sharing the bytes."""
        low, high = self.offsets[first], self.offsets[last]
        valid = None if self.valid is None else self.valid[first:last]
        return Texts(self.data[low:high], self.offsets[first : last + 1] - low, valid, self.large)

    def blocks(self, size: int = BLOCK_BYTES) -> Iterator[Texts]:
        """Yield all rows in order, as runs of about `size` bytes; a longer row is a run of its own."""
        first, count = 0, len(self)
        while first < count:
            last = int(np.searchsorted(self.offsets, self.offsets[first] + size, side="right")) - 1
            last = min(max(last, first + 1), count)
            yield self.rows(first, last)
            first = last

    def characters(self) -> Characters:
        """Return the rows as code points."""
        if self.ascii:
            return Characters(self.data, self.offsets)
        codes = np.frombuffer(self.decode().encode("utf-32-le"), np.uint32)
        return Characters(codes, self.characters_offsets())

    def characters_offsets(self) -> Offsets:
        """Return where each row begins in characters: every byte but 10xxxxxx begins one."""
        return self.offsets if self.ascii else offsets_of(totals((self.data & 0xC0) != 0x80, self.offsets))

    def decode(self) -> str:
        """Return all rows as one string."""
        return self.data.tobytes().decode("utf-8")

    def strings(self) -> list[str]:
        """Return the rows one by one; a null row is empty."""
        whole = self.decode()
        ends = self.offsets if self.ascii else self.characters_offsets()
        bounds = ends.tolist()
        return [whole[first:last] for first, last in pairwise(bounds)]

    def to_arrow(self) -> pa.Array:
        """Return the rows as an Arrow array of the type that they came from."""
        kind: Any = pa.large_string() if self.large else pa.string()
        offsets = self.offsets if self.large else self.offsets.astype(np.int32)
        missing = 0 if self.valid is None else int(len(self) - self.valid.sum())
        bitmap = None if self.valid is None else pa.py_buffer(np.packbits(self.valid, bitorder="little"))
        buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(self.data))]
        return pa.Array.from_buffers(kind, len(self), buffers, missing)


def _refuse_broken(array: pa.Array, column: str) -> None:
    """Raise SourceError where a row is not UTF-8, which Arrow's readers do not all look at."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        for row in range(len(array)):
            try:
                array[row].as_py()
            except UnicodeDecodeError:
                what = f"row {row + 1} of the shard is not UTF-8 in column {column!r}"
                raise SourceError(what, subject=column, hint="mend the source, or skip the row") from None
        raise


def column_of(rows: pa.Table, column: str) -> pa.Array:
    """Return a column as one chunk.

    Raises:
        SourceError: there is none of this name; names those there are.
    """
    if column not in rows.column_names:
        there = ", ".join(rows.column_names) or "none"
        raise SourceError(f"no column {column!r}", subject=column, hint=f"columns there are: {there}")
    chunks = rows.column(column).combine_chunks()
    return chunks.combine_chunks() if isinstance(chunks, pa.ChunkedArray) else chunks


def code_points(data: Bytes, leads: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Decode single characters beyond ASCII out of valid UTF-8.

    Args:
        data: uint8.
        leads: where characters of two or three bytes begin.

    Returns:
        Their code points, and how many bytes each has.
    """
    first = data[leads].astype(np.int64)
    second = data[leads + 1].astype(np.int64) & 0x3F
    wide = first >= 0xE0
    third = np.zeros(len(leads), np.int64)
    third[wide] = data[leads[wide] + 2] & 0x3F
    two = (first & 0x1F) << 6 | second
    return np.where(wide, (first & 0x0F) << 12 | second << 6 | third, two), np.where(wide, 3, 2)


def offsets_of(lengths: Counts) -> Offsets:
    """Turn lengths of rows into where each begins: one more, from 0."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def totals(flags: Flags | Bytes, offsets: Offsets) -> Counts:
    """Sum `flags` (bool or uint8, one an element) over each row; int64, one a row."""
    counts = np.zeros(len(offsets) - 1, np.int64)
    filled = np.flatnonzero(np.diff(offsets))
    if filled.size:
        # Rows without elements take no room, so each filled row ends where the next filled one begins.
        ends = offsets[filled[-1] + 1]
        counts[filled] = np.add.reduceat(flags[:ends].view(np.uint8), offsets[filled], dtype=np.uint32)
    return counts


def in_rows(positions: npt.NDArray[np.int64], offsets: Offsets) -> Counts:
    """Count ascending `positions` in each row; int64, one a row. Cheaper than `totals` where they are few."""
    return np.diff(np.searchsorted(positions, offsets))
