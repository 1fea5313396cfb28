"""Files of results, joined from parts: written whole or not at all.

A part holds one shard; `forebay.table.rendering` makes them. JSON Lines parts are the file's bytes themselves
(a gzip member or a zstd frame each), so joining is concatenation and loads no Arrow; Parquet and Arrow parts are Arrow
IPC, which is written as one row group or batch each. All bytes are deterministic.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from blake3 import blake3

from forebay.errors import BuildError, ForebayError, InputError
from forebay.io import Filesystem, LocalFilesystem, Staged, publish, stage
from forebay.table import unfinished
from forebay.table.schema import Schema
from forebay.types import Buffer, Digest

ExportFormat = Literal["jsonl", "parquet", "arrow"]
ExportCompression = Literal["", "gz", "zst"]

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


def join(
    parts: Iterable[Buffer],
    target: Target,
    *,
    names: Iterable[unfinished.Name] | None = None,
    fs: Filesystem | None = None,
) -> Exported:
    """Write parts, in order, as one file, which appears whole or not at all.

    Written under a temporary name beside the target, flushed, renamed. Whatever was there stays until then, and for
    good if this fails; nothing else is left behind, unless this process is killed: see `forebay.table.unfinished`.

    Args:
        parts: from `render`, of the target's format and compression.
        target: where to.
        names: of the parts of JSON Lines, by which whoever finds them unfinished knows them, each asked for when its
            part has been written; None: nobody will.
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
        if os.path.exists(path) and not os.path.isfile(path):  # a rename would take the place of /dev/null, too
            raise InputError(
                f"{target.path} is a device or a pipe, not a file", subject=target.path, hint="name a file"
            )
        with stage(disk, path.parent, unfinished.new_name(path), ahead=True) as staged:
            sink = Sink(staged)
            lengths: list[int] = []
            if target.format == "jsonl":
                with unfinished.Journal(disk, staged.path, names) as journal:
                    lengths = _concatenate(parts, sink, target.compression, journal)
            else:
                from forebay.table import rendering  # Arrow, which those who join lines need not load

                write = rendering.join_parquet if target.format == "parquet" else rendering.join_arrow
                write(parts, sink, _schema(target))
            publish(disk, [(staged, path)], replace=True)
    return Exported(target.path, sink.bytes, Digest(sink.digest.hexdigest()), tuple(lengths))


class Sink:
    """A staged file as pyarrow likes to write it, hashed on the way."""

    closed = False

    def __init__(self, staged: Staged) -> None:
        self._staged = staged
        self.digest = blake3()
        self.bytes = 0

    def write(self, data: Buffer) -> int:
        """Append all of `data`; return its size in bytes."""
        self._staged.write(data)
        self.digest.update(data)
        size = memoryview(data).nbytes
        self.bytes += size
        return size

    def tell(self) -> int:
        """Return the bytes written so far."""
        return self.bytes

    def flush(self) -> None:
        """Nothing to do: publishing flushes."""

    def close(self) -> None:
        """Nothing to do: publishing closes."""


def compressed(data: Buffer, compression: ExportCompression) -> Buffer:
    """Return a part of JSON Lines as a member of a compressed file."""
    if not compression:
        return data
    if compression == "gz":
        import gzip

        return gzip.compress(data, _GZIP_LEVEL, mtime=0)
    import zstandard

    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compress(data)


def _concatenate(
    parts: Iterable[Buffer], sink: Sink, compression: ExportCompression, journal: unfinished.Journal
) -> list[int]:
    lengths: list[int] = []
    for part in parts:
        lengths.append(sink.write(part))
        journal.note(lengths[-1], sink.digest)
    if compression and not sink.bytes:
        sink.write(compressed(b"", compression))  # no bytes at all would not be a compressed file
    return lengths


def _schema(target: Target) -> Schema:
    if target.schema is None:
        raise ValueError(f"{target.format} needs the table's schema")
    return target.schema


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
