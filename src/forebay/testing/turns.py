"""Interleaving processes by hand: each does one operation on the disk when a test says so.

Example: both look before either creates, and one wins. ::

    with Turns() as turns:
        first = turns.worker(lambda fs: take(fs, "first"))
        second = turns.worker(lambda fs: take(fs, "second"))
        turns.step(first), turns.step(second)
        turns.finish(first), turns.finish(second)
        assert {first.result, second.result} == {True, False}
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from forebay.testing.faults import WorldStopped
from forebay.testing.faulty import FaultyFilesystem
from forebay.testing.memory import MemoryFilesystem


class Worker:
    """One of several processes; stands still before each of its operations.

    Attributes:
        fs: its file system.
        result: what its work returned, once it is `done`.
        error: what its work raised, if it did.
        done: whether its work is over.
    """

    def __init__(self, disk: MemoryFilesystem, work: Callable[[FaultyFilesystem], Any]) -> None:
        self.fs = FaultyFilesystem(disk, hook=lambda _: self._wait())
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self._work = work
        self._go = threading.Semaphore(0)
        self._stands = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._stands.acquire()

    def step(self) -> bool:
        """Do the next operation, and run on to the one after it; False: the work is over."""
        if not self.done:
            self._go.release()
            self._stands.acquire()
        return not self.done

    def kill(self) -> None:
        """Stop the worker where it stands: its next operation has no effect."""
        self.fs.stop()
        while not self.done:
            self.step()
        self._thread.join()

    def _run(self) -> None:
        try:
            self.result = self._work(self.fs)
        except WorldStopped:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            self.error = error
        self.done = True
        self._stands.release()

    def _wait(self) -> None:
        self._stands.release()
        self._go.acquire()


class Turns:
    """Several workers on one disk, of whom only one moves at a time.

    Args:
        disk: what they share; None: an empty one.
    """

    def __init__(self, disk: MemoryFilesystem | None = None) -> None:
        self.disk = disk or MemoryFilesystem()
        self._workers: list[Worker] = []

    def worker(self, work: Callable[[FaultyFilesystem], Any]) -> Worker:
        """Start a process that does `work` with its own file system; it stands before its first operation."""
        worker = Worker(self.disk, work)
        self._workers.append(worker)
        return worker

    def step(self, worker: Worker, times: int = 1) -> bool:
        """Let a worker do its next operations; False: its work is over.

        Raises:
            BaseException: what its work raised.
        """
        for _ in range(times):
            if not worker.step():
                break
        if worker.error is not None:
            raise worker.error
        return not worker.done

    def finish(self, worker: Worker) -> Any:
        """Let a worker do all that is left of its work, and return its result.

        Raises:
            BaseException: what its work raised.
        """
        while self.step(worker):
            pass
        return worker.result

    def close(self) -> None:
        """Kill whoever is not done."""
        for worker in self._workers:
            worker.kill()

    def __enter__(self) -> Turns:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
