"""A disk in memory that knows what a power cut would leave of it.

Two states are kept of everything: what processes see now, and what is durable. File content becomes durable by `flush`,
names by `flush_dir` of their folder. `power_cut` makes the disk as it may be after the power failed: whatever was not
durable is there, or not, or in part.

The model promises no more than the systems we run on do, and often less: unflushed names of different folders survive
in any combination; content that was not flushed may be missing, cut, or zeros; flushing a file says nothing about its
name. What it does promise: a rename loses neither the old name nor the new one together, and a flushed byte stays.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Literal

from forebay.io import DiskSpace, FileStat
from forebay.testing.durability import BLOCK_BYTES, Disk, File, Folder, Node, Survival, survivors
from forebay.types import Buffer

Cut = int | Literal["lose", "keep"]
"""What a power cut leaves of what was not flushed: nothing, everything, or a choice by this seed."""

_EPOCH = 1_700_000_000.0


class Clock:
    """A clock that stands still until it is moved; call it for the time in seconds."""

    def __init__(self, seconds: float = _EPOCH) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Move the clock; backwards too."""
        self.seconds += seconds


class MemoryFilesystem:
    """A `Filesystem` in memory. Several "processes" may share one; safe to use from threads.

    Args:
        capacity_bytes: room for file content, in blocks of 4096 bytes; None: no limit. A write that does not fit
            stores what fits and fails with ENOSPC, as a disk does.
        clock: what `now` and all times of files go by.
        read_only: every change fails with EROFS.
        links: whether there are hard links; without, `link` fails with EPERM.

    Example::

        disk = MemoryFilesystem()
        disk.make_dirs(Path("/home"))
        file = disk.create(Path("/home/a"))
        file.write(b"abc")
        disk.power_cut("lose").tree()      # {}: neither name nor content was flushed
    """

    parallel_flushes = 1

    def __init__(
        self,
        *,
        capacity_bytes: int | None = None,
        clock: Clock | None = None,
        read_only: bool = False,
        links: bool = True,
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self.clock = clock or Clock()
        self.read_only = read_only
        self.links = links
        self._guard = threading.RLock()
        self._disk = Disk(self._now_ns())

    # What a test asks.

    def power_cut(self, cut: Cut = "lose") -> MemoryFilesystem:
        """Return the disk as it may be when the power comes back; this one stays as it is.

        Args:
            cut: "lose": all that was not flushed is gone. "keep": nothing is gone. A number: some of it, chosen by
                this seed; the same number after the same operations chooses the same.
        """
        with self._guard:
            return self._with(survivors(self._disk, _survival(cut)))

    def copy(self) -> MemoryFilesystem:
        """Return an independent disk in the same state, with what was flushed and what was not."""
        with self._guard:
            return self._with(self._disk.copy())

    def tree(self) -> dict[str, bytes]:
        """Return the content of every file by its path."""
        with self._guard:
            return {str(path): bytes(node.content) for path, node in self._disk.walk() if isinstance(node, File)}

    def corrupt(self, path: Path, offset: int = 0, mask: int = 0x01) -> None:
        """Flip bits of one byte of a file, behind everybody's back."""
        with self._guard:
            self._file(path).content[offset] ^= mask

    def _with(self, disk: Disk) -> MemoryFilesystem:
        other = MemoryFilesystem(
            capacity_bytes=self.capacity_bytes, clock=self.clock, read_only=self.read_only, links=self.links
        )
        other._disk = disk
        return other

    # What a `Filesystem` does.

    def create(self, path: Path, *, mode: int = 0o644) -> MemoryFile:
        """See `Filesystem.create`."""
        with self._guard:
            folder = self._changing(path.parent)
            if path.name in folder.names:
                raise _error(errno.EEXIST, path)
            file = self._disk.new_file(mode, self._now_ns())
            file.opened += 1
            self._set(folder, path.name, file)
            return MemoryFile(self, file, path)

    def read(self, path: Path) -> bytes:
        """See `Filesystem.read`."""
        with self._guard:
            return bytes(self._file(path).content)

    def map(self, path: Path) -> memoryview:
        """See `Filesystem.map`; a copy, so that `corrupt` does not reach it."""
        return memoryview(self.read(path))

    def rename(self, source: Path, target: Path) -> None:
        """See `Filesystem.rename`."""
        with self._guard:
            old, new = self._changing(source.parent), self._changing(target.parent)
            node = self._node(source)
            replaced = new.names.get(target.name)
            if replaced is node:
                return  # two names of one file: POSIX leaves both
            if isinstance(node, Folder) and target.is_relative_to(source):
                raise _error(errno.EINVAL, target)
            if source.is_relative_to(target):
                raise _error(errno.ENOTEMPTY, target)
            _may_replace(node, replaced, target)
            appears = self._set(new, target.name, node)
            self._set(old, source.name, None, after=appears)

    def link(self, source: Path, target: Path) -> None:
        """See `Filesystem.link`."""
        with self._guard:
            node, folder = self._node(source), self._changing(target.parent)
            if target.name in folder.names:
                raise _error(errno.EEXIST, target)
            if not self.links or isinstance(node, Folder):
                raise _error(errno.EPERM, target)
            self._set(folder, target.name, node)

    def unlink(self, path: Path) -> None:
        """See `Filesystem.unlink`."""
        with self._guard:
            folder = self._changing(path.parent)
            if isinstance(self._node(path), Folder):
                raise _error(errno.EISDIR, path)
            self._set(folder, path.name, None)

    def make_dirs(self, path: Path, *, mode: int = 0o777) -> None:
        """See `Filesystem.make_dirs`."""
        with self._guard:
            at = Path(path.anchor)
            for part in path.parts[1:]:
                folder = self._folder(at)
                at = at / part
                if part not in folder.names:
                    self._set(self._changing(at.parent), part, self._disk.new_folder(mode, self._now_ns()))
            if not isinstance(self._node(path), Folder):
                raise _error(errno.EEXIST, path)

    def remove_dir(self, path: Path) -> None:
        """See `Filesystem.remove_dir`."""
        with self._guard:
            parent, folder = self._changing(path.parent), self._folder(path)
            if folder.names:
                raise _error(errno.ENOTEMPTY, path)
            self._set(parent, path.name, None)

    def flush_dir(self, path: Path) -> None:
        """See `Filesystem.flush_dir`."""
        with self._guard:
            self._folder(path).flush()

    def scan(self, path: Path) -> Iterator[tuple[str, bool]]:
        """See `Filesystem.scan`."""
        with self._guard:
            return iter([(name, isinstance(node, Folder)) for name, node in self._folder(path).names.items()])

    def stat(self, path: Path) -> FileStat:
        """See `Filesystem.stat`."""
        with self._guard:
            node = self._node(path)
            return FileStat(
                size=node.size,
                allocated_bytes=node.allocated_bytes,
                mtime_ns=node.mtime_ns,
                ctime_ns=node.ctime_ns,
                device=1,
                inode=node.number,
                links=node.links,
                is_dir=isinstance(node, Folder),
            )

    def touch(self, path: Path) -> None:
        """See `Filesystem.touch`."""
        with self._guard:
            node = self._node(path)
            self._may_change(path)
            node.mtime_ns = node.ctime_ns = self._now_ns()

    def chmod(self, path: Path, mode: int) -> None:
        """See `Filesystem.chmod`. Modes are kept, and ask nothing of those who read or write."""
        with self._guard:
            node = self._node(path)
            self._may_change(path)
            node.mode = mode
            node.ctime_ns = self._now_ns()

    def mode(self, path: Path) -> int:
        """Return a file's or folder's permissions."""
        with self._guard:
            return self._node(path).mode

    def space(self, path: Path) -> DiskSpace:
        """See `Filesystem.space`."""
        with self._guard:
            self._node(path)
            total = 2**50 if self.capacity_bytes is None else self.capacity_bytes
            return DiskSpace(total, max(0, total - self._disk.used_bytes))

    def now(self) -> float:
        """See `Filesystem.now`."""
        return self.clock()

    def append(self, file: File, data: bytes, path: Path) -> None:
        """Append to a file: what `MemoryFile.write` does."""
        with self._guard:
            fits = data[: self._room_in(file)]
            before = file.allocated_bytes
            file.content += fits
            self._disk.used_bytes += file.allocated_bytes - before
            file.mtime_ns = file.ctime_ns = self._now_ns()
            if len(fits) < len(data):
                raise _error(errno.ENOSPC, path)

    def close(self, file: File) -> None:
        """Close a file: what `MemoryFile.close` does."""
        with self._guard:
            file.opened -= 1
            self._disk.free_if_gone(file)

    def _room_in(self, file: File) -> int | None:
        """How many bytes may be appended to `file`; None: any number."""
        if self.capacity_bytes is None:
            return None
        free_blocks = max(0, self.capacity_bytes - self._disk.used_bytes) // BLOCK_BYTES
        return file.allocated_bytes - file.size + free_blocks * BLOCK_BYTES

    def _set(self, folder: Folder, name: str, node: Node | None, after: object = None) -> object:
        replaced = folder.names.get(name)
        change = self._disk.set_name(folder, name, node, after)
        folder.mtime_ns = folder.ctime_ns = self._now_ns()
        for each in (replaced, node):
            if each is not None:
                each.ctime_ns = self._now_ns()
        if isinstance(replaced, File):
            self._disk.free_if_gone(replaced)
        return change

    def _node(self, path: Path) -> Node:
        node: Node = self._disk.root
        for part in path.parts[1:]:
            if not isinstance(node, Folder):
                raise _error(errno.ENOTDIR, path)
            found = node.names.get(part)
            if found is None:
                raise _error(errno.ENOENT, path)
            node = found
        return node

    def _file(self, path: Path) -> File:
        node = self._node(path)
        if isinstance(node, Folder):
            raise _error(errno.EISDIR, path)
        return node

    def _folder(self, path: Path) -> Folder:
        node = self._node(path)
        if isinstance(node, File):
            raise _error(errno.ENOTDIR, path)
        return node

    def _changing(self, path: Path) -> Folder:
        folder = self._folder(path)
        self._may_change(path)
        return folder

    def _may_change(self, path: Path) -> None:
        if self.read_only:
            raise _error(errno.EROFS, path)

    def _now_ns(self) -> int:
        return round(self.clock() * 1e9)


class MemoryFile:
    """A new file being written to a `MemoryFilesystem`."""

    __slots__ = ("_file", "_fs", "_open", "_path")

    def __init__(self, fs: MemoryFilesystem, file: File, path: Path) -> None:
        self._fs = fs
        self._file = file
        self._path = path
        self._open = True

    def write(self, data: Buffer) -> None:
        """See `OpenFile.write`."""
        self._fs.append(self._opened(), bytes(data), self._path)

    def flush(self) -> None:
        """See `OpenFile.flush`."""
        self._opened().flush()

    def close(self) -> None:
        """See `OpenFile.close`."""
        if self._open:
            self._open = False
            self._fs.close(self._file)

    def _opened(self) -> File:
        if not self._open:
            raise _error(errno.EBADF, self._path)
        return self._file


def _may_replace(node: Node, replaced: Node | None, target: Path) -> None:
    if isinstance(replaced, Folder):
        if not isinstance(node, Folder):
            raise _error(errno.EISDIR, target)
        if replaced.names:
            raise _error(errno.ENOTEMPTY, target)
    elif replaced is not None and isinstance(node, Folder):
        raise _error(errno.ENOTDIR, target)


def _survival(cut: Cut) -> Survival:
    if cut == "lose":
        return Survival(None, 0.0)
    if cut == "keep":
        return Survival(None, 1.0)
    chance = Random(cut)
    # Some cuts lose nearly all, some nearly nothing: a fair coin for each name would hardly ever lose or keep many.
    return Survival(chance, chance.choice((0.1, 0.5, 0.9)))


def _error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))
