"""Real processes: killed at any moment, wanting the same key, sharing one budget, forked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from worker import key, noise

from forebay.config import Settings
from forebay.store import Store
from forebay.types import Cost, Entry

WORKER = Path(__file__).with_name("worker.py")


@contextmanager
def worker(home: Path, *arguments: object, budget: int = 0) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(WORKER), str(home), str(budget), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.read().splitlines()


def opened(home: Path, budget: int | None = None) -> Store:
    return Store.open(Settings(home=home, max_bytes=budget, min_free_bytes=0, lease_seconds=2.0))


def at_rest(home: Path) -> int:
    """Bytes that the budget is about; what vanishes while we look was there or was not."""
    total: dict[int, int] = {}
    for folder in ("objects-v1", "entries-v1", "quarantine", "tmp"):
        for where, _, files in os.walk(home / folder):
            for name in files:
                try:
                    found = os.stat(os.path.join(where, name))
                except FileNotFoundError:
                    continue
                total[found.st_ino] = found.st_size
    return sum(total.values())


def sound(home: Path, committed: set[str], budget: int | None = None) -> None:
    """Nothing wrong, nothing lost, nothing left over; index and files agree."""
    with opened(home, budget) as store:
        assert list((home / "tmp").iterdir()) == []
        assert store.verify().ok
        for name in committed:
            entry = store.get("delta", key(name))
            assert entry is not None, f"lost {name}"
            assert store.read(entry.object("b").digest) == noise(name + "b", 100) * 3
        store.gc()
        usage = store.usage()
        assert usage.reserved_bytes == 0
        assert usage.bytes == at_rest(home)


@pytest.mark.parametrize("seed", range(6))
def test_killed_while_committing(tmp_path: Path, seed: int) -> None:
    """What was told as committed is there; nothing is left over. Twice on one store, by its own index."""
    home, chance, committed = tmp_path / "s", Random(seed), set[str]()
    for turn in range(2):
        with worker(home, "commit", f"{turn}-", 500, 20_000) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 12)):
                committed.add(process.stdout.readline().split()[1])
            time.sleep(chance.random() * 0.02)
            process.send_signal(signal.SIGKILL)
            committed.update(line.split()[1] for line in lines(process) if len(line.split()) == 2)
        sound(home, committed)


@pytest.mark.parametrize("seed", range(3))
def test_killed_while_evicting_and_reindexing(tmp_path: Path, seed: int) -> None:
    home, chance = tmp_path / "s", Random(seed)
    for turn in range(2):
        with worker(home, "churn", f"{turn}-", 100, budget=40_000) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(1, 30)):
                process.stdout.readline()
            time.sleep(chance.random() * 0.02)
            process.send_signal(signal.SIGKILL)
        assert at_rest(home) <= 40_000
        sound(home, set(), 40_000)


def test_processes_that_want_one_key_build_it_once(tmp_path: Path) -> None:
    home = tmp_path / "s"
    processes = []
    for _ in range(5):
        manager = worker(home, "build", "t", 0.5)
        processes.append((manager, manager.__enter__()))
    told = [line for _, process in processes for line in lines(process)]
    for manager, _ in processes:
        manager.__exit__(None, None, None)
    assert told.count("making t") == 1
    assert told.count("done") == 5
    assert len(list(home.glob("made-*"))) == 1


def test_killed_builder_is_replaced(tmp_path: Path) -> None:
    home = tmp_path / "s"
    with worker(home, "build", "t", 600) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "making t\n"
        with worker(home, "build", "t", 0) as second:
            time.sleep(0.3)
            first.send_signal(signal.SIGKILL)
            first.wait()
            assert lines(second) == ["making t", "done", "closed"]
    sound(home, set())


def test_stopped_builder_is_replaced_and_does_no_harm_when_it_wakes(tmp_path: Path) -> None:
    home = tmp_path / "s"
    with worker(home, "build", "t", "long") as first:
        assert first.stdout is not None
        # One that is stopped inside a transaction of SQLite's would stop us all.
        assert [first.stdout.readline() for _ in range(2)] == ["making t\n", "waiting\n"]
        first.send_signal(signal.SIGSTOP)
        with worker(home, "build", "t", 0) as second:
            assert lines(second) == ["making t", "done", "closed"]
        (home / "go").touch()
        first.send_signal(signal.SIGCONT)
        assert lines(first) == ["done", "closed"]
    sound(home, set())


def test_budget_over_processes(tmp_path: Path) -> None:
    """Watched from outside all the time: never more than the budget on the disk."""
    home, budget, over = tmp_path / "s", 150_000, []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            if home.exists():
                size = at_rest(home)
                if size > budget and at_rest(home) > budget:  # a walk is no snapshot: a file may move under it
                    over.append(size)

    watcher = threading.Thread(target=watch)
    watcher.start()
    managers = [worker(home, "commit", f"{number}-", 40, 15_000, budget=budget) for number in range(3)]
    processes = [manager.__enter__() for manager in managers]
    told = [lines(process) for process in processes]
    for manager in managers:
        manager.__exit__(None, None, None)
    stop.set()
    watcher.join()
    assert not over
    assert all(each[-1] == "closed" for each in told)
    sound(home, set(), budget)


def test_reader_in_another_process_is_spared_until_it_dies(tmp_path: Path) -> None:
    home = tmp_path / "s"
    with opened(home) as store:
        store.commit(Entry("delta", key("a"), cost=Cost(1e-9)), {"b": noise("a", 5000)})
        with worker(home, "hold", "a") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "holding\n"
            assert store.gc(max_bytes=0).entries == 0
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert store.gc(max_bytes=0).entries == 1
        assert list((home / "holds-v1" / "readers").iterdir()) == []


def test_store_is_usable_after_a_fork(tmp_path: Path) -> None:
    """Parent and child go on with the same store object, also with threads at work in the parent."""
    stop = threading.Event()
    with opened(tmp_path / "s", 500_000) as store:
        store.commit(Entry("delta", key("before")), {"b": noise("before", 5000)})

        def work() -> None:
            number = 0
            while not stop.is_set():
                store.commit(Entry("delta", key(f"thread{number % 20}")), {"b": noise(f"{number % 20}", 3000)})
                number += 1

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for turn in range(5):
                child = os.fork()
                if child == 0:
                    code = 1
                    try:
                        entry = store.get("delta", key("before"))
                        assert entry is not None
                        assert store.read(entry.objects[0].digest) == noise("before", 5000)
                        store.commit(
                            Entry("delta", key(f"child{turn}"), recoverable=False), {"b": noise(f"c{turn}", 4000)}
                        )
                        assert store.usage().bytes > 0
                        store.close()
                        code = 0
                    finally:
                        os._exit(code)
                _, status = os.waitpid(child, 0)
                assert os.waitstatus_to_exitcode(status) == 0
        finally:
            stop.set()
            thread.join()
        for turn in range(5):
            entry = store.get("delta", key(f"child{turn}"))
            assert entry is not None
            assert store.complete(entry)
        assert store.verify().ok
    sound(tmp_path / "s", set(), 500_000)
