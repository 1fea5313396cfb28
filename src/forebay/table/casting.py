"""Schemas as Arrow's own, and casting: what a shard keeps at rest, brought to its table's schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pyarrow as pa
from pyarrow import types as kinds

from forebay.errors import SourceError
from forebay.table import compute
from forebay.table.buffers import array_of, numbers_of, valid_bits
from forebay.table.building import first_inexact
from forebay.table.canonical import canonical
from forebay.table.schema import Column, Schema, type_text
from forebay.types import JSON

_NAMES = {
    "null", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "halffloat", "float",
    "double", "string", "binary", "date32[day]", "date64[ms]", "month_day_nano_interval",
}  # fmt: skip
_BY_NAME = {
    "halffloat": pa.float16(), "float": pa.float32(), "double": pa.float64(), "date32[day]": pa.date32(),
    "date64[ms]": pa.date64(), "month_day_nano_interval": pa.month_day_nano_interval(),
}  # fmt: skip


class _Inexact(pa.ArrowInvalid):  # pyright: ignore[reportUntypedBaseClass]  # pyarrow has no types for it
    """An integer that no float holds: `at` is its place in its array."""

    def __init__(self, number: int, at: int) -> None:
        super().__init__(f"the integer {number} is beside floats, which cannot hold it")
        self.at = at


class InexactError(SourceError):
    """A column of integers must become floats, which would change one; `row` is its row, None if that is unknown."""

    def __init__(self, column: str, error: _Inexact, kind: pa.DataType) -> None:
        hint = "write the column's numbers as text, or all of them as integers"
        super().__init__(f"column {column!r}: {error}", subject=column, hint=hint)
        self.row = error.at if kinds.is_integer(kind) else None


def describe(schema: pa.Schema, seen: Mapping[str, int | str] | None = None) -> Schema:
    """Return an Arrow schema as plain data.

    Args:
        schema: of canonical columns.
        seen: where each column's type was first seen, for errors.
    """
    places = seen or {}
    return Schema(tuple(Column(field.name, type_json(field.type), places.get(field.name)) for field in schema))


def type_json(kind: pa.DataType) -> JSON:
    """Return an Arrow type as JSON, see `forebay.table.schema`."""
    if kinds.is_list(kind) or kinds.is_large_list(kind):
        return {"list": type_json(kind.value_type)}
    if kinds.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        return {"struct": [[field.name, type_json(field.type)] for field in fields]}
    if kinds.is_fixed_size_list(kind):
        return {"fixed_list": [type_json(kind.value_type), kind.list_size]}
    if kinds.is_map(kind):
        return {"map": [type_json(kind.key_type), type_json(kind.item_type)]}
    if kinds.is_timestamp(kind):
        return {"timestamp": [kind.unit, kind.tz]}
    if kinds.is_time(kind) or kinds.is_duration(kind):
        name = "duration" if kinds.is_duration(kind) else f"time{kind.bit_width}"
        return {name: kind.unit}
    if kinds.is_decimal(kind):
        return {"decimal": [kind.bit_width, kind.precision, kind.scale]}
    if kinds.is_fixed_size_binary(kind):
        return {"fixed_binary": kind.byte_width}
    name = str(kind).removeprefix("large_")
    if name not in _NAMES:
        raise SourceError(f"values of type {kind} cannot be stored", subject=str(kind), hint="cast them first")
    return name


def arrow_type(kind: JSON) -> pa.DataType:
    """Return the Arrow type of a type in JSON.

    Raises:
        ValueError: it is not one.
    """
    if isinstance(kind, str) and kind in _NAMES:
        return _BY_NAME[kind] if kind in _BY_NAME else pa.type_for_alias(kind)
    match kind:
        case {"list": inner}:
            return pa.list_(arrow_type(inner))
        case {"struct": [*fields]}:
            return pa.struct([_field(field) for field in fields])
        case {"fixed_list": [inner, int(size)]}:
            return pa.list_(arrow_type(inner), size)
        case {"map": [key, item]}:
            return pa.map_(arrow_type(key), arrow_type(item))
        case {"fixed_binary": int(width)}:
            return pa.binary(width)
        case {"decimal": [int(bits), int(precision), int(scale)]}:
            return getattr(pa, f"decimal{bits}")(precision, scale)
        case {"timestamp": [str(unit), zone]}:
            return pa.timestamp(cast("Any", unit), tz=cast("Any", zone))
        case {"time32": str(unit)} | {"time64": str(unit)} | {"duration": str(unit)}:
            return getattr(pa, next(iter(kind)))(unit)
        case _:
            raise ValueError(f"not a type: {kind!r}")


def _field(field: JSON) -> pa.Field:
    match field:
        case [str(name), inner]:
            return pa.field(name, arrow_type(inner))
        case _:
            raise ValueError(f"not a field: {field!r}")


def arrow_schema(schema: Schema) -> pa.Schema:
    """Return the schema as Arrow's own."""
    return pa.schema([pa.field(column.name, arrow_type(column.type)) for column in schema.columns])


