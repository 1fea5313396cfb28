"""Adapters from a user's function to the computing contracts of `forebay.pipeline.operator`.

A function takes one of three inputs:

- ``row``: a dict, one value per column. A mapper returns a dict, the whole row: a column that it leaves out is dropped
  (it may change and return the one it was given), a filter a bool, a flat-mapper an iterable of dicts, a deduplicator
  a key (equal keys are duplicates, None never is), a selector a number;
- ``batch``: a dict of equally long lists; the same, one per row. A flat-mapper returns a dict of lists with one more
  column, ``__parent``: the number in the batch of the row that each came from, ascending;
- ``arrow``: a `pyarrow.Table` of the whole shard; results are a table, or an Arrow or numpy array with one value per
  row.

What a function raises becomes a `RowError`, which says which row of the shard it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
from blake3 import blake3

from forebay.pipeline.operator import OperatorKind
from forebay.pipeline.workers.ranking import Ranking
from forebay.table.buffers import array_of, numbers_of
from forebay.table.building import MixedTypesError
from forebay.table.canonical import canonical
from forebay.table.compose import empty_columns
from forebay.table.fitting import column_of, fitted
from forebay.table.pythonic import rows_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from forebay.pipeline.operator import Mask
    from forebay.pipeline.recipes.functions import Call, UserOperator

PARENT = "__parent"


class RowError(Exception):
    """A user's function raised, or gave something that fits no column.

    Attributes:
        row: number of the row in the shard, or None where it is not one row's fault.
        cause: what was raised.
    """

    def __init__(self, row: int | None, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.row = row
        self.cause = cause


def adapt(operator: UserOperator) -> Any:
    """Return the computing operator for a user's function; makes its class, if it is one."""
    return _ADAPTERS[operator.kind](_Caller(operator.call))


def independent_of_batch(operator: UserOperator) -> bool:
    """Tell whether a function sees one row at a time, so that a sample of rows must give the same results."""
    return operator.call.input == "row"


class _Caller:
    """Calls the user's function; `function` is an instance where the user gave a class."""

    def __init__(self, call: Call) -> None:
        self.function = call.function if call.init is None else call.function(**call.init)
        self.params = dict(call.params)
        self.input = call.input
        self.batch_size = call.batch_size
        self.select = call.select

    def each(self, rows: pa.Table) -> Iterator[tuple[int, Any]]:
        """Yield (first row, result) of each call: per row, per batch, or one for the shard."""
        if self.input == "row":
            for number, row in enumerate(rows_of(rows)):
                yield number, self._call(number, row)
        elif self.input == "batch":
            for start in range(0, rows.num_rows, self.batch_size):
                batch = rows.slice(start, self.batch_size)
                yield start, self._call(start, {name: batch.column(name).to_pylist() for name in batch.column_names})
        else:
            yield 0, self._call(None, rows)

    def values(self, rows: pa.Table) -> list[Any]:
        """Return one value per row, whatever the input form."""
        found: list[Any] = []
        for start, result in self.each(rows):
            if self.input == "row":
                found.append(result)
                continue
            if isinstance(result, (pa.Table, Mapping, str, bytes, set, frozenset)):  # each would be taken apart
                what = type(cast("object", result)).__name__
                raise RowError(None, TypeError(f"the function gives one value for each row, not a {what}"))
            values = result.to_pylist() if isinstance(result, (pa.Array, pa.ChunkedArray)) else list(result)
            wanted = rows.num_rows if self.input == "arrow" else min(self.batch_size, rows.num_rows - start)
            if len(values) != wanted:
                raise RowError(None, ValueError(f"returned {len(values)} values for {wanted} rows"))
            found += values
        return found

    def _call(self, row: int | None, value: object) -> Any:
        try:
            result = self.function(value, **self.params)
        except (Exception, SystemExit) as error:  # the user's code may raise anything; it is told with its row
            raise RowError(row, error) from error
        if type(result) is CoroutineType:
            result.close()
            raise RowError(row, TypeError("an async function gives no values"))
        return result


class _Mapper:
    def __init__(self, caller: _Caller) -> None:
        self._caller = caller

    def map(self, rows: pa.Table) -> Mapping[str, pa.Array | None]:
        if self._caller.input == "arrow":
            ((_, result),) = self._caller.each(rows)
            return _columns_of(result, rows)
        if self._caller.input == "batch":
            return _join_batches(
                [_lists(result, start) for start, result in self._caller.each(rows)], rows, self._caller
            )
        results: list[Mapping[str, object]] = []
        for number, result in self._caller.each(rows):
            if not isinstance(result, Mapping):
                raise RowError(number, TypeError(f"a mapper returns the row, not {type(result).__name__}"))
            results.append(cast("Mapping[str, object]", result))
        return _from_dicts(results, rows)


