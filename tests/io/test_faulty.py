"""The tools that prove the rest: the disk in memory, faults by plan, crashes at every point, workers in turns."""

from __future__ import annotations

import errno
import importlib
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forebay.testing
from forebay.io import Filesystem, LocalFilesystem
from forebay.testing import (
    Clock,
    Fault,
    FaultKind,
    FaultyFilesystem,
    MemoryFilesystem,
    Operation,
    Turns,
    WorldStopped,
    each_crash,
)
from forebay.testing.memory import Cut

HOME = Path("/home")
CUTS: tuple[Cut, ...] = ("lose", "keep", *range(40))


def write(fs: Filesystem, path: Path, content: bytes = b"abc", *, flush: bool = False) -> None:
    file = fs.create(path)
    try:
        file.write(content)
        if flush:
            file.flush()
    finally:
        file.close()


@pytest.fixture
def disk() -> MemoryFilesystem:
    disk = MemoryFilesystem()
    disk.make_dirs(HOME)
    disk.flush_dir(Path("/"))
    return disk


def trees(disk: MemoryFilesystem) -> list[dict[str, bytes]]:
    """What many power cuts leave, each once."""
    found: list[dict[str, bytes]] = []
    for cut in CUTS:
        tree = disk.power_cut(cut).tree()
        if tree not in found:
            found.append(tree)
    return found


# The disk in memory: what is durable.


def test_a_name_is_durable_when_its_folder_is_flushed(disk: MemoryFilesystem) -> None:
    write(disk, HOME / "a", flush=True)
    assert {} in trees(disk)
    disk.flush_dir(HOME)
    assert trees(disk) == [{"/home/a": b"abc"}]


def test_content_is_durable_when_it_is_flushed(disk: MemoryFilesystem) -> None:
    file = disk.create(HOME / "a")
    file.write(b"abc")
    file.flush()
    file.write(b"defgh")
    disk.flush_dir(HOME)
    contents = [tree["/home/a"] for tree in trees(disk)]
    assert b"abc" in contents
    assert b"abcdefgh" in contents
    assert any(b"\0" in content for content in contents)
    assert any(3 < len(content) < 8 for content in contents)
    assert all(content.startswith(b"abc") for content in contents)
    file.close()


def test_a_rename_loses_neither_name(disk: MemoryFilesystem) -> None:
    write(disk, HOME / "a", flush=True)
    disk.flush_dir(HOME)
    disk.make_dirs(HOME / "x")
    disk.flush_dir(HOME)
    disk.rename(HOME / "a", HOME / "x/b")
    old, new = {"/home/a": b"abc"}, {"/home/x/b": b"abc"}
    found = trees(disk)
    assert all(tree in found for tree in (old, new, {**old, **new}))
    assert {} not in found
    disk.flush_dir(HOME / "x")
    assert trees(disk) in ([new, {**old, **new}], [{**old, **new}, new])
    disk.flush_dir(HOME)
    assert trees(disk) == [new]


def test_flushing_the_old_folder_makes_the_whole_rename_durable(disk: MemoryFilesystem) -> None:
    disk.make_dirs(HOME / "x")
    write(disk, HOME / "a", flush=True)
    disk.flush_dir(HOME)
    disk.rename(HOME / "a", HOME / "x/b")
    disk.flush_dir(HOME)
    assert trees(disk) == [{"/home/x/b": b"abc"}]


def test_replacing_leaves_one_or_the_other(disk: MemoryFilesystem) -> None:
    write(disk, HOME / "a", b"old", flush=True)
    write(disk, HOME / "b", b"new", flush=True)
    disk.flush_dir(HOME)
    disk.rename(HOME / "b", HOME / "a")
    assert {tree["/home/a"] for tree in trees(disk)} == {b"old", b"new"}


def test_unflushed_names_survive_in_any_combination(disk: MemoryFilesystem) -> None:
    for name in "abc":
        write(disk, HOME / name, flush=True)
    assert len(trees(disk)) == 8


def test_a_removed_name_may_come_back(disk: MemoryFilesystem) -> None:
    write(disk, HOME / "a", flush=True)
    disk.flush_dir(HOME)
    disk.unlink(HOME / "a")
    assert trees(disk) == [{"/home/a": b"abc"}, {}]
    disk.flush_dir(HOME)
    assert trees(disk) == [{}]


