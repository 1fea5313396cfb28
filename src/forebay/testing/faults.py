"""What can go wrong with a disk, and when: the plan that a `FaultyFilesystem` follows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

CHANGING = frozenset(
    {"create", "write", "flush", "rename", "link", "unlink", "make_dirs", "remove_dir", "flush_dir", "touch", "chmod"}
)
"""Names of the operations that change the disk or what of it is durable."""


class WorldStopped(BaseException):
    """The process is dead from here on; no operation has an effect any more.

    Not an `Exception`: as with a kill, no handler may carry on.
    """


class FaultKind(StrEnum):
    """What goes wrong."""

    STOP = "stop"
    """The world stops before the operation has its effect."""
    STOP_AFTER = "stop after"
    """The world stops when the operation has had its effect, and before anyone learns of it."""
    TORN = "torn"
    """A write leaves the first `keep` of its data, then the world stops; other operations: as `STOP`."""
    NO_SPACE = "ENOSPC"
    IO_ERROR = "EIO"
    DENIED = "EACCES"
    READ_ONLY = "EROFS"
    STALE = "ESTALE"
    CROSS_DEVICE = "EXDEV"
    NOT_SUPPORTED = "ENOTSUP"
    DELAY = "delay"
    """The operation takes `seconds` longer: a `MemoryFilesystem`'s clock moves on; over another one we sleep."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong, and when: at operations for which all that is given holds."""

    kind: FaultKind
    at: int | None = None
    """The operation's number, from 1."""
    operation: str = "*"
    """Pattern for its name: ``write``, ``flush*``."""
    path: str = "*"
    """Pattern for its path, or for its target where it has one."""
    times: int | None = 1
    """How often; None: whenever it matches."""
    keep: float = 0.5
    """For writes that are torn or fail: the share of the data that is stored nevertheless."""
    seconds: float = 0.0
    """For `FaultKind.DELAY`."""

    def matches(self, operation: Operation) -> bool:
        """Tell whether it goes wrong at this operation, if it still may."""
        paths = (operation.path,) if operation.target is None else (operation.path, operation.target)
        return (
            (self.at is None or self.at == operation.number)
            and fnmatchcase(operation.name, self.operation)
            and any(fnmatchcase(str(path), self.path) for path in paths)
        )


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation that was asked for."""

    number: int
    """From 1, in the order in which they began."""
    name: str
    """As in `Filesystem`; of an open file: ``write``, ``flush``, ``close``."""
    path: Path
    target: Path | None = None
    size: int = 0
    """Bytes, for ``write``."""
    outcome: str = "begun"
    """``done``, or the name of the error."""

    @property
    def changes(self) -> bool:
        """Whether it changes the disk, or what of it is durable."""
        return self.name in CHANGING

    def __str__(self) -> str:
        target = "" if self.target is None else f" -> {self.target}"
        size = f" {self.size} bytes" if self.name == "write" else ""
        return f"{self.number:5} {self.name} {self.path}{target}{size}: {self.outcome}"
