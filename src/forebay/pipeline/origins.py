"""Where a run's shards come from: files that are cut and read, once per content.

A file is known by its digest, remembered by (device, inode, size, times) so that an unchanged one is not even opened. A
plain file of lines is cut first (entry ``source``: byte ranges), then each range is read by itself (entry ``shard``: rows),
so an edit costs the reading of its own shard. Any other source is read in one pass (entry ``source``: its shards' rows).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from forebay.events import Event, What
from forebay.fingerprint import digest_bytes, file_digest
from forebay.pipeline import keys
from forebay.pipeline.executor import Message
from forebay.pipeline.flow import Flow, Moving
from forebay.pipeline.lineage import Place
from forebay.pipeline.recipe import Recipe
from forebay.pipeline.scheduler import Task
from forebay.pipeline.stage import Step
from forebay.table import sources
from forebay.table.schema import Schema, union_keeping
from forebay.table.shard import Shard, ref_from_json
from forebay.types import JSON, Digest, Key, ObjectRef

if TYPE_CHECKING:
    from forebay.store import Store

_WITH_LINES = ("jsonl", "csv", "tsv")


class Origin(Protocol):
    """Something that shards come from."""

    entries: list[tuple[str, Key]]
    """(kind, key) of the entries that hold them, once `shards` was called."""
    bad_rows: int
    """Rows set aside, once `shards` was called."""

    def identity(self) -> list[JSON]:
        """Return what it is, by content: part of the run's key."""
        ...

    def shards(self, flow: Flow) -> tuple[list[Moving], Schema]:
        """Return the shards in dataset order, and the schema that they are brought to."""
        ...


def read_options(recipe: Recipe) -> sources.ReadOptions:
    """Return how a recipe wants its sources read."""
    options = sources.ReadOptions(on_bad_rows=recipe.on_bad_rows)
    return options if recipe.shard_bytes is None else replace(options, shard_bytes=recipe.shard_bytes)


def file_to_json(file: sources.SourceFile) -> JSON:
    """Return a source as JSON, for a task."""
    return [file.path, file.format, file.compression, [list(pair) for pair in file.documents]]


def file_from_json(data: JSON) -> sources.SourceFile:
    """Return the source that `file_to_json` wrote."""
    path, kind, compression, documents = cast("tuple[str, Any, Any, list[Any]]", data)
    return sources.SourceFile(path, kind, compression, tuple((one, packed) for one, packed in documents))


@dataclass(slots=True)
class Read:
    """Rows of one shard, read: `base` is None where a dry run cannot know them."""

    base: ObjectRef | None
    rows: int
    schema: Schema
    bad: int
    line: int
    key: Key
    reused: bool
    seconds: float = 0.0

    @classmethod
    def of(cls, meta: Message | dict[str, Any], line: int, key: Key, *, reused: bool) -> Read:
        """Return what an entry's meta or a task's answer tells."""
        data = cast("dict[str, Any]", meta)
        base = ref_from_json(data["base"])
        return cls(base, data["rows"], Schema.from_json(data["schema"]), data["bad_rows"], data.get("first_line", line), key,
                   reused, data.get("seconds", 0.0))  # fmt: skip


@dataclass(slots=True)
class _File:
    """One source on its way in."""

    file: sources.SourceFile
    digest: Digest
    ranges: list[sources.ByteShard] = field(default_factory=list)
    reads: list[Read | None] = field(default_factory=list)
    expect: Schema | None = None


