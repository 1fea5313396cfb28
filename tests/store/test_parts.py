"""The store's parts one by one: what it asks of a disk, the index, tokens, order of eviction, recency, the memo."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from disks import World, check, digest_of, key, payload, put

from forebay.config import Settings
from forebay.errors import StoreError
from forebay.io import ProcessName
from forebay.store import Store, mounts, schema, session
from forebay.store.recency import Recency
from forebay.testing import Fault, FaultKind, FaultyFilesystem, MemoryFilesystem
from forebay.types import Cost, Digest, Entry, ObjectRef


def names_of(fs: FaultyFilesystem, start: int = 0) -> list[str]:
    return [operation.name for operation in fs.trace[start:]]


# What it asks of a disk


def test_opening_looks_at_no_entry(tmp_path: Path) -> None:
    """However many there are: nothing is scanned but tmp/."""
    world = World.made(tmp_path / "s", lambda store: [put(store, f"{n}", payload(f"{n}")) for n in range(20)])
    fs = FaultyFilesystem(world.disk)
    with world.open(fs):
        assert [operation.path.name for operation in fs.trace if operation.name == "scan"] == ["tmp"]
        assert len(fs.trace) < 20


def test_hit_is_one_look_at_each_file(tmp_path: Path) -> None:
    world = World.made(tmp_path / "s", lambda store: put(store, "a", payload("a")))
    fs = FaultyFilesystem(world.disk)
    with world.open(fs) as store:
        start = len(fs.trace)
        assert check(store, "a", (payload("a"),))
        assert names_of(fs, start) == ["read", "stat", "map"]  # the stat is `complete`
        start = len(fs.trace)
        assert store.get("delta", key("none")) is None
        assert names_of(fs, start) == ["read"]
        assert store._index._db is None  # type: ignore[attr-defined]


def test_read_only_changes_nothing(tmp_path: Path) -> None:
    world = World.made(tmp_path / "s", lambda store: put(store, "a", payload("a")))
    fs = FaultyFilesystem(world.disk)
    with Store.open(Settings(home=world.home, read_only=True), fs=fs) as store:
        assert check(store, "a", (payload("a"),))
        store.usage()
        store.verify()
        store.gc(dry_run=True)
    assert not [operation for operation in fs.trace if operation.changes]


def test_disk_that_does_not_tell_the_pins_evicts_nothing(tmp_path: Path) -> None:
    world = World.made(tmp_path / "s", lambda store: put(store, "a", payload("a")))
    fs = FaultyFilesystem(world.disk)
    with world.open(fs) as store:
        store.pin("delta", key("a"))
        for folder in ("pins", "readers"):
            fs.plan(Fault(FaultKind.IO_ERROR, operation="scan", path=f"*/{folder}"))
            with pytest.raises(StoreError):
                store.gc(max_bytes=0)
            assert check(store, "a", (payload("a"),))


def test_import_brings_nothing_heavy() -> None:
    code = "import sys, forebay.store; print(*sorted(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    heavy = {
        "sqlite3",
        "zstandard",
        "lz4",
        "asyncio",
        "multiprocessing",
        "numpy",
        "pyarrow",
        "importlib.metadata",
        "ctypes",
    }
    assert not heavy & set(loaded)


# The index


def test_index_of_an_earlier_boot_is_made_anew(tmp_path: Path) -> None:
    """A session that was open when the power went: the books may lack what was published last."""
    world = World.made(tmp_path / "s", lambda store: put(store, "a", payload("a")))
    store = world.open(world.disk)
    put(store, "b", payload("b"))
    store.abandon()
    with sqlite3.connect(world.home / "index.sqlite") as db:
        db.execute("DELETE FROM refs")
        db.execute("DELETE FROM entries")  # the last transactions were lost
    db.close()
    with world.open(world.disk) as store:
        assert store.usage().entries == 0  # same boot: believed
    store = world.open(world.disk)
    put(store, "c", payload("c"))
    store.abandon()
    world.age_index()
    with world.open(world.disk) as store:
        assert store.usage().entries == 3


def test_closed_store_leaves_no_session(tmp_path: Path) -> None:
    world = World.made(tmp_path / "s", lambda store: put(store, "a", payload("a")))
    with sqlite3.connect(world.home / "index.sqlite") as db:
        assert db.execute("SELECT COUNT(*) FROM sessions").fetchone() == (0,)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_recency_survives_a_rebuild(tmp_path: Path) -> None:
    disk = MemoryFilesystem()
    (tmp_path / "s").mkdir()
    with Store.open(Settings(home=tmp_path / "s"), fs=disk) as store:
        put(store, "a", payload("a"))
        disk.clock.advance(1000)
        store.get("delta", key("a"))
        used = next(store.entries()).used
        assert used == disk.clock()
        disk.clock.advance(1000)
        store.reindex()
        assert next(store.entries()).used == used


MOUNTS = """\
/dev/root / ext4 rw 0 0
server:/export /data nfs4 rw,vers=4.2 0 0
/dev/sdb /data/local xfs rw 0 0
sshfs#me /home/me/far\\040away fuse.sshfs rw 0 0
tmpfs /dev/shm tmpfs rw 0 0
lustre@tcp:/fs /scratch lustre rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "works"),
    [
        ("/", True),
        ("/srv/store", True),
        ("/data", False),
        ("/data/store", False),
        ("/data/local/store", True),
        ("/database", True),
        ("/home/me/far away/store", False),
        ("/scratch/x", False),
        ("/dev/shm/x", True),
    ],
)
def test_where_locks_work(tmp_path: Path, folder: str, works: bool) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert mounts.locks_work(Path(folder), tmp_path / "mounts") is works
    assert mounts.locks_work(Path(folder), tmp_path / "none")


