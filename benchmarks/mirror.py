"""The mirror's bytes: warm and cold, one client and many, memory; beside bare sendfile, the hub itself, and olah."""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import folders, peers, servers
from benchmarks.bench import Bench, Figures
from benchmarks.hub_process import Hub, hub

FILE = "/datasets/bench/big/resolve/main/big.bin"
GIGABIT = 125e6
"""Bytes a second."""
Way = Callable[[], object]


def mirror(bench: Bench) -> Figures:
    """Seconds for a file of so many bytes, each way in turn, round after round."""
    folder = bench.scratch("mirror")
    big = folder / "hub" / "big.bin"
    _write(big, bench.options.megabytes)
    figures: Figures = {
        "bytes": big.stat().st_size, "clients": bench.options.clients, "seconds": {}, "many": {}, "rss": {},
    }  # fmt: skip
    with hub([["folder", "bench/big", str(big.parent)]]) as upstream, servers.sendfile(big) as bare:
        _cold(bench, figures, folder, upstream, "cold", bench.options.pairs)
        _warm(bench, figures, folder, upstream, bare)
        figures["olah"] = _olah(bench, figures, folder, upstream)
        bench.say("mirror: cold over a gigabit a second")
        upstream.slow(bytes_per_second=GIGABIT)
        _cold(bench, figures, folder, upstream, "cold, 1 Gbit/s", min(3, bench.options.repeats))
    return figures


def _write(path: Path, megabytes: int) -> None:
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(10**6))
        os.fsync(file.fileno())


def timed(way: Way) -> float:
    """Return the seconds of one call."""
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


def _cold(bench: Bench, figures: Figures, folder: Path, upstream: Hub, name: str, rounds: int) -> None:
    """A mirror that has nothing of the file, and the hub itself; who is first changes from round to round."""
    for turn in range(rounds):
        bench.say(f"mirror: {name}, round {turn + 1} of {rounds}")
        home = folders.fresh(folder / "cold") / "store"
        with servers.mirror(home, "--upstream", upstream.hf_endpoint) as (endpoint, _):
            servers.read(f"{endpoint}/api/datasets/bench/big")  # what is there is known, the file is not
            ways: list[tuple[str, Way]] = [
                (f"direct, {name}", lambda: servers.read(upstream.hf_endpoint + FILE)),
                (f"mirror, {name}", lambda at=endpoint: servers.read(at + FILE)),
            ]
            for told, way in ways[:: 1 if turn % 2 else -1]:
                figures["seconds"].setdefault(told, []).append(timed(way))


def _warm(bench: Bench, figures: Figures, folder: Path, upstream: Hub, bare: str) -> None:
    many = bench.options.clients
    with servers.mirror(folder / "warm" / "store", "--upstream", upstream.hf_endpoint) as (endpoint, pid):
        url = endpoint + FILE
        servers.read(url)
        servers.read(bare)
        upstream.forget()
        before = servers.resident(pid)
        ways: dict[str, Way] = {
            "sendfile": lambda: servers.read(bare), "mirror, warm": lambda: servers.read(url),
            "mirror, warm, a range": lambda: servers.read(url, 1),
        }  # fmt: skip
        for _ in range(bench.options.pairs):
            for name, way in ways.items():
                figures["seconds"].setdefault(name, []).append(timed(way))
        for turn in range(bench.options.repeats):
            bench.say(f"mirror: {many} clients, round {turn + 1} of {bench.options.repeats}")
            for name, at in (("sendfile", bare), ("mirror", url)):
                figures["many"].setdefault(name, []).append(timed(lambda at=at: _many(at, many)))
        figures["rss"] = {"before": before, "after": servers.resident(pid)}
        figures["heads_a_second"] = _small(f"{endpoint}/api/datasets/bench/big", 100 if bench.options.quick else 1000)
        figures["warm_requests"] = upstream.count()["all"]


def _many(url: str, clients: int) -> None:
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda _: servers.read(url), range(clients)))


def _small(url: str, count: int) -> float:
    """HEAD requests a second over one connection."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)

    def ask() -> None:
        for _ in range(count):
            connection.request("HEAD", parts.path)
            connection.getresponse().read()

    seconds = timed(ask)
    connection.close()
    return count / seconds


def _olah(bench: Bench, figures: Figures, folder: Path, upstream: Hub) -> Figures:
    """The same file from olah, in turn with a warm mirror; why not, where it cannot be measured."""
    python = peers.olah()
    if python is None:
        if bench.options.quick or os.environ.get("FOREBAY_BENCH_PEER") == os.devnull:
            return {"why_not": "it is not installed (python -m benchmarks.peers olah)"}
        bench.say("mirror: installing olah")
        try:
            python = peers.build_olah()
        except RuntimeError as error:
            return {"why_not": str(error)}
    bench.say("mirror: olah")
    store = folder / "warm" / "store"
    try:
        with (
            servers.olah(python, folders.fresh(folder / "olah"), upstream.hf_endpoint) as (theirs, _),
            servers.mirror(store, "--upstream", upstream.hf_endpoint) as (ours, _),
        ):
            cold = timed(lambda: servers.read(theirs + FILE))
            samples: dict[str, list[float]] = {"olah": [], "mirror": []}
            servers.read(ours + FILE)
            for _ in range(bench.options.repeats):
                samples["mirror"].append(timed(lambda: servers.read(ours + FILE)))
                samples["olah"].append(timed(lambda: servers.read(theirs + FILE)))
    except (RuntimeError, OSError) as error:
        return {"why_not": f"it did not serve the file: {error}"}
    figures["seconds"]["olah, cold"] = [cold]
    figures["seconds"]["olah, warm"] = samples["olah"]
    return {"version": peers.versions(python, ["olah"])["olah"], "mirror_beside": samples["mirror"]}