class _Filter:
    def __init__(self, caller: _Caller) -> None:
        self._caller = caller

    def stats(self, rows: pa.Table) -> Mapping[str, pa.Array]:
        return {}

    def keep(self, rows: pa.Table, stats: Mapping[str, pa.Array]) -> Mask:
        return np.fromiter(self._verdicts(rows), np.bool_, rows.num_rows)

    def _verdicts(self, rows: pa.Table) -> Iterator[bool]:
        for number, value in enumerate(self._caller.values(rows)):
            if type(value) is GeneratorType:  # true, whatever the function would have said
                raise RowError(number, TypeError("a filter returns true or false, not a generator"))
            try:
                yield bool(value)
            except ValueError as error:  # an array of several has no truth
                raise RowError(number, error) from error


class _FlatMapper:
    def __init__(self, caller: _Caller) -> None:
        self._caller = caller

    def expand(self, rows: pa.Table) -> tuple[pa.Table, npt.NDArray[np.uint32]]:
        if self._caller.input == "row":
            return self._expand_rows(rows)
        tables: list[pa.Table] = []
        parents: list[npt.NDArray[np.uint32]] = []
        for start, result in self._caller.each(rows):
            made = result if isinstance(result, pa.Table) else _table(_lists(result, start), rows)
            if PARENT not in made.column_names:
                what = f"a flat_mapper over batches returns a column {PARENT}, too"
                hint = "for each row the number in the batch, from 0, of the row that it came from"
                raise RowError(None, ValueError(f"{what}: {hint}"))
            parents.append(numbers_of(made.column(PARENT)).astype(np.uint32) + np.uint32(start))
            tables.append(made.drop_columns([PARENT]))
        if not tables:
            return rows, np.zeros(0, np.uint32)
        table = pa.concat_tables(tables, promote_options="permissive")
        return _like(table, rows), np.concatenate(parents)

    def _expand_rows(self, rows: pa.Table) -> tuple[pa.Table, npt.NDArray[np.uint32]]:
        made: list[Mapping[str, object]] = []
        parents: list[int] = []
        for number, results in self._caller.each(rows):
            try:
                for result in () if results is None else results:
                    if not isinstance(result, Mapping):
                        raise TypeError(f"a flat_mapper gives rows, not {type(result).__name__}")
                    made.append(cast("Mapping[str, object]", result))
                    parents.append(number)
            except (Exception, SystemExit) as error:  # a generator runs the user's code here
                raise RowError(number, error) from error
        if not made:
            return rows.slice(0, 0), np.zeros(0, np.uint32)
        columns = {name: _array([row.get(name) for row in made], name, rows) for name in _names(made, parents)}
        table = pa.Table.from_arrays(list(columns.values()), names=list(columns))
        return table if columns else empty_columns(len(made)), np.asarray(parents, np.uint32)


class _Deduplicator:
    """Rows with an equal key are duplicates; the first in dataset order stays."""

    def __init__(self, caller: _Caller) -> None:
        self._caller = caller

    def summarise(self, rows: pa.Table) -> pa.Table:
        keys = [None if value is None else _hash(value) for value in self._caller.values(rows)]
        hidden = np.fromiter((key is None for key in keys), np.bool_, len(keys))
        halves = np.frombuffer(b"".join(key or bytes(16) for key in keys), np.uint64).reshape(-1, 2)
        return pa.table([array_of(halves[:, 0].copy(), hidden), array_of(halves[:, 1].copy(), hidden)], ["high", "low"])

    def select(self, summaries: Iterable[pa.Table]) -> Iterator[Mask]:
        seen: set[tuple[int, int]] = set()
        for summary in summaries:
            mask = np.ones(summary.num_rows, np.bool_)
            halves = (summary.column("high").to_pylist(), summary.column("low").to_pylist())
            for number, key in enumerate(zip(*halves, strict=True)):
                if key[0] is None:
                    continue
                mask[number] = key not in seen
                seen.add(key)
            yield mask


def _selector(caller: _Caller) -> Ranking:
    return Ranking(caller.values, RowError, caller.select)


_ADAPTERS: Mapping[OperatorKind, Any] = {
    OperatorKind.MAPPER: _Mapper,
    OperatorKind.FILTER: _Filter,
    OperatorKind.FLAT_MAPPER: _FlatMapper,
    OperatorKind.DEDUPLICATOR: _Deduplicator,
    OperatorKind.SELECTOR: _selector,
}


def _names(results: Sequence[Mapping[str, object]], numbers: Sequence[int]) -> list[str]:
    """Column names in the order they were first seen; `numbers` tells which row each result is of."""
    names = list(dict.fromkeys(name for result in results for name in result))
    if all(isinstance(name, str) for name in names):
        return names
    at, wrong = next((at, name) for at, result in enumerate(results) for name in result if not isinstance(name, str))
    raise RowError(numbers[at], TypeError(f"a column's name is text, not {wrong!r}"))


def _from_dicts(results: list[Mapping[str, object]], rows: pa.Table) -> Mapping[str, pa.Array | None]:
    if not results:
        return {}
    names = _names(results, range(len(results)))
    changed: dict[str, pa.Array | None] = {name: None for name in rows.column_names if name not in names}
    for name in names:
        values = [result.get(name) for result in results]
        if not _same(values, name, rows):
            changed[name] = _array(values, name, rows)
    return changed


