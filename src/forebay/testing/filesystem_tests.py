"""What every `Filesystem` must do: subclass `FilesystemTests`, give it a file system, and let pytest run it.

Example::

    class TestMine(FilesystemTests):
        @pytest.fixture
        def fs(self):
            return MyFilesystem()

        @pytest.fixture
        def root(self, tmp_path):
            return tmp_path                    # an empty folder on it that is there
"""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from forebay.io import Filesystem


def write(fs: Filesystem, path: Path, content: bytes = b"abc") -> Path:
    """Create a file with this content, not flushed."""
    file = fs.create(path)
    try:
        file.write(content)
    finally:
        file.close()
    return path


def names(fs: Filesystem, folder: Path) -> dict[str, bool]:
    """Return what is in a folder: whether it is a folder, by name."""
    return dict(fs.scan(folder))


class FilesystemTests:
    """The conformance suite of `forebay.io.Filesystem`. Give fixtures ``fs`` and ``root``, an empty folder on it."""

    can_link = True
    """Whether the file system has hard links."""

    @pytest.fixture
    def fs(self) -> Filesystem:
        """Return the file system under test."""
        raise NotImplementedError("give a fixture `fs`: the file system under test")

    @pytest.fixture
    def root(self) -> Path:
        """Return an empty folder on `fs` that is there."""
        raise NotImplementedError("give a fixture `root`: an empty folder on `fs`")

    @pytest.mark.parametrize("size", [0, 1, 4096, 131_072, 300_001])
    def test_what_was_written_is_read(self, fs: Filesystem, root: Path, size: int) -> None:
        """Contents of any length, by `read` and by `map`."""
        content = bytes(range(256)) * (size // 256 + 1)
        path = write(fs, root / "a", content[:size])
        assert fs.read(path) == content[:size]
        view = fs.map(path)
        assert view.readonly
        assert view.format == "B"
        assert bytes(view) == content[:size]
        assert fs.stat(path).size == size

    def test_writes_follow_each_other(self, fs: Filesystem, root: Path) -> None:
        """Bytes, bytearrays and memoryviews, also of wider items, are appended in order."""
        file = fs.create(root / "a")
        file.write(b"ab")
        file.write(bytearray(b"cd"))
        file.write(memoryview(b"xefx")[1:3])
        file.write(memoryview(b"\1\0\0\0\2\0\0\0").cast("I"))
        file.write(b"")
        file.flush()
        file.close()
        file.close()
        assert fs.read(root / "a") == b"abcdef\1\0\0\0\2\0\0\0"

    def test_only_one_creates(self, fs: Filesystem, root: Path) -> None:
        """Of several callers of `create` exactly one succeeds."""
        won: list[int] = []
        gate = threading.Barrier(8)

        def create(number: int) -> None:
            gate.wait()
            try:
                file = fs.create(root / "a")
            except FileExistsError:
                return
            won.append(number)
            file.close()

        threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1

    def test_what_is_missing_is_said(self, fs: Filesystem, root: Path) -> None:
        """FileNotFoundError wherever something is not there."""
        gone = root / "gone"
        for operation in (fs.read, fs.map, fs.stat, fs.unlink, fs.touch, fs.scan, fs.flush_dir, fs.remove_dir):
            with pytest.raises(FileNotFoundError):
                operation(gone)
        with pytest.raises(FileNotFoundError):
            fs.create(gone / "a")
        with pytest.raises(FileNotFoundError):
            fs.rename(gone, root / "b")
        with pytest.raises(FileNotFoundError):
            fs.rename(write(fs, root / "a"), gone / "b")
        with pytest.raises(FileNotFoundError):
            fs.chmod(gone, 0o600)

    def test_errors_name_the_path(self, fs: Filesystem, root: Path) -> None:
        """An error carries its number and the path."""
        with pytest.raises(FileNotFoundError) as caught:
            fs.read(root / "gone")
        assert caught.value.errno == errno.ENOENT
        assert str(root / "gone") in str(caught.value)

    def test_rename_moves_and_replaces(self, fs: Filesystem, root: Path) -> None:
        """The old name goes, the new one has the content, what bore it is replaced."""
        write(fs, root / "a", b"new")
        write(fs, root / "b", b"old")
        fs.rename(root / "a", root / "b")
        assert fs.read(root / "b") == b"new"
        assert names(fs, root) == {"b": False}

    def test_rename_between_folders(self, fs: Filesystem, root: Path) -> None:
        """Files and folders move."""
        fs.make_dirs(root / "x/y")
        write(fs, root / "x/y/a")
        fs.rename(root / "x/y", root / "z")
        assert fs.read(root / "z/a") == b"abc"
        assert names(fs, root / "x") == {}

    def test_rename_does_not_drop_folders(self, fs: Filesystem, root: Path) -> None:
        """A folder that holds something is never replaced, nor a folder by a file."""
        fs.make_dirs(root / "full")
        write(fs, root / "full/a")
        fs.make_dirs(root / "other")
        with pytest.raises(OSError, match="full"):
            fs.rename(root / "other", root / "full")
        with pytest.raises(OSError, match="full"):
            fs.rename(write(fs, root / "file"), root / "full")
        assert fs.read(root / "full/a") == b"abc"

    def test_link_gives_a_second_name(self, fs: Filesystem, root: Path) -> None:
        """One file with two names; a name that is taken stays as it is."""
        if not self.can_link:
            pytest.skip("this file system has no hard links")
        write(fs, root / "a", b"one")
        write(fs, root / "taken", b"two")
        fs.link(root / "a", root / "b")
        assert fs.stat(root / "b").links == 2
        assert fs.stat(root / "a").inode == fs.stat(root / "b").inode
        with pytest.raises(FileExistsError):
            fs.link(root / "a", root / "taken")
        fs.unlink(root / "a")
        assert (fs.read(root / "b"), fs.read(root / "taken")) == (b"one", b"two")

    def test_view_outlives_the_name(self, fs: Filesystem, root: Path) -> None:
        """A mapping is good after its file was removed, and parts of it after the whole."""
        path = write(fs, root / "a", b"abc" * 100_000)
        part = fs.map(path)[300:306]
        fs.unlink(path)
        assert bytes(part) == b"abcabc"
        with pytest.raises(TypeError):
            part[0] = 1

    def test_a_file_open_for_writing_outlives_its_name(self, fs: Filesystem, root: Path) -> None:
        """A file may be renamed and removed while it is written."""
        file = fs.create(root / "a")
        file.write(b"ab")
        fs.rename(root / "a", root / "b")
        file.write(b"c")
        assert fs.read(root / "b") == b"abc"
        fs.unlink(root / "b")
        file.flush()
        file.close()
        assert names(fs, root) == {}

    def test_folders(self, fs: Filesystem, root: Path) -> None:
        """Made with their parents, made again without harm, removed when empty only."""
        fs.make_dirs(root / "x/y/z")
        fs.make_dirs(root / "x/y/z")
        write(fs, root / "x/y/a")
        assert names(fs, root / "x/y") == {"z": True, "a": False}
        assert fs.stat(root / "x").is_dir
        assert not fs.stat(root / "x/y/a").is_dir
        with pytest.raises(OSError, match="x") as caught:
            fs.remove_dir(root / "x/y")
        assert caught.value.errno in (errno.ENOTEMPTY, errno.EEXIST)
        fs.remove_dir(root / "x/y/z")
        assert names(fs, root / "x/y") == {"a": False}
        fs.flush_dir(root / "x/y")

    def test_files_are_not_folders(self, fs: Filesystem, root: Path) -> None:
        """What is asked of the wrong kind fails."""
        path = write(fs, root / "a")
        fs.make_dirs(root / "folder")
        with pytest.raises(NotADirectoryError):
            fs.scan(path)
        with pytest.raises(NotADirectoryError):
            fs.create(path / "b")
        with pytest.raises(FileExistsError):
            fs.make_dirs(path)
        with pytest.raises(NotADirectoryError):
            fs.make_dirs(path / "b")
        with pytest.raises(IsADirectoryError):
            fs.read(root / "folder")
        with pytest.raises(OSError, match="folder"):
            fs.unlink(root / "folder")

    def test_touch_sets_the_time(self, fs: Filesystem, root: Path) -> None:
        """A touched file or folder is no older than what was created before it."""
        path = write(fs, root / "a")
        born_ns = fs.stat(path).mtime_ns
        fs.touch(path)
        fs.touch(root)
        assert fs.stat(path).mtime_ns >= born_ns
        assert fs.stat(root).mtime_ns >= born_ns
        assert abs(fs.now() - born_ns / 1e9) < 3600

    def test_modes(self, fs: Filesystem, root: Path) -> None:
        """A file made read-only for all can be written by its maker until it is closed, and read."""
        file = fs.create(root / "a", mode=0o444)
        file.write(b"abc")
        file.close()
        fs.chmod(root / "a", 0o400)
        assert fs.read(root / "a") == b"abc"

    def test_space(self, fs: Filesystem, root: Path) -> None:
        """There is some room, and no more of it than there is in all."""
        space = fs.space(root)
        assert 0 < space.free <= space.total

    def test_allocation_is_told(self, fs: Filesystem, root: Path) -> None:
        """What a flushed file takes is about its size."""
        file = fs.create(root / "a")
        file.write(bytes(range(256)) * 400)
        file.flush()
        file.close()
        assert 0 < fs.stat(root / "a").allocated_bytes <= 1 << 20

    def test_scan_bears_changes(self, fs: Filesystem, root: Path) -> None:
        """Names may come and go while a scan is read."""
        for number in range(50):
            write(fs, root / str(number), b"")
        for name, _ in fs.scan(root):
            fs.unlink(root / name)
        assert names(fs, root) == {}
