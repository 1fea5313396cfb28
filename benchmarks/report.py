"""RESULTS.md from the figures: each promise with what was measured, then the details and the method."""

from __future__ import annotations

import statistics

from benchmarks import report_serving
from benchmarks.bench import Figures
from benchmarks.kept import Kept
from benchmarks.telling import (
    Promises,
    column,
    median,
    megabytes,
    number,
    percent_more,
    quartiles,
    ratios,
    spread,
    table,
)  # fmt: skip

METHOD = """\
## Method

`make bench` writes this page. Whole commands are measured from outside: wall time around `fork` … `wait4`, CPU seconds
(user + system, children included) and the largest resident set from `wait4`'s rusage. A figure is the median of its
samples with the lowest and highest in brackets. What is compared was run turn and turn about in one session on one
machine. Cold means: an empty store and no export (the operating system's page cache is warm, for every tool alike).

- The corpus comes from `benchmarks/corpus.py`: synthetic documents with Zipf's word frequencies, duplicates, links,
  addresses, blobs, tables and repetition; the same bytes on every machine. S is its size on disk.
- The recipe is `benchmarks/recipe.yaml`, the same file for both tools, 2 processes.
- Data-Juicer runs in an environment of its own, offline, with a fixed job id (as shipped, its key holds a time-stamped
  folder and never hits) and an own cache folder. Its space is that whole folder; ours is all objects in the store.
- `datasets` and Forebay also run the mappers and filters as batched Python functions (`benchmarks/functions.py`, with a
  simpler pattern for links), 2 processes, without deduplication, which `datasets` does not have.
- The exports of both tools are compared by id and text. Other columns are not: Data-Juicer's reader rewrites strings
  that look like dates (`2026-10-27` becomes `2026-10-27T00:00:00`); Forebay leaves alone what no operator names.
- Each section is a command of its own and may be run again by itself; the floor is the latest one's, and the last table
  says when each was taken. The promise about memory says bounded: we take at most 1.5 times, for ten times the corpus,
  of private memory.
- With and without the store: one after the other, who is first changing from round to round; the ratio is that of each
  pair, told as the median with its quartiles. No sample deletes anything: some file systems make new files slowly for
  minutes after many were deleted, which the next sample would pay for. All of it is deleted in the end.
- Memory of a process tree is the sum of proportional set sizes, sampled ten times a second in a run of its own;
  "private" leaves out pages that belong to files, which the machine can drop.
- kill -9 hits the whole process group where cold runs were when nine tenths of their time had gone by: each round
  watches one (the objects in the store and the bytes of the export's temporary, ten times a second) and kills another
  at the median of those watched so far. Or it hits once nine tenths of the objects are in the store, when the export
  is still to be written. What the same command then takes is told as a share of the median cold run. By the clock, or
  by a single run's marks, the kill is much further, or much less far: cold runs differ by a fifth.
"""


def promises(figures: Figures) -> str:
    """Return the table of promises, for the sections that were measured."""
    found = Promises()
    for section, tell in _TELL.items():
        if section in figures:
            tell(found, figures)
    return table(["what", "measured", "promised", ""], found.lines)


def _warm(found: Promises, figures: Figures) -> None:
    runs = figures["warm"]
    ours = median(runs["forebay"])
    found.at_most("warm rerun, whole command", ours, 0.6, (spread(column(runs["forebay"])), "≤ 0.6 s"))
    if "data_juicer" in runs:
        theirs = median(runs["data_juicer"])
        told = f"1/{theirs / ours:.0f} of {spread(column(runs['data_juicer']))}"
        found.at_most("… against Data-Juicer", ours, theirs / 20, (told, "≤ 1/20"))


