"""A file's bytes while it is still being fetched, by whomever: the mirror's read-through.

A reader follows the partial on disk, so it does not matter which process downloads; where it is this one, it is given
the bytes as they come, while it keeps up. It never gets the last byte of what it asked for before the whole file has
been checked, and what it got before is compared with what was checked: whoever reads to the end has the right bytes,
and whoever has others gets an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

from forebay.errors import WrongBytesError
from forebay.hub.download import Downloader, Wanted
from forebay.hub.given import Given
from forebay.hub.partial import Partial
from forebay.hub.snapshot import SnapshotFile
from forebay.hub.trail import MOST_BYTES, Piece, Trail
from forebay.hub.vouching import place as place_of
from forebay.store import Store
from forebay.types import Entry, Key

_PIECE_BYTES = 2**20
_POLL_SECONDS = 0.01
_TRAILS_BYTES = 4 * MOST_BYTES
_LONG_BYTES = 2**27
"""A file from this size on is given out whole before it is kept. Smaller ones are kept in a moment, and who has one can
count on it that it is."""


@dataclass(slots=True)
class Flight:
    """One download that goes on in a thread of its own."""

    wanted: Wanted
    trail: Trail
    done: threading.Event = field(default_factory=threading.Event)
    entry: Entry | None = None
    error: BaseException | None = None
    thread: threading.Thread | None = None

    def result(self) -> Entry:
        """Return the entry, waiting for it.

        Raises:
            ForebayError: what the download ended with.
        """
        self.done.wait()
        if self.error is not None:
            raise self.error
        if self.entry is None:
            raise AssertionError("a flight that is done has an entry or an error")
        return self.entry


class Flights:
    """The downloads that readers of this process wait for: one per file, however many read it."""

    def __init__(self, downloader: Downloader) -> None:
        self._downloader = downloader
        self._guard = threading.Lock()
        self._flights: dict[tuple[Key, str | None], Flight] = {}

    def read(self, wanted: Wanted, given: Given, end: int | None) -> Iterator[bytes]:
        """Return a file's bytes from where `given` begins to `end`; the first ones have come when this returns.

        Raises:
            ForebayError: what the download ended with, here or later.
        """
        loader, file = self._downloader, wanted.file
        partial = loader.partials.of(place_of(wanted.snapshot, file.key))
        flight = self.start(wanted)
        pieces = Growing(loader.store, partial, flight, file, given, end, lambda: loader.spoiled[file.key]).chunks()
        first = next(pieces, b"")
        return chain([first] if first else [], pieces)

    def start(self, wanted: Wanted) -> Flight:
        """Return the flight of a file; a token has one of its own, for what it may see another may not."""
        place = (place_of(wanted.snapshot, wanted.file.key), wanted.token)
        with self._guard:
            flight = self._flights.get(place)
            if flight is None:
                trail = Trail(self._trail_bytes)
                self._flights[place] = flight = Flight(replace(wanted, trail=trail), trail)
                name = f"forebay-fetch-{wanted.file.key[:8]}"
                flight.thread = threading.Thread(target=self._run, args=(place, flight), name=name, daemon=True)
                flight.thread.start()
            return flight

    def _trail_bytes(self) -> int:
        """Return how many bytes each may keep in memory: together no more than a few could."""
        return min(MOST_BYTES, _TRAILS_BYTES // max(len(self._flights), 1))

    def close(self) -> None:
        """Stop all and wait for them; what has come is kept."""
        with self._guard:
            flights = list(self._flights.values())
        for flight in flights:
            flight.wanted.stop.set()
        for flight in flights:
            if flight.thread is not None:
                flight.thread.join()

    def _run(self, place: tuple[Key, str | None], flight: Flight) -> None:
        try:
            flight.entry = self._downloader.fetch(flight.wanted)
        except BaseException as error:  # noqa: BLE001 - raised again in every thread that waits
            flight.error = error
        finally:
            with self._guard:
                self._flights.pop(place, None)
            flight.done.set()
            flight.trail.end()


@dataclass(slots=True)
class Growing:
    """Reads a file that is being fetched, from where `given` begins to `end`.

    Attributes:
        given: takes note of what was given out.
        end: None: all of it.
        wrong: tells how often bytes of the file were wrong so far.
    """

    store: Store
    partial: Partial
    flight: Flight
    file: SnapshotFile
    given: Given
    end: int | None
    wrong: Callable[[], int]

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes from `given.start` to `end` as they come; see the module.

        After the last byte of a long file it returns when that is published.

        Raises:
            WrongBytesError: the file could not be had right, or its bytes changed after some were given out.
            ForebayError: what else the download ended with; after the last byte, too: it could not be kept.
        """
        given, before, trail = self.given, self.wrong(), self._trail()
        while not (over := self.flight.done.is_set()) or self._could_not_be_kept(trail):
            data, piece = self._next(trail)
            if data:
                yield data
                given.note(data, piece)  # whoever comes for more has it
            elif trail is None:
                self.flight.done.wait(_POLL_SECONDS)
            elif (last := self._last(trail)) and (not given.start or self.wrong() == before):
                yield last
                self.store.read(self.flight.result().objects[0].digest)  # looks at it while it is in memory
                return
            elif over:
                break  # it has gone from the trail and from the disk
            elif trail.checked is not None:  # all has come: the trail tells of no more, and only publishing is left
                self.flight.done.wait(_POLL_SECONDS)
            else:
                trail.wait(_POLL_SECONDS)
        content = self.flight.result().objects[0]
        view = self.store.read(content.digest)
        if not given.is_in(view, content.digest):
            what = f"{self.file.path} was sent wrong by one mirror and right by another"
            raise WrongBytesError(what, subject=self.file.path, hint="ask for it again from its start")
        if given.start and self.wrong() != before:  # whoever goes on from there may hold a wrong beginning
            what = f"the beginning of {self.file.path} was sent wrong before"
            raise WrongBytesError(what, subject=self.file.path, hint="ask for it again from its start")
        yield from whole(view, given.at, self.end)

    def _could_not_be_kept(self, trail: Trail | None) -> bool:
        """Tell whether the download failed after all had come and was right: who follows it may still have it."""
        return trail is not None and trail.checked is not None and self.flight.error is not None

    def _trail(self) -> Trail | None:
        """Return the trail of the download for who reads to the end of the file.

        Others cannot be told that their bytes are right before all of the file is there to compare with.
        """
        size = self.file.size
        return self.flight.trail if size is not None and (self.end is None or self.end >= size) else None

    def _most(self, at: int) -> int:
        """Return how many bytes may be given out next: not the last one of what is wanted."""
        end = self.file.size if self.end is None else self.end
        return _PIECE_BYTES if end is None else max(min(_PIECE_BYTES, end - 1 - at), 0)

    def _next(self, trail: Trail | None) -> tuple[bytes, Piece | None]:
        """Return bytes that have come, and where in the trail the last of them was; none: wait for more."""
        if trail is None:
            return self._from_partial(), None
        data, piece = self._from_trail(trail, _POLL_SECONDS)
        if data or not (data := self._from_partial()):
            return data, piece
        # What this process brings is in the trail before it is on the disk, so it may have come between the two looks.
        fresh, piece = self._from_trail(trail, 0.0)
        return fresh or data, piece

    def _from_trail(self, trail: Trail, seconds: float) -> tuple[bytes, Piece | None]:
        """Return bytes that have just come, and where the last of them was; none: they are not there."""
        at = self.given.at
        most = self._most(at)
        last, found = None, list[bytes]()
        for piece in trail.after(at, seconds) if most else ():
            skip = max(at - piece.start, 0)
            found.append(piece.data[skip : skip + most])
            most, last = most - len(found[-1]), piece
            if not most:
                break
        return found[0] if len(found) == 1 else b"".join(found), last

    def _from_partial(self) -> bytes:
        """Return some bytes that lie on the disk."""
        at = self.given.at
        most = self._most(at)
        try:
            for view in self.partial.read(at) if most else ():
                length = min(view.nbytes - (self.file.size is None and self.end is None), most)
                return bytes(view[:length]) if length > 0 else b""
        except FileNotFoundError:
            pass  # published, or begun anew, just now
        return b""

    def _last(self, trail: Trail) -> bytes:
        """Return the last byte of the file if all of it is known to be right, what was given out included."""
        at, checked = self.given.at, trail.checked
        if checked is None or at + 1 != self.file.size or at + 1 < _LONG_BYTES:
            return b""
        pieces = trail.after(at, 0.0)
        last = pieces[0].data[at - pieces[0].start :] if pieces else b""
        return last if self.given.ends(last, checked) else b""


def whole(data: memoryview, start: int, end: int | None) -> Iterator[bytes]:
    """Yield a range of an object's bytes."""
    end = len(data) if end is None else min(end, len(data))
    for at in range(start, end, _PIECE_BYTES):
        yield bytes(data[at : min(at + _PIECE_BYTES, end)])
