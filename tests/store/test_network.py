"""Network file systems: the lock that is a folder, the index under it, and what clients have cached."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from forebay.config import Settings
from forebay.errors import StoreError
from forebay.io import local
from forebay.store import Store, folderlock, mounts
from forebay.store.folderlock import FolderLock
from forebay.store.index import Index, IndexPlace
from forebay.types import Digest, Entry, Key

_COUNT = """
import sys
from pathlib import Path
from forebay.store.folderlock import FolderLock
number = Path(sys.argv[1], "number")
lock = FolderLock(Path(sys.argv[1], "n.lock"))
for _ in range(int(sys.argv[2])):
    lock.acquire()
    number.write_text(str(int(number.read_text()) + 1))
    lock.release()
"""


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is silent is dead soon."""
    monkeypatch.setattr(folderlock, "STALE_SECONDS", 0.2)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    monkeypatch.setattr(mounts, "locks_work", lambda folder: False)
    place = IndexPlace(tmp_path / "index.sqlite", writable=True, group=False)
    return Index(place, fill=lambda db: None, trusted=lambda db: True)


def opened(folder: Path) -> list[str]:
    """Return the files of a folder that this process has open."""
    links = (os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
    return sorted(Path(link).name for link in links if link.startswith(f"{folder}/"))


def note(db: sqlite3.Connection, name: str) -> None:
    db.execute("INSERT INTO meta VALUES (?, 1)", (name,))


def noted(db: sqlite3.Connection) -> list[str]:
    return [name for (name,) in db.execute("SELECT name FROM meta WHERE name != 'complete' ORDER BY name")]


def test_processes_take_turns(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    command = [sys.executable, "-c", _COUNT, str(tmp_path), "50"]
    for process in [subprocess.Popen(command) for _ in range(4)]:
        assert process.wait(timeout=120) == 0
    assert (tmp_path / "number").read_text() == "200"
    assert not (tmp_path / "n.lock").exists()


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("hours", [-1000, 0, 1000])
def test_who_is_silent_is_dead_whatever_the_clocks_say(tmp_path: Path, hours: int) -> None:
    path = tmp_path / "n.lock"
    path.mkdir()
    os.utime(path, (time.time() + hours * 3600,) * 2)
    lock = FolderLock(path)
    lock.acquire()
    assert lock.is_mine()
    lock.release()
    assert not path.exists()


@pytest.mark.usefixtures("soon")
def test_who_shows_that_he_lives_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old time of a disk whose clock is wrong counts, too: it changes."""
    monkeypatch.setattr(folderlock, "PATIENCE_SECONDS", 1.0)
    path, stop = tmp_path / "n.lock", threading.Event()
    path.mkdir()

    def live() -> None:
        second = 0
        while not stop.wait(0.02):
            second += 1
            os.utime(path, (second, second))

    thread = threading.Thread(target=live)
    thread.start()
    try:
        with pytest.raises(StoreError, match=r"/n is locked by another process; look for one that is stopped$"):
            FolderLock(path).acquire()
    finally:
        stop.set()
        thread.join()
    assert path.exists()


def test_a_server_that_hangs_is_no_dead_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps him from showing that he lives; nor have others waited for him that long."""
    path, times = tmp_path / "n.lock", iter(range(0, 5000, 300))
    path.mkdir()

    def monotonic() -> int:
        now = next(times)
        if now > 3000:
            path.rmdir()
        return now

    def broken(*_: object) -> None:
        pytest.fail("it was taken from a living owner")

    monkeypatch.setattr(folderlock, "time", SimpleNamespace(monotonic=monotonic, sleep=lambda seconds: None))
    monkeypatch.setattr(FolderLock, "_break", broken)
    lock = FolderLock(path)
    lock.acquire()
    assert lock.is_mine()
    monkeypatch.undo()
    lock.release()


def test_the_owner_shows_that_he_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folderlock, "STALE_SECONDS", 0.5)
    path = tmp_path / "n.lock"
    owner = FolderLock(path)
    owner.acquire()
    monkeypatch.setattr(folderlock, "PATIENCE_SECONDS", 1.5)
    with pytest.raises(StoreError, match="locked by another process"):
        FolderLock(path).acquire()
    assert owner.is_mine()
    owner.release()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^cannot lock .*/none/n: "):
        FolderLock(tmp_path / "none" / "n.lock").acquire()


def test_a_child_does_not_release_it(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "n.lock")
    lock.acquire()
    child = os.fork()
    if not child:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert lock.is_mine()
    lock.release()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_the_index_is_open_under_the_lock_alone(tmp_path: Path, index: Index) -> None:
    """What a client of NFS has cached of a file that it keeps open is not what the file says by now."""
    lock = tmp_path / "index.turns.sqlite.lock"

    def look(db: sqlite3.Connection) -> list[str]:
        assert lock.is_dir()
        assert "index.turns.sqlite" in opened(tmp_path)
        index.write(lambda inner: note(inner, "nested"))
        return noted(db)

    assert not opened(tmp_path)
    for do in (index.write, index.read):
        index.write(lambda db: db.execute("DELETE FROM meta WHERE name = 'nested'"))
        assert do(look) == ["nested"]
        assert not opened(tmp_path)
        assert not lock.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["index.turns.sqlite"]
    with pytest.raises(ZeroDivisionError):
        index.write(lambda db: 1 // 0)
    assert not opened(tmp_path)
    assert not lock.exists()


@pytest.mark.usefixtures("soon")
def test_who_was_taken_for_dead_commits_nothing(tmp_path: Path, index: Index) -> None:
    """He finds out, and does it again when it is his turn."""
    lock, done = tmp_path / "index.turns.sqlite.lock", 0

    def slow(db: sqlite3.Connection) -> None:
        nonlocal done
        done += 1
        note(db, f"time {done}")
        if done == 1:
            before = lock.stat().st_ino
            lock.rename(tmp_path / "taken")  # not removed: its number would be given to the next folder
            lock.mkdir()
            assert lock.stat().st_ino != before

    index.write(lambda db: None)
    index.write(slow)
    assert done == 2
    assert index.read(noted) == ["time 2"]
    assert not lock.exists()


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A list that says, while it is not empty, that the store is looked at from another machine."""
    over_network: list[bool] = []
    monkeypatch.setattr(mounts, "locks_work", lambda folder: not over_network)
    return over_network


def put(store: Store, name: str) -> None:
    store.commit(Entry("delta", Key(name * 64)), {"data": name.encode() * 1000})


def names(store: Store) -> list[str]:
    return sorted(each.key[0] for each in store.entries())


def test_a_store_of_this_machine_that_others_come_to_over_a_network(tmp_path: Path, remote: list[bool]) -> None:
    """The server of NFS may use it, too: it has seen the last commit of the others, and they have seen its own."""
    home = tmp_path / "store"
    settings = Settings(home=home, min_free_bytes=0)
    with Store.open(settings) as server:
        put(server, "a")
        assert (home / "index.sqlite").exists()
        with server.batch() as batch:  # what is on its way at that moment is said again in the new one
            staged = batch.put("data", bytes(5000))
            remote.append(True)
            with Store.open(settings) as client:
                put(client, "b")
                assert names(client) == ["a", "b"]
                assert [path.name for path in home.glob("index*")] == ["index.turns.sqlite"]
                remote.clear()
                for turn, store in enumerate([server, client] * 3):
                    put(store, "cdef01"[turn])
                    assert names(store) == names(server) == sorted("ab" + "cdef01"[: turn + 1])
                assert client.usage().reserved_bytes >= 5000
            batch.add(Entry("delta", Key("9" * 64), objects=(staged,)))
        usage = replace(server.usage(), free_bytes=0)
        assert (usage.entries, usage.reserved_bytes) == (9, 0)
    with Store.open(settings) as later:
        assert replace(later.usage(), free_bytes=0) == usage
        assert later.verify().ok
        later.reindex()
        assert replace(later.usage(), free_bytes=0) == usage
    assert [path.name for path in home.glob("index*")] == ["index.turns.sqlite"]


def test_recency_is_taken_over_from_the_index_of_one_machine(tmp_path: Path, remote: list[bool]) -> None:
    settings = Settings(home=tmp_path / "store", min_free_bytes=0)
    with Store.open(settings) as store:
        put(store, "a")
        put(store, "b")
    with sqlite3.connect(tmp_path / "store" / "index.sqlite") as db:
        db.execute("UPDATE entries SET used = used + 1000 WHERE key LIKE 'a%'")
    db.close()
    remote.append(True)
    with Store.open(settings) as store:
        used = {each.key[0]: each.used for each in store.entries()}
    assert used["a"] - used["b"] > 900


def test_who_may_only_read_looks_at_the_index_that_is_used(tmp_path: Path, remote: list[bool]) -> None:
    settings = Settings(home=tmp_path / "store", min_free_bytes=0)
    with Store.open(settings) as store:
        put(store, "a")
        with Store.open(replace(settings, read_only=True)) as reader:
            assert names(reader) == ["a"]
            remote.append(True)
            with Store.open(settings) as client:
                put(client, "b")
            assert names(reader) == ["a", "b"]


def test_an_index_by_turns_that_is_damaged_is_never_absent(tmp_path: Path, remote: list[bool]) -> None:
    """Who looks for it in that moment would go back to locks."""
    settings, path = Settings(home=tmp_path / "store", min_free_bytes=0), tmp_path / "store" / "index.turns.sqlite"
    remote.append(True)
    with Store.open(settings) as store:
        put(store, "a")
        before = path.stat().st_ino
        path.write_bytes(b"no database" * 1000)
        put(store, "b")
        assert names(store) == ["a", "b"]
    assert path.stat().st_ino == before


class CachingClient:
    """The `os` of an NFS client: what it has not found it takes for absent until it opens a folder above it."""

    def __init__(self) -> None:
        self.absent: set[str] = set()

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def open(self, path: str | Path, flags: int, mode: int = 0o777) -> int:
        name = os.fspath(path)
        if flags & os.O_DIRECTORY:
            self._look_up(name)
            self.absent = {each for each in self.absent if os.path.dirname(each) != name}
        elif not flags & os.O_CREAT:
            self._look_up(name)
        return os.open(path, flags, mode)

    def stat(self, path: str | Path) -> os.stat_result:
        self._look_up(os.fspath(path))
        return os.stat(path)

    def _look_up(self, name: str) -> None:
        for each in [*map(str, reversed(Path(name).parents)), name]:
            if each in self.absent or not os.path.lexists(each):
                self.absent.add(each)
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def test_what_another_machine_has_made_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only when the cache of an NFS client has forgotten that it was not there, a minute later."""
    client, key = CachingClient(), Key("ab" * 32)
    settings = Settings(home=tmp_path / "store", min_free_bytes=0)
    with Store.open(settings) as theirs, Store.open(settings) as ours:
        monkeypatch.setattr(local, "os", client)
        assert ours.get("delta", key) is None
        assert not ours.has(Digest("ef" * 32))
        assert client.absent
        monkeypatch.setattr(local, "os", os)
        made = theirs.commit(Entry("delta", key), {"data": b"made"})
        monkeypatch.setattr(local, "os", client)
        assert ours.build("delta", key, lambda batch: pytest.fail("it was made anew")) == made
        assert bytes(ours.read(made.object("data").digest)) == b"made"
