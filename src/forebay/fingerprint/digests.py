"""Digests of bytes and of files.

A file is known by its content. Reading it again is spared by a `FileMemo`, which remembers the digest beside the file's
(device, inode, size, mtime_ns, ctime_ns). As in git's index, a file that was touched so recently that a later write
could leave the very same times behind is digested, but not remembered.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from stat import S_ISREG
from typing import Protocol

from blake3 import blake3

from forebay.errors import NotFoundError, SourceError
from forebay.types import Buffer, Digest

_CHUNK_BYTES = 4 << 20
_THREADS_FROM_BYTES = 16 << 20  # below this, starting threads costs more than they save
_HASH_THREADS = 4  # a pool of its own: the library's shared one (AUTO) hangs in a process forked after its first use
_FINE_NS = 50_000_000  # kernels stamp files from a clock that ticks every 1-10 ms
_COARSE_NS = 2_000_000_000  # FAT ticks every 2 s, ext3 and some network file systems every 1 s
_ATTEMPTS = 3
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class FileMemo(Protocol):
    """Remembers digests of files; the store keeps one in its index."""

    def get(self, path: str, stat: os.stat_result, /) -> Digest | None:
        """Return the digest remembered for exactly this file state, or None."""
        ...

    def put(self, path: str, stat: os.stat_result, digest: Digest, /) -> None:
        """Remember `digest` for this file state."""
        ...


def digest_bytes(data: Buffer) -> Digest:
    """Return the digest of some bytes."""
    return Digest(blake3(data).hexdigest())


def bulk_digest(data: object) -> bytes:
    """Return the 32-byte digest of anything that is a contiguous buffer, with threads where it is large."""
    view = memoryview(data)  # pyright: ignore[reportArgumentType]  # arrays of any library
    view = view.cast("B") if view.nbytes else memoryview(b"")
    return blake3(view, max_threads=_HASH_THREADS if view.nbytes >= _THREADS_FROM_BYTES else 1).digest()


def file_digest(
    path: str | os.PathLike[str],
    memo: FileMemo | None = None,
    *,
    clock_ns: Callable[[], int] = time.time_ns,
) -> Digest:
    """Return the digest of a file's content, reading it only if `memo` does not know this state of the file.

    Args:
        path: a regular file; links are followed.
        memo: where digests of files are remembered between calls.
        clock_ns: wall clock, nanoseconds since the epoch.

    Raises:
        NotFoundError: there is no such file.
        SourceError: it is not a regular file, cannot be read, or kept changing while it was read.
    """
    name = os.fspath(path)
    try:
        return _file_digest(name, memo, clock_ns)
    except FileNotFoundError as error:
        raise NotFoundError(f"{name}: no such file", subject=name, hint="check the path") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(f"{name}: cannot be read: {reason}", subject=name, hint="give a readable file") from error


def _file_digest(name: str, memo: FileMemo | None, clock_ns: Callable[[], int]) -> Digest:
    for _ in range(_ATTEMPTS):
        stat = os.stat(name)
        if not S_ISREG(stat.st_mode):  # opening a pipe would wait for a writer
            raise SourceError(f"{name}: is not a regular file", subject=name, hint="give a file")
        if memo is not None and (known := memo.get(name, stat)) is not None:
            return known
        began = clock_ns()
        with os.fdopen(os.open(name, _FLAGS), "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            digest = _read_digest(file.readinto, before.st_size)
            after = os.fstat(file.fileno())
        if state_of(before) == state_of(after):
            if memo is not None and not is_racy(before, began):
                memo.put(name, before, digest)
            return digest
    raise SourceError(f"{name}: keeps changing while it is read", subject=name, hint="wait until it is written")


def is_racy(stat: os.stat_result, now_ns: int) -> bool:
    """Tell whether a write after `now_ns` could leave the file with the times it has in `stat`.

    Times with a part below one millisecond come from a file system whose clock ticks every few milliseconds; others may
    tick every two seconds. A time in the future (another machine's clock) is racy as well.
    """
    window = _FINE_NS if stat.st_ctime_ns % 1_000_000 else _COARSE_NS
    return max(stat.st_mtime_ns, stat.st_ctime_ns) + window > now_ns


def state_of(stat: os.stat_result) -> tuple[int, ...]:
    """Return what of a file's facts changes when its content does: device, inode, size, times in ns."""
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _read_digest(readinto: Callable[[bytearray | memoryview], int | None], size: int) -> Digest:
    # Reads, not mmap: a file that shrinks under a mapping kills the process (SIGBUS), under a read it is only short.
    hasher = blake3(max_threads=_HASH_THREADS) if size >= _THREADS_FROM_BYTES else blake3()
    view = memoryview(bytearray(max(1, min(size + 1, _CHUNK_BYTES))))
    while count := readinto(view):
        hasher.update(view[:count])
    return Digest(hasher.hexdigest())
