"""What every store must do: subclass `StoreTests`, say how one is opened, and let pytest run it.

Example::

    class TestMine(StoreTests):
        def open_store(self, home, *, hook=ignore, **settings):
            return Store.open(Settings(home=home, **settings), fs=MyFilesystem(), hook=hook)

Each test opens stores in a folder of its own, `tmp_path / "store"`; what one of them committed, the next must find.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from forebay.config import Settings
from forebay.errors import InputError, NotFoundError, ObjectMissingError, StoreError, StoreFullError, StoreReadOnlyError
from forebay.events import Event, Hook, What, ignore
from forebay.store import Batch, Store
from forebay.types import Cost, Digest, Entry, Key, ObjectRef


def key_of(text: str) -> Key:
    """Return a key for a test."""
    return Key(blake3(text.encode()).hexdigest())


def noise(text: str, size: int) -> bytes:
    """Return bytes that no codec can shrink, always the same ones for a text."""
    return blake3(text.encode()).digest(size)


class StoreTests:
    """The conformance suite of a store."""

    def open_store(self, home: Path, *, hook: Hook = ignore, **settings: Any) -> Store:
        """Open the store under test in `home`, with fields of `Settings`."""
        settings.setdefault("min_free_bytes", 0)
        return Store.open(Settings(home=home, **settings), hook=hook)

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        """Return where the stores of one test are."""
        return tmp_path / "store"

    @pytest.fixture
    def store(self, home: Path) -> Iterator[Store]:
        """Open a store without a budget."""
        with self.open_store(home) as store:
            yield store

    # What was committed is found

    @pytest.mark.parametrize("size", [0, 1, 1000, 130_000, 2**20, 2**20 + 1, 3 * 2**20])
    @pytest.mark.parametrize("text", [True, False], ids=["text", "noise"])
    def test_what_was_committed_is_read(self, home: Path, size: int, text: bool) -> None:
        """Objects of any size come back, also for the next who opens the store."""
        data = (b"to be or not to be " * (size // 19 + 1))[:size] if text else noise("a", size)
        with self.open_store(home) as store:
            entry = store.commit(Entry("delta", key_of("a")), {"data": data})
            assert bytes(store.read(entry.objects[0].digest)) == data
        with self.open_store(home) as store:
            assert store.get("delta", key_of("a")) == entry
            view = store.read(entry.objects[0].digest)
            assert view.readonly
            assert view == data
            assert entry.objects[0] == ObjectRef("data", Digest(blake3(data).hexdigest()), size)

    def test_pieces_and_whole_are_one_object(self, store: Store) -> None:
        """However its bytes arrive, an object is the same one."""
        data = b"abc" * 700_000
        with store.batch() as batch:
            whole = batch.put("x", data)
            pieces = batch.put("x", (data[start : start + 300_001] for start in range(0, len(data), 300_001)))
            assert whole == pieces == batch.put("x", memoryview(bytearray(data)))
            assert batch.put("x", iter([b"", b""])).size == 0
        assert store.read(whole.digest) == data

    def test_entry_keeps_what_it_was_given(self, store: Store) -> None:
        """All fields come back; `created` and `versions` are filled in."""
        given = Entry(
            kind="run",
            key=key_of("all"),
            meta={"rows": 3, "name": "ä€ \U0001f30a", "nested": {"a": [1, 2.5, None, True]}},
            parts={"operator": {"ref": "77"}},
            inputs=(key_of("i"), key_of("j")),
            cost=Cost(1.25, 7),
            recoverable=False,
            dataset="demo",
        )
        committed = store.commit(given, {"b": b"2", "a": b"1"})
        found = store.get("run", given.key)
        assert found == committed
        assert found is not None
        assert [ref.role for ref in found.objects] == ["b", "a"]
        assert (found.meta, found.parts, found.inputs, found.cost) == (
            given.meta,
            given.parts,
            given.inputs,
            given.cost,
        )
        assert (found.recoverable, found.dataset) == (False, "demo")
        assert found.created > 0
        assert "forebay" in found.versions

    def test_misses(self, store: Store) -> None:
        """What was never committed is a miss: None for entries, an error for objects."""
        assert store.get("delta", key_of("none")) is None
        assert not store.has(Digest(key_of("none")))
        with pytest.raises(ObjectMissingError):
            store.read(Digest(key_of("none")))
        assert not store.complete(Entry("delta", key_of("x"), (ObjectRef("o", Digest(key_of("none")), 1),)))
        assert store.names.get("nobody") is None
        assert not store.remove("delta", key_of("none"))
        assert not store.unpin("delta", key_of("none"))

    def test_kinds_do_not_meet(self, store: Store) -> None:
        """One key may have an entry of each kind."""
        for kind in ("shard", "delta"):
            store.commit(Entry(kind, key_of("k"), meta={"kind": kind}))
        assert store.get("shard", key_of("k")).meta == {"kind": "shard"}  # type: ignore[union-attr]
        assert store.get("delta", key_of("k")).meta == {"kind": "delta"}  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("kind", "key"), [("Delta", "0" * 64), ("../x", "0" * 64), ("delta", "0" * 63), ("delta", "../" * 20)]
    )
    def test_what_is_no_kind_or_key_is_refused(self, store: Store, kind: str, key: str) -> None:
        """Nothing can reach outside of the store's folders."""
        with pytest.raises(InputError):
            store.get(kind, Key(key))
        with pytest.raises(InputError):
            store.commit(Entry(kind, Key(key)))

    def test_meta_that_is_not_json_is_refused(self, store: Store) -> None:
        """And nothing is published."""
        for bad in (float("nan"), b"bytes", {1, 2}, "\ud800"):
            with pytest.raises(StoreError):
                store.commit(Entry("delta", key_of("bad"), meta={"x": bad}), {"o": b"x"})  # type: ignore[dict-item]
        assert store.get("delta", key_of("bad")) is None
        assert store.usage().bytes == 0

    # Batches

    def test_batch_publishes_on_leaving(self, store: Store) -> None:
        """Neither objects nor entries are there before."""
        with store.batch() as batch:
            ref = batch.put("o", b"data")
            batch.add(Entry("delta", key_of("a"), (ref,)))
            assert store.get("delta", key_of("a")) is None
            assert not store.has(ref.digest)
        assert store.complete(store.get("delta", key_of("a")))  # type: ignore[arg-type]

    def test_batch_that_fails_leaves_nothing(self, store: Store) -> None:
        """An error in the block drops all of it, and is the one that is seen."""

        def work() -> None:
            with store.batch() as batch:
                batch.add(Entry("delta", key_of("a"), (batch.put("o", b"data" * 1000), batch.put("p", iter([b"x"])))))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            work()
        assert store.get("delta", key_of("a")) is None
        usage = store.usage()
        assert (usage.bytes, usage.objects, usage.reserved_bytes) == (0, 0, 0)

    def test_stream_that_fails_leaves_nothing(self, store: Store) -> None:
        """Also when the error comes out of the pieces."""

        def pieces() -> Iterator[bytes]:
            yield noise("x", 2 * 2**20)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError), store.batch() as batch:
            batch.put("o", pieces())
        assert store.usage().bytes == 0

    def test_entry_may_name_only_what_is_there(self, store: Store) -> None:
        """Objects of this batch or of the store."""
        with store.batch() as batch:
            old = batch.put("o", b"old")
            batch.add(Entry("delta", key_of("a"), (old,)))
        with store.batch() as batch:
            batch.add(Entry("delta", key_of("b"), (old,)))
            with pytest.raises(ObjectMissingError):
                batch.add(Entry("delta", key_of("c"), (ObjectRef("o", Digest(key_of("none")), 3),)))
        assert store.get("delta", key_of("b")) is not None
        assert store.get("delta", key_of("c")) is None

    def test_batch_is_used_in_its_block_only(self, store: Store) -> None:
        """A late put is refused."""
        with store.batch() as batch:
            pass
        with pytest.raises(StoreError, match="over"):
            batch.put("o", b"x")

    def test_objects_are_kept_once(self, store: Store) -> None:
        """The same bytes under two keys take room once, and stay until the last is removed."""
        for name in ("a", "b"):
            store.commit(Entry("delta", key_of(name)), {"o": noise("same", 5000)})
        assert store.usage().objects == 1
        digest = Digest(blake3(noise("same", 5000)).hexdigest())
        assert store.remove("delta", key_of("a"))
        assert store.has(digest)
        assert store.remove("delta", key_of("b"))
        assert not store.has(digest)
        assert store.usage().bytes == 0

    def test_several_are_removed_at_once(self, store: Store) -> None:
        """An object that two of them share goes with the second; a pinned one stops all, or is spared."""
        places = [("delta", key_of(name)) for name in "abcd"]
        for name in "abcd":
            store.commit(Entry("delta", key_of(name)), {"own": noise(name, 500), "shared": noise("same", 5000)})
        store.pin(*places[3])
        with pytest.raises(InputError, match="is pinned"):
            store.remove_all(places)
        assert store.usage().entries == 4
        missing = ("delta", key_of("none"))
        assert store.remove_all([*places[:2], missing, places[0]]) == places[:2]
        assert store.has(Digest(blake3(noise("same", 5000)).hexdigest()))
        assert store.remove_all(iter(places), spare_pinned=True) == [places[2]]
        store.unpin(*places[3])
        assert store.remove_all(places) == [places[3]]
        assert store.remove_all([]) == []
        assert (store.usage().bytes, store.usage().objects) == (0, 0)
        with pytest.raises(InputError):
            store.remove_all([("delta", Key("../x"))])

    def test_committing_again_keeps_what_is_there(self, store: Store) -> None:
        """Same key, same objects: the first entry stays. Other objects: the last one counts."""
        first = store.commit(Entry("delta", key_of("a")), {"o": b"1"})
        assert store.commit(Entry("delta", key_of("a")), {"o": b"1"}) == first
        second = store.commit(Entry("delta", key_of("a")), {"o": b"2"})
        assert store.get("delta", key_of("a")) == second
        assert second.objects != first.objects
        assert store.usage().entries == 1

    # Budget

    def test_budget_is_never_exceeded(self, home: Path) -> None:
        """The least valuable go; what is there is whole."""
        with self.open_store(home, max_bytes=50_000) as store:
            for number in range(30):
                store.commit(Entry("delta", key_of(f"{number}"), cost=Cost(1.0)), {"o": noise(f"{number}", 4000)})
                assert store.usage().bytes <= 50_000
            assert store.usage().entries >= 10
            assert store.complete(store.get("delta", key_of("29")))  # type: ignore[arg-type]

    def test_what_costs_more_stays_longer(self, home: Path) -> None:
        """Seconds per byte decide where nothing else differs."""
        with self.open_store(home, max_bytes=30_000) as store:
            store.commit(Entry("delta", key_of("dear"), cost=Cost(1000.0)), {"o": noise("dear", 4000)})
            for number in range(20):
                store.commit(Entry("delta", key_of(f"{number}"), cost=Cost(0.1)), {"o": noise(f"{number}", 4000)})
            assert store.get("delta", key_of("dear")) is not None
            assert store.usage().entries < 10

    def test_too_big_for_the_budget(self, home: Path) -> None:
        """Is refused, and nothing is evicted for it in vain."""
        with self.open_store(home, max_bytes=20_000) as store:
            store.commit(Entry("delta", key_of("a")), {"o": noise("a", 9000)})
            for data in (noise("big", 30_000), iter([noise("big", 30_000)])):
                with pytest.raises(StoreFullError):
                    store.commit(Entry("delta", key_of("big")), {"o": data})
            assert store.get("delta", key_of("big")) is None
            assert store.complete(store.get("delta", key_of("a")))  # type: ignore[arg-type]
            assert store.usage().reserved_bytes == 0

    def test_pins_readers_and_what_has_no_origin_are_spared(self, home: Path) -> None:
        """Then the store is full rather than evicting them."""
        with self.open_store(home, max_bytes=40_000) as store:
            for name in ("pinned", "read", "only"):
                entry = Entry("delta", key_of(name), recoverable=name != "only", cost=Cost(1e-6))
                store.commit(entry, {"o": noise(name, 9000)})
            store.pin("delta", key_of("pinned"), "why")
            with store.reading([("delta", key_of("read"))]):
                with pytest.raises(StoreFullError):
                    store.commit(Entry("delta", key_of("new"), cost=Cost(1e6)), {"o": noise("new", 20_000)})
                assert store.gc(max_bytes=0).spared == 3
                for name in ("pinned", "read", "only"):
                    assert store.complete(store.get("delta", key_of(name)))  # type: ignore[arg-type]
            store.commit(Entry("delta", key_of("new")), {"o": noise("new", 18_000)})
            assert store.get("delta", key_of("read")) is None
            assert [(pin.kind, pin.key, pin.note) for pin in store.pins()] == [("delta", key_of("pinned"), "why")]

    def test_batch_under_way_keeps_what_it_relies_on(self, store: Store) -> None:
        """An object that was there already is not evicted before the entry that names it is published."""
        store.commit(Entry("delta", key_of("a")), {"o": noise("a", 9000)})
        with store.batch() as batch:
            ref = batch.put("o", noise("a", 9000))
            store.gc(max_bytes=0)
            assert store.get("delta", key_of("a")) is None
            batch.add(Entry("delta", key_of("b"), (ref,)))
        assert store.read(ref.digest) == noise("a", 9000)

    # Upkeep

    def test_gc_by_age_and_dry_run(self, store: Store) -> None:
        """A dry run tells the same and does nothing."""
        for name in ("a", "b"):
            store.commit(Entry("delta", key_of(name)), {"o": noise(name, 5000)})
        store.pin("delta", key_of("b"))
        dry = store.gc(older_than_seconds=-60, dry_run=True)
        assert store.usage().entries == 2
        real = store.gc(older_than_seconds=-60)
        assert (dry.removed, dry.bytes, dry.left_bytes) == (real.removed, real.bytes, real.left_bytes)
        assert real.removed == (("delta", key_of("a")),)
        assert store.usage().bytes == real.left_bytes
        assert store.get("delta", key_of("b")) is not None

    def test_usage_and_entries_agree(self, store: Store) -> None:
        """By kind and by dataset; a shared object counts in each share."""
        store.commit(Entry("delta", key_of("a"), dataset="x", cost=Cost(2.0)), {"o": noise("o", 5000)})
        store.commit(Entry("shard", key_of("b"), dataset="x"), {"o": noise("o", 5000)})
        store.commit(Entry("shard", key_of("c"), dataset="y"), {"o": noise("p", 700)})
        usage = store.usage()
        assert (usage.entries, usage.objects, usage.object_bytes) == (3, 2, 5700)
        assert usage.kinds["shard"].objects == 2
        assert usage.datasets["x"].objects == 1
        assert usage.kinds["delta"].bytes + usage.kinds["shard"].bytes == usage.bytes + 5000
        rows = {(row.kind, row.key): row for row in store.entries()}
        assert len(rows) == 3
        assert rows["delta", key_of("a")].cost_seconds == 2.0
        assert [row.key for row in store.entries(kind="shard", dataset="y")] == [key_of("c")]
        assert list(store.entries(kind="table")) == []

    def test_reindex_changes_nothing(self, store: Store) -> None:
        """What the index says can be made again from the files."""
        for number in range(5):
            store.commit(
                Entry("delta", key_of(f"{number}"), dataset="d", cost=Cost(number)), {"o": noise(f"{number}", 900)}
            )
        before = store.usage(), {(row.key, row.bytes, row.created, row.cost_seconds) for row in store.entries()}
        report = store.reindex()
        after = store.usage(), {(row.key, row.bytes, row.created, row.cost_seconds) for row in store.entries()}
        assert before[1] == after[1]
        assert before[0].bytes == after[0].bytes == report.bytes
        assert (report.entries, report.objects) == (5, 5)

    def test_verify_finds_nothing_in_a_sound_store(self, store: Store) -> None:
        """And checks as many as it is asked to."""
        for number in range(40):
            store.commit(Entry("delta", key_of(f"{number}")), {"o": noise(f"{number}", 300)})
        report = store.verify()
        assert report.ok
        assert (report.objects, report.entries, report.bytes) == (40, 40, 12_000)
        some = store.verify(fraction=0.5, seed=3)
        assert 5 < some.objects < 35
        assert some.objects == store.verify(fraction=0.5, seed=3).objects

    def test_names(self, home: Path) -> None:
        """Names are set, moved, listed and removed; others see them."""
        with self.open_store(home) as store:
            store.names.set("runs/demo", "run", key_of("a"))
            store.names.set("runs/demo", "run", key_of("b"))
            store.names.set("runs/demo/deeper ü", "table", key_of("c"))
            store.names.set("exports/x.json", "table", key_of("c"))
        with self.open_store(home) as store:
            assert store.names.get("runs/demo") == ("run", key_of("b"))
            assert store.names.list() == ["exports/x.json", "runs/demo", "runs/demo/deeper ü"]
            assert store.names.list("runs/demo/") == ["runs/demo/deeper ü"]
            assert store.names.remove("runs/demo")
            assert not store.names.remove("runs/demo")
            assert store.names.list("runs/") == ["runs/demo/deeper ü"]

    @pytest.mark.parametrize(
        "path", ["", "/a", "a/", "a//b", "../a", "a/../b", ".hidden", "a\0b", "a\nb", "x.json/y", "x" * 300]
    )
    def test_what_is_no_name_is_refused(self, store: Store, path: str) -> None:
        """Nothing can reach outside of the store's folder, or be misread."""
        with pytest.raises(InputError):
            store.names.set(path, "run", key_of("a"))

    def test_pinning_what_is_not_there(self, store: Store) -> None:
        """Is an error of the user's."""
        with pytest.raises(NotFoundError):
            store.pin("delta", key_of("none"))

    def test_pinned_entry_is_not_removed(self, store: Store) -> None:
        """Not before it is unpinned."""
        store.commit(Entry("delta", key_of("a")))
        store.pin("delta", key_of("a"))
        with pytest.raises(InputError, match="pinned"):
            store.remove("delta", key_of("a"))
        assert store.unpin("delta", key_of("a"))
        assert store.remove("delta", key_of("a"))

    # One build at a time

    def test_build_makes_once(self, store: Store) -> None:
        """The second asks and gets the first one's."""
        calls: list[int] = []

        def make(batch: Batch) -> Entry:
            calls.append(1)
            return Entry("table", key_of("t"), (batch.put("o", b"x"),))

        first = store.build("table", key_of("t"), make)
        assert store.build("table", key_of("t"), make) == first
        assert len(calls) == 1
        assert first.cost.bytes == 1

    def test_threads_that_want_one_key_build_it_once(self, home: Path) -> None:
        """Those who wait are shown how far it is."""
        calls: list[int] = []
        seen: list[str] = []
        started, go_on = threading.Event(), threading.Event()
        with self.open_store(home) as store:

            def make(batch: Batch) -> Entry:
                calls.append(1)
                started.set()
                assert go_on.wait(30)
                return Entry("table", key_of("t"), (batch.put("o", b"x"),))

            results: list[Entry] = []
            builder = threading.Thread(target=lambda: results.append(store.build("table", key_of("t"), make)))
            builder.start()
            assert started.wait(30)

            def waited(progress: object) -> None:
                seen.append(str(progress))
                go_on.set()

            results.append(store.build("table", key_of("t"), make, on_wait=waited))
            builder.join()
            assert results[0] == results[1]
            assert len(calls) == 1
            assert seen

    def test_build_that_fails_leaves_it_to_the_next(self, store: Store) -> None:
        """Its error is raised, its lease is free at once."""

        def fail(batch: Batch) -> Entry:
            batch.put("o", b"half")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store.build("table", key_of("t"), fail)
        assert store.lease_progress(key_of("t")) is None
        store.build("table", key_of("t"), lambda batch: Entry("table", key_of("t"), (batch.put("o", b"x"),)))

    def test_build_of_something_else_is_refused(self, store: Store) -> None:
        """A builder must give what was asked for."""
        with pytest.raises(StoreError, match="asked to build"):
            store.build("table", key_of("t"), lambda batch: Entry("table", key_of("u")))
        assert store.get("table", key_of("u")) is None

    def test_leases(self, store: Store) -> None:
        """One holds it, others see how far it is."""
        lease = store.lease(key_of("w"))
        assert lease is not None
        with lease:
            assert store.lease(key_of("w")) is None
            lease.progress("half way", 1, 2)
            progress = store.lease_progress(key_of("w"))
            assert progress is not None
            assert (progress.text, progress.done, progress.total) == ("half way", 1, 2)
        again = store.lease(key_of("w"))
        assert again is not None
        again.release()

    # Several at once

    def test_threads(self, home: Path) -> None:
        """Many threads commit, read and collect under one budget."""
        errors: list[BaseException] = []
        with self.open_store(home, max_bytes=60_000) as store:

            def work(number: int) -> None:
                try:
                    for turn in range(15):
                        name = f"{number}-{turn % 5}"
                        store.commit(Entry("delta", key_of(name)), {"o": noise(name, 2000), "s": noise(f"{turn}", 100)})
                        entry = store.get("delta", key_of(name))
                        if entry is not None and store.complete(entry):
                            assert store.read(entry.object("o").digest) == noise(name, 2000)
                        if turn == 7:
                            store.gc(max_bytes=30_000)
                except ObjectMissingError:
                    pass  # evicted between two looks
                except BaseException as error:  # noqa: BLE001 - told to the test's own thread
                    errors.append(error)

            threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not errors
            assert store.usage().bytes <= 60_000
            assert store.usage().reserved_bytes == 0
            assert store.verify().ok

    # Reading only

    def test_read_only(self, home: Path) -> None:
        """Look-ups work, changes are refused, and nothing is written."""
        with self.open_store(home) as store:
            entry = store.commit(Entry("delta", key_of("a")), {"o": noise("a", 300_000)})
            store.names.set("n", "delta", key_of("a"))
        with self.open_store(home, read_only=True) as store:
            assert not store.writable
            assert store.get("delta", key_of("a")) == entry
            assert store.read(entry.objects[0].digest) == noise("a", 300_000)
            assert store.names.get("n") == ("delta", key_of("a"))
            assert store.usage().entries == 1
            assert len(list(store.entries())) == 1
            assert store.verify().ok
            assert store.gc(max_bytes=0, dry_run=True).entries == 1
            assert store.build("delta", key_of("a"), lambda batch: entry) == entry
            with store.reading([("delta", key_of("a"))]):
                pass
            changes = [
                lambda: store.commit(Entry("delta", key_of("b"))),
                store.batch,
                store.gc,
                store.reindex,
                lambda: store.remove("delta", key_of("a")),
                lambda: store.pin("delta", key_of("a")),
                lambda: store.names.set("m", "delta", key_of("a")),
                lambda: store.lease(key_of("a")),
                lambda: store.build("delta", key_of("b"), lambda batch: Entry("delta", key_of("b"))),
            ]
            for change in changes:
                with pytest.raises(StoreReadOnlyError):
                    change()

    # What is told

    def test_events(self, home: Path) -> None:
        """Hits, misses and evictions are told to the hook."""
        told: list[Event] = []
        with self.open_store(home, hook=told.append) as store:
            store.get("delta", key_of("a"))
            store.commit(Entry("delta", key_of("a"), cost=Cost(3.0, 8)))
            store.get("delta", key_of("a"))
        assert [event.what for event in told] == [What.MISS, What.HIT]
        assert (told[1].seconds, told[1].bytes, told[1].kind) == (3.0, 8, "delta")
