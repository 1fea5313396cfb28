"""A worker answers when what its answer speaks of is where others find it; what it is forked from has no threads."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from forebay.errors import BuildError
from forebay.pipeline.workers.messages import Message, Reply
from forebay.pipeline.workers.space import Parcel, Scratch, Space
from forebay.pipeline.workers.worker import PART, Job, Work, Worker
from forebay.types import Digest, Entry, Key


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
    part = Work(PART, {})
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
    assert worker._finished.unfinished_tasks == 0, "or no part would go ahead any more once it is started again"


def test_what_is_done_is_published_though_nobody_listens() -> None:
    """The parent was killed: no word of its worker's, and no work lost."""

    class Gone(Answers):
        def done(self, number: int, result: Message) -> None:
            super().done(number, result)
            raise BrokenPipeError

    space = Slow()
    answers = Gone(space)
    worker = Worker(Job(cast("Any", None), space, "x", 1), {"parts": in_parts})
    worker.start(cast("Reply", answers))
    worker.handle(0, {"do": "parts"})
    space.let.set()
    worker.handle(1, {"do": "parts"})
    worker.finish()
    space.scratch.remove()
    assert answers.there == [True, True]


def test_what_goes_ahead_of_a_parcel_is_still_found_in_it() -> None:
    parcel = Parcel()
    whole = parcel.put("layer", b"named by an entry")
    loose, unnamed = parcel.put("layer", b"passes through", keep=False), parcel.put("layer", b"not named yet")
    parcel.entries.append(Entry("delta", Key("0" * 64), (whole,)))
    part = parcel.part()
    assert (list(part.kept), part.loose, len(part.entries)) == ([whole.digest], {}, 1)
    assert (list(parcel.kept), list(parcel.loose), parcel.entries) == ([unnamed.digest], [loose.digest], [])
    assert all(parcel.find(ref.digest) is not None for ref in (whole, loose, unnamed))
    assert parcel.part().entries == []


def test_a_scratch_folder_that_is_full_is_told_with_its_place() -> None:
    scratch = Scratch()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(BuildError, match=r"cannot write to the scratch folder .*: File too large; make room there"):
            scratch.write(Digest("0" * 64), bytes(2000))
        assert list(scratch.folder.iterdir()) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        scratch.remove()


PREPARED = """
import os, sys
from pathlib import Path
from forebay.pipeline.workers.space import Scratch, Space
from forebay.pipeline.workers.worker import Job, Worker
Worker(Job(None, Space(None, Scratch()), "x", 2), {}).prepare()
threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
print(sum(name != "jemalloc_bg_thd" for name in threads), os.environ.get("OPENBLAS_NUM_THREADS"))
assert "pyarrow" in sys.modules and "pyarrow.compute" not in sys.modules, "it takes a fifth of the start"
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("users", [None, "2"])
def test_preparing_starts_no_thread_and_leaves_the_environment(
    monkeypatch: pytest.MonkeyPatch, users: str | None
) -> None:
    """Arrow's allocator has a thread that knows of forks; numpy's OpenBLAS has as many as the user wants."""
    if users is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", users)
    done = subprocess.run([sys.executable, "-c", PREPARED], capture_output=True, text=True, check=True)
    threads, environment = done.stdout.split()
    assert environment == str(users)
    if users is None:
        assert threads == "1"
