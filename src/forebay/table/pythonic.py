"""Arrow tables as Python rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

_PORTION_BYTES = 1 << 19


def rows_of(rows: pa.Table) -> list[dict[str, Any]]:
    """Return a table's rows as dicts, keys in column order, nulls as None."""
    return rows.to_pylist() if rows.num_columns else list(iter_rows(rows))


def iter_rows(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield a table's rows as dicts, keys in column order, nulls as None.

    Converted some at a time, so that values which are dropped at once are made in memory that is still in the cache.
    """
    if not rows.num_columns:
        yield from ({} for _ in range(rows.num_rows))
        return
    step = max(16, rows.num_rows * _PORTION_BYTES // max(1, rows.nbytes))
    for start in range(0, rows.num_rows, step):
        yield from rows.slice(start, step).to_pylist()
