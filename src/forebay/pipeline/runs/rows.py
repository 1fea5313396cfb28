"""Rows from memory as the start of a run, and a run's table as the form that the rows came in."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from forebay.errors import ObjectMissingError, StoreError
from forebay.pipeline.runs.flow import Flow, Moving
from forebay.pipeline.workers.lineage import Place
from forebay.pipeline.workers.space import Objects, reference
from forebay.pipeline.workers.stage import Outcome
from forebay.table.schema import Schema
from forebay.table.shard import Shard
from forebay.types import JSON, Buffer, Digest, Entry, Key, ObjectRef

if TYPE_CHECKING:
    from forebay.store import Store
    from forebay.table import Table


class TableOrigin:
    """The shards of a table; see `forebay.pipeline.runs.files.Origin`."""

    def __init__(self, table: Table) -> None:
        self.entries: list[tuple[str, Key]] = []
        self.bad_rows = 0
        self.objects: Objects = table.objects
        self._shards: Sequence[Shard] = table.shards
        self._schema: Schema = table.description
        self._state = table.state

    def identity(self) -> list[JSON]:
        """The table's content."""
        return ["table", self._state]

    def shards(self, flow: Flow) -> tuple[list[Moving], Schema]:
        """The table's own shards, brought to its schema where they differ."""
        moving: list[Moving] = []
        for index, shard in enumerate(self._shards):
            rows = shard.visible_rows
            flow.tallies.reading(Outcome(0, Key(shard.base.digest), True, rows, rows), index)
            moving.append(Moving(index, Place(index), shard, self._schema))
        return moving, self._schema


class Memory:
    """Objects in memory, for rows that no store can take; what `forebay.table` needs of a store."""

    def __init__(self) -> None:
        self._objects: dict[Digest, memoryview] = {}

    def batch(self) -> Memory:
        """Begin to put objects in; nothing can fail halfway."""
        return self

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Nothing is published."""

    def put(self, role: str, data: Buffer) -> ObjectRef:
        """Take an object."""
        ref = reference(role, data)
        self._objects[ref.digest] = memoryview(data).toreadonly()
        return ref

    def add(self, entry: Entry) -> None:
        """Entries are not kept."""

    def read(self, digest: Digest, /) -> memoryview:
        """Return an object.

        Raises:
            ObjectMissingError: it is not here.
        """
        try:
            return self._objects[digest]
        except KeyError:
            raise ObjectMissingError(f"object {digest[:12]} is not in memory", subject=digest) from None


def origin_of(data: object, store: Store, name: str) -> TableOrigin | None:
    """Return `data` as the start of a run; None where it is of a kind that holds no rows we know.

    Raises:
        InputError, SourceError: a column cannot be stored, or has no one type.
    """
    try:
        table = _enter(data, store, name)
    except StoreError:
        table = _enter(data, cast("Store", Memory()), name)  # a cache never breaks the work
    return None if table is None else TableOrigin(table)


def _enter(data: Any, store: Store, name: str) -> Table | None:
    from forebay.table import Table

    if isinstance(data, Table):
        return data
    if isinstance(data, list) and all(isinstance(row, Mapping) for row in cast("list[object]", data)):
        return Table.from_rows(store, cast("list[Mapping[str, Any]]", data), name)
    if _is_a(data, "pyarrow", "Table"):
        return Table.from_arrow(store, data, name)
    if _is_a(data, "datasets", "Dataset"):
        return Table.from_hf(store, cast("Any", data), name)
    return None


def like(data: object, table: Table) -> object:
    """Return a table in the form that `data` has."""
    if isinstance(data, list):
        return list(table.iter_rows())
    if _is_a(data, "pyarrow", "Table"):
        return table.to_arrow()
    if _is_a(data, "datasets", "Dataset"):
        return table.to_hf(features=cast("Any", data).features)
    return table


def _is_a(value: object, module: str, name: str) -> bool:
    """Whether a value is of a framework's class; a framework that is not loaded cannot have made it."""
    found = getattr(sys.modules.get(module), name, None)
    return found is not None and isinstance(value, found)
