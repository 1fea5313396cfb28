"""Python values (what JSON gives) as Arrow columns, with types that depend on the values alone.

Column by column and with C-speed loops only: a struct becomes its fields' columns, a list its concatenated items, and
each is built in turn. Keys come in first-seen order; a missing key is null. An integer and a float make floats;
whatever else is mixed raises `MixedTypesError`, and `type_of` and `Merger` then find which row it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forebay.errors import SourceError
from forebay.table.buffers import array_of, numbers_of, pack, text_of, valid_bits
from forebay.table.canonical import canonical
from forebay.table.schema import TypeConflictError, leaves, merge_types, type_text
from forebay.types import JSON

_NULL = type(None)
INT64 = range(-(2**63), 2**63)
EXACT = 2**53
"""Integers up to here, and down to its negative, are all held exactly by a float."""
MAX_DEPTH = 50
"""Nesting that Arrow's file format takes (64 in all), with room for what wraps it."""
_JSON_TYPES: dict[type, JSON] = {_NULL: "null", bool: "bool", int: "int64", float: "double", str: "string"}
_MAX_CELLS = 50_000_000


class MixedTypesError(ValueError):
    """Values of one column have no common type, or one that no column can have; which ones must be searched for."""


def build_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
    """Return the columns of rows, canonical, keys in first-seen order.

    Raises:
        MixedTypesError: a column's values have no common type.
        SourceError: there are absurdly many different keys.
    """
    return {name: build(values) for name, values in transposed(rows).items()}


def transposed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Any]]:
    """Return the values of each key, None where a row has no such key."""
    shapes = dict.fromkeys(map(tuple, rows))  # distinct tuples of keys, in first-seen order
    if len(shapes) == 1:
        (names,) = shapes
        return {name: [row[name] for row in rows] for name in names}
    names = tuple(dict.fromkeys(chain.from_iterable(shapes)))
    if len(names) * len(rows) > _MAX_CELLS:
        raise SourceError(
            f"{len(rows)} rows with {len(names)} different keys (such as {names[-1]!r})",
            hint="make the varying keys values: a list of {key, value}",
        )
    return {name: [row.get(name) for row in rows] for name in names}


def build(values: Sequence[Any]) -> pa.Array:
    """Return values as one canonical array.

    Raises:
        MixedTypesError: they have no common type, an integer does not fit 64 bits, or they are sets.
    """
    found = set(map(type, values))
    nulls = _NULL in found
    found.discard(_NULL)
    if not found:
        return pa.nulls(len(values))
    if found == {dict} or all(issubclass(kind, dict) for kind in found):
        return _structs(values, nulls)
    if found == {list} or all(issubclass(kind, list | tuple) and kind is not pa.MonthDayNano for kind in found):
        return _lists(values, nulls)
    hidden = np.fromiter((value is None for value in values), np.bool_, len(values)) if nulls else None
    try:
        if found == {str}:
            return canonical(text_of(values, hidden))
        dtype = _dtype(found)
        if dtype is None:
            return canonical(_known_to_arrow(values))
        present = [dtype(0) if value is None else value for value in values] if nulls else values
        made = np.array(present, dtype)
        if len(found) > 1 and (number := inexact(present, made)) is not None:
            raise MixedTypesError(f"the integer {number} beside floats, which cannot hold it")
        return canonical(array_of(made, hidden))
    except OverflowError as error:
        number = next((value for value in values if type(value) is int and value not in INT64), None)
        raise MixedTypesError(str(error) if number is None else big_integer(str(number))) from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, UnicodeError) as error:
        raise MixedTypesError(str(error)) from error


def inexact(values: Sequence[Any], floats: npt.NDArray[Any]) -> int | None:
    """Return the first integer of `values` that its float does not hold exactly, or None."""
    if not (np.abs(floats) >= EXACT).any():
        return None
    return next((value for value in values if type(value) is int and not is_exact(value)), None)


