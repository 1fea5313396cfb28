"""What a run did: counts per operator, and where the result is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forebay.errors import NotFoundError
from forebay.types import JSON, Key

if TYPE_CHECKING:
    from forebay.table import Table


@dataclass(frozen=True, slots=True)
class OperatorReport:
    """One operator over all shards."""

    name: str
    kind: str
    shards_computed: int = 0
    shards_reused: int = 0
    rows_in: int = 0
    rows_out: int = 0
    seconds: float = 0.0
    """Computing time, summed over workers."""
    reason: str = ""
    """Why shards were computed, in words; "" where all were reused."""

    def to_json(self) -> dict[str, JSON]:
        """Return the record as JSON."""
        return {
            "name": self.name, "kind": self.kind, "shards_computed": self.shards_computed,
            "shards_reused": self.shards_reused, "rows_in": self.rows_in, "rows_out": self.rows_out,
            "seconds": round(self.seconds, 6), "reason": self.reason,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The exported file: `written` is False where it was up to date."""

    path: str
    written: bool
    bytes: int = 0
    digest: str = ""
    parts_reused: int = 0
    """Shards whose rendered rows were taken over from the export that was there, or from one that was killed."""

    def to_json(self) -> dict[str, JSON]:
        """Return the record as JSON."""
        return {
            "path": self.path, "written": self.written, "bytes": self.bytes, "digest": self.digest,
            "parts_reused": self.parts_reused,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did. `table` opens the result lazily."""

    project: str
    operators: tuple[OperatorReport, ...]
    shards: int
    rows_in: int
    rows_out: int
    seconds: float
    """Wall seconds of the whole run."""
    read: OperatorReport = OperatorReport("read", "source")
    """Reading the source into Arrow: computed and reused shards."""
    export: ExportReport | None = None
    bad_rows: int = 0
    store_bytes: int | None = None
    """Bytes at rest in the store afterwards; None without a store."""
    run_key: Key | None = None
    """Key of the run's record; None where the run is not remembered."""
    table_key: Key | None = None
    no_op: bool = False
    """Nothing had to be done: the whole run was known."""
    dry: bool = False
    """Only a plan: `operators` tells what would be computed."""
    warnings: tuple[str, ...] = ()
    _open: Callable[[], Table] | None = field(default=None, repr=False, compare=False)

    @property
    def table(self) -> Table:
        """The result, as a lazy table.

        Raises:
            NotFoundError: this was a dry run, or the result was not kept.
        """
        if self._open is None:
            raise NotFoundError("this run kept no table", hint="run it with a store and without dry_run")
        return self._open()

    @property
    def computed(self) -> int:
        """Operator x shard results that were computed."""
        return sum(operator.shards_computed for operator in self.operators)

    @property
    def reused(self) -> int:
        """Operator x shard results that were found."""
        return sum(operator.shards_reused for operator in self.operators)

    def to_json(self) -> dict[str, JSON]:
        """Return the report as JSON; the table itself is named by its key."""
        return {
            "project": self.project,
            "operators": [operator.to_json() for operator in self.operators],
            "read": self.read.to_json(),
            "computed": self.computed,
            "reused": self.reused,
            "shards": self.shards,
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "bad_rows": self.bad_rows,
            "seconds": round(self.seconds, 6),
            "export": self.export.to_json() if self.export else None,
            "store_bytes": self.store_bytes,
            "run_key": self.run_key,
            "table_key": self.table_key,
            "no_op": self.no_op,
            "dry": self.dry,
            "warnings": list(self.warnings),
        }
