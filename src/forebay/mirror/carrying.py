"""Bytes that have to be fetched: through the store, and past it when it cannot keep them.

A cache never breaks the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from blake3 import blake3

from forebay.errors import StoreError, WrongBytesError
from forebay.events import Hook
from forebay.hub.given import Given
from forebay.hub.passing import unkept
from forebay.hub.snapshot import Snapshot

if TYPE_CHECKING:
    from forebay.hub import Hub


class Carrying:
    """Carries bytes from the hub to clients. Safe over threads.

    Args:
        hub: the store, and the origins behind it.
        hook: told WARNING each time that the store cannot keep what comes.
    """

    def __init__(self, hub: Hub, hook: Hook) -> None:
        self._hub, self._hook = hub, hook

    def stream(self, snapshot: Snapshot, path: str, start: int, end: int, *, token: str | None) -> Iterator[bytes]:
        """Return bytes [start, end) of a file as they come; see `Hub.stream`, and `Hub.through`.

        Raises:
            ForebayError: they cannot be had; no more that they cannot be kept.
        """
        given = Given(start)
        try:
            pieces = self._hub.stream(snapshot, path, start, end, token=token, given=given)
        except StoreError as error:
            self._hook(unkept(self._hub.store, error))
            return self._hub.through(snapshot, path, start, end, token=token)
        return self._followed(pieces, given, snapshot, path, end, token)

    def _followed(
        self, pieces: Iterator[bytes], given: Given, snapshot: Snapshot, path: str, end: int, token: str | None
    ) -> Iterator[bytes]:
        """Yield the pieces; where the store gives up in their midst, go on without it."""
        left = end - given.start
        try:
            for piece in pieces:
                left -= len(piece)
                yield piece
        except StoreError as error:
            self._hook(unkept(self._hub.store, error))
            if left <= 0:  # all of it was right, only that it cannot be kept
                return
            if left != end - given.at:
                raise
        else:
            return
        at, hashed = given.hashed()
        again = blake3()
        for piece in self._hub.through(snapshot, path, at, end, token=token):
            seen = max(given.at - at, 0)
            again.update(piece[:seen])
            at += len(piece)
            if at > given.at and again.digest() != hashed.digest():
                what = f"{path} was sent wrong by one mirror and right by another"
                raise WrongBytesError(what, subject=path, hint="ask for it again from its start")
            if at > given.at:
                yield piece[seen:]
