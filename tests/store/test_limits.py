"""Full disks, folders that may not be written, other users."""

from __future__ import annotations

import ctypes
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
from disks import check, key, payload, put
from users import AS_ROOT, folder_for_all, run_as

from forebay.config import Settings
from forebay.errors import StoreError, StoreFullError, StoreReadOnlyError
from forebay.events import Event, What
from forebay.store import Store
from forebay.store.index import Index
from forebay.testing import Fault, FaultKind, FaultyFilesystem, MemoryFilesystem
from forebay.types import Entry

# A full disk


@pytest.fixture(params=["tmpfs", "memory"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, object]]:
    """A disk of 8 MiB: a real tmpfs where we may mount one, and one in memory."""
    if request.param == "memory":
        yield tmp_path / "s", MemoryFilesystem(capacity_bytes=2**23)
        return
    with mounted(tmp_path / "small", b"size=8m") as folder:
        yield folder / "s", None


@contextmanager
def mounted(folder: Path, options: bytes) -> Iterator[Path]:
    """Give a tmpfs, where we may mount one."""
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform != "linux" or libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options) != 0:
        pytest.skip(f"may not mount a tmpfs here: {os.strerror(ctypes.get_errno())}")
    try:
        yield folder
    finally:
        libc.umount2(os.fsencode(folder), 2)


def opened(disk: tuple[Path, object], **settings: object) -> Store:
    home, fs = disk
    return Store.open(Settings(home=home, **{"min_free_bytes": 0, **settings}), fs=fs)  # type: ignore[arg-type]


def temporaries(disk: tuple[Path, object]) -> list[str]:
    home, fs = disk
    if isinstance(fs, MemoryFilesystem):
        return [path for path in fs.tree() if path.startswith(str(home / "tmp"))]
    return os.listdir(home / "tmp")


def test_full_disk_makes_room(small_disk: tuple[Path, object]) -> None:
    """Without a budget the disk is the budget: what is worth least goes."""
    with opened(small_disk) as store:
        for number in range(30):
            put(store, f"{number}", payload(f"{number}", 800_000))
            assert not temporaries(small_disk)
        assert check(store, "29", (payload("29", 800_000),))
        assert store.usage().entries < 30
        assert store.verify().ok


def test_full_disk_of_what_is_spared(small_disk: tuple[Path, object]) -> None:
    """StoreFullError, nothing half-written, and what was there stays."""
    with opened(small_disk) as store:
        put(store, "only", payload("only", 4_800_000), recoverable=False)
        for data in (payload("big", 4_800_000), [payload("big", 2_400_000)] * 2):
            with pytest.raises(StoreFullError):
                store.commit(Entry("delta", key("big")), {"o": data})  # type: ignore[dict-item]
        assert store.get("delta", key("big")) is None
        assert not temporaries(small_disk)
        assert store.usage().reserved_bytes == 0
        assert check(store, "only", (payload("only", 4_800_000),))
        put(store, "small", payload("small", 400_000))


def test_what_is_kept_free_is_told(small_disk: tuple[Path, object]) -> None:
    """On a disk smaller than that nothing is ever kept: its user must learn of the setting."""
    told = "where min_free_bytes keeps 268 MB of the disk free: .* more are wanted, .*; unpin or free the disk"
    with opened(small_disk, min_free_bytes=2**28) as store, pytest.raises(StoreFullError, match=told):
        put(store, "a", payload("a"))


def fill(folder: Path) -> Path:
    """Take all the room that there is."""
    hog = folder / "hog"
    with suppress(OSError), hog.open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return hog


@pytest.mark.parametrize("how", ["gc", "remove"])
def test_a_disk_without_any_room_can_be_collected(small_disk: tuple[Path, object], how: str) -> None:
    """SQLite needs some room to say what may go: the ballast is given up for it, and taken again afterwards."""
    home, fs = small_disk
    if isinstance(fs, MemoryFilesystem):
        pytest.skip("its index is in memory")
    with opened(small_disk) as store:
        put(store, "old", payload("old", 2_000_000))
        put(store, "new", payload("new"))
    for size in (1_000_000, 400_000):
        fill(home.parent)
        with opened(small_disk) as store:
            with pytest.raises(StoreFullError, match="collect in earnest"):
                store.gc(dry_run=True)
            if how == "gc":
                assert store.gc(max_bytes=500_000).entries == 1
            else:
                assert store.remove("delta", key("old"))
            assert (home / "ballast").stat().st_size == 2**19
            assert not temporaries(small_disk)
            assert check(store, "new", (payload("new"),))
            put(store, "old", payload("old", size))


