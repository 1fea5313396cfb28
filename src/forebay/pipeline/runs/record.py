"""A run, remembered: what it was made of, what it gave, and why what was computed was not found.

The `run` entry's meta is small (counts, the export's digest, the table's key), so that a rerun with nothing to do
reads little whatever the size of the data. Its object ``detail`` is for `explain` and retention: operators' key
trees, sources, and per shard the base and the key of every operator's result.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from forebay.errors import StoreError
from forebay.pipeline.recipes.chain import Link
from forebay.pipeline.runs.report import ExportReport, OperatorReport, RunReport
from forebay.pipeline.workers.lineage import Place
from forebay.types import JSON, Cost, Entry, Key

if TYPE_CHECKING:
    from forebay.fingerprint import KeyTree
    from forebay.pipeline.runs.flow import Moving
    from forebay.store import Store


@dataclass(frozen=True, slots=True)
class OperatorRecord:
    """One operator of a remembered run."""

    name: str
    kind: str
    key: str
    tree: KeyTree


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """One shard of a remembered run: its place, its base's digest, and the key of each operator's result."""

    place: Place
    base: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """What a run was made of."""

    operators: tuple[OperatorRecord, ...] = ()
    shards: tuple[ShardRecord, ...] = ()
    globals: tuple[tuple[int, str], ...] = ()
    """(operator, key) of each global half."""
    sources: tuple[tuple[str, Key], ...] = ()
    """(kind, key) of the entries that reading made: ``source`` and ``shard``."""
    reasons: tuple[str, ...] = ()
    """Per operator: why shards were computed; "" where none was."""
    retain: str = "all"
    """Which operators' results stayed when it ended; `forebay.pipeline.runs.retention`."""

    def to_bytes(self) -> bytes:
        """Return the detail as JSON."""
        data: dict[str, JSON] = {
            "operators": [[it.name, it.kind, it.key, it.tree.to_json()] for it in self.operators],
            "shards": [[it.place.to_json(), it.base, list(it.keys)] for it in self.shards],
            "globals": [list(pair) for pair in self.globals],
            "sources": [list(pair) for pair in self.sources],
            "reasons": list(self.reasons),
            "retain": self.retain,
        }
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")

    @classmethod
    def from_bytes(cls, data: bytes) -> Detail:
        """Return the detail that `to_bytes` wrote."""
        from forebay.fingerprint import KeyTree

        found: dict[str, Any] = json.loads(data)
        return cls(
            tuple(
                OperatorRecord(name, kind, key, KeyTree.from_json(tree)) for name, kind, key, tree in found["operators"]
            ),
            tuple(ShardRecord(Place.from_json(place), base, tuple(keys)) for place, base, keys in found["shards"]),
            tuple((index, key) for index, key in found["globals"]),
            tuple((kind, Key(key)) for kind, key in found["sources"]),
            tuple(found["reasons"]),
            found.get("retain", "all"),  # earlier versions did not tell
        )


def shard_records(shards: Iterable[Moving], operators: int) -> tuple[ShardRecord, ...]:
    """Return what is remembered of each shard."""
    return tuple(
        ShardRecord(
            moving.place,
            moving.shard.base.digest,
            tuple(moving.outcomes[index].key if index in moving.outcomes else "" for index in range(operators)),
        )
        for moving in shards
    )


def operator_records(links: Sequence[Link]) -> tuple[OperatorRecord, ...]:
    """Return what is remembered of each operator."""
    return tuple(OperatorRecord(link.use.name, link.use.kind.value, link.key, link.use.key) for link in links)


def entry_of(key: Key, report: RunReport) -> Entry:
    """Return the run's entry, without its objects."""
    meta: dict[str, JSON] = {
        "project": report.project,
        "operators": [operator.to_json() for operator in report.operators],
        "shards": report.shards,
        "rows_in": report.rows_in,
        "rows_out": report.rows_out,
        "bad_rows": report.bad_rows,
        "table": report.table_key,
        "export": report.export.to_json() if report.export else None,
    }
    if report.export:
        cast("dict[str, JSON]", meta["export"])["path"] = ""  # where it lies is no part of what it is
    return Entry("run", key, (), meta, cost=Cost(report.seconds, 0), dataset=report.project)


def report_of(entry: Entry, project: str, seconds: float, export: ExportReport | None) -> RunReport:
    """Return the report of a rerun that found everything: all shards of all operators were reused."""
    meta = cast("Mapping[str, Any]", entry.meta)
    shards = int(meta["shards"])
    operators = tuple(
        OperatorReport(it["name"], it["kind"], 0, shards, it["rows_in"], it["rows_out"]) for it in meta["operators"]
    )
    table = meta["table"]
    return RunReport(
        project=project, operators=operators, shards=shards, rows_in=meta["rows_in"], rows_out=meta["rows_out"],
        seconds=seconds, export=export,
        read=OperatorReport("read", "source", 0, shards, meta["rows_in"] + meta["bad_rows"], meta["rows_in"]),
        bad_rows=meta["bad_rows"], run_key=entry.key, table_key=Key(table) if table else None, no_op=True,
    )  # fmt: skip


def name_of(project: str) -> str:
    """Return the name that points at a project's last run."""
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in project).strip(".") or "run"
    return f"runs/{safe}"


def last_run(store: Store, project: str) -> Entry | None:
    """Return the record of a project's last run."""
    try:
        named = store.names.get(name_of(project))
        return store.get(*named) if named else None
    except StoreError:
        return None


def detail_of(store: Store, entry: Entry) -> Detail | None:
    """Return what a run was made of, or None where that has gone."""
    try:
        return Detail.from_bytes(bytes(store.read(entry.object("detail").digest)))
    except (StoreError, KeyError, ValueError):
        return None


def nearest_run(store: Store, project: str, operators: Sequence[str]) -> Detail | None:
    """Return the earlier run to compare with: the project's last, else the one that shares most operators by name."""
    own = last_run(store, project)
    detail = detail_of(store, own) if own else None
    if detail is not None:
        return detail
    best: tuple[int, Detail | None] = (0, None)
    for name in store.names.list("runs/"):
        named = store.names.get(name)
        entry = store.get(*named) if named else None
        detail = detail_of(store, entry) if entry else None
        if detail is not None:
            shared = len({it.name for it in detail.operators}.intersection(operators))
            best = max(best, (shared, detail), key=lambda one: one[0])
    return best[1]
