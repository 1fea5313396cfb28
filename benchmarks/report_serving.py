"""What RESULTS.md says of fetching, mirrors, harnesses, bundles and the store itself."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from benchmarks.bench import Figures
from benchmarks.telling import Promises, column, megabytes, number, quartiles, ratios, spread, table, times

METHOD = """\
- The hub of `hub`, `lm_eval`, `evalscope` and `mirror` is `forebay.testing.FakeHub` in a process of its own on the
  loopback interface, with the layouts of the originals and rows made up; 50 ms before each answer where it says so.
  Requests are counted there, its CDN's apart. Clients are unmodified, in environments of their own.
- `hub`: seconds are those of the loop over `load_dataset`, in a fresh process after its imports; the whole command,
  interpreter, imports and mirror included, stands beside. All ways gave the same number of rows.
- `lm_eval`: whole commands with `--model dummy --limit 1`, full caches for both, who is first changing from round to
  round; not slower means at most 5 % by the median of paired ratios. Resolving: from names to what they load, ours with
  imports and opening the store, theirs (`TaskManager()`) without its imports.
- `evalscope`: loading is the benchmark's own `load_dataset()` for all 52 subsets, as its guide measures: the first time
  with the hub to be asked, then from disk in a new process, then again in that process.
- `mirror`: one client (http.client), which throws the bytes away; bare sendfile (asyncio) is the same reader's
  floor. Cold: the mirror knows the repository and has nothing of the file; direct and cold in turn. Memory is the
  mirror's resident set without pages of files, before and after all that.
- `bundle`: the floor of each round is the slowest of BLAKE3 in one thread, `zstd -1 -T2`, and writing and flushing the
  archive's bytes, each alone. Rates are of content, not of packed bytes. Objects of up to 4 MiB.