@pytest.mark.parametrize("how", ["gc", "remove"])
def test_a_disk_without_any_inodes_can_be_collected(tmp_path: Path, how: str) -> None:
    """A cache of many small files can use them up long before the bytes."""
    with mounted(tmp_path / "few", b"size=8m,nr_inodes=200") as folder:
        disk = (folder / "s", None)
        with opened(disk) as store:
            put(store, "old", payload("old"))
            put(store, "new", payload("new"))
        for _ in range(2):
            with suppress(OSError):
                for number in count():
                    (folder / f"fill-{number}").touch()
            with opened(disk) as store:
                with pytest.raises(StoreFullError, match=r"index\.sqlite: unable to open.*; free some space"):
                    store.usage()
                if how == "gc":
                    assert store.gc(max_bytes=1500).entries == 1
                else:
                    assert store.remove("delta", key("old"))
                    assert check(store, "new", (payload("new"),))
            for name in os.listdir(folder):
                if name.startswith("fill-"):
                    (folder / name).unlink()
            with opened(disk) as store:
                store.gc()
                put(store, "old", payload("old"))
                put(store, "new", payload("new"))
            assert len([name for name in os.listdir(folder / "s") if name.startswith("ballast")]) == 4


def test_without_ballast_a_disk_without_any_room_says_so(small_disk: tuple[Path, object]) -> None:
    """SQLite says "disk I/O error" then, and building the index anew would not help."""
    home, fs = small_disk
    if isinstance(fs, MemoryFilesystem):
        pytest.skip("its index is in memory")
    with opened(small_disk) as store:
        put(store, "old", payload("old"))
    (home / "ballast").unlink()
    hog = fill(home.parent)
    with opened(small_disk) as store, pytest.raises(StoreFullError, match=r"index\.sqlite.*; free some space"):
        store.gc()
    assert not (home / "ballast").exists()
    hog.unlink()
    with opened(small_disk) as store:
        store.gc()
        assert check(store, "old", (payload("old"),))
        assert (home / "ballast").exists()


@pytest.mark.parametrize("lasting", [False, True])
def test_index_that_finds_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasting: bool) -> None:
    """Whatever the books could not take in: an entry is there with all its objects, or it is not there."""
    written = Index.write
    for refused in range(10):
        calls = 0

        def write(index: Index, *args: object, _refused: int = refused, **more: object) -> object:
            nonlocal calls
            calls += 1
            if calls == _refused + 1 or (lasting and calls > _refused):
                raise StoreFullError("no room for the index", subject=tmp_path)
            return written(index, *args, **more)  # type: ignore[arg-type]

        home = tmp_path / f"{refused}"
        data = payload("new one"), payload("new other")
        with opened((home, None)) as store:
            put(store, "old", payload("old"))
            monkeypatch.setattr(Index, "write", write)
            failed = False
            try:
                put(store, "new", *data)
            except StoreFullError:
                failed = True
            if not lasting:
                assert (store.get("delta", key("new")) is None) == failed
            if lasting:
                store.abandon() if refused % 2 else store.close()
            monkeypatch.setattr(Index, "write", written)
        with opened((home, None)) as store:
            assert store.verify().ok
            assert check(store, "old", (payload("old"),))
            assert store.get("delta", key("new")) is None or check(store, "new", data)
            store.gc()
            before = store.usage()
            store.reindex()
            assert (before.bytes, before.entries, before.objects) == _counted(store)
            if calls <= refused:
                assert check(store, "new", data)
                return
    raise AssertionError("a commit takes fewer writes than that")


def _counted(store: Store) -> tuple[int, int, int]:
    usage = store.usage()
    return usage.bytes, usage.entries, usage.objects


def test_disk_that_others_fill(small_disk: tuple[Path, object]) -> None:
    """The margin is kept: when somebody else fills the disk, the store shrinks."""
    home, fs = small_disk
    with opened(small_disk, min_free_bytes=2_400_000) as store:
        for number in range(6):
            put(store, f"{number}", payload(f"{number}", 800_000))
        other = home.parent / "other"
        if isinstance(fs, MemoryFilesystem):
            fs.create(other).write(bytes(1_600_000))
        else:
            other.write_bytes(bytes(1_600_000))
        put(store, "new", payload("new", 400_000))
        assert check(store, "new", (payload("new", 400_000),))
        assert store.usage().free_bytes >= 2_400_000
        assert store.gc().bytes == 0


@pytest.mark.parametrize("operation", ["create", "write", "flush", "link", "flush_dir"])
def test_disk_that_says_full_all_the_time(tmp_path: Path, operation: str) -> None:
    fs = FaultyFilesystem()
    with opened((tmp_path / "s", fs)) as store:
        put(store, "old", payload("old"))
        fs.plan(Fault(FaultKind.NO_SPACE, operation=operation, times=None))
        with pytest.raises(StoreFullError):
            put(store, "new", payload("new"))
        assert store.get("delta", key("new")) is None
        assert not temporaries((tmp_path / "s", fs.inner))


