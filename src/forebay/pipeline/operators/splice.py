"""Rewriting pieces of texts: bytes removed or replaced all over a block, rows' offsets moved along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forebay.pipeline.operators.texts import Texts, offsets_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Bytes, Counts, Flags


def drop(texts: Texts, dropped: npt.NDArray[np.int64], data: Bytes | None = None) -> Texts:
    """Return the texts without the bytes at `dropped` (ascending positions).

    Args:
        texts: the rows.
        dropped: positions in `texts.data`.
        data: stands in for `texts.data` where bytes were also overwritten.
    """
    data = texts.data if data is None else data
    offsets = texts.offsets - np.searchsorted(dropped, texts.offsets)
    return Texts(_without(data, dropped, dropped + 1), offsets, texts.valid, texts.large)


def crop(texts: Texts, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Texts:
    """Return rows that begin and end at the given positions, one pair a row, within the row."""
    gap_starts = np.append(0, ends)
    gap_ends = np.append(starts, len(texts.data))
    open_ = np.flatnonzero(gap_ends > gap_starts)
    data = _without(texts.data, gap_starts[open_], gap_ends[open_])
    return Texts(data, offsets_of(ends - starts), texts.valid, texts.large)


def _without(data: Bytes, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Bytes:
    """Return the bytes outside of gaps, which ascend and do not overlap."""
    if starts.size == 0:
        return data
    if starts.size * 128 < data.size:  # long pieces are copied faster one by one than under a mask
        view = data.data
        firsts, lasts = [0, *ends.tolist()], [*starts.tolist(), len(data)]
        return np.frombuffer(b"".join([view[a:b] for a, b in zip(firsts, lasts, strict=True)]), np.uint8)
    steps = np.zeros(len(data) + 1, np.int8)
    np.add.at(steps, starts, 1)
    np.add.at(steps, ends, -1)
    return data[np.cumsum(steps[:-1], dtype=np.int8) == 0]


def replace_spans(texts: Texts, spans: Sequence[tuple[int, int, bytes]]) -> Texts:
    """Put other bytes in the place of spans.

    Args:
        texts: the rows.
        spans: (start, end, replacement), ascending, not overlapping, each within one row.
    """
    if not spans:
        return texts
    view, pieces, done = texts.data.data, list[bytes | memoryview](), 0
    for start, end, replacement in spans:
        pieces += (view[done:start], replacement)
        done = end
    pieces.append(view[done:])
    grown = np.array([len(replacement) - (end - start) for start, end, replacement in spans], np.int64)
    starts = np.array([start for start, _, _ in spans], np.int64)
    before = offsets_of(grown)[np.searchsorted(starts, texts.offsets)]
    return Texts(np.frombuffer(b"".join(pieces), np.uint8), texts.offsets + before, texts.valid, texts.large)


def replace_rows(texts: Texts, numbers: npt.NDArray[np.int64], rows: Sequence[bytes]) -> Texts:
    """Put other rows in the place of those at `numbers` (ascending)."""
    starts, ends = texts.offsets[numbers].tolist(), texts.offsets[numbers + 1].tolist()
    # An empty row has no span of its own to tell its place from its neighbours', so offsets are counted from lengths.
    view, pieces, done = texts.data.data, list[bytes | memoryview](), 0
    for start, end, row in zip(starts, ends, rows, strict=True):
        pieces += (view[done:start], row)
        done = end
    pieces.append(view[done:])
    lengths = texts.lengths
    lengths[numbers] = [len(row) for row in rows]
    return Texts(np.frombuffer(b"".join(pieces), np.uint8), offsets_of(lengths), texts.valid, texts.large)


def edge_blanks(texts: Texts, blank: Flags) -> tuple[Counts, Counts]:
    """Return where each row begins and ends once bytes flagged `blank` are trimmed off both ends.

    An all-blank row begins and ends at one place.
    """
    starts, ends = texts.offsets[:-1].copy(), texts.offsets[1:].copy()
    flags = np.append(blank, np.False_)
    for _ in range(_SHORT_RUN):
        moving = np.flatnonzero((starts < ends) & flags[starts])
        starts[moving] += 1
    for _ in range(_SHORT_RUN):
        moving = np.flatnonzero((starts < ends) & flags[ends - 1])
        ends[moving] -= 1
    # What is left has long runs of blanks at an end: few rows, each looked at as a whole.
    for row in np.flatnonzero((starts < ends) & (flags[starts] | flags[ends - 1])).tolist():
        solid = np.flatnonzero(~flags[starts[row] : ends[row]])
        first, last = (int(solid[0]), int(solid[-1]) + 1) if solid.size else (0, 0)
        starts[row], ends[row] = starts[row] + first, starts[row] + last
    return starts, ends


_SHORT_RUN = 6
"""Blanks at an end that are taken off all rows at once, one at a time."""
