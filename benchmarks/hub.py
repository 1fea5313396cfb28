"""57 configurations of MMLU over a hub with 50 ms latency: without Forebay, through it, and from prepared Arrow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks import peers
from benchmarks.bench import REPOSITORY, Bench, Figures
from benchmarks.clients import LATENCY_SECONDS, OFFLINE, Place, environment, hub_at, needed, told_seconds
from benchmarks.measure import CommandFailed, run
from forebay.testing.tinydata import MMLU_SUBJECTS

LOAD = """
import time
from datasets import load_dataset
began = time.perf_counter()
rows = sum(load_dataset("cais/mmlu", subject, split="test").num_rows for subject in {subjects!r})
print("seconds", time.perf_counter() - began)
print("rows", rows)
"""
OWN_LOAD = """
import time
import datasets
import forebay
def load():
    began = time.perf_counter()
    rows = sum(
        forebay.load("hf://datasets/cais/mmlu#" + name, split="test", as_hf=True, offline={offline}).num_rows
        for name in {subjects!r}
    )
    return time.perf_counter() - began, rows
first, rows = load()
print("seconds", first)
print("again", load()[0])
print("rows", rows)
"""
Way = Callable[[], tuple[float, Any]]
_ASKS_AGAIN = ("--fresh-seconds", "10")  # less than has passed by then: the direct way takes longer


def hub(bench: Bench) -> Figures:
    """Cold once; then every warm way in turn, round after round."""
    subjects = MMLU_SUBJECTS[: bench.options.subjects]
    python = (environment("lmeval") or needed("hf5")) / "bin" / "python"
    figures: Figures = {
        "configurations": len(subjects), "latency_seconds": LATENCY_SECONDS, "requests": {}, "seconds": {}, "costs": {},
        "client": f"datasets {peers.versions(python, ['datasets'])['datasets']}",
    }  # fmt: skip
    with hub_at(bench.scratch("hub"), [["mmlu", {"subjects": subjects}]]) as (upstream, place):
        upstream.slow(LATENCY_SECONDS)
        code = LOAD.format(subjects=list(subjects))
        measured = _Ways(upstream, place, figures)
        for name, way in _cold(place, [python, "-c", code], list(subjects)).items():
            bench.say(f"hub: {name}")
            measured.take(name, way)
        ways = _warm(place, [python, "-c", code], list(subjects))
        for turn in range(bench.options.repeats):
            bench.say(f"hub: warm, round {turn + 1} of {bench.options.repeats}")
            for name, way in ways.items():
                measured.take(name, way)
    return figures


class _Ways:
    """Takes samples and counts what the hub was asked."""

    def __init__(self, upstream: Any, place: Place, figures: Figures) -> None:
        self._upstream, self._place, self._figures = upstream, place, figures

    def take(self, name: str, way: Way) -> None:
        self._upstream.forget()
        seconds, cost = way()
        rows = next(int(line.split()[1]) for line in self._place.printed().splitlines() if line.startswith("rows "))
        if rows != self._figures.setdefault("rows", rows):
            raise CommandFailed(f"{name} gave {rows} rows, others {self._figures['rows']}")
        self._figures["seconds"].setdefault(name, []).append(seconds)
        self._figures["costs"].setdefault(name, []).append(cost.to_json())
        self._figures["requests"].setdefault(name, []).append(self._upstream.count()["all"])
        again = [float(line.split()[1]) for line in self._place.printed().splitlines() if line.startswith("again ")]
        if again:
            self._figures["seconds"].setdefault(f"{name}, again in the process", []).extend(again)


def _cold(place: Place, argv: list[Any], subjects: list[str]) -> dict[str, Way]:
    direct, through = _beside(place, "direct"), _beside(place, "mirror")
    own = Place(place.folder, place.hubs, store="own-store", caches="own")
    return {
        "direct, cold": lambda: told_seconds(direct, direct.command(argv)),
        "forebay exec, cold": lambda: told_seconds(through, through.exec(argv)),
        "forebay exec --prepared, first time": lambda: told_seconds(through, through.exec(argv, "--prepared")),
        "forebay.load, cold": lambda: told_seconds(own, _own_load(own, subjects, offline=False)),
    }


def _warm(place: Place, argv: list[Any], subjects: list[str]) -> dict[str, Way]:
    direct, through, view = (_beside(place, name) for name in ("direct", "mirror", "view"))
    wanted = [f"hf://datasets/cais/mmlu#{subject}" for subject in subjects]
    run(view.forebay("view", "datasets", view.folder / "laid", *wanted))
    laid = {"HF_DATASETS_CACHE": str(view.folder / "laid"), "HF_HUB_OFFLINE": "1"}
    ways: dict[str, Way] = {
        "direct, warm": lambda: told_seconds(direct, direct.command(argv)),
        "direct, flagged offline": lambda: told_seconds(direct, direct.command(argv, OFFLINE)),
        # The first asks what the branch means now; whoever comes within a minute of that need not. With a minute for
        # both, the first might come just before its end, and the second just after: then that would be who asks.
        "forebay exec, asked again": lambda: told_seconds(through, through.exec(argv, *_ASKS_AGAIN)),
        "forebay exec": lambda: told_seconds(through, through.exec(argv)),
        "forebay exec --prepared": lambda: told_seconds(through, through.exec(argv, "--prepared")),
        "forebay exec --offline": lambda: told_seconds(through, through.exec(argv, "--offline")),
        "forebay exec --offline --no-prepared": lambda: told_seconds(
            through, through.exec(argv, "--offline", "--no-prepared")
        ),
        "forebay view datasets": lambda: told_seconds(view, view.command(argv, laid)),
        "forebay.load": lambda: told_seconds(view, _own_load(view, subjects, offline=True)),
    }
    return ways


def _own_load(place: Place, subjects: list[str], *, offline: bool) -> Any:
    code = OWN_LOAD.format(subjects=subjects, offline=offline)
    return place.command([sys.executable, "-c", code], {"PYTHONPATH": str(REPOSITORY / "src")})


def _beside(place: Place, caches: str) -> Place:
    return Place(place.folder, place.hubs, caches=caches)
