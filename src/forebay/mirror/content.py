"""The bytes of an answer as the mirror can give them: at rest in the store, or coming while they are fetched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from forebay.types import Buffer

_PIECE_BYTES = 2**19
_NOWAIT = getattr(os, "RWF_NOWAIT", None)


class Content(Protocol):
    """Some bytes of a file, to be sent once."""

    @property
    def at_rest(self) -> AtRest | None:
        """Where on this machine these bytes lie as they are, or None."""
        ...

    @property
    def fetched(self) -> bool:
        """Whether upstream had to be asked for them."""
        ...

    def pieces(self) -> Iterator[Buffer]:
        """Yield the bytes in order; waits for them where they are still to come.

        The last one is given only when all of the file is known to be right.

        Raises:
            ForebayError: they will not come, or turned out to be wrong.
        """
        ...


@dataclass(frozen=True, slots=True)
class AtRest:
    """Bytes [start, end) of a file that nobody changes."""

    path: Path
    start: int
    end: int

    def open(self) -> Reading | None:
        """Begin to read them; None: the file is not there any more."""
        try:
            return Reading(self)
        except OSError:
            return None


class Reading:
    """Reads bytes at rest, in order. To be used by one thread at a time, and closed.

    Raises:
        OSError: the file is not there.
    """

    def __init__(self, what: AtRest) -> None:
        self._what = what
        self._at = what.start
        self._waits = _NOWAIT is None
        self._file = what.path.open("rb", buffering=0)

    @property
    def left(self) -> int:
        """How many bytes are still to be read."""
        return self._what.end - self._at

    def at_once(self, size: int) -> bool:
        """Tell whether the next piece, of at most `size` bytes, is in memory, so that reading it waits for no disk.

        It looks for the piece's last byte. A file system that cannot say is taken to wait.
        """
        if self._waits:
            return False
        last = self._at + min(size, self.left) - 1
        try:
            return os.preadv(self._file.fileno(), [bytearray(1)], last, _NOWAIT or 0) == 1
        except BlockingIOError:
            return False
        except OSError:
            self._waits = True
            return False

    def read(self, size: int) -> bytes:
        """Return the next piece, of at most `size` bytes.

        Raises:
            OSError: the disk fails, or somebody has cut the file.
        """
        piece = os.pread(self._file.fileno(), min(size, self.left), self._at)
        if not piece:
            raise OSError(f"{self._what.path} ends at {self._at} bytes of {self._what.end}")
        self._at += len(piece)
        return piece

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes in the store: a view, and their place where they are raw at rest."""

    view: memoryview
    at_rest: AtRest | None = None
    fetched: bool = False

    def pieces(self) -> Iterator[Buffer]:
        """See `Content`."""
        for start in range(0, len(self.view), _PIECE_BYTES):
            yield bytes(self.view[start : start + _PIECE_BYTES])


@dataclass(frozen=True, slots=True)
class Coming:
    """Bytes that are being fetched."""

    stream: Iterator[bytes]
    at_rest: AtRest | None = None
    fetched: bool = True

    def pieces(self) -> Iterator[Buffer]:
        """See `Content`."""
        return self.stream
