"""Arrow arrays in one canonical form: same values, same buffers, whatever the array's history.

An Arrow array may carry leftovers: a slice's other rows, validity bits where nothing is null, any bytes under a null,
strings under a null, four ways to write a string. Content addressing wants one form:

- offset 0, buffers of exactly the needed length, trailing bits zero; offsets start at 0;
- no validity buffer where nothing is null; zero bytes, or no bytes, under a null; children of a null are null;
- strings, binaries and lists with 32-bit offsets (64-bit only where more than 2 GiB make it necessary); views,
  dictionaries and run ends decoded; extension types as their storage; child fields nullable, named ``item``;
- every NaN is the same NaN. -0.0 and 0.0 stay two values.

An array that is canonical already is returned without copying its data.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import types as kinds

from forebay.errors import InputError
from forebay.table import compute
from forebay.table.buffers import numbers_of, pack, take, valid_bits, values_of

_INT32_MAX = 2**31 - 1


def canonical_table(table: pa.Table) -> pa.Table:
    """Return the table with every column one canonical chunk, and no metadata.

    Raises:
        InputError: a column's type cannot be stored, or two columns bear one name.
    """
    if len(set(table.column_names)) != table.num_columns:
        twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
        raise InputError(f"columns named twice: {', '.join(twice)}", subject=twice, hint="rename them")
    if table.num_columns == 0:
        return table  # no columns hold no metadata; whatever else rebuilds it forgets its rows
    arrays: list[pa.Array] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            arrays.append(canonical(column))
        except InputError as error:
            raise InputError(f"column {name!r}: {error.what}", subject=name, hint=error.hint) from error
    return pa.Table.from_arrays(arrays, names=table.column_names)


def canonical(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return the values of `column` as one canonical array.

    Raises:
        InputError: its type cannot be stored (unions).
    """
    array = _one_chunk(column) if isinstance(column, pa.ChunkedArray) else column
    array = _plain(array)
    kind = array.type
    if kinds.is_null(kind):
        return pa.nulls(len(array))
    if kinds.is_struct(kind):
        return _struct(array)
    if kinds.is_string(kind) or kinds.is_binary(kind) or kinds.is_large_string(kind) or kinds.is_large_binary(kind):
        return _strings(array)
    if kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_map(kind):
        return _lists(array)
    if kinds.is_fixed_size_list(kind):
        return _fixed_lists(array)
    if kinds.is_boolean(kind):
        return _build(kind, array, [pack(numbers_of(array) & valid_bits(array))])
    if kinds.is_union(kind):
        raise InputError(f"values of type {kind} cannot be stored", subject=kind, hint="make it a struct")
    return _fixed_width(array)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    if column.num_chunks == 0:
        return pa.nulls(0, column.type)
    kind = column.type
    if column.nbytes > _INT32_MAX and (kinds.is_string(kind) or kinds.is_binary(kind)):
        column = column.cast(pa.large_string() if kinds.is_string(kind) else pa.large_binary())
    return pa.concat_arrays(column.chunks)


