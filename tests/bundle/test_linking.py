"""Objects that are taken by second names of their files, and the memory in which they are looked at."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundling import bundle, content, fill, noise, nothing_came, prose, put

from forebay.bundle import install, taking
from forebay.bundle.archive import Member
from forebay.bundle.frames import Coders, unpack
from forebay.bundle.installing import install_from
from forebay.bundle.linking import Linker
from forebay.bundle.manifest import FRAME_BYTES
from forebay.bundle.source import FolderSource, joined, objects_of
from forebay.errors import BundleError
from forebay.store import Store
from forebay.types import Buffer


@pytest.fixture
def folder(tmp_path: Path, store: Store) -> Path:
    """An unpacked bundle on the file system of the stores."""
    fill(store)
    bundle(store, tmp_path / "b.tar")
    (tmp_path / "un").mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "b.tar", "-C", tmp_path / "un"], check=True)
    return tmp_path / "un"


class Watched(FolderSource):
    """Tells what is read, and does something once an object was."""

    def __init__(self, folder: Path, last: str = "") -> None:
        super().__init__(folder)
        self._last = last
        self.reached = threading.Event()

    def pieces(self, member: Member) -> Iterator[Buffer]:
        """See `Source.pieces`."""
        yield from super().pieces(member)
        if member.name == self._last:
            self.reached.set()


def objects(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "objects").rglob("*") if path.is_file())


def test_the_next_are_looked_at_while_those_before_are_published(folder: Path, other: Store) -> None:
    wanted = list(objects_of(FolderSource(folder)))
    source = Watched(folder, last=wanted[-1][0].name)
    with Coders(threads=1) as coders, Linker(other, source, wanted, coders) as linker, other.batch() as batch:
        assert linker.link(batch, wanted[:4]) == []
        assert source.reached.wait(60)  # nobody has asked for it
        assert linker.link(batch, wanted[4:]) == []


@pytest.mark.parametrize("group", [1, 4, 1000])
def test_groups_of_any_size(folder: Path, store: Store, other: Store, group: int, monkeypatch) -> None:
    monkeypatch.setattr(taking, "_GROUP", group)
    report = install(other, folder)
    assert report.linked == report.objects == len(objects(folder))
    assert content(other) == content(store)
    assert other.verify().ok


@pytest.mark.parametrize("group", [1, 4, 1000])
@pytest.mark.parametrize("number", [0, 13, -1])
def test_nothing_is_linked_that_is_damaged(folder: Path, other: Store, group: int, number: int, monkeypatch) -> None:
    monkeypatch.setattr(taking, "_GROUP", group)
    victim = objects(folder)[number]
    data = victim.read_bytes()
    victim.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(BundleError, match=r"damaged|does not unpack|unpacks to"):
        install(other, folder)
    assert victim.stat().st_nlink == 1
    assert nothing_came(other)


class Changing(Watched):
    """Something happens to one of its objects right after it was read."""

    def __init__(self, folder: Path, victim: Path, *, remove: bool) -> None:
        super().__init__(folder)
        self._victim, self._remove = victim, remove

    def pieces(self, member: Member) -> Iterator[Buffer]:
        """See `Source.pieces`."""
        yield from super().pieces(member)
        if self._path(member) == self._victim and self._remove:
            self._victim.unlink()
        elif self._path(member) == self._victim:
            data = self._victim.read_bytes()
            self._victim.unlink()
            self._victim.write_bytes(data)


@pytest.mark.parametrize("remove", [True, False])
@pytest.mark.parametrize("number", [0, -1])
def test_a_file_that_changes_after_it_was_looked_at(folder: Path, other: Store, number: int, remove: bool) -> None:
    victim = objects(folder)[number]
    with Changing(folder, victim, remove=remove) as source, pytest.raises(BundleError, match="was changed"):
        install_from(other, source)
    assert nothing_came(other)


def test_large_objects_too(tmp_path: Path, store: Store, other: Store) -> None:
    put(store, "big", {"text": prose("big", 20 * FRAME_BYTES + 5), "noise": noise("big", 20 * FRAME_BYTES + 7)})
    put(store, "middle", {"text": noise("m", 3000) * 2000, "noise": noise("m", 3 * FRAME_BYTES)})
    bundle(store, tmp_path / "b.tar")
    (tmp_path / "un").mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "b.tar", "-C", tmp_path / "un"], check=True)
    assert install(other, tmp_path / "un").linked == 4
    assert content(other) == content(store)
    assert other.verify().ok


# Memory


def frames(data: bytes) -> bytes:
    with Coders() as coders:
        [(_, pack, pieces)] = coders.packed([(0, len(data), lambda: memoryview(data))])
        assert pack == "zstd"
        return b"".join(pieces)


def rooms(pieces: Iterator[memoryview]) -> tuple[int, bytes]:
    """Return how many buffers some pieces lie in, and what they are."""
    found: set[int] = set()
    whole = bytearray()
    for piece in pieces:
        found.add(id(piece.obj))
        whole += piece
    return len(found), bytes(whole)


def test_a_large_object_is_unpacked_into_a_few_buffers() -> None:
    data = prose("large", 20 * FRAME_BYTES + 3)
    with Coders(threads=2) as coders:
        count, whole = rooms(coders.unpacked(iter([frames(data)]), len(data)))
    assert whole == data
    assert count <= 6


def test_a_small_object_is_unpacked_into_one_buffer() -> None:
    data = prose("small", 5 * FRAME_BYTES + 3)
    packed = frames(data)
    once = memoryview(bytearray(FRAME_BYTES))
    assert rooms(unpack(packed, len(data), once)) == (1, data)
    whole = memoryview(bytearray(len(data)))
    assert rooms(unpack(packed, len(data), whole)) == (1, data)
    assert whole == data


def test_pieces_are_joined_in_the_room_given() -> None:
    room = memoryview(bytearray(6))
    assert joined(iter([b"ab", b"cdef"]), 6, room) == b"abcdef"
    assert room == b"abcdef"
    one = b"abcdef"
    assert joined(iter([one]), 6, room) is one
    assert joined(iter([b"ab", b"c"]), 3) == b"abc"
    assert joined(iter([]), 0) == b""
