"""Room on a disk: reserved before it is written, so that a full disk is met at the start and not in the middle."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

from forebay import text
from forebay.io.filesystem import Filesystem


class Room:
    """The free space of one file system, as far as this process may use it.

    Bytes that were reserved and are not yet written count as used, for all threads of the process. Other processes'
    reservations are not seen, only what they have written: `min_free_bytes` is the margin for that.

    Args:
        fs: the file system.
        path: a file or folder on it.
        min_free_bytes: free space to leave, in bytes.
    """

    def __init__(self, fs: Filesystem, path: Path, *, min_free_bytes: int = 0) -> None:
        self._fs = fs
        self._path = path
        self._min_free_bytes = min_free_bytes
        self._guard = threading.Lock()
        self._promised = 0
        self._pid = os.getpid()

    def reserve(self, size: int) -> Reservation:
        """Reserve `size` bytes.

        Raises:
            OSError: ENOSPC, with the path and how much is wanting.
        """
        reservation = Reservation(self._promise, self._settle)
        reservation.grow(size)
        return reservation

    def free(self) -> int:
        """Return how many bytes could be reserved now; may be negative when others left less than the margin."""
        with self._own_guard():
            return self._free()

    def _own_guard(self) -> threading.Lock:
        if self._pid != os.getpid():
            # What the parent promised, the parent writes; and a thread of it may have held the lock as we forked.
            self._guard, self._promised, self._pid = threading.Lock(), 0, os.getpid()
        return self._guard

    def _free(self) -> int:
        return self._fs.space(self._path).free - self._promised - self._min_free_bytes

    def _promise(self, size: int) -> None:
        with self._own_guard():
            wanting = size - self._free()
            if wanting > 0:
                what = f"no room for {text.size(size)} beside {text.size(self._min_free_bytes)} kept free"
                raise OSError(errno.ENOSPC, f"{what}: {text.size(wanting)} more are needed", str(self._path))
            self._promised += size

    def _settle(self, size: int, pid: int) -> None:
        with self._own_guard():
            if pid == self._pid:
                self._promised -= size


class Reservation:
    """Bytes that may be written. A context manager: what is left of it is given back at the end."""

    __slots__ = ("_left", "_pid", "_promise", "_settle")

    def __init__(self, promise: Callable[[int], None], settle: Callable[[int, int], None]) -> None:
        self._promise = promise
        self._settle = settle
        self._left = 0
        self._pid = os.getpid()

    @property
    def left(self) -> int:
        """Reserved bytes that are not written yet."""
        return self._left

    def grow(self, size: int) -> None:
        """Reserve `size` more bytes.

        Raises:
            OSError: ENOSPC; what was reserved before stays reserved.
        """
        self._promise(size)
        self._left += size

    def written(self, size: int) -> None:
        """Note that `size` bytes are on the disk now and show in its free space."""
        size = min(size, self._left)
        self._left -= size
        self._settle(size, self._pid)

    def release(self) -> None:
        """Give back what was not written; releasing twice is fine."""
        self.written(self._left)

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
