"""Partial downloads count: in the budget, in `du`, and `gc` takes those that nobody goes on with."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from forebay.errors import StoreFullError
from forebay.events import Event, What
from forebay.hub import FetchOptions, Hub
from forebay.hub.download import Stopped, Wanted
from forebay.hub.snapshot import key_of
from forebay.hub.together import Crowd
from forebay.store import Store
from forebay.testing import HubFault, Repository
from forebay.text import size
from forebay.types import Entry

from .conftest import LARGE, World  # pyright: ignore
from .test_processes import kill_in_the_middle, start  # pyright: ignore

DAY = 86_400.0
PARQUET = "data/train.parquet"


@pytest.fixture
def killed(world: World) -> int:
    """A download that was killed; return how many bytes of it had come."""
    world.fake.faults.add(HubFault(bytes_per_second=3e6), "/cdn/*")
    return kill_in_the_middle(world, start(world), 1_000_000)


def age(world: World, seconds: float) -> None:
    for path in world.home.glob("partials-v1/**/*"):
        os.utime(path, (time.time() - seconds,) * 2)


def test_they_are_seen(world: World, killed: int) -> None:
    store = world.store()
    usage = store.usage()
    assert (usage.partials, usage.partial_bytes) == (1, killed)
    others = usage.object_bytes + usage.entry_bytes + usage.reserved_bytes + usage.damaged_bytes
    assert usage.bytes == others + killed == store.bytes_at_rest()


def test_gc_leaves_a_new_one_and_takes_an_old_one(world: World, killed: int) -> None:
    store = world.store()
    assert store.gc().partials == 0
    assert store.usage().partial_bytes == killed
    age(world, 8 * DAY)
    told = store.gc(dry_run=True)
    assert (told.partials, store.usage().partials) == (1, 1)
    done = store.gc()
    assert (done.partials, store.usage().partials) == (1, 0)
    assert done.bytes >= killed
    assert not list((world.home / "partials-v1").iterdir())


def test_gc_of_an_age(world: World, killed: int) -> None:
    age(world, 2 * DAY)
    assert world.store().gc(older_than_seconds=3 * DAY).partials == 0
    assert world.store().gc(older_than_seconds=1 * DAY).partials == 1


def test_gc_to_a_size_takes_it_before_entries(world: World, killed: int) -> None:
    store = world.store()
    before = store.usage()
    done = store.gc(max_bytes=before.bytes - killed + 1000)
    assert (done.partials, done.entries) == (1, 0)
    assert done.left_bytes == store.bytes_at_rest() <= before.bytes - killed + 1000


def test_none_goes_that_is_under_way(world: World) -> None:
    hub, other = world.hub(), world.store()
    snapshot = hub.resolve("hf://datasets/team/small")
    world.fake.faults.add(HubFault(bytes_per_second=3e6), "/cdn/*")
    pieces = hub.stream(snapshot, PARQUET)
    came = next(pieces)
    age(world, 8 * DAY)
    done = other.gc(max_bytes=0)
    assert done.partials == 0
    assert came + b"".join(pieces) == LARGE
    assert other.usage().partials == 0


def test_what_has_come_is_gone_on_with_within_the_budget(world: World, killed: int) -> None:
    """Old entries go for what is still to come; the partial itself, which is being gone on with, does not."""
    with world.store() as store:
        rest = store.bytes_at_rest() - killed
    world.fake.faults.clear()
    world.fake.forget()
    store = world.store(max_bytes=rest + len(LARGE) + 100_000)
    hub = world.hub(store)
    hub.fetch_file(hub.resolve("hf://datasets/team/small"), PARQUET)
    assert world.sent_bytes() <= len(LARGE) - killed + 1000
    assert store.usage().bytes <= rest + len(LARGE) + 100_000
    assert store.usage().partials == 0


def test_room_is_made_for_what_is_to_come(world: World) -> None:
    budget = len(LARGE) + 600_000
    store = world.store(max_bytes=budget)
    hub = world.hub(store)
    snapshot = hub.resolve("hf://datasets/team/small")
    commit(store, "old", 1_000_000)
    pieces = hub.stream(snapshot, PARQUET)
    next(pieces)
    assert store.bytes_at_rest() <= budget
    assert b"".join(pieces)
    assert store.bytes_at_rest() <= budget


def test_batches_leave_a_download_its_room(world: World) -> None:
    """From before its first byte on: what others commit meanwhile finds what is left beside the whole file."""
    budget = len(LARGE) + 900_000
    store = world.store(max_bytes=budget)
    world.fake.faults.add(HubFault(bytes_per_second=6e6), "/cdn/*")
    pieces = world.hub(store).stream(world.hub(store).resolve("hf://datasets/team/small"), PARQUET)
    came = next(pieces)
    with pytest.raises(StoreFullError, match="no room"):
        commit(store, "large", 1_500_000)
    commit(store, "small", 500_000)
    assert store.usage().bytes <= budget
    assert came + b"".join(pieces) == LARGE
    assert store.usage().bytes <= budget
    assert store.get("old", key_of("small")) is not None
    assert store.usage().reserved_bytes == 0


def test_a_download_that_finds_no_room_says_so_before_it_begins(world: World) -> None:
    store = world.store(max_bytes=len(LARGE) + 900_000)
    commit(store, "pinned", 1_500_000)
    store.pin("old", key_of("pinned"))
    hub = world.hub(store)
    snapshot = hub.resolve("hf://datasets/team/small")
    world.fake.forget()
    with pytest.raises(StoreFullError, match=rf"cannot fetch {PARQUET}.*no room"):
        hub.fetch_file(snapshot, PARQUET)
    assert world.sent_bytes() == 0
    assert store.usage().partials == 0


def commit(store: Store, name: str, size: int) -> None:
    with store.batch() as batch:
        batch.add(Entry("old", key_of(name), (batch.put("data", os.urandom(size)),)))


def test_files_that_find_no_room_beside_others_come_after_them(world: World) -> None:
    """Under a codec each takes more while it comes than it keeps; eight at a time need not fail where one would not."""
    lines = {f"data/{n}.jsonl": "".join(f'{{"row": {row * (n + 3)}}}\n' for row in range(90_000)) for n in range(6)}
    world.fake.shelf.add(Repository("team/text", files=lines))
    largest = max(map(len, lines.values()))
    store = world.store(codec="zstd", max_bytes=largest * 2 + 600_000)
    assert sum(map(len, lines.values())) > 2 * store.settings.max_bytes
    hub = world.hub(store)
    snapshot = hub.fetch("hf://datasets/team/text", FetchOptions(workers=6))
    for path, text in lines.items():
        assert bytes(hub.read(snapshot, path, offline=True)) == text.encode()
    usage = store.usage()
    assert (usage.partials, usage.reserved_bytes) == (0, 0)


def test_when_nobody_is_left_who_could_give_room_the_fetch_ends(world: World) -> None:
    files = {f"data/{n}.bin": os.urandom(1_200_000) for n in range(6)}
    world.fake.shelf.add(Repository("team/many", files=files))
    store = world.store(max_bytes=8_000_000)
    commit(store, "pinned", 3_000_000)
    store.pin("old", key_of("pinned"))
    hub = world.hub(store)
    with pytest.raises(StoreFullError, match="no room"):
        hub.fetch("hf://datasets/team/many")
    usage = store.usage()
    assert usage.bytes <= 8_000_000
    assert usage.reserved_bytes == 0


APART = """
import sys
from pathlib import Path
from forebay.config import Settings
from forebay.store import Store
from forebay.types import Key

