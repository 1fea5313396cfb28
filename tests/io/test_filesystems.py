"""The conformance suite over every file system we have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forebay.io import Filesystem, LocalFilesystem
from forebay.testing import FaultyFilesystem, FilesystemTests, MemoryFilesystem


class TestLocal(FilesystemTests):
    @pytest.fixture
    def fs(self) -> Filesystem:
        return LocalFilesystem()

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path


class TestLocalWithExactModes(TestLocal):
    @pytest.fixture
    def fs(self) -> Filesystem:
        return LocalFilesystem(exact_modes=True)


class TestMemory(FilesystemTests):
    @pytest.fixture
    def fs(self) -> Filesystem:
        return MemoryFilesystem()

    @pytest.fixture
    def root(self, fs: Filesystem) -> Path:
        fs.make_dirs(Path("/root/folder"))
        return Path("/root/folder")


class TestMemoryWithoutLinks(TestMemory):
    can_link = False

    @pytest.fixture
    def fs(self) -> Filesystem:
        return MemoryFilesystem(links=False)


class TestFaultyOverMemory(TestMemory):
    @pytest.fixture
    def fs(self) -> Filesystem:
        return FaultyFilesystem()


class TestFaultyOverLocal(TestLocal):
    @pytest.fixture
    def fs(self) -> Filesystem:
        return FaultyFilesystem(LocalFilesystem())


def test_a_power_cut_and_a_copy_keep_conforming(tmp_path: Path) -> None:
    fs = MemoryFilesystem()
    fs.make_dirs(tmp_path)
    for again in (fs.copy(), fs.power_cut("keep")):
        TestMemory().test_rename_moves_and_replaces(again, tmp_path)


def test_exact_modes_defy_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        fs = LocalFilesystem(exact_modes=True)
        fs.make_dirs(tmp_path / "x/y", mode=0o2770)
        fs.create(tmp_path / "x/a", mode=0o440).close()
        LocalFilesystem().create(tmp_path / "x/b", mode=0o664).close()
    finally:
        os.umask(old)
    modes = {name: (tmp_path / "x" / name).stat().st_mode & 0o7777 for name in ("a", "b", "y")}
    assert modes == {"a": 0o440, "b": 0o600, "y": 0o2770}
    assert (tmp_path / "x").stat().st_mode & 0o7777 == 0o2770


def test_mappings_spend_no_descriptors(tmp_path: Path) -> None:
    fs = LocalFilesystem()
    file = fs.create(tmp_path / "a")
    file.write(b"abcd" * 50_000)
    file.close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    views = [fs.map(tmp_path / "a") for _ in range(100)]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert all(view[-1:] == b"d" and len(view) == 200_000 for view in views)


def test_mappings_go_with_their_last_view(tmp_path: Path) -> None:
    (tmp_path / "mapped-here").write_bytes(b"abcd" * 50_000)

    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("mapped-here")

    view = LocalFilesystem().map(tmp_path / "mapped-here")
    part = view[10:20]
    del view
    assert mapped() == 1
    del part
    assert mapped() == 0


def test_local_errors_of_open_files_name_the_path() -> None:
    """/dev/full takes nothing: what a full disk says must say where."""
    from forebay.io.local import LocalFile

    file = LocalFile(os.open("/dev/full", os.O_WRONLY), Path("/dev/full"))
    with pytest.raises(OSError, match="/dev/full"):
        file.write(b"abc")
    file.close()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_where_no_folder_can_be_made() -> None:
    """The system then says that there is no such folder, of one that is there."""
    with pytest.raises(FileNotFoundError):
        LocalFilesystem().make_dirs(Path("/proc/none/of/these"))
