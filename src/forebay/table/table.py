"""A table: a schema and shards, rows read when they are asked for.

Rows come one shard at a time, so memory is bounded by a shard unless a whole column is asked for; and even then columns
that no layer touched stay where they are, in mapped files.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, overload

import pyarrow as pa
from blake3 import blake3

from forebay.errors import InputError, NotFoundError
from forebay.table import compose, entering
from forebay.table.casting import arrow_schema, cast_table, describe
from forebay.table.chunking import DEFAULT_SHARD_BYTES
from forebay.table.compose import Objects, empty_columns
from forebay.table.pythonic import iter_rows, rows_of
from forebay.table.schema import Schema, union
from forebay.table.shard import Shard
from forebay.types import JSON, Digest

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import polars as pl

    from forebay.store import Store

Row = dict[str, Any]


class Table:
    """Rows of one schema in shards; immutable.

    Example::

        table = Table.from_rows(store, [{"text": "a"}, {"text": "b"}])
        len(table), table.column_names         # 2, ("text",)
        table[0], table[-1:]                   # {"text": "a"}, [{"text": "b"}]
        table.to_arrow(["text"])               # pyarrow.Table, one chunk per shard

    Reading raises `StoreError` where an object is missing or damaged.
    """

    def __init__(self, objects: Objects, shards: Iterable[Shard], schema: Schema, name: str = "") -> None:
        """Put a table together.

        Args:
            objects: where objects are read from: a store.
            shards: in dataset order.
            schema: that every shard can be cast to.
            name: for people.
        """
        self._objects = objects
        self.shards = tuple(shards)
        self.description = schema
        self.name = name
        self._ends = list(accumulate(shard.visible_rows for shard in self.shards))
        self._last: tuple[int, pa.Table] | None = None  # the shard that single rows were last read from

    # -- making one ------------------------------------------------------------------------------------------------

    @classmethod
    def from_arrow(
        cls, store: Store, rows: pa.Table | Iterable[pa.Table], name: str = "", shard_bytes: int = DEFAULT_SHARD_BYTES
    ) -> Table:
        """Store rows as a table, cut by their content; rows that the store has already take no room.

        Raises:
            InputError: a column cannot be stored.
            SourceError: tables of an iterable disagree on a column's type.
            StoreError: the store cannot take them.
        """
        batches = [rows] if isinstance(rows, pa.Table) else rows
        shards, schema = entering.enter(store, batches, name, shard_bytes)
        return cls(store, shards, schema, name)

    @classmethod
    def from_rows(cls, store: Store, rows: Iterable[Mapping[str, Any]], name: str = "") -> Table:
        """Store rows as a table; a key that a row misses is null.

        Raises:
            SourceError: values of one column have no common type.
            StoreError: the store cannot take them.
        """
        return cls.from_arrow(store, entering.row_batches(rows), name)

    @classmethod
    def from_hf(cls, store: Store, dataset: datasets.Dataset, name: str = "") -> Table:
        """Store the rows of a Hugging Face dataset, its selections and shuffles applied, as a table.

        Raises:
            StoreError: the store cannot take them.
        """
        return cls.from_arrow(store, entering.hf_batches(dataset), name)

    @classmethod
    def from_manifest(cls, objects: Objects, manifest: JSON, name: str = "") -> Table:
        """Return the table that `manifest` described.

        Raises:
            ValueError: it is not a manifest.
        """
        match manifest:
            case {"schema": schema, "shards": [*shards]}:
                return cls(objects, map(Shard.from_json, shards), Schema.from_json(schema), name)
            case _:
                raise ValueError("not a table's manifest")

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def num_rows(self) -> int:
        """Rows of all shards."""
        return self._ends[-1] if self._ends else 0

    def __len__(self) -> int:
        return self.num_rows

    @property
    def objects(self) -> Objects:
        """Where its objects are read from."""
        return self._objects

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return self.description.names

    @property
    def schema(self) -> pa.Schema:
        """The schema as Arrow's own."""
        return arrow_schema(self.description)

    @property
    def state(self) -> Digest:
        """Digest of the content: schema, and every shard's state in order. Where shards end is part of it."""
        return entering.state_of(self.shards, self.description)

    def manifest(self) -> dict[str, JSON]:
        """Return the table as JSON: objects by digest, no rows."""
        schema = Schema.from_json([[column.name, column.type] for column in self.description.columns])
        return {"schema": schema.to_json(), "shards": [shard.to_json() for shard in self.shards]}

    def __repr__(self) -> str:
        columns = ", ".join(self.column_names)
        return f"<Table {self.name!r}: {self.num_rows} rows in {len(self.shards)} shards; {columns}>"

    # -- its rows --------------------------------------------------------------------------------------------------

    def shard(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of one shard, each column one chunk, cast to the table's schema.

        Raises:
            InputError: `columns` is no list of names.
            NotFoundError: no such column.
        """
        _refuse_no_list(columns)
        return compose.load(self._objects, self.shards[number], columns, self.description)

    def iter_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of each shard that has any as one record batch."""
        for number, shard in enumerate(self.shards):
            if shard.visible_rows:
                yield from self.shard(number, columns).to_batches()

    def iter_rows(self, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """Yield rows as dicts, keys in column order."""
        for number in range(len(self.shards)):
            yield from iter_rows(self.shard(number, columns))

    def stats(self) -> pa.Table:
        """Return the statistics that filters measured, for the rows that are left; null where one was not measured."""
        tables = [compose.load_stats(self._objects, shard) for shard in self.shards]
        found = union(describe(table.schema) for table in tables)
        return _concatenated([cast_table(table, found) for table in tables], arrow_schema(found), self.num_rows)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows, one chunk per shard; what no layer touched is not copied.

        Raises:
            InputError: `columns` is no list of names, or has one twice.
            NotFoundError: no such column.
        """
        tables = [self.shard(number, columns) for number in range(len(self.shards))]
        schema = self._schema_of(columns)
        return _concatenated(tables, schema, self.num_rows)

    def to_hf(
        self, columns: Sequence[str] | None = None, *, features: Mapping[str, Any] | None = None
    ) -> datasets.Dataset:
        """Return all rows as a Hugging Face dataset, over the same memory as `to_arrow`; needs ``datasets``.

        Args:
            columns: which; None: all.
            features: what columns mean that Arrow's types do not tell (class labels, images), by name, as in
                ``Dataset.features``; those whose column is gone or has another type are passed over.
        """
        import datasets
        from datasets.table import InMemoryTable

        rows = self.to_arrow(columns)
        found = datasets.Features.from_arrow_schema(rows.schema)
        for name, feature in (features or {}).items():
            if name in found and _storage(datasets.Features({name: feature}), name) == rows.schema.field(name).type:
                found[name] = feature
        content = json.dumps([self.state, rows.column_names, found.to_dict()], sort_keys=True)
        fingerprint = blake3(content.encode("utf-8", "surrogatepass")).hexdigest()
        info = datasets.DatasetInfo(features=found)
        return datasets.Dataset(InMemoryTable(rows), info=info, fingerprint=fingerprint)

    def to_polars(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return all rows as a Polars data frame; needs ``polars``."""
        import polars

        frame = polars.from_arrow(self.to_arrow(columns))
        assert isinstance(frame, polars.DataFrame)
        return frame

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return all rows as a pandas data frame; needs ``pandas``."""
        return self.to_arrow(columns).to_pandas()

    @overload
    def __getitem__(self, which: int) -> Row: ...
    @overload
    def __getitem__(self, which: slice) -> list[Row]: ...

    def __getitem__(self, which: int | slice) -> Row | list[Row]:
        """Return one row as a dict, or several as a list of dicts.

        Raises:
            IndexError: no such row.
            InputError: neither a number nor a slice.
        """
        if isinstance(which, slice):
            start, stop, step = which.indices(self.num_rows)
            if step == 1:
                return self._range(start, stop)
            return [self[number] for number in range(start, stop, step)]
        if not hasattr(which, "__index__"):  # a column's name, say
            hint = "a column is to_arrow(columns=[NAME])"
            raise InputError(f"rows have numbers, and {which!r} is none", subject=which, hint=hint)
        number = which + self.num_rows if which < 0 else which
        if not 0 <= number < self.num_rows:
            raise IndexError(f"row {which} of {self.num_rows}")
        return self._range(number, number + 1)[0]

    def _range(self, start: int, stop: int) -> list[Row]:
        rows: list[Row] = []
        while start < stop:
            number = bisect_right(self._ends, start)
            end = min(stop, self._ends[number])
            first = self._ends[number] - self.shards[number].visible_rows
            if self._last is None or self._last[0] != number:
                self._last = (number, self.shard(number))
            rows += rows_of(self._last[1].slice(start - first, end - start))
            start = end
        return rows

    def _schema_of(self, columns: Sequence[str] | None) -> pa.Schema:
        if columns is None:
            return self.schema
        _refuse_no_list(columns)
        seen: set[str] = set()
        for name in columns:
            if name in seen:
                raise InputError(f"column {name!r} is asked for twice", subject=name, hint="name each column once")
            seen.add(name)
            if self.description.column(name) is None:
                known = ", ".join(self.column_names) or "none"
                raise NotFoundError(f"no column {name!r}", subject=name, hint=f"there are: {known}")
        return arrow_schema(self.description.only(columns))


def _refuse_no_list(columns: Sequence[str] | None) -> None:
    """Refuse a text, which would be taken for a list of its letters, and what can be gone through once only."""
    if columns is not None and (isinstance(columns, (str, bytes)) or not isinstance(columns, Collection)):
        hint = f"write [{columns!r}]" if isinstance(columns, str) else "give a list of names"
        raise InputError(f"not a list of columns: {columns!r}", subject=columns, hint=hint)


def _concatenated(tables: list[pa.Table], schema: pa.Schema, rows: int) -> pa.Table:
    if not len(schema):
        return empty_columns(rows)
    if not tables:
        return schema.empty_table()
    # Permissive only for texts beyond 2 GiB in one shard, whose offsets are wider.
    return pa.concat_tables(tables, promote_options="permissive")


def _storage(features: datasets.Features, name: str) -> pa.DataType:
    return features.arrow_schema.field(name).type
