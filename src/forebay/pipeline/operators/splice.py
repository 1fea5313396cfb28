"""Rewriting pieces of texts: bytes removed or replaced all over a block, rows' offsets moved along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forebay.pipeline.operators.texts import Texts, offsets_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    import pyarrow as pa

    from forebay.pipeline.operators.texts import Bytes, Counts, Flags


def drop(texts: Texts, dropped: npt.NDArray[np.int64], data: Bytes | None = None) -> Texts:
    """Return the texts without the bytes at `dropped` (ascending positions).

    Args:
        texts: the rows.
        dropped: positions in `texts.data`.
        data: stands in for `texts.data` where bytes were also overwritten.
    """
    data = texts.data if data is None else data
    if dropped.size == 0:
        return Texts(data, texts.offsets, texts.valid, texts.large)
    kept = np.ones(len(data), bool)
    kept[dropped] = False
    return Texts(data[kept], texts.offsets - np.searchsorted(dropped, texts.offsets), texts.valid, texts.large)


def crop(texts: Texts, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Texts:
    """Return rows that begin and end at the given positions, one pair a row, within the row."""
    lengths = ends - starts
    offsets = offsets_of(lengths)
    cut = int(offsets[-1])
    if cut == len(texts.data):
        return texts
    flags = np.zeros(len(texts.data) + 1, np.int8)
    filled = lengths > 0
    np.add.at(flags, starts[filled], 1)
    np.add.at(flags, ends[filled], -1)
    return Texts(texts.data[np.cumsum(flags[:-1], dtype=np.int8).view(bool)], offsets, texts.valid, texts.large)


def replace_spans(texts: Texts, spans: Sequence[tuple[int, int, bytes]]) -> Texts:
    """Put other bytes in the place of spans.

    Args:
        texts: the rows.
        spans: (start, end, replacement), ascending, not overlapping, each within one row.
    """
    if not spans:
        return texts
    view, pieces, done = memoryview(texts.data), list[bytes | memoryview](), 0
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
    view, pieces, done = memoryview(texts.data), list[bytes | memoryview](), 0
    for start, end, row in zip(starts, ends, rows, strict=True):
        pieces += (view[done:start], row)
        done = end
    pieces.append(view[done:])
    lengths = texts.lengths
    lengths[numbers] = [len(row) for row in rows]
    return Texts(np.frombuffer(b"".join(pieces), np.uint8), offsets_of(lengths), texts.valid, texts.large)


def joined(blocks: Iterable[Texts], whole: Texts) -> Texts:
    """Put rewritten blocks of `whole` together again, in order."""
    parts = list(blocks)
    if not parts:
        return whole
    lengths = np.concatenate([part.lengths for part in parts])
    return Texts(np.concatenate([part.data for part in parts]), offsets_of(lengths), whole.valid, whole.large)


def changes(column: str, before: Texts, after: Texts) -> dict[str, pa.Array | None]:
    """Return what a mapper gives for `column`: nothing where no row changed."""
    if before is after or (np.array_equal(before.offsets, after.offsets) and np.array_equal(before.data, after.data)):
        return {}
    return {column: after.to_arrow()}


def edge_blanks(texts: Texts, blank: Flags) -> tuple[Counts, Counts]:
    """Return where each row begins and ends once bytes flagged `blank` are trimmed off both ends.

    An all-blank row begins and ends at one place.
    """
    solid = np.flatnonzero(~blank)
    low, high = np.searchsorted(solid, texts.offsets[:-1]), np.searchsorted(solid, texts.offsets[1:])
    some = high > low
    starts, ends = texts.offsets[:-1].copy(), texts.offsets[:-1].copy()
    starts[some], ends[some] = solid[low[some]], solid[high[some] - 1] + 1
    return starts, ends
