"""Room in the budget for files that gather: what is set apart, what counts, what goes first."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from disks import digest_of, key
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from forebay.config import Settings
from forebay.errors import StoreFullError, StoreReadOnlyError
from forebay.io import Lease
from forebay.store import Store
from forebay.store.allotment import Allotment
from forebay.testing.store_machine import Known, StoreStateMachine
from forebay.types import Cost, Entry, ObjectRef

MIB = 2**20
BUDGET = 4 * MIB


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "s") as it:
        yield it


def opened(home: Path, **more: object) -> Store:
    return Store.open(Settings(home=home, max_bytes=BUDGET, min_free_bytes=0, **more))  # type: ignore[arg-type]


def gather(store: Store, name: str, data: bytes) -> Path:
    """Write some bytes of a file, as a download does."""
    folder = store.home / "partials-v1" / key(name)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{1:016x}-{0:016d}"
    with path.open("ab") as file:
        file.write(data)
    return path


def put(store: Store, name: str, size: int) -> None:
    with store.batch() as batch:
        batch.add(Entry("delta", key(name), (batch.put("data", random.Random(name).randbytes(size)),)))


def there(store: Store, name: str) -> bool:
    return store.get("delta", key(name)) is not None


def linked(store: Store, name: str, path: Path, allotment: Allotment) -> None:
    data = path.read_bytes()
    ref = ObjectRef("data", digest_of(data), len(data))
    with store.batch() as batch:
        batch.take_over(allotment)
        assert batch.link([(ref, path, "none")]) == []
        batch.add(Entry("delta", key(name), (ref,)))


def test_it_counts_before_a_byte_has_come_and_not_twice_when_they_have(store: Store) -> None:
    before = store.bytes_at_rest()
    with store.allot(key("a"), MIB):
        assert store.bytes_at_rest() == before + MIB == store.usage().bytes
        gather(store, "a", bytes(MIB // 2))
        assert store.bytes_at_rest() == before + MIB == store.usage().bytes
        assert store.usage().partial_bytes == MIB // 2
    assert store.bytes_at_rest() == before + MIB // 2 == store.usage().bytes


def test_nobody_else_takes_its_room(store: Store) -> None:
    with store.allot(key("a"), 3 * MIB):
        with pytest.raises(StoreFullError, match="no room"):
            put(store, "b", 2 * MIB)
        put(store, "c", MIB // 2)
    put(store, "b", 2 * MIB)
    assert there(store, "b")


def test_entries_go_for_it(store: Store) -> None:
    put(store, "old", 3 * MIB)
    with store.allot(key("a"), 2 * MIB):
        assert not there(store, "old")


def test_what_has_no_room_is_refused_and_leaves_nothing(store: Store) -> None:
    put(store, "pinned", 3 * MIB)
    store.pin("delta", key("pinned"))
    before = store.bytes_at_rest()
    with pytest.raises(StoreFullError, match="no room"):
        store.allot(key("a"), 2 * MIB)
    assert store.bytes_at_rest() == before
    assert there(store, "pinned")


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_what_has_gathered_becomes_an_object_in_a_budget_that_holds_it_once(tmp_path: Path, codec: str) -> None:
    """Three quarters of the budget: moved by a link, or written anew under a codec; the partial goes afterwards."""
    with opened(tmp_path / "s", codec=codec) as store:
        data = random.Random(1).randbytes(3 * MIB)
        with store.allot(key("a"), len(data)) as allotment:
            path = gather(store, "a", data)
            if codec == "none":
                linked(store, "a", path, allotment)
            else:
                with store.batch() as batch:
                    batch.take_over(allotment)
                    batch.add(Entry("delta", key("a"), (batch.put("data", data),)))
            path.unlink()
            path.parent.rmdir()
        assert there(store, "a")
        assert 3 * MIB < store.bytes_at_rest() < BUDGET
        assert store.usage().reserved_bytes == 0


def test_a_batch_that_fails_gives_no_room_away(store: Store) -> None:
    """The bytes still lie there: from the end of the allotment on they count as they are."""
    before = store.bytes_at_rest()
    data = random.Random(2).randbytes(MIB)
    with store.allot(key("a"), len(data)) as allotment:
        path = gather(store, "a", data)
        with suppress(RuntimeError), store.batch() as batch:
            batch.take_over(allotment)
            assert batch.link([(ObjectRef("data", digest_of(data), len(data)), path, "none")]) == []
            raise RuntimeError
    assert store.bytes_at_rest() == before + len(data)


def test_a_batch_that_fails_gives_the_room_back_to_what_gathers(store: Store) -> None:
    """Else another could take it before the next attempt, which would not ask again."""
    data = random.Random(2).randbytes(3 * MIB)
    with held(store, "a"), store.allot(key("a"), len(data)) as allotment:
        path = gather(store, "a", data)
        before = store.bytes_at_rest()
        with suppress(RuntimeError), store.batch() as batch:
            batch.take_over(allotment)
            assert batch.link([(ObjectRef("data", digest_of(data), len(data)), path, "none")]) == []
            raise RuntimeError
        assert store.bytes_at_rest() == before == store.usage().bytes
        with pytest.raises(StoreFullError, match="no room"):
            put(store, "b", 2 * MIB)
        linked(store, "a", path, allotment)
        path.unlink()
        path.parent.rmdir()
    assert there(store, "a")
    assert store.usage().reserved_bytes == 0


def test_what_is_there_already_takes_no_room_over(store: Store) -> None:
    """Its second copy lies there still, and is not the next object's room."""
    data, other = random.Random(3).randbytes(MIB), random.Random(4).randbytes(MIB)
    with store.batch() as batch:
        batch.put("data", data)
    with store.allot(key("a"), len(data)) as first, store.allot(key("b"), len(other)) as second:
        gather(store, "a", data)
        gather(store, "b", other)
        before = store.bytes_at_rest()
        with store.batch() as batch:
            for allotment, each in ((first, data), (second, other)):
                batch.take_over(allotment)
                batch.put("data", each)
            assert store.bytes_at_rest() == before


