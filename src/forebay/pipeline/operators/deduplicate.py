"""Exact deduplication: a digest for each text, the first row of each digest kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from blake3 import blake3

from forebay.pipeline.operators.casing import lowered
from forebay.pipeline.operators.characters import ASCII_BLANKS, expression
from forebay.pipeline.operators.splice import edge_blanks, replace_rows
from forebay.pipeline.operators.texts import Texts
from forebay.table.buffers import valid_bits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Flags

_PUNCTUATION = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_NOT_LETTERS = b"\t\n\v\f\r 0123456789" + _PUNCTUATION
DIGEST_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class DocumentDeduplicator:
    """Keeps the first of each set of texts that are equal once trimmed.

    The summary is the first 16 bytes of the BLAKE3 of each text, null for a null text. A null text equals no other, so
    it is always kept. The global half takes 16 bytes a row, and about 40 while it sorts.
    """

    text_key: str
    lowercase: bool
    ignore_non_character: bool

    def summarise(self, rows: pa.Table) -> pa.Table:
        """Return one column, ``digest``: fixed_size_binary(16).

        Raises:
            SourceError: there is no such column, or it is not text.
        """
        texts = Texts.of(rows, self.text_key)
        parts = [self._digests(block) for block in texts.blocks()]
        mask = None if texts.valid is None else pa.py_buffer(np.packbits(texts.valid, bitorder="little"))
        missing = 0 if texts.valid is None else int((~texts.valid).sum())
        kind = pa.binary(DIGEST_BYTES)
        column = pa.Array.from_buffers(kind, len(texts), [mask, pa.py_buffer(b"".join(parts))], missing)
        return pa.table({"digest": column})

    def select(self, summaries: Iterable[pa.Table]) -> Iterator[Flags]:
        """Return for each shard one bool per row: is it the first of its digest, or null?"""
        words: list[npt.NDArray[np.uint64]] = []
        known: list[Flags] = []
        for summary in summaries:
            column = summary.column("digest").combine_chunks()
            known.append(valid_bits(column))
            raw = np.frombuffer(column.buffers()[1] or b"", np.uint8, len(column) * 16, column.offset * 16)
            words.append(raw.view(np.uint64).reshape(-1, 2).copy())
        counts = [len(flags) for flags in known]
        everything = np.concatenate([np.zeros((0, 2), np.uint64), *words])
        words.clear()
        keep = firsts(everything, np.concatenate([np.zeros(0, bool), *known]))
        yield from np.split(keep, np.cumsum(counts)[:-1]) if counts else ()

    def _digests(self, texts: Texts) -> bytes:
        texts = lowered(texts) if self.lowercase else texts
        texts = _letters(texts) if self.ignore_non_character else texts
        blank = np.frombuffer(texts.data.tobytes().translate(ASCII_BLANKS), bool)
        starts, ends = edge_blanks(texts, blank)
        view = np.ascontiguousarray(texts.data).data
        trimmed = [view[first:last] for first, last in zip(starts.tolist(), ends.tolist(), strict=True)]
        for number in _with_wide_edges(texts, starts, ends).tolist():
            trimmed[number] = memoryview(trimmed[number].tobytes().decode("utf-8").strip().encode("utf-8"))
        return b"".join([blake3(text).digest(DIGEST_BYTES) for text in trimmed])


def firsts(words: npt.NDArray[np.uint64], known: Flags) -> Flags:
    """Tell which rows are the first of their value, or not known.

    Args:
        words: (rows, 2), the values.
        known: one bool a row.
    """
    keep = np.ones(len(words), bool)
    rows = np.flatnonzero(known)
    order = rows[np.lexsort((words[rows, 1], words[rows, 0]))]  # stable: equal values stay in row order
    keep[order[1:]] = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    return keep


def _letters(texts: Texts) -> Texts:
    """Drop white space, digits and ASCII punctuation, as `regex` knows them."""
    gone = np.zeros(256, bool)
    gone[list(_NOT_LETTERS)] = True
    if texts.ascii:
        dropped = np.frombuffer(texts.data.tobytes().translate(gone.tobytes()), bool)
        ends = texts.offsets - np.searchsorted(np.flatnonzero(dropped), texts.offsets)
        return Texts(texts.data[~dropped], ends, texts.valid, texts.large)
    rows = [_not_letters().sub("", text).encode("utf-8") for text in texts.strings()]
    return replace_rows(texts, np.arange(len(texts)), rows)


@cache
def _not_letters() -> re.Pattern[str]:
    return re.compile(f"[{expression('space')}{expression('digit')}{re.escape(_PUNCTUATION.decode('ascii'))}]+")


def _with_wide_edges(texts: Texts, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the rows, trimmed of ASCII blanks, that begin or end with something beyond ASCII: perhaps a blank too."""
    filled = np.flatnonzero(ends > starts)
    edges = texts.data[starts[filled]] | texts.data[ends[filled] - 1]
    return filled[edges >= 0x80]
