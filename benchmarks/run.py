"""Every figure that Forebay promises, measured beside the tools it replaces. Behind `make bench`.

Usage::

    python -m benchmarks.run                          # everything, about half an hour with Data-Juicer
    python -m benchmarks.run --quick                  # a smoke test on 2,000 documents: a minute or two
    python -m benchmarks.run --only cold,warm         # some sections; the others keep their earlier figures
    python -m benchmarks.peers                        # install Data-Juicer first, to have it measured too

Writes ``benchmarks/RESULTS.md`` (not with --quick) and ``results.json`` in the work folder.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from benchmarks import micro, peers, pipeline, report
from benchmarks.bench import ROOT, Bench, Figures, Options

SECTIONS: dict[str, Callable[[Bench], Figures]] = {
    "floor": micro.floor,
    "start_up": micro.start_up,
    "keys": micro.keys,
    "hits": micro.hits,
    "many_entries": micro.many_entries,
    "cold": pipeline.cold,
    "warm": pipeline.warm,
    "rows": pipeline.rows,
    "changed": pipeline.changed,
    "edited": pipeline.edited,
    "killed": pipeline.killed,
    "space": pipeline.space,
    "peer_space": pipeline.peer_space,
    "functions": pipeline.functions,
    "large": pipeline.large,
}


def options(arguments: argparse.Namespace) -> Options:
    """Turn the command line into how much to measure."""
    if arguments.quick:
        return Options(documents=2000, large=3, repeats=1, peer_repeats=1, entries=2000)
    return Options(
        documents=arguments.documents, large=arguments.large, repeats=arguments.repeats,
        peer_repeats=arguments.peer_repeats, entries=arguments.entries,
    )  # fmt: skip


def parse() -> argparse.Namespace:
    """Read the command line."""
    usual = Options()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test: small corpus, one sample each")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--work", type=Path, default=ROOT / "work", help="folder for corpora, stores and figures")
    parser.add_argument("--no-peers", action="store_true", help="leave Data-Juicer out even where it is installed")
    parser.add_argument("--out", type=Path, default=None, help="where to write the page")
    for name in ("documents", "large", "repeats", "peer_repeats", "entries"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(usual, name))
    arguments = parser.parse_args()
    unknown = set(arguments.only.split(",")) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return arguments


def isolated(section: Callable[[Bench], Figures], bench: Bench) -> Figures:
    """Run a section in a process of its own, forked from this small one.

    What a process has held in memory counts, for the kernel, towards the largest resident set of what it starts.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(section, bench).result()


def main() -> None:
    """Measure, keep the figures, write the page."""
    arguments = parse()
    if arguments.no_peers:
        os.environ["FOREBAY_BENCH_PEER"] = os.devnull
    elif peers.data_juicer() is None:
        print("bench: Data-Juicer is not installed (python -m benchmarks.peers); measuring without", flush=True)
    work = arguments.work.resolve() / ("quick" if arguments.quick else "")
    bench = Bench(work, options(arguments))
    kept = work / "results.json"
    figures: Figures = json.loads(kept.read_text()) if kept.exists() else {}
    figures["options"] = asdict(bench.options)
    figures["machine"] = micro.machine()
    chosen = set(arguments.only.split(",")) | {"floor"}
    for name in (name for name in SECTIONS if name in chosen):
        bench.say(name)
        figures.setdefault("loads", {})[name] = os.getloadavg()[0]
        figures[name] = isolated(SECTIONS[name], bench)
        kept.write_text(json.dumps(figures, indent=1))
    page = report.page(figures)
    out = arguments.out or (work / "RESULTS.md" if arguments.quick else ROOT / "RESULTS.md")
    out.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
