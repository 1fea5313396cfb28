"""What differs between two entries of a store, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from forebay import text
from forebay.cli.keyparts import operator_tree
from forebay.errors import InputError

if TYPE_CHECKING:
    from forebay.pipeline.runs.record import Detail
    from forebay.store import Store
    from forebay.types import JSON, Entry

_SHOWN = 3


def compare(store: Store, old: Entry, new: Entry) -> list[str]:
    """Return what differs in what two entries' keys are made of, one sentence each; empty where nothing does.

    Raises:
        InputError: they are of different kinds.
    """
    if old.kind != new.kind:
        hint = "compare entries of one kind"
        raise InputError(f"a {old.kind} and a {new.kind} have different keys by nature", subject=new.key, hint=hint)
    if old.key == new.key:
        return []
    if old.kind == "run":
        from forebay.pipeline.runs.record import detail_of

        before, after = detail_of(store, old), detail_of(store, new)
        if before is not None and after is not None:
            return list(_runs(before, after)) or ["how the result is written differs (export_path, export_type)"]
    return list(_parts(store, old.parts, new.parts)) or ["nothing that was noted beside the key"]


def _runs(before: Detail, after: Detail) -> Iterator[str]:
    """Compare two runs: operators by name and order, then what their sources hold."""
    from forebay.pipeline.runs.explaining import differences

    left = list(before.operators)
    for index, operator in enumerate(after.operators):
        label = f"operator {index + 1} {operator.name}"
        same = [one for one in left if one.name == operator.name]
        if not same:
            yield f"{label}: only in the second run"
            continue
        # The equal one of several, else the first: an operator may stand in a recipe more than once.
        partner = next((one for one in same if one.key == operator.key), same[0])
        left.remove(partner)
        if partner.key != operator.key:
            yield f"{label}: {'; '.join(differences(partner.tree, operator.tree)) or 'its key differs'}"
    for one in left:
        yield f"operator {one.name}: only in the first run"
    names = [operator.name for operator in after.operators]
    if [one.name for one in before.operators] != names and sorted(one.name for one in before.operators) == sorted(
        names
    ):
        yield "the operators stand in another order"
    yield from _sources(before, after)


def _sources(before: Detail, after: Detail) -> Iterator[str]:
    bases = {shard.base for shard in before.shards}
    fresh = [shard.place.shard_text for shard in after.shards if shard.base not in bases]
    gone = len(bases - {shard.base for shard in after.shards})
    if fresh:
        shown = ", ".join(fresh[:_SHOWN]) + (" …" if len(fresh) > _SHOWN else "")
        yield f"the source: {len(fresh)} of {text.counted(len(after.shards), 'shard')} only in the second run: {shown}"
    if gone:
        yield f"the source: {gone} of {text.counted(len(before.shards), 'shard')} only in the first run"
    if not fresh and not gone and [one.base for one in before.shards] != [one.base for one in after.shards]:
        yield "the source: the same shards in another order, or another number of times"


def _parts(store: Store, old: Mapping[str, JSON], new: Mapping[str, JSON]) -> Iterator[str]:
    """Compare the parts of two keys: operators by their trees, where a run remembers them, the rest by value."""
    from forebay.pipeline.runs.explaining import differences

    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        if name == "operator":
            known = operator_tree(store, str(before)), operator_tree(store, str(after))
            if known[0] and known[1]:
                yield f"operator: {'; '.join(differences(known[0], known[1])) or 'its key differs'}"
                continue
        if name == "input":
            yield f"input: the rows it saw differ ({_told(before)} -> {_told(after)})"
        else:
            yield f"{name}: {_told(before)} -> {_told(after)}"


def _told(value: JSON) -> str:
    shown = text.one_line(str(value)) if value is not None else "none"
    return text.short(shown) if len(shown) == 64 else shown