def test_a_folder_without_a_durable_name_takes_all_with_it(disk: MemoryFilesystem) -> None:
    disk.make_dirs(HOME / "x/y")
    write(disk, HOME / "x/y/a", flush=True)
    disk.flush_dir(HOME / "x/y")
    disk.flush_dir(HOME / "x")
    assert {} in trees(disk)
    disk.flush_dir(HOME)
    assert trees(disk) == [{"/home/x/y/a": b"abc"}]


def test_a_hard_link_survives_alone(disk: MemoryFilesystem) -> None:
    disk.make_dirs(HOME / "x")
    write(disk, HOME / "a", flush=True)
    disk.link(HOME / "a", HOME / "x/b")
    disk.unlink(HOME / "a")
    disk.flush_dir(HOME)
    assert {} in trees(disk)
    disk.flush_dir(HOME / "x")
    after = disk.power_cut("lose")
    assert after.tree() == {"/home/x/b": b"abc"}
    assert after.stat(HOME / "x/b").links == 1


def test_a_cut_leaves_the_disk_alone_and_what_it_made_is_durable(disk: MemoryFilesystem) -> None:
    write(disk, HOME / "a")
    before = disk.tree()
    after = disk.power_cut(7)
    assert disk.tree() == before
    assert after.tree() == disk.power_cut(7).tree()
    assert trees(after) == [after.tree()]
    write(after, HOME / "b")
    assert disk.tree() == before
    assert after.stat(HOME / "b").inode not in (disk.stat(HOME).inode, disk.stat(HOME / "a").inode)


def test_a_copy_remembers_what_is_not_durable(disk: MemoryFilesystem) -> None:
    write(disk, HOME / "a")
    disk.link(HOME / "a", HOME / "b")
    other = disk.copy()
    assert other.stat(HOME / "a").links == 2
    assert other.power_cut("lose").tree() == {}
    for cut in CUTS:
        assert other.power_cut(cut).tree() == disk.power_cut(cut).tree()
    other.flush_dir(HOME)
    assert other.power_cut("lose").tree() == {"/home/a": b"", "/home/b": b""}
    assert disk.power_cut("lose").tree() == {}


def test_capacity_is_counted_in_blocks_and_given_back() -> None:
    disk = MemoryFilesystem(capacity_bytes=4 * 4096)
    disk.make_dirs(HOME)
    write(disk, HOME / "a", b"x")
    assert disk.space(HOME).free == 3 * 4096
    file = disk.create(HOME / "b")
    file.write(bytes(4096))
    with pytest.raises(OSError, match="/home/b") as caught:
        file.write(bytes(3 * 4096))
    assert caught.value.errno == errno.ENOSPC
    assert disk.stat(HOME / "b").size == 3 * 4096
    assert disk.space(HOME).free == 0
    disk.unlink(HOME / "b")
    assert disk.space(HOME).free == 0, "it is still open"
    file.close()
    assert disk.space(HOME).free == 3 * 4096
    disk.link(HOME / "a", HOME / "c")
    disk.unlink(HOME / "a")
    assert disk.space(HOME).free == 3 * 4096
    assert disk.power_cut("lose").space(Path("/")).free == 4 * 4096
    assert disk.copy().space(HOME).free == 3 * 4096
    write(disk, HOME / "d", b"x")
    disk.rename(HOME / "d", HOME / "c")
    assert disk.space(HOME).free == 3 * 4096


def test_a_clock_of_its_own(disk: MemoryFilesystem) -> None:
    write(disk, HOME / "a")
    born = disk.stat(HOME / "a").mtime_ns
    disk.clock.advance(1.5)
    disk.touch(HOME / "a")
    assert disk.stat(HOME / "a").mtime_ns == born + 1_500_000_000
    assert disk.now() == disk.clock() == Clock().seconds + 1.5


def test_corruption_is_seen_by_later_readers_only(disk: MemoryFilesystem) -> None:
    write(disk, HOME / "a")
    view = disk.map(HOME / "a")
    disk.corrupt(HOME / "a", 1, 0x20)
    assert disk.read(HOME / "a") == b"aBc"
    assert bytes(view) == b"abc"


def test_a_closed_file_takes_nothing(disk: MemoryFilesystem) -> None:
    file = disk.create(HOME / "a")
    file.close()
    with pytest.raises(OSError, match="/home/a"):
        file.write(b"x")


# The disk in memory against a real one: the same answers to any sequence of operations.

NAMES = st.sampled_from(["a", "b", "d", "d/a", "d/e", "d/e/a", "gone/a"])
OPERATIONS = st.one_of(
    st.tuples(st.just("write"), NAMES, st.binary(max_size=3)),
    st.tuples(st.sampled_from(["rename", "link"]), NAMES, NAMES),
    st.tuples(st.sampled_from(["read", "map", "unlink", "make_dirs", "remove_dir"]), NAMES),
    st.tuples(st.sampled_from(["flush_dir", "scan", "stat", "touch"]), NAMES),
)


