"""`forebay show`: one entry, and what its key is made of."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

import click

from forebay.cli import text, trees
from forebay.cli.app import Command
from forebay.cli.session import Session, emit, say
from forebay.cli.trees import Node
from forebay.errors import NotFoundError, StoreError
from forebay.types import is_hex64

if TYPE_CHECKING:
    from forebay.store import Store
    from forebay.types import JSON, Digest, Entry

_LONGEST = 100


@click.command(cls=Command)
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="The entry as JSON, with the parts of its key.")
@click.pass_obj
def show(session: Session, key: str, as_json: bool) -> None:
    """Show one entry and what its key is made of.

    KEY is a key, its first digits (6 or more), KIND:DIGITS, or a name.
    """
    with session.named([key]) as (store, [(kind, whole)]):
        entry = store.get(kind, whole)
        if entry is None:
            raise NotFoundError(
                f"{kind} {whole} cannot be read", subject=whole, hint="it is set aside; run again to heal"
            )
        parts = {name: _followed(store, part) for name, part in entry.parts.items()}
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
        yield from trees.lines(tuple(Node(_object(store, ref)) for ref in entry.objects))
    if entry.meta:
        yield "facts"
        yield from trees.lines(tuple(_node(name, value) for name, value in entry.meta.items()))
    if parts:
        yield "key made of"
        yield from trees.lines(tuple(_node(name, value) for name, value in parts.items()))


def _facts(store: Store, entry: Entry) -> Iterator[str]:
    if entry.dataset:
        yield f"dataset  {entry.dataset}"
    versions = ", ".join(f"{name} {version}" for name, version in entry.versions.items())
    ago = text.ago(entry.created, time.time())
    yield f"made     {text.moment(entry.created)} ({ago}) by {versions or 'unknown'}"
    yield f"took     {text.seconds(entry.cost.seconds)}, gave {text.size(entry.cost.bytes)}"
    if not entry.recoverable:
        yield "origin   none: it cannot be made again, so eviction spares it"
    if _pinned(store, entry):
        yield "pinned   yes"
    for number, key in enumerate(entry.inputs):
        yield f"{'inputs ' if number == 0 else '       '}  {key}"


def _pinned(store: Store, entry: Entry) -> bool:
    return any((pin.kind, pin.key) == (entry.kind, entry.key) for pin in store.pins())


def _object(store: Store, ref: object) -> str:
    role, digest, size = ref.role, ref.digest, ref.size  # type: ignore[attr-defined]
    gone = "" if store.has(digest) else "  missing"
    return f"{role}  {text.short(digest)}  {text.size(size)}{gone}"


def _followed(store: Store, part: JSON) -> JSON:
    """Return a part, read from the object that it points at where it is kept as one."""
    if not isinstance(part, dict) or set(part) != {"ref"}:
        return part
    try:
        return json.loads(bytes(store.read(cast("Digest", part["ref"]))))
    except (StoreError, ValueError):  # evicted, damaged, or no JSON: then the reference is all there is to show
        return part


def _node(name: str, value: JSON) -> Node:
    """Return a part as a tree: a node of a key by label, detail and digits, anything else by its values."""
    if isinstance(value, dict):
        if "digest" in value and "kind" in value:
            return _key_node(name, value)
        return Node(name, tuple(_node(key, inner) for key, inner in value.items()))
    if isinstance(value, list):
        return Node(name, tuple(_node(str(number), inner) for number, inner in enumerate(value)))
    return Node(f"{name}  {_leaf(value)}")


def _key_node(name: str, value: dict[str, JSON]) -> Node:
    children = cast("list[dict[str, JSON]]", value.get("children") or [])
    said = [name, str(value.get("detail") or value["kind"]), text.short(str(value["digest"]))]
    if value.get("where"):
        said.append(f"({value['where']})")
    return Node(text.one_line("  ".join(said)), tuple(_key_node(str(one.get("label", "")), one) for one in children))


def _leaf(value: JSON) -> str:
    if isinstance(value, str):
        shown = text.short(value) if is_hex64(value) else text.one_line(value)
    else:
        shown = json.dumps(value)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
