"""Why was it computed? Each miss of a run against the nearest earlier run, in words.

::

    operator 2 clean: helper tidy() changed (ops.py:14)
    operator 3 text_length_filter: parameter min_len was 20, is 30
    operator 5 words_num_filter: 1 of 24 shards: the source changed (corpus.jsonl from line 1201)
    operator 6 document_deduplicator: 2 of 24 shards: their rows changed in operator 3 text_length_filter
    operator 7 clean_links_mapper: 24 of 24 shards: the result was not kept (retain: last:1)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from forebay.errors import NotFoundError
from forebay.pipeline.recipes.chain import Link
from forebay.pipeline.recipes.options import retained_operators
from forebay.pipeline.runs.flow import Moving
from forebay.pipeline.runs.record import Detail, OperatorRecord
from forebay.pipeline.runs.tallies import Tally
from forebay.types import Key, is_hex64

if TYPE_CHECKING:
    from forebay.fingerprint import KeyTree
    from forebay.store import Store


def differences(old: KeyTree, new: KeyTree) -> list[str]:
    """Return what differs between two keys, one sentence each, with file and line for code."""
    from forebay.fingerprint import differences as compare

    found: list[str] = []
    for one in compare(old, new):
        place = f" ({one.where})" if one.where and one.where not in one.sentence else ""
        found.append(f"{one.sentence}{place}")
    return list(dict.fromkeys(found))


class Explainer:
    """Compares a run with an earlier one, of which `before` tells; None: there was none."""

    def __init__(self, links: Sequence[Link], before: Detail | None, project: str) -> None:
        self._links = links
        self._before = before
        self._project = project
        self._dropped = _dropped(before) if before else frozenset[str]()
        self._lost: dict[int, Link] = {}
        """Of shards of which a known result is no longer there: the first operator of that."""
        self._known_keys = {key for shard in before.shards for key in shard.keys} if before else set[str]()
        self._bases = {shard.base for shard in before.shards} if before else set[str]()
        self._operators = {record.key for record in before.operators} if before else set[str]()

    def reasons(self, tallies: Sequence[Tally], shards: Sequence[Moving]) -> list[str]:
        """Return for each operator why its misses were misses; "" where it had none."""
        by_index = {moving.index: moving for moving in shards}
        changed_before: list[Link] = []
        reasons: list[str] = []
        for link, tally in zip(self._links, tallies, strict=True):
            reasons.append(self._reason(link, tally, by_index, changed_before) if tally.computed else "")
            if tally.computed and link.key not in self._operators:
                changed_before.append(link)
        return reasons

    def _reason(self, link: Link, tally: Tally, shards: Mapping[int, Moving], changed: list[Link]) -> str:
        if self._before is None:
            return f"no earlier run of {self._project} or with these operators"
        if not link.use.cache:
            return "it is not cached (cache: false, or results that differ)"
        if link.key not in self._operators:
            return self._operator_changed(link, self._before)
        gone = [shard for shard, key in tally.misses if key in self._known_keys]
        new = [shard for shard, key in tally.misses if key not in self._known_keys]
        fresh = [shard for shard in new if shards[shard].shard.base.digest not in self._bases]
        moved = [shard for shard, key in tally.misses if key and shard in new and shard not in fresh]
        unsure = [shard for shard, key in tally.misses if not key and shard not in fresh]  # in a dry run
        total = len(shards)
        parts: list[str] = []
        for shard in gone:
            self._lost.setdefault(shard, link)
        lost = [] if changed else [shard for shard in unsure if shard in self._lost]  # what is made again is as it was
        unsure = [shard for shard in unsure if shard not in lost]
        if link.key in self._dropped:
            gone, lost = gone + lost, []
        if fresh:
            places = ", ".join(_where(shards[shard]) for shard in fresh[:3]) + (" …" if len(fresh) > 3 else "")
            parts.append(f"{len(fresh)} of {total} shards: the source changed ({places})")
        if moved:
            by = changed[-1].label if changed else "an earlier operator"
            parts.append(f"{len(moved)} of {total} shards: their rows changed in {by}")
        if unsure:
            by = changed[-1].label if changed else "an earlier operator"
            parts.append(f"{len(unsure)} of {total} shards: their rows may change in {by}")
        if lost:
            why = self._why_gone(self._lost[lost[0]])
            by = f"{self._lost[lost[0]].label}, whose result was {why}, has run"
            parts.append(f"{len(lost)} of {total} shards: their rows are known only when {by}")
        if gone:
            parts.append(f"{len(gone)} of {total} shards: the result was {self._why_gone(link)}")
        return "; ".join(parts)

    def _why_gone(self, link: Link) -> str:
        retain = self._before.retain if self._before and link.key in self._dropped else ""
        return f"not kept (retain: {retain})" if retain else "known and is no longer in the store"

    def _operator_changed(self, link: Link, before: Detail) -> str:
        old = _counterpart(link, before)
        if old is None:
            return "a new operator"
        found = differences(old.tree, link.use.key)
        return "; ".join(found) if found else "its key changed"


def _dropped(before: Detail) -> frozenset[str]:
    """Return the keys of the operators whose results an earlier run did not keep."""
    count = len(before.operators)
    return frozenset(record.key for record in before.operators[: count - retained_operators(before.retain, count)])


def _counterpart(link: Link, before: Detail) -> OperatorRecord | None:
    """The earlier run's operator of the same name, at the nearest position."""
    named = [(abs(at - link.index), at) for at, record in enumerate(before.operators) if record.name == link.use.name]
    return before.operators[min(named)[1]] if named else None


def _where(moving: Moving) -> str:
    place = moving.place
    if not place.file:
        return f"shard {place.shard + 1}"
    return f"{place.file} from {f'line {place.line}' if place.line else f'row {place.row + 1}'}"


def explain(store: Store, run: Key | str) -> list[str]:
    """Say why a run computed what it did.

    Args:
        store: where it is remembered.
        run: its key, or its project's name.

    Returns:
        One line per operator that computed something; none where all was found.

    Raises:
        NotFoundError: no such run is remembered.
    """
    from forebay.pipeline.runs import record

    entry = store.get("run", Key(run)) if is_hex64(run) else record.last_run(store, run)
    detail = record.detail_of(store, entry) if entry else None
    if detail is None:
        raise NotFoundError(f"no run {run!r} is remembered", subject=run, hint="forebay ls --kind run")
    numbered = enumerate(zip(detail.operators, detail.reasons, strict=True), 1)
    return [f"operator {at} {operator.name}: {reason}" for at, (operator, reason) in numbered if reason]
