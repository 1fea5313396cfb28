"""How fast tables are, in megabytes of source a second on one core, with the machine's floor beside it.

``python -m benchmarks.table [--megabytes 48]`` measures CPU seconds, not wall seconds, so that neighbours on the
machine disturb less: one round of everything after another, several rounds, the median of each with its spread.

| step | what one pass does |
|---|---|
| floor | reads the file's bytes (page cache), block by block, and digests them once |
| scan | cuts the file into shards: two digests of every byte, a hash of every line |
| read | parses every shard into columns |
| encode | the columns as Arrow IPC |
| load | base + eight layers (four patches of a third of the rows, four selections of nine in ten), all columns |
| export | that, and renders it as JSON lines |
| rows | that, as Python dicts |
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from blake3 import blake3

from benchmarks import corpus
from benchmarks.measure import Spread
from forebay.table import Shard, ipc, layers, rendering, sources
from forebay.table.building import build
from forebay.table.pythonic import rows_of
from forebay.types import Digest, ObjectRef

PROMISED = {"scan": 400.0, "read": 100.0, "export": 150.0}
"""Megabytes a second."""


class Objects:
    """Objects in a dict, named by number: digests are not what is measured here."""

    def __init__(self) -> None:
        self._objects: list[memoryview] = []

    def put(self, role: str, data: bytes | bytearray | memoryview) -> ObjectRef:
        self._objects.append(memoryview(data))
        return ObjectRef(role, Digest(str(len(self._objects) - 1)), len(data))

    def read(self, digest: Digest, /) -> memoryview:
        return self._objects[int(digest)]


def layered(objects: Objects, rows: pa.Table) -> Shard:
    """Return a shard with four rounds of a mapper that changes a third of the texts and a filter that keeps 9 in 10."""
    shard = Shard(objects.put("base", memoryview(ipc.encode(rows))), rows.num_rows)
    for turn in range(4):
        texts = rows.column("text").to_pylist()
        texts[turn::3] = [f"{text} {turn}" for text in texts[turn::3]]
        drafts = layers.diff(rows, {"text": build(texts)})
        rows = layers.apply(rows, drafts)
        kept = layers.select(np.arange(rows.num_rows) % 10 != turn)
        rows = layers.apply(rows, kept)
        shard = shard.with_layer(*(draft.stored(objects.put) for draft in drafts + kept))
    return shard


def floor(path: Path) -> None:
    """Read and digest the file once."""
    digest = blake3()
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            digest.update(block)


def steps(path: Path) -> dict[str, tuple[float, Callable[[], object]]]:
    """Return what is measured: megabytes handled, and a call of one pass."""
    (file,) = sources.resolve(path)
    megabytes = path.stat().st_size / 1e6
    cut = sources.scan(file).shards
    tables = [sources.read_shard(file, shard).table for shard in cut]
    objects = Objects()
    shards = [layered(objects, rows) for rows in tables]
    left = sum(rows.nbytes for rows in (layers.load(objects, shard) for shard in shards)) / 1e6
    return {
        "floor": (megabytes, lambda: floor(path)),
        "scan": (megabytes, lambda: sources.scan(file)),
        "read": (megabytes, lambda: [sources.read_shard(file, shard) for shard in cut]),
        "encode": (megabytes, lambda: [ipc.encode(rows) for rows in tables]),
        "load": (left, lambda: [layers.load(objects, shard) for shard in shards]),
        "export": (left, lambda: [rendering.render(layers.load(objects, shard)) for shard in shards]),
        "rows": (left, lambda: [rows_of(layers.load(objects, shard)) for shard in shards]),
    }


def measure(path: Path, rounds: int) -> dict[str, Spread]:
    """Return megabytes a second of each step."""
    samples: dict[str, list[float]] = {}
    measured = steps(path)
    for turn in range(rounds + 1):
        for name, (megabytes, work) in measured.items():
            start = time.process_time()
            work()
            if turn:  # the first round warms up
                samples.setdefault(name, []).append(megabytes / (time.process_time() - start))
    return {name: Spread.of(speeds) for name, speeds in samples.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=48.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    path = Path(__file__).parent / "work" / f"table-{options.megabytes:g}.jsonl"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        corpus.write(path, int(options.megabytes * 1e6 / 1600))
    print(f"{'step':8} {'MB/s':>7} {'low':>7} {'high':>7} {'promised':>9}")
    for name, speed in measure(path, options.rounds).items():
        promised = f"{PROMISED[name]:9.0f}" if name in PROMISED else ""
        print(f"{name:8} {speed.median:7.0f} {speed.low:7.0f} {speed.high:7.0f} {promised}")


if __name__ == "__main__":
    main()
