"""Values that a function gave, as a column of the type that the column had, where that type holds every one exactly.

Python has one integer, one float and times of microseconds, and Arrow many. So a function that hands a row on as it got
it would otherwise make doubles of floats, cut nanoseconds off, and fail on a map or an integer beyond 63 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pyarrow as pa
from pyarrow import types as kinds

from forebay.errors import SourceError
from forebay.table.building import build
from forebay.table.canonical import canonical
from forebay.table.casting import cast_array
from forebay.table.difference import differing

_REFUSED = (ValueError, TypeError, OverflowError, SourceError, pa.ArrowException, NotImplementedError)
"""What converting and casting raise where a value does not fit; Arrow's derive from several of Python's."""


def column_of(values: Sequence[Any], had: pa.DataType | None) -> pa.Array:
    """Return values as a canonical column: of the type `had` if it holds each of them exactly, else of their own.

    Raises:
        MixedTypesError: they have no common type, or one that no column can have.
    """
    if had is not None and _unspeakable(had):
        exact = _as_given(values, had)
        if exact is not None:
            return exact
    made = build(values)
    return made if had is None else fitted(made, had)


def fitted(made: pa.Array, had: pa.DataType) -> pa.Array:
    """Return the array as type `had`, if that is a type of its kind and holds each value exactly; else as it is."""
    if made.type == had or not _akin(made.type, had):
        return made
    try:
        cast_to = canonical(cast_array(made, had))
        back = canonical(cast_array(cast_to, made.type))
    except _REFUSED:
        return made
    if kinds.is_null(made.type) or (back.type == made.type and not differing(canonical(made), back).any()):
        return cast_to
    return made


def _unspeakable(kind: pa.DataType) -> bool:
    """Whether Python's values alone do not tell that they are of this type, so that they must be read as it."""
    if kinds.is_map(kind) or kinds.is_uint64(kind):
        return True
    if kinds.is_timestamp(kind) or kinds.is_duration(kind) or kinds.is_time(kind):
        return cast("Any", kind).unit == "ns"
    if kinds.is_struct(kind):
        return any(_unspeakable(kind.field(at).type) for at in range(kind.num_fields))
    return _is_list(kind) and _unspeakable(kind.value_type)


def _as_given(values: Sequence[Any], kind: pa.DataType) -> pa.Array | None:
    try:
        made = pa.array(values, type=kind)
        same = all(map(_equal, values, made.to_pylist()))
    except _REFUSED:
        return None
    return canonical(made) if same else None


def _equal(value: Any, kept: Any) -> bool:
    """Whether a value survived: numbers as numbers of their kind, fields that are missing as null, NaN as NaN."""
    if isinstance(kept, list):
        items = value.tolist() if hasattr(value, "tolist") else value
        pairs = cast("list[Any]", kept)
        return isinstance(items, (list, tuple)) and len(items) == len(pairs) and all(map(_equal, items, pairs))
    if isinstance(kept, tuple):  # one pair of a map
        return len(value) == 2 and _equal(value[0], kept[0]) and _equal(value[1], kept[1])
    if isinstance(kept, dict):
        fields = cast("dict[str, Any]", kept)
        known = isinstance(value, Mapping) and value.keys() <= fields.keys()
        return known and all(_equal(value.get(name), field) for name, field in fields.items())
    if kept is None:
        return value is None
    if isinstance(kept, (bool, int)) and isinstance(value, float):
        return False
    return bool(value == kept) or (value != value and kept != kept)


def _is_list(kind: pa.DataType) -> bool:
    return kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind)


def _akin(have: pa.DataType, want: pa.DataType) -> bool:
    """Whether a column of type `want` that now holds values of type `have` was not made another kind of column."""
    if kinds.is_null(have):
        return True
    if _is_list(have) or _is_list(want):
        return _is_list(have) and _is_list(want) and _akin(have.value_type, want.value_type)
    if kinds.is_struct(have) or kinds.is_struct(want):
        return kinds.is_struct(have) and kinds.is_struct(want) and _fields_akin(have, want)
    if kinds.is_integer(have):
        return kinds.is_integer(want) or kinds.is_floating(want)
    if kinds.is_timestamp(have) and kinds.is_timestamp(want):
        return have.tz == want.tz
    return any(family(have) and family(want) for family in _FAMILIES)


def _fields_akin(have: pa.DataType, want: pa.DataType) -> bool:
    known = {want.field(at).name: want.field(at).type for at in range(want.num_fields)}
    own = [have.field(at) for at in range(have.num_fields)]
    return all(field.name in known and _akin(field.type, known[field.name]) for field in own)


def _is_bytes(kind: pa.DataType) -> bool:
    return kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_fixed_size_binary(kind)


def _is_text(kind: pa.DataType) -> bool:
    return kinds.is_string(kind) or kinds.is_large_string(kind)


_FAMILIES = (kinds.is_floating, kinds.is_date, kinds.is_time, kinds.is_duration, kinds.is_decimal, _is_bytes, _is_text)
