"""From a row that an operator saw back to the source: which file, which line. Used for error messages only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from forebay.table.shard import Shard
from forebay.types import JSON, Buffer, Digest


@dataclass(frozen=True, slots=True)
class Place:
    """Where a shard comes from. `line` is the first row's line from 1, or 0 where the format has no lines."""

    shard: int
    file: str = ""
    line: int = 0
    row: int = 0
    """Number of the shard's first row in the file, from 0."""

    @property
    def shard_text(self) -> str:
        """``shard 4 (corpus.jsonl from line 1201)``."""
        if not self.file:
            return f"shard {self.shard + 1}"
        return (
            f"shard {self.shard + 1} ({self.file} from {f'line {self.line}' if self.line else f'row {self.row + 1}'})"
        )

    def to_json(self) -> JSON:
        """Return the place as JSON."""
        return {"shard": self.shard, "file": self.file, "line": self.line, "row": self.row}

    @classmethod
    def from_json(cls, data: JSON) -> Place:
        """Return the place that `to_json` wrote."""
        return cls(**cast("Mapping[str, Any]", data))


def place_of(place: Place, shard: Shard, row: int, read: Callable[[Digest], Buffer]) -> str:
    """Say where row number `row` of the rows visible now comes from: ``corpus.jsonl line 1207 (shard 4)``."""
    base = base_row(shard, row, read)
    if not place.file:
        return f"row {base + 1} of shard {place.shard + 1}"
    number = f"line {place.line + base}" if place.line else f"row {place.row + base + 1}"
    return f"{place.file} {number} (shard {place.shard + 1})"


def base_row(shard: Shard, row: int, read: Callable[[Digest], Buffer]) -> int:
    """Return the number in the base of row `row` of the visible rows: undo selections and expansions, last first."""
    import numpy as np

    from forebay.table import ipc

    visible = [shard.rows, *(layer.rows for layer in shard.layers)]
    for layer, rows_before in zip(reversed(shard.layers), reversed(visible[:-1]), strict=True):
        if layer.kind == "select":
            bits = np.unpackbits(np.frombuffer(layer.content(read), np.uint8), bitorder="little")[:rows_before]
            row = int(np.flatnonzero(bits)[row])
        elif layer.kind == "rows":
            row = int(ipc.decode(memoryview(layer.content(read))).column("__parent")[row].as_py())
    return row
