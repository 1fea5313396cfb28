"""Filters over the values of a field: a column, or a field within a column of structures, by a dotted path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forebay.errors import SourceError
from forebay.pipeline.operators.texts import column_of
from forebay.table import compute
from forebay.table.buffers import array_of, numbers_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.pipeline.operators.texts import Flags
    from forebay.types import JSON

SUFFIX_COLUMN = "__dj__suffix__"


def field_of(rows: pa.Table, path: str) -> pa.Array:
    """Return the field at a dotted path as one array; null where a structure on the way is null.

    Raises:
        SourceError: there is no such column or field; names those there are.
    """
    column, *inner = path.split(".")
    array = column_of(rows, column)
    if inner and not rows.num_rows:  # of a shard without rows nobody may know the fields
        return pa.nulls(0)
    for depth, name in enumerate(inner, start=1):
        here = ".".join([column, *inner[: depth - 1]])
        if not pa.types.is_struct(array.type):
            raise SourceError(f"no field {path!r}: {here} holds {array.type}, no fields", subject=path)
        names = [field.name for field in array.type]
        if name not in names:
            raise SourceError(f"no field {path!r}", subject=path, hint=f"fields of {here}: {', '.join(names)}")
        array = array.flatten()[names.index(name)]
    return array


def values_of(array: pa.Array) -> tuple[pa.Array, list[Any]]:
    """Return, for each row the number of its value, int64, and the different values: as few as there are."""
    try:
        encoded = compute.encode(array)
    except pa.ArrowNotImplementedError:  # lists and structures have no dictionaries
        seen: dict[str, int] = {}
        values: list[Any] = []
        numbers = np.empty(len(array), np.int64)
        for row, value in enumerate(array.to_pylist()):
            numbers[row] = seen.setdefault(repr(value), len(seen))
            if len(seen) > len(values):
                values.append(value)
        return array_of(numbers), values
    return compute.cast(encoded.indices, pa.int64()), encoded.dictionary.to_pylist()


@dataclass(frozen=True, kw_only=True)
class SpecifiedFieldFilter:
    """Keeps rows whose field is one of the target values; of a list, every item must be."""

    field_key: str
    target_value: Sequence[JSON]
    reversed_range: bool

    def stats(self, rows: pa.Table) -> Mapping[str, pa.Array]:
        """Return no statistics: the field itself is the measure."""
        return {}

    def keep(self, rows: pa.Table, stats: Mapping[str, pa.Array]) -> Flags:
        """Return one bool per row.

        Raises:
            SourceError: there is no such field.
        """
        if not self.field_key:
            return np.ones(rows.num_rows, bool)
        array = field_of(rows, self.field_key)
        if not self.target_value:
            return np.ones(rows.num_rows, bool)
        numbers, values = values_of(array)
        fits = [all(item in self.target_value for item in _items(value)) != self.reversed_range for value in values]
        return np.array(fits, bool)[numbers_of(numbers)] if values else np.zeros(0, bool)


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True, kw_only=True)
class SuffixFilter:
    """Keeps rows that came from a file with one of the given suffixes, as the column ``__dj__suffix__`` says."""

    suffixes: Sequence[JSON] | None
    reversed_range: bool

    def stats(self, rows: pa.Table) -> Mapping[str, pa.Array]:
        """Return no statistics."""
        return {}

    def keep(self, rows: pa.Table, stats: Mapping[str, pa.Array]) -> Flags:
        """Return one bool per row.

        Raises:
            SourceError: there is no column ``__dj__suffix__``.
        """
        if not self.suffixes:
            return np.ones(rows.num_rows, bool)
        one_of = SpecifiedFieldFilter(
            field_key=SUFFIX_COLUMN, target_value=self.suffixes, reversed_range=self.reversed_range
        )
        return one_of.keep(rows, stats)
