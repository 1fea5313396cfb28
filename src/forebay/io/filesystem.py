"""The seam between Forebay and a disk: the few operations a store needs, and what each promises.

Everything else in Forebay that touches a store goes through a `Filesystem`. There are two: `LocalFilesystem`, and the
fault-injecting one in `forebay.testing`. The contract is small on purpose, so that every operation can be numbered,
failed, torn and lost by the second one.

Errors are the operating system's own `OSError` subclasses, unchanged: `FileNotFoundError`, `FileExistsError`,
`PermissionError`, ENOSPC, EIO, EROFS, ESTALE. Turning them into Forebay's is the callers' work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from forebay.types import Buffer


@dataclass(frozen=True, slots=True)
class FileStat:
    """What `stat` says: times in ns since the epoch, sizes in bytes."""

    size: int
    allocated_bytes: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int
    links: int
    is_dir: bool


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Room on a file system, in bytes; `free` is what an ordinary user may still use."""

    total: int
    free: int


class OpenFile(Protocol):
    """A new file being written, sequentially."""

    def write(self, data: Buffer) -> None:
        """Append all of `data`; a short write is an error, never silent."""
        ...

    def flush(self) -> None:
        """Return when what was written so far would survive a power cut (fsync)."""
        ...

    def close(self) -> None:
        """Release the descriptor; flushes nothing. Closing twice is fine."""
        ...


class Filesystem(Protocol):
    """What a store asks of a disk. Safe to use from several threads and processes at once.

    An implementation is hashable by identity and can be weakly referenced, as objects are unless they say otherwise.
    """

    @property
    def parallel_flushes(self) -> int:
        """How many flushes at a time pay off: a journal commits for all that wait at once. 1: one after another."""
        ...

    def create(self, path: Path, *, mode: int = 0o644) -> OpenFile:
        """Create a file that must not exist (O_CREAT|O_EXCL) and open it for writing.

        Atomic on every file system we support, NFSv3+ included: of several callers exactly one succeeds.
        """
        ...

    def read(self, path: Path) -> bytes:
        """Return the whole content of a file."""
        ...

    def map(self, path: Path) -> memoryview:
        """Return a read-only view of a file's pages (mmap); an empty file gives an empty view.

        The view stays valid after the file is unlinked. The mapping goes when the last view of it goes.
        """
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Atomically give `source` the name `target`, replacing what bears it. Durable only after `flush_dir`."""
        ...

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name, which must not exist (a hard link). Not every file system can."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a file's name."""
        ...

    def make_dirs(self, path: Path, *, mode: int = 0o777) -> None:
        """Create a folder and its parents where missing, all with `mode`. No error where it is there already."""
        ...

    def remove_dir(self, path: Path) -> None:
        """Remove an empty folder."""
        ...

    def flush_dir(self, path: Path) -> None:
        """Make names created, renamed or removed in `path` durable (fsync of the folder)."""
        ...

    def scan(self, path: Path) -> Iterator[tuple[str, bool]]:
        """Yield (name, is_dir) of what a folder held at the call, in no order; a name may be gone when looked at.

        Errors are raised by the call, not by the iteration.
        """
        ...

    def stat(self, path: Path) -> FileStat:
        """Return facts about a file or folder."""
        ...

    def touch(self, path: Path) -> None:
        """Set the mtime of a file or folder to now, by the clock of the machine that keeps the disk (NFS: the server).

        The heartbeat of leases and holds.
        """
        ...

    def chmod(self, path: Path, mode: int) -> None:
        """Set permissions."""
        ...

    def space(self, path: Path) -> DiskSpace:
        """Return the room on the file system that holds `path`."""
        ...

    def now(self) -> float:
        """Return this machine's clock, seconds since the epoch."""
        ...
