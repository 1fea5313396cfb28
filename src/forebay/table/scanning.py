"""Cutting files of lines into shards: one pass over the bytes, no parsing, no pyarrow, no numpy.

A shard is named by the BLAKE3 of its own bytes, so the name does not depend on where in the file it lies. Memory: the
rows that are not decided yet, at most four and a half shards, whatever the file's size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from blake3 import blake3
from xxhash import xxh3_64_intdigest

from forebay.errors import SourceError
from forebay.table.chunking import DEFAULT_SHARD_BYTES, Chunker
from forebay.table.options import ReadOptions
from forebay.table.resolving import SourceFile
from forebay.table.streams import UTF8_BOM, Stream, blocks, open_stream
from forebay.types import JSON, Digest


@dataclass(frozen=True, slots=True)
class ByteShard:
    """Lines of one file.

    Attributes:
        digest: BLAKE3 of its bytes.
        offset: where it starts, in decoded bytes from the file's start.
        length: in decoded bytes, line ends included.
        lines: how many, blank ones included.
        first_line: number of its first line in the file, from 1.
    """

    digest: Digest
    offset: int
    length: int
    lines: int
    first_line: int

    def to_json(self) -> JSON:
        """Return the shard as JSON: ``[digest, offset, length, lines, first_line]``."""
        return [self.digest, self.offset, self.length, self.lines, self.first_line]

    @classmethod
    def from_json(cls, data: JSON) -> ByteShard:
        """Return the shard that `to_json` wrote.

        Raises:
            ValueError: it is not one.
        """
        match data:
            case [str(digest), int(offset), int(length), int(lines), int(first_line)]:
                return cls(Digest(digest), offset, length, lines, first_line)
            case _:
                raise ValueError(f"not a shard of bytes: {data!r}")


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass over a file found: the BLAKE3 of its decoded bytes, how many they are, and its shards."""

    digest: Digest
    bytes: int
    shards: tuple[ByteShard, ...]


def scan(file: SourceFile, options: ReadOptions | None = None) -> Scan:
    """Cut a file of lines (JSON Lines, or text whose lines are rows) into shards.

    For a file that is not compressed `Scan.digest` is the digest of the file.

    Raises:
        NotFoundError, SourceError: it is not there, cannot be read, is damaged, or is UTF-16.
    """
    size = (options or ReadOptions()).shard_bytes
    with open_stream(file.path, file.compression) as stream:
        cutter = _Cutter(file.path, size)
        shards = tuple(shard for shard, _ in cutter.cut(stream))
    return Scan(Digest(cutter.whole.hexdigest()), cutter.size, shards)


def contents(file: SourceFile, options: ReadOptions | None = None) -> Iterator[tuple[ByteShard, bytes]]:
    """Like `scan`, but yield each shard with its bytes: for files that cannot be read from the middle.

    Raises:
        NotFoundError, SourceError: see `scan`.
    """
    size = (options or ReadOptions()).shard_bytes
    with open_stream(file.path, file.compression) as stream:
        for shard, parts in _Cutter(file.path, size).cut(stream):
            yield shard, b"".join(parts)


class _Cutter:
    def __init__(self, path: str, shard_bytes: int = DEFAULT_SHARD_BYTES) -> None:
        self.whole = blake3()
        self.size = 0
        self._path = path
        self._chunker = Chunker(shard_bytes)
        self._pending: deque[memoryview] = deque()
        self._offset = 0
        self._line = 1

    def cut(self, stream: Stream) -> Iterator[tuple[ByteShard, list[memoryview]]]:
        tail: list[bytes] = []  # the line that is not complete yet: parts, so that a long one costs no copying
        for block in self._text(stream):
            lines = block.split(b"\n")
            if len(lines) == 1:
                tail.append(block)
                continue
            if tail:
                lines[0] = b"".join([*tail, lines[0]])
            last = lines.pop()
            tail = [last] if last else []
            # + 1: the line's end. Hashing is over the line without it.
            done = self._chunker.push(map(xxh3_64_intdigest, lines), [len(line) + 1 for line in lines])
            for rows, size in done:
                yield self._shard(rows, size)
        if tail:
            line = b"".join(tail)
            for rows, size in self._chunker.push([xxh3_64_intdigest(line)], [len(line)]):
                yield self._shard(rows, size)
        for rows, size in self._chunker.finish():
            yield self._shard(rows, size)

    def _text(self, stream: Stream) -> Iterator[bytes]:
        """Yield the blocks without a byte order mark; note them as pending."""
        for block in blocks(stream):
            self.whole.update(block)
            if not self.size:
                _check_encoding(self._path, block)
                if block.startswith(UTF8_BOM):
                    self._offset = len(UTF8_BOM)
                    block = block[len(UTF8_BOM) :]
                    self.size = len(UTF8_BOM)
            self.size += len(block)
            if block:
                self._pending.append(memoryview(block))
                yield block

    def _shard(self, rows: int, size: int) -> tuple[ByteShard, list[memoryview]]:
        parts: list[memoryview] = []
        left = size
        digest = blake3()
        while left:
            part = self._pending.popleft()
            if len(part) > left:
                self._pending.appendleft(part[left:])
                part = part[:left]
            digest.update(part)
            parts.append(part)
            left -= len(part)
        shard = ByteShard(Digest(digest.hexdigest()), self._offset, size, rows, self._line)
        self._offset += size
        self._line += rows
        return shard, parts


def _check_encoding(path: str, head: bytes) -> None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SourceError(f"{path} is UTF-16", subject=path, hint="convert it to UTF-8")
