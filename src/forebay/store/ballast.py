"""A file of no use but its room: given up on a full disk, so that evicting, which needs the index, can begin at all.

SQLite cannot open its files without some room (shared memory, a log), so that a disk without any would leave nobody
able to make some.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from forebay.errors import StoreFullError
from forebay.io import Filesystem

Result = TypeVar("Result")

_BYTES = 2**19
_MODE = 0o660


@dataclass(frozen=True, slots=True)
class Ballast:
    """The file, and what to do with it."""

    fs: Filesystem
    path: Path

    def load(self) -> None:
        """Put it there if it is not, and if there is room for it."""
        try:
            self.fs.stat(self.path)
        except FileNotFoundError:
            self._write()
        except OSError:
            pass  # a disk in such trouble has no use for it

    def drop(self) -> bool:
        """Give its room back; tell whether there was any."""
        try:
            self.fs.unlink(self.path)
        except OSError:
            return False
        return True

    def carry(self, work: Callable[[], Result]) -> Result:
        """Do what makes room; if there is none to begin with, drop the ballast and do it again.

        Raises:
            StoreFullError: there was no ballast, or it was not enough.
        """
        try:
            return work()
        except StoreFullError:
            if not self.drop():
                raise
            return work()
        finally:
            self.load()

    def _write(self) -> None:
        try:
            file = self.fs.create(self.path, mode=_MODE)
        except OSError:
            return  # no room, or another was faster
        try:
            file.write(os.urandom(_BYTES))  # what a file system could pack would be no ballast
            file.close()
        except OSError:
            file.close()
            self.drop()
