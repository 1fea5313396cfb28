"""Files of separated values, CSV and TSV.

They say no types, so a first pass over the file finds them: a column is int64, float or bool if every value that is
not empty reads as one, else it is text. What a number would lose stays text: leading zeros, digits beyond 64 bits,
and, beside floats, integers that no float holds.
Dates stay text. An empty field is null; a quoted empty field is empty text. Rows may hold quoted line ends, so numbers
in errors are row numbers, the header being row 1.

A quote that is never closed would make one field of all that follows, without a word. So a row of our own is read after
the file's last: where it does not come out, a quote has swallowed it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv

from forebay.errors import SourceError
from forebay.table import compute
from forebay.table.buffers import numbers_of, valid_bits, values_of
from forebay.table.building import is_exact
from forebay.table.casting import arrow_type, describe
from forebay.table.cutting import cut
from forebay.table.options import ReadOptions
from forebay.table.reading import BadRow, Rows
from forebay.table.resolving import SourceFile
from forebay.table.streams import Stream, open_stream

_SHOWN = 60
_UNCLOSED = "a quote that is never closed"
_END = "forebayendoffile"
_DIGITS = 16
"""An integer of fewer is held exactly by a float."""
_LONG = rf"^-?[0-9]{{{_DIGITS},}}$"
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
                raise _source_error(layout, error) from error
    else:
        raise AssertionError("no block size left")
    bad: list[BadRow] = []
    try:
        for rows in cut(_typed(layout, kinds, bad), options.shard_bytes):
            schema = describe(rows.schema, dict.fromkeys(rows.column_names, file.path))
            yield Rows(rows, schema, tuple(bad))
            bad.clear()
    except pa.ArrowInvalid as error:
        raise _source_error(layout, error) from error
    if bad:  # nothing but bad rows
        yield Rows(pa.table({}), describe(pa.schema([])), tuple(bad))


@dataclass(frozen=True, slots=True)
class _Layout:
    file: SourceFile
    options: ReadOptions
    block_bytes: int
    refused: list[BadRow] = field(default_factory=list)
    """The row that made Arrow give up."""

    @contextmanager
    def texts(self, bad: list[BadRow] | None) -> Generator[Iterator[pa.Table]]:
        """Open the file as batches of text columns; bad rows go to `bad`, if that is given."""
        names = self._names()
        if not names:
            yield iter(())
            return
        with open_stream(self.file.path, self.file.compression) as stream:
            whole = _Ended(stream, names, self._delimiter)
            aside = [] if bad is None else bad
            convert = csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            )  # fmt: skip
            with csv.open_csv(cast("Any", whole), self._read(), self._parse(aside, whole), convert) as reader:
                # The first batch has no rows: a file that is but a header has columns too.
                start = pa.schema([(name, pa.string()) for name in names]).empty_table()
                yield chain([start], self._to_the_end(reader, whole, aside))

    def _to_the_end(self, reader: Iterable[pa.RecordBatch], whole: _Ended, bad: list[BadRow]) -> Iterator[pa.Table]:
        """Yield the file's rows, and see that they end where the file does."""
        row = 2  # the header is 1
        held: pa.RecordBatch | None = None
        for batch in filter(len, reader):
            if held is not None:
                row += held.num_rows
                yield pa.Table.from_batches([held])
            held = batch
        if held is None:
            if not whole.swallowed:  # by the header
                raise self._unclosed(1)
            return
        if not whole.swallowed:
            last = held.slice(held.num_rows - 1)
            if last.column(0).to_pylist()[0] != _END:
                if not self.options.skip_bad_rows:
                    raise self._unclosed(row + held.num_rows - 1)
                text = str(last.column(last.num_columns - 1).to_pylist()[0])
                bad.append(BadRow(row + held.num_rows - 2, _UNCLOSED, _without_end(text)))
            held = held.slice(0, held.num_rows - 1)
        yield pa.Table.from_batches([held])

    def _unclosed(self, row: int) -> SourceError:
        path = self.file.path
        hint = "close it, or double a quote that is part of the text"
        return SourceError(f"{path}:{row}: {_UNCLOSED}", subject=path, hint=hint)

    def _names(self) -> list[str]:
        with open_stream(self.file.path, self.file.compression) as stream:
            whole = _Ended(stream, [""], self._delimiter)
            try:
                with csv.open_csv(cast("Any", whole), self._read(), self._parse(None, whole)) as reader:
                    names = reader.schema.names
            except pa.ArrowInvalid as error:
                if "Empty CSV" in str(error):  # not even our own row was found
                    raise self._unclosed(1) from None
                raise
            except UnicodeDecodeError as error:
                what = f"{self.file.path}:1: the header is not UTF-8 (0x{error.object[error.start]:02x})"
                raise SourceError(what, subject=self.file.path, hint="convert the file to UTF-8") from None
        if names == [_END]:
            return []
        if twice := sorted({name for name in names if names.count(name) > 1}):
            named = ", ".join(name or "(empty)" for name in twice)
            raise SourceError(f"{self.file.path}:1: columns named twice: {named}", subject=self.file.path)
        return names

    def _read(self) -> csv.ReadOptions:
        return csv.ReadOptions(block_size=self.block_bytes, use_threads=False)

    def _parse(self, bad: list[BadRow] | None, whole: _Ended) -> csv.ParseOptions:
        def handle(row: csv.InvalidRow) -> str:
            if bad is None:
                return "skip"  # this is but about the header
            reason = f"{row.actual_columns} fields where there are {row.expected_columns} columns"
            if _END in row.text:
                whole.swallowed, reason = True, _UNCLOSED
            found = BadRow((row.number or 1) - 1, reason, _without_end(row.text))
            if not self.options.skip_bad_rows:
                self.refused.append(found)
                return "error"
            bad.append(found)
            return "skip"

        return csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=handle)

    @property
    def _delimiter(self) -> str:
        return "\t" if self.file.format == "tsv" else self.options.delimiter


