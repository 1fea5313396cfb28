"""A worker answers when what its answer speaks of is where others find it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

from forebay.pipeline.workers.executor import Message, Reply
from forebay.pipeline.workers.space import Parcel, Scratch, Space
from forebay.pipeline.workers.worker import Job, Work, Worker


class Slow(Space):
    """Publishes nothing until it is let."""

    def __init__(self) -> None:
        super().__init__(None, Scratch())
        self.begun, self.let = threading.Event(), threading.Event()

    def publish_all(self, parcels: Sequence[Parcel]) -> None:
        self.begun.set()
        assert self.let.wait(30)
        super().publish_all(parcels)


class Answers:
    """Notes answers, and whether the object that they speak of was there."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.there: list[bool] = []

    def done(self, number: int, result: Message) -> None:
        self.there.append(self.space.scratch.read(cast("Any", result["object"])) is not None)

    def failed(self, number: int, error: Message) -> None:
        raise AssertionError(error)

    def at(self, where: str) -> None:
        """Nobody looks."""


def in_parts(worker: Worker, task: Message, work: Work) -> None:
    """Publish a part, as a file that is read in one pass does, and name it in an answer that has nothing of its own."""
    part = Work(-1, {})
    work.result = {"object": part.parcel.put("base", b"rows", keep=False).digest}
    worker.publish(part)


def test_no_answer_overtakes_the_parts_that_it_speaks_of() -> None:
    space = Slow()
    answers = Answers(space)
    worker = Worker(Job(cast("Any", None), space, "x", 1), {"parts": in_parts})
    worker.start(cast("Reply", answers))
    worker.handle(0, {"do": "parts"})
    assert space.begun.wait(30)
    space.let.set()
    worker.finish()
    space.scratch.remove()
    assert answers.there == [True]
