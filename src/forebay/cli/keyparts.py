"""What an entry's key is made of, as far as the store remembers it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from forebay.errors import StoreError
from forebay.types import is_hex64

if TYPE_CHECKING:
    from forebay.fingerprint import KeyTree
    from forebay.store import Store
    from forebay.types import JSON, Digest, Entry


def parts_of(store: Store, entry: Entry) -> dict[str, JSON]:
    """Return the parts of an entry's key: those noted with it, with key trees in place of their digests where known."""
    if entry.kind == "run":
        return _parts_of_run(store, entry)
    parts = {name: _followed(store, part) for name, part in entry.parts.items()}
    operator = parts.get("operator")
    if isinstance(operator, str) and is_hex64(operator):
        tree = operator_tree(store, operator)
        if tree is not None:
            parts["operator"] = tree.to_json()
    return parts


def operator_tree(store: Store, digest: str) -> KeyTree | None:
    """Return the key tree of an operator that one of the store's runs remembers, the last run first."""
    from forebay.pipeline.runs.record import detail_of

    for row in sorted(store.entries(kind="run"), key=lambda row: (-row.created, row.key)):
        entry = store.get("run", row.key)
        detail = detail_of(store, entry) if entry else None
        for operator in detail.operators if detail else ():
            if operator.key == digest:
                return operator.tree
    return None


def _parts_of_run(store: Store, entry: Entry) -> dict[str, JSON]:
    from forebay.pipeline.runs.record import detail_of

    parts: dict[str, JSON] = dict(entry.parts)
    detail = detail_of(store, entry)
    for number, operator in enumerate(detail.operators if detail else (), start=1):
        parts[f"operator {number}"] = operator.tree.to_json()
    if detail:
        parts["source"] = [shard.base for shard in detail.shards]
    return parts


def _followed(store: Store, part: JSON) -> JSON:
    """Return a part, read from the object that it points at where it is kept as one."""
    if not isinstance(part, Mapping) or set(part) != {"ref"}:
        return part
    try:
        return json.loads(bytes(store.read(cast("Digest", part["ref"]))))
    except (StoreError, ValueError):  # evicted, damaged, or no JSON: then the reference is all there is to show
        return part
