"""A file system that fails when and how it is told to, for proving that what stands on it survives.

A worked example: is a file published whole or not at all, wherever the process is killed, and whatever a power cut then
leaves? ::

    from forebay.io import stage
    from forebay.testing import MemoryFilesystem, each_crash

    def work(fs):
        staged = stage(fs, Path("/tmp"), "1")
        staged.write(b"abc")
        staged.publish(Path("/home/a"))

    start = MemoryFilesystem()
    start.make_dirs(Path("/tmp")), start.make_dirs(Path("/home"))
    for crash in each_crash(work, start):               # before every change, in the middle of every write, at the end
        for cut in ("lose", "keep", *range(20)):
            tree = crash.fs.power_cut(cut).tree()
            assert tree.get("/home/a", b"abc") == b"abc", (crash.point, cut, crash.fs.told())

Single faults are planned by the number of the operation, or by its name and path::

    fs = FaultyFilesystem(faults=[
        Fault(FaultKind.NO_SPACE, at=12),                              # operation 12 fails with ENOSPC
        Fault(FaultKind.IO_ERROR, operation="read", path="*/objects-v1/*", times=None),   # every read of an object
        Fault(FaultKind.TORN, operation="write", path="*.json", keep=0.5),                # half a write, then a kill
    ])
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from forebay.io import DiskSpace, FileStat, Filesystem, OpenFile
from forebay.testing.faults import Fault, FaultKind, Operation, WorldStopped
from forebay.testing.memory import Cut, MemoryFilesystem
from forebay.types import Buffer

_T = TypeVar("_T")


class FaultyFilesystem:
    """A `Filesystem` over another one that numbers every operation and fails as planned.

    Stands for one process: several of them over one `inner` are several processes that share a disk. Safe to use from
    threads; numbers are then given in the order in which operations happen to begin.

    Args:
        inner: where effects go; None: a new `MemoryFilesystem`. `power_cut` needs one of those.
        faults: what goes wrong; the first that matches an operation is used up by it.
        hook: called before each operation with its number and name, without any lock held: the place to wait for
            another thread, to count, or to do what another process does at that very moment.

    Attributes:
        inner: where effects go.
        trace: all operations so far, with their outcomes.
        stopped: whether the world has stopped.
    """

    parallel_flushes = 1  # one after another, so that the same work gives the same numbers

    def __init__(
        self,
        inner: Filesystem | None = None,
        *,
        faults: Iterable[Fault] = (),
        hook: Callable[[Operation], None] | None = None,
    ) -> None:
        self.inner: Filesystem = MemoryFilesystem() if inner is None else inner
        self.trace: list[Operation] = []
        self.stopped = False
        self._hook = hook
        self._guard = threading.Lock()
        self._faults = [(fault, fault.times) for fault in faults]
        self._open: dict[int, OpenFile] = {}

    def told(self) -> str:
        """Return the trace as text, one operation a line."""
        return "\n".join(map(str, self.trace))

    def plan(self, *faults: Fault) -> None:
        """Add faults, after those planned already."""
        with self._guard:
            self._faults += [(fault, fault.times) for fault in faults]

    def stop(self) -> None:
        """Stop the world now."""
        self.stopped = True

    def restart(self, *faults: Fault) -> FaultyFilesystem:
        """Kill this process and return the same disk for the next one: nothing that was written is lost."""
        self._die()
        return FaultyFilesystem(self.inner, faults=faults)

    def power_cut(self, cut: Cut = "lose", *faults: Fault) -> MemoryFilesystem:
        """Kill this process and return the disk as it may be after a power cut; see `MemoryFilesystem.power_cut`.

        The disk itself stays as it is, so that many cuts can be made of one crash. Wrap what comes back in another
        `FaultyFilesystem` for faults in the recovery too.

        Raises:
            TypeError: `inner` is no `MemoryFilesystem`: nobody knows what a real disk would lose.
        """
        if not isinstance(self.inner, MemoryFilesystem):
            raise TypeError(f"only a MemoryFilesystem knows what a power cut leaves, not {type(self.inner).__name__}")
        self._die()
        return self.inner.power_cut(cut)

    def _die(self) -> None:
        self.stopped = True
        with self._guard:  # the kernel closes what a dead process had open
            files = list(self._open.values())
            self._open.clear()
        for file in files:
            file.close()

    # What a `Filesystem` does.

    def create(self, path: Path, *, mode: int = 0o644) -> FaultyFile:
        """See `Filesystem.create`."""
        file = self.perform("create", path, lambda: self.inner.create(path, mode=mode))
        self._open[id(file)] = file
        return FaultyFile(self, file, path)

    def read(self, path: Path) -> bytes:
        """See `Filesystem.read`."""
        return self.perform("read", path, lambda: self.inner.read(path))

    def map(self, path: Path) -> memoryview:
        """See `Filesystem.map`."""
        return self.perform("map", path, lambda: self.inner.map(path))

    def rename(self, source: Path, target: Path) -> None:
        """See `Filesystem.rename`."""
        self.perform("rename", source, lambda: self.inner.rename(source, target), target=target)

    def link(self, source: Path, target: Path) -> None:
        """See `Filesystem.link`."""
        self.perform("link", source, lambda: self.inner.link(source, target), target=target)

    def unlink(self, path: Path) -> None:
        """See `Filesystem.unlink`."""
        self.perform("unlink", path, lambda: self.inner.unlink(path))

    def make_dirs(self, path: Path, *, mode: int = 0o777) -> None:
        """See `Filesystem.make_dirs`. One operation, however many folders are made."""
        self.perform("make_dirs", path, lambda: self.inner.make_dirs(path, mode=mode))

    def remove_dir(self, path: Path) -> None:
        """See `Filesystem.remove_dir`."""
        self.perform("remove_dir", path, lambda: self.inner.remove_dir(path))

    def flush_dir(self, path: Path) -> None:
        """See `Filesystem.flush_dir`."""
        self.perform("flush_dir", path, lambda: self.inner.flush_dir(path))

    def scan(self, path: Path) -> Iterator[tuple[str, bool]]:
        """See `Filesystem.scan`."""
        return self.perform("scan", path, lambda: self.inner.scan(path))

    def stat(self, path: Path) -> FileStat:
        """See `Filesystem.stat`."""
        return self.perform("stat", path, lambda: self.inner.stat(path))

    def touch(self, path: Path) -> None:
        """See `Filesystem.touch`."""
        self.perform("touch", path, lambda: self.inner.touch(path))

    def chmod(self, path: Path, mode: int) -> None:
        """See `Filesystem.chmod`."""
        self.perform("chmod", path, lambda: self.inner.chmod(path, mode))

    def space(self, path: Path) -> DiskSpace:
        """See `Filesystem.space`."""
        return self.perform("space", path, lambda: self.inner.space(path))

    def now(self) -> float:
        """See `Filesystem.now`. Not an operation: it asks no disk, has no number, and never fails."""
        return self.inner.now()

    def perform(
        self,
        name: str,
        path: Path,
        effect: Callable[[], _T],
        *,
        target: Path | None = None,
        write: tuple[OpenFile, Buffer] | None = None,
    ) -> _T:
        """Number an operation and let it have its effect, or fail as planned.

        Args:
            name: the operation.
            path: what it is about.
            effect: what it does.
            target: the other name, where there are two.
            write: for writes: the inner file and the data, so that a part of it can be written.
        """
        operation, fault = self._begin(name, path, target, memoryview(write[1]).nbytes if write else 0)
        if self._hook is not None:
            self._hook(operation)
        try:
            self._must_go_on()  # the hook may have stopped the world
            if fault is not None and fault.kind not in (FaultKind.STOP_AFTER, FaultKind.DELAY):
                self._fail(operation, fault, write)
            if fault is not None and fault.kind is FaultKind.DELAY:
                self._sleep(fault.seconds)
            result = effect()
        except BaseException as error:
            self._note(operation, _name_of(error))
            self._stop_after(fault)
            raise
        self._note(operation, "done")
        self._stop_after(fault)
        return result

    def forget(self, file: OpenFile) -> None:
        """Note that a file was closed."""
        self._open.pop(id(file), None)

    def _begin(self, name: str, path: Path, target: Path | None, size: int) -> tuple[Operation, Fault | None]:
        with self._guard:
            self._must_go_on()
            operation = Operation(len(self.trace) + 1, name, path, target, size)
            self.trace.append(operation)
            return operation, self._fault_for(operation)

    def _fault_for(self, operation: Operation) -> Fault | None:
        for position, (fault, left) in enumerate(self._faults):
            if left != 0 and fault.matches(operation):
                if left is not None:
                    self._faults[position] = (fault, left - 1)
                return fault
        return None

    def _fail(self, operation: Operation, fault: Fault, write: tuple[OpenFile, Buffer] | None) -> None:
        if write is not None and fault.kind is not FaultKind.STOP:
            file, data = write
            file.write(memoryview(data).cast("B")[: int(operation.size * fault.keep)])
        if fault.kind in (FaultKind.STOP, FaultKind.TORN):
            self.stopped = True
            self._must_go_on()
        number: int = getattr(errno, fault.kind.value)
        target = None if operation.target is None else str(operation.target)
        raise OSError(number, os.strerror(number), str(operation.path), None, target)

    def _stop_after(self, fault: Fault | None) -> None:
        if fault is not None and fault.kind is FaultKind.STOP_AFTER:
            self.stopped = True
            self._must_go_on()

    def _note(self, operation: Operation, outcome: str) -> None:
        self.trace[operation.number - 1] = replace(operation, outcome=outcome)

    def _must_go_on(self) -> None:
        if self.stopped:
            raise WorldStopped(f"the world stopped at operation {len(self.trace)}")

    def _sleep(self, seconds: float) -> None:
        if isinstance(self.inner, MemoryFilesystem):
            self.inner.clock.advance(seconds)
        else:
            time.sleep(seconds)


class FaultyFile:
    """A new file being written to a `FaultyFilesystem`."""

    __slots__ = ("_file", "_fs", "_path")

    def __init__(self, fs: FaultyFilesystem, file: OpenFile, path: Path) -> None:
        self._fs = fs
        self._file = file
        self._path = path

    def write(self, data: Buffer) -> None:
        """See `OpenFile.write`."""
        self._fs.perform("write", self._path, lambda: self._file.write(data), write=(self._file, data))

    def flush(self) -> None:
        """See `OpenFile.flush`."""
        self._fs.perform("flush", self._path, self._file.flush)

    def close(self) -> None:
        """See `OpenFile.close`. A fault here still closes, as the system does."""
        try:
            self._fs.perform("close", self._path, lambda: None)
        finally:
            self._file.close()
            self._fs.forget(self._file)


def _name_of(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return errno.errorcode.get(number, type(error).__name__) if number else type(error).__name__
