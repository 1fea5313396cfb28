"""Arrow arrays and numpy arrays over the same memory.

Built on buffers alone: `pyarrow.array` and `Array.to_numpy` import pandas where it is installed, which takes over a
second, once in every process.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forebay.table import compute

Bits = npt.NDArray[np.bool_]

_TYPES = {
    "b1": pa.bool_(), "i1": pa.int8(), "i2": pa.int16(), "i4": pa.int32(), "i8": pa.int64(), "u1": pa.uint8(),
    "u2": pa.uint16(), "u4": pa.uint32(), "u8": pa.uint64(), "f2": pa.float16(), "f4": pa.float32(), "f8": pa.float64(),
}  # fmt: skip


def values_of(array: pa.Array, dtype: npt.DTypeLike, buffer: int = 1) -> npt.NDArray[Any]:
    """Return one buffer of an offset-free array as numpy, without copying; empty where there is none."""
    data = array.buffers()[buffer]
    return np.empty(0, dtype) if data is None else np.frombuffer(data, dtype)


def numbers_of(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column of numbers or bools as numpy, without copying where it is one chunk of numbers; nulls are any."""
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks != 1:
            parts = [numbers_of(chunk) for chunk in column.chunks]
            return np.concatenate(parts) if parts else np.empty(0, column.type.to_pandas_dtype())
        return numbers_of(column.chunk(0))
    if pa.types.is_boolean(column.type):
        return _unpacked(column, 1)
    found = values_of(column, column.type.to_pandas_dtype())
    return found[column.offset : column.offset + len(column)]


def valid_bits(array: pa.Array | pa.ChunkedArray) -> Bits:
    """Return one bool per value: is it not null?"""
    if isinstance(array, pa.ChunkedArray):
        return np.concatenate([np.zeros(0, np.bool_), *map(valid_bits, array.chunks)])
    if pa.types.is_null(array.type):
        return np.zeros(len(array), np.bool_)
    return _unpacked(array, 0) if array.null_count else np.ones(len(array), np.bool_)


def pack(bits: Bits) -> pa.Buffer:
    """Return bools as a bitmap, LSB first, trailing bits zero."""
    return pa.py_buffer(np.packbits(bits, bitorder="little"))


def array_of(values: npt.NDArray[Any], hidden: Bits | None = None) -> pa.Array:
    """Return numbers or bools as an Arrow array, without copying numbers; null where `hidden`."""
    values = np.ascontiguousarray(values)
    kind = _TYPES[values.dtype.str[1:]]
    data = pack(values) if values.dtype == np.bool_ else pa.py_buffer(values)
    if hidden is None or not hidden.any():
        return pa.Array.from_buffers(kind, len(values), [None, data], 0)
    return pa.Array.from_buffers(kind, len(values), [pack(~hidden), data], int(hidden.sum()))


def text_of(values: Sequence[str | None], hidden: Bits | None = None) -> pa.Array:
    """Return strings as an Arrow array, null where None, which is where `hidden`; large_string beyond 2 GiB.

    Raises:
        UnicodeEncodeError: a string cannot be UTF-8 (a lone surrogate).
    """
    present = cast("Sequence[str]", values if hidden is None else [value or "" for value in values])
    if all(map(str.isascii, present)):  # characters are bytes
        data = "".join(present).encode()
        lengths = map(len, present)
    else:
        encoded = list(map(str.encode, present))
        data = b"".join(encoded)
        lengths = map(len, encoded)
    offsets = np.fromiter(accumulate(lengths, initial=0), np.int64, len(values) + 1)
    wide = len(data) >= 2**31
    kind = pa.large_string() if wide else pa.string()
    places = pa.py_buffer(offsets if wide else offsets.astype(np.int32))
    nulls = 0 if hidden is None else int(hidden.sum())
    validity = pack(~hidden) if hidden is not None and nulls else None
    return pa.Array.from_buffers(kind, len(values), [validity, places, pa.py_buffer(data)], nulls)


def take(array: pa.Array, index: npt.NDArray[Any], hidden: Bits | None = None) -> pa.Array:
    """Return the values at `index`, null where `hidden`."""
    return compute.take(array, array_of(index, hidden))


def _unpacked(array: pa.Array, buffer: int) -> Bits:
    data = array.buffers()[buffer]
    if data is None:
        return np.zeros(len(array), np.bool_)
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=array.offset + len(array), bitorder="little")
    return bits[array.offset :].view(np.bool_)
