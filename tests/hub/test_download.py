"""One file, and everything that can go wrong with it on the way."""

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from forebay.errors import (
    AccessError,
    CacheRequiredError,
    NotFoundError,
    OriginError,
    StoreError,
    StoreFullError,
    WrongBytesError,
)
from forebay.events import What
from forebay.hub import FetchOptions, Hub, HubSettings
from forebay.hub.chain import Outages
from forebay.hub.http import Busy, Transport
from forebay.hub.memory import Memory
from forebay.hub.objectstore import ObjectStore
from forebay.hub.snapshot import FILE, SNAPSHOT
from forebay.hub.web import Web
from forebay.io import DiskSpace, LocalFilesystem
from forebay.testing import HubFault, Repository
from forebay.types import Entry

from .conftest import FILES, LARGE, World  # pyright: ignore

REFERENCE = "hf://datasets/team/small"
PARQUET = "data/train.parquet"


def test_all_files_come_once_and_right(world: World) -> None:
    hub = world.hub()
    snapshot = hub.fetch(REFERENCE)
    for path, content in FILES.items():
        assert bytes(hub.read(snapshot, path)) == content
    assert world.fetched_bytes() == sum(map(len, FILES.values()))
    asked = len(world.fake.log)
    hub.fetch(REFERENCE)
    hub.fetch(snapshot)
    assert len(world.fake.log) == asked
    assert not world.warnings()
    assert not hub.partials.keys()


def test_a_snapshot_names_its_contents(world: World) -> None:
    hub = world.hub()
    snapshot = hub.fetch(REFERENCE, FetchOptions(include=["*.md", "data/*.csv"]))
    entry = hub.store.get("snapshot", snapshot.key)
    assert entry is not None
    assert entry.recoverable
    assert entry.meta["fetched"] == ["README.md", "data/train.csv"]
    assert bytes(hub.store.read(entry.object("file:README.md").digest)) == FILES["README.md"]
    hub.fetch(snapshot)
    whole = hub.store.get("snapshot", snapshot.key)
    assert whole is not None
    assert whole.meta["fetched"] == "all"
    assert {ref.role for ref in whole.objects} == {"manifest", "info", *(f"file:{path}" for path in FILES)}


def test_what_is_fetched_survives_eviction_of_the_rest_when_pinned(world: World) -> None:
    hub = world.hub()
    snapshot = hub.fetch(REFERENCE)
    hub.store.pin("snapshot", snapshot.key)
    hub.store.gc(max_bytes=0)
    for path, content in FILES.items():
        ref = hub.store.get("snapshot", snapshot.key).object(f"file:{path}")  # pyright: ignore
        assert bytes(hub.store.read(ref.digest)) == content


def test_the_same_bytes_on_another_hub_are_not_fetched_again(world: World) -> None:
    hub = world.hub()
    hub.fetch(REFERENCE)
    world.fake.forget()
    snapshot = hub.fetch("ms://datasets/team/small")
    assert world.fake.count("*/repo") == 0
    assert bytes(hub.read(snapshot, PARQUET)) == LARGE


def test_the_same_bytes_at_two_paths_are_fetched_once(world: World) -> None:
    world.fake.shelf.add(Repository("team/twice", files={"a.bin": LARGE, "b.bin": LARGE}))
    world.hub().fetch("hf://datasets/team/twice")
    assert world.fetched_bytes() == len(LARGE)


@pytest.mark.parametrize("cut", [0, 1, 100_000, 1_500_000, len(LARGE) - 1])
def test_a_cut_is_resumed_where_it_was(world: World, cut: int) -> None:
    world.fake.faults.add(HubFault(cut_after_bytes=cut), "/cdn/*", times=2)
    hub = world.hub()
    snapshot = hub.fetch(REFERENCE)
    assert bytes(hub.read(snapshot, PARQUET)) == LARGE
    assert world.sent_bytes() == len(LARGE)


def test_many_cuts_with_progress_are_no_reason_to_give_up(world: World) -> None:
    world.fake.faults.add(HubFault(cut_after_bytes=300_000), "/cdn/*")
    hub = world.hub()
    assert bytes(hub.read(hub.resolve(REFERENCE), PARQUET)) == LARGE
    assert world.sent_bytes() == len(LARGE)


