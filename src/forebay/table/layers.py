"""Layers made: what an operator did to a shard, as small as it can be stored.

Every maker returns drafts, (layer, payload) pairs, and none where nothing changed. A draft becomes part of a shard when
its payload is stored::

    drafts = layers.diff(rows, mapper.map(rows))
    with store.batch() as batch:
        shard = shard.with_layer(*(draft.stored(batch.put) for draft in drafts))
    rows = layers.apply(rows, drafts)        # exactly what `load` would return

All payloads are deterministic, so the same change always has the same digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forebay.errors import InputError
from forebay.table import compute, ipc
from forebay.table.buffers import Bits, array_of
from forebay.table.canonical import canonical, canonical_table
from forebay.table.compose import PARENT, ROW, apply, load, load_stats
from forebay.table.difference import differing, same_buffers
from forebay.table.shard import INLINE_BYTES, Layer, LayerKind
from forebay.types import Buffer, ObjectRef

__all__ = ["Draft", "apply", "diff", "drop", "load", "load_stats", "rows", "select", "stats"]

_DENSE = 0.75
"""A patch is stored as long as it takes at most this part of the bytes of whole columns; beyond, reading wins."""


class Draft(NamedTuple):
    """A layer that is not stored yet, and its content (None for ``drop``, which has none)."""

    layer: Layer
    payload: Buffer | None

    def stored(self, put: Callable[[str, Buffer], ObjectRef]) -> Layer:
        """Store the payload, unless it is small, by ``put(role, data)`` and return the layer that has or names it."""
        if self.payload is None:
            return self.layer
        if memoryview(self.payload).nbytes <= INLINE_BYTES:
            return replace(self.layer, inline=bytes(self.payload))
        return self.layer.with_object(put(self.layer.kind, self.payload))


def diff(before: pa.Table, changed: Mapping[str, pa.Array | pa.ChunkedArray | None]) -> list[Draft]:
    """Return what a mapper did.

    Args:
        before: the rows that it saw, columns of one canonical chunk, as `load` returns them.
        changed: columns it returned, each of ``before.num_rows`` values; None removes a column. What equals what was
            there is not stored.

    Returns:
        At most: one ``drop``, one ``columns`` layer, and one ``patch`` per set of changed rows.

    Raises:
        InputError: a column's length or type is wrong, or its name is reserved.
    """
    gone = [name for name, array in changed.items() if array is None and name in before.column_names]
    whole: dict[str, pa.Array] = {}
    patches: dict[bytes, dict[str, pa.Array]] = {}
    for name, given in changed.items():
        if given is None:
            continue
        array = _checked(name, given, before.num_rows)
        if name not in before.column_names:
            whole[name] = array
            continue
        old = canonical(before.column(name))
        if old.type != array.type:
            whole[name] = array
            continue
        if same_buffers(old, array):
            continue
        rows_changed = differing(old, array)
        if rows_changed.any():
            patches.setdefault(rows_changed.tobytes(), {})[name] = array
    drafts = list(drop(gone, before.num_rows))
    for key, columns in patches.items():
        draft = _patch(np.frombuffer(key, np.bool_), columns)
        if draft is None:
            whole.update(columns)
        else:
            drafts.append(draft)
    ordered = {name: whole[name] for name in changed if name in whole}  # as the mapper gave them
    if ordered:
        drafts.append(_draft("columns", pa.table(ordered), before.num_rows))
    return drafts


def drop(columns: Iterable[str], visible: int) -> list[Draft]:
    """Return the layer that removes columns from a shard of `visible` rows; none for no columns."""
    names = tuple(columns)
    return [Draft(Layer("drop", names, visible), None)] if names else []


def select(mask: npt.ArrayLike) -> list[Draft]:
    """Return the layer that keeps the rows whose bool in `mask`, one per visible row, is true; none if all are."""
    bits: Bits = np.ascontiguousarray(mask, np.bool_)
    kept = int(np.count_nonzero(bits))
    if kept == len(bits):
        return []
    payload = np.packbits(bits, bitorder="little").tobytes()
    return [Draft(Layer("select", (), kept), payload)]


def rows(new: pa.Table, parents: npt.ArrayLike, before: pa.Table | None = None) -> list[Draft]:
    """Return what a flat-mapper did.

    Args:
        new: all rows there are now.
        parents: for each the number of its parent among the rows visible before; ascending.
        before: those rows; where given and equal to `new`, row by row, there is nothing to store.

    Raises:
        InputError: parents and rows do not match, or a column's name is reserved.
    """
    numbers = np.ascontiguousarray(parents, np.uint32)
    if len(numbers) != new.num_rows or (len(numbers) > 1 and bool((numbers[1:] < numbers[:-1]).any())):
        raise InputError(
            f"{new.num_rows} new rows with {len(numbers)} parents", hint="one parent for each row, in ascending order"
        )
    if before is not None and len(numbers) and int(numbers[-1]) >= before.num_rows:
        raise InputError(f"a parent number {numbers[-1]} among {before.num_rows} rows", hint="count from 0")
    _check_names(new.column_names)
    content = canonical_table(new)
    if before is not None and content.num_rows == before.num_rows and _unchanged(before, content, numbers):
        return []
    columns = {PARENT: array_of(numbers), **{name: content.column(name) for name in content.column_names}}
    payload = memoryview(ipc.encode(pa.table(columns)))
    return [Draft(Layer("rows", tuple(content.column_names), content.num_rows), payload)]


def stats(columns: Mapping[str, pa.Array | pa.ChunkedArray], visible: int) -> list[Draft]:
    """Return the layer of statistics that a filter measured, each column of `visible` values; none for none."""
    if not columns:
        return []
    checked = {name: _checked(name, array, visible) for name, array in columns.items()}
    return [_draft("stats", pa.table(checked), visible)]


def _unchanged(before: pa.Table, new: pa.Table, parents: npt.NDArray[np.uint32]) -> bool:
    if before.column_names != new.column_names or not np.array_equal(parents, np.arange(before.num_rows)):
        return False
    pairs = [(canonical(before.column(name)), new.column(name).chunk(0)) for name in new.column_names]
    return all(old.type == array.type and not differing(old, array).any() for old, array in pairs)


def _checked(name: str, given: pa.Array | pa.ChunkedArray, visible: int) -> pa.Array:
    _check_names([name])
    if len(given) != visible:
        raise InputError(f"column {name!r} has {len(given)} values for {visible} rows", subject=name)
    try:
        return canonical(given)
    except InputError as error:
        raise InputError(f"column {name!r}: {error.what}", subject=name, hint=error.hint) from error


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if name in (ROW, PARENT):
            raise InputError(f"the column name {name!r} is reserved", subject=name, hint="choose another name")


def _patch(changed: Bits, columns: Mapping[str, pa.Array]) -> Draft | None:
    """Return the changed rows as a patch, or None where whole columns are the better choice."""
    at = np.flatnonzero(changed)
    if len(at) == len(changed):
        return None
    index = array_of(at)
    part = pa.table({name: compute.take(array, index) for name, array in columns.items()})
    whole_bytes = sum(array.nbytes for array in columns.values())
    if part.nbytes + 4 * len(at) > _DENSE * whole_bytes:
        return None
    return _draft("patch", part.add_column(0, ROW, array_of(at.astype(np.uint32))), len(changed), list(columns))


def _draft(kind: LayerKind, content: pa.Table, visible: int, columns: list[str] | None = None) -> Draft:
    names = tuple(content.column_names if columns is None else columns)
    payload = memoryview(ipc.encode(content))
    return Draft(Layer(kind, names, visible), payload)
