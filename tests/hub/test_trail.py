"""A download's latest bytes in memory, and what is known of bytes that were given out."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from forebay.errors import OriginError
from forebay.hub.given import Given
from forebay.hub.snapshot import SnapshotFile
from forebay.hub.streaming import Flight, Flights, Growing
from forebay.hub.trail import Piece, Trail
from forebay.types import Digest, Key

MIB = 2**20


def fill(trail: Trail, content: bytes, piece_bytes: int, start: int = 0) -> None:
    hashed = blake3(content[:start])
    for at in range(start, len(content), piece_bytes):
        data = content[at : at + piece_bytes]
        trail.add(at, data, hashed.copy())
        hashed.update(data)


def test_what_has_come_is_there_from_a_position_on() -> None:
    trail, content = Trail(), bytes(range(256)) * 4
    fill(trail, content, 100)
    for position in (0, 1, 99, 100, 555, 1023):
        pieces = trail.after(position, 0.0)
        assert pieces[0].start <= position < pieces[0].end
        assert b"".join(piece.data for piece in pieces)[position - pieces[0].start :] == content[position:]
        assert pieces[0].hash_until(position).digest() == blake3(content[:position]).digest()
    assert trail.after(1024, 0.0) == []


def test_only_the_latest_bytes_stay() -> None:
    trail, content = Trail(), bytes(20 * MIB)
    fill(trail, content, MIB)
    assert trail.after(0, 60.0) == []  # nobody waits for what is gone
    assert [piece.start for piece in trail.after(12 * MIB, 0.0)] == [n * MIB for n in range(12, 20)]


def test_the_more_downloads_the_less_each_keeps() -> None:
    flights, keeping = Flights.__new__(Flights), list[Trail]()
    flights._flights = {}
    for number in range(64):
        flights._flights[Key(f"{number:064x}"), None] = None  # type: ignore[assignment]
        trail = Trail(flights._trail_bytes)
        fill(trail, bytes(9 * MIB), MIB // 4)
        keeping.append(trail)
    kept = [
        sum(len(piece.data) for piece in trail.after(9 * MIB - 1 - size, 0.0))
        for trail, size in ((keeping[0], 8 * MIB - 1), (keeping[-1], MIB // 2 - 1))
    ]
    assert kept == [8 * MIB, MIB // 2]
    assert keeping[-1].after(8 * MIB, 0.0) == []


def test_what_comes_anew_is_another_attempt() -> None:
    trail = Trail()
    fill(trail, b"wrong", 5)
    first = trail.after(0, 0.0)[0]
    trail.check(Digest("0" * 64))
    trail.anew()
    assert (trail.after(0, 0.0), trail.checked) == ([], None)
    fill(trail, b"right", 5)
    assert trail.after(0, 0.0)[0].attempt != first.attempt


def test_a_reader_waits_for_what_is_worth_it_or_the_end() -> None:
    trail = Trail()
    trail.add(0, b"abc", blake3())
    got: list[list[Piece]] = []
    for finish in (lambda: trail.add(3, bytes(MIB), blake3(b"abc")), lambda: trail.check(Digest("0" * 64)), trail.end):
        reader = threading.Thread(target=lambda: got.append(trail.after(MIB + 3 if got else 3, 60.0)))
        reader.start()
        finish()
        reader.join(30)
        assert not reader.is_alive()
    assert [len(pieces) for pieces in got] == [1, 0, 0]


STEPS = st.lists(st.tuples(st.integers(1, 40), st.sampled_from(["trail", "disk", "restart", "flip"])), max_size=12)


@given(STEPS, st.integers(0, 60), st.integers(1, 50))
def test_what_was_given_is_known_however_it_came(steps: list[tuple[int, str]], start: int, piece_bytes: int) -> None:
    """Bytes from memory and from the disk in any order, over attempts that differ, are told from the right ones."""
    right = bytes(n * 7 % 251 for n in range(400))
    sent, trail, noted = right, Trail(), Given(start)
    fill(trail, sent, piece_bytes)
    out, begun = b"", sent
    for size, how in steps:
        if how in ("restart", "flip"):
            flipped = bytearray(right)
            flipped[size] ^= how == "flip"
            sent = bytes(flipped)
            trail.anew()
            fill(trail, sent, piece_bytes)
            begun = begun if out else sent
            continue
        data = sent[noted.at : noted.at + size][: 399 - noted.at]
        pieces = [each for each in trail.after(noted.at, 0.0) if each.start < noted.at + len(data)]
        if data:
            noted.note(data, pieces[-1] if how == "trail" else None)
            begun = begun if out else sent
            out += data
    digest, view = Digest(blake3(right).hexdigest()), memoryview(right)
    since, hashed = noted.hashed()
    assert since in (0, start)
    known = begun[since:start] + out  # with what came before it in the same download
    assert hashed.digest() == blake3(known).digest()
    are_right = known == right[since : noted.at]
    assert noted.is_in(view, digest) == are_right
    assert noted.ends(right[noted.at :], digest) == (since == 0 and are_right)
    assert not noted.ends(right[noted.at :] + b"?", digest)


def test_who_follows_a_file_that_is_being_published_does_not_spin() -> None:
    """All has come and is right; what the reader waits for takes a processor that it must not take itself."""
    waits = list[float]()

    class Watched(Trail):
        def wait(self, seconds: float) -> None:
            waits.append(seconds)
            super().wait(seconds)

    content, trail = bytes(1000), Watched()
    fill(trail, content, 100)
    trail.check(Digest(blake3(content).hexdigest()))
    file = SnapshotFile("x", 1000, "git:x")
    flight: Any = Flight(cast("Any", None), trail, error=OriginError("the end"))
    timer = threading.Timer(0.2, flight.done.set)
    timer.start()
    reader = Growing(cast("Any", None), cast("Any", None), flight, file, Given(0), None, lambda: 0)
    with pytest.raises(OriginError, match="the end"):
        list(reader.chunks())
    timer.join()
    assert len(waits) < 50
