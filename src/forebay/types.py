"""The words everything else speaks: digests, keys, entries.

All records are frozen and slotted, hold only JSON-able values, and know nothing of disks or frameworks.

A small worked example, one entry as the store keeps it::

    Entry(
        kind="delta",
        key=Key("5d2c…"),                                    # what the work depends on
        objects=(ObjectRef("patch", Digest("9f3a…"), 18_240),),  # what it produced
        meta={"rows_in": 1200, "rows_out": 1200},
        parts={"operator": {"ref": "77aa…"}, "input": "0c1d…"},  # why the key is what it is
        inputs=(Key("0c1d…"),),
        cost=Cost(seconds=0.41, bytes=18_240),
        recoverable=True,                                    # can be computed or fetched again
    )
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NewType, TypeAlias

Digest = NewType("Digest", str)
"""Name of immutable bytes: lower-case hex BLAKE3-256 of the decoded content, 64 characters."""

Key = NewType("Key", str)
"""Name of some work: lower-case hex BLAKE3-256 over everything the result depends on, 64 characters."""

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

Buffer: TypeAlias = bytes | bytearray | memoryview

_HEX64 = re.compile(r"[0-9a-f]{64}")


def is_hex64(text: str) -> bool:
    """Tell whether `text` has the form of a digest or a key."""
    return _HEX64.fullmatch(text) is not None


def _no_meta() -> Mapping[str, JSON]:
    return MappingProxyType({})


def _no_versions() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object of an entry: the role it plays there, its digest and its decoded size in bytes."""

    role: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What it took to make an entry: wall seconds, and decoded bytes produced."""

    seconds: float = 0.0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """What some work produced, under the key of everything it depended on."""

    kind: str
    """The family of work: ``shard``, ``delta``, ``table``, ``run`` …; lower-case letters, digits and dashes."""
    key: Key
    objects: tuple[ObjectRef, ...] = ()
    meta: Mapping[str, JSON] = field(default_factory=_no_meta)
    """Facts a reader wants without opening an object: row counts, schema, statistics."""
    parts: Mapping[str, JSON] = field(default_factory=_no_meta)
    """What went into the key, for people and for `explain`; ``{"ref": digest}`` points at an object of this entry."""
    inputs: tuple[Key, ...] = ()
    cost: Cost = Cost()
    recoverable: bool = True
    """False for what exists nowhere else (a bundle import, say): eviction spares it."""
    dataset: str = ""
    """Human name of what it belongs to, for `forebay du`; never part of a key."""
    created: float = 0.0
    """Seconds since the epoch; set by the store on commit, never part of a key."""
    versions: Mapping[str, str] = field(default_factory=_no_versions)
    """Versions of what made it (forebay, python); set by the store on commit, never part of a key."""

    def object(self, role: str) -> ObjectRef:
        """Return the object with this role.

        Raises:
            KeyError: the entry has none.
        """
        for ref in self.objects:
            if ref.role == role:
                return ref
        raise KeyError(role)
