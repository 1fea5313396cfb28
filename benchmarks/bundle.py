"""Bundles alone: writing, installing, checking, and deltas, each beside what the machine can do.

Usage::

    python -m benchmarks.bundle [--megabytes 512] [--object-megabytes 4] [--work FOLDER]

Rates are decoded bytes per second, medians with their extremes over five rounds. The floor of writing is the slowest
of three in the same round: zstd alone (its own program, level 1, two threads, into nothing), BLAKE3 in one thread, and
the disk (the archive's bytes written and flushed). Files are in the page cache, as they are after a fetch.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

from benchmarks import corpus
from benchmarks.measure import Spread
from forebay.bundle import CreateOptions, InstallOptions, closure, create, find_roots, install, verify
from forebay.bundle.comparing import read_manifest
from forebay.config import Settings
from forebay.store import Store
from forebay.types import Entry, Key

ROUNDS = 5
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


def fill(home: Path, objects: Iterator[bytes]) -> int:
    total = 0
    with Store.open(Settings(home=home)) as store:
        for number, data in enumerate(objects):
            store.commit(Entry("shard", key(f"{number}"), dataset="bench"), {"data": data})
            total += len(data)
    return total


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def rate(size: int, seconds: list[float]) -> Spread:
    return Spread.of([size / each / 1e6 for each in seconds])


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


def show(name: str, found: Spread, more: str = "") -> None:
    print(f"   {name:40} {found.median:7.0f} MB/s  ({found.low:.0f}-{found.high:.0f})  {more}", flush=True)


def measure(name: str, work: Path, objects: Iterator[bytes]) -> None:
    print(name)
    home = work / name
    total = fill(home, objects)
    out = work / f"{name}.tar"
    with Store.open(Settings(home=home)) as store:
        wanted = closure(store, find_roots(store, ["bench"]))

    def write() -> None:
        out.unlink(missing_ok=True)
        with Store.open(Settings(home=home)) as fresh:  # whose objects are not known to be sound yet
            create(fresh, wanted, out)

    write()
    size = out.stat().st_size
    print(f"   {total / 1e6:.0f} MB in {len(wanted.objects)} objects -> {size / 1e6:.0f} MB")
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):  # in turn, so that whatever else the machine does meets all alike
        for each, call in {**floors(home, work, size, total), "create": write}.items():
            seconds.setdefault(each, []).append(timed(call))
    created = seconds.pop("create")
    slowest = [max(rounds) for rounds in zip(*seconds.values(), strict=True)]
    ratios = Spread.of([least / own for least, own in zip(slowest, created, strict=True)])
    for each, found in seconds.items():
        show(each, rate(total, found))
    show("create", rate(total, created), f"{ratios.median:.2f} of the floor ({ratios.low:.2f}-{ratios.high:.2f})")
    show("verify", rate(total, [timed(lambda: verify(out)) for _ in range(ROUNDS)]))
    unpacked = work / f"{name}-unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-xf", out, "-C", unpacked], check=True)
    os.sync()
    for label, path, options in (
        ("install, archive", out, InstallOptions()),
        ("install, unpacked, copied", unpacked, InstallOptions(link=False)),
        ("install, unpacked, by second names", unpacked, InstallOptions()),
    ):
        taken, cpu = [], []
        for _ in range(ROUNDS):
            with Store.open(Settings(home=work / "there")) as there:
                began = time.process_time()
                taken.append(timed(lambda there=there, path=path, options=options: install(there, path, options)))
                cpu.append(time.process_time() - began)
            shutil.rmtree(work / "there")
            os.sync()
        show(label, rate(total, taken), f"{total / 1e6 / min(cpu):.0f} MB per second of CPU")


def delta(work: Path, count: int, size: int) -> None:
    """One object in a hundred changes."""
    home = work / "text"
    first = work / "text.tar"
    changed = max(1, count // 100)
    with Store.open(Settings(home=home)) as store:
        for number, data in enumerate(text_objects(changed, size)):
            entry = Entry("shard", key(f"changed {number}"), dataset="bench")
            store.commit(entry, {"data": b"changed " + data[8:]})
            store.remove("shard", key(f"{number}"))
        wanted = closure(store, find_roots(store, ["bench"]))
        options = CreateOptions(since=read_manifest(first))
        seconds = timed(lambda: create(store, wanted, work / "delta.tar", options))
    whole, part = first.stat().st_size, (work / "delta.tar").stat().st_size
    share = changed / count
    print(f"delta: {changed} of {count} objects changed ({share:.2%} of the bytes)")
    print(f"   {part / 1e6:.2f} MB of {whole / 1e6:.0f} MB: {part / whole:.3%}, in {seconds:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--object-megabytes", type=float, default=4)
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    size = int(arguments.object_megabytes * MIB)
    count = max(1, arguments.megabytes * MIB // size)
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        work = Path(folder)
        measure("text", work, text_objects(count, size))
        delta(work, count, size)
        measure("media", work, media_objects(count, size))
    print(f"largest resident set: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