def _plain(array: pa.Array) -> pa.Array:
    """Undo encodings: extension types, dictionaries, run ends, views."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(cast("pa.ExtensionArray", array).storage)
    if kinds.is_dictionary(kind):
        return _plain(cast("pa.DictionaryArray", array).dictionary_decode())
    if kinds.is_run_end_encoded(kind):
        return _plain(compute.call("run_end_decode", array))
    if kinds.is_string_view(kind):
        return compute.cast(array, pa.large_string())
    if kinds.is_binary_view(kind):
        return compute.cast(array, pa.large_binary())
    if kinds.is_list_view(kind) or kinds.is_large_list_view(kind):
        lengths = numbers_of(compute.call("list_value_length", array)) * valid_bits(array)
        offsets = pa.py_buffer(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
        children = [cast("pa.ListViewArray", array).flatten()]
        buffers = [_validity(array), offsets]
        return pa.Array.from_buffers(
            pa.large_list(kind.value_type), len(array), buffers, array.null_count, 0, cast("Any", children)
        )
    return array


def _validity(array: pa.Array) -> pa.Buffer | None:
    return pack(valid_bits(array)) if array.null_count else None


def _build(kind: pa.DataType, like: pa.Array, buffers: list[pa.Buffer], child: pa.Array | None = None) -> pa.Array:
    children = None if child is None else [child]
    return pa.Array.from_buffers(
        kind, len(like), [_validity(like), *buffers], like.null_count, 0, cast("Any", children)
    )


def _fixed_width(array: pa.Array) -> pa.Array:
    kind = array.type
    width = kind.bit_width // 8
    data = array.buffers()[1]
    if data is None or not width:
        return _build(kind, array, [pa.py_buffer(b"")])
    data = data.slice(array.offset * width, len(array) * width)
    if array.null_count:
        cells = np.frombuffer(data, np.uint8).reshape(len(array), width).copy()
        cells[~valid_bits(array)] = 0
        data = pa.py_buffer(cells.reshape(-1))
    if kinds.is_floating(kind):
        numbers = np.frombuffer(data, f"<f{width}")
        nan = np.isnan(numbers)
        if nan.any():
            data = pa.py_buffer(np.where(nan, np.array(np.nan, numbers.dtype), numbers))
    return _build(kind, array, [data])


def _offsets(array: pa.Array) -> npt.NDArray[Any]:
    """The len + 1 offsets of a string or list array as they are; one zero where the array has none."""
    wide = kinds.is_large_string(array.type) or kinds.is_large_binary(array.type) or kinds.is_large_list(array.type)
    dtype = np.int64 if wide else np.int32
    found = values_of(array, dtype)
    return found[array.offset : array.offset + len(array) + 1] if len(array) else np.zeros(1, dtype)


def _without_hidden(array: pa.Array) -> tuple[pa.Array, npt.NDArray[Any]]:
    """Drop what lies under nulls; return the array and its offsets."""
    offsets = _offsets(array)
    if array.null_count:
        valid = valid_bits(array)
        if np.diff(offsets)[~valid].any():
            array = take(array, np.arange(len(array)), ~valid)
            offsets = _offsets(array)
    return array, offsets


def _rebased(offsets: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if offsets[0]:
        offsets = offsets - offsets[0]
    return offsets.astype(np.int32, copy=False) if offsets[-1] <= _INT32_MAX else offsets


def _strings(array: pa.Array) -> pa.Array:
    array, offsets = _without_hidden(array)
    data = array.buffers()[2]
    start, end = int(offsets[0]), int(offsets[-1])
    text = kinds.is_string(array.type) or kinds.is_large_string(array.type)
    rebased = _rebased(offsets)
    if rebased.dtype == np.int32:
        kind = pa.string() if text else pa.binary()
    else:
        kind = pa.large_string() if text else pa.large_binary()
    body = pa.py_buffer(b"") if data is None else data.slice(start, end - start)
    return _build(kind, array, [pa.py_buffer(rebased), body])


def _lists(array: pa.Array) -> pa.Array:
    array, offsets = _without_hidden(array)
    start, end = int(offsets[0]), int(offsets[-1])
    if kinds.is_map(array.type):
        pairs = cast("pa.MapArray", array)
        key = canonical(pairs.keys.slice(start, end - start))
        item = canonical(pairs.items.slice(start, end - start))
        kind: pa.DataType = pa.map_(key.type, item.type)
        fields = [pa.field("key", key.type, nullable=False), pa.field("value", item.type)]
        child: pa.Array = pa.StructArray.from_arrays([key, item], fields=fields)
    else:
        child = canonical(cast("pa.ListArray", array).values.slice(start, end - start))
        wide = end - start > _INT32_MAX
        kind = pa.large_list(child.type) if wide else pa.list_(child.type)
    return _build(kind, array, [pa.py_buffer(_rebased(offsets))], child)


def _fixed_lists(array: pa.Array) -> pa.Array:
    size = array.type.list_size
    child = cast("pa.FixedSizeListArray", array).values.slice(array.offset * size, len(array) * size)
    if array.null_count:
        hidden = np.repeat(~valid_bits(array), size)
        child = take(child, np.arange(len(child)), hidden)
    child = canonical(child)
    return _build(pa.list_(child.type, size), array, [], child)


def _struct(array: pa.Array) -> pa.Array:
    names = [array.type.field(at).name for at in range(array.type.num_fields)]
    # flatten() carries the parent's nulls and offset down to the children.
    children = [canonical(child) for child in cast("pa.StructArray", array).flatten()]
    kind = pa.struct([pa.field(name, child.type) for name, child in zip(names, children, strict=True)])
    return pa.Array.from_buffers(kind, len(array), [_validity(array)], array.null_count, 0, cast("Any", children))
