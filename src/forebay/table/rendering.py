"""The rows of one shard as a part of a file, and parts of Arrow as files; see `forebay.table.export`.

JSON: every column is a key of every row, null where it is null or where its source had no such key; NaN and infinities,
which JSON does not have, become null; times are ISO 8601; decimals and durations are text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import numpy as np
import orjson
import pyarrow as pa

from forebay.errors import InputError
from forebay.table import ipc
from forebay.table.buffers import numbers_of
from forebay.table.building import float_leaves
from forebay.table.canonical import canonical_table
from forebay.table.casting import arrow_schema, describe
from forebay.table.export import ExportCompression, ExportFormat, Sink, compressed
from forebay.table.jsonlines import json_lines
from forebay.table.schema import Schema
from forebay.types import Buffer

STATS = "__dj__stats__"
"""Name of the column that statistics are exported under, as Data-Juicer's users know it."""


def with_stats(rows: pa.Table, stats: pa.Table) -> pa.Table:
    """Return the rows with their statistics as one struct column, `STATS`; unchanged where there are none."""
    if not stats.num_columns:
        return rows
    columns = [column.chunk(0) for column in canonical_table(stats).columns]
    kept = rows.drop_columns([STATS]) if STATS in rows.column_names else rows
    return kept.append_column(STATS, pa.StructArray.from_arrays(columns, names=stats.column_names))


def schema_with_stats(schema: Schema, stats: Schema) -> Schema:
    """Return a table's schema after `with_stats`."""
    if not stats.columns:
        return schema
    rows = arrow_schema(schema.only(name for name in schema.names if name != STATS))
    return describe(rows.append(pa.field(STATS, pa.struct(list(arrow_schema(stats))))))


def render(rows: pa.Table, file_format: ExportFormat = "jsonl", compression: ExportCompression = "") -> Buffer:
    """Return the rows of one shard as a part.

    Args:
        rows: cast to the table's schema, statistics included.
        file_format: of the file.
        compression: of JSON Lines.

    Raises:
        InputError: JSON cannot hold a column (binary).
    """
    if file_format != "jsonl":
        return memoryview(ipc.encode(rows))
    return compressed(_json_lines(rows), compression)


def wordless(rows: pa.Table) -> int:
    """Return how many numbers JSON has no word for: NaN and infinities, which become null in it."""
    leaves = (leaf for column in rows.columns for chunk in column.chunks for leaf in float_leaves(chunk))
    return sum(len(leaf) - int(np.count_nonzero(np.isfinite(numbers_of(leaf)))) for leaf in leaves)


def _tables(parts: Iterable[Buffer], schema: pa.Schema) -> Iterator[pa.Table]:
    for part in parts:
        rows = ipc.decode(part)
        if rows.num_rows:
            yield rows if rows.schema == schema else rows.cast(schema)


def join_parquet(parts: Iterable[Buffer], sink: Sink, columns: Schema) -> None:
    """Write parts as the row groups of a Parquet file.

    Raises:
        InputError: Parquet cannot hold a column's type.
    """
    # Its import costs tens of milliseconds, which only those who write Parquet should pay.
    import pyarrow.parquet as pq

    schema = arrow_schema(columns)
    try:
        with pq.ParquetWriter(pa.PythonFile(cast("Any", sink), "w"), schema, compression="zstd") as writer:
            for rows in _tables(parts, schema):
                writer.write_table(rows, row_group_size=rows.num_rows)
    except pa.ArrowNotImplementedError as error:
        raise InputError(f"these rows cannot be Parquet: {error}", hint="export to Arrow or JSON Lines") from error


def join_arrow(parts: Iterable[Buffer], sink: Sink, columns: Schema) -> None:
    """Write parts as the batches of an Arrow IPC file."""
    schema = arrow_schema(columns)
    with pa.ipc.new_file(pa.PythonFile(cast("Any", sink), "w"), schema) as writer:
        for rows in _tables(parts, schema):
            writer.write_table(rows)


def _json_lines(rows: pa.Table) -> Buffer:
    try:
        return memoryview(json_lines(rows))
    except orjson.JSONEncodeError as error:
        raise InputError(f"these rows cannot be JSON: {error}", hint="export to Parquet or Arrow") from error
