"""A file's bytes while it is still being fetched, by whomever: the mirror's read-through.

A reader follows the partial on disk, so it does not matter which process downloads. It never gets the last byte of
what it asked for before the whole file has been checked, and what it got before is compared with the published object:
whoever reads to the end has the right bytes, and whoever has others gets an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from blake3 import blake3

from forebay.errors import WrongBytesError
from forebay.hub.download import Downloader, Wanted
from forebay.hub.partial import Partial
from forebay.hub.snapshot import SnapshotFile
from forebay.hub.vouching import place as place_of
from forebay.store import Store
from forebay.types import Digest, Entry, Key

_PIECE_BYTES = 2**20
_POLL_SECONDS = 0.01


@dataclass(slots=True)
class Flight:
    """One download that goes on in a thread of its own."""

    wanted: Wanted
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

    def start(self, wanted: Wanted) -> Flight:
        """Return the flight of a file; a token has one of its own, for what it may see another may not."""
        place = (place_of(wanted.snapshot, wanted.file.key), wanted.token)
        with self._guard:
            flight = self._flights.get(place)
            if flight is None:
                self._flights[place] = flight = Flight(wanted)
                name = f"forebay-fetch-{wanted.file.key[:8]}"
                flight.thread = threading.Thread(target=self._run, args=(place, flight), name=name, daemon=True)
                flight.thread.start()
            return flight

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


@dataclass(slots=True)
class Growing:
    """Reads one range of a file that is being fetched; `wrong` tells how often its bytes were wrong so far."""

    store: Store
    partial: Partial
    flight: Flight
    file: SnapshotFile
    start: int
    end: int | None
    wrong: Callable[[], int]

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes from `start` to `end` as they come; see the module.

        Raises:
            WrongBytesError: the file could not be had right, or its bytes changed after some were given out.
            ForebayError: what else the download ended with.
        """
        at, given, before = self.start, blake3(), self.wrong()
        while not self.flight.done.is_set():
            piece = self._next(at)
            if not piece:
                self.flight.done.wait(_POLL_SECONDS)
                continue
            given.update(piece)
            at += len(piece)
            yield piece
        content = self.flight.result().objects[0]
        data = self.store.read(content.digest)
        if at > self.start and not self._same(data, content.digest, at, given):
            what = f"{self.file.path} was sent wrong by one mirror and right by another"
            raise WrongBytesError(what, subject=self.file.path, hint="ask for it again from its start")
        if self.start and self.wrong() != before:  # whoever goes on from there may hold a wrong beginning
            what = f"the beginning of {self.file.path} was sent wrong before"
            raise WrongBytesError(what, subject=self.file.path, hint="ask for it again from its start")
        yield from whole(data, at, self.end)

    def _same(self, data: memoryview, digest: Digest, at: int, given: blake3) -> bool:
        """Tell whether the bytes given out, from `start` to `at`, are those of the content."""
        if self.start:
            return blake3(data[self.start : at]).digest() == given.digest()
        given.update(data[at:])  # with the rest they must have its digest: that spares hashing all again
        return given.hexdigest() == digest

    def _next(self, at: int) -> bytes:
        """Return some bytes that have come, but for the last one of what is wanted."""
        end = self.file.size if self.end is None else self.end
        try:
            for view in self.partial.read(at):
                most = _PIECE_BYTES if end is None else min(_PIECE_BYTES, end - 1 - at)
                length = min(view.nbytes - (end is None), most)
                return bytes(view[:length]) if length > 0 else b""
        except FileNotFoundError:
            pass  # published, or begun anew, just now
        return b""


def whole(data: memoryview, start: int, end: int | None) -> Iterator[bytes]:
    """Yield a range of an object's bytes."""
    end = len(data) if end is None else min(end, len(data))
    for at in range(start, end, _PIECE_BYTES):
        yield bytes(data[at : min(at + _PIECE_BYTES, end)])