def test_what_is_written_anew_piece_by_piece_has_its_room_from_the_beginning(store: Store) -> None:
    pieces = [random.Random(n).randbytes(MIB) for n in range(3)]

    def while_others_write() -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            with pytest.raises(StoreFullError, match="no room"):
                put(store, "b", 3 * MIB // 2)

    with store.allot(key("a"), 3 * MIB) as allotment, store.batch() as batch:
        batch.take_over(allotment)
        batch.add(Entry("delta", key("a"), (batch.put("data", while_others_write()),)))
    assert there(store, "a")
    assert store.usage().reserved_bytes == 0


def test_what_gathered_without_one_counts_for_batches_too(store: Store) -> None:
    with held(store, "a"):
        gather(store, "a", bytes(3 * MIB))
        with pytest.raises(StoreFullError):
            put(store, "b", 2 * MIB)
        put(store, "c", MIB // 2)


def test_what_nobody_goes_on_with_goes_before_any_entry(store: Store) -> None:
    put(store, "old", MIB)
    gather(store, "left", bytes(2 * MIB))
    put(store, "new", 2 * MIB)
    assert there(store, "old")
    assert there(store, "new")
    assert not (store.home / "partials-v1" / key("left")).exists()


def test_an_entry_goes_where_what_gathers_may_not(store: Store) -> None:
    put(store, "old", MIB)
    with held(store, "a"):
        path = gather(store, "a", bytes(2 * MIB))
        put(store, "new", 3 * MIB // 2)
        assert path.exists()
    assert not there(store, "old")


def test_the_index_made_anew_meanwhile_knows_of_it(store: Store) -> None:
    with store.allot(key("a"), 3 * MIB):
        store.reindex()
        with pytest.raises(StoreFullError):
            put(store, "b", 2 * MIB)
    put(store, "b", 2 * MIB)


DIES = """
import os, sys, time
from pathlib import Path
from forebay.config import Settings
from forebay.store import Store
from forebay.types import Key

store = Store.open(Settings(home=Path(sys.argv[1]), max_bytes=int(sys.argv[2]), min_free_bytes=0))
allotment = store.allot(Key(sys.argv[3]), int(sys.argv[4]))
print("there", flush=True)
time.sleep(600)
"""


def test_the_room_of_the_dead_is_taken_back(tmp_path: Path, store: Store) -> None:
    command = [sys.executable, "-c", DIES, store.home, str(BUDGET), key("a"), str(3 * MIB)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        with pytest.raises(StoreFullError):
            put(store, "b", 2 * MIB)
        process.send_signal(signal.SIGKILL)
        process.wait()
    gather(store, "a", bytes(MIB))
    put(store, "b", 2 * MIB)
    assert there(store, "b")


def test_a_store_for_reading_only_has_none_to_give(tmp_path: Path, store: Store) -> None:
    with Store.open(Settings(home=store.home, read_only=True)) as other, pytest.raises(StoreReadOnlyError):
        other.allot(key("a"), 1)


def held(store: Store, name: str) -> Lease:
    lease = store.lease(key(name))
    assert lease is not None
    return lease


def noise(text: str, size: int) -> bytes:
    return blake3(text.encode()).digest(size)


GATHERED = {name: key(f"gathers {name}") for name in ("g0", "g1")}
SIZES = {"g0": 3000, "g1": 9000}


class Gathering(StoreStateMachine):
    """Files gather beside all else that happens to a store: the budget is never exceeded, on the disk or in the books.

    Against the budget counts, of each, what was set apart for it, or what lies there if nothing is.
    """

    max_bytes = 22_000

    def __init__(self) -> None:
        self.live: dict[str, tuple[Allotment, Lease]] = {}
        self.was_cut = False
        super().__init__()

    def teardown(self) -> None:
        self._let_go_of_all()
        super().teardown()

    def _again(self, end: Callable[[], None]) -> None:
        self._let_go_of_all()
        super()._again(end)

    @rule(cut=st.one_of(st.just("lose"), st.just("keep"), st.integers(0, 99)))
    def power_cut(self, cut: Any) -> None:
        self._let_go_of_all()
        super().power_cut(cut)
        self.was_cut = True

    @rule(name=st.sampled_from(sorted(GATHERED)))
    def begin(self, name: str) -> None:
        if name in self.live:
            return
        lease = self.store.lease(GATHERED[name])
        if lease is None:  # the file of one that was let go has come back, and its owner, this process, lives
            assert self.was_cut
            return
        try:
            self.live[name] = self.store.allot(GATHERED[name], SIZES[name]), lease
        except StoreFullError:
            lease.release()

    @rule(name=st.sampled_from(sorted(GATHERED)), share=st.sampled_from([0.3, 1.0]))
    def come(self, name: str, share: float) -> None:
        if name in self.live:
            self._write(name, noise(name, SIZES[name])[: int(share * SIZES[name])])

    @rule(name=st.sampled_from(sorted(GATHERED)), linked=st.booleans(), fails=st.booleans())
    def finish(self, name: str, linked: bool, fails: bool) -> None:
        """It becomes an object, by a link or written anew; or that fails, and it stays."""
        if name not in self.live:
            return
        data, (allotment, lease) = noise(name, SIZES[name]), self.live.pop(name)
        path = self._write(name, data)
        with suppress(RuntimeError, StoreFullError), allotment, lease:
            with self.store.batch() as batch:
                batch.take_over(allotment)
                ref = ObjectRef("o0", digest_of(data), len(data))
                if not (linked and batch.rely([ref]) and not batch.link([(ref, path, "none")])):
                    ref = batch.put("o0", data)
                batch.add(Entry("shard", key("n0"), (ref,), meta={"name": "n0"}, cost=Cost(1.0), recoverable=True))
                if fails:
                    raise RuntimeError
            old = self.known.get(("shard", "n0"))
            self.known["shard", "n0"] = Known((data,), True, "", old is not None and old.pinned)
            self.hollow.pop(("shard", "n0"), None)
            self._unlink(name)

    @rule(name=st.sampled_from(sorted(GATHERED)))
    def let_go(self, name: str) -> None:
        """As an error does that ends a download: what has come stays."""
        if name in self.live:
            self._let_go(name)

    def _let_go(self, name: str) -> None:
        allotment, lease = self.live.pop(name)
        with allotment, lease:
            pass

    def _let_go_of_all(self) -> None:
        for name in list(self.live):
            self._let_go(name)

    def _folder(self, name: str) -> Path:
        return self.store.home / "partials-v1" / GATHERED[name]

    def _write(self, name: str, data: bytes) -> Path:
        self._unlink(name)
        self.disk.make_dirs(self._folder(name))
        path = self._folder(name) / f"{1:016x}-{0:016d}"
        file = self.disk.create(path)
        file.write(data)
        file.flush()
        file.close()
        return path

    def _unlink(self, name: str) -> None:
        with suppress(FileNotFoundError):
            for file, _ in list(self.disk.scan(self._folder(name))):
                self.disk.unlink(self._folder(name) / file)
            self.disk.remove_dir(self._folder(name))

    def _bytes_on_disk(self) -> int:
        apart = sum(SIZES[name] for name in self.live)
        others = (self._folder(name) for name in GATHERED if name not in self.live)
        there = sum(
            len(data) for each in others for path, data in self.disk.tree().items() if path.startswith(f"{each}/")
        )
        return super()._bytes_on_disk() + apart + there


TestMachine = Gathering.TestCase
TestMachine.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
