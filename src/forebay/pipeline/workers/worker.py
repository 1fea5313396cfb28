"""What a worker does: compute tasks one after the other, and publish what each made in a thread behind.

A task is a JSON object whose ``do`` names what to do (`forebay.pipeline.workers.tasks`); the answer is sent when
everything that it speaks of is durable. What was made while the last parcels were published is published together;
at most two parcels wait, so memory is bounded by a few shards per worker. While nothing waits, operators' results go
ahead of the shard that they are of: whatever ends this process, or the task, takes less with it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from forebay.config import environment_defaults
from forebay.errors import ObjectDamagedError, ObjectMissingError
from forebay.pipeline.recipes.chain import Chain, Link
from forebay.pipeline.workers.failures import error_to_json
from forebay.pipeline.workers.messages import Message, Reply
from forebay.pipeline.workers.space import Parcel, Space
from forebay.pipeline.workers.stage import Bench
from forebay.table.options import ReadOptions
from forebay.table.shard import Shard
from forebay.types import Digest

if TYPE_CHECKING:
    from forebay.io import Lease

_ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy's OpenBLAS, where it is loaded, would start one per core: they spin for a tenth of a second, and a process that
others are forked from should have none. Programs that operators start do not see this."""


_WORTH_SECONDS = 0.05
"""Results that took so long to compute are worth a commit of their own, which takes a fraction of that."""

PART = -1
"""Number of works that are part of another, which is answered."""


@dataclass(slots=True)
class Work:
    """One task under way: what to answer, what to publish first, the lease to give back last."""

    number: int
    result: Message
    parcel: Parcel = field(default_factory=Parcel)
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What every task of a run shares; made by the parent before it forks."""

    chain: Chain
    space: Space
    dataset: str
    processes: int
    check: bool = True
    """Whether to run the determinism check on user functions."""
    options: ReadOptions = field(default_factory=ReadOptions)
    """How sources are read."""


TaskHandler: TypeAlias = "Callable[[Worker, Message, Work], None]"
"""Does one kind of task: fills in the work's result and parcel."""


class Worker:
    """Computes tasks; see `forebay.pipeline.workers.messages.Handler`."""

    def __init__(self, job: Job, handlers: Mapping[str, TaskHandler]) -> None:
        self.job = job
        self._handlers = handlers
        self._reply: Reply | None = None
        self._operators: dict[int, Any] = {}
        self._checked: set[int] = set()
        self._finished: queue.Queue[Work | None] = queue.Queue(maxsize=2)
        self._publisher: threading.Thread | None = None
        self._broke = ""
        self._failed: Message | None = None
        self._parts = False

    def prepare(self) -> None:
        """See `Handler`: import what reading, computing and rendering need, before the first task is there."""
        import importlib

        with environment_defaults(_ONE_BLAS_THREAD):
            for name in ("layers", "rendering", "sources"):
                importlib.import_module(f"forebay.table.{name}")

    def start(self, reply: Reply) -> None:
        """See `Handler`."""
        self._reply = reply
        self._operators.clear()
        self._checked.clear()
        self._publisher = threading.Thread(target=self._publish, name="forebay-publisher")
        self._publisher.start()
        if self.job.processes > 1:
            _one_thread_each()

    def handle(self, number: int, task: Message) -> None:
        """See `Handler`."""
        work = Work(number, {})
        try:
            self._handlers[str(task["do"])](self, task, work)
        except (ObjectMissingError, ObjectDamagedError) as error:
            work.parcel = Parcel()
            work.result = {"damaged": error.what}
            self._look_closer(task)
        except Exception as error:  # noqa: BLE001 - whatever went wrong is told to the parent, which raises it
            self.publish(Work(PART, {}, work.parcel.part(), work.lease))
            self.reply.failed(number, error_to_json(error))
            return
        self.publish(work)

    def publish(self, work: Work) -> None:
        """Hand over to the publisher; no answer comes before the parts that it speaks of are published."""
        makes = work.parcel.entries or work.parcel.kept or work.parcel.loose or work.lease
        if makes or self._parts:
            self._finished.put(work)
        elif work.number != PART:
            self.reply.done(work.number, work.result)
        self._parts = work.number == PART

    def _publish_part(self, parcel: Parcel) -> None:
        """Hand over the results of the task under way, if there is nothing else to publish and they are worth it."""
        worth = sum(entry.cost.seconds for entry in parcel.entries) >= _WORTH_SECONDS
        if worth and not self._finished.unfinished_tasks:
            self.publish(Work(PART, {}, parcel.part()))

    def _look_closer(self, task: Message) -> None:
        """Read all that a task needs, so that whatever else is damaged is set aside now, and made again in one go."""
        digests = (
            [ref.digest for ref in Shard.from_json(task["shard"]).objects()]
            if task["do"] in ("stage", "render")
            else []
        )
        digests += cast("list[Digest]", task.get("summaries", []))
        for digest in digests:
            try:
                self.job.space.read(digest)
            except (ObjectMissingError, ObjectDamagedError):
                pass  # set aside

    def finish(self) -> None:
        """See `Handler`."""
        self._finished.put(None)
        if self._publisher is not None:
            self._publisher.join()
        self.job.space.keeper.close()

    @property
    def reply(self) -> Reply:
        """How to answer."""
        assert self._reply is not None, "start() comes first"
        return self._reply

    def bench(self) -> Bench:
        """Return what a stage needs."""
        return Bench(self.job.space, self._operator, self.reply.at, self.job.dataset, self._check, self._publish_part)

    def _operator(self, link: Link) -> Any:
        if link.index not in self._operators:
            self._operators[link.index] = link.use.load()
        return self._operators[link.index]

    def _check(self, link: Link, operator: Any, rows: Any, result: Any) -> str:
        if not self.job.check or link.index in self._checked:
            return ""
        self._checked.add(link.index)
        from forebay.pipeline.workers import determinism, user

        rowwise = user.independent_of_batch(cast("Any", link.use))
        return determinism.check(link, operator, rows, result, rowwise=rowwise)

    def _publish(self) -> None:
        """The publisher thread's life."""
        while works := self._take():
            broken = self.job.space.broken
            try:
                self.job.space.publish_all([work.parcel for work in works])
            except Exception as error:  # noqa: BLE001 - even the scratch folder failed: the run cannot go on
                self._failed = self._failed or error_to_json(error)
            if self.job.space.broken != broken:
                self._broke = self.job.space.broken
            for work in works:
                with suppress(ConnectionError):  # the parent was killed; what is done is published all the same
                    self._answer(work)
                self._finished.task_done()

    def _take(self) -> list[Work]:
        """Wait for what is finished, and take all of it that is there; nothing: that was the last."""
        works: list[Work] = []
        while not works or not self._finished.empty():
            work = self._finished.get()
            if work is None:
                self._finished.task_done()
                if works:
                    self._finished.put(None)  # for the next time
                break
            works.append(work)
        return works

    def _answer(self, work: Work) -> None:
        _release(work)
        if work.number == PART:
            return
        if self._failed:
            self.reply.failed(work.number, self._failed)
            return
        if self._broke:
            work.result["broken"], self._broke = self._broke, ""
        self.reply.done(work.number, work.result)


def _release(work: Work) -> None:
    if work.lease is not None:
        try:
            work.lease.release()
        except OSError:
            pass  # it will be found dead by its heartbeat
        work.lease = None


def _one_thread_each() -> None:
    """Workers are the parallelism: Arrow's own pools would only compete with them."""
    import pyarrow as pa

    pa.set_cpu_count(1)
