"""lm-eval and evalscope, unmodified: how fast they start through Forebay, and what hubs are asked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.bench import REPOSITORY, Bench, Figures
from benchmarks.clients import LATENCY_SECONDS, OFFLINE, Place, hub_at, needed, told_seconds
from benchmarks.measure import Command, run
from forebay.testing.tinydata import CEVAL_SUBJECTS, MMLU_SUBJECTS

RESOLVE = """
import sys, time
from pathlib import Path
began = time.perf_counter()
from forebay import Store
from forebay.integrations import lm_eval
with Store.open() as store:
    closure = lm_eval.resolve(sys.argv[2].split(","), lm_eval.find(Path(sys.argv[1])), store)
print("seconds", time.perf_counter() - began)
print("loads", len(closure.loads))
"""
THEIR_RESOLVE = """
import sys, time
import lm_eval.tasks
began = time.perf_counter()
manager = lm_eval.tasks.TaskManager()
for name in sys.argv[1].split(","):
    assert name in manager.all_tasks, name
print("seconds", time.perf_counter() - began)
"""
EVALSCOPE_LOAD = """
import sys, time
from evalscope.api.registry import get_benchmark
from evalscope.config import TaskConfig
import evalscope.benchmarks
def load():
    config = TaskConfig(model="mock", eval_type="mock_llm", datasets=["ceval"], limit=1, work_dir=sys.argv[1])
    began = time.perf_counter()
    subsets = get_benchmark("ceval", config).load_dataset()
    assert len(subsets) == int(sys.argv[2]), len(subsets)
    return time.perf_counter() - began
print("seconds", load())
print("again", load())
"""
OWN_LOAD = """
import time
import datasets
import forebay
def load():
    began = time.perf_counter()
    for name in {subjects!r}:
        for split in ("val", "dev"):
            forebay.load("ms://datasets/evalscope/ceval#" + name, split=split, as_hf=True, offline={offline})
    return time.perf_counter() - began