def _large(found: Promises, figures: Figures) -> None:
    runs = figures["large"]
    ratio = median(runs["large_warm"]) / median(runs["small_warm"])
    told = f"{ratio:.2f} × ({spread(column(runs['large_warm']))})"
    found.at_most(f"warm rerun over {runs['times']} times the corpus", ratio, 1.5, (told, "≤ 1.5 ×"))
    small, big = runs["small_cold"][0], runs["large_cold"][0]
    growth = big["private"] / small["private"]
    told = f"{megabytes(small['private'])} → {megabytes(big['private'])} private, " + (
        f"{megabytes(small['tree'])} → {megabytes(big['tree'])} with mapped files"
    )
    found.at_most(f"peak memory, cold, {runs['times']} times the corpus", growth, 1.5, (told, "bounded"))


def _cold(found: Promises, figures: Figures) -> None:
    runs = figures["cold"]
    ours = median(runs["forebay"])
    if runs["data_juicer"]:
        theirs = median(runs["data_juicer"])
        told = f"1/{theirs / ours:.1f}: {spread(column(runs['forebay']))} to {spread(column(runs['data_juicer']))}"
        found.at_most("cold run against Data-Juicer", ours, theirs / 4, (told, "≤ 1/4"))
    wall, cpu = (ratios(column(runs["forebay"], what), column(runs["no_cache"], what)) for what in ("wall", "cpu"))
    told = f"{percent_more(wall)} wall, {percent_more(cpu)} CPU; without: {spread(column(runs['no_cache']))}"
    found.at_most("what caching costs a cold run", quartiles(wall)[1], 1.10, (told, "≤ 10 %"))


def _changed(found: Promises, figures: Figures) -> None:
    for name, what in (("last", "last operator changed"), ("filter", "last filter changed (7 of 8)")):
        runs = figures["changed"][name]
        touched = sorted({place for counts in runs["computed"] for place, count in counts.items() if count})
        theirs = f"; Data-Juicer {spread(column(runs['data_juicer']))}" if "data_juicer" in runs else ""
        told = f"{spread(column(runs['forebay']))}{theirs}; computed: {', '.join(touched) or 'nothing'}"
        allowed = {"8 document_deduplicator"} | ({"7 character_repetition_filter"} if name == "filter" else set())
        promise = "that operator and the export" if name == "last" else "that operator, the one after it, the export"
        found.add(what, told, promise, set(touched) <= allowed)


def _edited(found: Promises, figures: Figures) -> None:
    for change in figures["edited"]["changes"]:
        most = max(change["computed"].values())
        told = f"at most {most} of {change['shards']} shards, {number(change['cost']['wall'])} s"
        found.at_most(f"one document {change['kind']}, per operator", most, 2, (told, "≤ 2 shards"))


def _killed(found: Promises, figures: Figures) -> None:
    told_as = {"large": f"time, {figures['killed'].get('times', 10)} times the corpus"}
    for of, all_samples in figures["killed"]["samples"].items():
        samples = [each for each in all_samples if each["was_killed"]]  # others were done before their time was up
        if not samples:
            found.add(
                f"kill -9 at 90 % of the {told_as.get(of, of)}, then again", "no run lived that long", "≤ 15 %", False
            )
            continue
        cold = median(all_samples, "cold")
        shares = [each["again"] / cold for each in samples]
        same = all(each["same_output"] for each in samples)
        cpu = median(samples, "again_cpu") / median(all_samples, "cold_cpu")
        told = f"{spread(shares, '%', 100)}, {cpu:.0%} of its CPU; output {'the same' if same else 'DIFFERENT'}"
        kept = statistics.median(shares) <= 0.15 and same
        found.add(
            f"kill -9 at 90 % of the {told_as.get(of, of)}, then again, share of a cold run", told, "≤ 15 %", kept
        )


def _space(found: Promises, figures: Figures) -> None:
    space = figures["space"]
    at_rest = {(each["codec"], each["processes"]): each["objects"] / space["source"] for each in space["runs"]}
    theirs = figures.get("cold", {}).get("data_juicer_bytes", 0) / space["source"]
    told = f"{at_rest['none', 2]:.2f} S" + (f"; Data-Juicer {theirs:.1f} S" if theirs else "")
    found.at_most("all intermediates, raw", at_rest["none", 2], 2, (told, "≤ 2 S"))
    theirs = figures.get("peer_space", {}).get("zstd", {}).get("bytes", 0) / space["source"]
    told = f"{at_rest['zstd', 2]:.2f} S" + (f"; Data-Juicer {theirs:.1f} S" if theirs else "")
    found.at_most("all intermediates, zstd", at_rest["zstd", 2], 1, (told, "≤ 1 S"))
    runs = len(space["runs"])
    told = f"{space['different_outputs']} output, {space['different_object_sets']} set of objects over {runs} runs"
    same = space["different_outputs"] == space["different_object_sets"] == 1
    found.add("same bytes over codec and process count", told, "1 and 1", same)


