"""Measuring whole processes from outside: wall seconds, CPU seconds, memory.

CPU seconds and the largest resident set come from `os.wait4`: they cover the process and every child that it waited
for. The memory of a whole tree is sampled from ``/proc`` (proportional set size, so that pages which several processes
map count once) by a thread, and only where a figure needs it, because sampling costs CPU of its own.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command took."""

    wall: float
    """Seconds from start to end."""
    cpu: float
    """User + system seconds of the process and the children it waited for."""
    largest: int
    """Largest resident set of any one of those processes, bytes."""
    tree: int = 0
    """Largest sampled memory of the whole tree, bytes of proportional set size; 0: not sampled."""
    private: int = 0
    """The same without pages that belong to files: what the machine cannot drop. 0: not sampled."""

    def to_json(self) -> dict[str, float]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Spread:
    """Several samples of one figure."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Summarise samples; at least one."""
        return cls(statistics.median(samples), min(samples), max(samples), len(samples))


@dataclass(frozen=True, slots=True)
class Command:
    """A command line and where it runs."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    log: Path
    """Receives what the command prints, both streams."""


class CommandFailed(RuntimeError):
    """A measured command ended with an error."""


def run(command: Command, *, sample_memory: bool = False) -> Cost:
    """Run a command to its end.

    Raises:
        CommandFailed: it ended with anything but 0; the message ends with what it printed last.
    """
    cost, status = _run(command, sample_memory=sample_memory)
    if status != 0:
        tail = command.log.read_text(errors="replace")[-1500:]
        raise CommandFailed(f"{' '.join(command.argv)} ended with status {status}:\n{tail}")
    return cost


def run_and_kill(command: Command, ready: Callable[[float], bool]) -> tuple[Cost, bool]:
    """Run a command and kill -9 its whole process group once `ready(seconds so far)`; say whether it was killed."""
    cost, status = _run(command, kill_when=ready)
    return cost, status == -signal.SIGKILL


def _run(
    command: Command, *, sample_memory: bool = False, kill_when: Callable[[float], bool] | None = None
) -> tuple[Cost, int]:
    command.log.parent.mkdir(parents=True, exist_ok=True)
    os.sync()  # what others have left to write is no part of it: whoever flushes would wait for that, too
    with command.log.open("wb") as log:
        began = time.perf_counter()
        # A group of its own, so that kill -9 reaches its workers and nothing else.
        process = subprocess.Popen(
            command.argv, cwd=command.cwd, env=command.env, stdout=log, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        sampler = _Sampler(process.pid) if sample_memory else None
        killer = _Killer(process.pid, began, kill_when) if kill_when else None
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if killer:
        killer.stop()
    tree, private = sampler.stop() if sampler else (0, 0)
    cost = Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, tree, private)
    return cost, process.returncode


class _Killer:
    """Kills a process group when told to."""

    def __init__(self, pid: int, began: float, ready: Callable[[float], bool]) -> None:
        self._pid, self._began, self._ready = pid, began, ready
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            if self._ready(time.perf_counter() - self._began):
                os.killpg(self._pid, signal.SIGKILL)
                return


class _Sampler:
    """Samples the memory of a process tree ten times a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._tree = self._private = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> tuple[int, int]:
        self._done.set()
        self._thread.join()
        return self._tree, self._private

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            found = [_memory(pid) for pid in tree(self._pid)]
            self._tree = max(self._tree, sum(whole for whole, _ in found))
            self._private = max(self._private, sum(private for _, private in found))


def _memory(pid: int) -> tuple[int, int]:
    """Proportional set size of a process in bytes: all of it, and the part that belongs to no file."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0, 0  # it has just ended
    sizes = {line.split(":")[0]: int(line.split()[-2]) * 1024 for line in lines[1:] if line.endswith("kB")}
    return sizes.get("Pss", 0), sizes.get("Pss_Anon", 0) + sizes.get("Pss_Shmem", 0)


def tree(root: int) -> list[int]:
    """Return the process and all its descendants."""
    found, at = [root], 0
    while at < len(found):
        try:
            for task in Path(f"/proc/{found[at]}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            pass  # ended between two looks
        at += 1
    return found


def size_of(*folders: Path) -> int:
    """Return the bytes of all files under some folders, hard links once."""
    seen: dict[tuple[int, int], int] = {}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                stat = path.stat()
                seen[stat.st_dev, stat.st_ino] = stat.st_size
    return sum(seen.values())
