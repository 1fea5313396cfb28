"""Files of no use but their room: given up on a full disk, so that evicting, which needs the index, can begin at all.

SQLite cannot open its files without some room (shared memory, a log), so that a disk without any would leave nobody
able to make some. Room is bytes, and where a file system counts them, files.
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
_FILES = 4
_MODE = 0o660


@dataclass(frozen=True, slots=True)
class Ballast:
    """The files, and what to do with them: `path` has the bytes, those beside it are empty."""

    fs: Filesystem
    path: Path

    @property
    def _paths(self) -> tuple[Path, ...]:
        return (self.path, *(self.path.with_name(f"{self.path.name}-{number}") for number in range(1, _FILES)))

    def load(self) -> None:
        """Put them there if they are not, and if there is room for them."""
        try:
            self.fs.stat(self._paths[-1])
        except FileNotFoundError:
            self._write()
        except OSError:
            pass  # a disk in such trouble has no use for it

    def drop(self) -> bool:
        """Give their room back; tell whether there was any."""
        dropped = False
        for path in reversed(self._paths):  # whoever finds the last one takes all to be there
            try:
                self.fs.unlink(path)
                dropped = True
            except OSError:
                continue
        return dropped

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
        for path in self._paths:
            try:
                file = self.fs.create(path, mode=_MODE)
            except FileExistsError:
                continue
            except OSError:
                return  # no room
            try:
                if path == self.path:
                    file.write(os.urandom(_BYTES))  # what a file system could pack would be no ballast
                file.close()
            except OSError:
                file.close()
                self.drop()
                return
