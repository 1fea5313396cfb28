"""How a run is to be done: nothing in here changes its result."""

from __future__ import annotations

import os
from dataclasses import dataclass

from forebay.errors import ConfigError


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of one run; None means: as the recipe says, or the default."""

    processes: int | None = None
    """Worker processes; 1 computes in this process. Default: the recipe's `np`, else one per usable core."""
    use_cache: bool | None = None
    """False: look nothing up and keep nothing."""
    refresh: bool = False
    """Compute everything again; what differs from the cache replaces it and is told. Contradicts `use_cache` False."""
    dry_run: bool = False
    """Only say what would be computed, and why."""
    retain: str | None = None
    """Which intermediate results stay after a successful run: ``all``, ``last:K`` (operators, from 1) or ``final``."""
    require_cache: bool = False
    """A miss is an error. Contradicts `refresh`, and `use_cache` False."""
    check: bool = True
    """Compute a sample of each user function's first shard twice, and do not cache what differs."""
    need_table: bool = False
    """The caller wants `RunReport.table`, not only the export."""


def processes(options: RunOptions, wanted: int | None) -> int:
    """Return the number of processes to use.

    Raises:
        ConfigError: not a number from 1.
    """
    count = options.processes if options.processes is not None else wanted
    if count is None:
        return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if not hasattr(count, "__index__") or count < 1:  # from Python it may be anything
        raise ConfigError(f"not a number of processes: {count!r}", subject=count, hint="1 computes in this process")
    return count


def caching(options: RunOptions, wanted: bool) -> bool:
    """Return whether to look anything up and keep anything; `wanted` is what the recipe says.

    Raises:
        ConfigError: nothing is to be kept, but computed again for it, or all to be found; or all to be both.
    """
    chosen = wanted if options.use_cache is None else options.use_cache
    off = "use_cache: false" if options.use_cache is None else "no cache"
    if options.refresh and not chosen:
        hint = "refresh replaces what the store holds; without a cache all is computed anyway"
        raise ConfigError(f"{off} and refresh contradict each other", subject="refresh", hint=hint)
    if options.require_cache and not chosen:
        hint = "require_cache takes everything from the store; without a cache nothing is found"
        raise ConfigError(f"{off} and require_cache contradict each other", subject="require_cache", hint=hint)
    if options.require_cache and options.refresh:
        hint = "refresh computes everything again, require_cache nothing; leave one out"
        raise ConfigError("refresh and require_cache contradict each other", subject="require_cache", hint=hint)
    return chosen


def retained_operators(spelling: str, operators: int) -> int:
    """Return how many of the last operators keep their results: all of them, K, or none.

    Raises:
        ConfigError: neither all, nor last:K with K from 1, nor final.
    """
    if spelling == "all":
        return operators
    if spelling == "final":
        return 0
    word, colon, count = spelling.partition(":")
    if word == "last" and colon and count.isdigit() and not int(count):
        raise ConfigError(f"{spelling} would keep no operator's results", subject=spelling, hint="that is: final")
    if word == "last" and colon and count.isdigit():
        return min(int(count), operators)
    raise ConfigError(f"not a retention: {spelling!r}", subject=spelling, hint="say all, last:K or final")
