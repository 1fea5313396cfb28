"""How sources are read: one frozen record, and which parts of it belong into keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forebay.table.chunking import DEFAULT_SHARD_BYTES
from forebay.table.schema import Schema
from forebay.types import JSON

Format = Literal["jsonl", "json", "csv", "tsv", "parquet", "arrow", "text"]
Compression = Literal["", "gz", "zst", "bz2", "xz"]

READER_VERSION = 2
"""Raised whenever the same bytes and options would give other rows."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How sources are read.

    Attributes:
        on_bad_rows: what to do with a malformed row, or one whose types do not fit: ``error``, or ``skip``: count it
            and keep it aside.
        shard_bytes: mean size of a shard, in decoded bytes; see `forebay.table.chunking`.
        format: what explicitly named files are, whatever their suffix; None: by suffix.
        text_rows: a text file is one row (``document``), or each of its lines is (``line``). Column ``text``.
        delimiter: of CSV, one character; TSV always has tabs.
        types: column types of CSV and TSV that are not to be guessed, as (name, type) pairs.
        expect: types that columns must fit, for reading a shard again after its schema met a conflict.
    """

    on_bad_rows: Literal["error", "skip"] = "error"
    shard_bytes: int = DEFAULT_SHARD_BYTES
    format: Format | None = None
    text_rows: Literal["document", "line"] = "document"
    delimiter: str = ","
    types: tuple[tuple[str, str], ...] = ()
    expect: Schema | None = None

    @property
    def skip_bad_rows(self) -> bool:
        """Whether malformed rows are set aside."""
        return self.on_bad_rows == "skip"

    def cut_key(self) -> JSON:
        """What a source's cutting into shards depends on, besides its bytes."""
        return {**self._common(), "shard_bytes": self.shard_bytes}

    def row_key(self) -> JSON:
        """What the rows of a shard depend on, besides its bytes."""
        expect: JSON = None if self.expect is None else [[column.name, column.type] for column in self.expect.columns]
        return {**self._common(), "expect": expect}

    def _common(self) -> dict[str, JSON]:
        return {
            "reader": READER_VERSION,
            "on_bad_rows": self.on_bad_rows,
            "text_rows": self.text_rows,
            "delimiter": self.delimiter,
            "types": [[name, kind] for name, kind in self.types],
        }
