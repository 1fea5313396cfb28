"""Results as files: rendered shard by shard, anywhere; joined in order, by one.

A part holds one shard. JSON Lines parts are the file's bytes themselves (a gzip member or a zstd frame each), so
joining is concatenation; Parquet and Arrow parts are Arrow IPC, which the joiner writes as one row group or batch each.
All bytes are deterministic.

JSON: every column is a key of every row, null where it is null or where its source had no such key; NaN and infinities,
which JSON does not have, become null; times are ISO 8601; decimals and durations are text.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import orjson
import pyarrow as pa
from blake3 import blake3

from forebay.errors import BuildError, ForebayError, InputError
from forebay.io import Filesystem, LocalFilesystem, Staged, publish, stage, unique_token
from forebay.table import ipc
from forebay.table.canonical import canonical_table
from forebay.table.casting import arrow_schema, describe
from forebay.table.jsonlines import json_lines
from forebay.table.schema import Schema
from forebay.types import Buffer, Digest

ExportFormat = Literal["jsonl", "parquet", "arrow"]
ExportCompression = Literal["", "gz", "zst"]

STATS = "__dj__stats__"
"""Name of the column that statistics are exported under, as Data-Juicer's users know it."""
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3
_OUT_OF_LUCK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE})


@dataclass(frozen=True, slots=True)
class Target:
    """A file to be written: where, as what, and, for Parquet and Arrow, with which columns.

    Attributes:
        path: a symbolic link is followed, missing folders are made.
        format: what it holds.
        compression: of JSON Lines only.
        schema: of the table, statistics included; not needed for JSON Lines.
    """

    path: Path
    format: ExportFormat = "jsonl"
    compression: ExportCompression = ""
    schema: Schema | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written: bytes, the BLAKE3 of its content, and the bytes of each part (JSON Lines only)."""

    path: Path
    bytes: int
    digest: Digest
    parts: tuple[int, ...] = ()


def target_for(path: Path) -> Target:
    """Return what a file's name says that it should be.

    Raises:
        InputError: it says nothing that can be written.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = {".gz": "gz", ".zst": "zst"}.get(suffixes[-1] if suffixes else "", "")
    suffix = suffixes[-2 if compression else -1] if len(suffixes) > bool(compression) else ""
    formats = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet", ".arrow": "arrow"}
    kind = formats.get(suffix)
    if kind is None or (compression and kind != "jsonl"):
        known = ".jsonl, .jsonl.gz, .jsonl.zst, .parquet or .arrow"
        raise InputError(f"cannot tell what to write to {path}", subject=path, hint=f"name it {known}")
    return Target(path, cast("ExportFormat", kind), cast("ExportCompression", compression))


def with_stats(rows: pa.Table, stats: pa.Table) -> pa.Table:
    """Return the rows with their statistics as one struct column, `STATS`; unchanged where there are none."""
    if not stats.num_columns:
        return rows
    columns = [column.chunk(0) for column in canonical_table(stats).columns]
    kept = rows.drop_columns([STATS]) if STATS in rows.column_names else rows
    return kept.append_column(STATS, pa.StructArray.from_arrays(columns, names=stats.column_names))


def schema_with_stats(schema: Schema, stats: Schema) -> Schema:
    """Return a table's schema after `with_stats`."""
    if not stats.columns:
        return schema
    rows = arrow_schema(schema.only(name for name in schema.names if name != STATS))
    return describe(rows.append(pa.field(STATS, pa.struct(list(arrow_schema(stats))))))


def render(rows: pa.Table, file_format: ExportFormat = "jsonl", compression: ExportCompression = "") -> Buffer:
    """Return the rows of one shard as a part.

    Args:
        rows: cast to the table's schema, statistics included.
        file_format: of the file.
        compression: of JSON Lines.

    Raises:
        InputError: JSON cannot hold a column (binary).
    """
    if file_format != "jsonl":
        return memoryview(ipc.encode(rows))
    return _compressed(_json_lines(rows), compression)


