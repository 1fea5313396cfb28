"""Exports that are killed: the next one uses what they wrote, and removes it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forebay.table.export import join, target_for
from forebay.table.unfinished import Name, Unfinished

PARTS = [b'{"a": 1}\n', b'{"a": 2}\n' * 1000, b"", b'{"a": 4}\n']
NAMES = ["one", "two", "none", "four"]
LOST = [0, 7, 0, 1]
EXPORT = """
import os, sys
from pathlib import Path
from forebay.table.export import join, target_for
from forebay.table.unfinished import Name

target = target_for(Path(sys.argv[1]))
parts, names, done = {parts!r}, {names!r}, []

def until_killed():
    for number, part in enumerate(parts):
        if number == int(sys.argv[2]):
            os.kill(os.getpid(), 9)
        done.append(number)
        yield part

join(until_killed(), target, names=(Name(names[at], {lost!r}[done[at]]) for at in range(len(names))))
"""


def kill(path: Path, before: int) -> None:
    """Export in a process that is killed before it writes that part."""
    code = EXPORT.format(parts=PARTS, names=NAMES, lost=LOST)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code, str(path), str(before)], check=False, env=environ)
    assert done.returncode == -signal.SIGKILL


def left(path: Path) -> list[str]:
    return sorted(each.suffix for each in path.parent.iterdir() if each != path)


@pytest.mark.parametrize("before", range(4))
def test_what_was_written_is_found(tmp_path: Path, before: int) -> None:
    path = tmp_path / "o.jsonl"
    kill(path, before)
    assert left(path) == [".parts", ".tmp"]
    found = Unfinished(path)
    assert [(name, bytes(part.data), part.lost) for name, part in found.parts.items()] == list(
        zip(NAMES[:before], PARTS[:before], LOST[:before], strict=True)
    )
    assert left(path) == ([".parts", ".tmp"] if before else [])  # of no use: gone
    found.remove()
    assert left(path) == []


def test_several_and_through_a_link(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    kill(path, 1)
    kill(path, 3)
    (tmp_path / "link.jsonl").symlink_to(path)
    found = Unfinished(tmp_path / "link.jsonl")
    assert list(found.parts) == NAMES[:3]
    found.remove()
    assert [each.name for each in tmp_path.iterdir()] == ["link.jsonl"]


@pytest.mark.parametrize("at", [0, 9, 500, 9008])
def test_bytes_that_changed_end_it(tmp_path: Path, at: int) -> None:
    path = tmp_path / "o.jsonl"
    kill(path, 3)
    (content,) = tmp_path.glob(".*.tmp")
    data = bytearray(content.read_bytes())
    data[at] ^= 1
    content.write_bytes(data)
    assert list(Unfinished(path).parts) == (["one"] if at >= len(PARTS[0]) else [])


@pytest.mark.parametrize("line", [b'["two", 9', b"{}", b'["two", "9", "x", 0]', b'["two", -1, "x", 0]', b"3", b"\xff"])
def test_a_journal_that_is_torn_ends_there(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "o.jsonl"
    kill(path, 3)
    (journal,) = tmp_path.glob(".*.parts")
    first = journal.read_bytes().splitlines(keepends=True)[0]
    assert json.loads(first)[:2] == ["one", len(PARTS[0])]
    journal.write_bytes(first + line)
    assert list(Unfinished(path).parts) == ["one"]


def test_content_that_was_cut_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    kill(path, 3)
    (content,) = tmp_path.glob(".*.tmp")
    os.truncate(content, 100)
    assert list(Unfinished(path).parts) == ["one"]


def test_other_formats_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    kill(path, 3)
    (journal,) = tmp_path.glob(".*.parts")
    journal.unlink()
    assert not Unfinished(path).parts
    assert left(path) == []


def test_nothing_is_left_by_who_is_done_and_nothing_found_of_who_is_alive(tmp_path: Path) -> None:
    target = target_for(tmp_path / "o.jsonl")

    def parts() -> object:
        for part in PARTS:
            yield part
            assert left(target.path) == [".parts", ".tmp"]
            assert not Unfinished(target.path).parts

    join(parts(), target, names=map(Name, NAMES))  # pyright: ignore[reportArgumentType]
    assert [path.name for path in tmp_path.iterdir()] == ["o.jsonl"]
    assert target.path.read_bytes() == b"".join(PARTS)
