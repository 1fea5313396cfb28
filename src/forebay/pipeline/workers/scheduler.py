"""Gives tasks to an executor and their answers to whoever asked; comes back later to what another run is doing."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from forebay.events import Event, Hook, What
from forebay.pipeline.workers.executor import Executor
from forebay.pipeline.workers.failures import error_from_json
from forebay.pipeline.workers.messages import Message

_BUSY_WAIT_SECONDS = (0.05, 1.0)
"""First and longest pause before asking again for work that another process has a lease on."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to compute, and who wants the answer."""

    message: Message
    done: Callable[[Message], None]

    @property
    def lease(self) -> str:
        """What no two workers do at a time; "" where they may."""
        return str(self.message.get("lease") or "")


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Scheduler:
    """Runs lists of tasks. Workers are started by `start`, or with the first task, and live until `close`.

    `damaged` collects what tasks could not read: they have no answer, and the caller starts over to heal it.
    """

    make: Callable[[], Executor]
    hook: Hook
    settle: Callable[[], None] = _nothing
    """Called before tasks are given out."""
    damaged: list[str] = field(default_factory=list)
    broken: str = ""
    """Why a worker's store takes nothing any more, or ""."""
    _executor: Executor | None = None
    _waited: bool = False
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def start(self) -> None:
        """Start the workers: they load what they will need while the caller still looks things up."""
        if self._executor is None:
            self._executor = self.make()

    def run(self, tasks: Iterable[Task]) -> None:
        """Run tasks, in any order, and return when all are answered.

        Raises:
            ForebayError: what a task raised, as soon as it does; others that are under way are published on `close`.
        """
        for _ in self.stream(tasks):
            pass

    def stream(self, tasks: Iterable[Task]) -> Iterator[None]:
        """The same, step by step: yields when they are given out, and after every answer.

        Of tasks with the same lease one is given out at a time.

        Raises:
            ForebayError: see `run`.
        """
        under_way: dict[int, Task] = {}
        twins: dict[str, list[Task]] = {}
        self.settle()
        for task in tasks:
            if task.lease in twins:
                twins[task.lease].append(task)
                continue
            if task.lease:
                twins[task.lease] = []
            self._submit(task, under_way)
        yield
        pause, longest = _BUSY_WAIT_SECONDS
        while under_way:
            busy: list[Task] = []
            for done in self._drain(under_way, busy):
                if twins.get(done.lease):
                    self._submit(twins[done.lease].pop(0), under_way)
                yield
            if not busy:
                break
            if not self._waited:
                self.hook(Event(What.WAIT, "another run does the same work; waiting for what it is at"))
                self._waited = True
            time.sleep(pause)
            pause = min(longest, 2 * pause)
            for task in busy:
                self._submit(task, under_way)

    def retire(self) -> None:
        """No more tasks will come: workers may end while the caller does the rest. `close` waits for that."""
        if self._executor is not None:
            self._executor.retire()

    def close(self) -> None:
        """Let workers publish what they have, and end them."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.close()

    def _submit(self, task: Task, under_way: dict[int, Task]) -> None:
        self.start()
        assert self._executor is not None
        number = next(self._numbers)
        under_way[number] = task
        self._executor.submit(number, task.message)

    def _drain(self, under_way: dict[int, Task], busy: list[Task]) -> Iterator[Task]:
        """Take answers until nothing is under way, and give the tasks; what another run is at goes into `busy`."""
        assert self._executor is not None
        for outcome in self._executor.results():
            task = under_way.pop(outcome.number, None)
            if task is None:
                continue  # of an export that was given up for damage
            if outcome.error is not None:
                raise error_from_json(outcome.error)
            result = outcome.result or {}
            if result.get("broken"):
                self._tell_broken(str(result["broken"]))
            if result.get("busy"):
                busy.append(task)
                continue
            if result.get("damaged"):
                self.damaged.append(str(result["damaged"]))
            else:
                task.done(result)
            yield task

    def _tell_broken(self, why: str) -> None:
        if not self.broken:
            self.broken = why
            self.hook(Event(What.WARNING, f"results are not cached any more: {why}"))
