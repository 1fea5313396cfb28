"""Files in: cut into shards and read into Arrow, once per content.

A plain file of lines is cut first (entry ``source``: byte ranges), then each range is read by itself (entry
``shard``: rows), so an edit costs the reading of its own shard. Any other source is read in one pass (entry
``source``: its shards).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from forebay import text
from forebay.errors import SourceError
from forebay.events import Event, What
from forebay.pipeline.recipes import keys
from forebay.pipeline.runs.flow import Flow, Moving
from forebay.pipeline.runs.origin import KnownFile
from forebay.pipeline.workers.lineage import Place
from forebay.pipeline.workers.messages import Message
from forebay.pipeline.workers.scheduler import Task
from forebay.pipeline.workers.stage import Outcome
from forebay.table import sources
from forebay.table.schema import Schema, union_keeping
from forebay.table.shard import Shard, ref_from_json
from forebay.types import JSON, Digest, Key, ObjectRef

_LEASED_BYTES = 2**18
"""What is smaller is read sooner than a lease on it is taken."""
_WITH_LINES = ("jsonl", "csv", "tsv")
_BY_ROW = ("jsonl", "json")
"""Formats in which each row has types of its own, so that one which does not fit can be set aside; elsewhere a type is
the whole file's, and to set rows aside would be to lose the file."""


@dataclass(slots=True)
class Read:
    """Rows of one shard, read: `base` is None where a dry run cannot know them.

    `large` names columns with integers that no float holds.
    """

    base: ObjectRef | None
    rows: int
    schema: Schema
    bad: int
    line: int
    key: Key
    reused: bool
    seconds: float = 0.0
    large: tuple[str, ...] = ()

    @classmethod
    def of(cls, meta: Message | dict[str, Any], line: int, key: Key, *, reused: bool) -> Read:
        """Return what an entry's meta or a task's answer tells."""
        data = cast("dict[str, Any]", meta)
        base = ref_from_json(data["base"])
        first = data.get("first_line", line)
        schema = Schema.from_json(data["schema"])
        seconds, large = data.get("seconds", 0.0), tuple(data.get("large", ()))
        return cls(base, data["rows"], schema, data["bad_rows"], first, key, reused, seconds, large)


@dataclass(slots=True)
class _File:
    """One source on its way in."""

    file: sources.SourceFile
    digest: Digest
    content: sources.Content | None
    ranges: list[sources.ByteShard] = field(default_factory=list)
    reads: list[Read | None] = field(default_factory=list)
    expect: Schema | None = None


