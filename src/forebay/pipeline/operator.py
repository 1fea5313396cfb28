"""What an operator is: data for planning, and a small class for computing.

Planning must not import numpy or pyarrow, so an operator comes in two halves:

- `OperatorSpec`, plain data in `forebay.pipeline.catalog` (or made from a user's function): name, kind, parameters, the
  columns it reads and writes, and a version that is raised whenever its results change;
- the computing class that `OperatorSpec.target` names, imported in the worker, set up once there.

The four computing contracts below see one shard at a time as a `pyarrow.Table` whose columns are single chunks. They
must be pure: same rows and parameters, same result, whatever the shard boundaries (mappers, filters, flat-mappers treat
rows independently). They may be used by one thread at a time.

Example::

    spec = catalog.find("text_length_filter")
    use = spec.bind({"min_len": 10})          # checks names and types, fills defaults
    use.key                                    # KeyTree digest of name, version and parameters
    operator = use.load()                      # imports numpy, pyarrow; here a Filter
    stats = operator.stats(rows)               # {"text_len": int64 array}
    mask = operator.keep(rows, stats)          # numpy bool, one per row
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Mask = npt.NDArray[np.bool_]


class OperatorKind(StrEnum):
    """What an operator does to a table."""

    MAPPER = "mapper"
    FILTER = "filter"
    FLAT_MAPPER = "flat_mapper"
    DEDUPLICATOR = "deduplicator"
    SELECTOR = "selector"

    @property
    def is_global(self) -> bool:
        """Whether it needs summaries of every shard before it can choose rows."""
        return self in (OperatorKind.DEDUPLICATOR, OperatorKind.SELECTOR)


class Mapper(Protocol):
    """Rewrites columns, row by row."""

    def map(self, rows: pa.Table) -> Mapping[str, pa.Array | None]:
        """Return the columns that changed or are new, each of ``rows.num_rows`` values; None removes a column.

        A column that did not change should be left out or returned as it is: unchanged rows are found and not stored.
        """
        ...


class Filter(Protocol):
    """Measures rows, then keeps some."""

    def stats(self, rows: pa.Table) -> Mapping[str, pa.Array]:
        """Return statistics columns, each of ``rows.num_rows`` values; empty when the filter has none."""
        ...

    def keep(self, rows: pa.Table, stats: Mapping[str, pa.Array]) -> Mask:
        """Return one bool per row: keep it?"""
        ...


class FlatMapper(Protocol):
    """Turns each row into none, one or several."""

    def expand(self, rows: pa.Table) -> tuple[pa.Table, npt.NDArray[np.uint32]]:
        """Return the new rows, and for each the number of its parent row; parents ascend."""
        ...


class GlobalOperator(Protocol):
    """Chooses rows with all shards in view: deduplicators and selectors.

    The per-shard half is cached per shard; the global half is small and runs once.
    """

    def summarise(self, rows: pa.Table) -> pa.Table:
        """Return one small row per row of the shard: a hash, a signature, a sort key."""
        ...

    def select(self, summaries: Iterable[pa.Table]) -> Iterator[Mask]:
        """Return per shard, in dataset order, one bool per row: keep it? Duplicates keep their first occurrence."""
        ...