def is_exact(number: int) -> bool:
    """Tell whether a float holds an integer exactly."""
    return -EXACT <= number <= EXACT or int(float(number)) == number


def _dtype(found: set[type]) -> type[np.generic] | None:
    """Return numpy's type for plain Python values, None for whatever Arrow may know: dates, decimals, bytes …"""
    if found == {int}:
        return np.int64
    if found <= {int, float}:
        return np.float64
    if found == {bool}:
        return np.bool_
    if found & {str, int, float, bool, dict, list} and len(found) > 1:
        raise MixedTypesError(f"values of different types: {', '.join(sorted(kind.__name__ for kind in found))}")
    if any(issubclass(kind, set | frozenset) for kind in found):
        raise MixedTypesError("a set, whose order differs from process to process; give sorted(…)")
    return None


def _known_to_arrow(values: Sequence[Any]) -> pa.Array:
    """Let Arrow find the type; it takes pandas' times for ones of microseconds, whatever they hold."""
    made = pa.array(values)
    kind: Any = made.type
    if not (pa.types.is_timestamp(kind) or pa.types.is_duration(kind)) or kind.unit == "ns":
        return made
    if not any(getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0) for value in values):
        return made
    return pa.array(values, type=pa.duration("ns") if pa.types.is_duration(kind) else pa.timestamp("ns", tz=kind.tz))


def _structs(values: Sequence[Any], nulls: bool) -> pa.Array:
    hidden = None
    present = values
    if nulls:
        hidden = array_of(np.fromiter((value is None for value in values), np.bool_, len(values)))
        present = [{} if value is None else value for value in values]
        shared = next(value for value in values if value is not None)
        if all(value is None or value.keys() == shared.keys() for value in values):
            blank = dict.fromkeys(shared)
            present = [blank if value is None else value for value in values]
    columns = {name: build(column) for name, column in transposed(present).items()}
    if not columns:
        return _empty_structs(len(values), hidden)
    fields = [pa.field(str(name), column.type) for name, column in columns.items()]
    return canonical(pa.StructArray.from_arrays(list(columns.values()), fields=fields, mask=hidden))


def _empty_structs(rows: int, hidden: pa.Array | None) -> pa.Array:
    valid = None if hidden is None else pack(~numbers_of(hidden))
    return canonical(pa.Array.from_buffers(pa.struct([]), rows, [valid]))


def _lists(values: Sequence[Any], nulls: bool) -> pa.Array:
    hidden = array_of(np.fromiter((value is None for value in values), np.bool_, len(values))) if nulls else None
    present: Sequence[Any] = [value or () for value in values] if nulls else values
    lengths = np.fromiter(map(len, present), np.int64, len(values))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    items = build(list(chain.from_iterable(present)))
    if offsets[-1] < 2**31:
        return canonical(pa.ListArray.from_arrays(array_of(offsets.astype(np.int32)), items, mask=hidden))
    return canonical(pa.LargeListArray.from_arrays(array_of(offsets), items, mask=hidden))


def type_of(value: object, level: int = 0, path: str = "") -> JSON:
    """Return the type of one JSON value; `path` says where in a column it stands: ``".field[]"``.

    Raises:
        TypeConflictError: a list in it mixes types.
        ValueError: an integer does not fit 64 bits, text cannot be UTF-8, or it is nested too deeply.
    """
    if level > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        items: JSON = "null"
        for item in value:
            items = merge_types(items, type_of(item, level + 1, f"{path}[]"), f"{path}[]")
        return {"list": items}
    if isinstance(value, dict):
        return {"struct": [[str(name), type_of(item, level + 1, f"{path}.{name}")] for name, item in value.items()]}
    if isinstance(value, str):
        _check_text(value)
    elif type(value) is int and value not in INT64:
        raise ValueError(big_integer(str(value)))
    if type(value) not in _JSON_TYPES:
        raise ValueError(f"a value of type {type(value).__name__}")
    return _JSON_TYPES[type(value)]