def answer(fs: Filesystem, root: Path, operation: tuple[object, ...]) -> object:
    name, *arguments = operation
    paths = [root / each for each in arguments if isinstance(each, str)]
    try:
        if name == "write":
            write(fs, paths[0], arguments[1])  # type: ignore[arg-type]
            return None
        result = getattr(fs, str(name))(*paths)
    except OSError as error:
        return error.errno
    if name == "scan":
        return sorted(result)
    if name == "stat":
        return result.is_dir, result.is_dir or (result.size, result.links)
    return bytes(result) if name == "map" else result


@given(operations=st.lists(OPERATIONS, max_size=25))
@settings(max_examples=150, deadline=None)
def test_memory_answers_as_a_real_disk_does(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[object, ...]]
) -> None:
    root = tmp_path_factory.mktemp("real")
    disk, real = MemoryFilesystem(), LocalFilesystem()
    disk.make_dirs(HOME)
    for operation in operations:
        assert answer(disk, HOME, operation) == answer(real, root, operation), operation
    assert disk.power_cut("keep").tree() == disk.tree()
    for path in disk.tree():
        assert answer(disk, HOME, ("read", str(Path(path).relative_to(HOME)))) == disk.tree()[path]


def test_a_folder_that_was_moved_is_in_one_place_when_nothing_is_lost() -> None:
    disk = MemoryFilesystem()
    for folder in ("d/e", "gone"):
        disk.make_dirs(HOME / folder)
    write(disk, HOME / "d/e/a")
    disk.rename(HOME / "d/e", HOME / "gone/a")
    assert list(disk.tree()) == list(disk.power_cut("keep").tree()) == [str(HOME / "gone/a/a")]


@given(operations=st.lists(OPERATIONS, max_size=25), seed=st.integers(0, 1000))
@settings(max_examples=150, deadline=None)
def test_flushing_everything_leaves_nothing_to_lose(operations: list[tuple[object, ...]], seed: int) -> None:
    disk = MemoryFilesystem()
    disk.make_dirs(HOME)
    for operation in operations:
        answer(disk, HOME, operation)
    written = {bytes(content)[:n] for _, _, *rest in operations for content in rest if isinstance(content, bytes)
               for n in range(4)}  # fmt: skip
    for content in disk.power_cut(seed).tree().values():
        assert content.rstrip(b"\0") in {each.rstrip(b"\0") for each in written}
    kept = disk.power_cut("keep")
    assert kept.power_cut(seed).tree() == kept.tree() == disk.tree()


# Faults by plan.


def test_operations_are_numbered_and_told(disk: MemoryFilesystem) -> None:
    fs = FaultyFilesystem(disk)
    write(fs, HOME / "a", flush=True)
    fs.rename(HOME / "a", HOME / "b")
    with pytest.raises(FileNotFoundError):
        fs.read(HOME / "a")
    assert re.sub(" +", " ", fs.told()).splitlines() == [
        " 1 create /home/a: done",
        " 2 write /home/a 3 bytes: done",
        " 3 flush /home/a: done",
        " 4 close /home/a: done",
        " 5 rename /home/a -> /home/b: done",
        " 6 read /home/a: ENOENT",
    ]
    assert [operation.changes for operation in fs.trace] == [True, True, True, False, True, False]


@pytest.mark.parametrize(
    "kind", ["ENOSPC", "EIO", "EACCES", "EROFS", "ESTALE", "EXDEV", "ENOTSUP"], ids=lambda kind: kind
)
def test_an_error_comes_when_planned_and_once(disk: MemoryFilesystem, kind: str) -> None:
    fs = FaultyFilesystem(disk, faults=[Fault(FaultKind(kind), at=2)])
    fs.make_dirs(HOME / "x")
    with pytest.raises(OSError, match="/home/y") as caught:
        fs.make_dirs(HOME / "y")
    assert caught.value.errno == getattr(errno, kind)
    fs.make_dirs(HOME / "y")
    assert fs.trace[1].outcome == kind