with Store.open(Settings(home=Path(sys.argv[1]), max_bytes=int(sys.argv[2]), min_free_bytes=0)) as store:
    with store.allot(Key("a" * 64), int(sys.argv[3])):
        print("there", flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["done", "killed"])
def test_room_that_another_process_has_is_waited_for(world: World, end: str) -> None:
    """It may be less than that later, as what it fetches can be evicted, or it may come to nothing."""
    budget = len(LARGE) + 900_000
    command = [sys.executable, "-c", APART, world.home, str(budget), str(len(LARGE))]
    told: list[str] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == b"there\n"

        def hook(event: Event) -> None:
            if event.what is What.WARNING:
                told.append(event.message)
                assert other.stdin is not None
                other.kill() if end == "killed" else other.stdin.close()

        store = world.store(max_bytes=budget)
        with Hub(store, world.settings(), hook) as hub:
            hub.fetch("hf://datasets/team/small")
    [warning] = told
    assert "no room" in warning
    assert f"waiting for other processes, which have {size(len(LARGE))} of it" in warning
    assert store.usage().reserved_bytes == 0
    assert store.usage().bytes <= budget


def test_a_fetch_that_waits_for_room_stops_when_it_is_told_to(world: World) -> None:
    """What others hold may take hours; another file's failure, or Ctrl-C, ends it at once."""
    store = world.store(max_bytes=len(LARGE) + 900_000)
    error = StoreFullError("no room")
    error.on_its_way = 1
    snapshot = world.hub(store).resolve("hf://datasets/team/small")
    wanted = Wanted(snapshot, snapshot.file(PARQUET))

    def fetch(_: Wanted) -> Entry:
        raise error

    crowd = Crowd(fetch, None, lambda _: wanted.stop.set())
    with pytest.raises(Stopped):
        crowd.get(wanted)


def test_nothing_goes_for_more_than_the_budget_could_ever_hold(world: World) -> None:
    files = {f"data/{n}.bin": os.urandom(1_200_000) for n in range(6)}
    world.fake.shelf.add(Repository("team/many", files=files))
    store = world.store(max_bytes=5_000_000)
    commit(store, "kept", 3_000_000)
    told = r"6 files of hf://datasets/team/many are missing, 7\.20 MB in all; the budget of .* is [^ ]+ MB;"
    with pytest.raises(StoreFullError, match=told):
        world.hub(store).fetch("hf://datasets/team/many")
    assert store.get("old", key_of("kept")) is not None
    world.hub(store).fetch("hf://datasets/team/many", FetchOptions(include=["data/1.bin", "data/2.bin"]))
