"""`forebay show`: one entry, and what its key is made of."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import click

from forebay import text
from forebay.cli import trees
from forebay.cli.app import Command
from forebay.cli.columns import visible
from forebay.cli.keyparts import parts_of
from forebay.cli.naming import gone
from forebay.cli.session import Session, emit, say
from forebay.cli.trees import Node
from forebay.types import is_hex64

if TYPE_CHECKING:
    from forebay.store import Store
    from forebay.types import JSON, Entry, ObjectRef

_LONGEST = 100
_MOST = 12
"""Objects that are shown; JSON has them all."""
_SOME = 4
"""Values of a list that are shown."""


@click.command(cls=Command)
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="The entry as JSON, with the parts of its key.")
@click.pass_obj
def show(session: Session, key: str, as_json: bool) -> None:
    """Show one entry and what its key is made of.

    KEY is a key, its first digits (6 or more), KIND:DIGITS, a name, or hf://datasets/NS/NAME.
    """
    with session.named([key]) as (store, [(kind, whole)]):
        entry = store.get(kind, whole)
        if entry is None:
            raise gone(store, kind, whole)
        parts = parts_of(store, entry)
        if as_json:
            emit(_json(store, entry, parts))
            return
        for line in _lines(store, entry, parts):
            say(line)


def _json(store: Store, entry: Entry, parts: Mapping[str, JSON]) -> JSON:
    return {
        "kind": entry.kind,
        "key": entry.key,
        "dataset": entry.dataset,
        "created": entry.created,
        "cost": {"seconds": entry.cost.seconds, "bytes": entry.cost.bytes},
        "recoverable": entry.recoverable,
        "pinned": _pinned(store, entry),
        "objects": [
            {"role": ref.role, "digest": ref.digest, "size": ref.size, "present": store.has(ref.digest)}
            for ref in entry.objects
        ],
        "inputs": list(entry.inputs),
        "meta": dict(entry.meta),
        "versions": dict(entry.versions),
        "parts": dict(parts),
    }


def _lines(store: Store, entry: Entry, parts: Mapping[str, JSON]) -> Iterator[str]:
    yield f"{entry.kind} {entry.key}"
    yield from _facts(store, entry)
    if entry.objects:
        yield "objects"
        more = [Node(f"… {len(entry.objects) - _MOST:,} more")] if len(entry.objects) > _MOST else []
        yield from trees.lines((*(Node(_object(store, ref)) for ref in entry.objects[:_MOST]), *more))
    if entry.meta:
        yield "facts"
        yield from trees.lines(tuple(_node(name, value) for name, value in _facts_of(entry).items()))
    if parts:
        yield "key made of"
        yield from trees.lines(tuple(_node(name, value) for name, value in parts.items()))


def _facts_of(entry: Entry) -> Mapping[str, JSON]:
    """Return an entry's facts; the counts of a run's operators in one line each."""
    if entry.kind != "run":
        return entry.meta
    facts = dict(entry.meta)
    operators = cast("list[Mapping[str, Any]]", facts.pop("operators", []))
    lines: dict[str, JSON] = {
        str(number): f"{one['name']}: {one['shards_computed']} computed, {one['shards_reused']} reused, "
        f"{one['rows_in']:,} → {one['rows_out']:,} rows"
        for number, one in enumerate(operators, start=1)
    }
    return {**facts, "operators": lines}


def _facts(store: Store, entry: Entry) -> Iterator[str]:
    if entry.dataset:
        yield f"dataset  {visible(entry.dataset)}"
    versions = ", ".join(f"{name} {version}" for name, version in entry.versions.items())
    ago = text.ago(entry.created, time.time())
    yield f"made     {text.moment(entry.created)} ({ago}) by {versions or 'unknown'}"
    gave = f", gave {text.size(entry.cost.bytes)}" if entry.cost.bytes else ""
    yield f"took     {text.seconds(entry.cost.seconds)}{gave}"
    if not entry.recoverable:
        yield "origin   none: it cannot be made again, so eviction spares it"
    if _pinned(store, entry):
        yield "pinned   yes"
    for number, key in enumerate(entry.inputs):
        yield f"{'inputs ' if number == 0 else '       '}  {key}"


def _pinned(store: Store, entry: Entry) -> bool:
    return any((pin.kind, pin.key) == (entry.kind, entry.key) for pin in store.pins())


def _object(store: Store, ref: ObjectRef) -> str:
    gone = "" if store.has(ref.digest) else "  missing"
    return f"{ref.role}  {text.short(ref.digest)}  {text.size(ref.size)}{gone}"


def _node(name: str, value: JSON) -> Node:
    """Return a part as a tree: a node of a key by label, detail and digits, anything else by its values."""
    if isinstance(value, dict):
        if "digest" in value and "kind" in value:
            return _key_node(name, value)
        return Node(name, tuple(_node(key, inner) for key, inner in value.items()))
    if isinstance(value, list) and any(isinstance(one, (dict, list)) for one in value):
        return Node(name, tuple(_node(str(number), inner) for number, inner in enumerate(value)))
    return Node(f"{name}  {_leaf(value)}")


def _key_node(name: str, value: dict[str, JSON]) -> Node:
    """Return a part of a key: what it is to its parent, what it is, and unless it is a plain value its first digits."""
    children = cast("list[dict[str, JSON]]", value.get("children") or [])
    detail = text.one_line(str(value.get("detail") or ""))
    said = [name, detail if len(detail) <= _LONGEST else detail[: _LONGEST - 1] + "…"]
    if children or not detail:
        said.append(text.short(str(value["digest"])))
    if value.get("where"):
        said.append(f"({value['where']})")
    return Node(
        "  ".join(word for word in said if word),
        tuple(_key_node(str(one.get("label", "")), one) for one in children),
    )


def _leaf(value: JSON) -> str:
    if isinstance(value, list):
        more = f" … {len(value) - _SOME:,} more" if len(value) > _SOME else ""
        return (", ".join(_leaf(one) for one in value[:_SOME]) or "none") + more
    if isinstance(value, str):
        shown = text.short(value) if is_hex64(value) else text.one_line(value)
    else:
        shown = json.dumps(value)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
