"""Digests of files: by content, remembered by state, and not trusted while a write could go unnoticed."""

from __future__ import annotations

import os

import blake3
import pytest

from forebay.errors import NotFoundError, SourceError, UnhashableError
from forebay.fingerprint import FileContent, digest_bytes, file_digest, tree

SECOND = 1_000_000_000


class Memo:
    """A memo in memory that counts what it is asked."""

    def __init__(self):
        self.known = {}
        self.hits = 0

    @staticmethod
    def key(stat):
        return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def get(self, path, stat, /):
        found = self.known.get(self.key(stat))
        self.hits += found is not None
        return found

    def put(self, path, stat, digest, /):
        self.known[self.key(stat)] = digest


def later(path, seconds=10):
    """A clock that shows a time after the file was last touched."""
    return lambda: os.stat(path).st_ctime_ns + int(seconds * SECOND)


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes(b"one two")
    return path


def test_digest_is_blake3_of_the_content(words):
    assert file_digest(words) == blake3.blake3(b"one two").hexdigest() == digest_bytes(b"one two")
    assert file_digest(str(words)) == digest_bytes(memoryview(b"one two"))


@pytest.mark.parametrize("size", [0, 1, 4 << 20, (4 << 20) + 1, (16 << 20) + 3])
def test_files_of_any_size(tmp_path, size):
    content = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / "large"
    path.write_bytes(content[:size])
    assert file_digest(path) == digest_bytes(content[:size])


def test_a_known_file_is_not_read_again(words):
    memo = Memo()
    first = file_digest(words, memo, clock_ns=later(words))
    words.chmod(0o000)  # cannot be read by others than root, and its ctime has changed
    words.chmod(0o644)
    assert memo.hits == 0
    file_digest(words, memo, clock_ns=later(words))
    assert file_digest(words, memo, clock_ns=later(words)) == first
    assert memo.hits == 1


def test_same_size_and_mtime_but_other_content_is_seen(words):
    memo = Memo()
    stat = os.stat(words)
    before = file_digest(words, memo, clock_ns=later(words))
    words.write_bytes(b"two one")
    os.utime(words, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file_digest(words, memo) != before


def test_touched_or_copied_files_keep_their_digest(words, tmp_path):
    before = file_digest(words)
    os.utime(words, (1, 1))
    copy = tmp_path / "copy"
    copy.write_bytes(words.read_bytes())
    assert file_digest(words) == file_digest(copy) == before


def test_a_file_written_just_now_is_not_remembered(words):
    memo = Memo()
    file_digest(words, memo, clock_ns=lambda: os.stat(words).st_mtime_ns)
    assert memo.known == {}


@pytest.mark.parametrize(
    ("ctime_ns", "age_ns", "racy"),
    [
        (1_700_000_000_123_456_789, 49_000_000, True),  # a clock of nanoseconds ticks every few milliseconds
        (1_700_000_000_123_456_789, 51_000_000, False),
        (1_700_000_000_000_000_000, 1_900_000_000, True),  # whole seconds: the clock may tick every two
        (1_700_000_000_000_000_000, 2_100_000_000, False),
        (1_700_000_000_123_456_789, -5_000_000_000, True),  # from the future
    ],
)
def test_what_is_racy(words, ctime_ns, age_ns, racy):
    from forebay.fingerprint.digests import is_racy

    fields = list(os.stat(words))
    stat = os.stat_result(fields, {"st_mtime_ns": ctime_ns - SECOND, "st_ctime_ns": ctime_ns})
    assert is_racy(stat, ctime_ns + age_ns) is racy


def test_a_file_that_changes_while_it_is_read_is_read_again_then_given_up(words, monkeypatch):
    from forebay.fingerprint import digests

    writes = []
    read = digests._read_digest

    def disturbed(readinto, size):
        found = read(readinto, size)
        os.utime(words, ns=(0, len(writes)))
        writes.append(1)
        return found

    monkeypatch.setattr(digests, "_read_digest", disturbed)
    with pytest.raises(SourceError, match=r"words.txt: keeps changing while it is read; wait until it is written"):
        file_digest(words)
    assert len(writes) == 3


def test_what_is_no_file(tmp_path):
    with pytest.raises(NotFoundError, match="missing: no such file; check the path"):
        file_digest(tmp_path / "missing")
    with pytest.raises(SourceError, match="is not a regular file"):
        file_digest(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="is not a regular file"):
        file_digest(tmp_path / "pipe")
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(SourceError, match=r"a/b: cannot be read"):
        file_digest(tmp_path / "a" / "b")


def test_file_content_is_a_value(words, tmp_path):
    memo = Memo()
    os.utime(words, ns=(1, 1))
    found = tree(FileContent(words), memo=memo)
    other = tmp_path / "other.txt"
    other.write_bytes(b"one two")
    assert found.digest == tree(FileContent(other)).digest
    assert (found.kind, found.detail) == ("file", "words.txt")
    assert os.fspath(FileContent(words)) == str(words)
    other.write_bytes(b"one twp")
    assert found.digest != tree(FileContent(other)).digest
    with pytest.raises(UnhashableError, match=r"value\.0: .*gone: no such file"):
        tree([FileContent(tmp_path / "gone")])


def test_open_files_are_keyed_by_content_and_place(words, tmp_path):
    with words.open() as one, words.open() as other, (tmp_path / "log").open("w") as log:
        assert tree(one).digest == tree(other).digest
        other.read(3)
        assert tree(one).digest != tree(other).digest
        before = tree(log).digest
        log.write("more")
        log.flush()
        assert tree(log).digest == before
    reader, writer = os.pipe()
    with os.fdopen(reader) as end, os.fdopen(writer, "w"), pytest.raises(UnhashableError, match="open the file inside"):
        tree(end)
