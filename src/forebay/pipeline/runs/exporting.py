"""The result as a file: never written when it is there already, and never rendered again where a part of it is.

What a table's rendering in a format amounts to (digest, and for JSON Lines the bytes of each shard) is remembered
under the table's content (entry ``export``), not under a path; a name under ``exports/`` remembers which rendering a
path holds. So an export is up to date when the file's digest, remembered by its times, says so; and where only some
shards changed, the bytes of the others are taken from the file that is there, or from what a killed export left.
"""

from __future__ import annotations

import json
import mmap
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from forebay.errors import StoreError
from forebay.events import Event, Hook, What
from forebay.io import LocalFilesystem
from forebay.pipeline.recipes import keys
from forebay.pipeline.recipes.recipe import Export
from forebay.pipeline.runs.known import digest_at
from forebay.pipeline.runs.report import ExportReport
from forebay.pipeline.runs.result import Result
from forebay.pipeline.workers.messages import Message
from forebay.pipeline.workers.scheduler import Scheduler, Task
from forebay.pipeline.workers.space import Parcel, Space
from forebay.table.schema import Schema, union
from forebay.table.unfinished import Name, Part, Unfinished
from forebay.types import JSON, Buffer, Digest, Entry, Key

if TYPE_CHECKING:
    from forebay.store import Store


_WAIT_SECONDS = (0.05, 1.0)
"""First and longest pause before looking again whether another run is through."""


class _DamagedError(Exception):
    """A shard could not be read; the run starts over to heal it."""


def write(
    export: Export,
    result: Result,
    space: Space,
    scheduler: Scheduler,
    store: Store | None,
    *,
    meanwhile: Callable[[], None] = lambda: None,
) -> ExportReport | None:
    """Write a result to its export's path, unless it is there; None where a shard turned out damaged.

    Args:
        export: where, and as what.
        result: the rows.
        space: where they lie.
        scheduler: hands shards to workers for rendering.
        store: remembers what was written.
        meanwhile: is called once, when workers have something to do, or nothing is to be done.

    Raises:
        InputError: the path cannot be written, or the format cannot hold a column.
        BuildError: the disk is full or fails.
    """
    key = keys.key_of("forebay.export/2", result.key, export.spelling)
    with _alone(export, key, space, scheduler.hook):  # who waited for another finds it there
        if store is not None:
            entry = space.get("export", key)
            present = digest_at(export.path, store)
            if entry is not None and entry.meta["digest"] == present:
                meanwhile()
                _name(export, key, store)
                return ExportReport(str(export.path), False, cast("int", entry.meta["bytes"]), str(present))
        left = Unfinished(export.path)
        try:
            with _Parts(export, result, scheduler, space, _previous(export, store), left.parts, meanwhile) as parts:
                return _written(export, key, parts, left, space, store)
        except _DamagedError:
            return None


@contextmanager
def _alone(export: Export, key: Key, space: Space, hook: Hook) -> Generator[None]:
    """Wait until no other run writes the same to the same place."""
    lease_key = keys.key_of("forebay.lease/1", key, str(export.path))
    pause, longest = _WAIT_SECONDS
    ours, lease = space.lease(lease_key)
    if not ours:
        hook(Event(What.WAIT, f"another run is writing {export.path.name}; waiting for it"))
    while not ours:
        time.sleep(pause)
        pause = min(longest, 1.5 * pause)
        ours, lease = space.lease(lease_key)
    with lease or nullcontext():
        yield


def _written(
    export: Export, key: Key, parts: _Parts, left: Unfinished, space: Space, store: Store | None
) -> ExportReport:
    done = parts.join()
    left.remove()
    report = ExportReport(str(export.path), True, done.bytes, done.digest, parts.reused)
    if parts.lost:
        text = f"{parts.lost} numbers that JSON has no word for (NaN, infinities) are null in {export.path.name}"
        parts.scheduler.hook(Event(What.WARNING, text))
    if store is not None:
        _remember(export, key, report, parts.ranges(done.parts), space, store)
    return report


@dataclass(slots=True)
class _Previous:
    """What an export's path holds now, by part key."""

    path: Path
    parts: Mapping[str, _Range] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Range:
    """A part of a file: where it lies, in bytes, and how many of its numbers the format has no word for."""

    offset: int
    length: int
    lost: int = 0


