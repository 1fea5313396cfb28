"""Partials: what has come of a file so far, kept over cuts, kills and reboots until the file is whole.

::

    partials-v1/<key>/<attempt>-<start>          attempt: 16 hex digits; start: 16 decimal digits

A `Filesystem` cannot append to a file, and need not: each connection that brings bytes writes a segment of its own,
named by the position of its first byte. What counts is the highest attempt, and of it the segments that join without a
gap; where two overlap (a late owner of the lease was still writing) the later one counts from its start. What a power
cut spoils is found when the whole is checked, and then a new attempt begins; bytes are flushed while they come only so
that publishing need not wait for the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from forebay.io import Filesystem, FlushedAhead, OpenFile
from forebay.types import Buffer, Key, is_hex64

_FOLDER = "partials-v1"


class Sink(Protocol):
    """Where the bytes of one file gather."""

    def size(self) -> int:
        """Return how many bytes are there, from the first one on."""
        ...

    def views(self) -> list[memoryview]:
        """Return the bytes, in pieces."""
        ...

    def write(self, data: Buffer) -> None:
        """Append bytes."""
        ...

    def pause(self) -> None:
        """Release what writing holds; writing may go on later."""
        ...

    def seal(self) -> Path | None:
        """Make the bytes durable where they lie; return the file if one holds all, written by us alone."""
        ...

    def restart(self) -> None:
        """Drop all bytes and begin anew."""
        ...

    def drop(self) -> None:
        """Remove everything: it is published, or of no use."""
        ...


class InMemory:
    """The bytes of a small file."""

    def __init__(self) -> None:
        self._data = bytearray()

    def size(self) -> int:
        """See `Sink`."""
        return len(self._data)

    def views(self) -> list[memoryview]:
        """See `Sink`."""
        return [memoryview(bytes(self._data))]

    def write(self, data: Buffer) -> None:
        """See `Sink`."""
        self._data += data

    def pause(self) -> None:
        """See `Sink`."""

    def seal(self) -> None:
        """See `Sink`."""

    def restart(self) -> None:
        """See `Sink`."""
        self._data.clear()

    drop = restart


class Partial:
    """The bytes of a file on disk. One thread writes; any process may read meanwhile."""

    def __init__(self, fs: Filesystem, folder: Path, *, dir_mode: int = 0o777) -> None:
        self._fs = fs
        self._folder = folder
        self._dir_mode = dir_mode
        self._file: OpenFile | None = None
        self._attempt: str | None = None
        self._path: Path | None = None

    def size(self) -> int:
        """See `Sink`."""
        return sum(length for _, length in self._segments()[1])

    def attempt(self) -> str:
        """Return which attempt counts now: bytes of another one may differ."""
        return self._segments()[0]

    def views(self) -> list[memoryview]:
        """See `Sink`."""
        return list(self.read(0))

    def read(self, start: int) -> Iterator[memoryview]:
        """Yield what is there from a position on."""
        at = 0
        for path, length in self._segments()[1]:
            if start < at + length:
                yield self._fs.map(path)[max(start - at, 0) : length]
            at += length

    def write(self, data: Buffer) -> None:
        """See `Sink`.

        Raises:
            OSError: the disk could not take it.
        """
        if self._file is None:
            attempt, segments = self._segments()
            self._attempt = self._attempt or attempt or self._new_attempt("")
            end = sum(length for _, length in segments)
            self._path = self._folder / f"{self._attempt}-{end:016d}"
            self._file = FlushedAhead(self._create(self._path))
        self._file.write(data)

    def pause(self) -> None:
        """See `Sink`."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def seal(self) -> Path | None:
        """See `Sink`. A segment that another process began is not ours alone: it may still be about to write there."""
        file, self._file = self._file, None
        if file is None:
            return None
        try:
            file.flush()
        finally:
            file.close()
        segments = self._segments()[1]
        return self._path if [path for path, _ in segments] == [self._path] else None

    def restart(self) -> None:
        """See `Sink`. Those who read see another attempt from now on."""
        self.pause()
        attempt = self._new_attempt(self._segments()[0])
        self._create(self._folder / f"{attempt}-{0:016d}").close()
        self._attempt = attempt
        for name in self._names():
            if not name.startswith(attempt):
                self._unlink(self._folder / name)

    def drop(self) -> None:
        """See `Sink`."""
        self.pause()
        for name in self._names():
            self._unlink(self._folder / name)
        try:
            self._fs.remove_dir(self._folder)
        except OSError:
            pass  # gone already, or a late owner has just written to it: swept another time

    def idle_seconds(self) -> float:
        """Return how long nothing was written."""
        times: list[int] = []
        for path in (self._folder, *(self._folder / name for name in self._names())):
            try:
                times.append(self._fs.stat(path).mtime_ns)
            except OSError:
                continue
        return self._fs.now() - max(times, default=0) / 1e9

    def _new_attempt(self, old: str) -> str:
        return f"{max(int(self._fs.now() * 1e9), int(old or '0', 16) + 1):016x}"

    def _create(self, path: Path) -> OpenFile:
        mode = self._dir_mode & 0o666
        try:
            return self._fs.create(path, mode=mode)
        except FileNotFoundError:
            self._fs.make_dirs(self._folder, mode=self._dir_mode)
            return self._fs.create(path, mode=mode)
        except FileExistsError:  # its writer came no further than this
            self._unlink(path)
            return self._fs.create(path, mode=mode)

    def _segments(self) -> tuple[str, list[tuple[Path, int]]]:
        """Return the attempt that counts, and its joining segments: path, bytes of it that count."""
        found: dict[str, list[int]] = {}
        for name in self._names():
            attempt, _, start = name.partition("-")
            if len(attempt) == 16 and start.isdecimal():
                found.setdefault(attempt, []).append(int(start))
        if not found:
            return "", []
        attempt = max(found)
        starts = sorted(found[attempt])
        segments: list[tuple[Path, int]] = []
        at = 0
        for number, start in enumerate(starts):
            if start != at:
                break
            path = self._folder / f"{attempt}-{start:016d}"
            try:
                size = self._fs.stat(path).size
            except FileNotFoundError:
                break
            following = starts[number + 1] if number + 1 < len(starts) else start + size
            length = min(size, following - start)
            segments.append((path, length))
            at += length
        return attempt, segments

    def _names(self) -> list[str]:
        try:
            return [name for name, is_dir in self._fs.scan(self._folder) if not is_dir]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _unlink(self, path: Path) -> None:
        try:
            self._fs.unlink(path)
        except FileNotFoundError:
            pass


class Partials:
    """The partials of a store."""

    def __init__(self, fs: Filesystem, home: Path, *, dir_mode: int = 0o777) -> None:
        self._fs = fs
        self._folder = home / _FOLDER
        self._dir_mode = dir_mode

    def of(self, key: Key) -> Partial:
        """Return the partial of a file."""
        return Partial(self._fs, self._folder / key, dir_mode=self._dir_mode)

    def keys(self) -> list[Key]:
        """Return whose partials there are."""
        try:
            return [Key(name) for name, is_dir in self._fs.scan(self._folder) if is_dir and is_hex64(name)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def bytes(self) -> int:
        """Return what they take on the disk."""
        return sum(self.of(key).size() for key in self.keys())

    def sweep(self, older_than_seconds: float, is_busy: Callable[[Key], bool]) -> int:
        """Remove those that nobody has written to for so long; return how many."""
        swept = 0
        for key in self.keys():
            partial = self.of(key)
            if partial.idle_seconds() > older_than_seconds and not is_busy(key):
                partial.drop()
                swept += 1
        return swept
