"""Publishing: a file appears under its name whole, or not at all, whatever crashes (design/0002).

Example::

    staged = stage(fs, home / "tmp", "4f1c-0")     # creates tmp/4f1c-0
    staged.write(header)
    staged.write(body)
    staged.publish(home / "objects-v1/ab/cdef…")   # flush, name, flush the folder; True: the name is ours

and in groups, which cost one flush of each folder and let a journal commit for many files at once::

    publish(fs, [(first, first_target), (second, second_target)])
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from weakref import WeakKeyDictionary

from forebay.io.ahead import FlushedAhead
from forebay.io.filesystem import Filesystem, OpenFile
from forebay.types import Buffer

_PATIENCE_SECONDS = 0.02
"""When flushes one after another have taken so long, threads do the rest: they fight for the interpreter's lock with
whoever computes, which costs more than waiting for a quick disk."""

_NO_LINKS_HERE = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}
)
"""What file systems answer that have no hard links, or allow none here; then a rename does the work."""

_DURABLE_FOLDERS: WeakKeyDictionary[Filesystem, set[str]] = WeakKeyDictionary()
"""Folders whose names this process has flushed itself; text, which is looked up far quicker than a Path."""


class Staged:
    """A file being written under a temporary name.

    Use it from one thread at a time. It ends in `publish` or `discard`; after either it is done with, and a second
    `discard` does nothing. As a context manager it discards what was not published.
    """

    __slots__ = ("_file", "_flushed", "_fs", "_gone", "path", "size")

    def __init__(self, fs: Filesystem, path: Path, file: OpenFile | None) -> None:
        self._fs = fs
        self._file = file  # None: it is whole and durable already
        self._flushed = False
        self._gone = False
        self.path = path
        """The temporary name."""
        self.size = 0
        """Bytes written so far."""

    def write(self, data: Buffer) -> None:
        """Append all of `data`.

        Raises:
            OSError: the disk could not take it; discard this.
            ValueError: it is flushed already.
        """
        if self._file is None or self._flushed:
            raise ValueError(f"{self.path} is flushed already and cannot grow")
        self._file.write(data)
        self.size += memoryview(data).nbytes

    def flush(self) -> None:
        """Make the content durable and release the descriptor; no more can be written."""
        if self._file is not None:
            self._file.flush()
            self._flushed = True
            file, self._file = self._file, None
            file.close()

    def publish(self, target: Path, *, replace: bool = False) -> bool:
        """Give the content its name, durably; see the function `publish`."""
        return publish(self._fs, [(self, target)], replace=replace)[0]

    def discard(self) -> None:
        """Drop the content. Whatever cannot be removed is left to whoever cleans up temporaries."""
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
            if not self._gone:
                self._gone = True
                self._fs.unlink(self.path)
        except OSError:
            pass  # a failing disk must not hide the error that made us discard

    def __enter__(self) -> Staged:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def name(self, target: Path, *, replace: bool) -> bool:
        """Move the flushed content to `target`, not yet durably; True if the name was free or replaced.

        Raises:
            OSError: it cannot be moved.
            ValueError: it is not flushed yet, or was published or discarded.
        """
        if self._file is not None or self._gone:
            raise ValueError(f"{self.path} must be flushed, and neither published nor discarded")
        if replace:
            self._fs.rename(self.path, target)
            self._gone = True
            return True
        named = _name_if_free(self._fs, self.path, target)
        self._gone = named
        return named


def make_home(fs: Filesystem, folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder to hold temporaries and targets, with its parents where missing, durably.

    Flushes every folder above, because whoever made one may have been killed before it flushed the name. So publish
    a file in `folder` afterwards that says that this is done, and do it only where that file is missing.

    Raises:
        OSError: it cannot be made, or a folder above that we made cannot be flushed.
    """
    missing = [each for each in (folder, *folder.parents) if not _exists(fs, each)]
    fs.make_dirs(folder, mode=mode)
    for each in (folder, *folder.parents[:-1]):
        try:
            fs.flush_dir(each.parent)
        except PermissionError:
            if each in missing:
                raise  # otherwise it is not ours, and may not even be read: then its owner made `each`


def stage(fs: Filesystem, tmp_dir: Path, token: str, *, mode: int = 0o644, ahead: bool = False) -> Staged:
    """Open a new temporary file `tmp_dir`/`token` for writing.

    Args:
        fs: the file system; `tmp_dir` and the later target must be on the same one.
        tmp_dir: where temporaries are; must exist.
        token: a name that nobody else uses, or FileExistsError.
        mode: permissions that the published file will have, less the umask.
        ahead: flush while more is written; for long files that take a while to make.
    """
    path = tmp_dir / token
    file = fs.create(path, mode=mode)
    return Staged(fs, path, FlushedAhead(file) if ahead else file)


def link_staged(fs: Filesystem, source: Path, tmp_dir: Path, token: str, *, mode: int) -> Staged | None:
    """Stage a file that is there, whole and durable, by a second name `tmp_dir`/`token`, of permissions `mode`.

    Returns:
        None: it cannot be linked there (another file system, no links, somebody else's file).

    Raises:
        OSError: it is not there, or the disk fails.
    """
    path, linked = tmp_dir / token, False
    try:
        fs.link(source, path)
        linked = True
        fs.chmod(path, mode)
    except OSError as error:
        if linked:
            fs.unlink(path)
        if error.errno not in _NO_LINKS_HERE and error.errno != errno.EXDEV:
            raise
        return None
    return Staged(fs, path, None)


