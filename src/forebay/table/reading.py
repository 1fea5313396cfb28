"""The lines of a shard as rows: JSON Lines by orjson, or text lines.

What counts as a row, for JSON Lines:

- blank lines are none; a byte order mark and a carriage return before the line's end are passed over;
- a line must be one JSON object. The last of equal keys counts. ``NaN``, ``Infinity`` and ``-Infinity``, which Python
  and others write, are floats (and become null on export, where JSON has no word for them);
- an integer must fit 64 bits, signed; text must be UTF-8 without lone surrogates. Strings stay strings: none is guessed
  to be a time.

Whatever else is found is an error that names file and line, or, with ``on_bad_rows: skip``, kept aside as a `BadRow`.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from forebay.errors import SourceError
from forebay.table.buffers import text_of, valid_bits, values_of
from forebay.table.building import (
    INT64,
    MAX_DEPTH,
    Merger,
    MixedTypesError,
    big_integer,
    build_columns,
    float_leaves,
    holds_large_integers,
)
from forebay.table.casting import describe, type_json
from forebay.table.compose import empty_columns
from forebay.table.options import ReadOptions
from forebay.table.schema import Column, Schema, TypeConflictError, depth, merge_types
from forebay.types import JSON

_SHOWN = 60
_LONG_INTEGER = re.compile(rb"\d{19}")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was set aside.

    Attributes:
        line: its number within the shard, from 0.
        reason: what is wrong with it.
        text: as it stands in the source.
        path: its file, where that is not the shard's.
    """

    line: int
    reason: str
    text: bytes
    path: str = ""

    def to_json(self, path: str, first_line: int) -> JSON:
        """Return the row as JSON, located; bytes that are not UTF-8 are written as ``\\xff``."""
        text = self.text.decode("utf-8", "backslashreplace")
        return {"file": self.path or path, "line": first_line + self.line, "reason": self.reason, "text": text}


@dataclass(frozen=True, slots=True)
class Rows:
    """What a shard of a source holds.

    Attributes:
        table: canonical columns; as `forebay.table.ipc` stores them, the base of a shard.
        schema: with row numbers within the shard where each column's type was first seen.
        bad: rows set aside.
        first_line: of the shard in its file, from 1; what the row numbers count from.
    """

    table: pa.Table
    schema: Schema
    bad: tuple[BadRow, ...] = ()
    first_line: int = 1


class Aside:
    """Where bad rows go: into a list if they are to be skipped, else into an error."""

    def __init__(self, options: ReadOptions, path: str, first_line: int = 1) -> None:
        self.rows: list[BadRow] = []
        self.path = path
        self.first_line = first_line
        self._skip = options.skip_bad_rows

    def add(self, line: int, reason: str, text: bytes, since: int | None = None) -> None:
        """Set a row aside; `since` is the line that it does not fit, if there is one.

        Raises:
            SourceError: bad rows are not to be skipped.
        """
        if not self._skip:
            if since is not None:
                reason = f"{reason} (line {self.first_line + since})"
            shown = text[:_SHOWN].decode("utf-8", "backslashreplace") + ("…" if len(text) > _SHOWN else "")
            raise SourceError(
                f"{self.path}:{self.first_line + line}: {reason}: {shown!r}",
                subject=self.path,
                hint="mend it, or set on_bad_rows: skip to leave such rows out",
            )
        self.rows.append(BadRow(line, reason, text))


def read_lines(data: bytes, options: ReadOptions, path: str = "", first_line: int = 1) -> Rows:
    """Return the rows of a shard of JSON Lines.

    Args:
        data: whole lines.
        options: see `ReadOptions`.
        path: of the file, for errors.
        first_line: number of its first line in the file, for errors.

    Raises:
        SourceError: a malformed line, or types that do not fit, unless they are set aside.
    """
    with _no_collection():
        return _read_lines(_split(data), options, Aside(options, path, first_line))


