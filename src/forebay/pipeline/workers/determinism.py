"""Does a user's function give the same for the same? A sample of a shard's rows is computed again and compared.

Done by each worker on the first shard that it computes with a function. A sample of rows is computed again, so that a
function that counts its calls, draws unseeded numbers or reads the clock is found out. One over batches may also depend
on which rows share a batch: where its sample differs, it is told apart by computing the whole shard again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forebay.pipeline.operator import OperatorKind
from forebay.table import compute
from forebay.table.buffers import array_of
from forebay.table.canonical import canonical_table
from forebay.table.difference import differing

if TYPE_CHECKING:
    from forebay.pipeline.recipes.chain import Link

SAMPLE_ROWS = 16


def check(link: Link, operator: Any, rows: pa.Table, result: Any, *, rowwise: bool) -> str:
    """Return why `result`, computed from `rows`, may not be kept, or "".

    Args:
        link: the operator.
        operator: its computing object; it is called again.
        rows: what it was given.
        result: what it gave: changed columns, a mask, (rows, parents) or a summary.
        rowwise: whether it sees one row at a time, so that a sample tells.
    """
    if not rows.num_rows:
        return ""
    compare = _DIFFERS[link.use.kind]
    at = np.unique(np.linspace(0, rows.num_rows - 1, SAMPLE_ROWS).astype(np.int64))
    try:
        differs = compare(operator, compute.take(rows, array_of(at)), rows, result, at)
    except Exception:
        if rowwise:
            raise
        differs = "an error"  # so few rows may be no batch to it
    if differs is not None and not rowwise:
        differs = compare(operator, rows, rows, result, np.arange(rows.num_rows))
    if differs is None:
        return ""
    return (
        f"{link.label} gives different results for the same row ({differs}): it is not cached, nor what depends on it; "
        "seed it, or say cache: false"
    )


def _mapper_differs(operator: Any, sample: pa.Table, rows: pa.Table, result: Any, at: Any) -> str | None:
    again = operator.map(sample)
    first = {name: values for name, values in result.items() if values is not None}
    second = {name: values for name, values in again.items() if values is not None}
    for name in sorted(first.keys() | second.keys()):
        expected = first.get(name, rows.column(name) if name in rows.column_names else None)
        found = second.get(name, sample.column(name) if name in sample.column_names else None)
        if expected is None or found is None or not _equal(compute.take(expected, array_of(at)), found):
            return f"column {name!r}"
    return None


def _filter_differs(operator: Any, sample: pa.Table, rows: pa.Table, result: Any, at: Any) -> str | None:
    again = operator.keep(sample, operator.stats(sample))
    return None if np.array_equal(np.asarray(result)[at], np.asarray(again)) else "the rows it keeps"


def _flat_mapper_differs(operator: Any, sample: pa.Table, rows: pa.Table, result: Any, at: Any) -> str | None:
    new, parents = result
    again, parents_again = operator.expand(sample)
    expected = compute.take(new, array_of(np.flatnonzero(np.isin(parents, at))))
    counts = np.bincount(np.asarray(parents, np.int64), minlength=rows.num_rows)[at]
    if not np.array_equal(counts, np.bincount(np.asarray(parents_again, np.int64), minlength=len(at))):
        return "how many rows it makes"
    for name in expected.column_names:
        if name not in again.column_names or not _equal(expected.column(name), again.column(name)):
            return f"column {name!r}"
    return None


def _summary_differs(operator: Any, sample: pa.Table, rows: pa.Table, result: Any, at: Any) -> str | None:
    again = operator.summarise(sample)
    expected = compute.take(result, array_of(at))
    same = all(_equal(expected.column(name), again.column(name)) for name in expected.column_names)
    return None if same else "its key"


_DIFFERS = {
    OperatorKind.MAPPER: _mapper_differs,
    OperatorKind.FILTER: _filter_differs,
    OperatorKind.FLAT_MAPPER: _flat_mapper_differs,
    OperatorKind.DEDUPLICATOR: _summary_differs,
    OperatorKind.SELECTOR: _summary_differs,
}


def _equal(left: Any, right: Any) -> bool:
    """Whether two columns hold the same values; a sample may show a narrower type (all null, whole numbers)."""
    if len(left) != len(right):
        return False
    if left.type != right.type:
        return _plain(left) == _plain(right)
    names = ["values"]
    one = canonical_table(pa.table([left], names)).column(0).chunk(0)
    other = canonical_table(pa.table([right], names)).column(0).chunk(0)
    return one.type == other.type and not bool(differing(one, other).any())


def _plain(column: Any) -> list[Any]:
    """Values with NaN made equal to itself."""
    return ["nan" if isinstance(value, float) and value != value else value for value in column.to_pylist()]
