"""One shard of a table as data: a base object and the layers on it. No rows, no pyarrow: planning reads only this.

A small worked example, a shard of four rows after a mapper that changed one of them and a filter that kept three::

    Shard(
        base=ObjectRef("base", Digest("9f3a…"), 18_240),
        rows=4,
        layers=(
            Layer("patch", ("text",), 4, ObjectRef("patch", Digest("77aa…"), 512)),
            Layer("select", (), 3, ObjectRef("select", Digest("0c1d…"), 1)),
        ),
    )
    shard.visible_rows            # 3
    shard.state(("text",))        # what an operator that reads "text" sees: part of that operator's key
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from blake3 import blake3

from forebay.types import JSON, Buffer, Digest, ObjectRef

LayerKind = Literal["patch", "columns", "drop", "select", "rows", "stats"]
_KINDS: frozenset[str] = frozenset(get_args(LayerKind))

INLINE_BYTES = 1024
"""A layer's content up to this size stands in the entry itself: one file less to write, flush and open."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One change on what lies below it.

    Attributes:
        kind: what it does, see ``design/0004-tables.md``.
        columns: names it replaces, adds, removes or measures; for ``rows`` all of its columns; empty for ``select``.
        rows: rows visible after it.
        object: its content; None for ``drop``, for what is `inline`, and for a layer that is not stored yet.
        inline: its content where that is so small (`INLINE_BYTES`) that a file of its own would cost more.
    """

    kind: LayerKind
    columns: tuple[str, ...]
    rows: int
    object: ObjectRef | None = None
    inline: bytes | None = None

    @property
    def digest(self) -> Digest | None:
        """BLAKE3 of the content, wherever it is; None where there is none."""
        if self.inline is not None:
            return Digest(blake3(self.inline).hexdigest())
        return None if self.object is None else self.object.digest

    def content(self, read: Callable[[Digest], Buffer]) -> Buffer:
        """Return the content, of which a layer that is no ``drop`` has some; `read` gives an object's bytes."""
        if self.inline is not None:
            return self.inline
        assert self.object is not None, self
        return read(self.object.digest)

    def with_object(self, ref: ObjectRef) -> Layer:
        """Return this layer, its content stored as `ref`."""
        return replace(self, object=ref)

    def to_json(self) -> dict[str, JSON]:
        """Return the layer as JSON; what is inline as base64."""
        fields: dict[str, JSON] = {
            "kind": self.kind,
            "columns": list(self.columns),
            "rows": self.rows,
            "object": None if self.object is None else ref_to_json(self.object),
        }
        if self.inline is not None:
            fields["inline"] = b64encode(self.inline).decode()
        return fields

    @classmethod
    def from_json(cls, data: JSON) -> Layer:
        """Return the layer that `to_json` wrote.

        Raises:
            ValueError: it is not one.
        """
        fields = _fields(data, "layer")
        kind, columns, rows = fields.get("kind"), fields.get("columns"), fields.get("rows")
        if kind not in _KINDS or not isinstance(columns, list) or not isinstance(rows, int):
            raise ValueError(f"not a layer: {data!r}")
        ref = fields.get("object")
        stored = None if ref is None else ref_from_json(ref)
        inline = fields.get("inline")
        content = None if inline is None else b64decode(str(inline), validate=True)
        return cls(cast("LayerKind", kind), tuple(str(name) for name in columns), rows, stored, content)


@dataclass(frozen=True, slots=True)
class Shard:
    """A base and the layers on it, first applied first.

    Attributes:
        base: an Arrow IPC object.
        rows: rows of the base.
        layers: changes, in the order they were made.
    """

    base: ObjectRef
    rows: int
    layers: tuple[Layer, ...] = ()

    @property
    def visible_rows(self) -> int:
        """Rows left after all layers."""
        return self.layers[-1].rows if self.layers else self.rows

    @property
    def start(self) -> int:
        """Number of leading layers that no longer matter for rows: those up to the last ``rows`` layer, or 0."""
        for at in range(len(self.layers) - 1, -1, -1):
            if self.layers[at].kind == "rows":
                return at
        return 0

    def with_layer(self, *layers: Layer) -> Shard:
        """Return this shard with `layers` on top."""
        return replace(self, layers=(*self.layers, *layers))

    def state(self, columns: Collection[str] | None = None) -> Digest:
        """Digest the content that someone who reads `columns` (None: all) sees.

        Statistics never count. Nor does a patch whose every column that is read was replaced as a whole later on, nor
        anything below new rows. Two shards of one state have the same rows in these columns; not always the other
        way round.
        """
        wanted = None if columns is None else frozenset(columns)
        hidden: set[str] = set()
        counted: list[JSON] = []
        start = self.start
        live = self.layers[start:]
        for layer in reversed(live):
            if layer.kind == "stats":
                continue
            if layer.kind in ("patch", "columns", "drop"):
                touched = frozenset(layer.columns) if wanted is None else wanted.intersection(layer.columns)
                # The position of a new column is part of what one sees, so only patches can be hidden.
                if not touched or (layer.kind == "patch" and touched <= hidden):
                    continue
                if layer.kind != "patch":
                    hidden |= touched
            content: JSON = layer.digest or list[JSON](sorted(layer.columns))
            counted.append([layer.kind, content])
        replaced = bool(live) and live[0].kind == "rows"
        everything: JSON = ["forebay.shard.state/1", None if replaced else self.base.digest, counted[::-1]]
        return Digest(blake3(json.dumps(everything, separators=(",", ":")).encode()).hexdigest())

    def objects(self) -> tuple[ObjectRef, ...]:
        """Return every object that it takes to read this shard, statistics included."""
        return (self.base, *(layer.object for layer in self.layers if layer.object is not None))

    def to_json(self) -> dict[str, JSON]:
        """Return the shard as JSON."""
        layers: list[JSON] = [layer.to_json() for layer in self.layers]
        return {"base": ref_to_json(self.base), "rows": self.rows, "layers": layers}

    @classmethod
    def from_json(cls, data: JSON) -> Shard:
        """Return the shard that `to_json` wrote.

        Raises:
            ValueError: it is not one.
        """
        fields = _fields(data, "shard")
        base, rows, layers = fields.get("base"), fields.get("rows"), fields.get("layers")
        if not isinstance(rows, int) or not isinstance(layers, list):
            raise ValueError(f"not a shard: {data!r}")
        return cls(ref_from_json(base), rows, tuple(Layer.from_json(layer) for layer in layers))


def ref_to_json(ref: ObjectRef) -> JSON:
    """Return an object's reference as ``[role, digest, size]``."""
    return [ref.role, ref.digest, ref.size]


def ref_from_json(data: JSON) -> ObjectRef:
    """Return the reference that `ref_to_json` wrote.

    Raises:
        ValueError: it is not one.
    """
    match data:
        case [str(role), str(digest), int(size)]:
            return ObjectRef(role, Digest(digest), size)
        case _:
            raise ValueError(f"not an object's reference: {data!r}")


def _fields(data: JSON, what: str) -> Mapping[str, JSON]:
    if not isinstance(data, dict):
        raise ValueError(f"not a {what}: {data!r}")
    return data
