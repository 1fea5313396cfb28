"""Publishing: whole or not at all, at every crash point, after every power cut."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from forebay.io import Filesystem, LocalFilesystem, Staged, flush, make_home, owned_token, publish, stage
from forebay.testing import Fault, FaultKind, FaultyFilesystem, MemoryFilesystem, each_crash

HOME, TMP = Path("/home"), Path("/home/tmp")
CUTS = ("lose", "keep", *range(25))


@pytest.fixture(params=["local", "memory", "memory without links"])
def fs(request: pytest.FixtureRequest) -> Filesystem:
    if request.param == "local":
        return LocalFilesystem()
    return MemoryFilesystem(links=request.param == "memory")


@pytest.fixture
def home(fs: Filesystem, tmp_path: Path) -> Path:
    fs.make_dirs(tmp_path / "tmp")
    return tmp_path


def start(*, links: bool = True, **files: bytes) -> MemoryFilesystem:
    """A durable disk with /home/tmp, and these files in /home."""
    disk = MemoryFilesystem(links=links)
    disk.make_dirs(TMP)
    for name, content in files.items():
        file = disk.create(HOME / name)
        file.write(content)
        file.flush()
        file.close()
    for folder in (Path("/"), HOME, TMP):
        disk.flush_dir(folder)
    return disk


def staged(fs: Filesystem, content: bytes, home: Path = HOME) -> Staged:
    new = stage(fs, home / "tmp", owned_token())
    new.write(content)
    return new


def test_published_is_there_and_its_temporary_is_not(fs: Filesystem, home: Path) -> None:
    assert staged(fs, b"abc", home).publish(home / "o/ab/c")
    assert fs.read(home / "o/ab/c") == b"abc"
    assert list(fs.scan(home / "tmp")) == []


def test_a_name_that_is_taken_stays(fs: Filesystem, home: Path) -> None:
    assert staged(fs, b"first", home).publish(home / "a")
    before = fs.stat(home / "a").inode
    assert not staged(fs, b"second", home).publish(home / "a")
    assert fs.read(home / "a") == b"first"
    assert fs.stat(home / "a").inode == before
    assert list(fs.scan(home / "tmp")) == []


def test_replacing_replaces(fs: Filesystem, home: Path) -> None:
    assert staged(fs, b"first", home).publish(home / "a", replace=True)
    assert staged(fs, b"second", home).publish(home / "a", replace=True)
    assert fs.read(home / "a") == b"second"
    assert list(fs.scan(home / "tmp")) == []


def test_a_group_tells_which_names_it_got(fs: Filesystem, home: Path) -> None:
    staged(fs, b"0", home).publish(home / "o/0")
    group = [(staged(fs, str(n).encode(), home), home / f"o/{n}") for n in range(20)]
    assert publish(fs, group) == (False,) + (True,) * 19
    assert {name for name, _ in fs.scan(home / "o")} == {str(n) for n in range(20)}
    assert all(fs.read(home / f"o/{n}") == str(n).encode() for n in range(20))
    assert publish(fs, []) == ()


def test_flushing_early_frees_descriptors(home: Path, fs: Filesystem) -> None:
    if not isinstance(fs, LocalFilesystem):
        pytest.skip("only a real disk has descriptors")
    open_before = len(os.listdir("/proc/self/fd"))
    group = [staged(fs, b"abc", home) for _ in range(100)]
    assert len(os.listdir("/proc/self/fd")) == open_before + 100
    flush(fs, group)
    assert len(os.listdir("/proc/self/fd")) == open_before
    with pytest.raises(ValueError, match="flushed already"):
        group[0].write(b"more")
    assert all(publish(fs, [(each, home / f"o/{n}") for n, each in enumerate(group)]))


def test_discarded_is_gone(fs: Filesystem, home: Path) -> None:
    with staged(fs, b"abc", home) as unused:
        assert fs.read(unused.path) == b"abc"
    assert list(fs.scan(home / "tmp")) == []
    unused.discard()
    with pytest.raises(ValueError, match="neither published nor discarded"):
        unused.name(home / "a", replace=False)


def test_size_counts_bytes(fs: Filesystem, home: Path) -> None:
    with staged(fs, b"abc", home) as new:
        new.write(memoryview(bytes(8)).cast("I"))
        assert new.size == 11


def test_modes_reach_the_published_file(fs: Filesystem, home: Path) -> None:
    new = stage(fs, home / "tmp", "x", mode=0o444)
    new.write(b"abc")
    new.publish(home / "a")
    mode = fs.mode(home / "a") if isinstance(fs, MemoryFilesystem) else (home / "a").stat().st_mode & 0o777
    assert mode == 0o444


def test_two_publishers_of_one_name(tmp_path: Path) -> None:
    """Of many who publish one name at once, exactly one gives it, and it is whole at any moment."""
    fs = LocalFilesystem()
    fs.make_dirs(tmp_path / "tmp")
    gate, won, seen = threading.Barrier(5), [], []
    done = threading.Event()

    def work(number: int) -> None:
        content = bytes([number]) * 10_000
        gate.wait()
        for round_ in range(30):
            if staged(fs, content, tmp_path).publish(tmp_path / f"o/{round_}"):
                won.append((round_, number))

    def look() -> None:
        gate.wait()
        while not done.is_set():
            for round_ in range(30):
                try:
                    seen.append(fs.read(tmp_path / f"o/{round_}"))
                except FileNotFoundError:
                    break

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    looker = threading.Thread(target=look)
    for thread in (*threads, looker):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    looker.join()
    assert sorted(round_ for round_, _ in won) == list(range(30))
    assert all(fs.read(tmp_path / f"o/{round_}") == bytes([number]) * 10_000 for round_, number in won)
    assert all(len(content) == 10_000 and len(set(content)) == 1 for content in seen)
    assert list(fs.scan(tmp_path / "tmp")) == []


@pytest.mark.parametrize("links", [True, False])
def test_every_crash_point_then_power_cut(links: bool) -> None:
    """A group, one of it into a new folder, one of it taken: absent or whole; told is there."""
    told = []

    def work(fs: FaultyFilesystem) -> None:
        contents = {"a": b"a" * 9000, "x/y/b": b"b", "c": b"c"}
        told.append(publish(fs, [(staged(fs, content), HOME / name) for name, content in contents.items()]))
        told.append(staged(fs, b"d").publish(HOME / "x/d"))

    want = {"/home/a": b"a" * 9000, "/home/x/y/b": b"b", "/home/x/d": b"d"}
    crashes = 0
    for crash in each_crash(work, start(links=links, c=b"first")):
        crashes += 1
        for cut in CUTS:
            tree = crash.fs.power_cut(cut).tree()
            why = f"{crash.point}, cut {cut}\n{crash.fs.told()}"
            assert tree["/home/c"] == b"first", why
            for path, content in want.items():
                assert tree.get(path, content) == content, why
            if len(told) > 0 and crash.point == "at the end":
                assert want.items() <= tree.items(), why
        told.clear()
    assert crashes > 25


def test_what_was_told_survives_every_power_cut() -> None:
    """Whenever publish returned, wherever the process is killed later, the name is there and whole."""
    told: set[str] = set()

    def work(fs: FaultyFilesystem) -> None:
        told.clear()
        for name in ("a", "b", "n/c", "n/d"):
            staged(fs, name.encode() * 3000).publish(HOME / name)
            told.add(name)

    for crash in each_crash(work, start()):
        if crash.point != "at the end":
            for cut in CUTS:
                tree = crash.fs.power_cut(cut).tree()
                assert all(tree[f"/home/{name}"] == name.encode() * 3000 for name in told), (crash.point, cut, told)


def test_replacing_is_old_or_new_at_every_crash_point() -> None:
    def work(fs: FaultyFilesystem) -> None:
        staged(fs, b"new" * 2000).publish(HOME / "a", replace=True)

    outcomes = set()
    for crash in each_crash(work, start(a=b"old")):
        for cut in CUTS:
            outcomes.add(crash.fs.power_cut(cut).tree()["/home/a"])
    assert outcomes == {b"old", b"new" * 2000}


def test_a_publisher_killed_anywhere_does_not_hinder_the_next() -> None:
    def work(fs: FaultyFilesystem) -> None:
        staged(fs, b"abc").publish(HOME / "o/a")

    for crash in each_crash(work, start()):
        again = crash.fs.restart()
        work(again)
        assert again.power_cut("lose").tree()["/home/o/a"] == b"abc", crash.point


def test_an_omitted_flush_would_be_found() -> None:
    """The model itself: without flushing content or folder, some cut tears or loses the file."""
    disk = start()
    file = disk.create(HOME / "a")
    file.write(b"abc" * 3000)
    file.close()
    contents = {disk.power_cut(cut).tree().get("/home/a") for cut in CUTS}
    assert None in contents
    assert b"abc" * 3000 in contents
    assert any(content is not None and content != b"abc" * 3000 for content in contents)
    disk.flush_dir(HOME)
    assert disk.power_cut("lose").tree()["/home/a"] == b""


@pytest.mark.parametrize("kind", [FaultKind.NO_SPACE, FaultKind.IO_ERROR, FaultKind.DENIED])
def test_every_operation_may_fail(kind: FaultKind) -> None:
    """At each operation in turn: the error comes out, or it did no harm; nothing torn, no temporary left over."""

    def work(fs: FaultyFilesystem) -> tuple[bool, ...]:
        with staged(fs, b"a" * 5000) as one, staged(fs, b"b") as two:
            return publish(fs, [(one, HOME / "o/a"), (two, HOME / "o/b")])

    whole = FaultyFilesystem(start())
    work(whole)
    for number in range(1, len(whole.trace) + 1):
        fs = FaultyFilesystem(start(), faults=[Fault(kind, at=number)])
        failed = None
        try:
            named = work(fs)
        except OSError as error:
            failed = error.errno
        else:
            assert named == (True, True)
            assert fs.power_cut("lose").tree()["/home/o/a"] == b"a" * 5000
        assert failed in (None, getattr(errno, kind.value))
        tree = fs.restart().inner.tree()  # type: ignore[attr-defined]
        assert tree.get("/home/o/a", b"a" * 5000) == b"a" * 5000
        assert tree.get("/home/o/b", b"b") == b"b"
        left = [path for path in tree if path.startswith("/home/tmp")]
        assert not left or fs.trace[number - 1].name in ("unlink", "close", "create", "write"), fs.told()


def test_a_full_disk_says_so_and_is_not_left_fuller() -> None:
    disk = MemoryFilesystem(capacity_bytes=3 * 4096)
    disk.make_dirs(TMP)
    with pytest.raises(OSError, match="/home/tmp/") as caught, stage(disk, TMP, "a") as new:
        new.write(bytes(5 * 4096))
    assert caught.value.errno == errno.ENOSPC
    assert disk.space(HOME).free == 3 * 4096
    staged(disk, bytes(3 * 4096)).publish(HOME / "a")
    assert disk.space(HOME).free == 0


def test_a_failed_flush_publishes_nothing() -> None:
    fs = FaultyFilesystem(start(), faults=[Fault(FaultKind.IO_ERROR, operation="flush")])
    with pytest.raises(OSError, match="/home/tmp/"):
        publish(fs, [(staged(fs, b"a"), HOME / "a"), (staged(fs, b"b"), HOME / "b")])
    assert fs.inner.tree() == {}  # type: ignore[attr-defined]


def test_another_file_system_is_told_clearly() -> None:
    fs = FaultyFilesystem(start(links=False), faults=[Fault(FaultKind.CROSS_DEVICE, operation="rename")])
    with pytest.raises(OSError, match=r"/home/tmp and /home are on different file systems; put a whole store on one"):
        staged(fs, b"a").publish(HOME / "a")
    fs = FaultyFilesystem(start(), faults=[Fault(FaultKind.CROSS_DEVICE, operation="link")])
    with pytest.raises(OSError, match="put a whole store on one") as caught:
        staged(fs, b"a").publish(HOME / "a")
    assert caught.value.errno == errno.EXDEV


def test_a_temporary_that_was_cleaned_up_is_an_error_not_a_loss() -> None:
    disk = start()
    new = staged(disk, b"a")
    disk.unlink(new.path)
    with pytest.raises(FileNotFoundError):
        new.publish(HOME / "a")
    assert disk.tree() == {}


def test_read_only(tmp_path: Path) -> None:
    disk = start(a=b"a")
    disk.read_only = True
    with pytest.raises(OSError, match="Read-only"):
        stage(disk, TMP, "x")
    assert disk.read(HOME / "a") == b"a"


def test_a_small_object_costs_few_operations() -> None:
    fs = FaultyFilesystem(start())
    staged(fs, b"abc").publish(HOME / "x/a")
    first = len(fs.trace)
    staged(fs, b"abc").publish(HOME / "x/b")
    assert [operation.name for operation in fs.trace[first:]] == [
        "create", "write", "flush", "close", "link", "unlink", "flush_dir"
    ]  # fmt: skip


def test_a_group_flushes_each_folder_once_and_names_nothing_unflushed() -> None:
    fs = FaultyFilesystem(start())
    staged(fs, b"abc").publish(HOME / "x/first")
    fs.trace.clear()
    publish(fs, [(staged(fs, b"abc"), HOME / name) for name in ("a", "b", "x/c", "x/d")])
    order = [operation.name for operation in fs.trace]
    assert order.count("flush_dir") == 2
    assert order.index("link") > max(n for n, name in enumerate(order) if name == "flush")
    assert order.index("flush_dir") > max(n for n, name in enumerate(order) if name == "link")


def test_a_home_is_durable_wherever_its_makers_were_killed() -> None:
    store = Path("/users/me/store")

    def work(fs: FaultyFilesystem) -> None:
        make_home(fs, store / "tmp")
        new = stage(fs, store / "tmp", "1")
        new.write(b"abc")
        new.publish(store / "o/a")

    for crash in each_crash(lambda fs: make_home(fs, store / "tmp"), MemoryFilesystem()):
        again = crash.fs.restart()
        work(again)
        assert again.power_cut("lose").tree() == {str(store / "o/a"): b"abc"}, crash.point


def test_the_folder_above_a_home_may_be_unreadable() -> None:
    fs = FaultyFilesystem(start(), faults=[Fault(FaultKind.DENIED, operation="flush_dir", path="/home", times=None)])
    make_home(fs, TMP)
    with pytest.raises(PermissionError):
        make_home(fs, HOME / "new")


def test_a_folder_that_was_removed_is_made_and_flushed_again() -> None:
    fs = FaultyFilesystem(start())
    staged(fs, b"abc").publish(HOME / "x/a")
    fs.unlink(HOME / "x/a")
    fs.remove_dir(HOME / "x")
    fs.flush_dir(HOME)
    staged(fs, b"abc").publish(HOME / "x/a")
    assert fs.power_cut("lose").tree() == {"/home/x/a": b"abc"}


def test_errors_of_parallel_flushes_reach_the_caller(tmp_path: Path) -> None:
    class Failing(LocalFilesystem):
        __slots__ = ()

        def flush_dir(self, path: Path) -> None:
            time.sleep(0.001)  # slow enough to be worth threads
            if path.name == "3":
                raise OSError(errno.EIO, "broken", str(path))
            super().flush_dir(path)

    fs = Failing()
    fs.make_dirs(tmp_path / "tmp")
    for n in range(8):
        fs.make_dirs(tmp_path / f"o/{n}")
    with pytest.raises(OSError, match="broken"):
        publish(fs, [(staged(fs, b"abc", tmp_path), tmp_path / f"o/{n}/a") for n in range(8)])
    assert list(fs.scan(tmp_path / "tmp")) == []
