"""Partials: segments that join, overlap, are torn and dropped; on any file system."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.hub.content import Check
from forebay.hub.partial import InMemory, Partial, Partials, Sink
from forebay.io import LocalFilesystem
from forebay.testing import MemoryFilesystem
from forebay.types import Key

KEY = Key("ab" * 32)


def content(sink: Sink) -> bytes:
    return b"".join(bytes(view) for view in sink.views())


@pytest.fixture(params=["disk", "memory"])
def partials(request: pytest.FixtureRequest, tmp_path: Path) -> Partials:
    if request.param == "disk":
        return Partials(LocalFilesystem(), tmp_path)
    fs = MemoryFilesystem()
    fs.make_dirs(tmp_path)
    return Partials(fs, tmp_path)


def test_what_is_written_is_there_at_once_for_others(partials: Partials) -> None:
    writer, reader = partials.of(KEY), partials.of(KEY)
    assert (reader.size(), reader.views()) == (0, [])
    writer.write(b"hello ")
    assert content(reader) == b"hello "
    writer.write(b"world")
    assert content(reader) == b"hello world"
    assert b"".join(bytes(view) for view in reader.read(6)) == b"world"
    writer.pause()


def test_the_next_process_goes_on_in_a_segment_of_its_own(partials: Partials) -> None:
    for piece in (b"one", b"two", b"three"):
        partial = partials.of(KEY)
        partial.write(piece)
        partial.pause()
    assert content(partials.of(KEY)) == b"onetwothree"
    assert partials.bytes() == 11
    assert partials.keys() == [KEY]


def test_a_late_owner_that_goes_on_writing_does_no_harm(partials: Partials) -> None:
    late = partials.of(KEY)
    late.write(b"abc")
    owner = partials.of(KEY)
    owner.write(b"DEF")
    late.write(b"xyz!")
    assert content(partials.of(KEY)) == b"abcDEF"
    owner.pause()
    late.pause()


def test_beginning_anew_drops_all(partials: Partials) -> None:
    partial = partials.of(KEY)
    partial.write(b"wrong")
    first = partial.attempt()
    partial.restart()
    assert partial.attempt() > first
    assert content(partials.of(KEY)) == b""
    partial.write(b"right")
    assert content(partials.of(KEY)) == b"right"
    partial.drop()
    assert partials.keys() == []
    partial.drop()


def test_only_a_file_of_ours_alone_is_moved(partials: Partials) -> None:
    first = partials.of(KEY)
    first.write(b"abc")
    path = first.seal()
    assert path is not None
    second = partials.of(KEY)
    second.write(b"def")
    assert second.seal() is None
    untouched = partials.of(KEY)
    assert untouched.seal() is None


def test_abandoned_partials_are_swept(partials: Partials) -> None:
    partial = partials.of(KEY)
    partial.write(b"abc")
    partial.pause()
    assert partials.sweep(3600, lambda key: False) == 0
    assert partials.sweep(-1, lambda key: True) == 0
    assert partials.sweep(-1, lambda key: False) == 1
    assert partials.keys() == []


def test_strangers_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    partials = Partials(LocalFilesystem(), tmp_path)
    folder = tmp_path / "partials-v1"
    (folder / KEY).mkdir(parents=True)
    (folder / "notes").mkdir()
    (folder / KEY / "README").write_text("?")
    (folder / KEY / f"{'0' * 16}-{5:016d}").write_bytes(b"no beginning")
    assert partials.keys() == [KEY]
    assert partials.of(KEY).size() == 0


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=9)), max_size=12))
def test_any_order_of_writing_and_dying_gives_the_bytes_in_order(steps: list[tuple[bool, bytes]]) -> None:
    fs = MemoryFilesystem()
    root = Path("/store")
    fs.make_dirs(root)
    partial, expected = Partial(fs, root / KEY), b""
    for dies, data in steps:
        if data:
            partial.write(data)
            expected += data
        if dies:
            partial.pause()
            partial = Partial(fs, root / KEY)
    assert content(partial) == expected
    partial.pause()


def test_small_files_in_memory() -> None:
    sink = InMemory()
    sink.write(b"abc")
    assert (sink.size(), content(sink), sink.seal()) == (3, b"abc", None)
    sink.restart()
    assert sink.size() == 0


def test_bytes_have_all_the_names_that_hubs_give_them() -> None:
    check = Check("git:ce013625030ba8dba906f756967f9e9ca394464a", 6)  # `echo hello | git hash-object --stdin`
    check.update(b"hel")
    check.update(b"lo\n")
    assert check.found() == check.identity
    assert check.identities() == [
        check.identity,
        "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
    ]
    check.update(b"!")
    assert check.excess
    assert check.found() == "7 bytes instead of 6"


def test_large_files_are_hashed_once() -> None:
    assert Check("sha256:" + "0" * 64, 2**30).identities() == ["sha256:" + "0" * 64, f"sha256:{_EMPTY}"]
    assert Check("etag:x", None).identities() == ["etag:x"]


_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