def test_faults_by_name_and_path(disk: MemoryFilesystem) -> None:
    fs = FaultyFilesystem(disk)
    fs.plan(
        Fault(FaultKind.IO_ERROR, operation="read", path="*.json", times=None),
        Fault(FaultKind.DENIED, operation="rename", path="/home/target"),
    )
    write(fs, HOME / "a.json")
    for _ in range(3):
        with pytest.raises(OSError, match=r"a\.json"):
            fs.read(HOME / "a.json")
    with pytest.raises(PermissionError, match=r"a\.json.*target"):
        fs.rename(HOME / "a.json", HOME / "target")
    fs.rename(HOME / "a.json", HOME / "target")
    assert fs.read(HOME / "target") == b"abc"


def test_a_failing_write_may_leave_a_part(disk: MemoryFilesystem) -> None:
    fs = FaultyFilesystem(disk, faults=[Fault(FaultKind.NO_SPACE, operation="write", keep=0.25)])
    with pytest.raises(OSError, match="No space"):
        write(fs, HOME / "a", b"12345678")
    assert fs.read(HOME / "a") == b"12"


def test_a_stopped_world_has_no_effects(disk: MemoryFilesystem) -> None:
    fs = FaultyFilesystem(disk, faults=[Fault(FaultKind.STOP, operation="write")])
    with pytest.raises(WorldStopped):
        write(fs, HOME / "a")
    for operation in (fs.read, fs.unlink, fs.stat, fs.scan, fs.flush_dir, fs.make_dirs):
        with pytest.raises(WorldStopped):
            operation(HOME / "a")
    assert fs.stopped
    assert disk.tree() == {"/home/a": b""}
    assert len(fs.trace) == 2, "what is asked after the end has no number"
    again = fs.restart()
    again.unlink(HOME / "a")
    assert disk.tree() == {}


def test_stopping_after_the_effect(disk: MemoryFilesystem) -> None:
    fs = FaultyFilesystem(disk, faults=[Fault(FaultKind.STOP_AFTER, operation="create")])
    with pytest.raises(WorldStopped):
        fs.create(HOME / "a")
    assert disk.tree() == {"/home/a": b""}
    fs = FaultyFilesystem(disk, faults=[Fault(FaultKind.STOP_AFTER, operation="create")])
    with pytest.raises(WorldStopped):
        fs.create(HOME / "a")  # fails by itself, and stops all the same


def test_no_handler_for_exceptions_goes_on_after_the_end(disk: MemoryFilesystem) -> None:
    assert not issubclass(WorldStopped, Exception)


def test_a_torn_write(disk: MemoryFilesystem) -> None:
    fs = FaultyFilesystem(disk, faults=[Fault(FaultKind.TORN, operation="write", keep=0.5)])
    with pytest.raises(WorldStopped):
        write(fs, HOME / "a", b"abcdef")
    assert fs.restart().read(HOME / "a") == b"abc"


def test_a_power_cut_kills_and_can_be_done_again(disk: MemoryFilesystem) -> None:
    fs = FaultyFilesystem(disk)
    file = fs.create(HOME / "a")
    assert fs.power_cut("keep").tree() == {"/home/a": b""}
    assert fs.power_cut("lose").tree() == {}
    with pytest.raises(WorldStopped):
        file.write(b"abc")
    with pytest.raises(WorldStopped):
        file.close()


def test_a_killed_process_has_no_files_open() -> None:
    disk = MemoryFilesystem(capacity_bytes=4096)
    fs = FaultyFilesystem(disk)
    file = fs.create(Path("/a"))
    file.write(b"abc")
    fs.unlink(Path("/a"))
    assert disk.space(Path("/")).free == 0
    fs.restart()
    assert disk.space(Path("/")).free == 4096


