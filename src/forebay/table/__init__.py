"""Tables as Arrow shards: sources cut by content, layers instead of copies, lazy composition, export.

Importing this package imports neither numpy nor pyarrow; `Table` and whatever touches rows loads them when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay import lazy
from forebay.table.schema import Column, Schema
from forebay.table.shard import Layer, Shard

if TYPE_CHECKING:
    from forebay.table.table import Table as Table

__all__ = ["Column", "Layer", "Schema", "Shard", "Table"]

__getattr__, __dir__ = lazy.names(__name__, __all__, {".table": ["Table"]})
