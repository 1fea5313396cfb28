"""Batches that rely on what is there, and take files over by a second name."""

from __future__ import annotations

from pathlib import Path

import pytest
from disks import agree, digest_of, key, payload, put

from forebay.config import Settings
from forebay.errors import ObjectMissingError, StoreFullError
from forebay.store import Store
from forebay.testing import FaultKind, FaultyFilesystem
from forebay.testing.faults import Fault
from forebay.testing.memory import MemoryFilesystem
from forebay.types import Digest, Entry, ObjectRef

HOME, OUTSIDE = Path("/home/store"), Path("/home/outside")


def ref(data: bytes) -> ObjectRef:
    return ObjectRef("o", digest_of(data), len(data))


def outside(disk: MemoryFilesystem | FaultyFilesystem, name: str, data: bytes) -> Path:
    disk.make_dirs(OUTSIDE)
    file = disk.create(OUTSIDE / name)
    file.write(data)
    file.flush()
    file.close()
    disk.flush_dir(OUTSIDE)
    return OUTSIDE / name


def opened(disk: MemoryFilesystem | FaultyFilesystem, **settings: int) -> Store:
    return Store.open(Settings(home=HOME, min_free_bytes=0, **settings), fs=disk)  # type: ignore[arg-type]


def test_a_linked_file_is_an_object_that_survives_its_other_name() -> None:
    disk, data = MemoryFilesystem(), payload("a")
    path = outside(disk, "a", data)
    with opened(disk) as store:
        with store.batch() as batch:
            assert batch.link([(ref(data), path, "none")]) == []
            batch.add(Entry("delta", key("e"), (ref(data),)))
        disk.unlink(path)
        assert bytes(store.read(digest_of(data))) == data
        agree(store, disk, HOME)
    after = disk.power_cut("lose")
    with opened(after) as store:
        assert bytes(store.read(digest_of(data))) == data


def test_a_linked_object_of_a_batch_that_fails_is_gone_and_the_file_is_not() -> None:
    disk, data = MemoryFilesystem(), payload("a")
    path = outside(disk, "a", data)
    with opened(disk) as store:
        entry = Entry("delta", key("e"), (ref(payload("nowhere")),))
        with pytest.raises(ObjectMissingError), store.batch() as batch:
            assert batch.link([(ref(data), path, "none")]) == batch.add(entry)
        assert not store.has(digest_of(data))
        assert disk.read(path) == data
        disk.unlink(path)
        agree(store, disk, HOME)


@pytest.mark.parametrize("kind", [FaultKind.CROSS_DEVICE, FaultKind.NOT_SUPPORTED, FaultKind.DENIED])
def test_what_cannot_be_linked_is_said_and_reserves_nothing_in_the_end(kind: FaultKind) -> None:
    disk, data = FaultyFilesystem(), payload("a")
    path = outside(disk, "a", data)
    with opened(disk) as store:
        disk.plan(Fault(kind, operation="link", times=1))
        with store.batch() as batch:
            assert batch.link([(ref(data), path, "none")]) == [ref(data)]
            batch.add(Entry("delta", key("e"), (batch.put("o", data),)))
        assert bytes(store.read(digest_of(data))) == data
        assert store.usage().reserved_bytes == 0


def test_linked_bytes_count_against_the_budget() -> None:
    disk = MemoryFilesystem()
    paths = [(ref(payload(name, 4000)), outside(disk, name, payload(name, 4000)), "none") for name in "abc"]
    with opened(disk, max_bytes=10_000) as store:
        with pytest.raises(StoreFullError), store.batch() as batch:
            batch.link(paths)  # type: ignore[arg-type]
        for _, path, _ in paths:
            disk.unlink(path)
        agree(store, disk, HOME)


