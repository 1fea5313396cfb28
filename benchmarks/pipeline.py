"""The figures of whole pipeline runs, each section a function from `Bench` to figures."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import statistics
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench import FUNCTIONS, RECIPE, Bench, Figures, Forebay, Runs, computed, repeat
from benchmarks.folders import put_aside
from benchmarks.measure import Cost, run, run_and_kill, size_of

CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "last": ("document_deduplicator", {"lowercase": True}),
    "filter": ("character_repetition_filter", {"max_ratio": 0.07}),
}


def cold(bench: Bench) -> Figures:
    """Nothing in the store; beside it the same work without a store, and the peers. Turn and turn about."""
    ours, bare, theirs = Runs(), Runs(), Runs()
    store, without = bench.forebay("main"), bench.forebay("no-cache")
    peer = bench.data_juicer("main")
    ways = [(ours, store, ()), (bare, without, ("--no-cache",))]
    rounds = 2 * bench.options.pairs  # what caching costs is less than one run differs from the next
    for turn in range(rounds):
        bench.say(f"cold run {turn + 1} of {rounds}")
        for runs, each, options in ways[:: 1 if turn % 2 == 0 else -1]:  # who is first changes from round to round
            runs.add(run(each.fresh().run(RECIPE, *options)))
        if peer and turn < bench.options.peer_repeats:
            bench.say("cold run of Data-Juicer")
            peer.fresh()
            theirs.add(run(peer.run(RECIPE)))
    figures: Figures = {
        "forebay": ours.to_json(), "no_cache": bare.to_json(), "data_juicer": theirs.to_json(),
        "corpus_bytes": store.source.stat().st_size,
        "same_output_without_cache": store.output() == without.output(), "operators": operator_rows(store),
    }  # fmt: skip
    if peer:
        figures["data_juicer_bytes"] = size_of(peer.cache)
    return figures


def operator_rows(store: Forebay) -> list[dict[str, Any]]:
    """Return rows in and out of each operator, from a rerun."""
    run(store.run())
    operators = store.report()["operators"]
    return [{"name": each["name"], "in": each["rows_in"], "out": each["rows_out"]} for each in operators]


def warm(bench: Bench) -> Figures:
    """The same command again; needs what `cold` left."""
    store, peer = bench.forebay("main"), bench.data_juicer("main")
    ours = repeat(bench.options.repeats * 3, lambda _: run(store.run()))
    report = store.report()
    figures: Figures = {"forebay": ours.to_json(), "computed": sum(computed(report).values())}
    store.export.unlink()
    figures["export_missing"] = [run(store.run()).to_json()]
    if peer:
        bench.say("warm runs of Data-Juicer")
        figures["data_juicer"] = repeat(bench.options.repeats, lambda _: run(peer.run(RECIPE))).to_json()
    return figures


def functions(bench: Bench) -> Figures:
    """The same work as Python functions: run by `datasets` and by Forebay, cold and warm."""
    store, datasets = bench.forebay("functions"), bench.datasets("functions")
    cold_ours, cold_theirs = Runs(), Runs()
    processes = 1 if bench.options.quick else 2
    for _ in range(bench.options.peer_repeats):
        cold_ours.add(run(store.fresh().run(FUNCTIONS)))
        datasets.fresh()
        cold_theirs.add(run(datasets.run(processes=processes)))
    repeats = bench.options.repeats
    return {
        "cold": {"forebay": cold_ours.to_json(), "datasets": cold_theirs.to_json()},
        "warm": {
            "forebay": repeat(repeats, lambda _: run(store.run(FUNCTIONS))).to_json(),
            "datasets": repeat(repeats, lambda _: run(datasets.run(processes=processes))).to_json(),
        },
        "bytes": {"forebay": size_of(store.home / "objects-v1"), "datasets": size_of(datasets.cache)},
        "rows": compare(store.export, datasets.export),
    }


def large(bench: Bench) -> Figures:
    """A corpus several times as large: does a run without work grow, does memory?"""
    times = bench.options.large
    small, big = bench.forebay("small"), bench.forebay("large", bench.corpus(times))
    figures: Figures = {"times": times}
    for name, store in (("small", small), ("large", big)):
        bench.say(f"memory of a cold run, {name} corpus")
        cost = run(store.fresh().run(), sample_memory=True)
        figures[f"{name}_cold"] = [cost.to_json()]
        figures[f"{name}_bytes"] = store.source.stat().st_size
    pairs = [(run(small.run()), run(big.run())) for _ in range(bench.options.repeats * 3)]
    figures["small_warm"] = [cost.to_json() for cost, _ in pairs]
    figures["large_warm"] = [cost.to_json() for _, cost in pairs]
    put_aside(big.folder)
    return figures


def changed(bench: Bench) -> Figures:
    """The last operator, or the last filter, gets other parameters; each time over what a cold run left."""
    before, store, peer = bench.forebay("main"), bench.forebay("changed"), bench.data_juicer("main")
    figures: Figures = {}
    for name, (operator, params) in CHANGES.items():
        recipe = bench.recipe(operator, **params)
        ours, counts = Runs(), []
        for _ in range(bench.options.repeats):
            store.fresh()
            shutil.copytree(before.home, store.home)
            os.sync()  # what copying left to write is no part of the run
            ours.add(run(store.run(recipe)))
            counts.append(computed(store.report()))
        figures[name] = {"forebay": ours.to_json(), "computed": counts}
        if peer:
            bench.say(f"Data-Juicer, {name} operator changed")
            figures[name]["data_juicer"] = [run(peer.run(recipe)).to_json()]
    put_aside(store.folder)
    return figures


def edited(bench: Bench) -> Figures:
    """One document changed, inserted, removed: how many shards does each operator compute?"""
    store = bench.forebay("main")
    source = bench.work / "edited.jsonl"
    lines = store.source.read_bytes().splitlines(keepends=True)
    figures: Figures = {"changes": []}
    for place, kind in zip((0.5, 0.25, 0.9), ("changed", "inserted", "removed"), strict=True):
        at = int(len(lines) * place)
        row = json.loads(lines[at])
        row["text"] += " One more sentence."
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        new = {"changed": [line], "inserted": [line, lines[at]], "removed": []}[kind]
        source.write_bytes(b"".join([*lines[:at], *new, *lines[at + 1 :]]))
        cost = run(store.over(source).run())
        report = store.report()
        figures["changes"].append(
            {"kind": kind, "cost": cost.to_json(), "computed": computed(report), "shards": report["shards"]}
        )
    run(store.run())
    return figures


def killed(bench: Bench) -> Figures:
    """kill -9 where cold runs are after nine tenths of their time, or of their results; then the same again."""
    small, big = bench.forebay("killed"), bench.forebay("killed-large", bench.corpus(bench.options.large))
    samples = {"time": _kills(bench, small, bench.options.pairs, "time")}
    samples["results"] = _kills(bench, small, bench.options.repeats, "results")
    samples["large"] = _kills(bench, big, bench.options.peer_repeats, "time")
    put_aside(big.folder)
    return {"samples": samples, "times": bench.options.large}


def _kills(bench: Bench, store: Forebay, rounds: int, of: str) -> list[dict[str, Any]]:
    """Each round: a run to its end, watched; one that is killed where those watched so far were, by the median; again.

    By a single one's marks the kill would come too early or too late by as much as cold runs differ.
    """
    marks: list[Progress] = []
    samples: list[dict[str, Any]] = []
    for turn in range(rounds):
        bench.say(f"kill -9 by {of} of {store.source.name}, {turn + 1} of {rounds}")
        whole, mark = _watched(store, of)
        marks.append(mark)
        expected, objects = store.output(), store.object_count()
        there = statistics.median_low(marks)
        dead, hit = run_and_kill(store.fresh().run(), lambda _, to=there: Progress.of(store).has_come_to(to))
        kept = Progress.of(store)
        again = run(store.run())
        samples.append({
            "cold": whole.wall, "cold_cpu": whole.cpu, "killed_after": dead.wall, "was_killed": hit,
            "objects": objects, "objects_kept": kept.objects, "exported": kept.exported, "again": again.wall,
            "again_cpu": again.cpu, "same_output": store.output() == expected,
        })  # fmt: skip
    return samples


def _watched(store: Forebay, of: str) -> tuple[Cost, Progress]:
    """Run from nothing to the end; return what it cost and how far it was at nine tenths."""
    seen: list[tuple[float, Progress]] = []

    def watch(seconds: float) -> bool:
        seen.append((seconds, Progress.of(store)))
        return False

    whole, _ = run_and_kill(store.fresh().run(), watch)
    end = Progress.of(store)
    if of == "results":
        return whole, Progress(math.ceil(0.9 * end.objects), 0)
    return whole, next((progress for seconds, progress in seen if seconds >= 0.9 * whole.wall), end)


@dataclass(frozen=True, slots=True, order=True)
class Progress:
    """How far a run has come, as one sees it from outside.

    Attributes:
        objects: in the store.
        exported: bytes of the export's temporary.
    """

    objects: int
    exported: int

    @classmethod
    def of(cls, store: Forebay) -> Progress:
        """Look."""
        exported = 0
        for path in store.export.parent.glob(f".{store.export.name}.*.tmp"):
            with suppress(FileNotFoundError):
                exported += path.stat().st_size
        return cls(store.object_count(), exported)

    def has_come_to(self, there: Progress) -> bool:
        """Tell whether another run was no further."""
        return self.objects >= there.objects and self.exported >= there.exported


def space(bench: Bench) -> Figures:
    """All intermediates at rest, per codec; the outputs over codecs and process counts must be the same bytes."""
    figures: Figures = {"source": bench.corpus().stat().st_size, "runs": [], "peer": {}}
    outputs: Counter[str] = Counter()
    objects: set[tuple[str, ...]] = set()
    processes_tried = (2,) if bench.options.quick else (2, 1, 3)
    kinds = [*(("none", processes) for processes in processes_tried), *((codec, 2) for codec in bench.options.codecs)]
    for codec, processes in kinds:
        bench.say(f"space: codec {codec}, {processes} processes")
        store = bench.forebay(f"space-{codec}-{processes}", codec=codec).fresh()
        cost = run(store.run(processes=processes))
        outputs[store.output()] += 1
        objects.add(tuple(store.objects()))
        figures["runs"].append({
            "codec": codec, "processes": processes, "cost": cost.to_json(), "warm": run(store.run()).to_json(),
            "objects": size_of(store.home / "objects-v1"), "home": size_of(store.home),
            "export": store.export.stat().st_size,
        })  # fmt: skip
        put_aside(store.folder)
    figures["different_outputs"] = len(outputs)
    figures["different_object_sets"] = len(objects)
    return figures


def peer_space(bench: Bench) -> Figures:
    """Data-Juicer with its cache compressed, cold and warm; and as it is shipped, without a fixed job id."""
    figures: Figures = {}
    for codec in ("zstd",):
        peer = bench.data_juicer(f"space-{codec}")
        if peer is None:
            return figures
        bench.say(f"Data-Juicer, cache compressed with {codec}")
        peer.fresh()
        first = run(peer.run(RECIPE, compress=codec))
        bytes_at_rest = size_of(peer.cache)
        again = run(peer.run(RECIPE, compress=codec))
        figures[codec] = {"cold": first.to_json(), "bytes": bytes_at_rest, "warm": again.to_json()}
        put_aside(peer.work)
    peer = bench.data_juicer("main")
    assert peer is not None
    bench.say("Data-Juicer as shipped, second run")
    figures["as_shipped_again"] = run(peer.run(RECIPE, job="")).to_json()
    return figures


def rows(bench: Bench) -> Figures:
    """The rows both tools exported: the same?"""
    peer = bench.data_juicer("main")
    if peer is None or not peer.export.exists():
        return {}
    run(peer.run(RECIPE))
    store = bench.forebay("main")
    run(store.run())
    return compare(store.export, peer.export)


def compare(ours: Path, theirs: Path, examples: int = 5) -> Figures:
    """Compare two exports as multisets of (id, text), and say whether the order and the other columns are the same too.

    Other columns are told apart from the texts, because a reader may change what no operator touched: Data-Juicer's
    rewrites strings that look like dates.
    """
    mine, other = _parsed(ours), _parsed(theirs)
    texts = [[(row["id"], row["text"]) for row in rows] for rows in (mine, other)]
    only_ours, only_theirs = Counter(texts[0]) - Counter(texts[1]), Counter(texts[1]) - Counter(texts[0])
    by_id = {row["id"]: row for row in other}
    return {
        "rows_ours": len(mine), "rows_theirs": len(other), "same_order": texts[0] == texts[1],
        "only_ours": only_ours.total(), "only_theirs": only_theirs.total(),
        "examples_ours": [f"{row[0]}: {row[1][:300]}" for row in itertools.islice(only_ours, examples)],
        "examples_theirs": [f"{row[0]}: {row[1][:300]}" for row in itertools.islice(only_theirs, examples)],
        "other_columns_differ": sum(row != by_id.get(row["id"], row) for row in mine) - only_ours.total(),
    }  # fmt: skip


def _parsed(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]
