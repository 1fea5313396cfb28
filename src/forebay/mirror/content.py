"""The bytes of an answer as the mirror can give them: at rest in the store, or coming while they are fetched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from forebay.types import Buffer

_PIECE_BYTES = 2**19


class Content(Protocol):
    """Some bytes of a file, to be sent once."""

    @property
    def path(self) -> Path | None:
        """A file on this machine that holds exactly these bytes, or None."""
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
class Held:
    """Bytes in the store: a view, and a file for the kernel where all of it is wanted and it is raw at rest."""

    view: memoryview
    path: Path | None = None
    fetched: bool = False

    def pieces(self) -> Iterator[Buffer]:
        """See `Content`."""
        for start in range(0, len(self.view), _PIECE_BYTES):
            yield bytes(self.view[start : start + _PIECE_BYTES])


@dataclass(frozen=True, slots=True)
class Coming:
    """Bytes that are being fetched."""

    stream: Iterator[bytes]
    path: Path | None = None
    fetched: bool = True

    def pieces(self) -> Iterator[Buffer]:
        """See `Content`."""
        return self.stream
