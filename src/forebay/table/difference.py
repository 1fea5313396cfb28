"""Which rows of two columns differ: vectorised, nested types included.

Equal means: the same bytes at rest. So NaN equals NaN, and 0.0 differs from -0.0.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pyarrow as pa
from pyarrow import types as kinds

from forebay.table import compute
from forebay.table.buffers import Bits, numbers_of, take, valid_bits, values_of


def same_buffers(left: pa.Array, right: pa.Array) -> bool:
    """Whether two arrays are views of the very same memory: equal at no cost."""
    if left is right:
        return True
    if len(left) != len(right) or left.type != right.type or left.offset != right.offset:
        return False
    ours, theirs = left.buffers(), right.buffers()
    return len(ours) == len(theirs) and all(
        (one is None and other is None)
        or (one is not None and other is not None and one.address == other.address and one.size == other.size)
        for one, other in zip(ours, theirs, strict=True)
    )


def differing(left: pa.Array, right: pa.Array) -> Bits:
    """Return one bool per row: do the two differ there?

    Args:
        left: canonical.
        right: canonical, of the same type and length.
    """
    rows = len(left)
    if kinds.is_null(left.type) or same_buffers(left, right):
        return np.zeros(rows, np.bool_)
    if not left.null_count and not right.null_count:
        return _values(left, right)
    valid, other_valid = valid_bits(left), valid_bits(right)
    return (valid != other_valid) | (valid & other_valid & _values(left, right))


def _values(left: pa.Array, right: pa.Array) -> Bits:
    """Compare what lies under validity; anything may come out where either is null."""
    kind = left.type
    if kinds.is_struct(kind):
        found = np.zeros(len(left), np.bool_)
        for at in range(kind.num_fields):
            found |= differing(cast("pa.StructArray", left).field(at), cast("pa.StructArray", right).field(at))
        return found
    if kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_map(kind):
        return _lists(left, right)
    if kinds.is_fixed_size_list(kind):
        children = differing(cast("Any", left).values, cast("Any", right).values)
        return cast("Bits", children.reshape(len(left), kind.list_size).any(axis=1))
    if kinds.is_boolean(kind):
        return cast("Bits", numbers_of(left) != numbers_of(right))
    if _has_text(kind):
        return numbers_of(compute.call("not_equal", left, right))
    width = kind.bit_width // 8
    if width in (1, 2, 4, 8):
        return cast("Bits", values_of(left, f"u{width}") != values_of(right, f"u{width}"))
    if not width:
        return np.zeros(len(left), np.bool_)
    cells = values_of(left, np.uint8) != values_of(right, np.uint8)
    return cells.reshape(len(left), width).any(axis=1)


def _lists(left: pa.Array, right: pa.Array) -> Bits:
    lengths, other_lengths = _lengths(left), _lengths(right)
    found = lengths != other_lengths
    same = np.flatnonzero(~found & (lengths > 0))
    if not len(same):
        return found
    if len(same) < len(left):
        left, right = take(left, same), take(right, same)
        lengths = lengths[same]
    children = differing(_children(left), _children(right))
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    # Every list here has a child, so no segment of reduceat is empty.
    found[same] = np.logical_or.reduceat(children, starts)
    return found


def _lengths(array: pa.Array) -> Any:
    if kinds.is_map(array.type):
        return np.diff(values_of(array, np.int32))
    wide = kinds.is_large_list(array.type)
    return np.diff(values_of(array, np.int64 if wide else np.int32))


def _children(array: pa.Array) -> pa.Array:
    if kinds.is_map(array.type):
        pairs = cast("pa.MapArray", array)
        return pa.StructArray.from_arrays([pairs.keys, pairs.items], names=["key", "item"])
    return cast("pa.ListArray", array).values


def _has_text(kind: pa.DataType) -> bool:
    return kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_binary(kind) or kinds.is_large_binary(kind)