def _same(values: list[object], name: str, rows: pa.Table) -> bool:
    """Cheap test that a flat column is as it was; nested ones are compared as arrays, later."""
    if name not in rows.column_names or pa.types.is_nested(rows.schema.field(name).type):
        return False
    before = rows.column(name).to_pylist()
    return all(old is new or (type(old) is type(new) and old == new) for old, new in zip(before, values, strict=True))


def _array(values: list[Any], name: str, rows: pa.Table) -> pa.Array:
    """Values as a column; where they fit, of the type that it had."""
    try:
        return column_of(values, rows.schema.field(name).type if name in rows.column_names else None)
    except MixedTypesError as error:
        raise RowError(None, TypeError(f"column {name!r}: {error}")) from error


def _lists(result: object, start: int) -> Mapping[str, list[Any]]:
    if isinstance(result, pa.Table):
        table = cast("Any", result)
        return {name: table.column(name).to_pylist() for name in table.column_names}
    if not isinstance(result, Mapping):
        raise RowError(
            start, TypeError(f"a function over batches returns a dict of lists, not {type(result).__name__}")
        )
    columns = cast("Mapping[str, Any]", result)
    return {name: _list(values, name, start) for name, values in columns.items()}


def _list(values: Any, name: str, start: int) -> list[Any]:
    if isinstance(values, np.ndarray) and values.ndim and values.dtype.kind not in "mM":
        return values.tolist()  # of times it makes plain integers, where they are of nanoseconds
    if isinstance(values, (str, bytes, Mapping, set, frozenset)) or not isinstance(values, Iterable):
        raise RowError(start, TypeError(f"column {name!r} is no list of values, but {type(values).__name__}"))
    return list(cast("Iterable[Any]", values))


def _join_batches(
    batches: list[Mapping[str, list[Any]]], rows: pa.Table, caller: _Caller
) -> Mapping[str, pa.Array | None]:
    columns: dict[str, list[Any]] = {}
    for number, batch in enumerate(batches):
        start = number * caller.batch_size
        wanted = min(caller.batch_size, rows.num_rows - start)
        for name, values in batch.items():
            if len(values) != wanted:
                raise RowError(start, ValueError(f"column {name!r} has {len(values)} values for {wanted} rows"))
            columns.setdefault(name, [None] * start).extend(values)
        for values in columns.values():
            values.extend([None] * (start + wanted - len(values)))
    if not batches:
        return {}
    changed: dict[str, pa.Array | None] = {name: None for name in rows.column_names if name not in columns}
    for name, values in columns.items():
        if not _same(values, name, rows):
            changed[name] = _array(values, name, rows)
    return changed


def _table(columns: Mapping[str, list[Any]], rows: pa.Table) -> pa.Table:
    return pa.Table.from_arrays([_array(values, name, rows) for name, values in columns.items()], names=list(columns))


def _columns_of(result: object, rows: pa.Table) -> Mapping[str, pa.Array | None]:
    """A table (all columns), or a mapping (the changed ones) -> changed columns."""
    changed: dict[str, pa.Array | None] = {}
    if isinstance(result, pa.Table):
        table = cast("Any", result)
        if table.num_rows != rows.num_rows:
            raise RowError(None, ValueError(f"returned {table.num_rows} rows for {rows.num_rows}"))
        changed = {name: None for name in rows.column_names if name not in table.column_names}
        items: Iterable[tuple[str, Any]] = ((name, table.column(name)) for name in table.column_names)
    elif isinstance(result, Mapping):
        items = cast("Mapping[str, Any]", result).items()
    else:
        raise RowError(None, TypeError(f"a mapper over Arrow returns a table or columns, not {type(result).__name__}"))
    for name, values in items:
        if values is None:
            changed[name] = None
            continue
        array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        array = array if isinstance(array, pa.Array) else _array(_list(array, name, 0), name, rows)
        if len(array) != rows.num_rows:
            raise RowError(None, ValueError(f"column {name!r} has {len(array)} values for {rows.num_rows} rows"))
        changed[name] = array
    return changed


def _like(table: pa.Table, rows: pa.Table) -> pa.Table:
    """Give columns the types they had, where those hold the new values."""
    arrays: list[pa.Array] = []
    for name in table.column_names:
        made = canonical(table.column(name))
        arrays.append(fitted(made, rows.schema.field(name).type) if name in rows.column_names else made)
    return pa.Table.from_arrays(arrays, names=table.column_names)


def _hash(value: object) -> bytes:
    """A key's 16-byte name: type-tagged, so that 1, 1.0, True and "1" differ; dicts by content, not order."""
    return blake3(_canonical(value).encode("utf-8", "surrogatepass")).digest(16)


def _canonical(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_canonical(item) for item in cast("Iterable[object]", value)) + "]"
    if isinstance(value, Mapping):
        items = sorted(
            (_canonical(key), _canonical(item)) for key, item in cast("Mapping[object, object]", value).items()
        )
        return "{" + ",".join(f"{key}:{item}" for key, item in items) + "}"
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return f"{type(value).__name__}:{value!r}"
    raise TypeError(f"a deduplicator's key is text, bytes, a number, a list or a dict, not {type(value).__name__}")
