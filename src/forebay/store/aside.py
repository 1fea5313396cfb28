"""Setting damaged files aside: moved to ``quarantine/``, told once, and never read again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

from forebay.events import Event, Hook, What
from forebay.io import Filesystem
from forebay.store.layout import Layout


@dataclass(frozen=True, slots=True)
class Moved:
    """A file that was set aside: its name in quarantine, where it was, and its bytes at rest."""

    name: str
    origin: Path
    bytes: int


class Quarantine:
    """Takes damaged files out of the way. Safe over threads.

    The index learns of it with the next transaction, at the latest when the store is closed (`drain`), so that a reader
    needs no index.
    """

    def __init__(self, fs: Filesystem, layout: Layout, *, writable: bool, hook: Hook) -> None:
        self._fs = fs
        self._layout = layout
        self._writable = writable
        self._hook = hook
        # Single operations on these are atomic: no lock that a fork could leave locked.
        self._told: set[Path] = set()
        self._moved: deque[Moved] = deque()

    def take(self, path: Path, *, what: str, name: str, why: str, kind: str = "") -> None:
        """Move `path` aside and tell why. Where that cannot be, tell that; it stays a miss all the same.

        Args:
            path: the damaged file.
            what: what it is, for people: ``object 9f3a…``.
            name: the digest or key it is called after.
            why: what is wrong with it.
            kind: the entry's kind; "" for an object.
        """
        suffix = "".join(path.suffixes)
        label = f"{kind}-{name}" if kind else name
        target = self._layout.quarantine / f"{int(self._fs.now() * 1e9):d}-{label}{suffix}"
        try:
            if not self._writable:
                raise PermissionError("the store is open for reading only")
            size = self._fs.stat(path).size
            self._fs.rename(path, target)
        except FileNotFoundError:
            return  # somebody else was faster
        except OSError as error:
            self._tell(path, What.WARNING, f"{what} is damaged ({why}) and cannot be set aside: {error}", name, kind)
            return
        self._moved.append(Moved(target.name, path, size))
        try:
            self._fs.flush_dir(path.parent)
        except OSError:
            pass  # a power cut may bring it back: it is found damaged again
        message = f"{what} is damaged ({why}); set aside as {target}, it will be made again"
        self._tell(path, What.QUARANTINE, message, name, kind)

    @property
    def untold(self) -> bool:
        """Whether there is something that the index has not learnt yet."""
        return bool(self._moved)

    def drain(self) -> list[Moved]:
        """Return what the index has not learnt yet."""
        moved: list[Moved] = []
        while self._moved:
            moved.append(self._moved.popleft())
        return moved

    def _tell(self, path: Path, event: What, message: str, name: str, kind: str) -> None:
        if event is What.WARNING and path in self._told:
            return
        self._told.add(path)
        self._hook(Event(event, message, key=name, kind=kind))
