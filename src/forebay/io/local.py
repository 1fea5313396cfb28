"""A real disk, by the operating system's calls.

Few calls per operation: a small object costs create, write, fsync, close, link, unlink and its share of one folder's
fsync. Errors leave as the system's own `OSError`, with the path in them even where the call knew only a descriptor.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from forebay.io.filesystem import DiskSpace, FileStat
from forebay.io.mapping import map_file
from forebay.types import Buffer

_T = TypeVar("_T")

_MAP_FROM_BYTES = 128 * 1024
"""Smaller files are read: that is cheaper than a mapping, its page faults and its unmapping (measured to 1 MiB)."""

_CANNOT_FLUSH_FOLDER = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS})
"""What file systems say whose folders cannot be flushed (some FUSE and SMB mounts): nothing better can be done."""

_MKDIR_ATTEMPTS = 10
"""Somebody may remove the folder above each time that we have made it; but in some, as in /proc, none can be made."""

_FOLDERS_ABOVE = 3
"""How many folders of a store may be new at once: that of a kind, and of the first digits of a key."""

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_CLOEXEC
_FOLDER = _READ | getattr(os, "O_DIRECTORY", 0)


class LocalFilesystem:
    """The `Filesystem` of this machine: local disks, NFS, FUSE.

    Args:
        exact_modes: give files and folders the mode asked for whatever the umask (a store shared by a group);
            costs one more call per create.
    """

    __slots__ = ("__weakref__", "_exact_modes")

    parallel_flushes = 8

    def __init__(self, *, exact_modes: bool = False) -> None:
        self._exact_modes = exact_modes

    def create(self, path: Path, *, mode: int = 0o644) -> LocalFile:
        """See `Filesystem.create`."""
        descriptor = os.open(path, _CREATE, mode)
        if self._exact_modes:
            try:
                os.fchmod(descriptor, mode)
            except BaseException:
                os.close(descriptor)
                raise
        return LocalFile(descriptor, path)

    def read(self, path: Path) -> bytes:
        """See `Filesystem.read`."""
        return despite_stale(_read, path)

    def map(self, path: Path) -> memoryview:
        """See `Filesystem.map`. Files under 128 KiB are read instead; a mapping costs no descriptor while it lives."""
        return despite_stale(_map, path)

    def rename(self, source: Path, target: Path) -> None:
        """See `Filesystem.rename`."""
        os.rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        """See `Filesystem.link`."""
        os.link(source, target)

    def unlink(self, path: Path) -> None:
        """See `Filesystem.unlink`."""
        os.unlink(path)

    def make_dirs(self, path: Path, *, mode: int = 0o777) -> None:
        """See `Filesystem.make_dirs`."""
        for attempts_left in reversed(range(_MKDIR_ATTEMPTS)):
            try:
                os.mkdir(path, mode)
                break
            except FileNotFoundError:
                if not attempts_left:
                    raise
                self.make_dirs(path.parent, mode=mode)
            except OSError:
                # There already (or about to be told so by EROFS and EACCES, which some systems check first).
                if not path.is_dir():
                    raise
                return
        if self._exact_modes:
            path.chmod(mode)

    def remove_dir(self, path: Path) -> None:
        """See `Filesystem.remove_dir`."""
        path.rmdir()

    def flush_dir(self, path: Path) -> None:
        """See `Filesystem.flush_dir`. Returns quietly where the system cannot flush a folder."""
        despite_stale(_flush_dir, path)

    def scan(self, path: Path) -> Iterator[tuple[str, bool]]:
        """See `Filesystem.scan`. Links are not followed: a link to a folder is not a folder."""
        return iter(despite_stale(_scan, path))

    def stat(self, path: Path) -> FileStat:
        """See `Filesystem.stat`."""
        return file_stat(despite_stale(os.stat, path))

    def touch(self, path: Path) -> None:
        """See `Filesystem.touch`."""
        os.utime(path)  # without times: the server of an NFS mount sets its own clock

    def chmod(self, path: Path, mode: int) -> None:
        """See `Filesystem.chmod`."""
        path.chmod(mode)

    def space(self, path: Path) -> DiskSpace:
        """See `Filesystem.space`."""
        facts = os.statvfs(path)
        return DiskSpace(total=facts.f_frsize * facts.f_blocks, free=facts.f_frsize * facts.f_bavail)

    def now(self) -> float:
        """See `Filesystem.now`."""
        return time.time()


class LocalFile:
    """A new file being written; closed at the latest when it is collected."""

    __slots__ = ("_descriptor", "_path")

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path

    def write(self, data: Buffer) -> None:
        """See `OpenFile.write`."""
        view = data if isinstance(data, bytes) else memoryview(data).cast("B")
        try:
            done = os.write(self._descriptor, view)
            while done < len(view):  # a full disk, a signal, or more than 2 GiB at once
                done += os.write(self._descriptor, memoryview(view)[done:])
        except OSError as error:
            raise self._named(error) from None

    def flush(self) -> None:
        """See `OpenFile.flush`. After an error here the file's content is unknown: discard it, never flush again."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._named(error) from None

    def close(self) -> None:
        """See `OpenFile.close`."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            try:
                os.close(descriptor)
            except OSError as error:  # NFS tells of a full disk or quota here
                raise self._named(error) from None

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def _named(self, error: OSError) -> OSError:
        return OSError(error.errno, error.strerror, str(self._path))


def file_stat(facts: os.stat_result) -> FileStat:
    """Turn what the system says into a `FileStat`."""
    return FileStat(
        size=facts.st_size,
        allocated_bytes=facts.st_blocks * 512,
        mtime_ns=facts.st_mtime_ns,
        ctime_ns=facts.st_ctime_ns,
        device=facts.st_dev,
        inode=facts.st_ino,
        links=facts.st_nlink,
        is_dir=(facts.st_mode & 0o170000) == 0o040000,
    )


def despite_stale(operation: Callable[[Path], _T], path: Path) -> _T:
    """Do it, and once more if an NFS handle was stale (the name was replaced as we looked it up), or nothing is there.

    A client of NFS remembers for up to a minute that a name was not there, whatever others have made since. When it
    opens the folder, it asks the server whether that has changed. Elsewhere it costs some microseconds.

    Only for operations that change nothing, so that doing them twice is harmless.
    """
    try:
        return operation(path)
    except FileNotFoundError:
        if not _open_folder_of(path):
            raise
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
    return operation(path)


def _open_folder_of(path: Path) -> bool:
    """Open the nearest folder above a path, and close it; tell whether there is one."""
    folder = os.fspath(path)
    for _ in range(_FOLDERS_ABOVE):
        folder = os.path.dirname(folder)
        try:
            os.close(os.open(folder or ".", _FOLDER))
        except FileNotFoundError:
            continue
        except OSError:
            return False
        return True
    return False


def _read(path: Path) -> bytes:
    descriptor = os.open(path, _READ)
    try:
        return _read_all(descriptor, os.fstat(descriptor).st_size)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(descriptor)


def _read_all(descriptor: int, size: int) -> bytes:
    """Read to the end; `size` is a guess that makes one call enough."""
    data = os.read(descriptor, size + 1)
    if len(data) == size:
        return data
    parts = [data]
    while parts[-1]:
        parts.append(os.read(descriptor, 1 << 20))
    return b"".join(parts)


def _map(path: Path) -> memoryview:
    descriptor = os.open(path, _READ)
    try:
        size = os.fstat(descriptor).st_size
        if size < _MAP_FROM_BYTES:
            return memoryview(_read_all(descriptor, size))
        return map_file(descriptor, size)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(descriptor)


def _flush_dir(path: Path) -> None:
    descriptor = os.open(path, _FOLDER)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH_FOLDER:
            raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(descriptor)


def _scan(path: Path) -> list[tuple[str, bool]]:
    # A list, so that no iterator holds the folder's descriptor while the caller does other things.
    with os.scandir(path) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