def join(parts: Iterable[Buffer], target: Target, *, fs: Filesystem | None = None) -> Exported:
    """Write parts, in order, as one file, which appears whole or not at all.

    Written under a temporary name beside the target, flushed, renamed. Whatever was there stays until then, and for
    good if this fails; nothing else is left behind.

    Args:
        parts: from `render`, of the target's format and compression.
        target: where to.
        fs: stands in for the local disk.

    Raises:
        InputError: the target cannot be written: its folder, its permissions.
        BuildError: the disk is full or fails.
    """
    path = Path(os.path.realpath(target.path))
    disk = LocalFilesystem() if fs is None else fs
    with _telling(target.path):
        disk.make_dirs(path.parent)
        if _is_folder(disk, path):
            raise InputError(f"{target.path} is a folder", subject=target.path, hint="name a file")
        with stage(disk, path.parent, f".{path.name}.{unique_token()}.tmp") as staged:
            sink = _Sink(staged)
            lengths: list[int] = []
            if target.format == "jsonl":
                lengths = _concatenate(parts, sink, target.compression)
            elif target.format == "parquet":
                _write_parquet(parts, sink, target)
            else:
                _write_arrow(parts, sink, target)
            publish(disk, [(staged, path)], replace=True)
    return Exported(target.path, sink.bytes, Digest(sink.digest.hexdigest()), tuple(lengths))


class _Sink:
    """A staged file as pyarrow likes to write it, hashed on the way."""

    closed = False

    def __init__(self, staged: Staged) -> None:
        self._staged = staged
        self.digest = blake3()
        self.bytes = 0

    def write(self, data: Buffer) -> int:
        self._staged.write(data)
        self.digest.update(data)
        size = memoryview(data).nbytes
        self.bytes += size
        return size

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        """Nothing to do: publishing flushes."""

    def close(self) -> None:
        """Nothing to do: publishing closes."""


def _json_lines(rows: pa.Table) -> Buffer:
    try:
        return memoryview(json_lines(rows))
    except orjson.JSONEncodeError as error:
        raise InputError(f"these rows cannot be JSON: {error}", hint="export to Parquet or Arrow") from error


def _compressed(data: Buffer, compression: ExportCompression) -> Buffer:
    if not compression:
        return data
    if compression == "gz":
        import gzip

        return gzip.compress(data, _GZIP_LEVEL, mtime=0)
    import zstandard

    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compress(data)


def _concatenate(parts: Iterable[Buffer], sink: _Sink, compression: ExportCompression) -> list[int]:
    lengths = [sink.write(part) for part in parts]
    if compression and not sink.bytes:
        sink.write(_compressed(b"", compression))  # no bytes at all would not be a compressed file
    return lengths


def _tables(parts: Iterable[Buffer], schema: pa.Schema) -> Iterator[pa.Table]:
    for part in parts:
        rows = ipc.decode(part)
        if rows.num_rows:
            yield rows if rows.schema == schema else rows.cast(schema)


def _write_parquet(parts: Iterable[Buffer], sink: _Sink, target: Target) -> None:
    # Its import costs tens of milliseconds, which only those who write Parquet should pay.
    import pyarrow.parquet as pq

    schema = _schema(target)
    with pq.ParquetWriter(pa.PythonFile(cast("Any", sink), "w"), schema, compression="zstd") as writer:
        for rows in _tables(parts, schema):
            writer.write_table(rows, row_group_size=rows.num_rows)


def _write_arrow(parts: Iterable[Buffer], sink: _Sink, target: Target) -> None:
    schema = _schema(target)
    with pa.ipc.new_file(pa.PythonFile(cast("Any", sink), "w"), schema) as writer:
        for rows in _tables(parts, schema):
            writer.write_table(rows)


def _schema(target: Target) -> pa.Schema:
    if target.schema is None:
        raise ValueError(f"{target.format} needs the table's schema")
    return arrow_schema(target.schema)


def _is_folder(disk: Filesystem, path: Path) -> bool:
    try:
        return disk.stat(path).is_dir
    except FileNotFoundError:
        return False


@contextmanager
def _telling(path: Path) -> Generator[None]:
    """Turn the operating system's errors into ours."""
    try:
        yield
    except ForebayError:
        raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in _OUT_OF_LUCK:
            raise BuildError(f"cannot write {path}: {reason}", subject=path, hint="make room, and run again") from error
        hint = "choose another place, or mend its permissions"
        raise InputError(f"cannot write {path}: {reason}", subject=path, hint=hint) from error
