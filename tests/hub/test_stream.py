"""Bytes as they come: whoever reads to the end has the right ones."""

import errno
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from forebay import config
from forebay.errors import AccessError, CacheRequiredError, NotFoundError, OriginError, StoreError, WrongBytesError
from forebay.events import Event, What
from forebay.hub import Hub
from forebay.hub.given import Given
from forebay.hub.http import Waits
from forebay.io import LocalFilesystem, OpenFile
from forebay.store import Store
from forebay.testing import HubFault, Repository
from forebay.types import Buffer

from .conftest import FILES, LARGE, World  # pyright: ignore

REFERENCE = "hf://datasets/team/small"
PARQUET = "data/train.parquet"


@pytest.mark.parametrize("path", list(FILES))
def test_a_stream_is_the_file(world: World, path: str) -> None:
    hub = world.hub()
    snapshot = hub.resolve(REFERENCE)
    for _ in range(2):  # while it is fetched, and from the store
        assert b"".join(hub.stream(snapshot, path)) == FILES[path]
    assert world.sent_bytes(path) == len(FILES[path])


@pytest.mark.parametrize(("start", "end"), [(0, 1), (5, 1_000_000), (3_199_999, None), (2_000_000, 9_999_999), (7, 7)])
def test_a_range(world: World, start: int, end: int | None) -> None:
    hub = world.hub()
    snapshot = hub.resolve(REFERENCE)
    for _ in range(2):
        assert b"".join(hub.stream(snapshot, PARQUET, start, end)) == LARGE[start:end]


def test_the_first_bytes_come_at_once(world: World) -> None:
    hub = world.hub()
    snapshot = hub.resolve(REFERENCE)
    world.fake.faults.add(HubFault(bytes_per_second=2e6), "/cdn/*")
    pieces = hub.stream(snapshot, PARQUET)
    first = next(pieces)
    assert first == LARGE[: len(first)]
    assert hub.file(snapshot, PARQUET) is None  # it is still on its way
    assert first + b"".join(pieces) == LARGE