def _rows(found: Promises, figures: Figures) -> None:
    rows = figures["rows"]
    if rows:
        told = (
            f"{rows['rows_ours']:,} rows, {'in the same order' if rows['same_order'] else 'in another order'}; "
            f"only ours {rows['only_ours']}, only Data-Juicer's {rows['only_theirs']}"
        )
        same = rows["only_ours"] == rows["only_theirs"] == 0
        found.add("ids and texts that Data-Juicer exports", told, "the same", same)


def _keys(found: Promises, figures: Figures) -> None:
    first, other, again = (figures["keys"][name]["median"] for name in ("first", "neighbour", "again"))
    told = f"{number(other * 1e3)} ms; one keyed before: {number(again * 1e3)} ms"
    found.at_most("key of a typical function, CPU", max(other, again), 0.5e-3, (told, "≤ 0.5 ms"))
    told = f"{number(first * 1e3)} ms"
    found.at_most("… the first of a file, which is read and parsed", first, 0.5e-3, (told, "≤ 0.5 ms"))


def _hits(found: Promises, figures: Figures) -> None:
    hit, again = figures["hits"]["4096"], figures["hits"]["4096 again"]
    told = f"{number(hit['median'] * 1e3)} ms, verified; {number(again['median'] * 1e3)} ms again"
    found.at_most("store hit, 4 KB", hit["median"], 0.2e-3, (told, "≤ 0.2 ms"))


def _many(found: Promises, figures: Figures) -> None:
    many = figures["many_entries"]
    found.at_most(f"`ls`, {many['entries']:,} entries", median(many["ls"]), 1.0, (spread(column(many["ls"])), "≤ 1 s"))
    opened = many["open"]["median"]
    found.at_most("… open", opened, 0.02, (f"{number(opened * 1e3)} ms", "≤ 20 ms"))


def _start(found: Promises, figures: Figures) -> None:
    start = figures["start_up"]
    extra = start["import"]["cpu"]["median"] - start["python"]["cpu"]["median"]
    told = f"{number(extra * 1e3)} ms over Python's {number(start['python']['cpu']['median'] * 1e3)}"
    found.at_most("`import forebay`, CPU", extra, 0.030, (told, "≤ 30 ms"))
    help_cpu = start["help"]["cpu"]["median"]
    found.at_most("`forebay --help`, CPU", help_cpu, 0.150, (f"{number(help_cpu * 1e3)} ms", "≤ 150 ms"))


_TELL = {
    "warm": _warm, "large": _large, "cold": _cold, "changed": _changed, "edited": _edited, "killed": _killed,
    "space": _space, "rows": _rows, "keys": _keys, "hits": _hits, "many_entries": _many, "start_up": _start,
    **report_serving.TELL,
}  # fmt: skip


def side_by_side(figures: Figures) -> str:
    """Return wall and CPU seconds of each tool, cold and warm."""
    functions = figures.get("functions", {})
    lines: list[list[str]] = []
    for name, runs in (
        ("recipe, cold", figures.get("cold", {})), ("recipe, warm", figures.get("warm", {})),
        ("functions, cold", functions.get("cold", {})), ("functions, warm", functions.get("warm", {})),
    ):  # fmt: skip
        for tool, told in _TOOLS.items():
            costs = runs.get(tool)
            if costs:
                largest = megabytes(max(column(costs, "largest")))
                lines.append(
                    [name, told, spread(column(costs)), spread(column(costs, "cpu")), largest, str(len(costs))]
                )
    header = ["run", "tool", "wall", "CPU", "largest process", "samples"]
    return f"## Side by side\n\n{table(header, lines)}" if lines else ""


