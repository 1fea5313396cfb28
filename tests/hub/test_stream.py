"""Bytes as they come: whoever reads to the end has the right ones."""

import threading
import time

import pytest

from forebay.errors import AccessError, CacheRequiredError, NotFoundError, OriginError, WrongBytesError
from forebay.testing import HubFault, Repository

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
