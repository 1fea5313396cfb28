"""Where tasks run: in this process, or in forked workers that speak JSON over a socket pair. Never pickle.

The seam is `Executor`: tasks and results are JSON objects, told apart by their number. Workers are forked from a
`Nursery`, which is forked before this process starts a thread or Arrow, so that user functions reach them by memory.

What they say to each other is in `forebay.pipeline.workers.messages`.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, cast

from forebay.errors import BuildError
from forebay.events import Event, Hook, What
from forebay.pipeline.workers.messages import Channel, Handler, Message, serve
from forebay.pipeline.workers.nursery import UNKNOWN, Nursery

_AHEAD = 3
"""Tasks sent to one worker before its first result: it computes the next while the last ones are being published."""
_MOST_STILLBORN = 8
_A_MOMENT_SECONDS = 0.05
"""Workers that have nothing to do say goodbye within a millisecond or two."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One answer: exactly one of `result` and `error` is given."""

    number: int
    result: Message | None = None
    error: Message | None = None


class Executor(Protocol):
    """Runs tasks, in any order."""

    def submit(self, number: int, task: Message) -> None:
        """Take one task; numbers are the caller's and distinct among what is under way."""
        ...

    def results(self) -> Iterator[Outcome]:
        """Yield answers until nothing is under way; the caller may submit more in between."""
        ...

    def retire(self) -> None:
        """Let workers end while the caller does other things: all that was wanted is answered. `close` comes after."""
        ...

    def close(self) -> None:
        """Let what is being computed finish for a moment, then end."""
        ...


class InProcess:
    """Computes each task in the calling process, when results are asked for."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._waiting: deque[tuple[int, Message]] = deque()
        self._answers: deque[Outcome] = deque()
        self._started = False
        self._under_way = 0
        self._arrived = threading.Condition()

    def submit(self, number: int, task: Message) -> None:
        """See `Executor`."""
        self._waiting.append((number, task))

    def results(self) -> Iterator[Outcome]:
        """See `Executor`. Computes in the caller's thread; publishing may go on behind it."""
        if not self._started:
            self._handler.start(self)
            self._started = True
        while self._waiting or self._under_way:
            if self._waiting and self._under_way < _AHEAD:
                self._under_way += 1
                self._handler.handle(*self._waiting.popleft())
            with self._arrived:
                block = not self._waiting or self._under_way >= _AHEAD
                while block and not self._answers:
                    self._arrived.wait()
            while self._answers:  # one by one: whoever stops listening finds the rest next time
                self._under_way -= 1
                yield self._answers.popleft()

    def retire(self) -> None:
        """See `Executor`: here nobody works unless asked to."""

    def close(self) -> None:
        """See `Executor`."""
        self._waiting.clear()
        if self._started:
            self._handler.finish()
            self._started = False

    def at(self, text: str) -> None:
        """See `Reply`; nobody outlives this process to be told."""

    def done(self, number: int, result: Message) -> None:
        """See `Reply`."""
        self._answer(Outcome(number, result=result))

    def failed(self, number: int, error: Message) -> None:
        """See `Reply`."""
        self._answer(Outcome(number, error=error))

    def _answer(self, outcome: Outcome) -> None:
        with self._arrived:
            self._answers.append(outcome)
            self._arrived.notify()


@dataclass(slots=True)
class _Worker:
    channel: Channel
    pid: int = 0
    """0: it has not told yet."""
    tasks: dict[int, Message] = field(default_factory=dict)
    began: int = -1
    """The task that it computes, or computed last; the one before may still be being published."""
    at: str = ""


