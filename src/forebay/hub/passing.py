"""A file's bytes straight from its origins, kept nowhere: for when the store cannot keep them.

What can be checked is: all of a file, and whatever is asked of a small one. A part of a large file is passed on as it
comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from forebay.errors import OriginError, StoreError, StoreFullError, StoreReadOnlyError, WrongBytesError
from forebay.events import Event, What
from forebay.hub.content import Check
from forebay.hub.origin import Origin
from forebay.hub.patience import Busy, Patience
from forebay.hub.snapshot import Snapshot, SnapshotFile
from forebay.store import Store

_PIECE_BYTES = 2**20
_SMALL_BYTES = 8 * 2**20
"""A file up to this size is gathered in memory and checked before any of it is given out."""


def unkept(store: Store, error: StoreError) -> Event:
    """Return the warning that a store cannot keep what is fetched: the same for whatever comes after that."""
    reasons: dict[type[StoreError], str] = {
        StoreFullError: "has no room",
        StoreReadOnlyError: "may not be written",
    }
    why = reasons.get(type(error), f"fails ({error.what})")
    return Event(What.WARNING, f"the store in {store.home} {why}: what is fetched is passed on, and not kept")


@dataclass(frozen=True, slots=True)
class Passing:
    """Reads one file from its origins. Safe to use from several threads.

    Attributes:
        origins: asked in turn, each going on where the one before has ended.
        snapshot: what the file is of.
        file: the file; its size is known.
        token: instead of the configured one; "" is none at all.
        attempts: how often each origin is asked in vain.
        patience: between attempts.
        spoil: called when bytes that were given out turn out to be wrong.
    """

    origins: Sequence[Origin]
    snapshot: Snapshot
    file: SnapshotFile
    token: str | None
    attempts: int
    patience: Patience
    spoil: Callable[[], None]

    def chunks(self, start: int, end: int | None) -> Iterator[bytes]:
        """Return the bytes from `start` to `end`; the first ones have come when this returns.

        Raises:
            WrongBytesError: they are not what they should be, here or later: the last one is not given out then.
            OriginError, NotFoundError, AccessError: an origin refuses, or none can be reached.
        """
        size = self.file.size or 0
        end = size if end is None else min(end, size)
        if size <= _SMALL_BYTES:
            pieces = iter([self._gathered()[start:end]])
        elif (start, end) == (0, size):
            pieces = self._checked()
        else:
            pieces = self._pieces(self.origins, start, end)
        first = next(pieces, b"")
        return chain([first] if first else [], pieces)

    def _gathered(self) -> bytes:
        """Return all of the file, right, from the first origin that sends it so."""
        failed: list[OriginError] = []
        for origin in self.origins:
            check = Check(self.file.identity, self.file.size)
            try:
                data = b"".join(self._pieces([origin], 0, self.file.size or 0))
                check.update(data)
                self._raise_if_wrong(check)
            except OriginError as error:
                failed.append(error)
                continue
            return data
        raise failed[-1]

    def _checked(self) -> Iterator[bytes]:
        """Yield all of the file; the last byte once the rest is known to be right."""
        check, last = Check(self.file.identity, self.file.size), b""
        for piece in self._pieces(self.origins, 0, self.file.size or 0):
            check.update(piece)
            data = last + piece
            if len(data) > 1:
                yield data[:-1]
            last = data[-1:]
        try:
            self._raise_if_wrong(check)
        except WrongBytesError:
            self.spoil()
            raise
        yield last

    def _raise_if_wrong(self, check: Check) -> None:
        found = check.found()
        if found != check.identity:
            what = f"{self.file.path} of {self.snapshot.dataset} should be {check.identity}, but {found} was sent"
            raise WrongBytesError(what, subject=self.file.path, hint="ask another mirror, or tell the hub")

    def _pieces(self, origins: Sequence[Origin], start: int, end: int) -> Iterator[bytes]:
        """Yield a range as it comes, going on where a connection has broken."""
        at, failed = start, None
        for origin in origins:
            attempt = 0
            while at < end:
                before = at
                try:
                    for piece in self._pull(origin, at, end):
                        at += len(piece)
                        yield piece
                except Busy as error:
                    attempt = 1 if at > before else attempt + 1
                    failed = self._awaited(attempt, error)
                    if failed is not None:
                        break
                except OriginError as error:
                    failed = error
                    break
            if at >= end:
                return
        raise failed or OriginError(f"nobody sends {self.file.path}", subject=self.file.path)

    def _awaited(self, attempt: int, error: Busy) -> OriginError | None:
        """Wait after the failed attempt number `attempt` (from 1); return why not, where there is no other."""
        if attempt >= self.attempts:
            return error
        try:
            self.patience.wait(attempt - 1, error)
        except Busy as too_long:
            return too_long
        return None

    def _pull(self, origin: Origin, start: int, end: int) -> Iterator[bytes]:
        """Yield what one connection brings of a range.

        Raises:
            Busy: it ended too early.
        """
        file = self.file
        with origin.read(self.snapshot, file, start, file.etag, token=self.token) as body:
            if body.size is not None and body.size != file.size:
                what = f"{body.host} sends {body.size} bytes of {file.path}, which has {file.size}"
                raise WrongBytesError(what, subject=file.path, hint="ask another mirror, or tell the hub")
            at = body.start
            for piece in body.chunks(_PIECE_BYTES):
                fresh = piece[max(start - at, 0) : end - at]
                at += len(piece)
                if fresh:
                    yield fresh
                if at >= end:
                    return
        raise Busy(f"{body.host} stopped sending {file.path}", subject=file.path)
