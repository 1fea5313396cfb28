"""A hash and a size for every row of a table: what shards of formats without lines are cut by.

The hash depends on the row's values alone, not on how Arrow holds them, nor on other rows. It decides where shards end
and nothing else, so it need not be cryptographic. Fixed-width values, structs and lists are hashed by numpy all at
once; texts one by one by xxh3.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import types as kinds
from xxhash import xxh3_64_intdigest

from forebay.table.buffers import numbers_of, valid_bits, values_of

Hashes = npt.NDArray[np.uint64]
Sizes = npt.NDArray[np.int64]

_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def row_hashes(rows: pa.Table) -> tuple[Hashes, Sizes]:
    """Return one 64-bit hash and one size in bytes (at least 1) for each row of canonical columns."""
    hashes = np.zeros(rows.num_rows, np.uint64)
    sizes = np.ones(rows.num_rows, np.int64)
    for column in rows.columns:
        array = column.chunk(0)
        hashes = _mixed(hashes * _SPREAD ^ _hashes(array))
        sizes += _sizes(array)
    return hashes, sizes


def _mixed(numbers: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit of the output."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _hashes(array: pa.Array) -> Hashes:
    kind = array.type
    if kinds.is_null(kind):
        return np.zeros(len(array), np.uint64)
    if kinds.is_struct(kind):
        found = np.ones(len(array), np.uint64)
        for at in range(kind.num_fields):
            found = _mixed(found * _SPREAD ^ _hashes(cast("pa.StructArray", array).field(at)))
    elif _is_list(kind):
        found = _list_hashes(array)
    elif _is_text(kind):
        found = _text_hashes(array)
    elif kinds.is_boolean(kind):
        found = numbers_of(array).astype(np.uint64)
    else:
        found = _number_hashes(array, kind.bit_width // 8)
    found = _mixed(found + np.uint64(1))
    return np.where(valid_bits(array), found, np.uint64(0)) if array.null_count else found


def _number_hashes(array: pa.Array, width: int) -> Hashes:
    if width in (1, 2, 4, 8):
        return values_of(array, f"u{width}").astype(np.uint64)
    cells = values_of(array, np.uint8).reshape(len(array), width)
    found = np.zeros(len(array), np.uint64)
    for at in range(width):
        found = _mixed(found * _SPREAD ^ cells[:, at])
    return found


def _text_hashes(array: pa.Array) -> Hashes:
    data = array.buffers()[2]
    view = memoryview(b"" if data is None else data)
    hashes = (xxh3_64_intdigest(view[start:end]) for start, end in pairwise(_offsets(array).tolist()))
    return np.fromiter(hashes, np.uint64, len(array))


def _list_hashes(array: pa.Array) -> Hashes:
    offsets = _offsets(array)
    lengths = np.diff(offsets)
    children = _hashes(_children(array))
    places = np.arange(len(children)) - np.repeat(offsets[:-1], lengths)
    # A sum over each list, wrapping around; each item is mixed with its place first, so that the order counts.
    placed = _mixed(children + (places.astype(np.uint64) + np.uint64(1)) * _SPREAD)
    return _sums(placed, offsets) + lengths.astype(np.uint64)


def _sizes(array: pa.Array) -> Sizes:
    kind = array.type
    if kinds.is_null(kind):
        return np.zeros(len(array), np.int64)
    if kinds.is_struct(kind):
        found = np.zeros(len(array), np.int64)
        for at in range(kind.num_fields):
            found += _sizes(cast("pa.StructArray", array).field(at))
        return found
    if _is_list(kind):
        return _sums(_sizes(_children(array)), _offsets(array)) + 4
    if _is_text(kind):
        return np.diff(_offsets(array)).astype(np.int64) + 4
    return np.full(len(array), max(1, kind.bit_width // 8), np.int64)


def _sums(values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> npt.NDArray[Any]:
    totals = np.concatenate([np.zeros(1, values.dtype), np.cumsum(values, dtype=values.dtype)])
    return totals[offsets[1:]] - totals[offsets[:-1]]


def _offsets(array: pa.Array) -> npt.NDArray[Any]:
    kind = array.type
    if kinds.is_fixed_size_list(kind):
        return np.arange(len(array) + 1) * kind.list_size
    wide = kinds.is_large_list(kind) or kinds.is_large_string(kind) or kinds.is_large_binary(kind)
    return values_of(array, np.int64 if wide else np.int32)


def _children(array: pa.Array) -> pa.Array:
    if kinds.is_map(array.type):
        pairs = cast("pa.MapArray", array)
        return pa.StructArray.from_arrays([pairs.keys, pairs.items], names=["key", "item"])
    return cast("pa.ListArray", array).values


def _is_list(kind: pa.DataType) -> bool:
    return kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_map(kind) or kinds.is_fixed_size_list(kind)


def _is_text(kind: pa.DataType) -> bool:
    return kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_binary(kind) or kinds.is_large_binary(kind)