def cast_table(rows: pa.Table, schema: Schema) -> pa.Table:
    """Return the rows with exactly the columns of `schema`; those they miss are null.

    Raises:
        SourceError: a value does not fit.
    """
    have = set(rows.column_names)
    arrays: list[pa.Array] = []
    for column in schema.columns:
        kind = arrow_type(column.type)
        if column.name not in have:
            arrays.append(pa.nulls(rows.num_rows, kind))
            continue
        found = rows.column(column.name)
        array = found.chunk(0) if found.num_chunks == 1 else canonical(found)
        try:
            arrays.append(cast_array(array, kind))
        except _Inexact as error:
            raise InexactError(column.name, error, array.type) from None
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise SourceError(
                f"column {column.name!r}: cannot turn {array.type} into {type_text(column.type)}: {error}",
                subject=column.name,
            ) from error
    if not arrays:
        return rows.select([])
    return pa.Table.from_arrays(arrays, names=list(schema.names))


def cast_array(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the values as `kind`; struct fields that they miss are null.

    Raises:
        pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError: a value does not fit.
    """
    if array.type == kind or _only_wider(array.type, kind):
        return array
    if kinds.is_null(array.type):
        return pa.nulls(len(array), kind)
    if kinds.is_struct(kind) and kinds.is_struct(array.type):
        return _cast_struct(canonical(array), kind)
    if kinds.is_list(kind) and (kinds.is_list(array.type) or kinds.is_large_list(array.type)):
        array = canonical(array)
        child = cast_array(cast("pa.ListArray", array).values, kind.value_type)
        made = pa.large_list(child.type) if kinds.is_large_list(array.type) else pa.list_(child.type)
        buffers = [*array.buffers()[:2]]
        return pa.Array.from_buffers(made, len(array), buffers, array.null_count, 0, cast("Any", [child]))
    if kinds.is_floating(kind) and kinds.is_integer(array.type):
        numbers = numbers_of(array).astype(np.float64)
        if (at := first_inexact(array, numbers)) is not None:
            raise _Inexact(array[at].as_py(), at)
        return canonical(compute.cast(array_of(numbers, ~valid_bits(array)), kind))
    return compute.cast(array, kind)


def _only_wider(have: pa.DataType, want: pa.DataType) -> bool:
    """Whether `have` is `want` with 64-bit offsets, which stays: it is over 2 GiB."""
    return (kinds.is_large_string(have) and kinds.is_string(want)) or (
        kinds.is_large_binary(have) and kinds.is_binary(want)
    )


def _cast_struct(array: pa.Array, kind: pa.DataType) -> pa.Array:
    have = {array.type.field(at).name: at for at in range(array.type.num_fields)}
    children: list[pa.Array] = []
    for at in range(kind.num_fields):
        field = kind.field(at)
        if field.name in have:
            children.append(cast_array(cast("pa.StructArray", array).field(have[field.name]), field.type))
        else:
            children.append(pa.nulls(len(array), field.type))
    made = pa.struct([pa.field(kind.field(at).name, child.type) for at, child in enumerate(children)])
    return pa.Array.from_buffers(made, len(array), [array.buffers()[0]], array.null_count, 0, cast("Any", children))