def test_entries_that_go_while_they_are_verified_are_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing may be older than that, too, where a client of NFS has cached it."""
    with Store.open(Settings(home=tmp_path / "s", min_free_bytes=0)) as store:
        put(store, "a", payload("a"))
        put(store, "b", payload("b"))
        listed = list(store._scanner.entries())  # type: ignore[attr-defined]
        monkeypatch.setattr(store._scanner, "entries", lambda: listed)  # type: ignore[attr-defined]
        store.remove("delta", key("a"))
        report = store.verify()
        assert (report.entries, report.damaged, report.missing, report.ok) == (1, (), (), True)
        next((tmp_path / "s" / "entries-v1" / "delta").rglob(f"*{key('b')[4:]}*")).write_bytes(b"{")
        assert [each.name for each in store.verify().damaged] == [key("b")]


def test_stale_folder_lock_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was killed inside a transaction, on a file system without locks."""
    monkeypatch.setattr(mounts, "locks_work", lambda folder: False)
    monkeypatch.setattr("forebay.store.folderlock.STALE_SECONDS", 0.2)
    with Store.open(Settings(home=tmp_path / "s", min_free_bytes=0)) as store:
        put(store, "a", payload("a"))
    lock = tmp_path / "s" / "index.turns.sqlite.lock"
    lock.mkdir()
    os.utime(lock, (0, 0))
    with Store.open(Settings(home=tmp_path / "s", min_free_bytes=0)) as store:
        put(store, "b", payload("b"))
        assert store.usage().entries == 2
    assert not lock.exists()


