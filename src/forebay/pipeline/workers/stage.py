"""One stage over one shard: look each operator up, compute from the first miss on, look up again after each.

After every operator the shard's state (its content, not its history) feeds the next key, so an operator whose result
did not change costs nothing after it. Runs in a worker; what is made goes into a `Parcel`, of which parts go ahead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from forebay.errors import BuildError, ForebayError, RecipeError, SourceError, StoreError
from forebay.pipeline.operator import OperatorKind
from forebay.pipeline.recipes import keys
from forebay.pipeline.recipes.chain import Link, Stage
from forebay.pipeline.workers.lineage import Place, place_of
from forebay.pipeline.workers.space import Parcel, Space
from forebay.table.shard import Layer, Shard
from forebay.types import JSON, Buffer, Cost, Digest, Entry, Key

if TYPE_CHECKING:
    import pyarrow as pa

    from forebay.pipeline.recipes.functions import UserOperator
    from forebay.table.layers import Draft

Message = dict[str, JSON]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one operator over one shard."""

    index: int
    key: Key
    reused: bool
    rows_in: int
    rows_out: int
    seconds: float = 0.0
    types: JSON = None
    """Types of the columns it wrote: ``[[name, type], …]``; None: none."""
    kept: bool = True
    layers: int = 0
    """How many layers it added."""

    def to_json(self) -> Message:
        """Return the outcome as JSON."""
        return {
            "index": self.index, "key": self.key, "reused": self.reused, "rows_in": self.rows_in,
            "rows_out": self.rows_out, "seconds": self.seconds, "types": self.types, "kept": self.kept,
            "layers": self.layers,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """Return the outcome that `to_json` wrote."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a worker has for every task: the space, its operators, a way to say what it does, the dataset's name."""

    space: Space
    operator: Callable[[Link], Any]
    at: Callable[[str], None]
    dataset: str
    check: Callable[[Link, Any, pa.Table, Any], str]
    """The determinism check: why a result may not be kept, or ""."""
    part: Callable[[Parcel], None]
    """Called when an operator is through: publishes what the parcel holds by now, where that is worth it."""


def entry_of(key: Key, link: Link, state: Digest, layers: Sequence[Layer], **meta: JSON) -> Entry:
    """Return the entry of one operator over one shard. `state` is what it saw of the shard."""
    seconds = cast("float", meta.pop("seconds"))
    objects = tuple({layer.object: None for layer in layers if layer.object is not None})
    return Entry(
        kind="delta",
        key=key,
        objects=objects,
        meta={"layers": [layer.to_json() for layer in layers], **meta},
        parts={"operator": link.key, "name": link.use.name, "input": state},
        cost=Cost(seconds, sum(ref.size for ref in objects)),
    )


def layers_of(entry: Entry) -> tuple[Layer, ...]:
    """Return the layers that a `delta` entry adds."""
    return tuple(Layer.from_json(layer) for layer in cast("list[JSON]", entry.meta["layers"]))


def found_outcome(link: Link, entry: Entry) -> Outcome:
    """Return the outcome of an operator whose result was found."""
    meta = cast("Mapping[str, Any]", entry.meta)
    return Outcome(
        link.index,
        entry.key,
        True,
        meta["rows_in"],
        meta["rows_out"],
        0.0,
        meta.get("types"),
        layers=len(meta["layers"]),
    )


@dataclass(slots=True)
class StageRun:
    """One task. `shard` grows a layer at a time; `rows` are loaded when something must be computed."""

    bench: Bench
    stage: Stage
    shard: Shard
    place: Place
    order: tuple[str, ...]
    """The table's columns in order."""
    keep_until: int
    """Operators from this index on are not kept."""
    parcel: Parcel = field(default_factory=Parcel)
    outcomes: list[Outcome] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    tainted: int | None = None
    """Index of an operator that was found to be nondeterministic just now."""
    _rows: pa.Table | None = None

    def read(self, digest: Digest) -> Buffer:
        """Return an object that may not be published yet; `forebay.table.layers.load` reads through this."""
        own = self.parcel.find(digest)
        return memoryview(own) if own is not None else self.bench.space.read(digest)

    def run(self, first: int) -> None:
        """Do the stage's operators from index `first` on.

        Raises:
            BuildError: an operator raised; names it, the shard and the row.
        """
        for link in self.stage.links:
            if link.index >= first:
                self._step(link)

    def summarise(self, link: Link) -> JSON:
        """Do the per-shard half of the closing operator; return its summary's object.

        Raises:
            BuildError: the operator raised.
        """
        state = self.shard.state(link.sees)
        key = keys.summary(link.key, state)
        keep = link.index < self.keep_until
        entry = self.bench.space.get("summary", key) if keep else None
        visible = self.shard.visible_rows
        if entry is not None:
            ref = entry.object("summary")
            self.outcomes.append(Outcome(link.index, key, True, visible, visible))
            return [ref.role, ref.digest, ref.size]
        from forebay.table import ipc

        began = time.perf_counter()
        rows = self._sight(link)
        operator = self._made(link)
        summary = self._guarded(link, lambda: operator.summarise(rows))
        keep = self._may_keep(link, operator, rows, summary, keep)
        seconds = time.perf_counter() - began
        ref = self.parcel.put("summary", cast("Buffer", ipc.encode(summary)), keep=keep)
        if keep:
            parts: dict[str, JSON] = {"operator": link.key, "name": link.use.name, "input": state}
            self.parcel.entries.append(
                Entry(
                    "summary",
                    key,
                    (ref,),
                    {"rows": visible},
                    parts,
                    cost=Cost(seconds, ref.size),
                    dataset=self.bench.dataset,
                )
            )
        self.outcomes.append(Outcome(link.index, key, False, visible, visible, seconds, kept=keep))
        return [ref.role, ref.digest, ref.size]

    def _step(self, link: Link) -> None:
        state = self.shard.state(link.sees)
        key = keys.delta(link.key, state)
        keep = link.index < self.keep_until
        entry = self.bench.space.get("delta", key) if keep else None
        if entry is not None:
            self._take_over(layers_of(entry))
            self.outcomes.append(found_outcome(link, entry))
            return
        rows_in = self.shard.visible_rows
        began = time.perf_counter()
        layers, keep = self._compute(link, keep)
        seconds = time.perf_counter() - began
        self.shard = self.shard.with_layer(*layers)
        rows_out, types = self.shard.visible_rows, self._types(layers)
        if keep:
            entry = entry_of(key, link, state, layers, rows_in=rows_in, rows_out=rows_out, types=types, seconds=seconds)
            self.parcel.entries.append(_labelled(entry, self.bench.dataset))
        self.outcomes.append(Outcome(link.index, key, False, rows_in, rows_out, seconds, types, keep, len(layers)))
        self.bench.part(self.parcel)

    def _compute(self, link: Link, keep: bool) -> tuple[list[Layer], bool]:
        """Compute one operator; return its stored layers, and whether they may be kept."""
        from forebay.table import layers as tables

        rows = self._sight(link)
        if not rows.num_rows:
            return [], keep
        self.bench.at(f"{link.label} on {self.place.shard_text}")
        operator = self._made(link)
        kind, whole, result = link.use.kind, self._loaded(), None
        if kind is OperatorKind.MAPPER:
            result = self._guarded(link, lambda: operator.map(rows))
            drafts = self._guarded(link, lambda: tables.diff(whole, result))
            self._check_written(link, drafts)
        elif kind is OperatorKind.FILTER:
            stats = self._guarded(link, lambda: operator.stats(rows))
            result = self._guarded(link, lambda: operator.keep(rows, stats))
            drafts = tables.stats(stats, whole.num_rows) + tables.select(result)
        else:
            result = self._guarded(link, lambda: operator.expand(rows))
            new, parents = cast("tuple[Any, Any]", result)
            drafts = self._guarded(link, lambda: tables.rows(new, parents, whole))
        keep = self._may_keep(link, operator, rows, result, keep)
        self._rows = tables.apply(whole, drafts) if drafts else whole
        return [draft.stored(partial(self.parcel.put, keep=keep)) for draft in cast("list[Draft]", drafts)], keep

    def _check_written(self, link: Link, drafts: Sequence[Draft]) -> None:
        """Refuse what a user's function did to columns that it is not said to write: its key does not cover them.

        Raises:
            BuildError: it changed, added or dropped one.
        """
        writes = link.use.writes
        if not link.use.user or writes is None:
            return
        for name in (name for draft in drafts for name in draft.layer.columns if name not in writes):
            what = f"{link.label} on {self.place.shard_text} writes column {name!r}, which its `writes` does not name"
            raise BuildError(what, subject=name, hint="name it there, or return it as it was")

    def conform(self, gap: JSON) -> None:
        """Bring a shard whose own schema is narrower to the table's: columns it misses, types that are wider elsewhere.

        What `gap` holds is `Schema.gap`. After this, operators see the same whatever the shards' boundaries.

        Raises:
            SourceError: the wider type cannot hold a value as it is.
        """
        from forebay.table import casting
        from forebay.table import layers as tables
        from forebay.table.schema import Schema

        wanted = Schema.from_json(gap)
        own = tables.load(cast("Any", self), self.shard)
        present = Schema(tuple(column for column in wanted.columns if column.name in own.column_names))
        absent = Schema(tuple(column for column in wanted.columns if column.name not in own.column_names))
        try:
            cast_rows = casting.cast_table(own.select(list(present.names)), present)
        except casting.InexactError as error:
            row = error.row
            where = self.place.shard_text if row is None else place_of(self.place, self.shard, row, self.read)
            raise SourceError(f"{where}: {error.what}", subject=error.subject, hint=error.hint) from error
        changed = {name: cast_rows.column(name) for name in present.names}
        empty = casting.cast_table(own.select([]), absent)
        changed |= {name: empty.column(name) for name in absent.names}
        state, keep = self.shard.state(), self.keep_until > 0
        layers = [draft.stored(partial(self.parcel.put, keep=keep)) for draft in tables.diff(own, changed)]
        self.shard = self.shard.with_layer(*layers)
        if keep:
            self.parcel.entries.append(
                Entry("delta", keys.conform(state, gap), tuple(layer.object for layer in layers if layer.object),
                      {"layers": [layer.to_json() for layer in layers]}, {"name": "conform", "input": state},
                      dataset=self.bench.dataset)
            )  # fmt: skip

    def _take_over(self, layers: Sequence[Layer]) -> None:
        """Add layers that were found, to the rows too where they are loaded."""
        if self._rows is not None:
            from forebay.table import layers as tables

            found = [(layer, None if layer.digest is None else layer.content(self.read)) for layer in layers]
            self._rows = tables.apply(self._rows, found)
        self.shard = self.shard.with_layer(*layers)

    def _may_keep(self, link: Link, operator: Any, rows: pa.Table, result: Any, keep: bool) -> bool:
        """Run the determinism check where it is due; a result that fails it, and all after it, is not kept.

        Raises:
            SourceError: a file that the recipe says it reads is not as it was keyed.
        """
        if not link.use.user:
            return keep
        files = cast("UserOperator", link.use).files
        if files is not None:
            files.check()
        if not keep:
            return False
        why = self.bench.check(link, operator, rows, result)
        if why:
            self.told.append(why)
            self.tainted = link.index
            self.keep_until = min(self.keep_until, link.index)
        return not why

    def _loaded(self) -> pa.Table:
        if self._rows is None:
            from forebay.table import layers as tables

            wanted = self.stage.columns
            names = [name for name in columns_after(self.order, self.shard.layers) if wanted is None or name in wanted]
            self._rows = tables.load(cast("Any", self), self.shard, names)
        return self._rows

    def _sight(self, link: Link) -> pa.Table:
        """What the operator is given: a user's function with `reads` sees those columns and no others."""
        rows, reads = self._loaded(), link.use.reads
        if reads is None:
            return rows
        missing = [name for name in reads if name not in rows.column_names]
        if missing and not rows.num_rows:
            # The operator that adds them has not seen this shard, as nothing is left of it.
            rows = _with_none(rows, missing)
        elif missing:
            known = ", ".join(columns_after(self.order, self.shard.layers)) or "none"
            raise RecipeError(f"{link.label}: the data has no column {missing[0]!r}", subject=missing[0],
                              hint=f"there are: {known}")  # fmt: skip
        return rows.select(list(reads)) if link.use.user else rows

    def _made(self, link: Link) -> Any:
        """Return the computing operator; a user's class is made with the first."""
        try:
            return self.bench.operator(link)
        except (Exception, SystemExit) as error:
            if not link.use.user:
                raise
            said = f": {error}" if str(error) else ""
            what = f"{link.label} raised {type(error).__name__} as it was made{said}"
            raise BuildError(what, subject=link.use.name) from error

    def _guarded(self, link: Link, compute: Callable[[], Any]) -> Any:
        """Call an operator; what it raises is told with the operator, the shard and, where known, the row."""
        try:
            return compute()
        except StoreError:
            raise
        except ForebayError as error:
            raise BuildError(f"{link.label} failed on {self.place.shard_text}: {error.what}", subject=link.use.name,
                             hint=error.hint) from error  # fmt: skip
        except Exception as error:  # noqa: BLE001 - an operator is somebody else's code: it may raise anything
            row, cause = getattr(error, "row", None), getattr(error, "cause", error)
            where = self.place.shard_text if row is None else place_of(self.place, self.shard, row, self.read)
            said = f": {cause}" if str(cause) else ""
            raise BuildError(
                f"{link.label} raised {type(cause).__name__} at {where}{said}", subject=link.use.name
            ) from cause

    def _types(self, layers: Sequence[Layer]) -> JSON:
        written = [name for layer in layers if layer.kind in ("columns", "rows", "patch") for name in layer.columns]
        if not written or self._rows is None:
            return None
        from forebay.table import casting

        names = [name for name in dict.fromkeys(written) if name in self._rows.column_names]
        return casting.describe(self._rows.select(names).schema).to_json()


def columns_after(names: Sequence[str], layers: Sequence[Layer]) -> list[str]:
    """Return the columns that one sees, in order, after layers on a base (or a table) with columns `names`."""
    seen = list(names)
    for layer in layers:
        if layer.kind == "rows":
            seen = list(layer.columns)
        elif layer.kind == "drop":
            seen = [name for name in seen if name not in layer.columns]
        elif layer.kind == "columns":
            seen += [name for name in layer.columns if name not in seen]
    return seen


def _with_none(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    for name in names:
        rows = rows.append_column(name, pa.nulls(0, pa.string()))
    return rows


def _labelled(entry: Entry, dataset: str) -> Entry:
    return replace(entry, dataset=dataset)
