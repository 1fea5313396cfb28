"""The kinds of task: what each takes, does and answers. All messages are JSON.

========== ================================================== ====================================================
``do``     takes                                              answers
========== ================================================== ====================================================
``scan``   file                                               shards: byte ranges
``read``   file, shard (byte range), key                      base, rows, schema, bad
``stage``  stage, shard, place, first, order, gap, keep,      shard, steps, summary | busy
           lease
``choose`` operator, summaries, rows, key, keep               layers: one or null per shard
``render`` shard, schema, format, part                        bytes
``join``   parts, target, format                              bytes, digest
========== ================================================== ====================================================
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from forebay.pipeline import reading
from forebay.pipeline.executor import Message
from forebay.pipeline.lineage import Place
from forebay.pipeline.stage import StageRun
from forebay.table.shard import Layer, Shard
from forebay.types import JSON, Buffer, Cost, Digest, Entry, Key

if TYPE_CHECKING:
    from forebay.pipeline.worker import Work, Worker

Handler = Callable[["Worker", Message, "Work"], None]


def scan(worker: Worker, task: Message, work: Work) -> None:
    """Cut a file into shards."""
    began = time.perf_counter()
    file = reading.file_from_json(task["file"])
    shards: list[JSON] = [reading.range_to_json(one) for one in reading.scan(file, worker.job.options)]
    work.result = {"shards": shards}
    key = task.get("key")
    if key is not None:
        data = json.dumps(shards, separators=(",", ":")).encode()
        ref = work.parcel.put("shards", data)
        cost = Cost(time.perf_counter() - began, len(data))
        work.parcel.entries.append(
            Entry("source", Key(str(key)), (ref,), {"shards": len(shards)}, cost=cost, dataset=worker.job.dataset)
        )


def read(worker: Worker, task: Message, work: Work) -> None:
    """Read one shard of a file into Arrow."""
    from forebay.table import ipc

    began = time.perf_counter()
    worker.reply.at(f"reading {Path(str(cast('Mapping[str, JSON]', task['file'])['path'])).name}")
    file = reading.file_from_json(task["file"])
    got = reading.read(file, reading.range_from_json(task["shard"]), worker.job.options)
    keep = task.get("key") is not None
    ref = work.parcel.put("base", cast("Buffer", ipc.encode(got.rows)), keep=keep)
    objects = [ref]
    if got.bad:
        objects.append(work.parcel.put("bad", got.bad_bytes(), keep=keep))
    meta: dict[str, JSON] = {"rows": got.rows.num_rows, "schema": got.schema.to_json(), "bad_rows": len(got.bad)}
    work.result = {"base": [ref.role, ref.digest, ref.size], **meta}
    if keep:
        cost = Cost(time.perf_counter() - began, sum(one.size for one in objects))
        work.parcel.entries.append(
            Entry("shard", Key(str(task["key"])), tuple(objects), meta, cost=cost, dataset=worker.job.dataset)
        )


def stage(worker: Worker, task: Message, work: Work) -> None:
    """Do one stage over one shard."""
    if not _leased(worker, task, work):
        return
    current = worker.job.chain.stages[cast("int", task["stage"])]
    run = StageRun(
        worker.bench(), current, Shard.from_json(task["shard"]), Place.from_json(task["place"]),
        tuple(cast("list[str]", task["order"])), cast("int", task["keep"]), work.parcel,
    )  # fmt: skip
    if task.get("gap"):
        run.conform(task["gap"])
    run.run(cast("int", task["first"]))
    summary = run.summarise(current.closing) if current.closing else None
    steps: list[JSON] = [step.to_json() for step in run.steps]
    told: list[JSON] = list(run.told)
    work.result = {"shard": run.shard.to_json(), "steps": steps, "summary": summary, "told": told, "tainted": run.tainted}


def choose(worker: Worker, task: Message, work: Work) -> None:
    """The global half: one selection per shard, from all summaries in dataset order."""
    from forebay.table import ipc, layers as tables

    if not _leased(worker, task, work):
        return
    began = time.perf_counter()
    bench = worker.bench()
    link = worker.job.chain.links[cast("int", task["operator"])]
    bench.at(f"{link.label} over all shards")
    keep = task.get("key") is not None
    summaries = cast("list[str]", task["summaries"])

    def read_all() -> Iterator[Any]:
        for digest in summaries:
            yield ipc.decode(bench.space.read(Digest(digest)))

    chosen: list[JSON] = []
    objects = {}
    for mask in bench.operator(link).select(read_all()):
        layer: Layer | None = None
        for draft in tables.select(mask):
            layer = draft.stored(lambda role, data: work.parcel.put(role, data, keep=keep))
            objects[layer.object] = None
        chosen.append(layer.to_json() if layer else None)
    assert len(chosen) == len(summaries), link.use.name
    work.result = {"layers": chosen, "seconds": time.perf_counter() - began}
    if keep:
        data = json.dumps(chosen, separators=(",", ":")).encode()
        ref = work.parcel.put("layers", data)
        parts: dict[str, JSON] = {"operator": link.key, "name": link.use.name}
        cost = Cost(time.perf_counter() - began, sum(one.size for one in objects) + len(data))
        work.parcel.entries.append(
            Entry("global", Key(str(task["key"])), (ref, *objects), {"shards": len(chosen)}, parts, cost=cost,
                  dataset=worker.job.dataset)
        )  # fmt: skip


def _leased(worker: Worker, task: Message, work: Work) -> bool:
    """Take the task's lease; False, and the answer is "busy", where another process has it."""
    if not task.get("lease"):
        return True
    lease = worker.job.space.lease(Key(str(task["lease"])))
    if lease is None:
        work.result = {"busy": True}
        return False
    work.lease = lease or None  # False: the store gives none, so we go on without
    return True


HANDLERS: Mapping[str, Handler] = {"scan": scan, "read": read, "stage": stage, "choose": choose}