def test_index_locked_by_a_stopped_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing fails with one error after a while; reading goes on."""
    monkeypatch.setattr("forebay.store.connection.BUSY_SECONDS", 0.2)
    with Store.open(Settings(home=tmp_path / "s", min_free_bytes=0)) as store:
        put(store, "a", payload("a"))
        other = sqlite3.connect(tmp_path / "s" / "index.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store._index.close()  # type: ignore[attr-defined]
        with pytest.raises(StoreError, match="locked"):
            put(store, "b", payload("b"))
        assert check(store, "a", (payload("a"),))
        other.execute("ROLLBACK")
        other.close()
        put(store, "b", payload("b"))
        assert not list((tmp_path / "s" / "tmp").iterdir())


# Tokens


def test_whose_temporaries_are_garbage() -> None:
    mine = session.Session()
    host, boot, namespace, pid, started, _ = mine.token.split("-")
    rest = "0" * 12

    def over(*parts: str, idle: float = 0.0) -> bool:
        return session.is_over("-".join([*parts, rest]), idle)

    assert not session.is_over(mine.token, 1e9)
    assert session.token_of(f"{mine.token}-17") == mine.token
    assert session.token_of("somebody's file") is None
    assert over(host, boot, namespace, pid, started)  # this process, a session that ended
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert over(host, boot, namespace, str(child.pid), "1")  # that pid is another's now
    child.communicate(b"\n")
    assert over(host, boot, namespace, str(child.pid), "1")
    assert over(host, "00000000", namespace, pid, started)  # before this machine was last started
    assert not over(host, boot, "00000000", pid, started, idle=3600)  # another container here
    assert not over("00000000", "00000000", namespace, pid, started, idle=3600)  # another machine
    assert over("00000000", "00000000", namespace, pid, started, idle=2 * 86_400)
    mine.end()
    assert session.is_over(mine.token, 0)
    assert ProcessName.mine().pid == int(pid)


# The order of eviction


def test_value_halves_with_time_and_keeps_its_order() -> None:
    day, base = 86_400.0, 1e9
    assert schema.rank(10, 10**6, base) > schema.rank(1, 10**6, base)
    assert schema.rank(1, 10**6, base) > schema.rank(1, 10**8, base)
    assert schema.rank(1, 10**6, base + 1) > schema.rank(1, 10**6, base)
    # Twice the cost is worth one half-life.
    assert schema.rank(2.001 - 0.002, 10**6, base) == pytest.approx(schema.rank(1, 10**6, base + day), abs=0.01)
    assert schema.rank(0, 0, base) == schema.rank(-5, 0, base)


def test_old_cheap_and_big_go_first(tmp_path: Path) -> None:
    disk = MemoryFilesystem()
    with Store.open(Settings(home=tmp_path / "none", min_free_bytes=0), fs=disk) as store:
        put(store, "old", payload("old", 3000), seconds=1.0)
        put(store, "used", payload("used", 3000), seconds=1.0)
        put(store, "dear", payload("dear", 3000), seconds=500.0)
        disk.clock.advance(3 * 86_400)
        put(store, "big", payload("big", 30_000), seconds=1.0)
        store.get("delta", key("used"))
        order = []
        while store.usage().entries:
            order += [removed[1] for removed in store.gc(max_bytes=store.usage().bytes - 1).removed]
        assert order == [key("old"), key("big"), key("used"), key("dear")]


def test_shared_objects_go_with_their_last_entry(tmp_path: Path) -> None:
    """What an entry shares with another one frees nothing until both go."""
    with Store.open(Settings(home=tmp_path / "s", max_bytes=24_000, min_free_bytes=0)) as store:
        for name in ("a", "b"):
            put(store, name, payload("shared", 9000), payload(name, 2000))
        put(store, "new", payload("new", 15_000))
        assert check(store, "new", (payload("new", 15_000),))
        assert not check(store, "a", (payload("shared", 9000), payload("a", 2000)))
        assert store.usage().object_bytes <= 24_000


def test_objects_of_readers_are_held_even_when_their_entry_goes(tmp_path: Path) -> None:
    with Store.open(Settings(home=tmp_path / "s", min_free_bytes=0)) as store:
        entry = put(store, "a", payload("a"))
        with store.reading([("delta", key("a"))]):
            assert store.remove("delta", key("a"))
            assert store.read(entry.objects[0].digest) == payload("a")
        store.gc()
        assert not store.has(entry.objects[0].digest)


# Recency and memo


def test_recency_is_handed_on_in_batches() -> None:
    written: list[dict[tuple[str, str], float]] = []
    recency = Recency(lambda used: written.append(dict(used)), lambda: 5.0)
    for number in range(10_000):
        recency.note("delta", str(number))
    recency.close()
    assert sum(map(len, written)) == 10_000
    assert len(written) <= 3
    assert threading.active_count() == 1 or "forebay-recency" not in {thread.name for thread in threading.enumerate()}


def test_file_memo(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"content")
    old = time.time() - 3600
    os.utime(path, (old, old))
    digest = Digest(key("content"))
    with Store.open(Settings(home=tmp_path / "s")) as store:
        memo = store.file_memo
        memo.put(str(path), path.stat(), digest)
        assert memo.get(str(path), path.stat()) is None  # its ctime is now: it may change again within this tick
        deadline = time.monotonic() + 30
        while memo.get(str(path), path.stat()) is None and time.monotonic() < deadline:
            time.sleep(0.2)
            memo.put(str(path), path.stat(), digest)
        assert memo.get(str(path), path.stat()) == digest
        before = path.stat()
        path.write_bytes(b"CONTENT")
        assert memo.get(str(path), path.stat()) is None
        memo.put(str(path), before, Digest(key("stale")))  # it changed while it was hashed
        assert memo.get(str(path), path.stat()) is None
        assert memo.get(str(path), before) == digest
    with Store.open(Settings(home=tmp_path / "s", read_only=True)) as store:
        assert store.file_memo.get(str(path), before) == digest
    with Store.open(Settings(home=tmp_path / "s")) as store:
        store.reindex()
        assert store.file_memo.get(str(path), before) == digest


def test_digests_that_took_long_are_not_lost_with_the_process(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("small", "large")]
    for path, size in zip(paths, (1, 1 << 30), strict=True):
        with path.open("wb") as file:
            file.truncate(size)
    digest = Digest(key("content"))
    with Store.open(Settings(home=tmp_path / "s")) as store, Store.open(Settings(home=tmp_path / "s")) as other:

        def known(seen_by: Store, path: Path) -> bool:
            return seen_by.file_memo.get(str(path), path.stat()) == digest

        deadline = time.monotonic() + 30
        while not all(known(store, path) for path in paths) and time.monotonic() < deadline:
            time.sleep(0.2)  # until their times are old enough to be remembered
            for path in paths:
                store.file_memo.put(str(path), path.stat(), digest)
        assert all(known(other, path) for path in paths), "both are written, as the large one is worth it"


def test_build_under_a_disk_that_gives_no_leases(tmp_path: Path) -> None:
    """Leases are for thrift: without one the work is done all the same, with a warning."""
    told: list[str] = []
    fs = FaultyFilesystem()
    with Store.open(
        Settings(home=tmp_path / "s", min_free_bytes=0), fs=fs, hook=lambda e: told.append(e.message)
    ) as store:
        fs.plan(Fault(FaultKind.DENIED, operation="*", path="*/leases-v1*", times=None))
        entry = store.build("table", key("t"), lambda batch: Entry("table", key("t"), (batch.put("o", b"x"),)))
        assert store.get("table", key("t")) == entry
        assert any("lease" in message for message in told)


def test_many_objects_in_one_batch(tmp_path: Path) -> None:
    """More than a process may have files open."""
    with Store.open(Settings(home=tmp_path / "s", min_free_bytes=0)) as store:
        with store.batch() as batch:
            for number in range(300):
                ref = batch.put("o", payload(f"{number}", 50))
                batch.add(Entry("delta", key(f"{number}"), (ref,), meta={"name": f"{number}"}, cost=Cost(1.0)))
            assert len(os.listdir("/proc/self/fd")) < 150 if Path("/proc/self/fd").exists() else True
        assert store.usage().entries == 300
        assert store.verify().ok


def test_store_that_is_dropped_in_another_ones_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage is collected anywhere; what it closes must not wait for whoever collects it."""
    monkeypatch.setattr("forebay.store.connection.BUSY_SECONDS", 5.0)
    settings = Settings(home=tmp_path / "s", min_free_bytes=0)

    def sessions() -> int:
        return store._index.read(lambda db: db.execute("SELECT COUNT(*) FROM sessions").fetchone()[0])  # type: ignore[attr-defined]

    def drop(_: sqlite3.Connection) -> None:
        others.clear()
        gc.collect()

    with Store.open(settings) as store:
        put(store, "a", payload("a"))
        others = [Store.open(settings)]
        put(others[0], "b", payload("b"))
        assert sessions() == 2
        store._ledger.transact(drop)  # type: ignore[attr-defined]
        deadline = time.monotonic() + 20
        while sessions() > 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sessions() == 1