class Intake:
    """The files of one run on their way in."""

    def __init__(self, flow: Flow, files: Sequence[KnownFile], options: sources.ReadOptions, base: Path) -> None:
        self.entries: list[tuple[str, Key]] = []
        self.bad_rows = 0
        self._flow = flow
        self._files = [_File(known.file, known.digest, known.content) for known in files]
        self._options = options
        self._base = base

    def shards(self) -> tuple[list[Moving], Schema]:
        """Return the shards in dataset order, and the union of their schemas.

        Raises:
            SourceError: a malformed row, or types that do not fit together, unless they are to be skipped.
        """
        to_cut, again, schema = self._files, True, Schema()
        while again:  # at most once for each file
            self._cut(to_cut)
            self._read()
            if self._flow.scheduler.damaged:
                return [], Schema()
            schema, misfits = self._agree()
            to_cut, again = [it for it in misfits if not it.file.splittable], bool(misfits)
        return self._moving(schema), schema

    def _source_key(self, it: _File) -> Key:
        spelling: list[JSON] = [it.file.format, it.file.compression, bool(it.file.documents), self._options.cut_key()]
        if not it.file.splittable:
            spelling.append(replace(self._options, expect=it.expect).row_key())
        return keys.source(it.digest, spelling)

    def _cut(self, files: Sequence[_File]) -> None:
        """Find or make the shards of files; those that are not plain lines are read in doing so."""
        tasks: list[Task] = []
        for it in files:
            it.ranges, it.reads = [], []
            key = self._source_key(it)
            self.entries.append(("source", key))
            entry = self._flow.space.get("source", key)
            if entry is not None:
                data = json.loads(bytes(self._flow.space.read(entry.object("shards").digest)))
                self._take_shards(it, key, True, {"shards": data})
            elif self._flow.dry:
                self._take_unread(it, key)
            else:
                do = "scan" if it.file.splittable else "ingest"
                message: Message = {
                    "do": do, "file": it.file.to_json(), **self._kept_under(key, _size(it.file)),
                    "content": it.content.to_json() if it.content else None,
                    "expect": it.expect.to_json() if it.expect else None,
                }  # fmt: skip
                tasks.append(Task(message, partial(self._take_shards, it, key, False)))
        if tasks:
            self._flow.tallies.say("read", f"reading {len(tasks)} of {len(self._files)} sources")
        self._flow.scheduler.run(tasks)

    def _kept_under(self, key: Key, size: int) -> dict[str, JSON]:
        """Say in a task where what it makes is kept, and, if so many bytes are worth it, that one run makes it."""
        if self._flow.space.store is None:
            return {"key": None, "lease": None}
        return {"key": key, "lease": keys.key_of("forebay.lease/1", key) if size >= _LEASED_BYTES else None}

    def _take_shards(self, it: _File, key: Key, reused: bool, result: Message) -> None:
        reused = reused or bool(result.get("reused"))
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

    def _read(self) -> None:
        """Find or read the rows of every shard that has none yet."""
        tasks: list[Task] = []
        for it in self._files:
            for at, shard in enumerate(it.ranges):
                if it.reads[at] is not None:
                    continue
                row_key = replace(self._options, expect=it.expect).row_key()
                key = keys.key_of("forebay.shard/1", shard.digest, it.file.format, row_key)
                self.entries.append(("shard", key))
                entry = self._flow.space.get("shard", key)
                if entry is not None:
                    it.reads[at] = Read.of(dict(entry.meta), shard.first_line, key, reused=True)
                elif self._flow.dry:
                    it.reads[at] = Read(None, shard.lines, Schema(), 0, shard.first_line, key, False)
                else:
                    message: Message = {
                        "do": "read", "file": it.file.to_json(), "shard": shard.to_json(),
                        **self._kept_under(key, shard.length),
                        "expect": it.expect.to_json() if it.expect else None,
                    }  # fmt: skip
                    tasks.append(Task(message, partial(self._take_rows, it, at, key)))
        if tasks:
            self._flow.tallies.say("read", f"reading {text.counted(len(tasks), 'shard')}")
        self._flow.scheduler.run(tasks)

    def _take_rows(self, it: _File, at: int, key: Key, result: Message) -> None:
        self._flow.space.made("shard", key)
        it.reads[at] = Read.of(result, it.ranges[at].first_line, key, reused=bool(result.get("reused")))

    def _agree(self) -> tuple[Schema, list[_File]]:
        """The union of all schemas, and the files of which shards must be read again, setting rows aside."""
        owners = [(it, at) for it in self._files for at in range(len(it.reads))]
        schemas = [self._located(it, at) for it, at in owners]
        schema, conflicts = union_keeping(schemas)
        for conflict in conflicts:
            it, _ = owners[conflict.shard]
            if not self._options.skip_bad_rows or not _may_set_aside(it):
                raise self._refusal(conflict.error, it)
        again = [owners[conflict.shard] for conflict in conflicts]
        if self._options.skip_bad_rows:
            again += [
                owner for owner, own in zip(owners, schemas, strict=True) if self._is_inexact(*owner, own, schema)
            ]
        for it, at in again:
            it.reads[at] = None
            it.expect = schema
        return schema, [it for it in self._files if any(it is owner for owner, _ in again)]

    def _refusal(self, error: SourceError, it: _File) -> SourceError:
        """Return the error for types that do not fit, with what may be done about them."""
        hint = error.hint
        if it.file.format not in _BY_ROW:
            hint += "; on_bad_rows: skip sets rows of JSON files aside, and here the type is the whole file's"
        elif not self._options.skip_bad_rows:
            hint += ", or set on_bad_rows: skip to leave such rows out"
        return SourceError(error.what, subject=error.subject, hint=hint)

    def _is_inexact(self, it: _File, at: int, own: Schema, schema: Schema) -> bool:
        """Tell whether a shard may have integers that become floats, and would be others: that is found by reading."""
        large = cast("Read", it.reads[at]).large
        return bool(large) and _may_set_aside(it) and schema.gap(own, large) is not None

    def _located(self, it: _File, at: int) -> Schema:
        read = cast("Read", it.reads[at])
        return read.schema.located(it.file.path, read.line)

    def _moving(self, schema: Schema) -> list[Moving]:
        moving: list[Moving] = []
        self.bad_rows = 0
        for it in self._files:
            row = 0
            for at, read in enumerate(cast("list[Read]", it.reads)):
                own = self._located(it, at)
                line = read.line if it.file.format in _WITH_LINES else 0
                place = Place(len(moving), self._shown(it.file.path), line, row)
                base = read.base or ObjectRef("base", Digest(it.ranges[at].digest if it.ranges else read.key), 0)
                outcome = Outcome(0, read.key, read.reused, read.rows + read.bad, read.rows, read.seconds)
                self._flow.tallies.reading(outcome, len(moving))
                moving.append(
                    Moving(
                        len(moving), place, Shard(base, read.rows), own, schema.gap(own), known=read.base is not None
                    )
                )
                row += read.rows
                self.bad_rows += read.bad
        if self.bad_rows:
            aside = text.counted(self.bad_rows, "malformed row")
            self._flow.hook(Event(What.WARNING, f"{aside} set aside (on_bad_rows: skip)"))
        return moving

    def _shown(self, path: str) -> str:
        """A path as people want it: relative to the working folder where it lies below; what is no UTF-8 as `?`."""
        with suppress(ValueError):
            path = str(Path(path).relative_to(self._base))
        return path.encode("utf-8", "replace").decode()


def _size(file: sources.SourceFile) -> int:
    try:
        return _LEASED_BYTES if file.documents else os.stat(file.path).st_size
    except OSError:
        return 0  # whoever reads it says what is wrong


def _may_set_aside(it: _File) -> bool:
    """Tell whether a file can be read again without the rows that do not fit; once, for then they do."""
    return it.expect is None and it.file.format in _BY_ROW
