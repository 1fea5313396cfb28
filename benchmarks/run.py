"""Every figure that Forebay promises, measured beside the tools it replaces. Behind `make bench`.

Usage::

    python -m benchmarks.run                          # everything, more than an hour with all peers and clients
    python -m benchmarks.run --quick                  # a smoke test with little of everything: its figures mean nothing
    python -m benchmarks.run --only cold,warm         # some sections; the others keep their earlier figures
    python -m benchmarks.peers                        # install Data-Juicer first, to have it measured too

Writes ``benchmarks/RESULTS.md`` (not with --quick) from ``sections/NAME.json`` in the work folder, which each section
writes as it ends. One that fails is told and costs no other its figures; the exit code is 1 then. Sections that need
programs of others (hub, lm_eval, evalscope) are skipped where `make test-clients` has not built them.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from benchmarks import micro, peers, report
from benchmarks.bench import ROOT, Bench, Figures, Options, Skipped
from benchmarks.kept import Kept

SECTIONS: dict[str, str | Callable[[Bench], Figures]] = {
    "floor": "micro:floor",
    "start_up": "micro:start_up",
    "keys": "micro:keys",
    "hits": "micro:hits",
    "many_entries": "micro:many_entries",
    "cold": "pipeline:cold",
    "warm": "pipeline:warm",
    "rows": "pipeline:rows",
    "changed": "pipeline:changed",
    "edited": "pipeline:edited",
    "killed": "pipeline:killed",
    "space": "pipeline:space",
    "peer_space": "pipeline:peer_space",
    "functions": "pipeline:functions",
    "large": "pipeline:large",
    "hub": "hub:hub",
    "lm_eval": "harnesses:lm_eval",
    "evalscope": "harnesses:evalscope",
    "mirror": "mirror:mirror",
    "bundle": "bundle:bundle",
    "store": "store:store",
}
AFTER = {"warm": "cold", "rows": "cold", "changed": "cold", "edited": "cold"}
"""Sections that go on with what another one left in the work folder."""
QUICK = Options(
    documents=500, large=3, repeats=1, pairs=1, peer_repeats=1, entries=500, megabytes=20, clients=8, subjects=2,
    codecs=("zstd",), quick=True,
)  # fmt: skip


def options(arguments: argparse.Namespace) -> Options:
    """Turn the command line into how much to measure."""
    if arguments.quick:
        return QUICK
    return Options(**{name: getattr(arguments, name) for name in _NUMBERS})


_NUMBERS = ("documents", "large", "repeats", "pairs", "peer_repeats", "entries", "megabytes", "clients", "subjects")


def parse() -> argparse.Namespace:
    """Read the command line."""
    usual = Options()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test: little of everything, one sample each")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--work", type=Path, default=ROOT / "work", help="folder for corpora, stores and figures")
    parser.add_argument("--no-peers", action="store_true", help="leave other tools out even where they are installed")
    parser.add_argument("--out", type=Path, default=None, help="where to write the page")
    parser.add_argument("--report", action="store_true", help="measure nothing; write the page from what is there")
    for name in _NUMBERS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(usual, name))
    arguments = parser.parse_args()
    unknown = set(arguments.only.split(",")) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return arguments


def isolated(section: str | Callable[[Bench], Figures], bench: Bench) -> Figures:
    """Run a section in a process of its own, forked from this small one, which imports none of them.

    What a process has held in memory counts, for the kernel, towards the largest resident set of what it starts.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(_run, section, bench).result()


def _run(section: str | Callable[[Bench], Figures], bench: Bench) -> Figures:
    if isinstance(section, str):
        module, _, name = section.partition(":")
        section = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    assert callable(section)
    return section(bench)


def measure(name: str, bench: Bench, kept: Kept) -> bool:
    """Run one section and keep what came of it; False: it failed."""
    bench.say(name)
    load = os.getloadavg()[0]
    try:
        needed = AFTER.get(name)
        if needed and needed not in kept.taken():
            raise Skipped(f"it goes on with what {needed} leaves")
        kept.add(name, isolated(SECTIONS[name], bench), asdict(bench.options), load)
    except Skipped as reason:
        bench.say(f"{name} is skipped: {reason}")
        kept.add_trouble(name, "skipped", str(reason))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other sections shall still be measured
        traceback.print_exception(error)
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        kept.add_trouble(name, "failed", f"{type(error).__name__}: {lines[-1] if lines else ''}"[:300])
        return False
    return True


def main() -> None:
    """Measure, keep the figures, write the page."""
    arguments = parse()
    if arguments.no_peers:
        os.environ["FOREBAY_BENCH_PEER"] = os.environ["FOREBAY_BENCH_PEERS"] = os.devnull
    elif peers.data_juicer() is None:
        print("bench: Data-Juicer is not installed (python -m benchmarks.peers); measuring without", flush=True)
    work = arguments.work.resolve() / ("quick" if arguments.quick else "")
    bench = Bench(work, options(arguments))
    kept = Kept(work / "sections")
    chosen = set() if arguments.report else set(arguments.only.split(",")) | {"floor"}
    try:
        failed = [name for name in SECTIONS if name in chosen and not measure(name, bench, kept)]
    finally:
        if chosen:
            bench.say("deleting what was put aside")
            bench.drop()
    page = report.page(kept, micro.machine())
    out = arguments.out or (work / "RESULTS.md" if arguments.quick else ROOT / "RESULTS.md")
    out.write_text(page)
    print(page)
    if failed:
        raise SystemExit(f"bench: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