def test_commit_asks_the_index_by_sets(tmp_path: Path) -> None:
    """As many statements for many objects as for few, and one more per entry."""

    def statements(objects: int, entries: int) -> int:
        name = f"{objects}-{entries}"
        contents = [payload(f"{name} {number}") for number in range(objects)]
        refs = [ObjectRef("o", digest_of(content), len(content)) for content in contents]
        told: set[str] = set()  # a set, as each row that fires a trigger tells its statement again
        db = store._index._db  # type: ignore[attr-defined]
        db.set_trace_callback(told.add)
        with store.batch() as batch:
            batch.put_all(list(zip(refs, contents, strict=True)))
            for number in range(entries):
                batch.add(Entry("delta", key(f"{name} {number}"), tuple(refs), cost=Cost(1.0)))
        db.set_trace_callback(None)
        return len(told)

    with Store.open(Settings(home=tmp_path / "s", min_free_bytes=0)) as store:
        put(store, "a", payload("a"))
        few = statements(2, 1)
        assert statements(40, 1) == few
        assert statements(40, 6) == few + 5
        assert store.verify().ok


def test_object_that_the_books_do_not_know(tmp_path: Path) -> None:
    """Who puts it again leaves the file as it is, and the books have it afterwards."""
    settings = Settings(home=tmp_path / "s", min_free_bytes=0)
    with Store.open(settings) as store:
        put(store, "a", payload("a"))
    with sqlite3.connect(tmp_path / "s" / "index.sqlite") as db:
        db.execute("DELETE FROM objects")
    db.close()
    (file,) = (path for path in (tmp_path / "s" / "objects-v1").rglob("*") if path.is_file())
    before = file.stat()
    with Store.open(settings) as store:
        put(store, "b", payload("a"))
        assert check(store, "b", (payload("a"),))
        assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert store.usage().object_bytes == before.st_size
        assert not list((tmp_path / "s" / "tmp").iterdir())


def test_sqlite_without_json_is_refused_before_the_index_is_taken_for_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bare(sqlite3.Connection):
        def execute(self, sql: str, *arguments: object) -> sqlite3.Cursor:
            return super().execute(sql.replace("json_each", "nowhere"), *arguments)

    settings = Settings(home=tmp_path / "s", min_free_bytes=0)
    with Store.open(settings) as store:
        put(store, "a", payload("a"))
    before = (tmp_path / "s" / "index.sqlite").stat().st_ino
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 26, 0))
    with Store.open(settings) as store:  # an old one that has them
        put(store, "b", payload("b"))
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **more, factory=Bare))
    with Store.open(settings) as store:
        with pytest.raises(StoreError, match="built without JSON functions"):
            put(store, "c", payload("c"))
        assert check(store, "a", (payload("a"),))
    assert (tmp_path / "s" / "index.sqlite").stat().st_ino == before
