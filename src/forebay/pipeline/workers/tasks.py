"""The kinds of task: what each takes, does and answers. All messages are JSON.

========== ================================================== ====================================================
``do``     takes                                              answers
========== ================================================== ====================================================
``scan``   file, content, key, lease                          shards: byte ranges | busy
``ingest`` file, content, key, expect, lease                  shards: base, rows, schema, bad_rows, first_line | busy
``read``   file, shard (byte range), key, expect, lease       base, rows, schema, bad_rows | busy
``stage``  stage, shard, place, first, order, gap, keep,      shard, outcomes, summary | busy
           lease
``choose`` operator, summaries, rows, key, lease              layers: one or null per shard | busy
``render`` shard, schema, format, compression, stats, part    part, stats (their schema), lost (numbers)
========== ================================================== ====================================================

What another process made of it while its lease was asked for is the answer, and is not done again (``reused``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from forebay.pipeline.recipes import keys
from forebay.pipeline.workers.lineage import Place
from forebay.pipeline.workers.messages import Message
from forebay.pipeline.workers.stage import StageRun
from forebay.pipeline.workers.worker import PART, TaskHandler, Work, Worker
from forebay.table.proving import Content
from forebay.table.resolving import SourceFile
from forebay.table.schema import Schema
from forebay.table.shard import Layer, Shard, ref_from_json
from forebay.types import JSON, Cost, Digest, Entry, Key

if TYPE_CHECKING:
    from forebay.table.options import ReadOptions
    from forebay.table.reading import Rows


def scan(worker: Worker, task: Message, work: Work) -> None:
    """Cut a file of lines into shards.

    Raises:
        SourceError: it cannot be read, or has changed since its content was hashed.
    """
    if not _leased(worker, task, work) or _answered_shards(worker, task, work):
        return
    from forebay.table import sources

    began = time.perf_counter()
    file = SourceFile.from_json(task["file"])
    found = sources.scan(file, _options(worker, task))
    content = _content(task)
    if content is not None and found.digest != content.digest:
        raise sources.changed(file.path)
    _answer_shards(worker, task, work, [shard.to_json() for shard in found.shards], time.perf_counter() - began)


def ingest(worker: Worker, task: Message, work: Work) -> None:
    """Read any other source in one pass, publishing shard by shard."""
    if not _leased(worker, task, work) or _answered_shards(worker, task, work):
        return
    from forebay.table import sources

    began = last = time.perf_counter()
    file = SourceFile.from_json(task["file"])
    worker.reply.at(f"reading {Path(file.path).name}")
    shards: list[JSON] = []
    for rows in sources.ingest(file, _options(worker, task), _content(task)):
        part = Work(PART, {})
        meta, entry = _base(worker, rows, part, keep=task.get("key") is not None)
        shards.append({**meta, "first_line": rows.first_line})
        if entry is not None:
            key = keys.key_of("forebay.rows/1", str(cast("list[JSON]", meta["base"])[1]))
            now = time.perf_counter()
            part.parcel.entries.append(replace(entry, key=key, cost=Cost(now - last, entry.cost.bytes)))
            last = now
        worker.publish(part)
    _answer_shards(worker, task, work, shards, time.perf_counter() - began)


def read(worker: Worker, task: Message, work: Work) -> None:
    """Read one shard of a file of lines into Arrow."""
    if not _leased(worker, task, work):
        return
    made = _made_meanwhile(worker, task, "shard")
    if made is not None:
        work.result = {**made.meta, "reused": True}
        return
    from forebay.table import sources

    began = time.perf_counter()
    file = SourceFile.from_json(task["file"])
    worker.reply.at(f"reading {Path(file.path).name}")
    rows = sources.read_shard(file, sources.ByteShard.from_json(task["shard"]), _options(worker, task))
    meta, entry = _base(worker, rows, work, keep=task.get("key") is not None)
    seconds = time.perf_counter() - began
    work.result = {**meta, "seconds": seconds}
    if entry is not None:
        work.parcel.entries.append(replace(entry, key=Key(str(task["key"])), cost=Cost(seconds, entry.cost.bytes)))


def _content(task: Message) -> Content | None:
    content = task.get("content")
    return None if content is None else Content.from_json(content)


def _options(worker: Worker, task: Message) -> ReadOptions:
    expect = task.get("expect")
    return worker.job.options if expect is None else replace(worker.job.options, expect=Schema.from_json(expect))


def _base(worker: Worker, rows: Rows, work: Work, *, keep: bool) -> tuple[dict[str, JSON], Entry | None]:
    """Store a shard's rows, and those set aside; return what is known of them, and their entry without a key."""
    from forebay.table import ipc
    from forebay.table.building import holds_large_integers

    ref = work.parcel.put("base", memoryview(ipc.encode(rows.table)), keep=keep)
    objects = [ref]
    if rows.bad:
        lines = [json.dumps(bad.to_json("", 0), ensure_ascii=False) + "\n" for bad in rows.bad]
        objects.append(work.parcel.put("bad", "".join(lines).encode("utf-8", "surrogatepass"), keep=keep))
    meta: dict[str, JSON] = {
        "base": [ref.role, ref.digest, ref.size], "rows": rows.table.num_rows, "schema": rows.schema.to_json(),
        "bad_rows": len(rows.bad),
    }  # fmt: skip
    large = [name for name in rows.table.column_names if holds_large_integers(rows.table.column(name).combine_chunks())]
    if large:
        meta["large"] = list[JSON](large)
    cost = Cost(0.0, sum(one.size for one in objects))
    entry = Entry("shard", Key(""), tuple(objects), meta, cost=cost, dataset=worker.job.dataset)
    return meta, entry if keep else None


