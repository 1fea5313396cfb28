"""Bundles: writing, installing, checking, and deltas, each beside what the machine can do in the same round.

The floor of writing is the slowest of three in the same round: zstd alone (its own program, level 1, two threads, into
nothing), BLAKE3 in one thread, and the disk (the archive's bytes written and flushed). Files are in the page cache, as
they are after a fetch.
"""

from __future__ import annotations

import itertools
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

from benchmarks import corpus, folders
from benchmarks.bench import Bench, Figures
from forebay.bundle import CreateOptions, InstallOptions, closure, create, find_roots, install, verify
from forebay.bundle.comparing import read_manifest
from forebay.config import Settings
from forebay.store import Store
from forebay.types import Entry, Key

MIB = 2**20


def key(text: str) -> Key:
    return Key(blake3(text.encode()).hexdigest())


def text_objects(count: int, size: int) -> Iterator[bytes]:
    """Rows of the benchmark corpus, cut into objects; one pool is cut at odd places, so that none are the same."""
    pool = b"\n".join(corpus.lines(12_000))
    for number in range(count):
        at = number * 7919 * 31 % len(pool)
        piece = pool[at:] + pool[:at]
        yield (f"{number}\n".encode() + piece * (size // len(piece) + 1))[:size]


def media_objects(count: int, size: int) -> Iterator[bytes]:
    """What zstd cannot shrink, as pictures and parquet files are."""
    for number in range(count):
        yield blake3(str(number).encode()).digest(size)


def batched(things: Iterator[tuple[int, bytes]], size: int) -> Iterator[list[tuple[int, bytes]]]:
    while group := list(itertools.islice(things, size)):
        yield group


def fill(home: Path, objects: Iterator[bytes]) -> int:
    total = 0
    with Store.open(Settings(home=home)) as store:
        for group in batched(enumerate(objects), 32):
            with store.batch() as batch:
                for number, data in group:
                    batch.add(Entry("shard", key(f"{number}"), (batch.put("data", data),), dataset="bench"))
                    total += len(data)
    return total


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def floors(home: Path, work: Path, packed: int, total: int) -> dict[str, Callable[[], object]]:
    """Return what cannot be avoided, each alone."""
    files = [path for path in (home / "objects-v1").rglob("*") if path.is_file()]

    def pack() -> None:
        command = ["zstd", "-q", "-1", "-T2", "-c"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as zstd:
            assert zstd.stdin is not None
            for path in files:
                zstd.stdin.write(path.read_bytes())
            zstd.stdin.close()

    def hash_all() -> None:
        for path in files:
            blake3(path.read_bytes()).digest()

    def write() -> None:
        piece = os.urandom(8 * MIB)
        descriptor = os.open(work / "floor", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        for at in range(0, packed, len(piece)):
            os.write(descriptor, piece[: packed - at])
        os.fsync(descriptor)
        os.close(descriptor)
        (work / "floor").unlink()

    found: dict[str, Callable[[], object]] = {"blake3": hash_all, "disk": write}
    if shutil.which("zstd") and packed < 0.95 * total:  # what is kept raw is not packed by anybody
        found["zstd -1 -T2"] = pack
    return found


def bundle(bench: Bench) -> Figures:
    """A bundle of text and one of what cannot be packed; and one object in a hundred changed."""
    work = bench.scratch("bundle")
    total, fewest = bench.options.megabytes * 10**6, 20 if bench.options.quick else 100
    count = fewest * -(-total // (4 * MIB * fewest))  # a multiple of it, so that a hundredth is a hundredth
    size = total // count
    figures: Figures = {"zstd": shutil.which("zstd") is not None}
    figures["text"] = _kind(bench, work, "text", text_objects(count, size))
    figures["delta"] = _delta(work, count, size)
    figures["media"] = _kind(bench, work, "media", media_objects(count, size))
    figures["largest"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return figures


def _kind(bench: Bench, work: Path, name: str, objects: Iterator[bytes]) -> Figures:
    home, out = work / name, work / f"{name}.tar"
    total = fill(home, objects)
    with Store.open(Settings(home=home)) as store:
        wanted = closure(store, find_roots(store, ["bench"]))

    def write() -> None:
        with Store.open(Settings(home=home)) as fresh:  # whose objects are not known to be sound yet
            create(fresh, wanted, out)

    write()
    packed = out.stat().st_size
    seconds: dict[str, list[float]] = {}
    for turn in range(bench.options.pairs):  # in turn, so that whatever else the machine does meets all alike
        bench.say(f"bundle: {name}, round {turn + 1} of {bench.options.pairs}")
        folders.put_aside(out)
        for each, call in {**floors(home, work, packed, total), "create": write}.items():
            seconds.setdefault(each, []).append(timed(call))
        seconds.setdefault("verify", []).append(timed(lambda: verify(out)))
    _installs(bench, work, name, seconds)
    return {"bytes": total, "packed": packed, "objects": len(wanted.objects), "seconds": seconds}


def _installs(bench: Bench, work: Path, name: str, seconds: dict[str, list[float]]) -> None:
    unpacked = work / f"{name}-unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-xf", work / f"{name}.tar", "-C", unpacked], check=True)
    os.sync()
    ways = (
        ("install, archive", work / f"{name}.tar", InstallOptions()),
        ("install, copied", unpacked, InstallOptions(link=False)),
        ("install, linked", unpacked, InstallOptions()),
    )
    for turn in range(bench.options.repeats):
        for label, path, options in ways:
            home = work / "there" / f"{name}-{label}-{turn}"
            with Store.open(Settings(home=home)) as there:
                taken = timed(lambda there=there, path=path, options=options: install(there, path, options))
            seconds.setdefault(label, []).append(taken)
            os.sync()


def _delta(work: Path, count: int, size: int) -> Figures:
    """One object in a hundred changes."""
    first, out = work / "text.tar", work / "delta.tar"
    changed = max(1, count // 100)
    with Store.open(Settings(home=work / "text")) as store:
        for number, data in enumerate(text_objects(changed, size)):
            entry = Entry("shard", key(f"changed {number}"), dataset="bench")
            store.commit(entry, {"data": b"changed " + data[8:]})
            store.remove("shard", key(f"{number}"))
        wanted = closure(store, find_roots(store, ["bench"]))
        options = CreateOptions(since=read_manifest(first))
        seconds = timed(lambda: create(store, wanted, out, options))
    return {
        "changed": changed, "objects": count, "seconds": seconds, "whole": first.stat().st_size,
        "bytes": out.stat().st_size,
    }  # fmt: skip