def test_a_second_name_takes_no_room_on_the_disk() -> None:
    """A disk that has little room beside the file: nothing goes for a link, and it is not refused."""
    disk, old, data = MemoryFilesystem(capacity_bytes=2**23), payload("old", 2**21), payload("a", 5 * 2**20)
    with opened(disk) as store:
        put(store, "old", old)
        path = outside(disk, "a", data)
        with store.batch() as batch:
            assert batch.link([(ref(data), path, "none")]) == []
            batch.add(Entry("delta", key("e"), (ref(data),)))
        assert bytes(store.read(digest_of(data))) == data
        assert bytes(store.read(digest_of(old))) == old


def test_what_cannot_be_linked_is_written_in_a_budget_that_holds_it_once() -> None:
    disk, data = MemoryFilesystem(links=False), payload("a", 6000)
    path = outside(disk, "a", data)
    with opened(disk, max_bytes=10_000) as store:
        with store.batch() as batch:
            assert batch.link([(ref(data), path, "none")]) == [ref(data)]
            batch.add(Entry("delta", key("e"), (batch.put("o", data),)))
        assert store.usage().reserved_bytes == 0
        assert bytes(store.read(digest_of(data))) == data


def test_what_gathered_and_cannot_be_linked_has_its_room_all_the_same() -> None:
    disk, data = MemoryFilesystem(links=False), payload("a", 6000)
    path = outside(disk, "a", data)
    with opened(disk, max_bytes=10_000) as store:
        with store.allot(key("a"), len(data)) as allotment, store.batch() as batch:
            batch.take_over(allotment)
            assert batch.link([(ref(data), path, "none")]) == [ref(data)]
            with pytest.raises(StoreFullError):
                put(store, "other", payload("other", 5000))
            batch.add(Entry("delta", key("e"), (batch.put("o", data),)))
        assert store.usage().reserved_bytes == 0
        assert bytes(store.read(digest_of(data))) == data


def test_what_is_relied_on_stays_until_the_batch_ends() -> None:
    disk, kept, gone = MemoryFilesystem(), payload("kept", 4000), payload("gone", 4000)
    with opened(disk, max_bytes=12_000) as store:
        put(store, "kept", kept)
        put(store, "gone", gone)
        missing = ObjectRef("o", Digest("0" * 64), 1)
        with store.batch() as batch:
            assert batch.rely([ref(kept), missing]) == [missing]
            assert batch.rely([ref(kept)]) == []
            store.remove("delta", key("kept"))
            store.gc(max_bytes=0)
            assert store.has(digest_of(kept))
            assert not store.has(digest_of(gone))
            batch.add(Entry("delta", key("new"), (ref(kept),)))
        assert bytes(store.read(digest_of(kept))) == kept
        assert store.usage().reserved_bytes == 0


def test_what_the_books_have_is_relied_on_without_a_flush() -> None:
    disk = FaultyFilesystem(MemoryFilesystem())
    payloads = [payload(str(number)) for number in range(40)]
    with opened(disk) as store:
        put(store, "all", *payloads)
    after = disk.inner.power_cut("lose")
    disk = FaultyFilesystem(after)
    with opened(disk) as store:
        put(store, "mine", payload("mine"))  # what a process flushes once
        before = len(disk.trace)
        put(store, "again", *payloads)
        flushed = [each.path for each in disk.trace[before:] if each.name == "flush_dir"]
        assert not [path for path in flushed if path.is_relative_to(HOME / "objects-v1")]
    with opened(disk.inner.power_cut("lose")) as store:
        entry = store.get("delta", key("again"))
        assert entry is not None
        assert [bytes(store.read(each.digest)) for each in entry.objects] == payloads


def test_a_raw_file_of_another_size_is_not_relied_on() -> None:
    disk, data = MemoryFilesystem(), payload("a")
    with opened(disk) as store:
        put(store, "e", data)
        with store.batch() as batch:
            wrong = ObjectRef("o", digest_of(data), len(data) + 1)
            assert batch.rely([wrong]) == [wrong]
            batch.put("o", data)
