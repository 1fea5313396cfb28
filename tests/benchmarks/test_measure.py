"""Measuring commands: time, CPU, memory, children, failure, kill -9."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from benchmarks import measure

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"


def command(tmp_path, code):
    return measure.Command([sys.executable, "-c", code], tmp_path, {"PATH": "/usr/bin:/bin"}, tmp_path / "log.txt")


def test_cpu_of_the_command_is_counted(tmp_path):
    cost = measure.run(command(tmp_path, BURN))
    assert cost.cpu >= 0.29
    assert cost.wall >= 0.29
    assert cost.tree == 0


def test_cpu_of_children_is_counted_too(tmp_path):
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])"
    assert measure.run(command(tmp_path, code)).cpu >= 0.29


def test_memory_of_the_whole_tree_is_sampled(tmp_path):
    hold = "import time\nblock = bytearray(b'x' * 60_000_000)\ntime.sleep(2)\n"
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {hold!r}])"
    cost = measure.run(command(tmp_path, code), sample_memory=True)
    assert cost.private >= 60_000_000
    assert cost.tree >= cost.private
    assert cost.largest >= 60_000_000


def test_a_failing_command_is_told_with_its_last_words(tmp_path):
    with pytest.raises(measure.CommandFailed, match="out of cheese"):
        measure.run(command(tmp_path, "raise SystemExit('out of cheese')"))


def test_kill_reaches_the_workers(tmp_path):
    code = (
        "import os, pathlib, time\n"
        "child = os.fork()\n"
        "if child:\n"
        "    pathlib.Path(f'child-{child}').touch()\n"
        "time.sleep(600)\n"
    )
    _, killed = measure.run_and_kill(command(tmp_path, code), lambda _: any(tmp_path.glob("child-*")))
    assert killed
    (child,) = tmp_path.glob("child-*")
    until = time.monotonic() + 30
    while _lives(child.name.removeprefix("child-")):
        assert time.monotonic() < until, "the child lives on"
        time.sleep(0.01)


def _lives(pid):
    try:
        return (Path("/proc") / pid / "stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_command_that_ends_first_was_not_killed(tmp_path):
    _, killed = measure.run_and_kill(command(tmp_path, "pass"), lambda _: False)
    assert not killed


def test_bytes_count_hard_links_once(tmp_path):
    first = tmp_path / "a" / "first"
    first.parent.mkdir()
    first.write_bytes(b"x" * 1000)
    (tmp_path / "a" / "second").hardlink_to(first)
    (tmp_path / "a" / "link").symlink_to(first)
    assert measure.size_of(tmp_path / "a") == 1000


def test_spread_is_median_and_extremes():
    spread = measure.Spread.of([3.0, 1.0, 2.0])
    assert (spread.median, spread.low, spread.high, spread.count) == (2.0, 1.0, 3.0, 3)
