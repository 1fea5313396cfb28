"""Layers applied: from a base and its layers to the rows that one sees.

Nothing is gathered before the end. Per column we keep the arrays that its values may come from and an index into their
concatenation; a selection composes indexes, a patch appends its rows and points at them. At the end each column is
taken once, or, where nothing touched it, handed out as it lies in the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forebay.errors import NotFoundError
from forebay.table import compute, ipc
from forebay.table.buffers import Bits, array_of, numbers_of
from forebay.table.casting import cast_table
from forebay.table.schema import Schema
from forebay.table.shard import Layer, Shard
from forebay.types import Digest

ROW = "__row"
PARENT = "__parent"

Index = npt.NDArray[np.int64]


class Objects(Protocol):
    """Where objects are read from; a `forebay.store.Store` is one."""

    def read(self, digest: Digest, /) -> memoryview:
        """Return the decoded bytes of an object."""
        ...


class _Column(NamedTuple):
    sources: tuple[pa.Array, ...]
    places: Index | None  # of the values in all sources, one after another; None: the first source as it is


class _Rows:
    """Columns being composed."""

    def __init__(self, rows: int, columns: Mapping[str, pa.Array]) -> None:
        self.rows = rows
        self.columns = {name: _Column((array,), None) for name, array in columns.items()}

    def select(self, keep: Index) -> None:
        made: dict[int, Index] = {}  # columns that share an index go on sharing it

        def narrowed(index: Index | None) -> Index:
            if index is None:
                return keep
            if id(index) not in made:
                made[id(index)] = index[keep]
            return made[id(index)]

        self.columns = {name: _Column(it.sources, narrowed(it.places)) for name, it in self.columns.items()}
        self.rows = len(keep)

    def patch(self, at: npt.NDArray[np.uint32], changed: Mapping[str, pa.Array]) -> None:
        for name, array in changed.items():
            if name not in self.columns:
                continue
            sources, index = self.columns[name]
            index = np.arange(self.rows) if index is None else index.copy()
            index[at] = sum(map(len, sources)) + np.arange(len(array))
            self.columns[name] = _Column((*sources, array), index)

    def replace(self, columns: Mapping[str, pa.Array]) -> None:
        self.columns.update({name: _Column((array,), None) for name, array in columns.items()})

    def table(self) -> pa.Table:
        if not self.columns:
            return empty_columns(self.rows)
        made: dict[int, pa.Array] = {}
        arrays = [_gather(column, made) for column in self.columns.values()]
        return pa.Table.from_arrays(arrays, names=list(self.columns))


def empty_columns(rows: int) -> pa.Table:
    """Return a table of `rows` rows and no columns."""
    return pa.table({"none": pa.nulls(rows)}).select([])


def load(
    objects: Objects, shard: Shard, columns: Sequence[str] | None = None, schema: Schema | None = None
) -> pa.Table:
    """Return the rows of a shard as one sees them, each column one chunk.

    Args:
        objects: where objects are read from.
        shard: base and layers.
        columns: names, in the order they are wanted; None: all. Objects that do not concern them are not read.
        schema: the table's; the rows are cast to it, and columns that this shard misses are null. None: as at rest.

    Raises:
        NotFoundError: no such column.
        SourceError: a value does not fit the schema.
        StoreError: an object is missing or damaged.
    """
    rows = _compose(objects, shard, None if columns is None else frozenset(columns)).table()
    if schema is not None:
        wanted = schema if columns is None else schema.only(columns)
        if columns is not None:
            _check_known(columns, schema.names)
        return cast_table(rows, wanted)
    if columns is None:
        return rows
    if not set(columns) <= set(rows.column_names):
        _check_known(columns, _compose(objects, shard, None).table().column_names)
    return rows.select(list(columns))


def load_stats(objects: Objects, shard: Shard) -> pa.Table:
    """Return the statistics columns of a shard's visible rows, as last measured.

    After new rows (a flat-mapper) each row has its parent's statistics.

    Raises:
        StoreError: an object is missing or damaged.
    """
    rows = _Rows(shard.rows, {})
    for layer in shard.layers:
        if layer.kind == "stats":
            rows.replace(_columns(_read(objects, layer)))
        elif rows.columns and layer.kind == "select":
            rows.select(_bits(objects, layer, rows.rows))
        elif rows.columns and layer.kind == "rows":
            rows.select(parents_of(_read(objects, layer)))
        rows.rows = layer.rows
    return rows.table()


def apply(rows: pa.Table, layers: Sequence[tuple[Layer, Any]]) -> pa.Table:
    """Return `rows` after layers that are in memory: (layer, payload) pairs as `forebay.table.layers` makes them."""
    composed = _Rows(rows.num_rows, _columns(rows))
    for layer, payload in layers:
        if layer.kind == "select":
            composed.select(np.flatnonzero(unpack(memoryview(payload), composed.rows)))
        elif layer.kind == "drop":
            _drop(composed, layer)
        elif layer.kind != "stats":
            composed = _layered(composed, layer, ipc.decode(payload), None)
    return composed.table()


def parents_of(rows: pa.Table) -> Index:
    """Return the parents' numbers of a decoded ``rows`` object, int64."""
    return numbers_of(rows.column(PARENT)).astype(np.int64)


