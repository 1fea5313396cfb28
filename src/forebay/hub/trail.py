"""What a download leaves behind it in memory, for those who follow it in this process.

::

    downloader ──add──▶ Trail (the latest bytes) ──after──▶ readers

A reader that keeps up is given the very bytes that go into the hash of the whole, so that nobody hashes them once more:
each `Piece` says what all bytes before it hash to. Who falls behind reads the partial.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from blake3 import blake3

from forebay.types import Digest

MOST_BYTES = 8 * 2**20
"""What one keeps where nothing is said."""
_WORTH_BYTES = 2**18
"""A reader is woken for so many bytes, or when its patience ends: to hand over each packet would cost more."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes as they came.

    Attributes:
        start: position of the first one in the file.
        data: the bytes.
        before: the hash of all that came before them, from the file's first byte on: to be copied, and not updated.
        attempt: grows whenever the download begins anew.
    """

    start: int
    data: bytes
    before: blake3
    attempt: int

    @property
    def end(self) -> int:
        """Position behind the last byte."""
        return self.start + len(self.data)

    def hash_until(self, position: int) -> blake3:
        """Return the hash of all bytes before a position in this piece, or at its end; the caller may go on with it."""
        hashed = self.before.copy()
        return hashed.update(memoryview(self.data)[: position - self.start])


class Trail:
    """The latest bytes of one download, which join without a gap. One thread adds, any number read.

    Args:
        most: tells how many bytes to keep; one piece is kept in any case.
    """

    def __init__(self, most: Callable[[], int] = lambda: MOST_BYTES) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._pieces: deque[Piece] = deque()
        self._bytes = 0
        self._untold = 0
        self._attempt = 0
        self._settled = False
        self._checked: Digest | None = None

    @property
    def checked(self) -> Digest | None:
        """What all bytes hash to, once they are known to be what was asked for; they need not be published yet."""
        return self._checked

    def add(self, start: int, data: bytes, before: blake3) -> None:
        """Add bytes that have come; see `Piece`."""
        with self._changed:
            self._pieces.append(Piece(start, data, before, self._attempt))
            self._bytes += len(data)
            most = self._most()
            while self._bytes > most and len(self._pieces) > 1:
                self._bytes -= len(self._pieces.popleft().data)
            self._untold += len(data)
            if self._untold >= _WORTH_BYTES:
                self._tell()

    def anew(self) -> None:
        """Forget all bytes: from now on others come, from the file's first one on."""
        with self._changed:
            self._pieces.clear()
            self._bytes = 0
            self._attempt += 1
            self._checked = None
            self._settled = False
            self._tell()

    def check(self, digest: Digest) -> None:
        """Say that all bytes have come and are what was asked for."""
        with self._changed:
            self._checked = digest
            self._settled = True
            self._tell()

    def end(self) -> None:
        """Say that no more bytes will come."""
        with self._changed:
            self._settled = True
            self._tell()

    def after(self, position: int, seconds: float) -> list[Piece]:
        """Return the piece that holds a position and those that follow it; none: it may be in the partial.

        Waits so long where the position is about to come, so that there is enough to be worth the while.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._settled or self._is_gone(position) or self._has(position), seconds)
            found: list[Piece] = []
            for piece in reversed(self._pieces):
                if piece.end <= position:
                    break
                found.append(piece)
                if piece.start <= position:
                    return found[::-1]
            return []

    def wait(self, seconds: float) -> None:
        """Return when something has come or is settled, at the latest after a while."""
        with self._changed:
            if not self._settled:
                self._changed.wait(seconds)

    def _is_gone(self, position: int) -> bool:
        return not self._pieces or position < self._pieces[0].start

    def _has(self, position: int) -> bool:
        return self._pieces[-1].end - position >= _WORTH_BYTES

    def _tell(self) -> None:
        self._untold = 0
        self._changed.notify_all()
