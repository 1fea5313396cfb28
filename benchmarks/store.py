"""The store alone: hits, misses, commits, opening and listing with many entries, eviction, making the index anew.

Beside commits stands the disk's own floor: create, write, fsync, close.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from blake3 import blake3

from benchmarks.bench import Bench, Figures
from benchmarks.measure import Spread
from forebay.config import Settings
from forebay.io import LocalFilesystem
from forebay.io.local import LocalFile
from forebay.store import Store
from forebay.types import Cost, Entry, Key

Figure = tuple[str, Spread]


class UnflushedFile(LocalFile):
    __slots__ = ()

    def flush(self) -> None:
        pass


class Unflushed(LocalFilesystem):
    """A disk that is never waited for: to fill a store with many entries in little time."""

    parallel_flushes = 1

    def create(self, path: Path, *, mode: int = 0o644):
        file = super().create(path, mode=mode)
        file.__class__ = UnflushedFile
        return file

    def flush_dir(self, path: Path) -> None:
        pass


def key(text: str) -> Key:
    return Key(blake3(text.encode()).hexdigest())


def noise(text: str, size: int) -> bytes:
    return blake3(text.encode()).digest(size)


def timed(calls: Sequence[Callable[[], object]]) -> Spread:
    seconds: list[float] = []
    for call in calls:
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return Spread.of(seconds)


def fill(home: Path, count: int) -> None:
    """Entries as a run leaves them: some facts, the parts of a key, one object for two entries."""
    parts = {
        "operator": {"name": "clean_links_mapper", "version": 3, "params": {"pattern": "x" * 40}},
        "input": "0" * 64,
    }
    with Store.open(Settings(home=home), fs=Unflushed()) as store:
        for start in range(0, count, 2000):
            with store.batch() as batch:
                for number in range(start, min(count, start + 2000)):
                    ref = batch.put("patch", noise(f"{number // 2}", 300))
                    entry = Entry(
                        "delta", key(f"e{number}"), (ref,), meta={"rows_in": 1200, "rows_out": 1100}, parts=parts,
                        inputs=(key("i"),), cost=Cost(0.4, 300), dataset=f"d{number % 7}",
                    )  # fmt: skip
                    batch.add(entry)


def many(home: Path, count: int, starts: int) -> Iterator[Figure]:
    """What must not grow with the store, and what may."""
    entries = [key(f"e{number}") for number in range(0, count, max(1, count // 2000))]

    def opened() -> None:
        with Store.open(Settings(home=home)) as store:
            assert store.get("delta", entries[0]) is not None

    def listed() -> None:
        with Store.open(Settings(home=home)) as store:
            assert len(list(store.entries())) == count

    def measured() -> None:
        with Store.open(Settings(home=home)) as store:
            assert store.usage().entries == count

    opened()
    yield f"open + first hit + close, {count} entries", timed([opened] * 20)
    yield f"open + entries(), {count} entries", timed([listed] * 5)
    yield f"open + usage(), {count} entries", timed([measured] * 3)
    with Store.open(Settings(home=home)) as store:
        yield "get, first time", timed([lambda k=each: store.get("delta", k) for each in entries])
        yield "get, again", timed([lambda k=each: store.get("delta", k) for each in entries])
        yield "get, a miss", timed([lambda n=n: store.get("delta", key(f"no{n}")) for n in range(2000)])

        def hit(each: Key) -> None:
            entry = store.get("delta", each)
            assert entry is not None
            store.read(entry.objects[0].digest)

        yield "hit: get + read 300 bytes", timed([lambda k=each: hit(k) for each in entries])
        yield "gc, nothing to do", timed([store.gc] * 3)
        yield "gc, evict a hundredth", timed([lambda: store.gc(max_bytes=store.usage().bytes * 99 // 100)])
        yield "reindex", timed([store.reindex])
    process = (
        "from forebay.store import Store; from pathlib import Path; from forebay.config import Settings; import sys\n"
    )
    process += "with Store.open(Settings(home=Path(sys.argv[1]))) as s: assert s.get('delta', sys.argv[2])"
    command = [sys.executable, "-c", process, str(home), entries[-1]]
    yield "whole process: python, open, one hit", timed([lambda: subprocess.run(command, check=True)] * starts)
    yield (
        "whole process: python alone",
        timed([lambda: subprocess.run([sys.executable, "-c", ""], check=True)] * starts),
    )


def writing(home: Path, samples: int) -> Iterator[Figure]:
    """Commits, beside what the disk takes for as many files."""
    for size in (1000, 1_000_000):
        data = [noise(f"{size}-{number}", size) for number in range(samples)]

        def floor(content: bytes, at: Path) -> None:
            descriptor = os.open(at, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            os.write(descriptor, content)
            os.fsync(descriptor)
            os.close(descriptor)

        home.mkdir(exist_ok=True)
        calls = [lambda c=content, n=n, s=size: floor(c, home / f"{s}-{n}") for n, content in enumerate(data)]
        yield f"floor: one file of {size} bytes, fsync", timed(calls)
        for codec in ("none", "zstd"):
            settings = Settings(home=home / f"{codec}{size}", codec=codec)
            with Store.open(settings) as store:
                entry = Entry("delta", key("first"), cost=Cost(1.0))
                store.commit(entry, {"o": b"x"})
                commits = [
                    lambda c=content, n=n, s=store: s.commit(Entry("delta", key(f"{n}"), cost=Cost(1.0)), {"o": c})
                    for n, content in enumerate(data)
                ]
                yield f"commit one object of {size} bytes, {codec}", timed(commits)

    with Store.open(Settings(home=home / "batch")) as store:

        def ten(turn: int) -> None:
            with store.batch() as batch:
                for number in range(10):
                    ref = batch.put("o", noise(f"{turn}/{number}", 20_000))
                    batch.add(Entry("delta", key(f"{turn}/{number}"), (ref,), cost=Cost(1.0)))

        yield "batch of 10 entries with 20 kB each", timed([lambda t=turn: ten(t) for turn in range(samples)])
    with Store.open(Settings(home=home / "full", max_bytes=3_000_000, min_free_bytes=0)) as store:
        commits = [
            lambda n=n: store.commit(Entry("delta", key(f"{n}"), cost=Cost(1.0)), {"o": noise(f"{n}", 20_000)})
            for n in range(150 + samples)
        ]
        timed(commits[:150])  # until it is full
        yield "commit 20 kB where something must go", timed(commits[150:])


def store(bench: Bench) -> Figures:
    """Seconds of each call: what was done -> median, extremes, number."""
    work = bench.scratch("store")
    count = bench.options.entries
    bench.say(f"store: filling one with {count} entries")
    fill(work / "many", count)
    calls: Figures = {}
    starts, samples = (2, 5) if bench.options.quick else (10, 30)
    for told in (many(work / "many", count, starts), writing(work / "writing", samples)):
        for name, found in told:
            calls[name] = asdict(found)
    return {"entries": count, "calls": calls}
