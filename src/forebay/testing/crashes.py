"""Killing some work at every point where it makes a difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from forebay.testing.faults import Fault, FaultKind, WorldStopped
from forebay.testing.faulty import FaultyFilesystem
from forebay.testing.memory import MemoryFilesystem


@dataclass(frozen=True, slots=True)
class Crash:
    """A process that was killed while it worked.

    Attributes:
        point: where, in words.
        fs: its stopped file system: `restart` or `power_cut` it; `told` says what it had done.
    """

    point: str
    fs: FaultyFilesystem


def each_crash(
    work: Callable[[FaultyFilesystem], object], start: MemoryFilesystem | None = None, *, torn: bool = True
) -> Iterator[Crash]:
    """Kill `work` at every point where that makes a difference, each time from the same start.

    That is before each operation that changes the disk, in the middle of each write, and at the end; killed after one
    change is killed before the next.

    Args:
        work: does something; must ask for the same operations each time. An error that it raises when nothing failed
            is raised here.
        start: the disk it starts on, which stays as it is; None: an empty one.
        torn: also kill in the middle of writes.
    """
    start = start or MemoryFilesystem()
    whole = FaultyFilesystem(start.copy())
    work(whole)
    for operation in whole.trace:
        if operation.changes:
            yield _crash(work, start, Fault(FaultKind.STOP, at=operation.number), f"before {operation}")
        if operation.name == "write" and torn and operation.size > 1:
            yield _crash(work, start, Fault(FaultKind.TORN, at=operation.number), f"in the middle of {operation}")
    whole.stop()
    yield Crash("at the end", whole)


def _crash(work: Callable[[FaultyFilesystem], object], start: MemoryFilesystem, fault: Fault, point: str) -> Crash:
    fs = FaultyFilesystem(start.copy(), faults=[fault])
    try:
        work(fs)
    except WorldStopped:
        pass
    fs.stop()
    return Crash(point, fs)
