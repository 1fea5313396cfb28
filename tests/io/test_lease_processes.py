"""Leases between real processes: killed, stopped, forked."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from forebay.io import HEART, Heart, Lease, LeaseFolder, LocalFilesystem, ProcessName

T = TypeVar("T")
KEY = "ab12"
PATIENCE_SECONDS = 60  # how long a test may hang before it fails; says nothing about how long anything takes

OWNER = """
import sys, time
from pathlib import Path
from forebay.io import LeaseFolder, LocalFilesystem, ProcessName

root, seconds, hidden = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "hidden"
me = (lambda: ProcessName("elsewhere", "elsewhere", 1, 1)) if hidden else ProcessName.mine
lease = LeaseFolder(LocalFilesystem(), root, lease_seconds=seconds, me=me).acquire("ab12")
print("held" if lease else "refused", flush=True)
while not lease.lost:
    time.sleep(0.01)
print("lost", flush=True)
lease.release()
"""


def wait_for(look: Callable[[], T]) -> T:
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
    return found


@pytest.fixture
def start_owner(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    owners: list[subprocess.Popen[str]] = []

    def start(seconds: float, hidden: str = "") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", OWNER, str(tmp_path), str(seconds), hidden]
        path = os.pathsep.join(filter(None, sys.path))
        owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})
        owners.append(owner)
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        return owner

    yield start
    for owner in owners:
        owner.kill()
        owner.communicate()


def folder(tmp_path: Path, seconds: float = 3600.0) -> LeaseFolder:
    return LeaseFolder(LocalFilesystem(), tmp_path, lease_seconds=seconds)


def test_a_killed_owner_is_replaced_at_once(tmp_path: Path, start_owner: Callable[..., subprocess.Popen[str]]) -> None:
    """By its pid, long before its heartbeat is old."""
    owner = start_owner(3600)
    leases = folder(tmp_path)
    assert leases.acquire(KEY) is None
    progress = leases.progress(KEY)
    assert progress is not None
    assert progress.pid == owner.pid
    os.kill(owner.pid, signal.SIGKILL)
    lease = wait_for(lambda: leases.acquire(KEY))  # a zombie first: nobody has waited for it
    wait_for(lambda: owner.poll() is not None)
    assert lease.generation == 2
    lease.release()
    assert list(tmp_path.glob("*/*")) == []


def test_a_killed_owner_on_another_machine_is_replaced(
    tmp_path: Path, start_owner: Callable[..., subprocess.Popen[str]]
) -> None:
    """Only its heartbeat tells."""
    owner = start_owner(0.5, "hidden")
    leases = folder(tmp_path, 0.5)
    owner.kill()
    owner.wait()
    with wait_for(lambda: leases.acquire(KEY)) as lease:
        assert not lease.lost


def test_a_living_owner_keeps_it_by_its_heart(
    tmp_path: Path, start_owner: Callable[..., subprocess.Popen[str]]
) -> None:
    start_owner(1.0, "hidden")
    leases = folder(tmp_path, 60.0)  # patient, so that a slow machine does not decide
    path = tmp_path / "ab/ab12.1.json"
    beats = {path.stat().st_mtime_ns}
    wait_for(lambda: beats.add(path.stat().st_mtime_ns) or len(beats) > 3)
    assert leases.acquire(KEY) is None


def test_a_stopped_owner_is_replaced_and_notices(
    tmp_path: Path, start_owner: Callable[..., subprocess.Popen[str]]
) -> None:
    owner = start_owner(0.5)
    leases = folder(tmp_path, 0.5)
    os.kill(owner.pid, signal.SIGSTOP)
    lease = wait_for(lambda: leases.acquire(KEY))
    os.kill(owner.pid, signal.SIGCONT)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "lost\n"
    assert owner.wait() == 0
    assert lease.confirm(), "the late owner's release harmed the winner"
    lease.release()
    assert list(tmp_path.glob("*/*")) == []


def in_child(check: Callable[[], bool]) -> bool:
    """Return what `check` says in a forked child."""
    pid = os.fork()
    if pid == 0:
        code = 2
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_forked_child_has_none_of_it(tmp_path: Path) -> None:
    leases = folder(tmp_path)
    lease = leases.acquire(KEY)
    assert lease is not None

    def check() -> bool:
        lost = lease.lost and not lease.confirm()
        lease.progress("from the child")
        lease.beat()
        lease.release()
        no_thread = [thread.name for thread in threading.enumerate()] == ["MainThread"]
        return lost and no_thread and leases.acquire(KEY) is None

    assert in_child(check)
    assert not lease.lost
    assert [path.name for path in tmp_path.glob("*/*")] == ["ab12.1.json"]
    lease.release()


def test_a_forked_child_has_a_heart_of_its_own(tmp_path: Path) -> None:
    leases = folder(tmp_path, 0.5)
    with folder(tmp_path, 0.5).acquire("cd12") or pytest.fail("free, but not given"):

        def check() -> bool:
            lease = leases.acquire(KEY)
            assert lease is not None
            before = lease.path.stat().st_mtime_ns
            wait_for(lambda: lease.path.stat().st_mtime_ns > before)
            named = ProcessName.mine().pid == os.getpid()
            lease.release()
            return named

        assert in_child(check)


def test_a_child_that_dies_holding_a_lease_leaves_it_to_its_parent(tmp_path: Path) -> None:
    leases = folder(tmp_path)
    assert in_child(lambda: leases.acquire(KEY) is not None)
    with leases.acquire(KEY) or pytest.fail("the child is gone, but its lease was not given") as lease:
        assert lease.generation == 2


def test_a_forgotten_lease_stops_beating(tmp_path: Path) -> None:
    """Collected without release: the heart lets go, so that others get it in time."""
    lease = folder(tmp_path).acquire(KEY)
    assert lease is not None
    del lease
    gc.collect()
    wait_for(lambda: all(thread.name != "forebay-heart" for thread in threading.enumerate()))


class Beats:
    def __init__(self, seconds: float) -> None:
        self.beat_seconds = seconds
        self.count = 0
        self.threads: set[int] = set()

    def beat(self) -> None:
        self.count += 1
        self.threads.add(threading.get_ident())


def test_one_heart_beats_for_all_at_their_own_pace() -> None:
    quick, slow, never = Beats(0.002), Beats(0.05), Beats(3600)
    for beating in (never, slow, quick):
        HEART.add(beating)
    wait_for(lambda: slow.count >= 3)
    for beating in (quick, slow, never):
        HEART.remove(beating)
    assert quick.count >= slow.count
    assert never.count == 0
    assert len(quick.threads | slow.threads) == 1
    wait_for(lambda: all(thread.name != "forebay-heart" for thread in threading.enumerate()))
    last = quick.count
    HEART.remove(quick)
    assert quick.count == last


def test_a_heart_starts_again() -> None:
    heart = Heart()
    for _ in range(3):
        beating = Beats(0.001)
        heart.add(beating)
        wait_for(lambda beating=beating: beating.count)
        heart.remove(beating)
        wait_for(lambda: all(thread.name != "forebay-heart" for thread in threading.enumerate()))


def test_a_heart_survives_a_broken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Beats):
        def beat(self) -> None:
            super().beat()
            raise RuntimeError("broken")

    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    broken, sound = Broken(0.001), Beats(0.002)
    for beating in (broken, sound):
        HEART.add(beating)
    wait_for(lambda: sound.count > 3)
    HEART.remove(sound)
    assert broken.count == 1
    assert [str(args.exc_value) for args in told] == ["broken"]


def test_short_leases_share_one_thread(tmp_path: Path) -> None:
    seen: set[int | None] = set()
    leases = folder(tmp_path)
    for _ in range(20):
        with leases.acquire(KEY) or pytest.fail("free, but not given"):
            seen.update(thread.ident for thread in threading.enumerate() if thread.name == "forebay-heart")
    assert len(seen) < 20


def test_many_threads_one_lease(tmp_path: Path) -> None:
    leases = folder(tmp_path)
    gate, held = threading.Barrier(8), []

    def work() -> None:
        gate.wait()
        lease = leases.acquire(KEY)
        if lease is not None:
            held.append(lease)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) <= 1  # all may have stepped back at the same moment; never do two have it
    for lease in held:
        assert isinstance(lease, Lease)
        lease.release()


def test_my_name_is_mine_and_alive() -> None:
    mine = ProcessName.mine()
    assert mine.pid == os.getpid()
    assert not mine.is_gone()
    assert ProcessName.from_json(mine.to_json()) == mine
    assert ProcessName.from_json({**mine.to_json(), "pid": "1"}) is None


def test_a_pid_that_was_used_again_is_another_process() -> None:
    mine = ProcessName.mine()
    assert ProcessName(mine.host, mine.place, mine.pid, mine.started + 1).is_gone()
    assert not ProcessName(mine.host, mine.place, mine.pid, 0).is_gone()
    assert not ProcessName(mine.host, "another boot", 2**22 + 1, 1).is_gone()
    assert not ProcessName(mine.host, "", 2**22 + 1, 1).is_gone()


def test_an_ended_process_is_gone_before_anyone_waits_for_it() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mine = ProcessName.mine()
    started = int(Path(f"/proc/{child.pid}/stat").read_text().rsplit(") ", 1)[1].split()[19])
    name = ProcessName(mine.host, mine.place, child.pid, started)
    assert not name.is_gone()
    os.kill(child.pid, signal.SIGSTOP)
    assert not name.is_gone()
    child.kill()
    wait_for(name.is_gone)
    child.communicate()
    assert name.is_gone()