@contextmanager
def _no_collection() -> Generator[None]:
    """Pause the garbage collector, which would go through all rows of a shard again and again: none is garbage yet."""
    active = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if active:
            gc.enable()


def _read_lines(lines: list[bytes], options: ReadOptions, aside: Aside) -> Rows:
    numbers: Sequence[int] = range(len(lines))
    try:
        rows: list[Any] = list(map(orjson.loads, lines))
    except orjson.JSONDecodeError:
        rows, numbers = _parse_each(lines, aside)
    if set(map(type, rows)) - {dict}:
        rows, numbers = _only_objects(rows, numbers, lines, aside)
    if len(numbers) < len(lines):
        lines = [lines[number] for number in numbers]
    return assemble(Parsed(rows, numbers, lines), options, aside)


def read_text(data: bytes, options: ReadOptions, path: str = "", first_line: int = 1) -> Rows:
    """Return the lines of a shard of text as rows of one column, ``text``; line ends are cut off, blank lines stay.

    Raises:
        SourceError: a line is not UTF-8, unless it is set aside.
    """
    aside = Aside(options, path, first_line)
    texts: list[str] = []
    for number, line in enumerate(_split(data)):
        try:
            texts.append(line.removesuffix(b"\r").decode())
        except UnicodeDecodeError as error:
            aside.add(number, _not_utf8(error), line)
    table = pa.table({"text": text_of(texts)})
    return Rows(table, Schema((Column("text", "string", 0),)), tuple(aside.rows), first_line)


def read_texts(documents: Sequence[tuple[str, bytes]], options: ReadOptions) -> Rows:
    """Return text files, as (path, content), as rows of one column, ``text``.

    Raises:
        SourceError: one is not UTF-8, unless it is set aside.
    """
    texts: list[str] = []
    bad: list[BadRow] = []
    for path, data in documents:
        try:
            texts.append(data.decode())
        except UnicodeDecodeError as error:
            aside = Aside(options, path)
            aside.add(0, _not_utf8(error), data)
            bad += [replace(row, path=path) for row in aside.rows]
    return Rows(pa.table({"text": text_of(texts)}), Schema((Column("text", "string", 0),)), tuple(bad))


@dataclass(frozen=True, slots=True)
class Parsed:
    """Parsed rows, for each its line within the shard, and for each its text."""

    rows: list[dict[str, Any]]
    numbers: Sequence[int]
    texts: Sequence[bytes]


def assemble(parsed: Parsed, options: ReadOptions, aside: Aside) -> Rows:
    """Turn parsed rows into columns, setting aside those whose types do not fit.

    Args:
        parsed: JSON objects.
        options: `expect` matters here.
        aside: takes the bad rows.

    Raises:
        SourceError: types do not fit, unless such rows are set aside.
    """
    columns = _columns(parsed, options)
    if columns is None:
        parsed = _sift(parsed, options, aside)
        columns = build_columns(parsed.rows)
    table = pa.table(columns) if columns else empty_columns(len(parsed.rows))
    seen = {name: parsed.numbers[at] for name, array in columns.items() if (at := _first_value(array)) is not None}
    bad = tuple(sorted(aside.rows, key=lambda row: row.line))
    return Rows(table, describe(table.schema, seen), bad, aside.first_line)


def parse_leniently(line: bytes) -> Any:
    """Parse what orjson refused but Python writes (NaN, Infinity), or say precisely what is wrong.

    Raises:
        ValueError: what is wrong.
    """
    try:
        value = json.loads(line.decode(), parse_int=_whole_number)
        orjson.dumps(value)
    except UnicodeDecodeError as error:
        raise ValueError(_not_utf8(error)) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except orjson.JSONEncodeError as error:
        what = "nested too deeply" if "ecursion" in str(error) else "text with a lone surrogate, which is not UTF-8"
        raise ValueError(what) from None
    return value


