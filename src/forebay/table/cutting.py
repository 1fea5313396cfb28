"""Rows that come in batches, cut into shards by their content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from forebay.table.canonical import canonical_table
from forebay.table.chunking import Chunker
from forebay.table.compose import empty_columns
from forebay.table.rowhash import row_hashes

BATCH_BYTES = 4 << 20
"""About how much is hashed at a time, so that what is pending stays bounded by shards."""


def cut(batches: Iterable[pa.Table], shard_bytes: int) -> Iterator[pa.Table]:
    """Yield the rows of `batches`, which share their columns, as tables of one shard each, canonical.

    The cuts do not depend on how the rows came. No rows, but columns, give one shard without rows.
    """
    chunker = Chunker(shard_bytes)
    pending: list[pa.Table] = []
    nothing: pa.Table | None = None
    found = False
    for batch in batches:
        for part in _portions(batch):
            rows = canonical_table(part)
            hashes, sizes = row_hashes(rows)
            pending.append(rows)
            for number, _ in chunker.push(hashes.tolist(), sizes.tolist()):
                found = True
                yield _take(pending, number)
        if nothing is None:
            nothing = canonical_table(batch.slice(0, 0))
    for number, _ in chunker.finish():
        found = True
        yield _take(pending, number)
    if not found and nothing is not None:
        yield nothing


def _portions(table: pa.Table) -> Iterator[pa.Table]:
    if table.nbytes <= BATCH_BYTES:
        yield table
        return
    rows = max(1, table.num_rows * BATCH_BYTES // table.nbytes)
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)


def _take(pending: list[pa.Table], rows: int) -> pa.Table:
    """Take the first `rows` rows off the pending tables."""
    taken: list[pa.Table] = []
    while rows:
        first = pending[0]
        if first.num_rows <= rows:
            taken.append(pending.pop(0))
            rows -= first.num_rows
        else:
            taken.append(first.slice(0, rows))
            pending[0] = first.slice(rows)
            rows = 0
    if not taken[0].num_columns:
        return empty_columns(sum(table.num_rows for table in taken))
    return canonical_table(pa.concat_tables(taken, promote_options="permissive"))