def test_a_hub_that_ignores_ranges_is_read_past_what_is_there(world: World) -> None:
    world.fake.faults.add(HubFault(ignore_range=True))
    world.fake.faults.add(HubFault(cut_after_bytes=2_000_000), "/cdn/*", times=1)
    hub = world.hub()
    assert bytes(hub.read(hub.resolve(REFERENCE), PARQUET)) == LARGE
    assert world.sent_bytes() == 2_000_000 + len(LARGE)


@pytest.mark.parametrize(
    "fault",
    [
        HubFault(status=503),
        HubFault(status=429, retry_after="0"),
        HubFault(status=429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
        HubFault(status=500),
        HubFault(status=408),
        HubFault(reset=True),
        HubFault(latency_seconds=0.05),
        HubFault(drop_headers=("Content-Length", "ETag", "Accept-Ranges")),
        HubFault(etag="something-else"),
        HubFault(drop_headers=("X-Repo-Commit", "X-Linked-Size", "X-Linked-ETag")),
    ],
    ids=str,
)
def test_trouble_that_passes(world: World, fault: HubFault) -> None:
    world.fake.faults.add(fault, times=2)
    hub = world.hub()
    snapshot = hub.fetch(REFERENCE, FetchOptions(workers=1))
    assert bytes(hub.read(snapshot, PARQUET)) == LARGE


def test_trouble_that_stays_is_an_error_that_names_the_host(world: World) -> None:
    hub = world.hub()
    snapshot = hub.resolve(REFERENCE)
    world.fake.faults.add(HubFault(status=503))
    with pytest.raises(OriginError, match=r"127\.0\.0\.1:\d+ answers 503 \(overloaded\); try again later"):
        hub.fetch(snapshot)
    world.fake.die()
    with pytest.raises(OriginError, match=r"cannot reach 127\.0\.0\.1"):
        hub.fetch_file(snapshot, PARQUET)


def test_retry_after_is_honoured(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from forebay.hub.http import Busy, Waits

    waits = Waits(0.001, 0.01)
    assert 7 <= waits.seconds(0, Busy("x", retry_after=7)) <= 7.25
    assert waits.seconds(0, Busy("x", retry_after=1e9)) < 121
    assert waits.seconds(9, Busy("x")) <= 0.01


@pytest.mark.parametrize("position", [0, 1_000_000, -1])
def test_a_flipped_byte_is_never_published(world: World, position: int) -> None:
    world.fake.faults.add(HubFault(flip_byte=position), "/cdn/*")
    hub = world.hub()
    snapshot = hub.resolve(REFERENCE)
    with pytest.raises(WrongBytesError) as caught:
        hub.fetch(snapshot)
    wrong = bytearray(LARGE)
    wrong[position] ^= 1
    for words in (PARQUET, hashlib.sha256(LARGE).hexdigest(), hashlib.sha256(wrong).hexdigest(), "127.0.0.1"):
        assert words in str(caught.value)
    assert hub.file(snapshot, PARQUET) is None
    assert not hub.partials.keys()
    assert all(info.kind != "file" or info.bytes < 100_000 for info in hub.store.entries())
    world.fake.faults.clear()
    assert bytes(hub.read(snapshot, PARQUET)) == LARGE


@pytest.mark.parametrize("path", ["README.md", "data/train.csv"])
def test_small_files_are_checked_by_their_git_name(world: World, path: str) -> None:
    world.fake.faults.add(HubFault(flip_byte=0), f"*{path}")
    hub = world.hub()
    with pytest.raises(WrongBytesError, match="git:"):
        hub.fetch_file(hub.resolve(REFERENCE), path)


@pytest.mark.parametrize(
    "fault",
    [HubFault(short_by_bytes=10), HubFault(replace_with=LARGE + b"!"), HubFault(replace_with=b"<html>log in</html>")],
)
def test_another_length_is_wrong_too(world: World, fault: HubFault) -> None:
    world.fake.faults.add(fault, "/cdn/*")
    hub = world.hub()
    snapshot = hub.resolve(REFERENCE)
    with pytest.raises(WrongBytesError, match=r"\d+ bytes instead of 3200000"):
        hub.fetch_file(snapshot, PARQUET)


def test_a_mirror_that_is_down_is_passed_over(world: World, second_hub) -> None:
    down = second_hub()
    down.die()
    hub = world.hub(hf_endpoints=(down.hf_endpoint, world.fake.hf_endpoint))
    assert bytes(hub.read(hub.fetch(REFERENCE), PARQUET)) == LARGE
    assert any("asking the next mirror" in warning for warning in world.warnings())


def test_a_mirror_that_is_down_is_not_asked_for_every_file(world: World, repository: Repository) -> None:
    """Resolving has found it out; no file need find it out again, and one warning is enough."""
    repository.commit({f"many/{number}.txt": str(number) for number in range(40)})
    hub = world.hub(hf_endpoints=("http://127.0.0.1:1", world.fake.hf_endpoint))
    hub.fetch(REFERENCE)
    assert hub.requests - len([one for one in world.fake.log if "/cdn/" not in one.path]) <= 3 + 1
    assert len(world.warnings()) == 1
    assert "asking the next mirror" in world.warnings()[0]


def test_who_is_down_is_asked_last_for_a_while_and_then_by_one() -> None:
    now, told = [0.0], []
    outages = Outages(told.append, lambda: now[0])
    [first, second] = origins = [Web(Transport(HubSettings())), ObjectStore()]

    def names() -> list[str]:
        return [origin.name for origin in outages.ordered(origins)]

    assert names() == ["the web", "the object store"]
    outages.failed(first, Busy("gone"), "a.txt", others=True)
    outages.failed(first, Busy("gone"), "b.txt", others=True)
    assert [event.message for event in told] == ["gone; asking the next mirror"]
    assert names() == ["the object store", "the web"]
    now[0] = 40.0
    assert names() == ["the web", "the object store"]
    assert names() == ["the object store", "the web"]
    outages.answered(first)
    assert names() == ["the web", "the object store"]
    outages.failed(first, OriginError("odd"), "a.txt", others=True)  # an answer, though of no use
    assert told[-1].message == "a.txt: odd; asking the next mirror"
    assert names() == ["the web", "the object store"]
    assert second.name == "the object store"


class _Narrow(LocalFilesystem):
    """A disk on which so much is free."""

    free = 0

    def space(self, path: Path) -> DiskSpace:
        return DiskSpace(10 * len(LARGE), self.free)


def test_a_file_needs_as_much_room_as_it_has_bytes(world: World) -> None:
    disk, store = _Narrow(), world.store(min_free_bytes=0)
    with Hub(store, world.settings(), fs=disk) as hub:
        disk.free = len(LARGE) // 2
        with pytest.raises(StoreFullError, match=rf"cannot fetch {PARQUET} of 3\.20 MB"):
            hub.fetch(REFERENCE)
        disk.free = len(LARGE) + 5000
        hub.fetch(REFERENCE)
    with Hub(world.store(home=world.home / "zstd", min_free_bytes=0, codec="zstd"), world.settings(), fs=disk) as hub:
        with pytest.raises(StoreFullError, match="cannot fetch"):
            hub.fetch(REFERENCE)  # the partial and what is made of it
        disk.free = 2 * len(LARGE) + 5000
        hub.fetch(REFERENCE)


def test_a_mirror_that_lies_is_passed_over(world: World, second_hub, repository: Repository) -> None:
    liar = second_hub(repository)
    liar.faults.add(HubFault(flip_byte=5), "/cdn/*")
    hub = world.hub(hf_endpoints=(liar.hf_endpoint, world.fake.hf_endpoint))
    assert bytes(hub.read(hub.fetch(REFERENCE), PARQUET)) == LARGE
    assert any("sends sha256:" in warning for warning in world.warnings())


def test_a_download_goes_on_at_another_mirror(world: World, second_hub, repository: Repository) -> None:
    first = second_hub(repository)
    hub = world.hub(hf_endpoints=(first.hf_endpoint, world.fake.hf_endpoint))
    snapshot = hub.resolve(REFERENCE)
    first.faults.add(HubFault(cut_after_bytes=0), "/cdn/*")
    first.faults.add(HubFault(cut_after_bytes=2_000_000), "/cdn/*", times=1)
    assert bytes(hub.read(snapshot, PARQUET)) == LARGE
    assert world.sent_bytes() == len(LARGE) - 2_000_000


def test_wrong_bytes_of_one_mirror_do_not_discredit_the_next(world: World, second_hub, repository: Repository) -> None:
    """The first sends a wrong beginning, then nothing; the second, honest, the rest: so all is asked of it again."""
    liar = second_hub(repository)
    hub = world.hub(hf_endpoints=(liar.hf_endpoint, world.fake.hf_endpoint))
    snapshot = hub.resolve(REFERENCE)
    liar.faults.add(HubFault(flip_byte=5, cut_after_bytes=0), "/cdn/*")
    liar.faults.add(HubFault(cut_after_bytes=2_000_000), "/cdn/*", times=1)
    assert bytes(hub.read(snapshot, PARQUET)) == LARGE
    assert world.sent_bytes() == (len(LARGE) - 2_000_000) + len(LARGE)


def test_refusals_are_answers_and_no_reason_to_ask_the_next(world: World, second_hub) -> None:
    empty = second_hub()
    hub = world.hub(hf_endpoints=(empty.hf_endpoint, world.fake.hf_endpoint))
    with pytest.raises(NotFoundError):
        hub.resolve(REFERENCE)
    assert not world.fake.log


def test_gated_bytes_need_the_token(world: World) -> None:
    world.fake.shelf.add(Repository("team/gated", files={"a.txt": "x"}, gated="auto", readers=["ann"]))
    hub = world.hub()
    with pytest.raises(AccessError):
        hub.fetch("hf://datasets/team/gated")
    hub.fetch("hf://datasets/team/gated", FetchOptions(token="ann"))


def test_offline_asks_nobody(world: World) -> None:
    hub = world.hub()
    snapshot = hub.fetch(REFERENCE, FetchOptions(include=["README.md"]))
    world.fake.forget()
    world.fake.die()
    options = FetchOptions(include=["README.md"], offline=True)
    assert hub.fetch(REFERENCE, options) == snapshot
    with pytest.raises(CacheRequiredError, match=r"data/.* is not in the store, and the network may not be asked"):
        hub.fetch(REFERENCE, FetchOptions(offline=True))
    with pytest.raises(CacheRequiredError):
        hub.fetch_file(snapshot, PARQUET, offline=True)
    assert not world.fake.log


def test_a_file_beyond_the_budget_is_refused_before_it_is_fetched(world: World) -> None:
    hub = world.hub(world.store(max_bytes=1_000_000))
    with pytest.raises(StoreFullError, match=r"3\.20 MB, the budget"):
        hub.fetch_file(hub.resolve(REFERENCE), PARQUET)
    assert world.sent_bytes() == 0


def test_the_budget_holds_and_others_make_room(world: World) -> None:
    store = world.store(max_bytes=8_000_000)
    hub = world.hub(store)
    for name in ("one", "two", "three"):
        content = LARGE[:-1] + name.encode()[:1]
        world.fake.shelf.add(Repository(f"team/{name}", files={"w.bin": content}))
        snapshot = hub.fetch(f"hf://datasets/team/{name}")
        assert bytes(hub.read(snapshot, "w.bin")) == content
        assert store.bytes_at_rest() <= 8_000_000


def test_a_full_disk_is_told_before_the_download(world: World) -> None:
    store = world.store(min_free_bytes=2**62)
    hub = world.hub(store)
    snapshot = world.fake.shelf.repositories[0]
    assert snapshot
    with pytest.raises(StoreFullError):
        hub.fetch(REFERENCE)
    assert world.sent_bytes() == 0


def test_a_read_only_store_serves_what_it_has(world: World) -> None:
    with world.store() as store:
        snapshot = world.hub(store).fetch(REFERENCE)
    hub = world.hub(world.store(read_only=True))
    assert hub.fetch(REFERENCE) == snapshot
    assert bytes(hub.read(snapshot, PARQUET)) == LARGE


@pytest.mark.parametrize("codec", ["zstd", "lz4", "gzip"])
def test_other_codecs_at_rest(world: World, codec: str) -> None:
    hub = world.hub(world.store(codec=codec))
    assert bytes(hub.read(hub.fetch(REFERENCE), PARQUET)) == LARGE


def test_a_downloaded_file_is_not_copied(world: World) -> None:
    hub = world.hub()
    inodes: set[int] = set()

    def spy(event) -> None:
        if event.what is What.PROGRESS and event.facts.get("state") == "running":
            inodes.update(path.stat().st_ino for path in world.home.glob("partials-v1/*/*"))

    hub._downloader.hook = spy  # pyright: ignore[reportPrivateUsage]
    world.fake.faults.add(HubFault(bytes_per_second=8e6), "/cdn/*")
    entry = hub.fetch_file(hub.resolve(REFERENCE), PARQUET)
    digest = entry.objects[0].digest
    stat = (world.home / "objects-v1" / digest[:2] / digest[2:]).stat()
    assert {stat.st_ino} == inodes
    assert stat.st_mode & 0o222 == 0


def test_progress_and_totals_are_told(world: World) -> None:
    world.hub().fetch(REFERENCE)
    phases = [event.facts for event in world.events if event.what is What.PROGRESS]
    assert phases[0]["phase"] == "snapshot"
    assert (phases[0]["files"], phases[0]["bytes"]) == (4, sum(map(len, FILES.values())))
    done = {facts["path"]: facts["done"] for facts in phases if facts.get("state") == "fetched"}
    assert done == {path: len(content) for path, content in FILES.items()}
    hosts = {event.facts["host"] for event in world.events if event.what is What.FETCH}
    assert {host.rpartition(":")[2] for host in hosts} == {
        endpoint.rpartition(":")[2] for endpoint in (world.fake.hf_endpoint, world.fake.cdn_endpoint)
    }


def test_threads_of_one_process_fetch_once(world: World) -> None:
    hub = world.hub()
    snapshot = hub.resolve(REFERENCE)
    world.fake.faults.add(HubFault(bytes_per_second=2e7), "/cdn/*")
    threads = [threading.Thread(target=hub.fetch_file, args=(snapshot, PARQUET)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.sent_bytes() == len(LARGE)
    assert bytes(hub.read(snapshot, PARQUET)) == LARGE


def test_files_that_somebody_removes_as_they_are_fetched(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there before may go; what is fetched itself may not, and that is said."""
    store = world.store()
    hub, commit = world.hub(store), store.commit
    snapshot = hub.fetch(REFERENCE, FetchOptions(include=["README.md"]))
    table = hub.fetch_file(snapshot, "data/train.csv").objects[0]
    spared, times = {table.digest}, [9]

    def late(entry: Entry, objects: Mapping[str, bytes] | None = None) -> Entry:
        if entry.kind == SNAPSHOT and not objects and times[-1]:
            times[-1] -= 1
            with world.store() as other:
                for row in [*other.entries(SNAPSHOT), *other.entries(FILE)]:  # a file has an entry by each identity
                    found = other.get(row.kind, row.key)
                    if found is not None and spared.isdisjoint(ref.digest for ref in found.objects):
                        other.remove(row.kind, row.key)
        return commit(entry, objects)

    monkeypatch.setattr(store, "commit", late)
    with pytest.raises(StoreError, match=r"^hf://datasets/team/small was removed while it was fetched; try again$"):
        hub.fetch(REFERENCE, FetchOptions(include=[PARQUET]))
    times.append(1)
    Memory(store).gather(snapshot, {"data/train.csv": table})
    gathered = store.get(SNAPSHOT, snapshot.key)
    assert gathered is not None
    assert gathered.meta["fetched"] == ["data/train.csv"]
    assert store.complete(gathered)