"""


def _hub(found: Promises, figures: Figures) -> None:
    hub = figures["hub"]
    what = f"{hub['configurations']} configurations, {hub['latency_seconds'] * 1000:.0f} ms latency"
    for name in ("forebay exec", "forebay exec --prepared", "forebay exec --offline", *_WITHOUT_MIRROR):
        seconds = hub["seconds"].get(name)
        if seconds:
            told = f"{spread(seconds)}; direct {spread(hub['seconds']['direct, warm'])}, flagged offline " + (
                f"{spread(hub['seconds']['direct, flagged offline'])}"
            )
            found.at_most(f"{what}, warm, {name}", statistics.median(seconds), 2.0, (told, "≤ 2 s"))
    asked = {name: max(counts) for name, counts in hub["requests"].items() if name in _WARM}
    told = f"{max(asked.values(), default=0)}; direct {max(hub['requests']['direct, warm'])}"
    found.at_most("… requests upstream, warm", max(asked.values(), default=0), 0, (told, "0"))


_WITHOUT_MIRROR = ("forebay view datasets", "forebay.load")
_WARM = (
    "forebay exec", "forebay exec --prepared", "forebay exec --offline", "forebay exec --offline --no-prepared",
    *_WITHOUT_MIRROR,
)  # fmt: skip


def _lm_eval(found: Promises, figures: Figures) -> None:
    harness = figures["lm_eval"]
    theirs = column(harness["runs"]["offline mode"])
    for name, way in (("forebay", "forebay exec --offline"), ("forebay view", "forebay view, in that mode")):
        ours = column(harness["runs"].get(name, []))
        if ours:
            pairs = ratios(ours, theirs)
            told = f"{times(pairs)}: {spread(ours)} to {spread(theirs)}"
            what = f"lm_eval start, {harness['tasks']} tasks, against its offline mode, {way}"
            found.at_most(what, quartiles(pairs)[1], 1.05, (told, "not slower"))
    found.at_most("… requests upstream", max(harness["requests"]["forebay"]), 0, (_most(harness), "0"))
    resolve = harness["resolve"]
    told = f"{spread(resolve['forebay'])}; theirs {spread(resolve['lm_eval'])}"
    found.at_most("task resolution, warm", statistics.median(resolve["forebay"]), 0.3, (told, "≤ 0.3 s"))


def _most(harness: Figures) -> str:
    return f"{max(harness['requests']['forebay'])}"


def _evalscope(found: Promises, figures: Figures) -> None:
    scope = figures["evalscope"]
    asked = {name: [each["ms"] + each["hf"] for each in counts] for name, counts in scope["requests"].items()}
    told = f"{max(asked['forebay, cold'])} for {scope['files']} files; direct {max(asked['direct, cold'])}"
    found.at_most(
        "evalscope ceval, cold, requests upstream", max(asked["forebay, cold"]), scope["files"] + 3,
        (told, "≤ files + 3"),
    )  # fmt: skip
    warm = max(max(asked[name]) for name in ("forebay, warm", "forebay, offline"))
    found.at_most("… warm", warm, 0, (f"{warm}; direct {max(asked['direct, warm'])}", "0"))
    load = {name: statistics.median(seconds) for name, seconds in scope["load"].items()}
    cold = load["evalscope, cold"]
    told = ", ".join(f"{tier} {number(cold / load[f'evalscope, {tier}'])} ×" for tier in ("disk", "memory"))
    found.add("ceval loaded, evalscope's own caches against cold", told, "(the guide: 6–16 ×)", None)
    disk, memory = (cold / load[f"forebay.load, {tier}"] for tier in ("disk", "memory"))
    told = f"disk {number(disk)} ×, memory {number(memory)} × of {number(cold)} s"
    found.at_least("… `forebay.load` against cold", min(disk, memory), 16, (told, "> 16 ×"))
    through = cold / load["evalscope through Forebay, empty caches"]
    told = f"{number(through)} × with empty caches, offline"
    found.add("… evalscope through `forebay exec` against cold", told, "", None)


def _mirror(found: Promises, figures: Figures) -> None:
    mirror = figures["mirror"]
    seconds, size = mirror["seconds"], mirror["bytes"]
    warm = statistics.median(seconds["mirror, warm"])
    told = f"{_rate(size, seconds['mirror, warm'])}; bare sendfile {_rate(size, seconds['sendfile'])}"
    found.at_least(f"mirror, {megabytes(size)}, warm", size / warm / 1e9, 2.0, (told, "≥ 2 GB/s"))
    if "olah, warm" in seconds:
        pairs = ratios(seconds["olah, warm"], mirror["olah"]["mirror_beside"])
        told = f"{times(pairs)} of {_rate(size, seconds['olah, warm'])}"
        found.at_least("… against olah", quartiles(pairs)[1], 3.0, (told, "≥ 3 ×"))
    else:
        found.add("… against olah", f"not measured: {mirror['olah']['why_not']}", "≥ 3 ×", None)
    many = {name: [size * mirror["clients"] / each / 1e9 for each in taken] for name, taken in mirror["many"].items()}
    told = f"{spread(many['mirror'], 'GB/s')} in sum; bare sendfile {spread(many['sendfile'], 'GB/s')}"
    found.add(f"… {mirror['clients']} clients", told, "", None)
    for name in ("cold", "cold, 1 Gbit/s"):
        pairs = ratios(seconds[f"mirror, {name}"], seconds[f"direct, {name}"])
        told = f"{times(pairs)} of {spread(seconds[f'direct, {name}'])}"
        found.at_most(f"… {name}, against direct", quartiles(pairs)[1], 1.10, (told, "within 10 %"))
    before, after = mirror["rss"]["before"], mirror["rss"]["after"]
    told = f"{megabytes(before)} → {megabytes(after)}"
    found.at_most("… memory after all that", after - before, max(64e6, 0.1 * size), (told, "flat: + ≤ 64 MB"))


def _rate(size: float, seconds: Sequence[float]) -> str:
    return spread([size / each / 1e9 for each in seconds], "GB/s")


def _bundle(found: Promises, figures: Figures) -> None:
    bundle = figures["bundle"]
    for kind in ("text", "media"):
        each = bundle[kind]
        seconds, size = each["seconds"], each["bytes"]
        floors = [seconds[name] for name in _FLOORS if name in seconds]
        pairs = ratios([max(taken) for taken in zip(*floors, strict=True)], seconds["create"])
        first, middle, third = quartiles(pairs)
        told = f"{middle:.0%} ({first:.0%} … {third:.0%}), {_rate(size, seconds['create'])}"
        found.at_least(f"bundle create, {kind}, share of the floor", middle, 0.9, (told, "≥ 90 %"))
        linked = size / statistics.median(seconds["install, linked"]) / 1e9
        told = _rate(size, seconds["install, linked"])
        found.at_least(f"… install from an unpacked one, {kind}", linked, 1.0, (told, "≥ 1 GB/s"))
    delta = bundle["delta"]
    share, changed = delta["bytes"] / delta["whole"], delta["changed"] / delta["objects"]
    told = f"{share:.3%} of the bytes for {changed:.2%} of the objects"
    found.at_most("… delta", share / changed, 1.05, (told, "≤ 1.05 % for 1 %"))


_FLOORS = ("blake3", "zstd -1 -T2", "disk")

TELL: dict[str, Callable[[Promises, Figures], None]] = {
    "hub": _hub, "lm_eval": _lm_eval, "evalscope": _evalscope, "mirror": _mirror, "bundle": _bundle,
}  # fmt: skip


def tables(figures: Figures) -> list[str]:
    """Return the details of the sections that were measured, each with its title."""
    return [f"## {title}\n\n{make(figures[name])}" for name, (title, make) in _TABLES.items() if name in figures]


def _hub_table(hub: Figures) -> str:
    lines = [
        [name, spread(seconds), spread(column(hub["costs"][name])) if name in hub["costs"] else "",
         _counts(hub["requests"].get(name, [])), str(len(seconds))]
        for name, seconds in hub["seconds"].items()
    ]  # fmt: skip
    return f"{hub['client']}.\n\n" + table(["way", "loop", "whole command", "requests upstream", "samples"], lines)


def _counts(found: Sequence[int]) -> str:
    low, high = min(found, default=0), max(found, default=0)
    return "" if not found else f"{low}" if low == high else f"{low}–{high}"


def _lm_eval_table(harness: Figures) -> str:
    lines = [
        [name, spread(column(runs)), spread(column(runs, "cpu")), _counts(harness["requests"][name]), str(len(runs))]
        for name, runs in harness["runs"].items()
    ]
    return f"lm_eval {harness['version']}.\n\n" + table(["way", "wall", "CPU", "requests upstream", "samples"], lines)


def _evalscope_table(scope: Figures) -> str:
    lines = [
        [name, spread(column(runs)), _counts([each["ms"] + each["hf"] for each in scope["requests"][name]]),
         _counts([each["cdn"] for each in scope["requests"][name]])]
        for name, runs in scope["runs"].items()
    ]  # fmt: skip
    slowest = statistics.median(scope["load"]["evalscope, cold"])
    loads = [
        [name, spread(seconds), f"{number(slowest / statistics.median(seconds))} ×"]
        for name, seconds in scope["load"].items()
    ]
    whole = table(["whole command", "wall", "requests upstream", "of its CDN"], lines)
    return f"evalscope {scope['version']}.\n\n{whole}\n" + table(["loading ceval", "seconds", "against cold"], loads)


def _mirror_table(mirror: Figures) -> str:
    lines = [
        [name, spread(seconds), _rate(mirror["bytes"], seconds), str(len(seconds))]
        for name, seconds in mirror["seconds"].items()
    ]
    note = f"{mirror['heads_a_second']:,.0f} HEAD requests a second over one connection.\n"
    return table(["way", "seconds", "rate", "samples"], lines) + "\n" + note


def _bundle_table(bundle: Figures) -> str:
    lines: list[list[str]] = []
    for kind in ("text", "media"):
        each = bundle[kind]
        lines += [[kind, name, _rate(each["bytes"], taken), str(len(taken))] for name, taken in each["seconds"].items()]
    note = "" if bundle["zstd"] else "There is no `zstd` program here: its floor was left out.\n"
    return table(["content", "what", "rate", "samples"], lines) + (f"\n{note}" if note else "")


def _store_table(store: Figures) -> str:
    lines = [
        [name, f"{number(each['median'] * 1e3)} ms", f"{number(each['low'] * 1e3)}–{number(each['high'] * 1e3)} ms",
         str(each["count"])]
        for name, each in store["calls"].items()
    ]  # fmt: skip
    return table(["call", "median", "extremes", "samples"], lines)


_TABLES: dict[str, tuple[str, Callable[[Figures], str]]] = {
    "hub": ("MMLU over a slow hub", _hub_table),
    "lm_eval": ("lm_eval, from the command to its end", _lm_eval_table),
    "evalscope": ("evalscope", _evalscope_table),
    "mirror": ("The mirror's large file", _mirror_table),
    "bundle": ("Bundles", _bundle_table),
    "store": ("The store alone", _store_table),
}