def flush(fs: Filesystem, staged: Iterable[Staged]) -> None:
    """Make the content of all durable and release their descriptors, several at a time where that pays.

    Raises:
        OSError: one could not be flushed; discard them all.
    """
    _all_at_once([each.flush for each in staged], fs.parallel_flushes)


def publish(
    fs: Filesystem, group: Sequence[tuple[Staged, Path]], *, replace: bool = False, dir_mode: int = 0o777
) -> tuple[bool, ...]:
    """Give each staged file its name, durably: flush all, name all, flush each folder once.

    When this returns, every target is there and survives a power cut. If it raises, or the power fails before it
    returns, any target is there whole or not at all, and what was not named is discarded.

    Args:
        fs: the file system that all were staged on.
        group: staged files and the names they should get; missing folders are made.
        replace: False: a name that is taken stays as it is, and our copy is dropped (two writers of one name write the
            same bytes). True: the name is taken over by an atomic rename.
        dir_mode: permissions of folders that must be made, less the umask.

    Returns:
        For each, whether the name got this content; False: it was taken.

    Raises:
        OSError: as the system gave it; EXDEV says which folders are on different file systems.
    """
    durable = _DURABLE_FOLDERS.setdefault(fs, set())
    try:
        flush(fs, (staged for staged, _ in group))
        named = tuple(_name(fs, staged, target, replace=replace, dir_mode=dir_mode) for staged, target in group)
        # A name that was taken is flushed too: whoever took it may not have come so far, and our caller relies on it.
        to_flush = {os.path.dirname(target): os.fspath(staged.path) for staged, target in group}
        fresh = {new for folder, tmp in to_flush.items() for new in _not_surely_durable(tmp, folder, durable)}
        folders = dict.fromkeys([*to_flush, *map(os.path.dirname, fresh)])
        _all_at_once([partial(fs.flush_dir, Path(folder)) for folder in folders], fs.parallel_flushes)
        durable |= fresh
        return named
    finally:
        for staged, _ in group:
            staged.discard()  # does nothing to those that have their name


def _name(fs: Filesystem, staged: Staged, target: Path, *, replace: bool, dir_mode: int) -> bool:
    try:
        try:
            return staged.name(target, replace=replace)
        except FileNotFoundError:  # the folder is not there; if it is our temporary, this fails again
            _DURABLE_FOLDERS[fs].difference_update(_upwards(os.path.dirname(target)))
            fs.make_dirs(target.parent, mode=dir_mode)
            return staged.name(target, replace=replace)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        what = f"{staged.path.parent} and {target.parent} are on different file systems; put a whole store on one"
        raise OSError(errno.EXDEV, what, str(staged.path), None, str(target)) from error


def _not_surely_durable(temporary: str, lowest: str, durable: set[str]) -> Iterator[str]:
    """Yield a target's folder, and those above it, whose own names may not be durable yet.

    A folder that is there may have been made by a process that was killed before it could flush the folder's name. So
    each process flushes the names above its first target in a folder, up to the folder that holds temporaries too.
    That one is `make_home`'s care.
    """
    for folder in _upwards(lowest):
        if folder in durable or temporary.startswith(os.path.join(folder, "")):
            return
        yield folder


def _upwards(folder: str) -> Iterator[str]:
    yield folder
    while (above := os.path.dirname(folder)) != folder:
        yield above
        folder = above


def _name_if_free(fs: Filesystem, source: Path, target: Path) -> bool:
    """Move `source` to `target` unless that name is taken.

    A link is atomic and never replaces. Where there are no links, we look first and then rename: of two who look at
    the same time the later one replaces the earlier one's bytes, which are the same.
    """
    try:
        fs.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS_HERE:
            raise
    else:
        try:
            fs.unlink(source)
        except FileNotFoundError:
            pass  # someone cleaned up temporaries; the content has its name
        return True
    if _exists(fs, target):
        return False
    fs.rename(source, target)
    return True


def _exists(fs: Filesystem, path: Path) -> bool:
    try:
        fs.stat(path)
    except FileNotFoundError:
        return False
    return True


def _all_at_once(actions: Sequence[Callable[[], object]], at_a_time: int) -> None:
    """Do all, once it takes long in up to `at_a_time` threads, and raise the first error when all are through.

    On a disk that takes its time many fsyncs at once take hardly longer than one, as the journal commits for all that
    wait; on a quick one threads cost more than they save. Threads live only here, so none is lost by a fork().
    """
    until = perf_counter() + _PATIENCE_SECONDS
    for position, action in enumerate(actions):
        if at_a_time > 1 and perf_counter() > until:
            left = actions[position:]
            _in_threads(left, min(at_a_time, len(left)))
            return
        action()


def _in_threads(actions: Sequence[Callable[[], object]], count: int) -> None:
    from threading import Thread

    left = iter(actions)  # next() on a list's iterator is atomic
    errors: list[BaseException] = []

    def work() -> None:
        for action in left:
            try:
                action()
            except BaseException as error:  # noqa: BLE001 - carried to the caller's thread and raised there
                errors.append(error)

    threads = [Thread(target=work, name="forebay-flush") for _ in range(count - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