class FilesOrigin:
    """The files of a recipe."""

    def __init__(self, recipe: Recipe, store: Store | None) -> None:
        self.entries: list[tuple[str, Key]] = []
        self.bad_rows = 0
        self._recipe = recipe
        self._store = store
        self._options = read_options(recipe)
        self._files: list[_File] | None = None

    def identity(self) -> list[JSON]:
        """See `Origin`: digests of all files in order, formats, reading options.

        Raises:
            NotFoundError: nothing is there.
            SourceError: a format is unknown.
        """
        files: list[JSON] = [[it.digest, it.file.format, it.file.compression, len(it.file.documents)] for it in self._found()]
        return [files, self._options.cut_key(), self._options.row_key()]

    def shards(self, flow: Flow) -> tuple[list[Moving], Schema]:
        """See `Origin`.

        Raises:
            SourceError: a malformed row, or types that do not fit together, unless they are to be skipped.
        """
        self.entries.clear()
        files = self._found()
        self._cut(flow, files)
        self._read(flow, files)
        if flow.scheduler.damaged:
            return [], Schema()
        schema, again = self._agree(files)
        if again:
            self._read(flow, files)
            schema, _ = self._agree(files)
        return self._moving(flow, files, schema), schema

    def _found(self) -> list[_File]:
        if self._files is None:
            found = sources.resolve(list(self._recipe.dataset), self._recipe.base, self._options)
            wanted = self._recipe.suffixes
            if wanted:
                kept = [file for file in found if any(path.endswith(wanted) for path in file.paths)]
                found = kept or found
            self._files = [_File(file, self._digest(file)) for file in found]
        return self._files

    def _digest(self, file: sources.SourceFile) -> Digest:
        if self._store is None:
            return Digest("")  # nothing will be looked up
        memo = self._store.file_memo
        if not file.documents:
            return file_digest(file.path, memo)
        return digest_bytes("".join(file_digest(path, memo) for path in file.paths).encode())

    def _source_key(self, it: _File) -> Key:
        spelling: list[JSON] = [it.file.format, it.file.compression, bool(it.file.documents), self._options.cut_key()]
        if not it.file.splittable:
            spelling.append(replace(self._options, expect=it.expect).row_key())
        return keys.source(it.digest, spelling)

    def _cut(self, flow: Flow, files: Sequence[_File]) -> None:
        """Find or make the shards of every file."""
        tasks: list[Task] = []
        for it in files:
            it.ranges, it.reads = [], []
            key = self._source_key(it)
            self.entries.append(("source", key))
            entry = flow.space.get("source", key)
            if entry is not None:
                data = json.loads(bytes(flow.space.read(entry.object("shards").digest)))
                self._take_shards(it, key, True, {"shards": data})
            elif flow.dry:
                self._take_unread(it, key)
            else:
                do = "scan" if it.file.splittable else "ingest"
                message: Message = {
                    "do": do, "file": file_to_json(it.file), "key": key if flow.space.store else None,
                    "expect": it.expect.to_json() if it.expect else None,
                }  # fmt: skip
                tasks.append(Task(message, partial(self._take_shards, it, key, False)))
        if tasks:
            flow.ledger.say("read", f"reading {len(tasks)} of {len(files)} sources")
        flow.scheduler.run(tasks)

    def _take_shards(self, it: _File, key: Key, reused: bool, result: Message) -> None:
        shards = cast("list[Any]", result["shards"])
        if it.file.splittable:
            it.ranges = [sources.ByteShard.from_json(shard) for shard in shards]
            it.reads = [None] * len(it.ranges)
        else:
            it.reads = [Read.of(shard, 1, key, reused=reused) for shard in shards]

    def _take_unread(self, it: _File, key: Key) -> None:
        """A dry run may cut a file of lines, but reads nothing: other sources count as one unknown shard."""
        if it.file.splittable:
            it.ranges = list(sources.scan(it.file, self._options).shards)
            it.reads = [None] * len(it.ranges)
        else:
            it.reads = [Read(None, 0, Schema(), 0, 1, key, False)]

    def _read(self, flow: Flow, files: Sequence[_File]) -> None:
        """Find or read the rows of every shard that has none yet."""
        tasks: list[Task] = []
        for it in files:
            for at, shard in enumerate(it.ranges):
                if it.reads[at] is not None:
                    continue
                row_key = replace(self._options, expect=it.expect).row_key()
                key = keys.key_of("forebay.shard/1", shard.digest, it.file.format, row_key)
                self.entries.append(("shard", key))
                entry = flow.space.get("shard", key)
                if entry is not None:
                    it.reads[at] = Read.of(dict(entry.meta), shard.first_line, key, reused=True)
                elif flow.dry:
                    it.reads[at] = Read(None, shard.lines, Schema(), 0, shard.first_line, key, False)
                else:
                    message: Message = {
                        "do": "read", "file": file_to_json(it.file), "shard": shard.to_json(),
                        "key": key if flow.space.store else None, "expect": it.expect.to_json() if it.expect else None,
                    }  # fmt: skip
                    tasks.append(Task(message, partial(self._take_rows, flow, it, at, key)))
        if tasks:
            flow.ledger.say("read", f"reading {len(tasks)} shards")
        flow.scheduler.run(tasks)

    def _take_rows(self, flow: Flow, it: _File, at: int, key: Key, result: Message) -> None:
        flow.space.made("shard", key)
        it.reads[at] = Read.of(result, it.ranges[at].first_line, key, reused=False)

    def _agree(self, files: Sequence[_File]) -> tuple[Schema, bool]:
        """The union of all schemas; True where shards that do not fit must be read again, setting rows aside."""
        owners = [(it, at) for it in files for at in range(len(it.reads))]
        schemas = [self._located(it, at) for it, at in owners]
        schema, conflicts = union_keeping(schemas)
        if conflicts and not self._options.skip_bad_rows:
            raise conflicts[0].error
        for conflict in conflicts:
            it, at = owners[conflict.shard]
            if it.expect is not None or not it.file.splittable:
                raise conflict.error
            it.reads[at] = None
        for it in {id(owners[conflict.shard][0]): owners[conflict.shard][0] for conflict in conflicts}.values():
            it.expect = schema
        return schema, bool(conflicts)

    def _located(self, it: _File, at: int) -> Schema:
        read = cast("Read", it.reads[at])
        return read.schema.located(it.file.path, read.line)

    def _moving(self, flow: Flow, files: Sequence[_File], schema: Schema) -> list[Moving]:
        moving: list[Moving] = []
        self.bad_rows = 0
        for it in files:
            row = 0
            for at, read in enumerate(cast("list[Read]", it.reads)):
                own = self._located(it, at)
                line = read.line if it.file.format in _WITH_LINES else 0
                place = Place(len(moving), self._shown(it.file.path), line, row)
                base = read.base or ObjectRef("base", Digest(it.ranges[at].digest if it.ranges else read.key), 0)
                step = Step(0, read.key, read.reused, read.rows + read.bad, read.rows, read.seconds)
                flow.ledger.reading(step, len(moving))
                moving.append(Moving(len(moving), place, Shard(base, read.rows), own, schema.gap(own), known=read.base is not None))
                row += read.rows
                self.bad_rows += read.bad
        if self.bad_rows:
            text = f"{self.bad_rows} malformed rows were set aside (on_bad_rows: skip); they are in the store's shard entries"
            flow.hook(Event(What.WARNING, text))
        return moving

    def _shown(self, path: str) -> str:
        """A path as people want it: relative to the working folder where it lies below."""
        try:
            return str(Path(path).relative_to(self._recipe.base))
        except ValueError:
            return path