def _split(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not UTF-8: byte 0x{error.object[error.start]:02x} at column {error.start + 1}"


def _whole_number(text: str) -> int:
    if len(text) > 20 or int(text) not in INT64:
        raise ValueError(big_integer(text))
    return int(text)


def _parse_each(lines: Sequence[bytes], aside: Aside) -> tuple[list[Any], list[int]]:
    rows: list[Any] = []
    numbers: list[int] = []
    for number, line in enumerate(lines):
        try:
            rows.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            if not line.strip():
                continue
            try:
                rows.append(parse_leniently(line))
            except ValueError as error:
                aside.add(number, str(error), line)
                continue
        numbers.append(number)
    return rows, numbers


def _only_objects(
    rows: list[Any], numbers: Sequence[int], lines: Sequence[bytes], aside: Aside
) -> tuple[list[Any], list[int]]:
    kept: list[Any] = []
    kept_numbers: list[int] = []
    for row, number in zip(rows, numbers, strict=True):
        if isinstance(row, dict):
            kept.append(row)
            kept_numbers.append(number)
        else:
            aside.add(number, f"a JSON {json_kind(row)}, not an object", lines[number])
    return kept, kept_numbers


def json_kind(value: object) -> str:
    """Name the kind of a JSON value."""
    names: dict[type, str] = {
        dict: "object",
        list: "array",
        str: "string",
        bool: "boolean",
        int: "number",
        float: "number",
    }
    return names.get(type(value), "null")


def _columns(parsed: Parsed, options: ReadOptions) -> dict[str, pa.Array] | None:
    """Return the columns, or None where some row does not fit and must be searched for."""
    try:
        columns = build_columns(parsed.rows)
    except (MixedTypesError, RecursionError):
        return None
    kinds = {name: type_json(array.type) for name, array in columns.items()}
    if any(depth(kind) > MAX_DEPTH for kind in kinds.values()):
        return None
    if options.expect is not None and not _as_expected(columns, kinds, options.expect):
        return None
    # orjson turns an integer beyond 64 bits into a float without a word.
    suspect = any(_huge(leaf) for array in columns.values() for leaf in float_leaves(array))
    if suspect and any(_LONG_INTEGER.search(line) and _is_bad(line) for line in parsed.texts):
        return None
    return columns


def _as_expected(columns: Mapping[str, pa.Array], kinds: Mapping[str, JSON], expect: Schema) -> bool:
    """Tell whether all rows surely fit: integers that no float holds may be beside floats of other shards."""
    wanted = {column.name: column.type for column in expect.columns}
    try:
        for name, kind in kinds.items():
            merge_types(wanted.get(name, "null"), kind)
    except TypeConflictError:
        return False
    return not any(map(holds_large_integers, columns.values()))


def _huge(leaf: pa.Array) -> bool:
    numbers = np.abs(values_of(leaf, np.float64))  # JSON makes no others
    return bool(((numbers >= 2.0**63) & (numbers < np.inf)).any())


def _is_bad(line: bytes) -> bool:
    try:
        parse_leniently(line)
    except ValueError:
        return True
    return False


def _sift(parsed: Parsed, options: ReadOptions, aside: Aside) -> Parsed:
    """Keep the rows that fit those before them, and the expected types; set the others aside."""
    expect = () if options.expect is None else ((column.name, column.type) for column in options.expect.columns)
    merger = Merger(expect)
    kept: list[tuple[dict[str, Any], int, bytes]] = []
    for row, number, text in zip(parsed.rows, parsed.numbers, parsed.texts, strict=True):
        since = None
        try:
            reason, since = merger.add(number, parse_leniently(text) if _LONG_INTEGER.search(text) else row)
        except ValueError as error:
            reason = str(error)
        if reason:
            aside.add(number, reason, text, since)
        else:
            kept.append((row, number, text))
    return Parsed([row for row, _, _ in kept], [number for _, number, _ in kept], [text for _, _, text in kept])


def _first_value(array: pa.Array) -> int | None:
    if array.null_count == len(array):
        return None
    return int(np.argmax(valid_bits(array))) if array.null_count else 0
