"""Executors: the same answers in this process and from workers, whatever dies on the way."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from forebay.errors import BuildError
from forebay.events import Event, What, ignore
from forebay.pipeline.workers.executor import Executor, Forked, InProcess
from forebay.pipeline.workers.messages import Message, Reply


class Doubler:
    """Answers with twice the number; obeys what a task says to do besides."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reply: Reply
        self.prepared_by = 0

    def prepare(self) -> None:
        self.prepared_by = os.getpid()

    def start(self, reply: Reply) -> None:
        self.reply = reply

    def handle(self, number: int, task: Message) -> None:
        self.reply.at(f"doubling {task['value']}")
        value = task["value"]
        assert isinstance(value, int)
        deaths = task.get("deaths", 0)
        assert isinstance(deaths, int)
        died = len(list(self.folder.glob(f"died-{number}-*")))
        if died < deaths:
            (self.folder / f"died-{number}-{died}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if task.get("fail"):
            self.reply.failed(number, {"what": "no"})
        elif task.get("later"):
            threading.Timer(0.05, lambda: self.reply.done(number, {"value": 2 * value})).start()
        else:
            time.sleep(float(str(task.get("slow", 0))))
            text = "x" * int(str(task.get("size", 0)))
            told: Message = {"value": 2 * value, "pid": os.getpid(), "prepared_by": self.prepared_by, "text": text}
            self.reply.done(number, told)

    def finish(self) -> None:
        """Nothing is under way."""


@contextmanager
def forked(folder: Path, workers: int = 2, told: list[Event] | None = None) -> Iterator[Forked]:
    hook = ignore if told is None else told.append
    executor = Forked(Doubler(folder), workers, hook, lambda task: f"task {task['value']}")
    try:
        yield executor
    finally:
        executor.close()


def answers(executor: Executor) -> dict[int, object]:
    return {one.number: (one.result or {}).get("value", one.error) for one in executor.results()}


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_every_task_is_answered_once(tmp_path: Path, workers: int) -> None:
    executor: Executor = Forked(Doubler(tmp_path), workers, ignore, str) if workers else InProcess(Doubler(tmp_path))
    try:
        for number in range(40):
            executor.submit(number, {"value": number})
        assert answers(executor) == {number: 2 * number for number in range(40)}
        executor.submit(40, {"value": 7})
        assert answers(executor) == {40: 14}
    finally:
        executor.close()


def test_answers_may_come_later_from_another_thread(tmp_path: Path) -> None:
    executor = InProcess(Doubler(tmp_path))
    for number in range(5):
        executor.submit(number, {"value": number, "later": True})
    assert answers(executor) == {number: 2 * number for number in range(5)}
    executor.close()


def test_large_messages_both_ways_do_not_block(tmp_path: Path) -> None:
    with forked(tmp_path, 1) as executor:
        for number in range(6):
            executor.submit(number, {"value": number, "size": 3_000_000, "padding": "y" * 3_000_000})
        assert answers(executor) == {number: 2 * number for number in range(6)}


def test_names_that_are_no_utf8_are_sent(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff")
    with forked(tmp_path, 1) as executor:
        executor.submit(1, {"value": 1, "name": name})
        assert answers(executor) == {1: 2}


def test_a_task_submitted_while_answers_come_is_answered_too(tmp_path: Path) -> None:
    with forked(tmp_path) as executor:
        executor.submit(0, {"value": 0})
        seen: list[int] = []
        for outcome in executor.results():
            seen.append(outcome.number)
            if outcome.number < 10:
                executor.submit(outcome.number + 1, {"value": 1})
        assert seen == list(range(11))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_whoever_stops_listening_finds_the_rest_next_time(tmp_path: Path, workers: int) -> None:
    executor: Executor = Forked(Doubler(tmp_path), workers, ignore, str) if workers else InProcess(Doubler(tmp_path))
    try:
        for number in range(30):
            executor.submit(number, {"value": number})
        found = {outcome.number for outcome, _ in zip(executor.results(), range(3), strict=False)}
        time.sleep(0.05)  # several answers lie in one read now
        for _ in range(5):
            found |= {outcome.number for outcome, _ in zip(executor.results(), range(2), strict=False)}
        found |= set(answers(executor))
        assert len(found) >= 30 - 6  # zip takes one more than it gives, each time it stops
    finally:
        executor.close()


def test_a_failure_is_an_answer(tmp_path: Path) -> None:
    with forked(tmp_path) as executor:
        executor.submit(1, {"value": 1, "fail": True})
        assert answers(executor) == {1: {"what": "no"}}


def test_a_killed_worker_is_told_of_replaced_and_its_tasks_done(tmp_path: Path) -> None:
    told: list[Event] = []
    with forked(tmp_path, 2, told) as executor:
        for number in range(20):
            executor.submit(number, {"value": number, "deaths": 1 if number == 5 else 0})
        assert answers(executor) == {number: 2 * number for number in range(20)}
    (warning,) = [event.message for event in told if event.what is What.WARNING]
    assert warning.startswith("a worker was lost (killed by signal 9; out of memory?) at doubling 5")


def test_a_task_that_kills_twice_is_an_error_that_names_it(tmp_path: Path) -> None:
    with forked(tmp_path, 2) as executor:
        for number in range(6):
            executor.submit(number, {"value": number, "deaths": 2 if number == 3 else 0})
        with pytest.raises(BuildError, match=r"two workers were lost on the same task: doubling 3 .*fewer processes"):
            answers(executor)


def test_a_neighbour_in_the_queue_of_a_killer_is_not_blamed(tmp_path: Path) -> None:
    with forked(tmp_path, 1) as executor:
        for number in range(4):
            executor.submit(number, {"value": number, "deaths": 1})
        assert answers(executor) == {number: 2 * number for number in range(4)}


def test_workers_share_what_was_prepared_once(tmp_path: Path) -> None:
    with forked(tmp_path, 3) as executor:
        told: list[Message] = []
        while len({one["pid"] for one in told}) < 3:  # the first may do all before the last is there
            for number in range(30):
                executor.submit(number, {"value": number, "slow": 0.01})
            told += [outcome.result or {} for outcome in executor.results()]
    pids = {one["pid"] for one in told}
    (prepared_by,) = {one["prepared_by"] for one in told}
    assert prepared_by not in {0, os.getpid(), *pids}


def test_without_its_nursery_a_worker_is_replaced_all_the_same(tmp_path: Path) -> None:
    told: list[Event] = []
    with forked(tmp_path, 2, told) as executor:
        executor.submit(0, {"value": 0})
        (first,) = executor.results()
        assert first.result is not None
        nursery = first.result["prepared_by"]
        assert isinstance(nursery, int)
        os.kill(nursery, signal.SIGKILL)  # perhaps before it has forked the other one
        for number in range(1, 20):
            executor.submit(number, {"value": number, "deaths": 1 if number == 5 else 0})
        assert answers(executor) == {number: 2 * number for number in range(1, 20)}
    warnings = [event.message for event in told if event.what is What.WARNING]
    assert any(text.startswith("a worker was lost (nobody saw how) at doubling 5") for text in warnings)


def test_workers_that_cannot_begin_are_an_error(tmp_path: Path) -> None:
    class Stillborn(Doubler):
        def start(self, reply: Reply) -> None:
            raise MemoryError

    executor = Forked(Stillborn(tmp_path), 2, ignore, str)
    try:
        executor.submit(0, {"value": 0})
        with pytest.raises(BuildError, match=r"workers end before they begin anything \(exit status 1\)"):
            answers(executor)
    finally:
        executor.close()


def test_what_cannot_be_prepared_is_the_workers_to_tell(tmp_path: Path) -> None:
    class Unprepared(Doubler):
        def prepare(self) -> None:
            raise ImportError

    executor = Forked(Unprepared(tmp_path), 2, ignore, str)
    try:
        executor.submit(0, {"value": 4})
        assert answers(executor) == {0: 8}
    finally:
        executor.close()


def test_workers_and_nursery_end_with_their_parent(tmp_path: Path) -> None:
    parent = os.fork()
    if parent == 0:
        executor = Forked(Doubler(tmp_path), 2, ignore, str)
        while len(list(tmp_path.glob("pid-*"))) < 3:
            for number in range(10):
                executor.submit(number, {"value": number, "slow": 0.01})
            for outcome in executor.results():
                for role in ("pid", "prepared_by"):
                    (tmp_path / f"pid-{(outcome.result or {})[role]}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    pids = {int(path.name[4:]) for path in tmp_path.glob("pid-*")}
    assert len(pids) == 3
    _await_gone(pids)


def test_retired_workers_and_nursery_end_before_they_are_waited_for(tmp_path: Path) -> None:
    with forked(tmp_path, 2) as executor:
        pids: set[object] = set()
        while len(pids) < 3:
            for number in range(10):
                executor.submit(number, {"value": number, "slow": 0.01})
            told = [outcome.result or {} for outcome in executor.results()]
            pids |= {one[role] for one in told for role in ("pid", "prepared_by")}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        executor.retire()
        _await_gone({pid for pid in pids if isinstance(pid, int)})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime > before.ru_utime + before.ru_stime  # theirs, which the nursery waited for


def test_closed_before_anybody_began(tmp_path: Path) -> None:
    """Nobody waits for what the nursery loads."""

    class Slow(Doubler):
        def prepare(self) -> None:
            time.sleep(30)
            (self.folder / "prepared").touch()

    Forked(Slow(tmp_path), 2, ignore, str).close()
    assert not (tmp_path / "prepared").exists()


def test_retired_while_one_is_still_busy(tmp_path: Path) -> None:
    with forked(tmp_path, 2) as executor:
        executor.submit(0, {"value": 0})
        (first,) = executor.results()
        assert first.result is not None
        executor.submit(1, {"value": 1, "slow": 0.3})  # nobody wants its answer any more
        executor.retire()
    for role in ("pid", "prepared_by"):
        assert not _alive(int(str(first.result[role])))


def _await_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(_alive(pid) for pid in pids)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
