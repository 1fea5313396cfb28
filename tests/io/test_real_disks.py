"""Publishing and leases on real file systems that are full, read-only, or lose their handles."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from forebay.io import LeaseFolder, LocalFilesystem, Room, Trouble, owned_token, publish, stage
from forebay.io.local import despite_stale


def mount(*arguments: str) -> bool:
    """Mount something; False where we may not."""
    tool = shutil.which("mount")
    return tool is not None and subprocess.run([tool, *arguments], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB with a folder `tmp`."""
    disk = tmp_path / "small"
    disk.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)):
        pytest.skip("needs the right to mount a small tmpfs")
    (disk / "tmp").mkdir()
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk(small: Path) -> None:
    """Publishing fails by ENOSPC with the path, leaves no temporary, and works again when there is room."""
    fs = LocalFilesystem()
    for number in range(3):
        with stage(fs, small / "tmp", owned_token()) as part:
            part.write(bytes(300_000))
            part.publish(small / f"o/{number}")
    with pytest.raises(OSError, match="small/tmp/") as caught, stage(fs, small / "tmp", owned_token()) as part:
        part.write(bytes(300_000))
    assert Trouble.of(caught.value) is Trouble.FULL
    assert list((small / "tmp").iterdir()) == []
    with pytest.raises(OSError, match="no room for 300 kB"):
        Room(fs, small).reserve(300_000)
    assert {len(fs.read(small / f"o/{number}")) for number in range(3)} == {300_000}
    fs.unlink(small / "o/0")
    with Room(fs, small).reserve(300_000), stage(fs, small / "tmp", owned_token()) as part:
        part.write(bytes(300_000))
        assert part.publish(small / "o/0")


def test_a_lease_on_a_full_disk_is_refused_and_leaves_nothing(small: Path) -> None:
    (small / "leases/ab").mkdir(parents=True)
    with pytest.raises(OSError, match="No space"):
        fill(small / "filler")
    leases = LeaseFolder(LocalFilesystem(), small / "leases")
    with pytest.raises(OSError, match="No space"):
        leases.acquire("ab12")
    assert list((small / "leases/ab").iterdir()) == []
    (small / "filler").unlink()
    with leases.acquire("ab12") or pytest.fail("free, but not given") as lease:
        assert lease.generation == 1


def test_a_read_only_disk(small: Path) -> None:
    fs = LocalFilesystem()
    with stage(fs, small / "tmp", "1") as part:
        part.write(b"abc")
        part.publish(small / "o/a")
    leases = LeaseFolder(fs, small / "leases")
    lease = leases.acquire("ab12")
    assert lease is not None
    lease.progress("packing", 1, 2)
    if not mount("-o", "remount,ro", str(small)):
        pytest.skip("needs the right to remount")
    assert fs.read(small / "o/a") == bytes(fs.map(small / "o/a")) == b"abc"
    fs.make_dirs(small / "o")
    progress = leases.progress("ab12")
    assert progress is not None
    assert (progress.text, progress.pid) == ("packing", os.getpid())
    failing: list[Callable[[], object]] = [
        lambda: stage(fs, small / "tmp", "2"),
        lambda: fs.make_dirs(small / "new"),
        lambda: leases.acquire("ab99"),
        lambda: fs.unlink(small / "o/a"),
    ]
    for action in failing:
        with pytest.raises(OSError, match="Read-only") as caught:
            action()
        assert Trouble.of(caught.value) is Trouble.READ_ONLY
    lease.release()  # cannot remove its file, and says nothing
    assert mount("-o", "remount,rw", str(small))


def test_two_disks_are_told_apart(small: Path, tmp_path: Path) -> None:
    fs = LocalFilesystem()
    with (
        stage(fs, small / "tmp", "1") as part,
        pytest.raises(OSError, match=r"are on different file systems; put a whole store on one") as caught,
    ):
        publish(fs, [(part, tmp_path / "a")])
    assert Trouble.of(caught.value) is Trouble.SPLIT
    assert caught.value.filename2 == str(tmp_path / "a")
    assert list((small / "tmp").iterdir()) == []
    assert not (tmp_path / "a").exists()


def test_a_stale_handle_is_looked_up_once_more() -> None:
    asked: list[Path] = []

    def stale(times: int, number: int = errno.ESTALE) -> Callable[[Path], int]:
        def operation(path: Path) -> int:
            asked.append(path)
            if len(asked) <= times:
                raise OSError(number, os.strerror(number), str(path))
            return 7

        asked.clear()
        return operation

    assert despite_stale(stale(1), Path("/a")) == 7
    with pytest.raises(OSError, match="Stale") as caught:
        despite_stale(stale(2), Path("/a"))
    assert Trouble.of(caught.value) is Trouble.STALE
    assert asked == [Path("/a")] * 2
    with pytest.raises(OSError, match="/a"):
        despite_stale(stale(1, errno.EIO), Path("/a"))
    assert len(asked) == 1