def big_integer(text: str) -> str:
    """Say that an integer is too large."""
    shown = text if len(text) <= 40 else f"{text[:20]}… ({len(text)} digits)"
    return f"the integer {shown} does not fit 64 bits (write it as a string)"


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("text with a lone surrogate, which is not UTF-8") from None


def _large(value: object, place: str) -> Iterator[tuple[str, int]]:
    """Yield the integers in a value that no float holds, each with its place."""
    if type(value) is int:
        if not is_exact(value):
            yield place, value
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _large(item, f"{place}[]")
    elif isinstance(value, dict):
        for name, item in cast("dict[str, object]", value).items():
            yield from _large(item, f"{place}.{name}")


class Merger:
    """Merges the types of rows one by one: the slow path that finds which row does not fit, and why.

    Example::

        merger = Merger()
        merger.add(0, {"a": 1})      # ("", None)
        merger.add(1, {"a": "x"})    # ("column 'a' is string but int64 before", 0): rows up to 0 made it so

    A row that does not fit leaves no trace.
    """

    def __init__(self, expect: Iterable[tuple[str, JSON]] = ()) -> None:
        self._types: dict[str, JSON] = dict(expect)
        self._since: dict[str, int] = {}
        self._large: dict[str, tuple[int, int]] = {}
        """Where an integer stood that no float holds: the row and the integer."""

    def add(self, number: int, row: Mapping[str, Any]) -> tuple[str, int | None]:
        """Take a row that fits; or say why it does not, and which row first had the type that it does not fit."""
        updates: dict[str, JSON] = {}
        name = ""
        try:
            for name, value in row.items():
                updates[name] = merge_types(self._types.get(name, "null"), type_of(value, 1))
        except TypeConflictError as error:
            where = name + error.path
            reason = f"column {where!r} is {type_text(error.right)} but {type_text(error.left)} before"
            return reason, self._since.get(name)
        except ValueError as error:
            return f"column {name!r}: {error}", None
        large = dict(chain.from_iterable(_large(value, name) for name, value in row.items()))
        if large or self._large:
            floats = {place for name, kind in updates.items() for place, leaf in leaves(kind, name) if leaf == "double"}
            for place in sorted(floats & {*large, *self._large}):
                since, integer = self._large.get(place, (None, 0))
                shown = large.get(place, integer)
                return f"column {place!r}: the integer {shown} beside floats, which cannot hold it", since
            self._large = {**{place: (number, integer) for place, integer in large.items()}, **self._large}
        for name, kind in updates.items():
            if self._types.get(name, "null") == "null" and kind != "null":
                self._since[name] = number
        self._types.update(updates)
        return "", None


def float_leaves(array: pa.Array) -> Iterable[pa.Array]:
    """Yield the float arrays of a column, those inside lists and structs too."""
    return (leaf for leaf in _leaf_arrays(array) if pa.types.is_floating(leaf.type))


def holds_large_integers(array: pa.Array) -> bool:
    """Tell whether a column, its lists and structs included, has a 64-bit integer that no float holds."""
    integers = (leaf for leaf in _leaf_arrays(array) if pa.types.is_integer(leaf.type))
    return any(first_inexact(leaf, numbers_of(leaf).astype(np.float64)) is not None for leaf in integers)


def first_inexact(array: pa.Array, floats: npt.NDArray[np.float64]) -> int | None:
    """Return the place of the first integer of `array` that its float does not hold exactly, or None."""
    large = np.flatnonzero((np.abs(floats) >= EXACT) & valid_bits(array))
    return next((at for at in large.tolist() if not is_exact(array[at].as_py())), None)


def _leaf_arrays(array: pa.Array) -> Iterable[pa.Array]:
    kind = array.type
    if pa.types.is_struct(kind):
        for at in range(kind.num_fields):
            yield from _leaf_arrays(cast("pa.StructArray", array).field(at))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _leaf_arrays(cast("pa.ListArray", array).values)
    else:
        yield array