class Forked:
    """N forked workers. A worker that dies is told of, replaced, and its tasks are given out once more.

    Not for several threads. `results` raises `BuildError` when a task has killed two workers.
    """

    def __init__(self, handler: Handler, workers: int, hook: Hook, describe: Callable[[Message], str]) -> None:
        self._handler = handler
        self._hook = hook
        self._describe = describe
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[tuple[int, Message]] = deque()
        self._answers: deque[Outcome] = deque()
        self._killed_by: dict[int, str] = {}
        self._workers: list[_Worker] = []
        self._stillborn = 0
        """Workers that were lost one after another before they could begin anything."""
        self._nursery = self._new_nursery()
        for _ in range(workers):
            self._fork()

    def submit(self, number: int, task: Message) -> None:
        """See `Executor`."""
        self._waiting.append((number, task))
        self._hand_out()

    def results(self) -> Iterator[Outcome]:
        """See `Executor`.

        Raises:
            BuildError: one task has killed two workers.
        """
        while self._waiting or self._answers or any(worker.tasks for worker in self._workers):
            while self._answers:  # one by one: whoever stops listening finds the rest next time
                yield self._answers.popleft()
            self._hand_out()
            if not any(worker.tasks for worker in self._workers):
                continue
            for selected, _ in self._selector.select():
                worker: _Worker = selected.data
                messages = worker.channel.receive()
                if messages is None:
                    self._bury(worker)
                    continue
                for message in messages:
                    outcome = _outcome(worker, message)
                    if outcome is not None:
                        self._answers.append(outcome)

    def retire(self) -> None:
        """See `Executor`. To give back a hundred megabytes takes each of them several milliseconds."""
        self._send_home()
        deadline = time.monotonic() + _A_MOMENT_SECONDS
        if all(self._await_end(worker, deadline) for worker in self._workers):
            self._nursery.retire()

    def close(self, patience_seconds: float = 3.0) -> None:
        """See `Executor`. Workers get `patience_seconds` to publish what they have, then are killed."""
        self._waiting.clear()
        self._send_home()
        if not any(worker.pid for worker in self._workers):
            self._nursery.kill()  # nobody has begun: they need not load all first
        deadline = time.monotonic() + patience_seconds
        try:
            for worker in self._workers:
                self._await_end(worker, deadline)
        finally:
            for worker in self._workers:
                self._end(worker)  # only what they are at is lost
            self._workers.clear()
            self._nursery.close()
            self._selector.close()

    def _send_home(self) -> None:
        for worker in self._workers:
            try:
                worker.channel.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has gone already

    def _await_end(self, worker: _Worker, deadline: float) -> bool:
        """Drain a worker's last answers until it closes its side, or time is up: then it computes something long."""
        worker.channel.sock.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            while worker.channel.receive() is not None:
                worker.channel.sock.settimeout(max(0.01, deadline - time.monotonic()))
        except TimeoutError:
            return False
        return True

    def _end(self, worker: _Worker) -> None:
        worker.channel.sock.close()
        if worker.pid:
            self._nursery.status(worker.pid, kill=True)

    def _hand_out(self) -> None:
        """Give waiting tasks to the least busy workers; a task that has killed a worker goes out alone."""
        while self._waiting:
            worker = min(self._workers, key=lambda one: len(one.tasks))
            risky = self._waiting[0][0] in self._killed_by
            alone = any(number in self._killed_by for number in worker.tasks)
            if len(worker.tasks) >= _AHEAD or alone or (risky and worker.tasks):
                return
            number, task = self._waiting.popleft()
            worker.tasks[number] = task
            try:
                worker.channel.send({"number": number, "task": task})
            except OSError:
                return  # it has just died: its tasks are taken back when its end of file is read

    def _new_nursery(self) -> Nursery:
        return Nursery(self._handler.prepare, self._work, [worker.channel.sock for worker in self._workers])

    def _fork(self) -> None:
        worker = _Worker(Channel(self._nursery.fork()))
        self._workers.append(worker)
        self._selector.register(worker.channel.sock, selectors.EVENT_READ, worker)

    def _work(self, sock: socket.socket) -> int:
        """A worker's life; returns its exit status."""
        self._selector.close()
        try:
            serve(self._handler, Channel(sock))
        except ConnectionError:
            return 1  # the parent has gone: nobody to tell
        return 0

    def _bury(self, worker: _Worker) -> None:
        """A worker has gone: tell, replace it, and give its tasks out again; the one it worked on only once."""
        self._selector.unregister(worker.channel.sock)
        worker.channel.sock.close()
        self._workers.remove(worker)
        status = self._nursery.status(worker.pid) if worker.pid else None
        if status is None:  # the nursery has gone, before it could fork this one or after
            self._nursery.close()
            self._nursery = self._new_nursery()
        how = _how_it_ended(status)
        self._stillborn = 0 if worker.began >= 0 else self._stillborn + 1
        if self._stillborn > _MOST_STILLBORN:
            raise BuildError(f"workers end before they begin anything ({how})", hint="is there memory for them?")
        if not worker.tasks:
            self._fork()
            return
        suspect = worker.began
        doing = worker.at or self._describe(worker.tasks.get(suspect) or next(iter(worker.tasks.values())))
        if suspect in worker.tasks:
            if suspect in self._killed_by:
                hint = "if memory ran out, use fewer processes (np) or smaller shards (shard_bytes)"
                what = f"two workers were lost on the same task: {doing} ({how})"
                raise BuildError(what, subject=doing, hint=hint)
            self._killed_by[suspect] = doing
        self._hook(Event(What.WARNING, f"a worker was lost ({how}) at {doing}; trying once more"))
        self._fork()
        self._waiting.extendleft(reversed(list(worker.tasks.items())))


def _outcome(worker: _Worker, message: Message) -> Outcome | None:
    if "pid" in message:
        worker.pid = cast("int", message["pid"])
        return None
    if "began" in message:
        worker.began, worker.at = cast("int", message["began"]), ""
        return None
    if "at" in message:
        worker.at = str(message["at"])
        return None
    number = message.get("done", message.get("failed"))
    assert isinstance(number, int)
    worker.tasks.pop(number, None)
    result, error = message.get("result"), message.get("error")
    return Outcome(number, result if isinstance(result, dict) else None, error if isinstance(error, dict) else None)


def _how_it_ended(status: int | None) -> str:
    if status is None or status == UNKNOWN:
        return "nobody saw how"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        reason = "; out of memory?" if number == signal.SIGKILL else ""
        return f"killed by signal {number}{reason}"
    return f"exit status {os.waitstatus_to_exitcode(status)}"