def test_many_readers_share_one_download(world: World) -> None:
    hub = world.hub()
    snapshot = hub.resolve(REFERENCE)
    world.fake.faults.add(HubFault(bytes_per_second=1e7), "/cdn/*")
    got: list[bytes] = []
    readers = [threading.Thread(target=lambda: got.append(b"".join(hub.stream(snapshot, PARQUET)))) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert got == [LARGE] * 8
    assert world.sent_bytes() == len(LARGE)


def test_a_reader_follows_the_download_of_another_process(world: World) -> None:
    """Two hubs over two stores in one home are as two processes: they share nothing but the disk."""
    one, other = world.hub(), world.hub()
    snapshot = one.resolve(REFERENCE)
    world.fake.faults.add(HubFault(bytes_per_second=3e6), "/cdn/*")
    fetching = threading.Thread(target=one.fetch_file, args=(snapshot, PARQUET))
    fetching.start()
    while not one.partials.keys():
        time.sleep(0.01)
    pieces = other.stream(snapshot, PARQUET)
    first = next(pieces)
    assert fetching.is_alive()
    assert first + b"".join(pieces) == LARGE
    fetching.join()
    assert world.sent_bytes() == len(LARGE)


@pytest.mark.parametrize("position", [0, 2_500_000, -1])
def test_wrong_bytes_never_end_in_silence(world: World, position: int) -> None:
    hub = world.hub()
    snapshot = hub.resolve(REFERENCE)
    world.fake.faults.add(HubFault(flip_byte=position, bytes_per_second=2e7), "/cdn/*")
    came: list[bytes] = []
    with pytest.raises(WrongBytesError):
        came.extend(hub.stream(snapshot, PARQUET))
    assert sum(map(len, came)) < len(LARGE)


def test_a_reader_that_was_given_wrong_bytes_is_told_though_the_next_mirror_is_right(
    world: World, second_hub, repository: Repository
) -> None:
    liar = second_hub(repository)
    liar.faults.add(HubFault(flip_byte=5, bytes_per_second=4e6), "/cdn/*")
    hub = world.hub(hf_endpoints=(liar.hf_endpoint, world.fake.hf_endpoint))
    snapshot = hub.resolve(REFERENCE)
    came: list[bytes] = []
    with pytest.raises(WrongBytesError, match="wrong by one mirror and right by another"):
        came.extend(hub.stream(snapshot, PARQUET))
    assert sum(map(len, came)) < len(LARGE)
    assert b"".join(hub.stream(snapshot, PARQUET)) == LARGE


def test_a_reader_that_was_given_right_bytes_goes_on_at_the_next_mirror(
    world: World, second_hub, repository: Repository
) -> None:
    liar = second_hub(repository)
    liar.faults.add(HubFault(flip_byte=-1, bytes_per_second=4e6), "/cdn/*")
    hub = world.hub(hf_endpoints=(liar.hf_endpoint, world.fake.hf_endpoint))
    assert b"".join(hub.stream(hub.resolve(REFERENCE), PARQUET)) == LARGE


def test_refusals_come_before_the_first_byte(world: World) -> None:
    world.fake.shelf.add(Repository("team/gated", files={"w.bin": LARGE[::-1]}, gated="auto", readers=["ann"]))
    hub = world.hub()
    gated = hub.resolve("hf://datasets/team/gated")
    with pytest.raises(AccessError):
        hub.stream(gated, "w.bin")
    assert b"".join(hub.stream(gated, "w.bin", token="ann")) == LARGE[::-1]
    snapshot = hub.resolve(REFERENCE)
    with pytest.raises(NotFoundError):
        hub.stream(snapshot, "nope")
    world.fake.die()
    with pytest.raises(OriginError):
        hub.stream(snapshot, PARQUET)
    offline = world.hub(offline=True)
    with pytest.raises(CacheRequiredError):
        offline.stream(snapshot, PARQUET)


def test_a_reader_that_goes_away_leaves_a_download_that_ends(world: World) -> None:
    hub = world.hub()
    snapshot = hub.resolve(REFERENCE)
    world.fake.faults.add(HubFault(bytes_per_second=2e6), "/cdn/*")
    next(hub.stream(snapshot, PARQUET))
    hub.close()  # stops it; what has come is kept
    assert 0 < hub.partials.bytes() < len(LARGE)
    world.fake.faults.clear()
    world.fake.forget()
    left = len(LARGE) - hub.partials.bytes()
    again = world.hub()
    again.fetch_file(snapshot, PARQUET)
    assert world.sent_bytes() == left


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every file for one that is given out whole before it is kept."""
    monkeypatch.setattr("forebay.hub.streaming._LONG_BYTES", 0)


class Flushing:
    """A file of a partial, that does something else before it is flushed."""

    def __init__(self, file: OpenFile, first: Callable[[], None]) -> None:
        self._file, self._first = file, first

    def write(self, data: Buffer) -> None:
        self._file.write(data)

    def flush(self) -> None:
        self._first()
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Disk(LocalFilesystem):
    """One on which partials take their time to become durable, or cannot."""

    def __init__(self, flushing: Callable[[], None]) -> None:
        super().__init__()
        self.flushing = flushing

    def create(self, path: Path, *, mode: int = 0o644) -> OpenFile:
        file = super().create(path, mode=mode)
        return Flushing(file, lambda: self.flushing()) if "partials-v1" in path.parts else file


def on(world: World, disk: Disk) -> Hub:
    """Open a hub over a store on a disk."""
    store = world.stack.enter_context(Store.open(config.resolve({}, home=world.home), fs=disk))
    hub = Hub(store, world.settings(), world.events.append, fs=disk, waits=Waits(0.001, 0.01))
    return world.stack.enter_context(hub)


def take(pieces: Iterator[bytes], size: int) -> bytes:
    """Take pieces until there are so many bytes, and do not ask for more."""
    came = b""
    while len(came) < size:
        came += next(pieces)
    return came


@pytest.mark.usefixtures("long")
def test_the_last_byte_waits_for_the_check_and_not_for_the_disk(world: World) -> None:
    durable = threading.Event()
    disk = Disk(lambda: durable.wait(60) and None)
    hub = on(world, disk)
    snapshot = hub.resolve(REFERENCE)
    pieces = hub.stream(snapshot, PARQUET)
    assert take(pieces, len(LARGE)) == LARGE
    assert hub.file(snapshot, PARQUET) is None  # it is not published yet
    durable.set()
    assert list(pieces) == []  # at its end it is
    entry = hub.file(snapshot, PARQUET)
    assert entry is not None
    assert bytes(hub.store.read(entry.objects[0].digest)) == LARGE


@pytest.mark.usefixtures("long")
def test_a_part_waits_until_all_is_published(world: World) -> None:
    """Its bytes are compared with the published object."""
    durable = threading.Event()
    disk = Disk(lambda: durable.wait(60) and None)
    hub = on(world, disk)
    snapshot = hub.resolve(REFERENCE)
    came: list[bytes] = []
    reader = threading.Thread(target=lambda: came.extend(hub.stream(snapshot, PARQUET, 5, 1_000_000)))
    whole = hub.stream(snapshot, PARQUET)
    reader.start()
    assert take(whole, len(LARGE)) == LARGE
    assert sum(map(len, came)) < 1_000_000 - 5
    durable.set()
    reader.join()
    assert b"".join(came) == LARGE[5:1_000_000]


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("fails", ["before the reader goes on", "after the reader has all"])
def test_bytes_that_are_right_come_though_they_cannot_be_kept(fails: str, world: World) -> None:
    taken, full = threading.Event(), [True]

    def flushing() -> None:
        if full:
            if fails == "after the reader has all":
                taken.wait(60)
            raise OSError(errno.ENOSPC, "No space left on device")

    hub = on(world, Disk(flushing))
    snapshot = hub.resolve(REFERENCE)
    pieces = hub.stream(snapshot, PARQUET)
    first = next(pieces)
    assert len(first) < len(LARGE)
    while fails == "before the reader goes on" and any(fetching()):
        time.sleep(0.01)
    assert first + take(pieces, len(LARGE) - len(first)) == LARGE
    taken.set()
    with pytest.raises(StoreError):
        next(pieces)
    assert hub.file(snapshot, PARQUET) is None
    full.clear()
    assert b"".join(hub.stream(snapshot, PARQUET)) == LARGE
    assert hub.file(snapshot, PARQUET) is not None


def fetching() -> Iterator[bool]:
    """Tell of each thread whether it downloads a file for those who follow it."""
    return (thread.name.startswith("forebay-fetch-") for thread in threading.enumerate())


@pytest.mark.usefixtures("long")
def test_bytes_that_have_gone_and_cannot_be_kept_are_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fell behind what is in memory needs the disk."""
    monkeypatch.setattr("forebay.hub.streaming.MOST_BYTES", 200_000)

    def flushing() -> None:
        raise OSError(errno.EIO, "Input/output error")

    hub = on(world, Disk(flushing))
    pieces = hub.stream(hub.resolve(REFERENCE), PARQUET)
    next(pieces)
    while any(fetching()):
        time.sleep(0.01)
    shutil.rmtree(hub.store.home / "partials-v1")
    with pytest.raises(StoreError, match="cannot keep"):
        list(pieces)


@pytest.mark.usefixtures("long")
def test_a_hub_that_is_closed_after_the_last_byte_has_published(world: World) -> None:
    disk = Disk(lambda: time.sleep(0.2))
    hub = on(world, disk)
    snapshot = hub.resolve(REFERENCE)
    take(hub.stream(snapshot, PARQUET), len(LARGE))
    hub.close()
    assert hub.file(snapshot, PARQUET) is not None


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("start", [0, 5, 2_000_000])
def test_wrong_bytes_never_end_though_the_check_is_early(
    start: int, world: World, second_hub, repository: Repository
) -> None:
    """The first mirror's wrong bytes were given out from memory; the second one's are right."""
    liar = second_hub(repository)
    liar.faults.add(HubFault(flip_byte=2_500_000, bytes_per_second=2e7), "/cdn/*")
    hub = world.hub(hf_endpoints=(liar.hf_endpoint, world.fake.hf_endpoint))
    snapshot = hub.resolve(REFERENCE)
    came: list[bytes] = []
    with pytest.raises(WrongBytesError):
        came.extend(hub.stream(snapshot, PARQUET, start))
    assert sum(map(len, came)) < len(LARGE) - start


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("start", [0, 5])
def test_who_falls_behind_reads_the_disk(start: int, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forebay.hub.streaming.MOST_BYTES", 200_000)
    durable = threading.Event()
    hub = on(world, Disk(lambda: durable.wait(60) and None))
    snapshot = hub.resolve(REFERENCE)
    world.fake.faults.add(HubFault(bytes_per_second=1e7), "/cdn/*")
    pieces = hub.stream(snapshot, PARQUET, start)
    slow = b"".join(islice(pieces, 1))
    while hub.partials.bytes() < len(LARGE):
        time.sleep(0.01)
    if start:  # what came before it may not be known to this reader, who has to wait then
        durable.set()
    slow += take(pieces, len(LARGE) - start - len(slow))
    assert slow == LARGE[start:]
    if not start:  # it was known to be right all the same
        assert hub.file(snapshot, PARQUET) is None
    durable.set()
    assert list(pieces) == []


def test_it_is_noted_what_was_given_out(world: World) -> None:
    """As far as whoever reads has come back for more."""
    from blake3 import blake3

    hub = world.hub()
    snapshot = hub.resolve(REFERENCE)
    world.fake.faults.add(HubFault(bytes_per_second=1e7), "/cdn/*")
    given = Given(0)
    pieces = hub.stream(snapshot, PARQUET, given=given)
    at = 0
    for piece in pieces:
        if at + len(piece) < len(LARGE):
            assert given.at == at
            since, hashed = given.hashed()
            assert hashed.digest() == blake3(LARGE[since:at]).digest()
        at += len(piece)
    assert at == len(LARGE)


class Forgetful(LocalFilesystem):
    """One that gives back other bytes of partials than were written, from a moment on."""

    fails = False

    def map(self, path: Path) -> memoryview:
        view = super().map(path)
        if not self.fails or "partials-v1" not in path.parts:
            return view
        changed = bytearray(view)
        changed[len(changed) // 2] ^= 1
        return memoryview(bytes(changed))


def test_what_the_disk_has_changed_since_the_check_is_not_published(world: World) -> None:
    """A partial that another process began is copied in the end, so it is read again."""
    world.fake.faults.add(HubFault(cut_after_bytes=2_000_000), "/cdn/*")
    first = world.hub(attempts=1)
    snapshot = first.resolve(REFERENCE)
    with pytest.raises(OriginError):
        first.fetch_file(snapshot, PARQUET)
    world.fake.faults.clear()
    disk = Forgetful()

    def heard(event: Event) -> None:
        disk.fails = disk.fails or event.what is What.FETCH

    with Hub(first.store, world.settings(), heard, fs=disk, waits=Waits(0.001, 0.01)) as hub:
        with pytest.raises(StoreError, match="no more on the disk what it was"):
            hub.fetch_file(snapshot, PARQUET)
        assert hub.file(snapshot, PARQUET) is None
    assert b"".join(world.hub().stream(snapshot, PARQUET)) == LARGE
