"""Selectors: a share or number of all rows, drawn by chance, by the value of a field or by how frequent the value is.

A selection never changes the order of rows: what is kept stays in dataset order.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forebay.errors import SourceError
from forebay.pipeline.operators.fields import field_of
from forebay.table import compute
from forebay.table.buffers import numbers_of
from forebay.table.canonical import canonical
from forebay.table.casting import cast_table, type_json
from forebay.table.schema import Column, Schema, TypeConflictError, merge_types

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from forebay.pipeline.operators.texts import Flags
    from forebay.types import JSON

SEED = 42
"""Data-Juicer's seed of `random_selector`."""


def _split(keep: Flags, counts: Sequence[int]) -> Iterator[Flags]:
    yield from np.split(keep, np.cumsum(counts)[:-1]) if counts else ()


def _marked(count: int, chosen: npt.NDArray[np.int64]) -> Flags:
    keep = np.zeros(count, bool)
    keep[chosen] = True
    return keep


def _quota(ratio: float | None, number: int | None, count: int) -> int | None:
    """Return the lesser of a share of `count` and a number, rounded down; None where neither is given or both are 0."""
    if not ratio:
        return number or None
    share = ratio * count
    return int(number) if number and number < share else int(share)


@dataclass(frozen=True, kw_only=True)
class RandomSelector:
    """Keeps a share or a number of rows: the first of numpy's permutation with seed 42, as Data-Juicer draws them.

    The summary holds nothing but the rows' number; the global half takes 9 bytes a row.
    """

    select_ratio: float | None
    select_num: int | None

    def summarise(self, rows: pa.Table) -> pa.Table:
        """Return a column of nulls, which takes no room, as long as the shard."""
        return pa.table({"row": pa.nulls(rows.num_rows)})

    def select(self, summaries: Iterable[pa.Table]) -> Iterator[Flags]:
        """Return for each shard one bool per row: is it drawn?"""
        counts = [summary.num_rows for summary in summaries]
        yield from _split(self._drawn(sum(counts)), counts)

    def _drawn(self, count: int) -> Flags:
        if count <= 1 or (self.select_ratio is None and self.select_num is None):
            return np.ones(count, bool)
        if self.select_ratio:
            quota = int(self.select_ratio * count)
            quota = min(quota, self.select_num or quota)
        else:
            quota = self.select_num or 0
        # Data-Juicer takes a sample of no rows for the whole, shuffled.
        if quota <= 0 or quota >= count:
            return np.ones(count, bool)
        return _marked(count, np.random.default_rng(SEED).permutation(count)[:quota])


@dataclass(frozen=True, kw_only=True)
class _FieldSelector(ABC):
    """Chooses by the value of a field; without a field or a quota it keeps everything."""

    field_key: str
    top_ratio: float | None
    topk: int | None
    reverse: bool

    def summarise(self, rows: pa.Table) -> pa.Table:
        """Return one column, ``value``; of nulls where everything is kept.

        Raises:
            SourceError: there is no such field, or nothing can be chosen by its values.
        """
        if self._idle():
            return pa.table({"value": pa.nulls(rows.num_rows)})
        return pa.table({"value": self._values(field_of(rows, self.field_key))})

    def select(self, summaries: Iterable[pa.Table]) -> Iterator[Flags]:
        """Return for each shard one bool per row: is it kept?

        Raises:
            SourceError: the shards' values have no type in common.
        """
        columns = [summary.column("value") for summary in summaries]
        counts = [len(column) for column in columns]
        total = sum(counts)
        everything = total <= 1 or self._idle()
        yield from _split(np.ones(total, bool) if everything else self._chosen(self._alike(columns)), counts)

    @abstractmethod
    def _values(self, field: pa.Array) -> pa.Array:
        """Return what a shard's rows are chosen by, one value a row; `SourceError` where they cannot be."""

    @abstractmethod
    def _chosen(self, parts: Sequence[pa.Array]) -> Flags:
        """Return one bool per row, of all shards in order."""

    def _idle(self) -> bool:
        return not self.field_key or (not self.top_ratio and not self.topk)

    def _alike(self, columns: Sequence[pa.ChunkedArray]) -> list[pa.Array]:
        """Bring what shards gave to one type: a function may give integers in one and floats in another.

        Raises:
            SourceError: there is none.
        """
        parts = [canonical(chunk) for column in columns for chunk in column.chunks if len(chunk)]
        kind: JSON = "null"
        try:
            for part in parts:
                kind = merge_types(kind, type_json(part.type))
        except TypeConflictError as error:
            raise SourceError(f"field {self.field_key!r} holds values of different types: {error}",
                              subject=self.field_key, hint="make them one type") from error  # fmt: skip
        schema = Schema((Column(self.field_key, kind),))
        cast_to = [cast_table(pa.table([part], [self.field_key]), schema) for part in parts]
        return [chunk for rows in cast_to for chunk in rows.column(0).chunks]


