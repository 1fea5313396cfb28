"""Room: reserved before it is written."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from forebay.io import LocalFilesystem, Room, Trouble
from forebay.testing import MemoryFilesystem

HOME = Path("/home")


@pytest.fixture
def disk() -> MemoryFilesystem:
    disk = MemoryFilesystem(capacity_bytes=100 * 4096)
    disk.make_dirs(HOME)
    return disk


def fill(disk: MemoryFilesystem, size: int) -> None:
    file = disk.create(HOME / str(size))
    file.write(bytes(size))
    file.close()


def test_what_is_reserved_cannot_be_reserved_again(disk: MemoryFilesystem) -> None:
    room = Room(disk, HOME, min_free_bytes=10 * 4096)
    assert room.free() == 90 * 4096
    with room.reserve(60 * 4096) as mine:
        assert room.free() == 30 * 4096
        with pytest.raises(OSError, match=r"no room for 127 kB beside 41\.0 kB kept free: 4\.10 kB more are needed"):
            room.reserve(31 * 4096)
        mine.grow(30 * 4096)
        assert room.free() == 0
        with pytest.raises(OSError, match="/home") as caught:
            mine.grow(1)
        assert caught.value.errno == errno.ENOSPC
        assert mine.left == 90 * 4096
    assert room.free() == 90 * 4096
    mine.release()
    assert room.free() == 90 * 4096


def test_what_is_written_is_counted_once(disk: MemoryFilesystem) -> None:
    room = Room(disk, HOME)
    with room.reserve(50 * 4096) as mine:
        fill(disk, 20 * 4096)
        mine.written(20 * 4096)
        assert mine.left == 30 * 4096
        assert room.free() == 50 * 4096
        fill(disk, 45 * 4096)
        mine.written(45 * 4096)  # more than was reserved: the disk knows
        assert room.free() == 35 * 4096
    assert room.free() == 35 * 4096


def test_others_may_take_more_than_the_margin(disk: MemoryFilesystem) -> None:
    room = Room(disk, HOME, min_free_bytes=10 * 4096)
    fill(disk, 95 * 4096)
    assert room.free() == -5 * 4096
    with pytest.raises(OSError, match="no room"):
        room.reserve(0)


def test_threads_together_never_reserve_too_much(disk: MemoryFilesystem) -> None:
    room, got = Room(disk, HOME), []

    def work() -> None:
        for _ in range(20):
            try:
                got.append(room.reserve(4096))
            except OSError:
                return

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 100


def test_a_forked_child_starts_with_nothing_reserved(tmp_path: Path) -> None:
    room = Room(LocalFilesystem(), tmp_path)
    huge = room.reserve(room.free() // 2)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            inherited = room.free()
            mine = room.reserve(inherited // 2 + inherited // 4)  # would not fit beside the parent's
            huge.release()
            code = 0 if mine.left > 0 else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    huge.release()


@pytest.mark.parametrize(
    ("number", "trouble"),
    [
        (errno.ENOSPC, Trouble.FULL),
        (errno.EDQUOT, Trouble.FULL),
        (errno.EROFS, Trouble.READ_ONLY),
        (errno.EACCES, Trouble.READ_ONLY),
        (errno.ESTALE, Trouble.STALE),
        (errno.EXDEV, Trouble.SPLIT),
        (errno.ENOENT, Trouble.MISSING),
        (errno.EMFILE, Trouble.OUT_OF_FILES),
        (errno.EIO, Trouble.FAILING),
    ],
)
def test_trouble_has_a_name(number: int, trouble: Trouble) -> None:
    assert Trouble.of(OSError(number, "x")) is trouble
    assert Trouble.of(OSError("without a number")) is Trouble.FAILING
