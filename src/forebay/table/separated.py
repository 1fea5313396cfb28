"""Files of separated values, CSV and TSV.

They say no types, so a first pass over the file finds them: a column is int64, float or bool if every value that is
not empty reads as one, else it is text. What a number would lose stays text: leading zeros, digits beyond 64 bits.
Dates stay text. An empty field is null; a quoted empty field is empty text. Rows may hold quoted line ends, so numbers
in errors are row numbers, the header being row 1.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from forebay.errors import SourceError
from forebay.table.buffers import numbers_of, valid_bits
from forebay.table.casting import arrow_type, describe
from forebay.table.cutting import cut
from forebay.table.options import ReadOptions
from forebay.table.reading import BadRow, Rows
from forebay.table.resolving import SourceFile
from forebay.table.streams import open_stream

_BLOCKS = (4 << 20, 64 << 20, 1 << 30)
"""Bytes read at a time; a row must fit, so a larger block is tried where one does not."""
_PATTERNS = {
    "int64": r"^-?(0|[1-9][0-9]*)$",
    "double": r"^-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$",
    "bool": r"^(true|false|True|False|TRUE|FALSE)$",
}


def read_separated(file: SourceFile, options: ReadOptions) -> Iterator[Rows]:
    """Yield the shards of a CSV or TSV file.

    Raises:
        NotFoundError, SourceError: it is not there, is damaged, or a row is malformed and not to be skipped.
    """
    for block in _BLOCKS:
        layout = _Layout(file, options, block)
        try:
            kinds = _find_types(layout)
            break
        except pa.ArrowInvalid as error:
            if "straddl" not in str(error) or block == _BLOCKS[-1]:
                raise _source_error(file, error) from error
    else:
        raise AssertionError("no block size left")
    bad: list[BadRow] = []
    try:
        for rows in cut(_typed(layout, kinds, bad), options.shard_bytes):
            schema = describe(rows.schema, dict.fromkeys(rows.column_names, file.path))
            yield Rows(rows, schema, tuple(bad))
            bad.clear()
    except pa.ArrowInvalid as error:
        raise _source_error(file, error) from error
    if bad:  # nothing but bad rows
        yield Rows(pa.table({}), describe(pa.schema([])), tuple(bad))


@dataclass(frozen=True, slots=True)
class _Layout:
    file: SourceFile
    options: ReadOptions
    block_bytes: int

    @contextmanager
    def texts(self, bad: list[BadRow] | None) -> Generator[Iterator[pa.Table]]:
        """Open the file as batches of text columns; bad rows go to `bad`, if that is given."""
        names = self._names()
        if not names:
            yield iter(())
            return
        with open_stream(self.file.path, self.file.compression) as stream:
            convert = csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            )  # fmt: skip
            with csv.open_csv(cast("Any", stream), self._read(), self._parse(bad), convert) as reader:
                # The first batch has no rows: a file that is but a header has columns too.
                start = pa.schema([(name, pa.string()) for name in names]).empty_table()
                yield chain([start], (pa.Table.from_batches([batch]) for batch in reader))

    def _names(self) -> list[str]:
        with open_stream(self.file.path, self.file.compression) as stream:
            try:
                with csv.open_csv(cast("Any", stream), self._read(), self._parse(None)) as reader:
                    names = reader.schema.names
            except pa.ArrowInvalid as error:
                if "Empty CSV" in str(error):
                    return []
                raise
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SourceError(f"{self.file.path}:1: columns named twice: {', '.join(twice)}", subject=self.file.path)
        return names

    def _read(self) -> csv.ReadOptions:
        return csv.ReadOptions(block_size=self.block_bytes, use_threads=False)

    def _parse(self, bad: list[BadRow] | None) -> csv.ParseOptions:
        def handle(row: csv.InvalidRow) -> str:
            if not self.options.skip_bad_rows:
                return "error"
            if bad is not None:
                reason = f"{row.actual_columns} fields where there are {row.expected_columns} columns"
                bad.append(BadRow((row.number or 1) - 1, reason, row.text.encode()))
            return "skip"

        delimiter = "\t" if self.file.format == "tsv" else self.options.delimiter
        return csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=handle)


def _find_types(layout: _Layout) -> dict[str, pa.DataType]:
    """Return each column's type, in a pass over the whole file."""
    given = dict(layout.options.types)
    open_kinds: dict[str, set[str]] = {}
    empty: set[str] = set()
    with layout.texts(None) as batches:
        for batch in batches:
            if not open_kinds:
                empty = set(batch.column_names)
                open_kinds = {name: set() if name in given else set(_PATTERNS) for name in batch.column_names}
            for name, kinds in open_kinds.items():
                column = batch.column(name)
                if column.null_count < len(column):
                    empty.discard(name)
                if kinds:
                    _narrow(kinds, column.combine_chunks())
    found: dict[str, pa.DataType] = {}
    for name, kinds in open_kinds.items():
        kind = "null" if name in empty else next((kind for kind in _PATTERNS if kind in kinds), "string")
        found[name] = arrow_type(given.get(name, kind))
    return found


def _narrow(kinds: set[str], column: pa.Array) -> None:
    """Keep the kinds as which every text of `column` reads."""
    for kind in tuple(kinds):
        fits = numbers_of(
            pc.call_function("match_substring_regex", [column], pc.MatchSubstringOptions(_PATTERNS[kind]))
        )
        if not bool(fits[valid_bits(column)].all()):
            kinds.discard(kind)
    if "int64" in kinds:
        try:
            column.cast(pa.int64())
        except pa.ArrowInvalid:  # beyond 64 bits: text, since a float would lose digits
            kinds.clear()


def _typed(layout: _Layout, kinds: dict[str, pa.DataType], bad: list[BadRow]) -> Iterator[pa.Table]:
    with layout.texts(bad) as batches:
        for batch in batches:
            columns: dict[str, pa.Array | pa.ChunkedArray] = {}
            for name, kind in kinds.items():
                column = batch.column(name)
                try:
                    columns[name] = pa.nulls(len(column)) if kind == pa.null() else column.cast(kind)
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                    raise SourceError(
                        f"{layout.file.path}: column {name!r} is not {kind}: {error}", subject=name
                    ) from error
            yield pa.table(columns)


def _source_error(file: SourceFile, error: pa.ArrowInvalid) -> SourceError:
    what = str(error).removeprefix("CSV parse error: ")
    hint = "mend it, or set on_bad_rows: skip to leave such rows out" if "Expected" in what else "mend it"
    return SourceError(f"{file.path}: {what}", subject=file.path, hint=hint)
