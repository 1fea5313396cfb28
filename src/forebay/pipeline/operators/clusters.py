"""Clusters of rows that share a key in any of several columns, with arrays instead of a walk from row to row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forebay.table import compute
from forebay.table.buffers import numbers_of, valid_bits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pyarrow as pa

    from forebay.pipeline.operators.texts import Flags

    Rows = npt.NDArray[np.int64]


def first_of_clusters(columns: Sequence[Sequence[pa.ChunkedArray]]) -> Flags:
    """Tell which rows are the first of their cluster: all rows joined by chains of equal keys in one column.

    Args:
        columns: for each column its parts, uint64, in order; a null key equals no other. One column is laid out at a
            time, and takes about 50 bytes a row.
    """
    count = sum(len(part) for part in columns[0]) if columns else 0
    parents = np.arange(count)
    for parts in columns:
        left, right = _equal_pairs(parts)
        _unite(parents, left, right)
    return _roots(parents, parents) == np.arange(count)


def _equal_pairs(parts: Sequence[pa.ChunkedArray]) -> tuple[Rows, Rows]:
    """Return (first row of a key, later row of that key) for every later row."""
    known = [valid_bits(part) for part in parts]
    rows = np.flatnonzero(np.concatenate([np.zeros(0, bool), *known]))
    keys = [numbers_of(compute.call("drop_null", part)) for part in parts]
    flat = np.concatenate([np.zeros(0, np.uint64), *keys])
    order = np.argsort(flat, kind="stable")  # so that the first of equal keys is the first in row order
    flat = flat[order]
    again = np.zeros(len(flat), bool)
    np.equal(flat[1:], flat[:-1], out=again[1:])
    begins = np.maximum.accumulate(np.where(again, 0, np.arange(len(flat))))
    return rows[order[begins[again]]], rows[order[again]]


def _unite(parents: Rows, left: Rows, right: Rows) -> None:
    """Join pairs of rows; a root is always the least row of its cluster.

    Each round hangs every root that has a lesser neighbour under the least of them, so that clusters at least halve in
    number; pairs that are joined drop out.
    """
    while left.size:
        left, right = _roots(parents, left), _roots(parents, right)
        apart = left != right
        left, right = np.minimum(left[apart], right[apart]), np.maximum(left[apart], right[apart])
        np.minimum.at(parents, right, left)
    parents[:] = _roots(parents, parents)


def _roots(parents: Rows, rows: Rows) -> Rows:
    """Return the root above each row."""
    while True:
        above = parents[rows]
        if np.array_equal(above, rows):
            return rows
        rows = above
