"""A lock for file systems whose own locks nobody can trust: a folder, which one process only can make.

See design/0001-store-format.md, "The index".
"""

from __future__ import annotations

import errno
import os
import random
import time
from pathlib import Path

from forebay.errors import StoreError
from forebay.io import HEART
from forebay.store.files import store_error

PATIENCE_SECONDS = 40.0
"""How long to wait for others."""

STALE_SECONDS = 20.0
"""Who does not touch his lock for this long is dead. We watch it: clocks of other machines tell nothing."""

_GONE = (errno.ENOENT, errno.ESTALE)
_BEATS_PER_STALE = 4
_LONGEST_POLL_SECONDS = 0.05

_LONGEST_STEP_SECONDS = 1.0
"""What counts of the time between two looks: a server that hangs keeps the owner from showing that it lives, too."""


class FolderLock:
    """One lock, of one process: threads must take turns.

    Attributes:
        beat_seconds: how often the owner shows that it is alive.
    """

    __slots__ = ("__weakref__", "_inode", "_path", "_pid", "beat_seconds")

    def __init__(self, path: Path) -> None:
        self.beat_seconds = STALE_SECONDS / _BEATS_PER_STALE
        self._path = path
        self._inode = self._pid = 0

    def acquire(self) -> None:
        """Take it, from a dead owner as well.

        Raises:
            StoreError: others have it, or the folder cannot be made.
        """
        seen, silent, waited = None, 0.0, 0.0
        last, poll = time.monotonic(), 0.001
        try:
            while not self._make():
                there, now = self._look(), time.monotonic()
                step, last = min(now - last, _LONGEST_STEP_SECONDS), now
                silent, waited = (silent + step if there == seen else 0.0), waited + step
                seen = there
                if there is not None and silent > STALE_SECONDS:
                    self._break(there)
                if waited > PATIENCE_SECONDS:
                    what = f"{self._path.with_suffix('')} is locked by another process"
                    raise StoreError(what, hint="look for one that is stopped")
                time.sleep(random.uniform(poll / 2, poll))
                poll = min(2 * poll, _LONGEST_POLL_SECONDS)
            found = self._look()
        except OSError as error:
            raise store_error(f"cannot lock {self._path.with_suffix('')}", error) from error
        self._inode, self._pid = found[0] if found is not None else 0, os.getpid()
        HEART.add(self)

    def release(self) -> None:
        """Let others have it. In a forked child it does nothing: the parent has it."""
        if self._pid != os.getpid():
            return
        HEART.remove(self)
        try:
            if self.is_mine():
                self._path.rmdir()
        except OSError:
            pass  # it looks dead soon
        self._pid = 0

    def is_mine(self) -> bool:
        """Tell whether nobody took it from us: who is stopped for long is taken for dead."""
        found = self._look()
        return self._pid == os.getpid() and found is not None and found[0] == self._inode

    def beat(self) -> None:
        """Show that we are alive: what the heart calls."""
        try:
            os.utime(self._path)
        except OSError:
            pass  # a failing disk, or somebody took us for dead: `is_mine` tells

    def _make(self) -> bool:
        try:
            self._path.mkdir()
        except FileExistsError:
            return False
        return True

    def _look(self) -> tuple[int, int] | None:
        """Return what changes with each owner and each beat; None: nobody has it."""
        try:
            folder = os.open(self._path, os.O_RDONLY)  # so that a client of NFS asks the server, not its cache
            try:
                found = os.fstat(folder)
            finally:
                os.close(folder)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise
        return found.st_ino, found.st_mtime_ns

    def _break(self, dead: tuple[int, int]) -> None:
        if self._look() == dead:
            try:
                self._path.rmdir()
            except FileNotFoundError:
                pass  # somebody else did
