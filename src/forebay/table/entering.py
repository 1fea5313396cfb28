"""Rows from memory into a store: cut by content, stored as bases, held by one entry of kind ``table``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from blake3 import blake3

from forebay.errors import SourceError
from forebay.table import ipc
from forebay.table.building import Merger, MixedTypesError, build_columns
from forebay.table.canonical import canonical_table
from forebay.table.casting import cast_table, describe
from forebay.table.compose import empty_columns
from forebay.table.cutting import cut
from forebay.table.schema import Column, Schema, union
from forebay.table.shard import Shard
from forebay.types import Digest, Entry, Key

if TYPE_CHECKING:
    import datasets

    from forebay.store import Store

_BATCH_ROWS = 1000


def enter(store: Store, batches: Iterable[pa.Table], name: str, shard_bytes: int) -> tuple[tuple[Shard, ...], Schema]:
    """Store rows; return their shards and schema.

    Raises:
        InputError: a column cannot be stored.
        SourceError: batches disagree on a column's type.
        StoreError: the store cannot take them.
    """
    schema, unified = _unified(batches)
    shards: list[Shard] = []
    with store.batch() as batch:
        for rows in cut(unified, shard_bytes):
            if rows.num_rows:
                shards.append(Shard(batch.put("base", memoryview(ipc.encode(rows))), rows.num_rows))
        manifest = {"schema": schema.to_json(), "shards": [shard.to_json() for shard in shards]}
        data = json.dumps(manifest, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        held = {shard.base.digest: shard.base for shard in shards}
        meta = {"rows": sum(shard.rows for shard in shards), "shards": len(shards)}
        key = Key(state_of(shards, schema))
        objects = (batch.put("manifest", data), *held.values())
        batch.add(Entry("table", key, objects, meta, dataset=name))
    return tuple(shards), schema


def state_of(shards: Iterable[Shard], schema: Schema) -> Digest:
    """Digest a table's content: its schema and its shards' states."""
    columns = [[column.name, column.type] for column in schema.columns]
    content = ["forebay.table.state/1", columns, [shard.state() for shard in shards]]
    return Digest(blake3(json.dumps(content, separators=(",", ":")).encode()).hexdigest())


def row_batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[pa.Table]:
    """Yield dicts as tables, some at a time.

    Raises:
        SourceError: values of one column have no common type, or a row is no mapping.
    """
    stream = iter(rows)
    first = 0
    while portion := list(islice(stream, _BATCH_ROWS)):
        try:
            columns = build_columns(portion)
        except (MixedTypesError, TypeError) as error:
            raise SourceError(_why(portion, first, error), hint="make each column one type") from error
        if wrong := [name for name in columns if not isinstance(name, str)]:
            raise SourceError(f"a column's name is text, not {wrong[0]!r}", subject=wrong[0], hint="rename it")
        yield pa.table(columns) if columns else empty_columns(len(portion))
        first += len(portion)


def hf_batches(dataset: datasets.Dataset) -> Iterator[pa.Table]:
    """Yield a Hugging Face dataset as tables; one without rows as its columns alone."""
    if not len(dataset):
        yield dataset.features.arrow_schema.empty_table()
    yield from dataset.with_format("arrow").iter(batch_size=_BATCH_ROWS)  # type: ignore[misc]  # tables, so formatted


def _why(rows: Sequence[object], first: int, error: Exception) -> str:
    merger = Merger()
    for number, row in enumerate(rows, first + 1):  # from 1, as lines and the rows of shards are told
        if not isinstance(row, Mapping):
            return f"row {number} is a {type(row).__name__}, not a dict"
        reason, _ = merger.add(number, row)
        if reason:
            return f"row {number}: {reason}"
    return str(error)


def _unified(batches: Iterable[pa.Table]) -> tuple[Schema, Iterable[pa.Table]]:
    """Bring batches to one schema. One table has one already; several are held until all types are known."""
    if isinstance(batches, list) and len(batches) == 1:
        return describe(canonical_table(batches[0].slice(0, 0)).schema), batches
    held: list[pa.Table] = []
    schemas: list[Schema] = []
    row = 0
    for rows in batches:
        plain = canonical_table(rows)
        found = describe(plain.schema)
        schemas.append(Schema(tuple(Column(it.name, it.type, f"row {row + 1} or after") for it in found.columns)))
        held.append(plain)
        row += rows.num_rows
    schema = union(schemas)
    bare = Schema(tuple(Column(column.name, column.type) for column in schema.columns))
    return bare, [cast_table(rows, bare) for rows in held]
