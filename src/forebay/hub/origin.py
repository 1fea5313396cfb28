"""The seam between Forebay and where data comes from.

An origin answers two questions: *what is there* and *give me these bytes*. Mirrors of a hub are origins with the same
identities, tried in turn. Only what a network does to us (`OriginError`) makes Forebay go on to the next: a 401, 403 or
404 is an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from forebay.hub.reference import Reference
from forebay.hub.snapshot import Snapshot, SnapshotFile
from forebay.types import JSON


@dataclass(frozen=True, slots=True)
class Listing:
    """What is there.

    Attributes:
        snapshot: the files.
        info: the hub's own answer about the repository, for the mirror; empty where it has none.
    """

    snapshot: Snapshot
    info: Mapping[str, JSON] = field(default_factory=dict[str, JSON])


class Body(Protocol):
    """Bytes on their way.

    Attributes:
        start: position in the file of the first byte that will come: what was asked for, or 0 if that was ignored.
        size: of the whole file as the origin says it now; None: it does not.
        etag: strong validator, or "".
        host: who sends them, for messages.
    """

    start: int
    size: int | None
    etag: str
    host: str

    def chunks(self, most_bytes: int) -> Iterator[bytes]:
        """Yield the bytes in order, at most so many at once.

        Raises:
            OriginError: they stopped before the end.
        """
        ...


class Origin(Protocol):
    """One place that data comes from. Safe to use from several threads."""

    @property
    def name(self) -> str:
        """Which one, for messages: its host."""
        ...

    def resolve(self, reference: Reference, *, token: str | None = None, known: Snapshot | None = None) -> Listing:
        """Say what a reference means now, and what is there.

        Args:
            reference: of a repository; its path and configuration are not looked at.
            token: instead of the configured one; "" is none at all.
            known: what it meant when it was last asked for; what is at a commit need not be listed twice.

        Raises:
            NotFoundError: it is not there.
            AccessError: it is gated or private, and the token does not open it.
            OriginError: the origin cannot be reached or fails.
        """
        ...

    def read(
        self, snapshot: Snapshot, file: SnapshotFile, start: int, etag: str, *, token: str | None = None
    ) -> AbstractContextManager[Body]:
        """Begin to read a file.

        Args:
            snapshot: what the file is of.
            file: the file.
            start: the first byte wanted.
            etag: what earlier bytes came under: if the file has changed since, all of it comes; "" is not known.
            token: as in `resolve`.

        Raises:
            NotFoundError, AccessError, OriginError: as in `resolve`.
        """
        ...