def test_disk_that_says_full_once(tmp_path: Path) -> None:
    """Something is evicted, and the write is tried once more."""
    fs = FaultyFilesystem()
    with opened((tmp_path / "s", fs)) as store:
        put(store, "old", payload("old"))
        fs.plan(Fault(FaultKind.NO_SPACE, operation="write", path="*/tmp/*"))
        put(store, "new", payload("new"))
        assert check(store, "new", (payload("new"),))
        assert store.get("delta", key("old")) is None
        assert not temporaries((tmp_path / "s", fs.inner))


def test_full_disk_still_opens(tmp_path: Path) -> None:
    fs = FaultyFilesystem()
    with opened((tmp_path / "s", fs)) as store:
        put(store, "old", payload("old"))
    fs.plan(Fault(FaultKind.NO_SPACE, operation="create", times=1))
    with opened((tmp_path / "s", fs)) as store:
        assert store.writable
        assert check(store, "old", (payload("old"),))


# Folders that may not be written


def test_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for settings in (Settings(home=tmp_path / "file" / "s"), Settings(home=tmp_path / "none", read_only=True)):
        with pytest.raises(StoreError, match="FOREBAY_HOME"):
            Store.open(settings)
    assert not (tmp_path / "none").exists()


def test_read_only_file_system_opens_for_reading(tmp_path: Path) -> None:
    disk = MemoryFilesystem()
    with opened((tmp_path / "s", disk)) as store:
        put(store, "a", payload("a"))
    disk.read_only = True
    told: list[Event] = []
    with Store.open(Settings(home=tmp_path / "s"), fs=disk, hook=told.append) as store:
        assert not store.writable
        assert check(store, "a", (payload("a"),))
        with pytest.raises(StoreReadOnlyError, match="; ask whose it is, or set FOREBAY_HOME to a store of your own"):
            put(store, "b", payload("b"))
    with (
        Store.open(Settings(home=tmp_path / "s", read_only=True), fs=disk) as store,
        pytest.raises(StoreReadOnlyError, match="for reading only; leave out read_only"),
    ):
        put(store, "b", payload("b"))
    assert [event.what for event in told].count(What.WARNING) == 1


def test_format_of_a_later_version(tmp_path: Path) -> None:
    with Store.open(Settings(home=tmp_path / "s")):
        pass
    (tmp_path / "s" / "STORE.json").write_text('{"format": 2}')
    with pytest.raises(StoreError, match="format 2"):
        Store.open(Settings(home=tmp_path / "s"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with folder_for_all() as folder:
        yield folder


READ_AS_NOBODY = """
told = []
with Store.open(Settings(home=Path(sys.argv[1])), hook=lambda event: told.append(event)) as store:
    assert not store.writable
    entry = store.get("delta", Key(sys.argv[2]))
    assert store.complete(entry)
    assert len(store.read(entry.objects[0].digest)) == 200_000
    assert store._index._db is None, "a full hit needs no index"
    assert [info.key for info in store.entries()] == [entry.key]
    assert store.usage().entries == 1
    assert store.verify().ok
    for change in (store.gc, store.batch, lambda: store.pin("delta", entry.key)):
        try:
            change()
        except StoreReadOnlyError:
            continue
        raise AssertionError(change)
assert [event.what.value for event in told].count("warning") == 1
"""


@AS_ROOT
@pytest.mark.parametrize("index", ["there", "in use", "deleted"])
def test_other_user_may_read(open_folder: Path, index: str) -> None:
    home = open_folder / "s"
    with Store.open(Settings(home=home)) as store:
        store.commit(Entry("delta", key("a")), {"o": payload("a", 200_000)})
        if index == "in use":
            before = sorted(path.name for path in home.iterdir())
            run_as(READ_AS_NOBODY, home, key("a"))
            assert sorted(path.name for path in home.iterdir()) == before
    if index == "deleted":
        (home / "index.sqlite").unlink()
    run_as(READ_AS_NOBODY, home, key("a"))


def test_modes_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with Store.open(Settings(home=tmp_path / "s")) as store:
            store.commit(Entry("delta", key("a")), {"o": payload("a")})
            store.names.set("n", "delta", key("a"))
    finally:
        os.umask(old)
    files = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "s").rglob("*")}
    assert {mode for path, mode in files.items() if "objects-v1" in path.parts and path.is_file()} == {0o440}
    assert {mode for path, mode in files.items() if path.is_dir()} == {0o750}