@dataclass(frozen=True, kw_only=True)
class TopkSpecifiedFieldSelector(_FieldSelector):
    """Keeps the rows with the greatest values of a field, or the least; of equals the first.

    The summary is the field's value, as float64 where it is a number; the global half takes as much, and about 24 bytes
    a row while it sorts. A field inside a structure is read as a number, as Data-Juicer does: text is parsed, a list is
    its mean, anything else counts as the last in line.
    """

    def _values(self, field: pa.Array) -> pa.Array:
        if "." in self.field_key:
            return pa.array([_as_number(value, least=self.reverse) for value in field.to_pylist()], pa.float64())
        kind = field.type
        if field.null_count or not (
            pa.types.is_primitive(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
        ):
            what = "has nulls" if field.null_count else f"holds {kind}"
            raise SourceError(
                f"column {self.field_key!r} {what}, so its rows have no order",
                subject=self.field_key,
                hint="select by a column of numbers or text without nulls",
            )
        return field

    def _chosen(self, parts: Sequence[pa.Array]) -> Flags:
        total = sum(map(len, parts))
        quota = _quota(self.top_ratio, self.topk, total) or 0
        order = "descending" if self.reverse else "ascending"
        options = compute.SortOptions([("value", order)])
        ranked = compute.call("sort_indices", pa.table({"value": pa.chunked_array(parts)}), options=options)  # stable
        return _marked(total, numbers_of(ranked)[:quota])


@dataclass(frozen=True, kw_only=True)
class FrequencySpecifiedFieldSelector(_FieldSelector):
    """Keeps the rows with the most frequent values of a field, or the least; of equally frequent ones the first seen.

    The summary is the field's value; the global half takes the different values, and 16 bytes a row.
    """

    def _values(self, field: pa.Array) -> pa.Array:
        if pa.types.is_nested(field.type):
            raise SourceError(
                f"field {self.field_key!r} holds {field.type}; only numbers and text can be counted",
                subject=self.field_key,
            )
        return field

    def _chosen(self, parts: Sequence[pa.Array]) -> Flags:
        encoded = compute.encode(pa.chunked_array(parts).combine_chunks())
        numbers = numbers_of(encoded.indices)  # values are numbered as they are first seen
        times = np.bincount(numbers, minlength=len(encoded.dictionary))
        quota = _quota(self.top_ratio, self.topk, len(times)) or 0
        ranked = np.argsort(-times if self.reverse else times, kind="stable")
        return _marked(len(times), ranked[:quota])[numbers]


def _as_number(value: Any, *, least: bool) -> float:
    """Read a value as Data-Juicer reads statistics; what is no number comes last in line."""
    last = float(-sys.maxsize if least else sys.maxsize)
    try:
        if isinstance(value, str):
            return float(value)
        return float(np.mean(value)) if value not in (None, []) else last
    except (TypeError, ValueError):
        return last