@dataclass(slots=True)
class _Parts:
    """Renders what is missing, and hands all parts out in order."""

    export: Export
    result: Result
    scheduler: Scheduler
    space: Space
    previous: _Previous
    unfinished: Mapping[str, Part]
    """Parts by key, of exports that were killed."""
    meanwhile: Callable[[], None]
    keys: list[str] = field(default_factory=list)
    reused: int = 0
    _lost: dict[str, int] = field(default_factory=dict)
    """Numbers that the format cannot hold, by part key."""
    _rendered: dict[int, Path] = field(default_factory=dict)
    _stats: list[Schema] = field(default_factory=list)
    _old: mmap.mmap | None = None
    _folder: Path = field(init=False)
    """Of the parts: this export's own, as workers may still be at one that was given up."""

    def __enter__(self) -> _Parts:
        self._folder = Path(tempfile.mkdtemp(prefix="export-", dir=self.space.scratch.folder))
        schema = self.result.schema.to_json()
        for shard in self.result.shards:
            seen: JSON = shard.to_json() if self.export.keep_stats else shard.state()
            self.keys.append(keys.key_of("forebay.part/2", seen, schema, self.export.spelling))
        if any(key in self.previous.parts for key in self.keys):
            with self.previous.path.open("rb") as file:
                self._old = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._old is not None:
            self._old.close()

    def join(self) -> Any:
        """Write the file; return what `forebay.table.export.join` says of it."""
        there = self.previous.parts.keys() | self.unfinished.keys()
        tasks = [self._task(number) for number, key in enumerate(self.keys) if key not in there]
        rendering = self.scheduler.stream(tasks)
        if self.export.keep_stats and self.export.format != "jsonl":
            for _ in rendering:  # the columns of the file are known when all statistics are
                pass
        else:
            next(rendering, None)  # workers are at it while we do other things, and load what writes files
        self.meanwhile()
        from forebay.table import export

        schema = self.result.schema
        if self._stats:
            from forebay.table.rendering import schema_with_stats

            schema = schema_with_stats(schema, union(self._stats))
        target = export.Target(
            self.export.path, cast("Any", self.export.format), cast("Any", self.export.compression), schema
        )
        return export.join(self._in_order(rendering), target, names=self._names())

    @property
    def lost(self) -> int:
        """How many numbers of the file the format has no word for."""
        return sum(self._lost.get(key, 0) for key in self.keys)

    def _names(self) -> Iterator[Name]:
        for key in self.keys:
            yield Name(key, self._lost.get(key, 0))

    def ranges(self, lengths: tuple[int, ...]) -> list[JSON]:
        """Return ``[part key, offset, length, lost]`` of every part, where the format has parts of bytes."""
        found: list[JSON] = []
        offset = 0
        for key, length in zip(self.keys, lengths, strict=False):
            found.append([key, offset, length, self._lost.get(key, 0)])
            offset += length
        return found

    def _task(self, number: int) -> Task:
        message: Message = {
            "do": "render", "shard": self.result.shards[number].to_json(), "schema": self.result.schema.to_json(),
            "format": self.export.format, "compression": self.export.compression, "stats": self.export.keep_stats,
            "part": str(self._folder / str(number)),
        }  # fmt: skip
        return Task(message, partial(self._take, number))

    def _take(self, number: int, result: Message) -> None:
        self._rendered[number] = Path(str(result["part"]))
        self._lost[self.keys[number]] = cast("int", result["lost"])
        if result["stats"]:
            self._stats.append(Schema.from_json(result["stats"]))

    def _in_order(self, rendering: Iterator[None]) -> Iterator[Buffer]:
        disk = LocalFilesystem()
        for number, key in enumerate(self.keys):
            if key in self.previous.parts:
                assert self._old is not None
                old = self.previous.parts[key]
                self.reused += 1
                self._lost[key] = old.lost
                with memoryview(self._old) as whole, whole[old.offset : old.offset + old.length] as part:
                    yield part
                continue
            if key in self.unfinished:
                self.reused += 1
                self._lost[key] = self.unfinished[key].lost
                yield self.unfinished[key].data
                continue
            while number not in self._rendered:
                if self.scheduler.damaged:
                    raise _DamagedError
                try:
                    next(rendering)
                except StopIteration:
                    if number not in self._rendered:
                        raise _DamagedError from None
            path = self._rendered.pop(number)
            yield disk.map(path)  # to read it into memory would cost as much again as to write it
            path.unlink()


def _place(export: Export) -> str:
    return f"exports/{keys.key_of('forebay.path/1', str(export.path))[:32]}"


def _previous(export: Export, store: Store | None) -> _Previous:
    """What the path holds, if it is still what we wrote there."""
    if store is None or export.format != "jsonl":
        return _Previous(export.path)
    try:
        named = store.names.get(_place(export))
        entry = store.get(*named) if named else None
        if entry is None or digest_at(export.path, store) != entry.meta["digest"]:
            return _Previous(export.path)
        parts = json.loads(bytes(store.read(entry.object("parts").digest)))
    except (StoreError, KeyError):
        return _Previous(export.path)
    return _Previous(export.path, {key: _Range(*place) for key, *place in parts if place[1]})


def _remember(export: Export, key: Key, report: ExportReport, ranges: list[JSON], space: Space, store: Store) -> None:
    """Keep what the rendering amounts to, and what the path holds; a store that fails costs nothing but time."""
    parcel = Parcel()
    objects = [parcel.put("parts", json.dumps(ranges, separators=(",", ":")).encode())] if ranges else []
    meta: dict[str, JSON] = {"digest": report.digest, "bytes": report.bytes, "format": export.spelling}
    parcel.entries.append(Entry("export", key, tuple(objects), meta))
    if not space.publish(parcel):
        return
    store.file_memo.put(str(export.path), export.path.stat(), Digest(report.digest))
    _name(export, key, store)


def _name(export: Export, key: Key, store: Store) -> None:
    try:
        if store.writable and store.names.get(_place(export)) != ("export", key):
            store.names.set(_place(export), "export", key)
    except StoreError:
        pass  # a name is a comfort