class _Ended:
    """A stream with a row of our own after its last; `swallowed` if that was found in a malformed row."""

    closed = False
    swallowed = False

    def __init__(self, stream: Stream, names: list[str], delimiter: str) -> None:
        self._stream = stream
        self._end = f"\n{_END}{delimiter * (len(names) - 1)}\n".encode()

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none only at the end. Our row comes with the last of the file's: Arrow wants the
        header and its line end in one."""
        wanted = max(1, size - len(self._end)) if size >= 0 else sys.maxsize
        parts: list[bytes] = []
        while wanted and (data := self._stream.read(wanted if size >= 0 else -1)):
            parts.append(data)
            wanted -= len(data)
        if wanted:
            parts.append(self._end)
            self._end = b""
        return b"".join(parts)

    def readable(self) -> bool:
        """Arrow asks for this."""
        return True

    def close(self) -> None:
        """Nothing to do: whoever opened the stream closes it."""


def _without_end(text: str) -> bytes:
    return text.partition(f"\n{_END}")[0].encode()


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
    """Keep the kinds as which every text of `column` reads, and which hold all of it."""
    for kind in tuple(kinds):
        fits = numbers_of(
            compute.call("match_substring_regex", column, options=compute.MatchSubstringOptions(_PATTERNS[kind]))
        )
        if not bool(fits[valid_bits(column)].all()):
            kinds.discard(kind)
    if "int64" in kinds:
        try:
            compute.cast(column, pa.int64())
        except pa.ArrowInvalid:  # beyond 64 bits: text, since a float would lose digits
            kinds.clear()

    if "double" in kinds and _holds_large_integers(column):
        kinds.discard("double")


def _holds_large_integers(texts: pa.Array) -> bool:
    """Tell whether a text is an integer that no float holds."""
    lengths = values_of(compute.call("binary_length", texts), np.int32)
    if not lengths.size or lengths.max() < _DIGITS:
        return False
    long = compute.call("match_substring_regex", texts, options=compute.MatchSubstringOptions(_LONG))
    return any(not is_exact(int(text)) for text in compute.call("filter", texts, long).to_pylist() if text is not None)


def _typed(layout: _Layout, kinds: dict[str, pa.DataType], bad: list[BadRow]) -> Iterator[pa.Table]:
    with layout.texts(bad) as batches:
        for batch in batches:
            columns: dict[str, pa.Array | pa.ChunkedArray] = {}
            for name, kind in kinds.items():
                column = batch.column(name)
                try:
                    columns[name] = pa.nulls(len(column)) if kind == pa.null() else compute.cast(column, kind)
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                    raise SourceError(
                        f"{layout.file.path}: column {name!r} is not {kind}: {error}", subject=name
                    ) from error
            yield pa.table(columns)


def _source_error(layout: _Layout, error: pa.ArrowInvalid) -> SourceError:
    path = layout.file.path
    if layout.refused:
        row = layout.refused[0]
        shown = row.text[:_SHOWN].decode("utf-8", "backslashreplace") + ("…" if len(row.text) > _SHOWN else "")
        return SourceError(f"{path}:{row.line + 1}: {row.reason}: {shown!r}", subject=path,
                           hint="mend it, or set on_bad_rows: skip to leave such rows out")  # fmt: skip
    what = str(error).removeprefix("CSV parse error: ")
    if "straddl" in what:
        what = f"a row of more than {_BLOCKS[-1] >> 20} MiB, or a quote that is never closed"
    return SourceError(f"{path}: {what}", subject=path, hint="mend it")
