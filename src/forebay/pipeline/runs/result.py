"""What a run gives: shards, their schema, and a table over them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from forebay.errors import StoreError
from forebay.pipeline.recipes import keys
from forebay.pipeline.workers.space import Parcel, Space
from forebay.table.schema import Schema
from forebay.table.shard import Shard
from forebay.types import JSON, Entry, Key

if TYPE_CHECKING:
    from forebay.store import Store
    from forebay.table import Table


class Result:
    """Shards in dataset order; `objects` is where their bytes are read from."""

    def __init__(self, shards: Sequence[Shard], schema: Schema, objects: Space | Store, name: str) -> None:
        self.shards = tuple(shards)
        self.schema = Schema.from_json([[column.name, column.type] for column in schema.columns])
        self._objects = objects
        self._name = name

    @property
    def rows(self) -> int:
        """Rows that are left."""
        return sum(shard.visible_rows for shard in self.shards)

    @cached_property
    def manifest(self) -> dict[str, JSON]:
        """The table as JSON; no rows."""
        return {"schema": self.schema.to_json(), "shards": [shard.to_json() for shard in self.shards]}

    @cached_property
    def key(self) -> Key:
        """The table's key: its content."""
        return keys.table(self.manifest)

    def entry(self, parcel: Parcel) -> Entry:
        """Return the table's entry, which names every object that it takes to read it."""
        data = json.dumps(self.manifest, ensure_ascii=False, separators=(",", ":"))
        manifest = parcel.put("manifest", data.encode("utf-8", "surrogatepass"))
        objects = {ref.digest: ref for shard in self.shards for ref in shard.objects()}
        meta: dict[str, JSON] = {"rows": self.rows, "shards": len(self.shards)}
        return Entry("table", self.key, (manifest, *objects.values()), meta, dataset=self._name)

    def open(self) -> Table:
        """Return the table: lazy, its rows are read when asked for."""
        from forebay.table import Table

        return Table(cast("Any", self._objects), self.shards, self.schema, name=self._name)

    @classmethod
    def find(cls, store: Store, key: Key) -> Result | None:
        """Return a table that the store has wholly; None otherwise."""
        try:
            entry = store.get("table", key)
            if entry is None or not store.complete(entry):
                return None
            data: dict[str, Any] = json.loads(bytes(store.read(entry.object("manifest").digest)))
        except (StoreError, KeyError):
            return None
        shards = [Shard.from_json(shard) for shard in data["shards"]]
        return cls(shards, Schema.from_json(data["schema"]), store, entry.dataset)
