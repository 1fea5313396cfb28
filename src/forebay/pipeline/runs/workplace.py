"""What a run computes with: a space for its objects, and workers.

Apart from `computing` so that workers load what they will need while the parent still looks up what is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from forebay.events import Event, Hook, What
from forebay.pipeline.recipes.options import processes
from forebay.pipeline.runs.files import read_options
from forebay.pipeline.workers.executor import Executor, Forked, InProcess
from forebay.pipeline.workers.scheduler import Scheduler
from forebay.pipeline.workers.space import Scratch, Space
from forebay.pipeline.workers.tasks import HANDLERS, describe
from forebay.pipeline.workers.worker import Job, Worker

if TYPE_CHECKING:
    from forebay.pipeline.runs.request import Request


@dataclass(frozen=True, slots=True)
class Workplace:
    """A space and its workers, who start with the first task or by `scheduler.start`."""

    space: Space
    scheduler: Scheduler

    @classmethod
    def of(cls, run: Request) -> Workplace:
        """Make one; a store that nothing can be written to is told of."""
        given = getattr(run.given, "objects", None)
        space = Space(run.store, Scratch(), refresh=run.options.refresh, given=given)
        if run.store is not None and space.broken:
            run.hook(Event(What.WARNING, f"{space.broken}: what must be computed is not kept"))
        job = Job(
            run.chain, space, run.recipe.project, processes(run.options, run.recipe.processes), run.options.check,
            read_options(run.recipe),
        )  # fmt: skip
        return cls(space, Scheduler(partial(_executor, job, run.hook), run.hook, space.keeper.keep))

    def close(self) -> None:
        """Let workers publish what they have, and end them; the scratch folder goes with the last who holds the space.

        Twice is fine.
        """
        self.space.keeper.close()
        self.scheduler.close()


def _executor(job: Job, hook: Hook) -> Executor:
    worker = Worker(job, HANDLERS)
    if job.processes == 1:
        return InProcess(worker)
    return Forked(worker, job.processes, hook, describe)
