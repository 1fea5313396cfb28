"""Temporaries that bear their owner's name: what the dead leave is removed, what may be alive stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from forebay.io import ProcessName, abandoned, owned_token, temporary, temporary_folder

WEEK = 7 * 86400
KILLED = "import os, sys; from forebay.io import *; {}; os.kill(os.getpid(), 9)"


@pytest.fixture(autouse=True)
def temporaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporaries are the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def killed(code: str, folder: Path) -> None:
    """Run a line of Python in a process that is killed after it."""
    path = os.pathsep.join(filter(None, sys.path))
    environ = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", KILLED.format(code)], check=False, env=environ, cwd=folder)
    assert done.returncode == -signal.SIGKILL


def as_seen(monkeypatch: pytest.MonkeyPatch, **changes: str) -> str:
    """A token of this process as it would be with another host or place."""
    me = ProcessName.mine()
    other = ProcessName(changes.get("host", me.host), changes.get("place", me.place), me.pid, me.started)
    with monkeypatch.context() as patch:
        patch.setattr(ProcessName, "mine", lambda: other)
        return owned_token()


def test_tokens_are_unique() -> None:
    assert len({owned_token() for _ in range(100)}) == 100


def test_a_folder_is_there_for_a_while(tmp_path: Path) -> None:
    with temporary("test") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("x")
        assert folder.parent == tmp_path
        assert folder.name.startswith("forebay-test-")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_leaves_goes_with_the_next(tmp_path: Path) -> None:
    killed("(temporary_folder('run') / 'file').write_text('x')", tmp_path)
    killed("temporary_folder('exec')", tmp_path)
    assert [path.name.split("-")[1] for path in tmp_path.iterdir()] == ["exec"]  # it had removed the first
    ours = [temporary_folder("check"), temporary_folder("check")]
    assert sorted(tmp_path.iterdir()) == sorted(ours)


def test_only_what_is_ours_to_judge_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = ProcessName.mine()
    kept = {
        "alive": owned_token(),
        "another machine": as_seen(monkeypatch, host="elsewhere", place="other/pid:[1]"),
        "of a boot or container before": as_seen(monkeypatch, place="other/pid:[1]"),
        "no token": "0123456789abcdef-0123-1-1",
    }
    for token in kept.values():
        (tmp_path / f"forebay-run-{token}").mkdir()
    (tmp_path / "forebay-notes").mkdir()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = f"forebay-run-{owned_token().replace(f'-{me.pid:x}-', f'-{ended.pid:x}-', 1)}"
    (tmp_path / gone).mkdir()
    assert [path.name for path in abandoned(tmp_path, "forebay-[a-z]+-")] == [gone]

    again = f"forebay-run-{owned_token().replace(f'-{me.started:x}-', f'-{me.started + 1:x}-', 1)}"
    (tmp_path / again).mkdir()  # our pid, but of a process that started at another time
    assert {path.name for path in abandoned(tmp_path, "forebay-[a-z]+-")} == {gone, again}


def test_what_cannot_be_asked_for_goes_when_nobody_has_touched_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, elsewhere = (
        f".out.{as_seen(monkeypatch, host=host, place='other/pid:[1]')}.tmp"
        for host in (ProcessName.mine().host, "elsewhere")
    )
    for name in (before, elsewhere):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (time.time(), time.time() - WEEK - 60))
    assert [path.name for path in abandoned(tmp_path, r"\.out\.", r"\.tmp")] == [before]
    os.utime(tmp_path / before)
    assert abandoned(tmp_path, r"\.out\.", r"\.tmp") == []


def test_somebody_elses_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed("temporary_folder('run')", tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert abandoned(tmp_path, "forebay-[a-z]+-") == []


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert abandoned(tmp_path / "nowhere", "") == []