print("seconds", load())
print("again", load())
"""


def lm_eval(bench: Bench) -> Figures:
    """From the command to its end with a model that does nothing: Forebay beside the harness's own offline mode.

    That mode twice: over the harness's own caches, and over a view of Forebay's store, without a mirror.
    """
    client = needed("lmeval")
    tasks = ["hellaswag", "arc_easy", "gsm8k", *_mmlu(1 if bench.options.quick else 57)]
    figures: Figures = {
        "version": peers.versions(client / "bin" / "python", ["lm_eval"])["lm_eval"], "tasks": len(tasks), "runs": {},
        "requests": {}, "resolve": {},
    }  # fmt: skip
    argv = [client / "bin" / "lm_eval", "run", "--model", "dummy", "--limit", "1", "--tasks", ",".join(tasks)]
    repositories = [["hellaswag"], ["arc"], ["gsm8k"], ["mmlu"]]
    with hub_at(bench.scratch("lm_eval"), repositories) as (upstream, place):
        bench.say("lm_eval: filling both caches")
        ours = Place(place.folder, place.hubs, caches="ours")
        run(place.command(argv))  # fills the harness's own caches
        run(ours.forebay("fetch", "--lm-eval", ",".join(tasks), "--python", client))
        run(ours.exec(argv))
        view, laid = Place(place.folder, place.hubs, caches="view"), place.folder / "laid"
        run(view.forebay("view", "datasets", laid))
        upstream.slow(LATENCY_SECONDS)
        ways = {
            "offline mode": place.command(argv, OFFLINE), "forebay": ours.exec(argv, "--offline"),
            "forebay view": view.command(argv, {**OFFLINE, "HF_DATASETS_CACHE": str(laid)}),
        }  # fmt: skip
        for turn in range(bench.options.pairs):
            bench.say(f"lm_eval: start, round {turn + 1} of {bench.options.pairs}")
            _alternate(figures, ways, upstream, turn)
        bench.say("lm_eval: resolving tasks")
        _resolve(bench, figures, ours, client, ",".join(tasks))
    return figures


def _mmlu(count: int) -> list[str]:
    return [f"mmlu_{name}" for name in MMLU_SUBJECTS[:count]]


def _alternate(figures: Figures, ways: Mapping[str, Command], upstream: Any, turn: int) -> None:
    """One sample of each; who is first changes from round to round."""
    for name, command in list(ways.items())[:: 1 if turn % 2 == 0 else -1]:
        upstream.forget()
        figures["runs"].setdefault(name, []).append(run(command).to_json())
        figures["requests"].setdefault(name, []).append(upstream.count()["all"])


def _resolve(bench: Bench, figures: Figures, place: Place, client: Path, tasks: str) -> None:
    """Which data sets do these tasks load? Seconds inside of a fresh process, imports of ours included."""
    found = {"PYTHONPATH": str(REPOSITORY / "src")}
    ours = place.command([sys.executable, "-c", RESOLVE, client, tasks], found)
    theirs = place.command([client / "bin" / "python", "-c", THEIR_RESOLVE, tasks], OFFLINE)
    for _ in range(bench.options.repeats):
        for name, command in (("forebay", ours), ("lm_eval", theirs)):
            figures["resolve"].setdefault(name, []).append(told_seconds(place, command)[0])


def evalscope(bench: Bench) -> Figures:
    """ceval: what ModelScope is asked, cold and warm, and how long loading it takes from each tier."""
    client = needed("evalscope")
    subjects = CEVAL_SUBJECTS  # all: the benchmark asks for each
    figures: Figures = {
        "version": peers.versions(client / "bin" / "python", ["evalscope"])["evalscope"], "subsets": len(subjects),
        "latency_seconds": LATENCY_SECONDS, "requests": {}, "runs": {}, "load": {},
    }  # fmt: skip
    with hub_at(bench.scratch("evalscope"), [["ceval"]]) as (upstream, place):
        figures["files"] = upstream.files["evalscope/ceval"]
        upstream.slow(0 if bench.options.quick else LATENCY_SECONDS)
        samples = bench.options.repeats
        for turn in range(samples):
            bench.say(f"evalscope: counting requests, round {turn + 1} of {samples}")
            _whole(bench, figures, upstream, place, client, turn)
        for turn in range(samples):
            bench.say(f"evalscope: loading, round {turn + 1} of {samples}")
            _load(bench, figures, place, client, turn)
    return figures


def _whole(bench: Bench, figures: Figures, upstream: Any, place: Place, client: Path, turn: int) -> None:
    """Whole commands: cold and warm, directly and through Forebay."""
    argv = [
        client / "bin" / "evalscope", "eval", "--model", "mock", "--eval-type", "mock_llm", "--datasets", "ceval",
        "--limit", "1", "--work-dir", place.folder / f"out-{turn}",
    ]  # fmt: skip
    direct = Place(place.folder, place.hubs, caches=f"direct-{turn}")
    ours = Place(place.folder, place.hubs, store=f"store-{turn}", caches=f"ours-{turn}")
    other = Place(place.folder, place.hubs, store=f"store-{turn}", caches=f"other-{turn}")
    for name, command in (
        ("direct, cold", direct.command(argv)), ("direct, warm", direct.command(argv)),
        ("forebay, cold", ours.exec(argv)), ("forebay, warm", ours.exec(argv)),
        ("forebay, another machine", other.exec(argv)), ("forebay, offline", ours.exec(argv, "--offline")),
    ):  # fmt: skip
        upstream.forget()
        figures["runs"].setdefault(name, []).append(run(command).to_json())
        figures["requests"].setdefault(name, []).append(upstream.count())


def _load(bench: Bench, figures: Figures, place: Place, client: Path, turn: int) -> None:
    """As the guide has it: the first load, then the same from disk in a new process, and from memory in the same."""
    direct = Place(place.folder, place.hubs, caches=f"load-{turn}")
    theirs = [client / "bin" / "python", "-c", EVALSCOPE_LOAD, place.folder / f"load-out-{turn}", len(CEVAL_SUBJECTS)]
    for tier in ("cold", "disk"):
        seconds, _ = told_seconds(direct, direct.command(theirs))
        figures["load"].setdefault(f"evalscope, {tier}", []).append(seconds)
    figures["load"].setdefault("evalscope, memory", []).append(_again(direct))
    through = Place(place.folder, place.hubs, store=f"store-{turn}", caches=f"through-{turn}")
    for tier, options in (("empty caches", ["--offline"]), ("disk", ["--offline"])):
        seconds, _ = told_seconds(through, through.exec(theirs, *options))
        figures["load"].setdefault(f"evalscope through Forebay, {tier}", []).append(seconds)
    own = Place(place.folder, place.hubs, store=f"own-{turn}", caches="own")
    for tier, offline in (("cold", False), ("disk", True)):
        subjects = CEVAL_SUBJECTS[:2] if bench.options.quick else CEVAL_SUBJECTS
        code = OWN_LOAD.format(subjects=list(subjects), offline=offline)
        command = own.command([sys.executable, "-c", code], {"PYTHONPATH": str(REPOSITORY / "src")})
        seconds, _ = told_seconds(own, command)
        figures["load"].setdefault(f"forebay.load, {tier}", []).append(seconds)
    figures["load"].setdefault("forebay.load, memory", []).append(_again(own))


def _again(place: Place) -> float:
    return next(float(line.split()[1]) for line in place.printed().splitlines() if line.startswith("again "))