def _answer_shards(worker: Worker, task: Message, work: Work, shards: list[JSON], seconds: float) -> None:
    work.result = {"shards": shards}
    key = task.get("key")
    if key is None:
        return
    data = json.dumps(shards, separators=(",", ":")).encode()
    ref = work.parcel.put("shards", data)
    bases = [ref_from_json(shard["base"]) for shard in shards if isinstance(shard, dict)]
    objects = (ref, *dict.fromkeys(bases))
    meta: dict[str, JSON] = {"shards": len(shards)}
    work.parcel.entries.append(
        Entry("source", Key(str(key)), objects, meta, cost=Cost(seconds, len(data)), dataset=worker.job.dataset)
    )


def _answered_shards(worker: Worker, task: Message, work: Work) -> bool:
    """Answer with a source's shards, if another process has made them meanwhile."""
    made = _made_meanwhile(worker, task, "source")
    if made is None:
        return False
    shards = json.loads(bytes(worker.job.space.read(made.object("shards").digest)))
    work.result = {"shards": shards, "reused": True}
    return True


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
    outcomes: list[JSON] = [each.to_json() for each in run.outcomes]
    told: list[JSON] = list(run.told)
    work.result = {
        "shard": run.shard.to_json(),
        "outcomes": outcomes,
        "summary": summary,
        "told": told,
        "tainted": run.tainted,
    }


def choose(worker: Worker, task: Message, work: Work) -> None:
    """The global half: one selection per shard, from all summaries in dataset order."""
    from forebay.table import ipc
    from forebay.table import layers as tables

    if not _leased(worker, task, work):
        return
    made = _made_meanwhile(worker, task, "global")
    if made is not None:
        layers = json.loads(bytes(worker.job.space.read(made.object("layers").digest)))
        work.result = {"layers": layers, "reused": True}
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
            if layer.object is not None:
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


def render(worker: Worker, task: Message, work: Work) -> None:
    """One shard of the result as a part of the export, in a file of the scratch folder."""
    from forebay.table import layers as tables
    from forebay.table import rendering
    from forebay.table.casting import describe

    space = worker.job.space
    shard = Shard.from_json(task["shard"])
    rows = tables.load(space, shard, schema=Schema.from_json(task["schema"]))
    stats: JSON = None
    if task["stats"]:
        measured = tables.load_stats(space, shard)
        stats = describe(measured.schema).to_json() if measured.num_columns else None
        rows = rendering.with_stats(rows, measured)
    part = rendering.render(rows, cast("Any", task["format"]), cast("Any", task["compression"]))
    path = Path(str(task["part"]))
    path.write_bytes(part)
    lost = rendering.wordless(rows) if task["format"] == "jsonl" else 0
    work.result = {"part": str(path), "stats": stats, "lost": lost}


def _leased(worker: Worker, task: Message, work: Work) -> bool:
    """Take the task's lease; False, and the answer is "busy", where another process has it."""
    if not task.get("lease"):
        return True
    ours, work.lease = worker.job.space.lease(Key(str(task["lease"])))
    if not ours:
        work.result = {"busy": True}
    return ours


def _made_meanwhile(worker: Worker, task: Message, kind: str) -> Entry | None:
    return worker.job.space.get(kind, Key(str(task["key"]))) if task.get("lease") else None


HANDLERS: Mapping[str, TaskHandler] = {"scan": scan, "ingest": ingest, "read": read, "stage": stage, "choose": choose,
                                  "render": render}  # fmt: skip


def describe(task: Message) -> str:
    """Say what a task is, for the message about a worker that died before it could tell."""
    if task["do"] == "stage":
        return f"stage {cast('int', task['stage']) + 1} of {Place.from_json(task['place']).shard_text}"
    if "file" in task:
        return f"reading {cast('list[str]', task['file'])[0]}"
    return str(task["do"])
