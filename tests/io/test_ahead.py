"""Long files are flushed while they come in."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from forebay.io import FlushedAhead, LocalFilesystem
from forebay.types import Buffer


class Watched:
    """An open file that counts; its first flush waits to be let go, and may fail."""

    def __init__(self, error: OSError | None = None) -> None:
        self.events: list[str] = []
        self.let_go = threading.Event()
        self.under_way = threading.Event()
        self._error = error

    def write(self, data: Buffer) -> None:
        self.events.append(f"write {len(data)}")

    def flush(self) -> None:
        self.under_way.set()
        self.let_go.wait(30)
        self.events.append("flush")
        if self._error:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        self.events.append("close")


def test_writing_goes_on_while_the_disk_flushes() -> None:
    watched = Watched()
    file = FlushedAhead(watched, every_bytes=10)
    file.write(b"x" * 10)
    assert watched.under_way.wait(30)
    for _ in range(3):
        file.write(b"y" * 10)  # one flush at a time
    assert watched.events == ["write 10"] * 4
    watched.let_go.set()
    file.flush()
    file.close()
    assert watched.events == [*["write 10"] * 4, "flush", "flush", "close"]


def test_little_is_not_flushed_before_its_time() -> None:
    watched = Watched()
    file = FlushedAhead(watched, every_bytes=10)
    file.write(b"x" * 9)
    file.close()
    assert watched.events == ["write 9", "close"]


def test_what_was_lost_on_the_way_is_told_in_the_end() -> None:
    """The system tells of a failed write once; a later fsync of the same file succeeds, and the bytes are gone."""
    watched = Watched(OSError(5, "gone"))
    watched.let_go.set()
    file = FlushedAhead(watched, every_bytes=1)
    file.write(b"x")
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            file.flush()
    file.close()
    assert watched.events[-1] == "close"


def test_on_a_real_disk(tmp_path: Path) -> None:
    file = FlushedAhead(LocalFilesystem().create(tmp_path / "f"), every_bytes=1000)
    for number in range(50):
        file.write(bytes([number]) * 700)
    file.flush()
    file.close()
    assert (tmp_path / "f").read_bytes() == b"".join(bytes([number]) * 700 for number in range(50))
