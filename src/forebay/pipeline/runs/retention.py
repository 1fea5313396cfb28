"""Which intermediate results stay after a successful run.

``all`` keeps everything, for iterating freely. ``last:K`` keeps the results of the run's last K operators, ``final``
none; both also drop what earlier runs of the same project left (other parameters, other versions of the source), so
that a project takes the same space however often it is run. The final table, the record of the run and the source's
shards stay.

Only entries labelled with the run's own project go: what another project made, and this run merely reused, is left to
it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from forebay.errors import StoreError
from forebay.pipeline.recipes.options import retained_operators
from forebay.pipeline.recipes.recipe import Recipe
from forebay.pipeline.runs.record import Detail, detail_of
from forebay.types import Entry, Key

if TYPE_CHECKING:
    from forebay.store import Store

_OURS = frozenset({"delta", "summary", "global", "table", "run", "shard", "source"})


def apply(store: Store, recipe: Recipe, run: Entry, detail: Detail) -> int:
    """Remove what `recipe.retain` does not keep; return how many entries went.

    Args:
        store: where.
        recipe: its retention and project.
        run: the record of the run that has just ended well.
        detail: what it was made of.
    """
    if recipe.retain == "all" or not store.writable:
        return 0
    kept = {("run", run.key), ("table", Key(str(run.meta["table"]))), *_kept(recipe, detail)}
    try:
        ours = [(info.kind, info.key) for info in store.entries(dataset=recipe.project) if info.kind in _OURS]
        return len(store.remove_all((place for place in ours if place not in kept), spare_pinned=True))
    except StoreError:
        return 0  # room is not worth an error


def apply_to_known(store: Store, run: Entry, recipe: Recipe) -> None:
    """The same after a rerun that found everything: an earlier run may have kept more."""
    if recipe.retain == "all":
        return
    detail = detail_of(store, run)
    if detail is not None:
        apply(store, recipe, run, detail)


def _kept(recipe: Recipe, detail: Detail) -> Iterator[tuple[str, Key]]:
    """Results of the last operators, and of reading."""
    yield from detail.sources
    operators = len(detail.operators)
    first = operators - retained_operators(recipe.retain, operators)
    for index, record in list(enumerate(detail.operators))[first:]:
        kind = "summary" if record.kind in ("deduplicator", "selector") else "delta"
        for shard in detail.shards:
            if shard.keys[index]:
                yield kind, Key(shard.keys[index])
    for index, key in detail.globals:
        if index >= first:
            yield "global", Key(key)
