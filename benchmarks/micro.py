"""The small figures: a key, a hit, a store of many entries, starting up; and the machine's floor."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.bench import REPOSITORY, Bench, Figures, repeat
from benchmarks.measure import Command, Spread, run

# What a user's mapper looks like: a helper, a compiled pattern, a table, a default, a closure.
TYPICAL = '''
import math
import re
import string

PATTERN_{n} = re.compile(r"\\s+{n}")
TABLE_{n} = {{"a": {n}, "b": [1, 2, 3], "c": ("x", None, 2.5)}}
LETTERS_{n} = set(string.ascii_letters)


def helper_{n}(text, limit={n}):
    """Shorten and squeeze."""
    squeezed = PATTERN_{n}.sub(" ", text)
    return squeezed[: limit + TABLE_{n}["a"]]


def score_{n}(text):
    # how much of it is letters
    letters = sum(character in LETTERS_{n} for character in text)
    return math.sqrt(letters / len(text)) if text else 0.0


def clean_{n}(row, *, keep=("text", "id")):
    """A typical row mapper."""
    text = helper_{n}(row["text"])
    row = {{name: row[name] for name in keep}}
    if score_{n}(text) < 0.5:
        text = text.lower()
    for before, after in (("a", "b"), ("c", "d")):
        text = text.replace(before, after)
    row["text"] = text.strip()
    return row


def trim_{n}(row):
    """Another one in the same file."""
    return {{**row, "text": helper_{n}(row["text"]).strip()}}
'''


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Return median, extremes, 99th percentile, all in seconds, and the count."""
    whole = Spread.of(seconds)
    ordered = sorted(seconds)
    return {
        "median": whole.median, "low": whole.low, "high": whole.high, "count": whole.count,
        "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
    }  # fmt: skip