_TOOLS = {
    "forebay": "Forebay", "no_cache": "Forebay --no-cache", "data_juicer": "Data-Juicer", "datasets": "datasets",
}  # fmt: skip


def operators(figures: Figures) -> str:
    """Return rows in and out of each operator."""
    found = figures.get("cold", {}).get("operators", [])
    if not found:
        return ""
    return table(
        ["operator", "rows in", "rows out"], [[each["name"], f"{each['in']:,}", f"{each['out']:,}"] for each in found]
    )


def codecs(figures: Figures) -> str:
    """Return bytes at rest and seconds per codec."""
    space = figures.get("space")
    if space is None:
        return ""
    lines = [
        [each["codec"], str(each["processes"]), f"{each['objects'] / space['source']:.2f} S", megabytes(each["home"]),
         number(each["cost"]["wall"]) + " s", number(each["warm"]["wall"]) + " s"]
        for each in space["runs"]
    ]  # fmt: skip
    for codec, each in figures.get("peer_space", {}).items():
        if codec != "as_shipped_again":
            lines.append([
                f"Data-Juicer, {codec}", "2", f"{each['bytes'] / space['source']:.2f} S", megabytes(each["bytes"]),
                number(each["cold"]["wall"]) + " s", number(each["warm"]["wall"]) + " s",
            ])  # fmt: skip
    return table(["codec", "processes", "objects", "whole folder", "cold", "warm"], lines)


def page(kept: Kept, machine: Figures) -> str:
    """Return the whole of RESULTS.md."""
    taken = kept.taken()
    figures = {name: each["figures"] for name, each in taken.items()}
    shipped = figures.get("peer_space", {}).get("as_shipped_again")
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    parts = [
        "# Results\n",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB, "
        f"{machine['file_system']}, Linux {machine['kernel']}, Python {machine['python']}; {versions}.\n",
        _corpus(taken), _floor(figures),
        "## Promises\n", promises(figures),
        side_by_side(figures),
        f"Data-Juicer as shipped (no fixed job id), second run: {number(shipped['wall'])} s.\n" if shipped else "",
        *report_serving.tables(figures),
        "## What the recipe does to the corpus\n" if "cold" in figures else "", operators(figures),
        "## Codecs\n" if "space" in figures else "", codecs(figures), METHOD, report_serving.METHOD, when(kept),
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _corpus(taken: dict[str, Figures]) -> str:
    if "cold" not in taken:
        return ""
    documents, size = taken["cold"]["options"]["documents"], taken["cold"]["figures"]["corpus_bytes"]
    return f"Corpus: {documents:,} documents, S = {megabytes(size)}.\n"


def _floor(figures: Figures) -> str:
    if "floor" not in figures:
        return ""
    floor = figures["floor"]
    return (
        f"The machine's floor in this session: copy {floor['copy'] / 1e9:.1f} GB/s, BLAKE3 "
        f"{floor['blake3'] / 1e9:.1f} GB/s, write + fsync {floor['write_fsync'] / 1e9:.2f} GB/s, "
        f"a small fsync {floor['small_fsync_seconds'] * 1e3:.1f} ms.\n"
    )


def when(kept: Kept) -> str:
    """Return when each section was taken and what went wrong since."""
    taken, troubles = kept.taken(), kept.troubles()
    lines: list[list[str]] = []
    for name in sorted(taken.keys() | troubles.keys()):
        there, trouble = taken.get(name), troubles.get(name)
        told = f"{trouble['what']} {trouble['taken']}: {trouble['why'].replace('|', '/')}" if trouble else ""
        lines.append([
            name, there["taken"] if there else "", f"{there['load']:.1f}" if there else "",
            "quick" if there and there["options"].get("quick") else "", told,
        ])  # fmt: skip
    note = "Load: the machine's load average as the section began, other work included.\n"
    return "\n".join(["## When\n", table(["section", "taken", "load", "", "not measured since"], lines), note])
