"""Arrow columns as Python values and rows, several times faster than `to_pylist` on texts and structs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, repeat
from typing import Any, cast

import numpy as np
import pyarrow as pa
from pyarrow import types as kinds

from forebay.table.buffers import numbers_of, valid_bits, values_of
from forebay.table.canonical import canonical

_PORTION_BYTES = 1 << 19


def rows_of(rows: pa.Table) -> list[dict[str, Any]]:
    """Return a table's rows as dicts, keys in column order, nulls as None."""
    return list(iter_rows(rows))


def iter_rows(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield a table's rows as dicts, keys in column order, nulls as None.

    Converted some at a time, so that values which are dropped at once are made in memory that is still in the cache.
    """
    if not rows.num_columns:
        yield from ({} for _ in range(rows.num_rows))
        return
    step = max(16, rows.num_rows * _PORTION_BYTES // max(1, rows.nbytes))
    for start in range(0, rows.num_rows, step):
        columns = [values_list(column.slice(start, step)) for column in rows.columns]
        yield from _dicts(rows.column_names, columns)


def values_list(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return a column's values: str, int, float, bool, list, dict, None, and whatever Arrow makes of other types."""
    return _values(canonical(column))


def _values(array: pa.Array) -> list[Any]:
    kind = array.type
    if kinds.is_null(kind):
        return [None] * len(array)
    if kinds.is_string(kind) or kinds.is_large_string(kind):
        values: list[Any] = _texts(array)
    elif kinds.is_struct(kind):
        names = [kind.field(at).name for at in range(kind.num_fields)]
        children = [_values(cast("pa.StructArray", array).field(at)) for at in range(kind.num_fields)]
        values = _dicts(names, children) if names else [{} for _ in range(len(array))]
    elif kinds.is_list(kind) or kinds.is_large_list(kind):
        items = _values(cast("pa.ListArray", array).values)
        values = [items[start:end] for start, end in pairwise(_offsets(array))]
    elif kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind):
        values = numbers_of(array).tolist()
    else:
        return array.to_pylist()
    if array.null_count:
        for at in np.flatnonzero(~valid_bits(array)).tolist():
            values[at] = None
    return values


def _dicts(names: Sequence[str], columns: Sequence[list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(names, values, strict=False)) for values in zip(*columns, strict=True)]


def _texts(array: pa.Array) -> list[Any]:
    data = array.buffers()[2]
    if data is None or not data.size:
        return list(repeat("", len(array)))
    if values_of(array, np.uint8, 2).max() < 0x80:  # ASCII: characters are bytes
        text = str(data, "ascii")  # type: ignore[call-overload]  # a buffer speaks the buffer protocol
        return [text[start:end] for start, end in pairwise(_offsets(array))]
    view = memoryview(data)
    return [str(view[start:end], "utf-8") for start, end in pairwise(_offsets(array))]


def _offsets(array: pa.Array) -> list[int]:
    wide = kinds.is_large_list(array.type) or kinds.is_large_string(array.type)
    return values_of(array, np.int64 if wide else np.int32).tolist()