def test_a_real_disk_may_fail_but_not_lose_power(tmp_path: Path) -> None:
    fs = FaultyFilesystem(LocalFilesystem(), faults=[Fault(FaultKind.TORN, operation="write", keep=0.34)])
    with pytest.raises(WorldStopped):
        write(fs, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"a"
    with pytest.raises(TypeError, match="only a MemoryFilesystem"):
        fs.power_cut()
    fs.restart()


def test_delays_move_the_clock(disk: MemoryFilesystem) -> None:
    fs = FaultyFilesystem(disk, faults=[Fault(FaultKind.DELAY, operation="touch", seconds=30)])
    start = fs.now()
    fs.touch(HOME)
    fs.touch(HOME)
    assert fs.now() == start + 30
    assert disk.stat(HOME).mtime_ns == round((start + 30) * 1e9)


def test_delays_over_a_real_disk_sleep(tmp_path: Path) -> None:
    fs = FaultyFilesystem(LocalFilesystem(), faults=[Fault(FaultKind.DELAY, seconds=0.001)])
    fs.touch(tmp_path)
    assert fs.trace[0].outcome == "done"


def test_a_hook_acts_between(disk: MemoryFilesystem) -> None:
    def someone_else(operation: Operation) -> None:
        if operation.name == "create":
            write(disk, operation.path, b"other")

    fs = FaultyFilesystem(disk, hook=someone_else)
    with pytest.raises(FileExistsError):
        fs.create(HOME / "a")
    fs = FaultyFilesystem(disk, hook=lambda _: fs.stop())
    with pytest.raises(WorldStopped):
        fs.unlink(HOME / "a")
    assert disk.tree() == {"/home/a": b"other"}


def test_threads_get_distinct_numbers(disk: MemoryFilesystem) -> None:
    fs = FaultyFilesystem(disk)
    threads = [threading.Thread(target=lambda: [fs.stat(HOME) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [operation.number for operation in fs.trace] == list(range(1, 201))
    assert {operation.outcome for operation in fs.trace} == {"done"}


# Crashes at every point.


def test_each_crash_goes_through_all_that_matters(disk: MemoryFilesystem) -> None:
    def work(fs: FaultyFilesystem) -> None:
        write(fs, HOME / "a")
        fs.read(HOME / "a")
        fs.unlink(HOME / "a")

    found = [(crash.point.split(":")[0].split("home")[0], crash.fs.inner.tree()) for crash in each_crash(work, disk)]  # type: ignore[attr-defined]
    assert [(re.sub(" +", " ", point), tree) for point, tree in found] == [
        ("before 1 create /", {}),
        ("before 2 write /", {"/home/a": b""}),
        ("in the middle of 2 write /", {"/home/a": b"a"}),
        ("before 5 unlink /", {"/home/a": b"abc"}),
        ("at the end", {}),
    ]
    assert disk.tree() == {}


def test_each_crash_raises_what_the_work_raises(disk: MemoryFilesystem) -> None:
    with pytest.raises(FileNotFoundError):
        next(each_crash(lambda fs: fs.read(HOME / "gone"), disk))


def test_work_that_swallows_errors_is_stopped_all_the_same(disk: MemoryFilesystem) -> None:
    def work(fs: FaultyFilesystem) -> None:
        try:
            fs.make_dirs(HOME / "x")
        finally:
            fs.make_dirs(HOME / "y")

    names = [sorted(name for name, _ in crash.fs.restart().scan(HOME)) for crash in each_crash(work, disk)]
    assert names == [[], ["x"], ["x", "y"]]


def test_the_worked_example_works() -> None:
    """The first block of the module's docstring, run as it stands."""
    text = importlib.import_module("forebay.testing.faulty").__doc__ or ""
    block = text.split("::\n", 1)[1].split("\nSingle faults", 1)[0]
    assert "each_crash" in block
    names: dict[str, object] = {"Path": Path}
    exec(compile("if True:\n" + block, "example", "exec"), names)
    assert names["cut"] == 19


# Workers in turns.


def take(name: str) -> Callable[[FaultyFilesystem], bool]:
    def work(fs: FaultyFilesystem) -> bool:
        if dict(fs.scan(HOME)):
            return False
        write(fs, HOME / name)
        return True

    return work


def test_turns_interleave_as_told(disk: MemoryFilesystem) -> None:
    with Turns(disk) as turns:
        first, second = turns.worker(take("first")), turns.worker(take("second"))
        assert turns.finish(first)
        assert not turns.finish(second)
    disk.unlink(HOME / "first")
    with Turns(disk) as turns:
        first, second = turns.worker(take("first")), turns.worker(take("second"))
        assert turns.step(first)
        assert turns.step(second)
        assert disk.tree() == {}
        assert turns.finish(second)
        assert disk.tree() == {"/home/second": b"abc"}
        assert turns.finish(first)
        assert not turns.step(first)


def test_turns_hand_errors_to_the_test_and_kill_who_is_left(disk: MemoryFilesystem) -> None:
    with Turns(disk) as turns:
        broken = turns.worker(lambda fs: fs.read(HOME / "gone"))
        idle = turns.worker(take("idle"))
        with pytest.raises(FileNotFoundError):
            turns.finish(broken)
        turns.step(idle, 2)
    assert idle.done
    assert disk.tree() == {"/home/idle": b""}


def test_the_public_names_are_sorted_and_there() -> None:
    assert forebay.testing.__all__ == sorted(forebay.testing.__all__)
    for name in forebay.testing.__all__:
        assert getattr(forebay.testing, name).__name__ == name
    assert dir(forebay.testing) == forebay.testing.__all__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        importlib.import_module("forebay.testing").nonsense  # noqa: B018