def unpack(bitmap: memoryview, rows: int) -> Bits:
    """Return a bitmap, LSB first, as one bool per row."""
    return np.unpackbits(np.frombuffer(bitmap, np.uint8), count=rows, bitorder="little").view(np.bool_)


def _compose(objects: Objects, shard: Shard, wanted: frozenset[str] | None) -> _Rows:
    layers = shard.layers[shard.start :]
    floor = _floors(layers)
    fresh = bool(layers) and layers[0].kind == "rows"
    replaced = wanted is not None and wanted <= floor.keys()
    rows = _Rows(shard.rows, {} if fresh or replaced else _columns(_decode(objects, shard.base.digest), wanted))
    for at, layer in enumerate(layers):
        if layer.kind == "select":
            rows.select(_bits(objects, layer, rows.rows))
        elif layer.kind == "drop":
            _drop(rows, layer)
        elif layer.kind != "stats":
            live = _live(layer, at, floor, wanted)
            if live or layer.kind == "rows":
                rows = _layered(rows, layer, _read(objects, layer), live)
        rows.rows = layer.rows
    return rows


def _live(layer: Layer, at: int, floor: dict[str, int], wanted: frozenset[str] | None) -> frozenset[str]:
    """Return the columns of layer number `at` that someone will see, be it only by their position."""
    names = frozenset(layer.columns) if wanted is None else wanted.intersection(layer.columns)
    if layer.kind == "patch" or (layer.kind == "columns" and wanted is not None):
        return frozenset(name for name in names if floor.get(name, 0) <= at)
    return names


def _floors(layers: Sequence[Layer]) -> dict[str, int]:
    """For each column that is replaced as a whole, the number of the last layer that does so.

    What was done to it before need not be read, unless it is an earlier ``columns`` layer that places the column.
    """
    return {name: at for at, layer in enumerate(layers) if layer.kind == "columns" for name in layer.columns}


def _layered(rows: _Rows, layer: Layer, content: pa.Table, live: frozenset[str] | None) -> _Rows:
    if layer.kind == "rows":
        return _Rows(content.num_rows, _columns(content.drop_columns([PARENT]), live))
    if layer.kind == "patch":
        at = numbers_of(content.column(ROW))
        rows.patch(at, _columns(content.drop_columns([ROW]), live))
    else:
        rows.replace(_columns(content, live))
    return rows


def _drop(rows: _Rows, layer: Layer) -> None:
    for name in layer.columns:
        rows.columns.pop(name, None)


def _bits(objects: Objects, layer: Layer, rows: int) -> Index:
    return np.flatnonzero(unpack(memoryview(layer.content(objects.read)), rows))


def _read(objects: Objects, layer: Layer) -> pa.Table:
    return ipc.decode(layer.content(objects.read))


def _decode(objects: Objects, digest: Digest) -> pa.Table:
    return ipc.decode(objects.read(digest))


def _columns(rows: pa.Table, wanted: frozenset[str] | None = None) -> dict[str, pa.Array]:
    names = [name for name in rows.column_names if wanted is None or name in wanted]
    return {name: _whole(rows.column(name)) for name in names}


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _gather(column: _Column, made: dict[int, pa.Array]) -> pa.Array:
    if column.places is None:
        return column.sources[0]
    if id(column.places) not in made:
        made[id(column.places)] = array_of(column.places)
    index = made[id(column.places)]
    if len(column.sources) == 1:
        return compute.take(column.sources[0], index)
    return compute.take(pa.concat_arrays(column.sources), index)


def _check_known(columns: Sequence[str], known: Sequence[str]) -> None:
    for name in columns:
        if name not in known:
            raise NotFoundError(f"no column {name!r}", subject=name, hint=f"there are: {', '.join(known) or 'none'}")