def timed(calls: Sequence[Callable[[], object]], clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Time each call once; with `time.thread_time` in CPU seconds, which neighbours on the machine do not stretch."""
    seconds: list[float] = []
    for call in calls:
        began = clock()
        call()
        seconds.append(clock() - began)
    return seconds


def keys(bench: Bench) -> Figures:
    """The key of a function whose file was never looked at, of another one in that file, and once more; CPU seconds."""
    import forebay

    folder = bench.work / "keys"
    folder.mkdir(exist_ok=True)
    functions: list[Any] = []
    others: list[Any] = []
    for number in range(20 if bench.options.quick else 200):
        path = folder / f"typical_{number}.py"
        path.write_text(TYPICAL.format(n=number))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        functions.append(getattr(module, f"clean_{number}"))
        others.append(getattr(module, f"trim_{number}"))
    forebay.key(len)  # what is imported on first use is start-up, not a key
    calls = [lambda f=function: forebay.key(f) for function in functions]
    first, again = timed(calls, time.thread_time), timed(calls, time.thread_time)
    neighbours = [lambda f=function: forebay.key(f) for function in others]
    return {"first": spread(first), "neighbour": spread(timed(neighbours, time.thread_time)), "again": spread(again)}


def hits(bench: Bench) -> Figures:
    """A hit: from a key to verified bytes of 4 KB and 4 MB, in a process that has just opened the store."""
    from forebay import config
    from forebay.store import Store
    from forebay.types import Entry, Key

    home = bench.scratch("hits") / "home"
    settings = config.resolve({}, home=home)
    counts = ((4096, 100), (2**22, 2)) if bench.options.quick else ((4096, 1000), (2**22, 20))
    names = {size: [_key(f"{size}/{number}") for number in range(count)] for size, count in counts}
    with Store.open(settings) as store:
        for size, found in names.items():
            for number, key in enumerate(found):
                data = os.urandom(64) * (size // 64)
                store.commit(Entry("delta", Key(key), dataset=f"bench{number}"), {"data": data})
    figures: Figures = {}
    with Store.open(settings) as store:

        def hit(key: str) -> object:
            entry = store.get("delta", Key(key))
            assert entry is not None
            return store.read(entry.objects[0].digest)

        for size, found in names.items():
            figures[str(size)] = spread(timed([lambda k=key: hit(k) for key in found]))
        figures["4096 again"] = spread(timed([lambda k=key: hit(k) for key in names[4096]]))
        figures["miss"] = spread(timed([lambda n=n: store.get("delta", Key(_key(f"no {n}"))) for n in range(1000)]))
    return figures


def _key(text: str) -> str:
    from blake3 import blake3

    return blake3(text.encode()).hexdigest()


def many_entries(bench: Bench) -> Figures:
    """`ls`, and opening up to the first hit, with many entries in the store."""
    from forebay import config
    from forebay.store import Store
    from forebay.types import Entry, Key

    store = bench.forebay("many").fresh()
    settings = config.resolve({}, home=store.home)
    count = bench.options.entries
    bench.say(f"filling a store with {count} entries")
    began = time.perf_counter()
    with Store.open(settings) as filling:
        for start in range(0, count, 2000):
            with filling.batch() as batch:
                for number in range(start, min(start + 2000, count)):
                    # Every tenth entry has an object of its own: 100,000 small files more would only slow the filling.
                    ref = batch.put("data", f"{number // 10}".encode() * 64)
                    meta = {"rows_in": 1200, "rows_out": 1100}
                    batch.add(Entry("delta", Key(_key(str(number))), (ref,), meta, dataset=f"set{number % 7}"))
    filled = time.perf_counter() - began

    def opened() -> None:
        with Store.open(settings) as reopened:
            assert reopened.get("delta", Key(_key("3"))) is not None

    opening = timed([opened] * 20)
    return {
        "entries": count, "fill_seconds": filled, "open": spread(opening),
        "ls": repeat(bench.options.repeats, lambda _: run(store.command("ls"))).to_json(),
        "ls_json": repeat(bench.options.repeats, lambda _: run(store.command("ls", "--json"))).to_json(),
        "du": repeat(bench.options.repeats, lambda _: run(store.command("du"))).to_json(),
    }  # fmt: skip


def start_up(bench: Bench) -> Figures:
    """CPU seconds of bare Python, `import forebay`, `forebay --help`; turn and turn about."""
    env = peers.clean_environment({"PYTHONPATH": str(REPOSITORY / "src"), "FOREBAY_CONFIG": "/dev/null"})
    commands = {
        "python": ["-c", "pass"],
        "import": ["-c", "import forebay"],
        "import_store": ["-c", "import forebay.store"],
        "help": ["-m", "forebay.cli", "--help"],
        "run_help": ["-m", "forebay.cli", "run", "--help"],
    }
    samples: dict[str, list[float]] = {name: [] for name in commands}
    walls: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(5 * bench.options.repeats):
        for name, argv in commands.items():
            cost = run(Command([sys.executable, *argv], bench.work, env, bench.work / "start-up.txt"))
            samples[name].append(cost.cpu)
            walls[name].append(cost.wall)
    return {name: {"cpu": spread(samples[name]), "wall": spread(walls[name])} for name in commands}


def floor(bench: Bench) -> Figures:
    """What this machine can do right now, in bytes per second: the rest is to be read against it."""
    from blake3 import blake3

    block = bytearray(os.urandom(2**20) * 64)
    spare = bytearray(len(block))

    def copy() -> None:
        spare[:] = block

    def write(path: Path = bench.work / "floor.bin") -> None:
        with path.open("wb") as stream:
            stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())
        path.unlink()

    def flush(path: Path = bench.work / "floor.small") -> None:
        with path.open("wb") as stream:
            stream.write(b"x")
            stream.flush()
            os.fsync(stream.fileno())
        path.unlink()

    best = {name: min(timed([call] * 5)) for name, call in (("copy", copy), ("write_fsync", write))}
    best["blake3"] = min(timed([lambda: blake3(block).digest()] * 5))
    figures: Figures = {name: len(block) / seconds for name, seconds in best.items()}
    figures["small_fsync_seconds"] = spread(timed([flush] * 50))["median"]
    return figures


def machine() -> Figures:
    """What the figures were taken on and with."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    assert memory is not None
    peer = peers.data_juicer()
    ours = peers.versions(Path(sys.executable), ["pyarrow", "numpy", "datasets", "blake3", "zstandard"])
    return {
        "cpu": cpu[1] if cpu else "", "cores": os.cpu_count(), "memory_gib": int(memory[1]) / 2**20,
        "python": sys.version.split()[0], "kernel": os.uname().release.split("-")[0],
        "file_system": _file_system(Path.cwd()),
        "versions": {**ours, **(peers.versions(peer.parent / "python", ["py-data-juicer"]) if peer else {})},
    }  # fmt: skip


def _file_system(path: Path) -> str:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    inside = [mount for mount in mounts if path.is_relative_to(mount[1])]
    return max(inside, key=lambda mount: len(mount[1]))[2] if inside else ""
